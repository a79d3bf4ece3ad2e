"""Many clients that behave as lesson 10's `connection.js`, in one thread of the test.

Each one connects to one of the app's processes, and to the next one after each end of a connection.
"""

import asyncio
import itertools
import random
import ssl
import time
from collections.abc import Callable

from course.grading.expect import Unmet, expect
from course.grading.stage import Stage
from course.grading.twin import Twin
from course.grading.waiting import PATIENCE

ENOUGH = 40.0  # seconds for all of it
HURRY = 0.02  # of the longest delay: how long a client waits before it reconnects


class Swarm:
    """Clients of one room, who have `posts` to send in all.

    `urls` are those of the room's WebSocket in each process, and `users` the headers of each user.
    """

    def __init__(
        self, stage: Stage, urls: list[str], users: dict[str, dict[str, str]], posts: int
    ) -> None:
        self._stage, self._urls, self._users, self._count = stage, urls, users, posts
        rng = random.Random(stage.random.random())
        self._twins: dict[str, Twin] = {}
        self._outboxes: dict[str, list[str]] = {name: [] for name in users}
        for name in users:
            send = self._outboxes[name].append
            self._twins[name] = Twin(name, send, time.monotonic, lambda: HURRY * rng.random())
        self._texts = [stage.text() for _ in range(posts)]
        self._stopped = ""  # why a client won't reconnect
        self._ssl: ssl.SSLContext | None = None

    def trust(self, context: ssl.SSLContext) -> None:
        """Use this for `wss:` addresses."""
        self._ssl = context

    def run(self, halfway: Callable[[], None]) -> None:
        """Connect, then post everything. Call `halfway` when half of it has been acknowledged."""
        said = f"{len(self._users)} clients send {self._count} posts, and reconnect"
        self._stage.wire.happened("test", said)
        asyncio.run(self._run(halfway))

    async def _run(self, halfway: Callable[[], None]) -> None:
        pairs = zip(self._twins.items(), itertools.count(), strict=False)
        live = [asyncio.create_task(self._live(name, twin, n)) for (name, twin), n in pairs]
        end = time.monotonic() + ENOUGH * PATIENCE
        try:
            await self._until(lambda: all(t.cursor is not None for t in self._twins.values()), end)
            names = itertools.cycle(self._twins)
            for text in self._texts:
                name = next(names)
                self._twins[name].post(text)
            for name in self._twins:
                self._wake[name].set()
            await self._until(lambda: 2 * self._acked() >= self._count, end)
            await asyncio.to_thread(halfway)
            await self._until(self._done, end)
        finally:
            for task in live:
                task.cancel()
            await asyncio.gather(*live, return_exceptions=True)

    @property
    def _wake(self) -> dict[str, asyncio.Event]:
        if not hasattr(self, "_events"):
            self._events = {name: asyncio.Event() for name in self._users}
        return self._events

    async def _until(self, met: Callable[[], bool], end: float) -> None:
        while not met() and not self._stopped and time.monotonic() < end:
            await asyncio.sleep(0.01)

    def _acked(self) -> int:
        return sum(len(twin.acked) for twin in self._twins.values())

    def _done(self) -> bool:
        shown = (len(twin.shown) >= self._count for twin in self._twins.values())
        return self._acked() >= self._count and all(shown)

    async def _live(self, name: str, twin: Twin, number: int) -> None:
        from websockets.asyncio.client import connect
        from websockets.exceptions import ConnectionClosed, InvalidHandshake

        while not self._stopped:
            url = self._urls[number % len(self._urls)]
            number += 1
            code, reason = 1006, ""
            try:
                async with connect(
                    url if twin.cursor is None else f"{url}?after={twin.cursor}",
                    additional_headers=self._users[name],
                    subprotocols=["board.v1"],
                    compression=None,
                    ping_interval=None,
                    max_queue=None,
                    max_size=None,
                    proxy=None,
                    ssl=self._ssl,
                ) as connection:
                    await self._converse(name, twin, connection)
            except ConnectionClosed as closed:
                if closed.rcvd:
                    code, reason = closed.rcvd.code, closed.rcvd.reason
            except (OSError, EOFError, InvalidHandshake):
                pass
            wait = twin.closed(code, reason)
            if wait is None:
                self._stopped = f"{name} got close {code} {reason}, and stops"
            else:
                await asyncio.sleep(wait)

    async def _converse(self, name: str, twin: Twin, connection: object) -> None:
        outbox, wake = self._outboxes[name], self._wake[name]
        outbox.clear()  # What the last connection hasn't sent is sent again after the welcome.

        async def write() -> None:
            while True:
                await wake.wait()
                wake.clear()
                while outbox:
                    await connection.send(outbox.pop(0))

        writing = asyncio.create_task(write())
        try:
            while True:
                twin.receive(await connection.recv())
                if outbox:
                    wake.set()
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)

    def expect_all_shown(self) -> None:
        """Check that each client has shown each acknowledged message once, in order."""
        if self._stopped:
            raise Unmet("each client to reconnect", self._stopped)
        failed = [error for twin in self._twins.values() for error in twin.failed]
        expect(not failed, "an ack of each post", failed[:1])
        acked = sorted(number for twin in self._twins.values() for number in twin.acked)
        for name, twin in self._twins.items():
            problem = _problem(twin.shown, acked)
            met = not problem
            expect(met, f"{name} to show {len(acked)} acked messages, once, in order", problem)
        enough = len(acked) == self._count and len(set(acked)) == self._count
        expect(enough, f"{self._count} posts to be acknowledged", f"{len(set(acked))}")


def _problem(shown: list[int], acked: list[int]) -> str:
    """Return what is wrong with the messages that a client has shown, or ""."""
    before, seen = 0, set()
    for number in shown:
        if number in seen:
            return f"message {number} twice"
        if number < before:
            return f"message {number} after message {before}"
        before = number
        seen.add(number)
    missing = [number for number in acked if number not in seen]
    more = f", and {len(missing) - 1} others" if len(missing) > 1 else ""
    return f"no message {missing[0]}{more}" if missing else ""
