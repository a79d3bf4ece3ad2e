"""A text editor for several people: each room has one document."""

import itertools
import json
import unicodedata
from socket import IPPROTO_TCP, TCP_NODELAY

from flask import Blueprint, Flask, abort, current_app, request
from flask_sock import Sock
from simple_websocket import Server
from werkzeug.exceptions import HTTPException

from closing import close, guarded
from document import Documents
from handshake import check_handshake
from heartbeat import Heartbeat
from hub import Connection, Hub
from inputs import MAX_BODY, RoomName, problem
from pages import pages
from protocol import SUBPROTOCOL, Session
from resume import cursor, resume
from store import Store

MAX_AUTHOR = 32  # characters
MAX_MESSAGE = 65_536  # bytes, or characters of a text: the library closes with 1009 above this
NOT_AGREED = 4406  # a close code of our own (RFC 6455, section 7.4.2)
LOOK = 1.0  # seconds until a handler that waits for a message checks its connection

editor = Blueprint("editor", __name__)
sock = Sock()


def create_app(config: dict | None = None) -> Flask:
    """Return the editor as a Flask app.

    In `config`, DATABASE is the path of the SQLite file, HEARTBEAT the seconds between two pings of
    a client, and LOG, at least 1, the number of edits that a client can have missed.
    """
    app = Flask(__name__)
    options = {"subprotocols": [SUBPROTOCOL], "max_message_size": MAX_MESSAGE}
    app.config.from_mapping(SOCK_SERVER_OPTIONS=options)
    app.config.from_mapping(DATABASE="documents.sqlite3", MAX_CONTENT_LENGTH=MAX_BODY)
    app.config.from_mapping(HEARTBEAT=25.0, LOG=500)
    app.config.from_mapping(config)
    app.extensions["hub"] = Hub()
    app.extensions["heartbeat"] = Heartbeat(app.config["HEARTBEAT"])
    app.extensions["documents"] = Documents(Store(app.config["DATABASE"]), app.config["LOG"])
    app.extensions["clients"] = itertools.count(1)
    app.url_map.converters["room"] = RoomName
    app.register_blueprint(editor)
    app.register_blueprint(pages)
    app.register_error_handler(HTTPException, problem)
    return app


def hub() -> Hub:
    """Return the hub of the app that is serving this request."""
    return current_app.extensions["hub"]


@editor.before_request
def let_in() -> None:
    """Reject an invalid handshake, `author` or `revision` with 400 or 426."""
    check_handshake(request)
    cursor()
    author = request.args.get("author", "")
    control = any(unicodedata.category(character) == "Cc" for character in author)
    if not author.strip() or len(author) > MAX_AUTHOR or control:
        abort(400, f"author must have 1 to {MAX_AUTHOR} characters, and no control characters.")


@sock.route("/documents/<room:room>", bp=editor)
def talk(ws: Server, room: str) -> None:
    """Serve one client until it disconnects. The heartbeat watches it from start to end."""
    connection = Connection(ws, request.args["author"])
    heartbeat = current_app.extensions["heartbeat"]
    heartbeat.watch(connection)  # A replay and even a close frame can block.
    try:
        serve(ws, room=room, connection=connection)
    finally:
        heartbeat.forget(connection)


@guarded
def serve(ws: Server, room: str, connection: Connection) -> None:
    """Reply to the client's requests, and remove it from its room at the end."""
    with hub().turn:
        document = current_app.extensions["documents"].get(room)
        client = next(current_app.extensions["clients"])
    try:
        converse(ws, connection, Session(hub(), document, room, connection, client))
    finally:
        hub().leave(room, connection)
        hub().publish(room, {"type": "left", "client": client})


def converse(ws: Server, connection: Connection, session: Session) -> None:
    """Greet the client and reply to its requests. Raises ConnectionClosed when it disconnects."""
    if ws.subprotocol != SUBPROTOCOL:
        return close(ws, NOT_AGREED, f"This server speaks {SUBPROTOCOL}. Offer it.")
    ws.sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, True)  # Send small packets without delay.
    resume(hub(), connection, session, cursor())
    while True:
        data = receive(ws)
        with session.hub.turn:  # No other edit may be published before the reply.
            reply = session.handle(data)
            if reply is not None:
                connection.send(json.dumps(reply))


def receive(ws: Server) -> str | bytes:
    """Return the client's next message. Raises ConnectionClosed when the connection is closed.

    If the library closes because of `MAX_MESSAGE`, a `ws.receive()` without a timeout may never
    return.
    """
    while True:
        data = ws.receive(timeout=LOOK)
        if data is not None:
            return data
