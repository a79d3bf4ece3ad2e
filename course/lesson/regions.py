"""Marked regions of a solution, and what becomes of them in a starter.

In a solution:

    # --8<-- [start:publish] Send the message to every client in the room.
    for client in list(rooms[room]):
        client.send(message)
    # --8<-- [end:publish]

In the starter that is written from it:

    # TODO(publish): Send the message to every client in the room.
    ...
    # END(publish)

A region without a sentence only names code: a starter keeps its body and loses its markers.
"""

import re
import textwrap
from dataclasses import dataclass
from functools import cache

_HASH, _SLASHES, _STARS, _HTML = ("#", ""), ("//", ""), ("/*", "*/"), ("<!--", "-->")

# The signs that open and close a comment, in each kind of file that may have markers.
COMMENTS = {
    **dict.fromkeys((".py", ".toml", ".sh", ".conf", ".cfg", ".ini", ".yml", ".yaml"), (_HASH,)),
    ".js": (_SLASHES, _STARS),
    ".css": (_STARS,),
    ".html": (_HTML, _SLASHES, _STARS),
}

# What stands for the missing code, where a block without any would not compile.
BLANK = {".py": "..."}

NAME = re.compile(r"[a-z][a-z0-9_]*(-[a-z0-9_]+)*")
_SOLUTION = r"--8<-- \[(?P<kind>start|end):(?P<name>[^\]]*)\] *(?P<sentence>.*?)"
_STARTER = r"(?P<kind>TODO|END)\((?P<name>[^)]*)\):? *(?P<sentence>.*?)"
_MEANT_AS_MARKER = re.compile(r"8<-+\s*\[\s*(start|end)\b", re.IGNORECASE)


class MarkerError(Exception):
    """A marker is wrong. As text it names the file, the line, and what to do."""

    def __init__(self, file: str, line: int, problem: str) -> None:
        super().__init__(file, line, problem)
        self.file, self.line, self.problem = file, line, problem

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.problem}" if self.file else self.problem


@dataclass(frozen=True)
class Region:
    """A named part of a file. `first` and `last`, the lines of its two markers, count from 1."""

    name: str
    sentence: str  # What the learner is asked for; "" where the region only names code.
    file: str
    indent: str
    first: int
    last: int
    body: str  # The lines between the markers, without the markers' indent.

    @property
    def task(self) -> str:
        """The id of the task that the region is a part of: its name up to the first hyphen."""
        return self.name.partition("-")[0]


@dataclass(frozen=True)
class _Mark:
    """One marker line. `kind` is start, end, TODO or END."""

    line: int
    kind: str
    name: str
    sentence: str
    indent: str
    opening: str
    closing: str


def regions(text: str, suffix: str, file: str = "") -> list[Region]:
    """Return the regions of a solution's file, in order.

    `suffix` is the file's (".py") and says how its comments look; `file` names it in errors.
    Raises MarkerError for a missing end, nesting, a name used twice or spelled wrongly.
    """
    lines = text.split("\n")
    return [_region(start, end, lines, file) for start, end in _pairs(lines, suffix, file)]


def replace(text: str, suffix: str, name: str, code: str, file: str = "") -> str:
    """Return the text with the region's body replaced by `code`, brought to the markers' indent.

    Raises MarkerError where there is no such region, or where a marker is wrong.
    """
    found = next((r for r in regions(text, suffix, file) if r.name == name), None)
    if found is None:
        raise MarkerError(file, 0, f"there is no region {name}. Is its name misspelled?")
    body = textwrap.indent(textwrap.dedent(code).strip("\n"), found.indent)
    lines = text.split("\n")
    lines[found.first : found.last - 1] = body.split("\n") if body else []
    return "\n".join(lines)


def starter(text: str, suffix: str, file: str = "") -> str:
    """Return what a learner starts from: every region that has a sentence is now a TODO.

    Raises MarkerError where a marker is wrong.
    """
    lines = text.split("\n")
    for start, end in reversed(_pairs(lines, suffix, file)):
        body = _todo(start, suffix) if start.sentence else lines[start.line : end.line - 1]
        # The empty lines on the two sides of a marker that is gone would be one gap.
        while body and not body[-1].strip() and not "".join(lines[end.line : end.line + 1]).strip():
            body.pop()
        lines[start.line - 1 : end.line] = body
    return "\n".join(lines)


def without_markers(text: str, suffix: str) -> str:
    """Return the text without its marker lines."""
    lines = text.split("\n")
    marked = {mark.line for mark in _marks(lines, suffix, _SOLUTION)}
    return "\n".join(line for number, line in enumerate(lines, 1) if number not in marked)


def todos(text: str, suffix: str, file: str = "") -> list[Region]:
    """Return the regions of a learner's file, each from `TODO(name)` to `END(name)`.

    One that has lost either comment is left out: a learner may delete what is done.
    """
    lines = text.split("\n")
    marks = _marks(lines, suffix, _STARTER)
    ends = {mark.name: mark for mark in reversed(marks) if mark.kind == "END"}
    starts = {mark.name: mark for mark in reversed(marks) if mark.kind == "TODO"}
    found = [(start, ends[name]) for name, start in starts.items() if name in ends]
    found = [_region(start, end, lines, file) for start, end in found if start.line < end.line]
    return sorted(found, key=lambda region: region.first)


def restore(text: str, starter_text: str, suffix: str, name: str, file: str = "") -> str:
    """Return a learner's text with one region as the starter has it.

    Raises MarkerError where either text does not have the region's two comments.
    """
    mine = next((r for r in todos(text, suffix) if r.name == name), None)
    blank = next((r for r in todos(starter_text, suffix) if r.name == name), None)
    if mine is None or blank is None:
        raise MarkerError(
            file,
            0,
            f"TODO({name}) and END({name}) are not both there, so the region cannot be found. "
            "Reset the whole lesson instead.",
        )
    lines, fresh = text.split("\n"), starter_text.split("\n")
    lines[mine.first - 1 : mine.last] = fresh[blank.first - 1 : blank.last]
    return "\n".join(lines)


@cache
def _patterns(suffix: str, form: str) -> list[tuple[re.Pattern, str, str]]:
    """Return how a marker line looks in such a file, with the signs of its comment."""
    return [
        (re.compile(rf"(?P<indent>\s*){re.escape(a)} *{form}\s*{re.escape(z)}\s*"), a, z)
        for a, z in COMMENTS.get(suffix, ())
    ]


def _marks(lines: list[str], suffix: str, form: str) -> list[_Mark]:
    """Return the marker lines, in order."""
    marks = []
    for number, line in enumerate(lines, 1):
        for pattern, opening, closing in _patterns(suffix, form):
            if match := pattern.fullmatch(line):
                marks.append(_Mark(number, **match.groupdict(), opening=opening, closing=closing))
                break
    return marks


def _pairs(lines: list[str], suffix: str, file: str) -> list[tuple[_Mark, _Mark]]:
    """Return each start with its end. Raises MarkerError where they do not pair up."""
    marks = _marks(lines, suffix, _SOLUTION)
    _refuse_unread(lines, {mark.line for mark in marks}, suffix, file)
    pairs, names = [], set()
    for start, end in zip(marks[::2], [*marks[1::2], None], strict=False):
        problem = _problem(start, end, names)
        if problem:
            line = end.line if end and start.kind == end.kind == "start" else start.line
            raise MarkerError(file, line, problem)
        names.add(start.name)
        pairs.append((start, end))
    return pairs


def _refuse_unread(lines: list[str], read: set[int], suffix: str, file: str) -> None:
    """Raise MarkerError for a line that is meant as a marker but is not written as one."""
    for number, line in enumerate(lines, 1):
        if number not in read and _MEANT_AS_MARKER.search(line):
            opening, closing = next(iter(COMMENTS.get(suffix, ())), ("", ""))
            form = f"{opening} --8<-- [start:name] Sentence. {closing}".strip()
            advice = f"Write `{form}`" if opening else f"A {suffix} file cannot have any"
            raise MarkerError(file, number, f"this marker is not read. {advice}.")


def _problem(start: _Mark, end: _Mark | None, names: set[str]) -> str:
    """Return what is wrong with a pair of neighbouring markers, and what to do; "" if nothing."""
    wanted = f"`{start.opening} --8<-- [end:{start.name}] {start.closing}".rstrip() + "`"
    if not NAME.fullmatch(start.name):
        return f"{start.name!r} is no region name. Use a task's id, or `task-part`."
    if start.kind == "end":
        return f"{start.name} ends here but does not start. Add its start, or delete this line."
    if start.name in names:
        return f"there is a region {start.name} already. Give this one another name."
    if end is None or (end.kind == "end" and end.name != start.name):
        return f"region {start.name} has no end. Add {wanted} after its last line."
    if end.kind == "start":
        return f"{end.name} starts inside {start.name}. Add {wanted} before this line."
    if end.indent != start.indent:
        return f"region {start.name} ends at another indent. Indent both markers as the code."
    if end.sentence:
        return f"the end of {start.name} says {end.sentence!r}. Put the sentence at its start."
    return ""


def _region(start: _Mark, end: _Mark, lines: list[str], file: str) -> Region:
    """Return the region between two marker lines."""
    body = [line.removeprefix(start.indent) for line in lines[start.line : end.line - 1]]
    text = "".join(f"{line}\n" for line in body)
    return Region(start.name, start.sentence, file, start.indent, start.line, end.line, text)


def _todo(start: _Mark, suffix: str) -> list[str]:
    """Return the lines that stand in a starter for a region."""
    comments = [f"TODO({start.name}): {start.sentence}", f"END({start.name})"]
    todo, end = (f"{start.indent}{start.opening} {c} {start.closing}".rstrip() for c in comments)
    return [todo, *([start.indent + BLANK[suffix]] if suffix in BLANK else []), end]
