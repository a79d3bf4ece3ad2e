/* <figure-fanout>: five clients round a hub; cut one, or let it stop reading.

   The model counts in messages. A connection whose client does not read holds BUFFER messages (in
   truth, bytes: the kernels' buffers), after which send() waits. A queue of the hub holds QUEUE. */
"use strict";
{
  const NAMES = ["ada", "bob", "carol", "dan", "eve"], BUFFER = 2, QUEUE = 4;
  const MODES = {
    plain: "a plain loop",
    catches: "a loop that drops who is cut",
    writers: "a queue and a writer for each",
  };

  function start(mode) {
    const clients = NAMES.map((name) => ({ name, how: "reads", heard: 0, buffer: 0, queue: 0, dropped: false }));
    // `waiting` messages wait for the loop; `at` is where it stands in the present one, or null.
    return { mode, clients, published: 0, waiting: 0, at: null, raised: null };
  }

  /** Returns whether a message went into a client's connection. It is read at once, or lies there. */
  function send(client) {
    if (client.how === "reads") client.heard++;
    else if (client.buffer < BUFFER) client.buffer++;
    else return false;
    return true;
  }

  /** Goes on with the loop until it is done or send() waits. */
  function loop(state) {
    while (state.at !== null || state.waiting) {
      if (state.at === null) [state.at, state.waiting, state.raised] = [0, state.waiting - 1, null];
      for (; state.at < NAMES.length; state.at++) {
        const client = state.clients[state.at];
        if (client.dropped) continue;
        if (client.how === "cut") {
          state.raised = state.at;
          if (state.mode === "plain") break; // The exception ends the loop, for those after it too.
          client.dropped = true;
        } else if (!send(client)) return;
      }
      state.at = null;
    }
  }

  /** Lets one client's writer go on until its queue is empty or send() waits. */
  function write(client) {
    if (client.how === "cut" && client.queue) [client.dropped, client.queue] = [true, 0];
    while (client.queue && send(client)) client.queue--;
  }

  function go(state) {
    if (state.mode === "writers") state.clients.forEach(write);
    else loop(state);
    return state;
  }

  function publish(state) {
    state.published++;
    if (state.mode !== "writers") {
      state.waiting++;
      return go(state);
    }
    for (const client of state.clients.filter((each) => !each.dropped)) {
      client.queue++;
      write(client);
      if (client.queue > QUEUE) [client.dropped, client.queue] = [true, 0]; // Its queue was full.
    }
    return state;
  }

  /** Changes how a client is: it reads (and first what lies there), stops, or is cut for good. */
  function turn(state, n, how) {
    const client = state.clients[n];
    if (client.how === "cut" || (client.dropped && how === "reads")) return state;
    client.how = how;
    if (how === "reads") [client.heard, client.buffer] = [client.heard + client.buffer, 0];
    return go(state);
  }

  /** Returns a sentence for what one sees, and whether somebody suffers who did nothing. */
  function verdict(state) {
    const { clients, published, at, raised } = state;
    const list = (all) => all.map(({ name }) => name).join(", ").replace(/, (\w+)$/, " and $1");
    const short = clients.filter((each) => each.how === "reads" && !each.dropped && each.heard < published);
    if (at !== null && clients[at].how !== "cut") {
      const { name } = clients[at], more = state.waiting ? `, and ${state.waiting} more messages wait` : "";
      return [`send() to ${name} waits until ${name} reads${more}. ${short.length ? `Left out through no fault of theirs: ${list(short)}.` : ""}`, true];
    }
    if (short.length) return [`send() to ${clients[raised].name} raised, and the loop ended. Left out, now and each time: ${list(short)}.`, true];
    const dropped = clients.filter((each) => each.dropped);
    if (dropped.length) return [`${list(dropped)} ${dropped.length > 1 ? "were" : "was"} dropped, and nobody else noticed.`, false];
    const behind = clients.filter((each) => each.how === "stops");
    if (behind.length && published) return [`What ${list(behind)} does not read lies in a buffer so far. Publish more.`, false];
    return [published ? "Everybody has heard everything." : "Nothing is published yet.", false];
  }

  customElements.define("figure-fanout", class extends Figure {
    static model = { start, publish, turn, verdict, BUFFER, QUEUE };

    play(live) {
      this.state = start("plain");
      const restart = () => {
        this.state = start(this.mode.value);
        this.draw();
      };
      this.mode = this.choice(MODES, "plain", restart);
      const several = (times) => () => {
        for (let n = 0; n < times; n++) publish(this.state);
        this.draw();
      };
      this.hows = NAMES.map((_, n) => this.choice({ reads: "reads", stops: "stops", cut: "is cut" }, "reads", (how) => {
        turn(this.state, n, how);
        this.draw();
      }));
      this.hub = this.still.querySelector("svg").cloneNode(true);
      for (const each of this.hub.querySelectorAll("title, desc")) each.remove();
      this.hub.removeAttribute("aria-labelledby");
      this.hub.removeAttribute("role");
      this.hub.setAttribute("aria-hidden", "true"); // The table says the same.
      [this.verdict, this.told] = [this.status("verdict"), make("div")];
      live.append(
        this.controls(this.field("The hub sends in", this.mode), this.button("Publish a message", several(1)), this.button("Publish five", several(5)), this.button("Start again", restart)),
        this.controls(...NAMES.map((name, n) => this.field(name, this.hows[n], "each"))),
        this.verdict, this.hub, this.told,
      );
      this.draw();
    }

    draw() {
      const { clients, published, at } = this.state;
      [...this.hub.querySelectorAll(".client")].forEach((group, n) => {
        const { how, heard, dropped } = clients[n], stuck = n === at && how === "stops" ? "stuck" : "";
        group.setAttribute("class", `client ${dropped ? "cut" : how} ${stuck}`);
        group.querySelector(".count").textContent = dropped ? "gone" : `${heard} of ${published}`;
        this.hows[n].value = how; // Whoever was cut or dropped does not come back.
      });
      const say = ({ how, dropped }, n) => (n === at && how === "stops" ? "send() waits here" : dropped ? "dropped by the hub" : { reads: "reads", stops: "does not read", cut: "cut" }[how]);
      this.told.replaceChildren(this.table("", clients.map((client, n) =>
        [client.name, `heard ${client.heard} of ${published}`, `${client.buffer} in the connection${this.state.mode === "writers" ? `, ${client.queue} in its queue` : ""}`, say(client, n)])));
      this.say(...verdict(this.state));
    }
  });
}
