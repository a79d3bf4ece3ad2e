"""What the tests of lesson 8 do inside the app's process.

They make happen in every run what in life happens once in a thousand times: they hold a call until
another has overtaken it. An answer that lets nothing overtake is let go after a moment.
"""

import errno
import gc
import json
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator

import simple_websocket
import wsproto
from flask import Flask
from wsproto.events import TextMessage
from wsproto.utilities import LocalProtocolError

import hub
import protocol
import store

MOMENT = 0.3  # seconds for what must not overtake to show that it does
LONG = 5.0  # seconds, after which a test that was to go on has failed

ERRORS: dict[str, Callable[[], Exception]] = {
    "BrokenPipeError": lambda: BrokenPipeError(errno.EPIPE, "Broken pipe"),
    "ConnectionResetError": lambda: ConnectionResetError(errno.ECONNRESET, "Reset by peer"),
    "OSError": lambda: OSError(errno.EBADF, "Bad file descriptor"),
    "ConnectionClosed": lambda: simple_websocket.ConnectionClosed(1006, None),
    "LocalProtocolError": lambda: LocalProtocolError("Event Message cannot be sent"),
}


class Held:
    """A call that is held: `begun` when it has come; it goes on when it is `overtaken`."""

    def __init__(self) -> None:
        self.begun, self.overtaken, self.released = (threading.Event() for _ in range(3))
        self._first = threading.Lock()

    def first(self) -> bool:
        """Return whether this call is the first, which is to be held."""
        return self._first.acquire(blocking=False)

    def wait(self, until_released: bool = False) -> None:
        """Wait until something has overtaken; then, if asked, until the test lets go."""
        self.begun.set()
        if self.overtaken.wait(MOMENT) and until_released:
            self.released.wait(LONG)


held = Held()
overlaps: list[list[str]] = []
order: list[str] = []  # to whom a message was sent
not_found: list[int] = []  # ids of messages


def is_held() -> bool:
    """Return whether the call that is to be held has come."""
    return held.begun.is_set()


def release() -> None:
    """Let go what is held."""
    held.released.set()


def keep(database: str, room: str, author: str, text: str) -> dict:
    """Keep a message of which the app knows nothing."""
    return store.Store(database).add(room, author, text)


def kind_of(event: object) -> str:
    """Return the `type` of a message that is sent as text; empty for anything else."""
    if not isinstance(event, TextMessage):
        return ""
    try:
        return json.loads(event.data)["type"]
    except (ValueError, TypeError, LookupError):
        return ""


def around_add(before: Callable[[], None] | None, after: Callable[[], None] | None) -> None:
    """Do something before and after each message is kept."""
    real = store.Store.add

    def add(*args: object, **options: object) -> dict:
        if before:
            before()
        message = real(*args, **options)
        if after:
            after()
        return message

    store.Store.add = add


def around_send(before: Callable[[object, object], None]) -> None:
    """Do something before each message is made a frame."""
    real = wsproto.WSConnection.send

    def send(self: wsproto.WSConnection, event: object) -> bytes:
        before(self, event)
        return real(self, event)

    wsproto.WSConnection.send = send


def hold_kept() -> None:
    """Hold the first message between its commit and its publication, until another is sent."""

    def after() -> None:
        if held.first():
            held.wait()

    around_add(None, after)
    around_send(lambda ws, event: held.overtaken.set() if kind_of(event) == "message" else None)


def hold_commit() -> None:
    """Hold the first message before its commit, until something of it is sent."""

    def before() -> None:
        if held.first():
            held.wait(until_released=True)

    around_add(before, None)
    around_send(lambda ws, event: held.overtaken.set() if kind_of(event) == "message" else None)


def look_again(database: str) -> None:
    """Look for each message that is sent, as another process would."""
    board = store.Store(database)

    def before(ws: object, event: object) -> None:
        if kind_of(event) == "message":
            message_id = json.loads(event.data)["message"]["id"]
            if not board.get(message_id):
                not_found.append(message_id)

    around_send(before)


def unkept() -> list[int]:
    """Return the ids of the messages that were sent and not to be found."""
    return not_found


def hold_look(after: bool) -> None:
    """Hold the first look at the room's last id, before or after it, until a message is kept."""
    real = store.Store.last_id

    def last_id(self: store.Store, room: str) -> int:
        first = held.first()
        if first and not after:
            held.wait(until_released=True)
        found = real(self, room)
        if first and after:
            held.wait(until_released=True)
        return found

    store.Store.last_id = last_id
    around_add(None, held.overtaken.set)


class Turn:
    """The hub's turn. Who gives it up first is held, until a message is kept."""

    def __init__(self, turn: threading.RLock) -> None:
        self._turn, self._depth = turn, 0

    def acquire(self, *args: object, **options: object) -> bool:
        """Take the turn."""
        taken = self._turn.acquire(*args, **options)
        self._depth += taken
        return taken

    def release(self) -> None:
        """Give the turn up."""
        self._depth -= 1
        last = not self._depth
        self._turn.release()
        if last and held.first():
            held.wait(until_released=True)

    __enter__ = acquire

    def __exit__(self, *error: object) -> None:
        self.release()


def hold_turn() -> None:
    """Hold whoever gives up the hub's turn first, until a message is kept. A hub may have none."""
    for each in objects(hub.Hub):
        if hasattr(each, "turn"):
            each.turn = Turn(each.turn)
    around_add(None, held.overtaken.set)


def hold_members() -> None:
    """Hold the first look at who is in a room, after it, until a presence is sent."""
    real = hub.Hub.members

    def members(self: hub.Hub, room: str) -> list[str]:
        found = real(self, room)
        if held.first():
            held.wait()
        return found

    hub.Hub.members = members
    around_send(lambda ws, event: held.overtaken.set() if kind_of(event) == "presence" else None)


def hold_greeting() -> None:
    """Hold whoever has sent the first welcome, until a message is kept."""
    real = simple_websocket.Server.send

    def send(self: simple_websocket.Server, data: object) -> None:
        real(self, data)
        if '"welcome"' in str(data) and held.first():
            held.wait(until_released=True)

    simple_websocket.Server.send = send
    around_add(None, held.overtaken.set)


def hold_presence(observer: str) -> None:
    """Hold the next presence, or what sends it to the observer, until another overtakes it."""
    theirs, real = connections([observer]), hub.Hub.publish

    def publish(self: hub.Hub, room: str, message: dict) -> None:
        if message["type"] == "presence" and held.first():
            held.wait()
        real(self, room, message)

    def before(ws: object, event: object) -> None:
        if id(ws) in theirs and kind_of(event) == "presence":
            if held.first():
                held.wait()
            else:
                held.overtaken.set()

    hub.Hub.publish = publish
    around_send(before)


def hold_send(who: str, kind: str) -> None:
    """Hold the first message of a kind that goes to somebody, until another thread sends there."""
    theirs = connections([who])
    busy = []

    def before(ws: object, event: object) -> None:
        if id(ws) not in theirs or not kind_of(event):
            return
        if busy:
            overlaps.append([busy[0], kind_of(event)])
            held.overtaken.set()
        elif kind_of(event) == kind and held.first():
            busy.append(kind)
            held.wait()
            busy.clear()

    around_send(before)


def overlapped() -> list[list[str]]:
    """Return the kinds of two messages that were on their way to one client at the same time."""
    return overlaps


def note_order(authors: list[str]) -> None:
    """From now on, note to which of these clients a message is sent."""
    theirs = {id_: author for author in authors for id_ in connections([author])}

    def before(ws: object, event: object) -> None:
        if id(ws) in theirs and kind_of(event) == "message":
            order.append(theirs[id(ws)])

    around_send(before)


def noted_order() -> list[str]:
    """Return to whom a message was sent, in that order."""
    return order


def lose(authors: list[str], error: str) -> None:
    """From now on, let every message to these clients fail as one to a connection that has gone."""
    theirs = connections(authors)

    def before(ws: object, event: object) -> None:
        if id(ws) in theirs:
            raise ERRORS[error]()

    around_send(before)


def crash(word: str) -> None:
    """Let a request with this word in it end its conversation by an exception."""
    real = protocol.Session.handle

    def handle(self: protocol.Session, data: str | bytes) -> dict:
        if word in str(data):
            raise RuntimeError("crashed on purpose")
        return real(self, data)

    protocol.Session.handle = handle


def flood(room: str, threads: int, posts: int) -> None:
    """Begin to post from several threads at once, as over HTTP: texts of the form "thread post"."""
    app = next(o for o in objects(Flask) if any(r.rule[:7] == "/rooms/" for r in o.url_map._rules))
    start = threading.Barrier(threads)

    def post(thread: int) -> None:
        client = app.test_client()
        start.wait()
        for number in range(posts):
            message = {"author": f"thread {thread}", "text": f"{thread} {number}"}
            client.post(f"/rooms/{room}/messages", json=message)

    start_threads(threads, post)


def publish_large(room: str, threads: int, posts: int, size: int) -> None:
    """Begin to publish messages of so many characters from several threads at once."""
    the_hub = next(iter(objects(hub.Hub)))
    start = threading.Barrier(threads)

    def publish(thread: int) -> None:
        start.wait()
        for number in range(posts):
            message = {"id": number, "author": f"{thread}", "text": str(thread) * size}
            the_hub.publish(room, {"type": "message", "message": message})

    start_threads(threads, publish)


def start_threads(count: int, work: Callable[[int], None]) -> None:
    """Start the work with the numbers up to `count`, each in a thread of its own."""
    for number in range(count):
        threading.Thread(target=work, args=(number,), daemon=True).start()


def no_delay() -> list[bool]:
    """Return of each open connection whether TCP_NODELAY is set."""
    open_ = [ws.sock for ws in objects(simple_websocket.Server) if ws.sock.fileno() >= 0]
    return [bool(each.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)) for each in open_]


def left_over(rooms: list[str]) -> dict[str, int]:
    """Return how many connections are still in memory, and how many of these rooms."""
    gc.collect()
    names, found = set(rooms), set()
    ours = (id(names), id(found), id(rooms))
    for each in containers():
        if id(each) not in ours:
            found.update(key for key in list(each) if type(key) is str and key in names)
    return {"connections": len(objects(simple_websocket.Server)), "rooms": len(found)}


def containers() -> Iterator[dict | set | list | tuple | deque]:
    """Go through what may keep a name. What holds nothing but atoms, gc does not track itself."""
    kinds = (dict, set, list, tuple, deque)
    for each in gc.get_objects():
        if issubclass(type(each), kinds):
            yield each
        for inner in gc.get_referents(each):
            if type(inner) in (dict, tuple) and not gc.is_tracked(inner):
                yield inner


def connections(authors: list[str]) -> set[int]:
    """Return the ids of the connections of these clients."""
    wanted = {f"author={author}" for author in authors}
    found = objects(simple_websocket.Server)
    return {id(each.ws) for each in found if each.environ["QUERY_STRING"] in wanted}


def objects(kind: type) -> list:
    """Return every object of a kind. (`isinstance` would ask proxies, which may raise.)"""
    return [each for each in gc.get_objects() if issubclass(type(each), kind)]
