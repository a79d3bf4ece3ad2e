"""What a check found: one model, and its exports to JSON and JUnit XML."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

Status = Literal["passed", "failed", "blocked", "error", "skipped"]


@dataclass(frozen=True)
class TaskResult:
    """One task's verdict. `message` is the card of what went wrong, as plain text."""

    id: str
    title: str
    points: int
    status: Status
    message: str = ""
    seconds: float = 0.0

    @property
    def earned(self) -> int:
        """The points that this verdict is worth: all of them, or none."""
        return self.points if self.status == "passed" else 0


@dataclass(frozen=True)
class LessonResult:
    """One lesson's verdicts, in the order of its tests. `notes` are about its folder as a whole."""

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
        """Whether every task passed. A lesson without tasks has not."""
        return bool(self.tasks) and all(task.status == "passed" for task in self.tasks)


@dataclass(frozen=True)
class Report:
    """What a check found in all the lessons it was asked for."""

    seed: int
    lessons: list[LessonResult]

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
        """Whether every lesson passed. A report on nothing has not."""
        return bool(self.lessons) and all(lesson.passed for lesson in self.lessons)

    def as_dict(self) -> dict:
        """Return the report as JSON's types, in the form that `--json` writes."""
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
                    "tasks": [
                        {
                            **asdict(task),
                            "earned": task.earned,
                            "seconds": round(task.seconds, 3),
                        }
                        for task in lesson.tasks
                    ],
                }
                for lesson in self.lessons
            ],
        }


def write_json(report: Report, path: Path) -> None:
    """Write the report as JSON.

    Raises OSError where the file cannot be written.
    """
    path.write_text(json.dumps(report.as_dict(), indent=2, ensure_ascii=False) + "\n", "utf-8")


def write_junit(report: Report, path: Path) -> None:
    """Write the report as JUnit XML: a suite for each lesson, a case for each task.

    Raises OSError where the file cannot be written.
    """
    # A blocked task has not been judged and earns nothing: JUnit's word for that is skipped.
    elements = {"failed": "failure", "error": "error", "blocked": "skipped", "skipped": "skipped"}
    root = ElementTree.Element("testsuites", name="beyond-rest")
    for lesson in report.lessons:
        count = dict.fromkeys(("failure", "error", "skipped"), 0)
        suite = ElementTree.SubElement(root, "testsuite", name=lesson.slug)
        for task in lesson.tasks:
            case = ElementTree.SubElement(
                suite,
                "testcase",
                classname=lesson.slug,
                name=f"{task.id}: {task.title}",
                time=f"{task.seconds:.3f}",
            )
            if task.status != "passed":
                name = elements[task.status]
                count[name] += 1
                first = next(iter(task.message.splitlines()), task.status)
                text = _xml_text(task.message)
                ElementTree.SubElement(case, name, message=_xml_text(first)).text = text
        suite.set("tests", str(len(lesson.tasks)))
        suite.set("failures", str(count["failure"]))
        suite.set("errors", str(count["error"]))
        suite.set("skipped", str(count["skipped"]))
        suite.set("time", f"{lesson.seconds:.3f}")
    ElementTree.indent(root)
    ElementTree.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def _xml_text(text: str) -> str:
    """Return the text without what XML 1.0 cannot hold (section 2.2): learners print anything."""
    return "".join(
        c
        for c in text
        if c in "\t\n\r" or " " <= c <= "\ud7ff" or "\ue000" <= c <= "\ufffd" or c > "\uffff"
    )
