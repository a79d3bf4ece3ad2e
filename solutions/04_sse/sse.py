"""A room as a stream of server-sent events, in the HTML standard's format (section 9.2.5)."""

import re
from collections.abc import Iterator
from functools import partial
from json import dumps

from store import Store
from waiting import News

PAGE = 200  # the most messages to read from the store at once
LINE_END = re.compile("\r\n|\r|\n")  # the only line endings of an event stream


def event(data: str, event_id: int) -> str:
    """Return one event of the type `message`: lines of fields, then a blank line.

    `data` may be any text. The client receives it unchanged, but with "\\n" for each line ending.
    """
    # --8<-- [start:format] Return `event`, `id`, a `data` field for each line, and a blank line.
    lines = "".join(f"data: {line}\n" for line in LINE_END.split(data))
    return f"event: message\nid: {event_id}\n{lines}\n"
    # --8<-- [end:format]


def stream(
    store: Store, news: News, room: str, after: int, heartbeat: float, retry: int
) -> Iterator[str]:
    """Yield the room's messages after the cursor `after` as events, then each new one.

    `heartbeat` is in seconds, `retry` in milliseconds. The stream never ends by itself: Flask
    closes the generator after a send has failed because the client has disconnected.
    """
    # --8<-- [start:stream] Yield `retry`; then, in a loop, wait for messages and yield events.
    # The first block also sends the response's headers.
    yield f"retry: {retry}\n\n"
    while True:
        # One loop sends both stored and new messages, so none is lost or repeated in between.
        messages = news.wait(room, partial(store.list, room, after, PAGE), heartbeat)
        for message in messages:
            yield event(dumps(message), message["id"])
            after = message["id"]
        if not messages:
            yield ": heartbeat\n\n"
    # --8<-- [end:stream]
