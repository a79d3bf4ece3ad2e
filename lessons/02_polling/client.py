"""Read a room by polling: print each message once, and at the end what that cost."""

import argparse
import contextlib
import json
import random
import sys
import time
from datetime import UTC, datetime

import requests

from meter import Meter

PAGE = 200  # messages, the most that the board gives at once
TIMEOUT = 10.0  # seconds without a byte, after which a request is given up
LONGEST = 30.0  # seconds; the whole of a backoff is never longer
CENTURY = 100 * 365 * 86400.0  # seconds; time.sleep() raises where it is asked for many more


class Reader:
    """Somebody who reads a room from its first message on."""

    def __init__(self, url: str, room: str, interval: float) -> None:
        self.url = f"{url.rstrip('/')}/rooms/{room}/messages"
        self.interval = interval  # seconds
        self.session, self.meter = requests.Session(), Meter()
        self.session.mount("http://", self.meter)
        self.after, self.tag = 0, ""  # the cursor, and the ETag of the last answer
        self.failures = 0  # in a row
        self.empty = 0
        self.ages: list[float] = []  # seconds, of each message when it was seen

    def step(self, timeout: float) -> float:
        """Poll once and print what is new. Returns the seconds until the next request."""
        try:
            messages = self.poll(timeout)
        except (requests.RequestException, ValueError, RecursionError) as fault:
            return min(self.wait_after(fault), CENTURY)
        self.failures = 0
        self.show(messages)
        return 0.0 if len(messages) == PAGE else self.interval

    def poll(self, timeout: float) -> list[dict]:
        """Ask once for what is new, and return it. Waits at most `timeout` seconds for a byte.

        Raises requests.RequestException or ValueError when no good answer comes.
        """
        # TODO(cursor): Ask with `self.after`, move it to `next`, and return the messages.
        ...
        # END(cursor)

    def wait_after(self, fault: Exception) -> float:
        """Return the seconds to wait after a request that failed, the `failures`th in a row."""
        # TODO(faults): Count the failure; return `backoff`, or `Retry-After` if longer.
        ...
        # END(faults)

    def show(self, messages: list[dict]) -> None:
        """Print the messages, and note the age of each."""
        self.empty += not messages
        for message in messages:
            sent_at = datetime.fromisoformat(message["sent_at"])
            self.ages.append((datetime.now(UTC) - sent_at).total_seconds())
            # Flushed, so that whoever reads this through a pipe sees it at once.
            print(json.dumps(message), flush=True)

    def cost(self) -> dict:
        """Return what the reading has cost so far."""
        return {
            "requests": self.meter.requests,
            "empty": self.empty,
            "bytes_sent": self.meter.bytes_sent,
            "bytes_received": self.meter.bytes_received,
            "messages": len(self.ages),
            "mean_age": round(sum(self.ages) / len(self.ages), 3) if self.ages else None,
        }


def is_page(page: object) -> bool:
    """Whether the JSON of an answer is a page of messages."""
    return (
        isinstance(page, dict)
        and isinstance(page.get("messages"), list)
        and type(page.get("next")) is int  # True is an int, but no number of JSON's.
    )


def backoff(failures: int, interval: float) -> float:
    """Return a random wait, in seconds, after so many failures in a row."""
    # TODO(faults-backoff): Return from half to the whole of the doubled `interval`.
    ...
    # END(faults-backoff)


def predict(interval: float, rate: float) -> tuple[float, float]:
    """Return what polling costs: requests for each message, and a message's mean age in seconds.

    `interval` is in seconds, `rate` in messages a second.
    """
    # TODO(cost): Return requests a message, and the mean age, both by thought alone.
    ...
    # END(cost)


def follow(reader: Reader, timeout: float, end: float) -> None:
    """Poll until the time `end`, on the clock of time.monotonic(); `timeout` is of each request."""
    wait = 0.0
    while True:
        # TODO(stop): Return at `end`: neither `wait` nor `timeout` may go past it.
        ...
        # END(stop)
        time.sleep(wait)
        wait = reader.step(timeout)


def arguments() -> argparse.Namespace:
    """Return what stands on the command line."""
    parser = argparse.ArgumentParser(description="Print the messages of a room as they come.")
    parser.add_argument("url", help="the board's address, such as http://127.0.0.1:5000")
    parser.add_argument("room")
    parser.add_argument("--interval", type=float, required=True, help="seconds between polls")
    parser.add_argument("--for", type=float, default=float("inf"), dest="seconds")
    return parser.parse_args()


def main() -> None:
    """Read until Ctrl-C or the end of `--for`, then print the cost on stderr as a line of JSON."""
    start = time.monotonic()
    options = arguments()
    reader = Reader(options.url, options.room, options.interval)
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C is how one stops reading.
        follow(reader, TIMEOUT, end=start + options.seconds)
    print(json.dumps(reader.cost()), file=sys.stderr)


if __name__ == "__main__":
    main()
