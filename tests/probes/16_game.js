// Runs in the browser for lesson 16: a server, a network and a clock of our own, for smooth.js.
//
// Two snakes play, 1 is the page's own. The server's ticks are advance() of world.js. Time passes
// only in `run()`: it calls smooth.js with the time at which something arrives or is drawn.

window.trial = (() => {
  const FRAME = 16; // milliseconds
  const PLAYER = 1;
  const OTHER = 2;
  const NEAR = 0.02; // cells

  const load = async () => {
    const [world, { Smooth }] = await Promise.all([import("/static/world.js"), import("/static/smooth.js")]);
    return { world, Smooth };
  };

  /**
   * Run a game. `turns` are what the user does, [milliseconds, direction, milliseconds more on its
   * way]; `others` are the turns of the other snake by tick; `down` and `up` milliseconds on the
   * way, `jitter` more for each snapshot; `lost` the ticks that share the next one's snapshot;
   * `born` the bodies that begin in a tick, by tick and player; `gone` the ticks in which the other
   * snake leaves.
   */
  async function run(plan) {
    const { world, Smooth } = await load();
    const { rate, ticks, up, down, turns, others, jitter, lost, born, gone, snakes, food } = plan;
    const period = 1000 / rate;
    const smooth = new Smooth({ player: PLAYER, rate, seq: 7 });
    const events = []; // [time, order, action]
    const at = (time, action) => events.push([time, events.length, action]);
    const truth = []; // the snakes after each tick
    const queue = [];
    const sent = [];
    let state = { tick: 0, snakes, food, acks: { [PLAYER]: 7, [OTHER]: 0 } };
    let newest = null;
    truth.push(snakes);

    const tick = (number) => {
      const next = { tick: number, snakes: {}, food: [], acks: { ...state.acks } };
      for (const [player, body] of Object.entries(state.snakes)) {
        let turn = others[number];
        if (Number(player) === PLAYER) {
          turn = queue.length && queue[0].tick <= number ? queue.shift() : null;
          if (turn) next.acks[PLAYER] = turn.seq;
          turn = turn?.direction;
        } else if (gone.includes(number)) continue;
        next.snakes[player] = world.advance(body, turn, state.food);
      }
      Object.assign(next.snakes, born[number] ?? {});
      const heads = Object.values(next.snakes).map(([head]) => head);
      next.food = state.food.filter((cell) => !heads.includes(cell));
      state = next;
      truth.push(next.snakes);
      if (lost.includes(number)) return;
      const snapshot = structuredClone(next);
      at(number * period + down + (jitter[number] ?? 0), (now) => {
        newest = snapshot.tick;
        smooth.snapshot(snapshot, now);
      });
    };
    for (let number = 1; number <= ticks; number += 1) at(number * period, () => tick(number));
    at(down + period, (now) => smooth.measured(plan.measured ?? up + down, now));
    for (const [time, direction, more = 0] of turns) {
      at(time, (now) => {
        const turn = smooth.turn(direction, now);
        sent.push(turn && [now, turn.tick]);
        if (turn) at(now + up + more, () => queue.push(turn));
      });
    }
    const frames = [];
    for (let time = 2 * period + down + 60; time < (ticks - 10) * period; time += FRAME) {
      at(time, (now) => {
        const bodies = smooth.bodies(now);
        frames.push([now, newest, bodies[PLAYER] ?? null, bodies[OTHER] ?? null]);
      });
    }
    while (events.length) {
      events.sort((one, other) => one[0] - other[0] || one[1] - other[1]);
      const [now, , action] = events.shift();
      action(now);
    }
    const paths = [PLAYER, OTHER].map((player) => truth.map((snakes) => snakes[player] ?? null));
    return {
      sent: sent,
      frames: frames.map(([now, newest, own, other]) => ({
        now,
        newest,
        own: own?.[0] ?? null,
        other: other?.[0] ?? null,
        ownTick: own && tickOf(world, own, paths[0], newest),
        otherTick: other && tickOf(world, other, paths[1], newest),
      })),
    };
  }

  /** Return the tick, with a fraction, in which the server has these points; null if in none. */
  function tickOf(world, points, path, newest) {
    const far = (one, other) => Math.hypot(...world.difference(one, other));
    for (let tick = Math.max(1, newest - 20); tick < Math.min(path.length, newest + 20); tick += 1) {
      const [before, after] = [path[tick - 1], path[tick]];
      if (after && far(points[0], world.place(after[0])) < NEAR && isBody(world, points, after)) return tick;
      if (!before || !after || !world.follows(before, after, 1)) continue;
      const [from, to] = [world.place(before[0]), world.place(after[0])];
      const part = far(from, points[0]);
      if (Math.abs(part + far(points[0], to) - 1) > NEAR / 4) continue;
      if (isBody(world, points, after)) return tick - 1 + part;
    }
    return null;
  }

  /** Return whether a body's cells behind its head are among the points. */
  function isBody(world, points, body) {
    const near = (cell) => points.some((point) => Math.hypot(...world.difference(point, world.place(cell))) < NEAR);
    return body.slice(1, -1).every(near);
  }

  /** Return the heads of predicted() in some ticks, for turns and acks; then call it again. */
  async function predicted({ tick, body, food, seq, turns, ticks }) {
    const { Smooth } = await load();
    const smooth = new Smooth({ player: PLAYER, rate: 10, seq });
    const state = { tick, snakes: { [PLAYER]: body, [OTHER]: [9, 10, 11] }, food, acks: { [PLAYER]: seq, [OTHER]: 99 } };
    const copy = structuredClone([state, turns]);
    smooth.snapshot(state, 0);
    smooth.turns = turns;
    const bodies = ticks.map((each) => smooth.predicted(each));
    const again = ticks.map((each) => smooth.predicted(each));
    const kept = JSON.stringify([state, smooth.turns]) === JSON.stringify(copy);
    return { bodies, kept: kept && JSON.stringify(bodies) === JSON.stringify(again) };
  }

  /** Return all coordinates that are drawn while nothing may move but from cell to cell. */
  async function still({ snakes, turns }) {
    const { world, Smooth } = await load();
    const smooth = new Smooth({ player: PLAYER, rate: 10, still: true });
    let bodies = snakes;
    const drawn = [];
    for (let tick = 1; tick < 12; tick += 1) {
      bodies = Object.fromEntries(Object.entries(bodies).map(([player, body]) => [player, world.advance(body, null, [])]));
      smooth.snapshot({ tick, snakes: bodies, food: [], acks: { [PLAYER]: 0, [OTHER]: 0 } }, tick * 100 + (tick % 3) * 7);
      if (tick === 1) smooth.measured(33, 110);
      if (turns[tick]) smooth.turn(turns[tick], tick * 100 + 31);
      for (const later of [15, 40, 77]) drawn.push(...Object.values(smooth.bodies(tick * 100 + later)).flat(2));
    }
    return drawn;
  }

  return { run, predicted, still };
})();
