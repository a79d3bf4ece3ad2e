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
    # TODO(refuse): Abort with 400 unless the whole `name` of `request.args` is a `NAME`.
    ...
    # END(refuse)


def guarded(handler: Callable[[Server], None]) -> Callable[[Server], None]:
    """Return the handler with an end for every case: it raises nothing, and leaves nothing open."""

    @wraps(handler)
    def serve(ws: Server) -> None:
        try:
            handler(ws)
        except ConnectionClosed:
            pass  # The client has gone, which is no fault.
        # TODO(crash): Catch what else `handler` raises: log it, and `close()` with 1011.
        ...
        # END(crash)
        hang_up(ws)

    return serve


# `route` returns None, so it has to be the outermost.
@sock.route("/echo")
@guarded
def echo(ws: Server) -> None:
    """Serve one connection, from its greeting to its end."""
    # TODO(greet): Greet the client by the `name` in `request.args`.
    ...
    # END(greet)
    # TODO(echo): Send the `reply()` to each message, with its number, as long as they come.
    ...
    # END(echo)


def send(ws: Server, data: str | bytes) -> None:
    """Send one message: str as text, bytes as bytes. Raises ConnectionClosed if nobody is there."""
    try:
        ws.send(data)
    except ConnectionClosed:
        raise  # The handler ends by it.
    # TODO(gone): Raise ConnectionClosed for the other two of `GONE` as well.
    ...
    # END(gone)


def close(ws: Server, code: int, reason: str) -> None:
    """Send a close frame (RFC 6455, section 5.5.1), if there is anybody left."""
    with suppress(*GONE):
        ws.close(code, reason)


def hang_up(ws: Server) -> None:
    """End the connection, and the library's thread that reads from it."""
    # TODO(gone-end): Close; give `ws.thread` `ANSWER` seconds to end; shut `ws.sock` down.
    ...
    # END(gone-end)
