"""What the tests of lesson 6 do inside the app's process."""

import builtins
import gc
import socket

from flask import request
from simple_websocket import ConnectionClosed, Server
from werkzeug.exceptions import NotFound
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
HELD: list[str] = []  # The calls that wait, or have waited, for their client to disconnect.


def hold(method: str) -> None:
    """Make the next call to `ws.send` or `ws.close` find the client connected, but write after it
    has disconnected. Without help, this happens once in thousands of calls.
    """
    real = getattr(Server, method)

    def held(ws, *args, **options):
        if HELD:
            return real(ws, *args, **options)
        HELD.append(method)
        ws.thread.join(60)  # The library's thread ends when the client disconnects.
        try:
            ws.connected = True  # It was connected when the call began.
            return real(ws, *args, **options)
        finally:
            ws.connected = False

    setattr(Server, method, held)


def is_held() -> bool:
    """Return whether the call has begun."""
    return bool(HELD)


class Surprise(Exception):
    """An error that no list of errors contains."""


def break_mean(error: str, words: str, name: str) -> None:
    """Replace `mean` with a function of another name that raises an error with these words."""
    import replies

    kind = NotFound if error == "NotFound" else getattr(builtins, error, Surprise)

    def mean(numbers: list[str]) -> str:
        raise kind(words)

    mean.__code__ = mean.__code__.replace(co_name=name, co_filename=f"{name}.py")
    replies.mean = mean


def connections() -> int:
    """Return how many WebSockets the process still refers to."""
    gc.collect()
    return sum(type(thing) is Server for thing in gc.get_objects())


def end_handler() -> None:
    """Let `ws.receive` raise ConnectionClosed, so that handlers end before their clients do."""

    def receive(ws, *args, **options):
        raise ConnectionClosed(1006, "")

    Server.receive = receive


def raised_by_send(error: str) -> str:
    """Return the name of what `send()` raises when `ws.send()` raises an error, by its name."""
    import app

    import closing

    send = getattr(closing, "send", None) or getattr(app, "send", None)

    def fail(data: object) -> None:
        raise ERRORS[error]

    if send is None:
        return "ConnectionClosed"  # It is written in another way, which the other tests check.
    ours, theirs = socket.socketpair()
    context = app.create_app({}).test_request_context(
        "/echo?name=ada", headers=HANDSHAKE, environ_overrides={"werkzeug.socket": ours}
    )
    with ours, theirs, context:
        ws = Server.accept(request.environ)
        ws.send = fail
        try:
            send(ws, "hi")
        except ConnectionClosed:
            return "ConnectionClosed"
        except Exception as raised:
            return type(raised).__name__
    return "nothing"
