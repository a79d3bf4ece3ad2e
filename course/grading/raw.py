"""People with a TCP connection: bytes as they are, right or wrong, and the frames that come back.

The frames are read by the `websockets` library, which refuses what no server may send.
"""

import contextlib
import socket
import threading
import time

from websockets.exceptions import PayloadTooBig, ProtocolError
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from course.grading.bounds import LARGEST, LARGEST_IN_WORDS
from course.grading.expect import Unmet, shown
from course.grading.waiting import PATIENCE, SECONDS

CHUNK = 65536  # bytes read at once
SHOWN = 24  # bytes of what goes by that stand on the wire
AT_ONCE = 8192  # bytes that surely fit into the system's buffers
LONGEST_LINE = 65536  # bytes of an HTTP answer's head
MOST_LINES = 100  # of such a head
NAMES = {
    Opcode.CONT: "continuation",
    Opcode.TEXT: "text",
    Opcode.BINARY: "binary",
    Opcode.CLOSE: "close",
    Opcode.PING: "ping",
    Opcode.PONG: "pong",
}


class Raw:
    """A TCP connection to 127.0.0.1. What goes by is on the test's wire, in hex and in words.

    `server` has a `stage`, and `unmet()` to explain why nothing comes: a Server or a Program.
    Raises Unmet where nobody accepts the connection.
    """

    def __init__(self, server, who: str, port: int) -> None:
        self._server, self.who, self._wire = server, who, server.stage.wire
        self._reader = StreamReader()
        self._sending: threading.Thread | None = None
        try:
            self._sock = socket.create_connection(("127.0.0.1", port), SECONDS * PATIENCE)
        except OSError as error:
            raise server.unmet("a connection", str(error), SECONDS) from None
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> "Raw":
        return self

    def __exit__(self, *exception: object) -> None:
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)  # It ends a thread that still sends.
        self._sock.close()

    def send(self, data: bytes, what: str = "", piece: int = 0) -> None:
        """Send bytes, whole or in pieces of so many bytes. `what` says in words what they are.

        A server that has closed is no fault here: what it sent before will tell.
        """
        cut = f" ({piece} at a time)" if piece else ""
        self._wire.sent(self.who, f"{what}: {in_hex(data)}{cut}" if what else in_hex(data) + cut)
        pieces = [data[at : at + piece] for at in range(0, len(data), piece)] if piece else [data]
        if len(data) <= AT_ONCE:
            self._send(pieces)
        else:  # The server may answer before it has read all, so that both would wait.
            self._sending = threading.Thread(target=self._send, args=(pieces,), daemon=True)
            self._sending.start()

    def _send(self, pieces: list[bytes]) -> None:
        with contextlib.suppress(OSError):
            for piece in pieces:
                self._sock.sendall(piece)

    def request(self, lines: list[str], what: str = "", more: bytes = b"") -> None:
        """Send a request's lines and the empty one, and `more` together with it."""
        self._wire.sent(self.who, what or " | ".join(lines))
        self._send(["\r\n".join([*lines, "", ""]).encode() + more])

    def head(self) -> list[str]:
        """Return the lines of an HTTP answer up to the empty one. Raises Unmet when none comes."""
        found = self._read(self._reader.read_line(LONGEST_LINE), "an HTTP answer")
        lines = []
        while line := found.decode("latin-1").rstrip("\r\n"):
            lines.append(line)
            if len(lines) > MOST_LINES:
                raise Unmet("the end of the headers", f"more than {MOST_LINES} lines")
            found = self._read(self._reader.read_line(LONGEST_LINE), "the end of the headers")
        self._wire.received(self.who, " | ".join(lines) or "an empty line")
        return lines

    def frame(self, expected: str = "a frame") -> Frame:
        """Return the next frame. Raises Unmet when none comes, or what comes is none."""
        frame = self._read(self._parser(), expected)
        self._wire.received(self.who, f"{in_words(frame)}: {in_hex(frame.serialize(mask=False))}")
        return frame

    def _parser(self):
        return Frame.parse(self._reader.read_exact, mask=False, max_size=LARGEST)

    def expect_end(self) -> None:
        """Expect the end of the connection, with nothing sent before it."""
        while not self._read(self._reader.at_eof(), "the end of the connection"):
            rest = self._read(self._reader.read_exact(len(self._reader.buffer)), "")
            self._wire.received(self.who, in_hex(rest))
            raise Unmet("the end of the connection, and nothing before", in_hex(rest))

    def _read(self, parser, expected: str):
        """Run a parser of the library until it has what it wants."""
        deadline = time.monotonic() + SECONDS * PATIENCE
        try:
            while True:
                try:
                    next(parser)
                except StopIteration as found:
                    return found.value
                self._receive(deadline)
        except TimeoutError:
            self._wire.received(self.who, f"nothing for {SECONDS * PATIENCE:g} s")
            raise self._server.unmet(expected, "nothing", SECONDS) from None
        except EOFError:
            got = "the end of the connection"
            self._wire.received(self.who, got)
            raise Unmet(expected, got) from None
        except PayloadTooBig as error:
            got = f"the head of a frame of {error.size:,} bytes"
            self._wire.received(self.who, got)
            raise Unmet(f"{expected} of at most {LARGEST_IN_WORDS}", got) from None
        except (ProtocolError, RuntimeError) as error:
            left = bytes(self._reader.buffer)
            what = f"bytes that aren't a server's frame: {error} {in_hex(left)}"
            self._wire.received(self.who, what)
            raise Unmet(expected, f"what no server may send: {error}") from None

    def _receive(self, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(left)
        try:
            data = self._sock.recv(CHUNK)
        except TimeoutError:
            raise
        except OSError:  # A reset ends a connection too.
            data = b""
        if data:
            self._reader.feed_data(data)
        else:
            self._reader.feed_eof()


def in_hex(data: bytes) -> str:
    """Return bytes in hex, the first of them where there are many."""
    if len(data) <= SHOWN:
        return data.hex(" ") or "(no bytes)"
    return f"{data[:SHOWN].hex(' ')} … ({len(data):,} bytes)"


def in_words(frame: Frame) -> str:
    """Say what a frame is."""
    name = NAMES[frame.opcode] + ("" if frame.fin else ", not the last")
    if frame.opcode is Opcode.CLOSE:
        code = int.from_bytes(frame.data[:2], "big") if frame.data else "without a code"
        return f"{name} {code} {bytes(frame.data[2:]).decode('utf-8', 'replace')}".rstrip()
    try:
        text = bytes(frame.data).decode()
    except UnicodeDecodeError:
        return f"{name} of {len(frame.data):,} bytes"
    return f"{name} {shown(text, 40)!r}"
