"""The board with a page of its own: REST, WebSocket, and what a browser shows of them."""

import json
import unicodedata
from contextlib import suppress
from socket import IPPROTO_TCP, SHUT_RDWR, TCP_NODELAY

from flask import Blueprint, Flask, Response, abort, current_app, redirect, request, url_for
from flask_sock import Sock
from simple_websocket import Server
from werkzeug.exceptions import HTTPException

from hub import GONE, Board, Connection, Hub
from protocol import SUBPROTOCOL, Session
from rest import MAX_BODY, RoomName, problem, rest, store

MAX_AUTHOR = 32  # characters
NOT_AGREED = 4406  # a close code of ours, from those that are free (RFC 6455, section 7.4.2)
FAILED = 1011  # an internal error (RFC 6455, section 7.4.1)
ANSWER = 1.0  # seconds that a client has to answer our close

board = Blueprint("board", __name__)
pages = Blueprint("pages", __name__)
sock = Sock()


def create_app(config: dict | None = None) -> Flask:
    """Return the board as a Flask app. `config["DATABASE"]` is the path of its SQLite file."""
    app = Flask(__name__)
    app.config.from_mapping(SOCK_SERVER_OPTIONS={"subprotocols": [SUBPROTOCOL]})
    app.config.from_mapping(DATABASE="board.sqlite3", MAX_CONTENT_LENGTH=MAX_BODY)
    app.config.from_mapping(config)
    app.extensions["hub"] = Hub()
    app.extensions["store"] = Board(app.config["DATABASE"], app.extensions["hub"])
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
    """Ask which room, and who; then lead there."""
    room, author = request.args.get("room"), request.args.get("author")
    if room and author:
        return redirect(url_for("pages.page", room=room, author=author))
    return current_app.send_static_file("door.html")


@pages.get("/rooms/<room:room>")
def page(room: str) -> Response:
    """Return the page of a room, or the door where it is not said who comes."""
    return current_app.send_static_file("index.html" if request.args.get("author") else "door.html")


@board.before_request
def let_in() -> None:
    """Refuse with 400, before the handshake, whoever has no good name in `author`."""
    author = request.args.get("author", "")
    control = any(unicodedata.category(character) == "Cc" for character in author)
    if not author.strip() or len(author) > MAX_AUTHOR or control:
        abort(
            400, f"author must be a name of 1 to {MAX_AUTHOR} characters, none of them a control."
        )


@sock.route("/board/<room:room>", bp=board)
def talk(ws: Server, room: str) -> None:
    """Talk with one client until it goes. Where that fails, close with 1011."""
    session = Session(store(), room, request.args["author"])
    connection = Connection(ws, session.author)
    end = (1000, "")
    try:
        converse(ws, connection, session)
    except GONE:
        pass  # That is no fault.
    except Exception:
        current_app.logger.exception("The conversation in %s failed.", room)
        end = (FAILED, "The server failed.")
    finally:
        hub().leave(room, connection)
    hang_up(ws, *end)  # Nobody else sends by `ws` any more.


def converse(ws: Server, connection: Connection, session: Session) -> None:
    """Greet the client and answer its requests. Raises one of `GONE` when it has gone."""
    if ws.subprotocol != SUBPROTOCOL:
        return close(ws, NOT_AGREED, f"This server speaks {SUBPROTOCOL}. Offer it.")
    ws.sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, True)
    hub().join(session.room, connection, session.welcome)
    while True:
        connection.send(json.dumps(session.handle(ws.receive())))


def close(ws: Server, code: int, reason: str) -> None:
    """Send a close frame (RFC 6455, section 5.5.1), if there is anybody left."""
    with suppress(*GONE):
        ws.close(code, reason)


def hang_up(ws: Server, code: int, reason: str) -> None:
    """End the connection, before the web server adds an HTTP response to it, as lesson 6 did."""
    close(ws, code, reason)
    ws.thread.join(ANSWER)  # It ends when the client answers the close.
    with suppress(OSError):
        ws.sock.shutdown(SHUT_RDWR)
