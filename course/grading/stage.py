"""What a test has at hand: the learner's app, people who use it, their programs and functions."""

import ast
import contextlib
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from course.grading.children import KEPT, Child, Trouble, start_fresh
from course.grading.expect import Unmet, counted, in_json, shown
from course.grading.http import Client
from course.grading.transcript import Wire
from course.grading.waiting import PATIENCE, SECONDS, eventually
from course.lesson import needs

if TYPE_CHECKING:
    from course.grading.browser import Browser
    from course.grading.events import EventReader
    from course.grading.sockets import RawSocket, Socket

WORDS = ["amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heron", "islet", "jetty"]


class Stage:
    """One test's surroundings. All that it starts is ended with it."""

    def __init__(self, start: Callable[[], Child], folder: Path, seed: str) -> None:
        self._start = start
        self.folder = folder
        self.random = random.Random(seed)
        self.wire = Wire()
        self.children: list[Child] = []
        self.pictures: list[Callable] = []  # Each saves a screenshot to `path`.
        self._scratch = tempfile.TemporaryDirectory(prefix="course-", ignore_cleanup_errors=True)
        self.scratch = Path(self._scratch.name)
        self._end = contextlib.ExitStack()

    def child(self, fresh: bool = False) -> Child:
        """Return a new process that imports from the learner's folder.

        A `fresh` one has an interpreter of its own, where the others may share what it drew by
        chance when it started, such as the seed of `hash()`.
        """
        child = start_fresh() if fresh else self._start()
        self.children.append(child)
        child.ask("load", "reading your folder", folder=str(self.folder), scratch=str(self.scratch))
        return child

    def serve(self, fresh: bool = False, port: int = 0, **config: object) -> "Server":
        """Start the learner's app. Its database is the same for each server of one test.

        On `port`, which one that was killed has left, or on any that is free.
        """
        config = {"DATABASE": str(self.scratch / "board.sqlite3"), **config}
        child = self.child(fresh)
        port = child.ask("serve", "starting your app", module="app", config=config, port=port)
        return Server(self, child, port)

    def need(self, name: str) -> str:
        """Return the path of a program that the test needs, such as "redis".

        `name` is one of FINDERS in lesson/needs.py. Skips the test, with the finder's advice, if
        this machine doesn't have the program.
        """
        found = needs.FINDERS[name]()
        if not found.where:
            pytest.skip(f"No {name} was found here. {found.advice}")
        return found.where

    def browser(self, back_forward_cache: bool = False) -> "Browser":
        """Start a real browser, with its back-forward cache if a test is about that.

        Skips the test if there is no such browser on this machine.
        """
        from course.grading.browser import Browser  # Here, since Playwright is slow to import.

        return self.use(Browser(self, back_forward_cache))

    def function(self, module: str, name: str) -> Callable:
        """Return a function of the learner's, to be called with what JSON can hold."""
        child = self.child()

        def call(*args: object) -> object:
            shown_args = ", ".join(in_json(arg, 60) for arg in args)
            self.wire.sent("test", f"{name}({shown_args})")
            value = child.ask("call", f"{name}()", module=module, function=name, args=list(args))
            self.wire.received("test", in_json(value))
            return value

        return call

    def probe(self, file: Path, function: str, *args: object) -> object:
        """Call a function of the file of ours in a process that imports from the learner's folder.

        Arguments and result are what JSON can hold. Raises Trouble when the learner's code raises.
        """
        return self.child().probe(file, function, *args)

    def run(self, program: str, *args: object, events: tuple[str, ...] = ()) -> "Program":
        """Run a file of the learner's, as `python program args` would."""
        child = self.child()
        if events:
            child.ask("watch", "starting your program", events=list(events))
        words = [str(arg) for arg in args]
        self.wire.sent("shell", f"python {program} {' '.join(words)}")
        number = child.begin("run", program=program, args=words)
        child.answer(number, f"starting {program}")
        return Program(self, child, program)

    def text(self) -> str:
        """Return words that no answer could have been written for."""
        return " ".join(self.random.sample(WORDS, 3)) + f" {self.random.randrange(10**6)}"

    def name(self) -> str:
        """Return a room's name that no other room of the test has."""
        return f"{self.random.choice(WORDS)}-{self.random.randrange(10**9)}"

    def use(self, thing):
        """Enter a context manager that lasts as long as the test."""
        return self._end.enter_context(thing)

    def faults(self) -> list[dict]:
        """Return the errors that the learner's code raised, as far as it said so."""
        for child in self.children:
            if not child.gone:
                child.settle()
        return [e for child in self.children for e in child.events if e["event"] != "audit"]

    def own_doing(self) -> Trouble | None:
        """Return how the learner's code ended or doubled its own process, if it did."""
        return next((t for child in self.children if (t := child.own_doing())), None)

    def notes(self, task_id: str) -> list[str]:
        """Return what is odd, but breaks no rule, in sentences."""
        printed = max((c.out.size + c.err.size for c in self.children), default=0)
        if printed <= KEPT:
            return []
        return [f"Your code printed {printed / 2**20:.0f} MiB when {task_id} was tested."]

    def close(self) -> None:
        """End everything."""
        self._end.close()
        for child in self.children:
            child.kill()
        self._scratch.cleanup()


class Server:
    """The learner's app, running in a process of its own."""

    def __init__(self, stage: Stage, child: Child, port: int) -> None:
        self.stage, self._child = stage, child
        self.port = port
        self.host = f"127.0.0.1:{port}"
        self.url = f"http://{self.host}"

    def client(self, who: str, seconds: float = SECONDS) -> "Client":
        """Return an HTTP client of the app. `seconds` is its timeout for each read."""
        return Client(self, who, seconds)

    def socket(self, who: str, target: str, **options: object) -> "Socket":
        """Open a WebSocket to a path. `options` are those of `sockets.Socket`."""
        from course.grading.sockets import Socket  # Here, since the first lessons need none.

        return self.stage.use(Socket(self, who, f"ws://{self.host}{target}", **options))

    def events(self, who: str, target: str, headers: dict | None = None) -> "EventReader":
        """Open a stream of events."""
        from course.grading.events import EventReader

        return self.stage.use(EventReader(self, who, target, headers or {}))

    def raw_socket(self, who: str, target: str, subprotocol: str = "") -> "RawSocket":
        """Open a WebSocket whose client sends only what it is told to, and answers nothing."""
        from course.grading.sockets import RawSocket

        return self.stage.use(RawSocket(self, who, target, subprotocol))

    def probe(self, file: Path, function: str, *args: object, says: str = "") -> object:
        """Call a function of the file of ours in the app's process, as `Stage.probe` does.

        `says` is what a learner has to know of it, for the wire.
        """
        value = self._child.probe(file, function, *args)
        if says:
            self.stage.wire.happened("test", says)
        return value

    def census(self) -> dict[str, int]:
        """Return how many `threads` the app's process has, and `sockets` (0 on Windows)."""
        return self._child.ask("census", "counting threads")

    def expect_census(self, before: dict[str, int], seconds: float = SECONDS) -> None:
        """Wait until the app has no more threads and sockets than `before`.

        Raises Unmet when it keeps some.
        """
        try:
            for name, count in before.items():
                eventually(
                    lambda name=name, count=count: self.census()[name] <= count,
                    f"{counted(count, name[:-1])} again, as before",
                    lambda name=name: counted(self.census()[name], name[:-1]),
                    seconds,
                )
        except Unmet as unmet:
            unmet.where = self.trouble("").where
            raise

    def log(self) -> str:
        """Return what the app has written on stderr by now: its log."""
        return self._child.log()

    def kill(self) -> None:
        """End the app as a power cut would."""
        self._child.kill()
        self.stage.wire.happened("server", "killed")

    def trouble(self, late: str) -> Trouble:
        """Say why no answer came."""
        return self._child.trouble(late)

    def unmet(self, expected: str, got: str, seconds: float) -> Unmet:
        """Return what to raise when nothing came for so long: why, and where the app is."""
        trouble = self.trouble(f"It didn't arrive within {seconds * PATIENCE:g} s")
        return Unmet(expected, f"{got}. {trouble}", where=trouble.where)


class Program:
    """A program of the learner's that runs."""

    PAUSES = ("socket.connect", "time.sleep")  # the events that `connections` needs

    def __init__(self, stage: Stage, child: Child, name: str) -> None:
        self.stage, self._child, self.name = stage, child, name

    def lines(self, count: int, seconds: float = SECONDS) -> list[str]:
        """Wait until it has printed that many lines; return all it has printed.

        Raises Unmet when they do not come.
        """
        lines = self._child.out.lines(count, seconds * PATIENCE)
        if len(lines) < count:
            raise self.unmet(
                f"{counted(count, 'line')} from {self.name}", counted(len(lines), "line"), seconds
            )
        return lines

    @property
    def gone(self) -> bool:
        """Whether it has ended."""
        return self._child.gone

    def unmet(self, expected: str, got: str, seconds: float) -> Unmet:
        """Return what to raise when nothing came for so long: why, and where the program is."""
        late = f"{self.name} went on for {seconds * PATIENCE:g} s"
        if self._child.gone:
            status = self._child.wait(SECONDS * PATIENCE)
            late = f"{self.name} has ended" + ("" if status is None else f" with status {status}")
            return Unmet(expected, f"{got}. {late}.")
        trouble = self._child.trouble(late)
        said = self.err.rstrip().rpartition("\n")[2]
        last = f" Its last line on stderr: {shown(said)}" if said else ""
        return Unmet(expected, f"{got}. {trouble}{last}", where=trouble.where)

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self.stage.wire.happened("shell", "Ctrl-C")
        self._child.interrupt()

    def end(self, seconds: float = SECONDS) -> int:
        """Wait for its end. Returns its exit status; raises Unmet when it goes on."""
        status = self._child.wait(seconds * PATIENCE)
        if status is None:
            raise self.unmet(f"{self.name} to end", "it goes on", seconds)
        self._child.out.wait_for_end(SECONDS * PATIENCE)
        self._child.err.wait_for_end(SECONDS * PATIENCE)
        return status

    def events(self, name: str) -> int:
        """Return how many audit events of this name it has had so far."""
        return sum(event.get("name") == name for event in list(self._child.events))

    def connections(self) -> list[tuple[float, float]]:
        """Return each attempt to connect so far: its time.time(), and the seconds slept after it.

        The sleeps are what the program asked time.sleep() for. It has to run with events=PAUSES.
        """
        found: list[tuple[float, float]] = []
        for event in [event for event in list(self._child.events) if event["event"] == "audit"]:
            if event["name"] == "socket.connect":
                found.append((event["at"], 0.0))
            elif event["name"] == "time.sleep" and found:
                with contextlib.suppress(ValueError, SyntaxError):  # It may be any number's type.
                    (seconds,) = ast.literal_eval(event["args"])
                    found[-1] = (found[-1][0], found[-1][1] + seconds)
        return found

    def wait_for_event(self, name: str, count: int, seconds: float = SECONDS) -> bool:
        """Wait for that many audit events of the program."""
        return self._child.wait_for_event(name, count, seconds * PATIENCE)

    @property
    def out(self) -> str:
        """What it has printed on stdout so far."""
        return self._child.out.text

    @property
    def err(self) -> str:
        """What it has printed on stderr so far."""
        return self._child.err.text
