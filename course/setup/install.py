"""Make `.venv` and install into it what requirements.txt pins: once, and after an update.

Only the standard library is available. uv installs the packages, or pip if uv can't.
"""

import contextlib
import importlib
import importlib.util
import os
import shutil
import sys
import sysconfig
import time
from typing import TextIO

from course.setup import SetupError, bytecode, packages, pip, tool, unused, uv
from course.setup.packages import PINS, ROOT, VERSION
from course.setup.progress import Progress, say
from course.setup.venv import SCRATCH, VENV, starts

LOCK = os.path.join(ROOT, ".course", "setup.lock")

AGAIN = "then run the same command again."
NO_ROOM = (
    f"There is no room left on the disk: the course's packages take about 290 MB in {VENV}, and "
    f"up to 200 MB more while they are installed. Free some, {AGAIN}"
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
        try:
            if names := packages.missing():  # Another command may have installed them meanwhile.
                _install(len(names))
        except SetupError as problem:
            if packages.pins().keys() - packages.installed().keys():
                raise
            say(f"{problem}\nGoing on with the older packages that are here.")
        else:
            if packages.missing():
                raise SetupError(_hidden())
    importlib.invalidate_caches()


def finish() -> None:
    """Complete a set-up that was interrupted after the last package was installed."""
    with contextlib.suppress(OSError), lock():
        _finish()


def _install(count: int) -> None:
    """Install everything that is pinned, of which `count` packages are missing."""
    began = time.monotonic()
    say(f"Setting up: {count} package{'s' if count > 1 else ''} to install.")
    _remove_unfinished()
    progress = Progress(count)
    progress.enter("Preparing")
    try:
        settings = pip.settings(progress)
        try:
            uv.install(settings, progress)
        except (tool.Failed, uv.Untranslated, OSError) as problem:
            if meaning(str(problem)) == NO_ROOM:
                raise
            pip.install(settings, progress)
    except (tool.Failed, OSError) as failure:
        sentence = meaning(str(failure))
        if sentence == NO_ROOM:
            shutil.rmtree(SCRATCH, ignore_errors=True)
        raise SetupError(sentence) from None
    _finish()
    say(f"Set up in {time.monotonic() - began:.0f} s.")


def _remove_unfinished() -> None:
    """Remove the traces of packages that were only partly installed: pip takes them for whole."""
    for _, _, path in packages.dist_infos(sysconfig.get_path("purelib")):
        if not packages.is_whole(path):
            shutil.rmtree(path)


def _finish() -> None:
    """Do what follows installing. The folder is removed last: it shows that this is still to do."""
    if os.path.exists(SCRATCH):
        bytecode.write()
        unused.remove()
        shutil.rmtree(SCRATCH, ignore_errors=True)


def _hidden() -> str:
    """Return why packages are still missing after installing: Python finds others first."""
    name = packages.missing()[0]
    version, path = packages.found().get(name, ("", ""))
    if not path or path.startswith(VENV + os.sep):
        return (
            f"The course's packages were installed, but Python still doesn't find {name} "
            f"{packages.pins()[name]}. Delete {VENV}, {AGAIN}"
        )
    return (
        f"The course's packages were installed, but Python finds {name} {version} in "
        f"{os.path.dirname(path)} first. Remove that folder from Python's path, {AGAIN}"
    )


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


# One at a time


def lock(path: str = LOCK) -> TextIO:
    """Return a file that is locked until it is closed. Waits if another process has locked it.

    Raises OSError where the course's folder cannot be written.
    """
    os.makedirs(os.path.dirname(path), exist_ok=True)
    file = open(path, "a", encoding="utf-8")  # noqa: SIM115 - the caller closes it.
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
    # If only this command is killed, the tool that it has started keeps the lock to its own end.
    os.set_inheritable(file.fileno(), True)
    return True


def _take_on_windows(file: TextIO, wait: bool) -> bool:
    """Lock the file's first byte, trying for ten seconds if asked to wait. Return whether it is."""
    import msvcrt

    try:
        msvcrt.locking(file.fileno(), msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
    except OSError:
        return False
    return True
