"""The board's message protocol, board.v1: each request of a client gets one reply.

asyncapi.yaml describes every message, and the lesson's page lists them in a table.
"""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass

from werkzeug.exceptions import Forbidden, ServiceUnavailable

from auth import authorize
from inputs import MAX_ID, MAX_TEXT
from limits import TOO_FAST, Rates, rounded_up
from store import Conflict, Store

SUBPROTOCOL = "board.v1"
MAX_NAME = 64  # characters of a `type` or an `id`

log = logging.getLogger(__name__)


class Refused(Exception):
    """A request that gets an error as its reply: `code` for programs, `detail` for people."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


@dataclass
class Session:
    """The conversation with one client. It has no socket: it takes a text and returns a reply."""

    store: Store
    room: str
    author: str
    rates: Rates
    refused: int = 0  # consecutive requests that exceeded the rate

    def welcome(self) -> dict:
        """Return the first message that the server sends."""
        last_id = self.store.last_id(self.room)
        return {"type": "welcome", "room": self.room, "user": self.author, "last_id": last_id}

    def handle(self, data: str | bytes) -> dict:
        """Return the reply to one message of the client. It never raises an exception."""
        request_id = None
        try:
            request, request_id, fault = read(data)
            wait = self.rates.take(self.author)  # A message that isn't valid costs a token, too.
            self.refused = self.refused + 1 if wait else 0
            if fault:
                raise fault
            if wait:
                return {**error(request_id, "rate", TOO_FAST), "retry_after": rounded_up(wait)}
            return self.reply(request)
        except Forbidden as refusal:
            return error(request_id, "forbidden", refusal.description)
        except Refused as refusal:
            return error(request_id, refusal.code, refusal.detail)
        except Exception as failure:
            # --8<-- [start:down-error] On ServiceUnavailable, return `unavailable`, `retry_after`.
            if isinstance(failure, ServiceUnavailable):
                reply = error(request_id, "unavailable", failure.description)
                return {**reply, "retry_after": failure.retry_after}
            # --8<-- [end:down-error]
            log.exception("A request of %s in %s failed.", self.author, self.room)
            return error(request_id, "internal", "The server failed. Try again later.")

    def reply(self, request: dict) -> dict:
        """Return the reply to a request with an id. Raises Refused, Forbidden and so on."""
        kind = string(request, "type", MAX_NAME)
        handler = HANDLERS.get(kind)
        if handler is None:
            raise Refused("unknown_type", f"There is no request type {kind!r}.")
        authorize(self.author, ACTIONS[kind], self.room)
        return handler(self, request)


def error(request_id: str | None, code: str, detail: str) -> dict:
    """Return the reply to a request that failed. The id is None if it can't be read."""
    return {"type": "error", "id": request_id, "code": code, "detail": detail}


def read(data: str | bytes) -> tuple[dict, str | None, Refused | None]:
    """Return a request and its id, or why it can't be read."""
    try:
        request = parsed(data)
        return request, string(request, "id", MAX_NAME), None
    except Refused as refusal:
        return {}, None, refusal


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


def post(session: Session, request: dict) -> dict:
    """Store a message, once for each request id of its author. The reply contains the message."""
    text = string(request, "text", MAX_TEXT)
    try:
        message = session.store.add(session.room, session.author, text, request["id"])
    except Conflict:
        raise Refused("conflict", "You have used this id for another message.") from None
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
    """Reply at once, which shows that the connection and the server work."""
    return {"type": "pong", "id": request["id"]}


# The handler of each request type. It returns the reply, or raises Refused.
HANDLERS: dict[str, Callable[[Session, dict], dict]] = {
    "post": post,
    "history": history,
    "older": older,
    "ping": ping,
}

# What an author must be allowed to do for each request type.
ACTIONS = {"post": "post", "history": "read", "older": "read", "ping": "read"}
