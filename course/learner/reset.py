"""Restore the starter of a lesson or of one task, after copying the learner's files."""

import contextlib
import os
import shutil
import time
from pathlib import Path

from course.learner.refusal import Refusal, command
from course.lesson import intact, regions
from course.lesson.lessons import Lesson, Task
from course.lesson.starter import files, starter_files


def reset(lesson: Lesson) -> list[str]:
    """Restore the lesson's starter, and return sentences about it and the old files' copies.

    Raises Refusal if that fails; then every file is unchanged or has a copy.
    """
    wanted: dict[str, bytes | None] = dict(_starter(lesson))
    there = files(lesson.lesson)
    wanted |= {name: None for name in there if name not in wanted}
    with _explained(lesson):
        stale = {n: c for n, c in wanted.items() if n not in there or there[n].read_bytes() != c}
        if not stale:
            return [f"{_shown(lesson.lesson, lesson)} is already the starter."]
        kept = _keep(lesson, [name for name in stale if name in there])
        for name, content in stale.items():
            _write(lesson.lesson / name, content)
    return [f"{_shown(lesson.lesson, lesson)} is the starter again.", *kept, *_edited(lesson)]


def reset_task(lesson: Lesson, task: Task) -> list[str]:
    """Restore the starter between a task's `TODO` and `END`, and leave the rest unchanged.

    Raises Refusal if those lines are missing.
    """
    fresh: dict[str, bytes] = {}
    whole = f"{command(f'reset {lesson.number}')} resets the whole lesson, and copies your files."
    for name, content in _starter(lesson).items():
        suffix = Path(name).suffix
        if suffix not in regions.COMMENTS:
            continue
        starter = content.decode("utf-8")
        names = [r.name for r in regions.todos(starter, suffix) if r.task == task.id]
        if names:
            fresh[name] = _restored(lesson, name, starter, names, whole)
    if not fresh:
        raise Refusal(f"The starter has no TODO of its own for {task.id}. {whole}")
    with _explained(lesson):
        kept = _keep(lesson, list(fresh))
        for name, content in fresh.items():
            _write(lesson.lesson / name, content)
    return [
        f"{task.id} is the starter's again, in {', '.join(fresh)}.",
        *kept,
        *_edited(lesson),
    ]


def _restored(lesson: Lesson, name: str, starter: str, names: list[str], whole: str) -> bytes:
    """Return the learner's file with these regions restored from the starter."""
    path = lesson.lesson / name
    with _explained(lesson):
        if not path.is_file():
            raise Refusal(f"{_shown(path, lesson)} doesn't exist. {whole}")
        text = path.read_bytes().decode("utf-8")
    ends = "\r\n" if "\r\n" in text else "\n"
    text = text.replace("\r\n", "\n")
    for region in names:
        if region not in {found.name for found in regions.todos(text, path.suffix)}:
            raise Refusal(
                f"The line TODO({region}) or END({region}) is missing from "
                f"{_shown(path, lesson)}, so the code between them can't be found. {whole}"
            )
        text = regions.restore(text, starter, path.suffix, region, name)
    return text.replace("\n", ends).encode("utf-8")


def _edited(lesson: Lesson) -> list[str]:
    """Return a warning if the solution, which the starter is made from, was edited."""
    names = intact.edited(lesson.root, lesson.solution.relative_to(lesson.root).as_posix())
    return [f"{intact.advice(names)} Then reset again."] if names else []


def _starter(lesson: Lesson) -> dict[str, bytes]:
    starter = starter_files(lesson) if lesson.solution.is_dir() else {}
    if not starter:
        raise Refusal(f"The solution of {lesson.slug}, which its starter is made from, is missing.")
    return starter


def _keep(lesson: Lesson, names: list[str]) -> list[str]:
    """Copy these files of the lesson to a new folder, and return a sentence that names it."""
    if not names:
        return []
    stamp = time.strftime("%Y-%m-%d_%H%M%S")
    top = lesson.root / ".course" / "kept"
    number = 1
    while (kept := top / (stamp if number == 1 else f"{stamp}_{number}")).exists():
        number += 1
    for name in names:
        copy = kept / "lessons" / lesson.slug / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(lesson.lesson / name, copy)
    return [f"Your files were copied to {_shown(copy.parents[name.count('/')], lesson)}."]


def _write(path: Path, content: bytes | None) -> None:
    """Replace the file's content atomically, or remove the file if `content` is None."""
    if content is None:
        path.unlink()
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_bytes(content)
    os.replace(fresh, path)


def _shown(path: Path, lesson: Lesson) -> str:
    """Return a path for a message, relative to the course's root."""
    return path.relative_to(lesson.root).as_posix()


@contextlib.contextmanager
def _explained(lesson: Lesson):
    """Raise a Refusal in place of an error of a file."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise Refusal(
            f"A file of {lesson.slug} isn't UTF-8 ({error.reason}), so its regions can't be "
            f"found. {command(f'reset {lesson.number}')} resets the whole lesson."
        ) from None
    except OSError as error:
        raise Refusal(
            f"{error.filename or _shown(lesson.lesson, lesson)}: {error.strerror}. "
            "Every file that was replaced has a copy in .course/kept."
        ) from None
