"""The editor's message protocol, editor.v1: each request but `caret` gets one reply."""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass

from document import MAX_DOCUMENT, Document, Refused
from hub import Connection, Hub
from inputs import MAX_ID
from ot import Misfit, Operation, add
from store import Edit

SUBPROTOCOL = "editor.v1"
MAX_NAME = 64  # characters of a `type` or an `id`
MAX_PARTS = 1_000  # of an operation

log = logging.getLogger(__name__)


@dataclass
class Session:
    """The conversation with one client. It has no socket: it takes a text and returns a reply."""

    hub: Hub
    document: Document
    room: str
    connection: Connection
    client: int  # the number of the connection, which no other has

    def welcome(self) -> dict:
        """Return the message from which on the client is live. `resumed`: nothing is missing."""
        document = {"room": self.room, "last_id": self.document.revision, "resumed": True}
        return {"type": "welcome", **document, "client": self.client}

    def missed(self, revision: int | None) -> list[dict]:
        """Return what takes a client from a revision to the present one. None is no revision."""
        if revision == self.document.revision:
            return []
        try:
            edits = None if revision is None else self.document.since(revision)
        except Refused:
            edits = None
        if edits is None:
            return [snapshot(self.document)]
        return [pushed(edit) for edit in edits]

    def publish(self, message: dict) -> None:
        """Send a message to all other clients of the room."""
        self.hub.publish(self.room, message, but=self.connection)

    def handle(self, data: str | bytes) -> dict | None:
        """Return the reply to one message of the client, or None. It never raises an exception.

        Hold `hub.turn` until the reply is sent, so that it is in order with what is published.
        """
        request_id = None
        try:
            request = parsed(data)
            kind = string(request, "type", MAX_NAME)
            if kind != "caret" or "id" in request:
                request_id = string(request, "id", MAX_NAME)
            handler = HANDLERS.get(kind)
            if handler is None:
                raise Refused("unknown_type", f"There is no request type {kind!r}.")
            return handler(self, request)
        except Refused as refusal:
            return error(request_id, refusal.code, refusal.detail)
        except Misfit as misfit:
            return error(request_id, "misfit", str(misfit))
        except Exception:
            author = self.connection.author
            log.exception("A request of %s in %s failed.", author, self.room)
            return error(request_id, "internal", "The server failed. Try again later.")


def snapshot(document: Document) -> dict:
    """Return the message that gives a client the whole document."""
    return {"type": "document", "revision": document.revision, "text": document.text}


def pushed(edit: Edit) -> dict:
    """Return the message that tells a client of an edit."""
    named = {"revision": edit.revision, "author": edit.author, "id": edit.id}
    return {"type": "edit", **named, "operation": edit.operation}


def error(request_id: str | None, code: str, detail: str) -> dict:
    """Return the reply to a request that failed. The id is None if it can't be read."""
    return {"type": "error", "id": request_id, "code": code, "detail": detail}


def parsed(data: str | bytes) -> dict:
    """Return the JSON object that a client sent. Raises Refused for anything else."""
    if isinstance(data, bytes):
        raise Refused("bad_message", "A message must be text, not bytes.")
    try:
        request = json.loads(data, object_pairs_hook=unique, parse_constant=no_constant)
        json.dumps(request, ensure_ascii=False).encode()  # UTF-8 can't encode a lone surrogate.
    except (ValueError, RecursionError) as fault:
        raise Refused("bad_message", f"The message isn't valid JSON: {fault}") from None
    if not isinstance(request, dict):
        raise Refused("bad_message", "A message must be a JSON object.")
    return request


def unique(pairs: list[tuple[str, object]]) -> dict:
    """Return a JSON object. Raises ValueError if a key occurs twice (RFC 8259, section 4)."""
    found = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key!r:.80} occurs twice")
        found[key] = value
    return found


def no_constant(name: str) -> None:
    """Raise ValueError for NaN and Infinity, which Python's json accepts and JSON doesn't have."""
    raise ValueError(f"{name} isn't a JSON value")


def string(request: dict, name: str, longest: int) -> str:
    """Return a string field. Raises Refused if it is missing, blank or too long."""
    value = request.get(name)
    if not isinstance(value, str) or not value.strip() or len(value) > longest:
        wanted = f"a string of 1 to {longest} characters that isn't blank"
        raise Refused("bad_message", f"{name} must be {wanted}.")
    return value


def whole_number(request: dict, name: str, default: int, low: int, high: int) -> int:
    """Return an integer field, or its default. Raises Refused if it is out of range."""
    value = request.get(name, default)
    if type(value) is not int or not low <= value <= high:  # isinstance(True, int) is true.
        raise Refused("bad_message", f"{name} must be a whole number from {low} to {high}.")
    return value


def operation_of(request: dict) -> Operation:
    """Return an operation in canonical form. Raises Refused if it is anything else."""
    parts, canonical = request.get("operation"), []
    if not isinstance(parts, list) or any(type(part) not in (int, str) for part in parts):
        raise Refused("bad_message", "operation must be a list of whole numbers and strings.")
    if len(parts) > MAX_PARTS:
        raise Refused("too_long", f"An operation has at most {MAX_PARTS} parts.")
    for part in parts:
        add(canonical, part)
    if canonical != parts:
        raise Refused("bad_message", "operation must be in canonical form.")
    if any(isinstance(part, str) and "\r" in part for part in parts):
        raise Refused("bad_message", "A line ends with one LF, without a CR.")
    return parts


def edit(session: Session, request: dict) -> dict:
    """Apply an operation, and publish it. If its id was used before, only acknowledge it again."""
    operation = operation_of(request)
    revision = whole_number(request, "revision", default=-1, low=0, high=MAX_ID)
    before = session.document.revision
    author = session.connection.author
    edit = session.document.add(author, request["id"], revision, operation)
    if edit.revision > before:
        session.publish(pushed(edit))
    return {"type": "ack", "id": request["id"], "revision": edit.revision}


def caret(session: Session, request: dict) -> None:
    """Publish where the client's caret is, or its selection. There is no reply."""
    revision = whole_number(request, "revision", default=-1, low=0, high=MAX_ID)
    start = whole_number(request, "start", default=-1, low=0, high=MAX_DOCUMENT)
    end = whole_number(request, "end", default=-1, low=start, high=MAX_DOCUMENT)
    move = session.document.move
    place = {"start": move(start, revision), "end": move(end, revision)}
    about = {"client": session.client, "author": session.connection.author}
    session.publish({"type": "caret", **about, "revision": session.document.revision, **place})


def document(session: Session, request: dict) -> dict:
    """Return the whole document."""
    return {**snapshot(session.document), "id": request["id"]}


def ping(session: Session, request: dict) -> dict:
    """Reply at once, which shows that the connection and the server work."""
    return {"type": "pong", "id": request["id"]}


# The handler of each request type. It returns the reply, or raises Refused.
HANDLERS: dict[str, Callable[[Session, dict], dict | None]] = {
    "edit": edit,
    "caret": caret,
    "document": document,
    "ping": ping,
}
