"""Limit the rate of each user's requests, and the number of connections, over all processes."""

import math
import threading

from flask import Flask, current_app
from werkzeug.exceptions import ServiceUnavailable, TooManyRequests

from database import Database, key
from processes import Processes

RETRY_AFTER = 5  # seconds after which a rejected client may retry
TOO_FAST = "You are sending too many requests."
FULL = "The server has too many connections."
LIMITS = {
    "QUEUE_BYTES": 8 * 2**20,  # that may be queued for a client
    "QUEUE_FRAMES": 1_000,  # that may be queued for a client
    "GRACE": 3.0,  # seconds: a member who reconnects within them hasn't left
    "RATE": 10.0,  # requests per second for each user
    "BURST": 60,  # requests that a user may send at once
    "MAX_PER_USER": 10,  # connections
    "MAX_PER_ADDRESS": 100,  # connections
    "MAX_CONNECTIONS": 400,  # in a process: each uses two of the usual 1,024 file descriptors
}


def add_limits(app: Flask, database: Database, processes: Processes) -> None:
    """Give the app its rates and caps, according to its config."""
    config = app.config
    limits = config["MAX_PER_USER"], config["MAX_PER_ADDRESS"], config["MAX_CONNECTIONS"]
    rates = Rates(database, config["RATE"], config["BURST"])
    app.extensions.update(rates=rates, caps=Caps(processes, *limits))


def rates() -> "Rates":
    """Return the rates of the app that is serving this request."""
    return current_app.extensions["rates"]


def caps() -> "Caps":
    """Return the caps of the app that is serving this request."""
    return current_app.extensions["caps"]


class Rates:
    """A token bucket for each user: `rate` tokens a second flow in, and at most `burst` fit."""

    def __init__(self, database: Database, rate: float, burst: int) -> None:
        self.rate, self.burst = rate, burst
        self._take = database.script("take.lua")

    def take(self, user: str) -> float:
        """Take a token from the user's bucket. Returns 0, or the seconds until it has one."""
        return float(self._take([key("rate", user)], [self.rate, self.burst]))


def rounded_up(seconds: float) -> float:
    """Return a time to wait in tenths of a second, so that it's never too short."""
    return math.ceil(seconds * 10 + 1e-6) / 10


class Caps:
    """The number of open connections: for each user, for each address, and in this process."""

    def __init__(
        self, processes: Processes, per_user: int, per_address: int, in_process: int
    ) -> None:
        self.per_user, self.per_address, self.in_process = per_user, per_address, in_process
        self._processes = processes
        self._lock = threading.Lock()
        self._open = 0

    def check(self, user: str, address: str) -> None:
        """Raise TooManyRequests or ServiceUnavailable if a limit is reached."""
        self._refuse(user, address, count=False)

    def enter(self, user: str, address: str) -> None:
        """Count a connection. Raises TooManyRequests or ServiceUnavailable above a limit."""
        with self._lock:
            self._refuse(user, address, count=True)
            self._open += 1

    def _refuse(self, user: str, address: str, count: bool) -> None:
        if self._open >= self.in_process:
            raise ServiceUnavailable(FULL, retry_after=RETRY_AFTER)
        by_user, by_address = self._names(user, address)
        limits = {by_user: self.per_user, by_address: self.per_address}
        reached = self._processes.enter(limits, count)
        whose = {by_user: "You have", by_address: "Your IP address has", None: ""}[reached]
        if whose:
            raise TooManyRequests(f"{whose} too many connections.", retry_after=RETRY_AFTER)

    def leave(self, user: str, address: str) -> None:
        """Stop counting a connection."""
        with self._lock:
            self._open -= 1
        self._processes.leave(self._names(user, address))

    def _names(self, user: str, address: str) -> list[str]:
        return [f"user {user}", f"address {address}"]
