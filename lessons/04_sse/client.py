"""Read a room as a stream of server-sent events, and print each message once."""

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

CONNECT = 10.0  # seconds, after which an attempt to connect fails
SILENCE = 45.0  # seconds without a byte, three heartbeats of the board
LONGEST = 86_400_000  # milliseconds, the maximum of a pause: one day
LINE_END = re.compile("\r\n|\r|\n")  # the only line endings of an event stream


@dataclass
class Event:
    """An event as a browser passes it to a page."""

    name: str  # its type
    data: str
    last_id: str  # the last `id` so far, which may be from an earlier event


class Parser:
    """Turns the bytes of a stream into events, by the rules of the HTML standard, 9.2.6."""

    def __init__(self, last_id: str = "", retry: int = 3000) -> None:
        self.last_id = last_id  # of the last complete event
        self.retry = retry  # milliseconds to wait before reconnecting
        # It keeps an incomplete character until the rest arrives, and removes a byte order mark.
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._rest = ""  # an incomplete last line
        self._after_cr = False  # whether an LF that follows is part of the last line ending
        self._name, self._data, self._id = "", [], last_id  # of the current event

    def feed(self, data: bytes) -> list[Event]:
        """Take the next bytes, which may be cut anywhere, and return the events they complete."""
        text = self._decoder.decode(data)
        # TODO(client-lines): Pass each complete line to `_take`, and keep the rest.
        ...
        # END(client-lines)

    def _take(self, line: str) -> Event | None:
        """Take a line without its end. Returns the event that a blank line completes, if any."""
        if not line:
            return self._complete()
        # TODO(client): Store the value of the field `event`, `data`, `id` or `retry`.
        ...
        # END(client)

    def _complete(self) -> Event | None:
        """Return the current event, if it has any data, and start another."""
        self.last_id = self._id
        event = Event(self._name or "message", "\n".join(self._data), self.last_id)
        found = event if self._data else None
        self._name, self._data = "", []
        return found


def read(url: str, parser: Parser, silence: float) -> None:
    """Open the stream once, and print its messages until it ends.

    Raises requests.RequestException or urllib3's HTTPError if it breaks, or if no byte arrives for
    `silence` seconds.
    """
    headers = {"Accept": "text/event-stream"}
    # TODO(client-resume): Send `last_id` as `Last-Event-ID` in UTF-8, if it isn't empty.
    ...
    # END(client-resume)
    session = requests.Session()
    session.trust_env = False  # A proxy may buffer a stream.
    with session.get(url, headers=headers, stream=True, timeout=(CONNECT, silence)) as answer:
        answer.raise_for_status()
        # `read1` returns what has arrived. `iter_content` would wait for a full chunk.
        while data := answer.raw.read1(65536):
            for event in parser.feed(data):
                if event.name == "message":
                    # Flush, so that a program that reads a pipe gets each message at once.
                    print(json.dumps(json.loads(event.data)), flush=True)


def follow(url: str, silence: float) -> None:
    """Read the stream, and reconnect whenever it has ended or broken."""
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
        # Drop an incomplete event. The board sends it again.
        parser = Parser(parser.last_id, parser.retry)


def arguments() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(description="Print the messages of a room as they arrive.")
    parser.add_argument("url", help="the board's address, such as http://127.0.0.1:5004")
    parser.add_argument("room")
    parser.add_argument("--silence", type=float, default=SILENCE, help="seconds without a byte")
    return parser.parse_args()


def main() -> None:
    """Read until Ctrl+C."""
    options = arguments()
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl+C ends the program, and isn't an error.
        follow(f"{options.url.rstrip('/')}/rooms/{options.room}/events", options.silence)


if __name__ == "__main__":
    main()
