/* <figure-reconnect>: all clients lose their connection at second 0, when the server restarts.

   The server is down for a while. After that it takes so many handshakes in each second, in the order
   of their arrival, and the others fail. A client waits before attempt n, counted from 0:

   - Every second: 1 s.
   - Backoff: BASE * 2 ** n, at most CAP.
   - Backoff with jitter: a random share of that. BASE and CAP are those of lesson 10's client.

   The random numbers are those of a Lehmer generator, so that the same settings give the same picture. */
"use strict";
{
  const BASE = 1, CAP = 30; // seconds
  const MODULUS = 2147483647, FACTOR = 16807;
  const LONGEST = 3600; // seconds; nothing that can be set takes as long

  /** Returns a function that returns the next random number, from 0 up to 1. */
  function lehmer(seed) {
    let state = seed;
    return () => (state = (state * FACTOR) % MODULUS) / MODULUS;
  }

  const backoff = (n) => Math.min(CAP, BASE * 2 ** n);
  const WAYS = {
    "Every second": () => () => BASE,
    Backoff: () => backoff,
    "Backoff with jitter": (random) => (n) => random() * backoff(n),
  };

  /** Returns the attempts in each second, and when the last client is back, for one way to wait. */
  function restart(name, { clients, down, rate }) {
    const wait = WAYS[name](lehmer(1)), attempts = [], taken = [], queue = [];
    const add = (at, client, n) => {
      let place = queue.length;
      while (place && (queue[place - 1].at > at || (queue[place - 1].at === at && queue[place - 1].client > client))) place--;
      queue.splice(place, 0, { at, client, n });
    };
    for (let client = 0; client < clients; client++) add(wait(0), client, 0);
    let back = 0;
    while (queue.length && back < LONGEST) {
      const { at, client, n } = queue.shift(), second = Math.floor(at);
      attempts[second] = (attempts[second] ?? 0) + 1;
      if (second >= down && (taken[second] ?? 0) < rate) {
        taken[second] = (taken[second] ?? 0) + 1;
        back = at;
      } else add(at + wait(n + 1), client, n + 1);
    }
    const each = Array.from(attempts, (count) => count ?? 0);
    return { name, each, sum: each.reduce((sum, count) => sum + count, 0), most: Math.max(...each.slice(down)), back };
  }

  /** Returns what happens for each way to wait: `clients`, seconds `down`, and handshakes a second, `rate`. */
  const compare = (given) => Object.keys(WAYS).map((name) => restart(name, given));

  const SHOWN = 64; // seconds that are drawn
  const CLIENTS = [50, 100, 200, 300, 500], DOWN = [0, 1, 2, 5, 10, 20], RATES = [10, 20, 50, 100, 200];

  customElements.define("figure-reconnect", class extends Figure {
    static model = { compare };

    play(live) {
      this.now = { clients: 200, down: 5, rate: 50 };
      const slide = (says, values, name) =>
        this.slider(says, values, this.now[name], (value) => {
          this.now[name] = value;
          this.draw();
        });
      this.svg = this.still.querySelector("svg").cloneNode(false);
      this.svg.removeAttribute("aria-labelledby");
      this.svg.removeAttribute("role");
      this.svg.setAttribute("aria-hidden", "true"); // The table says the same.
      [this.verdict, this.told] = [this.status("verdict"), make("div")];
      live.append(
        this.controls(slide((count) => `Clients: ${count}`, CLIENTS, "clients"), slide((seconds) => `The server is down for ${seconds} s`, DOWN, "down"),
          slide((count) => `The server accepts ${count} handshakes a second`, RATES, "rate")),
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
      const { clients, down, rate } = this.now, runs = compare(this.now);
      const top = Math.max(...runs.flatMap(({ each }) => each));
      const x = (second) => 10 + second * 5, height = (count) => Number(((count / top) * 40).toFixed(1));
      const bars = (counts, y, wanted) => counts.slice(0, SHOWN).map((count, second) => (wanted(second) && count ? `M${x(second) + 2.5} ${y}v-${height(count)}` : "")).join("");
      const marks = runs.flatMap(({ name, each }, row) => {
        const y = 68 + row * 64, path = (kind, d) => (d ? [this.mark("path", { class: kind, d })] : []);
        const over = each.map((count, second) => (second < down ? count : Math.max(0, count - rate)));
        return [
          this.mark("text", { x: 10, y: y - 45 }, name),
          ...path("timeline-late", bars(each, y, (second) => over[second])),
          ...path("timeline-taken", bars(each.map((count, second) => count - over[second]), y, () => true)),
          this.mark("path", { d: `M10 ${y}H330` }),
          ...(rate < top ? path("timeline-limit", `M10 ${Number((y - height(rate)).toFixed(1))}H330`) : []),
        ];
      });
      const axis = [0, 20, 40, 60].map((second) => this.mark("text", { class: "timeline-note", x: x(second), y: 212, "text-anchor": second ? "middle" : "start" }, `${second} s`));
      this.svg.replaceChildren(...marks, ...axis);
      const rows = runs.map(({ name, sum, most, back }) => [name, `${sum}`, `${most}`, `${back.toFixed(0)} s`]);
      const table = this.table(`${clients} clients after one restart`, rows, 0, ["Wait", "Attempts", "Most in 1 s", "All back"]);
      table.classList.add("numbers");
      this.told.replaceChildren(table);
      const [, plain, jitter] = runs;
      this.say(`With backoff alone, the clients return together: up to ${plain.most} in a second. With jitter there are at most ${jitter.most}, and the last client is back after ${jitter.back.toFixed(0)} s instead of ${plain.back.toFixed(0)} s.`, plain.most > rate && jitter.most > rate);
    }
  });
}
