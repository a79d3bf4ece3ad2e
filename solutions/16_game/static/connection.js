// A WebSocket connection that reconnects, catches up, and loses no post. It knows nothing about the
// page, which passes in the parts of the browser that it uses, and three functions for it to call.

// All times are in milliseconds.
const BASE = 1_000; // the longest delay before the first retry; it doubles with each further retry
const CAP = 30_000; // the longest delay before any retry
const LONGEST = 300_000; // the longest delay that a server can ask for
const STABLE = 10_000; // a connection that was open for this long has worked
const QUIET = 30_000; // if nothing has arrived for this long, send a ping
const ANSWER = 10_000; // after a ping, something must arrive within this time
const LATE = 5_000; // a timer that runs later than this was delayed, for example by sleep
const PAGE = 50; // messages in one page of history
const MAX_MESSAGE = 65_536; // bytes; the server closes the connection after a larger message

const SLEPT = "Ping/Pong timeout"; // simple-websocket's reason for 1008 if a ping isn't answered

// Close codes in words (RFC 6455, section 7.4.1; codes from 4000 on are the board's own).
const WORDS = {
  1000: "The connection has ended.",
  1001: "The server is going away.",
  1006: "The connection was lost, or couldn't be opened.",
  1008: "The server has closed the connection.",
  1009: "A message was too large.",
  1011: "The server failed.",
  1012: "The server is restarting.",
  1013: "The server is overloaded.",
  4401: "Your login has ended.",
  4403: "You aren't allowed to be in this room.",
  4406: "The server doesn't speak this page's protocol.",
};

export class Connection {
  /**
   * `url(after)` returns the URL; `after` is the cursor, or null. `storage` is like
   * `sessionStorage`, or null, and stores the outbox under `key`. `WebSocket`, `setTimeout`,
   * `clearTimeout`, `now` and `random` are the browser's, or a test's. The connection calls
   * `onState({state, words, code})` when its state changes, `onMessage(said)` for each object that
   * the server sends, and `onOutbox(posts)` when the outbox changes.
   */
  constructor(options) {
    Object.assign(this, options);
    this.state = "stopped"; // or "connecting", then "open" from the welcome on, or "reconnecting"
    this.socket = null; // the WebSocket in use; the events of any other are ignored
    this.timer = null; // the only timer: until the next attempt, or until the watchdog checks
    this.due = null; // when something must have arrived after a ping; null unless a ping is pending
    this.openedAt = null; // when this connection's welcome arrived; null until then
    this.retries = 0; // since the last connection that has worked
    this.cursor = null; // all messages up to this id have arrived; null until the first welcome
    this.gap = null; // the id of the request for the messages after the cursor, if some are missing
    this.posts = this.load();
  }

  /** Connect. Does nothing unless the connection is stopped. */
  open() {
    if (this.state !== "stopped") return;
    this.show("connecting", "Connecting …");
    this.onOutbox(structuredClone(this.posts));
    this.connect();
  }

  /** Disconnect, and don't retry until `open()` is called. */
  close() {
    this.release()?.close(1000);
    this.show("stopped", WORDS[1000], 1000);
  }

  /** Send a request. Returns its id, or null if the connection isn't open. */
  ask(type, fields) {
    if (this.state !== "open") return null;
    const id = newId();
    this.send({ type, id, ...fields });
    return id;
  }

  // Connect, receive, close

  /** Open a WebSocket and listen to it. Only the events of the WebSocket in use count. */
  connect() {
    const socket = new this.WebSocket(this.url(this.cursor), this.protocol);
    this.socket = socket;
    this.openedAt = null;
    socket.addEventListener("message", (event) => {
      if (socket === this.socket) this.receive(JSON.parse(event.data));
    });
    socket.addEventListener("close", (event) => {
      if (socket === this.socket) this.closed(event);
    });
    this.watch();
  }

  /** Handle an object that the server sent, then pass it to the page. */
  receive(said) {
    this.watch();
    if (said.type === "welcome") {
      this.openedAt = this.now();
      this.show("open", "Connected.");
    }
    if (said.type === "error" && said.code === "internal") return this.serverFailed();
    this.follow(said);
    if (said.type === "welcome") this.sendPosts();
    if (said.type === "ack" || said.type === "error") this.settle(said);
    if (said.type === "error" && this.gap !== null && said.id === this.gap) this.giveUp();
    this.onMessage(said);
  }

  /** The server failed to handle a request: reconnect, which sends the posts again later. */
  serverFailed() {
    this.release().close();
    this.closed({ code: 1011, reason: "" });
  }

  /** The WebSocket in use has closed, or was given up: plan a retry, or stop. */
  closed({ code, reason }) {
    if (code === 1006 && this.sentTooMuch()) code = 1009; // The server's close frame was lost.
    this.release();
    const worked = this.worked();
    let wait = this.delay(code, reason, worked);
    if (code === 1009) this.failLargest();
    if (code === 1008 && reason === SLEPT) {
      if (worked) wait = 0; // Retry at once, but never twice in a row.
    } else if (code === 1000 || code === 1008 || code >= 4000) {
      return this.stop(code, reason);
    }
    this.plan(wait, () => this.connect());
    const why = WORDS[code] ?? "The connection was closed.";
    this.show("reconnecting", `${why} Reconnecting …`, code);
  }

  /** Stop, and report why. */
  stop(code, reason) {
    const words = [WORDS[code] ?? "The server has closed the connection.", reason, `(${code})`];
    this.show("stopped", words.filter(Boolean).join(" "), code);
  }

  /** Ignore the WebSocket from now on, and clear the timer. Returns the WebSocket, or null. */
  release() {
    const socket = this.socket;
    this.clearTimeout(this.timer);
    this.timer = this.due = this.socket = this.gap = null;
    return socket;
  }

  /** Call `action` in `wait` milliseconds, instead of what was planned before. */
  plan(wait, action) {
    this.clearTimeout(this.timer);
    this.timer = this.setTimeout(action, wait);
  }

  /** Report a state if it has changed. A screen reader shouldn't announce every attempt. */
  show(state, words, code) {
    if (state === this.state) return;
    this.state = state;
    this.onState({ state, words, code });
  }

  send(request) {
    this.socket.send(JSON.stringify(request));
  }

  // Backoff

  /** Return whether the connection was open for `STABLE`. A server may accept and close at once. */
  worked() {
    return this.openedAt !== null && this.now() - this.openedAt >= STABLE;
  }

  /** Return the delay before the next retry. `worked` says whether the last connection did. */
  delay(code, reason, worked) {
    if (worked) this.retries = 0;
    let longest = Math.min(CAP, BASE * 2 ** this.retries);
    const asked = /^retry-after=(\d+(\.\d+)?)$/.exec(reason);
    if (asked && (code === 1012 || code === 1013)) longest = Math.min(LONGEST, 1_000 * asked[1]);
    this.retries += 1;
    return this.random() * longest;
  }

  // The watchdog

  /** Restart the timer: something has arrived, or an attempt has started. */
  watch() {
    this.due = null;
    this.plan(QUIET, () => this.check());
  }

  /** Find out whether the connection still works. */
  check() {
    this.ask("ping");
    this.due = this.now() + ANSWER;
    this.plan(ANSWER, () => {
      if (this.now() - this.due > LATE) this.check();
      else this.giveUp();
    });
  }

  /** Close a WebSocket that seems to be dead, and retry. */
  giveUp() {
    this.release().close();
    this.closed({ code: 1006, reason: "" });
  }

  /** Check the connection, or retry now. The page calls this when it is visible or online again. */
  wake() {
    if (this.state === "open" && this.due === null) this.check();
    else if (this.state === "reconnecting" && this.socket === null) this.connect();
  }

  // The outbox

  /** Post a text: send it until it is acknowledged or rejected. Returns its request id. */
  post(text) {
    const post = { id: newId(), text };
    this.posts.push(post);
    this.save();
    if (this.state === "open") this.send({ type: "post", ...post });
    return post.id;
  }

  /** Send all posts that have no reply, in the order in which they were written. */
  sendPosts() {
    for (const { id, text, failed } of this.posts) {
      if (!failed) this.send({ type: "post", id, text });
    }
  }

  /** Handle an `ack` or an `error`, which may be the reply to a post. */
  settle({ type, id, detail }) {
    const post = this.posts.find((post) => post.id === id);
    if (!post) return;
    if (type === "error") post.failed = detail;
    else this.posts.splice(this.posts.indexOf(post), 1);
    this.save();
  }

  /** Mark the largest post on this connection as failed: after 1009, it was too large. */
  failLargest() {
    if (this.openedAt === null) return;
    const [largest] = this.posts
      .filter((post) => !post.failed)
      .sort((one, other) => other.text.length - one.text.length);
    if (largest) largest.failed = WORDS[1009];
    this.save();
  }

  /** Return whether a post without a reply is larger than the server accepts. */
  sentTooMuch() {
    return this.openedAt !== null && this.posts.some((post) => !post.failed && isTooLarge(post));
  }

  /** Remove a post from the outbox, for example because its author edits its text. */
  discard(id) {
    this.posts = this.posts.filter((post) => post.id !== id);
    this.save();
  }

  /** Store the outbox, so that it survives a reload of the page. */
  save() {
    try {
      this.storage.setItem(this.key, JSON.stringify(this.posts));
    } catch {
      // The storage is full or blocked. The posts are still in memory.
    }
    this.onOutbox(structuredClone(this.posts));
  }

  /** Return the posts that were stored. */
  load() {
    let posts = [];
    try {
      posts = JSON.parse(this.storage.getItem(this.key)).filter(isPost);
    } catch {
      // Nothing is stored, or it isn't an outbox.
    }
    return posts;
  }

  // Catching up

  /** Move the cursor, which is the id to resume after. */
  follow(said) {
    if (said.type === "welcome" && (this.cursor === null || said.last_id < this.cursor)) {
      this.cursor = said.last_id; // It is the first welcome, or the server's database was restored.
    } else if (said.type === "welcome" && !said.resumed) {
      this.requestMissing();
    } else if (said.type === "message" && this.gap === null) {
      this.cursor = said.message.id; // Not while messages with smaller ids are missing.
    } else if (said.type === "messages" && said.id === this.gap) {
      this.cursor = said.next;
      this.gap = null;
      if (said.messages.length === PAGE) this.requestMissing();
    }
  }

  /** Request a page of the messages that are missing. */
  requestMissing() {
    this.gap = this.ask("history", { after: this.cursor, limit: PAGE });
  }
}

/** Return a request id that no other request has. */
function newId() {
  return crypto.getRandomValues(new Uint32Array(3)).join("-");
}

/** Return whether the request for a post has too many bytes. */
function isTooLarge({ id, text }) {
  const request = JSON.stringify({ type: "post", id, text });
  return new TextEncoder().encode(request).length > MAX_MESSAGE;
}

/** Return whether a value from the storage is a post. */
function isPost(value) {
  const { id, text, failed = "" } = value ?? {};
  return [id, text, failed].every((field) => typeof field === "string") && id !== "";
}
