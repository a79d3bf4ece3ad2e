"""Read a room by polling: print each message once, and the cost at the end."""

import argparse
import contextlib
import json
import random
import sys
import time
from datetime import UTC, datetime

import requests

from meter import Meter

PAGE = 200  # messages, the maximum of the board
TIMEOUT = 10.0  # seconds without a byte, after which a request fails
LONGEST = 30.0  # seconds, the maximum of a backoff
CENTURY = 100 * 365 * 86400.0  # seconds; time.sleep() raises OverflowError for much more


class Reader:
    """A client that reads a room, starting with its first message."""

    def __init__(self, url: str, room: str, interval: float) -> None:
        self.url = f"{url.rstrip('/')}/rooms/{room}/messages"
        self.interval = interval  # seconds
        self.meter = Meter()
        self.session = requests.Session()
        self.session.trust_env = False  # The meter can't count what a proxy sends.
        self.session.mount("http://", self.meter)
        self.after = 0  # the cursor
        self.tag = ""  # the ETag of the last page
        self.failures = 0  # in a row
        self.empty = 0  # responses without a message
        self.ages: list[float] = []  # the age of each message when it was read, in seconds

    def step(self, timeout: float) -> float:
        """Poll once and print the new messages. Returns the seconds until the next request."""
        # --8<-- [start:faults-step]
        try:
            messages = self.poll(timeout)
        except (requests.RequestException, ValueError, RecursionError) as fault:
            return min(self.wait_after(fault), CENTURY)
        self.failures = 0
        self.show(messages)
        return 0.0 if len(messages) == PAGE else self.interval
        # --8<-- [end:faults-step]

    def poll(self, timeout: float) -> list[dict]:
        """Request the new messages and return them. Waits at most `timeout` seconds for each byte.

        Raises requests.RequestException, ValueError or RecursionError for a fault.
        """
        # --8<-- [start:cursor] Request the messages after `self.after`, move it, and return them.
        query = {"after": self.after, "limit": PAGE}
        headers = {"If-None-Match": self.tag} if self.tag else {}
        response = self.session.get(self.url, params=query, headers=headers, timeout=timeout)
        if response.status_code == 304:
            return []
        response.raise_for_status()
        page = response.json()
        if not is_page(page):
            raise ValueError(f"This isn't a page of messages: {page!r:.100}")
        # Not earlier: after a fault, the next request has to ask for the same page.
        self.after = page["next"]
        self.tag = response.headers.get("ETag", "")
        return page["messages"]
        # --8<-- [end:cursor]

    def wait_after(self, fault: Exception) -> float:
        """Return the seconds to wait after a request that failed."""
        # --8<-- [start:faults] Count the failure; return `backoff()`, but at least `Retry-After`.
        self.failures += 1
        response = getattr(fault, "response", None)
        # A response of 400 or above is false, so compare it with None.
        header = response.headers.get("Retry-After", "") if response is not None else ""
        asked = float(header) if header.isdecimal() else 0.0
        return max(asked, backoff(self.failures, self.interval))
        # --8<-- [end:faults]

    def show(self, messages: list[dict]) -> None:
        """Print the messages, and record the age of each."""
        # --8<-- [start:cost-show]
        if not messages:
            self.empty += 1
        for message in messages:
            sent_at = datetime.fromisoformat(message["sent_at"])
            self.ages.append((datetime.now(UTC) - sent_at).total_seconds())
            # Flush, so that a program that reads a pipe gets each message at once.
            print(json.dumps(message), flush=True)
        # --8<-- [end:cost-show]

    def cost(self) -> dict:
        """Return the cost so far."""
        # --8<-- [start:cost-report]
        return {
            "requests": self.meter.requests,
            "empty": self.empty,
            "bytes_sent": self.meter.bytes_sent,
            "bytes_received": self.meter.bytes_received,
            "messages": len(self.ages),
            "mean_age": round(sum(self.ages) / len(self.ages), 3) if self.ages else None,
        }
        # --8<-- [end:cost-report]


def is_page(page: object) -> bool:
    """Return whether the JSON of a response is a page of messages."""
    return (
        isinstance(page, dict)
        and isinstance(page.get("messages"), list)
        and all(is_message(message) for message in page["messages"])
        and type(page.get("next")) is int  # isinstance() would accept True.
    )


def is_message(value: object) -> bool:
    """Return whether a JSON value is a message with a valid `sent_at`."""
    try:
        return datetime.fromisoformat(value["sent_at"]).tzinfo is not None
    except (TypeError, KeyError, ValueError):
        return False


def backoff(failures: int, interval: float) -> float:
    """Return a random wait, in seconds, after this number of failures in a row."""
    # --8<-- [start:faults-backoff] Return a random wait from half to all of the doubled `interval`.
    # A float can't hold 2**5000. `LONGEST` is reached long before 30 doublings.
    whole = min(LONGEST, interval * 2 ** min(failures, 30))
    return random.uniform(whole / 2, whole)
    # --8<-- [end:faults-backoff]


def predict(interval: float, rate: float) -> tuple[float, float]:
    """Return the cost of polling: requests per message, and the mean age of a message in seconds.

    `interval` is in seconds, and `rate` is in messages per second.
    """
    # --8<-- [start:cost] Return the requests per message and the mean age, without measuring.
    return 1 / (interval * rate), interval / 2
    # --8<-- [end:cost]


def follow(reader: Reader, timeout: float, end: float) -> None:
    """Poll until `end`, a time of time.monotonic(). Each request gets `timeout` seconds."""
    wait = 0.0
    while True:
        # --8<-- [start:stop] Return at `end`, and limit `timeout` to the time left after `wait`.
        left = end - time.monotonic()
        if wait >= left:
            time.sleep(max(left, 0))
            return
        timeout = min(timeout, left - wait)
        # --8<-- [end:stop]
        time.sleep(wait)
        wait = reader.step(timeout)


def arguments() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(description="Print the messages of a room as they arrive.")
    parser.add_argument("url", help="the board's address, such as http://127.0.0.1:5000")
    parser.add_argument("room")
    parser.add_argument("--interval", type=float, required=True, help="seconds between polls")
    parser.add_argument("--for", type=float, default=float("inf"), dest="seconds")
    return parser.parse_args()


def main() -> None:
    """Read until Ctrl+C or the end of `--for`, then print the cost as a line of JSON on stderr."""
    start = time.monotonic()
    options = arguments()
    reader = Reader(options.url, options.room, options.interval)
    # --8<-- [start:stop-main]
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl+C ends the program, and isn't an error.
        follow(reader, TIMEOUT, end=start + options.seconds)
    print(json.dumps(reader.cost()), file=sys.stderr)
    # --8<-- [end:stop-main]


if __name__ == "__main__":
    main()
