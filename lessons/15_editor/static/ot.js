// Operational transformation: the twin of ot.py, with the same names and the same results.
//
// An operation covers the whole text. It is a list of parts: a positive number retains so many
// characters, a negative number deletes so many, and a string is inserted. Characters are code
// points, as in Python. A string of JavaScript counts UTF-16 units, two for an emoji.

/** An operation was made for a text of another length. */
export class Misfit extends Error {}

/** Return how many code points a text has. */
export function length(text) {
  let count = 0;
  for (const _ of text) count += 1;
  return count;
}

/** Return how many UTF-16 units the first `points` code points of a text have. */
export function toUnits(text, points) {
  let units = 0;
  for (; points > 0 && units < text.length; points -= 1) {
    units += text.codePointAt(units) > 0xffff ? 2 : 1;
  }
  return units;
}

/** Return how many code points the first `units` UTF-16 units of a text have. */
export function toPoints(text, units) {
  return length(text.slice(0, units));
}

/** Return what a part does: "insert", "delete" or "retain". */
export function kind(part) {
  if (typeof part === "string") return "insert";
  return part < 0 ? "delete" : "retain";
}

/** Return how many characters a part inserts, deletes or retains. */
export function size(part) {
  return typeof part === "string" ? length(part) : Math.abs(part);
}

/** Append a part in canonical form: equal kinds merged, an insert before an adjacent delete. */
export function add(operation, part) {
  if (!part) return; // 0 and "" change nothing.
  const last = operation.at(-1);
  let deleted = 0;
  if (kind(part) === "insert" && last < 0) deleted = operation.pop();
  if (operation.length && kind(operation.at(-1)) === kind(part)) {
    operation.push(operation.pop() + part);
  } else {
    operation.push(part);
  }
  if (deleted) operation.push(deleted);
}

/** The parts of an operation, to be taken from the first to the last. */
export class Parts {
  #parts;

  constructor(operation) {
    this.#parts = [...operation].reverse();
  }

  /** What the next part does: "insert", "delete" or "retain", or "end" after the last. */
  get next() {
    return this.#parts.length ? kind(this.#parts.at(-1)) : "end";
  }

  /** Return the next part. */
  take() {
    return this.#parts.pop();
  }

  /** Return the next piece of this operation and of the other, of the same length. */
  takePieces(other) {
    if (this.next === "end" || other.next === "end") {
      throw new Misfit("The operations are for texts of different lengths.");
    }
    const count = Math.min(size(this.#parts.at(-1)), size(other.#parts.at(-1)));
    return [this.#takePiece(count), other.#takePiece(count)];
  }

  #takePiece(count) {
    const part = this.#parts.pop();
    let piece, rest;
    if (typeof part === "string") {
      const units = toUnits(part, count);
      [piece, rest] = [part.slice(0, units), part.slice(units)];
    } else {
      piece = part > 0 ? count : -count;
      rest = part - piece;
    }
    if (rest) this.#parts.push(rest);
    return piece;
  }
}

/** Return the text with the operation applied. Throws Misfit if it is for another length. */
export function apply(text, operation) {
  const pieces = [];
  let units = 0;
  for (const part of operation) {
    if (kind(part) === "insert") {
      pieces.push(part);
      continue;
    }
    const rest = text.slice(units);
    const after = toUnits(rest, size(part));
    if (length(rest.slice(0, after)) < size(part)) throw new Misfit("The operation is for a longer text.");
    if (kind(part) === "retain") pieces.push(rest.slice(0, after));
    units += after;
  }
  if (units !== text.length) throw new Misfit("The operation is for a shorter text.");
  return pieces.join("");
}

/** Return one operation that does what `first` and then `second` do. Throws Misfit. */
export function compose(first, second) {
  const [a, b, both] = [new Parts(first), new Parts(second), []];
  while (a.next !== "end" || b.next !== "end") {
    if (a.next === "delete") add(both, a.take());
    else if (b.next === "insert") add(both, b.take());
    else {
      const [before, after] = a.takePieces(b);
      if (kind(after) === "retain") add(both, before);
      else if (kind(before) === "retain") add(both, after);
    }
  }
  return both;
}

/**
 * Return both operations, made at the same time, as they are after the other one. If both insert
 * in one place, the text of `first` is before that of `second`. Throws Misfit.
 */
export function transform(first, second) {
  const [a, b, newFirst, newSecond] = [new Parts(first), new Parts(second), [], []];
  while (a.next !== "end" || b.next !== "end") {
    if (a.next === "insert") {
      const text = a.take();
      add(newFirst, text);
      add(newSecond, length(text));
    } else if (b.next === "insert") {
      const text = b.take();
      add(newFirst, length(text));
      add(newSecond, text);
    } else {
      const [mine, theirs] = a.takePieces(b);
      if (kind(theirs) === "retain") add(newFirst, mine);
      if (kind(mine) === "retain") add(newSecond, theirs);
    }
  }
  return [newFirst, newSecond];
}

/** Return what undoes the operation. `text` is the text before it. */
export function invert(operation, text) {
  const [inverse, points] = [[], [...text]];
  let position = 0;
  for (const part of operation) {
    if (kind(part) === "insert") {
      add(inverse, -length(part));
      continue;
    }
    const after = position + size(part);
    add(inverse, kind(part) === "delete" ? points.slice(position, after).join("") : part);
    position = after;
  }
  return inverse;
}

/** Return where a position is after the operation. An insert at the position doesn't move it. */
export function moved(position, operation) {
  let [before, now] = [0, position];
  for (const part of operation) {
    if (before >= position) break;
    if (kind(part) === "insert") {
      now += size(part);
      continue;
    }
    if (kind(part) === "delete") now -= Math.min(size(part), position - before);
    before += size(part);
  }
  return now;
}

/**
 * Return the operation that makes `after` of `before`. Where several would, as after a letter
 * that is typed beside an equal one, the text behind `caret`, in code points, is retained.
 */
export function difference(before, after, caret = Infinity) {
  const [old, now] = [[...before], [...after]];
  const most = Math.min(old.length, now.length);
  const behind = Math.min(most, Math.max(0, now.length - caret));
  const sameEnd = (limit, from) => {
    let count = from;
    while (count < limit && old.at(-1 - count) === now.at(-1 - count)) count += 1;
    return count;
  };
  let end = sameEnd(behind, 0);
  let start = 0;
  while (start < most - end && old[start] === now[start]) start += 1;
  end = sameEnd(most - start, end);
  const operation = [];
  add(operation, start);
  add(operation, now.slice(start, now.length - end).join(""));
  add(operation, -(old.length - start - end));
  add(operation, end);
  return operation;
}
