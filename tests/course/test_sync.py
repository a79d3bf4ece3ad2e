"""`dev sync` writes lessons/ from solutions/, and never loses a learner's work."""

import subprocess
from pathlib import Path

import pytest

from course.author.sync import sync
from course.lesson.lessons import Lesson
from course.lesson.regions import MarkerError
from course.lesson.starter import starter_files

APP = """\
def hello():
    # --8<-- [start:hello] Return a greeting.
    return "hello"
    # --8<-- [end:hello]
"""

APP_STARTER = """\
def hello():
    # TODO(hello): Return a greeting.
    ...
    # END(hello)
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A course of one lesson with a solution and without a starter."""
    solution = tmp_path / "solutions/01_hello"
    (solution / "static").mkdir(parents=True)
    (solution / "__pycache__").mkdir()
    (solution / "app.py").write_bytes(APP.encode())
    (solution / "static/logo.png").write_bytes(b"\x89PNG\r\n\xff")
    (solution / "__pycache__/app.pyc").write_bytes(b"compiled")
    (solution / "board.sqlite3-wal").write_bytes(b"a log")
    (solution / ".env").write_bytes(b"a secret")
    return tmp_path


def git(root: Path, *arguments: str) -> None:
    """Run git in the tree with a fixed identity."""
    who = ["-c", "user.name=ada", "-c", "user.email=ada@example.org"]
    subprocess.run(["git", *who, *arguments], cwd=root, check=True, capture_output=True)


def committed(root: Path) -> None:
    """Commit the whole tree."""
    git(root, "init")
    git(root, "add", "--all")
    git(root, "commit", "--message", "Add a lesson")


def test_a_starter_has_blank_regions_and_no_files_from_running_the_app(root):
    assert starter_files(Lesson("01_hello", root)) == {
        "app.py": APP_STARTER.encode(),
        "static/logo.png": b"\x89PNG\r\n\xff",
    }


def test_sync_writes_missing_files_and_then_changes_nothing(root):
    assert sync(root) == ["wrote lessons/01_hello/app.py", "wrote lessons/01_hello/static/logo.png"]
    assert (root / "lessons/01_hello/app.py").read_bytes() == APP_STARTER.encode()
    assert (root / "lessons/01_hello/static/logo.png").read_bytes() == b"\x89PNG\r\n\xff"
    assert sync(root) == []


def test_a_starter_has_the_same_line_endings_on_every_system(root):
    (root / "solutions/01_hello/app.py").write_bytes(APP.replace("\n", "\r\n").encode())

    sync(root)

    assert (root / "lessons/01_hello/app.py").read_bytes() == APP_STARTER.encode()


def test_sync_rewrites_a_starter_that_git_has(root):
    sync(root)
    committed(root)
    (root / "solutions/01_hello/app.py").write_text(APP.replace("greeting", "word"), "utf-8")

    assert sync(root) == ["wrote lessons/01_hello/app.py"]
    assert not (root / ".course").exists()


def test_sync_keeps_a_copy_of_work_that_git_does_not_have(root):
    sync(root)
    committed(root)
    (root / "lessons/01_hello/app.py").write_text("my work", "utf-8")

    (line,) = sync(root)

    said, _, place = line.partition("; the old file is now ")
    assert said == "wrote lessons/01_hello/app.py"
    assert (root / place).read_text("utf-8") == "my work"


def test_sync_removes_a_tracked_file_that_no_solution_has(root):
    sync(root)
    old = root / "lessons/02_gone/deep/old.py"
    old.parent.mkdir(parents=True)
    old.write_text("", "utf-8")
    committed(root)

    assert sync(root) == ["removed lessons/02_gone/deep/old.py"]
    assert not (root / "lessons/02_gone").exists()
    assert (root / "lessons/01_hello").exists()


def test_sync_leaves_a_file_that_git_does_not_track(root):
    sync(root)
    committed(root)
    notes = root / "lessons/01_hello/notes.txt"
    notes.write_text("mine", "utf-8")

    assert sync(root) == [
        "left lessons/01_hello/notes.txt: no solution has it, but git couldn't restore it. "
        "Delete it yourself if it isn't needed."
    ]
    assert notes.read_text("utf-8") == "mine"


def test_without_git_nothing_is_deleted(root):
    sync(root)
    (root / "lessons/01_hello/old.py").write_text("", "utf-8")

    (line,) = sync(root)

    assert line.startswith("left lessons/01_hello/old.py: ")
    assert (root / "lessons/01_hello/old.py").exists()


def test_a_wrong_marker_stops_sync_before_it_writes(root):
    second = root / "solutions/02_world/hub.py"
    second.parent.mkdir()
    second.write_text("# --8<-- [start:a] Do it.\n", "utf-8")

    with pytest.raises(MarkerError, match=r"^solutions/02_world/hub\.py:1: region a has no end"):
        sync(root)

    assert not (root / "lessons").exists()
