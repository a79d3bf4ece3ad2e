"""An echo over a WebSocket: each connection is greeted, served, and closed with a code."""

import re
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from socket import SHUT_RDWR

from flask import Flask, abort, current_app, request
from flask_sock import Sock
from simple_websocket import ConnectionClosed, Server
from wsproto.utilities import LocalProtocolError

from replies import reply

NAME = "[a-z0-9-]{1,32}"
ANSWER = 1.0  # seconds that a client has to answer our close
# How `ws` says that the client has gone: by the first if it knew before the call, by the others
# if it finds out while it sends.
GONE = (ConnectionClosed, LocalProtocolError, OSError)

sock = Sock()


def create_app(config: dict | None = None) -> Flask:
    """Return the echo as a Flask app.

    `config["IDLE"]` is how long a client may say nothing, in seconds.
    """
    app = Flask(__name__)
    app.config.from_mapping(IDLE=60.0)
    app.config.from_mapping(config)
    app.before_request(refuse)
    sock.init_app(app)
    return app


def refuse() -> None:
    """Answer 400 to a request without a good name. It runs before there is a WebSocket."""
    # --8<-- [start:refuse] Abort with 400 unless the whole `name` of `request.args` is a `NAME`.
    if not re.fullmatch(NAME, request.args.get("name", "")):
        abort(400, f"name must match {NAME}.")
    # --8<-- [end:refuse]


def guarded(handler: Callable[[Server], None]) -> Callable[[Server], None]:
    """Return the handler with an end for every case: it raises nothing, and leaves nothing open."""

    @wraps(handler)
    def serve(ws: Server) -> None:
        # --8<-- [start:crash-try]
        try:
            handler(ws)
        except ConnectionClosed:
            pass  # The client has gone, which is no fault.
        # --8<-- [end:crash-try]
        # --8<-- [start:crash] Catch what else `handler` raises: log it, and `close()` with 1011.
        except Exception:
            current_app.logger.exception("The handler of %s failed.", request.path)
            close(ws, 1011, "our fault")
        # --8<-- [end:crash]
        hang_up(ws)

    return serve


# `route` returns None, so it has to be the outermost.
@sock.route("/echo")
@guarded
def echo(ws: Server) -> None:
    """Serve one connection, from its greeting to its end."""
    # --8<-- [start:greet] Greet the client by the `name` in `request.args`.
    send(ws, f"hello, {request.args['name']}")
    # --8<-- [end:greet]
    # --8<-- [start:echo] Send the `reply()` to each message, with its number, as long as they come.
    number = 0
    while True:
        data = ws.receive(timeout=current_app.config["IDLE"])
        if data is None:  # An empty message is none of these.
            return close(ws, 4408, "idle")
        if data == "bye":
            return close(ws, 1000, "bye")
        number += 1
        send(ws, reply(data, number))
    # --8<-- [end:echo]


def send(ws: Server, data: str | bytes) -> None:
    """Send one message: str as text, bytes as bytes. Raises ConnectionClosed if nobody is there."""
    # --8<-- [start:gone-send]
    try:
        ws.send(data)
    except ConnectionClosed:
        raise  # The handler ends by it.
    # --8<-- [end:gone-send]
    # --8<-- [start:gone] Raise ConnectionClosed for the other two of `GONE` as well.
    except GONE as error:
        raise ConnectionClosed(ws.close_reason, ws.close_message) from error
    # --8<-- [end:gone]


def close(ws: Server, code: int, reason: str) -> None:
    """Send a close frame (RFC 6455, section 5.5.1), if there is anybody left."""
    # --8<-- [start:bye-close]
    with suppress(*GONE):
        ws.close(code, reason)
    # --8<-- [end:bye-close]


def hang_up(ws: Server) -> None:
    """End the connection, and the library's thread that reads from it."""
    # --8<-- [start:gone-end] Close; give `ws.thread` `ANSWER` seconds to end; shut `ws.sock` down.
    close(ws, 1000, "")
    ws.thread.join(ANSWER)  # It ends when the client answers the close.
    with suppress(OSError):
        ws.sock.shutdown(SHUT_RDWR)
    # --8<-- [end:gone-end]
