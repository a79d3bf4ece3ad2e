"""Progress survives updates of the course and other processes, and every problem is reported."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from little_course import make_course, write

from course.learner.progress import Progress
from course.lesson.lessons import ROOT, Lesson
from course.report import LessonResult, TaskResult


@pytest.fixture
def lessons(tmp_path: Path) -> list[Lesson]:
    """The lessons of a little course."""
    return make_course(tmp_path)


def result(*passed: str, failed: tuple[str, ...] = ()) -> LessonResult:
    """Return a verdict on lesson 1."""
    verdicts = [TaskResult(name, name, 1, "passed") for name in passed]
    verdicts += [TaskResult(name, name, 1, "failed") for name in failed]
    return LessonResult("01_rest", "A board", verdicts)


def silent(sentence: str) -> None:
    """Fail if a problem is reported."""
    raise AssertionError(sentence)


def written(root: Path) -> dict:
    """Return the content of the progress file."""
    return json.loads((root / ".course" / "progress.json").read_text("utf-8"))


def test_the_next_process_reads_which_tasks_passed(tmp_path, lessons):
    Progress(tmp_path, silent).record(result("create", failed=("read",)))

    progress = Progress(tmp_path, silent)

    assert progress.passed("01_rest") == {"create"}
    assert progress.earned(lessons[0]) == 2


def test_a_task_that_passed_once_stays_passed(tmp_path, lessons):
    progress = Progress(tmp_path, silent)
    progress.record(result("create"))

    progress.record(result(failed=("create",)))

    assert Progress(tmp_path, silent).passed("01_rest") == {"create"}


def test_unknown_entries_are_preserved(tmp_path, lessons):
    stranger = {"schema": 9, "new": [1], "lessons": {"31_later": {"x": {"passed": "yes", "n": 1}}}}
    write(tmp_path / ".course" / "progress.json", json.dumps(stranger))
    progress = Progress(tmp_path, silent)

    progress.record(result("create"))

    found = written(tmp_path)
    assert found["new"] == [1]
    assert found["lessons"]["31_later"] == {"x": {"passed": "yes", "n": 1}}
    assert "create" in found["lessons"]["01_rest"]


def test_a_task_that_the_course_no_longer_has_earns_nothing(tmp_path, lessons):
    progress = Progress(tmp_path, silent)

    progress.record(result("create", "gone"))

    assert progress.earned(lessons[0]) == 2
    assert "gone" in written(tmp_path)["lessons"]["01_rest"]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"lessons": 3}', '{"lessons": {"01_rest": {"x": 1}}}', "[" * 9999]
)
def test_an_invalid_file_is_renamed_and_reported(tmp_path, lessons, text):
    write(tmp_path / ".course" / "progress.json", text)
    said: list[str] = []

    progress = Progress(tmp_path, said.append)
    progress.record(result("create"))

    [sentence] = said
    [aside] = (tmp_path / ".course").glob("progress.unreadable-*.json")
    assert str(aside) in sentence
    assert aside.read_text("utf-8") == text
    assert Progress(tmp_path, silent).passed("01_rest") == {"create"}


WRONG = ['{"hints": -5}', '{"hints": true}', '{"hints": 1e9}', '{"passed": 5}', "[]", "null"]


@pytest.mark.parametrize("entry", WRONG)
def test_an_invalid_entry_is_set_aside_and_the_rest_is_kept(tmp_path, lessons, entry):
    text = f'{{"lessons": {{"01_rest": {{"read": {entry}, "create": {{"passed": "2026"}}}}}}}}'
    write(tmp_path / ".course" / "progress.json", text)
    said: list[str] = []

    progress = Progress(tmp_path, said.append)

    assert progress.hints("01_rest", "read") == 0
    assert Progress(tmp_path, silent).passed("01_rest") == {"create"}
    [aside] = (tmp_path / ".course").glob("progress.unreadable-*.json")
    assert aside.read_text("utf-8") == text
    assert "01_rest, read: " in said[0]
    assert said[0].endswith("The rest of it is kept.")


@pytest.mark.parametrize("current", ["5", "[]", "null", "{}"])
def test_a_current_lesson_that_is_no_name_is_set_aside(tmp_path, lessons, current):
    write(tmp_path / ".course" / "progress.json", f'{{"lessons": {{}}, "current": {current}}}')
    said: list[str] = []

    assert Progress(tmp_path, said.append).current(lessons) == lessons[0]
    assert len(said) == 1


def test_a_file_that_is_not_utf_8_is_renamed(tmp_path, lessons):
    (tmp_path / ".course").mkdir()
    (tmp_path / ".course" / "progress.json").write_bytes(b"\xff\xfe{}")
    said: list[str] = []

    Progress(tmp_path, said.append)

    assert len(said) == 1
    assert "It was renamed to" in said[0]


def test_two_files_renamed_in_one_second_get_different_names(tmp_path, lessons):
    for text in ("one", "two"):
        write(tmp_path / ".course" / "progress.json", text)
        Progress(tmp_path, [].append)

    kept = (tmp_path / ".course").glob("progress.unreadable-*.json")
    assert sorted(path.read_text("utf-8") for path in kept) == ["one", "two"]


def test_a_folder_that_is_not_writable_is_reported_once(tmp_path, lessons):
    write(tmp_path / ".course", "a file, where the folder should be")
    said: list[str] = []
    progress = Progress(tmp_path, said.append)

    progress.record(result("create"))
    progress.show_hint("01_rest", "read", 2)

    assert len(said) == 1
    assert str(tmp_path / ".course") in said[0]
    assert progress.passed("01_rest") == {"create"}
    assert progress.hints("01_rest", "read") == 2


def test_processes_that_write_at_once_keep_each_others_results(tmp_path, lessons):
    write_many = """if True:
        import sys
        from pathlib import Path
        from course.learner.progress import Progress
        from course.report import LessonResult, TaskResult
        progress = Progress(Path(sys.argv[1]), print)
        for n in range(10):
            task = TaskResult(f"{sys.argv[2]}{n}", "", 1, "passed")
            progress.record(LessonResult("01_rest", "", [task]))
    """
    children = [
        subprocess.Popen([sys.executable, "-c", write_many, str(tmp_path), name], cwd=ROOT)
        for name in "abc"
    ]

    assert [child.wait(60) for child in children] == [0, 0, 0]
    assert Progress(tmp_path, silent).passed("01_rest") == {
        f"{a}{n}" for a in "abc" for n in range(10)
    }


def test_the_current_lesson_is_the_first_that_is_not_complete(tmp_path, lessons):
    progress = Progress(tmp_path, silent)
    assert progress.current(lessons) == lessons[0]

    progress.record(result("create", "read", "keep"))

    assert progress.complete(lessons[0])
    assert progress.current(lessons) == lessons[1]


def test_the_current_lesson_is_the_one_last_chosen(tmp_path, lessons):
    Progress(tmp_path, silent).turn_to("02_polling")

    assert Progress(tmp_path, silent).current(lessons) == lessons[1]


def test_finishing_a_lesson_makes_the_next_incomplete_one_current(tmp_path, lessons):
    progress = Progress(tmp_path, silent)
    progress.turn_to("02_polling")

    following = progress.finish(lessons[1], lessons)

    assert following == lessons[0]
    assert progress.current(lessons) == lessons[0]


def test_a_course_without_lessons_has_no_current_lesson(tmp_path):
    assert Progress(tmp_path, silent).current([]) is None
