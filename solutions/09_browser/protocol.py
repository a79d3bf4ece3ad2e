"""The board's message protocol, board.v1: every request of a client's gets one reply.

asyncapi.yaml describes each message, and the page has them as a table.
"""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass

from store import Store

SUBPROTOCOL = "board.v1"
MAX_NAME = 64  # characters of a `type` or an `id`
MAX_TEXT = 2_000  # characters
MAX_ID = 2**63 - 1  # the largest integer that SQLite can hold

log = logging.getLogger(__name__)


class Refused(Exception):
    """A request that is answered with an error: `code` for programs, `detail` for people."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code, self.detail = code, detail


@dataclass
class Session:
    """What is said with one client. It knows no socket: text comes in, a reply goes out."""

    store: Store
    room: str
    author: str

    def welcome(self) -> dict:
        """Return the message that the server begins with."""
        return {"type": "welcome", "room": self.room, "last_id": self.store.last_id(self.room)}

    def handle(self, data: str | bytes) -> dict:
        """Return the reply to one message of the client's. Whatever it is, this raises nothing."""
        request_id = None
        try:
            request = parsed(data)
            request_id = string(request, "id", MAX_NAME)
            kind = string(request, "type", MAX_NAME)
            handler = HANDLERS.get(kind)
            if handler is None:
                raise Refused("unknown_type", f"There is no type {kind!r}.")
            return handler(self, request)
        except Refused as refusal:
            return error(request_id, refusal.code, refusal.detail)
        except Exception:
            log.exception("A request of %s in %s failed.", self.author, self.room)
            return error(request_id, "internal", "The server failed to do this. Try again later.")


def error(request_id: str | None, code: str, detail: str) -> dict:
    """Return the reply to a request that was not done. `request_id` is None where it has no id."""
    return {"type": "error", "id": request_id, "code": code, "detail": detail}


def parsed(data: str | bytes) -> dict:
    """Return the JSON object that a client sent. Raises Refused for anything else."""
    if isinstance(data, bytes):
        raise Refused("bad_message", "A message is text, not bytes.")
    try:
        request = json.loads(data, object_pairs_hook=unique, parse_constant=no_constant)
        json.dumps(request, ensure_ascii=False).encode()  # Half a surrogate pair has no bytes.
    except (ValueError, RecursionError) as fault:
        raise Refused("bad_message", f"This is no JSON of board.v1: {fault}") from None
    if not isinstance(request, dict):
        raise Refused("bad_message", "A message is a JSON object.")
    return request


def unique(pairs: list[tuple[str, object]]) -> dict:
    """Return a JSON object. Raises ValueError where it has a key twice (RFC 8259, section 4)."""
    found = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key!r:.80} occurs twice")
        found[key] = value
    return found


def no_constant(name: str) -> None:
    """Raise ValueError for NaN and Infinity, which json reads but JSON does not have."""
    raise ValueError(f"{name} is no value")


def string(request: dict, name: str, longest: int) -> str:
    """Return a field that is text. Raises Refused unless it has 1 to `longest` characters."""
    value = request.get(name)
    if not isinstance(value, str) or not value.strip() or len(value) > longest:
        wanted = f"a string that is not blank, of at most {longest} characters"
        raise Refused("bad_message", f"{name} must be {wanted}.")
    return value


def whole_number(request: dict, name: str, default: int, low: int, high: int) -> int:
    """Return a field that is a whole number, or the default. Raises Refused out of the range."""
    value = request.get(name, default)
    if type(value) is not int or not low <= value <= high:  # True is an int as well.
        raise Refused("bad_message", f"{name} must be a whole number from {low} to {high}.")
    return value


def post(session: Session, request: dict) -> dict:
    """Keep a message, once for each id of the author's in the room. The reply has the message."""
    text = string(request, "text", MAX_TEXT)
    message = session.store.add(session.room, session.author, text, request["id"])
    return {"type": "ack", "id": request["id"], "message": message}


def history(session: Session, request: dict) -> dict:
    """Return a page of the room's messages after a cursor, and the next cursor."""
    after = whole_number(request, "after", default=0, low=0, high=MAX_ID)
    limit = whole_number(request, "limit", default=50, low=1, high=200)
    messages = session.store.list(session.room, after, limit)
    cursor = messages[-1]["id"] if messages else after
    return {"type": "messages", "id": request["id"], "messages": messages, "next": cursor}


def older(session: Session, request: dict) -> dict:
    """Return the last messages of the room below the id `before`, oldest first."""
    before = whole_number(request, "before", default=0, low=1, high=MAX_ID)  # It is required.
    limit = whole_number(request, "limit", default=50, low=1, high=200)
    messages = session.store.list_before(session.room, before, limit)
    cursor = messages[0]["id"] if messages else before
    return {"type": "messages", "id": request["id"], "messages": messages, "next": cursor}


def ping(session: Session, request: dict) -> dict:
    """Show that the server is there."""
    return {"type": "pong", "id": request["id"]}


# What a client may ask for. A handler returns the reply, or raises Refused.
HANDLERS: dict[str, Callable[[Session, dict], dict]] = {
    "post": post,
    "history": history,
    "older": older,
    "ping": ping,
}
