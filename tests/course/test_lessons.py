"""Lessons are read from the course's folders, and found by their names."""

from pathlib import Path

import pytest

from course.lesson.lessons import Lesson, Task, UnknownLesson, find, lessons

PAGE = """---
description: "Say hello, and be heard."
---

# Hello { .wide }

## Your task

### Greet { #greet }

Say it.

??? hint "A nudge"

    Who listens?

    ```python
    # Not a heading, and still the hint.
    ```

??? hint "A pointer"
    Look at `greet()`.

### Listen { #listen }

??? hint "A nudge"

    The other task's.
"""

TESTS = """from course.grading import task


@task("greet", "It greets", points=2)
def test_it_greets(app): ...


@task("listen", "It listens", needs="greet")
def test_it_listens(app): ...


@task("greet")
def test_it_greets_twice(app): ...


@task("both", "It does both", needs=("greet", "listen"))
def test_it_does_both(app): ...


def helper(): ...
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A course of three lessons; the first has a page and tests, the others a solution."""
    for folder in ("docs/lessons", "tests", "solutions/02_world", "solutions/10_moon"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "docs/lessons/01_hello.md").write_text(PAGE, "utf-8")
    (tmp_path / "tests/test_01_hello.py").write_text(TESTS, "utf-8")
    (tmp_path / "tests/test_helpers.py").write_text("", "utf-8")
    (tmp_path / "solutions/__pycache__").mkdir()
    return tmp_path


def test_lessons_are_found_by_their_tests_or_solutions(tree):
    assert [lesson.slug for lesson in lessons(tree)] == ["01_hello", "02_world", "10_moon"]


def test_a_lesson_has_one_file_or_folder_in_each_tree():
    lesson = Lesson("10_moon", Path("top"))

    assert (lesson.number, lesson.name) == (10, "moon")
    assert [home.as_posix() for home in lesson.homes] == [
        "top/docs/lessons/10_moon.md",
        "top/lessons/10_moon",
        "top/solutions/10_moon",
        "top/tests/test_10_moon.py",
        "top/tests/answers/10_moon.toml",
    ]


def test_the_page_has_the_title_and_the_goal(tree):
    lesson = find("hello", tree)

    assert lesson.title == "Hello"
    assert lesson.goal == "Say hello, and be heard."


def test_the_title_is_plain_text_without_the_number(tree):
    page = tree / "docs" / "lessons" / "01_hello.md"
    page.write_text("# 1. Say `hello` in 2. words\n", "utf-8")

    assert find("hello", tree).title == "Say hello in 2. words"


def test_the_title_of_a_lesson_without_a_page_is_its_slug(tree):
    lesson = find("world", tree)

    assert lesson.title == "02_world"
    assert lesson.goal == ""
    assert lesson.tasks == []
    assert lesson.hints("greet") == []


def test_a_second_decorator_with_the_same_id_adds_a_test_to_the_task(tree):
    assert find("hello", tree).tasks == [
        Task("greet", "It greets", 2, ()),
        Task("listen", "It listens", 1, ("greet",)),
        Task("both", "It does both", 1, ("greet", "listen")),
    ]


def test_the_hints_of_a_task_end_at_the_next_heading(tree):
    nudge, pointer = find("hello", tree).hints("greet")

    assert nudge == ("Who listens?\n\n```python\n# Not a heading, and still the hint.\n```")
    assert pointer == "Look at `greet()`."
    assert find("hello", tree).hints("unheard_of") == []


@pytest.mark.parametrize("name", ["1", "01", "hello", "01_hello", "Hello", "01-hello"])
def test_a_lesson_is_found_by_its_number_name_or_slug(tree, name):
    assert find(name, tree).slug == "01_hello"


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("helo", "01_hello"), ("02_word", "02_world"), ("9", "10_moon"), ("mooon", "10_moon")],
)
def test_an_unknown_name_is_refused_with_the_nearest_one(tree, name, nearest):
    with pytest.raises(UnknownLesson) as caught:
        find(name, tree)

    assert caught.value.nearest == nearest
    assert str(caught.value) == f"No lesson is called '{name}'. Did you mean {nearest}?"


def test_a_course_without_lessons_says_so(tmp_path):
    with pytest.raises(UnknownLesson, match="No lessons were found"):
        find("hello", tmp_path)


def test_tests_that_do_not_parse_are_a_fault_of_the_lesson(tree):
    (tree / "tests/test_01_hello.py").write_text("def (:\n", "utf-8")

    lesson = find("hello", tree)

    with pytest.raises(SyntaxError):
        lesson.read_tasks()
    assert lesson.fault == (
        "tests/test_01_hello.py:1 can't be used: SyntaxError: invalid syntax. "
        "`git checkout HEAD -- tests/test_01_hello.py` restores it."
    )
    assert lesson.tasks == []
