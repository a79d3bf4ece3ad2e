"""A lesson as the rules see it: each of its homes is read once."""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from course.lesson.lessons import Lesson, Task, lessons
from course.lesson.page import Page
from course.lesson.regions import COMMENTS, MarkerError, Region, regions
from course.lesson.starter import files

_COMMENT_LINE = re.compile(r"\s*(#|//|/\*|<!--).*")


class Refusal(NamedTuple):
    """A rule that is broken: where, and what to do. `line` is 0 where it is the whole file."""

    path: Path
    line: int
    text: str

    def sentence(self, root: Path) -> str:
        """Return it as the author reads it."""
        place = self.path.relative_to(root).as_posix()
        return f"{place}:{self.line}: {self.text}" if self.line else f"{place}: {self.text}"


@dataclass(frozen=True)
class View:
    """A lesson, with what is in its homes. `before` is the lesson before it."""

    lesson: Lesson
    before: "View | None" = None

    @property
    def slug(self) -> str:
        """The lesson's slug."""
        return self.lesson.slug

    @cached_property
    def files(self) -> dict[str, Path]:
        """The solution's files, by their names in it."""
        return files(self.lesson.solution)

    @cached_property
    def code(self) -> dict[str, str]:
        """The text of the solution's files that may have markers, by their names in it."""
        named = {name: path for name, path in self.files.items() if path.suffix in COMMENTS}
        return {name: read(path) for name, path in named.items()}

    @cached_property
    def regions(self) -> list[Region]:
        """The regions of every file whose markers are well formed."""
        found = []
        for name, text in self.code.items():
            try:
                found += regions(text, Path(name).suffix, name)
            except MarkerError:
                continue  # A rule of its own refuses it.
        return found

    @cached_property
    def todos(self) -> list[Region]:
        """The regions that a learner is asked to write."""
        return [region for region in self.regions if region.sentence]

    @cached_property
    def tasks(self) -> list[Task]:
        """The tasks; none where the tests cannot be read, which a rule of its own refuses."""
        try:
            return self.lesson.read_tasks()
        except (SyntaxError, ValueError):
            return []

    @cached_property
    def page(self) -> Page:
        """The page, or an empty one."""
        return self.lesson.read_page()

    def earlier(self, name: str) -> "View | None":
        """Return the nearest lesson before this one whose solution has such a file."""
        view = self.before
        while view and name not in view.code:
            view = view.before
        return view


def views(root: Path) -> list[View]:
    """Return a view of every lesson, in order."""
    found: list[View] = []
    for lesson in lessons(root):
        found.append(View(lesson, found[-1] if found else None))
    return found


def read(path: Path) -> str:
    """Return the file's text, as far as it is UTF-8."""
    return path.read_text("utf-8", errors="replace")


def code_lines(text: str) -> list[str]:
    """Return the lines that do something, without their indent: no blank ones, no comments."""
    lines = [line.strip() for line in text.split("\n")]
    return [line for line in lines if line and not _COMMENT_LINE.fullmatch(line)]
