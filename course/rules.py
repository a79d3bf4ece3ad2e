"""Hold the rules of the course: `dev check`. Each refusal says where, and what to do.

Of the tree: a slug has all its homes, is spelled `NN_name`, and the numbers run from 01 upwards.
Of a test file: each test belongs to a task; a task is named once with its title, and needs only
tasks before it.
Of a solution: markers are well formed; a TODO is a sentence, named `task` or `task-part`; a file
carried over is the same to the byte but for markers, and nothing is asked for twice; app.py has at
most 120 lines, a function 25, the answer of a lesson 40, marker lines not counted.
Of a starter: it is what `dev sync` writes, compiles, and starts.
Of an answers file, `tests/answers/NN_slug.toml`, at least eight wrong and four right:

    [[wrong]]
    belief = "the misconception in one line"
    fails = "create"        # the task that must notice it
    [wrong.code]
    create = '''...'''      # a region, by its name, or a whole file: "app.py" = '''...'''
    [[right]]
    how = "in which way it is written differently"
    [right.code]
    create = '''...'''

Of the pages: see course/page_rules.py.
"""

import ast
import json
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

from course import page_rules
from course.curriculum import SLUG, Lesson, task_decorators
from course.markers import COMMENTS, MarkerError, regions, without_markers
from course.starters import changes
from course.views import Refusal, View, code_lines, views

APP_LINES, FUNCTION_LINES, ANSWER_LINES, TODOS = 120, 25, 40, 6
WRONG, RIGHT = 8, 4

# Where a slug has its homes: the folder, what to look for in it, and what surrounds the slug.
TREES = (
    ("docs/lessons", "*.md", "", ".md"),
    ("lessons", "*/", "", ""),
    ("solutions", "*/", "", ""),
    ("tests", "test_*.py", "test_", ".py"),
    ("tests/answers", "*.toml", "", ".toml"),
)


def check(root: Path) -> list[str]:
    """Return a sentence for each rule that the course at `root` breaks; none if all is well."""
    subjects = views(root)
    found = [refusal for rule in TREE_RULES for refusal in rule(root)]
    found += [refusal for view in subjects for rule in LESSON_RULES for refusal in rule(view)]
    found += page_rules.refusals(root, subjects)
    return [refusal.sentence(root) for refusal in found]


# The tree


def _entries(root: Path) -> Iterator[tuple[Path, str]]:
    """Return what stands where only homes should stand, each with the slug that it claims."""
    for folder, pattern, before, after in TREES:
        for path in sorted((root / folder).glob(pattern)):
            hidden = path.name.startswith((".", "__"))
            if not hidden and path.name != "index.md" and path.is_dir() == (pattern == "*/"):
                yield path, path.name.removeprefix(before).removesuffix(after)


def spelling(root: Path) -> Iterator[Refusal]:
    """A slug is two digits, `_`, and a name in lower case."""
    for path, slug in _entries(root):
        if not SLUG.fullmatch(slug):
            yield Refusal(
                path, 0, f"{slug!r} is no lesson. Spell it NN_name in lower case, or move it."
            )


def homes(root: Path) -> Iterator[Refusal]:
    """Each slug has its home in each tree."""
    for slug in _slugs(root):
        lesson = Lesson(slug, root)
        for home in lesson.homes:
            if not home.exists():
                advice = "Run dev sync" if home == lesson.lesson else "Write it"
                text = f"{slug} has no home here. {advice}, or remove its other homes."
                yield Refusal(home, 0, text)


def numbers(root: Path) -> Iterator[Refusal]:
    """The lessons are numbered from 01, without a gap and without a number used twice."""
    slugs = _slugs(root)
    for before, slug in zip(["00_start", *slugs], slugs, strict=False):
        path, wanted = Lesson(slug, root).solution, int(before[:2]) + 1
        if slug[:2] == before[:2]:
            yield Refusal(path, 0, f"{before} has this number. Give {slug} another.")
        elif int(slug[:2]) != wanted:
            yield Refusal(path, 0, f"the lesson before is {before}. Number this one {wanted:02}.")


def _slugs(root: Path) -> list[str]:
    return sorted({slug for _, slug in _entries(root) if SLUG.fullmatch(slug)})


# Starters


def starters(root: Path) -> Iterator[Refusal]:
    """`lessons/` is what `dev sync` writes."""
    try:
        stale = changes(root)
    except (MarkerError, UnicodeDecodeError):
        return  # The markers are refused already, by their own rule.
    for path, content in stale:
        if content is None:
            text = "no solution has this file. Run dev sync, or delete it."
        else:
            text = "this is not what the solution says. Change the solution, then run dev sync."
        yield Refusal(path, 0, text)
