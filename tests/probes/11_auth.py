"""Functions that the tests of lesson 11 call inside the app's process.

They add users, as another process would, let time pass, and make each race happen in every run:
they hold one thread until another overtakes it, or until that one waits for the turn that the held
thread has. If neither happens, the held thread goes on after a moment.
"""

import contextlib
import gc
import hashlib
import logging
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator

import app
import flask
from werkzeug import security

import accounts
import heartbeat
import hub
import protocol

MOMENT = 0.3  # seconds in which a thread that is there, and can overtake, does so
LONG = 5.0  # seconds after which a test that should have gone on has failed
GLANCE = 0.01  # seconds between two looks at who waits
METHOD = "pbkdf2:sha256:1000"  # a hash of passwords that takes no time

others: list[accounts.Accounts] = []  # the accounts of another process
beats: list[None] = []  # one for each beat that has ended
hashed: list[list] = []  # for each password that was hashed: the method, rounds and bytes of salt
begun, overtaken, released = threading.Event(), threading.Event(), threading.Event()

app.LOOK = 0.05  # A handler that waits for a message checks its connection this often.


def objects(kind: type) -> list:
    """Return all objects of a class."""
    return [each for each in gc.get_objects() if isinstance(each, kind)]


def other(database: str) -> accounts.Accounts:
    """Return the accounts as another process has them, with a connection of its own."""
    if not others:
        others.append(accounts.Accounts(database, METHOD))
    return others[0]


def enrol(database: str, users: dict[str, str], roles: list[list[str]]) -> None:
    """Add users with their passwords, and roles: each is a room, a user and a role."""
    for name, password in users.items():
        other(database).add_user(name, password)
    for room, user, role in roles:
        other(database).set_role(room, user, role)


def change_role(database: str, room: str, user: str, role: str | None) -> None:
    """Change a role, as another process would."""
    other(database).set_role(room, user, role)


def log_out(database: str, kind: str, secret: str) -> None:
    """End a login, as another process would."""
    board = other(database)
    board.log_out(board.login(kind, secret))


def end_logins(database: str) -> None:
    """End all logins, as another process would."""
    with other(database).transaction() as db:
        db.execute("DELETE FROM logins")


def count(database: str, table: str) -> int:
    """Return how many rows a table has."""
    return other(database)._row(f"SELECT count(*) FROM {table}")[0]


def hold_posts() -> None:
    """Reply to no post over a WebSocket."""
    real = protocol.HANDLERS["post"]

    def post(session: protocol.Session, request: dict) -> dict:
        released.wait(LONG)
        return real(session, request)

    protocol.HANDLERS["post"] = post


def cut_all() -> None:
    """Cut all connections."""
    for connection in objects(hub.Connection):
        connection.cut()


def pass_time(seconds: float) -> None:
    """Let the clock of this process show a later time."""
    real = time.time
    show_time(lambda: real() + seconds)


def stop_time() -> None:
    """Let the clock of this process stop."""
    now = time.time()
    show_time(lambda: now)


def show_time(clock: Callable[[], float]) -> None:
    """Replace the clock of this process."""
    real = time.time
    for module in list(sys.modules.values()):
        for name, value in list(getattr(module, "__dict__", {}).items()):
            if value is real and module is not time:  # `from time import time`
                setattr(module, name, clock)
    time.time = clock


def beat() -> None:
    """Let the heartbeat beat once, and check all connections."""
    for each in objects(heartbeat.Heartbeat):
        each.beat()
        each.check()


def note_bodies() -> None:
    """From now on, note when the app begins to read a body."""
    real = flask.Request.get_data

    def get_data(*args: object, **options: object) -> bytes:
        begun.set()
        return real(*args, **options)

    flask.Request.get_data = get_data


def ping_none() -> None:
    """Let beats do nothing, since a client may not answer in time on a busy machine."""
    heartbeat.Heartbeat.beat = lambda self: None


def count_beats() -> None:
    """From now on, count the beats that have ended. They ping no client, as with `ping_none()`."""
    real = heartbeat.Heartbeat.beat

    def beat(self: heartbeat.Heartbeat) -> None:
        real(self)
        beats.append(None)

    hub.Connection.ping = lambda self: True
    heartbeat.Heartbeat.beat = beat


def counted_beats() -> int:
    """Return how many beats have ended."""
    return len(beats)


def fail_checks() -> None:
    """Let the first look-up of a login by its hash fail, as with a database that is locked."""
    real = accounts.Accounts.login_by_hash

    def fail(self: accounts.Accounts, hashed: str) -> accounts.Login | None:
        if not begun.is_set():
            begun.set()
            raise sqlite3.OperationalError("database is locked")
        return real(self, hashed)

    accounts.Accounts.login_by_hash = fail


def members(room: str) -> list[str]:
    """Return the members of a room, as the hub lists them."""
    return objects(hub.Hub)[0].members(room)


# The log, and the work for a password


def log_requests() -> None:
    """Log each request, as `flask run` does."""
    logging.getLogger("werkzeug").setLevel(logging.INFO)


def count_hashes(most: int = 0) -> None:
    """From now on, note how each password is hashed.

    With `most`, pause each thread that hashes one, until more threads than that are as far.
    """
    pbkdf2, scrypt = hashlib.pbkdf2_hmac, hashlib.scrypt

    def note(how: list) -> None:
        hashed.append(how)
        if most:
            wait_until(lambda: len(hashed) > most)

    def noted_pbkdf2(name: str, password: bytes, salt: bytes, rounds: int, *rest: object) -> bytes:
        note([name, rounds, len(salt)])
        return pbkdf2(name, password, salt, rounds, *rest)

    def noted_scrypt(password: bytes, **options: object) -> bytes:
        note(["scrypt", options.get("n"), len(options.get("salt", b""))])
        return scrypt(password, **options)

    hashlib.pbkdf2_hmac = security.hashlib.pbkdf2_hmac = noted_pbkdf2
    hashlib.scrypt = security.hashlib.scrypt = noted_scrypt


def counted_hashes() -> list[list]:
    """Return how passwords were hashed since the last call."""
    found = hashed.copy()
    hashed.clear()
    return found


# Races


class Turn:
    """The hub's turn, which knows whether threads wait for it."""

    def __init__(self, turn: threading.RLock) -> None:
        self._turn, self.waiting = turn, 0

    def acquire(self, *args: object, **options: object) -> bool:
        """Take the turn."""
        self.waiting += 1
        try:
            return self._turn.acquire(*args, **options)
        finally:
            self.waiting -= 1

    def release(self) -> None:
        """Release the turn."""
        self._turn.release()

    def is_mine(self) -> bool:
        """Return whether this thread has the turn."""
        return self._turn._is_owned()

    __enter__ = acquire

    def __exit__(self, *error: object) -> None:
        self.release()


def hold_turn() -> None:
    """Let another thread hold the hub's turn, until `release()`."""
    the_hub = objects(hub.Hub)[0]
    the_hub.turn = Turn(the_hub.turn)

    def hold() -> None:
        with the_hub.turn:
            begun.set()
            released.wait(10 * LONG)

    threading.Thread(target=hold, daemon=True).start()
    begun.wait(LONG)


def a_thread_waits() -> bool:
    """Return whether a thread waits for the hub's turn."""
    return objects(hub.Hub)[0].turn.waiting > 0


def hold_decision() -> None:
    """Pause the first thread that has stored a logout or a role, until a message is published.

    If it has released the turn, it pauses again before it expels a connection.
    """
    the_hub = objects(hub.Hub)[0]
    the_hub.turn = Turn(the_hub.turn)
    for name in ("log_out", "set_role"):
        real = getattr(accounts.Accounts, name)

        def held(*args: object, real: Callable = real) -> None:
            real(*args)
            if args[0] not in others and not begun.is_set():
                begun.set()
                wait_until(lambda: overtaken.is_set() or the_hub.turn.waiting)

        setattr(accounts.Accounts, name, held)
    publish = hub.Hub.publish

    def note(*args: object) -> None:
        publish(*args)
        if begun.is_set():
            overtaken.set()

    hub.Hub.publish = note
    expel = hub.Hub.expel

    def expel_late(*args: object) -> None:
        if begun.is_set() and not the_hub.turn.is_mine():
            wait_until(overtaken.is_set)
        expel(*args)

    hub.Hub.expel = expel_late


def hold_upgrade() -> None:
    """Pause each new connection after its handshake, until `release()`."""
    real = hub.Connection.__init__

    def held(*args: object, **options: object) -> None:
        real(*args, **options)
        begun.set()
        released.wait(LONG)

    hub.Connection.__init__ = held


class Gate:
    """A lock that a thread waits for, until `release()`."""

    def __init__(self, lock: threading.RLock) -> None:
        self._lock = lock

    def __enter__(self) -> None:
        begun.set()
        released.wait(LONG)
        self._lock.acquire()

    def __exit__(self, *error: object) -> None:
        self._lock.release()


def hold_replies(user: str) -> None:
    """Let whoever sends to the user's connections wait for their locks, until `release()`."""
    for connection in objects(hub.Connection):
        if connection.author == user:
            connection._lock = Gate(connection._lock)


def hold_transactions() -> None:
    """Pause each thread before and after its first transaction, until another one is as far."""
    real, row, mine = accounts.Accounts.transaction, accounts.Accounts._row, threading.local()
    arrived, ended = [], []

    def wait_for_another(there: list) -> None:
        there.append(None)
        wait_until(lambda: len(there) > 1)

    @contextlib.contextmanager
    def held(self: accounts.Accounts) -> Iterator[object]:
        first, mine.begun = not hasattr(mine, "begun"), True
        if first:
            wait_for_another(arrived)
        with real(self) as db:
            yield db
        if first:
            wait_for_another(ended)

    def held_row(self: accounts.Accounts, query: str, *values: object) -> object:
        found = row(self, query, *values)
        if "tickets" in query and not hasattr(mine, "begun"):
            mine.begun = True
            wait_for_another(ended)
        return found

    accounts.Accounts.transaction, accounts.Accounts._row = held, held_row


def wait_until(met: Callable[[], object]) -> None:
    """Wait until it is met, or for a moment."""
    end = time.monotonic() + MOMENT
    while not met() and time.monotonic() < end:
        time.sleep(GLANCE)


def is_held() -> bool:
    """Return whether the thread that is to be held is there."""
    return begun.is_set()


def release() -> None:
    """Let the held thread go on."""
    released.set()
