"""Check the rules of the course: `dev check`. Each message says where, and what to do.

The tree: a slug is spelled `NN_name` and has a file or folder in each tree. Numbers run from 01
without gaps, except before a lesson whose page says which one it starts from.
Tests: each test belongs to a task. Only a task's first test has its title and points. A task needs
only tasks above it.
Solutions: markers are well formed. A TODO is a sentence, and its region is called `task` or
`task-part`. A file that an earlier lesson has too is identical, except for markers, or a different
program; its code isn't asked for again. app.py has at most 120 lines, a function 25, the answers
of a lesson 40 (without markers; a page's front matter can raise the last limit).
Starters: `dev sync` writes them. They compile and start.
Answers, `tests/answers/NN_slug.toml`: at least eight wrong and four right ones, and a wrong one for
each task. Their form is in answer_file.py.
Pages: see page_rules.py.
"""

import ast
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from course.author import page_rules
from course.author.lesson_view import Refusal, View, code_lines, read, views
from course.author.sync import Change, changes
from course.lesson.lessons import SLUG, Lesson, task_decorators
from course.lesson.regions import COMMENTS, MarkerError, Region, regions, without_markers

APP_LINES, FUNCTION_LINES = 120, 25
# The limits of a lesson, unless its page's front matter sets others, such as `answer_lines: 150`.
ANSWER_LINES, TODOS = 40, 6
WRONG, RIGHT = 8, 4
START_SECONDS = 120.0

# The trees in which a slug has a file or folder: the tree, a pattern, and what surrounds the slug.
TREES = (
    ("docs/lessons", "*.md", "", ".md"),
    ("lessons", "*/", "", ""),
    ("solutions", "*/", "", ""),
    ("tests", "test_*.py", "test_", ".py"),
    ("tests/answers", "*.toml", "", ".toml"),
)


def check(root: Path) -> list[str]:
    """Return a message for each broken rule of the course at `root`."""
    root = root.resolve()  # The starters are started from another folder.
    subjects = views(root)
    found = [refusal for rule in TREE_RULES for refusal in rule(root)]
    found += [refusal for view in subjects for rule in LESSON_RULES for refusal in rule(view)]
    found += page_rules.refusals(root, subjects)
    return [refusal.sentence(root) for refusal in found]


# The tree and the starters


def spelling(root: Path) -> Iterator[Refusal]:
    """A slug is two digits, `_`, and a name in lower case."""
    for path, slug in _entries(root):
        if not SLUG.fullmatch(slug):
            text = f"{slug!r} isn't a lesson's name. Spell it NN_name in lower case, or move it."
            yield Refusal(path, 0, text)


def homes(root: Path) -> Iterator[Refusal]:
    """Each slug has a file or folder in each tree."""
    for slug in _slugs(root):
        lesson = Lesson(slug, root)
        for home in lesson.homes:
            if not home.exists():
                advice = "Run `python3 -m course dev sync`" if home == lesson.lesson else "Write it"
                text = f"{slug} has no file or folder here. {advice}, or remove its others."
                yield Refusal(home, 0, text)


def numbers(root: Path) -> Iterator[Refusal]:
    """The lessons are numbered from 01, without duplicates, and without unexplained gaps.

    A lesson whose page has `starts_from` may be written before those between.
    """
    for before, slug in pairwise(["00_start", *_slugs(root)]):
        path, wanted = Lesson(slug, root).solution, int(before[:2]) + 1
        if slug[:2] == before[:2]:
            yield Refusal(path, 0, f"{before} has the same number. Renumber one of them.")
        elif int(slug[:2]) != wanted and "starts_from" not in Lesson(slug, root).read_page().front:
            advice = "Renumber the lessons, or set `starts_from` in the page's front matter."
            yield Refusal(path, 0, f"number {wanted:02} is missing before this. {advice}")


def starters(root: Path) -> Iterator[Refusal]:
    """`lessons/` is what `dev sync` writes."""
    for change in _stale(root):
        if change.content is not None:
            advice = "`python3 -m course dev sync` writes it, and keeps a copy of yours."
            text = f"this isn't the starter of its solution. {advice}"
        else:
            text = "no solution has this file. Run `python3 -m course dev sync`, or move it."
        yield Refusal(change.path, 0, text)


def starting(root: Path) -> Iterator[Refusal]:
    """A starter compiles and starts: its modules import, and `create_app` returns an app."""
    stale = [change.path for change in _stale(root)]
    whole = []
    for folder in sorted((root / "lessons").glob("[0-9]*/")):
        # Don't run a folder that a learner has edited.
        if not any(path.is_relative_to(folder) for path in stale):
            broken = [r for path in sorted(folder.glob("*.py")) for r in _compiled(path)]
            yield from broken
            whole += [] if broken else [folder]
    yield from _started(whole)


def _stale(root: Path) -> list[Change]:
    """Return what `dev sync` would change; nothing if a marker is wrong, as `markers` reports."""
    try:
        return changes(root)
    except (MarkerError, UnicodeDecodeError):
        return []


def _entries(root: Path) -> Iterator[tuple[Path, str]]:
    """Yield each entry of the trees with the slug in its name, spelled right or wrong."""
    for folder, pattern, before, after in TREES:
        for path in sorted((root / folder).glob(pattern)):
            ours = not path.name.startswith((".", "__")) and path.name != "index.md"
            if ours and path.is_dir() == pattern.endswith("/"):
                yield path, path.name.removeprefix(before).removesuffix(after)


def _slugs(root: Path) -> list[str]:
    """Return every valid slug that is in any tree."""
    return sorted({slug for _, slug in _entries(root) if SLUG.fullmatch(slug)})


def _compiled(path: Path) -> Iterator[Refusal]:
    """Refuse a Python file that doesn't compile."""
    try:
        compile(read(path), path.name, "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        text = f"it doesn't compile: {error.args[0]}. Put the TODO where a statement may be."
        yield Refusal(path, getattr(error, "lineno", 0) or 0, text)


# Runs in its own process, since it imports the starters. It prints a line of JSON for each folder.
_START = """
import contextlib, importlib, json, os, sys, traceback
from pathlib import Path

def start(folder):
    for path in sorted(folder.glob("*.py")):
        if path.stem.isidentifier():
            make = getattr(importlib.import_module(path.stem), "create_app", None)
            if make:
                make({"DATABASE": folder.name + ".sqlite3"})

for folder in map(Path, sys.argv[1:]):
    sys.path.insert(0, str(folder))
    problem, place = "", []
    try:
        with contextlib.redirect_stdout(sys.stderr):
            start(folder)
    except BaseException as error:
        problem = f"{type(error).__name__}: {error}"
        frames = [(f.filename, f.lineno) for f in traceback.extract_tb(error.__traceback__)]
        place = [frame for frame in frames if Path(frame[0]).parent == folder][-1:]
    print(json.dumps([problem, *place]), flush=True)
    sys.path.remove(str(folder))
    for name, module in list(sys.modules.items()):
        if Path(getattr(module, "__file__", None) or "-").parent == folder:
            del sys.modules[name]
os._exit(0)  # Threads that still run would keep the process alive.
"""


def _started(folders: list[Path]) -> Iterator[Refusal]:
    """Start each starter, and refuse those that raise an exception or never return."""
    command = [sys.executable, "-I", "-B", "-c", _START, *map(str, folders)]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        try:
            run = subprocess.run(command, cwd=scratch, capture_output=True, timeout=START_SECONDS)
            output = run.stdout
        except subprocess.TimeoutExpired as expired:
            output = expired.stdout or b""
    reports = [json.loads(line) for line in output.splitlines()]
    for folder, (problem, *place) in zip(folders, reports, strict=False):
        if problem:
            path, line = place[0] if place else (folder, 0)
            text = f"the starter doesn't start: {problem}. Move what it needs out of the TODO."
            yield Refusal(Path(path), line, text)
    for folder in folders[len(reports) : len(reports) + 1]:
        text = "the starter exited or never returned. Run nothing at import."
        yield Refusal(folder, 0, text)


# The tests


def tasks(view: View) -> Iterator[Refusal]:
    """The tests parse; each test belongs to a task, and each task is valid."""
    path = view.lesson.test
    if not path.is_file():
        return
    try:
        body, found = ast.parse(read(path)).body, view.lesson.read_tasks()
    except (SyntaxError, ValueError) as error:
        problem = getattr(error, "msg", "a decorator's arguments aren't all literals")
        text = f"its tasks can't be read: {problem}. Fix it."
        yield Refusal(path, getattr(error, "lineno", 0) or 0, text)
        return
    if not found:
        yield Refusal(path, 0, 'it has no task. Add @task("id", "title") to a test.')
    seen: list[str] = []
    for call in task_decorators(body):
        yield from (Refusal(path, call.lineno, text) for text in _task_problems(call, view, seen))
        seen.append(call.args[0].value)
    for node in body:
        if getattr(node, "name", "").startswith("test_") and not task_decorators([node]):
            yield Refusal(path, node.lineno, f"{node.name} has no task. Add @task to it.")


def _task_problems(call: ast.Call, view: View, seen: list[str]) -> Iterator[str]:
    """Yield what is wrong with one @task, given the ids of those above it."""
    name = call.args[0].value
    if name in seen:
        if len(call.args) > 1 or call.keywords:
            yield f"task {name} has a title already. Only its first test has title and points."
        return
    task = next(task for task in view.tasks if task.id == name)
    if not re.fullmatch("[a-z][a-z0-9_]*", name):
        yield f"{name!r} isn't a valid task id. Use lower-case letters, digits and _."
    if not task.title:
        yield f'task {name} has no title. Write @task("{name}", "What it shows").'
    if type(task.points) is not int or task.points < 1:
        yield f"task {name} has {task.points!r} points. Use a whole number from 1."
    for need in task.needs:
        if need not in seen:
            yield f"task {name} needs {need}, which no test above has. Move it, or fix the name."


# The solution


def markers(view: View) -> Iterator[Refusal]:
    """Markers are valid and pair up, and only files that may have them do."""
    for name, path in view.files.items():
        try:
            text = path.read_bytes().decode("utf-8")
            regions(text, path.suffix, name)
        except MarkerError as error:
            yield Refusal(path, error.line, error.problem)
        except UnicodeDecodeError:
            if path.suffix in COMMENTS:
                yield Refusal(path, 0, "it isn't UTF-8. Save it as UTF-8.")


def todos(view: View) -> Iterator[Refusal]:
    """Each TODO is a sentence, has an answer, and belongs to a task; a lesson has few of them."""
    names: set[str] = set()
    for region in view.todos:
        for text in _todo_problems(region, view, names):
            yield Refusal(view.files[region.file], region.first, text)
        names.add(region.name)
    most = view.limit("todos", TODOS)
    if view.files and not 1 <= len(view.todos) <= most:
        count = len(view.todos)
        text = f"it has {count} TODOs. Give 1 to {most} regions a sentence."
        yield Refusal(view.lesson.solution, 0, text)


def _todo_problems(region: Region, view: View, names: set[str]) -> Iterator[str]:
    """Yield what is wrong with a TODO, given the names of those before it."""
    if region.task not in [task.id for task in view.tasks]:
        yield f"no task checks {region.name}. Call it `task` or `task-part`, after a task's id."
    if region.name in names:
        yield f"another file has a TODO {region.name}. Call this one `{region.task}-part`."
    if not re.fullmatch(r"[A-Z].*\.", region.sentence):
        yield f"{region.name} says {region.sentence!r}. Write a sentence: a capital, a full stop."
    if not code_lines(region.body):
        yield f"{region.name} has no code. Put the answer between its markers."
    elif next(filter(str.strip, region.body.split("\n"))).startswith((" ", "\t")):
        yield f"{region.name} is indented less than its code. Indent its markers like the code."


def stray_todos(view: View) -> Iterator[Refusal]:
    """A learner who searches for TODO finds only what to write."""
    for name, text in view.code.items():
        for number, line in enumerate(text.split("\n"), 1):
            if re.search(r"\bTODO\b", line):
                text = "a learner would take this TODO for a task. Mark a region, or reword it."
                yield Refusal(view.files[name], number, text)


def carried(view: View) -> Iterator[Refusal]:
    """A file that an earlier lesson has too is identical, or a different program."""
    for name, text in view.code.items():
        before, suffix = view.earlier(name), Path(name).suffix
        if before is None:
            continue
        mine, theirs = (without_markers(t, suffix) for t in (text, before.code[name]))
        if mine != theirs and _program(mine, suffix) == _program(theirs, suffix):
            text = (
                f"it differs from the file in {before.slug} only in comments or spacing. "
                "Make them identical, except for markers."
            )
            yield Refusal(view.files[name], 0, text)


def asked_twice(view: View) -> Iterator[Refusal]:
    """A lesson doesn't ask for code that an earlier lesson wrote."""
    for region in view.todos:
        before = view.earlier(region.file)
        body = "\n".join(["", *code_lines(region.body), ""])
        if before and body in "\n".join(["", *code_lines(before.code[region.file]), ""]):
            text = f"{before.slug} has the code of {region.name} already. Remove the sentence."
            yield Refusal(view.files[region.file], region.first, text)


def _program(text: str, suffix: str) -> object:
    """Return a form of the program that ignores comments and spacing."""
    if suffix == ".py":
        try:
            return ast.dump(ast.parse(text))
        except SyntaxError:
            return text
    if suffix == ".css":  # A line that begins with `#` isn't a comment.
        return re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL).split()
    return [" ".join(line.split()) for line in code_lines(text)]


def sizes(view: View) -> Iterator[Refusal]:
    """A lesson's code is short."""
    length = len(without_markers(view.code.get("app.py", ""), ".py").rstrip("\n").split("\n"))
    if length > APP_LINES:
        text = f"it has {length} lines; the limit is {APP_LINES}. Move a part to another module."
        yield Refusal(view.files["app.py"], 0, text)
    answer = sum(len(code_lines(region.body)) for region in view.todos)
    most = view.limit("answer_lines", ANSWER_LINES)
    if answer > most:
        text = f"its answers have {answer} lines; the limit is {most}. Give more code."
        yield Refusal(view.lesson.solution, 0, text)
    for name in view.code:
        if name.endswith(".py"):
            yield from _functions(view.files[name])


def _functions(path: Path) -> Iterator[Refusal]:
    """Refuse the functions of a file that are too long."""
    try:
        tree = ast.parse(read(path))
    except SyntaxError as error:
        yield Refusal(path, error.lineno or 0, f"it doesn't compile: {error.msg}. Fix it.")
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            source = "\n".join(read(path).split("\n")[node.lineno - 1 : node.end_lineno])
            length = len(without_markers(source, ".py").split("\n"))
            if length > FUNCTION_LINES:
                text = f"{node.name} has {length} lines; the limit is {FUNCTION_LINES}. Split it."
                yield Refusal(path, node.lineno, text)


# The answers that test the grader


def answers(view: View) -> Iterator[Refusal]:
    """There are enough wrong and right answers, and each has the form in answer_file.py."""
    path = view.lesson.answers
    if not path.is_file():
        return
    try:
        given = tomllib.loads(read(path))
    except tomllib.TOMLDecodeError as error:
        yield Refusal(path, 0, f"it isn't valid TOML: {error}. Fix it.")
        return
    for extra in sorted(given.keys() - {"wrong", "right"}):
        yield Refusal(path, 0, f"{extra!r} is unknown here. Use [[wrong]] and [[right]].")
    yield from _answers(view, "wrong", given.get("wrong", []), WRONG, {"belief", "fails", "code"})
    yield from _answers(view, "right", given.get("right", []), RIGHT, {"how", "code"})
    judged = {entry.get("fails") for entry in given.get("wrong", [])}
    for task in view.tasks:
        if task.id not in judged:
            yield Refusal(
                path, 0, f"no wrong answer fails {task.id}. Write one, to test its grader."
            )


def _answers(
    view: View, kind: str, entries: list[dict], least: int, fields: set[str]
) -> Iterator[Refusal]:
    """Refuse what is wrong with the answers of one kind."""
    path = view.lesson.answers
    if len(entries) < least:
        text = f"it has {len(entries)} {kind} answers. Write at least {least}."
        yield Refusal(path, 0, text)
    numbered = enumerate(read(path).split("\n"), 1)
    lines = [number for number, line in numbered if line.strip() == f"[[{kind}]]"]
    for line, entry in zip(lines, entries, strict=False):
        for problem in _answer_problems(entry, fields, view):
            yield Refusal(path, line, problem)


def _answer_problems(entry: dict, fields: set[str], view: View) -> Iterator[str]:
    """Yield what is wrong with one answer."""
    for name in sorted(fields - entry.keys()):
        yield f"the answer has no `{name}`. Add it."
    for name in sorted(entry.keys() - fields):
        yield f"`{name}` is unknown in this answer. Use {', '.join(sorted(fields))}."
    known = [task.id for task in view.tasks]
    if "fails" in entry and entry["fails"] not in known:
        yield f"`fails` is {entry['fails']!r}, not a task. Name one of {', '.join(known)}."
    code = entry.get("code") or {}
    if not code and "code" in entry:
        yield "it changes no code. Give it the new text of a region or a file."
    names = [*view.files, *(region.name for region in view.regions)]
    for key, value in code.items():
        # An answer may add a file, but only if it also changes code that can use it.
        is_new_file = "." in key and any(name in names for name in code)
        if names.count(key) != 1 and not is_new_file:
            there = "several regions are" if key in names else "no region or file is"
            yield f"{there} called {key!r}. Name one region or file of the solution."
        if not isinstance(value, str):
            yield f"the code of {key} isn't a string. Put it in triple quotes."


TREE_RULES = (spelling, homes, numbers, starters, starting)
LESSON_RULES = (tasks, markers, todos, stray_todos, carried, asked_twice, sizes, answers)
