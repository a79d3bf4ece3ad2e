"""Limit the rate of each user's requests, and the number of connections."""

import math
import threading
import time
from collections import Counter
from collections.abc import Callable

from flask import Flask, current_app
from werkzeug.exceptions import ServiceUnavailable, TooManyRequests

RETRY_AFTER = 5  # seconds after which a rejected client may retry
TOO_FAST = "You are sending too many requests."
LIMITS = {
    "QUEUE_BYTES": 8 * 2**20,  # that may be queued for a client
    "QUEUE_FRAMES": 1_000,  # that may be queued for a client
    "GRACE": 3.0,  # seconds: a member who reconnects within them hasn't left
    "RATE": 10.0,  # requests per second for each user
    "BURST": 60,  # requests that a user may send at once
    "MAX_PER_USER": 10,  # connections
    "MAX_PER_ADDRESS": 100,  # connections
    "MAX_CONNECTIONS": 400,  # in total: each uses two of the usual 1,024 file descriptors
}


def add_limits(app: Flask) -> None:
    """Give the app its rates and caps, according to its config."""
    config = app.config
    caps = Caps(config["MAX_PER_USER"], config["MAX_PER_ADDRESS"], config["MAX_CONNECTIONS"])
    app.extensions.update(rates=Rates(config["RATE"], config["BURST"]), caps=caps)


def rates() -> "Rates":
    """Return the rates of the app that is serving this request."""
    return current_app.extensions["rates"]


def caps() -> "Caps":
    """Return the caps of the app that is serving this request."""
    return current_app.extensions["caps"]


class Rates:
    """A token bucket for each user: `rate` tokens a second flow in, and at most `burst` fit."""

    def __init__(
        self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.rate, self.burst, self.clock = rate, burst, clock
        self._lock = threading.Lock()
        self._buckets: dict[str, tuple[float, float]] = {}  # tokens at a time, by user
        self._swept = self.clock()

    def take(self, user: str) -> float:
        """Take a token from the user's bucket. Returns 0, or the seconds until it has one."""
        # --8<-- [start:rate] Take a token if there is one. Return 0, or the seconds to wait for it.
        with self._lock:
            now = self.clock()
            self._sweep(now)
            tokens = self._tokens(user, now)
            if tokens < 1:
                return (1 - tokens) / self.rate
            self._buckets[user] = (tokens - 1, now)
            return 0.0
        # --8<-- [end:rate]

    def _tokens(self, user: str, now: float) -> float:
        """Return how many tokens the user has. Without an entry, the bucket is full."""
        tokens, then = self._buckets.get(user, (self.burst, now))
        return min(self.burst, tokens + (now - then) * self.rate)

    def _sweep(self, now: float) -> None:
        """From time to time, delete the buckets that are full again."""
        if now - self._swept >= self.burst / self.rate:
            self._swept = now
            for user in [user for user in self._buckets if self._tokens(user, now) == self.burst]:
                del self._buckets[user]


def rounded_up(seconds: float) -> float:
    """Return a time to wait in tenths of a second, so that it's never too short."""
    return math.ceil(seconds * 10 + 1e-6) / 10


class Caps:
    """The number of open connections: for each user, for each address, and in total."""

    def __init__(self, per_user: int, per_address: int, in_all: int) -> None:
        self.per_user, self.per_address, self.in_all = per_user, per_address, in_all
        self._lock = threading.Lock()
        self._open: Counter[str] = Counter()

    def check(self, user: str, address: str) -> None:
        """Raise TooManyRequests or ServiceUnavailable if a limit is reached."""
        counted, wait = self._open, {"retry_after": RETRY_AFTER}
        if counted[f"user {user}"] >= self.per_user:
            raise TooManyRequests("You have too many connections.", **wait)
        if counted[f"address {address}"] >= self.per_address:
            raise TooManyRequests("Your IP address has too many connections.", **wait)
        if counted["all"] >= self.in_all:
            raise ServiceUnavailable("The server has too many connections.", **wait)

    def enter(self, user: str, address: str) -> None:
        """Count a connection. Raises TooManyRequests or ServiceUnavailable above a limit."""
        # --8<-- [start:caps] Check, and count the connection, with no other thread in between.
        with self._lock:
            self.check(user, address)
            self._open.update(self._keys(user, address))
        # --8<-- [end:caps]

    def leave(self, user: str, address: str) -> None:
        """Stop counting a connection."""
        # --8<-- [start:caps-leave] Subtract the connection. Remove the entries that are 0.
        with self._lock:
            self._open.subtract(self._keys(user, address))
            self._open = +self._open  # Remove the entries that are 0.
        # --8<-- [end:caps-leave]

    def _keys(self, user: str, address: str) -> list[str]:
        return [f"user {user}", f"address {address}", "all"]
