/* <figure-frame>: a WebSocket frame, byte by byte (RFC 6455, section 5.2).

   The model is that of lesson 5. */
"use strict";
{
  const KINDS = { 0: "continuation", 1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong" };
  const bits = (number, width) => number.toString(2).padStart(width, "0");
  const strict = () => new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  const big = (bytes) => bytes.reduce((sum, byte) => sum * 256 + byte, 0);

  const masked = (payload, key) => payload.map((byte, place) => byte ^ key[place % 4]); // section 5.3

  /** Returns a frame's bytes. A client gives a key, a server null. */
  function encode(opcode, payload, fin = true, key = null) {
    const size = payload.length;
    const [short, more] = size < 126 ? [size, 0] : size < 65536 ? [126, 2] : [127, 8];
    const length = Array.from({ length: more }, (_, place) => Math.floor(size / 256 ** (more - 1 - place)) % 256);
    const end = key ? [...key, ...masked(payload, key)] : payload;
    return Uint8Array.from([(fin ? 128 : 0) | opcode, (key ? 128 : 0) | short, ...length, ...end]);
  }

  /** Returns the bytes of a message in `count` fragments (section 5.4). */
  function fragments(opcode, payload, count, key = null) {
    const size = Math.ceil(payload.length / count);
    const parts = Array.from({ length: count }, (_, n) => payload.slice(n * size, (n + 1) * size));
    return Uint8Array.from(parts.flatMap((part, n) => [...encode(n ? 0 : opcode, part, n === count - 1, key)]));
  }

  /** Whether a close frame may carry this code (section 7.4, and IANA's list since). */
  function maySend(code) {
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
  }

  /** Reads the header at the start of `bytes`: its parts, and the rule it breaks. */
  function head(bytes, client) {
    const [first, second] = bytes, opcode = first & 15, short = second & 127, reserved = (first >> 4) & 7;
    const fin = first > 127, mask = second > 127, more = { 126: 2, 127: 8 }[short] ?? 0;
    const size = 2 + more + (mask ? 4 : 0), whole = bytes.length >= size, wide = bytes.slice(2, 2 + more);
    const length = more ? big(wide) : short, least = length < 126 ? 0 : length < 65536 ? 2 : 8;
    const part = (name, start, end, shown, says, kind) => ({ name, start, end, shown, says, kind });
    const parts = [
      part("FIN", 0, 1, `${bits(first >> 7, 1)}··· ····`, fin ? "the last frame of its message" : "more fragments follow", "bits"),
      part("reserved", 0, 1, `·${bits(reserved, 3)} ····`, reserved ? "without an extension" : "no extension", "bits"),
      part("opcode", 0, 1, `···· ${bits(opcode, 4)}`, KINDS[opcode] ?? "unknown", "opcode"),
      part("MASK", 1, 2, `${bits(second >> 7, 1)}··· ····`, `${mask ? "masked, as a client" : "not masked, as a server"} must`, "key"),
      part("length", 1, 2, `·${bits(short, 7).replace(/.../, "$& ")}`, more ? `the next ${more} bytes hold it` : `${short} bytes of payload`, "length"),
    ];
    if (whole && more) parts.push(part("longer length", 2, 2 + more, hex(wide), `${length} bytes of payload`, "length"));
    if (whole && mask) parts.push(part("masking key", size - 4, size, hex(bytes.slice(size - 4, size)), "random, new for each frame", "key"));
    const problem = [
      [reserved, "a reserved bit is set without an extension"],
      [!KINDS[opcode], `opcode ${opcode} is unknown`],
      [opcode > 7 && !fin, "a control frame can't be fragmented"],
      [opcode > 7 && more, "a control frame has at most 125 bytes"],
      [mask !== client, client ? "a client must mask each frame" : "a server must not mask"],
      [whole && (least !== more || length >= 2 ** 63), "a length must use its shortest form"],
    ].find(([broken]) => broken)?.[1];
    return { fin, opcode, mask, parts, size, length, problem };
  }

  const broken = (code, text) => Object.assign(new Error(text), { code });

  /** Returns a decoder's text, or throws an error with the code 1007. */
  function text(decoder, bytes, stream = false) {
    try {
      return decoder.decode(bytes, { stream });
    } catch {
      throw broken(1007, "a text isn't valid UTF-8");
    }
  }

  /** Returns a close frame's code and reason, or throws (section 5.5.1). */
  function closing(payload) {
    if (!payload.length) return "no code";
    const code = big(payload.slice(0, 2));
    if (payload.length < 2 || !maySend(code)) throw broken(1002, `${code} isn't a code that may be sent`);
    return `${code} ${text(strict(), payload.slice(2))}`.trim();
  }

  /** Reads bytes. Returns the frames, the messages, and the rule that they break. */
  function decode(bytes, client) {
    const told = { frames: [], messages: [], missing: 0, open: false, closed: false, problem: null };
    try {
      stream(bytes, client, told);
    } catch (problem) {
      if (!problem.code) throw problem;
      told.problem = problem;
    }
    return told;
  }

  function stream(bytes, client, told) {
    let kind, whole, decoder;
    for (let rest = bytes; rest.length && !told.closed; ) {
      if (rest.length < 2) return (told.missing = 1);
      const frame = head(rest, client), { fin, opcode, size } = frame, end = size + frame.length;
      const sent = rest.slice(size, end), payload = frame.mask ? masked(sent, rest.slice(size - 4, size)) : sent;
      told.frames.push(Object.assign(frame, { payload, bytes: rest.slice(0, end) }));
      if (frame.problem) throw broken(1002, frame.problem);
      if (rest.length < end) return (told.missing = end - rest.length);
      rest = rest.slice(end);
      const say = (kind, text) => told.messages.push({ kind, text });
      if (opcode > 7) {
        told.closed = opcode === 8;
        say(KINDS[opcode], told.closed ? closing(payload) : new TextDecoder().decode(payload));
        continue;
      }
      if (told.open && opcode) throw broken(1002, "a new message begins before the last one is complete");
      if (!told.open && !opcode) throw broken(1002, "there is no message to continue");
      if (opcode) [kind, whole, decoder] = [KINDS[opcode], "", opcode === 1 ? strict() : new TextDecoder()];
      whole += text(decoder, payload, !fin);
      told.open = !fin;
      if (fin) say(kind, whole);
    }
  }

  const EXAMPLES = {
    "": "Choose one",
    "81 85 37 fa 21 3d 7f 9f 4d 51 58": "“Hello”, as in the RFC",
    "01 82 37 fa 21 3d 7f 9f 89 80 37 fa 21 3d 80 83 37 fa 21 3d 5b 96 4e": "A ping between two fragments",
    "81 83 37 fa 21 3d ff 7a 9d 81 82 37": "An incomplete frame",
    "c1 85 37 fa 21 3d 7f 9f 4d 51 58": "A reserved bit is set",
    "81 fe 00 05 37 fa 21 3d 7f 9f 4d 51 58": "A length too long",
  };
  const SHOWN = 32; // bytes of a frame

  customElements.define("figure-frame", class extends Figure {
    static model = { encode, decode, fragments };

    play(live) {
      this.key = Uint8Array.of(0x37, 0xfa, 0x21, 0x3d);
      const write = () => this.write();
      this.message = make("input", { type: "text", value: "Hello", input: write });
      this.kind = this.choice({ 1: "text", 2: "binary", 9: "ping", 10: "pong" }, "1", write);
      this.count = this.choice({ 1: "1", 2: "2", 3: "3" }, "1", write);
      this.sender = this.choice({ client: "a client", server: "the server" }, "client", (who) => {
        this.mask.checked = who === "client";
        this.write();
      });
      const ticked = this.tick("masked", true, write), renew = () => this.write(crypto.getRandomValues(this.key));
      this.mask = ticked.firstChild;
      const examples = this.choice(EXAMPLES, "", (bytes) => {
        this.sender.value = "client";
        this.hex.value = bytes;
        this.read();
      });
      this.hex = make("textarea", { rows: 2, class: "code", input: () => this.read() });
      this.strip = make("div", { class: "bytes code", role: "group", "aria-label": "Bytes; the arrow keys move" });
      [this.verdict, this.told] = [this.status("verdict"), this.status("told")];
      this.tables = make("div");
      live.append(
        this.controls(this.field("Message", this.message, "wide"), this.field("Opcode", this.kind), this.field("Frames", this.count),
          this.field("Sent by", this.sender), ticked, this.button("New key", renew), this.field("Or an example", examples)),
        this.field("Bytes on the wire, in hex", this.hex),
        this.verdict, this.strip, this.told, this.tables,
      );
      this.write();
    }

    /** Encodes the message that was changed. */
    write() {
      const key = this.mask.checked ? this.key : null, opcode = Number(this.kind.value);
      this.count.disabled = opcode > 7;
      const count = opcode > 7 ? 1 : Number(this.count.value);
      this.hex.value = hex(fragments(opcode, new TextEncoder().encode(this.message.value), count, key));
      this.read();
    }

    /** Explains the bytes that were changed. */
    read() {
      const digits = this.hex.value.replace(/0x|[\s,:]/gi, "");
      if (/[^0-9a-f]/i.test(digits) || digits.length % 2) {
        return this.say("Each byte is two of the digits 0 to 9 and a to f.", true);
      }
      const bytes = Uint8Array.from(digits.match(/../g) ?? [], (pair) => parseInt(pair, 16));
      const read = decode(bytes, this.sender.value === "client");
      this.strip.replaceChildren(...read.frames.map((frame) => this.cells(frame)));
      this.rove(this.strip);
      this.told.textContent = "Choose a byte to see what it means.";
      this.tables.replaceChildren(...read.frames.map((frame, n, { length }) => this.explained(frame, length > 1 ? `Frame ${n + 1}: ` : "")));
      const got = read.messages.map(({ kind, text }) => `${kind} “${text.slice(0, 60)}”`).join(", ");
      const next = read.problem ? `Closed with ${read.problem.code}: ${read.problem.message}.`
        : read.closed ? "Nothing after the close frame is read."
        : read.missing ? `The next frame lacks ${read.missing} or more bytes.`
        : read.open ? "The message needs a fragment with FIN." : "";
      this.say(`${got && `Received: ${got}.`} ${next}`, read.problem !== null);
    }

    cells({ bytes, parts, ...frame }) {
      const cells = [...bytes.slice(0, SHOWN)].map((byte, place) => {
        const mine = parts.filter(({ start, end }) => start <= place && place < end);
        const says = mine.map(({ name, says }) => `${name}: ${says}`).join("; ") || this.unmasked(frame, bytes, place - frame.size);
        const inBits = place < 2 ? `in bits ${bits(byte, 8).replace(/..../, "$& ")}. ` : "";
        const tell = () => (this.told.textContent = `Byte ${place + 1}, ${hex([byte])}: ${inBits}${says}.`);
        return this.button(hex([byte]), tell, { focus: tell, class: mine.at(-1)?.kind ?? "payload" });
      });
      return make("span", { class: "frame" }, ...cells, bytes.length > SHOWN ? `… ${bytes.length - SHOWN} more` : "");
    }

    unmasked({ payload, mask, size }, bytes, place) {
      const plain = payload[place], letter = plain > 32 && plain < 127 ? `, “${String.fromCharCode(plain)}”` : "";
      const key = (place % 4) + 1;
      return `payload${mask ? `. XOR ${hex([bytes[size - 5 + key]])}, byte ${key} of the key, it is ${hex([plain])}` : ""}${letter}`;
    }

    explained(frame, title) {
      const { payload, size, length, opcode } = frame, more = length > 16 ? " …" : "", start = payload.slice(0, 16);
      const says = opcode === 1 || opcode > 8 ? `“${new TextDecoder().decode(start)}”` : hex(start);
      const shown = hex(frame.bytes.slice(size, size + 16)) + more;
      const last = { name: "payload", shown, says: `${frame.mask ? "unmasked: " : ""}${says}${more}`, kind: "payload" };
      const parts = payload.length ? [...frame.parts, last] : frame.parts;
      const rows = parts.map(({ name, shown, says, kind }) => [make("td", { class: `code ${kind}` }, shown), name, says]);
      return this.table(`${title}${size} bytes of header, ${length} of payload`, rows, 1);
    }
  });
}
