"""The lesson's app, in a process of its own that is replaced at each save."""

import asyncio
import codecs
import contextlib
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from course.setup import environment

CHILD = Path(__file__).with_name("child.py")
APPS = ("app.py", "server.py")  # What a folder has to hold, one of them; child.py serves it.
START = 60.0  # seconds for an app to start, on a machine that is busy
END = 2.0  # seconds to end by itself, after which it is ended
LINE = 2**22  # bytes of what the child says of itself, at most
LONGEST = 65536  # characters of what an app prints that are told at once

Tell = Callable[[str, dict], None]


class App:
    """The app of a folder. `tell` hears of each change: `tell("ready", {...})`.

    `state` is starting, ready, broken or ended. While it is broken, `sentence` says why; there is
    no old version that still answers.
    """

    def __init__(self, folder: Path, tell: Tell) -> None:
        self.folder, self._tell = folder, tell
        self.state, self.sentence, self.trace = "starting", "", ""
        self.port, self.routes, self.settings = 0, [], {}
        self._starts = 0
        self._process: asyncio.subprocess.Process | None = None
        self._tasks: set[asyncio.Task] = set()
        self._decided = asyncio.Event()
        self._turn = asyncio.Lock()
        # Its database lives here: every session begins with an empty board, and leaves nothing.
        self._scratch = tempfile.TemporaryDirectory("", "course-run-", ignore_cleanup_errors=True)

    def facts(self) -> dict:
        """Return what the page shows of it."""
        facts = {"state": self.state, "sentence": self.sentence, "trace": self.trace}
        return facts | {"starts": self._starts}

    async def restart(self) -> None:
        """End the process that runs, if any, and start one with the code as it is now."""
        async with self._turn:
            self._decided.clear()
            self._starts += 1
            self._become("starting")
            await self._end()
            ours = {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, str(CHILD), str(self.folder), self._scratch.name),
                env=environment.for_program(**ours),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                limit=LINE,
            )
            self._spawn(self._follow(self._process))
            self._spawn(self._pass_on(self._process))

    async def ready(self) -> bool:
        """Wait until it has started, or has not, and return whether it runs."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._decided.wait(), START)
        return self.state == "ready"

    async def close(self) -> None:
        """End it, and leave nothing behind."""
        async with self._turn:
            await self._end()
        self._scratch.cleanup()

    def _spawn(self, work) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                await asyncio.wait_for(process.wait(), END)
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=END)

    async def _follow(self, process: asyncio.subprocess.Process) -> None:
        """Hear what the child says of itself, up to its end."""
        async for line in process.stdout:
            message = json.loads(line)
            if process is self._process:
                self._hear(**message)
        await process.wait()
        if process is self._process and self.state != "broken":
            self.sentence = f"The app ended by itself, with exit status {process.returncode}."
            self._become("ended")

    def _hear(self, event: str, **facts) -> None:
        if event == "ready":
            self.port, self.routes, self.settings = (
                facts["port"],
                facts["routes"],
                facts["settings"],
            )
        else:
            self.sentence, self.trace = facts["sentence"], facts["trace"]
        self._become(event)

    def _become(self, state: str) -> None:
        self.state = state
        if state in ("starting", "ready"):
            self.sentence = self.trace = ""
        if state != "starting":
            self._decided.set()
        self._tell(state, self.facts())

    async def _pass_on(self, process: asyncio.subprocess.Process) -> None:
        """Tell what the app prints, in whole lines."""
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
