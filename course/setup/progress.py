"""Show the progress of the set-up, on stderr, and in ASCII, which every terminal can show."""

import os
import queue
import sys
import threading
from collections.abc import Callable, Iterable

Reader = Callable[[str], None]  # shows what a line of a tool's means; "" says that time has passed


class Progress:
    """What is being done: a line that changes on a terminal, a line for each stage elsewhere."""

    def __init__(self, count: int) -> None:
        self.live = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self.count = count  # of packages to install
        self.stage = ""
        self._entered: set[str] = set()

    def enter(self, stage: str) -> None:
        """Say that a stage begins, once, although another tool may come through it again."""
        if stage == self.stage:
            return
        self.stage = stage
        self.draw(f"{stage} ...")
        if stage not in self._entered and not self.live:
            say(f"{stage} ...")
        self._entered.add(stage)

    def reach(self, number: int, name: str = "") -> None:
        """Show how many packages have come through the stage, and one of them."""
        self.draw(f"{self.stage} {min(number, self.count)} of {self.count}: {name}".rstrip(": "))

    def draw(self, text: str) -> None:
        """Write `text` over the line that changes, where there is one."""
        if self.live:
            width = (os.get_terminal_size(sys.stderr.fileno()).columns or 80) - 1
            sys.stderr.write("\r" + text[:width].ljust(width) + "\r" * (not text))
            sys.stderr.flush()

    def follow(self, lines: Iterable[str], read: Reader) -> str:
        """Read a tool's output to its end, show in short what it says, and return all of it."""
        arriving: queue.SimpleQueue[str | None] = queue.SimpleQueue()

        def collect() -> None:
            for line in lines:
                arriving.put(line)
            arriving.put(None)

        threading.Thread(target=collect, daemon=True).start()
        output = ""
        try:
            while (line := self._next(arriving)) is not None:
                output += line
                read(line)
        finally:
            self.draw("")
        return output

    @staticmethod
    def _next(arriving: queue.SimpleQueue) -> str | None:
        """Return the next line, None at the end, or "" if none came for a moment."""
        try:
            return arriving.get(timeout=0.2)
        except queue.Empty:
            return ""


def say(line: str) -> None:
    """Write a line to stderr at once."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
