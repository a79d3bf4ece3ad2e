"""What the tests of lesson 6 do inside the app's process."""

import builtins
import socket

from flask import request
from simple_websocket import ConnectionClosed, Server
from wsproto.utilities import LocalProtocolError

HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
ERRORS = {
    "ConnectionClosed": ConnectionClosed(1006, ""),
    "LocalProtocolError": LocalProtocolError("closed"),
    "BrokenPipeError": BrokenPipeError(32, "Broken pipe"),
    "ConnectionResetError": ConnectionResetError(104, "Connection reset by peer"),
    "TimeoutError": TimeoutError("timed out"),
    "OSError": OSError(9, "Bad file descriptor"),
}
HELD: list[str] = []  # The calls that wait, or have waited, for their client to go.


def hold(method: str) -> None:
    """Have the next call of `ws.send` or `ws.close` look whether the client is there, and write
    when it has gone: a moment that in life comes once in a thousand times.
    """
    real = getattr(Server, method)

    def held(ws, *args, **options):
        if HELD:
            return real(ws, *args, **options)
        HELD.append(method)
        ws.thread.join(60)  # The library's thread, which ends when the client has gone.
        try:
            ws.connected = True  # It was, when the call began.
            return real(ws, *args, **options)
        finally:
            ws.connected = False

    setattr(Server, method, held)


def is_held() -> bool:
    """Return whether the call has begun."""
    return bool(HELD)


class Surprise(Exception):
    """What no list of errors has."""


def break_mean(error: str, words: str) -> None:
    """Give `mean` another bug: it raises an error, by its name, that says these words."""
    import replies

    kind = getattr(builtins, error, Surprise)

    def mean(numbers: list[str]) -> str:
        raise kind(words)

    replies.mean = mean


def end_handler() -> None:
    """Have `ws.receive` raise ConnectionClosed, so that handlers end while the client is there."""

    def receive(ws, *args, **options):
        raise ConnectionClosed(1006, "")

    Server.receive = receive


def raised_by_send(error: str) -> str:
    """Return the name of what `send()` raises when `ws.send()` raises an error, by its name."""
    import app

    def fail(data: object) -> None:
        raise ERRORS[error]

    if not hasattr(app, "send"):
        return "ConnectionClosed"  # It is written in another way, which the other tests judge.
    ours, theirs = socket.socketpair()
    context = app.create_app({}).test_request_context(
        "/echo?name=ada", headers=HANDSHAKE, environ_overrides={"werkzeug.socket": ours}
    )
    with ours, theirs, context:
        ws = Server.accept(request.environ)
        ws.send = fail
        try:
            app.send(ws, "hi")
        except ConnectionClosed:
            return "ConnectionClosed"
        except Exception as raised:
            return type(raised).__name__
    return "nothing"
