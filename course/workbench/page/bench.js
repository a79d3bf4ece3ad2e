// The workbench's page: shows the wire live, and sends the commands of its buttons.
// Data from the wire is set as text, never as HTML.

const MOST = 2000; // rows; the oldest go first
const $ = (id) => document.getElementById(id);

// Commands

async function ask(name, what = {}) {
  let answer;
  try {
    answer = await fetch(`do/${name}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(what),
    });
  } catch {
    return say("The workbench has stopped. Start it again, and open its new address.", true);
  }
  const type = answer.headers.get("Content-Type") ?? "";
  const said = type.includes("json") ? (await answer.json()).said : await answer.text();
  say(said ?? "", !answer.ok);
}

function say(sentence, bad = false) {
  $("said").textContent = sentence;
  $("said").classList.toggle("bad", bad);
}

// The wire

const rows = new Map(); // by the entry's number

function element(tag, className = "", text = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.textContent = text;
  return made;
}

const PREVIEWED = new Set(["request", "response", "event", "note"]); // A frame's title already shows its text.
const size = (bytes) => (bytes ? `${bytes.toLocaleString("en")} B` : "");
const arrows = { up: "→", down: "←", "": "·" };
const words = { up: "to the app", down: "to the page", "": "" };

function summary(entry) {
  const made = element("summary");
  const arrow = element("span", "arrow", entry.kind === "end" ? "✂" : arrows[entry.way] ?? "·");
  arrow.setAttribute("role", "img");
  arrow.setAttribute("aria-label", words[entry.way] || "note");
  const title = element("span", "title", entry.title);
  if (entry.body && PREVIEWED.has(entry.kind)) {
    title.append(element("span", "preview", entry.body.slice(0, 200).replace(/\s+/g, " ")));
  }
  if (entry.useless) title.prepend(element("span", "tag", "useless"), " ");
  made.append(
    arrow,
    element("span", "at", entry.at.toFixed(3)),
    element("span", "link", entry.link ? `#${entry.link}` : ""),
    title,
    element("span", "size", size(entry.size)),
  );
  return made;
}

function details(entry) {
  const more = element("div", "more");
  if (entry.fields.length) {
    const table = element("table");
    for (const [name, value] of entry.fields) {
      const row = table.insertRow();
      if (name === "note") row.className = "note";
      const head = element("th", "", name);
      head.scope = "row";
      row.append(head, element("td", "", value));
    }
    more.append(table);
  }
  if (entry.body) {
    const body = element("pre", "", entry.body);
    body.tabIndex = 0;
    body.setAttribute("aria-label", "Body");
    more.append(body);
  }
  if (!entry.fields.length && !entry.body) more.append("No more details.");
  return more;
}

function show(entry) {
  let row = rows.get(entry.n);
  if (!row) {
    row = element("li");
    row.append(element("details"));
    rows.set(entry.n, row);
    $("wire").append(row);
    forgetOldest();
  }
  const wrong = entry.fields.some(([name]) => name === "note");
  row.className = [entry.kind, entry.way || "none", wrong ? "wrong" : "", entry.useless ? "useless" : ""].join(" ");
  const box = row.firstElementChild;
  const focused = box.firstElementChild === document.activeElement;
  box.replaceChildren(summary(entry));
  if (focused) box.firstElementChild.focus();
  // Create details only when a row is opened: polling makes many rows.
  box.ontoggle = () => {
    if (!box.open || box.children.length > 1) return;
    box.append(details(entry));
    row.scrollIntoView({ block: "nearest" });
  };
  if (box.open) box.append(details(entry));
}

function forgetOldest() {
  if (rows.size <= MOST) return;
  const [number, oldest] = rows.entries().next().value;
  oldest.remove();
  rows.delete(number);
}

function empty() {
  rows.clear();
  $("wire").replaceChildren();
}

function showAll(entries) {
  for (const entry of entries) show(entry);
  if (entries.length && $("follow").checked) $("wire").scrollTop = $("wire").scrollHeight;
}

function showCounts(counts) {
  for (const [name, number] of Object.entries(counts)) {
    const place = $(`count-${name}`);
    place.textContent = number.toLocaleString("en");
    place.toggleAttribute("data-none", number === 0);
  }
}

// The app, the network and the connections

let shown = {};
const changed = (name, value) => {
  const text = JSON.stringify(value);
  const is = shown[name] !== text;
  shown[name] = text;
  return is;
};
const STATES = { starting: "starting", ready: "running", broken: "not running", ended: "ended" };

// A title is Markdown: what is between backticks is code.
const marked = (title) => title.split("`").map((part, place) => (place % 2 ? element("code", "", part) : part));

function showState(state) {
  document.title = `${state.lesson.slug} · workbench`;
  $("lesson").replaceChildren(...marked(state.lesson.title));
  $("folder").textContent = state.folder;
  $("address").textContent = state.address;
  if (changed("app", state.app)) showApp(state.app);
  if (state.app.state === "ready" && changed("starts", state.app.starts)) showPage(state);
  if (changed("faults", state.faults)) showFaults(state.faults);
  if (changed("links", state.links)) showLinks(state.links);
  if (changed("broken", state.broken)) showChoices($("broken"), Object.entries(state.broken));
  if (changed("recording", state.recording)) showRecording(state.recording);
}

function showApp(app) {
  const bad = app.state === "broken" || app.state === "ended";
  $("state").textContent = STATES[app.state];
  $("state").classList.toggle("bad", bad);
  $("fault").hidden = !bad;
  $("sentence").textContent = bad ? `The app isn't running, not even its previous version. ${app.sentence}` : "";
  $("trace").textContent = app.trace;
  $("trace").hidden = !app.trace;
}

function showPage(state) {
  const own = state.kind.page === "own";
  $("board").src = state.address + (own ? state.kind.path : "/.workbench/board.html");
  if (state.kind.page === "console") $("path").value = state.kind.path;
  const protocol = state.kind.protocols?.[0] ?? "";
  if (protocol) {
    $("protocol").value = protocol;
    $("path").value = "/board/lobby?author=eve";
  }
  if (state.app.starts > 1 && drafts.request) return;
  drafts.request = "GET /rooms/lobby/messages?after=0 HTTP/1.1";
  drafts.text = protocol ? '{"type": "ping", "id": "1"}' : "hello";
  const requests = state.kind.ways?.includes("hand");
  $("kind").value = requests ? "request" : "text";
  suit();
}

function showFaults(faults) {
  $("delay").value = faults.delay;
  $("rate").value = faults.rate;
  $("held").checked = faults.held;
}

function showChoices(select, choices) {
  const before = select.value;
  select.replaceChildren(...choices.map(([value, text]) => new Option(text, value)));
  if (choices.some(([value]) => String(value) === before)) select.value = before;
}

function showLinks(links) {
  const kinds = links.map((link) => [link.link, `#${link.link} ${link.websocket ? "WebSocket" : "HTTP"} ${link.path}`]);
  const open = links.filter((link) => link.websocket).map((link) => link.link);
  const chosen = $("link").value;
  showChoices($("link"), kinds.length ? kinds : [["", "none: open one first"]]);
  if (!links.some((link) => String(link.link) === chosen) && open.length) $("link").value = open.at(-1);
}

// Recordings

let live = true;
let kept = { entries: [], counts: null }; // live entries while a recording is shown
let again = null;
let timer = 0;

function showRecording(name) {
  $("record").setAttribute("aria-pressed", String(Boolean(name)));
  $("record").textContent = name ? "Stop recording" : "Record";
  $("record").title = name;
  listRecordings();
}

async function listRecordings() {
  const answer = await fetch("recordings");
  if (!answer.ok) return;
  const names = await answer.json();
  showChoices($("recordings"), [["", "live"], ...names.map((name) => [name, name])]);
}

async function choose() {
  clearTimeout(timer);
  const name = $("recordings").value;
  if (!name) return backToLive();
  const answer = await fetch(`recordings/${encodeURIComponent(name)}`);
  const found = await answer.json();
  if (!answer.ok) {
    $("recordings").value = "";
    return say(found.said, true);
  }
  live = false;
  again = found.entries;
  $("play").hidden = false;
  empty();
  showAll(again);
  const part = found.omitted ? ` Only its last ${again.length.toLocaleString("en")} entries are shown, of ${(again.length + found.omitted).toLocaleString("en")}.` : "";
  say(`Showing ${name}.${part} Live traffic continues in the background.`);
}

function backToLive() {
  live = true;
  again = null;
  $("play").hidden = true;
  empty();
  showAll(kept.entries);
  say("");
}

function play() {
  clearTimeout(timer);
  empty();
  const entries = again;
  const step = (place) => {
    if (again !== entries || place >= entries.length) return;
    showAll([entries[place]]);
    const wait = place + 1 < entries.length ? entries[place + 1].at - entries[place].at : 0;
    timer = setTimeout(() => step(place + 1), Math.max(0, wait) * 1000);
  };
  step(0);
}

// Sending

const FRAMES = ["text", "bytes", "fragments", "ping", "close", "broken", "raw"];
const LABELS = { request: "Request, as sent", bytes: "Bytes, such as 48 69", raw: "Bytes, such as 81 02 48 69", close: "Reason" };

// The last text of each sort, so that a change of the sort doesn't lose it.
const drafts = { request: "", text: "", hex: "81 02 48 69", reason: "" };
const SORTS = { request: "request", bytes: "hex", raw: "hex", close: "reason" };
let sort = "";

function suit() {
  sort = SORTS[$("kind").value] ?? "text";
  $("text").value = drafts[sort];
  const kind = $("kind").value;
  const fits = { frames: FRAMES.includes(kind), broken: kind === "broken", close: kind === "close", open: kind === "open", text: kind !== "open" };
  for (const label of $("sender").querySelectorAll("[data-for]")) label.hidden = !fits[label.dataset.for];
  $("text-label").textContent = LABELS[kind] ?? "Text";
}

function send(event) {
  event.preventDefault();
  const value = (id) => $(id).value;
  const kind = value("kind");
  if (kind === "request") return ask("request", { text: value("text") });
  if (kind === "open") {
    return ask("open", { path: value("path"), protocol: value("protocol"), origin: value("origin") });
  }
  ask("send", {
    kind,
    link: Number(value("link")),
    way: value("way"),
    text: value("text"),
    code: value("code"),
    fault: value("broken"),
  });
}

// Start

function listen() {
  const source = new EventSource("events");
  let first = true;
  source.onmessage = (event) => {
    const { entries, counts, state } = JSON.parse(event.data);
    if (first) {
      kept.entries = [];
      if (live) empty();
    }
    first = false;
    kept.entries = kept.entries.concat(entries).slice(-MOST);
    if (live) showAll(entries);
    showCounts(counts);
    showState(state);
  };
  source.onerror = () => {
    first = true;
    $("state").textContent = "workbench stopped";
    $("state").classList.add("bad");
    shown = {};
  };
}

$("text").addEventListener("input", () => (drafts[sort] = $("text").value));
$("sender").addEventListener("submit", send);
$("kind").addEventListener("change", suit);
$("faults").addEventListener("submit", (event) => {
  event.preventDefault();
  ask("faults", { delay: $("delay").value, rate: $("rate").value });
});
$("held").addEventListener("change", () => ask("faults", { held: $("held").checked }));
$("cut").addEventListener("click", () => ask("cut"));
$("restart").addEventListener("click", () => ask("restart"));
$("record").addEventListener("click", () => ask($("record").getAttribute("aria-pressed") === "true" ? "stop" : "record"));
$("recordings").addEventListener("change", choose);
$("play").addEventListener("click", play);
$("clear").addEventListener("click", async () => {
  await ask("clear");
  kept.entries = [];
  if (live) empty();
});
suit();
listen();
