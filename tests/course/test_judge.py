"""What `dev answers` makes of the verdicts on an answer."""

import io
import json

import pytest

from course.author import judge
from course.author.answer_file import Answer
from course.lesson.lessons import find
from course.report import Card, LessonResult, TaskResult


def judged(fails: str, **statuses: str) -> tuple[int, str]:
    """Judge an answer by its tasks' statuses. Returns the exit status, and what is printed."""
    tasks = [
        TaskResult(id, id, 1, status, Card(f"{id} says why")) for id, status in statuses.items()
    ]
    answer = Answer(find("9"), "an answer", fails=fails)
    out = io.StringIO()
    telling = judge.Telling(out, 1, before=0)
    telling.tell(judge._judged(answer, LessonResult("09_browser", "", tasks)))
    return telling.end(), out.getvalue()


@pytest.mark.parametrize(
    ("fails", "connect", "states"),
    [("", "passed", "passed"), ("connect", "failed", "blocked"), ("states", "passed", "failed")],
)
def test_a_right_answer_passes_and_a_wrong_one_fails_its_task(fails, connect, states):
    status, out = judged(fails, connect=connect, states=states)

    assert status == 0
    assert "  ✓ 09_browser" in out
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
def test_anything_else_is_a_mistake(fails, connect, states):
    status, out = judged(fails, connect=connect, states=states)

    assert status == 1
    assert "  ✗ 09_browser" in out
    assert out.endswith("0 judged rightly, 1 not\n")


@pytest.mark.parametrize("fails", ["", "connect", "states"])
def test_what_is_skipped_and_what_needs_it_are_not_judged(fails):
    status, out = judged(fails, connect="skipped", states="blocked")

    assert status == 0
    assert "  - 09_browser" in out
    assert "connect says why" in out
    assert out.endswith("0 judged rightly, 0 not; 1 could not be judged here\n")


def test_the_grading_of_a_wrong_answer_ends_with_a_need_that_fails():
    status, out = judged("states", connect="failed")

    assert status == 1
    assert "connect: failed" in out


def test_a_wrong_answer_is_judged_by_its_task_and_the_needs_whose_regions_it_changes():
    lesson = find("1")
    fails = Answer(lesson, "an answer", {"keep": "pass"}, "keep")
    touches = Answer(lesson, "an answer", {"create": "pass"}, "keep")
    whole_file = Answer(lesson, "an answer", {"app.py": "pass"}, "keep")

    assert judge._tasks(fails, "") == ("keep",)
    assert judge._tasks(touches, "") == ("create", "keep")
    assert judge._tasks(whole_file, "") == ("create", "keep", "list", "read")


def test_with_only_the_right_answers_are_judged_by_that_task_too():
    assert judge._tasks(Answer(find("1"), "the solution"), "") == ()
    assert judge._tasks(Answer(find("1"), "the solution"), "keep") == ("keep",)


def test_what_was_judged_rightly_is_left_out_by_resume_until_something_changes(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(judge, "KEPT", tmp_path / ".course" / "answers.jsonl")
    answer = Answer(find("1"), "an answer", {"keep": "pass"}, "keep")
    judge._keep(judge._key(answer))

    assert judge._key(answer) in judge._kept()
    changed = Answer(find("1"), "an answer", {"keep": "return"}, "keep")
    assert judge._key(changed) not in judge._kept()


def test_a_broken_record_of_what_was_judged_counts_as_none(tmp_path, monkeypatch):
    (tmp_path / "answers.jsonl").write_text(json.dumps("one") + "\nnot JSON\n", "utf-8")
    monkeypatch.setattr(judge, "KEPT", tmp_path / "answers.jsonl")

    assert judge._kept() == set()
