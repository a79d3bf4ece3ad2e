/* <figure-crossing>: two operations that cross. Step them to the server and to the other client, with
   and without transformation.

   An operation is a list of parts, as in lesson 15: a number above 0 retains so many characters, a
   number below 0 deletes so many, a string is inserted. The model computes each client's operation
   from its text before and after. A character is a code point. Acks aren't shown. */
"use strict";
{
  const WHO = ["ada", "bob"];
  const CASES = {
    "in two places": ["the cat sat", "the black cat sat", "the cat saw us"],
    "insert in the same place": ["Hello!", "Hello ada!", "Hello bob!"],
    "delete the same word": ["one two three", "one three", "one three"],
    "insert into deleted text": ["a very big house", "a house", "a very, very big house"],
  };

  const kind = (part) => (typeof part === "string" ? "insert" : part < 0 ? "delete" : "retain");
  const size = (part) => (typeof part === "string" ? [...part].length : Math.abs(part));
  const total = (operation) => operation.reduce((sum, part) => sum + (kind(part) === "insert" ? 0 : size(part)), 0);

  /** Appends a part. Adjacent parts of one kind become one; an insert is before a delete. */
  function add(operation, part) {
    if (!part) return;
    const deleted = kind(part) === "insert" && operation.at(-1) < 0 ? operation.pop() : 0;
    if (operation.length && kind(operation.at(-1)) === kind(part)) operation.push(operation.pop() + part);
    else operation.push(part);
    if (deleted) operation.push(deleted);
  }

  /** Returns the operation that makes `after` of `before`: one change, as short as it can be. */
  function difference(before, after) {
    const [old, now] = [[...before], [...after]], most = Math.min(old.length, now.length);
    let [start, end] = [0, 0];
    while (start < most && old[start] === now[start]) start++;
    while (end < most - start && old.at(-1 - end) === now.at(-1 - end)) end++;
    const operation = [], inserted = now.slice(start, now.length - end).join("");
    for (const part of [start, inserted, start + end - old.length, end]) add(operation, part);
    return operation;
  }

  /** Returns the text after an operation. It needn't fit: what it doesn't cover stays. */
  function apply(text, operation) {
    const old = [...text], pieces = [];
    let at = 0;
    for (const part of operation) {
      if (kind(part) === "insert") pieces.push(part);
      else {
        if (kind(part) === "retain") pieces.push(...old.slice(at, at + part));
        at += size(part);
      }
    }
    return [...pieces, ...old.slice(at)].join("");
  }

  /** Returns both operations as they are after the other one. In one place, `first` inserts first. */
  function transform(first, second) {
    const [a, b] = [[...first].reverse(), [...second].reverse()], both = [[], []];
    const next = (parts) => (parts.length ? kind(parts.at(-1)) : "end");
    const take = (parts, count) => {
      const part = parts.pop(), rest = size(part) - count, sign = part < 0 ? -1 : 1;
      if (rest) parts.push(sign * rest);
      return sign * count;
    };
    while (a.length || b.length) {
      const inserts = [a, b].findIndex((parts) => next(parts) === "insert");
      if (inserts >= 0) {
        const text = [a, b][inserts].pop();
        add(both[inserts], text);
        add(both[1 - inserts], size(text));
      } else {
        const count = Math.min(size(a.at(-1)), size(b.at(-1)));
        const [mine, theirs] = [take(a, count), take(b, count)];
        if (theirs > 0) add(both[0], mine);
        if (mine > 0) add(both[1], theirs);
      }
    }
    return both;
  }

  /** Returns the states before and after each step: the texts, and the operation that changed one.
      `edits` has ada's and bob's text; the server receives that of `first` before the other. */
  function play({ text, edits, first, transformed }) {
    const f = WHO.indexOf(first), s = 1 - f, second = WHO[s];
    const own = edits.map((edited) => difference(text, edited));
    const [atSecond, atServer] = transformed ? transform(own[f], own[s]) : [own[f], own[s]];
    const steps = [
      ["ada", own[0]], ["bob", own[1]], ["server", own[f]], ["server", atServer], [second, atSecond], [first, atServer],
    ];
    let texts = { ada: text, server: text, bob: text };
    return [{ texts }, ...steps.map(([place, operation]) => {
      const before = texts[place];
      texts = { ...texts, [place]: apply(before, operation) };
      return { texts, place, operation, before, fits: total(operation) === size(before) };
    })];
  }

  const name = (who) => who[0].toUpperCase() + who.slice(1);
  const code = (operation) => make("span", { class: "code" }, JSON.stringify(operation).replaceAll(",", ", "));
  const quoted = (text) => `“${text}”`;

  customElements.define("figure-crossing", class extends Figure {
    static model = { cases: CASES, difference, apply, transform, play };

    play(live) {
      const names = Object.keys(CASES);
      const change = () => this.go(0);
      this.how = this.choice({ yes: "transformed", no: "as it is" }, "yes", change);
      this.first = this.choice({ ada: "ada's operation", bob: "bob's operation" }, "ada", change);
      this.inputs = CASES[names[0]].map((text) => make("input", { type: "text", class: "code", maxlength: "60", value: text, input: change }));
      const choose = this.choice(Object.fromEntries(names.map((each) => [each, each])), names[0], (chosen) => {
        CASES[chosen].forEach((text, n) => (this.inputs[n].value = text));
        change();
      });
      // At either end, a button stays, so that it keeps the focus.
      const step = (by) => () => this.go(Math.min(6, Math.max(0, this.at + by)));
      this.next = this.button("Next step", step(1));
      this.back = this.button("Back", step(-1));
      this.again = this.button("Start again", change);
      const labels = ["The text", "Ada changes it to", "Bob changes it to"];
      this.picture = this.still.querySelector("svg").cloneNode(true);
      for (const each of this.picture.querySelectorAll("title, desc")) each.remove();
      for (const each of ["aria-labelledby", "role"]) this.picture.removeAttribute(each);
      this.picture.setAttribute("aria-hidden", "true"); // The list says the same.
      [this.steps, this.told, this.verdict] = [make("div"), make("div"), this.status("verdict")];
      live.append(
        this.controls(this.field("Ada and bob", choose), this.field("An operation is applied", this.how), this.field("The server receives first", this.first)),
        this.controls(...this.inputs.map((input, n) => this.field(labels[n], input, "wide"))),
        this.controls(this.next, this.back, this.again),
        this.told, this.verdict, make("div", { class: "pair" }, this.picture, this.steps),
      );
      this.go(0);
    }

    go(at) {
      this.at = at;
      const [text, ...edits] = this.inputs.map((input) => input.value.toWellFormed());
      const first = this.first.value, transformed = this.how.value === "yes";
      const states = play({ text, edits, first, transformed });
      const second = first === "ada" ? "bob" : "ada", now = states[at];
      const [, ada, bob, atServer, thenServer, atSecond] = states.map((state) => state.operation);
      const after = (operation) => (transformed ? [" transformed into ", code(operation)] : [" as it is"]);
      const lines = [
        ["Ada changes her text and sends ", code(ada)],
        ["Bob changes his text and sends ", code(bob)],
        [`The server applies ${first}'s operation: revision 2`],
        [`The server applies ${second}'s operation`, ...after(thenServer), ": revision 3"],
        [`${name(second)} applies ${first}'s operation`, ...after(atSecond)],
        [`${name(first)} applies ${second}'s operation as the server sent it`],
      ];
      this.steps.replaceChildren(make("ol", {}, ...lines.map((line, n) => {
        const state = n < at ? "done" : n === at ? "next" : "later";
        return make("li", { class: state, ...(n === at && { "aria-current": "step" }) }, `${n + 1}. `, ...line);
      })));
      this.picture.setAttribute("class", `crossing ${first}-first`);
      for (const part of this.picture.querySelectorAll("[data-step]")) part.classList.toggle("later", part.dataset.step > at);
      this.told.replaceChildren(this.table("", ["ada", "server", "bob"].map((place) =>
        [place === "server" ? "the server" : place, make("span", { class: "code text" }, ...(place === now.place ? this.marked(now) : [now.texts[place]]))])));
      this.next.ariaDisabled = String(at === 6);
      this.back.ariaDisabled = this.again.ariaDisabled = String(at === 0);
      this.say(...this.judge(at, now, states[1], first, second, transformed));
    }

    /** Returns a text with what the last step inserted and deleted in it. */
    marked({ before, operation }) {
      const old = [...before];
      let position = 0;
      const nodes = operation.map((part) => {
        if (kind(part) === "insert") return make("ins", {}, part);
        const piece = old.slice(position, (position += size(part))).join("");
        return kind(part) === "delete" ? make("del", {}, piece) : piece;
      });
      return [...nodes, old.slice(position).join("")].filter((node) => node.textContent !== "" && node !== "");
    }

    /** Returns a sentence about a state, and whether something is wrong. */
    judge(at, now, typed, first, second, transformed) {
      const { ada, server, bob } = now.texts, equal = ada === server && bob === server;
      const wrong = transformed || now.fits || at < 4 ? "" : ` The operation covers ${total(now.operation)} characters, but the text has ${size(now.before)}: lesson 15's apply() would reject it.`;
      if (at === 0) return ["The two clients and the server have the same text, revision 1."];
      if (at === 1) return ["Ada sees her change at once. The server hasn't received it yet."];
      if (at === 2) return ["Both operations are for revision 1. Neither client knows of the other operation."];
      if (at === 3) return [`${name(first)}'s operation fits the server's text. The server sends it on to ${second}.`];
      if (at === 4 && transformed) return [`${name(second)}'s operation is for ${quoted(typed.before)}, not for the server's text. The server transforms it over ${first}'s.`];
      if (at === 5 && transformed) return [`${name(second)} has already applied ${second === "ada" ? "her" : "his"} own operation, so ${first}'s is transformed over it. ${name(second)} and the server agree.`];
      if (at < 6) return [`This operation is for ${quoted(typed.before)}, but is applied to ${quoted(now.before)}.${wrong}`, true];
      if (!equal) return [`The texts differ, although no operation was lost.${wrong}`, true];
      return transformed ? [`All three have ${quoted(server)}.`] : [`All three have ${quoted(server)}, but only by chance.`];
    }
  });
}
