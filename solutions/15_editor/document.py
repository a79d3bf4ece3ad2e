"""A document on the server, which puts the edits of all clients in one order."""

import sqlite3
from contextlib import suppress

from ot import Operation, apply, moved, transform
from store import Edit, Store

MAX_DOCUMENT = 20_000  # code points


class Refused(Exception):
    """A request that gets an error as its reply: `code` for programs, `detail` for people."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class Document:
    """A document: its text, its revision, and the newest of its edits. Use it in `hub.turn`.

    The revision is the number of edits so far. `log` has at least the newest `keep` edits, and
    at most twice as many. `keep` is at least 1.
    """

    def __init__(self, store: Store, room: str, keep: int) -> None:
        self.store, self.room, self.keep = store, room, keep
        self.revision, self.text, self.log = store.load(room)
        for edit in self.log:
            if edit.revision > self.revision:  # The snapshot doesn't include it.
                self.text = apply(self.text, edit.operation)
                self.revision = edit.revision

    def since(self, revision: int) -> list[Edit]:
        """Return the edits after a revision, oldest first.

        Raises Refused with the code `future` or `forgotten` if the revision isn't known.
        """
        # --8<-- [start:server] Return a part of `log`, or raise `Refused`.
        if revision > self.revision:
            raise Refused("future", f"The document's revision is {self.revision}.")
        oldest = self.revision - len(self.log)
        if revision < oldest:
            raise Refused("forgotten", f"The oldest known revision is {oldest}.")
        return self.log[revision - oldest :]
        # --8<-- [end:server]

    def add(self, author: str, edit_id: str, revision: int, operation: Operation) -> Edit:
        """Apply an operation that was made at a revision, store it, and return it as an edit.

        If the log has an edit of the author with this id, only return that edit.
        Raises Refused, or Misfit if the operation is for a text of another length. Then the
        document is unchanged.
        """
        # --8<-- [start:server-add] Transform the operation, apply it, store it, and log it.
        for edit in self.log:
            if (edit.author, edit.id) == (author, edit_id):
                return edit
        for edit in self.since(revision):
            _, operation = transform(edit.operation, operation)
        text = apply(self.text, operation)
        if len(text) > MAX_DOCUMENT:
            raise Refused("too_long", f"A document has at most {MAX_DOCUMENT} characters.")
        edit = Edit(self.revision + 1, author, edit_id, operation)
        self.store.add(self.room, edit)
        self.text, self.revision = text, edit.revision
        self.log.append(edit)
        # --8<-- [end:server-add]
        with suppress(sqlite3.Error):  # The edit is stored. The next one tries to compact again.
            self.compact()
        return edit

    def compact(self) -> None:
        """If the log has more than twice `keep` edits, forget all but the newest `keep`."""
        # --8<-- [start:server-compact] Store a snapshot, then shorten `log`.
        if len(self.log) > 2 * self.keep:
            self.store.compact(self.room, self.revision, self.text, self.keep)
            del self.log[: -self.keep]
        # --8<-- [end:server-compact]

    def move(self, position: int, revision: int) -> int:
        """Return where a position of an earlier revision is now. Raises Refused as `since`."""
        for edit in self.since(revision):
            position = moved(position, edit.operation)
        if position > len(self.text):
            raise Refused("misfit", f"The document has {len(self.text)} characters.")
        return position


class Documents:
    """The documents of the app, by the names of their rooms. Use it in `hub.turn`."""

    def __init__(self, store: Store, keep: int) -> None:
        self._store, self._keep = store, keep
        self._documents: dict[str, Document] = {}

    def get(self, room: str) -> Document:
        """Return the document of a room. It is read from the store once."""
        if room not in self._documents:
            self._documents[room] = Document(self._store, room, self._keep)
        return self._documents[room]
