"""Decide when a game's ticks are due: at a fixed rate, without drift."""

import math
import time
from collections.abc import Callable

CATCH_UP = 3  # ticks that are run at once, at most, if the loop was late
NEARLY = 1e-6  # ticks: a sleep until a tick is due may end this much early


class Ticker:
    """Tick number k is due k / rate seconds after the start."""

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate, self.clock = rate, clock  # ticks a second; a clock in seconds
        self.start = clock()
        self.passed = 0  # ticks that have been run or skipped

    def wait(self) -> float:
        """Return the seconds until the next tick is due, or 0.0 if it is late."""
        # --8<-- [start:clock] Return the time until tick number `passed + 1` is due.
        due = self.start + (self.passed + 1) / self.rate
        return max(0.0, due - self.clock())
        # --8<-- [end:clock]

    def due(self) -> int:
        """Return how many ticks to run now, at most `CATCH_UP`. The others are skipped."""
        # --8<-- [start:clock-due] Set `passed` to the ticks due by now. Return how many to run.
        now = math.floor((self.clock() - self.start) * self.rate + NEARLY)
        late, self.passed = now - self.passed, now
        return min(late, CATCH_UP)
        # --8<-- [end:clock-due]
