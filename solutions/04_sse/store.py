"""Keep the board's messages in an SQLite file."""

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

    def add(self, room: str, author: str, text: str) -> dict:
        """Keep a message and return it with its id, one higher than the last, and its time."""
        # --8<-- [start:keep-add]
        sent_at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        with self._lock:
            row = self._db.execute(
                "INSERT INTO messages (room, author, text, sent_at) VALUES (?, ?, ?, ?)",
                (room, author, text, sent_at),
            )
            message_id = row.lastrowid
        return {"id": message_id, "room": room, "author": author, "text": text, "sent_at": sent_at}
        # --8<-- [end:keep-add]

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
