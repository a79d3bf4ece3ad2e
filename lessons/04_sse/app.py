"""A message board over REST that also streams each room as server-sent events (SSE)."""

from functools import partial

from flask import Blueprint, Flask, Response, current_app, jsonify, request, url_for
from werkzeug.exceptions import BadRequest, HTTPException, NotFound

from inputs import MAX_BODY, MAX_ID, RoomName, in_range, posted, problem, whole_number
from sse import stream
from store import Store
from waiting import News

board = Blueprint("board", __name__)


def create_app(config: dict | None = None) -> Flask:
    """Return the board as a Flask app.

    `config["DATABASE"]` is the path of its SQLite file. `config["MAX_WAIT"]` is the longest time
    to hold a request, in seconds. A stream without messages sends a comment every
    `config["HEARTBEAT"]` seconds. A client that lost its stream reconnects after `config["RETRY"]`
    milliseconds.
    """
    app = Flask(__name__)
    app.config.from_mapping(DATABASE="board.sqlite3", MAX_CONTENT_LENGTH=MAX_BODY, MAX_WAIT=30.0)
    app.config.from_mapping(HEARTBEAT=15.0, RETRY=2000)
    app.config.from_mapping(config)
    app.extensions["store"] = Store(app.config["DATABASE"])
    app.extensions["news"] = News()
    app.url_map.converters["room"] = RoomName
    app.register_blueprint(board)
    app.register_error_handler(HTTPException, problem)
    return app


def store() -> Store:
    """Return the store of the app that is serving this request."""
    return current_app.extensions["store"]


def news() -> News:
    """Return the `News` object of the app that is serving this request."""
    return current_app.extensions["news"]


@board.post("/rooms/<room:room>/messages")
def create(room: str) -> tuple[dict, int, dict]:
    """Store a message. Returns it with status 201 and its URL in `Location`."""
    body = posted()
    message = store().add(room, body["author"], body["text"])
    news().announce(room)  # After storing, so that a woken thread finds the message.
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
    """Return at most `limit` messages of the room, oldest first, after the cursor `after`.

    If there are none and the query has `wait`, hold the request until one arrives, or respond with
    204 after that many seconds.
    """
    after = whole_number("after", default=0, low=0, high=MAX_ID)
    limit = whole_number("limit", default=50, low=1, high=200)
    seconds = seconds_to_wait()
    look = partial(store().list, room, after, limit)
    messages = look()
    if not messages and seconds is not None:
        messages = news().wait(room, look, seconds)
        if not messages:
            return Response(status=204)
    response = jsonify(messages=messages, next=next_cursor(messages, after))
    response.add_etag()
    response.make_conditional(request)
    return response


@board.get("/rooms/<room:room>/events")
def events(room: str) -> Response:
    """Stream the messages after `Last-Event-ID`, or else `after`, then each new one."""
    after = whole_number("after", default=0, low=0, high=MAX_ID)
    # TODO(resume): Set `after` to the `Last-Event-ID` if sent; validate it with `in_range`.
    ...
    # END(resume)
    config = current_app.config
    # The generator runs after this function has returned, so pass it everything it needs.
    body = stream(store(), news(), room, after, config["HEARTBEAT"], config["RETRY"])
    # The second header tells nginx not to buffer the stream.
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return Response(body, mimetype="text/event-stream", headers=headers)


def next_cursor(messages: list[dict], after: int) -> int:
    """Return the cursor for the next request, so that no message is repeated or skipped."""
    return messages[-1]["id"] if messages else after


def seconds_to_wait() -> float | None:
    """Return the query's `wait` in seconds, at most `MAX_WAIT`, or None if it has no `wait`.

    Raises BadRequest unless `wait` is a number of 0 or more.
    """
    if "wait" not in request.args:
        return None
    try:
        seconds = float(request.args["wait"])
    except ValueError:
        seconds = -1.0
    if not seconds >= 0:  # Not `seconds < 0`, which is false for NaN.
        raise BadRequest("wait must be a number of seconds, 0 or more.")
    return min(seconds, current_app.config["MAX_WAIT"])
