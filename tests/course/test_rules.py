"""The rules of the course. A course of two lessons passes them all; each test breaks one."""

import shutil
from contextlib import suppress
from pathlib import Path

import pytest

from course.author.lesson_view import views
from course.author.rules import check
from course.author.sync import sync
from course.lesson.needs import FINDERS
from course.lesson.regions import MarkerError

APP = '''\
"""Say hello."""


def create_app(config=None):
    """Return the app."""
    return {"config": config, "hello": hello}


def hello(name):
    """Return a greeting."""
    # --8<-- [start:hello] Return "Hello" and the name.
    greeting = "Hello, "
    return greeting + name
    # --8<-- [end:hello]


# --8<-- [start:shout-given]
def shout(name):
    """Return a loud greeting."""
    return hello(name).upper()


# --8<-- [end:shout-given]
'''

WORLD = '''\
"""Greet the world."""

from app import hello


def world():
    """Return a greeting for the world."""
    # --8<-- [start:world] Greet the world by `hello`.
    return hello("wide world")
    # --8<-- [end:world]
'''

TESTS = {
    "01_hello": """\
from course.grading import task


@task("hello", "It greets", points=2)
def test_it_greets(app): ...


@task("hello")
def test_it_greets_twice(app): ...


@task("shout", "It shouts", needs="hello")
def test_it_shouts(app): ...


def loud(text): ...
""",
    "02_world": """\
from course.grading import task


@task("world", "It greets the world")
def test_it_greets_the_world(app): ...
""",
}

HINTS = """\
Make it so that `hello` works.

??? hint "A nudge"

    What is a greeting?

??? hint "A pointer"

    See `hello()`.

??? hint "Nearly there"

    Two strings can be added.
"""


def page(title: str, *tasks: str) -> str:
    """Return a lesson's page with these sections under "Your task"."""
    head = f"---\ndescription: Say it.\n---\n\n# {title}\n\n## Goal\n\nSay it.\n\n"
    problem = "## See the problem\n\n```console\n$ python app.py\n```\n\n## Your task\n\n"
    foot = "## Check\n\nRun it.\n\n## What changed\n\nIt speaks.\n\n## Next\n\nMore.\n"
    return head + problem + "\n".join([*tasks, foot])


def solution(path: str) -> str:
    """Return the box that shows a region."""
    name = path.rpartition("/")[2].partition(":")[0]
    return (
        f'\n??? example "Solution"\n\n    ```python title="{name}"\n    --8<-- "{path}"\n    ```\n'
    )


PAGES = {
    "01_hello": page(
        "1. Hello",
        f"### Greet {{ #hello }}\n\n{HINTS}{solution('solutions/01_hello/app.py:hello')}",
        f"### Shout {{ #shout }}\n\n{HINTS}",
    ),
    "02_world": page(
        "2. World",
        f"### The world {{ #world }}\n\n{HINTS}{solution('solutions/02_world/world.py:world')}",
    ),
}


def answers(region: str, *tasks: str) -> str:
    """Return eight wrong answers, which fail the tasks in turn, and four right ones."""
    wrong = [
        f'[[wrong]]\nbelief = "{n}"\nfails = "{tasks[n % len(tasks)]}"\n'
        f"[wrong.code]\n{region} = 'return {n}'\n"
        for n in range(8)
    ]
    right = [
        f"[[right]]\nhow = \"{n}\"\n[right.code]\n{region} = 'return hello({n})'\n"
        for n in range(4)
    ]
    return "\n".join(wrong + right)


TREE = {
    "solutions/01_hello/app.py": APP,
    "solutions/02_world/app.py": APP.replace(' Return "Hello" and the name.', ""),
    "solutions/02_world/world.py": WORLD,
    "tests/answers/01_hello.toml": answers("hello", "hello", "shout"),
    "tests/answers/02_world.toml": answers("world", "world"),
    "docs/index.md": "# A course\n\nYou learn to greet.\n",
    "mkdocs.yml": "site_name: A course\ntheme:\n  name: material\n  font: false\n",
    **{f"tests/test_{slug}.py": text for slug, text in TESTS.items()},
    **{f"docs/lessons/{slug}.md": text for slug, text in PAGES.items()},
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A course of two lessons that passes every rule."""
    for name, text in TREE.items():
        write(tmp_path / name, text)
    sync(tmp_path)
    return tmp_path


def write(path: Path, text: str) -> None:
    """Write a file, and create its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())


def change(root: Path, name: str, old: str, new: str) -> None:
    """Replace every occurrence in a file, then write the starters unless a marker is wrong."""
    text = (root / name).read_text("utf-8")
    assert old in text
    write(root / name, text.replace(old, new))
    with suppress(MarkerError):
        sync(root)


def line_of(path: Path, text: str) -> int:
    """Return the number of the line that equals the text, or of the first that contains it."""
    lines = path.read_text("utf-8").split("\n")
    line = text if text in lines else next(line for line in lines if text in line)
    return lines.index(line) + 1


def test_a_course_that_passes_every_rule_is_not_refused(root):
    assert check(root) == []


def test_the_courses_path_may_be_relative(root, monkeypatch):
    monkeypatch.chdir(root.parent)

    assert check(Path(root.name)) == []


# The tree


def test_a_slug_has_a_file_or_folder_in_each_tree(root):
    (root / "docs/lessons/02_world.md").unlink()
    (root / "tests/test_02_world.py").unlink()
    (root / "tests/answers/01_hello.toml").unlink()

    found = check(root)

    assert found[:3] == [
        "tests/answers/01_hello.toml: 01_hello has no file or folder here. "
        "Write it, or remove its others.",
        "docs/lessons/02_world.md: 02_world has no file or folder here. "
        "Write it, or remove its others.",
        "tests/test_02_world.py: 02_world has no file or folder here. "
        "Write it, or remove its others.",
    ]


def test_a_starter_that_was_never_written_is_reported(root):
    shutil.rmtree(root / "lessons/02_world")

    assert (
        "lessons/02_world: 02_world has no file or folder here. "
        "Run `python3 -m course dev sync`, or remove its others."
    ) in check(root)


def test_a_lesson_without_a_solution_is_found_by_its_other_files(root):
    shutil.rmtree(root / "solutions/01_hello")

    assert (
        "solutions/01_hello: 01_hello has no file or folder here. Write it, or remove its others."
    ) in check(root)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("docs/lessons/3_moon.md", "3_moon"),
        ("solutions/03_Moon/app.py", "03_Moon"),
        ("tests/test_moon.py", "moon"),
        ("tests/answers/03-moon.toml", "03-moon"),
    ],
)
def test_a_slug_is_two_digits_and_a_name_in_lower_case(root, name, said):
    write(root / name, "# Moon\n")

    place = name.removesuffix("/app.py")
    assert check(root) == [
        f"{place}: '{said}' isn't a lesson's name. Spell it NN_name in lower case, or move it."
    ]


def move(root: Path, old: str, new: str) -> None:
    """Change a lesson's slug in each tree."""
    tests = ["tests/test_{}.py", "tests/answers/{}.toml"]
    for home in [*tests, "docs/lessons/{}.md", "lessons/{}", "solutions/{}"]:
        (root / home.format(old)).rename(root / home.format(new))


def test_the_numbers_have_no_gap(root):
    move(root, "02_world", "03_world")
    change(root, "docs/lessons/03_world.md", "02_world", "03_world")
    change(root, "docs/lessons/03_world.md", "# 2. World", "# 3. World")

    assert check(root) == [
        "solutions/03_world: number 02 is missing before this. "
        "Renumber the lessons, or set `starts_from` in the page's front matter."
    ]


def test_a_lesson_that_names_what_it_starts_from_may_follow_a_gap(root):
    move(root, "02_world", "04_world")
    page = "docs/lessons/04_world.md"
    change(root, page, "02_world", "04_world")
    change(root, page, "# 2. World", "# 4. World")
    change(root, page, "description:", "starts_from: 01_hello\ndescription:")

    assert check(root) == []


def test_a_lesson_starts_from_an_earlier_one(root):
    for page, named in (("01_hello", "02_world"), ("02_world", "00_nothing")):
        change(
            root, f"docs/lessons/{page}.md", "description:", f"starts_from: {named}\ndescription:"
        )

    assert [line for line in check(root) if "starts_from" in line] == [
        "docs/lessons/01_hello.md: `starts_from` is '02_world', which isn't an earlier lesson. "
        "Write its slug.",
        "docs/lessons/02_world.md: `starts_from` is '00_nothing', which isn't an earlier lesson. "
        "Write its slug.",
    ]


def test_no_number_is_used_twice(root):
    move(root, "02_world", "01_world")
    change(root, "docs/lessons/01_world.md", "02_world", "01_world")
    change(root, "docs/lessons/01_world.md", "# 2. World", "# 1. World")

    assert check(root) == [
        "solutions/01_world: 01_hello has the same number. Renumber one of them."
    ]


def test_a_lesson_is_compared_with_the_one_that_it_starts_from(root):
    for slug, front in (("03_moon", "starts_from: 01_hello"), ("04_mars", "description: Go.")):
        write(root / f"solutions/{slug}/app.py", "")
        write(root / f"docs/lessons/{slug}.md", f"---\n{front}\n---\n")

    found = {view.slug: view.before and view.before.slug for view in views(root)}

    assert found == {
        "01_hello": None,
        "02_world": "01_hello",
        "03_moon": "01_hello",
        "04_mars": "03_moon",
    }


# Starters


def test_a_starter_is_not_edited_by_hand(root):
    write(root / "lessons/01_hello/app.py", "print('mine')\n")

    assert check(root) == [
        "lessons/01_hello/app.py: this isn't the starter of its solution. "
        "`python3 -m course dev sync` writes it, and keeps a copy of yours."
    ]


def test_a_starter_has_only_the_files_of_its_solution(root):
    write(root / "lessons/01_hello/notes.txt", "mine")

    assert check(root) == [
        "lessons/01_hello/notes.txt: no solution has this file. "
        "Run `python3 -m course dev sync`, or move it."
    ]


def test_databases_caches_and_hidden_files_are_ignored(root):
    write(root / "lessons/01_hello/board.sqlite3", "")
    write(root / "lessons/01_hello/__pycache__/app.cpython-311.pyc", "")
    write(root / "lessons/01_hello/.DS_Store", "")

    assert check(root) == []


def test_a_starter_compiles(root):
    change(
        root,
        "solutions/02_world/world.py",
        "    # --8<-- [start:world]",
        "    greeting = (\n    # --8<-- [start:world]",
    )

    assert "lessons/02_world/world.py:8: it doesn't compile" in check(root)[0]


def test_a_starter_starts(root):
    app = "solutions/01_hello/app.py"
    change(
        root,
        app,
        "# --8<-- [start:shout-given]",
        "LOUD = QUIET.upper()\n\n\n# --8<-- [start:shout-given]",
    )

    assert check(root)[0] == (
        "lessons/01_hello/app.py:16: the starter doesn't start: "
        "NameError: name 'QUIET' is not defined. Move what it needs out of the TODO."
    )


def test_a_learners_code_is_not_run(root):
    write(root / "lessons/01_hello/app.py", "raise SystemExit\n")

    assert check(root) == [
        "lessons/01_hello/app.py: this isn't the starter of its solution. "
        "`python3 -m course dev sync` writes it, and keeps a copy of yours."
    ]


def test_a_starter_that_exits_the_process_is_reported(root):
    change(root, "solutions/02_world/world.py", "from app", "import os\n\nos._exit(0)\nfrom app")

    assert check(root) == [
        "lessons/02_world: the starter exited or never returned. Run nothing at import."
    ]


# Rules that one change breaks: the file, the old text, the new text, and the message.

TEST_FILES = {
    "no task": (
        "tests/test_02_world.py",
        '@task("world", "It greets the world")\ndef test_',
        "def example_",
        'tests/test_02_world.py: it has no task. Add @task("id", "title") to a test.',
    ),
    "a test without a task": (
        "tests/test_01_hello.py",
        "def loud",
        "def test_loud",
        "tests/test_01_hello.py:16: test_loud has no task. Add @task to it.",
    ),
    "not Python": (
        "tests/test_01_hello.py",
        "def loud(text): ...",
        "def loud(:",
        "tests/test_01_hello.py:16: its tasks can't be read: invalid syntax. Fix it.",
    ),
    "computed": (
        "tests/test_01_hello.py",
        '"It greets"',
        "TITLE",
        "tests/test_01_hello.py: its tasks can't be read: "
        "a decorator's arguments aren't all literals. Fix it.",
    ),
    "named twice": (
        "tests/test_01_hello.py",
        '@task("hello")',
        '@task("hello", "It greets again")',
        "tests/test_01_hello.py:8: task hello has a title already. "
        "Only its first test has title and points.",
    ),
    "no title": (
        "tests/test_02_world.py",
        '@task("world", "It greets the world")',
        '@task("world")',
        'tests/test_02_world.py:4: task world has no title. Write @task("world", "What it shows").',
    ),
    "no points": (
        "tests/test_01_hello.py",
        "points=2",
        "points=0",
        "tests/test_01_hello.py:4: task hello has 0 points. Use a whole number from 1.",
    ),
    "an id in capitals": (
        "tests/test_01_hello.py",
        '"shout"',
        '"Shout"',
        "tests/test_01_hello.py:12: 'Shout' isn't a valid task id. "
        "Use lower-case letters, digits and _.",
    ),
    "an unknown need": (
        "tests/test_01_hello.py",
        'needs="hello"',
        'needs=("hello", "helo")',
        "tests/test_01_hello.py:12: task shout needs helo, which no test above has. "
        "Move it, or fix the name.",
    ),
}

SOLUTIONS = {
    "a missing end": (
        "solutions/01_hello/app.py",
        "    # --8<-- [end:hello]\n",
        "",
        "solutions/01_hello/app.py:16: shout-given starts inside hello. "
        "Add `# --8<-- [end:hello]` before this line.",
    ),
    "not a sentence": (
        "solutions/02_world/world.py",
        "Greet the world by `hello`.",
        "greet the world",
        "solutions/02_world/world.py:8: world says 'greet the world'. "
        "Write a sentence: a capital, a full stop.",
    ),
    "no code": (
        "solutions/02_world/world.py",
        '    return hello("wide world")\n',
        "    # Nothing.\n",
        "solutions/02_world/world.py:8: world has no code. Put the answer between its markers.",
    ),
    "a wrong indent": (
        "solutions/02_world/world.py",
        '    return hello("wide world")',
        '    # It is wide.\n    return hello("wide world")'.replace("    ", "     "),
        "solutions/02_world/world.py:8: world is indented less than its code. "
        "Indent its markers like the code.",
    ),
    "a TODO by hand": (
        "solutions/02_world/world.py",
        '"""Greet the world."""',
        '"""Greet the world."""\n\n# TODO: greet the moon.',
        "solutions/02_world/world.py:3: a learner would take this TODO for a task. "
        "Mark a region, or reword it.",
    ),
    "carried, with another comment": (
        "solutions/02_world/app.py",
        "    greeting =",
        "    # A comma comes after it.\n    greeting =",
        "solutions/02_world/app.py: it differs from the file in 01_hello only in comments or "
        "spacing. Make them identical, except for markers.",
    ),
    "asked for twice": (
        "solutions/02_world/app.py",
        "[start:hello]",
        "[start:hello] Greet by the name.",
        "solutions/02_world/app.py:11: 01_hello has the code of hello already. "
        "Remove the sentence.",
    ),
    "a long function": (
        "solutions/02_world/world.py",
        "    # --8<-- [start:world]",
        "    pass\n" * 23 + "    # --8<-- [start:world]",
        "solutions/02_world/world.py:6: world has 26 lines; the limit is 25. Split it.",
    ),
    "not Python": (
        "solutions/02_world/world.py",
        'return hello("wide world")',
        "return hello(",
        "solutions/02_world/world.py:9: it doesn't compile: '(' was never closed. Fix it.",
    ),
}

ANSWERS = {
    "not TOML": (
        'belief = "7"',
        "belief = 7 7",
        "tests/answers/02_world.toml: it isn't valid TOML: Expected newline or end of document "
        "after a statement (at line 44, column 12). Fix it.",
    ),
    "an unknown table": (
        '[[wrong]]\nbelief = "0"',
        '[[bad]]\n[[wrong]]\nbelief = "0"',
        "tests/answers/02_world.toml: 'bad' is unknown here. Use [[wrong]] and [[right]].",
    ),
    "an unknown task": (
        'belief = "7"\nfails = "world"',
        'belief = "7"\nfails = "word"',
        "tests/answers/02_world.toml:43: `fails` is 'word', not a task. Name one of world.",
    ),
    "a missing field": (
        'belief = "0"\n',
        "",
        "tests/answers/02_world.toml:1: the answer has no `belief`. Add it.",
    ),
    "an unknown field": (
        'how = "0"\n',
        'how = "0"\nfails = "world"\n',
        "tests/answers/02_world.toml:49: `fails` is unknown in this answer. Use code, how.",
    ),
    "an unknown region": (
        "world = 'return 0'",
        "word = 'return 0'",
        "tests/answers/02_world.toml:1: no region or file is called 'word'. "
        "Name one region or file of the solution.",
    ),
    "not a string": (
        "world = 'return 0'",
        "world = 0",
        "tests/answers/02_world.toml:1: the code of world isn't a string. Put it in triple quotes.",
    ),
    "no code": (
        "world = 'return 0'",
        "",
        "tests/answers/02_world.toml:1: it changes no code. "
        "Give it the new text of a region or a file.",
    ),
}

SHOWN = '--8<-- "solutions/02_world/world.py:world"'
BLOCK = f'```python title="world.py"\n    {SHOWN}'
# The same for a page, with a part of the line that the message names.
PAGE_CHANGES = {
    "no description": (
        "description: Say it.\n",
        "",
        "---",
        "it has no description. Add `description:` to its front matter, at the top.",
    ),
    "no title": (
        "# 2. World\n",
        "",
        "---",
        "its first heading isn't a title. Begin with `# ` and the title.",
    ),
    "two titles": (
        "It speaks.",
        "# It speaks",
        "# It speaks",
        "this is a second title. Use `## ` or `### `.",
    ),
    "a title without the number": (
        "# 2. World",
        "# World",
        "# World",
        "the title doesn't begin with the lesson's number. Write `# 2. World`.",
    ),
    "a heading of another page": (
        "### The world",
        "### `Greet`!",
        "### `Greet`!",
        "docs/lessons/01_hello.md:19 has the same heading. Name this section's subject in it.",
    ),
    "another heading": (
        "## What changed",
        "## Summary",
        "## Summary",
        "its `## ` headings must be Goal, See the problem, Your task, Check, What changed, "
        "Next, in this order. Change them.",
    ),
    "a heading too many": (
        "More.",
        "## More",
        "## More",
        "its `## ` headings must be Goal, See the problem, Your task, Check, What changed, "
        "Next, in this order. Change them.",
    ),
    "a task without a test": (
        "## Check",
        "### The moon { #moon }\n\n## Check",
        "{ #moon }",
        "no test has the task moon. Add @task to one, or fix the heading's id.",
    ),
    "a task without a text": (
        "Make it so that `hello` works.\n",
        "",
        "{ #world }",
        "task world doesn't say what to do. Say so below the heading.",
    ),
    "a hint that is missing": (
        '??? hint "A pointer"',
        '??? note "A pointer"',
        "{ #world }",
        'task world needs three hints. Write `??? hint "A nudge"`, '
        '`??? hint "A pointer"`, `??? hint "Nearly there"`, each with a text.',
    ),
    "a hint that is open": (
        '??? hint "A nudge"',
        '???+ hint "A nudge"',
        "{ #world }",
        'task world needs three hints. Write `??? hint "A nudge"`, '
        '`??? hint "A pointer"`, `??? hint "Nearly there"`, each with a text.',
    ),
    "an answer that is not shown": (
        BLOCK,
        '```python title="app.py"\n    --8<-- "solutions/02_world/app.py:hello"',
        "{ #world }",
        "task world doesn't show its answer. "
        'Add `--8<-- "solutions/02_world/world.py:world"` to its `??? example "Solution"`.',
    ),
    "an answer in the open, by snippet": (
        "It speaks.",
        f'```python title="world.py"\n{SHOWN}\n```',
        SHOWN,
        "this gives away the answer to world in 02_world. "
        'Move it to the closed `??? example "Solution"` of its task.',
    ),
    "an answer in the open, in a whole file": (
        "It speaks.",
        '```python title="world.py"\n--8<-- "solutions/02_world/world.py"\n```',
        '--8<-- "solutions/02_world/world.py"',
        "this gives away the answer to world in 02_world. "
        'Move it to the closed `??? example "Solution"` of its task.',
    ),
    "an answer in the open, as text": (
        "It speaks.",
        "```text\nreturn  hello( 'wide world' )\n```",
        "return  hello",
        "this gives away the answer to world in 02_world. "
        'Move it to the closed `??? example "Solution"` of its task.',
    ),
    "an answer in a hint": (
        "Two strings can be added.",
        'Write `return hello("wide world")`.',
        "Write `return",
        "this gives away the answer to world in 02_world. "
        'Move it to the closed `??? example "Solution"` of its task.',
    ),
    "code typed by hand": (
        "It speaks.",
        '```python title="app.py"\nprint("hello")\n```',
        'title="app.py"',
        'this code is typed by hand. Include it from a file: `--8<-- "path:region"`.',
    ),
    "a block that does not name its file": (
        '```python title="world.py"',
        "```python",
        "```python",
        'this block doesn\'t name its file. Add `title="world.py"` after its language.',
    ),
    "a block that names another file": (
        '```python title="world.py"',
        '```python title="word.py"',
        "```python",
        'this block doesn\'t name its file. Add `title="world.py"` after its language.',
    ),
    "a long block": (
        "$ python app.py\n",
        "hello\n" * 21,
        "```console",
        "this block has 21 lines; the limit is 20. Show a part of it.",
    ),
    "a block without a language": (
        "```console",
        "```",
        "```",
        "this block has no language. Add one, such as `console` or `text`.",
    ),
    "a diagram that is fetched": (
        "```console",
        "```mermaid",
        "```mermaid",
        "Mermaid's script is on another host. Draw it as an SVG.",
    ),
    "a reference to line numbers": (
        "```console",
        '```console hl_lines="1"',
        "hl_lines",
        "line numbers go stale. Show a region, and say what to look at.",
    ),
    "a snippet of a missing file": (
        "It speaks.",
        '--8<-- "solutions/02_word/world.py"',
        "02_word",
        "solutions/02_word/world.py doesn't exist. Write its path from the root of the repository.",
    ),
    "a snippet of a missing region": (
        "It speaks.",
        '--8<-- "solutions/02_world/world.py:word"',
        "py:word",
        "solutions/02_world/world.py has no region word. Add its markers, or fix the name.",
    ),
    "a snippet by line numbers": (
        "It speaks.",
        '--8<-- "solutions/02_world/world.py:1:3"',
        "py:1:3",
        "solutions/02_world/world.py is included by line numbers, which go stale. Name a region.",
    ),
    "two snippets in a line": (
        "It speaks.",
        '--8<-- "mkdocs.yml" "docs/index.md"',
        '--8<-- "mkdocs',
        'not a valid include. Write `--8<-- "path:region"` on its own line.',
    ),
    "a word that belittles": (
        "It speaks.",
        "It Just speaks, `just`.",
        "Just",
        "'Just' may not be true for the reader. Remove it.",
    ),
    "a request to another host": (
        "It speaks.",
        '<script src="https://example.org/a.js"></script>',
        "<script",
        "this is requested from another host. Put a copy in docs/, and refer to that.",
    ),
}


@pytest.mark.parametrize("case", TEST_FILES)
def test_a_test_file_that_breaks_a_rule_is_refused(root, case):
    name, old, new, said = TEST_FILES[case]

    change(root, name, old, new)

    assert said in check(root)


@pytest.mark.parametrize("case", SOLUTIONS)
def test_a_solution_that_breaks_a_rule_is_refused(root, case):
    name, old, new, said = SOLUTIONS[case]

    change(root, name, old, new)

    assert said in check(root)


@pytest.mark.parametrize("case", ANSWERS)
def test_a_file_of_answers_that_breaks_a_rule_is_refused(root, case):
    old, new, said = ANSWERS[case]

    change(root, "tests/answers/02_world.toml", old, new)

    assert check(root)[:1] == [said]


@pytest.mark.parametrize("case", PAGE_CHANGES)
def test_a_page_that_breaks_a_rule_is_refused(root, case):
    old, new, place, said = PAGE_CHANGES[case]
    name = "docs/lessons/02_world.md"

    change(root, name, old, new)

    assert check(root) == [f"{name}:{line_of(root / name, place)}: {said}"]


# Rules that more than one change breaks


def test_a_todo_belongs_to_a_task(root):
    change(root, "solutions/02_world/world.py", ":world]", ":moon]")

    assert (
        "solutions/02_world/world.py:8: no task checks moon. "
        "Call it `task` or `task-part`, after a task's id."
    ) in check(root)


def test_code_is_utf_8(root):
    (root / "solutions/02_world/zone.py").write_bytes(b"# \xe9\n")

    assert "solutions/02_world/zone.py: it isn't UTF-8. Save it as UTF-8." in check(root)


def test_other_files_may_be_binary(root):
    (root / "solutions/02_world/logo.png").write_bytes(b"\x89PNG\xff")
    sync(root)

    assert check(root) == []


def test_two_files_cannot_have_a_todo_of_the_same_name(root):
    name = "solutions/02_world/zone.py"
    write(root / name, WORLD.replace("wide", "small"))
    sync(root)

    assert check(root)[0] == (
        f"{name}:8: another file has a TODO world. Call this one `world-part`."
    )


def test_a_lesson_has_at_least_one_todo(root):
    change(root, "solutions/02_world/world.py", " Greet the world by `hello`.", "")

    assert "solutions/02_world: it has 0 TODOs. Give 1 to 6 regions a sentence." in check(root)


def test_an_app_has_at_most_120_lines(root):
    longer = "".join(f"LINE_{number} = {number}\n" for number in range(102))
    write(root / "solutions/02_world/app.py", TREE["solutions/02_world/app.py"] + longer)
    sync(root)

    assert check(root) == [
        "solutions/02_world/app.py: it has 121 lines; the limit is 120. "
        "Move a part to another module."
    ]


def test_the_answers_of_a_lesson_have_at_most_40_lines(root):
    functions = "".join(f"def part_{n}():\n    return {n}\n\n\n" for n in range(21))
    change(root, "solutions/02_world/world.py", "def world", f"{functions}def world")
    change(
        root,
        "solutions/02_world/world.py",
        "    # --8<-- [start:world] Greet",
        "# --8<-- [start:world] Greet",
    )
    text = (root / "solutions/02_world/world.py").read_text("utf-8")
    marker = "# --8<-- [start:world] Greet the world by `hello`.\n"
    text = text.replace(marker, "").replace("    # --8<-- [end:world]", "# --8<-- [end:world]")
    write(root / "solutions/02_world/world.py", text.replace("def part_0", f"{marker}def part_0"))
    sync(root)

    assert (
        "solutions/02_world: its answers have 45 lines; the limit is 40. Give more code."
    ) in check(root)


def test_a_page_has_at_most_2200_words_outside_code_and_closed_boxes(root):
    page = root / "docs/lessons/01_hello.md"
    before = page.read_text("utf-8")
    words = " ".join(["word"] * 2200)
    closed = f'\n??? note "More"\n    {words}\n\n```text\n{words}\n```\n'
    write(page, before + closed)
    assert check(root) == []

    write(page, before + f"\n{words}\n")

    [refusal] = check(root)
    assert refusal.startswith("docs/lessons/01_hello.md: it has 22")
    assert "the limit is 2200. Move a part elsewhere, or set `words: 22" in refusal


def test_a_pages_front_matter_can_raise_its_limits(root):
    page = root / "docs/lessons/01_hello.md"
    text = page.read_text("utf-8") + f"\n{' '.join(['word'] * 2200)}\n"
    assert text.startswith("---\n")

    write(page, text.replace("---\n", "---\nwords: 2500\n", 1))

    assert check(root) == []


def test_each_need_of_a_lesson_has_a_finder(root):
    change(
        root, "docs/lessons/01_hello.md", "description:", "needs: [browser, rediss]\ndescription:"
    )

    assert check(root) == [
        f"docs/lessons/01_hello.md: no finder is called 'rediss', only {', '.join(FINDERS)}. "
        "Add one to FINDERS in course/lesson/needs.py, or fix `needs`."
    ]


def test_needs_are_written_in_one_line(root):
    change(root, "docs/lessons/01_hello.md", "description:", "needs:\n  - browser\ndescription:")

    assert check(root) == [
        "docs/lessons/01_hello.md: `needs` names nothing. "
        "Write it in one line, such as `needs: [browser]`."
    ]


def test_a_lesson_has_eight_wrong_answers_and_four_right_ones_and_one_for_each_task(root):
    write(root / "tests/answers/01_hello.toml", "")

    assert check(root) == [
        "tests/answers/01_hello.toml: it has 0 wrong answers. Write at least 8.",
        "tests/answers/01_hello.toml: it has 0 right answers. Write at least 4.",
        "tests/answers/01_hello.toml: no wrong answer fails hello. Write one, to test its grader.",
        "tests/answers/01_hello.toml: no wrong answer fails shout. Write one, to test its grader.",
    ]


def test_an_answer_may_be_a_whole_file(root):
    change(root, "tests/answers/02_world.toml", "world = 'return 0'", "\"world.py\" = 'pass'")

    assert check(root) == []


def test_an_answer_may_add_a_file_that_its_other_code_uses(root):
    name = "tests/answers/02_world.toml"
    change(root, name, "world = 'return 0'", "world = 'import zero'\n\"zero.py\" = 'pass'")

    assert check(root) == []


def test_a_file_that_no_other_code_uses_counts_as_misspelled(root):
    change(root, "tests/answers/02_world.toml", "world = 'return 0'", "\"word.py\" = 'pass'")

    assert check(root) == [
        "tests/answers/02_world.toml:1: no region or file is called 'word.py'. "
        "Name one region or file of the solution."
    ]


def test_each_task_has_a_heading(root):
    change(root, "docs/lessons/01_hello.md", "{ #shout }", "")

    assert check(root) == [
        "docs/lessons/01_hello.md: task shout has no heading under Your task. "
        "Add `### Title { #shout }`."
    ]


def test_the_headings_have_the_order_of_the_tests(root):
    tests = (root / "tests/test_01_hello.py").read_text("utf-8")
    head, hello, again, shout = tests.split("\n\n\n@")[:4]
    shout = shout.replace(', needs="hello"', "")
    write(root / "tests/test_01_hello.py", "\n\n\n@".join([head, shout, hello, again]))

    assert check(root) == [
        "docs/lessons/01_hello.md:19: the tests have the tasks in another order: "
        "shout, hello. Move the sections."
    ]


def test_two_consecutive_lines_give_an_answer_away(root):
    change(
        root,
        "docs/index.md",
        "You learn to greet.",
        "```text\ngreeting = 'Hello, '\n# Then:\nreturn greeting + name\n```",
    )

    assert check(root) == [
        "docs/index.md:4: this gives away the answer to hello in 01_hello. "
        'Move it to the closed `??? example "Solution"` of its task.'
    ]


def test_a_page_may_show_one_line_of_a_longer_answer(root):
    change(root, "docs/index.md", "You learn to greet.", "See `return greeting + name`.")

    assert check(root) == []


def test_a_page_may_show_an_earlier_lessons_answer(root):
    change(
        root,
        "docs/lessons/02_world.md",
        "It speaks.",
        '```python title="app.py"\n--8<-- "solutions/01_hello/app.py:hello"\n```',
    )

    assert check(root) == []


def test_a_page_may_show_given_code(root):
    change(
        root,
        "docs/lessons/01_hello.md",
        "It speaks.",
        '```python title="solutions/01_hello/app.py"\n'
        '--8<-- "solutions/01_hello/app.py:shout-given"\n```',
    )

    assert check(root) == []


def test_a_link_to_another_host_is_allowed(root):
    change(
        root,
        "docs/index.md",
        "You learn to greet.",
        'See [the RFC](https://example.org/just), <a href="https://example.org">here</a>.',
    )

    assert check(root) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("docs/site.css", "@import 'https://fonts.example.org/a';"),
        ("docs/site.css", "a { background: url(//example.org/a.png) }"),
        ("docs/figure.js", "import { a } from 'https://example.org/a.js'"),
        ("docs/index.md", "# A\n![a](https://example.org/a.png)"),
        ("mkdocs.yml", "theme:\n  font: false\nextra_css:\n  - https://example.org/a.css"),
    ],
)
def test_the_site_requests_nothing_from_other_hosts(root, name, text):
    write(root / name, text)

    line = text.count("\n") + 1
    assert check(root) == [
        f"{name}:{line}: this is requested from another host. "
        "Put a copy in docs/, and refer to that."
    ]


def test_the_theme_must_not_fetch_fonts(root):
    write(root / "mkdocs.yml", "theme:\n  name: material\n")

    assert check(root) == [
        "mkdocs.yml: the theme requests fonts from another host. Set `font: false` under `theme`."
    ]
