"""What went by between the people of a test and the learner's code, in the order it happened."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator

from course.report import WireLine

LINES = 10  # of a card's wire; what is left out is counted
WIDTH = 110  # characters of one line
KEPT = 100_000  # characters of one line, also where all is shown


class Wire:
    """A transcript that several threads may write."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: list[WireLine] = []
        self._shown: Callable[[WireLine], bool] = lambda line: True
        self._end: int | None = None  # the place of the first line that isn't shown

    def sent(self, who: str, what: str) -> None:
        """Note that `who` sent something to the learner's code."""
        self._add(who, "→", what)

    def received(self, who: str, what: str) -> None:
        """Note that `who` received something from the learner's code."""
        self._add(who, "←", what)

    def happened(self, who: str, what: str) -> None:
        """Note something that was no message: a connection cut, a server restarted."""
        self._add(who, "✂", what)

    @contextlib.contextmanager
    def only_what_fails(self) -> Iterator[None]:
        """Forget what goes by in here, if all goes well."""
        before = len(self._lines)
        yield
        with self._lock:
            del self._lines[before:]

    def show_only(self, wanted: Callable[[WireLine], bool]) -> None:
        """From now on, show only the lines that are wanted: those of what failed."""
        self._shown = wanted

    def show_until(self, place: int) -> None:
        """From now on, show only the lines before this place, which is a number of lines."""
        self._end = place

    def __len__(self) -> int:
        """Return the number of lines so far."""
        return len(self._lines)

    def _add(self, who: str, arrow: str, what: str) -> None:
        with self._lock:
            self._lines.append(WireLine(who, arrow, what[:KEPT]))

    def lines(self, whole: bool = False) -> list[WireLine]:
        """Return the transcript, its middle left out if it is long."""
        with self._lock:
            entries = [line for line in self._lines[: self._end] if self._shown(line)]
        width = max((len(line.who) for line in entries), default=0)
        lines = [_cut(line, width, whole) for line in entries]
        if not whole:
            lines = _folded(lines)
        if whole or len(lines) <= LINES:
            return lines
        head, tail = LINES // 3, LINES - LINES // 3 - 1
        left_out = WireLine("", "…", f"{len(lines) - head - tail} more")
        return [*lines[:head], left_out, *lines[-tail:]]


def _folded(lines: list[WireLine]) -> list[WireLine]:
    """Return the lines with a pair that is repeated, such as a poll and its 304, once."""
    folded: list[WireLine] = []
    at = 0
    while at < len(lines):
        pair, end = lines[at : at + 2], at + 2
        while lines[end : end + 2] == pair:
            end += 2
        times = (end - at) // 2
        if times < 3:
            folded.append(lines[at])
            at += 1
        else:
            folded += [*pair, WireLine("", "…", f"the same {times - 1} times more")]
            at = end
    return folded


def _cut(line: WireLine, width: int, whole: bool) -> WireLine:
    what = line.what.replace("\r", "\\r").replace("\n", "\\n")
    room = WIDTH - width - len(" → ")
    return line._replace(what=what if whole or len(what) <= room else f"{what[:room]} …")


def body_in_words(body: bytes, content_type: str = "") -> str:
    """Return a body as one line: JSON without its line breaks, a text's words, a page's size."""
    if not body:
        return ""
    if "html" in content_type:  # Flask's error pages say what the status says.
        return f"({len(body):,} bytes of HTML)"
    text = body.decode("utf-8", "replace")
    if "json" in content_type:
        try:
            return json.dumps(json.loads(text), ensure_ascii=False)
        except (ValueError, RecursionError):
            pass
    return " ".join(text.split())
