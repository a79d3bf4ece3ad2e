"""Render results and progress as lines of text for the terminal.

This module only renders, so `check` and the watch screen use the same lines. It escapes what a
learner's code sent, so rich's markup and the terminal's control sequences have no effect.
"""

import os
import shutil
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TextIO

from rich.console import Console
from rich.text import Text
from rich.theme import Theme

from course.learner.hints import Hint
from course.learner.progress import Progress
from course.learner.refusal import command
from course.lesson.lessons import Lesson
from course.report import Card, LessonResult, Part, Report, Status, TaskResult, WireLine

WIDEST = 100  # columns; longer lines are hard to read
WIDE = 200  # columns for two listings side by side
NARROW = 72  # columns; a narrower card is indented less


@dataclass(frozen=True)
class Signs:
    """The signs for verdicts, the current lesson and rules."""

    passed: str = "✓"
    failed: str = "✗"
    blocked: str = "◌"
    error: str = "!"
    skipped: str = "\N{EN DASH}"
    pending: str = "·"
    here: str = "▸"
    rule: str = "─"

    def of(self, status: Status | None) -> str:
        """Return the sign of a verdict; None is for a task without a verdict yet."""
        return getattr(self, status or "pending")


UNICODE = Signs()
ASCII = Signs("+", "x", "o", "!", "-", ".", ">", "-")
_SPELLED = str.maketrans(
    {
        **{"→": "->", "←": "<-", "↑": "^", "↓": "v", "✂": "><", "…": "...", "│": "|"},
        **{"\N{EN DASH}": "-", "·": ".", "•": "*"},
    }
)

STYLES: dict[Status | None, str] = {
    "passed": "green",
    "failed": "red",
    "blocked": "yellow",
    "error": "magenta",
    "skipped": "cyan",
    None: "dim",
}
# rich shows code on black by default, which is hard to read in a light terminal.
_THEME = Theme({"markdown.code": "cyan", "markdown.code_block": "cyan"})
_ARROWS = {"→": "blue", "←": "cyan", "✂": "red", "…": "dim"}
# The styles of the labels, by the key of a card's part. A part without one may be left out.
_LABELS = {"expected": "green", "got": "red", "place": "yellow", "next": "bold"}

# The rank of a line of a card: labelled lines, their continuation lines, the wire.
VITAL, MORE, WIRE = range(3)


@dataclass(frozen=True)
class CardLine:
    """A line of a card on the screen. If the card is too long, lines of a low rank are shown."""

    text: Text
    rank: int


def make_console(file: TextIO, width: int | None = None) -> Console:
    """Return a console that writes to `file`, `width` columns wide, or as wide as the terminal."""
    columns = width or shutil.get_terminal_size().columns
    plain = {"markup": False, "highlight": False, "emoji": False}
    return Console(file=file, width=columns, theme=_THEME, **plain)


def printable(text: str) -> str:
    """Return the text with control characters escaped: ESC becomes `\\x1b`."""
    hidden = ("Cc", "Cf", "Cs", "Zl", "Zp")
    spelled = (
        c.encode("unicode_escape").decode() if unicodedata.category(c) in hidden else c
        for c in text.replace("\t", "    ")
    )
    return "".join(spelled)


class Painter:
    """Makes lines for one console, limited to its width and to characters that it can show."""

    def __init__(self, console: Console, widest: int = WIDEST) -> None:
        self.console = console
        self.width = max(20, min(console.width, widest))
        self.unicode = _can_show(console.encoding)
        self.signs = UNICODE if self.unicode else ASCII

    def text(self, string: str, style: str = "") -> Text:
        """Return one piece of text, with control characters escaped."""
        # A style of the whole Text would also apply to what is appended later.
        return Text(no_wrap=True).append(self._spelled(printable(string)), style or None)

    def shorten(self, line: Text, width: int) -> None:
        """Cut the line to `width` columns, with an ellipsis if the console can show one."""
        line.truncate(width, overflow="ellipsis" if self.unicode else "crop")

    def wrapped(self, first: Text, rest: Text, hang: int | None = None) -> list[Text]:
        """Return `first` followed by `rest`, whose continuation lines begin at column `hang`."""
        hang = first.cell_len if hang is None else hang
        room = self.width - first.cell_len
        rest.no_wrap = False
        pieces = list(rest.wrap(self.console, max(room, 12))) or [Text()]
        if hang != first.cell_len and len(pieces) > 1:
            # The lines after the first have another width, so wrap them again.
            begin = len(pieces[0].plain)
            gap = len(rest.plain[begin:]) - len(rest.plain[begin:].lstrip(" \n"))
            tail = rest[begin + gap :]
            tail.no_wrap = False
            pieces = [pieces[0], *tail.wrap(self.console, max(self.width - hang, 12))]
        for piece in pieces:
            piece.rstrip()
        return [first + pieces[0], *(Text(" " * hang) + piece for piece in pieces[1:])]

    def row(self, left: Text, middle: Text, right: Text) -> list[Text]:
        """Return a line with its right part at the right edge. The middle part wraps."""
        room = max(self.width - left.cell_len - right.cell_len - 2, 12)
        middle.no_wrap = False
        pieces = list(middle.wrap(self.console, room)) or [Text()]
        for piece in pieces:
            piece.rstrip()
        gap = self.width - left.cell_len - pieces[0].cell_len - right.cell_len
        first = left + pieces[0] + Text(" " * max(gap, 1)) + right
        indent = Text(" " * left.cell_len)
        return [first, *(indent + piece for piece in pieces[1:])]

    def paragraph(self, string: str, style: str = "", indent: int = 0) -> list[Text]:
        """Return a wrapped paragraph."""
        return self.wrapped(Text(" " * indent), self.text(string, style))

    def markdown(self, source: str, indent: int = 0) -> list[Text]:
        """Return a few paragraphs of Markdown, such as a hint."""
        from rich.markdown import Markdown  # Importing it takes longer than all the others.

        safe = "\n".join(printable(line) for line in source.splitlines())
        options = self.console.options.update(width=self.width - indent)
        page = Markdown(safe, code_theme="ansi_dark")
        lines: list[Text] = []
        for segments in self.console.render_lines(page, options, pad=False):
            parts = [(self._spelled(s.text), s.style or "") for s in segments]
            line = Text.assemble(" " * indent, *parts, no_wrap=True)
            line.rstrip()
            if line.plain or (lines and lines[-1].plain):  # Keep one of several empty lines.
                lines.append(line)
        return lines if not lines or lines[-1].plain else lines[:-1]

    def _spelled(self, text: str) -> str:
        return text if self.unicode else text.translate(_SPELLED)

    def card(self, card: Card, indent: int) -> list[CardLine]:
        """Return a card's lines, each with its rank."""
        lines: list[CardLine] = []
        for sentence in card.sentence.splitlines():
            lines += self._ranked(self.wrapped(Text(" " * indent), self.text(sentence)), MORE)
        width = max((len(line.who) for line in card.wire), default=0)
        lines += [one for line in card.wire for one in self._wire_line(line, width, indent)]
        for part in card.labelled():
            lines += self._labelled(part, indent)
        for name, text in card.printed:
            lines += self._ranked([self.text(" " * indent + f"{name}:")], MORE)
            for line in text.split("\n"):
                printed = self.wrapped(Text(" " * (indent + 4)), self.text(line, "dim"))
                lines += self._ranked(printed, MORE)
        return lines

    @staticmethod
    def _ranked(lines: list[Text], rank: int) -> list[CardLine]:
        """Return the ranked pieces of a wrapped line: the first has `rank`, the rest less."""
        first, *more = lines
        return [CardLine(first, rank), *(CardLine(text, max(rank, MORE)) for text in more)]

    def _wire_line(self, line: WireLine, width: int, indent: int) -> list[CardLine]:
        who = self.text(f"{line.who:<{width}} ", "dim")
        arrow = self.text(f"{line.arrow} ", _ARROWS[line.arrow])
        head = Text(" " * indent) + who + arrow
        return self._ranked(self.wrapped(head, self.text(line.what)), WIRE)

    def _labelled(self, part: Part, indent: int) -> list[CardLine]:
        first, *more = part.text.split("\n")
        head = Text(" " * indent) + self.text(f"{part.label}: ", _LABELS.get(part.key, ""))
        rank = VITAL if part.key in _LABELS else MORE
        lines = self._ranked(self.wrapped(head, self.text(first), indent + 4), rank)
        for line in more:
            inner = len(line) - len(line.lstrip(" "))
            rest = self.wrapped(Text(" " * (indent + inner)), self.text(line.lstrip(" "), "dim"))
            lines += self._ranked(rest, MORE)
        return lines

    def task(self, task: TaskResult, column: int) -> list[Text]:
        """Return a task's line; its title wraps. The id takes `column` characters."""
        left, title, needs, points = self._task_parts(task, column, False)
        return self.row(left, title + needs, points)

    def task_line(self, task: TaskResult, column: int, stale: bool) -> Text:
        """Return the task in one line. A stale verdict, of an earlier check, is dim."""
        left, title, needs, points = self._task_parts(task, column, stale)
        room = self.width - left.cell_len - needs.cell_len - points.cell_len - 2
        self.shorten(title, max(room, 0))
        return self.row(left, title + needs, points)[0]

    def _task_parts(self, task: TaskResult, column: int, stale: bool) -> tuple[Text, ...]:
        style = STYLES[task.status]
        sign = self.text(f"  {self.signs.of(task.status)} ", style)
        left = sign + self.text(f"{task.id:<{column}}", "dim" if stale else _of_id(task.status))
        title = self.text(task.title, "dim" if stale or task.status == "blocked" else "")
        blocker = f"  {task.card.blocker}" if task.card.blocker else ""
        points = self.text(f"{task.earned}/{task.points}", style)
        return left, title, self.text(blocker, "dim" if stale else "yellow"), points

    def lesson(self, result: LessonResult, cards: int | None, verbose: bool) -> list[Text]:
        """Return a lesson's verdict: one line if it passed, else its tasks and cards.

        It shows at most `cards` cards; None means all. The first failure may have caused those
        after it, so their cards are one line each, unless `verbose`.
        """
        notes = [line for note in result.notes for line in self._note(note)]
        lines = [*self._lesson_line(result), *notes]
        if result.passed and not verbose:
            return lines
        column = max((len(task.id) for task in result.tasks), default=0) + 2
        indent = 4 if self.width < NARROW else 8
        shown, left_out, shortened, failed = 0, 0, 0, False
        for task in result.tasks:
            lines += self.task(task, column)
            if task.message and task.status != "passed" and not task.card.blocker:
                if cards is not None and shown >= cards:
                    left_out += 1
                elif failed and task.status == "failed" and not verbose:
                    lines.append(self._short_card(task.card, indent))
                    shortened += 1
                else:
                    lines += [line.text for line in self.card(task.card, indent)]
                    shown += 1
            failed |= task.status == "failed"
        return lines + self._left_out(left_out, shortened, result)

    def _short_card(self, card: Card, indent: int) -> Text:
        """Return a card in one line: what was expected and what was received."""
        parts = [part for part in card.labelled() if part.key in ("expected", "got")]
        told = [" ".join(f"{x.label}: {x.text}".split()) for x in parts] or [card.sentence]
        line = Text(" " * indent)
        for number, part in enumerate(told, 1):
            piece = self.text(part, "dim")
            room = (self.width - line.cell_len) // (len(told) - number + 1)
            self.shorten(piece, room - 2 * (number < len(told)))
            line += piece + self.text(", " if number < len(told) else "", "dim")
        return line

    def _left_out(self, number: int, shortened: int, result: LessonResult) -> list[Text]:
        if number:
            what = "1 more card" if number == 1 else f"{number} more cards"
            again = f"{command(f'check {result.slug}')} or --verbose shows them all."
        elif shortened:
            what = "1 shortened card" if shortened == 1 else f"{shortened} shortened cards"
            again = f"{command(f'check {result.slug} --verbose')} shows everything."
        else:
            return []
        return self.paragraph(f"{what}: {again}", "dim", 4)

    def _lesson_line(self, result: LessonResult) -> list[Text]:
        style = "green" if result.passed else ""
        sign = self.text(f"{self.signs.passed} " if result.passed else "", style)
        left = sign + self.text(f"{result.slug}  ", "bold")
        points = self.text(f"{result.earned}/{result.points}", style or "bold")
        return self.row(left, self.text(result.title), points)

    def _note(self, note: str) -> list[Text]:
        return self.wrapped(self.text("  note: ", "yellow"), self.text(note))

    def report(self, report: Report, verbose: bool = False) -> list[Text]:
        """Return all lessons' verdicts, and a sum unless a single lesson passed."""
        several = len(report.lessons) > 1
        lines: list[Text] = []
        for result in report.lessons:
            # Separate a lesson that failed from those that passed.
            if lines and (lines[-1].plain and not result.passed):
                lines.append(Text())
            lines += self.lesson(result, 1 if several and not verbose else None, verbose)
            if not result.passed:
                lines.append(Text())
        if several and lines and lines[-1].plain:
            lines.append(Text())
        if several or not report.passed:
            lines += self._sum(report)
        return lines

    def _sum(self, report: Report) -> list[Text]:
        tasks = [task for lesson in report.lessons for task in lesson.tasks]
        counts = ", ".join(
            f"{number} {status}"
            for status in ("passed", "failed", "error", "blocked", "skipped")
            if (number := sum(task.status == status for task in tasks))
        )
        points = self.text(f"{report.earned} of {report.points} points", "bold")
        rest = self.text(f"  {counts}" if counts else "")
        return self.row(points, rest, self.text(f"seed {report.seed}", "dim"))

    def hint(self, hint: Hint, lesson: Lesson, indent: int = 0) -> list[Text]:
        """Return a hint; the last one is followed by the command for the solution."""
        margin = " " * indent
        head = f"{margin}hint {hint.number} of {hint.total} for {hint.task.id}"
        lines = [self.text(head, "bold cyan"), *self.markdown(hint.text, indent + 2)]
        if hint.number == hint.total:
            after = f"That was the last hint. Next: {command(f'solution {lesson.number} --anyway')}"
            lines += self.paragraph(after, "dim", indent + 2)
        return lines

    def course_map(
        self, lessons: Iterable[Lesson], progress: Progress, here: Lesson | None
    ) -> list[Text]:
        """Return the lessons in order, with their points and a sign at the current one."""
        known = list(lessons)
        earned = sum(progress.earned(lesson) for lesson in known)
        points = sum(task.points for lesson in known for task in lesson.tasks)
        head = self.row(
            self.text("Beyond REST", "bold"),
            Text(),
            self.text(f"{earned} of {points} points", "bold"),
        )
        return [*head, Text(), *(self.map_line(x, progress, x == here) for x in known)]

    def map_line(self, lesson: Lesson, progress: Progress, here: bool) -> Text:
        """Return one lesson's line of the map. A title that is too long is cut."""
        passed, tasks = progress.passed(lesson.slug), lesson.tasks
        total, earned = sum(task.points for task in tasks), progress.earned(lesson)
        done = bool(tasks) and earned == total
        sign = self.signs.here if here else self.signs.passed if done else " "
        left = self.text(f"  {sign} ", "bold" if here else "green")
        left += self.text(f"{lesson.slug[:2]}  ", "dim") + self.text(
            lesson.title, "bold" if here else ""
        )
        right = self.text("")
        for task in tasks:
            status: Status | None = "passed" if task.id in passed else None
            right += self.text(self.signs.of(status), STYLES[status])
        right += self.text(f"{earned:>5}/{total}".rjust(8), "green" if done else "")
        left.truncate(
            self.width - right.cell_len - 2, overflow="ellipsis" if self.unicode else "crop"
        )
        return left + Text(" " * (self.width - left.cell_len - right.cell_len)) + right


def _of_id(status: Status) -> str:
    return "bold" if status in ("failed", "error") else ""


def _can_show(encoding: str) -> bool:
    """Return whether this encoding has the signs, and the arrows of the cards."""
    try:
        "".join(vars(UNICODE).values()).encode(encoding)
        "→←✂…".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def crop(card: list[CardLine], height: int, more: str) -> list[Text]:
    """Return at most `height` lines of a card: those of the lowest ranks, and the wire's last.

    `more` replaces the omitted lines, with `{}` for their number.
    """
    if len(card) <= height:
        return [line.text for line in card]

    def weight(place: int) -> tuple[int, int]:
        rank = card[place].rank
        return rank, -place if rank == WIRE else place

    kept = sorted(sorted(range(len(card)), key=weight)[: max(height - 1, 0)])
    lines = [card[place].text for place in kept]
    gap = next((n for n, place in enumerate(kept) if n != place), len(kept))
    lines.insert(gap, Text(more.format(len(card) - len(kept)), "dim"))
    return lines[: max(height, 0)]


def is_dumb() -> bool:
    """Return whether the terminal can only print lines."""
    return os.environ.get("TERM", "").lower() in ("dumb", "unknown")
