"""Which task a save is about, and that the watch screen grades it first."""

import queue
import shutil
from pathlib import Path

import pytest

from course.grading.waiting import PATIENCE
from course.learner.edits import Edits
from course.learner.grader import Checked, Grader
from course.lesson.lessons import Lesson
from course.lesson.starter import starter_files
from course.report import LessonResult, TaskResult

SECONDS = 30 * PATIENCE  # the deadline of a wait


@pytest.fixture
def lesson(tmp_path: Path) -> Lesson:
    """Lesson 1 as a learner starts it."""
    real, copy = Lesson("01_rest"), Lesson("01_rest", tmp_path)
    copy.test.parent.mkdir()
    shutil.copy(real.test, copy.test)
    for name, content in starter_files(real).items():
        (copy.lesson / name).parent.mkdir(parents=True, exist_ok=True)
        (copy.lesson / name).write_bytes(content)
    return copy


def write(lesson: Lesson, task: str, code: str) -> None:
    """Write a line at the end of the task's region."""
    file = lesson.lesson / "app.py"
    end = f"# END({task})"
    file.write_text(file.read_text("utf-8").replace(end, f"{code}\n    {end}"), "utf-8")


def test_a_save_is_about_the_task_whose_region_changed(lesson):
    edits = Edits(lesson)
    write(lesson, "list", "x = 1")
    assert edits.task() == "list"
    write(lesson, "create", "x = 1")
    assert edits.task() == "create"


def test_of_two_changed_regions_the_first_task_counts(lesson):
    edits = Edits(lesson)
    write(lesson, "list", "x = 1")
    write(lesson, "create", "x = 1")
    assert edits.task() == "create"


def test_a_save_outside_of_the_regions_is_about_no_task(lesson):
    edits = Edits(lesson)
    file = lesson.lesson / "app.py"
    file.write_text(f"import json\n{file.read_text('utf-8')}", "utf-8")
    assert edits.task() == ""


def test_a_region_that_was_deleted_or_a_file_that_cannot_be_read_is_about_no_task(lesson):
    edits = Edits(lesson)
    file = lesson.lesson / "app.py"
    file.write_text("", "utf-8")
    assert edits.task() == ""
    file.write_bytes(b"\xff\xfe\x00 TODO(create): TODO")
    assert edits.task() == ""
    shutil.rmtree(lesson.lesson)
    assert edits.task() == ""


class Engine:
    """Takes jobs as the real engine does, and says of each task what it was told to say."""

    def __init__(self, status: str) -> None:
        self.status = status
        self.jobs: list[tuple[tuple[str, ...], bool]] = []

    def grade(self, jobs, seed, on_event) -> list[LessonResult]:
        job = jobs[0]
        self.jobs.append((job.tasks, job.to_first_failure))
        tasks = [TaskResult(task, task, 1, self.status) for task in job.tasks]
        return [LessonResult(job.slug, "REST", tasks, 0.0)]

    def cancel(self) -> None:
        pass

    def close(self) -> None:
        pass


def graded(lesson: Lesson, first: str, status: str) -> list[tuple[tuple[str, ...], bool]]:
    """Return what was graded in turn, and whether only up to the first failure."""
    engine, events = Engine(status), queue.SimpleQueue()
    grader = Grader(events.put, lambda slugs: engine)
    grader.check(lesson, first, 1)
    assert isinstance(events.get(timeout=SECONDS), Checked)
    grader.close()
    return engine.jobs


def test_the_task_of_the_save_is_graded_first_and_the_others_once_it_passes(lesson):
    others = tuple(task.id for task in lesson.tasks if task.id != "list")
    assert graded(lesson, "list", "passed") == [(("list",), True), (others, False)]


def test_if_it_fails_its_card_comes_at_once_and_then_the_whole_lesson_is_graded(lesson):
    assert graded(lesson, "list", "failed") == [(("list",), True), ((), False)]


def test_a_save_that_is_about_no_task_is_graded_whole(lesson):
    assert graded(lesson, "", "passed") == [((), False)]
