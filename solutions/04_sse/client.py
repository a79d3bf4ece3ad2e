"""Read a room as a stream of events: print each message once, whatever happens on the way."""

import argparse
import codecs
import contextlib
import json
import re
import sys
import time
from dataclasses import dataclass

import requests
import urllib3

CONNECT = 10.0  # seconds, after which an attempt to connect is given up
SILENCE = 45.0  # seconds without a byte: three heartbeats of the board
LONGEST = 86_400_000  # milliseconds, a day: no board keeps its readers away for longer
LINE_END = re.compile("\r\n|\r|\n")  # what ends a line of a stream, and nothing else does


@dataclass
class Event:
    """An event as a browser would give it to a page."""

    name: str  # its type
    data: str
    last_id: str  # the last `id` so far, which may be that of an event before


class Parser:
    """Makes events of a stream's bytes, by the rules of the HTML standard (section 9.2.6)."""

    def __init__(self, last_id: str = "", retry: int = 3000) -> None:
        self.last_id = last_id  # of the last event that was complete
        self.retry = retry  # milliseconds to wait before the stream is opened again
        # It keeps the first bytes of a character until the others come, and drops a BOM.
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._rest = ""  # the start of a line whose end has not come
        self._after_cr = False  # whether a LF, if it comes next, belongs to the line before
        self._name, self._data, self._id = "", [], last_id  # of the event that has begun

    def feed(self, data: bytes) -> list[Event]:
        """Take the next bytes, cut anywhere, and return the events that they complete."""
        text = self._decoder.decode(data)
        # --8<-- [start:client-lines] Give each line that is complete to `_take`; keep the rest.
        if not text:
            return []
        whole = self._rest + (text.removeprefix("\n") if self._after_cr else text)
        # A line that ends in CR is complete. Whether a LF follows, only the next bytes tell.
        self._after_cr = text.endswith("\r")
        *lines, self._rest = LINE_END.split(whole)
        return [event for line in lines if (event := self._take(line))]
        # --8<-- [end:client-lines]

    def _take(self, line: str) -> Event | None:
        """Take a line without its end. Returns the event, if it is the blank line of one."""
        if not line:
            return self._complete()
        # --8<-- [start:client] Keep the value of the field `event`, `data`, `id` or `retry`.
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self._name = value
        elif name == "data":
            self._data.append(value)
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and re.fullmatch("[0-9]{1,9}", value):
            self.retry = int(value)
        # Any other is ignored. So is a comment, which is a field without a name.
        return None
        # --8<-- [end:client]

    def _complete(self) -> Event | None:
        """Return the event that has begun, if it has any data, and begin another."""
        # --8<-- [start:client-event]
        self.last_id = self._id
        event = Event(self._name or "message", "\n".join(self._data), self.last_id)
        found = event if self._data else None
        self._name, self._data = "", []
        return found
        # --8<-- [end:client-event]


def read(url: str, parser: Parser, silence: float) -> None:
    """Open the stream once, and print its messages until it ends.

    Raises requests.RequestException or urllib3's HTTPError when it breaks, or says nothing for
    `silence` seconds.
    """
    headers = {"Accept": "text/event-stream"}
    # --8<-- [start:client-resume] Send `last_id` as `Last-Event-ID` in UTF-8, if there is one.
    if parser.last_id:
        headers["Last-Event-ID"] = parser.last_id.encode()
    # --8<-- [end:client-resume]
    with requests.get(url, headers=headers, stream=True, timeout=(CONNECT, silence)) as answer:
        answer.raise_for_status()
        # --8<-- [start:client-read]
        # `read1` returns what has come. `iter_content` would wait until a whole chunk is full.
        while data := answer.raw.read1(65536):
            for event in parser.feed(data):
                if event.name == "message":
                    # Flushed, so that whoever reads this through a pipe sees it at once.
                    print(json.dumps(json.loads(event.data)), flush=True)
        # --8<-- [end:client-read]


def follow(url: str, silence: float) -> None:
    """Read the stream, and open it again whenever it ends or breaks."""
    parser = Parser()
    while True:
        try:
            read(url, parser, silence)
            why = "The stream has ended."
        except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as fault:
            why = f"{type(fault).__name__}: {fault}"
        pause = min(parser.retry, LONGEST)
        print(f"{why} Again in {pause} ms.", file=sys.stderr)
        time.sleep(pause / 1000)
        # --8<-- [start:client-again]
        # An event that was cut in the middle is dropped. It will come again, whole.
        parser = Parser(parser.last_id, parser.retry)
        # --8<-- [end:client-again]


def arguments() -> argparse.Namespace:
    """Return what stands on the command line."""
    parser = argparse.ArgumentParser(description="Print the messages of a room as they come.")
    parser.add_argument("url", help="the board's address, such as http://127.0.0.1:5004")
    parser.add_argument("room")
    parser.add_argument("--silence", type=float, default=SILENCE, help="seconds without a byte")
    return parser.parse_args()


def main() -> None:
    """Read until Ctrl-C."""
    options = arguments()
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C is how one stops reading.
        follow(f"{options.url.rstrip('/')}/rooms/{options.room}/events", options.silence)


if __name__ == "__main__":
    main()
