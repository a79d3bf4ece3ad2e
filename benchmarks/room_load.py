"""The clients of fanout.py and scale.py: all in one process, one loop, frames read by hand.

A client that parses each message would cost more than many a server. So while the clock runs, a
read costs a system call into a buffer, and only a few clients count messages: each message ends
with a mark that occurs nowhere else. Afterwards the buffers are looked through: how many messages
did each client receive in that time, were they the same for all, and is every message there?
"""

import base64
import contextlib
import os
import re
import selectors
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

MARK = b"|"  # No frame here has 124, its code, as a length or a byte.
NUMBER = re.compile(rb"#(\d+)\|")
FILLING = "Some words that a person could have written to the others in the room, not too many. "
AT_ONCE = 50  # handshakes under way
WINDOW = 20  # messages that are under way at full speed
WATCHED = 3  # clients that count messages at full speed
CHUNK, ROOM = 256 * 1024, 512 * 1024  # bytes of a read, and of a client's buffer at first
NAP = 10e-6  # seconds, for each client, between two rounds of reading at full speed
PATIENCE = 30.0  # seconds that the last delivery of a phase may take


class Broken(Exception):
    """The server lost something, or did not do what it has to. As text it says what."""


@dataclass(frozen=True)
class Dialect:
    """How a server is spoken to. Each `{}` becomes a message's text."""

    path: str
    post: str  # a post as a client sends it, `{}` being its text
    protocol: str = ""
    hello: str = ""  # what the client has to say first
    acks: bool = False  # the sender gets its message once more, as an ack
    headers: tuple[str, ...] = ()  # more lines of the handshake


def frame(text: str) -> bytes:
    """Return a client's text frame (RFC 6455, section 5.2), masked with a key of zeros."""
    data = text.encode()
    size = bytes([128 | len(data)]) if len(data) < 126 else b"\xfe" + len(data).to_bytes(2, "big")
    return b"\x81" + size + bytes(4) + data


def frames(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield opcode and payload of each frame of a server. Raises Broken if it isn't a frame."""
    at = 0
    while at < len(data):
        opcode, size, start = data[at], data[at + 1], at + 2
        if size >= 126:
            start += 2 if size == 126 else 8
            size = int.from_bytes(data[at + 2 : start], "big")
        at = start + size
        if opcode not in (0x81, 0x89, 0x8A) or at > len(data):
            raise Broken(f"a frame is broken: it begins with {opcode:#x}")
        yield opcode, data[start:at]


@dataclass(eq=False)
class Client:
    """A connection, and what it has read in this phase."""

    socket: socket.socket
    data: bytearray = field(default_factory=lambda: bytearray(ROOM))
    size: int = 0  # bytes of `data` that are filled

    def read(self) -> int:
        """Read what has arrived, at most CHUNK bytes. Return how many. Raises Broken at the end."""
        if len(self.data) - self.size < CHUNK:
            self.data.extend(bytes(len(self.data)))
        count = self.socket.recv_into(memoryview(self.data)[self.size :], CHUNK)
        if not count:
            raise Broken("a connection was closed")
        self.size += count
        return count

    def marks(self, start: int = 0, end: int | None = None) -> int:
        """Return how many messages end in this part of what was read."""
        return self.data.count(MARK, start, self.size if end is None else end)


class Load:
    """Clients that are in one room, and what is asked of it. One order is noted, not asked for."""

    def __init__(self, port: int, dialect: Dialect, clients: int) -> None:
        self._dialect, self._ready = dialect, selectors.DefaultSelector()
        self.clients: list[Client] = []
        self._stopped: list[socket.socket] = []
        self.one_order = True  # so far
        while len(self.clients) < clients:
            missing = min(AT_ONCE, clients - len(self.clients))
            for opened in [_asked(port, dialect) for _ in range(missing)]:
                _join(opened, dialect)
                self.clients.append(Client(opened))
        for client in self.clients:
            client.socket.setblocking(False)
            self._ready.register(client.socket, selectors.EVENT_READ, client)

    def add_stopped(self, port: int) -> None:
        """Let one more client join, which reads nothing more."""
        opened = _asked(port, self._dialect)
        _join(opened, self._dialect)
        self._stopped.append(opened)

    def close(self) -> None:
        """Cut all connections."""
        for each in [*(client.socket for client in self.clients), *self._stopped]:
            each.close()
        self._ready.close()

    def _posts(self, count: int) -> list[bytes]:
        """Return frames of posts, numbered from 0. Each has a request id that is new."""
        run = base64.b16encode(os.urandom(4)).decode()
        form = self._dialect.post.replace("{}", f"{FILLING}#%d|").replace("[id]", f"{run}-%d")
        twice = "[id]" in self._dialect.post
        return [frame(form % ((n, n) if twice else n)) for n in range(count)]

    def full_speed(self, seconds: float, speakers: int) -> tuple[float, float]:
        """Let `speakers` clients send by turns, as fast as all hear it, for that long.

        Returns deliveries a second, and the share of a core that these clients took.
        """
        posts, sent, naps = self._posts(60_000), 0, NAP * len(self.clients)
        last = len(self.clients) - 1  # The watched clients don't speak if there are enough others.
        watched = {self.clients[last - last * n // (2 * WATCHED)]: 0 for n in range(WATCHED)}
        sizes: list[int] = []
        started = time.perf_counter()
        while (now := time.perf_counter()) < started + seconds * 1.25:
            if not sizes and now >= started + seconds * 0.25:  # It is warm.
                begun, cpu = now, time.process_time()
                sizes = [client.size for client in self.clients]
            while sent - min(watched.values()) < WINDOW and sent < len(posts):
                # By turns, and one at a time: some servers join what one client sends at once.
                self._send(self.clients[sent % speakers], posts[sent])
                sent += 1
            for key, _ in self._ready.select(0.1):
                client = key.data
                count = client.read()
                if client in watched:
                    watched[client] += client.marks(client.size - count)
            # So a read finds more, and costs less. The window is many times as long: nobody waits.
            time.sleep(naps)
        took = time.perf_counter() - begun
        share = (time.process_time() - cpu) / took
        heard = sum(c.marks(size) for c, size in zip(self.clients, sizes, strict=True))
        if self._dialect.acks:  # An ack isn't a delivery.
            heard *= len(self.clients) / (len(self.clients) + 1)
        self._hear_all(sent, speakers)
        self._same_for_all(sent)
        return heard / took, share

    def paced(self, gap: float, messages: int, speakers: int) -> list[float]:
        """Let `speakers` clients take turns, a message every `gap` seconds.

        Returns the seconds from a message's send to each client that read it.
        """
        posts, sent_at, took = self._posts(messages), [], []
        seen: dict[Client, set[int]] = {client: set() for client in self.clients}
        rest: dict[Client, bytes] = dict.fromkeys(self.clients, b"")

        def note(client: Client, data: bytes) -> None:
            now, data = time.perf_counter(), rest[client] + data
            for number in map(int, NUMBER.findall(data)):
                if number not in seen[client]:  # An ack has the text too, and comes after.
                    seen[client].add(number)
                    took.append(now - sent_at[number])
            rest[client] = data[data.rfind(MARK) + 1 :]

        started = time.perf_counter()
        for number, post in enumerate(posts):
            due = started + number * gap
            while (wait := due - time.perf_counter()) > 0:
                self._read(wait, note)
            sent_at.append(time.perf_counter())
            self._send(self.clients[number % speakers], post)
        self._hear_all(messages, speakers, note)
        self._same_for_all(messages)
        return took

    def _send(self, client: Client, data: bytes) -> None:
        while data:
            try:
                data = data[client.socket.send(data) :]
            except BlockingIOError:
                self._read(0.1)

    def _read(self, wait: float, note: Callable[[Client, bytes], None] | None = None) -> None:
        """Read what has arrived, once from each client."""
        for key, _ in self._ready.select(wait):
            count = key.data.read()
            if note:
                end = key.data.size
                note(key.data, bytes(key.data.data[end - count : end]))

    def _hear_all(
        self, messages: int, speakers: int, note: Callable[[Client, bytes], None] | None = None
    ) -> None:
        """Read until all have everything. Raises Broken when that takes too long."""
        wanted = dict.fromkeys(self.clients, messages)
        if self._dialect.acks:
            for turn in range(messages):
                wanted[self.clients[turn % speakers]] += 1
        end, left = time.monotonic() + PATIENCE, wanted
        while left := {c: n for c, n in left.items() if c.marks() < n}:
            if time.monotonic() > end:
                missing = sum(n - c.marks() for c, n in left.items())
                raise Broken(f"{missing:,} deliveries were lost")
            self._read(0.1, note)

    def _same_for_all(self, messages: int) -> None:
        """Raise Broken unless all have read each message once. Note their order; forget them."""
        streams = [bytes(memoryview(client.data)[: client.size]) for client in self.clients]
        for client in self.clients:
            client.size = 0
        expected = _numbers(streams[-1])
        for stream in streams:
            # Mostly the bytes are the same. They are not where a ping is between, or an ack.
            order = expected if stream == streams[-1] else _numbers(stream)
            if sorted(order) != list(range(messages)):
                raise Broken("a client has a message twice, or never")
            self.one_order &= order == expected


@contextlib.contextmanager
def idle(port: int, dialect: Dialect, count: int) -> Iterator[None]:
    """Hold so many connections open that nothing is sent on."""
    with contextlib.ExitStack() as stack:
        for first in range(0, count, AT_ONCE):
            opened = [_asked(port, dialect) for _ in range(min(AT_ONCE, count - first))]
            for each in opened:
                stack.enter_context(each)
                _join(each, dialect)
        yield


def _numbers(stream: bytes) -> list[int]:
    """Return the numbers of the messages in a stream, in its order; acks are none."""
    texts = [data for opcode, data in frames(stream) if opcode == 0x81]
    return [int(NUMBER.search(text)[1]) for text in texts if MARK in text and b'"ack"' not in text]


def _asked(port: int, dialect: Dialect) -> socket.socket:
    """Return a connection on which the handshake was begun (RFC 6455, section 4.1)."""
    opened = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
    lines = [
        f"GET {dialect.path} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
        "Sec-WebSocket-Version: 13",
    ]
    lines += dialect.headers
    if dialect.protocol:
        lines.append(f"Sec-WebSocket-Protocol: {dialect.protocol}")
    opened.sendall("\r\n".join([*lines, "", ""]).encode())
    return opened


def _join(opened: socket.socket, dialect: Dialect) -> None:
    """End the handshake, and read until the server's welcome."""
    read = _until(opened, b"", b"\r\n\r\n")
    if b" 101 " not in read.partition(b"\r\n")[0]:
        raise Broken(f"the handshake was answered {read[:80]!r}")
    if dialect.hello:
        opened.sendall(frame(dialect.hello))
    _until(opened, read.partition(b"\r\n\r\n")[2], b'"welcome"')
    # The rest of the welcome may still come; it has no mark, so it is cut off here.
    opened.settimeout(0.0)
    try:
        while opened.recv(65536):
            pass
    except BlockingIOError:
        opened.settimeout(PATIENCE)


def _until(opened: socket.socket, read: bytes, end: bytes) -> bytes:
    while end not in read:
        more = opened.recv(65536)
        if not more:
            raise Broken(f"the connection was closed after {read[-200:]!r}")
        read += more
    return read
