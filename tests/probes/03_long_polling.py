"""Run inside the learner's process: pause a request between two steps, and see what is left.

`store` and `waiting` are the learner's modules.
"""

import contextlib
import gc
import linecache
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import store

LONGEST = 60.0  # seconds after which a pause ends, if the test doesn't end it

_counting = threading.Lock()
_calls: Counter = Counter()  # of (the method's name, the room)
_plans: dict[tuple[str, str], int] = {}  # which of these calls to pause
_held, _let_go = threading.Event(), threading.Event()
_waits: list[float] = []


def calls(method: str, room: str) -> int:
    """Return how often the method of the store was called for the room since the first probe.

    An "added" is an `add` that has returned.
    """
    return _calls[method, room]


def hold(method: str, room: str, number: int) -> None:
    """Pause the `number`th call from now: a `list` after it has read, an `add` before it writes."""
    _held.clear()
    _let_go.clear()
    _plans[method, room] = _calls[method, room] + number


def is_held(seconds: float) -> bool:
    """Wait until the call is paused, for at most `seconds`. Return whether it is."""
    return _held.wait(seconds)


def let_go() -> None:
    """Let the call continue, and pause no other."""
    _plans.clear()
    _let_go.set()


def watch_waits() -> None:
    """Note the seconds of each call of `News.wait` from now on."""
    from waiting import News

    real = News.wait

    def watched(self: News, room: str, look: object, seconds: float) -> object:
        _waits.append(seconds)
        return real(self, room, look, seconds)

    News.wait = watched


def waits() -> list[float]:
    """Return the seconds noted since the last call."""
    found = [float(seconds) for seconds in _waits]
    _waits.clear()
    return found


def left_of_rooms(count: int) -> int:
    """Return how many blocks of memory are left when no thread waits any more in `count` rooms."""
    from waiting import News

    news = News()

    def visit(number: int) -> None:
        room = f"room-{number}"
        news.announce(f"{room}-where-nothing-waits")
        news.announce(room)
        news.wait(room, lambda: [], 0.001)
        news.wait(room, lambda: [{"id": number}], 0.001)
        with contextlib.suppress(LookupError):
            news.wait(room, fail, 0.001)

    def fail() -> list[dict]:
        raise LookupError

    for number in range(count):  # Caches, and containers that grow in steps, have their size now.
        visit(number)
    gc.collect()
    before = sys.getallocatedblocks()
    for number in range(count, 2 * count):
        visit(number)
    gc.collect()
    return sys.getallocatedblocks() - before


def looks_among(rooms: int, visitors: int, seconds: float) -> int | None:
    """Return how often a waiting thread checks while each of so many other rooms has news.

    And while so many others wait in its own room and leave. At the end its own room has news, too.
    None if it doesn't return that within `seconds`.
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
    for number in range(rooms):
        news.announce(f"room-{number}")
        news.wait(f"room-{number}", lambda: [], 0.001)  # Time to be woken, and to check.
    for number in range(visitors):
        found = [{"id": number}] if number % 3 == 0 else []
        news.wait("here", lambda found=found: found, 0.001)
        news.wait("elsewhere", lambda: [], 0.002)
    messages.append({"id": 1})
    news.announce("here")
    waiting.join(seconds)
    return None if waiting.is_alive() else len(looks)


def waits_after_vain_news(seconds: float) -> dict[str, list]:
    """Return for how long a thread waits, of 60 s, at "first" and "later", after vain news.

    These are the timeouts of its `Condition.wait`, in seconds, each with the lines of `waiting`
    that asked for it.
    """
    from waiting import News

    news, messages, looked = News(), [], threading.Event()
    real, waits = threading.Condition.wait, []

    def look() -> list[dict]:
        looked.set()
        return list(messages)

    def watched(self: threading.Condition, timeout: float | None = None) -> bool:
        if threading.current_thread() is waiting and timeout is not None:
            waits.append((time.monotonic(), timeout, _places()))
        return real(self, timeout)

    def later() -> list[list]:
        """Those that began when the clock had moved on, however coarse it is."""
        begun = waits[0][0] if waits else 0
        after = next((n for n, (at, _, _) in enumerate(waits) if at > begun), len(waits))
        return [[timeout, places] for _, timeout, places in waits[after + 1 :]]

    threading.Condition.wait = watched
    try:
        waiting = threading.Thread(target=news.wait, args=("here", look, LONGEST), daemon=True)
        waiting.start()
        looked.wait(seconds)
        end = time.monotonic() + seconds
        while not later() and time.monotonic() < end and waiting.is_alive():
            looked.clear()
            news.announce("here")
            looked.wait(seconds)
        messages.append({"id": 1})
        news.announce("here")
        waiting.join(seconds)
    finally:
        threading.Condition.wait = real
    return {"first": [[waits[0][1], waits[0][2]]] if waits else [], "later": later()}


def _places() -> list[dict]:
    """Return the lines of the learner's `waiting` that are running in this thread."""
    path, frame, places = sys.modules["waiting"].__file__, sys._getframe(), []
    while frame:
        if frame.f_code.co_filename == path:
            source = linecache.getline(path, frame.f_lineno).strip()
            place = {"file": Path(path).name, "line": frame.f_lineno, "source": source}
            places.append(place | {"function": frame.f_code.co_name})
        frame = frame.f_back
    return places[::-1]


def _count(method: str, room: str) -> bool:
    """Count a call. Return whether it is the one to pause."""
    with _counting:
        _calls[method, room] += 1
        return _plans.get((method, room)) == _calls[method, room]


def _pause() -> None:
    """Pause the call."""
    _held.set()
    _let_go.wait(LONGEST)


def _watch_looks() -> None:
    """Watch each method of the store that reads more than one message: `list`, or one like it."""
    inside = threading.local()

    def replaced(real):
        def watched(self: store.Store, *args: object, **options: object) -> object:
            if getattr(inside, "one", False):  # One may call another.
                return real(self, *args, **options)
            inside.one = True
            try:
                room = options.get("room", args[0] if args else "")
                is_the_one = _count("list", room)
                value = real(self, *args, **options)
                if is_the_one:
                    _pause()
                return value
            finally:
                inside.one = False

        return watched

    for name, method in list(vars(store.Store).items()):
        if callable(method) and not name.startswith("_") and name not in ("add", "get"):
            setattr(store.Store, name, replaced(method))


def _watch_adds() -> None:
    real = store.Store.add

    def watched(self: store.Store, room: str, *args: object, **options: object) -> object:
        if _count("add", room):
            _pause()
        value = real(self, room, *args, **options)
        _count("added", room)
        return value

    store.Store.add = watched


# Each waiting request is a thread: a hundred of them must fit into the memory of a child.
threading.stack_size(2**20)
_watch_looks()
_watch_adds()
