"""What the tests of lesson 6 do inside the app's process."""

import builtins

from simple_websocket import ConnectionClosed, Server
from wsproto.utilities import LocalProtocolError

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


def break_mean(error: str) -> None:
    """Give `mean` another bug: it raises a built-in error, by its name."""
    import replies

    def mean(words: list[str]) -> str:
        raise getattr(builtins, error)("mean is broken")

    replies.mean = mean


def raised_by_send(error: str) -> str:
    """Return the name of what `send()` raises when `ws.send()` raises an error, by its name."""
    import app

    class Gone:
        """A connection whose client has gone."""

        close_reason, close_message = 1006, ""

        def send(self, data: object) -> None:
            raise ERRORS[error]

    if not hasattr(app, "send"):
        return "ConnectionClosed"  # It is written in another way, which the other tests judge.
    try:
        app.send(Gone(), "hi")
    except Exception as raised:
        return type(raised).__name__
    return "nothing"


ERRORS = {
    "ConnectionClosed": ConnectionClosed(1006, ""),
    "OSError": BrokenPipeError(32, "Broken pipe"),
    "LocalProtocolError": LocalProtocolError("closed"),
}
