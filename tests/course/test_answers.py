"""What `dev answers` makes of the verdicts on an answer."""

import pytest

from course.author import judge
from course.lesson.lessons import find
from course.report import LessonResult, TaskResult


def judged(capsys, fails: str, **statuses: str) -> tuple[int, str]:
    """Judge an answer by its tasks' statuses. Returns the exit status, and what is printed."""
    tasks = [TaskResult(id, id, 1, status, f"{id} says why") for id, status in statuses.items()]
    answer = judge.Answer(find("9"), "an answer", fails=fails)
    status = judge._say([judge._judged(answer, LessonResult("09_browser", "", tasks))])
    return status, capsys.readouterr().out


@pytest.mark.parametrize(
    ("fails", "connect", "states"),
    [("", "passed", "passed"), ("connect", "failed", "blocked"), ("states", "passed", "failed")],
)
def test_a_right_answer_passes_and_a_wrong_one_fails_its_task(capsys, fails, connect, states):
    status, out = judged(capsys, fails, connect=connect, states=states)

    assert status == 0
    assert out.startswith("✓")
    assert out.endswith("1 judged rightly, 0 not\n")


@pytest.mark.parametrize(
    ("fails", "connect", "states"),
    [
        ("", "passed", "failed"),
        ("", "error", "blocked"),
        ("connect", "passed", "failed"),
        ("states", "failed", "blocked"),
        ("states", "passed", "error"),
    ],
)
def test_anything_else_is_a_mistake(capsys, fails, connect, states):
    status, out = judged(capsys, fails, connect=connect, states=states)

    assert status == 1
    assert out.startswith("✗")
    assert out.endswith("0 judged rightly, 1 not\n")


@pytest.mark.parametrize("fails", ["", "connect", "states"])
def test_what_is_skipped_and_what_needs_it_are_not_judged(capsys, fails):
    status, out = judged(capsys, fails, connect="skipped", states="blocked")

    assert status == 0
    assert out.startswith("-")
    assert "connect says why" in out
    assert out.endswith("0 judged rightly, 0 not; 1 could not be judged here\n")
