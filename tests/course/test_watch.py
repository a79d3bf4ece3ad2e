"""The watch screen, used as a learner does: with keys in a terminal and saves in a folder."""

import contextlib
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import watchfiles

from course.grading.waiting import PATIENCE
from course.learner import keyboard, saves
from course.learner.keys import BINDINGS
from course.learner.watch import Watch
from course.lesson.lessons import ROOT, Lesson
from course.lesson.regions import replace, without_markers
from course.lesson.starter import starter_files

try:
    import fcntl
    import pty
    import termios
except ImportError:  # Windows
    pty = None

needs_pty = pytest.mark.skipif(pty is None, reason="Python has no pseudo-terminals on Windows")
SECONDS = 30 * PATIENCE  # the deadline of every wait
ESCAPES = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|\][^\x07]*\x07|[=>])")


@pytest.fixture(scope="module")
def lesson() -> Lesson:
    """Lesson 1 of the real course."""
    return Lesson("01_rest")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the course with fresh starters, in a path with a space."""
    root = tmp_path / "a copy"
    skip = shutil.ignore_patterns("__pycache__", "answers", ".*")
    for name in ("course", "docs", "solutions"):
        shutil.copytree(ROOT / name, root / name, ignore=skip)
    (root / "tests").mkdir()
    for test in ROOT.glob("tests/*.py"):
        shutil.copy(test, root / "tests")
    for name in ("requirements.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, root)
    for slug in ("01_rest", "02_polling"):
        for name, content in starter_files(Lesson(slug)).items():
            (root / "lessons" / slug).mkdir(parents=True, exist_ok=True)
            (root / "lessons" / slug / name).write_bytes(content)
    return root


def answer(lesson: Lesson, **code: str) -> str:
    """Return the solution's app.py, with other code in the regions named."""
    text = (lesson.solution / "app.py").read_text("utf-8")
    for name, body in code.items():
        text = replace(text, ".py", name, body)
    return without_markers(text, ".py")


class Terminal:
    """`python3 -m course` in its own pseudo-terminal."""

    def __init__(self, tree: Path, columns: int = 100, rows: int = 30, **env: str) -> None:
        self.screen, self._slave = pty.openpty()
        self.resize(columns, rows)
        self.before = termios.tcgetattr(self._slave)
        unset = ("NO_COLOR", "COLUMNS", "LINES", "DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
        kept = {name: value for name, value in os.environ.items() if name not in unset}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "course"],
            cwd=tree,
            env=kept | {"TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8"} | env,
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        self.raw = ""
        self._place = 0
        self._news = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while data := os.read(self.screen, 65536):
                with self._news:
                    self.raw += data.decode("utf-8", "replace")
                    self._news.notify_all()

    @property
    def text(self) -> str:
        """All frames drawn so far, without control sequences."""
        return ESCAPES.sub("", self.raw).replace("\r\n", "\n")

    def awaits(self, wanted: str) -> None:
        """Wait until this text is drawn, after the text awaited before."""
        deadline = time.monotonic() + SECONDS
        with self._news:
            while (place := self.text.find(wanted, self._place)) < 0:
                if not self._news.wait(deadline - time.monotonic()):
                    drawn = self.text[self._place :][-4000:]
                    raise AssertionError(f"{wanted!r} was not drawn, but:\n{drawn}")
            self._place = place + len(wanted)

    def press(self, key: str) -> None:
        """Press a key. The text awaited next must be drawn after it."""
        self._place = len(self.text)
        os.write(self.screen, key.encode())

    def resize(self, columns: int, rows: int) -> None:
        """Change the window's size."""
        termios.tcsetwinsize(self._slave, (rows, columns))

    def ends(self) -> int:
        """Wait for the process to end, check that the terminal is restored, return the status."""
        status = self.process.wait(SECONDS)
        assert termios.tcgetattr(self._slave) == self.before
        if "\x1b[?1049h" in self.raw:
            self.awaits_raw("\x1b[?1049l")
            self.awaits_raw("\x1b[?25h")
        return status

    def awaits_raw(self, sequence: str) -> None:
        """Wait for a control sequence."""
        with self._news:
            assert self._news.wait_for(lambda: sequence in self.raw, SECONDS)

    def close(self) -> None:
        """End the process if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._slave)


@pytest.fixture
def start(tree):
    """Start the watch screen of the copied course. Processes end after the test."""
    started = []

    def start(columns: int = 100, rows: int = 30, **env: str) -> Terminal:
        started.append(Terminal(tree, columns, rows, **env))
        return started[-1]

    yield start
    for terminal in started:
        terminal.close()


def nothing_runs_in(group: int) -> bool:
    """Return whether every process of the group has ended."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        os.sched_yield() if hasattr(os, "sched_yield") else None
    return False


@needs_pty
def test_a_learner_fixes_a_failing_task_and_opens_the_next_lesson(start, tree, lesson):
    app = tree / "lessons" / "01_rest" / "app.py"
    terminal = start()
    terminal.awaits("Beyond REST")
    terminal.awaits("Checked in")

    app.write_text(answer(lesson, create="return {}, 200"), "utf-8")
    terminal.awaits("checking…")
    terminal.awaits("✗ create")
    terminal.awaits("expected: 201 Created")
    terminal.awaits("got: 200 OK")
    terminal.awaits("next: python3 -m course hint 1 create")

    terminal.awaits("Checked in")
    terminal.press("h")
    terminal.awaits("hint 1 of 3 for create")

    app.write_text(answer(lesson), "utf-8")
    terminal.awaits("checking…")
    terminal.awaits("✓ create")
    terminal.awaits("13/13")
    terminal.awaits("Every task of this lesson passes.")
    terminal.awaits("n  next: 02_polling")

    terminal.press("s")
    terminal.awaits("app.py  the same")
    terminal.press("b")
    terminal.awaits("Every task of this lesson passes.")

    terminal.press("n")
    terminal.awaits("02_polling")
    terminal.awaits("Checked in")
    terminal.press("q")

    assert terminal.ends() == 0
    assert nothing_runs_in(terminal.process.pid)
    progress = (tree / ".course" / "progress.json").read_text("utf-8")
    assert '"current": "02_polling"' in progress
    assert '"create"' in progress


@needs_pty
@pytest.mark.parametrize(
    ("ends_it", "status"), [("\x03", 130), ("SIGTERM", 143), ("SIGHUP", 129)], ids=repr
)
def test_the_terminal_is_restored_after_a_signal(start, ends_it, status):
    terminal = start()
    terminal.awaits("Checked in")

    if ends_it.startswith("SIG"):
        terminal.process.send_signal(getattr(signal, ends_it))
    else:
        terminal.press(ends_it)

    assert terminal.ends() == status
    assert nothing_runs_in(terminal.process.pid)
    if status == 130:
        terminal.awaits("Stopped.")
    assert "Traceback" not in terminal.text


@needs_pty
def test_the_terminal_is_restored_after_a_bug_in_the_course(start, tree):
    with (tree / "course" / "learner" / "watch.py").open("a", encoding="utf-8") as file:
        file.write("\n\ndef _fail(self):\n    raise RuntimeError('boom')\n\nWatch._hint = _fail\n")
    terminal = start()
    terminal.awaits("Checked in")

    terminal.press("h")
    terminal.awaits("The course itself failed, not your code (RuntimeError: boom).")

    assert terminal.ends() == 2
    assert "Traceback" not in terminal.text


@needs_pty
def test_a_save_during_a_check_restarts_it(start, tree, lesson):
    app = tree / "lessons" / "01_rest" / "app.py"
    terminal = start()
    terminal.awaits("Checked in")

    app.write_text("while True:\n    pass\n", "utf-8")
    terminal.awaits("checking…")
    app.write_text(answer(lesson), "utf-8")

    terminal.awaits("Every task of this lesson passes.")
    terminal.press("q")
    assert terminal.ends() == 0


@needs_pty
def test_a_reset_restores_a_deleted_folder(start, tree):
    folder = tree / "lessons" / "01_rest"
    terminal = start()
    terminal.awaits("Checked in")

    shutil.rmtree(folder)
    terminal.awaits("is not there")
    terminal.press("r")
    terminal.awaits("Restore the starter of lessons/01_rest?")
    terminal.press("y")

    terminal.awaits("lessons/01_rest is the starter again.")
    terminal.awaits("✗ create")
    terminal.press("q")
    assert terminal.ends() == 0
    assert (folder / "app.py").read_bytes() == starter_files(Lesson("01_rest"))["app.py"]


@needs_pty
def test_the_list_opens_any_lesson(start):
    terminal = start()
    terminal.awaits("Checked in")

    terminal.press("l")
    terminal.awaits("enter choose")
    terminal.press("\x1b[B")
    terminal.press("\r")

    terminal.awaits("02_polling  ")
    terminal.press("p")
    terminal.awaits("01_rest  ")
    terminal.press("q")
    assert terminal.ends() == 0


@needs_pty
def test_a_resize_redraws_the_screen(start):
    terminal = start(100, 30, NO_COLOR="1")
    terminal.awaits("─" * 100)

    terminal.resize(60, 20)
    terminal.awaits("\n" + "─" * 60 + "\n")
    terminal.awaits("quit")

    terminal.press("q")
    assert terminal.ends() == 0
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", terminal.raw)


@needs_pty
def test_a_dumb_terminal_gets_lines_without_control_sequences(start):
    terminal = start(60, 20, TERM="dumb")
    terminal.awaits("✗ create")
    terminal.awaits("Checked in")

    terminal.press("q")

    assert terminal.ends() == 0
    assert "\x1b" not in terminal.raw


@needs_pty
def test_a_terminal_without_unicode_gets_ascii(start):
    terminal = start(60, 20, PYTHONIOENCODING="ascii")
    terminal.awaits("x create")
    terminal.awaits("Checked in")

    terminal.press("q")

    assert terminal.ends() == 0
    assert terminal.raw.isascii()


# Saves


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A lesson's folder with one file."""
    (tmp_path / "lessons" / "01_rest").mkdir(parents=True)
    (tmp_path / "lessons" / "01_rest" / "app.py").write_text("one")
    return tmp_path / "lessons" / "01_rest"


@contextlib.contextmanager
def saves_of(folder: Path):
    """Yield a queue that receives an event for each save in the folder."""
    events: queue.Queue = queue.Queue()
    looking = saves.Saves(folder, events.put)
    try:
        yield events
    finally:
        looking.close()


def test_a_save_is_reported(folder):
    with saves_of(folder) as events:
        (folder / "app.py").write_text("two!")

        assert events.get(timeout=SECONDS) == saves.Saved()


def test_a_save_is_reported_once(folder):
    events: queue.Queue = queue.Queue()
    looking = saves.Saves(folder, events.put)
    looking.close()
    (folder / "app.py").write_text("two!")

    for _ in range(3):
        looking._look()

    assert events.qsize() == 1


def test_only_code_files_are_watched(folder):
    (folder / "static").mkdir()
    before = saves.fingerprint(folder)

    for name in ("board.sqlite3", "log.txt", ".app.py.swp", "app.py~", "4913"):
        (folder / name).write_text("x")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "app.py").write_text("x")
    assert saves.fingerprint(folder) == before

    (folder / "static" / "page.js").write_text("x")
    assert saves.fingerprint(folder) != before


def test_deleting_and_creating_a_folder_are_both_reported(folder):
    with saves_of(folder) as events:
        shutil.rmtree(folder.parent)
        assert events.get(timeout=SECONDS) == saves.Saved()

        folder.mkdir(parents=True)
        (folder / "app.py").write_text("two")
        assert events.get(timeout=SECONDS) == saves.Saved()


def test_without_events_the_files_are_polled(folder, monkeypatch):
    def no_events(*_: object, **__: object):
        raise OSError("the limit on the number of watches is reached")

    monkeypatch.setattr(watchfiles, "watch", no_events)
    with saves_of(folder) as events:
        (folder / "app.py").write_text("two!")

        assert events.get(timeout=SECONDS) == saves.Saved()


# Keys


@pytest.mark.parametrize(
    ("sent", "names"),
    [
        ("h", ["h"]),
        ("Q", ["q"]),
        ("\x1b[A", ["up"]),
        ("\x1bOB", ["down"]),
        ("\x1b", ["escape"]),
        ("\x1b[Aq\x1b[B", ["up", "q", "down"]),
        ("\r", ["enter"]),
        ("\x1b[15~x", ["x"]),
        ("\x00\x07é", ["é"]),
    ],
)
def test_a_terminals_input_is_split_into_keys(sent, names):
    assert keyboard.split(sent) == names


@pytest.mark.parametrize("mode", BINDINGS)
def test_each_key_has_a_method(mode):
    missing = [x.does for x in BINDINGS[mode] if not callable(getattr(Watch, f"_{x.does}", None))]

    assert missing == []


def test_each_key_of_the_footer_is_documented():
    page = (ROOT / "docs" / "how-it-works.md").read_text("utf-8")
    documented = re.findall(r"^\| <kbd>(\S+)</kbd>", page, re.MULTILINE)

    shown = [x.shown.partition(" ")[0] for x in BINDINGS["tasks"] if x.shown]

    assert [key for key in documented if key in shown] == shown
