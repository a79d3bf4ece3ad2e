"""A message board over REST that responds with 304 if a client has the current page."""

from flask import Blueprint, Flask, Response, current_app, jsonify, request, url_for
from werkzeug.exceptions import HTTPException, NotFound

from inputs import MAX_BODY, MAX_ID, RoomName, posted, problem, whole_number
from store import Store

board = Blueprint("board", __name__)


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
    body = posted()
    message = store().add(room, body["author"], body["text"])
    location = url_for("board.read", room=room, message_id=message["id"])
    return message, 201, {"Location": location}


@board.get(f"/rooms/<room:room>/messages/<int(max={MAX_ID}):message_id>")
def read(room: str, message_id: int) -> dict:
    """Return one message of the room, or 404 if the room doesn't have it."""
    message = store().get(message_id)
    if message is None or message["room"] != room:
        raise NotFound(f"Room {room} has no message {message_id}.")
    return message


@board.get("/rooms/<room:room>/messages")
def list_messages(room: str) -> Response:
    """Return at most `limit` messages of the room, oldest first, after the cursor `after`."""
    after = whole_number("after", default=0, low=0, high=MAX_ID)
    limit = whole_number("limit", default=50, low=1, high=200)
    messages = store().list(room, after, limit)
    response = jsonify(messages=messages, next=next_cursor(messages, after))
    # --8<-- [start:etag] Give the `response` an ETag; make it a 304 if the client has it already.
    response.add_etag()
    response.make_conditional(request)
    # --8<-- [end:etag]
    return response


def next_cursor(messages: list[dict], after: int) -> int:
    """Return the cursor for the next request, so that no message is repeated or skipped."""
    return messages[-1]["id"] if messages else after
