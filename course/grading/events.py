"""People who read a stream of events, by the rules of the HTML standard (section 9.2)."""

import codecs
import http.client
import json
import re
from collections import deque
from dataclasses import dataclass

from course.grading import bounds
from course.grading.bounds import TooMuch
from course.grading.expect import Unmet, equal, shown
from course.grading.waiting import PATIENCE, SECONDS

LINE_ENDS = re.compile(r"\r\n|\r|\n")
BLOCK = 65536  # bytes that are read at once
LARGEST = 4 * 2**20  # bytes of a stream in which what is awaited must have come


@dataclass(frozen=True)
class Event:
    """An event as a browser would give it to a page."""

    name: str  # its type
    data: str
    last_id: str  # the last `id` so far

    def __str__(self) -> str:
        """Return it as one line."""
        return f"event: {self.name}, id: {self.last_id or 'none'}, data: {self.data}"


class Parser:
    """Makes events of a stream's text, one piece after another."""

    def __init__(self) -> None:
        self.comments = 0
        self.retry = ""  # as it was written
        self.last_id = ""
        self._line: list[str] = []  # pieces of a line that has begun
        self._after_cr = False
        self._fields: dict[str, str] = {}  # of the event that has begun
        self._data: list[str] = []

    def feed(self, text: str) -> list[Event]:
        """Take more text, and return the events that it completes."""
        if not text:
            return []
        # The line feed of CR LF may come with the next piece.
        begin = int(self._after_cr and text[0] == "\n")
        self._after_cr = text[-1] == "\r"
        events = []
        for end in LINE_ENDS.finditer(text, begin):
            self._line.append(text[begin : end.start()])
            events += self._ended_line()
            begin = end.end()
        self._line.append(text[begin:])
        return events

    def _ended_line(self) -> list[Event]:
        line, self._line = "".join(self._line), []
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            return self._ended_event()
        self.comments += line.startswith(":")
        if name == "data":
            self._data.append(value)
        elif name == "retry":
            self.retry = value
        elif name == "id" and "\0" not in value:
            self.last_id = value
        elif name == "event":
            self._fields[name] = value
        return []

    def _ended_event(self) -> list[Event]:
        name = self._fields.get("event") or "message"
        event = Event(name, "\n".join(self._data), self.last_id)
        found = [event] if self._data else []
        self._fields, self._data = {}, []
        return found


def parsed(text: str) -> list[Event]:
    """Return the events of a whole stream."""
    return Parser().feed(text)


class EventReader:
    """Somebody who has opened a stream of events. What comes is on the test's wire."""

    def __init__(self, server, who: str, target: str, headers: dict[str, str]) -> None:
        self._server, self.who, self._wire = server, who, server.stage.wire
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._parser, self._events = Parser(), deque()
        said = "".join(f" ({name}: {value})" for name, value in headers.items())
        self._wire.sent(who, f"GET {target}{said}")
        self._asked, seconds = f"GET {target}", SECONDS * PATIENCE
        self._connection = http.client.HTTPConnection(server.host)
        head = "the status and the headers of a stream"
        try:
            self._sock = self._connection.sock = bounds.connect("127.0.0.1", server.port, seconds)
            self._connection.request("GET", target, headers=headers)
            self._sock.allow(seconds)
            self._answer = self._connection.getresponse()
        except TimeoutError:
            raise self._nothing(head, SECONDS) from None
        except TooMuch:
            raise self._too_much("headers") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Unmet(head, f"{error!r:.100}") from None
        self.headers = self._answer.headers
        self._wire.received(who, f"{self._answer.status} {self._answer.reason}")
        self._hold_the_head()

    def _hold_the_head(self) -> None:
        kind = self.headers.get_content_type() if "Content-Type" in self.headers else "none"
        if self._answer.status != 200:
            raise Unmet("the status 200", f"{self._answer.status} {self._answer.reason}")
        if kind != "text/event-stream":
            raise Unmet("Content-Type: text/event-stream", kind)
        charset = self.headers.get_content_charset("utf-8")
        if charset != "utf-8":
            raise Unmet("no charset but utf-8 in the Content-Type", f"charset={charset}")

    def __enter__(self) -> "EventReader":
        return self

    def __exit__(self, *exception: object) -> None:
        self._answer.close()
        self._connection.close()

    def leave(self) -> None:
        """Go away, without a word."""
        self._wire.happened(self.who, "gone")
        self.__exit__()

    @property
    def retry(self) -> str:
        """The last `retry` so far, as it was written."""
        return self._parser.retry

    @property
    def last_id(self) -> str:
        """The last `id` so far, which a browser would come back with."""
        return self._parser.last_id

    @property
    def comments(self) -> int:
        """How many comments have come so far."""
        return self._parser.comments

    def next(self, seconds: float = SECONDS) -> Event:
        """Return the next event. Raises Unmet when none comes, or the stream ends."""
        self._read_until(lambda: self._events, f"an event for {self.who}", seconds)
        return self._events.popleft()

    def wait_for_retry(self) -> None:
        """Wait for the field `retry`. Raises Unmet when it does not come."""
        self._read_until(lambda: self.retry, "`retry` in the stream", SECONDS)

    def wait_for_comment(self, seconds: float = SECONDS) -> None:
        """Wait for one more comment. Raises Unmet when an event comes, or the end, or nothing."""
        wanted = self.comments + 1
        self._read_until(lambda: self._events or self.comments >= wanted, "a comment", seconds)
        if self._events:
            kind = self._events[0].name
            raise Unmet("a comment", f"an event ({kind}) where a comment was expected")

    def expect_message(self, message: dict) -> None:
        """Expect this message as the next event: its type, id and data."""
        event = self.next()
        try:
            data = json.loads(event.data)
        except (ValueError, RecursionError):
            raise Unmet(f"data that is JSON: {shown(message)}", event.data) from None
        if isinstance(data, dict):  # What is the same stands at the same place.
            data = {name: data[name] for name in message if name in data} | data
        if not equal(data, message):
            raise Unmet(f"the message {shown(message)}", shown(data))
        if event.name != "message":
            raise Unmet("an event of the type message", f"the type {event.name}")
        if event.last_id != str(message["id"]):
            raise Unmet(f"id: {message['id']}", f"id: {event.last_id or 'none'}")

    def _read_until(self, met, expected: str, seconds: float) -> None:
        self._sock.allow(seconds * PATIENCE, LARGEST)
        while not met():
            try:
                data = self._answer.read1(BLOCK)
            except TimeoutError:
                raise self._nothing(expected, seconds) from None
            except TooMuch:
                raise self._too_much(expected) from None
            except (OSError, http.client.HTTPException, ValueError, OverflowError):
                data = b""
            if not data:
                self._wire.received(self.who, "the end of the stream")
                raise Unmet(expected, "the end of the stream")
            self._take(data)

    def _take(self, data: bytes) -> None:
        try:
            text = self._decoder.decode(data)
        except UnicodeDecodeError as error:
            raise Unmet("a stream in UTF-8", f"bytes that are not: {error.reason}") from None
        comments = self._parser.comments
        for event in self._parser.feed(text):
            self._wire.received(self.who, str(event))
            self._events.append(event)
        for _ in range(self._parser.comments - comments):
            self._wire.received(self.who, "a comment")

    def _nothing(self, expected: str, seconds: float) -> Unmet:
        self._wire.received(self.who, f"nothing for {seconds * PATIENCE:g} s")
        return self._server.unmet(expected, "nothing", seconds)

    def _too_much(self, expected: str) -> Unmet:
        got = f"more than {LARGEST:,} bytes of {self._asked} without it"
        self._wire.received(self.who, got)
        return Unmet(expected, got, where=self._server.trouble("").where)
