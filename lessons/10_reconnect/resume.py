"""Send the messages that a client has missed, and then the live messages."""

import json

from flask import request

from hub import Connection, Hub
from inputs import MAX_ID, whole_number
from protocol import Session

PAGE = 50  # messages that are read from the store at once


def cursor() -> int | None:
    """Return the id of the newest message that the client has, or None without `after`.

    Raises BadRequest if `after` isn't an id.
    """
    # TODO(resume-cursor): Return None, or the `whole_number()` of `after`.
    ...
    # END(resume-cursor)


def resume(hub: Hub, connection: Connection, session: Session, after: int, most: int) -> None:
    """Send the messages after the cursor, then add the connection to its room and greet it.

    If that would be more than `most` messages, or `after` is above the room's last id, it sends
    none of them, and the welcome says so with `"resumed": false`.
    Raises ConnectionClosed if the client has disconnected.
    """
    store, room = session.store, session.room

    def greet(resumed: bool) -> None:
        hub.join(room, connection, lambda: {**session.welcome(), "resumed": resumed})

    # TODO(resume): Send the missing messages, then `greet(True)`, or only `greet(False)`.
    ...
    # END(resume)


def push(connection: Connection, messages: list[dict]) -> None:
    """Send messages as if they had just been posted."""
    for message in messages:
        connection.send(json.dumps({"type": "message", "message": message}))
