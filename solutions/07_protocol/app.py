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
    # --8<-- [start:subprotocol-offer]
    app.config.from_mapping(SOCK_SERVER_OPTIONS={"subprotocols": [SUBPROTOCOL]})
    # --8<-- [end:subprotocol-offer]
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
    # --8<-- [start:welcome-author]
    author = request.args.get("author", "")
    control = any(unicodedata.category(character) == "Cc" for character in author)
    if not author.strip() or len(author) > MAX_AUTHOR or control:
        abort(
            400, f"author must be a name of 1 to {MAX_AUTHOR} characters, none of them a control."
        )
    # --8<-- [end:welcome-author]


@sock.route("/board/<room:room>", bp=board)
def talk(ws: Server, room: str) -> None:
    """Talk with one client until it goes. Where that fails, close with 1011."""
    # --8<-- [start:fault-talk]
    try:
        converse(ws, Session(store(), room, request.args["author"]))
    except GONE:
        pass  # That is no fault.
    except Exception:
        current_app.logger.exception("The conversation in %s failed.", room)
        close(ws, FAILED, "The server failed.")
    hang_up(ws)
    # --8<-- [end:fault-talk]


def close(ws: Server, code: int, reason: str) -> None:
    """Send a close frame (RFC 6455, section 5.5.1), if there is anybody left."""
    with suppress(*GONE):
        ws.close(code, reason)


def hang_up(ws: Server) -> None:
    """End the connection, before the web server adds an HTTP response to it, as lesson 6 did."""
    # --8<-- [start:subprotocol-end]
    close(ws, 1000, "")
    ws.thread.join(ANSWER)  # It ends when the client answers the close.
    with suppress(OSError):
        ws.sock.shutdown(SHUT_RDWR)
    # --8<-- [end:subprotocol-end]


def converse(ws: Server, session: Session) -> None:
    """Greet the client and answer its requests. Raises one of `GONE` when it has gone."""
    # --8<-- [start:subprotocol] Unless `ws.subprotocol` is ours, close with 4406 and a reason.
    if ws.subprotocol != SUBPROTOCOL:
        return close(ws, NOT_AGREED, f"This server speaks {SUBPROTOCOL}. Offer it.")
    # --8<-- [end:subprotocol]
    # --8<-- [start:welcome] Send the `welcome()`; then, for each message, what `handle()` returns.
    ws.send(json.dumps(session.welcome()))
    while True:
        ws.send(json.dumps(session.handle(ws.receive())))
    # --8<-- [end:welcome]
