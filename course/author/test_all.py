"""Test the course itself: the command `test`.

Every part is a command that you can also run yourself. Its output is shown as it arrives.
"""

import codecs
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from course.setup import environment

RUNNER = "tests/course"
# The parts' last lines, such as "31 judged correctly, 0 wrongly" or "12 passed, 1 failed".
_PASSED = re.compile(r"(\d+) (?:judged correctly|passed)")
_FAILED = re.compile(r"(\d+) (?:wrongly|failed|errors?\b)")

# NO_MKDOCS_2_WARNING hides the theme's announcement of its successor.
_SETTINGS = {
    "PYTHONUNBUFFERED": "1",
    "PYTHONIOENCODING": "utf-8",
    "NO_MKDOCS_2_WARNING": "1",
}


@dataclass(frozen=True)
class Gate:
    """A part of the test: its title, and the arguments for Python that run it."""

    title: str
    arguments: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """How many tests of a part passed and failed. A part that doesn't count counts as one test."""

    gate: Gate
    passed: int
    failed: int
    seconds: float


def gates(scratch: str, lesson: str = "", jobs: int = 0) -> list[Gate]:
    """Return the parts in order. `scratch` is a folder for what they write.

    With a lesson, only the answers of that lesson are graded. `jobs` is how many tests run at
    once; 0 chooses by the number of cores.
    """
    course, site = ("-m", "course"), ("-d", str(Path(scratch) / "site"))
    judged = [lesson] * bool(lesson) + ["--jobs", str(jobs)] * bool(jobs)
    # A test of the runner waits for a third of its time, so run one more than there are cores.
    side_by_side = ("-n", str(jobs or 1 + (os.cpu_count() or 1)), "--dist", "worksteal")
    # `dev answers` covers solutions, starters, right answers and wrong ones.
    return [
        Gate("the code's rules: ruff check", ("-m", "ruff", "check", "-q")),
        Gate("its layout: ruff format --check", ("-m", "ruff", "format", "-q", "--check")),
        Gate("the course's rules: dev check", (*course, "dev", "check")),
        Gate("the graders: dev answers", (*course, "dev", "answers", *judged)),
        Gate("the runner: pytest tests/course", ("-m", "pytest", "-q", *side_by_side, RUNNER)),
        Gate("the site: mkdocs build --strict", ("-m", "mkdocs", "build", "-q", "--strict", *site)),
    ]


def run(
    root: Path,
    out: TextIO,
    chosen: Sequence[Gate] | None = None,
    lesson: str = "",
    jobs: int = 0,
) -> int:
    """Run each part, then print the counts. Returns 0 if everything passed, else 1."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="course-") as scratch:
        parts = list(chosen or gates(scratch, lesson, jobs))
        outcomes = []
        for number, gate in enumerate(parts, 1):
            since = _minutes(time.monotonic() - started)
            out.write(f"\n{number} of {len(parts)}, after {since}: {gate.title}\n")
            outcomes.append(_run(gate, root, out))
    width = max(len(outcome.gate.title) for outcome in outcomes)
    out.write("\n")
    for outcome in outcomes:
        failed = f", {outcome.failed} failed" if outcome.failed else ""
        took = _minutes(outcome.seconds)
        out.write(f"{outcome.gate.title:<{width}}  {took:>5}  {outcome.passed} passed{failed}\n")
    failed = sum(outcome.failed for outcome in outcomes)
    out.write(f"\n{sum(outcome.passed for outcome in outcomes)} passed, {failed} failed\n")
    return 1 if failed else 0


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def _run(gate: Gate, root: Path, out: TextIO) -> Outcome:
    """Run one part and show what it prints."""
    out.flush()
    started, printed = time.monotonic(), ""
    with subprocess.Popen(
        [sys.executable, *gate.arguments],
        cwd=root,
        env=environment.for_program(**_SETTINGS),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as child:
        # Don't wait for whole lines: pytest prints a dot for each test.
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        while data := child.stdout.read1():
            text = decoder.decode(data).replace("\r\n", "\n")
            out.write(text)
            out.flush()
            printed = (printed + text)[-1000:]
    last = printed.strip().rpartition("\n")[2]
    return _outcome(gate, last, child.returncode, time.monotonic() - started)


def _outcome(gate: Gate, last: str, status: int, seconds: float) -> Outcome:
    """Return the counts in the last line. A part that exits with an error has a failure."""
    counted = _PASSED.search(last), _FAILED.search(last)
    passed, failed = (int(match[1]) if match else 0 for match in counted)
    if status:
        return Outcome(gate, passed, max(failed, 1), seconds)
    return Outcome(gate, passed or 1, failed, seconds)
