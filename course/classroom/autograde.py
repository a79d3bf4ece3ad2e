"""Grade one submission for a platform that runs an autograder: the command `class autograde`.

The platform isolates the submission, so it isn't graded in another container.
"""

import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from course.classroom import actions, classroom50, exercism, gradescope
from course.classroom.graded import Graded
from course.classroom.submissions import Submission, unpack
from course.grading.engine import Engine, Job
from course.lesson.lessons import Lesson
from course.report import FORMATS, Card, LessonResult, Report, TaskResult


def _of_report(export: Callable[[Report], bytes]) -> Callable[[Graded], bytes]:
    return lambda graded: export(graded.report)


EXPORTS: dict[str, Callable[[Graded], bytes]] = {
    **{known.name: _of_report(known.export) for known in FORMATS},
    "actions": actions.export,
    "classroom50": classroom50.export,
    "exercism": exercism.export,
    "gradescope": gradescope.export,
}


def autograde(path: Path, lessons: list[Lesson], name: str, out: BinaryIO) -> bool:
    """Grade a submission's lessons, and write them in the format. Returns whether all passed.

    If the submission can't be read, the report says why, and no task has passed.
    """
    seed = random.randrange(10**6)
    submission = Submission(path.name, path)
    with tempfile.TemporaryDirectory(prefix="course-") as folder:
        scratch = Path(folder)
        scratch.chmod(0o711)  # As root, learners' code runs as another user, who must pass it.
        unpack(submission, lessons, scratch)
        jobs = [Job(slug, copy) for slug, copy in submission.folders.items()]
        results = {}
        if jobs:
            with Engine([job.slug for job in jobs]) as engine:
                results = {result.slug: result for result in engine.grade(jobs, seed)}
    problem = submission.problem or "This lesson is missing from the submission."
    reported = [results.get(lesson.slug) or _failed(lesson, problem) for lesson in lessons]
    graded = Graded(Report(seed, reported), submission.homes)
    out.write(EXPORTS[name](graded))
    return graded.report.passed


def _failed(lesson: Lesson, why: str) -> LessonResult:
    tasks = [TaskResult(t.id, t.title, t.points, "failed", Card(why)) for t in lesson.tasks]
    return LessonResult(lesson.slug, lesson.title, tasks, 0.0, [why])
