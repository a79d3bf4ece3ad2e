"""The course's own files are compared with git's, and edited ones are reported."""

import subprocess

import pytest
from little_course import make_course, write

from course.learner import doctor
from course.learner.reset import reset
from course.lesson import intact


@pytest.fixture
def root(tmp_path):
    """A course in a git repository without changes."""
    make_course(tmp_path)
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    for command in (["init", "-q"], ["add", "."], [*identity, "commit", "-qm", "Start"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return tmp_path


def test_an_unchanged_course_has_no_edited_files(root):
    assert intact.edited(root) == []
    assert intact.advice([]) == ""


def test_an_edited_grader_is_reported_with_the_command_that_restores_it(root):
    write(root / "tests" / "test_01_rest.py", "assert True\n")

    finding = doctor.own_files(root)

    assert finding.status == "skipped"
    assert "`git checkout HEAD -- tests/test_01_rest.py`" in finding.what


def test_a_learners_own_files_are_ignored(root):
    write(root / "lessons" / "01_rest" / "app.py", "mine = True\n")

    assert intact.edited(root) == []


def test_a_reset_from_an_edited_solution_says_so(root):
    from course.lesson.lessons import find

    write(root / "solutions" / "01_rest" / "store.py", "given = False\n")

    said = " ".join(reset(find("1", root)))

    assert "solutions/01_rest/store.py differs from the course's own version." in said
    assert "Then reset again." in said


def test_a_copy_without_git_reports_no_edited_files(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))

    assert intact.edited(tmp_path) == []
