"""Grade lessons and print the results: the command `check`.

Slow imports are made after the first line is printed, while the graders start.
"""

import os
import random
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from course.learner.refusal import Refusal
from course.lesson import intact
from course.lesson.lessons import Lesson, lessons, pictures
from course.report import FORMATS, Card, LessonResult, Report, TaskResult

STDOUT = Path("-")


@dataclass(frozen=True)
class Request:
    """What to grade, and where to write the results. `source` contains the lessons' folders.

    `reports` has the file for each format, by the names in `report.FORMATS`.
    """

    lessons: list[Lesson]
    root: Path
    source: Path | None = None  # None is the learner's `lessons/`, whose progress is saved.
    reports: dict[str, Path] = field(default_factory=dict)
    seed: int | None = None
    verbose: bool = False

    def folder(self, lesson: Lesson) -> Path:
        """Return the folder to grade."""
        return lesson.lesson if self.source is None else self.source / lesson.slug

    @property
    def pictures(self) -> Path:
        """The folder for screenshots: beside the report, if one is written."""
        files = [path for path in self.reports.values() if path != STDOUT]
        return files[0].parent if files else pictures(self.root)


def lessons_in(source: Path, root: Path) -> list[Lesson]:
    """Return the lessons that have a folder in `source`.

    Raises Refusal if there is none, or if `source` isn't a folder.
    """
    require_folder(source)
    found = [lesson for lesson in lessons(root) if (source / lesson.slug).is_dir()]
    if not found:
        names = ", ".join(lesson.slug for lesson in lessons(root)[:3])
        raise Refusal(f"{source} has no lesson folders, such as {names}.")
    return found


def require_folder(source: Path) -> None:
    """Raise Refusal unless `source` is a folder."""
    if not source.is_dir():
        problem = "isn't a folder" if source.exists() else "doesn't exist"
        raise Refusal(f"{source} {problem}. --from takes a folder of lesson folders.")


def check(request: Request, say) -> int:
    """Grade, print the results, and return the exit status: 0 if all passed, else 1.

    It calls `say` with further notes. Raises Refusal if a report can't be written.
    """
    _require_writable(request.reports)
    out = sys.stderr if STDOUT in request.reports.values() else sys.stdout
    line = Working(out, _named(request.lessons))
    try:
        report = _grade(request, line)
    finally:
        line.clear()
    _export(report, request)
    _show(report, request, out, say)
    if warning := intact.advice(intact.edited(request.root)):
        say(f"note: {warning}")
    return 0 if report.passed else 1


def _named(found: list[Lesson]) -> str:
    return found[0].slug if len(found) == 1 else f"{len(found)} lessons"


class Working:
    """The line that shows the progress: rewritten on a terminal, else printed once."""

    def __init__(self, out: TextIO, what: str) -> None:
        self._out, self._what = out, f"Checking {what}"
        self._live = out.isatty() and os.environ.get("TERM") != "dumb"
        self._write(self._what if self._live else f"{self._what}.\n")

    def count(self, done: int, total: int) -> None:
        """Show how many tasks are done."""
        if self._live:
            self._write(f"\r{self._what}  {done} of {total}")

    def clear(self) -> None:
        """Erase the line."""
        if self._live:
            self._write("\r\x1b[2K")

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()


def _grade(request: Request, line: Working) -> Report:
    """Return the report on all the lessons, in order."""
    from course.grading.engine import Engine, Finished, Job

    found = [lesson for lesson in request.lessons if request.folder(lesson).is_dir()]
    jobs = [
        Job(x.slug, request.folder(x), verbose=request.verbose, pictures=request.pictures)
        for x in found
    ]
    seed = random.randrange(10**6) if request.seed is None else request.seed
    done: list[str] = []

    def on_event(event: object) -> None:
        if isinstance(event, Finished):
            done.append(event.result.id)
            line.count(len(done), total)

    workers = max(1, min(len(jobs), os.cpu_count() or 1))
    with Engine([job.slug for job in jobs], workers) as engine:
        threading.Thread(target=_import_ahead, daemon=True).start()
        total = sum(len(lesson.tasks) for lesson in found)
        results = engine.grade(jobs, seed, on_event) if jobs else []
    return _report(request, seed, {result.slug: result for result in results})


def _import_ahead() -> None:
    """Import what prints the report, while the graders work."""
    import course.learner.paint  # noqa: F401


def _report(request: Request, seed: int, results: dict[str, LessonResult]) -> Report:
    found = [results.get(x.slug) or missing(x, request.folder(x)) for x in request.lessons]
    return Report(seed, found)


def missing(lesson: Lesson, folder: Path) -> LessonResult:
    """Return the verdict on a lesson without a folder: no task has passed."""
    card = Card("The folder is missing.")
    tasks = [TaskResult(t.id, t.title, t.points, "error", card) for t in lesson.tasks]
    note = f"{folder} doesn't exist."
    if folder == lesson.lesson:
        note += f" `python3 -m course reset {lesson.number}` restores the starter."
    return LessonResult(lesson.slug, lesson.title, tasks, 0.0, [note])


def _show(report: Report, request: Request, out: TextIO, say) -> None:
    """Print the verdicts; save those of the learner's own folders, and name the next lesson."""
    from course.learner.paint import Painter, make_console

    painter = Painter(make_console(out))
    for line in painter.report(report, request.verbose):
        painter.console.print(line, soft_wrap=True)
    if request.source is None:
        following = _keep(report, request, say)
        if following:
            next_line = f"Next: {following.slug}, {following.title}"
            painter.console.print(painter.text(next_line, "dim"), soft_wrap=True)


def _keep(report: Report, request: Request, say) -> Lesson | None:
    """Save what passed. Returns the next lesson if the one that was checked is complete."""
    from course.learner.progress import Progress

    progress = Progress(request.root, say)
    for result in report.lessons:
        progress.record(result)
    if len(report.lessons) > 1:
        return None
    progress.turn_to(request.lessons[0].slug)
    if not report.passed:
        return None
    return progress.finish(request.lessons[0], lessons(request.root))


def _require_writable(reports: dict[str, Path]) -> None:
    """Raise Refusal if a report couldn't be written, before anything is graded."""
    options: dict[Path, str] = {}
    for name, path in reports.items():
        if path in options:
            where = "stdout (-)" if path == STDOUT else path
            raise Refusal(f"Only one of {options[path]} and --{name} can write to {where}.")
        options[path] = f"--{name}"
        if path != STDOUT:
            _try(path)


def _try(path: Path) -> None:
    """Raise Refusal if the file couldn't be written. It is left as it is."""
    try:
        if path.is_dir():
            raise Refusal(f"{path} is a folder. Name the file to write the report to.")
        if not path.parent.is_dir():
            raise Refusal(f"{path} can't be written: the folder {path.parent} doesn't exist.")
        new = not os.path.lexists(path)
        if new or path.is_file():  # Opening a pipe could end what reads it.
            path.open("ab").close()
        if new:
            path.unlink()
    except OSError as error:
        raise _unwritable(error) from None


def _unwritable(error: OSError) -> Refusal:
    return Refusal(f"{error.filename} can't be written: {error.strerror}.")


def _export(report: Report, request: Request) -> None:
    """Write the requested reports."""
    for known in FORMATS:
        if known.name in request.reports:
            write(request.reports[known.name], known.export(report))


def write(path: Path, data: bytes) -> None:
    """Write a file, or the bytes to stdout, whatever its encoding is. Raises Refusal."""
    try:
        if path == STDOUT:
            sys.stdout.flush()
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        else:
            path.write_bytes(data)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _unwritable(error) from None
