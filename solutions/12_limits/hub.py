"""The hub: which connections are in which room, and how a message reaches all of them."""

import json
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from simple_websocket import ConnectionClosed, Server

from accounts import Login
from store import Store
from writer import PING, TEXT, Outbox, QueuedSocket, Writer, encode


class Connection:
    """One client's WebSocket, its login and its room. What is sent is queued in its outbox."""

    def __init__(
        self, ws: Server, login: Login, room: str, writer: Writer, limits: tuple[int, int]
    ) -> None:
        self.ws, self.login, self.room = ws, login, room
        self.author = login.user
        self._writer = writer
        self.outbox = Outbox(ws.sock, *limits)
        # simple-websocket writes pongs and close frames to `ws.sock` from a thread of its own.
        # --8<-- [start:writer-socket] Replace `ws.sock` with a `QueuedSocket`.
        ws.sock = QueuedSocket(ws, self.outbox, writer)
        # --8<-- [end:writer-socket]

    @property
    def ending(self) -> tuple[int, str] | None:
        """The close code and reason if we have closed the connection."""
        return self.outbox.ending

    def put(self, text: str) -> None:
        """Queue one message, and never wait. Raises ConnectionClosed if the client is gone."""
        if self.ending or not self.ws.connected:
            raise ConnectionClosed(*(self.ending or (self.ws.close_reason, self.ws.close_message)))
        self._writer.put([self.outbox], encode(TEXT, text.encode()))

    def send(self, text: str) -> None:
        """Queue one message as soon as the client has read most of what was queued before.

        Don't call it while you hold the hub's turn. Raises ConnectionClosed like `put`.
        """
        # --8<-- [start:slow-send] Wait until at most a quarter of `outbox.max_bytes` is queued.
        self._writer.wait(self.outbox, self.outbox.max_bytes // 4)
        # --8<-- [end:slow-send]
        self.put(text)

    def close(self, code: int, reason: str) -> None:
        """Send nothing more than a close frame."""
        self._writer.close(self.outbox, code, reason)

    def release(self) -> None:
        """Write nothing more."""
        self._writer.release(self.outbox)

    @property
    def writes(self) -> int:
        """The number of writes to the client."""
        return self.outbox.writes

    def ping(self) -> bool:
        """Queue a ping unless other frames are queued. Returns whether it was queued.

        It sets `ws.pong_received` to False. The library sets it to True when a pong arrives.
        """
        if self.outbox.size:
            return False
        self.ws.pong_received = False
        self._writer.put([self.outbox], encode(PING, b""))
        return True

    def cut(self) -> None:
        """End the connection at once, without a close frame, for all threads that use it."""
        with suppress(OSError):
            self.outbox.sock.shutdown(socket.SHUT_RDWR)


class Room:
    """The connections in a room, and the members who have just left it."""

    def __init__(self) -> None:
        self.connections: set[Connection] = set()
        self.leaving: dict[str, float] = {}  # each member's deadline to reconnect
        self.timed = False  # A timer will call `settle()`.
        self.told: list[str] = []  # the members in the newest presence

    def members(self) -> list[str]:
        """Return the names of the members, sorted, each once."""
        return sorted({connection.author for connection in self.connections} | self.leaving.keys())


def start_timer(seconds: float, action: Callable[[], None]) -> None:
    """Call `action` after `seconds`."""
    timer = threading.Timer(seconds, action)
    timer.daemon = True
    timer.start()


class Hub:
    """The rooms, each with its connections. Empty rooms are removed."""

    def __init__(
        self,
        writer: Writer,
        grace: float,  # seconds: a member who reconnects within them hasn't left
        clock: Callable[[], float] = time.monotonic,
        timer: Callable[[float, Callable[[], None]], None] = start_timer,
    ) -> None:
        # Hold `turn` to change a room or to publish to it, so that all clients see one order.
        self.turn = threading.RLock()
        self.writer, self.grace, self.clock, self.timer = writer, grace, clock, timer
        self._rooms: dict[str, Room] = {}

    def members(self, room: str) -> list[str]:
        """Return the names of the clients in the room, sorted, each once."""
        with self.turn:
            return self._rooms[room].members() if room in self._rooms else []

    def join(self, room: str, connection: Connection, welcome: Callable[[], dict]) -> None:
        """Add the connection to the room, and send it what `welcome()` returns, with `members`.

        Raises ConnectionClosed if the client has disconnected.
        """
        with self.turn:
            here = self._rooms.setdefault(room, Room())
            # Register first, then greet: the client misses no message after its welcome.
            here.connections.add(connection)
            here.leaving.pop(connection.author, None)
            connection.put(json.dumps({**welcome(), "members": here.members()}))
            self.tell(room)

    def expel(self, connection: Connection, code: int, reason: str) -> None:
        """Close the connection with the code and reason, and send it nothing more."""
        with self.turn:
            connection.close(code, reason)
            self.leave(connection.room, connection)

    def leave(self, room: str, connection: Connection) -> None:
        """Remove the connection if it is in the room. Its member may reconnect in time."""
        with self.turn:
            here = self._rooms.get(room)
            if here is None or connection not in here.connections:
                return
            here.connections.remove(connection)
            # --8<-- [start:latest-leave] Add the author to `here.leaving`. Call `start_timer()`.
            here.leaving[connection.author] = self.clock() + self.grace
            self.start_timer(room, self.grace)
            # --8<-- [end:latest-leave]

    def start_timer(self, room: str, seconds: float) -> None:
        """Call `settle()` after `seconds`, unless a timer of this room is running."""
        here = self._rooms[room]
        if not here.timed:
            here.timed = True
            self.timer(seconds, lambda: self.settle(room))

    def settle(self, room: str) -> None:
        """Report that members haven't reconnected in time. The room's timer calls this."""
        with self.turn:
            here = self._rooms[room]
            here.timed = False
            # --8<-- [start:latest-settle] Remove late members; `tell()`; restart the timer.
            now = self.clock()
            here.leaving = {name: due for name, due in here.leaving.items() if due > now}
            self.tell(room)
            if here.leaving:
                self.start_timer(room, min(here.leaving.values()) - now)
            # --8<-- [end:latest-settle]
            if not here.connections and not here.leaving:
                del self._rooms[room]

    def tell(self, room: str) -> None:
        """Publish the members of the room if they differ from the newest presence."""
        here = self._rooms[room]
        members = here.members()
        if members != here.told:
            here.told = members
            self.publish(room, {"type": "presence", "members": members})

    def publish(self, room: str, message: dict) -> None:
        """Queue the message for every client in the room. This never waits for a client."""
        # --8<-- [start:writer-publish] Encode the message once. Put it in all outboxes of the room.
        frame = encode(TEXT, json.dumps(message).encode())
        latest = "presence" if message["type"] == "presence" else None
        with self.turn:
            if room in self._rooms:
                outboxes = [connection.outbox for connection in self._rooms[room].connections]
                self.writer.put(outboxes, frame, latest)
        # --8<-- [end:writer-publish]


class PublishingStore(Store):
    """A store that publishes each new message, from a REST request or a WebSocket."""

    def __init__(self, path: str, hub: Hub) -> None:
        super().__init__(path)
        self._hub = hub

    def add(self, room: str, author: str, text: str, request_id: str | None = None) -> dict:
        """Store a message as `Store.add` does, and publish it unless it was stored before."""
        with self._hub.turn:  # No other thread may publish between the id and the last send.
            newest = self.last_id(room)
            message = super().add(room, author, text, request_id)
            if message["id"] > newest:
                self._hub.publish(room, {"type": "message", "message": message})
        return message
