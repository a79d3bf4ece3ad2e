/* Interactive figures: their common code, and the loader for those that a page contains.

   A page contains <figure-NAME> with a still picture and its text. This script loads
   figures/NAME.js, whose class extends Figure. Its play() fills the live part, which replaces
   the picture on the screen. Without JavaScript, in print, and if play() fails, the picture is
   shown. This isn't a module, because modules don't load from a file. */
"use strict";

/** Returns an element. A function in `attributes` is a listener; children are text or nodes. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (name in element && typeof value !== "string") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** Returns bytes as pairs of hex digits. */
function hex(bytes) {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
}

class Figure extends HTMLElement {
  connectedCallback() {
    if (this.live) return;
    const still = make("div", { class: "still" }, ...this.childNodes);
    const label = this.getAttribute("label") ?? "An interactive figure";
    this.live = make("div", { class: "live", role: "group", "aria-label": label });
    this.replaceChildren(still, this.live);
    this.still = still;
    this.play(this.live);
    this.setAttribute("playing", "");
  }

  /** Returns a control with its label above it. */
  field(label, control, kind = "") {
    control.id ||= `figure-${(Figure.count = (Figure.count ?? 0) + 1)}`;
    return make("div", { class: `field ${kind}` }, make("label", { for: control.id }, label), control);
  }

  /** Returns a checkbox with its label beside it. */
  tick(label, checked, then) {
    const box = make("input", { type: "checkbox", checked, change: () => then(box.checked) });
    return make("label", { class: "tick" }, box, label);
  }

  /** Returns a list to choose from. `options` has the texts by their values. */
  choice(options, value, then) {
    const entries = Object.entries(options);
    const list = make("select", { change: () => then(list.value) });
    list.append(...entries.map(([key, text]) => make("option", { value: key }, text)));
    list.value = value;
    return list;
  }

  button(text, then, attributes = {}) {
    return make("button", { type: "button", click: then, ...attributes }, text);
  }

  /** Returns a row of controls. */
  controls(...all) {
    return make("div", { class: "fields" }, ...all);
  }

  /** Returns a paragraph that is read out when it changes. */
  status(kind) {
    return make("p", { class: kind, role: "status" });
  }

  /** Shows a text in the status `verdict`, marked if it is `bad` news. */
  say(text, bad = false) {
    this.verdict.textContent = text;
    this.verdict.classList.toggle("bad", bad);
  }

  /** Returns a table. Each row has its cells, a text or a node; the one at `head` is its heading. */
  table(caption, rows, head = 0, columns = null) {
    const cell = (content, place) =>
      content.localName === "td" ? content : place === head ? make("th", { scope: "row" }, content) : make("td", {}, content);
    const lines = rows.map((cells) => make("tr", {}, ...cells.map(cell)));
    const table = make("table", { class: "parts" });
    if (caption) table.append(make("caption", {}, caption));
    if (columns) table.append(make("thead", {}, make("tr", {}, ...columns.map((text) => make("th", { scope: "col" }, text)))));
    table.append(make("tbody", {}, ...lines));
    return table;
  }

  /** Returns a slider over `values`. `says` returns the label for a value. */
  slider(says, values, value, then) {
    const range = make("input", { type: "range", min: "0", max: `${values.length - 1}`, step: "1" });
    const field = this.field("", range, "slider");
    const move = () => {
      const chosen = values[range.value];
      field.firstChild.textContent = range.ariaValueText = says(chosen);
      return chosen;
    };
    range.value = values.indexOf(value);
    range.addEventListener("input", () => then(move()));
    move();
    return field;
  }

  /** Makes a row of buttons a single Tab stop; the arrow keys move within it. */
  rove(row) {
    const all = () => [...row.querySelectorAll("button")];
    const settle = (chosen) => all().forEach((each) => (each.tabIndex = each === chosen ? 0 : -1));
    settle(all()[0]);
    if (row.roving) return;
    row.roving = true;
    row.addEventListener("focusin", (event) => settle(event.target));
    row.addEventListener("keydown", (event) => {
      const buttons = all(), here = buttons.indexOf(document.activeElement);
      const there = { ArrowRight: here + 1, ArrowLeft: here - 1, Home: 0, End: buttons.length - 1 };
      const next = buttons[there[event.key]];
      if (!next || event.ctrlKey || event.altKey || event.metaKey) return;
      event.preventDefault();
      next.focus();
    });
  }
}

{
  const here = document.currentScript.src;
  const found = [...document.querySelectorAll(":not(:defined)")].map((each) => each.localName);
  for (const name of new Set(found.filter((each) => each.startsWith("figure-")))) {
    const file = new URL(`figures/${name.replace("figure-", "")}.js`, here).href;
    document.head.append(make("script", { src: file }));
  }
}
