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
    # --8<-- [start:resume-cursor] Return None, or the `whole_number()` of `after`.
    if "after" not in request.args:
        return None
    return whole_number("after", default=0, low=0, high=MAX_ID)
    # --8<-- [end:resume-cursor]


def resume(hub: Hub, connection: Connection, session: Session, after: int, most: int) -> None:
    """Send the messages after the cursor, then add the connection to its room and greet it.

    If that would be more than `most` messages, or `after` is above the room's last id, it sends
    none of them, and the welcome says so with `"resumed": false`.
    Raises ConnectionClosed if the client has disconnected.
    """
    store, room = session.store, session.room

    def greet(resumed: bool) -> None:
        hub.join(room, connection, lambda: {**session.welcome(), "resumed": resumed})

    # --8<-- [start:resume] Send the missing messages, then `greet(True)`, or only `greet(False)`.
    if store.count(room, after, most + 1) > most or after > store.last_id(room):
        return greet(False)
    while True:
        with hub.turn:  # Between the last page and the welcome, no other thread may publish.
            page = store.list(room, after, PAGE)
            if len(page) < PAGE:
                push(connection, page)
                return greet(True)
        push(connection, page)  # A slow client can block only this call.
        after = page[-1]["id"]
    # --8<-- [end:resume]


def push(connection: Connection, messages: list[dict]) -> None:
    """Send messages as if they had just been posted."""
    for message in messages:
        connection.send(json.dumps({"type": "message", "message": message}))
