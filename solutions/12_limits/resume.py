"""Send the messages that a client has missed, and then the live messages."""

import json

from flask import request

from hub import Connection, Hub
from inputs import MAX_ID, whole_number
from protocol import Session

PAGE = 50  # messages that are read from the store at once
FEW = 5  # With fewer messages, the last step can't fill the outbox.


def cursor() -> int | None:
    """Return the id of the newest message that the client has, or None without `after`.

    Raises BadRequest if `after` isn't an id.
    """
    if "after" not in request.args:
        return None
    return whole_number("after", default=0, low=0, high=MAX_ID)


def resume(hub: Hub, connection: Connection, session: Session, after: int, most: int) -> None:
    """Send the messages after the cursor, then add the connection to its room and greet it.

    If that would be more than `most` messages, or `after` is above the room's last id, it sends
    none of them, and the welcome says so with `"resumed": false`.
    Raises ConnectionClosed if the client has disconnected.
    """
    store, room = session.store, session.room

    def greet(resumed: bool) -> None:
        hub.join(room, connection, lambda: {**session.welcome(), "resumed": resumed})

    if store.count(room, after, most + 1) > most or after > store.last_id(room):
        return greet(False)
    while True:
        with hub.turn:  # Between the last messages and the welcome, no other thread may publish.
            page = store.list(room, after, PAGE)
            if len(page) < FEW:
                for message in page:
                    connection.put(pushed(message))
                return greet(True)
        for message in page:
            connection.send(pushed(message))  # A slow client can block only this call.
        after = page[-1]["id"]


def pushed(message: dict) -> str:
    """Return a message as if it had just been posted."""
    return json.dumps({"type": "message", "message": message})
