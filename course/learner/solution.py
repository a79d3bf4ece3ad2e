"""Compare a learner's answer with ours, in two columns or, in a narrow terminal, as a diff."""

import difflib
from dataclasses import dataclass
from itertools import zip_longest

from rich.syntax import Syntax
from rich.text import Text

from course.learner.paint import Painter, printable
from course.learner.refusal import Refusal
from course.lesson import regions
from course.lesson.lessons import Lesson
from course.lesson.starter import files


@dataclass(frozen=True)
class Pair:
    """A file of a lesson, in the learner's and in our version."""

    name: str
    mine: str
    ours: str


def pairs(lesson: Lesson) -> list[Pair]:
    """Return the files that have a TODO. Files that the lesson gives are omitted."""
    if not lesson.solution.is_dir():
        raise Refusal(f"The solution of {lesson.slug} is missing.")
    found = []
    for name, path in files(lesson.solution).items():
        if path.suffix in regions.COMMENTS:
            text = path.read_text("utf-8")
            if any(region.sentence for region in regions.regions(text, path.suffix, name)):
                mine = lesson.lesson / name
                learners = mine.read_text("utf-8", "replace") if mine.is_file() else ""
                found.append(Pair(name, learners, regions.without_markers(text, path.suffix)))
    return found


TWO_COLUMNS = 140  # columns of the terminal that two listings side by side need


def comparison(found: list[Pair], painter: Painter) -> list[Text]:
    """Return each file of a lesson, the learner's version beside ours."""
    lines: list[Text] = []
    for pair in found:
        lines += [Text()] if lines else []
        lines += _file(pair, painter)
    return lines


def _file(pair: Pair, painter: Painter) -> list[Text]:
    mine, ours = _safe(pair.mine), _safe(pair.ours)
    if mine == ours:
        return painter.row(painter.text(pair.name, "bold"), painter.text("  the same"), Text())
    if painter.width >= TWO_COLUMNS:
        return _columns(pair.name, mine, ours, painter)
    head = painter.text(pair.name, "bold") + painter.text("   - yours", "red")
    return [head + painter.text("   + ours", "green"), *_difference(mine, ours, painter)]


def _safe(code: str) -> list[str]:
    return [printable(line) for line in code.rstrip().replace("\r\n", "\n").split("\n")]


def _difference(mine: list[str], ours: list[str], painter: Painter) -> list[Text]:
    styles = {"-": "red", "+": "green", "@": "dim"}
    found = list(difflib.unified_diff(mine, ours, lineterm="", n=3))[2:]
    lines = []
    for line in found:
        # Show a gap in place of line numbers.
        text = "" if line.startswith("@") else line
        lines += painter.wrapped(Text(), painter.text(text, styles.get(line[:1], "")), 2)
    return lines[1:]


def _columns(name: str, mine: list[str], ours: list[str], painter: Painter) -> list[Text]:
    """Return the changed parts of both listings, with corresponding lines in one row."""
    room = (painter.width - 7) // 2
    left, right = _coloured(name, mine), _coloured(name, ours)
    head = painter.text(f"{name}, yours".ljust(room + 5) + f"{name}, ours", "bold")
    lines = [head]
    for group in difflib.SequenceMatcher(None, mine, ours, False).get_grouped_opcodes(3):
        lines.append(Text())
        for kind, a, b, c, d in group:
            for one, other in zip_longest(left[a:b], right[c:d]):
                lines += _pair_of_lines(one, other, kind == "equal", room, painter)
    return lines


def _coloured(name: str, code: list[str]) -> list[Text]:
    """Return the lines with syntax highlighting."""
    text = "\n".join(code)
    syntax = Syntax(text, Syntax.guess_lexer(name, text), theme="ansi_dark")
    return list(syntax.highlight(text).split("\n"))


def _pair_of_lines(
    one: Text | None, other: Text | None, same: bool, room: int, painter: Painter
) -> list[Text]:
    """Return one line of each listing, wrapped to `room` columns, with - and + if they differ."""
    folded = [list(t.wrap(painter.console, room)) if t else [] for t in (one, other)]
    rows = []
    for a, b in zip_longest(*folded):
        minus = painter.text("- " if a and not same else "  ", "red")
        plus = painter.text("+ " if b and not same else "  ", "green")
        a = a or Text()
        a.rstrip()
        a.pad_right(room - a.cell_len)
        rows.append(minus + a + painter.text(" │ ", "dim") + plus + (b or Text()))
        rows[-1].rstrip()
    return rows or [Text(" " * (room + 3)) + painter.text("│", "dim")]
