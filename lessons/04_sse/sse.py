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
    # TODO(format): Return `event`, `id`, a `data` field for each line, and a blank line.
    ...
    # END(format)


def stream(
    store: Store, news: News, room: str, after: int, heartbeat: float, retry: int
) -> Iterator[str]:
    """Yield the room's messages after the cursor `after` as events, then each new one.

    `heartbeat` is in seconds, `retry` in milliseconds. The stream never ends by itself: Flask
    closes the generator after a send has failed because the client has disconnected.
    """
    # TODO(stream): Yield `retry`; then, in a loop, wait for messages and yield events.
    ...
    # END(stream)
