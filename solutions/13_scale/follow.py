"""Follow the board's stream: one thread of this process passes on what any process has stored."""

import logging
import threading
import time
from collections.abc import Callable

from werkzeug.exceptions import ServiceUnavailable

from database import Stream
from hub import Hub
from store import as_message

SERVICE_RESTART = 1012  # a close code of IANA's registry
COME_BACK = "retry-after=1"  # The clients reconnect within a second, not all at once.
PAUSE = 0.2  # seconds between two attempts to reach Redis

log = logging.getLogger(__name__)


class Follower:
    """Reads each entry of the board's stream, in order, and passes it to the hub."""

    def __init__(self, stream: Stream, hub: Hub, revoke: Callable[[dict[str, str]], None]) -> None:
        self._stream, self._hub, self._revoke = stream, hub, revoke
        self._lock = threading.Lock()
        self.position = ""  # the id of the last entry that it has passed on
        self.alive = True  # False if the thread has ended.

    def start(self) -> None:
        """Start following the stream. Only the first call has an effect.

        Raises ServiceUnavailable if the thread has ended: nothing would be pushed to a client.
        """
        # --8<-- [start:follow-start]
        with self._lock:
            if not self.position:
                self.position = self._stream.newest()
                threading.Thread(target=self.run, daemon=True, name="follower").start()
        # --8<-- [end:follow-start]
        if not self.alive:
            raise ServiceUnavailable("This process is out of order.", retry_after=5)

    def run(self) -> None:
        """Follow the stream, also after an outage of Redis, until something else fails."""
        while self.alive:
            try:
                self.check()
                self.follow()
            except ServiceUnavailable:
                log.warning("Redis doesn't respond. Trying again.")
            except Exception:
                # --8<-- [start:down-dead] Log the exception, set `alive`, and call `expel_all()`.
                log.exception("The follower has failed. This process can't serve any more.")
                self.alive = False
                self._hub.expel_all(SERVICE_RESTART, COME_BACK)
                # --8<-- [end:down-dead]
            time.sleep(PAUSE)

    def check(self) -> None:
        """If Redis has lost entries that were passed on, continue at its newest entry."""
        newest = self._stream.newest()
        if numbers(newest) < numbers(self.position):
            self.position = newest
            self._hub.expel_all(SERVICE_RESTART, COME_BACK)

    def follow(self) -> None:
        """Pass on each entry once, in order, until Redis doesn't respond."""
        # --8<-- [start:follow] Pass each entry from `after()` to `handle()`, then set `position`.
        while True:
            for entry in self._stream.after(self.position):
                self.handle(entry)
                self.position = entry[0]
        # --8<-- [end:follow]

    def handle(self, entry: tuple[str, dict[str, str]]) -> None:
        """Pass on one entry. Raises ServiceUnavailable if Redis is needed for it, and is down."""
        _, fields = entry
        if "presence" in fields:
            self._hub.show(fields["presence"])
        elif "text" not in fields:
            self._revoke(fields)
        else:
            message, (last_id, _) = as_message(entry), numbers(self.position)
            # --8<-- [start:down-gap] Unless the id is one above the last, call `expel_all()`.
            if message["id"] != last_id + 1:
                self._hub.expel_all(SERVICE_RESTART, COME_BACK)
            # --8<-- [end:down-gap]
            self._hub.publish(message["room"], {"type": "message", "message": message})


def numbers(entry_id: str) -> tuple[int, int]:
    """Return the two numbers of an entry's id. The first is that of the last message."""
    first, _, second = entry_id.partition("-")
    return int(first), int(second)
