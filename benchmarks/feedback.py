"""How long a learner waits, and how much room that takes: `python benchmarks/feedback.py`.

Everything is measured in one run on one machine and printed as ratios, since machines differ and
are never quiet. The watch screen is driven in a pseudo-terminal, so this runs on POSIX only.
"""

import argparse
import gzip
import os
import pty
import re
import select
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LESSON = "01_rest"
WRONG = ("message, 201, {", "message, 200, {")  # what a save changes, to and fro


def copy_of_the_course(folder: Path) -> Path:
    """Copy the tree, with the solution as what the learner has written."""
    ignored = shutil.ignore_patterns(".git", ".venv", ".course", "__pycache__", "site")
    shutil.copytree(ROOT, folder / "course", ignore=ignored)
    shutil.rmtree(folder / "course" / "lessons")
    shutil.copytree(ROOT / "solutions", folder / "course" / "lessons", ignore=ignored)
    return folder / "course"


def seconds_of(tree: Path, *args: str) -> float:
    """Return how long a process takes from its start to its end."""
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", *args], cwd=tree, capture_output=True, text=True)
    seconds = time.perf_counter() - started
    if done.returncode:
        raise SystemExit(f"{' '.join(args)} ended with {done.returncode}:\n{done.stdout[-2000:]}")
    return seconds


class Watch:
    """`python -m course` on a terminal."""

    def __init__(self, tree: Path) -> None:
        self.app = tree / "lessons" / LESSON / "app.py"
        self.right = self.app.read_text("utf-8")
        self.wrong = self.right.replace(*WRONG)
        if self.wrong == self.right:
            raise SystemExit(f"{LESSON} has no {WRONG[0]!r}: this benchmark must change with it.")
        self.seen = b""
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.chdir(tree)
            environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"}
            os.execve(sys.executable, [sys.executable, "-m", "course"], environment)

    def wait_for(self, text: bytes, deadline: float = 60) -> float:
        """Read the screen until the text comes; return the time at which it did."""
        end = time.monotonic() + deadline
        while time.monotonic() < end:
            if select.select([self.terminal], [], [], 0.1)[0]:
                self.seen += os.read(self.terminal, 65536)
                # Each frame is drawn whole; what came before this text is of no use any more.
                plain = re.sub(rb"\x1b\[[0-9;?]*[a-zA-Z]", b"", self.seen)
                if text in plain:
                    self.seen = plain.partition(text)[2]
                    return time.perf_counter()
        raise SystemExit(f"The watch screen never said {text!r}. It said:\n{self.seen[-3000:]!r}")

    def save(self, text: str) -> float:
        """Write the learner's file; return the time at which that was done."""
        self.app.write_text(text, "utf-8")
        return time.perf_counter()

    def saves(self, runs: int) -> tuple[list[float], list[float], list[float]]:
        """Return the seconds to the card of a wrong save, to the verdict on the task that a right
        one mends, and to that on the whole lesson."""
        self.wait_for(b"Checked in")
        cards, verdicts, lessons = [], [], []
        for _ in range(runs):
            saved = self.save(self.wrong)
            self.wait_for(b"checking")
            cards.append(self.wait_for(b"expected: 201") - saved)
            self.wait_for(b"Checked in")
            self.rest()
            saved = self.save(self.right)
            self.wait_for(b"checking")
            verdicts.append(self.wait_for("✓ create".encode()) - saved)
            lessons.append(self.wait_for(b"Checked in") - saved)
            self.rest()
        return cards, verdicts, lessons

    def rest(self) -> None:
        """Read what is still drawn; a learner does not save twice within a moment."""
        while select.select([self.terminal], [], [], 0.3)[0]:
            os.read(self.terminal, 65536)
        self.seen = b""

    def megabytes(self) -> float:
        """Return the memory of the process and all its children, shared pages counted once."""
        todo, total = [self.pid], 0
        while todo:
            pid = todo.pop()
            for thread in Path(f"/proc/{pid}/task").iterdir():
                todo += map(int, (thread / "children").read_text().split())
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            total += int(re.search(r"^Pss: +(\d+)", rollup, re.M)[1])
        return total / 1024

    def quit(self) -> None:
        """Press q, and wait for the end."""
        os.write(self.terminal, b"q")
        os.set_blocking(self.terminal, False)
        for _ in range(200):
            try:
                os.read(self.terminal, 65536)
            except BlockingIOError:
                time.sleep(0.02)
            except OSError:
                break
        os.kill(self.pid, signal.SIGTERM)
        os.waitpid(self.pid, 0)


def home_page_kilobytes(tree: Path, folder: Path) -> float:
    """Return what the home page and all that it loads weigh, each file gzipped; no search."""
    command = [sys.executable, "-m", "mkdocs", "build", "-q", "-d", str(folder)]
    subprocess.run(command, cwd=tree, check=True, capture_output=True)
    page = (folder / "index.html").read_text("utf-8")
    named = re.findall(r'(?:src|href)="([^":#?]+\.(?:css|js|svg|png|ico|woff2))', page)
    files = {folder / "index.html", *(folder / name for name in named)}
    return sum(len(gzip.compress(file.read_bytes())) for file in files if file.is_file()) / 1000


def in_turn(runs: int, *measures: Callable[[], float]) -> list[list[float]]:
    """Measure one after the other, again and again, so that all see the same machine."""
    found: list[list[float]] = [[] for _ in measures]
    for _ in range(runs):
        for results, measure in zip(found, measures, strict=True):
            results.append(measure())
    return found


def row(what: str, value: float, limit: float = 0, unit: str = "") -> None:
    """Print a figure beside what it may be, if there is such a limit."""
    verdict = "holds" if value <= limit else "MISSED"
    beside = f"   at most {limit:g}{unit}   {verdict}" if limit else ""
    print(f"{what:<66} {value:7.2f}{unit}{beside}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=15, help="of each measurement")
    runs = parser.parse_args().runs
    middle = statistics.median
    with tempfile.TemporaryDirectory(prefix="feedback-") as scratch:
        tree = copy_of_the_course(Path(scratch))
        slugs = sorted(path.stem[5:] for path in (tree / "tests").glob("test_[0-9]*.py"))
        pytest = ("pytest", "-q", "--target", "solutions")
        print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}, medians of {runs} runs")
        print(f"lessons: {', '.join(slugs)}\n")
        cold, check = in_turn(
            runs,
            lambda: seconds_of(tree, *pytest, f"tests/test_{LESSON}.py"),
            lambda: seconds_of(tree, "course", "check", LESSON, "--from", "solutions"),
        )
        watch = Watch(tree)
        cards, verdicts, whole = watch.saves(runs)
        megabytes = watch.megabytes() if Path("/proc/self/smaps_rollup").exists() else 0
        watch.quit()
        each, together = in_turn(
            max(3, runs // 3),
            lambda: sum(seconds_of(tree, *pytest, f"tests/test_{slug}.py") for slug in slugs),
            lambda: seconds_of(tree, "course", "check", "--all", "--from", "solutions"),
        )
        page = home_page_kilobytes(tree, Path(scratch) / "site")

    base = middle(cold)
    print(f"plain pytest of {LESSON}, cold: {base:.2f} s, from {min(cold):.2f} to {max(cold):.2f}")
    row("a wrong save to its card on the watch screen, of that", middle(cards) / base, 0.2)
    row("a right save to the verdict on the task it mends, of that", middle(verdicts) / base, 0.2)
    row("a right save to the verdict on all tasks of the lesson, of that", middle(whole) / base)
    row(f"check {LESSON}, cold, of that", middle(check) / base, 1)
    print(f"plain pytest of each lesson, one after the other: {middle(each):.2f} s")
    row("check --all, of that", middle(together) / middle(each), 0.6)
    row("the watch process and its children, waiting", megabytes, 150, " MB")
    row("the home page and what it loads, gzipped, without search", page, 150, " kB")


if __name__ == "__main__":
    main()
