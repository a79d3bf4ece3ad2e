"""Make `.venv` and install into it what requirements.txt pins: once, and after an update.

Only the standard library is here yet. What is printed is ASCII, which any terminal can show, and
goes to stderr, where it is in nobody's way.
"""

import contextlib
import importlib
import importlib.util
import os
import queue
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TextIO

from course.setup import SetupError, packages
from course.setup.packages import PINS, ROOT, VERSION
from course.setup.venv import VENV, starts

LOCK = os.path.join(ROOT, ".course", "setup.lock")

AGAIN = "then run the same command again."
NO_ROOM = (
    f"There is no room left on the disk: the course's packages take about 200 MB in {VENV}, and "
    f"while they are installed the folder for temporary files needs as much. Free some, {AGAIN}"
)
NOT_TRUSTED = (
    "The packages could not be downloaded, because the package index's certificate was not "
    "accepted. If your network has a proxy with its own certificate, set PIP_CERT to its file, "
    f"{AGAIN}"
)
NO_NETWORK = (
    "The packages could not be downloaded, because the package index does not answer. Connect to "
    f"the network (behind a proxy, set HTTPS_PROXY), {AGAIN}"
)
NOT_WRITABLE = (
    f"The course cannot write in its own folder, {ROOT}. Copy the folder to where you may write, "
    f"or change its permissions, {AGAIN}"
)
DOES_NOT_START = (
    f"{VENV} was made, but its Python does not start. Copy the course's folder to a disk from "
    f"which programs may be started, {AGAIN}"
)
# What pip or the system says, in lower case, and what it means. The first that fits is taken.
MEANINGS = (
    (("no space left", "errno 28", "winerror 112", "not enough space", "disk quota"), NO_ROOM),
    (("certificate_verify_failed", "certificate verify failed", "sslerror"), NOT_TRUSTED),
    (("permission denied", "not permitted", "read-only", "winerror 5]"), NOT_WRITABLE),
    (("connection broken by", "max retries", "timed out", "failed to establish"), NO_NETWORK),
)


# The two steps


def make() -> None:
    """Make `.venv`, in place of whatever is there, with a Python but without packages.

    Raises SetupError where this Python cannot, and OSError.
    """
    need("venv", "ensurepip")
    with lock():
        if starts():
            return  # Another command made it while this one waited.
        import venv

        say(f"Making {VENV} ...")
        if os.path.isfile(VENV):
            os.remove(VENV)
        venv.EnvBuilder(clear=os.path.isdir(VENV), symlinks=os.name != "nt").create(VENV)
        if not starts():
            raise SetupError(DOES_NOT_START)


def install() -> None:
    """Install what is missing into this Python, which is that of `.venv`.

    Where that fails, but every package is here in some version, the course was updated, and goes on
    with the older ones. Raises SetupError where one is not, and OSError.
    """
    with lock():
        names = packages.missing()
        try:
            if names:  # Else another command installed them while this one waited.
                _install(len(names))
        except SetupError as problem:
            if packages.pins().keys() - packages.installed().keys():
                raise
            say(f"{problem}\nGoing on with the older packages that are here.")
    importlib.invalidate_caches()


def _install(count: int) -> None:
    """Install everything that is pinned, of which `count` packages are missing."""
    began = time.monotonic()
    say(f"Setting up: {count} package{'s' if count > 1 else ''} to install.")
    _remove_unfinished()
    if "pip" not in packages.installed():
        _run(["ensurepip", "--default-pip"], Progress("Preparing pip"))
    options = ["--disable-pip-version-check", "--no-input", "--no-color", "--progress-bar", "off"]
    _run(["pip", "install", *options, "-r", PINS], Progress("Looking up", count))
    say(f"Set up in {time.monotonic() - began:.0f} s.")


def _remove_unfinished() -> None:
    """Remove the traces of packages whose installing was cut off: pip would take them for whole."""
    for _, _, path in packages.dist_infos(sysconfig.get_path("purelib")):
        if not packages.is_whole(path):
            shutil.rmtree(path)


def _run(module: list[str], progress: "Progress") -> None:
    """Run a module of this Python, given with its arguments, and show what it does.

    It runs isolated: no file in the current folder and no variable for Python has a part in it.
    Raises SetupError, with what its output means, if it fails.
    """
    settings = {"PIP_USER": "0", "PIP_RETRIES": os.environ.get("PIP_RETRIES", "2")}
    with (
        _ctrl_c_put_off() as let_it_come,
        subprocess.Popen(
            [sys.executable, "-I", "-u", "-X", "utf8", "-m", *module],
            env=os.environ | settings,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        ) as child,
    ):
        try:
            let_it_come()
            output = progress.show(child.stdout)
        except BaseException:
            child.kill()  # What it leaves unfinished is removed at the next try.
            raise
    if child.returncode:
        raise SetupError(meaning(output))


@contextlib.contextmanager
def _ctrl_c_put_off() -> Iterator[Callable[[], None]]:
    """Keep Ctrl-C back until what this gives is called: within Popen() it would leave an orphan."""
    came = []
    before = signal.signal(signal.SIGINT, lambda *_: came.append(True))

    def let_it_come() -> None:
        signal.signal(signal.SIGINT, before)
        if came:
            signal.raise_signal(signal.SIGINT)

    try:
        yield let_it_come
    finally:
        signal.signal(signal.SIGINT, before)


# What went wrong


def need(*modules: str) -> None:
    """Raise SetupError if this Python was packaged without one of `modules`."""
    specs = [importlib.util.find_spec(module) for module in modules]
    if all(spec and spec.origin for spec in specs):  # An empty folder has a spec, but no origin.
        return
    version = VERSION.rpartition(".")[0]
    way_out = "Install Python from https://www.python.org/downloads/"
    if sys.base_prefix == "/usr" and os.path.exists("/etc/debian_version"):
        way_out = f"Run `sudo apt install python{version}-venv`"
    raise SetupError(
        f"This Python {version} came without `venv`, with which the course makes a place for its "
        f"packages. {way_out}, {AGAIN}"
    )


def meaning(said: str) -> str:
    """Return what a failure means and the way out, from what pip or the system said."""
    lines = said.strip().splitlines() or ["pip ended without a word."]
    errors = [line for line in lines if "error: " in line.lower()]
    for text in ("\n".join(errors).lower(), said.lower()):
        for signs, sentence in MEANINGS:
            if any(sign in text for sign in signs):
                return sentence
    if errors:
        way_out = f'To see all of it, run "{sys.executable}" -m pip install -r "{PINS}"'
    else:
        way_out = f"Restore the course's files (git status lists them), delete {VENV}, {AGAIN}"
    return f"The course could not be set up: {(errors or lines)[-1].strip()} {way_out}"


# What is shown


class Progress:
    """What pip is doing: a line that changes on a terminal, a line for each stage elsewhere."""

    def __init__(self, stage: str, count: int = 0) -> None:
        self.live = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self.count = count  # of packages to install; 0 where they are not worth counting
        self.seen: dict[str, int] = {}  # how many of them have come to each stage
        self._enter(stage)

    def show(self, lines: Iterable[str]) -> str:
        """Read pip's output to its end, show in short what it says, and return all of it."""
        arriving: queue.SimpleQueue[str | None] = queue.SimpleQueue()

        def read() -> None:
            for line in lines:
                arriving.put(line)
            arriving.put(None)

        threading.Thread(target=read, daemon=True).start()
        output = ""
        try:
            while (line := self._next(arriving)) is not None:
                output += line
                self._take(line)
        finally:
            self._draw("")
        return output

    @staticmethod
    def _next(arriving: queue.SimpleQueue) -> str | None:
        """Return the next line, None at the end, or "" if none came for a moment."""
        try:
            return arriving.get(timeout=0.2)
        except queue.Empty:
            return ""

    def _take(self, line: str) -> None:
        """Show what a line of pip's tells; an empty one, that time has passed."""
        first, _, rest = line.strip().partition(" ")
        if not self.count:
            return
        if first in ("Collecting", "Processing"):
            self._count("Looking up", rest)
        elif first in ("Downloading", "Using") and rest.endswith(")") and ".metadata" not in rest:
            self._count("Downloading", rest.removeprefix("cached "))
        elif line.startswith("Installing collected"):
            self._enter("Installing")
        elif "Retrying" in line:
            self._draw("The package index does not answer. Trying again ...")
        if "Installing" in self.seen:
            self._draw(f"Installing {self.count - len(packages.missing())} of {self.count} ...")

    def _count(self, stage: str, rest: str) -> None:
        """Show that one more package, named at the start of `rest`, has come to a stage."""
        self._enter(stage)
        self.seen[stage] += 1
        file = os.path.basename(rest.partition(" (")[0])
        name = file.partition("-" if file.endswith(".whl") else "==")[0]
        self._draw(f"{stage} {self.seen[stage]} of {self.count}: {name}")

    def _enter(self, stage: str) -> None:
        """Say that a stage begins; in a line of its own where there is none that changes."""
        if stage not in self.seen:
            self.seen[stage] = 0
            self._draw(f"{stage} ...")
            if not self.live:
                say(f"{stage} ...")

    def _draw(self, text: str) -> None:
        """Write `text` over the line that changes, where there is one."""
        if self.live:
            width = (os.get_terminal_size(sys.stderr.fileno()).columns or 80) - 1
            sys.stderr.write("\r" + text[:width].ljust(width) + "\r" * (not text))
            sys.stderr.flush()


def say(line: str) -> None:
    """Write a line to stderr at once."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


# One at a time


def lock() -> TextIO:
    """Return a file that is locked until it is closed, after waiting for whoever has it.

    Raises OSError where the course's folder cannot be written.
    """
    os.makedirs(os.path.dirname(LOCK), exist_ok=True)
    file = open(LOCK, "a", encoding="utf-8")  # noqa: SIM115 - the caller closes it.
    take = _take_on_windows if os.name == "nt" else _take_on_posix
    if not take(file, wait=False):
        say("Another command is setting up the course. Waiting for it ...")
        while not take(file, wait=True):
            pass
    return file


def _take_on_posix(file: TextIO, wait: bool) -> bool:
    """Lock the file. Return whether it is locked, or cannot be, as in some network folders."""
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError:
        pass  # Better no lock than no course.
    return True


def _take_on_windows(file: TextIO, wait: bool) -> bool:
    """Lock the file's first byte, trying for ten seconds if asked to wait. Return whether it is."""
    import msvcrt

    try:
        msvcrt.locking(file.fileno(), msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
    except OSError:
        return False
    return True
