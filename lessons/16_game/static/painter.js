// The look of the game: the field, its food, and the snakes. It decides nothing.

import { HEIGHT, WIDTH } from "./world.js";

const SMALLEST = 10; // pixels of a cell; if the whole field doesn't fit, the view follows a snake
const FOLLOWED = 17; // pixels of a cell in such a view, at least
const EDGE = 5; // cells: with `still`, such a view moves if the head is so close to its edge
const BURST = 600; // milliseconds for which a crash is shown
const GOLDEN = 137.508; // degrees between the hues of two players
const FONT = "600 12px system-ui, sans-serif";

// The colours of the field, in light and in dark.
const LIGHT = { ground: "#fbfaf6", cell: "#f2f0e9", ink: "#1b1d22", halo: "#ffffffd9", food: "#c2273f", leaf: "#2e7d4f" };
const DARK = { ground: "#12151f", cell: "#171b27", ink: "#ffffff", halo: "#0d0f16d9", food: "#ff5f78", leaf: "#7edba8" };
// Snakes also differ by the pattern on their backs: dashes and gaps, in cells.
const PATTERNS = [[], [0.01, 1], [0.9, 1.1], [0.01, 0.5, 0.5, 0.6]];

export class Painter {
  /** With `still`, nothing moves but the snakes, from cell to cell. */
  constructor(canvas, still) {
    this.canvas = canvas;
    this.still = still;
    this.context = canvas.getContext("2d");
    this.scheme = matchMedia("(prefers-color-scheme: dark)");
    this.view = { cell: 1, width: WIDTH, height: HEIGHT, x: 0, y: 0 };
    this.bursts = []; // {points, player, at}
  }

  get colours() {
    return this.scheme.matches ? DARK : LIGHT;
  }

  /** Show the end of a snake from a time on. */
  burst(points, player, at) {
    if (!this.still) this.bursts.push({ points, player, at });
  }

  /** Draw the game. `scene` has `bodies`, `food`, `names`, `away`, `own` and `direction`. */
  draw(scene, now) {
    this.fit();
    this.follow(scene.bodies[scene.own]?.[0]);
    this.drawField();
    for (const cell of scene.food) this.repeat([[cell % WIDTH, Math.floor(cell / WIDTH)]], (points) => this.drawFood(points[0], cell, now));
    this.bursts = this.bursts.filter(({ at }) => now < at + BURST);
    for (const burst of this.bursts) if (now >= burst.at) this.drawBurst(burst, now);
    const others = Object.keys(scene.bodies).filter((player) => Number(player) !== scene.own);
    for (const player of others) this.drawSnake(scene, Number(player));
    if (scene.bodies[scene.own]) this.drawSnake(scene, scene.own);
    for (const player of others) this.drawName(scene, Number(player));
  }

  // The view

  /** Give the canvas the largest size that its parent has room for. */
  fit() {
    const { clientWidth, clientHeight } = this.canvas.parentElement;
    const whole = Math.min(clientWidth / WIDTH, clientHeight / HEIGHT);
    const cell = whole < SMALLEST ? Math.max(FOLLOWED, clientHeight / HEIGHT) : whole;
    const width = Math.min(WIDTH, clientWidth / cell);
    const height = Math.min(HEIGHT, clientHeight / cell);
    Object.assign(this.view, { cell, width, height });
    const scale = window.devicePixelRatio;
    const [wide, high] = [Math.round(width * cell), Math.round(height * cell)];
    if (this.canvas.width !== Math.round(wide * scale) || this.canvas.height !== Math.round(high * scale)) {
      this.canvas.width = Math.round(wide * scale);
      this.canvas.height = Math.round(high * scale);
      this.canvas.style.width = `${wide}px`;
      this.canvas.style.height = `${high}px`;
    }
    this.context.setTransform(scale, 0, 0, scale, 0, 0);
  }

  /** Move a view that shows only a part of the field to a head. */
  follow(head) {
    const { view } = this;
    if (view.width === WIDTH) view.x = -0.5;
    if (view.height === HEIGHT) view.y = -0.5;
    if (!head) return;
    if (view.width < WIDTH) view.x = this.scrolled(head[0], view.x, view.width, WIDTH);
    if (view.height < HEIGHT) view.y = this.scrolled(head[1], view.y, view.height, HEIGHT);
  }

  scrolled(head, start, shown, size) {
    const centred = head - (shown - 1) / 2 - 0.5;
    const inside = (((head - start) % size) + size) % size;
    return this.still && inside >= EDGE && inside <= shown - EDGE ? start : centred;
  }

  /** Call `draw` with points in pixels, for each place where a part of them is in the view. */
  repeat(points, draw) {
    const { x, y, width, height, cell } = this.view;
    const [xs, ys] = [points.map((point) => point[0]), points.map((point) => point[1])];
    for (const right of shifts(Math.min(...xs), Math.max(...xs), x, width, WIDTH)) {
      for (const down of shifts(Math.min(...ys), Math.max(...ys), y, height, HEIGHT)) {
        draw(points.map((point) => [(point[0] + right - x) * cell, (point[1] + down - y) * cell]));
      }
    }
  }

  // The field

  /** Draw the squares of a chessboard: a picture of 2 x 2 pixels, again and again. */
  drawField() {
    const { context, view, colours } = this;
    const tile = new OffscreenCanvas(2, 2);
    const pixels = tile.getContext("2d");
    pixels.fillStyle = colours.ground;
    pixels.fillRect(0, 0, 2, 2);
    pixels.fillStyle = colours.cell;
    pixels.fillRect(0, 0, 1, 1);
    pixels.fillRect(1, 1, 1, 1);
    const pattern = context.createPattern(tile, "repeat");
    const shift = (start) => -(((start + 0.5) % 2) + 2) % 2;
    pattern.setTransform(new DOMMatrix().scale(view.cell).translate(shift(view.x), shift(view.y)));
    context.imageSmoothingEnabled = false;
    context.fillStyle = pattern;
    context.fillRect(0, 0, view.width * view.cell, view.height * view.cell);
  }

  drawFood([x, y], cell, now) {
    const { context, view, colours } = this;
    const beat = this.still ? 0 : Math.sin(now / 300 + cell) * 0.03;
    const radius = (0.33 + beat) * view.cell;
    circle(context, x, y + 0.04 * view.cell, radius, colours.food);
    circle(context, x - radius * 0.35, y - radius * 0.3, radius * 0.25, "#ffffffa6");
    context.strokeStyle = colours.leaf;
    context.lineWidth = Math.max(1.2, view.cell * 0.12);
    context.lineCap = "round";
    path(context, [[x, y - radius * 0.8], [x + radius * 0.7, y - radius * 1.35]]);
  }

  // The snakes

  /** Return the colours of a player's snake: its body, its rim and its pattern. */
  skin(player) {
    const hue = ((player - 1) * GOLDEN + 255) % 360;
    const dark = this.scheme.matches;
    return {
      body: `oklch(${dark ? 0.74 : 0.6} 0.16 ${hue})`,
      rim: `oklch(${dark ? 0.4 : 0.42} 0.12 ${hue})`,
      back: `oklch(${dark ? 0.92 : 0.87} 0.09 ${hue})`,
      pattern: PATTERNS[(player - 1) % PATTERNS.length],
    };
  }

  drawSnake(scene, player) {
    const { context, view, colours } = this;
    const points = scene.bodies[player];
    const own = player === scene.own;
    context.globalAlpha = scene.away.has(player) ? 0.45 : 1;
    this.repeat(points, (pixels) => {
      drawBody(context, pixels, view.cell, this.skin(player), own ? colours.ink : null);
      drawHead(context, pixels, view.cell, own ? scene.direction : null);
    });
    context.globalAlpha = 1;
  }

  drawName(scene, player) {
    const { context, view, colours } = this;
    const name = scene.names.get(player) ?? "";
    context.font = FONT;
    context.textAlign = "center";
    context.lineJoin = "round";
    context.lineWidth = 4;
    this.repeat(scene.bodies[player].slice(0, 1), ([[x, y]]) => {
      const [half, high] = [context.measureText(short(name)).width / 2 + 3, y < 26 ? y + view.cell * 0.6 + 14 : y - view.cell * 0.6 - 5];
      const middle = Math.min(Math.max(x, half), view.width * view.cell - half);
      context.strokeStyle = colours.halo;
      context.strokeText(short(name), middle, high);
      context.fillStyle = colours.ink;
      context.fillText(short(name), middle, high);
    });
  }

  /** Draw how a snake falls apart. */
  drawBurst({ points, player, at }, now) {
    const { context, view } = this;
    const part = (now - at) / BURST;
    const { body } = this.skin(player);
    context.globalAlpha = 1 - part;
    const scattered = points.map(([x, y], index) => {
      const angle = index * GOLDEN;
      return [x + Math.cos(angle) * part * 1.6, y + Math.sin(angle) * part * 1.6];
    });
    this.repeat(scattered, (pixels) => {
      for (const [x, y] of pixels) circle(context, x, y, view.cell * 0.42 * (1 - part), body);
    });
    context.globalAlpha = 1;
  }

  /** Return a small picture of a player's snake, for the list of players. */
  swatch(player, own) {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [88, 36];
    canvas.ariaHidden = "true";
    const context = canvas.getContext("2d");
    const pixels = [[66, 18], [44, 18], [22, 18]];
    drawBody(context, pixels, 26, this.skin(player), own ? this.colours.ink : null);
    drawHead(context, pixels, 26, null);
    return canvas;
  }
}

// Shapes, in pixels

function drawBody(context, pixels, cell, skin, outline) {
  context.lineCap = context.lineJoin = "round";
  const strokes = [[skin.rim, 0.86], [skin.body, 0.66]];
  if (outline) strokes.unshift([outline, 1.16]);
  for (const [colour, width] of strokes) {
    context.strokeStyle = colour;
    context.lineWidth = width * cell;
    path(context, pixels);
  }
  context.strokeStyle = skin.back;
  context.lineWidth = 0.2 * cell;
  context.setLineDash(skin.pattern.map((length) => length * cell));
  path(context, pixels);
  context.setLineDash([]);
}

/** Draw the eyes. They look where the snake goes, or already where it will go. */
function drawHead(context, pixels, cell, direction) {
  const [[x, y]] = pixels;
  const next = pixels.find((point) => Math.hypot(point[0] - x, point[1] - y) > 1) ?? pixels[1];
  const looks = { up: [0, -1], right: [1, 0], down: [0, 1], left: [-1, 0] }[direction];
  const [right, down] = looks ?? [Math.sign(Math.round(x - next[0])), Math.sign(Math.round(y - next[1]))];
  for (const side of [-1, 1]) {
    const [eyeX, eyeY] = [x + cell * (right * 0.1 - down * side * 0.2), y + cell * (down * 0.1 + right * side * 0.2)];
    circle(context, eyeX, eyeY, cell * 0.17, "#fff");
    circle(context, eyeX + right * cell * 0.05, eyeY + down * cell * 0.05, cell * 0.1, "#14161c");
  }
}

function path(context, points) {
  context.beginPath();
  for (const [x, y] of points) context.lineTo(x, y);
  context.stroke();
}

function circle(context, x, y, radius, colour) {
  context.fillStyle = colour;
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fill();
}

/** Return by how much to shift what lies from `low` to `high`, so that it is in the view. */
function shifts(low, high, start, shown, size) {
  const found = [];
  const first = Math.ceil((start - 1 - high) / size);
  for (let n = first; low + n * size <= start + shown + 1; n += 1) found.push(n * size);
  return found;
}

function short(name) {
  const characters = [...name];
  return characters.length > 14 ? `${characters.slice(0, 13).join("")}…` : name;
}
