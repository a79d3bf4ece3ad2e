/* <figure-closing>: how a connection ends, and which code each side reads (RFC 6455, section 7).

   The page's side is what Chromium does, which a test checks; the server's is what a library
   reads in the frame. */
"use strict";
{
  const MEANINGS = {
    1000: "normal closure", 1001: "going away: the user leaves the page, or the server stops", 1002: "protocol error: an invalid frame",
    1003: "unsupported data", 1005: "the close frame had no code; never sent", 1006: "there was no close frame; never sent",
    1007: "a text isn't valid UTF-8", 1008: "policy violation, or no other code applies", 1009: "the message is too big",
    1010: "an extension is missing", 1011: "internal error", 1012: "the service restarts", 1013: "try again later",
    1014: "bad gateway", 1015: "the TLS handshake failed; never sent",
  };

  /** Returns what a code means. */
  function meaning(code) {
    if (code >= 4000 && code <= 4999) return "private: the application defines it";
    if (code >= 3000 && code <= 3999) return "registered with IANA";
    return MEANINGS[code] ?? "not defined; must not be sent";
  }

  /** Whether a close frame may carry this code (section 7.4, and IANA's list since). */
  const maySend = (code) => (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);

  const size = (reason) => new TextEncoder().encode(reason).length;

  /** Returns why nothing is sent; "" if the close frame is sent. `code` is null if there is no code. */
  function refusal({ who, code, reason }) {
    if (who === "page" && code !== null && code !== 1000 && !(code >= 3000 && code <= 4999))
      return `close(${code}) throws InvalidAccessError: a page may send only 1000 or 3000 to 4999`;
    if (code !== null && !maySend(code)) return `the library rejects it: ${code} is ${meaning(code)}`;
    if (size(reason) > 123) return `a reason can have at most 123 bytes, and this one has ${size(reason)}`;
    return "";
  }

  /** Returns what is sent over the wire, and what each side reads: its code, and `clean`. */
  function close({ who, code, reason }) {
    const nothing = { code: 1006, reason: "", clean: false };
    if (who === "cut") return { refused: "", wire: ["cut"], page: nothing, server: nothing };
    const broken = { code: 1002, reason: "", clean: true };
    if (who === "broken") return { refused: "", wire: ["server", "browser", "tcp"], page: nothing, server: broken };
    const refused = refusal({ who, code, reason });
    if (refused) return { refused, wire: [], page: null, server: null };
    const said = { code: code ?? 1005, reason: code === null ? "" : reason, clean: true };
    const [from, to] = who === "server" ? ["server", "browser"] : ["browser", "server"];
    return { refused, wire: [from, to, "tcp"], page: who === "browser" ? null : said, server: said };
  }

  const CASES = {
    "the server closes": ["server", 1000, "bye"],
    "the page closes": ["page", 1000, "bye"],
    "the page closes without a code": ["page", null, ""],
    "the user leaves the page": ["browser", 1001, ""],
    "the page tries 1001": ["page", 1001, ""],
    "the server restarts": ["server", 1001, "restart"],
    "the server's handler fails": ["server", 1011, ""],
    "a message is too big": ["server", 1009, "at most 1 MiB"],
    "the client isn't allowed to": ["server", 1008, "rate limit"],
    "the server is overloaded": ["server", 1013, ""],
    "the ticket expires": ["server", 4401, "ticket expired"],
    "the server tries 1006": ["server", 1006, ""],
    "the server sends an invalid frame": ["broken", null, ""],
    "the connection is cut": ["cut", null, ""],
  };
  const WHO = { page: "the page", browser: "the browser itself", server: "the server", broken: "an invalid frame", cut: "a cut" };

  customElements.define("figure-closing", class extends Figure {
    static model = { close, meaning, maySend };

    play(live) {
      const names = Object.keys(CASES), texts = Object.fromEntries(names.map((name) => [name, name]));
      const cases = this.choice(texts, names[0], (name) => this.show(CASES[name]));
      const tell = () => this.tell();
      this.who = this.choice(WHO, "server", tell);
      this.code = make("input", { type: "text", inputMode: "numeric", size: "6", maxLength: 4, input: tell });
      this.reason = make("input", { type: "text", input: tell });
      [this.verdict, this.wire, this.told] = [this.status("verdict"), make("ol", { class: "talk" }), make("div")];
      live.append(
        this.controls(this.field("What happens", cases), this.field("Who ends it", this.who), this.field("Code", this.code), this.field("Reason", this.reason, "wide")),
        this.verdict, this.wire, this.told,
      );
      this.show(CASES[names[0]]);
    }

    show([who, code, reason]) {
      [this.who.value, this.code.value, this.reason.value] = [who, code ?? "", reason];
      this.tell();
    }

    tell() {
      const who = this.who.value, digits = this.code.value.trim(), speaks = !["cut", "broken"].includes(who);
      this.code.disabled = !speaks;
      this.reason.disabled = !speaks || !digits;
      const code = speaks && digits ? Number(digits) : null, reason = code === null ? "" : this.reason.value;
      if (Number.isNaN(code)) return this.say("The code must be a number or empty.", true);
      const { refused, wire, page, server } = close({ who, code, reason });
      const payload = code === null ? [] : [code >> 8, code & 255, ...new TextEncoder().encode(reason)];
      const frame = code === null ? "Close, no code" : `Close ${code}${reason && ` “${reason}”`}`;
      const lines = wire.map((from, n) => {
        if (from === "cut") return ["cut", "Nothing is sent. Each side finds out when it sends, or when a ping isn't answered."];
        if (from === "tcp") return ["tcp", "The server closes the TCP connection"];
        if (who === "broken") return [from, n ? "Close 1002" : "an invalid frame"];
        return [from, n ? `${frame} in reply` : frame, n ? "" : payload.length ? `payload ${hex(payload)}` : "no payload"];
      });
      const arrows = { browser: "browser → server: ", server: "server → browser: " };
      this.wire.replaceChildren(...lines.map(([from, text, bytes]) =>
        make("li", { class: from }, `${arrows[from] ?? ""}${text}`, bytes ? make("span", { class: "code" }, bytes) : "")));
      const side = (name, { code, reason, clean }, more) =>
        [name, [`${code}: ${meaning(code)}`, reason ? `reason “${reason}”` : "no reason", ...(more ? [`wasClean ${clean}`] : [])].join("; ")];
      const rows = [];
      if (page) rows.push(side("The page reads", page, true));
      if (server) rows.push(side("The server reads", server, false));
      this.told.replaceChildren(rows.length ? this.table("", rows) : "");
      if (refused) this.say(`Nothing is sent: ${refused}.`, true);
      else if (who === "cut") this.say("Both sides report 1006.", true);
      else if (who === "broken") this.say("The browser sends 1002 to the server and reports 1006 to its page.", true);
      else this.say(page ? `Both sides read ${page.code}.` : `The page no longer exists. The server reads ${server.code}.`);
    }
  });
}
