"""Store the board's messages in an SQLite file, one message for each request id of an author."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from werkzeug.exceptions import ServiceUnavailable

TIMEOUT = 5.0  # seconds to wait for a thread, and then for a process, that uses the file

SCHEMA = """
CREATE TABLE IF NOT EXISTS messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    room TEXT NOT NULL,
    author TEXT NOT NULL,
    text TEXT NOT NULL,
    sent_at TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS messages_by_room ON messages (room, id);
CREATE TABLE IF NOT EXISTS posts (
    author TEXT NOT NULL,
    request_id TEXT NOT NULL,
    message_id INTEGER NOT NULL REFERENCES messages (id),
    PRIMARY KEY (author, request_id)
) WITHOUT ROWID;
"""

POSTED_BEFORE = """
SELECT messages.* FROM messages JOIN posts ON messages.id = posts.message_id
WHERE posts.author = ? AND posts.request_id = ?
"""

COUNT = """
SELECT count(*) FROM (SELECT id FROM messages WHERE room = ? AND id > ? LIMIT ?)
"""


class Conflict(Exception):
    """The author has used this request id for a message with another room or text."""


class Store:
    """The messages of every room. Many threads and processes can use the same file."""

    def __init__(self, path: str) -> None:
        # All threads share one connection and take turns with a lock. SQLite itself makes
        # processes take turns.
        self._lock = threading.Lock()
        self._db = sqlite3.connect(
            path, timeout=TIMEOUT, isolation_level=None, check_same_thread=False
        )
        self._db.row_factory = sqlite3.Row
        self._use_write_ahead_log()
        self._db.executescript(SCHEMA)

    def _use_write_ahead_log(self) -> None:
        """Let processes read while another one writes."""
        give_up = time.monotonic() + TIMEOUT
        while True:
            try:
                self._db.execute("PRAGMA journal_mode = WAL")
                break
            except sqlite3.OperationalError:
                # SQLite doesn't wait here if several processes start on a new file at once.
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.01)
        # A killed process loses nothing. Only a power cut can lose the newest messages.
        self._db.execute("PRAGMA synchronous = NORMAL")

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Give this thread the connection. Raises ServiceUnavailable if the file stays locked."""
        busy = ServiceUnavailable("The database is busy. Try again.", retry_after=1)
        if not self._lock.acquire(timeout=TIMEOUT):
            raise busy
        try:
            yield
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname.startswith("SQLITE_BUSY"):
                raise busy from error
            raise
        finally:
            self._lock.release()

    def add(self, room: str, author: str, text: str, request_id: str | None = None) -> dict:
        """Store a message. Return it with its id, one above the last, and the time.

        With a `request_id`, a message is stored once: if the author has used the id before, the
        message that was stored then is returned. Raises Conflict if its room or text differ.
        """
        with self._turn(), self._db:  # On exit it commits, or rolls back after an exception.
            self._db.execute("BEGIN IMMEDIATE")  # No other process writes until the commit.
            first = self._db.execute(POSTED_BEFORE, (author, request_id)).fetchone()
            if first:
                if (first["room"], first["text"]) != (room, text):
                    raise Conflict(request_id)
                return dict(first)
            message = self._insert(room, author, text)
            if request_id is not None:
                row = (author, request_id, message["id"])
                self._db.execute("INSERT INTO posts VALUES (?, ?, ?)", row)
        return message

    def _insert(self, room: str, author: str, text: str) -> dict:
        """Insert a message within the open transaction, and return it."""
        sent_at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        row = self._db.execute(
            "INSERT INTO messages (room, author, text, sent_at) VALUES (?, ?, ?, ?)",
            (room, author, text, sent_at),
        )
        return {
            "id": row.lastrowid,
            "room": room,
            "author": author,
            "text": text,
            "sent_at": sent_at,
        }

    def get(self, message_id: int) -> dict | None:
        """Return the message with this id, whatever its room, or None."""
        with self._turn():
            row = self._db.execute("SELECT * FROM messages WHERE id = ?", (message_id,)).fetchone()
        return dict(row) if row else None

    def list_before(self, room: str, before: int, limit: int) -> list[dict]:
        """Return the last `limit` messages of the room with an id below `before`, oldest first."""
        with self._turn():
            rows = self._db.execute(
                "SELECT * FROM messages WHERE room = ? AND id < ? ORDER BY id DESC LIMIT ?",
                (room, before, limit),
            ).fetchall()
        return [dict(row) for row in reversed(rows)]

    def list(self, room: str, after: int = 0, limit: int = 50) -> list[dict]:
        """Return at most `limit` messages of the room with an id above `after`, oldest first."""
        with self._turn():
            rows = self._db.execute(
                "SELECT * FROM messages WHERE room = ? AND id > ? ORDER BY id LIMIT ?",
                (room, after, limit),
            ).fetchall()
        return [dict(row) for row in rows]

    def last_id(self, room: str) -> int:
        """Return the id of the room's newest message, or 0 if the room has no messages."""
        with self._turn():
            row = self._db.execute("SELECT max(id) FROM messages WHERE room = ?", (room,))
            return row.fetchone()[0] or 0

    def count(self, room: str, after: int, limit: int) -> int:
        """Return how many messages of the room have an id above `after`, at most `limit`."""
        with self._turn():
            row = self._db.execute(COUNT, (room, after, limit))
            return row.fetchone()[0]
