"""Store each document in an SQLite file: a snapshot of its text, and its newest edits."""

import json
import sqlite3
import threading
from dataclasses import dataclass

from ot import Operation

TIMEOUT = 5.0  # seconds to wait for another process that writes to the file

SCHEMA = """
CREATE TABLE IF NOT EXISTS snapshots (
    room TEXT PRIMARY KEY,
    revision INTEGER NOT NULL,
    text TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS edits (
    room TEXT NOT NULL,
    revision INTEGER NOT NULL,
    author TEXT NOT NULL,
    edit_id TEXT NOT NULL,
    operation TEXT NOT NULL,
    PRIMARY KEY (room, revision)
) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Edit:
    """An operation that the server has put in order. `revision` is the document's after it."""

    revision: int
    author: str
    id: str  # which its author gave it
    operation: Operation


class Store:
    """The documents of every room, each by the name of its room."""

    def __init__(self, path: str) -> None:
        self._lock = threading.Lock()  # All threads share one connection.
        self._db = sqlite3.connect(path, timeout=TIMEOUT, check_same_thread=False)
        self._db.executescript(SCHEMA)

    def load(self, room: str) -> tuple[int, str, list[Edit]]:
        """Return the revision and text of the snapshot, and the stored edits, oldest first."""
        with self._lock:
            snapshot = self._db.execute(
                "SELECT revision, text FROM snapshots WHERE room = ?", (room,)
            ).fetchone()
            rows = self._db.execute(
                "SELECT revision, author, edit_id, operation FROM edits WHERE room = ?"
                " ORDER BY revision",
                (room,),
            ).fetchall()
        edits = [Edit(*fields, json.loads(operation)) for *fields, operation in rows]
        return *(snapshot or (0, "")), edits

    def add(self, room: str, edit: Edit) -> None:
        """Store an edit. Raises sqlite3.IntegrityError if its revision is stored already."""
        row = (room, edit.revision, edit.author, edit.id, json.dumps(edit.operation))
        with self._lock, self._db:  # On exit it commits, or rolls back after an exception.
            self._db.execute("INSERT INTO edits VALUES (?, ?, ?, ?, ?)", row)

    def compact(self, room: str, revision: int, text: str, keep: int) -> None:
        """Store a snapshot, and delete all edits but the newest `keep`."""
        with self._lock, self._db:
            self._db.execute("REPLACE INTO snapshots VALUES (?, ?, ?)", (room, revision, text))
            self._db.execute(
                "DELETE FROM edits WHERE room = ? AND revision <= ?", (room, revision - keep)
            )
