"""End every WebSocket connection with a close code, and release everything that it used."""

from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from socket import SHUT_RDWR

from flask import current_app, request
from simple_websocket import ConnectionClosed, Server
from wsproto.utilities import LocalProtocolError

ANSWER = 1.0  # seconds that a client has to answer our close frame
# What `ws` raises when the client has disconnected: the first if the library knew it before the
# call, the other two if it finds out while it writes.
GONE = (ConnectionClosed, LocalProtocolError, OSError)


def guarded(handler: Callable[..., None]) -> Callable[..., None]:
    """Return a handler that raises nothing, and always ends its connection."""

    @wraps(handler)
    def serve(ws: Server, **variables: str) -> None:
        try:
            handler(ws, **variables)
        except ConnectionClosed:
            pass  # The client has disconnected. That isn't an error.
        except Exception:
            current_app.logger.exception("The handler of %s failed.", request.path)
            close(ws, 1011, "the server failed")
        hang_up(ws)

    return serve


def send(ws: Server, data: str | bytes) -> None:
    """Send one message, str as text and bytes as bytes.

    Raises ConnectionClosed if the client has disconnected.
    """
    try:
        ws.send(data)
    except ConnectionClosed:
        raise  # This ends the handler.
    except GONE as error:
        raise ConnectionClosed(ws.close_reason, ws.close_message) from error


def close(ws: Server, code: int, reason: str) -> None:
    """Send a close frame (RFC 6455, section 5.5.1), unless the client has disconnected."""
    with suppress(*GONE):
        ws.close(code, reason)


def hang_up(ws: Server) -> None:
    """End the connection, and the library's thread that reads from it."""
    close(ws, 1000, "")
    ws.thread.join(ANSWER)  # The thread ends when the client answers the close frame.
    with suppress(OSError):
        ws.sock.shutdown(SHUT_RDWR)
