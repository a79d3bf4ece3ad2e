"""Reach into a learner's process: stop time between two steps of a request, and see what is left.

It is imported there, where `store` and `waiting` are the learner's modules.
"""

import contextlib
import gc
import sys
import threading
import time
from collections import Counter
from itertools import pairwise

import store

LONGEST = 60.0  # seconds for which anything is held, should nobody let it go

_counting = threading.Lock()
_calls: Counter = Counter()  # of (the method's name, the room), those that have come so far
_plans: dict[tuple[str, str], int] = {}  # which of them is held
_held, _let_go = threading.Event(), threading.Event()


def calls(method: str, room: str) -> int:
    """Return how often the method of the store was called for the room since the first probe."""
    return _calls[method, room]


def hold(method: str, room: str, number: int) -> None:
    """Hold the `number`th call from now: a `list` when it has looked, an `add` before it adds."""
    _held.clear()
    _let_go.clear()
    _plans[method, room] = _calls[method, room] + number


def is_held(seconds: float) -> bool:
    """Wait until the call is held, at most so many seconds. Return whether it is."""
    return _held.wait(seconds)


def let_go() -> None:
    """Let it go on, and hold nothing more."""
    _plans.clear()
    _let_go.set()


def left_of_rooms(count: int) -> int:
    """Return how many blocks of memory stay when nobody waits any more in so many rooms."""
    from waiting import News

    news = News()

    def visit(number: int) -> None:
        room = f"room-{number}"
        news.announce(f"{room}-where-nobody-waits")
        news.announce(room)
        news.wait(room, lambda: [], 0.001)
        news.wait(room, lambda: [{"id": number}], 0.001)
        with contextlib.suppress(LookupError):
            news.wait(room, fail, 0.001)

    def fail() -> list[dict]:
        raise LookupError

    for number in range(count):  # What is made only once, and what has room for so many.
        visit(number)
    gc.collect()
    before = sys.getallocatedblocks()
    for number in range(count, 2 * count):
        visit(number)
    gc.collect()
    return sys.getallocatedblocks() - before


def looks_among_rooms(count: int, seconds: float) -> int | None:
    """Return how often somebody looks who waits while each of so many other rooms has news.

    At the end their own has, too. None if they do not hear of that within so many seconds.
    """
    from waiting import News

    news, looks, looked, messages = News(), [], threading.Event(), []

    def look() -> list[dict]:
        looks.append("one")
        looked.set()
        return list(messages)

    waiting = threading.Thread(target=news.wait, args=("here", look, LONGEST), daemon=True)
    waiting.start()
    looked.wait(seconds)
    for number in range(count):
        news.announce(f"room-{number}")
        news.wait(f"room-{number}", lambda: [], 0.001)  # Time to be woken, and to look.
    messages.append({"id": 1})
    news.announce("here")
    waiting.join(seconds)
    return None if waiting.is_alive() else len(looks)


def waits_after_vain_news(seconds: float) -> list[float]:
    """Return for how long who waits has waited again, each time that there was nothing for them.

    The times are the timeouts of their `Condition.wait`, in seconds, of `LONGEST` in all.
    """
    from waiting import News

    news, messages, looked = News(), [], threading.Event()
    real, waits = threading.Condition.wait, []

    def look() -> list[dict]:
        looked.set()
        return list(messages)

    def watched(self: threading.Condition, timeout: float | None = None) -> bool:
        if threading.current_thread() is waiting and timeout is not None:
            waits.append((time.monotonic(), timeout))
        return real(self, timeout)

    def again() -> list[float]:
        """Those after one that began when the clock had moved on, however coarse it is."""
        return [timeout for (before, _), (_, timeout) in pairwise(waits) if before > waits[0][0]]

    threading.Condition.wait = watched
    try:
        waiting = threading.Thread(target=news.wait, args=("here", look, LONGEST), daemon=True)
        waiting.start()
        looked.wait(seconds)
        end = time.monotonic() + seconds
        while not again() and time.monotonic() < end and waiting.is_alive():
            looked.clear()
            news.announce("here")
            looked.wait(seconds)
        messages.append({"id": 1})
        news.announce("here")
        waiting.join(seconds)
    finally:
        threading.Condition.wait = real
    return again()


def _count(method: str, room: str) -> bool:
    """Count a call. Return whether it is the one that is to be held."""
    with _counting:
        _calls[method, room] += 1
        return _plans.get((method, room)) == _calls[method, room]


def _pause() -> None:
    """Hold the call."""
    _held.set()
    _let_go.wait(LONGEST)


def _watch_looks() -> None:
    real = store.Store.list

    def watched(self: store.Store, room: str, *args: object, **options: object) -> object:
        is_the_one = _count("list", room)
        value = real(self, room, *args, **options)
        if is_the_one:
            _pause()
        return value

    store.Store.list = watched


def _watch_adds() -> None:
    real = store.Store.add

    def watched(self: store.Store, room: str, *args: object, **options: object) -> object:
        if _count("add", room):
            _pause()
        return real(self, room, *args, **options)

    store.Store.add = watched


# A request that waits is a thread: a hundred of them shall fit into the memory of a child.
threading.stack_size(2**20)
_watch_looks()
_watch_adds()
