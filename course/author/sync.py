"""Write `lessons/` from `solutions/`: the command `dev sync`. Never edit a starter by hand.

It never loses a learner's work. It doesn't delete a file that git doesn't track, and it copies a
file that git couldn't restore to `.course/kept/` before it overwrites that file.
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
    """A file of `lessons/` to write with `content`, or to remove if `content` is None."""

    path: Path
    content: bytes | None


def changes(root: Path) -> list[Change]:
    """Return what to write or remove to make `lessons/` match `solutions/`."""
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
    """Return the file's content, or None if it doesn't exist."""
    return path.read_bytes() if path.is_file() else None


def sync(root: Path) -> list[str]:
    """Write every starter, remove files that no solution has, and return a line for each file.

    Raises MarkerError if a solution's marker is wrong; then nothing is written.
    """
    todo = changes(root)
    safe = _held_by_git(root) if todo else set()
    kept = root / ".course" / "kept" / time.strftime("%Y-%m-%d_%H%M%S")
    return [_apply(change, root, change.path in safe, kept) for change in todo]


def _apply(change: Change, root: Path, safe: bool, kept: Path) -> str:
    """Make one change, and return a line about it. `safe` is whether git could restore the file."""
    path, name = change.path, change.path.relative_to(root).as_posix()
    if change.content is None:
        if not safe:
            return (
                f"left {name}: no solution has it, but git couldn't restore it. "
                "Delete it yourself if it isn't needed."
            )
        path.unlink()
        _remove_empty(path.parent, root / "lessons")
        return f"removed {name}"
    line = f"wrote {name}"
    if path.is_file() and not safe:
        copy = kept / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, copy)
        line += f"; the old file is now {copy.relative_to(root).as_posix()}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(change.content)
    return line


def _remove_empty(folder: Path, top: Path) -> None:
    """Remove the folder if it is empty, then its parents below `top` that are empty."""
    while folder != top and not files(folder):
        shutil.rmtree(folder / "__pycache__", ignore_errors=True)
        if any(folder.iterdir()):
            return
        folder.rmdir()
        folder = folder.parent


def _held_by_git(root: Path) -> set[Path]:
    """Return the files of `lessons/` that git tracks and that are unchanged."""
    tracked, modified = _git_files(root), _git_files(root, "--modified")
    return tracked - modified


def _git_files(root: Path, *options: str) -> set[Path]:
    """Return the files of `lessons/` that `git ls-files` lists; none if git fails."""
    command = ["git", "ls-files", "-z", *options, "--", "lessons"]
    try:
        run = subprocess.run(command, cwd=root, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return set()
    return {root / name for name in run.stdout.decode("utf-8", "replace").split("\0") if name}
