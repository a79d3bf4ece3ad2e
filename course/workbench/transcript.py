"""What went over the wire: numbered entries, kept in order, counted, and told to whoever looks.

An entry is a dict that JSON can hold:

    n       its number, from 1 on. The same number again is the same entry, which now says more
    at      seconds since the workbench started
    link    the number of the connection, or 0
    way     "up" from the page to the app, "down" from the app to the page, or "" for neither
    kind    request, response, event, frame, raw, open, end or note
    size    bytes of it on the wire
    title   one line
    fields  [[name, value], …], all that can be read from the bytes
    body    what it carries, as text
    useless whether it is an answer that said nothing new
"""

import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

MOST = 2_000  # entries that are kept; the oldest go first
COUNTS = ("requests", "useless", "frames", "events", "up", "down")


class _Seen(NamedTuple):
    """What there was at one moment; when it differs, there is news."""

    told: int
    touched: int
    counts: dict[str, int]
    ended: bool


class Transcript:
    """The entries so far. Any thread may add one, and any number of threads may follow."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._start = time.monotonic()
        self._said: deque[dict] = deque(maxlen=MOST)
        self._told = 0  # how many were ever said; the place of the next one
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
        """Add an entry, or say more of the one with number `n`. Returns its number."""
        n = n or self.number()
        at = self.clock()
        entry = {"n": n, "at": at, "link": 0, "way": "", "kind": kind, "size": 0, "title": title}
        entry |= {"fields": [], "body": "", "useless": False, **more}
        with self._changed:
            self._said.append(entry)
            self._told += 1
            for listener in self._listeners:
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
        """Tell those who follow that something beside the entries has changed."""
        with self._changed:
            self._touched += 1
            self._changed.notify_all()

    def clear(self) -> None:
        """Forget all entries, and count from 0 again. The numbers go on."""
        with self._changed:
            self._said.clear()
            self.counts = dict.fromkeys(COUNTS, 0)
            self._touched += 1
            self._changed.notify_all()

    def listen(self, listener) -> None:
        """Call the listener with each entry from now on."""
        with self._changed:
            self._listeners.append(listener)

    def ignore(self, listener) -> None:
        """Call the listener no more."""
        with self._changed:
            self._listeners.remove(listener)

    def entries(self) -> list[dict]:
        """Return what is kept, each entry as it was said last."""
        with self._changed:
            return list({entry["n"]: entry for entry in self._said}.values())

    def follow(self, heartbeat: float) -> Iterator[tuple[list[dict], dict]]:
        """Yield what is there and then what comes, with the counters, until the transcript ends.

        After `heartbeat` seconds without news it yields nothing new, so that a reader that has
        gone is noticed.
        """
        place = 0
        while True:
            with self._changed:
                first = self._told - len(self._said)
                news = list(self._said)[max(place - first, 0) :]
                place, seen = self._told, self._now()
            yield news, seen.counts
            if seen.ended:
                return
            self._wait(seen, heartbeat)

    def _now(self) -> "_Seen":
        return _Seen(self._told, self._touched, dict(self.counts), self._ended)

    def _wait(self, seen: "_Seen", seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._now() != seen, seconds)

    def end(self) -> None:
        """Let all who follow come to an end."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
