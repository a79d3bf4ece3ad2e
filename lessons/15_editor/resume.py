"""Send a client that connects what it is missing, and then what is live."""

import json

from flask import request

from hub import Connection, Hub
from inputs import MAX_ID, whole_number
from protocol import Session


def cursor() -> int | None:
    """Return the revision that the client has, or None if it gave no `revision`.

    Raises BadRequest if `revision` isn't a revision.
    """
    if "revision" not in request.args:
        return None
    return whole_number("revision", default=0, low=0, high=MAX_ID)


def resume(hub: Hub, connection: Connection, session: Session, revision: int | None) -> None:
    """Send the edits after the revision, or the whole document, then greet the client.

    Raises ConnectionClosed if the client has disconnected.
    """
    while True:
        with hub.turn:  # Between the last edit and the welcome, no other thread may edit.
            messages = session.missed(revision)
            if not messages:
                return hub.join(session.room, connection, session.welcome)
            revision = session.document.revision
        for message in messages:  # A slow client can block only this call.
            connection.send(json.dumps(message))
