"""Cut off the clients that are gone without a sign: TCP alone may never report them."""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from socket import SO_SNDBUF, SOL_SOCKET

from hub import Connection

SEND_BUFFER = 65_536  # bytes that the system may store for a client

log = logging.getLogger(__name__)


class Heartbeat:
    """It pings every client at each beat, and cuts off those that didn't answer the last ping."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds  # between two beats
        self._lock = threading.Lock()
        self._watched: set[Connection] = set()
        self._blocked: dict[Connection, int] = {}  # at the last beat, with `writes`
        self._started = False

    def watch(self, connection: Connection) -> None:
        """From now on, ping this connection. The first call starts the heartbeat."""
        with suppress(OSError):  # The client may have disconnected.
            # Otherwise a ping could wait behind megabytes, which a slow client has yet to receive.
            connection.ws.sock.setsockopt(SOL_SOCKET, SO_SNDBUF, SEND_BUFFER)
        with self._lock:
            self._watched.add(connection)
            if not self._started:
                self._started = True
                self.start()

    def forget(self, connection: Connection) -> None:
        """Ping this connection no more."""
        with self._lock:
            self._watched.discard(connection)

    def start(self) -> None:
        """Beat every so many seconds."""
        repeat(self._seconds, self.beat)

    def beat(self) -> None:
        """Ping each client. Cut off those that didn't answer the last ping, and those that nothing
        could be written to since the last beat. This waits for no client.
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
                    connection.cut()  # Since the last beat, nothing could be written to it.
        self._blocked = blocked


def repeat(seconds: float, action: Callable[[], None]) -> None:
    """Call the action every so many seconds, in a new thread. An error doesn't end the thread."""

    def run() -> None:
        while True:
            time.sleep(seconds)
            try:
                action()
            except Exception:
                log.exception("%s failed.", action.__qualname__)

    threading.Thread(target=run, daemon=True).start()
