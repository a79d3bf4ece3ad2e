"""Find the submissions in a folder, and copy the lessons of each to a scratch folder.

A submission may be a whole clone of the course, or a lesson's files alone. Only files of the
lessons asked for are copied, so a large `.venv` beside them does no harm.
"""

import re
import secrets
import shutil
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath

from course.classroom.handed_in import BadSubmission, Entry, opened
from course.lesson.lessons import Lesson
from course.lesson.regions import todos
from course.lesson.starter import ignored, starter_files

LARGEST = 8 * 2**20  # bytes of a submission's lessons; the largest solution has 0.1 MB
MOST = 500  # files of a submission's lessons
_NOT_PORTABLE = re.compile(r'[\x00-\x1f\x7f<>:"|?*]')


@dataclass
class Submission:
    """A learner's submission. `problem` says why it can't be graded, or is ""."""

    name: str
    path: Path
    problem: str = ""
    late: bool = False  # changed after the deadline, by its own dates
    # By the slugs of its lessons: the copy of each, and its folder's path in the submission.
    folders: dict[str, Path] = field(default_factory=dict)
    homes: dict[str, str] = field(default_factory=dict)


def find(folder: Path) -> list[Submission]:
    """Return the submissions in a folder, by name. Hidden files are ignored."""
    paths = sorted(path for path in folder.iterdir() if not ignored(path.name))
    names = [_name(path) for path in paths]
    return [
        Submission(name if names.count(name) == 1 else path.name, path)
        for name, path in zip(names, paths, strict=True)
    ]


def _name(path: Path) -> str:
    return path.name if path.is_dir() else path.name.removesuffix(path.suffix)


def unpack(
    submission: Submission,
    lessons: list[Lesson],
    scratch: Path,
    deadline: datetime | None = None,
) -> None:
    """Copy the submission's lessons to a new folder in `scratch`, or set its `problem`."""
    # The name is secret: code that is graded as another user can't list `scratch`.
    target = scratch / secrets.token_hex(8)
    try:
        with opened(submission.path, deadline) as entries:
            seen = [entry for entry in entries if not _is_ignored(entry.name)]
            homes = _homes(lessons, seen)
            if not homes:
                raise BadSubmission(_missing(lessons))
            changed = _copy({slug: _below(home, seen) for slug, home in homes.items()}, target)
    except BadSubmission as problem:
        shutil.rmtree(target, ignore_errors=True)
        submission.problem = str(problem)
        return
    submission.folders = {slug: target / slug for slug in homes}
    submission.homes = homes
    submission.late = bool(deadline) and changed > deadline.timestamp()


def _is_ignored(name: str) -> bool:
    return any(map(ignored, name.split("/")))


def _missing(lessons: list[Lesson]) -> str:
    if len(lessons) == 1:
        return f"It doesn't contain the lesson {lessons[0].slug}."
    return "It doesn't contain any of the lessons to grade."


def _homes(lessons: list[Lesson], entries: list[Entry]) -> dict[str, str]:
    """Return the folder of each lesson that is there, by its slug."""
    parents: dict[str, set[str]] = {}  # each folder's name, with the paths of the folders above it
    for entry in entries:
        parts = entry.name.split("/")[: -1 if entry.is_file else None]
        for place, part in enumerate(parts):
            parents.setdefault(part, set()).add("/".join(parts[:place]))
    found = {}
    for lesson in lessons:
        homes = [f"{parent}/{lesson.slug}".lstrip("/") for parent in parents.get(lesson.slug, ())]
        if not homes and len(lessons) == 1:
            homes = _unnamed(lesson, entries)
        if home := _best(homes):
            found[lesson.slug] = home
    return found


def _unnamed(lesson: Lesson, entries: list[Entry]) -> list[str]:
    """Return the folders that have a file which the learner is to change in this lesson."""
    starter = starter_files(lesson)
    wanted = {
        name
        for name, content in starter.items()
        if todos(content.decode("utf-8", "replace"), PurePosixPath(name).suffix)
    }
    others = {path.name for path in lesson.solution.parent.iterdir() if path.is_dir()}
    homes = []
    for entry in entries:
        folder, _, name = entry.name.rpartition("/")
        if name in wanted and not others.intersection(folder.split("/")):
            homes.append(folder or ".")
    return homes


def _best(homes: list[str]) -> str:
    """Return the lesson's folder: the one in `lessons`, or nearest to the top; or ""."""

    def rank(home: str) -> tuple:
        above = home.split("/")[:-1]
        return above[-1:] != ["lessons"], len(above), home

    # A clone has our answers too.
    mine = [home for home in homes if "solutions" not in home.split("/")]
    return min(mine, key=rank, default="")


def _below(home: str, entries: list[Entry]) -> dict[str, Entry]:
    """Return the files in a lesson's folder, by their paths in it."""
    if home == ".":
        return {entry.name: entry for entry in entries}
    begin = home + "/"
    return {e.name.removeprefix(begin): e for e in entries if f"{e.name}/".startswith(begin)}


def _copy(homes: dict[str, dict[str, Entry]], target: Path) -> float:
    """Copy the files, and return the latest of their dates. Raises BadSubmission."""
    if sum(map(len, homes.values())) > MOST:
        raise BadSubmission(f"Its lessons have more than {MOST} files.")
    left, latest = LARGEST, 0.0
    for slug, files in homes.items():
        (target / slug).mkdir(parents=True)
        for name, entry in files.items():
            if not entry.is_file:
                raise BadSubmission(f"{entry.name} is a link or a device, not a file.")
            if _NOT_PORTABLE.search(name):
                raise BadSubmission(f"{entry.name!r} isn't a valid path on every system.")
            content = entry.read(left + 1)
            left -= len(content)
            latest = max(latest, entry.changed)
            if left < 0:
                raise BadSubmission(f"Its lessons are larger than {LARGEST // 2**20} MiB.")
            place = target / slug / name
            place.parent.mkdir(parents=True, exist_ok=True)
            with place.open("xb") as file:
                file.write(content)
    _let_others_read(target)
    return latest


def _let_others_read(folder: Path) -> None:
    """Let the user `nobody` read the copy: as root, the grader runs learners' code as that user."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
