"""The board for users who have logged in, over REST and WebSocket."""

import json
from socket import IPPROTO_TCP, TCP_NODELAY

from flask import Blueprint, Flask, current_app, g, request
from flask_sock import Sock
from simple_websocket import ConnectionClosed, Server
from werkzeug.exceptions import HTTPException

from auth import Doorkeeper, admit, expel
from closing import close, guarded
from handshake import check_handshake
from hub import Connection, Hub, PublishingStore
from inputs import MAX_BODY, RoomName, problem
from logins import add_logins
from pages import pages
from protocol import SUBPROTOCOL, Session
from rest import rest, store
from resume import cursor, resume

MAX_MESSAGE = 65_536  # bytes, or characters of a text: the library closes with 1009 above this
NOT_AGREED = 4406  # a close code of our own (RFC 6455, section 7.4.2)
LOOK = 1.0  # seconds until a handler that waits for a message checks its connection

board = Blueprint("board", __name__)
sock = Sock()


def create_app(config: dict | None = None) -> Flask:
    """Return the board as a Flask app.

    In `config`, DATABASE is the path of the SQLite file, HEARTBEAT the seconds between two pings of
    a client, and REPLAY how many missed messages a client gets when it reconnects. ORIGINS are
    those whose pages may use the board, and PASSWORD_METHOD is how werkzeug.security hashes.
    """
    app = Flask(__name__)
    options = {"subprotocols": [SUBPROTOCOL], "max_message_size": MAX_MESSAGE}
    app.config.from_mapping(SOCK_SERVER_OPTIONS=options)
    app.config.from_mapping(DATABASE="board.sqlite3", MAX_CONTENT_LENGTH=MAX_BODY)
    app.config.from_mapping(HEARTBEAT=25.0, REPLAY=500)
    app.config.from_mapping(ORIGINS=["http://127.0.0.1:5011", "http://localhost:5011"])
    app.config.from_mapping(PASSWORD_METHOD="scrypt")
    app.config.from_mapping(config)
    app.extensions["hub"] = Hub()
    app.extensions["heartbeat"] = Doorkeeper(app)
    app.extensions["store"] = PublishingStore(app.config["DATABASE"], app.extensions["hub"])
    app.url_map.converters["room"] = RoomName
    app.register_blueprint(rest)
    add_logins(app)
    app.register_blueprint(board)
    app.register_blueprint(pages)
    app.register_error_handler(HTTPException, problem)
    return app


def hub() -> Hub:
    """Return the hub of the app that is serving this request."""
    return current_app.extensions["hub"]


@board.before_request
def let_in() -> None:
    """Reject an invalid handshake with 400 or 426, and an unauthorized user with 401 or 403."""
    check_handshake(request)
    cursor()
    g.login = admit(request.view_args["room"])


@sock.route("/board/<room:room>", bp=board)
def talk(ws: Server, room: str) -> None:
    """Serve one client until it disconnects. The heartbeat watches it from start to end."""
    connection = Connection(ws, g.login, room)
    heartbeat = current_app.extensions["heartbeat"]
    heartbeat.watch(connection)  # A replay and even a close frame can block.
    try:
        serve(ws, room=room, connection=connection)
    finally:
        heartbeat.forget(connection)


@guarded
def serve(ws: Server, room: str, connection: Connection) -> None:
    """Reply to the client's requests, and remove it from its room at the end."""
    try:
        # --8<-- [start:revoke-late] Expel `connection` if it must already end.
        expel([connection])
        # --8<-- [end:revoke-late]
        # --8<-- [start:author-socket] Call `converse()` with a Session of the user of `g.login`.
        converse(ws, connection, Session(store(), room, g.login.user))
        # --8<-- [end:author-socket]
    finally:
        hub().leave(room, connection)
        if connection.ending:
            close(ws, *connection.ending)


def converse(ws: Server, connection: Connection, session: Session) -> None:
    """Greet the client and reply to its requests. Raises ConnectionClosed when it disconnects."""
    if ws.subprotocol != SUBPROTOCOL:
        return close(ws, NOT_AGREED, f"This server speaks {SUBPROTOCOL}. Offer it.")
    ws.sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, True)  # Send small packets without delay.
    after = cursor()
    if after is None:
        hub().join(session.room, connection, session.welcome)
    else:
        resume(hub(), connection, session, after, current_app.config["REPLAY"])
    while True:
        connection.send(json.dumps(session.handle(receive(ws, connection))))


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
