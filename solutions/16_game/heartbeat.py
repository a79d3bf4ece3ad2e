"""Disconnect clients that are gone. TCP alone may never report that a client is gone."""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from socket import SO_SNDBUF, SOL_SOCKET

from hub import Connection

SEND_BUFFER = 65_536  # bytes that the operating system may buffer for a client

log = logging.getLogger(__name__)


class Heartbeat:
    """Ping every client at each beat, and disconnect those that didn't answer the last ping."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds  # between two beats
        self._lock = threading.Lock()
        self._watched: set[Connection] = set()
        self._blocked: dict[Connection, int] = {}  # at the last beat, with `writes`
        self._started = False

    def watch(self, connection: Connection) -> None:
        """Start to ping this connection. The first call starts the heartbeat."""
        with suppress(OSError):  # The client may have disconnected.
            # Otherwise a ping could wait behind megabytes that a slow client hasn't received yet.
            connection.ws.sock.setsockopt(SOL_SOCKET, SO_SNDBUF, SEND_BUFFER)
        with self._lock:
            self._watched.add(connection)
            if not self._started:
                self._started = True
                self.start()

    def forget(self, connection: Connection) -> None:
        """Stop pinging this connection."""
        with self._lock:
            self._watched.discard(connection)

    def start(self) -> None:
        """Call `beat()` at regular intervals."""
        repeat(self._seconds, self.beat)

    def beat(self) -> None:
        """Ping each client. Disconnect those that didn't answer the last ping, and those to which
        nothing could be written since the last beat. This never waits for a client.
        """
        with self._lock:
            watched = list(self._watched)
        blocked = {}
        for connection in watched:
            writes = connection.writes
            if not connection.ws.pong_received:
                connection.cut()
            elif not connection.ping():
                blocked[connection] = writes
                if self._blocked.get(connection) == writes:
                    connection.cut()  # Nothing could be written to it since the last beat.
        self._blocked = blocked


def repeat(seconds: float, action: Callable[[], None]) -> None:
    """Call the action every `seconds`, in a new thread. An error doesn't end the thread."""

    def run() -> None:
        while True:
            time.sleep(seconds)
            try:
                action()
            except Exception:
                log.exception("%s failed.", action.__qualname__)

    threading.Thread(target=run, daemon=True).start()
