"""Run a lesson's app with the workbench beside it: `run`."""

import asyncio
import contextlib
import json
import math
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TextIO

from course.learner.paint import printable
from course.learner.refusal import Refusal, command
from course.learner.saves import Saves
from course.learner.site import open_browser
from course.lesson.lessons import Lesson
from course.workbench.app import APPS, App
from course.workbench.faults import LONGEST_DELAY, LOWEST_RATE
from course.workbench.page_kind import kind_of
from course.workbench.page_server import PAGE, Server
from course.workbench.proxy import Proxy
from course.workbench.recorder import Recorder
from course.workbench.sender import BROKEN, Sender
from course.workbench.transcript import Transcript

OURS = "/.workbench/"  # Paths that the proxy answers by itself, with the board's files.
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
COMMAND = 30.0  # seconds for a command of the page's


def run(lesson: Lesson, solution: bool, out: TextIO) -> None:
    """Run the lesson's app, or the solution's, until Ctrl-C. Raises Refusal if there is none."""
    folder = lesson.solution if solution else lesson.lesson
    require_app(lesson, folder)
    asyncio.run(_run(lesson, folder, out))


def require_app(lesson: Lesson, folder: Path) -> None:
    """Raise Refusal unless the folder has an app."""
    shown = folder.relative_to(lesson.root).as_posix()
    if not folder.is_dir():
        way = f"{command(f'reset {lesson.number}')} writes the starter."
        if folder == lesson.solution:
            way = "This clone of the course has no solution to the lesson."
        raise Refusal(f"{shown} doesn't exist. {way}")
    if not any((folder / name).is_file() for name in APPS):
        raise Refusal(f"{shown} has no app to run: it has neither {' nor '.join(APPS)}.")


async def _run(lesson: Lesson, folder: Path, out: TextIO) -> None:
    def say(sentence: str) -> None:
        out.write(printable(sentence) + "\n")
        out.flush()

    bench = Bench(lesson, folder, say)
    try:
        await bench.start()
        shown = folder.relative_to(lesson.root).as_posix()
        say(f"Running {shown}. It restarts at each save.")
        say(f"The workbench is at {bench.server.address}")
        say(f"The app, for curl or your own client, is at {bench.address}")
        say("Press Ctrl-C to stop.")
        if out.isatty():
            open_browser(bench.server.address)
        await asyncio.Event().wait()
    finally:
        await bench.close()


class Bench:
    """The parts of one run: the app, the proxy, the transcript and the page.

    It calls `say` with a sentence for the terminal if the app doesn't run.
    """

    def __init__(self, lesson: Lesson, folder: Path, say: Callable[[str], object]) -> None:
        self._lesson, self._folder, self._say = lesson, folder, say
        self._loop = asyncio.get_running_loop()
        self.transcript = Transcript()
        self.app = App(folder, self._hear, lesson.needs)
        self.proxy = Proxy(self.app, self.transcript, self._own)
        recordings = lesson.root / ".course" / "recordings"
        self.recorder = Recorder(recordings, lesson.slug, self.transcript)
        self.address = ""
        self.server: Server | None = None
        self._saves: Saves | None = None

    async def start(self) -> None:
        """Start everything. The app may still be starting when this returns."""
        port = await self.proxy.start()
        self.address = self.app.origin = f"http://127.0.0.1:{port}"
        self._sender = Sender(self.proxy, port)
        self.server = Server(self.transcript, self.recorder, self.state, self._commands())
        self._saves = Saves(self._folder, lambda _: self._soon(self.app.restart()))
        await self.app.restart()

    async def close(self) -> None:
        """Stop everything, and remove the app's files."""
        if self._saves:
            await asyncio.to_thread(self._saves.close)
        if self.server:
            await self.proxy.close()
            await asyncio.to_thread(self.server.close)
        self.recorder.stop()
        await self.app.close()

    def state(self) -> dict:
        """Return what the page shows besides the transcript."""
        return {
            "lesson": {"slug": self._lesson.slug, "title": self._lesson.title},
            "folder": self._folder.relative_to(self._lesson.root).as_posix(),
            "address": self.address,
            "app": self.app.facts(),
            "kind": kind_of(self.app.routes, self.app.settings) if self.app.routes else None,
            "faults": self.proxy.faults.facts(),
            "links": self._links(),
            "recording": self.recorder.name,
            "broken": {name: words for name, (words, _) in BROKEN.items()},
        }

    def _links(self) -> list[dict]:
        # A browser opens connections before it needs them.
        links = list(self.proxy.links.values())
        return [link.facts() for link in links if link.conversation.path]

    # The app and its page

    def _hear(self, event: str, facts: dict) -> None:
        """Add a change of the app to the transcript."""
        if event == "printed":
            self.transcript.say("note", "The app printed", body=facts["text"])
        elif event == "ready":
            self.transcript.say("note", "The app has started")
        elif event in ("broken", "ended"):
            title = f"The app isn't running: {facts['sentence']}"
            self.transcript.say("note", title, body=facts["trace"])
            self._say(title)
        self.transcript.touch()

    def _own(self, path: str) -> tuple[str, bytes] | None:
        """Return the type and content of a file of the board's, or None for a path of the app's."""
        if not path.startswith(OURS):
            return None
        name = path.removeprefix(OURS)
        if name == "kind.json":
            return "application/json", json.dumps(self.state()["kind"]).encode()
        file = PAGE / name
        if file.name != name or file.suffix not in TYPES or not file.is_file():
            return None
        return f"{TYPES[file.suffix]}; charset=utf-8", file.read_bytes()

    # The page's commands

    def _commands(self) -> dict[str, Callable[[dict], object]]:
        return {
            "send": lambda what: self._wait(self._sender.send(what)),
            "request": lambda what: self._wait(self._sender.request(what)),
            "open": lambda what: self._wait(self._sender.open(what)),
            "cut": lambda what: self._call(self._cut),
            "faults": lambda what: self._call(lambda: self._set_faults(what)),
            "restart": lambda what: self._wait(self._restart()),
            "clear": lambda what: self.transcript.clear(),
            "record": lambda what: self._record(),
            "stop": lambda what: self._stop(),
        }

    def _soon(self, work: Coroutine) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop)

    def _wait(self, work: Coroutine) -> object:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(COMMAND)

    def _call(self, function: Callable[[], object]) -> object:
        async def call() -> object:
            return function()

        return self._wait(call())

    async def _restart(self) -> str:
        await self.app.restart()
        return "The app is restarting."

    def _cut(self) -> str:
        number = self.proxy.cut()
        self.transcript.touch()
        return f"Connections cut: {number}."

    def _set_faults(self, what: dict) -> str:
        faults = self.proxy.faults
        delay = _number(what.get("delay", faults.delay), 0, LONGEST_DELAY, "A delay", "seconds")
        rate = _number(what.get("rate", faults.rate), 0, 10**9, "A rate", "bytes a second")
        if 0 < rate < LOWEST_RATE:
            raise Refusal(
                f"A rate must be at least {LOWEST_RATE} bytes a second, or 0 for no limit."
            )
        faults.delay, faults.rate = delay, int(rate)
        if "held" in what:
            faults.hold(bool(what["held"]))
        self.transcript.touch()
        return "Set for the next bytes."

    def _record(self) -> str:
        name = self.recorder.start()
        self.transcript.touch()
        return f"Recording to .course/recordings/{name}."

    def _stop(self) -> str:
        name = self.recorder.stop()
        self.transcript.touch()
        return f"Saved .course/recordings/{name}." if name else "Nothing was being recorded."


def _number(value: object, low: float, high: float, what: str, unit: str) -> float:
    """Return the value as a number. Raises Refusal."""
    with contextlib.suppress(TypeError, ValueError, OverflowError):
        number = float(value)
        if math.isfinite(number) and low <= number <= high:
            return number
    raise Refusal(f"{what} must be a number from {low:g} to {high:g} {unit}.")
