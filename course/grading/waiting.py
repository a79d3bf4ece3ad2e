"""How long to wait, and for what: deadlines, threads, and what lasts longer than a test."""

import contextlib
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

from course.grading.expect import Unmet, shown

# Multiplies every deadline. A slow machine raises it; it never changes what counts as right.
PATIENCE = float(os.environ.get("COURSE_PATIENCE") or 1)
SECONDS = 5.0  # the deadline of what should come at once
# Resources that outlive a test, such as a browser. The process that runs tests closes them.
LASTING = contextlib.ExitStack()


def eventually(
    met: Callable[[], bool], expected: str, got: Callable[[], object], seconds: float = SECONDS
) -> None:
    """Wait until `met()`. Raises Unmet with what is there instead when that does not come."""
    begun = time.monotonic()
    while not met():
        waited = time.monotonic() - begun
        if waited > seconds * PATIENCE:
            raise Unmet(f"{expected}, within {seconds * PATIENCE:g} s", shown(got()))
        # The longer it takes, the less often this asks: asking uses CPU time that others need.
        time.sleep(min(max(0.01, waited / 20), 0.1))


def begin(work: Callable[[], object]) -> Future:
    """Start the work in a thread of its own. Returns its future, whose `result()` waits for it."""
    future: Future = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def in_threads(work: list[Callable[[], object]], seconds: float = 12 * SECONDS) -> list:
    """Do all of it at once, a thread each; return the results in order.

    Raises the first error of any of them, and Unmet when one does not end.
    """
    results: list = [None] * len(work)
    errors: list[BaseException] = []

    def one(index: int) -> None:
        try:
            results[index] = work[index]()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=one, args=(i,), daemon=True) for i in range(len(work))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds * PATIENCE)
    if errors:
        raise errors[0]
    if any(thread.is_alive() for thread in threads):
        raise Unmet("every client to be served", f"some were not within {seconds * PATIENCE:g} s")
    return results
