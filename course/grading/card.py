"""A failure as a card: the wire, what was expected, what came, where, and one next step."""

from course.grading.children import Trouble
from course.grading.expect import Unmet
from course.grading.stage import Stage


def card(
    error: BaseException, stage: Stage | None, hint: str, verbose: bool = False, picture: str = ""
) -> str:
    """Return the card as plain text.

    `hint` is the command that shows the task's next hint. `verbose` gives the whole wire and what
    the learner's code printed. `picture` is where a screenshot is.
    """
    faults = stage.faults() if stage else []
    lines = stage.wire.lines(whole=verbose) if stage else []
    where = list(getattr(error, "where", []))
    told = ""
    if isinstance(error, Unmet):
        lines += [f"expected: {error.expected}", f"got: {error.got}"]
    elif isinstance(error, Trouble):
        lines.append(f"got: {error}")
    if not where and faults:
        where, told = faults[-1]["where"], faults[-1]["sentence"]
    lines += _in_your_code(where, told)
    lines += [f"screenshot: {picture}"] if picture else []
    lines.append(f"next: {getattr(error, 'next', '') or hint}")
    if verbose and stage:
        lines += _printed(stage)
    # Half a character, which JSON can name, has no place in a report's file.
    return "\n".join(lines).encode("utf-8", "backslashreplace").decode()


def _in_your_code(where: list[dict], told: str) -> list[str]:
    if not where:
        return [f"your code raised: {told}"] if told else []
    place = where[-1]
    line = f"in your code: {place['file']}:{place['line']}"
    if place["function"] and place["function"] != "<module>":
        line += f" {place['function']}"
    caller = next((p for p in reversed(where) if p["file"] != place["file"]), None)
    if caller:
        line += f", called from {caller['file']}:{caller['line']} {caller['function']}"
    if told:
        line += f" → {told}"
    return [line, f"    {place['source']}"] if place["source"] else [line]


def _printed(stage: Stage) -> list[str]:
    lines = []
    for child in stage.children:
        for name, stream in (("stdout", child.out), ("stderr", child.err)):
            text = stream.text.rstrip()
            if text:
                cut = f", the first of {stream.size:,} bytes" if stream.size > len(text) + 2 else ""
                lines += [
                    f"your code's {name}{cut}:",
                    *("    " + line for line in text.split("\n")),
                ]
    return lines
