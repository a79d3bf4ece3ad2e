"""Run inside the learner's process: let its time pass faster, or slower.

For tests of when a board acts, without waiting for that long.
"""

import queue
import sys
import threading
import time

# What each thread has waited for in vain: the seconds, how often, and from when to when.
WAITED: dict[int, dict[str, float]] = {}


def hurry(factor: float, modules: list[str]) -> None:
    """Let time pass `factor` times as fast: the clock, waits and sleeps of these modules."""
    clock, sleep, wait = time.monotonic, time.sleep, threading.Condition.wait
    start = clock()

    def fast_clock() -> float:
        return start + (clock() - start) * factor

    def fast_sleep(seconds: float) -> None:
        sleep(seconds / factor)

    def fast_wait(self: threading.Condition, timeout: float | None = None) -> bool:
        return wait(self, timeout if timeout is None else timeout / factor)

    # The queue of C doesn't wait by a Condition, but the other queue does.
    fast = [(clock, fast_clock), (sleep, fast_sleep), (queue.SimpleQueue, queue.Queue)]
    threading.Condition.wait = fast_wait
    threading._time = queue.time = fast_clock
    time.monotonic, time.sleep, queue.SimpleQueue = (quick for _, quick in fast)
    for module in [sys.modules[name] for name in modules if name in sys.modules]:
        for name, value in list(vars(module).items()):  # `from time import monotonic`
            for slow, quick in fast:
                if value is slow:
                    setattr(module, name, quick)


def add_up_waits() -> None:
    """Add up the timeouts that pass without what was waited for, for each thread that starts now.

    A thread that runs already may wait for several clients, one after another.
    """
    before = {thread.ident for thread in threading.enumerate()}

    def watched(wait, is_timeout):
        def method(self, timeout=None):
            start = time.monotonic()
            result = wait(self, timeout)
            ident = threading.get_ident()
            if timeout is not None and ident not in before and is_timeout(self, result):
                waited = WAITED.setdefault(ident, {"seconds": 0.0, "count": 0, "start": start})
                waited["seconds"] += timeout
                waited["count"] += 1
                waited["end"] = time.monotonic()
            return result

        return method

    threading.Condition.wait = watched(threading.Condition.wait, lambda _, met: not met)
    threading.Thread.join = watched(threading.Thread.join, lambda thread, _: thread.is_alive())


def longest_wait() -> list[float]:
    """Return how long the thread that waited longest has waited: at least, and at most.

    One timeout is exact. Between several, time passes as well, so that their sum is too small.
    """
    waits = WAITED.values()
    least = [w["seconds"] if w["count"] == 1 else w["end"] - w["start"] for w in waits]
    return [max(least, default=0.0), max((w["seconds"] for w in waits), default=0.0)]
