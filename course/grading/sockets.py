"""People with a WebSocket: the grader's own client, by another library than the server's."""

import contextlib
import json
import socket
import struct
import time

from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import ClientConnection, connect

from course.grading.expect import Unmet, equal, shown
from course.grading.processes import PATIENCE
from course.grading.stage import SECONDS

GLANCE = 0.05  # seconds between two looks at whether the connection has ended
MAX_SIZE = 64 * 2**20  # bytes of a message; the library's own limit is not what we test
CUT_OFF = struct.pack("ii", 1, 0)  # SO_LINGER: on, for 0 s, so that closing sends a reset


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
        seconds = SECONDS * PATIENCE
        try:
            connection = connect(
                url,
                **options,
                open_timeout=seconds,
                close_timeout=seconds / 2,  # It must end before `receive` gives up.
                ping_interval=None,
                max_size=MAX_SIZE,
                max_queue=None,
                proxy=None,
            )
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
            raise Unmet("an open connection", _ending(closed)) from None

    def send_json(self, value: object) -> None:
        """Send a value as JSON, as text."""
        self.send(json.dumps(value, ensure_ascii=False))

    def send_parts(self, parts: list[str] | list[bytes]) -> None:
        """Send one message as several fragments."""
        self._wire.sent(self.who, f"{_in_words(parts[0][:0].join(parts))} in {len(parts)} parts")
        self._connection.send(iter(parts))

    def receive(self, seconds: float = SECONDS) -> str | bytes:
        """Return the next message. Raises Unmet when none comes, or the connection ends first."""
        try:
            data = self._next(seconds)
        except TimeoutError:
            self._wire.received(self.who, f"nothing for {seconds * PATIENCE:g} s")
            raise self._server.unmet(f"a message for {self.who}", "nothing", seconds) from None
        except ConnectionClosed as closed:
            self._wire.received(self.who, _ending(closed))
            raise Unmet(f"a message for {self.who}", _ending(closed)) from None
        self._wire.received(self.who, _in_words(data))
        return data

    def _next(self, seconds: float) -> str | bytes:
        deadline = time.monotonic() + seconds * PATIENCE
        while True:
            left = max(0.0, deadline - time.monotonic())
            try:
                return self._connection.recv(min(left, GLANCE))
            except TimeoutError:
                # After a close frame, or what is no frame at all, `recv` would wait until the
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
        """Hold that the next message is this one: text where it is text, bytes where bytes."""
        got = self.receive(seconds)
        if not equal(got, expected):
            raise Unmet(_in_words(expected), _in_words(got), next)

    def expect_json(self, expected: object, seconds: float = SECONDS, next: str = "") -> None:
        """Hold that the next message is this value as JSON, by its exact types."""
        got = self.receive_json(seconds)
        if not equal(got, expected):
            raise Unmet(shown(expected), shown(got), next)

    def expect_close(self, code: int, seconds: float = SECONDS, next: str = "") -> str:
        """Hold that the server closes with this code and sends nothing before. Returns its reason.

        Code 1006 is what the client sees when no close frame came (RFC 6455, section 7.1.5).
        """
        try:
            data = self._next(seconds)
        except TimeoutError:
            self._wire.received(self.who, f"nothing for {seconds * PATIENCE:g} s")
            raise self._server.unmet(f"close {code}", "nothing", seconds) from None
        except ConnectionClosed as closed:
            self._wire.received(self.who, _ending(closed))
            if _code(closed) != code:
                raise Unmet(f"close {code}", _ending(closed), next) from None
            return closed.rcvd.reason if closed.rcvd else ""
        self._wire.received(self.who, _in_words(data))
        raise Unmet(f"close {code}", _in_words(data), next)

    def ping(self, seconds: float = SECONDS) -> None:
        """Send a protocol ping, and wait for its pong."""
        self._wire.sent(self.who, "ping")
        if not self._connection.ping().wait(seconds * PATIENCE):
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

    def _end(self) -> None:
        raw = self._connection.socket
        with contextlib.suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, CUT_OFF)
        with contextlib.suppress(OSError):
            raw.shutdown(socket.SHUT_RD)  # It wakes the library's own thread, which then closes.
        self._connection.recv_events_thread.join(SECONDS * PATIENCE)
        with contextlib.suppress(OSError):
            raw.close()


def _code(closed: ConnectionClosed) -> int:
    # What the library sends by itself says what was wrong with the stream: 1002, a protocol error.
    if closed.rcvd:
        return closed.rcvd.code
    return closed.sent.code if closed.sent else 1006


def _ending(closed: ConnectionClosed) -> str:
    """Say how a connection ended."""
    if closed.rcvd:
        return f"close {closed.rcvd.code} {closed.rcvd.reason}".rstrip()
    if closed.sent:
        why = (
            f"{closed.sent.reason}: {closed.__cause__}" if closed.__cause__ else closed.sent.reason
        )
        return f"what no WebSocket sends, so {closed.sent.code} ({why})"
    return "the end of the connection, without a close frame (1006)"


def _in_words(data: str | bytes) -> str:
    if isinstance(data, str):
        return shown(data) if data else "(empty text)"
    start = " ".join(f"{byte:02x}" for byte in data[:16])
    return f"{len(data):,} bytes: {start}{' …' if len(data) > 16 else ''}".rstrip(": ")
