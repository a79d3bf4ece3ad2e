"""The board over REST, as lesson 2 left it. Nothing here knows of WebSockets."""

import json
import re

from flask import Blueprint, Response, current_app, jsonify, request, url_for
from werkzeug.exceptions import BadRequest, HTTPException, NotFound, RequestEntityTooLarge
from werkzeug.routing import BaseConverter

from store import Store

MAX_TEXT = 2_000  # characters
MAX_BODY = 16 * 1024  # bytes
MAX_ID = 2**63 - 1  # the largest integer that SQLite can hold

rest = Blueprint("rest", __name__)


class RoomName(BaseConverter):
    """The part of a URL that names a room. Any other name is answered 404."""

    regex = "[a-z0-9-]{1,32}"


def store() -> Store:
    """Return the store of the app that is serving this request."""
    return current_app.extensions["store"]


@rest.post("/rooms/<room:room>/messages")
def create(room: str) -> tuple[dict, int, dict]:
    """Keep a message. 201, with its address in `Location`."""
    try:
        body = request.get_json()
        json.dumps(body, ensure_ascii=False).encode()  # Half a surrogate pair has no bytes.
    except (RecursionError, UnicodeEncodeError):
        raise BadRequest("The JSON is nested too deeply, or holds half a character.") from None
    body = checked(body)
    message = store().add(room, body["author"], body["text"])
    location = url_for("rest.read", room=room, message_id=message["id"])
    return message, 201, {"Location": location}


@rest.get("/rooms/<room:room>/messages/<int(max=9223372036854775807):message_id>")
def read(room: str, message_id: int) -> dict:
    """Return one message of the room, or 404."""
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
    """Return the `after` to ask with next, so that nobody sees a message twice or never."""
    return messages[-1]["id"] if messages else after


def whole_number(name: str, default: int, low: int, high: int) -> int:
    """Return the query's number. Raises BadRequest unless it is digits and within the range."""
    text = request.args.get(name, str(default))
    if not re.fullmatch("[0-9]{1,19}", text) or not low <= int(text) <= high:
        raise BadRequest(f"{name} must be a whole number from {low} to {high}.")
    return int(text)


def checked(body: object) -> dict:
    """Return the body of a post, if a message can be made of it."""
    if not isinstance(body, dict):
        raise BadRequest("The body must be a JSON object.")
    for name in ("author", "text"):
        value = body.get(name)
        if not isinstance(value, str) or not value.strip():
            raise BadRequest(f"{name} must be a string that is not blank.")
    if len(body["text"]) > MAX_TEXT:
        raise RequestEntityTooLarge(f"text must have at most {MAX_TEXT} characters.")
    return body


def problem(error: HTTPException) -> Response:
    """Return the error as a problem document (RFC 9457, section 3)."""
    response = error.get_response()
    document = {"title": error.name, "status": error.code, "detail": error.description}
    response.data = json.dumps(document)
    response.content_type = "application/problem+json"
    return response
