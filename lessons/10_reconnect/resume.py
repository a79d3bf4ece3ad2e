"""Send a client that reconnects what it has missed, and then what is live."""

import json

from flask import request

from hub import Connection, Hub
from inputs import MAX_ID, whole_number
from protocol import Session

PAGE = 50  # messages that are read at once


def cursor() -> int | None:
    """Return the id of the newest message that the client has, or None if it gave no `after`.

    Raises BadRequest if `after` isn't an id.
    """
    # TODO(resume-cursor): Return None or a `whole_number()` of the query.
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

    # TODO(resume): Send what is missing, and `greet(True)`, or `greet(False)` only.
    ...
    # END(resume)


def push(connection: Connection, messages: list[dict]) -> None:
    """Send messages as if they had just been posted."""
    for message in messages:
        connection.send(json.dumps({"type": "message", "message": message}))
