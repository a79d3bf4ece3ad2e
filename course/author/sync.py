"""Write `lessons/` from `solutions/`: the command `dev sync`. A starter is never edited by hand.

A learner's work is never lost by it. A file that git does not track is not deleted, and what git
does not have a copy of is kept under `.course/kept/` before it is overwritten.
"""

import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from course.lesson.lessons import lessons
from course.lesson.starter import files, starter_files


@dataclass(frozen=True)
class Change:
    """A file of `lessons/` that is not as it should be. `content` is None where none should be."""

    path: Path
    content: bytes | None


def changes(root: Path) -> list[Change]:
    """Return what has to be written or removed before `lessons/` is as `solutions/` says."""
    wanted = {
        lesson.lesson / name: content
        for lesson in lessons(root)
        if lesson.solution.is_dir()
        for name, content in starter_files(lesson).items()
    }
    there = set(files(root / "lessons").values())
    stale = [path for path, content in wanted.items() if _read(path) != content]
    return [
        *(Change(path, wanted[path]) for path in sorted(stale)),
        *(Change(path, None) for path in sorted(there - set(wanted))),
    ]


def _read(path: Path) -> bytes | None:
    """Return the file's content, or None where there is none."""
    return path.read_bytes() if path.is_file() else None


def sync(root: Path) -> list[str]:
    """Write every starter, remove what no solution has, and return a line for each file.

    Raises MarkerError where a solution's marker is wrong; nothing is written then.
    """
    todo = changes(root)
    safe = _held_by_git(root) if todo else set()
    kept = root / ".course" / "kept" / time.strftime("%Y-%m-%d_%H%M%S")
    return [_apply(change, root, change.path in safe, kept) for change in todo]


def _apply(change: Change, root: Path, safe: bool, kept: Path) -> str:
    """Make one change, and say so. `safe` is whether git could bring back what is there."""
    path, name = change.path, change.path.relative_to(root).as_posix()
    if change.content is None:
        if not safe:
            return (
                f"left {name}: no solution has it, but git could not bring it back. "
                "Delete it yourself if nobody needs it."
            )
        path.unlink()
        _remove_empty(path.parent, root / "lessons")
        return f"removed {name}"
    line = f"wrote {name}"
    if path.is_file() and not safe:
        copy = kept / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, copy)
        line += f"; what was there is kept in {copy.relative_to(root).as_posix()}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(change.content)
    return line


def _remove_empty(folder: Path, top: Path) -> None:
    """Remove the folder and those above it, up to `top`, as far as nothing is left in them."""
    while folder != top and not files(folder):
        shutil.rmtree(folder / "__pycache__", ignore_errors=True)
        if any(folder.iterdir()):
            return
        folder.rmdir()
        folder = folder.parent


def _held_by_git(root: Path) -> set[Path]:
    """Return the files of `lessons/` of which git has this very content."""
    tracked, modified = _git_files(root), _git_files(root, "--modified")
    return tracked - modified


def _git_files(root: Path, *options: str) -> set[Path]:
    """Return the files of `lessons/` that `git ls-files` names; none where git cannot say."""
    command = ["git", "ls-files", "-z", *options, "--", "lessons"]
    try:
        run = subprocess.run(command, cwd=root, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return set()
    return {root / name for name in run.stdout.decode("utf-8", "replace").split("\0") if name}
