"""Functions that the tests of lesson 8 call inside the app's process.

A client can't see a race that happens once in a thousand times. These functions make each one
happen in every run: they hold one thread until another overtakes it, or until that one waits for
the turn that the held thread has. If neither can be seen, the held thread goes on after a moment.
"""

import errno
import gc
import json
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator

import simple_websocket
import wsproto
from flask import Flask
from wsproto.events import Pong, TextMessage
from wsproto.utilities import LocalProtocolError

import hub
import protocol
import store

MOMENT = 0.3  # seconds in which a thread that is there, and can overtake, does so
ARRIVAL = 2.0  # seconds in which a thread that is to overtake is there
LONG = 5.0  # seconds after which a test that should have gone on has failed
GLANCE = 0.01  # seconds between two looks at who waits
LARGE = 4_000  # bytes of a frame that is written in two parts
PART = 1_000  # bytes that one `send` writes

ERRORS: dict[str, Callable[[], Exception]] = {
    "BrokenPipeError": lambda: BrokenPipeError(errno.EPIPE, "Broken pipe"),
    "ConnectionResetError": lambda: ConnectionResetError(errno.ECONNRESET, "Reset by peer"),
    "OSError": lambda: OSError(errno.EBADF, "Bad file descriptor"),
    "ConnectionClosed": lambda: simple_websocket.ConnectionClosed(1006, None),
    "LocalProtocolError": lambda: LocalProtocolError("Event Message cannot be sent"),
}


class Held:
    """A held thread. `begun` is set when it is held; it continues when it is `overtaken`.

    `arrived` may be set when the other thread is there.
    """

    def __init__(self) -> None:
        self.begun, self.arrived = threading.Event(), threading.Event()
        self.overtaken, self.released = threading.Event(), threading.Event()
        self._first = threading.Lock()

    def first(self) -> bool:
        """Return whether this call is the first, which is to be held."""
        return self._first.acquire(blocking=False)

    def wait(self, until_released: bool = False, seconds: float = ARRIVAL) -> None:
        """Wait until overtaken, and if asked, until the test releases it."""
        self.begun.set()
        end, late = time.monotonic() + seconds, False
        while not self.overtaken.wait(GLANCE):
            if self.arrived.is_set() and not late:
                end, late = time.monotonic() + MOMENT, True
            if any(turn.keeps_others_out() for turn in turns) or time.monotonic() > end:
                return
        if until_released:
            self.released.wait(LONG)


class Turn:
    """The hub's turn, which knows whether threads wait for it."""

    def __init__(self, turn: threading.RLock) -> None:
        self._turn, self._depth, self._owner = turn, 0, 0
        self._waiting: set[int] = set()
        self.when_waiting: list[Callable[[], None]] = []  # called by a thread that has to wait
        self.when_released: list[Callable[[], None]] = []  # called by a thread that has released it

    def keeps_others_out(self) -> bool:
        """Return whether this thread has the turn and another waits for it."""
        return self._owner == threading.get_ident() and bool(self._waiting)

    def acquire(self, *args: object, **options: object) -> bool:
        """Take the turn."""
        taken = self._turn.acquire(blocking=False)
        if not taken:
            self._waiting.add(threading.get_ident())
            for call in self.when_waiting:
                call()
            taken = self._turn.acquire(*args, **options)
            self._waiting.discard(threading.get_ident())
        if taken:
            self._depth, self._owner = self._depth + 1, threading.get_ident()
        return taken

    def release(self) -> None:
        """Release the turn."""
        self._depth -= 1
        last = not self._depth
        if last:
            self._owner = 0
        self._turn.release()
        if last:
            for call in self.when_released:
                call()

    __enter__ = acquire

    def __exit__(self, *error: object) -> None:
        self.release()


turns: list[Turn] = []  # of the hub, if it has one
held = Held()  # by the newest of the functions below
overlaps: list[list[str]] = []
order: list[str] = []  # the clients that a message was sent to
not_found: list[int] = []  # ids of messages
options: list[bool] = []  # of TCP_NODELAY
inside: list[str] = []  # what was written inside a frame
pending: dict[int, int] = {}  # by socket, how many bytes the last `send` left


def hold() -> Held:
    """Return what the next function holds, and `is_held` and `release` speak of."""
    global held
    held = Held()
    for each in objects(hub.Hub):
        if hasattr(each, "turn") and type(each.turn) is not Turn:
            each.turn = Turn(each.turn)
            turns.append(each.turn)
    return held


def is_held() -> bool:
    """Return whether the thread is held."""
    return held.begun.is_set()


def release() -> None:
    """Let the held thread continue."""
    held.released.set()


def store_messages(database: str, room: str, author: str, text: str, count: int) -> dict:
    """Store messages that the app doesn't know of. Return the last of them."""
    board = store.Store(database)
    return [board.add(room, author, text) for _ in range(count)][-1]


def kind_of(event: object) -> str:
    """Return the `type` of a message that is sent as text, or "" for anything else."""
    if not isinstance(event, TextMessage):
        return ""
    try:
        return json.loads(event.data)["type"]
    except (ValueError, TypeError, LookupError):
        return ""


def around_add(before: Callable[[], None] | None, after: Callable[[], None] | None) -> None:
    """Do something before and after each message is stored."""
    real = store.Store.add

    def add(*args: object, **options: object) -> dict:
        if before:
            before()
        message = real(*args, **options)
        if after:
            after()
        return message

    store.Store.add = add


def before_send(before: Callable[[object, object], None]) -> None:
    """Do something before a message is turned into a frame."""
    real = wsproto.WSConnection.send

    def send(self: wsproto.WSConnection, event: object) -> bytes:
        before(self, event)
        return real(self, event)

    wsproto.WSConnection.send = send


def when_sent(kind: str, action: Callable[[], None]) -> None:
    """Do something before each message of a type is sent."""
    before_send(lambda ws, event: action() if kind_of(event) == kind else None)


def hold_stored() -> None:
    """Pause the first thread that stores a message until another thread's message is sent.

    It is held after the commit, when it releases the turn, and before it publishes.
    """
    mine, threads = hold(), []

    def wait() -> None:
        if threads == [threading.get_ident()]:
            mine.wait()

    def after() -> None:
        if mine.first():
            threads.append(threading.get_ident())
            wait()

    around_add(None, after)
    for turn in turns:
        turn.when_released.append(wait)
    publish = getattr(hub.Hub, "publish", None)
    if publish:

        def held_publish(self: hub.Hub, room: str, message: dict) -> None:
            wait()
            publish(self, room, message)

        hub.Hub.publish = held_publish
    when_sent("message", mine.overtaken.set)


def hold_commit() -> None:
    """Pause the first message before its commit, until something of it is sent."""
    mine = hold()

    def before() -> None:
        if mine.first():
            mine.wait(until_released=True, seconds=MOMENT)

    around_add(before, None)
    when_sent("message", mine.overtaken.set)


def look_again(database: str) -> None:
    """Look for each message that is sent, as another process would."""
    board = store.Store(database)

    def before(ws: object, event: object) -> None:
        if kind_of(event) == "message":
            message_id = json.loads(event.data)["message"]["id"]
            if not board.get(message_id):
                not_found.append(message_id)

    before_send(before)


def missing() -> list[int]:
    """Return the ids of the messages that were sent and couldn't be found."""
    return not_found


def hold_look(after: bool) -> None:
    """Pause the first call of `last_id()`, before or after it, until a message is stored."""
    mine, real = hold(), store.Store.last_id

    def last_id(self: store.Store, room: str) -> int:
        first = mine.first()
        if first and not after:
            mine.wait(until_released=True)
        found = real(self, room)
        if first and after:
            mine.wait(until_released=True)
        return found

    store.Store.last_id = last_id
    around_add(None, mine.overtaken.set)


def hold_until_waiting() -> None:
    """Pause the first thread that stores a message, until another thread waits for the turn."""
    mine = hold()

    def after() -> None:
        if mine.first():
            mine.wait()

    around_add(None, after)
    for turn in turns:
        turn.when_waiting.append(mine.overtaken.set)


def hold_turn() -> None:
    """Pause the first thread that releases the hub's turn, until a message is stored."""
    mine = hold()

    def released() -> None:
        if mine.first():
            mine.wait(until_released=True)

    for turn in turns:
        turn.when_released.append(released)
    around_add(None, mine.overtaken.set)


def hold_members() -> None:
    """Pause the first call of `members()`, after it, until a presence is sent."""
    mine, real = hold(), hub.Hub.members

    def members(self: hub.Hub, room: str) -> list[str]:
        found = real(self, room)
        if mine.first():
            mine.wait()
        return found

    hub.Hub.members = members
    when_sent("presence", mine.overtaken.set)


def hold_greeting() -> None:
    """Pause the thread that has sent the first welcome, until a message is stored."""
    mine, real = hold(), simple_websocket.Server.send

    def send(self: simple_websocket.Server, data: object) -> None:
        real(self, data)
        if '"welcome"' in str(data) and mine.first():
            mine.wait(until_released=True)

    simple_websocket.Server.send = send
    around_add(None, mine.overtaken.set)


def hold_presence(observer: str) -> None:
    """Pause the next presence, or the thread that sends it to the observer, until overtaken."""
    mine, theirs, real = hold(), connections([observer]), hub.Hub.publish

    def publish(self: hub.Hub, room: str, message: dict) -> None:
        if message["type"] == "presence" and mine.first():
            mine.wait()
        real(self, room, message)

    def before(ws: object, event: object) -> None:
        if id(ws) in theirs and kind_of(event) == "presence":
            if mine.first():
                mine.wait()
            else:
                mine.overtaken.set()

    hub.Hub.publish = publish
    before_send(before)


def hold_send(who: str, kind: str) -> None:
    """Pause the first message of a type to this client, until another thread sends to it."""
    mine, theirs, busy = hold(), connections([who]), []

    def before(ws: object, event: object) -> None:
        if id(ws) not in theirs or not kind_of(event):
            return
        if busy:
            overlaps.append([busy[0], kind_of(event)])
            mine.overtaken.set()
        elif kind_of(event) == kind and mine.first():
            busy.append(kind)
            mine.wait()
            busy.clear()

    def arrive(self: hub.Connection, *args: object) -> None:
        if busy and id(self.ws.ws) in theirs:
            mine.arrived.set()
        send(self, *args)

    send, hub.Connection.send = hub.Connection.send, arrive
    before_send(before)


def overlapped() -> list[list[str]]:
    """Return the types of two messages that were being sent to one client at the same time."""
    return overlaps


class TestSocket:
    """A socket whose writes a test controls. All else is the socket's own."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def __getattr__(self, name: str) -> object:
        return getattr(self._sock, name)


class HeldSocket(TestSocket):
    """It writes the first large frame in two parts, and waits in between for another write."""

    def send(self, data: bytes) -> int:
        """Write the data, and return its length."""
        if len(data) > LARGE and held.first():
            half = len(data) // 2
            self._sock.sendall(data[:half])
            held.wait()
            self._sock.sendall(data[half:])
            held.released.set()
        else:
            if held.begun.is_set() and not held.released.is_set():
                inside.append(data.hex(" "))
                held.overtaken.set()
            self._sock.sendall(data)
        return len(data)

    def sendall(self, data: bytes) -> None:
        """Write the data."""
        self.send(data)


class PartSocket(TestSocket):
    """It writes at most `PART` bytes for each `send`, as a socket with a timeout may do."""

    def send(self, data: bytes) -> int:
        """Write the start of the data, and return how many bytes that are."""
        written = self._sock.send(bytes(data[:PART]))
        pending[id(self)] = len(data) - written
        return written


def hold_large_write() -> None:
    """From now on, write the first large frame of a new connection in two parts."""
    mine = hold()

    def before(ws: object, event: object) -> None:
        if isinstance(event, Pong) and mine.begun.is_set():
            mine.arrived.set()

    before_send(before)
    use_socket(HeldSocket)


def written_inside() -> list[str]:
    """Return what was written inside of a frame, in hex."""
    return inside


def write_parts() -> None:
    """From now on, let each `send` of a new connection's socket write only a part."""
    use_socket(PartSocket)


def unwritten() -> int:
    """Return how many bytes were left when `send` was called last."""
    return sum(pending.values())


def use_socket(kind: type[TestSocket]) -> None:
    """Give each new connection such a socket, before a handler sees it."""
    real = simple_websocket.Server.handshake

    def handshake(self: simple_websocket.Server) -> None:
        real(self)
        self.sock = kind(self.sock)

    simple_websocket.Server.handshake = handshake


def note_order(authors: list[str]) -> None:
    """From now on, note which of these clients each message is sent to."""
    theirs = {id_: author for author in authors for id_ in connections([author])}

    def before(ws: object, event: object) -> None:
        if id(ws) in theirs and kind_of(event) == "message":
            order.append(theirs[id(ws)])

    before_send(before)


def noted_order() -> list[str]:
    """Return the clients that messages were sent to, in that order."""
    return order


def lose(authors: list[str], error: str) -> None:
    """From now on, let every send to these clients fail, as after a disconnect."""
    theirs = connections(authors)

    def before(ws: object, event: object) -> None:
        if id(ws) in theirs:
            raise ERRORS[error]()

    before_send(before)


def lose_welcome() -> None:
    """Let the send of the first welcome fail."""
    mine = hold()

    def action() -> None:
        if mine.first():
            mine.begun.set()
            raise ERRORS["BrokenPipeError"]()

    when_sent("welcome", action)


def crash(word: str) -> None:
    """Let each request with this word in it raise an exception in its handler."""
    real = protocol.Session.handle

    def handle(self: protocol.Session, data: str | bytes) -> dict:
        if word in str(data):
            raise RuntimeError("crashed on purpose")
        return real(self, data)

    protocol.Session.handle = handle


def flood(room: str, threads: int, posts: int) -> None:
    """Start to post from several threads at once, as over HTTP: texts of the form "thread post"."""
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
    """Start to publish messages of this many characters from several threads at once."""
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


def watch_no_delay() -> None:
    """From now on, note at each welcome whether the connection has TCP_NODELAY."""
    real = simple_websocket.Server.send

    def send(self: simple_websocket.Server, data: object) -> None:
        if '"welcome"' in str(data):
            option = self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            options.append(bool(option))
        real(self, data)

    simple_websocket.Server.send = send


def no_delay() -> list[bool]:
    """Return what was noted, for each connection."""
    return options


def left_over(rooms: list[str], authors: list[str]) -> dict[str, int]:
    """Return how many connections are in memory, and how many of these rooms and authors."""
    gc.collect()
    wanted, found = {*rooms, *authors}, set()
    ours = (id(wanted), id(found), id(rooms), id(authors))
    for each in containers():
        if id(each) not in ours:
            found.update(key for key in list(each) if type(key) is str and key in wanted)
    return {
        "connections": len(objects(simple_websocket.Server)),
        "rooms": len(found.intersection(rooms)),
        "authors": len(found.intersection(authors)),
    }


def containers() -> Iterator[dict | set | list | tuple | deque]:
    """Yield all objects that may contain a name. gc doesn't track dicts of atoms by itself."""
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
