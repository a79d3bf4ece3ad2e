"""A lesson for the rules: each of its files is read once."""

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
    """A broken rule: where, and what to do. `line` is 0 for the whole file."""

    path: Path
    line: int
    text: str

    def sentence(self, root: Path) -> str:
        """Return the message for the author."""
        place = self.path.relative_to(root).as_posix()
        return f"{place}:{self.line}: {self.text}" if self.line else f"{place}: {self.text}"


@dataclass(frozen=True)
class View:
    """A lesson, with the content of its files. `before` is the lesson that it starts from."""

    lesson: Lesson
    before: "View | None" = None

    @property
    def slug(self) -> str:
        """The lesson's slug."""
        return self.lesson.slug

    @cached_property
    def files(self) -> dict[str, Path]:
        """The solution's files, by their relative paths."""
        return files(self.lesson.solution)

    @cached_property
    def code(self) -> dict[str, str]:
        """The text of the solution's files that may have markers, by their relative paths."""
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
                continue  # The rule `markers` reports it.
        return found

    @cached_property
    def todos(self) -> list[Region]:
        """The regions that a learner has to write."""
        return [region for region in self.regions if region.sentence]

    @cached_property
    def tasks(self) -> list[Task]:
        """The tasks. Empty if the tests can't be parsed, which the rule `tasks` reports."""
        try:
            return self.lesson.read_tasks()
        except (SyntaxError, ValueError):
            return []

    @cached_property
    def page(self) -> Page:
        """The page, or an empty one if the file is missing."""
        return self.lesson.read_page()

    def limit(self, name: str, usual: int) -> int:
        """Return the limit that the page's front matter sets, or the usual one."""
        given = self.page.front.get(name, "")
        return int(given) if given.isdecimal() else usual

    def earlier(self, name: str) -> "View | None":
        """Return the nearest earlier lesson whose solution has a file of this name."""
        view = self.before
        while view and name not in view.code:
            view = view.before
        return view


def views(root: Path) -> list[View]:
    """Return a view of every lesson, in order.

    A lesson starts from the one before it, or from the one that its page's `starts_from` names.
    """
    found: dict[str, View] = {}
    for lesson in lessons(root):
        before = lesson.read_page().front.get("starts_from") or next(reversed(found), "")
        found[lesson.slug] = View(lesson, found.get(before))
    return list(found.values())


def read(path: Path) -> str:
    """Return the file's text, with U+FFFD in place of bytes that aren't UTF-8."""
    return path.read_text("utf-8", errors="replace")


def code_lines(text: str) -> list[str]:
    """Return the lines without their indent. Blank lines and comments are omitted."""
    lines = [line.strip() for line in text.split("\n")]
    return [line for line in lines if line and not _COMMENT_LINE.fullmatch(line)]
