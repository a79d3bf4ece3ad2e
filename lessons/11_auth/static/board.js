// The page of a room: it shows what the connection receives, and posts what its user writes.

import { Connection } from "./connection.js";

const SUBPROTOCOL = "board.v1";
const LOGIN_ENDED = 4401; // a close code of the board's own
const PAGE = 50; // messages in one page of history
const NEWEST = Number.MAX_SAFE_INTEGER; // an id above all others

const $ = (id) => document.getElementById(id);
const author = document.body.dataset.user; // The server knows who has logged in.
const room = location.pathname.split("/").pop();
const drafts = new Map(); // the rows of the posts in the outbox, by id
let paging = { before: NEWEST }; // the page of messages that was requested, or null
let missed = 0; // messages by other users that arrived before the welcome

// The connection

const connection = new Connection({
  url: address,
  protocol: SUBPROTOCOL,
  user: author,
  storage: storage(),
  key: `outbox of ${author} in ${room}`,
  WebSocket,
  setTimeout: setTimeout.bind(window),
  clearTimeout: clearTimeout.bind(window),
  now: Date.now, // This clock continues while a laptop sleeps. `performance.now()` may stop.
  random: Math.random,
  onState: showState,
  onMessage: receive,
  onOutbox: showOutbox,
  access,
});

/** Return the URL of the room's WebSocket. `after` is the id to resume after, or null. */
function address(after) {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  return `${scheme}//${location.host}/board/${room}${after === null ? "" : `?after=${after}`}`;
}

/** Ask the server how it would respond to a handshake. Returns the status, and when to retry. */
async function access() {
  // TODO(reason-access): Fetch `/rooms/ROOM/access`. Return `status`, and `retryAfter` as a number of seconds.
  // END(reason-access)
}

/** Return the storage of this tab, which survives a reload, or null if the browser blocks it. */
function storage() {
  try {
    return sessionStorage;
  } catch {
    return null;
  }
}

// What the server sends

/** Pass what the server sent to the function for its type. */
function receive(said) {
  const handlers = { welcome, presence, message: showPushed, messages: showPage, ack, error };
  handlers[said.type]?.(said);
}

function welcome({ last_id, members }) {
  showMembers(members);
  if (Number($("messages").lastElementChild?.dataset.id) > last_id) {
    $("messages").replaceChildren(); // The server's database was restored. Start over.
    paging = { before: NEWEST };
  }
  // The first page, or one that the last connection lost. What is above its `last_id` is pushed.
  if (paging) requestOlder(Math.min(paging.before, last_id + 1));
  if (missed) announce(`${missed} messages arrived while the page was disconnected.`);
  missed = 0;
}

function presence({ members }) {
  showMembers(members);
}

function showPushed({ message }) {
  const atEnd = isAtEnd();
  show(message);
  if (atEnd) goToEnd();
  if (message.author === author) return;
  if (connection.state === "open") announce(`${message.author}: ${message.text}`);
  else missed += 1; // It is announced with the others, in one sentence.
}

/** Show a page of history: the newest messages, older ones, or those that the page missed. */
function showPage({ id, messages }) {
  const atEnd = isAtEnd();
  const first = $("messages").firstElementChild;
  const before = first?.offsetTop;
  messages.forEach(show);
  if (first) $("reader").scrollTop += first.offsetTop - before;
  if (id === paging?.id) {
    offerOlder(messages.length === PAGE);
    paging = null;
  }
  if (atEnd) goToEnd();
}

function ack({ message }) {
  const atEnd = isAtEnd();
  show(message).classList.add("delivered");
  if (atEnd) goToEnd();
}

function error({ id }) {
  if (id === paging?.id) paging = null;
}

/** Request the page of messages below an id. If it's lost, the next `welcome` requests it again. */
function requestOlder(before) {
  paging = { before, id: connection.ask("older", { before, limit: PAGE }) };
}

// What the page shows

/** Show the connection's state in words. If it won't retry by itself, offer to connect again. */
function showState({ state, words, code }) {
  if (state !== "open") showMembers([]);
  $("state").dataset.state = state;
  $("state").textContent = words;
  const ended = state === "stopped" && code === LOGIN_ENDED;
  hide($("login"), !ended, $("text"));
  hide($("again"), state !== "stopped" || ended, $("text"));
}

/** Show a message in its place, unless it's there already. Returns its row. */
function show({ id, author, text, sent_at }) {
  let earlier = $("messages").lastElementChild; // From the end, where most messages belong.
  while (Number(earlier?.dataset.id) > id) earlier = earlier.previousElementSibling;
  if (earlier?.dataset.id === String(id)) return earlier;
  const row = copyOf("message");
  row.dataset.id = id;
  row.querySelector(".author").textContent = author;
  row.querySelector(".text").textContent = text;
  row.querySelector("time").textContent = new Date(sent_at).toLocaleTimeString();
  row.querySelector("time").dateTime = sent_at;
  if (earlier) earlier.after(row);
  else $("messages").prepend(row);
  return row;
}

/** Show who is in the room. */
function showMembers(names) {
  const rows = names.map((name) => {
    const row = document.createElement("li");
    row.textContent = name;
    return row;
  });
  $("members").replaceChildren(...rows);
}

/** Have a screen reader announce a sentence. */
function announce(sentence) {
  const line = document.createElement("p");
  line.textContent = sentence;
  $("news").replaceChildren(line);
}

/** Show the posts in the outbox: those that have no reply yet, and those that failed. */
function showOutbox(posts) {
  for (const { id, text, failed } of posts) {
    if (!drafts.has(id)) drafts.set(id, draft(id, text));
    if (failed) fail(drafts.get(id), `Not sent: ${failed}`);
  }
  const ids = new Set(posts.map((post) => post.id));
  for (const [id, row] of drafts) {
    if (ids.has(id)) continue;
    row.remove();
    drafts.delete(id);
  }
}

/** Show a post that has no reply yet. Returns its row. */
function draft(id, text) {
  const row = copyOf("draft");
  row.querySelector(".text").textContent = text;
  row.querySelector(".fate").textContent = "Not delivered yet …";
  row.querySelector(".edit").addEventListener("click", () => {
    const field = $("text");
    field.value = field.value ? `${text} ${field.value}` : text; // Keep what is being written.
    connection.discard(id);
    field.focus();
  });
  $("drafts").append(row);
  goToEnd();
  return row;
}

/** Mark a draft's row as failed, say why, and offer to edit its text. */
function fail(row, sentence) {
  if (row.classList.contains("failed")) return; // A screen reader has announced it.
  row.classList.add("failed");
  row.querySelector(".fate").textContent = sentence;
  row.querySelector(".edit").hidden = false;
}

/** Offer older messages, or don't. The hidden button keeps its space. */
function offerOlder(offered) {
  if (offered) $("older").classList.add("offered");
  hide($("older"), !offered, $("reader"));
}

/** Hide or show a button. If it had the focus when hidden, `next` gets the focus. */
function hide(button, hidden, next) {
  if (hidden && button === document.activeElement) next.focus();
  button.hidden = hidden;
}

/** Return a copy of the element in a template. */
function copyOf(template) {
  return $(template).content.firstElementChild.cloneNode(true);
}

/** Return whether the reader is scrolled to its end. */
function isAtEnd() {
  const { scrollHeight, scrollTop, clientHeight } = $("reader");
  return scrollHeight - scrollTop - clientHeight < 5;
}

function goToEnd() {
  $("reader").scrollTop = $("reader").scrollHeight;
}

// What the user does

$("say").addEventListener("submit", (event) => {
  event.preventDefault(); // Stay on this page.
  const text = $("text").value;
  if (!text.trim()) return;
  connection.post(text);
  $("text").value = "";
});

$("older").addEventListener("click", () => {
  if (paging) return; // Two quick presses request one page.
  requestOlder(Number($("messages").firstElementChild.dataset.id));
});

$("again").addEventListener("click", () => connection.open());

$("login").href = `/login?next=/rooms/${room}`;
$("logout").addEventListener("click", () => {
  const words = "The logout has failed, so that you are still logged in.";
  logOut().catch(() => showState({ state: "stopped", words }));
});

/** End the login, and remove all of its data from this tab. */
async function logOut() {
  // TODO(reason-logout): Close the connection, and post to `/logout`. Unless that failed, empty the outbox and `storage()`, and go to `/login`.
  // END(reason-logout)
}

// A page that was hidden or offline may not have detected that its connection was lost.
addEventListener("online", () => connection.wake());
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible") connection.wake();
});

addEventListener("pagehide", (event) => {
  if (event.persisted) connection.close(); // Leave the room while the page is in the cache.
});
addEventListener("pageshow", (event) => {
  if (event.persisted) connection.open();
});

document.title = `${room} · the board`;
connection.open();
