"""Gradescope: `results.json`, and the zip file of an autograder.

The format is that of https://gradescope-autograders.readthedocs.io/en/latest/specs/.
"""

import io
import json
import zipfile
from pathlib import Path

from course.classroom.graded import Graded
from course.classroom.parts import course_files
from course.lesson.lessons import Lesson
from course.report import LessonResult, TaskResult

# Ubuntu's Python may be too old for the course, so uv installs one, where every user can read it.
SETUP = """\
#!/usr/bin/env bash
set -euo pipefail
cd /autograder/source/course
apt-get update
apt-get install -y python3-pip git
pip3 install uv || pip3 install --break-system-packages uv
export UV_PYTHON_INSTALL_DIR=/opt/python
uv venv --python 3.12 .venv
uv pip install --python .venv/bin/python -r requirements.txt
chmod -R go-rwx solutions tests/answers
"""
# How to install what a lesson needs, by its name in the page's front matter. Ubuntu's own browser
# needs snap, which a container doesn't have. Redis comes with the packages.
NEEDS = {
    "browser": """\
export PLAYWRIGHT_BROWSERS_PATH=/opt/browsers
.venv/bin/python -m playwright install --with-deps chromium
ln -s /opt/browsers/chromium-*/chrome-linux*/chrome /usr/local/bin/chromium
""",
    "nginx": "apt-get install -y nginx\n",
}
RUN = """\
#!/usr/bin/env bash
cd /autograder/source/course
exec .venv/bin/python -m course class autograde /autograder/submission {lessons} \\
    --as gradescope --out /autograder/results/results.json
"""


def export(graded: Graded) -> bytes:
    """Return `results.json`. A task is a test case, with its card as text."""
    report = graded.report
    notes = [note for lesson in report.lessons for note in lesson.notes]
    data = {
        "score": report.earned,
        "execution_time": round(sum(lesson.seconds for lesson in report.lessons), 1),
        "output": "\n".join([f"{report.earned} of {report.points} points", *notes]),
        "output_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "extra_data": {"seed": report.seed},
        "tests": [
            _test(lesson, task, f"{place}.{number}")
            for place, lesson in enumerate(report.lessons, 1)
            for number, task in enumerate(lesson.tasks, 1)
        ],
    }
    return (json.dumps(data, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "replace")


def _test(lesson: LessonResult, task: TaskResult, number: str) -> dict:
    return {
        "name": f"{task.id}: {task.title}",
        "number": number,
        "score": task.earned,
        "max_score": task.points,
        "status": "passed" if task.status == "passed" else "failed",
        "output": task.message,
        "output_format": "text",
        "tags": [lesson.slug, task.status],
        "visibility": "visible",
    }


def autograder(root: Path, lessons: list[Lesson]) -> bytes:
    """Return the zip file to upload: setup.sh, run_autograder, and the course."""
    options = " ".join(f"--lesson {lesson.slug}" for lesson in lessons)
    needed = {name for lesson in lessons for name in lesson.needs}
    setup = SETUP + "".join(text for name, text in NEEDS.items() if name in needed)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        _add(archive, "setup.sh", setup.encode(), 0o755)
        _add(archive, "run_autograder", RUN.format(lessons=options).encode(), 0o755)
        for name, path in course_files(root).items():
            _add(archive, f"course/{name}", path.read_bytes(), 0o644)
    return out.getvalue()


def _add(archive: zipfile.ZipFile, name: str, content: bytes, mode: int) -> None:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    info.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(info, content)
