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

    The welcome has `"resumed": false` if they are more than `most`, or if not all are stored.
    Raises ConnectionClosed if the client has disconnected.
    """
    store, room = session.store, session.room
    if after > store.last_id(room) or store.count(room, after, most + 1) > most:
        return greet(hub, connection, session, False)
    while True:
        with hub.turn:  # Meanwhile, this process publishes nothing, but others store messages.
            page = store.list(room, after, PAGE)
            if after < store.removed(room):  # Not all of them are stored any more.
                return greet(hub, connection, session, False)
            if len(page) < FEW:
                for message in page:
                    connection.put(pushed(message))
                seen = None
                # TODO(kill-resume): Set `seen` to the newest id that the client then has.
                ...
                # END(kill-resume)
                return greet(hub, connection, session, True, seen)
        for message in page:
            connection.send(pushed(message))  # A slow client can block only this call.
        after = page[-1]["id"]


def greet(
    hub: Hub, connection: Connection, session: Session, resumed: bool, seen: int | None = None
) -> None:
    """Add the connection to its room, and say in its welcome whether it has resumed."""
    hub.join(session.room, connection, lambda: {**session.welcome(), "resumed": resumed}, seen)


def pushed(message: dict) -> str:
    """Return a message as if it had just been posted."""
    return json.dumps({"type": "message", "message": message})
