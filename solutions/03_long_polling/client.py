"""Read a room by long polling: print each message once, and the cost at the end."""

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
LONGEST = 30.0  # seconds, the maximum of a backoff
CENTURY = 100 * 365 * 86400.0  # seconds; time.sleep() raises OverflowError for much more


class Reader:
    """A client that reads a room, starting with its first message."""

    def __init__(self, url: str, room: str, interval: float, wait: float, timeout: float) -> None:
        self.url = f"{url.rstrip('/')}/rooms/{room}/messages"
        self.interval = interval  # seconds
        self.wait = wait  # seconds that the board may hold a request
        self.timeout = timeout  # seconds without a byte, after which a request fails
        self.meter = Meter()
        self.session = requests.Session()
        self.session.trust_env = False  # The meter can't count what a proxy sends.
        self.session.mount("http://", self.meter)
        self.after = 0  # the cursor
        self.failures = 0  # in a row
        self.empty = 0  # responses without a message
        self.ages: list[float] = []  # the age of each message when it was read, in seconds

    def step(self, left: float) -> float:
        """Poll once, for at most `left` seconds, and print the new messages.

        Returns the seconds until the next request.
        """
        # --8<-- [start:client-step]
        try:
            messages = self.poll(left)
        except (requests.RequestException, ValueError, RecursionError) as fault:
            return min(self.wait_after(fault), CENTURY)
        self.failures = 0
        self.show(messages)
        # Pause, because the board, or a proxy in front of it, may not hold requests.
        return 0.0 if messages else self.interval
        # --8<-- [end:client-step]

    def poll(self, left: float) -> list[dict]:
        """Request the new messages and return them, or [] if none arrived in time.

        Waits at most `wait` + `timeout` seconds for each byte, and at most `left` seconds.
        Raises requests.RequestException, ValueError or RecursionError for a fault.
        """
        # --8<-- [start:client] Request the page with `self.wait`; accept 204; return the messages.
        query = {"after": self.after, "limit": PAGE, "wait": self.wait}
        timeout = min(self.wait + self.timeout, left)
        response = self.session.get(self.url, params=query, timeout=timeout)
        if response.status_code == 204:
            return []
        response.raise_for_status()
        page = response.json()
        if not is_page(page):
            raise ValueError(f"This isn't a page of messages: {page!r:.100}")
        # Not earlier: after a fault, the next request has to ask for the same page.
        self.after = page["next"]
        return page["messages"]
        # --8<-- [end:client]

    def wait_after(self, fault: Exception) -> float:
        """Return the seconds to wait after a request that failed."""
        self.failures += 1
        response = getattr(fault, "response", None)
        # A response of 400 or above is false, so compare it with None.
        header = response.headers.get("Retry-After", "") if response is not None else ""
        asked = float(header) if header.isdecimal() else 0.0
        return max(asked, backoff(self.failures, self.interval))

    def show(self, messages: list[dict]) -> None:
        """Print the messages, and record the age of each."""
        if not messages:
            self.empty += 1
        for message in messages:
            sent_at = datetime.fromisoformat(message["sent_at"])
            self.ages.append((datetime.now(UTC) - sent_at).total_seconds())
            # Flush, so that a program that reads a pipe gets each message at once.
            print(json.dumps(message), flush=True)

    def cost(self) -> dict:
        """Return the cost so far."""
        return {
            "requests": self.meter.requests,
            "empty": self.empty,
            "bytes_sent": self.meter.bytes_sent,
            "bytes_received": self.meter.bytes_received,
            "messages": len(self.ages),
            "mean_age": round(sum(self.ages) / len(self.ages), 3) if self.ages else None,
        }


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
    # A float can't hold 2**5000. `LONGEST` is reached long before 30 doublings.
    whole = min(LONGEST, interval * 2 ** min(failures, 30))
    return random.uniform(whole / 2, whole)


def follow(reader: Reader, end: float) -> None:
    """Poll until `end`, a time of time.monotonic()."""
    wait = 0.0
    while True:
        left = end - time.monotonic()
        if wait >= left:
            time.sleep(max(left, 0))
            return
        time.sleep(wait)
        wait = reader.step(left - wait)


def arguments() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(description="Print the messages of a room as they arrive.")
    parser.add_argument("url", help="the board's address, such as http://127.0.0.1:5000")
    parser.add_argument("room")
    parser.add_argument("--wait", type=float, default=25.0, help="seconds to hold a request")
    parser.add_argument("--timeout", type=float, default=10.0, help="seconds beyond --wait")
    parser.add_argument("--interval", type=float, default=1.0, help="seconds after an empty page")
    parser.add_argument("--for", type=float, default=float("inf"), dest="seconds")
    return parser.parse_args()


def main() -> None:
    """Read until Ctrl+C or the end of `--for`, then print the cost as a line of JSON on stderr."""
    start = time.monotonic()
    options = arguments()
    timing = options.interval, options.wait, options.timeout
    reader = Reader(options.url, options.room, *timing)
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl+C ends the program, and isn't an error.
        follow(reader, end=start + options.seconds)
    print(json.dumps(reader.cost()), file=sys.stderr)


if __name__ == "__main__":
    main()
