"""The grades of a class: every submission's report, and their export to CSV, JSON and JUnit XML."""

import csv
import io
import json
from dataclasses import asdict, dataclass, field

from course.classroom.alike import Pair
from course.lesson.lessons import Lesson, Task
from course.report import Card, LessonResult, Report, TaskResult, junit

SCHEMA = "class/1"


@dataclass(frozen=True)
class Asked:
    """A lesson that was graded, with its tasks in order."""

    slug: str
    title: str
    tasks: tuple[Task, ...]

    @classmethod
    def of(cls, lesson: Lesson) -> "Asked":
        """Return it as data, so that a gradebook can be read where the lesson has changed."""
        return cls(lesson.slug, lesson.title, tuple(lesson.tasks))

    @property
    def points(self) -> int:
        """The points that the lesson is worth."""
        return sum(task.points for task in self.tasks)


@dataclass(frozen=True)
class Grade:
    """The report on one submission. `problem` says why it couldn't be graded, or is "".

    The report has only the lessons that were handed in.
    """

    name: str
    report: Report
    problem: str = ""
    late: bool = False


@dataclass(frozen=True)
class Gradebook:
    """The grades of a class, in the order of their names, and the lines that two of them share."""

    grades: list[Grade]
    lessons: list[Asked]
    alike: list[Pair] = field(default_factory=list)
    deadline: str = ""

    @property
    def points(self) -> int:
        """The points that the lessons are worth."""
        return sum(lesson.points for lesson in self.lessons)

    @property
    def problems(self) -> list[Grade]:
        """The submissions that couldn't be graded, or not completely."""
        return [grade for grade in self.grades if grade.problem or _has_error(grade.report)]

    @classmethod
    def from_dict(cls, data: dict) -> "Gradebook":
        """Return what `as_json` wrote, without the shared lines. Raises ValueError."""
        try:
            if data["schema"] != SCHEMA:
                raise ValueError(f"its schema is {data['schema']!r}, not {SCHEMA!r}")
            grades = [
                Grade(one["name"], Report.from_dict(one["report"]), one["problem"], one["late"])
                for one in data["submissions"]
            ]
            lessons = [
                Asked(one["slug"], one["title"], tuple(Task(**task) for task in one["tasks"]))
                for one in data["lessons"]
            ]
            return cls(grades, lessons, deadline=data["deadline"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"it isn't a report of `class grade` ({error!r})") from None


def _has_error(report: Report) -> bool:
    return any(task.status == "error" for lesson in report.lessons for task in lesson.tasks)


def as_json(book: Gradebook) -> bytes:
    """Return the grades as JSON, in UTF-8. Each submission's report is that of `check --json`."""
    data = {
        "schema": SCHEMA,
        "points": book.points,
        "deadline": book.deadline,
        "lessons": [asdict(lesson) for lesson in book.lessons],
        "submissions": [
            {
                "name": grade.name,
                "earned": grade.report.earned,
                "problem": grade.problem,
                "late": grade.late,
                "report": grade.report.as_dict(),
            }
            for grade in book.grades
        ],
        "alike": [asdict(pair) for pair in book.alike],
    }
    return (json.dumps(data, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "replace")


def as_junit(book: Gradebook) -> bytes:
    """Return the grades as JUnit XML. A submission with a problem is a suite with an error."""
    return junit({g.name: _refused(g) if g.problem else g.report for g in book.grades})


def _refused(grade: Grade) -> Report:
    task = TaskResult("submission", "It can be graded", 0, "error", Card(grade.problem))
    return Report(grade.report.seed, [LessonResult("submission", "", [task])])


def as_csv(book: Gradebook) -> bytes:
    """Return a row for each submission: its points, in all and for each lesson and task."""
    rows = [["submission", "earned", "points", "late", "problem"]]
    for lesson in book.lessons:
        rows[0] += [lesson.slug, *(f"{lesson.slug}:{task.id}" for task in lesson.tasks)]
    for grade in book.grades:
        row = [text_cell(grade.name), grade.report.earned, book.points]
        row += ["late" if grade.late else "", text_cell(grade.problem)]
        results = {result.slug: result for result in grade.report.lessons}
        for lesson in book.lessons:
            result = results.get(lesson.slug)
            tasks = {task.id: task for task in result.tasks} if result else {}
            row.append(result.earned if result else 0)
            row += [tasks[task.id].earned if task.id in tasks else 0 for task in lesson.tasks]
        rows.append(row)
    return csv_of(rows)


def csv_of(rows: list[list]) -> bytes:
    """Return rows as CSV (RFC 4180), in UTF-8 with the mark that Excel needs to recognise it."""
    out = io.StringIO(newline="")
    csv.writer(out).writerows(rows)
    return out.getvalue().encode("utf-8-sig", "replace")


def text_cell(text: str) -> str:
    """Return a text that a spreadsheet doesn't take for a formula, and on one line."""
    line = " ".join(text.split())
    return f"'{line}" if line.startswith(("=", "+", "-", "@")) else line
