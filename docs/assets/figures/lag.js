/* <figure-lag>: a snake that the user turns, drawn in three ways, for several round trip times.

   The server runs a tick each TICK ms, from 0 on. A snapshot of each arrives half a round trip later, as
   does a turn at the server. What is drawn is the tick, with a fraction, in which the server has the
   snake at this place. All times are in milliseconds.

   - Raw: the newest snapshot. The server uses the turn in the next tick after its arrival.
   - Interpolated: BEHIND ticks behind the newest snapshot, so a little later, but between the ticks.
   - Predicted: as far ahead as a turn that is sent now needs, as smooth.js of lesson 16 does it. */
"use strict";
{
  const TICK = 100, BEHIND = 1.5, END = 1000;

  /** Returns for each way what it draws at a time, and in which tick the snake turns. */
  const WAYS = {
    Raw: ({ roundTrip, press }) => ({
      tick: (now) => Math.floor((now - roundTrip / 2) / TICK),
      turn: Math.ceil((press + roundTrip / 2) / TICK),
      steps: true,
    }),
    Interpolated: ({ roundTrip, press }) => ({
      tick: (now) => (now - roundTrip / 2) / TICK - BEHIND,
      turn: Math.ceil((press + roundTrip / 2) / TICK),
    }),
    Predicted: ({ roundTrip, press }) => ({
      tick: (now) => (now + roundTrip / 2) / TICK,
      turn: Math.floor((press + roundTrip / 2) / TICK) + 2,
    }),
  };

  /** Returns for each way what is drawn each 10 ms, [time, tick, whether it has turned], and after how
      many milliseconds the turn is seen. `roundTrip` is a multiple of 20, `press` one of 10. */
  function play(given) {
    return Object.entries(WAYS).map(([name, way]) => {
      const { tick, turn, steps = false } = way(given), points = [];
      for (let now = 0; now <= END; now += 10) {
        const drawn = Math.max(0, tick(now));
        points.push([now, drawn, steps ? drawn >= turn : drawn > turn - 1]);
      }
      // If it moves evenly, it turns when it is in the cell before.
      const start = points.findIndex(([, , turned]) => turned);
      return { name, steps, turn, points, seen: points[steps ? start : start - 1][0] - given.press };
    });
  }

  const ROUND_TRIPS = [20, 40, 100, 200, 300], PRESSES = [400, 410, 420, 430, 440, 450, 460, 470, 480, 490];
  const x = (now) => Number((12 + now * 0.316).toFixed(1)), high = (tick) => Number((tick * 4).toFixed(1));

  customElements.define("figure-lag", class extends Figure {
    static model = { play };

    play(live) {
      this.now = { roundTrip: 100, press: 430 };
      const slide = (says, values, name) =>
        this.slider(says, values, this.now[name], (value) => {
          this.now[name] = value;
          this.draw();
        });
      this.svg = this.still.querySelector("svg").cloneNode(false);
      for (const each of ["aria-labelledby", "role"]) this.svg.removeAttribute(each);
      this.svg.setAttribute("aria-hidden", "true"); // The table says the same.
      [this.verdict, this.told] = [this.status("verdict"), make("div")];
      live.append(
        this.controls(slide((time) => `Round trip: ${time} ms`, ROUND_TRIPS, "roundTrip"), slide((time) => `The key is pressed at ${time} ms`, PRESSES, "press")),
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

    /** Returns the path of what is drawn from one time to another: the points at which it changes. */
    path(points, y, steps) {
      const changes = ([, tick], n) => (steps ? tick !== points[n - 1][1] : tick === 0 && points[n + 1][1] > 0);
      const kept = points.filter((point, n) => n === 0 || n === points.length - 1 || changes(point, n));
      return kept.map(([now, tick], n) => `${n === 0 ? "M" : steps ? `H${x(now)}V` : "L"}${n && steps ? "" : `${x(now)} `}${y - high(tick)}`).join("");
    }

    draw() {
      const { press, roundTrip } = this.now, ways = play(this.now);
      const server = [...Array(11).keys()].map((tick) => [tick * TICK, tick]);
      const marks = ways.flatMap(({ name, steps, points, seen }, row) => {
        const y = 78 + row * 76, first = points.findIndex(([now]) => now === press + seen);
        return [
          this.mark("text", { x: 10, y: y - 55 }, name),
          this.mark("path", { class: "timeline-limit", d: this.path(server, y, true) }),
          this.mark("path", { class: "timeline-open", d: this.path(points.slice(0, first + 1), y, steps) }),
          this.mark("path", { class: "timeline-turned", d: this.path(points.slice(first), y, steps) }),
          this.mark("circle", { class: "timeline-mark", cx: x(press + seen), cy: y - high(points[first][1]), r: 4 }),
        ];
      });
      const axis = [0, 500, 1000].map((now) => this.mark("text", { class: "timeline-note", x: x(now), y: 250, "text-anchor": ["start", "middle", "end"][now / 500] }, `${now} ms`));
      this.svg.replaceChildren(this.mark("path", { class: "timeline-press", d: `M${x(press)} 20V236` }), ...marks, ...axis);
      const behind = ({ name }) => ({ Raw: `${roundTrip / 2} to ${roundTrip / 2 + TICK} ms behind`, Interpolated: `${roundTrip / 2 + BEHIND * TICK} ms behind` })[name] ?? `${roundTrip / 2} ms ahead`;
      const table = this.table(`With a round trip of ${roundTrip} ms`, ways.map((way) => [way.name, behind(way), `${way.seen} ms`]), 0, ["Drawn", "Of the server", "Turn seen after"]);
      table.classList.add("numbers");
      this.told.replaceChildren(table);
      const [raw, , predicted] = ways;
      this.say(`The key leads to a turn on the screen after ${predicted.seen} ms with prediction, and after ${raw.seen} ms without. The longer the round trip, the further ahead the own snake is drawn.`);
    }
  });
}
