"""Store the board's messages in an SQLite file, one message for each request id of an author."""

import sqlite3
import threading
import time
from datetime import UTC, datetime

TIMEOUT = 30.0  # seconds to wait for another process that holds the file

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


class Conflict(Exception):
    """The author has used this request id for a message with another room or text."""


class Store:
    """The messages of every room. Many threads, and several processes, may use one file."""

    def __init__(self, path: str) -> None:
        # One connection, one lock: threads take turns here, processes take turns in SQLite.
        self._lock = threading.Lock()
        self._db = sqlite3.connect(
            path, timeout=TIMEOUT, isolation_level=None, check_same_thread=False
        )
        self._db.row_factory = sqlite3.Row
        self._use_write_ahead_log()
        self._db.executescript(SCHEMA)

    def _use_write_ahead_log(self) -> None:
        """Let readers go on while another process writes."""
        give_up = time.monotonic() + TIMEOUT
        while True:
            try:
                self._db.execute("PRAGMA journal_mode = WAL")
                break
            except sqlite3.OperationalError:
                # Processes that start together on a new file get no turn here: they have to retry.
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.01)
        # A killed process still loses nothing. Only a power cut may take the newest messages.
        self._db.execute("PRAGMA synchronous = NORMAL")

    def add(self, room: str, author: str, text: str, request_id: str | None = None) -> dict:
        """Store a message. Return it with its id, one above the last, and the time.

        With a `request_id`, a message is stored once: if the author has used the id before, the
        message from then is returned. Raises Conflict if its room or text differ.
        """
        # --8<-- [start:again-add]
        with self._lock, self._db:  # On exit it commits, or rolls back after an exception.
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
        # --8<-- [end:again-add]

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
        with self._lock:
            row = self._db.execute("SELECT * FROM messages WHERE id = ?", (message_id,)).fetchone()
        return dict(row) if row else None

    def list(self, room: str, after: int = 0, limit: int = 50) -> list[dict]:
        """Return at most `limit` messages of the room with an id above `after`, oldest first."""
        with self._lock:
            rows = self._db.execute(
                "SELECT * FROM messages WHERE room = ? AND id > ? ORDER BY id LIMIT ?",
                (room, after, limit),
            ).fetchall()
        return [dict(row) for row in rows]

    def last_id(self, room: str) -> int:
        """Return the id of the room's newest message, or 0 if the room has no messages."""
        with self._lock:
            row = self._db.execute("SELECT max(id) FROM messages WHERE room = ?", (room,))
            return row.fetchone()[0] or 0
