"""Functions that the tests of lesson 12 call inside the app's process.

They let users in without a password, stop and start what is written to a client, look at what
waits, and have a clock that shows what a test says.
"""

import builtins
import contextlib
import gc
import socket
import threading
import time
from collections.abc import Callable

from flask import Flask

import accounts
import board
import closing
import heartbeat
import hub
import limits
import writer

LONG = 5.0  # seconds after which a test that should have gone on has failed
MOMENT = 0.05  # seconds in which a thread that can overtake does so
SMALL = 4_096  # bytes of a connection's buffer
PART = 1_000  # bytes that one `send` takes

board.LOOK = 0.05  # A handler that waits for a message checks its connection this often.


class TestSocket:
    """The socket that the writer uses, with counts of its calls, and faults."""

    __test__ = False

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.sent: list[bytes] = []  # what each call of `send` has sent
        self.faults: list[BaseException] = []  # that the next calls raise
        self.part = 0  # bytes that each call sends at most, or 0
        self.full = False  # The calls fail as if the system's buffer were full.
        self.gate = threading.Event()  # While it isn't set, all calls but the next `calls` wait.
        self.gate.set()
        self.calls = 0
        self._blocking = False

    def __getattr__(self, name: str) -> object:
        return getattr(self._sock, name)

    def send(self, data: bytes, *flags: int) -> int:
        """Send the data, or a part, or fail, as a test wants."""
        if not self.calls:
            self.gate.wait(LONG)
        self.calls = max(0, self.calls - 1)
        if self.full:
            threading.Event().wait(0.005)  # The selector thinks otherwise, and calls again.
            raise BlockingIOError
        if self.faults:
            raise self.faults.pop(0)
        data = bytes(data[: self.part] if self.part else data)
        count = self._sock.send(data, *flags)
        self.sent.append(data[:count])
        return count

    def setblocking(self, blocking: bool) -> None:
        """Let `send` wait while the buffer is full, or not."""
        self._blocking = blocking
        self._sock.setblocking(blocking)

    def sendall(self, data: bytes) -> None:
        """Send all of the data, as a socket does by several calls of `send`."""
        while data:
            try:
                data = data[self.send(data) :]
            except BlockingIOError:
                if not self._blocking:
                    raise


most: dict[str, list[int]] = {}  # by outbox, the most bytes and frames that ever waited
frames: list[bytes] = []  # every frame that was put into an outbox
named: list[str | None] = []  # the name of each of these frames
timers: list[tuple[float, Callable[[], None]]] = []
now = [1_000.0]


def objects(kind: type) -> list:
    """Return all objects of a class."""
    return [each for each in gc.get_objects() if issubclass(type(each), kind)]


def enrol(room: str, names: list[str]) -> dict[str, str]:
    """Give users the role of a writer in the room. Return the cookie of each."""
    (users,) = objects(accounts.Accounts)
    secrets = {name: accounts.new_secret() for name in names}
    with users.transaction() as db:
        for name, secret in secrets.items():
            db.execute("INSERT OR IGNORE INTO users VALUES (?, ?)", (name, "no password"))
            db.execute("REPLACE INTO roles VALUES (?, ?, ?)", (room, name, "writer"))
            row = (accounts.digest(secret), "session", name, time.time() + 3_600)
            db.execute("INSERT INTO logins VALUES (?, ?, ?, ?)", row)
    return secrets


def small_buffers() -> None:
    """Let the system hold little for each client, so that a client that doesn't read is noticed."""
    heartbeat.SEND_BUFFER = SMALL


def watch() -> None:
    """From now on, note what is put into the outboxes and what waits, with sockets of ours."""
    real, put = writer.Outbox.__init__, writer.Outbox.put

    def init(self: writer.Outbox, *args: object) -> None:
        real(self, *args)
        self.sock = TestSocket(self.sock)

    def noted(self: writer.Outbox, frame: bytes, *args: object, **options: object) -> None:
        frames.append(frame)
        named.append(args[0] if args else options.get("latest"))
        put(self, frame, *args, **options)
        found = most.setdefault(str(id(self)), [0, 0])
        found[:] = [max(found[0], size_of(self)), max(found[1], len(self.waiting))]

    writer.Outbox.__init__, writer.Outbox.put = init, noted


def size_of(outbox: writer.Outbox) -> int:
    """Return how many bytes the outbox has in memory to send them."""
    return len(outbox.rest) + sum(map(len, outbox.waiting.values()))


def of(who: str) -> hub.Connection:
    """Return the open connection of a client, which has one."""
    found = [each for each in objects(hub.Connection) if each.author == who]
    (connection,) = [each for each in found if not each.outbox.released]
    return connection


def hold(who: str, calls: int = 0, part: int = 0) -> None:
    """Let the next calls of `send` to this client pass, in parts if asked, and hold what follows.

    The writer is held, too, as it would be if a call could block.
    """
    sock = of(who).outbox.sock
    sock.calls, sock.part = calls, part
    sock.gate.clear()


def release(who: str) -> None:
    """Hold nothing any more."""
    of(who).outbox.sock.gate.set()


def fill(who: str, full: bool = True) -> None:
    """Let the system's buffer for this client seem full, or not any more."""
    of(who).outbox.sock.full = full


def fail(who: str, faults: list[str]) -> None:
    """Let the next calls of `send` to this client raise these errors."""
    of(who).outbox.sock.faults = [getattr(builtins, name)() for name in faults]


def parts(who: str) -> None:
    """Let each call of `send` to this client send a part only."""
    of(who).outbox.sock.part = PART


def calls(who: str) -> list[int]:
    """Return the number of bytes of each `send` to this client so far."""
    return [len(data) for data in of(who).outbox.sock.sent]


def size(who: str) -> int:
    """Return how many bytes the outbox says it has."""
    return of(who).outbox.size


def waiting(who: str) -> list[int]:
    """Return the bytes and the frames that wait for this client."""
    outbox = of(who).outbox
    return [size_of(outbox), len(outbox.waiting)]


def largest() -> list[int]:
    """Return the most bytes and the most frames that have waited for any client."""
    return [max(found) for found in zip(*most.values(), strict=True)]


def filled(max_bytes: int, max_frames: int, sizes: list[int], sent: int | None = None) -> list[int]:
    """Put frames of these sizes into a new outbox. Return those that wait until it was closed.

    With `sent`, the writer has taken the first, and has sent so many of its bytes.
    """
    one, other = socket.socketpair()
    with one, other:
        outbox = writer.Outbox(one, max_bytes, max_frames)
        for number, length in enumerate(sizes):
            outbox.put(bytes(length))
            if outbox.ended:
                return sizes[:number]
            if sent is not None and number == 0:
                outbox.take()
                outbox.sent(sent)
    return sizes


def taken_in_parts(frames: int, part: int) -> list:
    """Let the writer take frames of so many bytes, and send as many at each call.

    Return how many bytes each call was given, and how many copies of them there were.
    """
    one, other = socket.socketpair()
    sizes, copies = [], {}
    with one, other:
        outbox = writer.Outbox(one, 2**20, frames)
        for _ in range(frames):
            outbox.put(bytes(part))
        while outbox.size > 0 and len(sizes) <= frames:
            data = outbox.take()
            sizes.append(len(data))
            whole = memoryview(data).obj
            copies[id(whole)] = whole
            outbox.sent(part)
    return [sizes, len(copies)]


def has_ended(who: str) -> bool:
    """Return whether nothing more can be put into this client's outbox."""
    return of(who).outbox.ended


def copies(word: str) -> int:
    """Return how many different objects are frames with this word. Equal ones count, too."""
    return len({id(frame) for frame in frames if word.encode() in frame})


def names_of(word: str) -> list[str | None]:
    """Return the names under which frames with this word were put into outboxes."""
    pairs = zip(frames, named, strict=True)
    return sorted({name for frame, name in pairs if word.encode() in frame}, key=str)


def ending_when_full() -> list:
    """Return the close code and reason of an outbox that is too full for a frame."""
    one, other = socket.socketpair()
    with one, other:
        outbox = writer.Outbox(one, 100, 1)
        for _ in range(2):
            outbox.put(b"x")
        return list(outbox.ending or ())


def put_count() -> int:
    """Return how often a frame was put into an outbox."""
    return len(frames)


def linger(seconds: float) -> None:
    """Let a client have so long to take what was queued, and to end its side."""
    writer.LINGER = writer.SILENCE = closing.ANSWER = seconds


def stop_time() -> None:
    """Let the hub's and the rates' clocks show what a test says, and collect the timers."""
    for each in objects(hub.Hub):
        each.clock, each.timer = lambda: now[0], lambda *timer: timers.append(timer)
    for each in objects(limits.Rates):
        each.clock = lambda: now[0]


def allow_origin(origin: str) -> None:
    """Let the pages of this origin use the board."""
    for each in objects(Flask):
        each.config["ORIGINS"] = [*each.config["ORIGINS"], origin]


def refused() -> int:
    """Return how many requests in a row have been refused for their rate, in any connection."""
    return max((each.refused for each in objects(board.Session)), default=0)


def later(seconds: float) -> None:
    """Let so much time pass. No timer is called."""
    now[0] += seconds


def started() -> list[float]:
    """Return the seconds of the timers that were started and haven't been called."""
    return [seconds for seconds, _ in timers]


def fire() -> None:
    """Call the oldest timer."""
    timers.pop(0)[1]()


def rooms() -> list[str]:
    """Return the rooms that the hub knows."""
    (the_hub,) = objects(hub.Hub)
    return sorted(the_hub._rooms)


def members(room: str) -> int:
    """Return how many connections are in a room."""
    (the_hub,) = objects(hub.Hub)
    return len(the_hub._rooms[room].connections) if room in the_hub._rooms else 0


def take_at_once(rate: float, burst: int, threads: int) -> int:
    """Let threads take tokens of one user at once. Return how many got one."""
    inside = threading.Barrier(threads)

    def clock() -> float:
        with contextlib.suppress(threading.BrokenBarrierError):
            inside.wait(MOMENT)  # Only without a lock do all come together.
        return 0.0

    rates = limits.Rates(rate, burst, lambda: 0.0)
    rates.clock = clock
    results: list[float] = []
    each = [
        threading.Thread(target=lambda: results.append(rates.take("ada"))) for _ in range(threads)
    ]
    for thread in each:
        thread.start()
    for thread in each:
        thread.join()
    return results.count(0)


def take_many(users: int, seconds: float) -> list[int]:
    """Let users take a token, and after a time another. Return the buckets before and after."""
    clock = [0.0]
    rates = limits.Rates(1.0, 5, lambda: clock[0])
    for number in range(users):
        rates.take(f"user {number}")
    before = len(rates._buckets)
    clock[0] += seconds
    rates.take("another")
    return [before, len(rates._buckets)]


def slow_check() -> None:
    """Let `Caps.check()` take a moment, in which another thread can overtake."""
    real = limits.Caps.check

    def check(self: limits.Caps, *args: object) -> None:
        real(self, *args)
        threading.Event().wait(MOMENT)

    limits.Caps.check = check


def counted() -> int:
    """Return how many users and addresses the caps count, and the total as one more."""
    (caps,) = objects(limits.Caps)
    return len(caps._open)


def crash(word: str) -> None:
    """Let each request with this word in it raise an exception in its handler."""
    real = board.Session.handle

    def handle(self: object, data: str | bytes) -> dict:
        if word in str(data):
            raise RuntimeError("crashed on purpose")
        return real(self, data)

    board.Session.handle = handle
