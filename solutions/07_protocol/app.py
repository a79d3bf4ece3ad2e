"""The board over a WebSocket. Client and server speak board.v1, which protocol.py implements."""

import json
import unicodedata

from flask import Blueprint, Flask, abort, current_app, request
from flask_sock import Sock
from simple_websocket import Server

from closing import close, guarded, send
from inputs import RoomName
from protocol import SUBPROTOCOL, Session
from store import Store

MAX_AUTHOR = 32  # characters
MAX_MESSAGE = 65_536  # bytes, or characters of a text: the library closes with 1009 above this
NOT_AGREED = 4406  # a close code of our own (RFC 6455, section 7.4.2)
LOOK = 1.0  # seconds until a handler that waits for a message checks its connection

board = Blueprint("board", __name__)
sock = Sock()


def create_app(config: dict | None = None) -> Flask:
    """Return the board as a Flask app. `config["DATABASE"]` is the path of its SQLite file."""
    app = Flask(__name__)
    # --8<-- [start:subprotocol-offer]
    options = {"subprotocols": [SUBPROTOCOL], "max_message_size": MAX_MESSAGE}
    app.config.from_mapping(SOCK_SERVER_OPTIONS=options)
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
    """Reject a request without a valid `author` with 400, before the WebSocket handshake."""
    # --8<-- [start:welcome-author]
    author = request.args.get("author", "")
    control = any(unicodedata.category(character) == "Cc" for character in author)
    if not author.strip() or len(author) > MAX_AUTHOR or control:
        abort(400, f"author must have 1 to {MAX_AUTHOR} characters, and no control characters.")
    # --8<-- [end:welcome-author]


@sock.route("/board/<room:room>", bp=board)
@guarded
def talk(ws: Server, room: str) -> None:
    """Serve one client until it disconnects."""
    converse(ws, Session(store(), room, request.args["author"]))


def converse(ws: Server, session: Session) -> None:
    """Greet the client and reply to its requests. Raises ConnectionClosed when it disconnects."""
    # --8<-- [start:subprotocol] Unless `ws.subprotocol` is `SUBPROTOCOL`, close with 4406.
    if ws.subprotocol != SUBPROTOCOL:
        return close(ws, NOT_AGREED, f"This server speaks {SUBPROTOCOL}. Offer it.")
    # --8<-- [end:subprotocol]
    # --8<-- [start:welcome] Send `welcome()`; then, for each message, send what `handle()` returns.
    send(ws, json.dumps(session.welcome()))
    while True:
        send(ws, json.dumps(session.handle(receive(ws))))
    # --8<-- [end:welcome]


def receive(ws: Server) -> str | bytes:
    """Return the client's next message. Raises ConnectionClosed when the connection is closed.

    If the library closes because of `MAX_MESSAGE`, a `ws.receive()` without a timeout may never
    return.
    """
    # --8<-- [start:welcome-receive]
    while True:
        data = ws.receive(timeout=LOOK)
        if data is not None:
            return data
    # --8<-- [end:welcome-receive]
