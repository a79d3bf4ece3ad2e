"""A message board over REST: create and read messages, and list a room page by page."""

import json
import re

from flask import Blueprint, Flask, Response, current_app, request, url_for
from werkzeug.exceptions import (
    BadRequest,
    HTTPException,
    LengthRequired,
    NotFound,
    UnprocessableEntity,
)
from werkzeug.routing import BaseConverter

from store import Store

MAX_TEXT = 2_000  # code points
MAX_BODY = 32 * 1024  # bytes
MAX_ID = 2**63 - 1  # the largest integer that SQLite can store

board = Blueprint("board", __name__)


class RoomName(BaseConverter):
    """The part of a URL that names a room. Flask responds with 404 to any other name."""

    regex = "[a-z0-9-]{1,32}"


def create_app(config: dict | None = None) -> Flask:
    """Return the board as a Flask app. `config["DATABASE"]` is the path of its SQLite file."""
    app = Flask(__name__)
    app.config.from_mapping(DATABASE="board.sqlite3", MAX_CONTENT_LENGTH=MAX_BODY)
    app.config.from_mapping(config)
    app.extensions["store"] = Store(app.config["DATABASE"])
    app.url_map.converters["room"] = RoomName
    app.register_blueprint(board)
    app.register_error_handler(HTTPException, problem)
    return app


def store() -> Store:
    """Return the store of the app that is serving this request."""
    return current_app.extensions["store"]


@board.post("/rooms/<room:room>/messages")
def create(room: str) -> tuple[dict, int, dict]:
    """Store a message. Returns it with status 201 and its URL in `Location`."""
    if request.content_length is None:  # MAX_CONTENT_LENGTH doesn't limit a chunked body.
        raise LengthRequired("Send a Content-Length.")
    try:
        body = request.get_json()
        json.dumps(body, ensure_ascii=False).encode()  # UTF-8 can't encode a lone surrogate.
    except (RecursionError, UnicodeEncodeError):
        raise BadRequest("The JSON is nested too deeply or has a lone surrogate.") from None
    body = checked(body)
    # TODO(create): Add the message to `store()`; return it with 201 and `Location`.
    ...
    # END(create)


@board.get(f"/rooms/<room:room>/messages/<int(max={MAX_ID}):message_id>")
def read(room: str, message_id: int) -> dict:
    """Return one message of the room, or 404 if the room doesn't have it."""
    # TODO(read): Return the message, or raise `NotFound` unless it is in this `room`.
    ...
    # END(read)


@board.get("/rooms/<room:room>/messages")
def list_messages(room: str) -> dict:
    """Return at most `limit` messages of the room, oldest first, after the cursor `after`."""
    after = whole_number("after", default=0, low=0, high=MAX_ID)
    limit = whole_number("limit", default=50, low=1, high=200)
    # TODO(list): Return `messages` from `store()`, with `next` from `next_cursor()`.
    ...
    # END(list)


def next_cursor(messages: list[dict], after: int) -> int:
    """Return the cursor for the next request, so that no message is repeated or skipped."""
    # TODO(cursor): Return the id of the last message, or `after` if `messages` is empty.
    ...
    # END(cursor)


def whole_number(name: str, default: int, low: int, high: int) -> int:
    """Return a number from the query. Raises BadRequest unless it is a whole number in range."""
    text = request.args.get(name, str(default))
    if not re.fullmatch("[0-9]{1,19}", text) or not low <= int(text) <= high:
        raise BadRequest(f"{name} must be a whole number from {low} to {high}.")
    return int(text)


def checked(body: object) -> dict:
    """Return the body of a post. Raises HTTPException unless it is a message."""
    # TODO(refuse): Raise `BadRequest` or `UnprocessableEntity` unless `body` is a message.
    ...
    # END(refuse)
    return body


def problem(error: HTTPException) -> Response:
    """Return the error as a problem document (RFC 9457, section 3)."""
    response = error.get_response()
    # TODO(refuse-problem): Set `data` and `content_type` of the `response`.
    ...
    # END(refuse-problem)
    return response
