"""Run inside the learner's process: let its time pass faster, or slower.

For tests of when a board acts, without waiting for that long.
"""

import queue
import sys
import threading
import time


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
