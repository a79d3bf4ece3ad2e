// A message board or an echo console, chosen by the routes of the lesson's app.
// It sends requests only to its own origin, the proxy, so the wire shows all of them.

const $ = (id) => document.getElementById(id);
const WAYS = { hand: "on demand", poll: "polling", wait: "long polling", events: "event stream", socket: "WebSocket" };
const WAIT = 20; // seconds, the wait that a long poll asks for

const kind = await (await fetch("kind.json")).json();

function tell(sentence, bad = false) {
  $("status").textContent = sentence;
  $("status").classList.toggle("bad", bad);
}

function line(author, small, text, mine) {
  const row = document.createElement("li");
  if (!mine) row.className = "theirs";
  const [name, when, words] = ["b", "small", "p"].map((tag) => document.createElement(tag));
  name.textContent = author;
  when.textContent = small;
  words.textContent = text;
  row.append(name, " ", when, words);
  return row;
}

function put(row, before = null) {
  const list = $("messages");
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  list.insertBefore(row, before);
  if (atEnd) list.scrollTop = list.scrollHeight;
}

// The board

const board = { shown: new Set(), after: 0, tag: "", stop: () => {}, socket: null };
const room = () => encodeURIComponent($("room").value);
const url = (query = "") => `/rooms/${room()}/messages${query}`;

function show(message) {
  if (!message || typeof message !== "object" || board.shown.has(message.id)) return;
  board.shown.add(message.id);
  const small = `#${message.id} · ${String(message.sent_at ?? "").slice(11, 19)}`;
  const row = line(String(message.author), small, String(message.text), message.author === $("author").value);
  row.dataset.id = message.id;
  const later = [...$("messages").children].find((other) => Number(other.dataset.id) > message.id);
  put(row, later ?? null);
}

async function words(answer) {
  const text = await answer.text();
  try {
    const { detail, title } = JSON.parse(text);
    return `${answer.status}: ${detail ?? title ?? text}`;
  } catch {
    return `${answer.status} ${answer.statusText}: ${text.slice(0, 200)}`;
  }
}

async function list(query, signal) {
  const headers = board.tag ? { "If-None-Match": board.tag } : {};
  const answer = await fetch(url(`?after=${board.after}${query}`), { headers, signal, cache: "no-store" });
  if (answer.status === 304 || answer.status === 204) return tell(`${answer.status}: nothing new.`);
  if (!answer.ok) throw new Error(await words(answer));
  const page = await answer.json();
  board.tag = answer.headers.get("ETag") ?? "";
  page.messages.forEach(show);
  board.after = page.next ?? board.after;
  tell(page.messages.length ? `${page.messages.length} new.` : "Nothing new.");
}

async function look() {
  try {
    await list("", undefined);
  } catch (error) {
    tell(String(error.message), true);
  }
}

function again(query, pause) {
  const leaving = new AbortController();
  const stopped = () => leaving.signal.aborted;
  const rest = (seconds) => new Promise((done) => {
    const timer = setTimeout(done, seconds * 1000);
    leaving.signal.addEventListener("abort", () => (clearTimeout(timer), done()), { once: true });
  });
  (async () => {
    while (!stopped()) {
      try {
        await list(query, leaving.signal);
        await rest(pause());
      } catch (error) {
        if (!stopped()) tell(String(error.message), true);
        await rest(2);
      }
    }
  })();
  return () => leaving.abort();
}

function stream() {
  const source = new EventSource(`/rooms/${room()}/events?after=${board.after}`);
  source.onopen = () => tell("The stream is open.");
  source.onmessage = (event) => {
    const message = JSON.parse(event.data);
    show(message);
    board.after = Math.max(board.after, message.id ?? 0);
  };
  source.onerror = () => tell("The stream was lost. The browser reconnects.", true);
  return () => source.close();
}

function talk() {
  const address = `ws://${location.host}/board/${room()}?author=${encodeURIComponent($("author").value)}`;
  const socket = new WebSocket(address, kind.protocols);
  board.socket = socket;
  let left = false;
  socket.onopen = () => tell(`Open${socket.protocol ? `, ${socket.protocol}` : ""}.`);
  socket.onmessage = (event) => receive(socket, event.data);
  socket.onclose = (event) => {
    if (!left) tell(`Closed: ${event.code}${event.reason ? `, ${event.reason}` : ""}. Click Open to connect again.`, true);
  };
  return () => {
    left = true;
    board.socket = null;
    socket.close(1000);
  };
}

function receive(socket, data) {
  let said;
  try {
    said = JSON.parse(data);
  } catch {
    return tell(`This isn't JSON: ${String(data).slice(0, 100)}`, true);
  }
  if (said.type === "welcome") {
    socket.send(JSON.stringify({ type: "history", id: crypto.randomUUID(), after: board.after }));
  } else if (said.type === "error") {
    tell(`${said.code}: ${said.detail}`, true);
  } else if (Array.isArray(said.members)) {
    $("here").textContent = `Here: ${said.members.map(String).join(", ")}`;
  }
  (Array.isArray(said.messages) ? said.messages : [said.message]).forEach(show);
  board.after = Math.max(board.after, ...[...board.shown].map(Number).filter(Number.isFinite));
}

const STARTS = {
  hand: () => (look(), () => {}),
  poll: () => again("", () => Math.max(0.2, Number($("every").value) || 2)),
  wait: () => again(`&wait=${WAIT}`, () => 0),
  events: stream,
  socket: talk,
};
const way = () => $("ways").querySelector("input:checked").value;

function start() {
  board.stop();
  tell("");
  $("here").textContent = "";
  $("every-label").hidden = way() !== "poll";
  $("look").hidden = way() !== "hand";
  board.stop = STARTS[way()]();
}

function enter() {
  $("messages").replaceChildren();
  Object.assign(board, { shown: new Set(), after: 0, tag: "" });
  start();
}

async function post(text) {
  if (way() === "socket") {
    if (board.socket?.readyState !== WebSocket.OPEN) throw new Error("The WebSocket isn't open. Click Open.");
    return board.socket.send(JSON.stringify({ type: "post", id: crypto.randomUUID(), text }));
  }
  const answer = await fetch(url(), {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ author: $("author").value, text }),
  });
  if (!answer.ok) throw new Error(await words(answer));
  tell(`${answer.status} ${answer.statusText}`);
  show(await answer.json());
}

// The echo console

let echoing = null; // the socket

function connect() {
  echoing?.close();
  const socket = (echoing = new WebSocket(`ws://${location.host}${$("path").value}`, $("protocol").value || []));
  socket.binaryType = "arraybuffer";
  socket.onopen = () => tell("Open.");
  socket.onmessage = ({ data }) => {
    const binary = data instanceof ArrayBuffer;
    const text = binary ? [...new Uint8Array(data)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ") : data;
    put(line("app", binary ? "bytes" : "text", text, false));
  };
  socket.onclose = (event) => {
    if (socket !== echoing) return;
    tell(`Closed: ${event.code}${event.reason ? `, ${event.reason}` : ""}. Click Open to connect again.`, event.code !== 1000);
  };
}

async function echo(text) {
  if (echoing?.readyState !== WebSocket.OPEN) throw new Error("The WebSocket isn't open. Click Open.");
  echoing.send(text);
  put(line("you", "text", text, true));
}

// Start

const isBoard = kind.page === "board";
for (const part of document.querySelectorAll("[data-for]")) part.hidden = part.dataset.for !== kind.page;
const begin = isBoard ? enter : connect;
const speak = isBoard ? post : echo;

for (const name of kind.ways ?? []) {
  const label = document.createElement("label");
  label.className = "check";
  const choice = Object.assign(document.createElement("input"), { type: "radio", name: "way", value: name });
  choice.checked = name === kind.way;
  choice.addEventListener("change", start);
  label.append(choice, ` ${WAYS[name]}`);
  $("ways").append(label);
}
if (!isBoard) {
  $("path").value = kind.path;
  $("protocol").value = kind.protocols?.[0] ?? "";
}
$("where").addEventListener("submit", (event) => (event.preventDefault(), begin()));
$("news").addEventListener("submit", (event) => (event.preventDefault(), start()));
$("look").addEventListener("click", look);
$("leave").addEventListener("click", () => echoing?.close(1000));
$("say").addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = $("text").value;
  try {
    await speak(text);
    $("text").value = "";
  } catch (error) {
    tell(String(error.message), true);
  }
});
addEventListener("pagehide", () => (isBoard ? board.stop() : echoing?.close()));
begin();
