"""Run inside the learner's process: make things happen at one exact moment, and count."""

import contextlib
import gc
import http.client
import json
import linecache
import os
import sys
import threading
import urllib.parse
import weakref
from collections import Counter

import store

# Correct code may hold a lock at the moment of a post, so that the post has to wait. It is given
# so many seconds to be stored, and then to be announced.
STORED, ANNOUNCED = 1.0, 0.3
POSTED = 10.0  # seconds for a post and its response
LONGEST = 2**16  # bytes that are read of the response
PATIENCE = float(os.environ.get("COURSE_PATIENCE") or 1)

posting: list[threading.Thread] = []
counted: list[bool] = []  # each check of the store
waits: list[tuple[float, list[dict]]] = []


def parse(streams: list[list[str]]) -> list[dict]:
    """Feed a new parser with the chunks of each stream, bytes in hex. Returns what each gave."""
    return [_parse(chunks) for chunks in streams]


def _parse(chunks: list[str]) -> dict:
    """Return the events of each chunk. If `feed` doesn't return a list, only what it "returned"."""
    import client

    parser, events = client.Parser(), []
    for chunk in chunks:
        given = parser.feed(bytes.fromhex(chunk))
        if not isinstance(given, list | tuple):
            return {"returned": repr(given)}
        events.append([[event.name, event.data, event.last_id] for event in given])
    return {"events": events, "retry": parser.retry, "last_id": parser.last_id}


def post_at_first_look(host: str, room: str, text: str, when: str) -> None:
    """Post a message at the first check of the room: right "before" it, or "after"."""
    looked = []

    def watched(look, self, *args, **kwargs):
        first = room in (*args, *kwargs.values()) and not looked
        if first:
            looked.append(True)
        if first and when == "before":
            _post_and_wait(host, room, text)
        found = look(self, *args, **kwargs)
        if first and when == "after":
            _post_and_wait(host, room, text)
        return found

    _watch_looks(watched)


def _watch_looks(watched) -> None:
    """Call `watched(look, store, …)` for each method of the store that reads more than one message.

    The board may have a method of its own beside `list`. One may call another.
    """
    inside = threading.local()

    def replaced(look):
        def method(self, *args, **kwargs):
            if getattr(inside, "one", False):
                return look(self, *args, **kwargs)
            inside.one = True
            try:
                return watched(look, self, *args, **kwargs)
            finally:
                inside.one = False

        return method

    for name, look in list(vars(store.Store).items()):
        if callable(look) and not name.startswith("_") and name not in ("add", "get"):
            setattr(store.Store, name, replaced(look))


def _post_and_wait(host: str, room: str, text: str) -> None:
    """Post from another thread, and wait until that is done, or waits for a lock."""
    real, kept = store.Store.add, threading.Event()

    def add(self, *args, **kwargs):
        message = real(self, *args, **kwargs)
        kept.set()
        return message

    store.Store.add = add
    thread = threading.Thread(target=_post, args=(host, room, text), daemon=True)
    posting.append(thread)
    thread.start()
    kept.wait(STORED * PATIENCE)
    store.Store.add = real
    thread.join(ANNOUNCED * PATIENCE)


def _post(host: str, room: str, text: str) -> None:
    connection = http.client.HTTPConnection(host, timeout=POSTED * PATIENCE)
    body, headers = (
        json.dumps({"author": "eve", "text": text}),
        {"Content-Type": "application/json"},
    )
    with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
        connection.request("POST", f"/rooms/{room}/messages", body, headers)
        connection.getresponse().read(LONGEST)


def wait_for_posts() -> None:
    """Return when all posts from here are done, or have taken too long."""
    for thread in posting:
        thread.join(2 * POSTED * PATIENCE)


def overtake_next_post(host: str, room: str, text: str) -> None:
    """Let the next message be stored, but another one be posted before it is announced."""
    real = store.Store.add

    def add(self, *args, **kwargs):
        store.Store.add = real
        message = real(self, *args, **kwargs)
        _post_and_wait(host, room, text)
        return message

    store.Store.add = add


def count_looks() -> None:
    """Begin to count how often the store is read."""

    def watched(look, self, *args, **kwargs):
        counted.append(True)
        return look(self, *args, **kwargs)

    _watch_looks(watched)


def looks() -> int:
    """Return how often the store was read since then."""
    return len(counted)


def fill(room: str, count: int) -> None:
    """Add messages to the store of the app that is served here."""
    from flask import Flask

    app = next(each for each in gc.get_objects() if type(each) is Flask)
    for _ in range(count):
        app.extensions["store"].add(room, "ada", "one of many")


def keep_busy(host: str, room: str) -> None:
    """Post to the room, one message after another, as long as this process runs."""

    def run() -> None:
        while True:
            _post(host, room, "one of many")
            pause.wait(0.05)

    pause = threading.Event()
    threading.Thread(target=run, daemon=True).start()


def watch_waits() -> None:
    """Note from now on for how long streams wait in vain, and in which lines."""
    real = threading.Condition.wait

    def watched(self, timeout=None):
        notified = real(self, timeout)
        places = _places()
        if timeout is not None and not notified and places:
            waits.append((timeout, places))
        return notified

    threading.Condition.wait = watched


def waited() -> list:
    """Return for how many seconds in all, and the lines of the longest."""
    longest = max(waits, key=lambda wait: wait[0], default=(0, []))
    return [sum(seconds for seconds, _ in waits), longest[1]]


def _places() -> list[dict]:
    """Return the lines of the learner's `sse` and `waiting` that are running in this thread."""
    paths = {sys.modules[name].__file__ for name in ("sse", "waiting") if name in sys.modules}
    frame, places = sys._getframe(), []
    while frame:
        code = frame.f_code
        if code.co_filename in paths:
            source = linecache.getline(code.co_filename, frame.f_lineno).strip()
            place = {"file": os.path.basename(code.co_filename), "line": frame.f_lineno}
            places.append(place | {"function": code.co_name, "source": source})
        frame = frame.f_back
    return places[::-1]


def objects() -> dict[str, int]:
    """Return how many objects of each type this process holds, by the type's name.

    Weak references don't count: sqlite3 keeps those to its cursors until there are 200.
    """
    urllib.parse.clear_cache()  # It keeps the newest URLs.
    gc.collect()
    counts: dict[str, int] = {}
    for kind, count in Counter(map(type, gc.get_objects())).items():
        if kind is not weakref.ReferenceType:
            counts[kind.__name__] = counts.get(kind.__name__, 0) + count
    return counts


def texts(start: str) -> list[str]:
    """Return the texts that begin with `start`, and are longer, and that any object here holds."""
    found, some = set(), gc.get_objects()
    while some:
        held = gc.get_referents(*some)
        for each in some:  # gc does not visit keys that are texts.
            held += dict.keys(each) if issubclass(type(each), dict) else ()
        found |= {each for each in held if type(each) is str and each.startswith(start)}
        # What holds only texts and numbers may be none of gc's objects.
        plain = [each for each in held if type(each) in (dict, tuple, frozenset)]
        some = [each for each in plain if not gc.is_tracked(each)]
    return sorted(found - {start})
