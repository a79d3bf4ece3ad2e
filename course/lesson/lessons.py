"""What lessons there are. There is no manifest: the tree of the course says it.

One slug has one home in each tree: `08_broadcast` is `docs/lessons/08_broadcast.md`,
`lessons/08_broadcast/`, `solutions/08_broadcast/`, `tests/test_08_broadcast.py` and
`tests/answers/08_broadcast.toml`. The number is the order, the page's H1 the title, its
description the goal; the tests name the tasks, and the page holds their hints.
"""

import ast
import functools
import re
import threading
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from course.lesson.page import Page

ROOT = Path(__file__).resolve().parents[2]
# Two threads in ast.parse() can disturb each other: on Python 3.11 it ends in a SystemError.
_PARSING = threading.Lock()
SLUG = re.compile(r"([0-9]{2})_([a-z][a-z0-9_]*)")


def pictures(root: Path) -> Path:
    """Return the folder for screenshots of what a browser showed when a task failed."""
    return root / ".course" / "pictures"


class UnknownLesson(LookupError):
    """No lesson has this name. `nearest` is the slug that is most like it, or ""."""

    def __init__(self, name: str, nearest: str = "") -> None:
        super().__init__(name, nearest)
        self.name, self.nearest = name, nearest

    def __str__(self) -> str:
        advice = f"Did you mean {self.nearest}?" if self.nearest else "There are no lessons here."
        return f"There is no lesson {self.name!r}. {advice}"


@dataclass(frozen=True)
class Task:
    """Something to be done in a lesson. `needs` are the tasks without which it says nothing."""

    id: str
    title: str
    points: int = 1
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Lesson:
    """A lesson, by its slug. Its homes are paths below `root`, and may be missing."""

    slug: str
    root: Path = ROOT

    @property
    def number(self) -> int:
        """Its place in the course, counting from 1."""
        return int(self.slug[:2])

    @property
    def name(self) -> str:
        """The slug without its number."""
        return self.slug[3:]

    @property
    def page(self) -> Path:
        """The page to read."""
        return self.root / "docs" / "lessons" / f"{self.slug}.md"

    @property
    def lesson(self) -> Path:
        """The folder that a learner works in."""
        return self.root / "lessons" / self.slug

    @property
    def solution(self) -> Path:
        """The folder of the complete answer."""
        return self.root / "solutions" / self.slug

    @property
    def test(self) -> Path:
        """The tests that grade it."""
        return self.root / "tests" / f"test_{self.slug}.py"

    @property
    def answers(self) -> Path:
        """The wrong and right answers that judge its tests."""
        return self.root / "tests" / "answers" / f"{self.slug}.toml"

    @property
    def homes(self) -> tuple[Path, ...]:
        """All five of them."""
        return self.page, self.lesson, self.solution, self.test, self.answers

    def read_page(self) -> Page:
        """Return the page, or an empty one where there is none."""
        return Page(self.page.read_text("utf-8") if self.page.is_file() else "")

    @property
    def title(self) -> str:
        """The page's H1 as plain text, without the number, which the slug shows too.

        It is the slug if there is no H1.
        """
        titles = (heading.text for heading in self.read_page().headings if heading.level == 1)
        return re.sub(rf"^{self.number}\. |`", "", next(titles, self.slug))

    @property
    def goal(self) -> str:
        """The page's `description`, or ""."""
        return self.read_page().front.get("description", "")

    @property
    def needs(self) -> tuple[str, ...]:
        """What it needs beyond the packages, by the names of needs.py: the page's `needs`."""
        return tuple(re.findall(r"\w+", self.read_page().front.get("needs", "")))

    @property
    def tasks(self) -> list[Task]:
        """The tasks that the tests name, in order; none if the tests can't be read."""
        try:
            return self.read_tasks()
        except (OSError, SyntaxError, ValueError):
            return []

    def read_tasks(self) -> list[Task]:
        """Return the tasks as `tasks` does.

        Raises SyntaxError if the tests don't parse, ValueError or OSError if they can't be read.
        """
        source = self.test.read_text("utf-8") if self.test.is_file() else ""
        with _PARSING:
            return list(_tasks_in(source, self.test.name))

    @property
    def fault(self) -> str:
        """Why the tests can't be read, with the line, in a sentence or two; "" if they can."""
        try:
            self.read_tasks()
        except (OSError, SyntaxError, ValueError) as error:
            return unreadable(self.test, error)
        return ""

    def hints(self, task_id: str) -> list[str]:
        """Return the task's hints, as Markdown, from the nudge to the last."""
        page = self.read_page()
        heading = next((h for h in page.headings if h.id == task_id), None)
        below = page.section(heading) if heading else ()
        return [box.text for box in page.boxes if box.kind == "hint" and box.line in below]


def lessons(root: Path = ROOT) -> list[Lesson]:
    """Return every lesson that has tests or a solution, in the order of the course."""
    slugs = {path.stem.removeprefix("test_") for path in (root / "tests").glob("test_*.py")}
    slugs |= {path.name for path in (root / "solutions").glob("*") if path.is_dir()}
    return [Lesson(slug, root) for slug in sorted(slugs) if SLUG.fullmatch(slug)]


def find(name: str, root: Path = ROOT) -> Lesson:
    """Return the lesson called "8", "08", "broadcast" or "08_broadcast".

    Raises UnknownLesson, which names the nearest one.
    """
    known = lessons(root)
    wanted = name.strip().lower().replace("-", "_")
    for lesson in known:
        if wanted in (lesson.slug, lesson.name) or (
            wanted.isdecimal() and int(wanted) == lesson.number
        ):
            return lesson
    raise UnknownLesson(name, _nearest(wanted, known))


def _nearest(wanted: str, known: list[Lesson]) -> str:
    """Return the slug of the lesson whose name or number is most like what was asked for."""
    if not known:
        return ""
    if wanted.isdecimal():
        return min(known, key=lambda lesson: abs(lesson.number - int(wanted))).slug
    slugs = {lesson.slug: lesson.slug for lesson in known} | {
        lesson.name: lesson.slug for lesson in known
    }
    return slugs[get_close_matches(wanted, slugs, n=1, cutoff=0)[0]]


def unreadable(test: Path, error: BaseException, line: int = 0) -> str:
    """Return a sentence on a test file that can't be used, with the command that restores it."""
    said = error.msg if isinstance(error, SyntaxError) else str(error)
    line = (isinstance(error, SyntaxError) and error.lineno) or line
    name = f"tests/{test.name}"
    return (
        f"{name}{f':{line}' if line else ''} can't be used: {type(error).__name__}: {said}. "
        f"`git checkout HEAD -- {name}` restores it."
    )


@functools.lru_cache(maxsize=64)
def _tasks_in(source: str, name: str) -> tuple[Task, ...]:
    """Return the tasks that a test file names. Raises SyntaxError where it does not parse."""
    tasks: dict[str, Task] = {}
    for call in task_decorators(ast.parse(source, name).body):
        task = _task(call)
        # A later decorator with the same id only adds a test to the task.
        tasks.setdefault(task.id, task)
    return tuple(tasks.values())


def task_decorators(body: list[ast.stmt]) -> list[ast.Call]:
    """Return the calls of `@task(...)` that stand above a module's functions, in order."""
    functions = [node for node in body if isinstance(node, ast.FunctionDef)]
    calls = [d for f in functions for d in f.decorator_list if isinstance(d, ast.Call)]
    return [call for call in calls if getattr(call.func, "id", "") == "task" and call.args]


def _task(call: ast.Call) -> Task:
    """Return the task that a decorator names, without importing the tests."""
    values = dict(zip(("id", "title", "points"), map(ast.literal_eval, call.args), strict=False))
    values |= {k.arg: ast.literal_eval(k.value) for k in call.keywords if k.arg}
    needs = values.get("needs", ())
    needs = (needs,) if isinstance(needs, str) else tuple(needs)
    return Task(values["id"], values.get("title", ""), values.get("points", 1), needs)
