"""A game of snakes for up to 50 players in a room. The server alone decides what happens."""

import unicodedata
from socket import IPPROTO_TCP, SO_SNDBUF, SOL_SOCKET, TCP_NODELAY

from flask import Blueprint, Flask, abort, current_app, request
from flask_sock import Sock
from simple_websocket import ConnectionClosed, Server
from werkzeug.exceptions import HTTPException

from closing import close, guarded
from handshake import check_handshake
from heartbeat import Heartbeat
from hub import Connection
from inputs import MAX_BODY, RoomName, problem
from pages import pages
from protocol import SUBPROTOCOL, Session
from room import Full, Rooms
from writer import RETRY_AFTER, TRY_AGAIN_LATER, let_reads_wait

MAX_AUTHOR = 32  # characters
MAX_MESSAGE = 4_096  # bytes, or characters of a text: the library closes with 1009 above this
SEND_BUFFER = 8_192  # bytes of old snapshots that the operating system may buffer for a client
NOT_AGREED = 4406  # a close code of our own (RFC 6455, section 7.4.2)
LOOK = 1.0  # seconds until a handler that waits for a message checks its connection

DEFAULTS = {
    "SOCK_SERVER_OPTIONS": {"subprotocols": [SUBPROTOCOL], "max_message_size": MAX_MESSAGE},
    "MAX_CONTENT_LENGTH": MAX_BODY,
    "HEARTBEAT": 25.0,  # seconds between two pings of a client
    "QUEUE_BYTES": 65_536,  # that may be queued for a client
    "RATE": 10.0,  # ticks a second
    "REJOIN": 10.0,  # seconds in which a player can reconnect
    "SEED": None,  # of each game; None for a random one
}

game = Blueprint("game", __name__)
sock = Sock()


def create_app(config: dict | None = None) -> Flask:
    """Return the game as a Flask app. `config` is as in DEFAULTS."""
    app = Flask(__name__)
    app.config.from_mapping(DEFAULTS)
    app.config.from_mapping(config)
    rooms = Rooms(app.config["RATE"], app.config["REJOIN"], app.config["SEED"])
    app.extensions["rooms"] = rooms
    app.extensions["heartbeat"] = Heartbeat(app.config["HEARTBEAT"])
    app.url_map.converters["room"] = RoomName
    app.register_blueprint(game)
    app.register_blueprint(pages)
    app.register_error_handler(HTTPException, problem)
    return app


def rooms() -> Rooms:
    """Return the rooms of the app that is serving this request."""
    return current_app.extensions["rooms"]


@game.before_request
def let_in() -> None:
    """Reject an invalid handshake with 400 or 426, and an invalid `author` with 400."""
    check_handshake(request)
    author = request.args.get("author", "")
    control = any(unicodedata.category(character) == "Cc" for character in author)
    if not author.strip() or len(author) > MAX_AUTHOR or control:
        abort(400, f"author must have 1 to {MAX_AUTHOR} characters, and no control characters.")
    let_reads_wait(request.environ)


@sock.route("/games/<room:room>", bp=game)
def talk(ws: Server, room: str) -> None:
    """Serve one client until it disconnects. The heartbeat watches it from start to end."""
    connection = Connection(ws, rooms().writer, current_app.config["QUEUE_BYTES"])
    heartbeat = current_app.extensions["heartbeat"]
    heartbeat.watch(connection)  # Even a close frame can block.
    try:
        serve(ws, room=room, connection=connection)
    finally:
        heartbeat.forget(connection)
        connection.release()


@guarded
def serve(ws: Server, room: str, connection: Connection) -> None:
    """Let the client play, and note that its player is away at the end."""
    if ws.subprotocol != SUBPROTOCOL:
        return close(ws, NOT_AGREED, f"This server speaks {SUBPROTOCOL}. Offer it.")
    ws.sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, True)  # Send small packets without delay.
    ws.sock.setsockopt(SOL_SOCKET, SO_SNDBUF, SEND_BUFFER)
    author, token = request.args["author"], request.args.get("token", "")
    try:
        here, player = rooms().join(room, connection, author, token)
    except Full:
        return close(ws, TRY_AGAIN_LATER, f"retry-after={RETRY_AFTER}")
    session = Session(here, player, connection)
    try:
        while True:
            reply = session.handle(receive(ws, connection))
            if reply is not None:
                connection.send(reply)
    finally:
        here.leave(player, connection)


def receive(ws: Server, connection: Connection) -> str | bytes:
    """Return the client's next message. Raises ConnectionClosed when the connection is closed.

    If the library closes because of `MAX_MESSAGE`, a `ws.receive()` without a timeout may never
    return.
    """
    while True:
        data = ws.receive(timeout=LOOK)
        if connection.ending:
            raise ConnectionClosed(*connection.ending)
        if data is not None:
            return data
