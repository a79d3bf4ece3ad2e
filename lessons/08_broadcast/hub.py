"""Who is in which room, and what is sent to them all."""

import json
import threading
from collections.abc import Callable

from simple_websocket import ConnectionClosed, Server
from wsproto.utilities import LocalProtocolError

from store import Store

GONE = (ConnectionClosed, LocalProtocolError, OSError)  # how `ws` says that the client has gone


class Connection:
    """A client's WebSocket, and whose it is. All that is sent to the client goes through `send`."""

    def __init__(self, ws: Server, author: str) -> None:
        self.ws, self.author = ws, author
        self._lock = threading.Lock()

    def send(self, text: str) -> None:
        """Send one message. Raises one of `GONE` when the client has gone."""
        # TODO(join-send): Send `text` by `self.ws`; let one thread at a time do so.
        ...
        # END(join-send)


class Hub:
    """The rooms, and the connections in each. A room that is empty is forgotten."""

    def __init__(self) -> None:
        # Whoever changes a room, or sends to it, has the turn: so all clients see one order.
        # It may be taken again by who has it: `leave` publishes, and `publish` lets leave.
        self.turn = threading.RLock()
        self._rooms: dict[str, set[Connection]] = {}

    def members(self, room: str) -> list[str]:
        """Return the names of those who are in the room, sorted, each once."""
        with self.turn:
            return sorted({connection.author for connection in self._rooms.get(room, ())})

    def join(self, room: str, connection: Connection, welcome: Callable[[], dict]) -> None:
        """Let the connection into the room, and greet it with what `welcome()` returns.

        Raises one of `GONE` when the client has gone.
        """
        # TODO(join): Add `connection`; send it `welcome()` and `members`; tell the room.
        ...
        # END(join)

    def leave(self, room: str, *connections: Connection) -> None:
        """Let them out of the room, as far as they are in it."""
        # TODO(leave): Remove `connections`; forget an empty room; `tell()` the others.
        ...
        # END(leave)

    def tell(self, room: str, before: list[str]) -> None:
        """Publish who is in the room, unless it is `before` still."""
        members = self.members(room)
        if members != before:
            self.publish(room, {"type": "presence", "members": members})

    def publish(self, room: str, message: dict) -> None:
        """Send the message to every client in the room. Those that have gone, leave it."""
        # TODO(fan_out): Send `message` to each of the room; let those that fail leave.
        ...
        # END(fan_out)


class Board(Store):
    """The store, and who listens: whatever is kept is pushed, by whichever way it came."""

    def __init__(self, path: str, hub: Hub) -> None:
        super().__init__(path)
        self._hub = hub

    def add(self, room: str, author: str, text: str, request_id: str | None = None) -> dict:
        """Keep a message as `Store.add` does, and publish it, unless it was kept before."""
        # TODO(fan_out-add): Keep the message; publish it if it is new, in the same turn.
        ...
        # END(fan_out-add)
