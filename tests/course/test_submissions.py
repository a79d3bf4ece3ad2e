"""What a learner can hand in, and what is refused: links, paths out of the folder, bombs."""

import os
import stat
import subprocess
import zipfile
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from little_course import SOLUTION, STARTER, make_course, write

from course.classroom import handed_in, submissions
from course.lesson.lessons import Lesson

GIT = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b.c"}
GIT |= {"GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b.c"}
ANSWER = {"01_rest/app.py": SOLUTION}


class Room:
    """A folder of submissions to a little course."""

    def __init__(self, folder: Path) -> None:
        self.lessons: list[Lesson] = make_course(folder / "course")
        self.folder = folder / "handed in"
        self.scratch = folder / "scratch"
        self.folder.mkdir()
        self.scratch.mkdir()

    def folder_of(self, name: str, files: dict[str, str]) -> Path:
        """Hand in a folder."""
        for file, text in files.items():
            write(self.folder / name / file, text)
        return self.folder / name

    def zip_of(self, name: str, files: dict[str, str | bytes]) -> Path:
        """Hand in a zip file."""
        path = self.folder / f"{name}.zip"
        path.parent.mkdir(exist_ok=True)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file, content in files.items():
                archive.writestr(file, content)
        return path

    def bundle_of(self, name: str, commits: list[tuple[dict[str, str], datetime]]) -> Path:
        """Hand in a git bundle with these commits, each at its time."""
        clone = self.scratch / f"clone of {name}"
        clone.mkdir()
        bundle = self.folder / f"{name}.bundle"
        git(clone, "init", "--quiet", "--initial-branch=main")
        for files, at in commits:
            for file, text in files.items():
                write(clone / file, text)
            git(clone, "add", "--all")
            git(clone, "commit", "--quiet", "--message=work", at=at)
        git(clone, "bundle", "create", "--quiet", str(bundle), "main")
        return bundle

    def unpack(self, *numbers: int, deadline: datetime | None = None):
        """Unpack the only submission. Returns it."""
        (found,) = submissions.find(self.folder)
        chosen = [x for x in self.lessons if x.number in numbers] or self.lessons
        submissions.unpack(found, chosen, self.scratch, deadline)
        return found

    def problem(self, *numbers: int) -> str:
        """Return why the only submission can't be graded. Nothing may be left of it."""
        found = self.unpack(*numbers)
        assert found.folders == {}
        return found.problem


def git(folder: Path, *arguments: str, at: datetime | None = None) -> None:
    """Run git, with a fixed author and time."""
    dates = {f"GIT_{who}_DATE": at.isoformat() for who in ("AUTHOR", "COMMITTER")} if at else {}
    subprocess.run(["git", *arguments], cwd=folder, env={**os.environ, **GIT, **dates}, check=True)


def files_in(folder: Path) -> dict[str, str]:
    """Return the files of an unpacked lesson, with their text."""
    return {
        path.relative_to(folder).as_posix(): path.read_text("utf-8")
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def room(tmp_path: Path) -> Room:
    """A folder of submissions, still empty."""
    return Room(tmp_path)


# What may be handed in


def test_a_submission_is_a_folder_a_zip_file_or_a_git_bundle(room):
    room.folder_of("ada", ANSWER)
    room.zip_of("bob", ANSWER)
    room.bundle_of("cleo", [(ANSWER, datetime(2026, 11, 1))])

    found = submissions.find(room.folder)
    for submission in found:
        submissions.unpack(submission, room.lessons, room.scratch)

    assert [submission.name for submission in found] == ["ada", "bob", "cleo"]
    for submission in found:
        assert submission.problem == ""
        assert files_in(submission.folders["01_rest"]) == {"app.py": SOLUTION}


@pytest.mark.parametrize(
    "place",
    ["01_rest", "lessons/01_rest", "beyond-rest-main/lessons/01_rest"],
)
def test_the_lesson_is_found_wherever_it_is(room, place):
    room.zip_of("ada", {f"{place}/app.py": SOLUTION, "README.md": "mine"})

    assert files_in(room.unpack().folders["01_rest"]) == {"app.py": SOLUTION}


def test_our_solution_in_a_clone_is_not_graded(room):
    room.folder_of("ada", {"lessons/01_rest/app.py": STARTER, "solutions/01_rest/app.py": SOLUTION})

    assert files_in(room.unpack(1).folders["01_rest"]) == {"app.py": STARTER}


def test_the_files_of_one_lesson_need_no_folder_of_its_name(room):
    room.zip_of("ada", {"homework/app.py": SOLUTION, "homework/store.py": ""})

    assert files_in(room.unpack(1).folders["01_rest"]) == {"app.py": SOLUTION, "store.py": ""}


def test_the_files_of_another_lesson_are_not_taken_for_it(room):
    room.zip_of("ada", {"02_polling/app.py": SOLUTION})

    assert room.problem(1) == "It doesn't contain the lesson 01_rest."


def test_a_folder_with_one_archive_is_that_archive(room):
    room.zip_of("Ada Byron_1815_assignsubmission_file_/work", ANSWER)

    found = room.unpack()

    assert found.name == "Ada Byron_1815_assignsubmission_file_"
    assert files_in(found.folders["01_rest"]) == {"app.py": SOLUTION}


def test_two_submissions_of_one_name_keep_their_suffix(room):
    room.folder_of("ada", ANSWER)
    room.zip_of("ada", ANSWER)

    assert [found.name for found in submissions.find(room.folder)] == ["ada", "ada.zip"]


def test_caches_and_hidden_files_are_not_copied(room):
    hidden = {"01_rest/.env": "", "01_rest/__pycache__/app.pyc": "", "01_rest/board.sqlite3": ""}
    room.zip_of("ada", ANSWER | hidden | {"__MACOSX/01_rest/._app.py": ""})

    assert files_in(room.unpack().folders["01_rest"]) == {"app.py": SOLUTION}


def test_a_large_environment_beside_the_lesson_does_no_harm(room, monkeypatch):
    monkeypatch.setattr(submissions, "LARGEST", 10_000)
    room.folder_of("ada", ANSWER | {".venv/lib/large.py": "x" * 20_000, "large": "x" * 20_000})

    assert room.unpack().problem == ""


# The deadline


def test_of_a_bundle_the_last_commit_before_the_deadline_is_graded(room):
    deadline = datetime(2026, 11, 2).astimezone()
    late = deadline + timedelta(hours=1)
    room.bundle_of("ada", [(ANSWER, datetime(2026, 11, 1)), ({"01_rest/app.py": "late"}, late)])

    found = room.unpack(deadline=deadline)

    assert files_in(found.folders["01_rest"]) == {"app.py": SOLUTION}
    assert not found.late


def test_a_bundle_without_a_commit_before_the_deadline_cannot_be_graded(room):
    room.bundle_of("ada", [(ANSWER, datetime(2026, 11, 3))])

    found = room.unpack(deadline=datetime(2026, 11, 2).astimezone())

    assert found.problem == "The bundle has no commit before the deadline."


def test_a_file_changed_after_the_deadline_makes_a_submission_late(room):
    file = room.folder_of("ada", ANSWER) / "01_rest" / "app.py"
    deadline = datetime(2026, 11, 2).astimezone()
    at = deadline.timestamp()

    os.utime(file, (at - 60, at - 60))
    assert not room.unpack(deadline=deadline).late
    os.utime(file, (at + 60, at + 60))
    assert room.unpack(deadline=deadline).late


# What is refused


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("/etc/passwd", "A file has an absolute path: '/etc/passwd'."),
        ("C:\\Windows\\a", "A file has an absolute path: 'C:/Windows/a'."),
        ("../../out.py", "The path of a file leaves the folder: '../../out.py'."),
        ("01_rest/../../out", "The path of a file leaves the folder: '01_rest/../../out'."),
        ("01_rest\\..\\..\\out", "The path of a file leaves the folder: '01_rest/../../out'."),
        ("01_rest/a:b.py", "'01_rest/a:b.py' isn't a valid path on every system."),
    ],
)
def test_a_path_that_leaves_the_folder_is_refused(room, name, problem):
    room.zip_of("ada", ANSWER | {name: "x"})

    assert room.problem() == problem
    assert not list(room.scratch.rglob("out*"))


def test_a_link_in_a_folder_is_refused_and_never_followed(room):
    folder = room.folder_of("ada", {"01_rest/store.py": ""})
    (folder / "01_rest" / "app.py").symlink_to("/etc/hostname")

    assert room.problem() == "01_rest/app.py is a link or a device, not a file."


@pytest.mark.parametrize("target", ["/etc", "../../bob/01_rest"])
def test_a_lesson_that_is_a_link_is_refused(room, target):
    (room.folder_of("ada", {"README.md": ""}) / "01_rest").symlink_to(target)

    assert room.problem() == "01_rest is a link or a device, not a file."


def test_a_submission_that_is_a_link_is_refused(room, tmp_path):
    (room.folder / "ada").symlink_to(tmp_path)

    assert room.problem() == "It is a link."


def test_a_link_in_a_zip_file_is_refused(room):
    link = zipfile.ZipInfo("01_rest/app.py")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(room.folder / "ada.zip", "w") as archive:
        archive.writestr(link, "/etc/hostname")

    assert room.problem() == "01_rest/app.py is a link or a device, not a file."


def test_a_zip_bomb_is_refused_before_it_fills_the_disk(room, monkeypatch):
    monkeypatch.setattr(submissions, "LARGEST", 2**20)
    room.zip_of("ada", ANSWER | {"01_rest/bomb.txt": b"\0" * 50_000_000})

    assert (room.folder / "ada.zip").stat().st_size < 100_000
    assert room.problem() == "Its lessons are larger than 1 MiB."
    assert list(room.scratch.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes.")
def test_a_pipe_that_would_block_is_refused(room):
    folder = room.folder_of("ada", ANSWER)
    os.mkfifo(folder / "01_rest" / "store.py")

    assert room.problem() == "01_rest/store.py is a link or a device, not a file."


def test_too_many_files_are_refused(room, monkeypatch):
    monkeypatch.setattr(submissions, "MOST", 3)
    room.zip_of("ada", {f"01_rest/{number}.py": "" for number in range(4)})
    assert room.problem() == "Its lessons have more than 3 files."

    monkeypatch.setattr(handed_in, "MOST_FILES", 3)
    assert room.problem() == "It has more than 3 files."


def test_an_archive_that_is_too_large_is_refused_unread(room, monkeypatch):
    monkeypatch.setattr(handed_in, "LARGEST_ARCHIVE", 2**20)
    (room.folder / "ada.zip").write_bytes(bytes(2**20 + 1))

    assert room.problem() == "ada.zip is larger than 1 MiB, the limit for an archive."


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("ada.zip", b"", "ada.zip isn't a zip file."),
        ("ada.zip", b"PK\x03\x04 and no more", "ada.zip isn't a zip file."),
        ("ada.txt", b"my homework", "It isn't a folder, a zip file or a git bundle."),
        ("ada.bundle", b"# v2 git bundle\nnonsense", "The bundle has neither HEAD nor main"),
    ],
)
def test_what_is_not_an_archive_is_refused(room, name, content, problem):
    (room.folder / name).write_bytes(content)

    assert room.problem().startswith(problem)


def test_a_damaged_zip_file_is_refused(room):
    path = room.zip_of("ada", ANSWER)
    data = path.read_bytes()
    path.write_bytes(data[:50] + bytes(20) + data[70:])

    assert room.problem()


def test_a_damaged_bundle_is_refused(room):
    path = room.bundle_of("ada", [(ANSWER, datetime(2026, 11, 1))])
    path.write_bytes(path.read_bytes()[:-30])

    assert room.problem().startswith("git can't read the bundle: ")


def test_a_submission_without_a_lesson_is_refused(room):
    room.folder_of("ada", {"essay.txt": "Why REST?"})

    assert room.problem() == "It doesn't contain any of the lessons to grade."


def test_a_link_in_a_bundle_is_refused(room):
    (room.scratch / "clone of ada").mkdir()
    (room.scratch / "clone of ada" / "01_rest").symlink_to("/etc")
    (room.scratch / "clone of ada").rename(room.scratch / "link")
    clone = room.scratch / "link"
    git(clone, "init", "--quiet", "--initial-branch=main")
    git(clone, "add", "--all")
    git(clone, "commit", "--quiet", "--message=work")
    git(clone, "bundle", "create", "--quiet", str(room.folder / "ada.bundle"), "main")

    assert room.problem() == "01_rest is a link or a device, not a file."


def test_a_file_that_cannot_be_created_is_a_problem_of_the_submission(room):
    room.zip_of("ada", {f"01_rest/{'x' * 300}.py": ""})

    assert room.problem().startswith("It can't be read: ")
