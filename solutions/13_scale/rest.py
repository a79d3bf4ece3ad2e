"""The board over REST, for users who have logged in. It knows nothing about WebSockets."""

import math

from flask import Blueprint, Response, current_app, g, jsonify, request, url_for
from werkzeug.exceptions import NotFound, TooManyRequests

from auth import authorize, require_login
from inputs import MAX_ID, posted, string, whole_number
from limits import TOO_FAST, rates
from store import Store

rest = Blueprint("rest", __name__)


def store() -> Store:
    """Return the store of the app that is serving this request."""
    return current_app.extensions["store"]


@rest.before_request
def let_in() -> None:
    """Reject a request without a login, or from a user who may not read the room."""
    g.login = require_login()
    authorize(g.login.user, "read", request.view_args["room"])


@rest.post("/rooms/<room:room>/messages")
def create(room: str) -> tuple[dict, int, dict]:
    """Store a message. Responds with 201 and the message's URL in `Location`."""
    authorize(g.login.user, "post", room)
    wait = rates().take(g.login.user)
    if wait:
        raise TooManyRequests(TOO_FAST, retry_after=math.ceil(wait))
    text = string(posted(), "text")
    message = store().add(room, g.login.user, text)
    location = url_for("rest.read", room=room, message_id=message["id"])
    return message, 201, {"Location": location}


@rest.get(f"/rooms/<room:room>/messages/<int(max={MAX_ID}):message_id>")
def read(room: str, message_id: int) -> dict:
    """Return one message of the room, or respond with 404."""
    message = store().get(message_id)
    if message is None or message["room"] != room:
        raise NotFound(f"Room {room} has no message {message_id}.")
    return message


@rest.get("/rooms/<room:room>/messages")
def list_messages(room: str) -> Response:
    """Return the room's messages after the cursor `after`, oldest first, at most `limit`."""
    after = whole_number("after", default=0, low=0, high=MAX_ID)
    limit = whole_number("limit", default=50, low=1, high=200)
    messages = store().list(room, after, limit)
    response = jsonify(messages=messages, next=next_cursor(messages, after))
    response.add_etag()
    response.make_conditional(request)
    return response


def next_cursor(messages: list[dict], after: int) -> int:
    """Return the `after` of the next page, which neither repeats nor skips a message."""
    return messages[-1]["id"] if messages else after
