"""How `dev answers` judges a grader by its verdicts on an answer."""

import io

import pytest

from course.author import judge
from course.author.answer_file import Answer, in_order
from course.lesson.lessons import find
from course.report import Card, LessonResult, TaskResult


def judged(fails: str, **statuses: str) -> tuple[int, str]:
    """Judge an answer by its tasks' statuses. Returns the exit status and the output."""
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
    assert out.endswith("1 judged correctly, 0 wrongly\n")


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
def test_any_other_verdict_is_a_mistake(fails, connect, states):
    status, out = judged(fails, connect=connect, states=states)

    assert status == 1
    assert "  ✗ 09_browser" in out
    assert out.endswith("0 judged correctly, 1 wrongly\n")


@pytest.mark.parametrize("fails", ["", "connect", "states"])
def test_a_skipped_task_and_those_that_need_it_are_not_judged(fails):
    status, out = judged(fails, connect="skipped", states="blocked")

    assert status == 0
    assert "  - 09_browser" in out
    assert "connect says why" in out
    assert out.endswith("0 judged correctly, 0 wrongly; 1 can't be judged on this machine\n")


def test_a_failed_need_ends_the_grading_of_a_wrong_answer():
    status, out = judged("states", connect="failed")

    assert status == 1
    assert "connect: failed" in out


def test_a_wrong_answer_is_graded_on_its_task_and_the_needs_whose_regions_it_changes():
    lesson = find("1")
    fails = Answer(lesson, "an answer", {"keep": "pass"}, "keep")
    touches = Answer(lesson, "an answer", {"create": "pass"}, "keep")
    whole_file = Answer(lesson, "an answer", {"app.py": "pass"}, "keep")

    assert judge._tasks(fails, "") == ("keep",)
    assert judge._tasks(touches, "") == ("create", "keep")
    assert judge._tasks(whole_file, "") == ("create", "keep", "list", "read")


def test_each_task_must_pass_without_the_code_of_later_tasks():
    answers = {answer.passes: answer for answer in in_order(find("7"))}

    # dispatch is missing: its section asks for a first version of the TODO of validate.
    assert list(answers) == ["welcome", "subprotocol", "validate", "ack", "again"]
    assert answers["again"].code == {"fault": "..."}
    assert judge._tasks(answers["again"], "") == ("again",)


def test_only_applies_to_right_answers_too():
    assert judge._tasks(Answer(find("1"), "the solution"), "") == ()
    assert judge._tasks(Answer(find("1"), "the solution"), "keep") == ("keep",)


def test_resume_skips_an_answer_judged_correctly_until_it_changes(tmp_path, monkeypatch):
    monkeypatch.setattr(judge, "KEPT", tmp_path / ".course" / "answers.jsonl")
    answer = Answer(find("1"), "an answer", {"keep": "pass"}, "keep")
    judge._keep(judge._key(answer))

    assert judge._key(answer) in judge._kept()
    changed = Answer(find("1"), "an answer", {"keep": "return"}, "keep")
    assert judge._key(changed) not in judge._kept()


def test_a_line_of_the_record_that_an_interruption_cut_off_is_ignored(tmp_path, monkeypatch):
    monkeypatch.setattr(judge, "KEPT", tmp_path / "answers.jsonl")
    judge._keep("one")
    judge._keep("two")
    judge.KEPT.write_bytes(judge.KEPT.read_bytes()[:-2])
    judge._keep("three")

    assert judge._kept() == {"one", "three"}
