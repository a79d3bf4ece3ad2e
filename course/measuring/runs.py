"""Measure each transport with its own lesson's solution, all with the same rate of messages."""

import asyncio
import contextlib
import functools
import json
import math
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from course.measuring import readers
from course.measuring.readers import Meter, Reader
from course.setup import environment

SERVER = Path(__file__).parents[1] / "hosting.py"
ROOM = "measure"
CLIENTS = 20
WORDS = (
    "a about again all and answer any are as ask at be because been board but by can client "
    "come could day do each else even every find first for from get give go good had has have "
    "he her here how if in into is it know last less like look made make many may me message "
    "more most much must my never new next no not now of on one only open or other our out over "
    "page people reader room said same say see server she should so some still such take than "
    "that the their them then there these they thing think this time to too two up us very wait "
    "want was way we well went were what when where which while who why will with word work "
    "would write yes yet you your"
)


class Unmeasured(Exception):
    """A transport couldn't be measured. Its text says why."""


@dataclass(frozen=True)
class Transport:
    """A way to receive messages. Counting starts after `settle` seconds of traffic."""

    name: str
    slug: str  # the lesson whose solution serves it
    read: Reader
    settle: float  # seconds


def polling(interval: float) -> Transport:
    """Return the transport that polls every `interval` seconds."""
    return Transport(
        f"polling, {interval:g} s",
        "02_polling",
        functools.partial(readers.poll, interval=interval),
        settle=interval,
    )


PUSHED = [
    Transport("long polling", "03_long_polling", readers.long_poll, settle=0.3),
    Transport("SSE", "04_sse", readers.events, settle=0.3),
    Transport("WebSocket", "08_broadcast", readers.websocket, settle=0.3),
]
TRANSPORTS = [*map(polling, (0.2, 1.0, 5.0)), *PUSHED]
# If messages are rare, polling every 30 s is worth measuring, and every 0.2 s isn't.
SELDOM = [*map(polling, (1.0, 5.0, 30.0)), *PUSHED]


@dataclass(frozen=True)
class Plan:
    """How long to measure. `seconds` is the counted part of a run."""

    runs: int
    seconds: float
    gap: float = 1.0  # seconds between two messages, on average

    @property
    def transports(self) -> list[Transport]:
        """The transports to measure at this rate of messages."""
        return TRANSPORTS if self.gap < 30 else SELDOM

    def expected(self) -> float:
        """Return the approximate duration of all runs in seconds."""
        return sum(self.runs * (t.settle + self.seconds + 0.7) for t in self.transports)


WHOLE = Plan(runs=3, seconds=12.0)
QUICK = Plan(runs=1, seconds=2.0)


def every(gap: float) -> Plan:
    """Return the plan that measures one message every `gap` seconds: one run of two messages."""
    return Plan(runs=1, seconds=2 * gap, gap=gap)


@dataclass(frozen=True)
class Run:
    """The counts of one run, summed over all clients. Times are in seconds."""

    messages: int  # that were posted
    requests: int
    sent: int  # bytes, by the clients
    received: int  # bytes, by the clients
    ages: list[float]
    cpu: float  # of the server
    memory: int  # bytes, of the server


@dataclass(frozen=True)
class Result:
    """A transport's row in the table. A message counts once for each client that received it."""

    transport: Transport
    runs: list[Run]

    @property
    def deliveries(self) -> int:
        """The number of deliveries: messages times clients that received them."""
        return sum(len(run.ages) for run in self.runs)

    @property
    def requests_a_message(self) -> float:
        """Requests for each message that reached a client."""
        return sum(run.requests for run in self.runs) / self.deliveries

    @property
    def bytes_a_message(self) -> float:
        """Bytes both ways, of HTTP or WebSocket, for each message that reached a client."""
        return sum(run.sent + run.received for run in self.runs) / self.deliveries

    @property
    def ages(self) -> tuple[float, float]:
        """The median and the 99th percentile of a message's age when it was seen, in seconds."""
        ages = sorted(age for run in self.runs for age in run.ages)
        return statistics.median(ages), ages[min(len(ages) - 1, int(0.99 * len(ages)))]

    @property
    def cpu(self) -> float:
        """CPU seconds of the server in one run: the median."""
        return statistics.median(run.cpu for run in self.runs)

    @property
    def memory(self) -> float:
        """Bytes of the server's memory: the median."""
        return statistics.median(run.memory for run in self.runs)


def measure(root: Path, plan: Plan, on_run: Callable[[Transport, float], None]) -> list[Result]:
    """Measure all transports. `on_run` is told of each run before it, with its expected seconds.

    Raises Unmeasured where a solution is missing, or where one cannot be reached.
    """
    for transport in plan.transports:
        if not (root / "solutions" / transport.slug).is_dir():
            raise Unmeasured(
                f"solutions/{transport.slug} is not there, so nothing can be measured."
            )
    found: dict[str, list[Run]] = {transport.name: [] for transport in plan.transports}
    for number in range(plan.runs):  # In turns, so that a busy minute of the machine hits them all.
        for transport in plan.transports:
            on_run(transport, transport.settle + plan.seconds)
            folder = root / "solutions" / transport.slug
            found[transport.name].append(_one_run(folder, transport, plan, seed=number))
    return [Result(transport, found[transport.name]) for transport in plan.transports]


def _one_run(folder: Path, transport: Transport, plan: Plan, seed: int) -> Run:
    with tempfile.TemporaryDirectory(prefix="course-", ignore_cleanup_errors=True) as scratch:
        command = [sys.executable, str(SERVER), str(folder), scratch]
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=scratch,
            env=environment.for_program(),
            text=True,
        ) as server:
            try:
                said = json.loads(server.stdout.readline() or "{}")
                if said.get("event") != "ready":
                    why = said.get("sentence", "")
                    raise Unmeasured(f"solutions/{transport.slug} did not start. {why}".strip())
                process = psutil.Process(server.pid)
                return asyncio.run(_counted(said["port"], process, transport, plan, seed))
            except OSError as error:
                raise Unmeasured(f"{transport.name} could not be measured: {error}") from None
            finally:
                server.kill()


async def _counted(
    port: int, process: psutil.Process, transport: Transport, plan: Plan, seed: int
) -> Run:
    """Read with all clients while messages are posted; count after `settle` seconds."""
    meter, chance = Meter(), random.Random(seed)
    reading = [
        asyncio.create_task(transport.read(port, ROOM, meter, number / CLIENTS))
        for number in range(CLIENTS)
    ]
    # One message at a random moment of each gap, from the warm-up to the end.
    early, counted = math.ceil(transport.settle / plan.gap), round(plan.seconds / plan.gap)
    moments = [(slot + chance.random()) * plan.gap for slot in range(-early, counted)]
    zero = time.monotonic() + transport.settle
    try:
        await _post_at([m for m in moments if -transport.settle < m < 0], 0, zero, port, chance)
        before = _cpu(process)
        meter.running = True
        await _post_at([m for m in moments if m >= 0], plan.seconds, zero, port, chance)
        meter.running = False
        cpu, memory = _cpu(process) - before, process.memory_info().rss
        for task in reading:
            if task.done():
                task.result()
                raise Unmeasured(f"The server ended a client's {transport.name} connection.")
    finally:
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)
    if not meter.ages:
        raise Unmeasured(f"No message arrived by {transport.name}.")
    return Run(counted, meter.requests, meter.sent, meter.received, meter.ages, cpu, memory)


async def _post_at(
    moments: list[float], end: float, zero: float, port: int, chance: random.Random
) -> None:
    """Post a message at each of these moments, and return at `end`, in seconds after `zero`."""
    for moment in moments:
        await asyncio.sleep(max(0.0, zero + moment - time.monotonic()))
        # Random words: the same text each time would compress to almost nothing.
        await readers.post(port, ROOM, " ".join(chance.choices(WORDS.split(), k=16)))
    await asyncio.sleep(max(0.0, zero + end - time.monotonic()))


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def machine() -> str:
    """Return a line that describes this machine."""
    memory = psutil.virtual_memory().total / 2**30
    cores, python = f"{psutil.cpu_count()} {_processor()} cores", platform.python_version()
    return f"{platform.system()}, {cores}, {memory:.0f} GiB of memory, Python {python}"


def _processor() -> str:
    """Return the processor's name, from /proc/cpuinfo if it exists."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if "model name" in line)
    return platform.processor() or platform.machine()
