"""A failure as a card: the wire, what was expected, what came, where, and one next step."""

from pathlib import Path

from course.grading.expect import Unmet
from course.grading.stage import Stage
from course.lesson.lessons import ROOT
from course.lesson.regions import COMMENTS, asked
from course.report import Card, WireLine


def card(
    error: BaseException, stage: Stage | None, hint: str, verbose: bool = False, picture: str = ""
) -> Card:
    """Return the card of a failure.

    `hint` is the command that shows the task's next hint. `verbose` gives the whole wire and what
    the learner's code printed. `picture` is where a screenshot is.
    """
    faults = stage.faults() if stage else []
    where, raised = list(getattr(error, "where", [])), ""
    if not where and faults:
        where, raised = faults[-1]["where"], faults[-1]["sentence"]
    waits = bool(where) and where[-1].get("waits", False)
    accused = _accused(where, waits, stage.folder) if stage else where
    return Card(
        wire=tuple(_safe_line(line) for line in (stage.wire.lines(verbose) if stage else [])),
        expected=_safe(error.expected) if isinstance(error, Unmet) else "",
        got=_safe(error.got if isinstance(error, Unmet) else str(error)),
        place=_safe(_place(accused)),
        waits=waits,
        raised=_safe(raised),
        source=_safe(accused[-1]["source"]) if accused else "",
        screenshot=picture,
        next=_safe(getattr(error, "next", "") or hint),
        printed=tuple(_printed(stage)) if verbose and stage else (),
    )


def _safe(text: str) -> str:
    # Half a character, which JSON can name, has no place in a report's file.
    return text.encode("utf-8", "backslashreplace").decode()


def _safe_line(line: WireLine) -> WireLine:
    return line._replace(what=_safe(line.what))


def _place(where: list[dict]) -> str:
    if not where:
        return ""
    place = where[-1]
    line = f"{place['file']}:{place['line']}"
    if place["function"] and place["function"] != "<module>":
        line += f" {place['function']}"
    caller = next((p for p in reversed(where) if p["file"] != place["file"]), None)
    if caller:
        line += f", called from {caller['file']}:{caller['line']} {caller['function']}"
    return line


def _accused(where: list[dict], waits: bool, folder: Path) -> list[dict]:
    """Return the lines up to the last one that the learner wrote.

    A line that was given hasn't caused an error by itself, and is right to wait.
    """
    last = len(where)
    while last and _is_given(where[last - 1], folder):
        last -= 1
    return [] if waits and last < len(where) else where[:last]


def _is_given(place: dict, folder: Path) -> bool:
    """Return whether a line is as it was given, outside of what the learner is asked to write."""
    path = folder / place["file"]
    # A SyntaxError has no function. What causes it may be another line.
    if path.suffix not in COMMENTS or not place["function"]:
        return False
    if any(region.first <= place["line"] <= region.last for region in asked(path)):
        return False
    solutions = ROOT / "solutions" / folder.name
    if not solutions.is_dir():
        return True  # A teacher has removed the solutions. Only a TODO's lines are surely theirs.
    solution = solutions / place["file"]
    theirs = asked(solution)
    return place["source"] in {
        line.strip()
        for number, line in enumerate(_lines(solution), 1)
        if not any(region.first <= number <= region.last for region in theirs)
    }


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8").splitlines()
    except (OSError, ValueError):
        return []


def _printed(stage: Stage) -> list[tuple[str, str]]:
    found = []
    for child in stage.children:
        for name, stream in (("stdout", child.out), ("stderr", child.err)):
            text = stream.text.rstrip()
            if text:
                cut = f", the first of {stream.size:,} bytes" if stream.size > len(text) + 2 else ""
                found.append((f"your code's {name}{cut}", _safe(text)))
    return found
