"""The hub: which connections of this process are in which room, and how they get a message."""

import json
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from simple_websocket import ConnectionClosed, Server

from accounts import Login
from processes import Processes
from writer import PING, TEXT, Outbox, QueuedSocket, Writer, encode


class Connection:
    """One client's WebSocket, its login and its room. What is sent is queued in its outbox."""

    def __init__(
        self, ws: Server, login: Login, room: str, writer: Writer, limits: tuple[int, int]
    ) -> None:
        self.ws, self.login, self.room = ws, login, room
        self.author = login.user
        self.seen = 0  # the newest message that it has, of this room
        self._writer = writer
        self.outbox = Outbox(ws.sock, *limits)
        # simple-websocket writes pongs and close frames to `ws.sock` from a thread of its own.
        ws.sock = QueuedSocket(ws, self.outbox, writer)

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
        self._writer.wait(self.outbox, self.outbox.max_bytes // 4)
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
    """The connections that this process has in a room, and the members who have just left it."""

    def __init__(self) -> None:
        self.connections: set[Connection] = set()
        self.leaving: dict[str, float] = {}  # each member's deadline to reconnect
        self.timed = False  # A timer will call `settle()`.
        self.told: list[str] | None = None  # the members in the newest presence

    def members(self) -> list[str]:
        """Return the names of the members in this process, sorted, each once."""
        return sorted({connection.author for connection in self.connections} | self.leaving.keys())


def start_timer(seconds: float, action: Callable[[], None]) -> None:
    """Call `action` after `seconds`."""
    timer = threading.Timer(seconds, action)
    timer.daemon = True
    timer.start()


class Hub:
    """The rooms, each with its connections to this process. Empty rooms are removed."""

    def __init__(
        self,
        writer: Writer,
        processes: Processes,
        grace: float,  # seconds: a member who reconnects within them hasn't left
        clock: Callable[[], float] = time.monotonic,
        timer: Callable[[float, Callable[[], None]], None] = start_timer,
    ) -> None:
        # Hold `turn` to change a room or to publish to it, so that all clients see one order.
        self.turn = threading.RLock()
        self.writer, self.processes = writer, processes
        self.grace, self.clock, self.timer = grace, clock, timer
        self._rooms: dict[str, Room] = {}

    def members(self, room: str) -> list[str]:
        """Return the names of the clients in the room, over all processes, sorted, each once."""
        with self.turn:
            here = self._rooms[room].members() if room in self._rooms else []
            return sorted({*here, *self.processes.members(room)})

    def join(
        self,
        room: str,
        connection: Connection,
        welcome: Callable[[], dict],
        seen: int | None = None,
    ) -> None:
        """Add the connection to the room, and send it what `welcome()` returns, with `members`.

        `seen` is the newest message that the client has, if that isn't the room's `last_id`.
        Raises ConnectionClosed if the client has disconnected.
        """
        with self.turn:
            here = self._rooms.setdefault(room, Room())
            # Register first, then greet: the client misses no message after its welcome.
            here.connections.add(connection)
            here.leaving.pop(connection.author, None)
            greeting = {**welcome(), "members": self.members(room)}
            # TODO(follow-seen): Set `connection.seen` to `seen`, or to the `last_id`.
            ...
            # END(follow-seen)
            connection.put(json.dumps(greeting))
            if greeting["members"] != here.told:
                here.told = None  # The clients here have been told different members.
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
            here.leaving[connection.author] = self.clock() + self.grace
            self.start_timer(room, self.grace)

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
            now = self.clock()
            here.leaving = {name: due for name, due in here.leaving.items() if due > now}
            self.tell(room)
            if here.leaving:
                self.start_timer(room, min(here.leaving.values()) - now)
            if not here.connections and not here.leaving:
                del self._rooms[room]

    def tell(self, room: str) -> None:
        """Tell all processes who is in the room here. `show()` is called when they know."""
        self.processes.tell(room, self._rooms[room].members())

    def show(self, room: str) -> None:
        """Publish the members of the room if they differ from the newest presence."""
        with self.turn:
            here = self._rooms.get(room)
            if here is None:
                return
            members = self.members(room)
            if members != here.told:
                here.told = members
                self.publish(room, {"type": "presence", "members": members})

    def publish(self, room: str, message: dict) -> None:
        """Queue it for every client in the room that doesn't have it. Never wait for a client."""
        frame = encode(TEXT, json.dumps(message).encode())
        latest = "presence" if message["type"] == "presence" else None
        with self.turn:
            here = self._rooms[room].connections if room in self._rooms else set()
            if message["type"] == "message":
                # TODO(follow-publish): Leave out connections that have `seen` the message.
                ...
                # END(follow-publish)
            self.writer.put([connection.outbox for connection in here], frame, latest)

    def expel_all(self, code: int, reason: str) -> None:
        """Close all connections in rooms with the code and reason."""
        with self.turn:
            for room in list(self._rooms.values()):
                for connection in list(room.connections):
                    self.expel(connection, code, reason)
