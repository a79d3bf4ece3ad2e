"""An echo server: it greets each client, sends its messages back, and closes with a code."""

import re

from flask import Flask, abort, current_app, request
from flask_sock import Sock
from simple_websocket import Server

from closing import close, guarded, send
from replies import reply

NAME = "[a-z0-9-]{1,32}"
MAX_MESSAGE = 65_536  # bytes, or characters of a text: the library closes with 1009 above this

sock = Sock()


def create_app(config: dict | None = None) -> Flask:
    """Return the echo server as a Flask app.

    `config["IDLE"]` is how long a client may send nothing, in seconds.
    """
    app = Flask(__name__)
    app.config.from_mapping(SOCK_SERVER_OPTIONS={"max_message_size": MAX_MESSAGE})
    app.config.from_mapping(IDLE=60.0)
    app.config.from_mapping(config)
    app.before_request(refuse)
    sock.init_app(app)
    return app


def refuse() -> None:
    """Reject a request without a valid name with 400, before the WebSocket handshake."""
    # TODO(refuse): Abort with 400 unless the whole `name` in `request.args` matches `NAME`.
    ...
    # END(refuse)


# `sock.route` returns None, so it must be the outermost decorator.
@sock.route("/echo")
@guarded
def echo(ws: Server) -> None:
    """Serve one connection, from the greeting to the close."""
    # TODO(greet): Send `hello, NAME`, with the `name` in `request.args`.
    ...
    # END(greet)
    # TODO(echo): Send `reply(data, number)` for each message, until the client disconnects.
    ...
    # END(echo)
