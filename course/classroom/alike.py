"""Find equal lines in two submissions where the starter left room.

It is a hint for a talk, not a verdict: short answers look alike, and learners work together. A line
doesn't count if the starter or our solution has it, if it is short, or if many submissions have it.
"""

from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from pathlib import Path

from course.lesson.lessons import Lesson
from course.lesson.starter import files, starter_files

SHORTEST, LONGEST = 12, 300  # characters; `return None` says nothing
MOST_LINES = 5_000  # of a submission
FEWEST = 3  # equal lines for a pair to be reported
MOST_PAIRS = 50


@dataclass(frozen=True)
class Place:
    """A line of a submission."""

    file: str  # with its lesson: "08_broadcast/hub.py"
    line: int


@dataclass(frozen=True)
class Shared:
    """A line that two submissions have, and its place in each."""

    text: str
    first: Place
    second: Place


@dataclass(frozen=True)
class Pair:
    """Two submissions with equal lines."""

    first: str
    second: str
    lines: tuple[Shared, ...]


def own_lines(lesson: Lesson, folder: Path) -> dict[str, Place]:
    """Return the lines that the learner wrote, each with its first place."""
    ours = _ours(lesson)
    found: dict[str, Place] = {}
    for name, path in files(folder).items():
        for number, line in enumerate(_lines(path.read_bytes()), 1):
            text = _plain(line)
            if SHORTEST <= len(text) <= LONGEST and text not in ours and len(found) < MOST_LINES:
                found.setdefault(text, Place(f"{lesson.slug}/{name}", number))
    return found


@cache
def _ours(lesson: Lesson) -> frozenset[str]:
    """Return the lines of the starter and of our solution."""
    solution = [path.read_bytes() for path in files(lesson.solution).values()]
    contents = [*starter_files(lesson).values(), *solution]
    return frozenset(_plain(line) for content in contents for line in _lines(content))


def _lines(content: bytes) -> list[str]:
    return [] if b"\0" in content else content.decode("utf-8", "replace").split("\n")


def _plain(line: str) -> str:
    return " ".join(line.split())


def alike(submissions: dict[str, dict[str, Place]]) -> list[Pair]:
    """Return the pairs of submissions with the most equal lines first.

    A line that more than a tenth of the submissions have says little, so it doesn't count.
    """
    having: dict[str, list[str]] = defaultdict(list)
    for name, lines in submissions.items():
        for text in lines:
            having[text].append(name)
    most = max(2, len(submissions) // 10)
    shared: dict[tuple[str, str], list[str]] = defaultdict(list)
    for text, names in having.items():
        if len(names) <= most:
            for pair in combinations(sorted(names), 2):
                shared[pair].append(text)
    pairs = [
        Pair(one, other, _shared(texts, submissions[one], submissions[other]))
        for (one, other), texts in shared.items()
        if len(texts) >= FEWEST
    ]
    pairs.sort(key=lambda pair: (-len(pair.lines), pair.first, pair.second))
    return pairs[:MOST_PAIRS]


def _shared(texts: list[str], first: dict, second: dict) -> tuple[Shared, ...]:
    lines = [Shared(text, first[text], second[text]) for text in texts]
    return tuple(sorted(lines, key=lambda line: (line.first.file, line.first.line)))
