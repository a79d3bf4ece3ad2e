"""People with a WebSocket: the grader's own client, by another library than the server's."""

import base64
import contextlib
import json
import os
import socket
import struct
import time
from urllib.parse import urlsplit

from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import ClientConnection, connect

from course.grading import bounds
from course.grading.bounds import LARGEST, LARGEST_IN_WORDS, TooMuch
from course.grading.expect import Unmet, equal, shown
from course.grading.waiting import PATIENCE, SECONDS

GLANCE = 0.05  # seconds between two looks at whether the connection has ended
FLOOD = 4 * LARGEST  # bytes that may wait to be received by a test
LONGEST_LINE = 65536  # bytes of an HTTP answer's head
MOST_LINES = 100  # of such a head
TOO_BIG = 1009  # the close code that the library sends after a message that is too big
HTTP = b"HTTP/1."
TEXT, CLOSE = 0x1, 0x8  # opcodes (RFC 6455, section 5.2)
CUT_OFF = struct.pack("ii", 1, 0)  # SO_LINGER: on, for 0 s, so that closing sends a reset


class _Tcp(socket.socket):
    """A TCP connection that can be broken by a reset, without the library's own farewell."""

    broken = False
    flooded = False  # It has sent more than a test would ever receive.
    waiting = 0  # bytes that no test has received yet
    http = b""  # what came last that looks like an HTTP response

    def recv(self, size: int, flags: int = 0) -> bytes:
        data = super().recv(size, flags)
        self.waiting += len(data)
        if self.waiting > FLOOD:
            self.flooded = True
            return b""
        if HTTP in data:
            self.http = data[data.index(HTTP) :]
        return data

    def shutdown(self, how: int) -> None:
        if not self.broken:
            super().shutdown(how)

    def break_off(self) -> None:
        """Wake who reads, and have nothing but a reset sent when they close."""
        self.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, CUT_OFF)
        super().shutdown(socket.SHUT_RD)
        self.broken = True


class Socket:
    """An open WebSocket. What goes by is on the test's wire.

    `server` has a `stage`, and `unmet()` to explain why nothing comes: a Server or a Program.
    `subprotocols`, `origin` and `headers` go into the handshake; `deflate` offers compression, as
    every browser does. Raises Unmet where the server does not open it.
    """

    def __init__(
        self,
        server,
        who: str,
        url: str,
        subprotocols: list[str] | None = None,
        origin: str | None = None,
        headers: dict[str, str] | None = None,
        deflate: bool = False,
    ) -> None:
        self._server, self.who, self._wire = server, who, server.stage.wire
        asked = f" (Sec-WebSocket-Protocol: {', '.join(subprotocols)})" if subprotocols else ""
        self._wire.sent(who, f"open {url}{asked}")
        self._connection = self._opened(
            url,
            subprotocols=subprotocols,
            origin=origin,
            additional_headers=headers,
            compression="deflate" if deflate else None,
        )

    def _opened(self, url: str, **options: object) -> ClientConnection:
        seconds, place = SECONDS * PATIENCE, urlsplit(url)
        try:
            tcp = socket.create_connection((place.hostname, place.port), seconds)
            connection = connect(
                url,
                **options,
                sock=_Tcp(tcp.family, tcp.type, tcp.proto, tcp.detach()),
                open_timeout=seconds,
                close_timeout=seconds / 2,  # It must end before `receive` gives up.
                ping_interval=None,
                max_size=LARGEST,
                max_queue=None,
                proxy=None,
            ).__enter__()  # From 17.1 on, websockets opens only what is entered.
        except TimeoutError:
            raise self._server.unmet("a WebSocket that opens", "nothing", SECONDS) from None
        except (InvalidHandshake, OSError, EOFError) as error:
            self._wire.received(self.who, str(error))
            raise Unmet("a WebSocket that opens", str(error)) from None
        agreed = f" (Sec-WebSocket-Protocol: {p})" if (p := connection.subprotocol) else ""
        self._wire.received(self.who, f"open{agreed}")
        return connection

    def __enter__(self) -> "Socket":
        return self

    def __exit__(self, *exception: object) -> None:
        self._end()

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that the server agreed to."""
        return self._connection.subprotocol

    def send(self, data: str | bytes) -> None:
        """Send a text, or bytes, as one message. Raises Unmet when the connection has ended."""
        self._wire.sent(self.who, _in_words(data))
        try:
            self._connection.send(data)
        except ConnectionClosed as closed:
            raise Unmet("an open connection", self._ending(closed)) from None

    def send_json(self, value: object) -> None:
        """Send a value as JSON, as text."""
        self.send(json.dumps(value, ensure_ascii=False))

    def send_parts(self, parts: list[str] | list[bytes]) -> None:
        """Send one message as several fragments."""
        self._wire.sent(self.who, f"{_in_words(parts[0][:0].join(parts))} in {len(parts)} parts")
        try:
            self._connection.send(iter(parts))
        except ConnectionClosed as closed:
            raise Unmet("an open connection", self._ending(closed)) from None

    def receive(self, seconds: float = SECONDS) -> str | bytes:
        """Return the next message. Raises Unmet when none comes, or the connection ends first."""
        try:
            data = self._next(seconds)
        except TimeoutError:
            self._wire.received(self.who, f"nothing for {seconds * PATIENCE:g} s")
            raise self._server.unmet(f"a message for {self.who}", "nothing", seconds) from None
        except ConnectionClosed as closed:
            self._wire.received(self.who, self._ending(closed))
            raise Unmet(f"a message for {self.who}", self._ending(closed)) from None
        self._wire.received(self.who, _in_words(data))
        return data

    def _next(self, seconds: float) -> str | bytes:
        deadline = time.monotonic() + seconds * PATIENCE
        while True:
            left = max(0.0, deadline - time.monotonic())
            try:
                data = self._connection.recv(min(left, GLANCE))
                size = len(data.encode() if isinstance(data, str) else data)
                self._connection.socket.waiting -= size
                return data
            except TimeoutError:
                # After a close frame, or bytes that aren't a frame, `recv` would wait until the
                # server ends TCP, which one that broke the stream often does not.
                if self._connection.protocol.close_expected():
                    self._end()
                elif left <= GLANCE:
                    raise

    def receive_json(self, seconds: float = SECONDS) -> object:
        """Return the next message, which must be JSON, sent as text."""
        data = self.receive(seconds)
        try:
            if isinstance(data, str):
                return json.loads(data)
        except (ValueError, RecursionError):
            pass
        raise Unmet("a text message that is JSON", _in_words(data))

    def expect(self, expected: str | bytes, seconds: float = SECONDS, next: str = "") -> None:
        """Expect this message next, as text or as bytes."""
        got = self.receive(seconds)
        if not equal(got, expected):
            raise Unmet(_in_words(expected), _in_words(got), next)

    def expect_json(self, expected: object, seconds: float = SECONDS, next: str = "") -> None:
        """Expect this value next, as JSON. Values are compared by their exact type."""
        got = self.receive_json(seconds)
        if not equal(got, expected):
            raise Unmet(shown(expected), shown(got), next)

    def expect_close(self, code: int, seconds: float = SECONDS, next: str = "") -> str:
        """Expect a close with this code, with nothing sent before it. Returns its reason.

        Code 1006 is what the client sees when no close frame came (RFC 6455, section 7.1.5).
        """
        try:
            data = self._next(seconds)
        except TimeoutError:
            self._wire.received(self.who, f"nothing for {seconds * PATIENCE:g} s")
            raise self._server.unmet(f"close {code}", "nothing", seconds) from None
        except ConnectionClosed as closed:
            self._wire.received(self.who, self._ending(closed))
            if _code(closed) != code:
                raise Unmet(f"close {code}", self._ending(closed), next) from None
            return closed.rcvd.reason if closed.rcvd else ""
        self._wire.received(self.who, _in_words(data))
        raise Unmet(f"close {code}", _in_words(data), next)

    @property
    def close_reason(self) -> str:
        """The reason in the server's close frame, or "" if there was none."""
        return self._connection.close_reason or ""

    def receive_until_close(self, code: int, seconds: float = SECONDS) -> list[str | bytes]:
        """Return the messages before a close, which must have this code."""
        messages = []
        while True:
            try:
                messages.append(self._next(seconds))
            except TimeoutError:
                self._wire.received(self.who, f"nothing for {seconds * PATIENCE:g} s")
                raise self._server.unmet(f"close {code}", "nothing", seconds) from None
            except ConnectionClosed as closed:
                self._wire.received(self.who, self._ending(closed))
                if _code(closed) != code:
                    raise Unmet(f"close {code}", self._ending(closed)) from None
                return messages
            self._wire.received(self.who, _in_words(messages[-1]))

    def ping(self, seconds: float = SECONDS) -> None:
        """Send a protocol ping, and wait for its pong."""
        self._wire.sent(self.who, "ping")
        try:
            came = self._connection.ping().wait(seconds * PATIENCE)
        except ConnectionClosed as closed:
            raise Unmet("an open connection", self._ending(closed)) from None
        if not came:
            raise self._server.unmet("a pong", "nothing", seconds)
        self._wire.received(self.who, "pong")

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close as RFC 6455, section 7 asks, and wait for the server's answer."""
        self._wire.sent(self.who, f"close {code} {reason}".rstrip())
        self._connection.close(code, reason)

    def cut(self) -> None:
        """Break the connection: no close frame, only a TCP reset."""
        self._wire.happened(self.who, "connection cut")
        self._end()

    def _ending(self, closed: ConnectionClosed) -> str:
        """Say how the connection ended."""
        if closed.rcvd:
            return f"close {closed.rcvd.code} {closed.rcvd.reason}".rstrip()
        if self._connection.socket.flooded:
            return f"more than {FLOOD // 2**20} MiB that were not asked for"
        if closed.sent and closed.sent.code == TOO_BIG:
            return f"a message of more than {LARGEST_IN_WORDS}"
        if not closed.sent:
            return "the end of the connection, without a close frame (1006)"
        http = self._connection.socket.http
        what = "something" if http.startswith(HTTP + b"1 101") else _start_of(http)
        return f"{what}, which isn't a frame, so {closed.sent.code} ({closed.sent.reason})"

    def half_close(self) -> None:
        """End our half of TCP without a close frame, as a program that ends does; go on reading."""
        self._wire.happened(self.who, "connection half closed")
        self._connection.socket.shutdown(socket.SHUT_WR)

    def _end(self) -> None:
        raw = self._connection.socket
        with contextlib.suppress(OSError):
            raw.break_off()  # It wakes the library's own thread, which then closes.
        self._connection.recv_events_thread.join(SECONDS * PATIENCE)
        with contextlib.suppress(OSError):
            raw.close()


class RawSocket:
    """A WebSocket over plain TCP, frame by frame: it answers neither a close nor a ping.

    What goes by is on the test's wire. Raises Unmet where the server does not open it.
    `subprotocol` is what it offers, if anything.
    """

    def __init__(self, server, who: str, target: str, subprotocol: str = "") -> None:
        self._server, self.who, self._wire = server, who, server.stage.wire
        self._wire.sent(who, f"open {target}")
        host, port = server.host.split(":")
        try:
            self._socket = bounds.connect(host, int(port), SECONDS * PATIENCE)
        except OSError as error:
            raise server.unmet("a connection", str(error), SECONDS) from None
        self._file = self._socket.makefile("rb")
        key = base64.b64encode(os.urandom(16)).decode()
        offer = f"Sec-WebSocket-Protocol: {subprotocol}\r\n" if subprotocol else ""
        self._send(
            f"GET {target} HTTP/1.1\r\nHost: {server.host}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            f"{offer}Sec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        status = self._line("an answer to the handshake")
        if status.split()[1:2] != [b"101"]:
            raise Unmet("a WebSocket that opens", shown(status.decode("latin-1").strip()))
        for _ in range(MOST_LINES):
            if not self._line("the end of the handshake").strip():
                break
        else:
            raise Unmet("the end of the handshake", f"more than {MOST_LINES} lines")
        self._wire.received(who, "open")

    def __enter__(self) -> "RawSocket":
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()
        self._socket.close()

    def send(self, opcode: int, payload: bytes = b"") -> None:
        """Send one frame, final and masked (RFC 6455, section 5.2), of at most 125 bytes."""
        self._wire.sent(self.who, _frame_in_words(opcode, payload))
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
        self._send(bytes([0x80 | opcode, 0x80 | len(payload)]) + mask + masked)

    def send_bytes(self, data: bytes) -> None:
        """Send bytes that may be part of a frame, or no valid frame."""
        self._wire.sent(self.who, _in_words(data))
        self._send(data)

    def _send(self, data: bytes) -> None:
        # A server that has closed is told by what comes next.
        with contextlib.suppress(OSError):
            self._socket.sendall(data)

    def receive(self, what: str = "a frame") -> tuple[int, bytes]:
        """Return the opcode and the payload of the next frame. `what` is what it should be."""
        first, length = self._exactly(2, what)
        if length >= 128:
            raise Unmet(what, "a masked frame, which no server may send")
        if length >= 126:
            length = int.from_bytes(self._exactly(2 if length == 126 else 8, "a length"), "big")
        if length > LARGEST:
            raise Unmet(f"{what} of at most {LARGEST_IN_WORDS}", f"one of {length:,} bytes")
        payload = self._exactly(length, "a payload") if length else b""
        self._wire.received(self.who, _frame_in_words(first & 0x0F, payload))
        return first & 0x0F, payload

    def expect_close(self, code: int) -> None:
        """Expect a close frame with this code next."""
        opcode, payload = self.receive(f"close {code}")
        if opcode != CLOSE or int.from_bytes(payload[:2], "big") != code:
            raise Unmet(f"close {code}", _frame_in_words(opcode, payload))

    def expect_end(self) -> None:
        """Expect nothing more, and that the server closes TCP first (RFC 6455, section 7.1.1)."""
        rest = b""
        self._socket.allow(SECONDS * PATIENCE)
        try:
            while data := self._file.read1(LONGEST_LINE):
                rest += data[: LONGEST_LINE - len(rest)]
        except ConnectionError:
            pass
        except TimeoutError:
            raise self._nothing("the end of the connection") from None
        except TooMuch:
            raise self._too_much("the end of the connection") from None
        self._wire.received(self.who, f"{_start_of(rest)}, then the end of the connection")
        if rest:
            raise Unmet("the end of the connection, and nothing before it", _start_of(rest))

    def _line(self, what: str) -> bytes:
        return self._read(lambda: self._file.readline(LONGEST_LINE), what)

    def _exactly(self, size: int, what: str) -> bytes:
        data = self._read(lambda: self._file.read(size), what)
        if len(data) < size:
            self._wire.received(self.who, "the end of the connection")
            raise Unmet(f"{what} for {self.who}", f"{len(data)} of {size:,} bytes, and the end")
        return data

    def _read(self, read, what: str) -> bytes:
        self._socket.allow(SECONDS * PATIENCE, LARGEST + LONGEST_LINE)
        try:
            data = read()
        except TimeoutError:
            raise self._nothing(what) from None
        except TooMuch:
            raise self._too_much(what) from None
        except ConnectionError:
            data = b""
        if not data:
            self._wire.received(self.who, "the end of the connection")
            raise Unmet(f"{what} for {self.who}", "the end of the connection")
        return data

    def _too_much(self, what: str) -> Unmet:
        self._wire.received(self.who, f"more than {LARGEST_IN_WORDS}")
        return Unmet(what, f"more than {LARGEST_IN_WORDS} without it")

    def _nothing(self, what: str) -> Unmet:
        self._wire.received(self.who, f"nothing for {SECONDS * PATIENCE:g} s")
        return self._server.unmet(what, "nothing", SECONDS)


def _frame_in_words(opcode: int, payload: bytes) -> str:
    if opcode == CLOSE:
        return f"close {int.from_bytes(payload[:2], 'big')} {payload[2:].decode(errors='replace')}"
    try:
        return _in_words(payload.decode() if opcode == TEXT else payload)
    except UnicodeDecodeError:
        return f"a text frame that is no UTF-8, {_in_words(payload)}"


def _start_of(data: bytes) -> str:
    return shown(data.split(b"\r\n")[0].decode("latin-1"), 60) if data else "nothing"


def _code(closed: ConnectionClosed) -> int:
    # What the library sends by itself says what was wrong with the stream: 1002, a protocol error.
    if closed.rcvd:
        return closed.rcvd.code
    return closed.sent.code if closed.sent else 1006


def _in_words(data: str | bytes) -> str:
    if isinstance(data, str):
        return shown(data) if data else "(empty text)"
    start, more = data[:16], " …" if len(data) > 16 else ""
    words = repr(start) if start.isascii() and start.decode().isprintable() else start.hex(" ")
    return f"{len(data):,} bytes: {words}{more}" if data else "0 bytes"
