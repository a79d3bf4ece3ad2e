/* <figure-transports>: four transports over one minute, for one client.

   r messages are posted in a minute, each at its own place between two ticks. A poll is sent every I
   seconds, and the network takes d one way. Then, with N messages:

   - Polling: 60 / I requests. A message waits for the next poll, I / 2 on average, and arrives d later.
   - Long polling: a request waits at the server, for at most HOLD. A message arrives d later, or up to
     3 d later if it is posted while the response and the next request are on their way.
   - Server-sent events and WebSocket: one connection. A message arrives d after it is posted.

   Bytes of HTTP or WebSocket with a browser's headers, from one run with 20 clients and a message
   every 5 s (polling each second cost 3,732 for each message, which is 4 EMPTY and a HIT): a
   response with nothing new, a response with a message, each further message in the same response;
   a message as an event; a message as a frame. The bytes that open a connection aren't counted. */
"use strict";
{
  const EMPTY = 721, HIT = 848, MORE = 86, EVENT = 137, FRAME = 125; // bytes
  const MINUTE = 60, HOLD = 25; // seconds

  /** Returns when the messages of a minute are posted, in seconds. */
  function times(rate) {
    const golden = (Math.sqrt(5) - 1) / 2, gap = MINUTE / rate;
    return Array.from({ length: rate }, (_, n) => (n + (((n + 1) * golden) % 1)) * gap);
  }

  /** Returns what polling costs. Each of `answers` says when it left the server and how many messages it had. */
  function asked(name, answers, messages, delay) {
    const useful = answers.filter(({ count }) => count), carried = useful.reduce((sum, { count }) => sum + count, 0);
    const seen = useful.flatMap(({ at, count }) => Array(count).fill(at + delay));
    const bytes = (answers.length - useful.length) * EMPTY + useful.length * HIT + (carried - useful.length) * MORE;
    return summed({ name, answers, seen, requests: answers.length, useful: useful.length, bytes }, messages);
  }

  /** Adds the average age of a message when it arrives, in seconds. */
  function summed(cost, messages) {
    const ages = cost.seen.map((at, n) => at - messages[n]);
    return { ...cost, age: ages.reduce((sum, age) => sum + age, 0) / ages.length };
  }

  function polling(messages, interval, delay) {
    const answers = [];
    for (let n = 1, told = 0; n * interval <= MINUTE + 1e-9; n++) {
      const at = n * interval, known = messages.filter((time) => time <= at + 1e-9).length;
      answers.push({ at, count: known - told });
      told = known;
    }
    return asked("Polling", answers, messages, delay);
  }

  function longPolling(messages, delay) {
    const answers = [];
    for (let here = 0, told = 0; ; ) {
      const at = Math.max(here, Math.min(messages[told] ?? Infinity, here + HOLD));
      if (at > MINUTE) break;
      const known = messages.filter((time) => time <= at).length;
      answers.push({ at, count: known - told });
      [told, here] = [known, at + 2 * delay];
    }
    return asked("Long polling", answers, messages, delay);
  }

  function pushed(name, messages, delay, each) {
    const answers = messages.map((at) => ({ at, count: 1 }));
    return summed({ name, answers, seen: messages.map((at) => at + delay), requests: 1, useful: messages.length, bytes: each * messages.length }, messages);
  }

  /** Returns what each transport costs in a minute: `rate` messages, `interval` and `delay` in seconds. */
  function compare({ rate, interval, delay }) {
    const messages = times(rate);
    return [polling(messages, interval, delay), longPolling(messages, delay),
      pushed("Server-sent events", messages, delay, EVENT), pushed("WebSocket", messages, delay, FRAME)];
  }

  const RATES = [1, 2, 6, 12, 30, 60, 120], INTERVALS = [0.2, 0.5, 1, 2, 5, 10, 30], DELAYS = [0, 5, 20, 50, 100, 250, 500];
  const SHOWN = 10; // seconds of the minute that are drawn
  const much = (seconds) => (seconds < 0.95 ? `${Math.round(seconds * 1000)} ms` : `${Number(seconds.toPrecision(2))} s`);
  const size = (bytes) => (bytes < 9950 ? `${(bytes / 1000).toFixed(1)} kB` : `${Math.round(bytes / 1000)} kB`);

  customElements.define("figure-transports", class extends Figure {
    static model = { compare, times };

    play(live) {
      this.now = { rate: 12, interval: 1, delay: 0.05 };
      const slide = (says, values, name, unit = 1) =>
        this.slider(says, values, this.now[name] / unit, (value) => {
          this.now[name] = value * unit;
          this.draw();
        });
      const picture = this.still.querySelector("svg");
      this.svg = picture.cloneNode(false);
      this.svg.removeAttribute("aria-labelledby");
      this.svg.removeAttribute("role");
      this.svg.setAttribute("aria-hidden", "true"); // The table says the same.
      [this.verdict, this.told] = [this.status("verdict"), make("div")];
      live.append(
        this.controls(slide((rate) => `Messages a minute: ${rate}`, RATES, "rate"), slide((seconds) => `Poll every ${seconds} s`, INTERVALS, "interval"),
          slide((delay) => `Network, one way: ${delay} ms`, DELAYS, "delay", 0.001)),
        this.svg, this.told, this.verdict,
      );
      this.draw();
    }

    mark(tag, attributes, text = "") {
      const mark = document.createElementNS(this.svg.namespaceURI, tag);
      for (const [name, value] of Object.entries(attributes)) mark.setAttribute(name, value);
      mark.textContent = text;
      return mark;
    }

    draw() {
      const costs = compare(this.now), came = times(this.now.rate);
      const x = (seconds) => Number((10 + seconds * 32).toFixed(1));
      const on = (seconds) => seconds <= SHOWN;
      const marks = costs.flatMap(({ name, answers, seen }, row) => {
        const y = 40 + row * 48, open = row > 1 ? "timeline-open" : "";
        const late = seen.map((at, n) => [came[n], Math.min(at, SHOWN)]).filter(([from]) => on(from)).map(([from, to]) => `M${x(from)} ${y}H${x(to)}`);
        return [
          this.mark("text", { x: 10, y: y - 15 }, name),
          this.mark("path", { class: open, d: `M10 ${y}H330` }),
          this.mark("path", { class: "timeline-late", d: late.join("") || `M10 ${y}` }),
          ...answers.filter(({ at, count }) => on(at) && !count).map(({ at }) => this.mark("circle", { class: "empty", cx: x(at), cy: y, r: 4 })),
          ...[...new Set(seen)].filter(on).map((at) => this.mark("circle", { class: "timeline-message", cx: x(at), cy: y, r: 5 })),
        ];
      });
      const axis = [0, 5, 10].map((second) => this.mark("text", { class: "timeline-note", x: x(second), y: 216, "text-anchor": ["start", "middle", "end"][second / 5] }, `${second} s`));
      this.svg.replaceChildren(...marks, ...axis);
      const table = this.table("One minute, one client", costs.map(({ name, requests, useful, bytes, age }) => [name, `${requests}`, `${useful}`, size(bytes), much(age)]), 0,
        ["Transport", "Requests", "Useful", "Sent", "Age"]);
      table.classList.add("numbers");
      this.told.replaceChildren(table);
      const [poll, , , socket] = costs, useless = poll.requests - poll.useful;
      this.say(`Polling sends ${poll.requests} requests, gets ${useless} empty responses, and takes ${Number((poll.bytes / socket.bytes).toPrecision(2))} times as many bytes as a WebSocket. A message is ${much(poll.age)} old when it arrives, and ${much(socket.age)} over the WebSocket.`);
    }
  });
}
