// The page of a room: what comes by the WebSocket is shown, and what is written goes out by it.

const SUBPROTOCOL = "board.v1";
const PAGE = 50; // messages that are asked for at a time

// What a close code says to people (RFC 6455, section 7.4.1; from 4000 on they are the board's own).
const WORDS = {
  1000: "The conversation has ended.",
  1001: "The server is going away.",
  1006: "The connection was lost, or never came about.",
  1009: "A message was too large.",
  1011: "The server failed.",
  4406: "The server does not speak the protocol of this page.",
};

const $ = (id) => document.getElementById(id);
const author = new URLSearchParams(location.search).get("author");
const drafts = new Map(); // the rows of posts that have no reply yet, by the id of the request
let socket = null; // the WebSocket that the page uses now

// The connection

/** Return the address of the room's WebSocket. */
function address() {
  // --8<-- [start:connect-address] Return it: `ws:` or `wss:`, the page's own host, `/board/ROOM?author=NAME`.
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const room = location.pathname.split("/").pop();
  return `${scheme}//${location.host}/board/${room}?author=${encodeURIComponent(author)}`;
  // --8<-- [end:connect-address]
}

/** Open a WebSocket, and listen to it. */
function connect() {
  failDrafts(); // What was asked on an earlier connection is not answered on this one.
  showState("connecting", "Connecting …");
  // --8<-- [start:connect] Set `socket` to a new WebSocket to `address()`, which asks for `SUBPROTOCOL`.
  socket = new WebSocket(address(), SUBPROTOCOL);
  // --8<-- [end:connect]
  const mine = socket;
  // --8<-- [start:states] Listen to `mine`: `open` is for `opened()`. Its `close` is for `closed()`, while it is the page's `socket`.
  mine.addEventListener("open", opened);
  // The end of an earlier WebSocket may be told when there is a new one.
  mine.addEventListener("close", (event) => mine === socket && closed(event));
  // --8<-- [end:states]
  // --8<-- [start:receive] Listen to `mine`: give the object in each `message` to `receive()`.
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
  // --8<-- [start:states-closed] Show the state `closed`: what `code` means, the `reason` if there is one, and `code`.
  const words = [WORDS[code] ?? "The connection was closed.", reason, `(${code})`];
  showState("closed", words.filter(Boolean).join(" "));
  // --8<-- [end:states-closed]
}

/** Send a request, if the WebSocket is open. Returns the request's id, or null if it is not sent. */
function ask(type, fields) {
  const id = crypto.getRandomValues(new Uint32Array(3)).join("-");
  // --8<-- [start:states-ask] Return `null` unless `socket` is open. Else send `type`, `id` and `fields` as JSON.
  if (socket?.readyState !== WebSocket.OPEN) return null;
  socket.send(JSON.stringify({ type, id, ...fields }));
  // --8<-- [end:states-ask]
  return id;
}

// What the server says

const HANDLERS = { welcome, presence, message, messages, ack, error };

/** Hand on what the server says to the function of its type. */
function receive(said) {
  HANDLERS[said.type]?.(said);
}

function welcome({ last_id, members }) {
  showMembers(members);
  ask("history", { before: last_id + 1, limit: PAGE });
}

function presence({ members }) {
  showMembers(members);
}

function message({ message }) {
  const atEnd = isAtEnd();
  show(message);
  if (atEnd) goToEnd();
  if (message.author !== author) announce(message);
}

/** A page of messages, older than those that are shown, or the first that there are. */
function messages({ messages }) {
  const atEnd = isAtEnd();
  // --8<-- [start:history] Show each of `messages`. What the reader sees stays where it is.
  const first = $("messages").firstElementChild;
  const before = first?.offsetTop;
  messages.forEach(show);
  if (first) $("reader").scrollTop += first.offsetTop - before;
  // --8<-- [end:history]
  showOlder(messages.length === PAGE);
  if (atEnd) goToEnd();
}

function ack({ id, message }) {
  const atEnd = isAtEnd();
  // --8<-- [start:send-ack] Remove the draft of the request `id`. Show `message`, and give its row the class `delivered`.
  drafts.get(id)?.remove();
  drafts.delete(id);
  show(message).classList.add("delivered");
  // --8<-- [end:send-ack]
  if (atEnd) goToEnd();
}

function error({ id, detail }) {
  // --8<-- [start:send-error] Let the draft of the request `id` say what `detail` says, by `fail()`.
  const row = drafts.get(id);
  drafts.delete(id);
  if (row) fail(row, `Not sent: ${detail}`);
  // --8<-- [end:send-error]
}

// What the page shows

/** Show "connecting", "open" or "closed", in words for people, and what one can do about it. */
function showState(name, words) {
  $("state").dataset.state = name;
  $("state").textContent = words;
  hide($("again"), name !== "closed", $("text"));
}

/** Show a message in its place, unless it is there already. Returns its row. */
function show({ id, author, text, sent_at }) {
  // --8<-- [start:render] Return the row with this id, or put a new one in its place, by id.
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

/** Show who is here. */
function showMembers(names) {
  // --8<-- [start:presence] Let `#members` have one `li` for each of `names`, and no other.
  const rows = names.map((name) => {
    const row = document.createElement("li");
    row.textContent = name;
    return row;
  });
  $("members").replaceChildren(...rows);
  // --8<-- [end:presence]
}

/** Let a screen reader say what somebody else has written. */
function announce({ author, text }) {
  // --8<-- [start:reach] Put a `p` with `author` and `text` into `#news`, in the place of what is there.
  const line = document.createElement("p");
  line.textContent = `${author}: ${text}`;
  $("news").replaceChildren(line);
  // --8<-- [end:reach]
}

/** Show what was sent and has no reply yet. Returns its row. */
function draft(text) {
  const row = copyOf("draft");
  row.querySelector(".text").textContent = text;
  row.querySelector(".fate").textContent = "Sending …";
  row.querySelector(".edit").addEventListener("click", () => {
    const field = $("text");
    field.value = field.value ? `${text} ${field.value}` : text; // What is being written stays.
    row.remove();
    field.focus();
  });
  $("drafts").append(row);
  goToEnd();
  return row;
}

/** Show in a draft's row that it did not get through. One can take its text up again. */
function fail(row, sentence) {
  row.classList.add("failed");
  row.querySelector(".fate").textContent = sentence;
  row.querySelector(".edit").hidden = false;
}

/** Let all drafts fail: what has no reply by now gets none. */
function failDrafts() {
  for (const row of drafts.values()) fail(row, "No reply came. It may have arrived all the same.");
  drafts.clear();
}

/** Offer older messages, or do not. The room of the button stays when it goes, so that nothing moves. */
function showOlder(there) {
  if (there) $("older").classList.add("offered");
  hide($("older"), !there, $("reader"));
}

/** Hide a button, or show it. Where it has the focus, that goes to the element `next`. */
function hide(button, hidden, next) {
  if (hidden && button === document.activeElement) next.focus();
  button.hidden = hidden;
}

/** Return a new element as the template has it. */
function copyOf(template) {
  return $(template).content.firstElementChild.cloneNode(true);
}

const isAtEnd = (reader = $("reader")) => reader.scrollHeight - reader.scrollTop - reader.clientHeight < 5;
const goToEnd = (reader = $("reader")) => (reader.scrollTop = reader.scrollHeight);

// What the person does

$("say").addEventListener("submit", (event) => {
  event.preventDefault(); // The page stays.
  const text = $("text").value;
  // --8<-- [start:send-blank] Return where `text` is empty, or has nothing but blanks.
  if (!text.trim()) return;
  // --8<-- [end:send-blank]
  const id = ask("post", { text });
  // --8<-- [start:send] If there is an `id`, it was sent: keep its `draft(text)` in `drafts`, and empty the field.
  if (id === null) return;
  drafts.set(id, draft(text));
  $("text").value = "";
  // --8<-- [end:send]
});

$("older").addEventListener("click", () => {
  // --8<-- [start:history-older] Ask for the `history` of `PAGE` messages `before` the first one that is shown.
  const first = $("messages").firstElementChild;
  ask("history", { before: Number(first.dataset.id), limit: PAGE });
  // --8<-- [end:history-older]
});

$("again").addEventListener("click", connect);

// --8<-- [start:leave] The browser may keep a page that one leaves (`persisted`): on `pagehide` close, on `pageshow` connect.
addEventListener("pagehide", (event) => {
  if (event.persisted) socket.close(1000); // Who is kept is not here.
});
addEventListener("pageshow", (event) => {
  if (event.persisted) connect();
});
// --8<-- [end:leave]

document.title = `${location.pathname.split("/").pop()} · the board`;
connect();
