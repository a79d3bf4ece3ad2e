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

/** Return the URL of the room's WebSocket. */
function address() {
  // --8<-- [start:connect-address] Return `ws:` or `wss:`, the page's own host, and `/board/ROOM?author=NAME`.
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const room = location.pathname.split("/").pop();
  return `${scheme}//${location.host}/board/${room}?author=${encodeURIComponent(author)}`;
  // --8<-- [end:connect-address]
}

/** Open a WebSocket, and listen to it. */
function connect() {
  failDrafts(); // A reply arrives on the connection of its request, or not at all.
  showState("connecting", "Connecting …");
  // --8<-- [start:connect] Set `socket` to a new WebSocket to `address()` that offers `SUBPROTOCOL`.
  socket = new WebSocket(address(), SUBPROTOCOL);
  // --8<-- [end:connect]
  const mine = socket;
  // --8<-- [start:states] Call `opened()` when `mine` opens, and `closed(event)` when it closes, if it is still `socket`.
  mine.addEventListener("open", opened);
  mine.addEventListener("close", (event) => {
    if (mine === socket) closed(event); // An old WebSocket may close after the new one has opened.
  });
  // --8<-- [end:states]
  // --8<-- [start:receive] Pass the object in each `message` of `mine` to `receive()`.
  mine.addEventListener("message", (event) => receive(JSON.parse(event.data)));
  // --8<-- [end:receive]
}

/** Show that the WebSocket is open. */
function opened() {
  showState("open", "Connected.");
}

/** Show that the WebSocket has closed. */
function closed({ code, reason }) {
  showMembers([]);
  failDrafts();
  // --8<-- [start:states-closed] Show the state `closed` with the meaning of `code`, the `reason` if there is one, and `code`.
  const words = [WORDS[code] ?? "The connection was closed.", reason, `(${code})`];
  showState("closed", words.filter(Boolean).join(" "));
  // --8<-- [end:states-closed]
}

/** Send a request if the WebSocket is open. Returns the request's id, or null if nothing was sent. */
function ask(type, fields) {
  const id = crypto.getRandomValues(new Uint32Array(3)).join("-");
  // --8<-- [start:states-ask] Return `null` unless `socket` is open. Otherwise send `type`, `id` and `fields` as JSON.
  if (socket?.readyState !== WebSocket.OPEN) return null;
  socket.send(JSON.stringify({ type, id, ...fields }));
  // --8<-- [end:states-ask]
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
  // --8<-- [start:history] Call `show()` for each of `messages`, without moving the row that the user is reading.
  const first = $("messages").firstElementChild;
  const before = first?.offsetTop;
  messages.forEach(show);
  if (first) $("reader").scrollTop += first.offsetTop - before;
  // --8<-- [end:history]
  showOlder(messages);
  if (atEnd) goToEnd();
}

function ack({ id, message }) {
  const atEnd = isAtEnd();
  // --8<-- [start:send-ack] Remove the draft of request `id`. Show `message`, and give its row the class `delivered`.
  drafts.get(id)?.remove();
  drafts.delete(id);
  show(message).classList.add("delivered");
  // --8<-- [end:send-ack]
  if (atEnd) goToEnd();
}

function error({ id, detail }) {
  paging = false; // The error may be about a page of history.
  // --8<-- [start:send-error] If request `id` has a draft, show `detail` in it with `fail()`, and delete it from `drafts`.
  const row = drafts.get(id);
  drafts.delete(id);
  if (row) fail(row, `Not sent: ${detail}`);
  // --8<-- [end:send-error]
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
  // --8<-- [start:render] Return the row with this id. If there is none, insert one, in the order of the ids.
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
  // --8<-- [end:render]
}

/** Show who is in the room. */
function showMembers(names) {
  // --8<-- [start:presence] Replace the children of `#members` with one `li` for each of `names`.
  const rows = names.map((name) => {
    const row = document.createElement("li");
    row.textContent = name;
    return row;
  });
  $("members").replaceChildren(...rows);
  // --8<-- [end:presence]
}

/** Have a screen reader announce another user's message. */
function announce({ author, text }) {
  // --8<-- [start:reach] Replace the children of `#news` with a new `p` that contains `author` and `text`.
  const line = document.createElement("p");
  line.textContent = `${author}: ${text}`;
  $("news").replaceChildren(line);
  // --8<-- [end:reach]
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
  // A page that doesn't start with the first row follows a reconnect. It isn't the oldest page.
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
  // --8<-- [start:send-blank] Return if `text` is empty or blank.
  if (!text.trim()) return;
  // --8<-- [end:send-blank]
  const id = ask("post", { text });
  // --8<-- [start:send] If `id` isn't null, store `draft(text)` in `drafts` by `id`, and empty `#text`.
  if (id === null) return;
  drafts.set(id, draft(text));
  $("text").value = "";
  // --8<-- [end:send]
});

$("older").addEventListener("click", () => {
  if (paging) return; // Two quick presses request one page.
  paging = true;
  // --8<-- [start:history-older] Send an `older` request for `PAGE` messages `before` the first row's id.
  const first = $("messages").firstElementChild;
  ask("older", { before: Number(first.dataset.id), limit: PAGE });
  // --8<-- [end:history-older]
});

$("again").addEventListener("click", connect);

// --8<-- [start:leave] If the event is `persisted`, close `socket` on `pagehide`, and call `connect()` on `pageshow`.
addEventListener("pagehide", (event) => {
  if (event.persisted) socket.close(1000); // Leave the room while the page is in the cache.
});
addEventListener("pageshow", (event) => {
  if (event.persisted) connect();
});
// --8<-- [end:leave]

document.title = `${location.pathname.split("/").pop()} · the board`;
connect();
