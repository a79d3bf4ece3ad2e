// What the page draws, and when: the other snakes between two snapshots, its own as it will be.
// It knows neither the page nor a clock. All times are in milliseconds, and passed in.

import { OPPOSITE, advance, difference, follows, heading, line, slide } from "./world.js";

const KEPT = 20; // snapshots that are stored
const BEHIND = 1.5; // ticks: so much later than the newest snapshot, the other snakes are drawn
const STALLED = 5; // ticks without a snapshot after which the own snake waits, too
const QUEUE = 4; // turns that may wait at the server
const GLIDE = 150; // milliseconds in which a correction is shown
const JUMP = 3; // cells: a larger correction is shown at once

export class Smooth {
  /**
   * `player` is the own number, and `rate` the ticks a second. `seq` is that of the newest turn
   * that the server has. With `still`, snakes jump from cell to cell.
   */
  constructor({ player, rate, seq = 0, still = false }) {
    this.player = player;
    this.period = 1000 / rate; // of a tick
    this.seq = seq;
    this.still = still;
    this.snapshots = []; // states with `at`, the time of arrival; the newest is the last one
    this.turns = []; // that were sent, at least those without an ack
    this.roundTrip = 0; // until a turn is at the server, and a snapshot with its effect is here
    this.shown = -Infinity; // the tick in which the other snakes were drawn last
    this.errors = []; // the ways from the points of the own snake to where they were before
    this.correctedAt = 0;
  }

  get newest() {
    return this.snapshots.at(-1);
  }

  // What arrives

  /** Store a snapshot that has arrived. */
  snapshot(state, now) {
    this.correct(now, () => {
      this.snapshots = [...this.snapshots, { ...state, at: now }].slice(-KEPT);
      this.turns = this.turns.slice(-KEPT);
    });
  }

  /** Set the round trip time. */
  measured(roundTrip, now) {
    this.correct(now, () => {
      this.roundTrip = roundTrip;
    });
  }

  /** Remove a turn that the server has refused. */
  refused(seq, now) {
    this.correct(now, () => {
      this.turns = this.turns.filter((turn) => turn.seq !== seq);
    });
  }

  // What the user does

  /** Return the turn to send for a direction, or null if it would change nothing. */
  turn(direction, now) {
    if (!this.newest?.snakes[this.player]) return null;
    const drawn = Math.floor(this.ahead(now));
    const tick = Math.max(drawn + 2, (this.turns.at(-1)?.tick ?? 0) + 1);
    const straight = heading(this.predicted(tick - 1));
    if (direction === straight || direction === OPPOSITE[straight]) return null;
    if (tick - drawn - 2 >= QUEUE) return null;
    this.seq += 1;
    this.turns.push({ seq: this.seq, tick, direction });
    return this.turns.at(-1);
  }

  // Time in ticks, with fractions

  /** Return the tick that a snapshot would have that was as fast as the fastest of late. */
  clock(now) {
    const starts = this.snapshots.map(({ tick, at }) => at - tick * this.period);
    const tick = (now - Math.min(...starts)) / this.period;
    return Math.min(tick, this.newest.tick + STALLED);
  }

  /** Return the tick in which the own snake is drawn: a turn for the next one is still in time. */
  ahead(now) {
    return this.clock(now) + this.roundTrip / this.period;
  }

  // What is drawn

  /** Return the points of each snake, by player, head first. */
  bodies(now) {
    if (!this.newest) return {};
    const drawn = this.still ? lines(this.newest.snakes) : this.others(now);
    delete drawn[this.player];
    const own = this.own(now);
    return own ? { ...drawn, [this.player]: own } : drawn;
  }

  /** Return the points of each snake, `BEHIND` ticks behind the clock. */
  others(now) {
    let drawn = lines(this.newest.snakes);
    // --8<-- [start:smooth] Draw each snake between the snapshots before and after the tick to show.
    const tick = Math.min(this.clock(now) - BEHIND, this.newest.tick);
    this.shown = Math.max(this.shown, tick);
    const index = this.snapshots.findLastIndex((each) => each.tick <= this.shown);
    const before = this.snapshots[Math.max(0, index)];
    const after = this.snapshots[index + 1] ?? before;
    const ticks = after.tick - before.tick;
    drawn = lines(before.snakes);
    for (const [player, body] of Object.entries(before.snakes)) {
      const next = after.snakes[player];
      if (!ticks || !next || !follows(body, next, ticks)) continue;
      drawn[player] = slide(body, next, ticks, (this.shown - before.tick) / ticks);
    }
    // --8<-- [end:smooth]
    return drawn;
  }

  /** Return the points of the own snake, or null if it has none. */
  own(now) {
    if (!this.newest?.snakes[this.player]) return null;
    const tick = this.ahead(now);
    const whole = Math.floor(tick);
    const body = this.predicted(whole);
    if (this.still) return line(body);
    const rest = Math.max(0, 1 - (now - this.correctedAt) / GLIDE);
    const points = slide(body, this.predicted(whole + 1), 1, tick - whole);
    return points.map(([x, y], index) => {
      const [right, down] = this.errors[index] ?? [0, 0];
      return [x + rest * right, y + rest * down];
    });
  }

  /** Return the own body in a tick that the server hasn't sent yet, as far as it can be known. */
  predicted(tick) {
    let body = this.newest.snakes[this.player];
    const { acks, food } = this.newest;
    // --8<-- [start:smooth-predict] Advance `body` tick by tick, with the turns that have no ack, as the server does.
    const waiting = this.turns.filter((turn) => turn.seq > acks[this.player]);
    for (let next = this.newest.tick + 1; next <= tick; next += 1) {
      const isDue = waiting.length > 0 && waiting[0].tick <= next;
      body = advance(body, isDue ? waiting.shift().direction : null, food);
    }
    // --8<-- [end:smooth-predict]
    return body;
  }

  /** Call `change`, which may move the own snake. It glides from where it was to where it is. */
  correct(now, change) {
    const before = this.own(now);
    change();
    this.errors = [];
    this.correctedAt = now;
    const after = this.own(now);
    if (!before || !after) return;
    // --8<-- [start:smooth-correct] Set `errors` to the way from each point to where it was, unless one is longer than `JUMP`.
    const errors = after.map((point, index) => difference(point, before[index] ?? before.at(-1)));
    if (errors.every(([right, down]) => Math.hypot(right, down) <= JUMP)) this.errors = errors;
    // --8<-- [end:smooth-correct]
  }
}

/** Return the points of each snake in a state. */
function lines(snakes) {
  return Object.fromEntries(Object.entries(snakes).map(([player, body]) => [player, line(body)]));
}
