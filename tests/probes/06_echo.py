"""What the tests of lesson 6 do inside the app's process."""

import builtins

from simple_websocket import Server

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
