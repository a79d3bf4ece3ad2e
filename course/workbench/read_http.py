"""Read the bytes of one connection: HTTP/1.1, server-sent events, and WebSocket frames.

The bytes are forwarded unchanged. Only the head of a request is held back until it is complete, so
that it can be checked before the app receives it.
"""

import json
import time
from collections.abc import Callable

import h11
from websockets.exceptions import InvalidHeader
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.headers import parse_extension

from course.workbench.read_events import Events
from course.workbench.read_frames import Frames, Raw, shown
from course.workbench.transcript import Transcript

KEEP = 16384  # bytes of a body that are kept to be shown
HEAD = 2**16  # bytes, the longest head that is read
# Takes the place of a request that isn't HTTP.
_ANY = h11.Request(method="GET", target="/", headers=[("Host", "any")])

Door = Callable[[h11.Request], None]


class Unreadable(Exception):
    """The bytes aren't HTTP, and only HTTP may pass."""


class Part:
    """A request or a response, as far as it has arrived."""

    def __init__(self, way: str, kind: str) -> None:
        self.way, self.kind = way, kind
        self.n = self.size = self.length = 0
        self.title, self.body, self.type = "", b"", ""
        self.fields: list[list[str]] = []
        self.told = -1  # its size in the last report
        self.at = 0.0  # the time of the first report

    def head(self, title: str, headers: object) -> None:
        """Set the first line and the headers."""
        self.title = title
        for name, value in headers:
            self.fields.append([name.decode("latin-1"), value.decode("latin-1")])
            if name.lower() == b"content-type":
                self.type = value.decode("latin-1").lower()

    def add(self, data: bytes) -> None:
        """Add to the body."""
        self.length += len(data)
        self.body += data[: KEEP - len(self.body)]

    def text(self) -> str:
        """Return the body as the page shows it."""
        more = self.length - len(self.body)
        return shown(self.body) + (f"\n… and {more:,} more bytes" if more else "")


class Exchange:
    """A request and its response."""

    def __init__(self) -> None:
        self.request = Part("up", "request")
        self.answer = Part("down", "response")
        self.asked: h11.Request | None = None
        self.start = time.monotonic()
        self.events: Events | None = None
        self.status = 0

    @property
    def upgrades(self) -> bool:
        """Whether the request asks for another protocol."""
        headers = self.asked.headers if self.asked else []
        return any(name == b"upgrade" for name, _ in headers)


class Parser:
    """h11 for one message, which also reports the bytes of each event."""

    def __init__(self, role: type, data: bytes = b"") -> None:
        self._h11 = h11.Connection(role, max_incomplete_event_size=HEAD)
        self.left = b""  # bytes that aren't part of an event yet
        if data:
            self.feed(data)

    def expect(self, asked: h11.Request) -> None:
        """Read a response to this request, on which it depends whether there is a body."""
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
        """Return the next event and its bytes. Raises h11.RemoteProtocolError."""
        event = self._h11.next_event()
        rest = len(self._h11.trailing_data[0])
        took, self.left = self.left[: len(self.left) - rest], self.left[len(self.left) - rest :]
        return event, took


class Conversation:
    """Adds the messages of one connection to the transcript.

    `door` is called with each request before it is forwarded, and may raise. Without a door, bytes
    that aren't HTTP are forwarded, too.
    """

    def __init__(self, transcript: Transcript, link: int, door: Door | None = None) -> None:
        self._transcript, self.link, self._door = transcript, link, door
        self._asking = Parser(h11.SERVER)
        self._answering: Parser | None = None
        self._new = Exchange()
        self._waiting: list[Exchange] = []  # without a response yet
        self._held = b""  # bytes after a request for an upgrade, until its response
        self._raw: set[str] = set()  # the directions that carry no HTTP
        self._bytes = {way: Raw(transcript, link, way, "a message") for way in ("up", "down")}
        self.frames: dict[str, Frames] = {}
        self.path = ""  # of the last request

    # Upwards

    def up(self, data: bytes, by: str = "") -> bytes:
        """Read bytes for the app. Returns those to forward now."""
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
                    self._tell(self._new.request, whole=False)
                return passed

    def _not_http(self, error: Exception) -> bytes:
        if self._door:
            raise Unreadable(str(error))
        self._raw.add("up")
        self._waiting.append(self._new)
        self._new.asked = _ANY
        self._say_raw("up", self._asking.left, f"This isn't a valid HTTP/1.1 request: {error}.")
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
        """Read bytes for the page, and return them."""
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
                self._say_raw(
                    "down", parser.left, f"This isn't a valid HTTP/1.1 response: {error}."
                )
                self._raw.add("down")
                return
            if not done or self.frames:
                return
            self._waiting.pop(0)
            data, self._answering = parser.left, None
            if not data:
                return
        if data:
            self._say_raw("down", data, "No request asked for this.")

    def _parser(self, exchange: Exchange) -> Parser:
        if self._answering is None:
            self._answering = Parser(h11.CLIENT)
            self._answering.expect(exchange.asked)
        return self._answering

    def _answer(self, exchange: Exchange, parser: Parser) -> bool:
        """Continue to read a response. Returns whether it is complete."""
        while True:
            event, took = parser.next()
            if not exchange.events:  # Each server-sent event has its own size.
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
                    self._tell(exchange.answer, whole=isinstance(event, h11.ConnectionClosed))
                return isinstance(event, h11.ConnectionClosed)

    def _status(self, exchange: Exchange, event: object) -> None:
        part = exchange.answer
        if exchange.status:  # A response after 100 Continue.
            exchange.answer = part = Part("down", "response")
        exchange.status = event.status_code
        reason = event.reason.decode("latin-1")
        part.head(f"{event.status_code} {reason}".strip(), event.headers.raw_items())
        waited = time.monotonic() - exchange.start
        about = [["response to", exchange.request.title], ["after", f"{waited * 1000:,.1f} ms"]]
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
            self._tell(exchange.answer, useless=useless)

    def _switch(self, answer: object, rest: bytes) -> None:
        """Read frames from here on, in both directions."""
        up, down = inflaters(answer.headers)
        self.frames = {
            "up": Frames(self._transcript, self.link, "up", up),
            "down": Frames(self._transcript, self.link, "down", down),
        }
        self._waiting.clear()
        if rest:
            self.frames["down"].feed(rest)

    def between(self, way: str) -> bool:
        """Whether the last frame in this direction is complete."""
        return way not in self.frames or self.frames[way].between

    def released(self) -> bytes:
        """Return the bytes that were held until the response to an upgrade."""
        if not self._held or (self._waiting and not self.frames):
            return b""
        held, self._held = self._held, b""
        return self.up(held)

    # The end

    def end(self, who: str) -> None:
        """Report what is incomplete. `who` ended the connection."""
        if not self.frames and self._answering and "down" not in self._raw:
            self._answers(b"")
        if self._new.asked and "up" not in self._raw:
            self._tell(self._new.request)
        for exchange in self._waiting:
            if exchange.status >= 200 and not exchange.events:
                self._tell(exchange.answer)
            title = exchange.request.title
            what = "The stream ended" if exchange.events else "The response is incomplete"
            self._say("end", f"{who} ended the connection", fields=[["result", f"{what}: {title}"]])
        for raw in self._bytes.values():
            raw.tell()
        for frames in self.frames.values():
            frames.end()
        if self.frames:
            codes = [frames.closed for frames in self.frames.values() if frames.closed]
            seen = codes[0] if codes else 1006
            why = "" if codes else ", because there was no close frame"
            fields = [["both sides see", f"{seen}{why}"]]
            self._say("end", f"{who} ended the connection", fields=fields)

    # Telling

    def _tell(self, part: Part, whole: bool = True, useless: bool = False) -> None:
        """Report a part that is complete, or has doubled since the last report."""
        if part.told == part.size and not useless:
            return
        if not whole and part.size < 2 * part.told:
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
        self._bytes[way].add(data, note)

    def _say(self, kind: str, title: str, **more: object) -> int:
        return self._transcript.say(kind, title, link=self.link, **more)


def is_useless(exchange: Exchange) -> bool:
    """Whether a response to a GET has no news: 304, 204, or an empty list."""
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
    """Return the decompressors of frames to the app and to the page, or None if uncompressed."""
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
