"""Let threads wait for news of a room, and wake them when there is some."""

import threading
from collections.abc import Callable
from weakref import WeakValueDictionary


class News:
    """Wakes those who wait for news of a room. Many threads may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Names are the public's, and there is no end of them: an entry goes by itself, as soon as
        # nobody holds its Condition.
        self._rooms: WeakValueDictionary[str, threading.Condition] = WeakValueDictionary()

    def _condition(self, room: str) -> threading.Condition:
        """Return the room's Condition, the same for everybody who holds it now."""
        with self._lock:
            return self._rooms.setdefault(room, threading.Condition())

    def announce(self, room: str) -> None:
        """Wake all who wait for news of the room. Call it when a message has been kept."""
        condition = self._condition(room)
        with condition:
            condition.notify_all()

    def wait(self, room: str, look: Callable[[], list[dict]], seconds: float) -> list[dict]:
        """Return what `look()` finds, as soon as it finds something, or [] after `seconds`.

        `look` is called at once, after each announcement, and perhaps once more at the end.
        """
        condition = self._condition(room)
        # Nobody can announce between a look that finds nothing and the wait, which lets go of the
        # lock only when this thread is sure to be woken.
        with condition:
            return condition.wait_for(look, seconds)
