"""GitHub Actions: annotations on the learner's lines, and a workflow for a classroom's template.

The commands are those of
https://docs.github.com/en/actions/reference/workflow-commands-for-github-actions.
"""

import re
import subprocess

from course.classroom.graded import Graded
from course.lesson.lessons import ROOT, Lesson
from course.report import TaskResult

COURSE = "https://github.com/beyond-rest/beyond-rest"
_PLACE = re.compile(r"(?P<file>.+):(?P<line>[0-9]+)( .*)?")

WORKFLOW = """\
# Grades each push with Beyond REST, a copy of which the teacher chose: {commit}.
name: grade
on: [push, workflow_dispatch]
permissions:
  contents: read
jobs:
  grade:
    runs-on: ubuntu-latest
    timeout-minutes: 30
    steps:
      - uses: actions/checkout@v6
        with:
          path: submission
      - uses: actions/checkout@v6
        with:
          repository: {repository}
          ref: {commit}
          path: course
      - uses: actions/setup-python@v6
        with:
          python-version: "3.13"
      - run: >-
          python -m course class autograde ../submission {options}
          --as actions --out - --fail
        working-directory: course
"""


def export(graded: Graded) -> bytes:
    """Return the commands to print in a step: an error on each line that a card names."""
    report = graded.report
    lines = [
        _annotation(task, graded.homes.get(lesson.slug, lesson.slug))
        for lesson in report.lessons
        for task in lesson.tasks
        if task.status in ("failed", "error")
    ]
    lines += [f"::warning::{_data(note)}" for lesson in report.lessons for note in lesson.notes]
    lines.append(f"::notice title=Grade::{report.earned} of {report.points} points")
    return ("\n".join(lines) + "\n").encode("utf-8", "replace")


def _annotation(task: TaskResult, home: str) -> str:
    where = ""
    if place := _PLACE.fullmatch(task.card.place):
        file = place["file"] if home == "." else f"{home}/{place['file']}"
        where = f"file={_property(file)},line={place['line']},"
    title = _property(f"{task.id}: {task.title}")
    return f"::error {where}title={title}::{_data(task.message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def workflow(lessons: list[Lesson]) -> bytes:
    """Return a workflow that grades these lessons, for `.github/workflows/grade.yml`."""
    options = " ".join(f"--lesson {lesson.slug}" for lesson in lessons)
    repository = COURSE.removeprefix("https://github.com/")
    return WORKFLOW.format(options=options, repository=repository, commit=commit()).encode()


def commit() -> str:
    """Return the commit of this copy of the course, or `main` if git doesn't know it."""
    try:
        command = ["git", "rev-parse", "HEAD"]
        run = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return "main"
    return run.stdout.decode().strip()
