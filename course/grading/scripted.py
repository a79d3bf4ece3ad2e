"""A board that does as a test tells it: it answers well, until it is ordered to misbehave."""

import contextlib
import hashlib
import json
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http import HTTPStatus
from itertools import pairwise
from urllib.parse import parse_qsl, urlsplit

from course.grading.expect import Unmet, counted, expect
from course.grading.stage import Program, Stage
from course.grading.transcript import body_in_words
from course.grading.waiting import PATIENCE, SECONDS

HEAD = 65536  # bytes; no request of a test is longer
LONGEST_WAIT = 60.0  # seconds for which a request is held at most
EARLY = 0.9  # A clock can be coarse: a wait counts if this part of it has passed.
LATE = 1.01  # The sleep that a program asks for can be rounded.


@dataclass(frozen=True)
class Reply:
    """An answer. With `cut` half of its body is sent; with `silent` nothing ever is.

    With `open` its body has no length, and does not end: after it nothing more comes.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut: bool = False
    silent: bool = False
    open: bool = False
    messages: tuple[dict, ...] = ()  # those of the body


GOOD = Reply()  # the answer that the board would have given
CUT = Reply(cut=True)  # the same, and the connection ends in the middle of its body
SILENCE = Reply(silent=True)


@dataclass
class Exchange:
    """A request and its answer. Times are of time.time(); bytes are those of HTTP."""

    target: str
    headers: dict[str, str]  # by their names in lower case
    received_at: float
    bytes_in: int
    bytes_out: int = 0
    status: int = 0  # 0 until it is answered
    answered_at: float = 0.0  # before the last bytes of the answer were sent
    tag: str = ""  # the answer's ETag
    messages: tuple[dict, ...] = ()
    place: int = 0  # how many lines the wire had, with this request

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters."""
        return dict(parse_qsl(urlsplit(self.target).query))


class ScriptedBoard:
    """A room of messages behind HTTP. `stage.use(ScriptedBoard(stage))` ends with the test.

    A request with `wait` is held until there is news, or answered 204 after so many seconds.
    """

    def __init__(self, stage: Stage, who: str = "board") -> None:
        self._stage, self.who = stage, who
        self.room = stage.name()
        self.messages: list[dict] = []
        self.log: list[Exchange] = []
        self.orders: deque[Reply] = deque()  # the next answers; after them all are good
        # Called with each request before it is answered, in the order they came.
        self.before_answer: Callable[[Exchange], None] = lambda exchange: None
        self._last = 0  # the request after which connections are refused, or 0
        self._news = threading.Condition()
        self._ended = threading.Event()
        self._held = self._bound(0)
        self.port = self._held.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._accepting: threading.Thread | None = None

    def __enter__(self) -> "ScriptedBoard":
        self.accept()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ended.set()
        with self._news:
            self._news.notify_all()
        self.refuse()
        self._held.close()

    # What a test orders

    def post(self, sent_at: float | None = None) -> dict:
        """Add a message, posted now or at the time `sent_at`, and return it. Its id skips a few."""
        when = datetime.fromtimestamp(time.time() if sent_at is None else sent_at, UTC)
        with self._news:
            last = self.messages[-1]["id"] if self.messages else 0
            message = {
                "id": last + self._stage.random.randint(2, 9),
                "room": self.room,
                "author": "ada",
                "text": self._stage.text() + " ü\n🦦",
                "sent_at": when.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            }
            self.messages.append(message)
            self._news.notify_all()
        return message

    def order(self, *replies: Reply) -> None:
        """Give these as the next answers."""
        with self._news:
            self.orders.extend(replies)

    def refuse(self) -> None:
        """Refuse every connection from now on. The port stays ours."""
        if not self._accepting:
            return
        thread, self._accepting = self._accepting, None
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 5):
            pass  # It wakes the thread, which sees that it is to end, and closes its socket.
        thread.join()
        self._held = self._bound(self.port)

    def refuse_after(self, requests: int) -> None:
        """Refuse every connection after so many requests in all."""
        self._last = requests

    def accept(self) -> None:
        """Accept connections (again)."""
        self._held.listen(128)
        self._accepting = threading.Thread(target=self._accept, args=(self._held,), daemon=True)
        self._accepting.start()

    def wait_until_refused(self, program: Program) -> None:
        """Wait until a client that was started with events=("socket.connect",) is refused.

        It is done then with the answer before. Raises Unmet when it does not try.
        """
        if self._accepting:
            self.wait_for(self._last, program)
        # The event of the last request may be under way still, so two more are waited for.
        tried = program.events("socket.connect") + 2
        if not program.wait_for_event("socket.connect", tried):
            raise program.unmet("another attempt to connect", "none", SECONDS)

    def wait_for(self, count: int, program: Program, seconds: float = SECONDS) -> list[Exchange]:
        """Wait until that many requests have come in all; return them.

        Raises Unmet when they do not come, or when the program has ended.
        """
        deadline = time.monotonic() + seconds * PATIENCE
        with self._news:
            while len(self.log) < count and not program.gone and time.monotonic() < deadline:
                self._news.wait(0.05)
            log = list(self.log)
        if len(log) < count:
            raise program.unmet(
                f"{counted(count, 'request')} to the board", counted(len(log), "request"), seconds
            )
        return log

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """If an expectation in here isn't met, show only what this board sent and received."""
        try:
            yield
        except Unmet:
            self._stage.wire.show_only(
                lambda line: (
                    line.who == self.who or (line.who == "shell" and self.room in line.what)
                )
            )
            raise

    # The server

    @staticmethod
    def _bound(port: int) -> socket.socket:
        sock = socket.socket()
        if os.name == "posix":  # Elsewhere this option would let others take the port.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", port))
        return sock

    def _accept(self, listener: socket.socket) -> None:
        with listener:
            while True:
                connection, _ = listener.accept()
                if self._accepting is not threading.current_thread():
                    connection.close()
                    return
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        """Answer one request, and end the connection."""
        connection.settimeout(60 * PATIENCE)
        with connection, contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head and len(head) < HEAD:
                data = connection.recv(HEAD)
                if not data:
                    return
                head += data
            exchange = self._received(head)
            self.before_answer(exchange)
            if self._last and len(self.log) >= self._last:
                self.refuse()
            self._answer(connection, exchange)

    def _received(self, head: bytes) -> Exchange:
        """Note a request."""
        line, *fields = head.decode("latin-1").strip().split("\r\n")
        pairs = (field.partition(":") for field in fields)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        target = line.split(" ")[1] if line.count(" ") == 2 else line
        have = f" (If-None-Match: {headers['if-none-match']})" if "if-none-match" in headers else ""
        exchange = Exchange(target, headers, time.time(), len(head))
        with self._news:
            self._stage.wire.received(self.who, line.rpartition(" ")[0] + have)
            exchange.place = len(self._stage.wire)
            self.log.append(exchange)
            self._news.notify_all()
        return exchange

    def _answer(self, connection: socket.socket, exchange: Exchange) -> None:
        with self._news:
            reply = self.orders.popleft() if self.orders else GOOD
        if reply.silent:
            self._stage.wire.sent(self.who, "(nothing)")
            self._wait_for_end(connection)
            return
        if reply.cut or reply is GOOD:
            reply = replace(self._good_in_time(exchange), cut=reply.cut)
        data = self._bytes(reply)
        exchange.status, exchange.bytes_out = reply.status, len(data)
        exchange.messages = () if reply.cut else reply.messages
        exchange.tag = reply.headers.get("ETag", "")
        self._say(reply)
        exchange.answered_at = time.time()
        connection.sendall(data)
        if reply.open:
            self._wait_for_end(connection)

    def _wait_for_end(self, connection: socket.socket) -> None:
        """Return when the other side has given up, or the test is over."""
        connection.settimeout(0.05)
        while not self._ended.is_set():
            with contextlib.suppress(TimeoutError):
                if not connection.recv(HEAD):
                    return

    def _good_in_time(self, exchange: Exchange) -> Reply:
        """Return the answer of a board that works, held for as long as the request's `wait`."""
        with self._news:
            if self._good(exchange).status == HTTPStatus.NO_CONTENT:
                self._news.wait_for(
                    lambda: self._ended.is_set() or self._good(exchange).status == HTTPStatus.OK,
                    min(float(exchange.query["wait"]), LONGEST_WAIT),
                )
            return self._good(exchange)

    def _good(self, exchange: Exchange) -> Reply:
        """Return the answer of a board that works, as it would be now."""
        if urlsplit(exchange.target).path != f"/rooms/{self.room}/messages":
            return Reply(404, {"Content-Type": "application/problem+json"}, b'{"status": 404}')
        try:
            after = int(exchange.query.get("after", 0))
            limit = int(exchange.query.get("limit", 50))
            float(exchange.query.get("wait", 0))
        except ValueError:
            return Reply(400, {"Content-Type": "application/problem+json"}, b'{"status": 400}')
        messages = [m for m in self.messages if m["id"] > after][: min(limit, 200)]
        if not messages and "wait" in exchange.query:
            return Reply(HTTPStatus.NO_CONTENT)
        page = {"messages": messages, "next": messages[-1]["id"] if messages else after}
        body = json.dumps(page, ensure_ascii=False).encode()
        headers = {"ETag": f'"{hashlib.sha256(body).hexdigest()[:16]}"'}
        if headers["ETag"] in exchange.headers.get("if-none-match", ""):
            return Reply(304, headers)
        headers["Content-Type"] = "application/json"
        return Reply(200, headers, body, messages=tuple(messages))

    @staticmethod
    def _bytes(reply: Reply) -> bytes:
        headers = {**reply.headers, "Connection": "close"}
        bodiless = reply.status in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
        if not bodiless and not reply.open:
            headers["Content-Length"] = str(len(reply.body))
        lines = [f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        body = reply.body[: len(reply.body) // 2] if reply.cut else reply.body
        return "\r\n".join([*lines, "", ""]).encode() + body

    def _say(self, reply: Reply) -> None:
        body = body_in_words(reply.body, reply.headers.get("Content-Type", ""))
        later = reply.headers.get("Retry-After")
        words = f"{reply.status} {HTTPStatus(reply.status).phrase} "
        words += f"(Retry-After: {later}) " if later else ""
        self._stage.wire.sent(self.who, (words + body).rstrip())
        if reply.cut:
            self._stage.wire.happened(self.who, "connection cut in the middle of the body")


def expect_pauses(
    program: Program, log: list[Exchange], bounds: list[tuple[float, float]], after: list[str]
) -> None:
    """Expect each pause between a response and the next request to be within its bounds.

    `log` holds the program's exchanges from its first on, and `after` says what comes before each
    pause. The clock tells the shortest pause, and the longest is what the program asked
    time.sleep() for. The program has to run with events=Program.PAUSES.
    """
    waits = [then.received_at - before.answered_at for before, then in pairwise(log)]
    for (least, most), wait, sleep, name, following in zip(
        bounds, waits, _slept(program, log), after, log[1:], strict=False
    ):
        if wait < least * EARLY or sleep > most * LATE:
            program.stage.wire.show_until(following.place)
            span = f"{least:g} s" if least == most else f"{least:g} to {most:g} s"
            got = f"{wait if wait < least * EARLY else sleep:.3f} s"
            raise Unmet(f"a pause of {span} after {name}", got)


def _slept(program: Program, log: list[Exchange]) -> list[float]:
    """Return the seconds that the program asked time.sleep() for after each exchange.

    0.0 for all of them, if it doesn't connect once for each exchange.
    """
    # When the last of these has been reported, so have the sleeps before it.
    program.wait_for_event("socket.connect", len(log))
    attempts = program.connections()[: len(log)]
    times = [at for at, _ in attempts]
    received = [exchange.received_at for exchange in log]
    in_turn = all(at <= then for at, then in zip(times, received, strict=False))
    in_turn = in_turn and all(then <= at for then, at in zip(received, times[1:], strict=False))
    if len(attempts) < len(log) or not in_turn:
        return [0.0] * len(log)
    return [seconds for _, seconds in attempts]


def printed(program: Program, count: int) -> list[dict]:
    """Wait until the client has printed this many messages. Returns all that it printed."""
    try:
        lines = program.lines(count)
    except Unmet as unmet:
        # The given loop of show() isn't to blame.
        if "in show" in program.err and "'NoneType' object is not iterable" in program.err:
            unmet.got = "None from poll(). It must return a list."
        raise
    messages = []
    for line in lines:
        try:
            messages.append(json.loads(line))
        except ValueError:
            expect(False, "each line on stdout to be a message as JSON", line)
    return messages


def expect_printed(program: Program, messages: list[dict]) -> None:
    """Expect the client to have printed these messages, and nothing else."""
    seen = printed(program, len(messages))
    for number, (got, wanted) in enumerate(zip(seen, messages, strict=False), 1):
        one_id = got.get("id") if isinstance(got, dict) else got
        expect(one_id == wanted["id"], f"the id {wanted['id']} in line {number}", one_id)
        expect(got == wanted, f"line {number} as the board sent it: {json.dumps(wanted)}", got)
    expect(len(seen) == len(messages), f"{len(messages)} lines, and no more", len(seen))
