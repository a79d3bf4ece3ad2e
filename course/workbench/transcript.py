"""What went over the wire: numbered entries in order, and counters, for any number of readers.

An entry is a dict that JSON can hold:

    n       its number, from 1 on. An entry with a number that was used before replaces that one
    at      seconds since the workbench started
    link    the number of the connection, or 0
    way     "up" from the page to the app, "down" from the app to the page, or "" for neither
    kind    request, response, event, frame, raw, open, end or note
    size    bytes of it on the wire
    title   one line
    fields  [[name, value], …], what was read from the bytes
    body    its content, as text
    useless whether it is a response without news
"""

import threading
import time
from collections.abc import Iterator
from typing import NamedTuple

MOST = 2_000  # entries that are kept; those without news for longest are dropped first
COUNTS = ("requests", "useless", "frames", "events", "up", "down")


class _Seen(NamedTuple):
    """The transcript's state at one moment. If it differs later, there is news."""

    said: int
    touched: int
    counts: dict[str, int]
    ended: bool


class Transcript:
    """The entries so far. Any thread may add one, and any number of threads may follow."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._start = time.monotonic()
        # By number: when it was said last, counted over all entries, and the entry. In that order.
        self._entries: dict[int, tuple[int, dict]] = {}
        self._said = 0
        self._numbers = 0
        self._touched = 0
        self._ended = False
        self._listeners: list = []
        self.counts = dict.fromkeys(COUNTS, 0)

    def clock(self) -> float:
        """Return the seconds since the workbench started."""
        return round(time.monotonic() - self._start, 4)

    def number(self) -> int:
        """Return the number of a new entry."""
        with self._changed:
            self._numbers += 1
            return self._numbers

    def say(self, kind: str, title: str, n: int = 0, **more: object) -> int:
        """Add an entry, or replace the one with number `n`. Returns its number."""
        n = n or self.number()
        at = self.clock()
        entry = {"n": n, "at": at, "link": 0, "way": "", "kind": kind, "size": 0, "title": title}
        entry |= {"fields": [], "body": "", "useless": False, **more}
        with self._changed:
            self._said += 1
            self._entries.pop(n, None)
            self._entries[n] = (self._said, entry)
            if len(self._entries) > MOST:
                del self._entries[next(iter(self._entries))]
            for listener in list(self._listeners):
                listener(entry)
            self._changed.notify_all()
        return n

    def count(self, **more: int) -> None:
        """Add to the counters."""
        with self._changed:
            for name, number in more.items():
                self.counts[name] += number
            self._changed.notify_all()

    def touch(self) -> None:
        """Wake the readers: something other than the entries has changed."""
        with self._changed:
            self._touched += 1
            self._changed.notify_all()

    def clear(self) -> None:
        """Drop all entries, and count from 0 again. The numbers go on."""
        with self._changed:
            self._entries.clear()
            self.counts = dict.fromkeys(COUNTS, 0)
            self._touched += 1
            self._changed.notify_all()

    def listen(self, listener) -> None:
        """Call the listener with each entry from now on."""
        with self._changed:
            self._listeners.append(listener)

    def ignore(self, listener) -> None:
        """Stop calling the listener."""
        with self._changed:
            self._listeners.remove(listener)

    def entries(self) -> list[dict]:
        """Return the kept entries, each as it was said last."""
        return self._since(0)

    def _since(self, place: int) -> list[dict]:
        """Return what was said after `place`, by number."""
        found = []
        with self._changed:
            for said, entry in reversed(self._entries.values()):
                if said <= place:
                    break
                found.append(entry)
        return sorted(found, key=lambda entry: entry["n"])

    def follow(self, heartbeat: float) -> Iterator[tuple[list[dict], dict]]:
        """Yield the entries so far and then the news, with the counters, until the end.

        After `heartbeat` seconds without news it yields no entries, so that the server notices
        when a reader has disconnected.
        """
        place = 0
        while True:
            with self._changed:
                news = self._since(place)
                place, seen = self._said, self._now()
            yield news, seen.counts
            if seen.ended:
                return
            self._wait(seen, heartbeat)

    def _now(self) -> "_Seen":
        return _Seen(self._said, self._touched, dict(self.counts), self._ended)

    def _wait(self, seen: "_Seen", seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._now() != seen, seconds)

    def end(self) -> None:
        """End the transcript, and so each reader's loop."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
