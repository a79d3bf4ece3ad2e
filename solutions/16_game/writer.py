"""Write to all clients from one thread, which never waits for a client."""

import selectors
import socket
import struct
import threading
import time
from collections.abc import Collection
from contextlib import suppress

from simple_websocket import Server

TEXT, CLOSE, PING = 0x1, 0x8, 0x9  # opcodes (RFC 6455, section 5.2)
POLICY_VIOLATION = 1008  # a close code (RFC 6455, section 7.4.1)
TRY_AGAIN_LATER = 1013  # a close code of IANA's registry
MAX_UNREAD = 100  # messages of a client that its handler hasn't read
RETRY_AFTER = 5  # seconds in which the clients that were too slow reconnect
FOREVER = 1e6  # seconds: the heartbeat ends a silent connection long before
LINGER = 10.0  # seconds that a client has to receive what is queued, and then to end its side
SILENCE = 1.0  # seconds without a byte after which we don't wait for the client's end
MOST_DROPPED = 16 * 2**20  # bytes that we read from a client after our close frame


def encode(opcode: int, payload: bytes) -> bytes:
    """Return a server's frame (RFC 6455, section 5.2).

    It isn't compressed. A message need not be, even on a connection that has negotiated
    permessage-deflate (RFC 7692, section 6), so all clients can receive the same bytes.
    """
    length, first = len(payload), 0x80 | opcode
    if length < 126:
        return struct.pack("!BB", first, length) + payload
    if length < 2**16:
        return struct.pack("!BBH", first, 126, length) + payload
    return struct.pack("!BBQ", first, 127, length) + payload


def let_reads_wait(environ: dict) -> None:
    """Prepare the socket of a handshake for a writer: reads wait, although it doesn't block.

    Call this before simple-websocket starts to read.
    """
    for name in ("werkzeug.socket", "gunicorn.socket"):
        if name in environ:
            environ[name].settimeout(FOREVER)


def has_close(data: bytes) -> bool:
    """Return whether one of these control frames is a close frame."""
    at = 0
    while at < len(data):
        if data[at] == 0x80 | CLOSE:
            return True
        at += 2 + data[at + 1]  # A control frame has at most 125 bytes (RFC 6455, section 5.5).
    return False


class Outbox:
    """The frames that are queued for one client. The writer's lock protects it."""

    def __init__(self, sock: socket.socket, max_bytes: int, max_frames: int) -> None:
        # A duplicate can't be closed by another thread while the writer uses it.
        self.sock = sock.dup()
        self.sock.setblocking(False)
        self.max_bytes, self.max_frames = max_bytes, max_frames
        self.waiting: dict[object, bytes] = {}  # frames, in order
        self.rest = memoryview(b"")  # the part of the last call's bytes that isn't sent yet
        self.size = 0  # bytes in `rest` and `waiting`
        self.writes = 0  # calls that have sent something
        self.ending: tuple[int, str] | None = None  # the close code and reason, if we close
        self.ended = False  # Nothing can be added any more.
        self.released = False  # The writer must close the socket.
        self._emptied = threading.Event()  # for the handler, which waits for `_enough`
        self._enough = -1  # bytes

    def put(self, frame: bytes, latest: str | None = None) -> None:
        """Add a frame, and never wait. With `latest`, replace the queued frame of that name."""
        if self.ended:
            return
        if latest is not None:
            self.size -= len(self.waiting.pop(latest, b""))
        too_many = len(self.waiting) >= self.max_frames
        if self.size and (too_many or self.size + len(frame) > self.max_bytes):
            self.close(TRY_AGAIN_LATER, f"retry-after={RETRY_AFTER}")
            return
        self.waiting[object() if latest is None else latest] = frame
        self.size += len(frame)

    def close(self, code: int, reason: str) -> None:
        """Send nothing more than a close frame, after the frame that has been sent in part."""
        if self.ended:
            return
        self.ending, self.ended = (code, reason), True
        frame = encode(CLOSE, struct.pack("!H", code) + reason.encode())
        self.waiting = {CLOSE: frame}
        self.size = len(self.rest) + len(frame)
        self.wake()

    def take(self) -> memoryview:
        """Return the bytes to send next: the rest of the last call, or all that is queued."""
        if not self.rest:
            self.rest = memoryview(b"".join(self.waiting.values()))
            self.waiting = {}
        return self.rest

    def sent(self, count: int) -> None:
        """Remove the first bytes of `rest`, which have been sent."""
        self.rest = self.rest[count:]
        self.size -= count
        self.writes += count > 0
        self.wake()

    def drop(self) -> None:
        """Drop everything that is queued, because the connection is broken."""
        self.ended, self.size = True, 0
        self.waiting, self.rest = {}, memoryview(b"")
        self.wake()

    def emptied(self, size: int) -> threading.Event:
        """Return an event that is set when at most `size` bytes are queued, for one waiting thread.

        Unless `size` is 0, the event is also set when nothing can be added any more.
        """
        self._enough = size
        self._emptied.clear()
        self.wake()
        return self._emptied

    def wake(self) -> None:
        """Wake the thread that waits for `emptied()`, if it has waited for long enough."""
        if self.size <= self._enough or (self.ended and self._enough > 0):
            self._emptied.set()


class QueuedSocket:
    """The socket that simple-websocket uses: what it sends is queued in the outbox."""

    def __init__(self, ws: Server, outbox: Outbox, writer: "Writer") -> None:
        self._sock, self._unread = ws.sock, ws.input_buffer
        self._outbox, self._writer = outbox, writer

    def recv(self, size: int) -> bytes:
        """Return bytes from the client.

        The library keeps reading while the handler waits until the client has read its replies. If
        too many messages are unread, close the connection. OSError then ends the library's thread.
        """
        if len(self._unread) > MAX_UNREAD:
            self._writer.close(self._outbox, POLICY_VIOLATION, "Read the replies to your requests.")
            raise OSError("The client sends requests, and doesn't read the replies.")
        return self._sock.recv(size)

    def send(self, data: bytes) -> int:
        """Add control frames to the outbox. Nothing follows a close frame. Return their length."""
        self._writer.put([self._outbox], data, last=has_close(data))
        return len(data)

    def shutdown(self, how: int) -> None:
        """End the connection after all that is queued has been written, and the client has read it.

        If a socket is closed before all received data was read, TCP sends a reset, which can
        overtake our close frame. Raises OSError if the connection is broken.
        """
        self._writer.wait(self._outbox, 0, LINGER)
        sock = self._outbox.sock  # The library may have closed its own.
        sock.shutdown(socket.SHUT_WR)
        drop_input(sock)
        sock.shutdown(how)

    def __getattr__(self, name: str) -> object:
        """Return any other attribute of the socket."""
        return getattr(self._sock, name)


def woken(selector: selectors.BaseSelector, seconds: float | None) -> list[Outbox]:
    """Wait for the bell or a socket with room. Remove the outboxes with room, and return them."""
    found = []
    for key, _ in selector.select(seconds):
        if key.data is None:
            key.fileobj.recv(1)
        else:
            selector.unregister(key.fileobj)
            found.append(key.data)
    return found


def drop_input(sock: socket.socket) -> None:
    """Read until the client ends its side. Don't wait if it sends nothing, or too much."""
    end, left = time.monotonic() + LINGER, MOST_DROPPED
    with selectors.DefaultSelector() as selector:
        selector.register(sock, selectors.EVENT_READ)
        while left > 0 and time.monotonic() < end and selector.select(SILENCE):
            with suppress(BlockingIOError):  # The library's thread may have read it.
                data = sock.recv(2**16)
                if not data:
                    return
                left -= len(data)


class Writer:
    """The thread that writes to all clients, and the only one that uses their outboxes' sockets."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # It is never held during a call that may wait.
        self._ready: dict[Outbox, None] = {}  # outboxes to process, in order
        self._bell: socket.socket | None = None  # A byte wakes the thread. It starts when needed.
        self._asleep = False

    def put(
        self,
        outboxes: Collection[Outbox],
        frame: bytes,
        latest: str | None = None,
        last: bool = False,
    ) -> None:
        """Add a frame to each of the outboxes, perhaps as its last. Never wait for a client."""
        with self._lock:
            for outbox in outboxes:
                outbox.put(frame, latest)
                if last:
                    outbox.ended = True
                    outbox.wake()
            self._look_at(outboxes)

    def close(self, outbox: Outbox, code: int, reason: str) -> None:
        """Send the client nothing more than a close frame."""
        with self._lock:
            outbox.close(code, reason)
            self._look_at([outbox])

    def release(self, outbox: Outbox) -> None:
        """Close the outbox's socket, and stop using it."""
        with self._lock:
            outbox.drop()
            outbox.released = True
            self._look_at([outbox])

    def wait(self, outbox: Outbox, size: int, seconds: float | None = None) -> None:
        """Wait for the event of `Outbox.emptied`, for at most `seconds`."""
        with self._lock:
            emptied = outbox.emptied(size)
        emptied.wait(seconds)

    def _look_at(self, outboxes: Collection[Outbox]) -> None:
        self._ready.update(dict.fromkeys(outboxes))
        if self._bell is None:
            self._bell, ear = socket.socketpair()
            threading.Thread(target=self._run, args=(ear,), daemon=True, name="writer").start()
        if self._asleep:
            self._asleep = False
            self._bell.send(b"!")

    def _run(self, ear: socket.socket) -> None:
        selector = selectors.DefaultSelector()
        selector.register(ear, selectors.EVENT_READ)
        full: set[Outbox] = set()  # those in the selector, whose sockets have no room now
        while True:
            with self._lock:
                ready, self._ready = self._ready, {}
                self._asleep = not ready
            for outbox in woken(selector, 0 if ready else None):
                full.remove(outbox)
                ready[outbox] = None
            for outbox in ready:
                if outbox.sock.fileno() < 0:
                    continue  # It was released before.
                if outbox.released:
                    if outbox in full:
                        selector.unregister(outbox.sock)
                        full.remove(outbox)
                    outbox.sock.close()
                elif outbox not in full and self.write(outbox):
                    selector.register(outbox.sock, selectors.EVENT_WRITE, outbox)
                    full.add(outbox)

    def write(self, outbox: Outbox) -> bool:
        """Send what is queued for one client, in one call. Returns whether more is queued."""
        with self._lock:
            data = outbox.take()
        try:
            count = outbox.sock.send(data)
        except BlockingIOError:
            count = 0  # The socket's buffer is full.
        except OSError:  # The connection is broken.
            with self._lock:
                outbox.drop()
            return False
        with self._lock:
            outbox.sent(count)
            return outbox.size > 0
