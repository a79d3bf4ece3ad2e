"""Run inside the learner's process: what a test cannot see, or bring about, from outside."""

import gc
import http.client
import json
import os
import threading
import weakref
from collections import Counter

import store

# Code that is right may hold a lock where a post comes in between, so that the post has to wait.
# It is held up for no longer than this, in seconds: for being kept, and for being announced.
KEPT, ANNOUNCED = 1.0, 0.5
PATIENCE = float(os.environ.get("COURSE_PATIENCE") or 1)

posting: list[threading.Thread] = []


def parse(chunks: list[str]) -> dict:
    """Feed the client's parser with chunks of bytes, in hex; return what became of each.

    If `feed` returns no list, this is all there is to say: what it "returned", in words.
    """
    import client

    parser, events = client.Parser(), []
    for chunk in chunks:
        given = parser.feed(bytes.fromhex(chunk))
        if not isinstance(given, list | tuple):
            return {"returned": repr(given)}
        events.append([[event.name, event.data, event.last_id] for event in given])
    return {"events": events, "retry": parser.retry, "last_id": parser.last_id}


def post_at_first_look(host: str, room: str, text: str, when: str) -> None:
    """Have a message posted at the first look into the room: right "before" it, or "after"."""
    real, looked = store.Store.list, []

    def look(self, *args, **kwargs):
        first = room in (*args, *kwargs.values()) and not looked
        if first:
            looked.append(True)
        if first and when == "before":
            _post_and_wait(host, room, text)
        found = real(self, *args, **kwargs)
        if first and when == "after":
            _post_and_wait(host, room, text)
        return found

    store.Store.list = look


def _post_and_wait(host: str, room: str, text: str) -> None:
    """Post from another thread, and wait until it is done, or is held up by a lock."""
    real, kept = store.Store.add, threading.Event()

    def add(self, *args, **kwargs):
        message = real(self, *args, **kwargs)
        kept.set()
        return message

    store.Store.add = add
    thread = threading.Thread(target=_post, args=(host, room, text), daemon=True)
    posting.append(thread)
    thread.start()
    kept.wait(KEPT * PATIENCE)
    store.Store.add = real
    thread.join(ANNOUNCED * PATIENCE)


def _post(host: str, room: str, text: str) -> None:
    connection = http.client.HTTPConnection(host, timeout=60)
    body, headers = (
        json.dumps({"author": "eve", "text": text}),
        {"Content-Type": "application/json"},
    )
    connection.request("POST", f"/rooms/{room}/messages", body, headers)
    connection.getresponse().read()
    connection.close()


def wait_for_posts() -> None:
    """Return when what was posted from here is done."""
    for thread in posting:
        thread.join()


def overtake_next_post(host: str, room: str, text: str) -> None:
    """Let the next message be kept, but announced only after another that is posted meanwhile."""
    real = store.Store.add

    def add(self, *args, **kwargs):
        store.Store.add = real
        message = real(self, *args, **kwargs)
        _post_and_wait(host, room, text)
        return message

    store.Store.add = add


def count_looks() -> None:
    """Begin to count how often the store is read."""
    real = store.Store.list

    def look(self, *args, **kwargs):
        look.count += 1
        return real(self, *args, **kwargs)

    look.count = 0
    store.Store.list = look


def looks() -> int:
    """Return how often the store was read since then."""
    return store.Store.list.count


def objects() -> dict[str, int]:
    """Return how many objects of each type this process holds, by the type's name.

    Weak references do not count: sqlite3 keeps those to its cursors until there are 200.
    """
    gc.collect()
    counts: dict[str, int] = {}
    for kind, count in Counter(map(type, gc.get_objects())).items():
        if kind is not weakref.ReferenceType:
            counts[kind.__name__] = counts.get(kind.__name__, 0) + count
    return counts


def texts(start: str) -> list[str]:
    """Return the texts that begin with `start`, and go on, which some object here holds."""
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
