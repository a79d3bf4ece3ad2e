"""Read what goes by on one connection: HTTP/1.1, streams of events, and then WebSocket frames.

It only looks: the bytes go on as they came. One thing is held back, the head of a request until it
is whole, so that whoever keeps the door can read it before the app does.
"""

import json
import time
from collections.abc import Callable

import h11
from websockets.exceptions import InvalidHeader
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.headers import parse_extension

from course.workbench.read_events import Events
from course.workbench.read_frames import Frames, shown
from course.workbench.transcript import Transcript

KEEP = 16384  # bytes of a body that are kept to be shown
HEAD = 2**20  # bytes of a head, after which it is none
# What stands for a request whose real one was not HTTP.
_ANY = h11.Request(method="GET", target="/", headers=[("Host", "any")])

Door = Callable[[h11.Request], None]


class Unreadable(Exception):
    """What came in is not HTTP, and whoever keeps the door lets nothing else in."""


class Part:
    """A request or an answer, as far as it has come."""

    def __init__(self, way: str, kind: str) -> None:
        self.way, self.kind = way, kind
        self.n = self.size = self.length = 0
        self.title, self.body, self.type = "", b"", ""
        self.fields: list[list[str]] = []
        self.told = -1  # the size when it was told last
        self.at = 0.0  # when it was told first

    def head(self, title: str, headers: object) -> None:
        """Take the first line and the headers."""
        self.title = title
        for name, value in headers:
            self.fields.append([name.decode("latin-1"), value.decode("latin-1")])
            if name.lower() == b"content-type":
                self.type = value.decode("latin-1").lower()

    def add(self, data: bytes) -> None:
        """Take more of the body."""
        self.length += len(data)
        self.body += data[: KEEP - len(self.body)]

    def text(self) -> str:
        """Return the body as it is shown."""
        more = self.length - len(self.body)
        return shown(self.body) + (f"\n… and {more:,} bytes more" if more else "")


class Exchange:
    """A request, and the answer to it."""

    def __init__(self) -> None:
        self.request = Part("up", "request")
        self.answer = Part("down", "response")
        self.asked: h11.Request | None = None
        self.start = time.monotonic()
        self.events: Events | None = None
        self.status = 0

    @property
    def upgrades(self) -> bool:
        """Whether it asks for another protocol."""
        headers = self.asked.headers if self.asked else []
        return any(name == b"upgrade" for name, _ in headers)


class Parser:
    """h11 for one message, that also says how many bytes each event took."""

    def __init__(self, role: type, data: bytes = b"") -> None:
        self._h11 = h11.Connection(role, max_incomplete_event_size=HEAD)
        self.left = b""  # what was fed, and belongs to no event yet
        if data:
            self.feed(data)

    def expect(self, asked: h11.Request) -> None:
        """Read an answer to this request: some have no body, by what was asked."""
        headers = [("Host", "any")]
        if any(name == b"upgrade" for name, _ in asked.headers):
            headers += [("Upgrade", "websocket"), ("Connection", "Upgrade")]
        self._h11.send(h11.Request(method=asked.method, target="/", headers=headers))
        self._h11.send(h11.EndOfMessage())

    def feed(self, data: bytes) -> None:
        """Add bytes; none at all is the end of the connection."""
        self.left += data
        self._h11.receive_data(data)

    def next(self) -> tuple[object, bytes]:
        """Return the next event, and the bytes that it took. Raises h11.RemoteProtocolError."""
        event = self._h11.next_event()
        rest = len(self._h11.trailing_data[0])
        took, self.left = self.left[: len(self.left) - rest], self.left[len(self.left) - rest :]
        return event, took


class Conversation:
    """Tells the transcript what one connection carries.

    `door` is called with each request before its bytes go on, and may raise; without one, even what
    is not HTTP goes on.
    """

    def __init__(self, transcript: Transcript, link: int, door: Door | None = None) -> None:
        self._transcript, self.link, self._door = transcript, link, door
        self._asking = Parser(h11.SERVER)
        self._answering: Parser | None = None
        self._new = Exchange()
        self._waiting: list[Exchange] = []  # asked, and not answered yet
        self._held = b""  # what came after a request for an upgrade that is not answered yet
        self._raw: set[str] = set()
        self.frames: dict[str, Frames] = {}
        self.path = ""  # of the last request

    # Upwards

    def up(self, data: bytes, by: str = "") -> bytes:
        """Read bytes for the app. Returns those that may go on now."""
        if self.frames:
            self.frames["up"].feed(data, by)
            return data
        if "up" in self._raw:
            self._say_raw("up", data)
            return data
        if self._waiting and self._waiting[-1].upgrades:
            self._held += data
            return b""
        self._asking.feed(data)
        return self._requests(by)

    def _requests(self, by: str) -> bytes:
        passed = b""
        while True:
            try:
                event, took = self._asking.next()
            except h11.RemoteProtocolError as error:
                return passed + self._not_http(error)
            passed += took
            self._new.request.size += len(took)
            if isinstance(event, h11.Request):
                self._ask(event, by)
            elif isinstance(event, h11.Data):
                self._new.request.add(event.data)
            elif isinstance(event, h11.EndOfMessage):
                self._tell(self._new.request)
                asked, self._new = self._new, Exchange()
                self._asking = Parser(h11.SERVER, self._asking.left)
                if asked.upgrades:
                    self._held, self._asking = self._asking.left, Parser(h11.SERVER)
                    return passed
            else:
                if self._new.asked:
                    self._tell(self._new.request)
                return passed

    def _not_http(self, error: Exception) -> bytes:
        if self._door:
            raise Unreadable(str(error))
        self._raw.add("up")
        self._waiting.append(self._new)
        self._new.asked = _ANY
        self._say_raw("up", self._asking.left, f"It is no HTTP/1.1 request: {error}.")
        return self._asking.left

    def _ask(self, request: h11.Request, by: str) -> None:
        if self._door:
            self._door(request)
        exchange, part = self._new, self._new.request
        exchange.asked = request
        self.path = request.target.decode("latin-1")
        part.head(f"{request.method.decode()} {self.path}", request.headers.raw_items())
        if by:
            part.fields.insert(0, ["sent by", by])
        self._waiting.append(exchange)
        self._transcript.count(requests=1)

    # Downwards

    def down(self, data: bytes, by: str = "") -> bytes:
        """Read bytes for the page. All of them go on."""
        if self.frames:
            self.frames["down"].feed(data, by)
        elif "down" in self._raw or by:
            self._say_raw("down", data)
        else:
            self._answers(data)
        return data

    def _answers(self, data: bytes) -> None:
        while self._waiting:
            parser = self._parser(self._waiting[0])
            try:
                parser.feed(data)
                done = self._answer(self._waiting[0], parser)
            except (h11.RemoteProtocolError, RuntimeError) as error:
                self._say_raw("down", parser.left, f"It is no HTTP/1.1 answer: {error}.")
                self._raw.add("down")
                return
            if not done or self.frames:
                return
            self._waiting.pop(0)
            data, self._answering = parser.left, None
            if not data:
                return
        if data:
            self._say_raw("down", data, "Nobody asked for this.")

    def _parser(self, exchange: Exchange) -> Parser:
        if self._answering is None:
            self._answering = Parser(h11.CLIENT)
            self._answering.expect(exchange.asked)
        return self._answering

    def _answer(self, exchange: Exchange, parser: Parser) -> bool:
        """Read on in an answer. Returns whether it is whole."""
        while True:
            event, took = parser.next()
            if not exchange.events:  # Else each event has a size of its own.
                exchange.answer.size += len(took)
            if isinstance(event, h11.InformationalResponse | h11.Response):
                self._status(exchange, event)
                if event.status_code == 101:
                    self._switch(event, parser.left)
                    return True
            elif isinstance(event, h11.Data):
                self._carry(exchange, bytes(event.data), len(took))
            elif isinstance(event, h11.EndOfMessage):
                self._finish(exchange)
                return True
            else:
                if exchange.status >= 200:
                    self._tell(exchange.answer)
                return isinstance(event, h11.ConnectionClosed)

    def _status(self, exchange: Exchange, event: object) -> None:
        part = exchange.answer
        if exchange.status:  # An answer after 100 Continue.
            exchange.answer = part = Part("down", "response")
        exchange.status = event.status_code
        reason = event.reason.decode("latin-1")
        part.head(f"{event.status_code} {reason}".strip(), event.headers.raw_items())
        waited = time.monotonic() - exchange.start
        about = [["answer to", exchange.request.title], ["after", f"{waited * 1000:,.1f} ms"]]
        part.fields = about + part.fields
        if part.type.startswith("text/event-stream"):
            exchange.events = Events(self._transcript, self.link)
        if event.status_code < 200 or exchange.events:
            self._tell(part)

    def _carry(self, exchange: Exchange, data: bytes, size: int) -> None:
        if exchange.events:
            exchange.events.feed(data, size)
        else:
            exchange.answer.add(data)

    def _finish(self, exchange: Exchange) -> None:
        useless = is_useless(exchange)
        if useless:
            self._transcript.count(useless=1)
        if not exchange.events:
            self._tell(exchange.answer, useless)

    def _switch(self, answer: object, rest: bytes) -> None:
        """From here on there are frames, in both directions."""
        up, down = inflaters(answer.headers)
        self.frames = {
            "up": Frames(self._transcript, self.link, "up", up),
            "down": Frames(self._transcript, self.link, "down", down),
        }
        self._waiting.clear()
        if rest:
            self.frames["down"].feed(rest)

    def between(self, way: str) -> bool:
        """Whether no frame is half sent that way."""
        return way not in self.frames or self.frames[way].between

    def released(self) -> bytes:
        """Return what was held until it was clear what it is."""
        if not self._held or (self._waiting and not self.frames):
            return b""
        held, self._held = self._held, b""
        return self.up(held)

    # The end

    def end(self, who: str) -> None:
        """Tell what became of what was not whole. `who` ended the connection."""
        if not self.frames and self._answering and "down" not in self._raw:
            self._answers(b"")
        for exchange in self._waiting:
            title = exchange.request.title
            what = "The stream ended" if exchange.events else "The answer did not come whole"
            self._say("end", f"{who} ended the connection", fields=[["so", f"{what}: {title}"]])
        for frames in self.frames.values():
            frames.end()
        if self.frames:
            codes = [frames.closed for frames in self.frames.values() if frames.closed]
            seen = codes[0] if codes else 1006
            why = "" if codes else ", because no close frame went by"
            fields = [["both sides see", f"{seen}{why}"]]
            self._say("end", f"{who} ended the connection", fields=fields)

    # Telling

    def _tell(self, part: Part, useless: bool = False) -> None:
        if part.told == part.size and not useless:
            return
        part.told = part.size
        part.at = part.at or self._transcript.clock()
        more = {
            "way": part.way,
            "size": part.size,
            "fields": part.fields,
            "body": part.text(),
            "at": part.at,
        }
        part.n = self._say(part.kind, part.title, n=part.n, useless=useless, **more)

    def _say_raw(self, way: str, data: bytes, note: str = "") -> None:
        if data:
            fields = [["note", note]] if note else []
            title = f"{len(data):,} bytes that are no message"
            more = {"way": way, "size": len(data), "fields": fields, "body": shown(data[:KEEP])}
            self._say("raw", title, **more)

    def _say(self, kind: str, title: str, **more: object) -> int:
        return self._transcript.say(kind, title, link=self.link, **more)


def is_useless(exchange: Exchange) -> bool:
    """Whether an answer to a GET brought nothing: 304, 204, or an empty list."""
    if not exchange.asked or exchange.asked.method != b"GET":
        return False
    if exchange.status in (204, 304):
        return True
    try:
        body = json.loads(exchange.answer.body)
    except (ValueError, RecursionError):
        return False
    return body == [] or (isinstance(body, dict) and body.get("messages") == [])


def inflaters(headers: object) -> list[PerMessageDeflate | None]:
    """Return what takes the compression off frames, upwards and downwards; None for none."""
    agreed: dict[str, str | None] | None = None
    for name, value in headers:
        if name == b"sec-websocket-extensions":
            try:
                agreed = dict(dict(parse_extension(value.decode("latin-1")))["permessage-deflate"])
            except (InvalidHeader, KeyError):
                continue
    if agreed is None:
        return [None, None]
    return [_inflater(agreed, side) for side in ("client", "server")]


def _inflater(agreed: dict[str, str | None], side: str) -> PerMessageDeflate:
    bits = agreed.get(f"{side}_max_window_bits") or "15"
    window = int(bits) if bits.isdecimal() and 8 <= int(bits) <= 15 else 15
    return PerMessageDeflate(f"{side}_no_context_takeover" in agreed, True, window, 15)
