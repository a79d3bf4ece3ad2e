"""A Redis of a test's own: a private server, which a test can stop and start again.

It listens on a Unix socket only, in the test's folder, and asks for a password. The app's user may
use the keys of one prefix. Tests look at the data as another user, who may do everything.
"""

import contextlib
import os
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING

from course.grading.expect import Unmet
from course.grading.stage import Stage
from course.grading.tether import Tethered
from course.grading.waiting import PATIENCE, SECONDS

if TYPE_CHECKING:
    import redis

PREFIX = "{board}:"
# Nothing that was acknowledged is lost if Redis is killed, and nothing is dropped if it is full.
SETTINGS = {
    "port": "0",
    "unixsocketperm": "777",  # The app may be another user's process.
    "save": "",
    "appendonly": "yes",
    "appendfsync": "no",  # The file is written before each reply. The machine won't fail.
    "maxmemory-policy": "noeviction",
    "daemonize": "no",
}
# The app's user may not administer the server, or stop it.
RULES = f"~{PREFIX}* &* +@all -@admin -@dangerous +info +keys"


class Redis:
    """A server of Redis or Valkey. `stage.use(Redis(stage))` starts it, and ends with the test."""

    def __init__(self, stage: Stage, **settings: str) -> None:
        self.stage = stage
        self._program = stage.need("redis")
        self._settings = {name.replace("_", "-"): value for name, value in settings.items()}
        self._folder = Path(stage.scratch, f"redis-{secrets.token_hex(4)}")
        self._folder.mkdir(mode=0o755)
        self._socket = Path(self._folder, "s")
        self.password = secrets.token_hex(16)
        self._write_configuration()
        self._process: Tethered | None = None
        self._client: redis.Redis | None = None

    def _write_configuration(self) -> None:
        """Write the password to a file, since every user sees a program's arguments."""
        settings = {**SETTINGS, "dir": self._folder, "unixsocket": self._socket, **self._settings}
        lines = [f'{name} "{value}"' for name, value in settings.items()]
        lines.append(f"user app on >{self.password} {RULES}")
        lines.append(f"user default on >{self.password} ~* &* +@all")
        path = Path(self._folder, "redis.conf")
        path.touch(mode=0o600)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")

    @property
    def url(self) -> str:
        """The address for the app, with its password."""
        return f"unix://app:{self.password}@{self._socket}?db=0"

    @property
    def client(self) -> "redis.Redis":
        """A client that may do everything."""
        import redis  # Here, since only the tests of a few lessons need it.

        if self._client is None:
            path, password = str(self._socket), self.password
            self._client = redis.Redis(
                unix_socket_path=path, password=password, decode_responses=True
            )
        return self._client

    def start(self) -> None:
        """Start the server, on the data that it had when it was stopped."""
        with open(Path(self._folder, "said"), "ab") as log:
            command = [self._program, Path(self._folder, "redis.conf")]
            self._process = Tethered(command, log, cwd=self._folder)
        give_up = time.monotonic() + 2 * SECONDS * PATIENCE
        while not self._responds():
            if self._process.ended() or time.monotonic() > give_up:
                said = Path(self._folder, "said").read_text(errors="replace").strip()
                raise Unmet("Redis to start", said.rpartition("\n")[2] or "it ended")
            time.sleep(0.005)

    def _responds(self) -> bool:
        import redis

        with contextlib.suppress(redis.RedisError):
            return self._socket.exists() and bool(self.client.ping())
        return False

    def stop(self) -> None:
        """End the server at once, as `kill -9` does."""
        if self._process is not None:
            self._process.kill()
            self._process = None
            with contextlib.suppress(OSError):
                os.unlink(self._socket)  # A killed server leaves it.
            self.stage.wire.happened("Redis", "stopped")

    def pause(self) -> None:
        """Let the server respond to nothing, and keep its connections."""
        self._process.process.suspend()
        self.stage.wire.happened("Redis", "doesn't respond")

    def resume(self) -> None:
        """Let a paused server go on."""
        self._process.process.resume()
        self.stage.wire.happened("Redis", "responds again")

    def restart(self) -> None:
        """Start it again."""
        self.start()
        self.stage.wire.happened("Redis", "started")

    def __enter__(self) -> "Redis":
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        if self._client is not None:
            self._client.close()
        if self._process is not None:
            self._process.kill()
