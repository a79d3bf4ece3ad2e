"""Functions that the tests of lesson 10 call inside the app's process.

A client that is gone can't be seen from outside, and a write that blocks depends on the sizes of
buffers. These functions make both happen: they call `beat()`, and they let the writes to a client
block until its socket is shut down. The functions of lesson 8's probe do the rest.
"""

import errno
import gc
import socket
import threading
from urllib.parse import parse_qs

import simple_websocket

import heartbeat
import hub
import protocol
import store

FLOOD = 2 * 2**20  # bytes, more than the buffers of a pair of sockets that are that small
MOMENT = 0.2  # seconds in which another thread could act
CHUNK = 16_384  # bytes of a long write that block one after the other
LONG = 60.0  # seconds after which a write that blocks fails: longer than any test waits

# What happens to the writes to each of these clients: "" nothing, "stuck" they block, and "full"
# they block and the system says so beforehand.
modes: dict[str, str] = {}
held: dict[str, threading.Event] = {}  # by client, set when its held write may go on
begun: dict[str, int] = {}  # by client, how many of its writes have begun to block
passes: dict[str, int] = {}  # by client, how many blocked writes may go on
longest: list[int] = [0]  # how many messages one call of the store has returned
paused = threading.Event()  # set when a thread waits in `list()`
goes_on = threading.Event()


def beat() -> None:
    """Let the app's heart beat once, when no thread is sending, except to clients that block."""
    wait_for_sends([each for each in objects(hub.Connection) if not modes.get(each.author)])
    for each in objects(heartbeat.Heartbeat):
        each.beat()


def wait_for_sends(connections: list[hub.Connection]) -> None:
    """Wait until no thread is sending to these clients."""
    for lock in [each._lock for each in connections if hasattr(each, "_lock")]:
        if lock.acquire(timeout=LONG):
            lock.release()


def answered(who: str) -> bool:
    """Return whether the library has had this client's pong to the newest ping."""
    return all(each.pong_received for each in servers(who))


class Wire:
    """A client's socket, whose writes a test controls. All else is the socket's own."""

    def __init__(self, sock: socket.socket, who: str) -> None:
        self._sock, self._who, self._shut = sock, who, threading.Event()
        self._full: tuple[socket.socket, socket.socket] | None = None

    def __getattr__(self, name: str) -> object:
        return getattr(self._sock, name)

    def fileno(self) -> int:
        """Return the socket's number, or that of one which takes no more bytes."""
        if modes.get(self._who) != "full":
            return self._sock.fileno()
        if self._full is None:
            self._full = full_pair()
        return self._full[0].fileno()

    def sendall(self, data: bytes) -> None:
        """Write the data, unless that is to block."""
        for start in range(0, len(data), CHUNK):
            if modes.get(self._who):
                self._block()
            self._sock.sendall(data[start : start + CHUNK])

    def send(self, data: bytes, *flags: int) -> int:
        """Write the data, and return its length."""
        self.sendall(data)
        return len(data)

    def _block(self) -> None:
        begun[self._who] = begun.get(self._who, 0) + 1
        mine = held.setdefault(self._who, threading.Event())
        waited = 0.0
        while waited < LONG and not (mine.is_set() or self._shut.wait(0.005)):
            if passes.get(self._who):
                passes[self._who] -= 1
                return
            waited += 0.005
        if not mine.is_set():
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    def shutdown(self, how: int) -> None:
        """Shut the socket down, which ends every write."""
        self._sock.shutdown(how)
        if how != socket.SHUT_RD:
            self._shut.set()


def full_pair() -> tuple[socket.socket, socket.socket]:
    """Return two sockets, the first of which can't be written to."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    try:
        while ours.send(bytes(FLOOD)):
            pass
    except BlockingIOError:
        pass
    return ours, theirs


def control_writes() -> None:
    """From now on, each new connection has writes that a test can control."""
    real = simple_websocket.Server.handshake

    def handshake(self: simple_websocket.Server) -> None:
        real(self)
        self.sock = Wire(self.sock, author(self))

    simple_websocket.Server.handshake = handshake


def block(who: str, mode: str) -> None:
    """From now on, let the writes to this client block: "stuck" or "full"."""
    wait_for_sends([each for each in objects(hub.Connection) if each.author == who])
    held[who], modes[who], begun[who] = threading.Event(), mode, 0


def unblock(who: str) -> None:
    """Let the writes to this client go on."""
    modes[who] = ""
    held[who].set()


def take_one(who: str) -> None:
    """Let one write to this client go on. The next one blocks."""
    passes[who] = passes.get(who, 0) + 1


def blocked(who: str) -> int:
    """Return how many writes to this client have begun to block."""
    return begun.get(who, 0)


def send_buffer(who: str) -> int:
    """Return how many bytes the system may store for this client. Linux doubles what is set."""
    return max(each.sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) for each in servers(who))


def watch_store() -> None:
    """From now on, note how many messages a call of the store returns."""
    for name in ("list", "list_before"):
        watch_method(name, getattr(store.Store, name))


def watch_method(name: str, real: object) -> None:
    """Note how many messages each call of a method returns."""

    def method(*args: object, **options: object) -> list[dict]:
        found = real(*args, **options)
        longest[0] = max(longest[0], len(found))
        return found

    setattr(store.Store, name, method)


def most_at_once() -> int:
    """Return how many messages a call of the store has returned at most."""
    return longest[0]


def pause_last_page() -> None:
    """Pause the thread that is the first to read less than a full page, until `go_on()`.

    It goes on, too, if another thread waits for the turn that it has.
    """
    first, real = threading.Lock(), store.Store.list
    paused.clear()
    goes_on.clear()

    def listed(self: store.Store, *args: object, **options: object) -> list[dict]:
        found = real(self, *args, **options)
        if len(found) < 50 and first.acquire(blocking=False):
            paused.set()
            goes_on.wait(MOMENT if has_turn() else LONG)
        return found

    store.Store.list = listed


def pause_greeting() -> None:
    """Pause the next thread that adds a client to its room, until `go_on()`.

    It goes on, too, if another thread waits for the turn that it has.
    """
    first, real = threading.Lock(), hub.Hub.join
    paused.clear()
    goes_on.clear()

    def join(*args: object, **options: object) -> None:
        if first.acquire(blocking=False):
            paused.set()
            goes_on.wait(MOMENT if has_turn() else LONG)
        real(*args, **options)

    hub.Hub.join = join


def hold_requests(word: str) -> None:
    """Pause each thread that has a request with this word in it, until `go_on()`."""
    real = protocol.Session.handle

    def handle(self: protocol.Session, data: str | bytes) -> dict:
        if word in str(data):
            paused.set()
            goes_on.wait(LONG)
        return real(self, data)

    protocol.Session.handle = handle


def is_closed(who: str) -> bool:
    """Return whether the library has noticed that this client has disconnected."""
    return not any(each.thread.is_alive() for each in servers(who))


def cut(who: str) -> None:
    """Cut the connections of this client."""
    for each in servers(who):
        each.sock.shutdown(socket.SHUT_RDWR)


def has_turn() -> bool:
    """Return whether this thread has the hub's turn, so that no other can post."""
    turns = [getattr(each, "turn", None) for each in objects(hub.Hub)]
    return any(turn._is_owned() for turn in turns if hasattr(turn, "_is_owned"))


def is_paused() -> bool:
    """Return whether a thread is paused."""
    return paused.is_set()


def go_on() -> None:
    """Let the paused thread go on."""
    goes_on.set()


def author(server: simple_websocket.Server) -> str:
    """Return the name of a connection's client."""
    return parse_qs(server.environ["QUERY_STRING"]).get("author", [""])[0]


def servers(who: str) -> list[simple_websocket.Server]:
    """Return the connections of this client."""
    return [each for each in objects(simple_websocket.Server) if author(each) == who]


def objects(kind: type) -> list:
    """Return every object of a kind."""
    return [each for each in gc.get_objects() if issubclass(type(each), kind)]
