"""Read a room by long polling: print each message once, and at the end what that cost."""

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
LONGEST = 30.0  # seconds; the whole of a backoff is never longer
CENTURY = 100 * 365 * 86400.0  # seconds; time.sleep() raises where it is asked for many more


class Reader:
    """Somebody who reads a room from its first message on."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.url = f"{options.url.rstrip('/')}/rooms/{options.room}/messages"
        self.interval, self.wait, self.timeout = options.interval, options.wait, options.timeout
        self.session, self.meter = requests.Session(), Meter()
        self.session.mount("http://", self.meter)
        self.after = 0  # the cursor
        self.failures = 0  # in a row
        self.empty = 0
        self.ages: list[float] = []  # seconds, of each message when it was seen

    def step(self, left: float) -> float:
        """Poll once, in at most `left` seconds, and print what is new.

        Returns the seconds until the next request.
        """
        # --8<-- [start:client-step]
        try:
            messages = self.poll(left)
        except (requests.RequestException, ValueError, RecursionError) as fault:
            return min(self.wait_after(fault), CENTURY)
        self.failures = 0
        self.show(messages)
        # A board, or a proxy before it, that does not wait would be asked without end.
        return 0.0 if messages else self.interval
        # --8<-- [end:client-step]

    def poll(self, left: float) -> list[dict]:
        """Ask once for what is new, and return it: [] where the board waited for nothing.

        Gives up when no byte has come for `timeout` seconds beyond the `wait`, or `left` seconds.
        Raises requests.RequestException or ValueError when no good answer comes.
        """
        # --8<-- [start:client] Ask with `self.wait`, and give the board so long; know a 204.
        query = {"after": self.after, "limit": PAGE, "wait": self.wait}
        timeout = min(self.wait + self.timeout, left)
        answer = self.session.get(self.url, params=query, timeout=timeout)
        if answer.status_code == 204:
            return []
        answer.raise_for_status()
        page = answer.json()
        if not is_page(page):
            raise ValueError(f"This is no page of messages: {page!r:.100}")
        # Only now: a fault before this line leaves everything to be asked for again.
        self.after = page["next"]
        return page["messages"]
        # --8<-- [end:client]

    def wait_after(self, fault: Exception) -> float:
        """Return the seconds to wait after a request that failed, the `failures`th in a row."""
        self.failures += 1
        answer = getattr(fault, "response", None)
        # An answer of 400 or more is false, so it is compared with None.
        asked = answer.headers.get("Retry-After", "") if answer is not None else ""
        asked = float(asked) if asked.isdecimal() else 0.0
        return max(asked, backoff(self.failures, self.interval))

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
    # No more than 30 doublings: a float has an end, and `LONGEST` comes long before it.
    whole = min(LONGEST, interval * 2 ** min(failures, 30))
    return random.uniform(whole / 2, whole)


def follow(reader: Reader, end: float) -> None:
    """Poll until the time `end`, on the clock of time.monotonic()."""
    pause = 0.0
    while True:
        left = end - time.monotonic()
        if pause >= left:
            time.sleep(max(left, 0))
            return
        time.sleep(pause)
        pause = reader.step(left - pause)


def arguments() -> argparse.Namespace:
    """Return what stands on the command line."""
    parser = argparse.ArgumentParser(description="Print the messages of a room as they come.")
    parser.add_argument("url", help="the board's address, such as http://127.0.0.1:5000")
    parser.add_argument("room")
    for name, seconds, about in (
        ("--wait", 25.0, "seconds for which the board may hold a request"),
        ("--timeout", 10.0, "seconds without a byte, beyond the wait, until one gives up"),
        ("--interval", 1.0, "seconds of the pause after an empty answer, and before a backoff"),
    ):
        parser.add_argument(name, type=float, default=seconds, help=about)
    parser.add_argument("--for", type=float, default=float("inf"), dest="seconds")
    return parser.parse_args()


def main() -> None:
    """Read until Ctrl-C or the end of `--for`, then print the cost on stderr as a line of JSON."""
    start = time.monotonic()
    options = arguments()
    reader = Reader(options)
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C is how one stops reading.
        follow(reader, end=start + options.seconds)
    print(json.dumps(reader.cost()), file=sys.stderr)


if __name__ == "__main__":
    main()
