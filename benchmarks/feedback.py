"""How long a learner waits, and how much room that takes: `python benchmarks/feedback.py`.

Everything is measured in one run on one machine. What depends on the machine most is printed as
ratios. The watch screen is driven in a pseudo-terminal, so this runs on POSIX only.
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
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from course.author.answer_file import build, read  # noqa: E402
from course.lesson import needs  # noqa: E402
from course.lesson.lessons import Lesson, lessons  # noqa: E402
from course.setup import environment  # noqa: E402

LESSON = "01_rest"
BROWSER = "09_browser"  # each of its tests is in a browser
SAVES = 3  # of each kind in each lesson but that one
# Wrong answers that a test refuses at once. What never arrives is only known after its deadline, so
# the first answer of these lessons would measure the deadline.
AT_ONCE = {
    "Only wait() needs the lock of a Condition, and notify_all() doesn't",
    "A handler's return value is sent, like a view's",
    "A registered client needs no welcome: it receives everything that follows",
    "A client that sends nothing is gone",
    "One frame a call is enough: the thread comes back for the next",
}


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
    command, here = [sys.executable, "-m", *args], environment.for_program()
    done = subprocess.run(command, cwd=tree, env=here, capture_output=True, text=True)
    seconds = time.perf_counter() - started
    if done.returncode:
        raise SystemExit(f"{' '.join(args)} ended with {done.returncode}:\n{done.stdout[-2000:]}")
    return seconds


@dataclass(frozen=True)
class Save:
    """What a save of a lesson's file changes, to and fro: the first task fails, or passes."""

    lesson: Lesson
    file: Path
    wrong: str
    right: str


def save_of(lesson: Lesson, tree: Path, scratch: Path) -> Save:
    """Return a save that changes one file, to a wrong answer to the lesson's first task."""
    answers = [a for a in read(lesson, lesson.answers) if a.fails == lesson.tasks[0].id]
    for answer in sorted(answers, key=lambda answer: answer.name not in AT_ONCE):
        folder = scratch / f"{lesson.slug}-{len(list(scratch.iterdir()))}"
        build(answer, folder)
        changed = [
            path.relative_to(folder)
            for path in folder.rglob("*.*")
            if path.read_bytes() != (lesson.solution / path.relative_to(folder)).read_bytes()
        ]
        if len(changed) == 1:
            file = tree / "lessons" / lesson.slug / changed[0]
            wrong = (folder / changed[0]).read_text("utf-8")
            return Save(lesson, file, wrong, file.read_text("utf-8"))
    raise SystemExit(f"{lesson.slug} has no wrong answer in one file for its first task.")


class Watch:
    """`python -m course` on a terminal."""

    def __init__(self, tree: Path) -> None:
        self.seen = b""
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.chdir(tree)
            size = {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"}
            here = environment.for_program(**size)
            os.execve(sys.executable, [sys.executable, "-m", "course"], here)

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

    def save(self, file: Path, text: str) -> float:
        """Write the learner's file; return the time at which that was done."""
        file.write_text(text, "utf-8")
        return time.perf_counter()

    def saves(self, save: Save, runs: int) -> tuple[list[float], list[float], list[float]]:
        """Return the seconds to the card of a wrong save, to the verdict on the task that a right
        one mends, and to that on the whole lesson."""
        cards, verdicts, whole = [], [], []
        for _ in range(runs):
            saved = self.save(save.file, save.wrong)
            self.wait_for(b"checking")
            cards.append(self.wait_for(b"expected:") - saved)
            self.wait_for(b"Checked in")
            self.rest()
            saved = self.save(save.file, save.right)
            self.wait_for(b"checking")
            verdicts.append(self.wait_for(f"✓ {save.lesson.tasks[0].id}".encode()) - saved)
            whole.append(self.wait_for(b"Checked in") - saved)
            self.rest()
        return cards, verdicts, whole

    def next_lesson(self, slug: str) -> None:
        """Turn to the next lesson, and wait until it is checked."""
        os.write(self.terminal, b"n")
        self.wait_for(f"Waiting for a save in lessons/{slug}".encode())
        self.rest()

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
    subprocess.run(
        command, cwd=tree, env=environment.for_program(), check=True, capture_output=True
    )
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
    parser.add_argument("--runs", type=int, default=9, help="of each measurement in lesson 1")
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
        watch, table = Watch(tree), []
        watch.wait_for(b"Checked in")
        watch.rest()
        for lesson in lessons():
            if lesson.slug != LESSON:
                watch.next_lesson(lesson.slug)
            save = save_of(lesson, tree, Path(scratch))
            found = watch.saves(save, runs if lesson.slug == LESSON else SAVES)
            table.append((lesson, middle(found[0]), middle(found[2])))
            if lesson.slug == LESSON:
                cards, verdicts, whole = found
                rollup = Path("/proc/self/smaps_rollup").exists()
                megabytes = watch.megabytes() if rollup else 0
        watch.quit()
        each, together = in_turn(
            max(1, runs // 5),
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
    print(
        "\na save, in seconds: a wrong one to its card, a right one to all verdicts of the lesson"
    )
    for lesson, card, all_tasks in table:
        browser = lesson.slug == BROWSER
        row(f"{lesson.slug}: the card", card, 1 if browser else 0.3, " s")
        longest = (12 if needs.headless_shell() else 20) if browser else 5
        row(f"{lesson.slug}: all verdicts", all_tasks, longest, " s")


if __name__ == "__main__":
    main()
