// The page of a document: a textarea that several people write in at the same time.

import { Connection } from "./connection.js";
import { Session } from "./session.js";
import { apply, compose, difference, invert, kind, length, moved, toPoints, toUnits, transform } from "./ot.js";

const SUBPROTOCOL = "editor.v1";
const MAX_DOCUMENT = 20_000; // code points
const PAUSE = 1_000; // milliseconds after which typing begins another step of undo
const COLOURS = 8; // in style.css

const $ = (id) => document.getElementById(id);
const author = new URLSearchParams(location.search).get("author");
const room = location.pathname.split("/").pop();
const field = $("text");
const undone = { undo: [], redo: [] }; // inverse operations, the next to apply at the end
const waiting = []; // what arrived while an input method composes a character
let composing = false;
let members = [];
const colours = new Map(); // the number of each member's colour
let typedAt = -Infinity; // when the user last typed
let sentCaret = ""; // the caret that the others know

const session = new Session({
  send: (request) => connection.send(request),
  onRemote: showRemote,
  onReplaced: showReplaced,
  onCarets: drawCarets,
});

const connection = new Connection({
  url: address,
  protocol: SUBPROTOCOL,
  storage: null, // The session sends what has no ack again. A reload begins anew.
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

/** Return the URL of the document's WebSocket, with the revision that the page has. */
function address() {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const since = session.revision === null ? "" : `&revision=${session.revision}`;
  return `${scheme}//${location.host}/documents/${room}?author=${encodeURIComponent(author)}${since}`;
}

// What the server sends

/** Handle what the server sent, but not while an input method composes: that would end it. */
function receive(said) {
  if (composing) return waiting.push(said);
  session.receive(said);
  if (said.type === "welcome" || said.type === "presence") {
    const joined = showMembers(said.members);
    if (joined.length || said.type === "welcome") sentCaret = ""; // They don't have it.
  }
  if (said.type === "welcome") field.disabled = false;
  showSaved();
  tellCaret();
}

/** Apply another user's operation to the textarea. */
function showRemote(operation) {
  // TODO(page): Set `field.value` to `session.text`, and keep the caret, selection and scroll position.
  // END(page)
  // If it left nothing of the user's last step, typing must not continue the step before.
  if (!transformed(undone.undo.slice(-1), operation).length) typedAt = -Infinity;
  undone.undo = transformed(undone.undo, operation);
  undone.redo = transformed(undone.redo, operation);
  drawCarets();
}

/** Return inverse operations as they are after another user's operation. */
function transformed(inverses, operation) {
  const result = [];
  // TODO(page-transform): Transform each of `inverses`, the last one first, and `operation` with it. Leave out those that change nothing.
  // END(page-transform)
  return result;
}

/** Return whether an operation changes anything: one that only retains doesn't. */
function changes(operation) {
  return operation.some((part) => kind(part) !== "retain");
}

/** Show the server's text instead of ours, and offer what was lost for copying. */
function showReplaced(lost) {
  field.value = session.text;
  undone.undo = [];
  undone.redo = [];
  if (lost.length) {
    $("lost").hidden = false;
    $("lost").open = true;
    $("lost-text").textContent = lost.join("\n");
    announce("Text of yours could not be saved. It is shown below the document.");
  }
  drawCarets();
}

// What the user does

/** Find out what the user has done to the textarea, and tell the session. */
function edited() {
  if (field.value === session.text) return;
  const value = field.value.toWellFormed();
  const caret = toPoints(value, field.selectionEnd);
  const operation = difference(session.text, value, caret);
  if (length(value) > MAX_DOCUMENT) {
    field.value = session.text;
    return announce(`A document has at most ${MAX_DOCUMENT} characters.`);
  }
  remember(operation);
  session.edit(operation);
  showSaved();
  drawCarets();
}

/** Remember how to undo what the user does. Typing without a pause is one step. */
function remember(operation) {
  const inverse = invert(operation, session.text);
  const now = performance.now();
  const goesOn = now - typedAt < PAUSE && undone.undo.length > 0;
  const step = goesOn ? compose(inverse, undone.undo.pop()) : inverse;
  if (changes(step)) undone.undo.push(step); // A letter that is deleted at once leaves nothing.
  undone.redo = [];
  typedAt = changes(step) ? now : -Infinity;
}

/** Undo the user's last edit, or redo it: `from` and `to` are "undo" and "redo". */
function revert(from, to) {
  if (composing || !undone[from].length) return;
  // TODO(page-undo): Take the last of `undone[from]`, push its inverse on `undone[to]`, and edit.
  // END(page-undo)
  const before = field.value;
  field.value = session.text;
  const change = difference(before, session.text);
  const end = change.findLastIndex((part) => kind(part) !== "retain");
  const behind = change.slice(end + 1).reduce((sum, part) => sum + part, 0);
  const caret = toUnits(session.text, length(session.text) - behind);
  field.setSelectionRange(caret, caret);
  typedAt = -Infinity;
  showSaved();
  drawCarets();
  tellCaret();
}

/** Tell the others where the caret is, once the server has all edits. */
function tellCaret() {
  if (composing || !session.open || session.inFlight || session.buffer) return;
  const start = toPoints(field.value, field.selectionStart);
  const end = toPoints(field.value, field.selectionEnd);
  const caret = `${start} ${end}`;
  if (caret === sentCaret) return;
  sentCaret = caret;
  session.sendCaret(start, end);
}

field.addEventListener("input", () => {
  if (!composing) edited();
});
field.addEventListener("compositionstart", () => {
  composing = true;
});
field.addEventListener("compositionend", () => {
  composing = false;
  edited();
  for (const said of waiting.splice(0)) receive(said);
});
field.addEventListener("beforeinput", (event) => {
  if (event.inputType === "historyUndo" || event.inputType === "historyRedo") event.preventDefault();
  if (event.inputType === "historyUndo") revert("undo", "redo");
  if (event.inputType === "historyRedo") revert("redo", "undo");
});
field.addEventListener("keydown", (event) => {
  if (!(event.ctrlKey || event.metaKey) || event.altKey) return;
  const key = event.key.toLowerCase();
  if (key !== "z" && key !== "y") return;
  event.preventDefault();
  if (key === "y" || event.shiftKey) revert("redo", "undo");
  else revert("undo", "redo");
});
field.addEventListener("scroll", drawCarets);
document.addEventListener("selectionchange", tellCaret);
field.addEventListener("selectionchange", tellCaret);
new ResizeObserver(drawCarets).observe(field);
$("tools").addEventListener("mousedown", (event) => event.preventDefault()); // The focus stays in the text.
$("undo").addEventListener("click", () => revert("undo", "redo"));
$("redo").addEventListener("click", () => revert("redo", "undo"));
$("again").addEventListener("click", () => connection.open());

// What the page shows

function showState({ state, words }) {
  if (state !== "open") session.disconnected();
  $("state").dataset.state = state;
  $("state").textContent = words;
  if (state !== "stopped" && $("again") === document.activeElement) field.focus();
  $("again").hidden = state !== "stopped";
  showSaved();
}

/** Show whether the server has all edits. It isn't announced: it changes at each keystroke. */
function showSaved() {
  // A button that became `disabled` would lose the focus, perhaps by another user's edit.
  for (const which of ["undo", "redo"]) $(which).ariaDisabled = String(!undone[which].length);
  const saved = !session.inFlight && !session.buffer;
  $("saved").textContent = saved ? `Revision ${session.revision ?? "…"}, saved` : "Saving …";
}

/** Show who is in the room, and announce who has joined or left. Returns who has joined. */
function showMembers(names) {
  const others = (list) => list.filter((name) => name !== author);
  const joined = others(names).filter((name) => !members.includes(name));
  const left = others(members).filter((name) => !names.includes(name));
  const before = members.length ? "joined" : "already here"; // The first list says who was here before us.
  const parts = [joined.length && `${joined.join(", ")}: ${before}.`, left.length && `${left.join(", ")}: left.`];
  if (joined.length || left.length) announce(parts.filter(Boolean).join(" "));
  members = names;
  chooseColours();
  const rows = names.map((name) => {
    const row = document.createElement("li");
    row.dataset.colour = colours.get(name);
    row.textContent = name === author ? `${name} (you)` : name;
    return row;
  });
  $("members").replaceChildren(...rows);
  drawCarets();
  return joined;
}

/** Choose the members' colours: the same in every page, and all different if there are enough. */
function chooseColours() {
  colours.clear();
  for (const name of members) {
    const taken = new Set(colours.values());
    let colour = 0;
    for (const character of name) colour = (colour * 31 + character.codePointAt(0)) % 65_521;
    colour %= COLOURS;
    while (taken.has(colour) && taken.size < COLOURS) colour = (colour + 1) % COLOURS;
    colours.set(name, colour);
  }
}

/** Draw the other users' carets and selections over the textarea. */
function drawCarets() {
  const text = session.text;
  $("mirror").textContent = `${text}\u200b`;
  const node = $("mirror").firstChild;
  const base = $("mirror").getBoundingClientRect();
  const [selections, marks] = [[], []];
  for (const { author: name, start, end } of session.carets.values()) {
    const [from, to] = [toUnits(text, start), toUnits(text, end)];
    const range = document.createRange();
    range.setStart(node, from);
    range.setEnd(node, to);
    if (from < to) selections.push(...linesOf(range).map((rect) => mark("selection", name, rect, base)));
    const next = text.codePointAt(to) > 0xffff ? 2 : 1;
    range.setStart(node, to);
    range.setEnd(node, Math.min(to + next, node.length));
    const rects = range.getClientRects();
    const rect = rects[rects.length > 1 && text[to] !== "\n" ? rects.length - 1 : 0];
    if (!rect) continue;
    const caret = mark("caret", name, rect, base);
    const flag = document.createElement("span");
    flag.textContent = name;
    caret.append(flag);
    marks.push(caret);
  }
  $("selections").replaceChildren(...selections);
  $("carets").replaceChildren(...marks);
  for (const caret of marks) caret.classList.toggle("left", caret.offsetLeft + caret.firstChild.offsetWidth > base.width);
}

/** Return one rectangle for each line of a range. A space at the end of a line has its own. */
function linesOf(range) {
  const lines = [];
  for (const { left, top, width, height } of range.getClientRects()) {
    const last = lines.at(-1);
    if (last?.top === top) last.width = left + width - last.left;
    else lines.push({ left, top, width, height });
  }
  return lines;
}

/** Return an element that covers a rectangle, or stands at its start, for a caret. */
function mark(what, name, rect, base) {
  const element = document.createElement("div");
  element.className = what;
  element.dataset.colour = colours.get(name);
  element.style.left = `${rect.left - base.left}px`;
  element.style.top = `${rect.top - base.top - field.scrollTop}px`;
  element.style.height = `${rect.height}px`;
  if (what === "selection") element.style.width = `${Math.max(rect.width, 4)}px`;
  return element;
}

/** Have a screen reader announce a sentence. */
function announce(sentence) {
  const line = document.createElement("p");
  line.textContent = sentence;
  $("news").replaceChildren(line);
}

// A page that was hidden or offline may not have detected that its connection was lost.
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

document.title = `${room} · the editor`;
$("title").textContent = room;
connection.open();
