"""Draw the watch screen: on the whole terminal, or line by line in one that can only print."""

import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from course.learner.paint import WIDE, WIDEST, Painter, is_dumb
from course.learner.screen import View, frame


@contextlib.contextmanager
def surface(console: Console) -> Iterator[Callable[[View], None]]:
    """Yield the function that draws: on the whole terminal, or line by line in a dumb one."""
    if is_dumb():
        yield _Printer(console).draw
        return
    live = Live(
        console=console,
        screen=True,
        auto_refresh=False,
        redirect_stdout=False,
        redirect_stderr=False,
        vertical_overflow="crop",
    )

    def draw(view: View) -> None:
        _measure(console)
        painter = Painter(console, WIDE if view.mode == "page" else WIDEST)
        live.update(Group(*frame(view, painter, console.height)), refresh=True)

    try:
        live.start()
        yield draw
    finally:
        with contextlib.suppress(OSError):  # The terminal's window may have been closed.
            live.stop()


class _Printer:
    """Prints the screen once after each check, for a terminal that can only print lines."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last: list[str] = []

    def draw(self, view: View) -> None:
        """Print the screen, if it has changed."""
        if view.checking:
            return
        _measure(self._console)
        lines = frame(view, Painter(self._console), max(self._console.height, 40))
        shown = [line.plain for line in lines if line.plain.strip()]
        if shown != self._last:
            self._console.print(Text("\n").join(lines[: _last_line(lines)]))
            self._last = shown


def _last_line(lines: list[Text]) -> int:
    return max((n for n, line in enumerate(lines, 1) if line.plain.strip()), default=0)


def _measure(console: Console) -> None:
    """Set the console's size to the terminal's current size."""
    try:
        size = os.get_terminal_size(sys.stdout.fileno())
    except (OSError, ValueError):
        size = os.terminal_size((0, 0))
    fallback = shutil.get_terminal_size()
    console.size = (size.columns or fallback.columns, size.lines or fallback.lines)
