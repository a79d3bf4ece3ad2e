"""A little course of two lessons, for the tests of the commands and the screen."""

from pathlib import Path

from course.lesson.lessons import Lesson, lessons

TESTS = {
    "01_rest": """\
@task("create", "A posted message is kept", points=2)
def test_create(): ...
@task("read", "A message is read at its address", needs="create")
def test_read(): ...
@task("keep", "A message that returned 201 is kept")
def test_keep(): ...
""",
    "02_polling": """\
@task("cursor", "The client asks only for what is new, across pages of two hundred", points=3)
def test_cursor(): ...
""",
}
PAGE = """\
---
description: "Build the board."
---
# A board over REST { .wide }

## Create { #create }
??? hint "A nudge"
    Which *two* things does `create` return?
??? hint "A pointer"
    - `url_for` names the address.
    - The status is 201.
??? hint "Nearly there"
    ```python
    return message, 201
    ```

## Read { #read }
"""
SOLUTION = """\
def create(room):
    # --8<-- [start:create] Add the message.
    message = store.add(room)
    return message, 201
    # --8<-- [end:create]


def read(room):
    # --8<-- [start:read] Return the message.
    return store.get(room)
    # --8<-- [end:read]
"""
STARTER = """\
def create(room):
    # TODO(create): Add the message.
    ...
    # END(create)


def read(room):
    # TODO(read): Return the message.
    ...
    # END(read)
"""
STORE = "given = True\n"


def make_course(root: Path) -> list[Lesson]:
    """Write the course, with its starters, and return its lessons."""
    pages = {"01_rest": PAGE, "02_polling": "# A client that polls\n"}
    for slug, tests in TESTS.items():
        write(root / "tests" / f"test_{slug}.py", tests)
        write(root / "docs" / "lessons" / f"{slug}.md", pages[slug])
        for tree, code in (("solutions", SOLUTION), ("lessons", STARTER)):
            write(root / tree / slug / "app.py", code)
            write(root / tree / slug / "store.py", STORE)
    return lessons(root)


def write(path: Path, text: str) -> None:
    """Write a file, and create its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
