"""Connect to Redis. While it doesn't respond or is full, requests that need it fail with 503."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from redis import Redis
from redis.backoff import NoBackoff
from redis.client import Pipeline
from redis.exceptions import ConnectionError, OutOfMemoryError, ReadOnlyError, TimeoutError
from redis.retry import Retry
from werkzeug.exceptions import ServiceUnavailable

PREFIX = "{board}:"  # of all keys. A cluster keeps keys with one {tag} in one place.
TIMEOUT = 2.0  # seconds until a call to a Redis that doesn't respond fails
RETRY_AFTER = 1  # seconds after which a client may try again
FAILURES = (ConnectionError, TimeoutError, OutOfMemoryError, ReadOnlyError)
BLOCK = 1.0  # seconds that a read waits for a new entry, less than TIMEOUT
BATCH = 100  # entries that are read at once


@contextmanager
def failing_with_503() -> Iterator[None]:
    """Raise ServiceUnavailable if Redis can't be reached, or can't store anything."""
    try:
        yield
    except FAILURES as error:
        says = "The database is unavailable. Try again."
        raise ServiceUnavailable(says, retry_after=RETRY_AFTER) from error


class Database(Redis):
    """A client of Redis for many threads. Calls raise ServiceUnavailable, not redis-py's errors."""

    def execute_command(self, *words: object, **options: object) -> object:
        """Send a command, and return the reply."""
        with failing_with_503():
            return super().execute_command(*words, **options)

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> "Batch":
        """Return commands that are sent together when you call `execute()`."""
        return Batch(self.connection_pool, self.response_callbacks, transaction, shard_hint)

    def script(self, name: str) -> Callable:
        """Return the script of the file lua/NAME.lua, as a function of `keys` and `args`.

        Redis runs a script as a whole, and no other command meanwhile.
        """
        return self.register_script(Path(__file__).with_name("lua").joinpath(name).read_text())


class Batch(Pipeline):
    """Commands that are sent together."""

    def execute(self, raise_on_error: bool = True) -> list:
        """Send the commands, and return the replies."""
        with failing_with_503():
            return super().execute(raise_on_error)


def connect(url: str) -> Database:
    """Return a client, which connects when it is first used."""
    options = {"decode_responses": True}
    # --8<-- [start:down-connect] Set both timeouts, and a `retry` that sends each command once.
    options |= {"socket_timeout": TIMEOUT, "socket_connect_timeout": TIMEOUT}
    options["retry"] = Retry(NoBackoff(), 0)
    # --8<-- [end:down-connect]
    return Database.from_url(url, **options)


def key(*parts: str) -> str:
    """Return the key of something of the board's."""
    return PREFIX + ":".join(parts)


class Stream:
    """The board's stream: the messages of all rooms, and other news for all processes, in order.

    Message 7 is the entry 7-0, with the fields of a message. News after it are 7-1, 7-2 and so on.
    """

    def __init__(self, database: Database, keep: int) -> None:
        self._database, self.keep = database, keep  # `keep` is how many entries aren't removed.
        self._append = database.script("append.lua")

    def append(self, news: dict[str, str], *command: str) -> None:
        """Run a command of Redis, whose second word is its key, and append the news after it."""
        keys = [key("id"), key("news"), key("stream"), command[1]]
        pairs = [word for pair in news.items() for word in pair]
        self._append(keys, [self.keep, len(command), *command, *pairs])

    def newest(self) -> str:
        """Return the id of the newest entry."""
        entries = self._database.xrevrange(key("stream"), count=1)
        return entries[0][0] if entries else "0-0"

    def after(self, position: str) -> list[tuple[str, dict[str, str]]]:
        """Return the entries after this one. If there are none yet, wait for some, or for BLOCK."""
        found = []
        # --8<-- [start:follow-read] Call `xread()`: at most BATCH entries, up to BLOCK seconds.
        streams = {key("stream"): position}
        found = self._database.xread(streams, count=BATCH, block=int(BLOCK * 1000))
        # --8<-- [end:follow-read]
        return found[0][1] if found else []
