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
        # The handler answers while other threads publish: two frames would get mixed.
        with self._lock:
            self.ws.send(text)


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
        with self.turn:
            before = self.members(room)
            # Registered before it is greeted: so it misses nothing that comes after the greeting.
            self._rooms.setdefault(room, set()).add(connection)
            connection.send(json.dumps({**welcome(), "members": self.members(room)}))
            self.tell(room, before)

    def leave(self, room: str, *connections: Connection) -> None:
        """Let them out of the room, as far as they are in it."""
        with self.turn:
            before = self.members(room)
            here = self._rooms.get(room, set())
            here.difference_update(connections)
            if not here:
                self._rooms.pop(room, None)
            self.tell(room, before)

    def tell(self, room: str, before: list[str]) -> None:
        """Publish who is in the room, unless it is `before` still."""
        members = self.members(room)
        if members != before:
            self.publish(room, {"type": "presence", "members": members})

    def publish(self, room: str, message: dict) -> None:
        """Send the message to every client in the room. Those that have gone, leave it."""
        text, gone = json.dumps(message), []
        with self.turn:
            for connection in list(self._rooms.get(room, ())):
                try:
                    connection.send(text)
                except GONE:
                    gone.append(connection)
            # Only now, so that everybody has this message before the next, which is of presence.
            if gone:
                self.leave(room, *gone)


class Board(Store):
    """The store, and who listens: whatever is kept is pushed, by whichever way it came."""

    def __init__(self, path: str, hub: Hub) -> None:
        super().__init__(path)
        self._hub = hub

    def add(self, room: str, author: str, text: str, request_id: str | None = None) -> dict:
        """Keep a message as `Store.add` does, and publish it, unless it was kept before."""
        with self._hub.turn:  # From the id to the last send: nobody overtakes.
            newest = self.last_id(room)
            message = super().add(room, author, text, request_id)
            if message["id"] > newest:
                self._hub.publish(room, {"type": "message", "message": message})
        return message
