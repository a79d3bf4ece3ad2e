/* <figure-fanout>: five clients around a hub. Cut one, or let it stop reading.

   The model counts messages. If a client doesn't read, its connection buffers BUFFER messages (in
   reality, bytes in the kernels' buffers); then send() blocks. A queue of the hub holds QUEUE. */
"use strict";
{
  const NAMES = ["ada", "bob", "carol", "dan", "eve"], BUFFER = 2, QUEUE = 4;
  const MODES = {
    plain: "a plain loop",
    catches: "a loop that removes dead clients",
    writers: "a queue and a writer for each client",
  };

  function start(mode) {
    const clients = NAMES.map((name) => ({ name, how: "reads", heard: 0, buffer: 0, queue: 0, dropped: false }));
    // `waiting` messages wait for the loop; `at` is its position in the present one, or null.
    return { mode, clients, published: 0, waiting: 0, at: null, raised: null };
  }

  /** Returns whether a client's connection took a message. The client reads it, or it is buffered. */
  function send(client) {
    if (client.how === "reads") client.heard++;
    else if (client.buffer < BUFFER) client.buffer++;
    else return false;
    return true;
  }

  /** Continues the loop until it is done or send() blocks. */
  function loop(state) {
    while (state.at !== null || state.waiting) {
      if (state.at === null) [state.at, state.waiting, state.raised] = [0, state.waiting - 1, null];
      for (; state.at < NAMES.length; state.at++) {
        const client = state.clients[state.at];
        if (client.dropped) continue;
        if (client.how === "cut") {
          state.raised = state.at;
          if (state.mode === "plain") break; // The exception ends the loop, also for the clients after it.
          client.dropped = true;
        } else if (!send(client)) return;
      }
      state.at = null;
    }
  }

  /** Runs one client's writer until its queue is empty or send() blocks. */
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

  /** Changes a client: it reads (first what is buffered), stops reading, or is cut for good. */
  function turn(state, n, how) {
    const client = state.clients[n];
    if (client.how === "cut" || (client.dropped && how === "reads")) return state;
    client.how = how;
    if (how === "reads") [client.heard, client.buffer] = [client.heard + client.buffer, 0];
    return go(state);
  }

  /** Returns a sentence about the state, and whether a healthy client suffers. */
  function verdict(state) {
    const { clients, published, at, raised } = state;
    const list = (all) => all.map(({ name }) => name).join(", ").replace(/, (\w+)$/, " and $1");
    const short = clients.filter((each) => each.how === "reads" && !each.dropped && each.heard < published);
    if (at !== null && clients[at].how !== "cut") {
      const { name } = clients[at], more = state.waiting ? `, and ${state.waiting} more messages wait` : "";
      return [`send() to ${name} blocks until ${name} reads${more}. ${short.length ? `Healthy clients that get nothing: ${list(short)}.` : ""}`, true];
    }
    if (short.length) return [`send() to ${clients[raised].name} raised an exception, and the loop ended. Healthy clients that get nothing, now and each time: ${list(short)}.`, true];
    const dropped = clients.filter((each) => each.dropped);
    if (dropped.length) return [`${list(dropped)} ${dropped.length > 1 ? "were" : "was"} removed. The other clients are unaffected.`, false];
    const behind = clients.filter((each) => each.how === "stops");
    if (behind.length && published) return [`Messages for ${list(behind)} are in a buffer so far. Publish more.`, false];
    return [published ? "Every client has received every message." : "Nothing is published yet.", false];
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
        group.querySelector(".count").textContent = dropped ? "removed" : `${heard} of ${published}`;
        this.hows[n].value = how; // A client that was cut or removed doesn't reconnect.
      });
      const say = ({ how, dropped }, n) => (n === at && how === "stops" ? "send() blocks here" : dropped ? "removed by the hub" : { reads: "reads", stops: "doesn't read", cut: "cut" }[how]);
      this.told.replaceChildren(this.table("", clients.map((client, n) =>
        [client.name, `received ${client.heard} of ${published}`, `${client.buffer} in the connection${this.state.mode === "writers" ? `, ${client.queue} in its queue` : ""}`, say(client, n)])));
      this.say(...verdict(this.state));
    }
  });
}
