"""The report on a class as one HTML page, which can be printed: report.html is its template."""

from pathlib import Path
from urllib.parse import quote

import jinja2

from course.classroom.gradebook import Asked, Gradebook
from course.learner.paint import UNICODE, printable
from course.report import Report, TaskResult

MEANINGS = {
    "passed": "passed",
    "failed": "failed",
    "blocked": "blocked: a task that it needs hasn't passed",
    "error": "the grader failed",
    "skipped": "not graded on this machine",
    "absent": "not handed in",
}


def as_html(book: Gradebook) -> bytes:
    """Return the page, in UTF-8. It loads nothing from another host."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["printable"] = printable
    environment.filters["lines"] = lambda text: "\n".join(map(printable, text.split("\n")))
    environment.filters["sign"] = sign
    environment.filters["picture"] = picture
    template = environment.get_template("report.html")
    text = template.render(book=book, cell=cell, passing=passing, meanings=MEANINGS)
    return text.encode("utf-8", "replace")


def sign(status: str) -> str:
    """Return the sign of a verdict, as `check` shows it."""
    return " " if status == "absent" else UNICODE.of(status)


def picture(screenshot: str) -> str:
    """Return the URL of a screenshot beside the page: `pictures/ada/01_rest.png`; or ""."""
    parts = Path(screenshot).parts[-3:]
    return quote("/".join(parts)) if parts[:1] == ("pictures",) else ""


def cell(report: Report, lesson: Asked, task_id: str) -> TaskResult | None:
    """Return the verdict on a task; None if the lesson wasn't handed in."""
    for result in report.lessons:
        for task in result.tasks:
            if result.slug == lesson.slug and task.id == task_id:
                return task
    return None


def passing(book: Gradebook, lesson: Asked, task_id: str) -> int:
    """Return how many submissions passed a task."""
    cells = (cell(grade.report, lesson, task_id) for grade in book.grades)
    return sum(task is not None and task.status == "passed" for task in cells)
