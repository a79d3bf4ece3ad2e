// The page of a game: it sends the player's turns, and draws what smooth.js returns.

import { Connection } from "./connection.js";
import { Painter } from "./painter.js";
import { Smooth } from "./smooth.js";
import { difference, follows, line, opened, patched, place } from "./world.js";

const SUBPROTOCOL = "game.v1";
const LENGTH = 3; // cells of a new snake
const PING = 1_000; // milliseconds between two measurements of the round trip time
const MEASURED = 6; // round trips, of which the longest but one counts
const NOTICED = 20; // milliseconds by which it must have changed
const SWIPE = 24; // pixels that a finger moves for a turn
const LISTED = 10; // players in the list, and the own one
const STEP = 5; // points after which a screen reader announces the score
const KEYS = {
  ArrowUp: "up", ArrowRight: "right", ArrowDown: "down", ArrowLeft: "left",
  KeyW: "up", KeyD: "right", KeyS: "down", KeyA: "left",
};

const $ = (id) => document.getElementById(id);
const author = new URLSearchParams(location.search).get("author");
const room = location.pathname.split("/").pop();
const token = `token ${room} ${author}`; // the key in sessionStorage
const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
const painter = new Painter($("field"), still);

let smooth = null; // of this connection
let state = null; // the newest snapshot
let own = null; // the player's number
let players = new Map(); // by number: {name, here}
let direction = null; // that the own snake will have after the newest turn
let pings = new Map(); // when each was sent, by id
let roundTrips = [];
let told = 0; // the score that was announced

const connection = new Connection({
  url: address,
  protocol: SUBPROTOCOL,
  storage: null, // A turn isn't sent again: when the connection is back, it is too late.
  key: "",
  WebSocket,
  setTimeout: setTimeout.bind(window),
  clearTimeout: clearTimeout.bind(window),
  now: Date.now,
  random: Math.random,
  onState: showState,
  onMessage: receive,
  onOutbox: () => {},
});

/** Return the address of the room's WebSocket. A player who has a token comes back with it. */
function address() {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const known = sessionStorage.getItem(token);
  const query = new URLSearchParams({ author, ...(known && { token: known }) });
  return `${scheme}//${location.host}/games/${room}?${query}`;
}

// What the server sends

function receive(said) {
  const now = performance.now();
  if (said.type === "welcome") welcome(said);
  else if (said.type === "players") showPlayers(said.players);
  else if (said.type === "key") show(opened(said), now);
  else if (said.type === "diff" && state?.tick === said.base) show(patched(state, said), now);
  else if (said.type === "error" && said.seq !== null) smooth.refused(said.seq, now);
  else if (said.type === "pong" && pings.has(said.id)) measure(now - pings.get(said.id), now);
}

function welcome(said) {
  sessionStorage.setItem(token, said.token);
  own = said.player;
  state = null;
  direction = null;
  told = 0;
  smooth = new Smooth({ player: own, rate: said.rate, seq: said.seq, still });
  roundTrips = [];
  if (said.rejoined) announce("You are back in your snake.");
  ping();
}

/** Take a snapshot over. */
function show(next, now) {
  const before = state;
  state = next;
  smooth.snapshot(next, now);
  for (const [player, body] of Object.entries(before?.snakes ?? {})) {
    if (hasEnded(body, next.snakes[player], next.tick - before.tick)) ended(Number(player), body, now);
  }
  showScores();
  if (still) draw(now);
}

/** Return whether a snake has ended. After a long gap, a short one that goes on looks new, too. */
function hasEnded(body, after, ticks) {
  if (!after) return true;
  return ticks < after.length ? !follows(body, after, ticks) : after.length < body.length;
}

/** Show that a snake has crashed, or that its player has left. */
function ended(player, body, now) {
  painter.burst(line(body), player, player === own ? now : now + 1.5 * smooth.period);
  if (player !== own) return;
  announce(`You crashed with ${points(body.length - LENGTH)}. You go on with a new snake.`);
  direction = null;
  told = 0;
}

/** Begin to measure the round trip time. */
function ping() {
  pings = new Map([...pings].slice(-MEASURED));
  pings.set(connection.ask("ping"), performance.now());
}

/** A turn must be at the server in time, so long round trips count, but not a single one. */
function measure(roundTrip, now) {
  roundTrips = [...roundTrips, roundTrip].slice(-MEASURED);
  const [longest, next = longest] = roundTrips.toSorted((one, other) => other - one);
  if (Math.abs(next - smooth.roundTrip) > NOTICED) smooth.measured(next, now);
}

setInterval(() => {
  if (connection.state === "open") ping();
}, PING);

// What the player does

function turn(wanted) {
  if (connection.state !== "open") return;
  const sent = smooth.turn(wanted, performance.now());
  if (!sent) return;
  connection.send({ type: "turn", ...sent });
  direction = sent.direction;
  if (still) draw(performance.now());
}

addEventListener("keydown", (event) => {
  const wanted = KEYS[event.code];
  if (!wanted || event.ctrlKey || event.altKey || event.metaKey) return;
  event.preventDefault(); // The arrow keys would scroll the page.
  if (!event.repeat) turn(wanted);
});

for (const button of $("pad").children) {
  button.addEventListener("pointerdown", () => turn(button.dataset.direction));
  button.addEventListener("click", (event) => {
    if (event.detail === 0) turn(button.dataset.direction); // by a key or a screen reader
  });
}

let finger = null; // where the last turn of a swipe was

$("stage").addEventListener("pointerdown", (event) => {
  finger = [event.clientX, event.clientY];
});
$("stage").addEventListener("pointermove", (event) => {
  if (!finger) return;
  const [right, down] = [event.clientX - finger[0], event.clientY - finger[1]];
  if (Math.max(Math.abs(right), Math.abs(down)) < SWIPE) return;
  finger = [event.clientX, event.clientY];
  if (Math.abs(right) > Math.abs(down)) turn(right > 0 ? "right" : "left");
  else turn(down > 0 ? "down" : "up");
});
for (const end of ["pointerup", "pointercancel"]) addEventListener(end, () => (finger = null));

// What the page shows

let scene = { bodies: {}, food: [], names: new Map(), away: new Set(), own, direction };

function draw(now) {
  if (state) {
    const bodies = smooth.bodies(now);
    const names = new Map([...players].map(([player, { name }]) => [player, name]));
    const away = new Set([...players].filter(([, { here }]) => !here).map(([player]) => player));
    scene = { bodies, food: foodLeft(bodies[own]), names, away, own, direction };
  }
  painter.draw(scene, now);
}

/** Return the food without what the own head has reached. The server will say the same. */
function foodLeft(body) {
  const head = body?.[0];
  return state.food.filter((cell) => !head || Math.hypot(...difference(head, place(cell))) > 0.5);
}

function frame(now) {
  draw(now);
  requestAnimationFrame(frame);
}

function showState({ state: name, words }) {
  $("state").dataset.state = $("stage").dataset.state = name;
  $("state").textContent = words;
  $("again").hidden = name !== "stopped";
}

$("again").addEventListener("click", () => connection.open());

/** Note who is in the room, and announce who has joined or left. */
function showPlayers(list) {
  const before = players;
  players = new Map(list.map(([player, name, here]) => [player, { name, here }]));
  const names = (from, to) => [...from].filter(([player]) => player !== own && !to.has(player)).map(([, { name }]) => name);
  const [joined, left] = [names(players, before), names(before, players)];
  const how = before.size ? "joined" : "already here";
  const parts = [joined.length && `${joined.join(", ")}: ${how}.`, left.length && `${left.join(", ")}: left.`];
  if (joined.length || left.length) announce(parts.filter(Boolean).join(" "));
  showScores();
}

let listed = ""; // what the list of players shows

/** Show the scores, the best ones first. */
function showScores() {
  const score = (player) => Math.max(0, (state?.snakes[player]?.length ?? LENGTH) - LENGTH);
  const rows = [...players].map(([player, { name, here }]) => ({ player, name, here, points: score(player) }));
  rows.sort((one, other) => other.points - one.points || one.player - other.player);
  const place = rows.findIndex(({ player }) => player === own);
  const chosen = rows.filter(({ player }, index) => index < LISTED || player === own);
  const shown = JSON.stringify([chosen, own]);
  if (shown === listed) return;
  listed = shown;
  $("players").replaceChildren(...chosen.map(row));
  $("score").textContent = score(own);
  $("rank").textContent = place < 0 ? "" : `${ordinal(place + 1)} of ${rows.length}`;
  if (Math.floor(score(own) / STEP) > Math.floor(told / STEP)) announce(`You have ${points(score(own))}.`);
  told = Math.max(told, score(own));
}

function row({ player, name, here, points: count }) {
  const item = document.createElement("li");
  item.classList.toggle("own", player === own);
  item.classList.toggle("away", !here);
  const label = document.createElement("span");
  label.className = "name";
  label.textContent = player === own ? `${name} (you)` : here ? name : `${name} (away)`;
  const score = document.createElement("span");
  score.className = "points";
  score.textContent = count;
  item.append(painter.swatch(player, player === own), label, score);
  return item;
}

function ordinal(number) {
  const ending = { one: "st", two: "nd", few: "rd", other: "th" };
  return `${number}${ending[new Intl.PluralRules("en", { type: "ordinal" }).select(number)]}`;
}

function points(count) {
  return count === 1 ? "1 point" : `${count} points`;
}

/** Have a screen reader announce a sentence. */
function announce(sentence) {
  const text = document.createElement("p");
  text.textContent = sentence;
  $("news").replaceChildren(text);
}

painter.scheme.addEventListener("change", () => {
  listed = "";
  showScores();
  if (still) draw(performance.now());
});
addEventListener("resize", () => still && draw(performance.now()));

// A page that was hidden or offline may have missed that its connection was lost.
addEventListener("online", () => connection.wake());
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible") connection.wake();
});
addEventListener("pagehide", (event) => {
  if (event.persisted) connection.close();
});
addEventListener("pageshow", (event) => {
  if (event.persisted) connection.open();
});

document.title = `${room} · Snakes`;
$("title").textContent = room;
connection.open();
if (still) draw(0);
else requestAnimationFrame(frame);
