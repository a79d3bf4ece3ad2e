"""Cut off the clients that are gone without a sign: TCP alone may never report them."""

import threading
import time

from hub import Connection


class Heartbeat:
    """It pings every client at each beat, and cuts off those that didn't answer the last ping."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds  # between two beats
        self._lock = threading.Lock()
        self._watched: set[Connection] = set()
        self._blocked: dict[Connection, int] = {}  # at the last beat, with `writes`
        self._thread: threading.Thread | None = None

    def watch(self, connection: Connection) -> None:
        """From now on, ping this connection. The first call starts the heartbeat's thread."""
        with self._lock:
            self._watched.add(connection)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, daemon=True)
                self._thread.start()

    def forget(self, connection: Connection) -> None:
        """Ping this connection no more."""
        with self._lock:
            self._watched.discard(connection)

    def _run(self) -> None:
        while True:
            time.sleep(self._seconds)
            self.beat()

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
