"""The lesson's app, in a process of its own that is replaced at each save."""

import asyncio
import codecs
import contextlib
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path

import psutil

from course.lesson import needs
from course.setup import environment

CHILD = Path(__file__).parents[1] / "hosting.py"
APPS = ("app.py", "server.py")  # A folder must have one of them; hosting.py serves it.
START = 60.0  # seconds for an app to start, on a machine that is busy
END = 2.0  # seconds for an app to end after SIGTERM, before it is killed
LOOK = 0.05  # seconds between two looks at whether it has ended
LINE = 2**22  # bytes, the longest line that the child may report
LONGEST = 65536  # characters of an app's output in one entry, at most

Tell = Callable[[str, dict], None]


class App:
    """The app of a folder. It calls `tell` for each change: `tell("ready", {...})`.

    `needs` are those of its lesson. It gets a Redis of its own if it needs one.

    `state` is starting, ready, broken or ended. While it is broken, `sentence` says why, and no
    older version of the app runs in its place.
    """

    def __init__(self, folder: Path, tell: Tell, needs: tuple[str, ...] = ()) -> None:
        self.folder, self._tell, self._needs = folder, tell, needs
        self.origin = ""  # of the app's own pages, as the browser sees it
        self.state, self.sentence, self.trace = "starting", "", ""
        self.port, self.routes, self.settings = 0, [], {}
        self._starts = 0
        self._process: asyncio.subprocess.Process | None = None
        self._tasks: set[asyncio.Task] = set()
        self._decided = asyncio.Event()
        self._turn = asyncio.Lock()
        # The database is here, so that every session begins with an empty board.
        self._scratch = tempfile.TemporaryDirectory("", "course-run-", ignore_cleanup_errors=True)

    def facts(self) -> dict:
        """Return what the page shows of the app."""
        facts = {"state": self.state, "sentence": self.sentence, "trace": self.trace}
        return facts | {"starts": self._starts}

    async def restart(self) -> None:
        """End the running process, if any, and start one with the current code."""
        async with self._turn:
            self._decided.clear()
            self._starts += 1
            self._become("starting")
            await self._end()
            ours = {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}
            if "redis" in self._needs:
                redis = needs.find("redis")
                if not redis.where:
                    self.sentence = f"The app needs Redis. {redis.advice}"
                    self._become("broken")
                    return
                ours["REDIS_SERVER"] = redis.where
            origin = [self.origin] if self.origin else []
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, str(CHILD), str(self.folder), self._scratch.name, *origin),
                env=environment.for_program(**ours),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                limit=LINE,
                start_new_session=True,  # A group of its own, which can be ended as a whole.
            )
            self._spawn(self._follow(self._process))
            self._spawn(self._pass_on(self._process))

    async def ready(self) -> bool:
        """Wait until the app has started or failed, and return whether it runs."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._decided.wait(), START)
        return self.state == "ready"

    async def close(self) -> None:
        """End the app, and remove its files."""
        async with self._turn:
            await self._end()
        self._scratch.cleanup()

    def _spawn(self, work: Coroutine) -> asyncio.Task:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process and process.returncode is None:
            started = await asyncio.to_thread(_started_by, process.pid)
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                await asyncio.wait_for(_exited(process), END)
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await _exited(process)
            _kill(process.pid, started)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=END)

    async def _follow(self, process: asyncio.subprocess.Process) -> None:
        """Read the child's reports, and notice its end."""
        reading = self._spawn(self._read(process))
        await _exited(process)
        if process is not self._process:
            return
        _kill(process.pid, [])
        await asyncio.wait({reading}, timeout=END)
        if process is self._process and self.state != "broken":
            self.sentence = f"The app ended by itself, with exit status {process.returncode}."
            self._become("ended")

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        async for line in process.stdout:
            message = json.loads(line)
            if process is self._process:
                self._hear(**message)

    def _hear(self, event: str, **facts) -> None:
        if event == "ready":
            self.port, self.routes, self.settings = (
                facts["port"],
                facts["routes"],
                facts["settings"],
            )
        else:
            self.sentence, self.trace = _encodable(facts["sentence"]), _encodable(facts["trace"])
        self._become(event)

    def _become(self, state: str) -> None:
        self.state = state
        if state in ("starting", "ready"):
            self.sentence = self.trace = ""
        if state != "starting":
            self._decided.set()
        self._tell(state, self.facts())

    async def _pass_on(self, process: asyncio.subprocess.Process) -> None:
        """Report what the app prints, in whole lines."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        rest = ""
        while data := await process.stderr.read(LONGEST):
            lines, end, rest = (rest + decoder.decode(data)).rpartition("\n")
            if len(rest) > LONGEST:
                lines, end, rest = lines + end + rest, "", ""
            self._print(lines + end)
        self._print(rest)

    def _print(self, text: str) -> None:
        if text.strip():
            self._tell("printed", {"text": text})


async def _exited(process: asyncio.subprocess.Process) -> None:
    """Wait until the process has ended.

    `process.wait()` would also wait for its pipes, which a process that it started may keep open.
    """
    while process.returncode is None:
        await asyncio.sleep(LOOK)


def _started_by(pid: int) -> list[psutil.Process]:
    """Return the processes that a process has started, and those that they have."""
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).children(recursive=True)
    return []


def _kill(group: int, processes: list[psutil.Process]) -> None:
    """End the processes of a group, and these."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(OSError):
            os.killpg(group, signal.SIGKILL)
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.kill()


def _encodable(text: str) -> str:
    """Return the text with lone surrogates, which UTF-8 can't encode, spelled out."""
    return text.encode("utf-8", "backslashreplace").decode()
