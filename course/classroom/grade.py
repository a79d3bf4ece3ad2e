"""Grade a folder of submissions: the command `class grade`.

Each submission's lessons are graded in a scratch copy, with random data from its own seed. Every
verdict is appended to a file at once, so that the same command goes on after an interruption. It
grades again only what has changed, and what the grader failed to judge.
"""

import contextlib
import hashlib
import queue
import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol, TextIO

from course.classroom import gradebook, page
from course.classroom.alike import alike, own_lines
from course.classroom.container import Container, find_container
from course.classroom.gradebook import Asked, Grade, Gradebook
from course.classroom.submissions import Submission, find, unpack
from course.grading import bulk
from course.grading.engine import Engine, Job
from course.learner.paint import printable
from course.learner.refusal import Refusal
from course.lesson.lessons import ROOT, Lesson, lessons
from course.lesson.starter import files
from course.report import LessonResult, Report

VERDICTS = "verdicts.jsonl"  # in the output folder: every result, by its key
OUTPUT = {
    "grades.csv": gradebook.as_csv,
    "grades.json": gradebook.as_json,
    "grades.xml": gradebook.as_junit,
    "report.html": page.as_html,
}
UNTRUSTED = (
    "Neither podman nor docker runs on this machine, so the submissions would run as programs of "
    "your own user: they could read and change your files and use the network. If you trust their "
    "authors, or this machine has nothing to lose, add --trust."
)


@dataclass(frozen=True)
class Request:
    """What to grade, and where to write the results."""

    folder: Path
    out: Path
    lessons: list[Lesson]  # none: every lesson that a submission contains
    jobs: int = 0  # lessons to grade at once; 0 chooses by the number of cores
    deadline: datetime | None = None
    seed: int | None = None
    trust: bool = False
    root: Path = ROOT


class Grader(Protocol):
    """What grades jobs, and reports each result: the engine, or a container for each job."""

    def grade(self, jobs: list[Job], on_result: Callable[[Job, LessonResult], None]) -> None:
        """Grade each job."""


class Unguarded:
    """Grades in processes on this machine, as `check` does.

    Each job that runs has an engine of its own, so that code which ends the process that started
    it fails only its own tasks.
    """

    def __init__(self, jobs: int) -> None:
        self._count = bulk.at_once(jobs)
        self._idle: queue.SimpleQueue[Engine] = queue.SimpleQueue()

    def grade(self, jobs: list[Job], on_result: Callable[[Job, LessonResult], None]) -> None:
        """Grade each job."""
        slugs = sorted({job.slug for job in jobs})
        with contextlib.ExitStack() as stack:
            engines = [
                stack.enter_context(Engine(slugs)) for _ in range(min(self._count, len(jobs)))
            ]
            for engine in engines:
                self._idle.put(engine)

            def stop() -> None:
                for engine in engines:
                    engine.cancel()

            bulk.side_by_side(jobs, len(engines), self._one, on_result, stop)

    def _one(self, job: Job) -> LessonResult:
        engine = self._idle.get()
        try:
            return engine.grade([job], 0)[0]
        finally:
            self._idle.put(engine)


def grade(request: Request, out: TextIO) -> int:
    """Grade the submissions, print the progress, and write the reports.

    Returns 0 if every submission was graded, 1 if one couldn't be. Raises Refusal.
    """
    _require_folders(request)
    grader = _grader(request, out)
    with tempfile.TemporaryDirectory(prefix="course-") as folder:
        scratch = Path(folder)
        scratch.chmod(0o711)  # As root, learners' code runs as another user, who must pass it.
        found = _unpacked(request, scratch, out)
        results = _graded(request, found, grader, out)
        book = _gradebook(request, found, results)
    for name, export in OUTPUT.items():
        (request.out / name).write_bytes(export(book))
    return _tell(book, request, out)


def _require_folders(request: Request) -> None:
    if not request.folder.is_dir():
        problem = "isn't a folder" if request.folder.exists() else "doesn't exist"
        raise Refusal(f"{request.folder} {problem}. Name the folder that has the submissions.")
    inside = request.out.resolve().is_relative_to(request.folder.resolve())
    if inside or request.folder.resolve().is_relative_to(request.out.resolve()):
        raise Refusal(f"{request.out} must not contain, or be in, the folder of the submissions.")
    try:
        request.out.mkdir(parents=True, exist_ok=True)
        (request.out / VERDICTS).open("ab").close()
    except OSError as error:
        raise Refusal(f"{error.filename} can't be written: {error.strerror}.") from None


def _grader(request: Request, out: TextIO) -> Grader:
    if request.trust:
        return Unguarded(request.jobs)
    found = find_container()
    if not found:
        raise Refusal(UNTRUSTED)
    return Container(found, request.root, request.jobs, out)


def _unpacked(request: Request, scratch: Path, out: TextIO) -> list[Submission]:
    found = find(request.folder)
    if not found:
        raise Refusal(
            f"{request.folder} is empty. It must have a folder, zip file or git bundle "
            "for each learner."
        )
    plural = "" if len(found) == 1 else "s"
    out.write(f"Reading {len(found)} submission{plural}.\n")
    out.flush()
    for submission in found:
        unpack(submission, request.lessons or lessons(request.root), scratch, request.deadline)
    return found


@dataclass(frozen=True)
class _Todo:
    """A lesson of a submission to grade."""

    name: str
    key: str


Results = dict[tuple[str, str], LessonResult]  # by the submission's name and the lesson's slug


def _graded(request: Request, found: list[Submission], grader: Grader, out: TextIO) -> Results:
    file = request.out / VERDICTS
    known = _known(file)
    base = _base_seed(request, file)
    results: Results = {}
    todo: dict[Job, _Todo] = {}
    by_slug = {lesson.slug: lesson for lesson in lessons(request.root)}
    for submission in found:
        for slug, folder in submission.folders.items():
            seed = own_seed(base, submission.name)
            key = _key(by_slug[slug], folder, submission.name, seed)
            if key in known:
                results[submission.name, slug] = known[key]
            else:
                pictures = request.out / "pictures" / submission.name
                job = Job(slug, folder, pictures=pictures, lanes=1, seed=seed)
                todo[job] = _Todo(submission.name, key)
    if results and todo:
        out.write(f"{len(results)} of {len(results) + len(todo)} were graded by an earlier run.\n")
    countdown = bulk.Countdown(len(todo))

    def on_result(job: Job, result: LessonResult) -> None:
        name = todo[job].name
        results[name, job.slug] = result
        if all(task.status != "error" for task in result.tasks):
            report = Report(job.seed, [result]).as_dict()
            bulk.keep(file, {"key": todo[job].key, "report": report})
        points = f"{result.earned}/{result.points}"
        out.write(f"{countdown.next()}  {printable(name)}  {job.slug}  {points}\n")
        out.flush()

    if todo:
        try:
            grader.grade(list(todo), on_result)
        except KeyboardInterrupt:
            out.write(f"{len(results)} graded. The same command goes on from here.\n")
            raise
    return results


def _known(file: Path) -> dict[str, LessonResult]:
    """Return the results of earlier runs, by their keys."""
    known = {}
    for entry in bulk.kept(file):
        match entry:
            case {"key": str(key), "report": dict(data)}:
                known[key] = Report.from_dict(data).lessons[0]
    return known


def _base_seed(request: Request, file: Path) -> int:
    """Return the seed that all others derive from: the one asked for, or the earlier run's."""
    earlier = [entry["seed"] for entry in bulk.kept(file) if "seed" in entry]
    if request.seed is not None:
        seed = request.seed
    else:
        seed = earlier[-1] if earlier else random.randrange(10**6)
    if earlier[-1:] != [seed]:
        bulk.keep(file, {"seed": seed})
    return seed


def own_seed(base: int, name: str) -> int:
    """Return a submission's own seed, so that no two learners get the same random data."""
    return int.from_bytes(hashlib.sha256(f"{base} {name}".encode()).digest()[:8]) % 10**6


def _key(lesson: Lesson, folder: Path, name: str, seed: int) -> str:
    """Return a hash of all that a verdict depends on: the submission, its seed and the grader."""
    digest = bulk.digest(lesson, name, seed)
    for inside, path in files(folder).items():
        content = path.read_bytes()
        digest.update(f"\0{inside}\0{len(content)}\0".encode("utf-8", "surrogateescape"))
        digest.update(content)
    return digest.hexdigest()


def _gradebook(request: Request, found: list[Submission], results: Results) -> Gradebook:
    slugs = {slug for _, slug in results} | {lesson.slug for lesson in request.lessons}
    chosen = [lesson for lesson in lessons(request.root) if lesson.slug in slugs]
    base = _base_seed(request, request.out / VERDICTS)
    grades = []
    for submission in found:
        name = submission.name
        handed_in = [lesson.slug for lesson in chosen if (name, lesson.slug) in results]
        report = Report(own_seed(base, name), [results[name, slug] for slug in handed_in])
        grades.append(Grade(name, report, submission.problem, submission.late))
    lines = {
        submission.name: {
            text: place
            for lesson in chosen
            if lesson.slug in submission.folders
            for text, place in own_lines(lesson, submission.folders[lesson.slug]).items()
        }
        for submission in found
    }
    deadline = request.deadline.isoformat(" ", "minutes") if request.deadline else ""
    return Gradebook(grades, list(map(Asked.of, chosen)), alike(lines), deadline)


def _tell(book: Gradebook, request: Request, out: TextIO) -> int:
    problems = book.problems
    for grade in problems:
        what = grade.problem or "The grader failed in a task. Run the same command again."
        out.write(f"! {printable(grade.name)}: {printable(what)}\n")
    count = len(book.grades)
    done = f"{count - len(problems)} of {count} graded"
    out.write(f"{done}. The reports are in {request.out}: {', '.join(OUTPUT)}\n")
    return 1 if problems else 0
