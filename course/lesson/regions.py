"""Marked regions of a solution, and the starter that is written from them.

In a solution:

    # --8<-- [start:publish] Send the message to every client in the room.
    for client in list(rooms[room]):
        client.send(message)
    # --8<-- [end:publish]

In the starter:

    # TODO(publish): Send the message to every client in the room.
    ...
    # END(publish)

A region without a sentence only names code: the starter has its body without the markers.
"""

import contextlib
import re
import textwrap
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_HASH, _SLASHES, _STARS, _HTML = ("#", ""), ("//", ""), ("/*", "*/"), ("<!--", "-->")

# How a comment opens and closes, in each type of file that may have markers.
COMMENTS = {
    **dict.fromkeys((".py", ".toml", ".sh", ".conf", ".cfg", ".ini", ".yml", ".yaml"), (_HASH,)),
    ".lua": (("--", ""),),
    ".js": (_SLASHES, _STARS),
    ".css": (_STARS,),
    ".html": (_HTML, _SLASHES, _STARS),
}

# The placeholder for the missing code, for languages in which an empty block doesn't compile.
BLANK = {".py": "..."}

NAME = re.compile(r"[a-z][a-z0-9_]*(-[a-z0-9_]+)*")
_SOLUTION = r"--8<-- \[(?P<kind>start|end):(?P<name>[^\]]*)\] *(?P<sentence>.*?)"
_STARTER = r"(?P<kind>TODO|END)\((?P<name>[^)]*)\):? *(?P<sentence>.*?)"
_MEANT_AS_MARKER = re.compile(r"8<-+\s*\[\s*(start|end)\b", re.IGNORECASE)


class MarkerError(Exception):
    """A marker is wrong. The message names the file and the line, and says what to do."""

    def __init__(self, file: str, line: int, problem: str) -> None:
        super().__init__(file, line, problem)
        self.file, self.line, self.problem = file, line, problem

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.problem}" if self.file else self.problem


@dataclass(frozen=True)
class Region:
    """A named part of a file, from the marker in line `first` to that in line `last`."""

    name: str
    sentence: str  # What the learner is to write; "" if the region only names code.
    file: str
    indent: str
    first: int
    last: int
    body: str  # The lines between the markers, without the markers' indent.

    @property
    def task(self) -> str:
        """The id of the region's task: the region's name up to the first hyphen."""
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

    `suffix` is the file's, such as ".py", and decides what its comments look like. `file` is its
    name in errors. Raises MarkerError for a missing end, nesting, or a duplicate or invalid name.
    """
    lines = text.split("\n")
    return [_region(start, end, lines, file) for start, end in _pairs(lines, suffix, file)]


def replace(text: str, suffix: str, name: str, code: str, file: str = "") -> str:
    """Return the text with the region's body replaced by `code`, at the markers' indent.

    Raises MarkerError if the region doesn't exist, or if a marker is wrong.
    """
    found = next((r for r in regions(text, suffix, file) if r.name == name), None)
    if found is None:
        raise MarkerError(file, 0, f"no region is called {name}. Is the name misspelled?")
    body = textwrap.indent(textwrap.dedent(code).strip("\n"), found.indent)
    lines = text.split("\n")
    lines[found.first : found.last - 1] = body.split("\n") if body else []
    return "\n".join(lines)


def starter(text: str, suffix: str, file: str = "") -> str:
    """Return the starter: a TODO replaces every region that has a sentence.

    Raises MarkerError if a marker is wrong.
    """
    lines = text.split("\n")
    for start, end in reversed(_pairs(lines, suffix, file)):
        body = _todo(start, suffix) if start.sentence else lines[start.line : end.line - 1]
        # Without the marker, the empty lines before and after it would make one wide gap.
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

    A region without both comments is omitted: a learner may delete them when it is done.
    """
    lines = text.split("\n")
    marks = _marks(lines, suffix, _STARTER)
    ends = {mark.name: mark for mark in reversed(marks) if mark.kind == "END"}
    starts = {mark.name: mark for mark in reversed(marks) if mark.kind == "TODO"}
    found = [(start, ends[name]) for name, start in starts.items() if name in ends]
    found = [_region(start, end, lines, file) for start, end in found if start.line < end.line]
    return sorted(found, key=lambda region: region.first)


def asked(path: Path) -> list[Region]:
    """Return the regions of a file, a learner's or a solution's, that the learner is to write.

    There are none in a file that can't be read.
    """
    with contextlib.suppress(OSError, ValueError, MarkerError):
        text = path.read_text("utf-8")
        marked = [region for region in regions(text, path.suffix) if region.sentence]
        return marked or todos(text, path.suffix)
    return []


def restore(text: str, starter_text: str, suffix: str, name: str, file: str = "") -> str:
    """Return a learner's text with one region restored from the starter.

    Raises MarkerError if the region's two comments are missing from either text.
    """
    mine = next((r for r in todos(text, suffix) if r.name == name), None)
    blank = next((r for r in todos(starter_text, suffix) if r.name == name), None)
    if mine is None or blank is None:
        raise MarkerError(
            file,
            0,
            f"TODO({name}) or END({name}) is missing, so the region can't be found. "
            "Reset the whole lesson instead.",
        )
    lines, fresh = text.split("\n"), starter_text.split("\n")
    lines[mine.first - 1 : mine.last] = fresh[blank.first - 1 : blank.last]
    return "\n".join(lines)


@cache
def _patterns(suffix: str, form: str) -> list[tuple[re.Pattern, str, str]]:
    """Return the patterns of a marker line in such a file, each with its comment's two signs."""
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
    """Return each start with its end. Raises MarkerError if they don't pair up."""
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
    """Raise MarkerError for a line that looks like a marker but doesn't have its form."""
    for number, line in enumerate(lines, 1):
        if number not in read and _MEANT_AS_MARKER.search(line):
            opening, closing = next(iter(COMMENTS.get(suffix, ())), ("", ""))
            form = f"{opening} --8<-- [start:name] Sentence. {closing}".strip()
            advice = f"Write `{form}`" if opening else f"A {suffix} file can't have markers"
            raise MarkerError(file, number, f"this isn't a valid marker. {advice}.")


def _problem(start: _Mark, end: _Mark | None, names: set[str]) -> str:
    """Return what is wrong with two consecutive markers and what to do, or "" if they are right."""
    wanted = f"`{start.opening} --8<-- [end:{start.name}] {start.closing}".rstrip() + "`"
    if not NAME.fullmatch(start.name):
        return f"{start.name!r} isn't a valid region name. Use a task's id, or `task-part`."
    if start.kind == "end":
        return f"{start.name} ends here but doesn't start. Add its start, or delete this line."
    if start.name in names:
        return f"another region is called {start.name}. Rename this one."
    if end is None or (end.kind == "end" and end.name != start.name):
        return f"region {start.name} has no end. Add {wanted} after its last line."
    if end.kind == "start":
        return f"{end.name} starts inside {start.name}. Add {wanted} before this line."
    if end.indent != start.indent:
        return f"the two markers of {start.name} differ in indent. Indent both like the code."
    if end.sentence:
        return f"the end of {start.name} has a sentence, {end.sentence!r}. Move it to the start."
    return ""


def _region(start: _Mark, end: _Mark, lines: list[str], file: str) -> Region:
    """Return the region between two marker lines."""
    body = [line.removeprefix(start.indent) for line in lines[start.line : end.line - 1]]
    text = "".join(f"{line}\n" for line in body)
    return Region(start.name, start.sentence, file, start.indent, start.line, end.line, text)


def _todo(start: _Mark, suffix: str) -> list[str]:
    """Return the lines that replace a region in the starter."""
    comments = [f"TODO({start.name}): {start.sentence}", f"END({start.name})"]
    todo, end = (f"{start.indent}{start.opening} {c} {start.closing}".rstrip() for c in comments)
    return [todo, *([start.indent + BLANK[suffix]] if suffix in BLANK else []), end]
