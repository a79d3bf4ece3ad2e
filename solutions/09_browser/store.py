"""Keep the board's messages in an SQLite file, each request of an author's once."""

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
CREATE TABLE IF NOT EXISTS requests (
    room TEXT NOT NULL,
    author TEXT NOT NULL,
    request_id TEXT NOT NULL,
    message_id INTEGER NOT NULL REFERENCES messages (id),
    PRIMARY KEY (room, author, request_id)
) WITHOUT ROWID;
"""

ASKED_BEFORE = """
SELECT messages.* FROM messages JOIN requests ON messages.id = requests.message_id
WHERE requests.room = ? AND requests.author = ? AND requests.request_id = ?
"""


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
        """Keep a message and return it with its id, one higher than the last, and its time.

        With a `request_id` it is kept once: where the author has used the id in this room before,
        the message from then is returned.
        """
        request = (room, author, request_id)
        with self._lock, self._db:  # Leaving it commits, or takes everything back after an error.
            self._db.execute("BEGIN IMMEDIATE")  # Nobody writes between the look and the insert.
            kept = self._db.execute(ASKED_BEFORE, request).fetchone()
            if kept:
                return dict(kept)
            message = self._insert(room, author, text)
            if request_id is not None:
                row = (*request, message["id"])
                self._db.execute("INSERT INTO requests VALUES (?, ?, ?, ?)", row)
        return message

    def _insert(self, room: str, author: str, text: str) -> dict:
        """Write a message in the transaction that is open, and return it."""
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

    def list_before(self, room: str, before: int, limit: int) -> list[dict]:
        """Return the last `limit` messages of the room with an id below `before`, oldest first."""
        with self._lock:
            rows = self._db.execute(
                "SELECT * FROM messages WHERE room = ? AND id < ? ORDER BY id DESC LIMIT ?",
                (room, before, limit),
            ).fetchall()
        return [dict(row) for row in reversed(rows)]

    def list(self, room: str, after: int = 0, limit: int = 50) -> list[dict]:
        """Return at most `limit` messages of the room with an id above `after`, oldest first."""
        with self._lock:
            rows = self._db.execute(
                "SELECT * FROM messages WHERE room = ? AND id > ? ORDER BY id LIMIT ?",
                (room, after, limit),
            ).fetchall()
        return [dict(row) for row in rows]

    def last_id(self, room: str) -> int:
        """Return the id of the room's newest message, or 0 where it has none."""
        with self._lock:
            row = self._db.execute("SELECT max(id) FROM messages WHERE room = ?", (room,))
            return row.fetchone()[0] or 0
