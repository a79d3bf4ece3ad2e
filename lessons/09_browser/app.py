"""The board with a page in the browser, over REST and WebSocket."""

import json
import unicodedata
from socket import IPPROTO_TCP, TCP_NODELAY

from flask import Blueprint, Flask, Response, abort, current_app, redirect, request, url_for
from flask_sock import Sock
from simple_websocket import Server
from werkzeug.exceptions import HTTPException

from closing import close, guarded
from handshake import check_handshake
from hub import Connection, Hub, PublishingStore
from inputs import MAX_BODY, RoomName, problem
from protocol import SUBPROTOCOL, Session
from rest import rest, store

MAX_AUTHOR = 32  # characters
MAX_MESSAGE = 65_536  # bytes, or characters of a text: the library closes with 1009 above this
NOT_AGREED = 4406  # a close code of our own (RFC 6455, section 7.4.2)
LOOK = 1.0  # seconds until a handler that waits for a message checks its connection

board = Blueprint("board", __name__)
pages = Blueprint("pages", __name__)
sock = Sock()


def create_app(config: dict | None = None) -> Flask:
    """Return the board as a Flask app. `config["DATABASE"]` is the path of its SQLite file."""
    app = Flask(__name__)
    options = {"subprotocols": [SUBPROTOCOL], "max_message_size": MAX_MESSAGE}
    app.config.from_mapping(SOCK_SERVER_OPTIONS=options)
    app.config.from_mapping(DATABASE="board.sqlite3", MAX_CONTENT_LENGTH=MAX_BODY)
    app.config.from_mapping(config)
    app.extensions["hub"] = Hub()
    app.extensions["store"] = PublishingStore(app.config["DATABASE"], app.extensions["hub"])
    app.url_map.converters["room"] = RoomName
    app.register_blueprint(rest)
    app.register_blueprint(board)
    app.register_blueprint(pages)
    app.register_error_handler(HTTPException, problem)
    return app


def hub() -> Hub:
    """Return the hub of the app that is serving this request."""
    return current_app.extensions["hub"]


@pages.get("/")
def door() -> Response:
    """Ask for a room and a name, then redirect to the room's page."""
    room, author = request.args.get("room"), request.args.get("author")
    if room and author:
        return redirect(url_for("pages.page", room=room, author=author))
    return current_app.send_static_file("door.html")


@pages.get("/rooms/<room:room>")
def page(room: str) -> Response:
    """Return the page of a room, or the door if the name is missing."""
    return current_app.send_static_file("index.html" if request.args.get("author") else "door.html")


@board.before_request
def let_in() -> None:
    """Reject an invalid handshake with 400 or 426, and an invalid `author` with 400."""
    check_handshake(request)
    author = request.args.get("author", "")
    control = any(unicodedata.category(character) == "Cc" for character in author)
    if not author.strip() or len(author) > MAX_AUTHOR or control:
        abort(400, f"author must have 1 to {MAX_AUTHOR} characters, and no control characters.")


@sock.route("/board/<room:room>", bp=board)
@guarded
def talk(ws: Server, room: str) -> None:
    """Serve one client until it disconnects."""
    session = Session(store(), room, request.args["author"])
    connection = Connection(ws, session.author)
    try:
        converse(ws, connection, session)
    finally:
        hub().leave(room, connection)


def converse(ws: Server, connection: Connection, session: Session) -> None:
    """Greet the client and reply to its requests. Raises ConnectionClosed when it disconnects."""
    if ws.subprotocol != SUBPROTOCOL:
        return close(ws, NOT_AGREED, f"This server speaks {SUBPROTOCOL}. Offer it.")
    ws.sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, True)  # Send small packets without delay.
    hub().join(session.room, connection, session.welcome)
    while True:
        connection.send(json.dumps(session.handle(receive(ws))))


def receive(ws: Server) -> str | bytes:
    """Return the client's next message. Raises ConnectionClosed when the connection is closed.

    If the library closes because of `MAX_MESSAGE`, a `ws.receive()` without a timeout may never
    return.
    """
    while True:
        data = ws.receive(timeout=LOOK)
        if data is not None:
            return data
