/* <figure-register>: register and greet. Step two threads in any order, and see when bob misses a
   message.

   One thread serves bob's connection; the other publishes ada's message. After a step with
   `promise`, bob expects every message: he asks for the history, and relies on the WebSocket for
   the rest. So a message that was stored before that step isn't lost. One that was posted after it
   and never arrives is. */
"use strict";
{
  const OPEN = "respond with 101", GREET = "send(bob, “welcome”)", REGISTER = "clients.add(bob)";
  // What the server does: the steps of bob's thread, and the step after which bob relies on it.
  const WAYS = {
    "greet, then register": { steps: [OPEN, GREET, REGISTER], promise: GREET },
    "register, without a greeting": { steps: [OPEN, REGISTER], promise: OPEN },
    "register, then greet": { steps: [OPEN, REGISTER, GREET], promise: GREET },
  };
  const POST = ["store the message", "receivers = list(clients)", "send it to receivers"];

  /** Returns the state after `order`, a text of b (a step of bob's thread) and a (of ada's). */
  function run(way, order) {
    const { steps, promise } = WAYS[way];
    const now = { b: 0, a: 0, registered: false, promised: false, kept: false, receives: false, heard: false, owed: false };
    for (const thread of order) {
      const step = thread === "b" ? steps[now.b++] : POST[now.a++];
      if (step === REGISTER) now.registered = true;
      if (step === promise) now.promised = true;
      if (step === POST[0]) [now.kept, now.owed] = [true, now.promised];
      if (step === POST[1]) now.receives = now.registered;
      if (step === POST[2]) now.heard = now.receives;
    }
    now.over = now.b === steps.length && now.a === POST.length;
    now.outcome = !now.over ? "" : now.heard ? "heard" : now.owed ? "missed" : "history";
    return now;
  }

  /** Returns every order in which the two threads can run. */
  function orders(way) {
    const mix = (b, a) => (b + a === 0 ? [""] : [...(b ? mix(b - 1, a).map((rest) => `b${rest}`) : []), ...(a ? mix(b, a - 1).map((rest) => `a${rest}`) : [])]);
    return mix(WAYS[way].steps.length, POST.length);
  }

  const SIGNS = { heard: "✓", missed: "✗", history: "○" };
  const SAYS = {
    heard: "Bob receives the message.",
    missed: "Bob misses the message. It was posted after the server had promised him every message, and he will never know.",
    history: "The message was stored before the promise, so bob finds it in the history that he requests next.",
  };

  customElements.define("figure-register", class extends Figure {
    static model = { ways: Object.keys(WAYS), run, orders };

    play(live) {
      [this.way, this.order, this.seen] = [Object.keys(WAYS)[0], "", {}];
      const texts = Object.fromEntries(Object.keys(WAYS).map((way) => [way, way]));
      const choose = this.choice(texts, this.way, (way) => {
        [this.way, this.order, this.seen] = [way, "", {}];
        this.lay();
      });
      // The button of a finished thread stays, so that it keeps the focus.
      const step = (thread) => () => this.steps[thread].ariaDisabled === "true" || this.go(this.order + thread);
      this.steps = { b: this.button("Step bob's thread", step("b")), a: this.button("Step ada's thread", step("a")) };
      this.back = this.button("Back", () => this.go(this.order.slice(0, -1)));
      this.again = this.button("Start again", () => this.go(""));
      this.threads = make("div", { class: "pair" });
      this.map = make("div", { class: "orders", role: "group", "aria-label": "Every order; the arrow keys move" });
      [this.state, this.verdict, this.count] = [make("div"), this.status("verdict"), make("p")];
      live.append(
        this.controls(this.field("The server does this", choose), this.steps.b, this.steps.a, this.back, this.again),
        this.threads, this.verdict, this.state, this.count, this.map,
      );
      this.lay();
    }

    /** Shows every order of the chosen way. */
    lay() {
      const all = orders(this.way), outcomes = all.map((order) => run(this.way, order).outcome);
      const missed = outcomes.filter((outcome) => outcome === "missed").length;
      this.count.textContent = `The two threads can run in ${all.length} orders. Bob misses the message in ${missed} of them: ✓ received, ○ in the history, ✗ missed. Choose one to see it.`;
      this.map.replaceChildren(...all.map((order, n) => {
        const name = `${outcomes[n]}: ${[...order].map((thread) => (thread === "b" ? "bob" : "ada")).join(", ")}`;
        const mark = this.button(SIGNS[outcomes[n]], () => this.go(order), { "aria-label": name, class: outcomes[n] });
        mark.dataset.order = order;
        return mark;
      }));
      this.rove(this.map);
      this.go("");
    }

    go(order) {
      this.order = order;
      const now = run(this.way, order), { steps, promise } = WAYS[this.way];
      const list = (title, thread, all, done) => make("div", {}, make("b", {}, title), make("ol", {}, ...all.map((step, n) => {
        const at = n < done ? "done" : n === done ? "next" : "later";
        // When it ran, as a number of the whole.
        const place = [...order].map((each, m) => (each === thread ? m + 1 : 0)).filter(Boolean)[n];
        const says = step === promise && at === "done" ? " (bob now relies on it)" : "";
        return make("li", { class: at, ...(at === "next" && { "aria-current": "step" }) }, make("span", { class: "code" }, step), says, place ? make("small", {}, ` step ${place}`) : "");
      })));
      this.threads.replaceChildren(list("Bob's connection", "b", steps, now.b), list("Ada's post", "a", POST, now.a));
      this.steps.b.ariaDisabled = String(now.b === steps.length);
      this.steps.a.ariaDisabled = String(now.a === POST.length);
      this.back.ariaDisabled = this.again.ariaDisabled = String(!order);
      const yes = (is, text) => (is ? text : "empty");
      this.state.replaceChildren(this.table("", [
        ["clients", yes(now.registered, "bob")],
        ["receivers", now.a < 2 ? "not taken yet" : yes(now.receives, "bob")],
        ["bob relies on the WebSocket", now.promised ? "yes" : "not yet"],
      ]));
      this.say(now.outcome ? SAYS[now.outcome] : order ? "Step either thread." : "Either thread can run first. Step one of them.", now.outcome === "missed");
      for (const mark of this.map.children) mark.ariaPressed = String(mark.dataset.order === order);
    }
  });
}
