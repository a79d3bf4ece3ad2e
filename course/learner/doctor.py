"""Check what this machine has for the course and for each lesson: the command `doctor`."""

import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TextIO

from course.lesson import intact, machine, needs
from course.lesson.lessons import Lesson, lessons
from course.setup import packages

EVENT = 2.0  # seconds within which the file system must report a save


@dataclass(frozen=True)
class Finding:
    """The result of one check: passed, skipped if the course works without it, or failed."""

    status: Literal["passed", "skipped", "failed"]
    name: str
    what: str
    advice: str = ""


def examine(root: Path, out: TextIO) -> int:
    """Print every finding. Returns 0, or 2 if the course can't work on this machine."""
    from course.learner.paint import STYLES, Painter, make_console

    painter = Painter(make_console(out))
    found = list(findings(root))
    width = 2 + max(len(finding.name) for finding in found)
    for finding in found:
        sign = painter.text(f"{painter.signs.of(finding.status)} ", STYLES[finding.status])
        left = sign + painter.text(f"{finding.name:<{width}}", "bold")
        lines = painter.wrapped(left, painter.text(finding.what))
        if finding.advice:
            lines += painter.paragraph(finding.advice, "dim", 2 + width)
        for line in lines:
            painter.console.print(line, soft_wrap=True)
    broken = any(finding.status == "failed" for finding in found)
    said = "The course can't work on this machine." if broken else "The course works here."
    painter.console.print(painter.text(said, "bold"), soft_wrap=True)
    return 2 if broken else 0


def findings(root: Path) -> Iterator[Finding]:
    """Yield the findings, one check after another."""
    yield python()
    yield pinned_packages()
    yield writable(root)
    yield modules()
    yield scripts()
    yield scratch()
    yield loopback()
    yield from ports()
    yield file_events(root)
    yield terminal()
    yield own_files(root)
    yield headless_shell()
    for lesson in lessons(root):
        yield needs_of(lesson)


def python() -> Finding:
    """Report the Python that runs the course."""
    inside = f"in {sys.prefix}" if sys.prefix != sys.base_prefix else f"{sys.executable}, no venv"
    return Finding("passed", "Python", f"{packages.VERSION}, {inside}")


def pinned_packages() -> Finding:
    """Compare the installed packages with those that requirements.txt pins."""
    try:
        wanted, have = packages.pins(), packages.installed()
    except OSError as error:
        return Finding("failed", "packages", f"requirements.txt: {error.strerror}")
    wrong = [
        f"{name} {have[name]} instead of {version}" if name in have else f"{name} is missing"
        for name, version in wanted.items()
        if have.get(name) != version
    ]
    if not wrong:
        return Finding("passed", "packages", f"all {len(wanted)}, as requirements.txt pins them")
    advice = "Delete the folder .venv and run `python3 -m course`, which installs them again."
    return Finding("failed", "packages", "; ".join(wrong), advice)


def writable(root: Path) -> Finding:
    """Check that the course can save progress, and copies of files that are reset."""
    try:
        (root / ".course").mkdir(exist_ok=True)
        with tempfile.TemporaryFile(dir=root / ".course"):
            pass
    except OSError as error:
        what = f"{root} isn't writable: {error.strerror}. Your progress isn't saved."
        return Finding("skipped", "folder", what, "Clone the course to a folder of your own.")
    return Finding("passed", "folder", f"{root} is writable")


def loopback() -> Finding:
    """Check that programs can connect to each other over 127.0.0.1, as every test does."""
    for fault in machine.loopback():
        return Finding("failed", "loopback", fault.what, fault.advice)
    return Finding("passed", "loopback", "127.0.0.1 accepts connections and has free ports")


def modules() -> Finding:
    """Check that Python has the modules that some builds lack."""
    for fault in machine.modules():
        return Finding("failed", "modules", fault.what, fault.advice)
    return Finding("passed", "modules", f"Python has {' and '.join(machine.MODULES.values())}")


def scratch() -> Finding:
    """Check that the temporary folder is writable and has space."""
    for fault in machine.scratch():
        return Finding("failed", "temporary", fault.what, fault.advice)
    return Finding("passed", "temporary", f"{tempfile.gettempdir()} is writable")


def scripts() -> Finding:
    """Check that the commands in `.venv` start a Python that exists."""
    folder = Path(sys.prefix) / "bin"
    try:
        first = (folder / "flask").read_bytes().split(b"\n")[0].decode("utf-8", "replace")
    except OSError:
        return Finding("passed", "scripts", "none: Python runs modules")
    where = first.removeprefix("#!").strip().strip('"')
    # If the path is long, it is in the second line, after /bin/sh.
    if not first.startswith("#!/") or where.startswith("/bin/sh") or Path(where).exists():
        return Finding("passed", "scripts", f"those in {folder} start")
    what = f"{folder / 'flask'} needs {where}, which doesn't exist. Was this folder moved?"
    return Finding("failed", "scripts", what, "Delete .venv and run `python3 -m course` again.")


def ports() -> Iterator[Finding]:
    """Check the default ports of `flask run` and `docs`."""
    uses = {5000: "`flask run --port 5001` uses another", 8000: "`docs` chooses another"}
    for port, advice in uses.items():
        with socket.socket() as probe:
            probe.settimeout(1)
            taken = probe.connect_ex(("127.0.0.1", port)) == 0
        state = f"in use by another program; {advice}" if taken else "free"
        yield Finding("skipped" if taken else "passed", f"port {port}", state)


def file_events(root: Path) -> Finding:
    """Check that the system reports saved files. If not, the watch screen polls."""
    base = root / ".course" if (root / ".course").is_dir() else None
    try:
        with tempfile.TemporaryDirectory(dir=base) as folder:
            seen = _event_comes(Path(folder))
    except (OSError, RuntimeError):
        seen = False
    if seen:
        return Finding("passed", "file events", "a save is seen at once")
    what = "the system doesn't report saves, so the watch screen checks the files once a second"
    return Finding("skipped", "file events", what)


def _event_comes(folder: Path) -> bool:
    """Save a file repeatedly, until the system reports a save or EVENT seconds have passed."""
    from watchfiles import watch

    stop = threading.Event()
    timer = threading.Timer(EVENT, stop.set)
    timer.start()
    pace = {"step": 20, "debounce": 50, "rust_timeout": 100, "yield_on_timeout": True}
    try:
        for changes in watch(folder, stop_event=stop, watch_filter=None, **pace):
            if changes:
                return True
            (folder / "saved.py").write_text("x = 1\n")
        return False
    finally:
        timer.cancel()


def terminal() -> Finding:
    """Report what the terminal can do."""
    from course.learner.paint import Painter, is_dumb, make_console

    console = make_console(sys.stdout)
    if not sys.stdout.isatty():
        return Finding("passed", "terminal", "none: commands print plain lines")
    able = [
        f"{console.width} columns",
        f"{console.color_system or 'no'} colours",
        "Unicode" if Painter(console).unicode else f"no Unicode ({console.encoding})",
        "keys" if sys.stdin.isatty() else "no keys",
    ]
    if is_dumb():
        return Finding("skipped", "terminal", ", ".join([*able, "prints lines only"]))
    return Finding("passed", "terminal", ", ".join(able))


def own_files(root: Path) -> Finding:
    """Check that the graders and the answers weren't edited."""
    if names := intact.edited(root):
        what = intact.advice(names)
        return Finding("skipped", "own files", what, "An edited grader may judge wrongly.")
    return Finding("passed", "own files", "course/, tests/ and solutions/ are unchanged")


def headless_shell() -> Finding:
    """Report whether pages open in Chromium's headless shell, which is faster than the browser."""
    if where := needs.headless_shell():
        return Finding("passed", "pages", f"open in {where}")
    what = "open in the full browser, which takes two or three times as long"
    advice = "On Debian, `apt-get install chromium-headless-shell` installs a faster one."
    return Finding("passed", "pages", what, advice)


def needs_of(lesson: Lesson) -> Finding:
    """Check that this machine has what the lesson needs besides the packages."""
    looked = {need: needs.find(need) for need in lesson.needs}
    if not looked:
        return Finding("passed", lesson.slug, "needs nothing else")
    said = [
        f"{need}: {found.where}" if found.where else f"no {need} found"
        for need, found in looked.items()
    ]
    advice = " ".join(found.advice for found in looked.values() if not found.where)
    return Finding("skipped" if advice else "passed", lesson.slug, ", ".join(said), advice)
