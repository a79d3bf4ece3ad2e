"""The board's WebSocket: let clients in, serve them, and close those that break a rule."""

import json
from socket import IPPROTO_TCP, TCP_NODELAY

from flask import Blueprint, current_app, g, request
from flask_sock import Sock
from simple_websocket import ConnectionClosed, Server
from werkzeug.exceptions import ServiceUnavailable

from auth import admit, expel
from closing import close, guarded
from handshake import check_handshake
from hub import Connection, Hub
from limits import caps, rates
from protocol import SUBPROTOCOL, Session
from rest import store
from resume import cursor, resume
from writer import POLICY_VIOLATION, TRY_AGAIN_LATER, let_reads_wait

MAX_MESSAGE = 65_536  # bytes
MAX_REFUSED = 20  # consecutive requests that exceed the rate, before we close
MESSAGE_TOO_BIG = 1009  # a close code (RFC 6455, section 7.4.1)
NOT_AGREED = 4406  # a close code of our own (RFC 6455, section 7.4.2)
LOOK = 1.0  # seconds until a handler that waits for a message checks its connection

board = Blueprint("board", __name__)
sock = Sock()


def hub() -> Hub:
    """Return the hub of the app that is serving this request."""
    return current_app.extensions["hub"]


@board.before_request
def let_in() -> None:
    """Reject an invalid handshake with 400 or 426, and an unauthorized user with 401 or 403.

    Reject a connection above a limit with 429 or 503.
    """
    check_handshake(request)
    cursor()
    g.login = admit(request.view_args["room"])
    current_app.extensions["processes"].start()
    current_app.extensions["follower"].start()
    caps().enter(g.login.user, request.remote_addr)
    g.counted = True
    let_reads_wait(request.environ)


@board.teardown_request
def let_out(error: BaseException | None) -> None:
    """Stop counting a connection, however its request has ended."""
    if g.pop("counted", False):
        caps().leave(g.login.user, request.remote_addr)


@sock.route("/board/<room:room>", bp=board)
def talk(ws: Server, room: str) -> None:
    """Serve one client until it disconnects. The heartbeat watches it from start to end."""
    limits = current_app.config["QUEUE_BYTES"], current_app.config["QUEUE_FRAMES"]
    connection = Connection(ws, g.login, room, hub().writer, limits)
    heartbeat = current_app.extensions["heartbeat"]
    heartbeat.watch(connection)  # A replay and even a close frame can block.
    try:
        serve(ws, room=room, connection=connection)
    finally:
        heartbeat.forget(connection)
        connection.release()


@guarded
def serve(ws: Server, room: str, connection: Connection) -> None:
    """Reply to the client's requests, and remove it from its room at the end."""
    session = Session(store(), room, connection.author, rates())
    try:
        expel([connection])
        converse(ws, connection, session)
    except ServiceUnavailable as error:
        close(ws, TRY_AGAIN_LATER, f"retry-after={error.retry_after}")
    finally:
        hub().leave(room, connection)


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
    current_app.extensions["follower"].start()  # It may have failed after the handshake.
    while session.refused < MAX_REFUSED:
        connection.send(json.dumps(session.handle(receive(ws, connection))))
    close(ws, POLICY_VIOLATION, "Too many requests.")


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
            if isinstance(data, str) and len(data.encode()) > MAX_MESSAGE:
                close(ws, MESSAGE_TOO_BIG, "The message is too big.")
                raise ConnectionClosed(MESSAGE_TOO_BIG)
            return data
