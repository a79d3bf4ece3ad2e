// Runs in the page before lesson 10's connection.js: a clock, a network and a storage of our own.
//
// Time passes only when a test says so. A WebSocket connects, receives and closes only when a test
// says so. `course.grading.fake_page` calls the functions of `fakes`.

window.fakes = (() => {
  const START = 1_800_000_000_000; // milliseconds, as of Date.now()
  const MOST = 2_000; // timers that may run in one step

  let time = START;
  let chance = 0.5; // what random() returns
  let timers = []; // {id, due, action}, those that still have to run
  let nextTimer = 1;
  let sockets = []; // all that the page has made since it was loaded
  let connection = null;
  let access = { status: 200, retryAfter: 0, how: "answer" }; // what access() leads to
  let late = []; // answers of access() that are held
  let asked = 0; // how often access() was called since the page was loaded
  let events = []; // what has happened since the last report: [kind, sentence]
  const stores = {}; // storages, by name
  const seen = { states: [], received: [], outboxes: [], misused: [] };

  const note = (kind, sentence) => events.push([kind, sentence]);
  const seconds = (ms) => `${Number((ms / 1000).toFixed(3))} s`;
  const now = () => time;

  // Lets promises run, in case that a connection uses them.
  const settle = () => new Promise((done) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => { port1.close(); done(); };
    port2.postMessage(null);
  });

  function call(action, ...given) {
    try {
      action(...given);
    } catch (error) {
      reportError(error); // As the browser does if a timer or a listener fails.
    }
  }

  function setTimeout(action, wait = 0, ...given) {
    const due = time + Math.max(0, Number(wait) || 0);
    timers.push({ id: nextTimer, due, action: () => action(...given) });
    return nextTimer++;
  }

  function clearTimeout(id) {
    timers = timers.filter((timer) => timer.id !== id);
  }

  function nextDue(until) {
    const [first] = timers
      .filter((timer) => timer.due <= until)
      .sort((one, other) => one.due - other.due || one.id - other.id);
    return first;
  }

  async function run(timer) {
    clearTimeout(timer.id);
    call(timer.action);
    await settle();
  }

  class FakeSocket extends EventTarget {
    static CONNECTING = 0;
    static OPEN = 1;
    static CLOSING = 2;
    static CLOSED = 3;
    CONNECTING = 0;
    OPEN = 1;
    CLOSING = 2;
    CLOSED = 3;

    constructor(url, protocols = []) {
      super();
      Object.assign(this, { url: String(url), readyState: 0, protocol: "", extensions: "" });
      Object.assign(this, { bufferedAmount: 0, binaryType: "blob", sent: [], code: null });
      this.offered = [protocols].flat();
      this.at = time;
      for (const name of ["open", "message", "close", "error"]) {
        this[`on${name}`] = null;
        super.addEventListener(name, (event) => this[`on${name}`]?.(event));
      }
      sockets.push(this);
      note("sent", `new WebSocket("${this.url}")`);
    }

    send(text) {
      if (this.readyState === 0) throw new DOMException("Still in CONNECTING state.", "InvalidStateError");
      if (this.readyState > 1) return; // As in a browser, the text is discarded.
      this.sent.push(JSON.parse(text));
      note("sent", text);
    }

    close(code, reason = "") {
      if (code !== undefined && code !== 1000 && !(code >= 3000 && code <= 4999)) {
        throw new DOMException(`The close code must be 1000, or 3000 to 4999. ${code} isn't.`, "InvalidAccessError");
      }
      if (this.readyState > 1) return;
      Object.assign(this, { readyState: 2, code: code ?? null, closedReason: reason });
      note("sent", `close(${code ?? ""})`);
    }
  }

  class FakeStorage {
    items = new Map();
    broken = ""; // "get", "set" or "both"

    getItem(key) {
      if (["get", "both"].includes(this.broken)) throw new DOMException("Access is denied.", "SecurityError");
      return this.items.get(String(key)) ?? null;
    }

    setItem(key, value) {
      if (["set", "both"].includes(this.broken)) throw new DOMException("It is full.", "QuotaExceededError");
      this.items.set(String(key), String(value));
    }

    removeItem(key) {
      this.items.delete(String(key));
    }

    clear() {
      this.items.clear();
    }

    key(index) {
      return [...this.items.keys()][index] ?? null;
    }

    get length() {
      return this.items.size;
    }
  }

  const store = (name) => (stores[name] ??= new FakeStorage());
  const newest = () => sockets.at(-1);

  /** Note calls of connection.js to what it should have used as `this.setTimeout()` and so on. */
  function guard(owner, name, instead) {
    const real = owner[name];
    owner[name] = function (...given) {
      if (/connection\.js/.test(new Error().stack)) {
        seen.misused.push(`${instead} instead of the browser's own ${name}()`);
      }
      return real.apply(this, given);
    };
  }

  guard(window, "setTimeout", "this.setTimeout()");
  guard(window, "setInterval", "this.setTimeout()");
  guard(Date, "now", "this.now()");
  guard(Math, "random", "this.random()");

  const steps = {
    /** Load the page: a new connection, with the storage that is there. */
    load({ storage, key, user }) {
      timers = [];
      sockets = [];
      late = [];
      asked = 0;
      for (const name of Object.keys(seen)) seen[name].length = 0;
      note("happened", "the page is loaded");
      connection = new window.Connection({
        url: (after) => `ws://board.test/board/lobby?author=ada${after === null ? "" : `&after=${after}`}`,
        protocol: "board.v1",
        user,
        storage: storage === null ? null : store(storage),
        key,
        WebSocket: FakeSocket,
        setTimeout,
        clearTimeout,
        now,
        random: () => chance,
        onState: (state) => {
          seen.states.push({ ...state });
          note("sent", `onState(${JSON.stringify(state)})`);
        },
        access: () => {
          asked += 1;
          note("sent", "access()");
          const { status, retryAfter, how } = access;
          if (how === "fail") return Promise.reject(new TypeError("Failed to fetch"));
          const answer = () => {
            note("received", `${status}${retryAfter ? `, Retry-After: ${retryAfter}` : ""}`);
            return { status, retryAfter };
          };
          if (how === "hold") return new Promise((done) => late.push(() => done(answer())));
          return Promise.resolve().then(answer);
        },
        onMessage: (said) => seen.received.push(structuredClone(said)),
        onOutbox: (posts) => seen.outboxes.push(structuredClone(posts)),
      });
    },

    /** Call a method of the connection. */
    call({ method, given }) {
      note("happened", `the page calls ${method}(${given.map((one) => JSON.stringify(one)).join(", ")})`);
      return connection[method](...given) ?? null;
    },

    /** Set what access() leads to, from lesson 11 on: an answer, a held one, or a failure. */
    access(given) {
      access = given;
    },

    /** Let the held answers of access() arrive. */
    arrive() {
      for (const answer of late.splice(0)) answer();
    },

    /** Set what random() returns. */
    chance({ value }) {
      chance = value;
    },

    /** Complete the newest WebSocket's handshake. */
    accept() {
      const socket = newest();
      if (socket.readyState > 0) return;
      Object.assign(socket, { readyState: 1, protocol: "board.v1" });
      socket.dispatchEvent(new Event("open"));
    },

    /** Let a WebSocket receive objects. */
    say({ objects, which }) {
      const socket = sockets.at(which);
      for (const object of objects) {
        if (socket.readyState === 3) return;
        note("received", JSON.stringify(object));
        socket.dispatchEvent(new MessageEvent("message", { data: JSON.stringify(object) }));
      }
    },

    /** End a WebSocket, from the network's or the server's side. */
    end({ code, reason, which }) {
      const socket = sockets.at(which);
      if (socket.readyState === 3) return;
      const failed = code === 1006;
      socket.readyState = 3;
      note("received", `close ${code}${reason && ` ${reason}`}`);
      if (failed) socket.dispatchEvent(new Event("error"));
      socket.dispatchEvent(new CloseEvent("close", { code, reason, wasClean: !failed }));
    },

    /** Let time pass. Timers run when they are due. */
    async pass({ ms }) {
      note("happened", `${seconds(ms)} pass`);
      const until = time + ms;
      for (let count = 0, timer; (timer = nextDue(until)); count += 1) {
        if (count === MOST) throw new Error(`more than ${MOST} timers run in ${seconds(ms)}`);
        time = Math.max(time, timer.due);
        await run(timer);
      }
      time = until;
    },

    /** Let the clock advance while no timer runs. Then those that are due run, late. */
    async sleep({ ms }) {
      note("happened", `the computer sleeps for ${seconds(ms)}`);
      time += ms;
      const due = timers.filter((timer) => timer.due <= time);
      due.sort((one, other) => one.due - other.due || one.id - other.id);
      for (const timer of due) if (timers.includes(timer)) await run(timer);
    },

    /** Let time pass until there is another WebSocket. Returns how long that took, or null. */
    async attempt({ most }) {
      const begin = time;
      const count = sockets.length;
      for (let n = 0; sockets.length === count; n += 1) {
        const timer = nextDue(begin + most);
        if (!timer || n === MOST) return null;
        time = Math.max(time, timer.due);
        await run(timer);
      }
      note("happened", `${seconds(time - begin)} have passed`);
      return time - begin;
    },

    /** Set what a storage has, or what doesn't work there. */
    store({ name, key, value, broken }) {
      if (value !== undefined) store(name).items.set(key, value);
      if (broken !== undefined) store(name).broken = broken;
    },
  };

  /** Do the steps, each [name, arguments]. Returns what happened and what there is now. */
  async function play(todo) {
    events = [];
    const results = [];
    for (const [name, given] of todo) {
      results.push((await steps[name](given)) ?? null);
      await settle();
    }
    return {
      results,
      events,
      ...seen,
      asked,
      timers: timers.map((timer) => timer.due - time),
      sockets: sockets.map(({ url, offered, readyState, sent, code }) => (
        { url, offered, state: readyState, sent, code }
      )),
    };
  }

  return { play };
})();
