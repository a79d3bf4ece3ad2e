"""A grader that has everything imported and collected, and waits for jobs.

It takes a job as a line of JSON on stdin and answers with lines on stdout. Where there is fork each
job is done by a copy of it; where there is not, it does one job, and another is started.
"""

import functools
import json
import os
import select
import sys
import traceback
from dataclasses import asdict
from pathlib import Path

import pytest

from course.grading import lanes, plugin
from course.grading.children import ADDRESS, Child, can_fork
from course.grading.verdicts import Grading
from course.grading.waiting import LASTING
from course.lesson.lessons import ROOT, unreadable

CORES = os.cpu_count() or 1
# Tests wait more than they work, unless they are marked as busy.
LANES = max(CORES, min(4 * CORES, 16))

IDLE = 60.0  # seconds without a job, after which the lanes end

# The plugins of pytest that a grader has no use for: each costs a little at every start.
UNUSED = ["cacheprovider", "terminal", "junitxml", "pastebin", "logging", "faulthandler", "doctest"]


class Loop:
    """Takes the place of pytest's loop over its tests."""

    def __init__(self, out) -> None:
        self._out = out
        self._broken: dict[str, str] = {}  # why the tests of a lesson can't be collected, by slug
        self._lanes: list[lanes.Lane] = []  # with nothing to do, until a job has them
        self._keeps_lanes = False  # whether they are kept for the next job

    def pytest_exception_interact(self, node: pytest.Collector, call: pytest.CallInfo) -> None:
        """Note a test file that can't be imported: only its own lesson isn't graded."""
        if isinstance(node, pytest.Module):
            self._broken[plugin.slug_of(node)] = _broken(node.path, call.excinfo.value)

    def send(self, **message: object) -> None:
        """Write one line."""
        self._out.write(json.dumps(message) + "\n")
        self._out.flush()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Do jobs until stdin ends."""
        self.send(event="ready")
        for place, item in enumerate(session.items):
            item.stash[lanes.PLACE] = place
        while line := self.next_line():
            job = json.loads(line)
            if not can_fork():
                self.do(session, job, self.chosen(session, job), [])
                self.send(event="done")
                break
            self.do_in_a_copy(session, job)
            self.send(event="done")
            if not self._keeps_lanes:
                self.end_lanes()
        self.end_lanes()
        return True

    def next_line(self) -> bytes:
        """Return the next job. Lanes that wait for it for long end, since a browser is large."""
        if self._lanes and not select.select([0], [], [], IDLE)[0]:
            self.end_lanes()
        return _line()

    def end_lanes(self) -> None:
        """End all lanes, side by side."""
        for lane in self._lanes:
            lane.let_go()
        for lane in self._lanes:
            lane.wait()
        self._lanes.clear()

    def do_in_a_copy(self, session: pytest.Session, job: dict) -> None:
        """Do a job in a copy of this process, which can be ended in the middle of it.

        The lanes are this process's, so that they can last for more than one job. They do if they
        have a browser, or if there are many jobs, each with a few tests.
        """
        items = self.chosen(session, job)
        busy = any(item.get_closest_marker("busy") for item in items)
        count = min(job["lanes"] or (CORES if busy else LANES), len(items))
        while len(self._lanes) < count:
            self._lanes.append(self._new_lane(session, [e for x in self._lanes for e in x.ends]))
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.setpgid(0, 0)  # A group, so that it ends with the lanes that it makes.
                self.send(event="process", pid=os.getpid())
                kept = self.do(session, job, items, self._lanes[:count], write)
                os.write(write, json.dumps([lane.pid for lane in kept]).encode())
            finally:
                os._exit(0)
        os.close(write)
        with os.fdopen(read) as told:
            kept = json.loads(told.read() or "[]")
        os.waitpid(pid, 0)
        for lane in self._lanes[:count]:
            if lane.pid not in kept:
                lane.kill()
                self._lanes.remove(lane)
        self._keeps_lanes = bool(busy or job["lanes"])

    def _new_lane(self, session: pytest.Session, ends: list[int]) -> lanes.Lane:
        return lanes.Lane(session.items, _starter, ends)

    def chosen(self, session: pytest.Session, job: dict) -> list[pytest.Item]:
        """Return the tests of a job."""
        return [
            item
            for item in session.items
            if plugin.is_graded(item)
            and plugin.slug_of(item) == job["slug"]
            and (not job["tasks"] or plugin.task_of(item) in job["tasks"])
        ]

    def do(
        self,
        session: pytest.Session,
        job: dict,
        items: list[pytest.Item],
        given: list[lanes.Lane],
        end: int = -1,
    ) -> list[lanes.Lane]:
        """Grade one lesson's folder. Returns the lanes that another job may have.

        No copy of this process may keep `end`, the end of a pipe.
        """
        if not items:
            if why := self._broken.get(job["slug"]):
                self.send(event="broken", why=why)
            return given
        grading = Grading(
            Path(job["folder"]), job["seed"], _no_child, job["verbose"], on_task=self.task
        )
        grading.pictures = Path(job["pictures"]) if job["pictures"] else None
        grading.to_first_failure = job["to_first_failure"]
        grading.expect([item.get_closest_marker("task") for item in items])
        if can_fork():
            new_lane = functools.partial(self._new_lane, session)
            running = lanes.Lanes(items, grading, given, lambda ends: new_lane([*ends, end]))
            kept = running.run()
        else:
            starter = _starter()
            grading.start = starter.start
            plugin.run(items, grading)
            LASTING.close()
            starter.close()
            kept = []
        self.send(event="notes", notes=grading.notes)
        return kept

    def task(self, result) -> None:
        """Report a task when all its tests have."""
        self.send(event="task", task=asdict(result))


def _broken(test: Path, error: BaseException) -> str:
    """Return why a test file can't be imported, with the line of it that the error went through."""
    while error.__cause__:  # Pytest wraps what Python said.
        error = error.__cause__
    lines = [
        line
        for frame, line in traceback.walk_tb(error.__traceback__)
        if frame.f_code.co_filename == str(test)
    ]
    return unreadable(test, error, lines[-1] if lines else 0)


def _starter() -> plugin.Starter:
    return plugin.Starter(os.environ.get(ADDRESS, ""))


def _no_child() -> Child:
    raise AssertionError("Only a lane starts children.")


def _line() -> bytes:
    # Byte by byte, so that a copy of this process holds nothing that was meant for the original.
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            return b""
        line += byte
    return line


def main() -> None:
    """Collect the tests of the lessons named, then wait for jobs."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # Nothing that prints may mix into the answers.
    paths = [ROOT / "tests" / f"test_{slug}.py" for slug in sys.argv[1:]]
    files = [str(path) for path in paths if path.is_file()]
    options = ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT), "--assert=plain", "-s"]
    for name in UNUSED:
        options += ["-p", f"no:{name}"]
    pytest.main([*options, *files], plugins=[Loop(out)])


if __name__ == "__main__":
    main()
