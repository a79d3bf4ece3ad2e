"""Make a lesson's starter: its solution with a TODO in place of each answer."""

from fnmatch import fnmatch
from pathlib import Path

from course.lesson.lessons import Lesson
from course.lesson.regions import COMMENTS, starter

IGNORED = (".*", "__pycache__", "*.pyc", "*.sqlite*")


def ignored(name: str) -> bool:
    """Return whether a file or folder of this name isn't part of a lesson."""
    return any(fnmatch(name, pattern) for pattern in IGNORED)


def files(folder: Path) -> dict[str, Path]:
    """Return the files of a lesson's folder by their relative paths, with `/` on every system."""
    found = {}
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if path.is_file() and not any(map(ignored, inside.parts)):
            found[inside.as_posix()] = path
    return found


def starter_files(lesson: Lesson) -> dict[str, bytes]:
    """Return the lesson's starter: the content of each file by its name.

    Raises MarkerError if a marker is wrong, and UnicodeDecodeError if code isn't UTF-8.
    """
    top = lesson.root
    return {name: _starter(path, top) for name, path in files(lesson.solution).items()}


def _starter(path: Path, root: Path) -> bytes:
    """Return a starter's file. A type without markers is copied unchanged from the solution."""
    content = path.read_bytes()
    if path.suffix not in COMMENTS:
        return content
    text = content.decode("utf-8").replace("\r\n", "\n")
    return starter(text, path.suffix, path.relative_to(root).as_posix()).encode("utf-8")
