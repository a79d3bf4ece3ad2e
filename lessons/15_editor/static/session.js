// A client's side of a document: the twin of client.py, with other people's carets.

import { apply, compose, kind, moved, transform } from "./ot.js";

/** Return an id that no other request has. */
function newId() {
  return crypto.getRandomValues(new Uint32Array(3)).join("-");
}

/** A document as one page has it. It has no socket: `send(request)` sends an object. */
export class Session {
  /** `onRemote(operation)` is called with what to apply; `onReplaced(lost)` after a new text. */
  constructor({ send, onRemote, onReplaced, onCarets }) {
    Object.assign(this, { send, onRemote, onReplaced, onCarets });
    this.open = false; // from the welcome until the connection has ended
    this.text = "";
    this.revision = null; // the newest of the server's that `text` includes
    this.inFlight = null; // sent, and not acknowledged
    this.id = ""; // of the operation in flight
    this.buffer = null; // made since; not sent
    this.carets = new Map(); // of other connections, by their number
  }

  /** Apply what the user has done. */
  edit(operation) {
    this.text = apply(this.text, operation);
    this.buffer = this.buffer ? compose(this.buffer, operation) : operation;
    this.moveCarets(operation);
    this.flush();
  }

  /** Send the buffer, if the connection is open and no operation is in flight. */
  flush() {
    if (!this.open || !this.buffer || this.inFlight) return;
    [this.inFlight, this.buffer] = [this.buffer, null];
    this.id = newId();
    this.sendInFlight();
  }

  sendInFlight() {
    this.send({ type: "edit", id: this.id, revision: this.revision, operation: this.inFlight });
  }

  /** Note that the connection has ended. The client's operations stay. */
  disconnected() {
    this.open = false;
    this.carets.clear();
    this.onCarets();
  }

  /** Handle a message of the server. */
  receive(said) {
    const ours = this.inFlight !== null && said.id === this.id;
    if (said.type === "welcome") this.opened();
    else if (said.type === "document") this.replaced(said.text, said.revision);
    else if (said.type === "error" && ours) this.send({ type: "document", id: newId() });
    else if ((said.type === "ack" || said.type === "edit") && ours) this.acknowledged(said.revision);
    else if (said.type === "edit") this.edited(said.operation, said.revision);
    else if (said.type === "caret") this.placed(said);
    else if (said.type === "left") this.carets.delete(said.client);
    if (said.type === "left") this.onCarets();
  }

  opened() {
    this.open = true;
    if (this.inFlight) this.sendInFlight();
    else this.flush();
  }

  acknowledged(revision) {
    [this.revision, this.inFlight] = [revision, null];
    this.flush();
  }

  /** Apply another client's operation, which the server has ordered before ours. */
  edited(operation, revision) {
    if (this.inFlight) [operation, this.inFlight] = transform(operation, this.inFlight);
    if (this.buffer) [operation, this.buffer] = transform(operation, this.buffer);
    [this.text, this.revision] = [apply(this.text, operation), revision];
    this.moveCarets(operation);
    this.onRemote(operation);
  }

  /** Begin again with the server's text: what happened before it isn't known any more. */
  replaced(text, revision) {
    const waiting = [...(this.inFlight ?? []), ...(this.buffer ?? [])];
    const lost = waiting.filter((part) => kind(part) === "insert");
    [this.text, this.revision] = [text, revision];
    this.inFlight = this.buffer = null;
    this.carets.clear();
    this.onReplaced(lost);
  }

  /** Note another user's caret, which the server has moved to our revision. */
  placed({ client, author, start, end }) {
    for (const operation of [this.inFlight, this.buffer]) {
      if (operation) [start, end] = [moved(start, operation), moved(end, operation)];
    }
    this.carets.set(client, { author, start, end });
    this.onCarets();
  }

  moveCarets(operation) {
    for (const caret of this.carets.values()) {
      caret.start = moved(caret.start, operation);
      caret.end = moved(caret.end, operation);
    }
  }

  /** Tell the others where the user's caret is. The server knows no operation that waits. */
  sendCaret(start, end) {
    if (this.open && !this.inFlight && !this.buffer) {
      this.send({ type: "caret", revision: this.revision, start, end });
    }
  }
}
