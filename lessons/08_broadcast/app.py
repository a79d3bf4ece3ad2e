"""The board over REST and WebSocket at once: what is kept is pushed to all who are in the room."""

import json
import unicodedata
from contextlib import suppress
from socket import IPPROTO_TCP, SHUT_RDWR, TCP_NODELAY

from flask import Blueprint, Flask, abort, current_app, request
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
    app.register_error_handler(HTTPException, problem)
    return app


def hub() -> Hub:
    """Return the hub of the app that is serving this request."""
    return current_app.extensions["hub"]


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
    # TODO(prompt): Set `TCP_NODELAY` on the connection's `ws.sock`.
    ...
    # END(prompt)
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
