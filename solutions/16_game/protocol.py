"""The game's message protocol, game.v1. A turn gets a reply only if it is rejected.

asyncapi.yaml describes every message.
"""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass

from game import DIRECTIONS
from hub import Connection
from room import Player, Room
from turns import Refused

SUBPROTOCOL = "game.v1"
MAX_NAME = 64  # characters of a `type` or an `id`
MAX_SEQ = 2**31
MAX_TICK = 2**53

log = logging.getLogger(__name__)


@dataclass
class Session:
    """The conversation with one client. It has no socket: it takes a text and returns a reply."""

    room: Room
    player: Player
    connection: Connection

    def handle(self, data: str | bytes) -> dict | None:
        """Return the reply to one message of the client, if there is one. It raises nothing."""
        request: dict = {}
        try:
            request = parsed(data)
            kind = string(request, "type", MAX_NAME)
            handler = HANDLERS.get(kind)
            if handler is None:
                raise Refused("unknown_type", f"There is no request type {kind!r}.")
            return handler(self, request)
        except Refused as refusal:
            return error(request, refusal.code, refusal.detail)
        except Exception:
            log.exception("A request of %s failed.", self.player.name)
            return error(request, "internal", "The server failed. Try again later.")


def error(request: dict, code: str, detail: str) -> dict:
    """Return the reply to a request that failed, with its `id` and `seq` if these can be read."""
    found = {"id": request.get("id"), "seq": request.get("seq")}
    if not isinstance(found["id"], str) or len(found["id"]) > MAX_NAME:
        found["id"] = None
    if type(found["seq"]) is not int or not 1 <= found["seq"] <= MAX_SEQ:
        found["seq"] = None
    return {"type": "error", **found, "code": code, "detail": detail}


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


def whole_number(request: dict, name: str, low: int, high: int) -> int:
    """Return an integer field. Raises Refused if it is missing or out of range."""
    value = request.get(name)
    if type(value) is not int or not low <= value <= high:  # isinstance(True, int) is true.
        raise Refused("bad_message", f"{name} must be a whole number from {low} to {high}.")
    return value


def turn(session: Session, request: dict) -> None:
    """Note the player's turn for a tick. Ignore a connection that was replaced."""
    seq = whole_number(request, "seq", 1, MAX_SEQ)
    tick = whole_number(request, "tick", 0, MAX_TICK)
    direction = request.get("direction")
    if direction not in DIRECTIONS:
        raise Refused("bad_message", f"direction must be one of {', '.join(DIRECTIONS)}.")
    with session.room.lock:
        if session.player.connection is session.connection:
            session.player.turns.add(seq, tick, direction, session.room.game["tick"])


def ping(session: Session, request: dict) -> dict:
    """Reply at once, which shows that the connection and the server work."""
    return {"type": "pong", "id": string(request, "id", MAX_NAME)}


# The handler of each request type. It returns the reply, or raises Refused.
HANDLERS: dict[str, Callable[[Session, dict], dict | None]] = {"turn": turn, "ping": ping}
