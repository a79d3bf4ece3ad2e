"""Let threads wait for new messages in a room, and wake them when one arrives."""

import threading
from collections.abc import Callable
from weakref import WeakValueDictionary


class News:
    """Wakes the threads that wait for new messages in a room. Safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Clients choose the names of rooms, so their number is unlimited. An entry disappears as
        # soon as no thread uses its Condition.
        self._rooms: WeakValueDictionary[str, threading.Condition] = WeakValueDictionary()

    def _condition(self, room: str) -> threading.Condition:
        """Return the room's Condition, the same one to all threads that use it now."""
        with self._lock:
            return self._rooms.setdefault(room, threading.Condition())

    def announce(self, room: str) -> None:
        """Wake all threads that wait for the room. Call it after storing a message."""
        condition = self._condition(room)
        with condition:
            condition.notify_all()

    def wait(self, room: str, look: Callable[[], list[dict]], seconds: float) -> list[dict]:
        """Return the messages that `look()` finds, as soon as it finds some, or [] after `seconds`.

        Call `look` at once, after each announcement, and perhaps once more at the deadline.
        """
        condition = self._condition(room)
        # No announcement can be missed between a check that finds nothing and the wait: `wait_for`
        # releases the lock only after it has registered this thread to be woken.
        with condition:
            return condition.wait_for(look, seconds)
