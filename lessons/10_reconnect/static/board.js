// The page of a room: it shows what arrives over the WebSocket, and sends what its user writes.

const SUBPROTOCOL = "board.v1";
const PAGE = 50; // messages in one page of history

// Close codes in words (RFC 6455, section 7.4.1; codes from 4000 on are the board's own).
const WORDS = {
  1000: "The connection has ended.",
  1001: "The server is going away.",
  1006: "The connection was lost, or couldn't be opened.",
  1009: "A message was too large.",
  1011: "The server failed.",
  4406: "The server doesn't speak this page's protocol.",
};

const $ = (id) => document.getElementById(id);
const author = new URLSearchParams(location.search).get("author");
const drafts = new Map(); // rows of posts that have no reply yet, by the id of the request
let socket = null; // the WebSocket that the page uses now
let paging = false; // whether a page of history has been requested and hasn't arrived

// The connection

/** Return the address of the room's WebSocket. */
function address() {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const room = location.pathname.split("/").pop();
  return `${scheme}//${location.host}/board/${room}?author=${encodeURIComponent(author)}`;
}

/** Open a WebSocket, and listen to it. */
function connect() {
  failDrafts(); // A reply to a request arrives on its own connection or never.
  showState("connecting", "Connecting …");
  socket = new WebSocket(address(), SUBPROTOCOL);
  const mine = socket;
  mine.addEventListener("open", opened);
  mine.addEventListener("close", (event) => {
    if (mine === socket) closed(event); // An old WebSocket may close after the new one has opened.
  });
  mine.addEventListener("message", (event) => receive(JSON.parse(event.data)));
}

/** Show that the WebSocket is open. */
function opened() {
  showState("open", "Connected.");
}

/** Show that the WebSocket has closed. */
function closed({ code, reason }) {
  showMembers([]);
  failDrafts();
  const words = [WORDS[code] ?? "The connection was closed.", reason, `(${code})`];
  showState("closed", words.filter(Boolean).join(" "));
}

/** Send a request if the WebSocket is open. Returns the request's id, or null if nothing was sent. */
function ask(type, fields) {
  const id = crypto.getRandomValues(new Uint32Array(3)).join("-");
  if (socket?.readyState !== WebSocket.OPEN) return null;
  socket.send(JSON.stringify({ type, id, ...fields }));
  return id;
}

// What the server sends

const HANDLERS = { welcome, presence, message: showPushed, messages: showPage, ack, error };

/** Pass what the server sent to the function for its type. */
function receive(said) {
  HANDLERS[said.type]?.(said);
}

function welcome({ last_id, members }) {
  showMembers(members);
  paging = true;
  ask("older", { before: last_id + 1, limit: PAGE });
}

function presence({ members }) {
  showMembers(members);
}

function showPushed({ message }) {
  const atEnd = isAtEnd();
  show(message);
  if (atEnd) goToEnd();
  if (message.author !== author) announce(message);
}

/** Show a page of history: the newest messages after `welcome`, or older ones on request. */
function showPage({ messages }) {
  paging = false;
  const atEnd = isAtEnd();
  const first = $("messages").firstElementChild;
  const before = first?.offsetTop;
  messages.forEach(show);
  if (first) $("reader").scrollTop += first.offsetTop - before;
  showOlder(messages);
  if (atEnd) goToEnd();
}

function ack({ id, message }) {
  const atEnd = isAtEnd();
  drafts.get(id)?.remove();
  drafts.delete(id);
  show(message).classList.add("delivered");
  if (atEnd) goToEnd();
}

function error({ id, detail }) {
  paging = false; // The error may be about a page of history.
  const row = drafts.get(id);
  drafts.delete(id);
  if (row) fail(row, `Not sent: ${detail}`);
}

// What the page shows

/** Show the state "connecting", "open" or "closed" in words. When closed, offer to connect again. */
function showState(name, words) {
  $("state").dataset.state = name;
  $("state").textContent = words;
  hide($("again"), name !== "closed", $("text"));
}

/** Show a message in its place, unless it's there already. Returns its row. */
function show({ id, author, text, sent_at }) {
  const rows = [...$("messages").children];
  const later = rows.find((row) => Number(row.dataset.id) >= id);
  if (later?.dataset.id === String(id)) return later;
  const row = copyOf("message");
  row.dataset.id = id;
  row.querySelector(".author").textContent = author;
  row.querySelector(".text").textContent = text;
  row.querySelector("time").textContent = new Date(sent_at).toLocaleTimeString();
  row.querySelector("time").dateTime = sent_at;
  $("messages").insertBefore(row, later ?? null);
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

/** Have a screen reader announce another user's message. */
function announce({ author, text }) {
  const line = document.createElement("p");
  line.textContent = `${author}: ${text}`;
  $("news").replaceChildren(line);
}

/** Show a text that was sent and has no reply yet. Returns its row. */
function draft(text) {
  const row = copyOf("draft");
  row.querySelector(".text").textContent = text;
  row.querySelector(".fate").textContent = "Sending …";
  row.querySelector(".edit").addEventListener("click", () => {
    const field = $("text");
    field.value = field.value ? `${text} ${field.value}` : text; // Keep what is being written.
    row.remove();
    field.focus();
  });
  $("drafts").append(row);
  goToEnd();
  return row;
}

/** Mark a draft's row as failed, say why, and offer to edit its text. */
function fail(row, sentence) {
  row.classList.add("failed");
  row.querySelector(".fate").textContent = sentence;
  row.querySelector(".edit").hidden = false;
}

/** Mark all drafts as failed: their connection is closed, so no reply can arrive. */
function failDrafts() {
  for (const row of drafts.values()) fail(row, "No reply arrived. The text may have been delivered.");
  drafts.clear();
}

/** Offer older messages if the oldest page was full. The hidden button keeps its space. */
function showOlder(messages) {
  const first = $("messages").firstElementChild;
  // A page that doesn't begin with the first row arrived after a reconnect, and tells nothing new.
  if (messages.length && Number(first?.dataset.id) !== messages[0].id) return;
  if (messages.length === PAGE) $("older").classList.add("offered");
  hide($("older"), messages.length < PAGE, $("reader"));
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
  const id = ask("post", { text });
  if (id === null) return;
  drafts.set(id, draft(text));
  $("text").value = "";
});

$("older").addEventListener("click", () => {
  if (paging) return; // Two quick presses request one page.
  paging = true;
  const first = $("messages").firstElementChild;
  ask("older", { before: Number(first.dataset.id), limit: PAGE });
});

$("again").addEventListener("click", connect);

addEventListener("pagehide", (event) => {
  if (event.persisted) socket.close(1000); // A page in the cache isn't in the room.
});
addEventListener("pageshow", (event) => {
  if (event.persisted) connect();
});

document.title = `${location.pathname.split("/").pop()} · the board`;
connect();
