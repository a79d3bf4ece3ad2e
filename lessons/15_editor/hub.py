"""The hub: which connections are in which room, and how a message reaches all of them."""

import json
import selectors
import socket
import threading
from collections.abc import Callable
from contextlib import suppress

from simple_websocket import Server
from wsproto.events import Ping

from closing import GONE, send


class LockedSocket:
    """A socket whose `send` writes all of its bytes before another thread may write."""

    def __init__(self, sock: socket.socket, lock: threading.RLock) -> None:
        self._sock, self._lock = sock, lock
        self.writes = 0  # how many have ended

    def send(self, data: bytes) -> int:
        """Write the data, and return its length. Raises OSError if the connection is broken."""
        with self._lock:
            self._sock.sendall(data)  # The socket's own `send` may write only part of the data.
            self.writes += 1
        return len(data)

    def __getattr__(self, name: str) -> object:
        """Return any other attribute of the socket."""
        return getattr(self._sock, name)


class Connection:
    """One client's WebSocket and the client's name. All messages to the client use `send`."""

    def __init__(self, ws: Server, author: str) -> None:
        self.ws, self.author = ws, author
        self._lock = threading.RLock()
        # simple-websocket writes pongs and close frames to `ws.sock` from a thread of its own.
        ws.sock = LockedSocket(ws.sock, self._lock)

    def send(self, text: str) -> None:
        """Send one message. Raises ConnectionClosed if the client has disconnected."""
        # The handler sends replies while other threads publish, and frames must not mix.
        with self._lock:
            send(self.ws, text)

    @property
    def writes(self) -> int:
        """The number of writes to the client."""
        return self.ws.sock.writes

    def ping(self) -> bool:
        """Send a ping unless that would block. Returns whether it was sent.

        It sets `ws.pong_received` to False. The library sets it to True when a pong arrives.
        """
        if not self._lock.acquire(blocking=False):
            return False  # Another thread is sending, perhaps to a client that doesn't read.
        try:
            if not can_write(self.ws.sock):
                return False
            self.ws.pong_received = False
            self.ws.sock.send(self.ws.ws.send(Ping()))
        except GONE:
            return False
        finally:
            self._lock.release()
        return True

    def cut(self) -> None:
        """End the connection at once, without a close frame, for all threads that use it."""
        with suppress(OSError):
            self.ws.sock.shutdown(socket.SHUT_RDWR)


def can_write(sock: socket.socket) -> bool:
    """Return whether a few bytes can be written to the socket without waiting."""
    with selectors.DefaultSelector() as selector:
        try:
            selector.register(sock, selectors.EVENT_WRITE)
        except ValueError:
            return False  # The socket is closed.
        return bool(selector.select(0))


class Hub:
    """The rooms, each with its connections. Empty rooms are removed."""

    def __init__(self) -> None:
        # Hold `turn` to change a room or to send to it, so that all clients see one order.
        # It is reentrant: `leave` publishes, and `publish` calls `leave` for failed sends.
        self.turn = threading.RLock()
        self._rooms: dict[str, set[Connection]] = {}

    def members(self, room: str) -> list[str]:
        """Return the names of the clients in the room, sorted, each once."""
        with self.turn:
            return sorted({connection.author for connection in self._rooms.get(room, ())})

    def join(self, room: str, connection: Connection, welcome: Callable[[], dict]) -> None:
        """Add the connection to the room, and send it what `welcome()` returns, with `members`.

        Raises ConnectionClosed if the client has disconnected.
        """
        with self.turn:
            before = self.members(room)
            # Register first, then greet: the client misses no message after its welcome.
            self._rooms.setdefault(room, set()).add(connection)
            connection.send(json.dumps({**welcome(), "members": self.members(room)}))
            self.tell(room, before)

    def leave(self, room: str, *connections: Connection) -> None:
        """Remove connections from the room. Ignore any that aren't in it."""
        with self.turn:
            before = self.members(room)
            here = self._rooms.get(room, set())
            here.difference_update(connections)
            if not here:
                self._rooms.pop(room, None)
            self.tell(room, before)

    def tell(self, room: str, before: list[str]) -> None:
        """Publish the members of the room if they differ from `before`."""
        members = self.members(room)
        if members != before:
            self.publish(room, {"type": "presence", "members": members})

    def publish(self, room: str, message: dict, but: Connection | None = None) -> None:
        """Send the message to every client in the room, `but` one if that is given.

        Remove those that have disconnected.
        """
        text, gone = json.dumps(message), []
        with self.turn:
            for connection in self._rooms.get(room, set()) - {but}:
                try:
                    connection.send(text)
                except GONE:
                    gone.append(connection)
            # After the loop: every client receives this message before the presence.
            if gone:
                self.leave(room, *gone)
