"""Store the board's messages in Redis Streams, one message for each request id of an author."""

from datetime import UTC, datetime

from database import Database, key

DAY = 24 * 3600  # seconds in which a request id is known
FIELDS = ("room", "author", "text", "sent_at")


class Conflict(Exception):
    """The author has used this request id for a message with another room or text."""


def as_message(entry: tuple[str, dict[str, str]]) -> dict:
    """Return the message that an entry of a stream is. Message 7 is the entry 7-0."""
    entry_id, fields = entry
    return {"id": int(entry_id.partition("-")[0]), **{name: fields[name] for name in FIELDS}}


class Store:
    """The messages of every room. Many threads, processes and machines can use the same Redis."""

    def __init__(self, database: Database, follow: int, retain: int) -> None:
        self._database = database
        self._follow, self._retain = follow, retain  # entries of the board's stream, and a room's
        self._add = database.script("add.lua")

    def add(self, room: str, author: str, text: str, request_id: str | None = None) -> dict:
        """Store a message. Return it with its id, one above the last, and the time.

        With a `request_id`, a message is stored once: if the author has used the id before, the
        message that was stored then is returned. Raises Conflict if its room or text differ.
        """
        sent_at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        keys = [key("id"), key("stream"), key("room", room), key("rooms"), key("removed")]
        if request_id is not None:
            keys.append(key("posted", author, request_id))
        values = [room, author, text, sent_at, self._follow, self._retain, DAY]
        message_id, *stored = self._add(keys, values)
        message = {"id": int(message_id), **dict(zip(FIELDS, stored, strict=True))}
        if (message["room"], message["text"]) != (room, text):
            raise Conflict(request_id)
        return message

    def get(self, message_id: int) -> dict | None:
        """Return the message with this id, whatever its room, or None."""
        room = self._database.hget(key("rooms"), str(message_id))
        found = self.list(room, message_id - 1, 1) if room else []
        return found[0] if found and found[0]["id"] == message_id else None

    def list_before(self, room: str, before: int, limit: int) -> list[dict]:
        """Return the last `limit` messages of the room with an id below `before`, oldest first."""
        # --8<-- [start:store-before]
        entries = self._database.xrevrange(key("room", room), max=before - 1, count=limit)
        return [as_message(entry) for entry in reversed(entries)]
        # --8<-- [end:store-before]

    def list(self, room: str, after: int = 0, limit: int = 50) -> list[dict]:
        """Return at most `limit` messages of the room with an id above `after`, oldest first."""
        # --8<-- [start:store-list] Read the room's stream, from the first id above `after` on.
        entries = self._database.xrange(key("room", room), min=after + 1, count=limit)
        return [as_message(entry) for entry in entries]
        # --8<-- [end:store-list]

    def last_id(self, room: str) -> int:
        """Return the id of the room's newest message, or 0 if the room has no messages."""
        entries = self._database.xrevrange(key("room", room), count=1)
        return as_message(entries[0])["id"] if entries else 0

    def count(self, room: str, after: int, limit: int) -> int:
        """Return how many messages of the room have an id above `after`, at most `limit`."""
        return len(self.list(room, after, limit))

    def removed(self, room: str) -> int:
        """Return the id of the newest message that was removed from the room, or 0."""
        return int(self._database.hget(key("removed"), room) or 0)
