"""Exercism: `results.json` of a test runner, version 3.

The format is that of https://exercism.org/docs/building/tooling/test-runners/interface.
"""

import ast
import json
import textwrap

from course.classroom.graded import Graded
from course.lesson.lessons import Lesson, lessons, task_decorators
from course.report import TaskResult

LONGEST_OUTPUT = 500  # characters
CUT = "Output was truncated. Please limit to 500 chars"


def export(graded: Graded) -> bytes:
    """Return `results.json`. A test is a task, whose number is its place in the lesson."""
    known = {lesson.slug: lesson for lesson in lessons()}
    tests = [
        _test(task, number, _code(known[result.slug], task.id) if result.slug in known else "")
        for result in graded.report.lessons
        for number, task in enumerate(result.tasks, 1)
    ]
    statuses = {test["status"] for test in tests}
    data = {"version": 3, "status": "pass", "message": None, "tests": tests}
    if statuses <= {"error"}:
        first = tests[0]["message"] if tests else "No task was graded."
        data |= {"status": "error", "message": first}
    elif statuses != {"pass"}:
        data["status"] = "fail"
    return (json.dumps(data, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "replace")


def _test(task: TaskResult, number: int, code: str) -> dict:
    status = {"passed": "pass", "error": "error"}.get(task.status, "fail")
    printed = "\n".join(text for _, text in task.card.printed)
    if len(printed) > LONGEST_OUTPUT:
        printed = printed[: LONGEST_OUTPUT - len(CUT) - 1] + "\n" + CUT
    return {
        "name": f"{task.id}: {task.title}",
        "status": status,
        "message": task.message or None,
        "output": printed or None,
        "test_code": code,
        "task_id": number,
    }


def _code(lesson: Lesson, task_id: str) -> str:
    """Return the bodies of the task's tests."""
    source = lesson.test.read_text("utf-8")
    lines, found = source.split("\n"), []
    for node in ast.parse(source).body:
        if any(call.args[0].value == task_id for call in task_decorators([node])):
            first = node.body[0].lineno
            found.append(textwrap.dedent("\n".join(lines[first - 1 : node.end_lineno])))
    return "\n\n".join(found)
