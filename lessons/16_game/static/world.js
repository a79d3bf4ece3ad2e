// The field and its snakes: the twin of game.py, and what the server's messages say about them.

// A state is `{tick, snakes, food, acks}`. `snakes` has the body of each player by number, as cells,
// head first. `acks` has the newest turn of each player that a tick has used.

export const WIDTH = 64; // cells
export const HEIGHT = 36;
const STEPS = { up: [0, -1], right: [1, 0], down: [0, 1], left: [-1, 0] };
export const OPPOSITE = { up: "down", right: "left", down: "up", left: "right" };

/** Return the next cell in a direction. Behind an edge is the opposite edge. */
export function move(cell, direction) {
  const [x, y] = place(cell);
  const [right, down] = STEPS[direction];
  return ((y + down + HEIGHT) % HEIGHT) * WIDTH + ((x + right + WIDTH) % WIDTH);
}

/** Return the direction in which a snake has moved last. */
export function heading(body) {
  return Object.keys(STEPS).find((direction) => move(body[1], direction) === body[0]);
}

/** Return a body one tick later. It goes straight on without a turn, or if that is the opposite. */
export function advance(body, turn, food) {
  const straight = heading(body);
  const direction = turn && turn !== OPPOSITE[straight] ? turn : straight;
  const head = move(body[0], direction);
  return [head, ...(food.includes(head) ? body : body.slice(0, -1))];
}

// The server's messages

/** Return the state of a key frame. */
export function opened({ tick, snakes, food, acks }) {
  return { tick, snakes: Object.fromEntries(snakes), food, acks: Object.fromEntries(acks) };
}

/** Return the state after a difference. The old one stays as it is. */
export function patched(state, diff) {
  const snakes = { ...state.snakes };
  const acks = { ...state.acks, ...Object.fromEntries(diff.acks) };
  for (const [player, length, cells] of diff.snakes) {
    snakes[player] = [...cells, ...(snakes[player] ?? [])].slice(0, length);
  }
  for (const player of diff.gone) {
    delete snakes[player];
    delete acks[player];
  }
  const food = [...state.food.filter((cell) => !diff.eaten.includes(cell)), ...diff.food];
  return { tick: diff.tick, snakes, food, acks };
}

// Points to draw: [x, y] in cells, with fractions. Beyond an edge, x can be -0.5 or 64.5.

/** Return the point of a cell. */
export function place(cell) {
  return [cell % WIDTH, Math.floor(cell / WIDTH)];
}

/** Return the way from one point to another, the shorter one if there is one over an edge. */
export function difference([x, y], [toX, toY]) {
  return [shorter(toX - x, WIDTH), shorter(toY - y, HEIGHT)];
}

function shorter(way, size) {
  return way - Math.round(way / size) * size;
}

/** Return the points of cells that are next to each other, also where they cross an edge. */
export function line(cells) {
  const points = [];
  for (const cell of cells) {
    const before = points.at(-1);
    const [right, down] = before ? difference(before, place(cell)) : [0, 0];
    points.push(before ? [before[0] + right, before[1] + down] : place(cell));
  }
  return points;
}

/** Return whether `after` is the snake `before`, so many ticks later, and not a new one. */
export function follows(before, after, ticks) {
  return after[ticks] === before[0];
}

/** Return the points of a snake on its way from `before` to `after`: `part` is from 0 to 1. */
export function slide(before, after, ticks, part) {
  const way = line([...after, ...before.slice(Math.max(0, after.length - ticks))]);
  const start = ticks * (1 - part);
  const end = Math.min(start + after.length - 1, way.length - 1);
  const cells = way.slice(Math.floor(start) + 1, Math.ceil(end));
  return [along(way, start), ...cells, along(way, end)];
}

/** Return the point that is so many cells behind the start of a way. */
function along(way, cells) {
  const [x, y] = way[Math.floor(cells)];
  const [nextX, nextY] = way[Math.ceil(cells)];
  const part = cells % 1;
  return [x + part * (nextX - x), y + part * (nextY - y)];
}
