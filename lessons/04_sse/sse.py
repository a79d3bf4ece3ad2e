"""A room as a stream of events, in the format of the HTML standard (section 9.2.5)."""

import re
from collections.abc import Iterator
from functools import partial
from json import dumps

from store import Store
from waiting import News

PAGE = 200  # messages, the most that are read from the store at once
LINE_END = re.compile("\r\n|\r|\n")  # what ends a line of a stream, and nothing else does


def event(data: str, event_id: int) -> str:
    """Return one event of the type `message`: a block of lines, ended by a blank one.

    `data` may be any text. A reader gets it back as it was, but with "\\n" for each line end.
    """
    # TODO(format): Return `event`, `id`, a `data` for each line, and a blank line.
    ...
    # END(format)


def stream(
    store: Store, news: News, room: str, after: int, heartbeat: float, retry: int
) -> Iterator[str]:
    """Yield the room's messages after the cursor `after` as events, then each new one as it comes.

    `heartbeat` is in seconds, `retry` in milliseconds. It never ends by itself: the server closes
    it when it cannot send to the reader any more, which it finds out only by sending.
    """
    # TODO(stream): Yield `retry`; for ever, wait for messages and yield them as events.
    ...
    # END(stream)
