"""The results of a check, and their exports to JSON and JUnit XML."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, fields
from typing import Literal, NamedTuple, get_args

Status = Literal["passed", "failed", "blocked", "error", "skipped"]
STATUSES: tuple[str, ...] = get_args(Status)


class WireLine(NamedTuple):
    """A line of a transcript: `arrow` is →, ←, ✂ for an event, or … for omitted lines."""

    who: str
    arrow: str
    what: str


class Part(NamedTuple):
    """A labelled part of a card. Code refers to its `key`; a learner reads its `label`."""

    key: str
    label: str
    text: str


@dataclass(frozen=True)
class Card:
    """What went wrong in a task, as data. `text()` returns what a learner reads.

    A card with a `sentence` says why the task wasn't graded, or that the grader failed.
    """

    sentence: str = ""
    wire: tuple[WireLine, ...] = ()
    expected: str = ""
    got: str = ""
    place: str = ""  # a line of the learner's code: "app.py:12 create"
    waits: bool = False  # that line only waits, so it may be right
    raised: str = ""  # the error that the code raised there
    source: str = ""  # the text of that line
    screenshot: str = ""  # its path
    next: str = ""
    printed: tuple[tuple[str, str], ...] = ()  # (stream's name, what the code printed there)
    needs: tuple[str, ...] = ()  # tasks that must pass before this one is graded

    @classmethod
    def blocked(cls, need: str) -> "Card":
        """Return the card of a task that can't be graded until the task `need` has passed."""
        return cls(f"It needs {need}, which has not passed yet.", needs=(need,))

    @classmethod
    def from_dict(cls, data: dict) -> "Card":
        """Return the card from what `dataclasses.asdict` made of it, with or without JSON."""
        lines = tuple(WireLine(*line) for line in data["wire"])
        printed = tuple((name, text) for name, text in data["printed"])
        return cls(**{**data, "wire": lines, "printed": printed, "needs": tuple(data["needs"])})

    @property
    def blocker(self) -> str:
        """Why the task is blocked, for its line in a list: "needs create"; or ""."""
        return f"needs {', '.join(self.needs)}" if self.needs else ""

    def text(self) -> str:
        """Return the card as plain text, with a line for each part."""
        width = max((len(line.who) for line in self.wire), default=0)
        lines = [self.sentence] if self.sentence else []
        lines += [f"{line.who:<{width}} {line.arrow} {line.what}" for line in self.wire]
        lines += [f"{part.label}: {part.text}" for part in self.labelled()]
        for name, text in self.printed:
            lines += [f"{name}:", *("    " + line for line in text.split("\n"))]
        return "\n".join(lines)

    def labelled(self) -> Iterator[Part]:
        """Yield each labelled part that isn't empty, in order."""
        if self.expected:
            yield Part("expected", "expected", self.expected)
        if self.got:
            yield Part("got", "got", self.got)
        if self.place:
            told = f" → {self.raised}" if self.raised else ""
            source = f"\n    {self.source}" if self.source else ""
            label = "waiting at" if self.waits else "in your code"
            yield Part("place", label, self.place + told + source)
        elif self.raised:
            yield Part("raised", "your code raised", self.raised)
        if self.screenshot:
            yield Part("screenshot", "screenshot", self.screenshot)
        if self.next:
            yield Part("next", "next", self.next)


@dataclass(frozen=True)
class TaskResult:
    """One task's verdict, with a card if it didn't pass."""

    id: str
    title: str
    points: int
    status: Status
    card: Card = Card()
    seconds: float = 0.0

    @classmethod
    def from_dict(cls, data: dict) -> "TaskResult":
        """Return the verdict from what `dataclasses.asdict` made of it, with or without JSON."""
        return cls(**{**data, "card": Card.from_dict(data["card"])})

    @property
    def message(self) -> str:
        """The card as plain text; empty if the task passed."""
        return self.card.text()

    @property
    def earned(self) -> int:
        """The points earned: all of them if the task passed, else 0."""
        return self.points if self.status == "passed" else 0


@dataclass(frozen=True)
class LessonResult:
    """One lesson's verdicts, in the order of its tests. `notes` are about the whole folder."""

    slug: str
    title: str
    tasks: list[TaskResult]
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)

    @property
    def points(self) -> int:
        """The points that the lesson is worth."""
        return sum(task.points for task in self.tasks)

    @property
    def earned(self) -> int:
        """The points earned."""
        return sum(task.earned for task in self.tasks)

    @property
    def passed(self) -> bool:
        """Whether every task passed. False for a lesson without tasks."""
        return bool(self.tasks) and all(task.status == "passed" for task in self.tasks)


@dataclass(frozen=True)
class Report:
    """The results of all the lessons that were checked."""

    seed: int
    lessons: list[LessonResult]

    @classmethod
    def from_dict(cls, data: dict) -> "Report":
        """Return the report from what `as_dict` made of it. Raises ValueError if it isn't one."""
        try:
            return cls(data["seed"], [_lesson_from_dict(lesson) for lesson in data["lessons"]])
        except (KeyError, TypeError, AttributeError) as error:
            problem = f"{type(error).__name__}: {error}"
            raise ValueError(f"it isn't a report of `check --json` ({problem})") from None

    @property
    def points(self) -> int:
        """The points that these lessons are worth."""
        return sum(lesson.points for lesson in self.lessons)

    @property
    def earned(self) -> int:
        """The points earned."""
        return sum(lesson.earned for lesson in self.lessons)

    @property
    def passed(self) -> bool:
        """Whether every lesson passed. False for a report without lessons."""
        return bool(self.lessons) and all(lesson.passed for lesson in self.lessons)

    def as_dict(self) -> dict:
        """Return the report as JSON's types, in the form that `--json` writes them."""
        return {
            "schema": 1,
            "seed": self.seed,
            "points": self.points,
            "earned": self.earned,
            "lessons": [
                {
                    "slug": lesson.slug,
                    "title": lesson.title,
                    "points": lesson.points,
                    "earned": lesson.earned,
                    "seconds": round(lesson.seconds, 3),
                    "notes": lesson.notes,
                    "tasks": [_task_as_dict(task) for task in lesson.tasks],
                }
                for lesson in self.lessons
            ],
        }


def _task_as_dict(task: TaskResult) -> dict:
    card = asdict(task.card) | {"wire": [line._asdict() for line in task.card.wire]}
    return {
        "id": task.id,
        "title": task.title,
        "points": task.points,
        "earned": task.earned,
        "status": task.status,
        "seconds": round(task.seconds, 3),
        "message": task.message,
        **card,
    }


def _lesson_from_dict(data: dict) -> LessonResult:
    tasks = [_task_from_dict(task) for task in data["tasks"]]
    return LessonResult(data["slug"], data["title"], tasks, data["seconds"], data["notes"])


def _task_from_dict(data: dict) -> TaskResult:
    if data["status"] not in STATUSES:
        raise TypeError(f"no status is called {data['status']!r}")
    card = {known.name: data[known.name] for known in fields(Card)}
    card["wire"] = [WireLine(**line) for line in card["wire"]]
    kept = {name: data[name] for name in ("id", "title", "points", "status", "seconds")}
    return TaskResult.from_dict(kept | {"card": card})


def as_json(report: Report) -> bytes:
    """Return the report as JSON, in UTF-8."""
    return (json.dumps(report.as_dict(), indent=2, ensure_ascii=False) + "\n").encode()


def as_junit(report: Report) -> bytes:
    """Return the report as JUnit XML, in UTF-8: a suite for each lesson, a case for each task."""
    return junit({"": report})


def junit(reports: dict[str, Report]) -> bytes:
    """Return several reports as one JUnit XML. A key, if any, begins the names of its suites."""
    from xml.etree import ElementTree  # Here, since the command line imports this module.

    root = ElementTree.Element("testsuites", name="beyond-rest")
    for name, report in reports.items():
        for lesson in report.lessons:
            suite = _xml_text(f"{name}.{lesson.slug}" if name else lesson.slug)
            _add_suite(root, suite, lesson)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"


def _add_suite(root, name: str, lesson: LessonResult) -> None:
    from xml.etree.ElementTree import SubElement

    # A blocked task wasn't graded and earns nothing. JUnit calls that skipped.
    elements = {"failed": "failure", "error": "error", "blocked": "skipped", "skipped": "skipped"}
    count = dict.fromkeys(("failure", "error", "skipped"), 0)
    suite = SubElement(root, "testsuite", name=name)
    for task in lesson.tasks:
        title, seconds = f"{task.id}: {task.title}", f"{task.seconds:.3f}"
        case = SubElement(suite, "testcase", classname=name, name=title, time=seconds)
        if task.status != "passed":
            element = elements[task.status]
            count[element] += 1
            first = next(iter(task.message.splitlines()), task.status)
            text = _xml_text(task.message)
            SubElement(case, element, message=_xml_text(first)).text = text
    suite.set("tests", str(len(lesson.tasks)))
    suite.set("failures", str(count["failure"]))
    suite.set("errors", str(count["error"]))
    suite.set("skipped", str(count["skipped"]))
    suite.set("time", f"{lesson.seconds:.3f}")


def _xml_text(text: str) -> str:
    """Return the text without the characters that XML 1.0 (section 2.2) forbids."""
    return "".join(
        c
        for c in text
        if c in "\t\n\r" or " " <= c <= "\ud7ff" or "\ue000" <= c <= "\ufffd" or c > "\uffff"
    )


class Format(NamedTuple):
    """A format for reports. `name` is that of the option of `check`, `shown` that of the format."""

    name: str
    shown: str
    export: Callable[[Report], bytes]


# The command line, the refusals and the exports of `check` read this table.
FORMATS = (
    Format("json", "JSON", as_json),
    Format("junit", "JUnit XML", as_junit),
)
