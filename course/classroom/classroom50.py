"""Classroom 50: `result.json`, in the schema classroom50/result/v1, and an `autograder.py`.

The contract is https://github.com/foundation50/classroom50/wiki/Advanced-Autograding. The schema is
in that repository's `schemas/result-v1.schema.json`.
"""

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime

from course.classroom.actions import COURSE, commit
from course.classroom.graded import Graded
from course.lesson.lessons import Lesson

AUTOGRADER = '''\
"""Grade this assignment with Beyond REST: {lessons}."""

import subprocess
import sys
import tempfile
from pathlib import Path

course = Path(tempfile.mkdtemp()) / "course"
subprocess.run(["git", "clone", "--quiet", "{course}", course], check=True)
subprocess.run(["git", "checkout", "--quiet", "{commit}"], cwd=course, check=True)
command = ["class", "autograde", Path.cwd(), {options}]
command += ["--as", "classroom50", "--out", Path("result.json").resolve()]
sys.exit(subprocess.run([sys.executable, "-m", "course", *command], cwd=course).returncode)
'''


def export(graded: Graded, env: Mapping[str, str] = os.environ) -> bytes:
    """Return `result.json`. The runner's environment says whose submission it is.

    The runner itself sets `owner` and `assignment_type` again, and the commit's date.
    """
    report = graded.report
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    tests = [
        {
            "test-name": f"{lesson.slug} {task.id}: {task.title}",
            "passed": task.status == "passed",
            "score": task.earned,
            "max-score": task.points,
            "message": task.message,
        }
        for lesson in report.lessons
        for task in lesson.tasks
    ]
    data = {
        "schema": "classroom50/result/v1",
        "classroom": env.get("CLASSROOM", ""),
        "assignment": env.get("ASSIGNMENT", ""),
        "assignment_type": env.get("ASSIGNMENT_TYPE") or "individual",
        "owner": env.get("OWNER") or env.get("USERNAME", ""),
        "submission": env.get("SUBMISSION_TAG", ""),
        "commit": env.get("COMMIT_URL", ""),
        "release": env.get("RELEASE_URL", ""),
        "review": env.get("REVIEW_URL") or env.get("COMMIT_URL", ""),
        "datetime": now,
        "graded_at": now,
        "score": report.earned,
        "max-score": report.points,
        "tests": tests,
    }
    return (json.dumps(data, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "replace")


def autograder(lessons: list[Lesson]) -> bytes:
    """Return the `autograder.py` of an assignment that has these lessons."""
    options = ", ".join(f'"--lesson", "{lesson.slug}"' for lesson in lessons)
    slugs = ", ".join(lesson.slug for lesson in lessons)
    text = AUTOGRADER.format(lessons=slugs, course=COURSE, commit=commit(), options=options)
    return text.encode()
