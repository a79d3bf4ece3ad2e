"""Moodle: fill the grading worksheet of an assignment.

Moodle's importer (mod/assign/feedback/offline/importgradeslib.php) needs the columns Identifier,
Grade and "Last modified (grade)", so all columns are written as they were.
"""

import re

from course.classroom.gradebook import Grade, Gradebook, text_cell
from course.classroom.sheet import Filled, Rows, column, scaled

ADVICE = "Download it in English: in the assignment, choose Download grading worksheet."
NAMES = ("Full name", "Email address", "ID number", "Username")
# Moodle names the folder of an upload "Ada Byron_1815_assignsubmission_file_".
NUMBER = re.compile(r"_(?P<number>[0-9]+)_assignsubmission_")


def fill(rows: list[list[str]], book: Gradebook) -> Filled:
    """Return the worksheet with grades, on its own scale, and with comments. Raises Refusal."""
    header = rows[0] if rows else []
    identifier, points = column(header, "Identifier", ADVICE), column(header, "Grade", ADVICE)
    column(header, "Last modified (grade)", ADVICE)
    learners = Rows(book, NUMBER)
    filled = [header]
    for row in rows[1:]:
        cells = dict(zip(header, row, strict=False))
        number = re.sub(r"[^0-9]", "", row[identifier]) if row else ""
        grade = learners.grade(number, [cells.get(name, "") for name in NAMES])
        if grade and cells.get("Grade can be changed", "Yes") != "No":
            row = list(row)
            row[points] = scaled(grade, book, cells.get("Maximum grade", ""))
            if "Feedback comments" in header:
                row[header.index("Feedback comments")] = text_cell(comment(grade))
        filled.append(row)
    return Filled(filled, list(learners.left()))


def comment(grade: Grade) -> str:
    """Return what a learner reads beside the grade: the tasks that didn't pass."""
    if grade.problem:
        return grade.problem
    open_tasks = [
        f"{task.id} ({task.status})"
        for lesson in grade.report.lessons
        for task in lesson.tasks
        if task.status != "passed"
    ]
    return f"Not passed: {', '.join(open_tasks)}." if open_tasks else "Every task passed."
