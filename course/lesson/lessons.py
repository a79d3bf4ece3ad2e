"""Find the course's lessons in its folders. No manifest lists them.

A lesson's slug names its files in each tree: `08_broadcast` is `docs/lessons/08_broadcast.md`,
`lessons/08_broadcast/`, `solutions/08_broadcast/`, `tests/test_08_broadcast.py` and
`tests/answers/08_broadcast.toml`. Its number is the lesson's place in the course. The page's H1 is
the title and its description the goal. The tests name the tasks, and the page has their hints.
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
# ast.parse() isn't thread-safe on Python 3.11: two calls at once can raise SystemError.
_PARSING = threading.Lock()
SLUG = re.compile(r"([0-9]{2})_([a-z][a-z0-9_]*)")


def pictures(root: Path) -> Path:
    """Return the folder for screenshots of the browser when a task failed."""
    return root / ".course" / "pictures"


class UnknownLesson(LookupError):
    """No lesson has this name. `nearest` is the most similar slug, or ""."""

    def __init__(self, name: str, nearest: str = "") -> None:
        super().__init__(name, nearest)
        self.name, self.nearest = name, nearest

    def __str__(self) -> str:
        advice = f"Did you mean {self.nearest}?" if self.nearest else "No lessons were found."
        return f"No lesson is called {self.name!r}. {advice}"


@dataclass(frozen=True)
class Task:
    """A task of a lesson. `needs` are the tasks that must pass before it is graded."""

    id: str
    title: str
    points: int = 1
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Lesson:
    """A lesson, by its slug. Its files are below `root`, and may be missing."""

    slug: str
    root: Path = ROOT

    @property
    def number(self) -> int:
        """The lesson's place in the course, counting from 1."""
        return int(self.slug[:2])

    @property
    def name(self) -> str:
        """The slug without its number."""
        return self.slug[3:]

    @property
    def page(self) -> Path:
        """The lesson's page on the site, in Markdown."""
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
        """The tests that grade the lesson."""
        return self.root / "tests" / f"test_{self.slug}.py"

    @property
    def answers(self) -> Path:
        """The wrong and right answers that test the lesson's grader."""
        return self.root / "tests" / "answers" / f"{self.slug}.toml"

    @property
    def homes(self) -> tuple[Path, ...]:
        """The five paths above."""
        return self.page, self.lesson, self.solution, self.test, self.answers

    def read_page(self) -> Page:
        """Return the page, or an empty one if the file is missing."""
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
        """What the lesson needs besides the packages: the page's `needs`, as in needs.py."""
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
        """Return the task's hints in order, as Markdown."""
        page = self.read_page()
        heading = next((h for h in page.headings if h.id == task_id), None)
        below = page.section(heading) if heading else ()
        return [box.text for box in page.boxes if box.kind == "hint" and box.line in below]


def lessons(root: Path = ROOT) -> list[Lesson]:
    """Return every lesson that has tests or a solution, by its number."""
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
    """Return the slug of the lesson whose name or number is most similar to `wanted`."""
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
    """Return the tasks that a test file names. Raises SyntaxError if it doesn't parse."""
    tasks: dict[str, Task] = {}
    for call in task_decorators(ast.parse(source, name).body):
        task = _task(call)
        # A later decorator with the same id only adds a test to the task.
        tasks.setdefault(task.id, task)
    return tuple(tasks.values())


def task_decorators(body: list[ast.stmt]) -> list[ast.Call]:
    """Return the `@task(...)` decorators of a module's functions, in order."""
    functions = [node for node in body if isinstance(node, ast.FunctionDef)]
    calls = [d for f in functions for d in f.decorator_list if isinstance(d, ast.Call)]
    return [call for call in calls if getattr(call.func, "id", "") == "task" and call.args]


def _task(call: ast.Call) -> Task:
    """Return the task that a decorator names. The tests are parsed and not imported."""
    values = dict(zip(("id", "title", "points"), map(ast.literal_eval, call.args), strict=False))
    values |= {k.arg: ast.literal_eval(k.value) for k in call.keywords if k.arg}
    needs = values.get("needs", ())
    needs = (needs,) if isinstance(needs, str) else tuple(needs)
    return Task(values["id"], values.get("title", ""), values.get("points", 1), needs)
