"""Write the starter again, of a lesson or of one task. What was there is kept."""

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
    """Write the lesson's starter again, and say what was written and where the old files are.

    Raises Refusal where that cannot be done; then every file is still as it was, or kept.
    """
    wanted: dict[str, bytes | None] = dict(_starter(lesson))
    there = files(lesson.lesson)
    wanted |= {name: None for name in there if name not in wanted}
    with _explained(lesson):
        stale = {n: c for n, c in wanted.items() if n not in there or there[n].read_bytes() != c}
        if not stale:
            return [f"{_shown(lesson.lesson, lesson)} is already as it starts."]
        kept = _keep(lesson, [name for name in stale if name in there])
        for name, content in stale.items():
            _write(lesson.lesson / name, content)
    return [f"{_shown(lesson.lesson, lesson)} is as it starts again.", *kept, *_edited(lesson)]


def reset_task(lesson: Lesson, task: Task) -> list[str]:
    """Write the starter again between a task's `TODO` and `END`, and leave the rest as it is.

    Raises Refusal where those lines are gone.
    """
    fresh: dict[str, bytes] = {}
    whole = f"{command(f'reset {lesson.number}')} resets the whole lesson, and keeps what you have."
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
        f"{task.id} is as it starts again, in {', '.join(fresh)}.",
        *kept,
        *_edited(lesson),
    ]


def _restored(lesson: Lesson, name: str, starter: str, names: list[str], whole: str) -> bytes:
    """Return the learner's file with the starter's regions of these names."""
    path = lesson.lesson / name
    with _explained(lesson):
        if not path.is_file():
            raise Refusal(f"{_shown(path, lesson)} is not there. {whole}")
        text = path.read_bytes().decode("utf-8")
    ends = "\r\n" if "\r\n" in text else "\n"
    text = text.replace("\r\n", "\n")
    for region in names:
        if region not in {found.name for found in regions.todos(text, path.suffix)}:
            raise Refusal(
                f"The lines TODO({region}) and END({region}) are no longer both in "
                f"{_shown(path, lesson)}, so what lies between them cannot be found. {whole}"
            )
        text = regions.restore(text, starter, path.suffix, region, name)
    return text.replace("\n", ends).encode("utf-8")


def _edited(lesson: Lesson) -> list[str]:
    """Return a warning if the solution, from which a starter is written, was edited."""
    names = intact.edited(lesson.root, lesson.solution.relative_to(lesson.root).as_posix())
    return [f"{intact.advice(names)} Then reset again."] if names else []


def _starter(lesson: Lesson) -> dict[str, bytes]:
    starter = starter_files(lesson) if lesson.solution.is_dir() else {}
    if not starter:
        raise Refusal(f"There is no solution of {lesson.slug} here to write a starter from.")
    return starter


def _keep(lesson: Lesson, names: list[str]) -> list[str]:
    """Copy these files of the lesson to a new folder, and say where it is."""
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
    return [f"What was there is kept in {_shown(copy.parents[name.count('/')], lesson)}."]


def _write(path: Path, content: bytes | None) -> None:
    """Put the content in the file's place in one step; remove the file for None."""
    if content is None:
        path.unlink()
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_bytes(content)
    os.replace(fresh, path)


def _shown(path: Path, lesson: Lesson) -> str:
    """Return a path as it is shown: from the top of the course."""
    return path.relative_to(lesson.root).as_posix()


@contextlib.contextmanager
def _explained(lesson: Lesson):
    """Turn what goes wrong with files into a Refusal."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise Refusal(
            f"A file of {lesson.slug} is not UTF-8 ({error.reason}), so its regions cannot be "
            f"found. {command(f'reset {lesson.number}')} resets the whole lesson."
        ) from None
    except OSError as error:
        raise Refusal(
            f"{error.filename or _shown(lesson.lesson, lesson)}: {error.strerror}. "
            "Nothing that was not copied first has been replaced."
        ) from None
