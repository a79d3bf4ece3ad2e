"""The board's users: their passwords, logins and roles, in the board's SQLite file."""

import hashlib
import re
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from werkzeug.security import generate_password_hash

ROLES = ("reader", "writer", "moderator")
NAME = re.compile("[A-Za-z0-9_-]{1,32}")  # of a user
LIFETIMES = {"session": 12 * 3600, "token": 30 * 24 * 3600}  # seconds, of each kind of login

SCHEMA = """
CREATE TABLE IF NOT EXISTS users (
    name TEXT PRIMARY KEY,
    password TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS logins (
    hash TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    user TEXT NOT NULL REFERENCES users (name),
    expires REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tickets (
    hash TEXT PRIMARY KEY,
    login TEXT NOT NULL,
    room TEXT NOT NULL,
    expires REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS roles (
    room TEXT NOT NULL,
    user TEXT NOT NULL REFERENCES users (name),
    role TEXT NOT NULL,
    PRIMARY KEY (room, user)
) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Login:
    """A login of a user, which a session cookie or an API token proves until it expires."""

    hash: str  # of the cookie or the token
    user: str
    expires: float  # as time.time() counts


def new_secret() -> str:
    """Return 256 random bits, as text that a URL, a header and a cookie can contain."""
    return secrets.token_urlsafe(32)


def digest(secret: str) -> str:
    """Return the hash by which a random secret is stored and looked up.

    A fast hash is enough, because 256 random bits can't be guessed. A password needs a slow hash.
    """
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


class Accounts:
    """Users, logins, tickets and roles. Many threads and processes can use the same file."""

    def __init__(self, path: str, method: str) -> None:
        """Open the file. `method` is how passwords are hashed, as werkzeug.security names it."""
        self._method = method
        self._lock = threading.RLock()
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.row_factory = sqlite3.Row
        self._db.executescript(SCHEMA)
        self.decoy = generate_password_hash(new_secret(), method)  # the hash of a random password

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Yield the database. What is executed is stored as a whole, or not at all.

        Until it is stored, no other thread or process writes.
        """
        with self._lock, self._db:  # On exit it commits, or rolls back after an exception.
            self._db.execute("BEGIN IMMEDIATE")
            yield self._db

    def _row(self, query: str, *values: object) -> sqlite3.Row | None:
        with self._lock:
            return self._db.execute(query, values).fetchone()

    # Users

    def add_user(self, name: str, password: str) -> None:
        """Store a user, or give a user a new password, which ends all logins of the user."""
        if not NAME.fullmatch(name):
            raise ValueError("A name must have 1 to 32 letters, digits, hyphens or underscores.")
        hashed = generate_password_hash(password, self._method)
        with self.transaction() as db:
            db.execute("REPLACE INTO users VALUES (?, ?)", (name, hashed))
            db.execute("DELETE FROM logins WHERE user = ?", (name,))

    def password_hash(self, name: str) -> str:
        """Return the hash of the user's password, or "" if there is no such user."""
        row = self._row("SELECT password FROM users WHERE name = ?", name)
        return row["password"] if row else ""

    # Logins

    def log_in(self, user: str, kind: str) -> str:
        """Store a new login of kind "session" or "token". Return its secret, which isn't stored."""
        self.delete_expired()
        secret = new_secret()
        row = (digest(secret), kind, user, time.time() + LIFETIMES[kind])
        with self.transaction() as db:
            db.execute("INSERT INTO logins VALUES (?, ?, ?, ?)", row)
        return secret

    def login(self, kind: str, secret: str) -> Login | None:
        """Return the login of this kind that the secret proves, or None if there isn't one now."""
        query = "SELECT * FROM logins WHERE hash = ? AND kind = ? AND expires > ?"
        row = self._row(query, digest(secret), kind, time.time())
        return Login(row["hash"], row["user"], row["expires"]) if row else None

    def login_by_hash(self, hashed: str) -> Login | None:
        """Return the login with this hash, or None if it has ended or expired."""
        query = "SELECT * FROM logins WHERE hash = ? AND expires > ?"
        row = self._row(query, hashed, time.time())
        return Login(row["hash"], row["user"], row["expires"]) if row else None

    def log_out(self, login: Login) -> None:
        """End a login, whether it has expired or not."""
        with self.transaction() as db:
            db.execute("DELETE FROM logins WHERE hash = ?", (login.hash,))

    def delete_expired(self) -> None:
        """Delete all logins and tickets that have expired."""
        with self.transaction() as db:
            now = (time.time(),)
            db.execute("DELETE FROM logins WHERE expires <= ?", now)
            db.execute("DELETE FROM tickets WHERE expires <= ?", now)

    # Roles

    def role(self, room: str, user: str) -> str | None:
        """Return the user's role in the room, or None if the user has no role there."""
        row = self._row("SELECT role FROM roles WHERE room = ? AND user = ?", room, user)
        return row["role"] if row else None

    def set_role(self, room: str, user: str, role: str | None) -> None:
        """Store the user's role in the room, one of ROLES. None removes the role."""
        with self.transaction() as db:
            db.execute("DELETE FROM roles WHERE room = ? AND user = ?", (room, user))
            if role is not None:
                db.execute("INSERT INTO roles VALUES (?, ?, ?)", (room, user, role))
