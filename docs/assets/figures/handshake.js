/* <figure-handshake>: an opening handshake, which side refuses it, and why (RFC 6455, section 4).

   The server's rules are those of lesson 5, and Origin as in lesson 11. The browser's rules are from
   the WHATWG's WebSockets standard. */
"use strict";
{
  const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; // of every WebSocket (section 1.3)
  const PHRASES = { 101: "Switching Protocols", 400: "Bad Request", 403: "Forbidden", 426: "Upgrade Required" };
  const latin = (text) => Uint8Array.from(text, (letter) => letter.charCodeAt(0));

  /** Returns the SHA-1 of bytes. (A page that was loaded over plain HTTP can't use the browser's.) */
  function sha1(bytes) {
    const padded = new Uint8Array(Math.ceil((bytes.length + 9) / 64) * 64), view = new DataView(padded.buffer);
    padded.set(bytes);
    padded[bytes.length] = 0x80;
    view.setUint32(padded.length - 4, bytes.length * 8);
    const roll = (word, by) => (word << by) | (word >>> (32 - by));
    const sum = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0];
    for (let start = 0; start < padded.length; start += 64) {
      const words = Array.from({ length: 16 }, (_, n) => view.getInt32(start + 4 * n));
      for (let n = 16; n < 80; n++) words.push(roll(words[n - 3] ^ words[n - 8] ^ words[n - 14] ^ words[n - 16], 1));
      let [a, b, c, d, e] = sum;
      words.forEach((word, n) => {
        const [f, k] = n < 20 ? [(b & c) | (~b & d), 0x5a827999] : n < 40 ? [b ^ c ^ d, 0x6ed9eba1]
          : n < 60 ? [(b & c) | (b & d) | (c & d), 0x8f1bbcdc] : [b ^ c ^ d, 0xca62c1d6];
        [a, b, c, d, e] = [(roll(a, 5) + f + e + k + word) | 0, a, roll(b, 30), c, d];
      });
      [a, b, c, d, e].forEach((word, n) => (sum[n] = (sum[n] + word) | 0));
    }
    const digest = new DataView(new ArrayBuffer(20));
    sum.forEach((word, n) => digest.setInt32(4 * n, word));
    return new Uint8Array(digest.buffer);
  }

  /** Returns the Sec-WebSocket-Accept for a Sec-WebSocket-Key (section 4.2.2, step 5.4). */
  const accept = (key) => btoa(String.fromCharCode(...sha1(latin(key + GUID))));

  /** Reads the head of a request or a response: the words of its first line, and its headers. */
  function parse(text) {
    const [line, ...rest] = text.trim().split(/\r?\n/);
    const pairs = rest.map((each) => [each.split(":", 1)[0].trim().toLowerCase(), each.slice(each.indexOf(":") + 1).trim()]);
    const values = (name) => pairs.filter(([other]) => other === name.toLowerCase()).map(([, value]) => value);
    const list = (name) => values(name).join(",").split(",").map((token) => token.trim()).filter(Boolean);
    return { words: line.split(" "), values, list, has: (name, token) => list(name).some((each) => each.toLowerCase() === token) };
  }

  /** Returns the server's response to a request: its status, why it refuses, and its headers. */
  function answer(text, { origins, protocols }) {
    const { words, values, list, has } = parse(text);
    const [key, ...more] = values("Sec-WebSocket-Key"), versions = values("Sec-WebSocket-Version"), [origin] = values("Origin");
    const missing = [
      ["the method GET", words[0] === "GET"],
      ["HTTP/1.1", words[2] === "HTTP/1.1"],
      ["a Host", values("Host").length],
      ["Upgrade: websocket", has("Upgrade", "websocket")],
      ["Connection: Upgrade", has("Connection", "upgrade")],
      ["one Sec-WebSocket-Key, 16 bytes in base64", !more.length && /^[A-Za-z0-9+/]{22}==$/.test(key)],
      ["a Sec-WebSocket-Version", versions.length],
    ].find(([, there]) => !there);
    const refused = (status, why, headers = []) => ({ status, why, headers: ["Connection: close", ...headers] });
    if (missing) return refused(400, `the request must have ${missing[0]}`);
    if (versions.length > 1 || versions[0] !== "13") return refused(426, "the only version is 13", ["Upgrade: websocket", "Sec-WebSocket-Version: 13"]);
    if (origin !== undefined && !origins.includes(origin)) return refused(403, `the origin ${origin} isn't allowed`);
    const protocol = list("Sec-WebSocket-Protocol").find((each) => protocols.includes(each));
    const headers = ["Upgrade: websocket", "Connection: Upgrade", `Sec-WebSocket-Accept: ${accept(key)}`];
    return { status: 101, why: "", headers: protocol ? [...headers, `Sec-WebSocket-Protocol: ${protocol}`] : headers };
  }

  /** Returns why the browser that sent `request` refuses a response; "" if it opens. */
  function refusal(request, text) {
    const asked = parse(request), got = parse(text), chosen = got.values("Sec-WebSocket-Protocol");
    const offered = asked.list("Sec-WebSocket-Protocol"), [key = ""] = asked.values("Sec-WebSocket-Key");
    const proofs = got.values("Sec-WebSocket-Accept");
    const broken = [
      [got.words[1] !== "101", `the status is ${got.words[1] ?? "missing"}, not 101`],
      [got.values("Upgrade").join().toLowerCase() !== "websocket", "Upgrade isn't websocket"],
      [!got.has("Connection", "upgrade"), "Connection isn't Upgrade"],
      [proofs.length !== 1 || proofs[0] !== accept(key), "Sec-WebSocket-Accept doesn't match its key"],
      [got.values("Sec-WebSocket-Extensions").length, "it offered no extension"],
      [chosen.length > 1, "there are two subprotocols"],
      [chosen.length && !offered.includes(chosen[0]), `it didn't offer the subprotocol ${chosen[0]}`],
      [offered.length && !chosen.length, "the server chose none of the subprotocols it offered"],
    ];
    return broken.find(([is]) => is)?.[1] ?? "";
  }

  const REQUEST = `GET /ws HTTP/1.1
Host: board.example
Upgrade: websocket
Connection: Upgrade
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==
Sec-WebSocket-Version: 13
Origin: https://board.example
Sec-WebSocket-Protocol: board.v1`;
  // Each case: what to change in the request, or in the response.
  const CASES = {
    "everything is correct": {},
    "a proxy drops Upgrade": { request: [/Upgrade: websocket\nConnection: Upgrade\n/, "Connection: close\n"] },
    "the method is POST": { request: [/GET/, "POST"] },
    "an old version": { request: [/Version: 13/, "Version: 8"] },
    "a page of another origin": { request: [/Origin: .*/, "Origin: https://evil.example"] },
    "a key of 3 bytes": { request: [/Key: .*/, "Key: YWJj"] },
    "an unknown subprotocol": { request: [/board.v1/, "board.v2"] },
    "an Accept for another key": { answer: [/Accept: .*/, "Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA="] },
    "a web server without WebSocket": { answer: [/[^]*/, "HTTP/1.1 200 OK\nContent-Type: text/html"] },
  };

  customElements.define("figure-handshake", class extends Figure {
    static model = { accept, answer, refusal, sha1: (text) => hex(sha1(latin(text))) };

    play(live) {
      const box = (input) => make("textarea", { rows: 8, class: "code", spellcheck: false, input });
      this.request = box(() => this.ask());
      this.answer = box(() => this.judge());
      this.server = { origins: [/Origin: (.*)/.exec(REQUEST)[1]], protocols: ["board.v1"] };
      const set = (name, value) => {
        this.server[name] = value.split(/[\s,]+/).filter(Boolean);
        this.ask();
      };
      const setting = (name) =>
        make("input", { type: "text", value: this.server[name].join(" "), input: (event) => set(name, event.target.value) });
      const texts = Object.fromEntries(Object.keys(CASES).map((name) => [name, name]));
      [this.verdict, this.sums] = [this.status("verdict"), make("div")];
      live.append(
        this.controls(this.field("What happens", this.choice(texts, "everything is correct", (name) => this.show(CASES[name])), "wide"),
          this.field("Origins the server allows", setting("origins"), "wide"), this.field("Subprotocols the server speaks", setting("protocols"), "wide")),
        make("div", { class: "pair" }, this.field("The request (editable)", this.request), this.field("The response (editable)", this.answer)),
        this.verdict, this.sums,
      );
      this.show({});
    }

    show({ request = ["", ""], answer = ["", ""] }) {
      this.request.value = REQUEST.replace(...request);
      this.ask();
      this.answer.value = this.answer.value.replace(...answer);
      this.judge();
    }

    /** Lets the server respond to the request that was changed. */
    ask() {
      const { status, headers } = answer(this.request.value, this.server);
      this.answer.value = [`HTTP/1.1 ${status} ${PHRASES[status]}`, ...headers].join("\n");
      this.judge();
    }

    judge() {
      const request = this.request.value, { status, why } = answer(request, this.server);
      const no = refusal(request, this.answer.value), [key = ""] = parse(request).values("Sec-WebSocket-Key");
      if (status !== 101) this.say(`The server rejects the handshake with ${status}: ${why}. The page gets 1006 without a reason.`, true);
      else if (no) this.say(`The server accepts, but the browser rejects the response: ${no}. The page gets 1006 without a reason.`, true);
      else this.say("Open. From now on both sides send frames instead of HTTP.");
      const digest = sha1(latin(key + GUID));
      const code = (text) => make("td", { class: "code" }, text);
      this.sums.replaceChildren(this.table("How the server computes Sec-WebSocket-Accept", [
        ["the key and the GUID", code(key + GUID)],
        ["their SHA-1", code(hex(digest))],
        ["that in base64", code(btoa(String.fromCharCode(...digest)))],
      ]));
    }
  });
}
