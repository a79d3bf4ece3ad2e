"""Run a lesson's tests side by side, each lane a copy of the process that collected them.

Most tests wait for something, so that even one core has time for several. Only where there is fork.
"""

import contextlib
import json
import os
import selectors
import signal
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pytest

from course.grading import plugin
from course.grading.children import Child
from course.grading.verdicts import Grading, add_notes
from course.grading.waiting import LASTING, PATIENCE, SECONDS
from course.report import Card

# How the systems say that a port is taken: a learner's code may hold one of its own, and would
# then be in its own way.
TAKEN = ("Address already in use", "Only one usage of each socket address")

PLACE = pytest.StashKey[int]()  # of a test among all that this process has collected


@dataclass
class Reporter:
    """Takes a lane's part of a Grading: what a test found goes to the process that asked for it."""

    folder: Path
    seed: int
    start: Callable[[], Child]
    verbose: bool
    pictures: Path | None
    tell: Callable[[dict], None]
    notes: list[str] = field(default_factory=list)

    def blocked(self, task_id: str) -> None:
        """Return nothing: a lane is given only what can say something."""

    def note(
        self, task_id: str, status: str, card: Card, seconds: float, again: bool = False
    ) -> None:
        """Pass on the report of one test."""
        report = {"status": status, "card": asdict(card), "seconds": seconds, "again": again}
        self.tell({"task": task_id, **report})


class Lane:
    """One copy of this process, which runs the tests whose places it is told, for any job."""

    def __init__(self, items: list[pytest.Item], make_starter: Callable, ends: list[int]) -> None:
        """Start it. `ends` are the ends of pipes that the copy must not keep open."""
        commands, self._commands = os.pipe()
        self.reports, reports = os.pipe()
        self.place: int | None = None  # of the test that it is at, in its job
        self.reported = False  # whether that test has reported, so that only its end is left
        self._maker = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                # A lane ends when no process holds the other end of its pipe: keep no copies.
                for end in [*self.ends, *ends]:
                    os.close(end)
                _serve(items, make_starter(), commands, reports)
            finally:
                os._exit(0)
        os.close(commands)
        os.close(reports)
        self._buffer = b""

    @property
    def ends(self) -> list[int]:
        """This side's ends of its pipes."""
        return [self._commands, self.reports]

    def begin(self, place: int, item: pytest.Item, grading: Grading) -> None:
        """Let it run a test of a job."""
        self.place, self.reported = place, False
        folders = str(grading.folder), grading.pictures and str(grading.pictures)
        command = item.stash[PLACE], grading.seed, grading.verbose, *folders
        os.write(self._commands, json.dumps(command).encode() + b"\n")

    def read(self) -> list[dict] | None:
        """Return what it reports, which is there to be read; None if it has ended."""
        data = os.read(self.reports, 65536)
        if not data:
            return None
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def kill(self) -> None:
        """End it in the middle of its test."""
        with contextlib.suppress(OSError):
            os.kill(self.pid, signal.SIGKILL)
        self.close()

    def close(self) -> None:
        """Let it end, and wait for that."""
        self.let_go()
        self.wait()

    def let_go(self) -> None:
        """Let it end."""
        for end in self.ends:
            os.close(end)

    def wait(self) -> None:
        """Wait for its end, if this process has made it."""
        if os.getpid() == self._maker:
            os.waitpid(self.pid, 0)


def _serve(items: list, starter, commands: int, reports: int) -> None:
    """Run tests until nobody asks for more."""

    def tell(message: dict) -> None:
        data = json.dumps(message).encode() + b"\n"
        while data:
            data = data[os.write(reports, data) :]

    for line in os.fdopen(commands):
        test, seed, verbose, *folders = json.loads(line)
        folder, pictures = (path and Path(path) for path in folders)
        reporter = Reporter(folder, seed, starter.start, verbose, pictures, tell)
        plugin.run([items[test]], reporter)
        tell({"done": True, "notes": reporter.notes})
    LASTING.close()
    starter.close()


def _is_long(item: pytest.Item) -> bool:
    return item.get_closest_marker("long") is not None


class Lanes:
    """Gives each lane a test when it has nothing to do, and takes its reports."""

    def __init__(
        self,
        items: list[pytest.Item],
        grading: Grading,
        lanes: list[Lane],
        new_lane: Callable[[list[int]], Lane],
    ) -> None:
        """Prepare to run `items` in `lanes`. `new_lane` replaces one that ends."""
        self._items, self._grading = items, grading
        places = range(len(items))
        self._todo = deque(sorted(places, key=lambda place: not _is_long(items[place])))
        self._given, self._new_lane = lanes, new_lane
        self._selector = selectors.DefaultSelector()
        self._idle: list[Lane] = []
        self._busy: list[Lane] = []
        self._apart: set[int] = set()  # places of tests that were run by themselves
        # Places of tests that began before what they need had passed, with what they reported.
        self._ahead: dict[int, list[dict]] = {}
        self._dropped: set[int] = set()  # places of those that count for nothing
        self._one_by_one = False
        # Nothing more is said on stdin during a job: what can be read there is its end.
        self._selector.register(0, selectors.EVENT_READ)
        for lane in lanes:
            self._add(lane)

    def _add(self, lane: Lane) -> None:
        self._selector.register(lane.reports, selectors.EVENT_READ, lane)
        self._idle.append(lane)

    def run(self) -> list[Lane]:
        """Run all the tests. One that needs a task counts only if that task has passed.

        Returns the given lanes that another job may have.
        """
        self._begin_what_can()
        while self._awaited() and not self._grading.over:
            for lane in self._heard():
                self._take(lane)
            self._begin_what_can()
        self._let_tests_end()
        for lane in self._busy:
            lane.kill()
        for lane in self._idle:
            if lane not in self._given:
                lane.close()
        return [lane for lane in self._idle if lane in self._given]

    def _heard(self, seconds: float | None = None) -> list[Lane]:
        """Wait for lanes that have something to say, or have ended."""
        lanes = [key.data for key, _ in self._selector.select(seconds)]
        if None in lanes:  # The process that asked for this has ended.
            for lane in self._idle + self._busy:
                lane.kill()
            os.killpg(0, signal.SIGKILL)
        return lanes

    def _let_tests_end(self) -> None:
        """Wait for the end of tests that have reported, so that their lanes can be kept."""
        deadline = time.monotonic() + SECONDS * PATIENCE
        while (
            any(lane.reported for lane in self._busy) and (left := deadline - time.monotonic()) > 0
        ):
            for lane in self._heard(left):
                messages = lane.read()
                if messages is None:
                    self._drop(lane)
                elif any("done" in message for message in messages):
                    self._busy.remove(lane)
                    self._idle.append(lane)

    def _awaited(self) -> bool:
        """Whether a test runs that counts, or may count."""
        return any(lane.place not in self._dropped for lane in self._busy)

    def _begin_what_can(self) -> None:
        """Start tests in idle lanes: first those whose needs have passed, then others ahead."""
        while self._decide_ahead() or self._begin_ready():
            pass
        while self._idle and self._todo and not self._one_by_one:
            self._ahead[self._todo[0]] = []
            self._begin(self._todo.popleft())

    def _begin_ready(self) -> bool:
        """Start what has all it needs. Returns whether a task was found to be blocked."""
        blocked = False
        for place in list(self._todo):
            task_id = self._task(place)
            if self._grading.waits(task_id):
                continue
            if why := self._grading.blocked(task_id):
                self._grading.note(task_id, "blocked", why, 0.0, place=place)
                blocked = True
            elif self._idle and not (self._one_by_one and self._busy):
                self._begin(place)
                if self._one_by_one:
                    self._apart.add(place)
            else:
                break
            self._todo.remove(place)
        return blocked

    def _begin(self, place: int) -> None:
        lane = self._idle.pop()
        lane.begin(place, self._items[place], self._grading)
        self._busy.append(lane)

    def _decide_ahead(self) -> bool:
        """Take the reports of tests that began ahead, or drop them. Returns whether there were."""
        decided = [p for p in self._ahead if not self._grading.waits(self._task(p))]
        for place in decided:
            held = self._ahead.pop(place)
            if why := self._grading.blocked(self._task(place)):
                self._dropped.add(place)
                self._grading.note(self._task(place), "blocked", why, 0.0, place=place)
            else:
                for message in held:
                    self._report(place, message)
        return bool(decided)

    def _task(self, place: int) -> str:
        return plugin.task_of(self._items[place])

    def _take(self, lane: Lane) -> None:
        messages = lane.read()
        if messages is None:
            self._replace(lane)
            return
        for message in messages:
            if "done" in message:
                add_notes(self._grading.notes, message["notes"])
                self._busy.remove(lane)
                self._idle.append(lane)
                continue
            lane.reported = True
            if not self._run_apart(lane.place, message):
                self._report(lane.place, message)

    def _report(self, place: int, message: dict) -> None:
        """Take a report, or hold it until it is known whether the test counts."""
        if place in self._ahead:
            self._ahead[place].append(message)
        elif place not in self._dropped:
            self._grading.note(
                message["task"],
                message["status"],
                Card.from_dict(message["card"]),
                message["seconds"],
                again=message["again"],
                place=place,
            )

    def _run_apart(self, place: int, message: dict) -> bool:
        """Whether the test is to be run again, by itself, since two were in each other's way."""
        if message["status"] != "failed" or place in self._apart:
            return False
        said = Card.from_dict(message["card"]).text()
        if not any(text in said for text in TAKEN):
            return False
        self._one_by_one = True
        self._ahead.pop(place, None)
        self._todo.appendleft(place)
        return True

    def _drop(self, lane: Lane) -> None:
        """Forget a lane that has ended."""
        self._selector.unregister(lane.reports)
        self._busy.remove(lane)
        self._given = [given for given in self._given if given is not lane]
        lane.close()

    def _replace(self, lane: Lane) -> None:
        """Put a new lane in the place of one that ended: its test has not passed."""
        self._drop(lane)
        card = asdict(Card("The grader ended before it could judge this."))
        report = {"status": "error", "card": card, "seconds": 0.0, "again": False}
        self._report(lane.place, {"task": self._task(lane.place), **report})
        others = {*self._given, *self._idle, *self._busy}
        self._add(self._new_lane([end for lane in others for end in lane.ends]))
