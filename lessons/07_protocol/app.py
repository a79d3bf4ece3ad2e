"""The board over a WebSocket: a client and the server speak board.v1, which is in protocol.py."""

import json
import unicodedata
from contextlib import suppress
from socket import SHUT_RDWR

from flask import Blueprint, Flask, abort, current_app, request
from flask_sock import Sock
from simple_websocket import ConnectionClosed, Server
from werkzeug.routing import BaseConverter
from wsproto.utilities import LocalProtocolError

from protocol import SUBPROTOCOL, Session
from store import Store

MAX_AUTHOR = 32  # characters
NOT_AGREED = 4406  # a close code of ours, from those that are free (RFC 6455, section 7.4.2)
FAILED = 1011  # an internal error (RFC 6455, section 7.4.1)
ANSWER = 1.0  # seconds that a client has to answer our close
GONE = (ConnectionClosed, LocalProtocolError, OSError)  # how `ws` says that the client has gone

board = Blueprint("board", __name__)
sock = Sock()


class RoomName(BaseConverter):
    """The part of a URL that names a room. Any other name is answered 404."""

    regex = "[a-z0-9-]{1,32}"


def create_app(config: dict | None = None) -> Flask:
    """Return the board as a Flask app. `config["DATABASE"]` is the path of its SQLite file."""
    app = Flask(__name__)
    app.config.from_mapping(SOCK_SERVER_OPTIONS={"subprotocols": [SUBPROTOCOL]})
    app.config.from_mapping(DATABASE="board.sqlite3")
    app.config.from_mapping(config)
    app.extensions["store"] = Store(app.config["DATABASE"])
    app.url_map.converters["room"] = RoomName
    app.register_blueprint(board)
    return app


def store() -> Store:
    """Return the store of the app that is serving this request."""
    return current_app.extensions["store"]


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
    try:
        converse(ws, Session(store(), room, request.args["author"]))
    except GONE:
        pass  # That is no fault.
    except Exception:
        current_app.logger.exception("The conversation in %s failed.", room)
        close(ws, FAILED, "The server failed.")
    hang_up(ws)


def close(ws: Server, code: int, reason: str) -> None:
    """Send a close frame (RFC 6455, section 5.5.1), if there is anybody left."""
    with suppress(*GONE):
        ws.close(code, reason)


def hang_up(ws: Server) -> None:
    """End the connection, before the web server adds an HTTP response to it, as lesson 6 did."""
    close(ws, 1000, "")
    ws.thread.join(ANSWER)  # It ends when the client answers the close.
    with suppress(OSError):
        ws.sock.shutdown(SHUT_RDWR)


def converse(ws: Server, session: Session) -> None:
    """Greet the client and answer its requests. Raises one of `GONE` when it has gone."""
    # TODO(subprotocol): Unless `ws.subprotocol` is ours, close with 4406 and a reason.
    ...
    # END(subprotocol)
    # TODO(welcome): Send the `welcome()`; then, for each message, what `handle()` returns.
    ...
    # END(welcome)
