"""What is known of a lesson's tasks while its tests report."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from course.grading.children import Child
from course.lesson import machine
from course.lesson.lessons import ROOT
from course.report import Card, TaskResult

FAULTS = ("failed", "error")


@dataclass
class Verdict:
    """What is known of one task so far."""

    title: str
    points: int
    needs: tuple[str, ...]
    left: int = 0  # tests that have not reported
    status: str = "passed"
    card: Card = field(default_factory=Card)
    seconds: float = 0.0
    # Of the test that spoke for the task: whether it was blocked, and its place.
    decided_by: tuple[bool, float] = (True, float("inf"))

    @property
    def passed(self) -> bool:
        """Whether each of its tests has reported that it passed."""
        return self.left == 0 and self.status == "passed"


@dataclass
class Grading:
    """What one run of a lesson's tests grades, and what it has found."""

    folder: Path
    seed: int
    start: Callable[[], Child]
    verbose: bool = False
    pictures: Path | None = None  # the folder for what a browser showed; None saves none
    to_first_failure: bool = False  # whether the first failure says enough
    on_task: Callable[[TaskResult], None] = lambda result: None
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    files: dict[Path, tuple] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def expect(self, marks: list) -> None:
        """Count the tests of each task, by their `@task` marks, before the first is run."""
        self.files = fingerprints()
        for mark in marks:
            new = Verdict(mark.kwargs["title"], mark.kwargs["points"], mark.kwargs["needs"])
            self.verdicts.setdefault(mark.args[0], new).left += 1

    def waits(self, task_id: str) -> bool:
        """Whether a task that this one needs is still being judged."""
        needs = self.verdicts[task_id].needs
        return any(need in self.verdicts and self.verdicts[need].left for need in needs)

    def blocked(self, task_id: str) -> Card | None:
        """Return why another test of the task could say nothing, if it could not."""
        verdict = self.verdicts[task_id]
        if verdict.status != "passed":
            return Card(f"Another test of {task_id} has said why.")
        for need in verdict.needs:
            if need in self.verdicts and not self.verdicts[need].passed:
                return Card.blocked(need)
        return None

    def note(
        self,
        task_id: str,
        status: str,
        card: Card,
        seconds: float,
        again: bool = False,
        place: float = 0,
    ) -> None:
        """Take the report of one test.

        `again` marks one more report of a test that has reported. Of those that did not pass, the
        one with the lowest `place` speaks for the task; without places, the first. One that was
        blocked speaks only if all were.
        """
        verdict = self.verdicts[task_id]
        verdict.left -= not again
        verdict.seconds += seconds
        changed = changed_since(self.files)
        if changed:
            status = "error"
            card = Card(
                f"{changed}, a file of the grader, changed while your code ran, so that nothing "
                f"it says counts.",
                next=f"git checkout {changed}",
            )
        weight = status == "blocked", place
        if status != "passed" and weight < verdict.decided_by:
            verdict.status, verdict.card, verdict.decided_by = status, card, weight
        if verdict.left == 0 or (self.over and verdict.status in FAULTS):
            self.on_task(self.result(task_id))

    @property
    def over(self) -> bool:
        """Whether enough is known, though there may be more tests to run."""
        return self.to_first_failure and any(v.status in FAULTS for v in self.verdicts.values())

    def result(self, task_id: str) -> TaskResult:
        """Return the task's verdict as it stands."""
        v = self.verdicts[task_id]
        return TaskResult(task_id, v.title, v.points, v.status, v.card, v.seconds)


def add_notes(notes: list[str], more: list[str]) -> None:
    """Add notes, each kind once: what is odd in one test is so in others."""
    for note in more:
        if note.split()[:3] not in [known.split()[:3] for known in notes]:
            notes.append(note)


def not_judged(wrong: machine.Fault) -> Card:
    """Return the card of a task that can't be judged on this machine."""
    why = f"{wrong.what} So this says nothing of your code. {wrong.advice}"
    return Card(why, next="python3 -m course doctor")


def fingerprints() -> dict[Path, tuple]:
    """Return size and times of each file that verdicts depend on, to notice a change."""
    files = [ROOT / "pyproject.toml", ROOT / "requirements.txt"]
    for pattern in ("tests/*.py", "tests/probes/*.py", "course/**/*.py"):
        files += ROOT.glob(pattern)
    return {file: _fingerprint(file) for file in files}


def _fingerprint(file: Path) -> tuple:
    try:
        status = file.stat()
    except OSError:
        return ()
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def changed_since(files: dict[Path, tuple]) -> str:
    """Return the first file that is not as it was, or nothing."""
    for file, was in files.items():
        if _fingerprint(file) != was:
            return file.relative_to(ROOT).as_posix()
    return ""
