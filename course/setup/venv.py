"""The `.venv` of the course: whether its Python starts, and how a command goes on in it.

Every command passes through here, so only os and sys, which each Python has imported anyway, are
imported at the top.
"""

import os
import sys

from course import MINIMUM
from course.setup import environment
from course.setup.packages import ROOT

VENV = os.path.join(ROOT, ".venv")
PYTHON = os.path.join(VENV, *(("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")))
STARTED = os.path.join(VENV, "course-started")
SCRATCH = os.path.join(VENV, "course-setup")  # removed at the end of the set-up


def inside() -> bool:
    """Return whether this Python is that of `.venv`."""
    return os.path.isdir(VENV) and os.path.samefile(sys.prefix, VENV)


def starts() -> bool:
    """Return whether `.venv` has a Python that starts as its own and is new enough.

    To try takes as long as any start, so a file keeps what was tried, and only a Python that has
    changed since is tried again.
    """
    looks = _looks()
    try:
        with open(STARTED, encoding="utf-8") as file:
            if file.read() == looks:
                return True
    except (OSError, ValueError):
        pass  # It was never tried, or nothing is there at all.
    if not _try_to_start():
        return False
    try:
        with open(STARTED, "w", encoding="utf-8") as file:
            file.write(looks)
    except OSError:
        pass  # A `.venv` that can only be read is as good, and is tried each time.
    return True


def _looks() -> str:
    """Return the sizes and dates of what `.venv` starts with, and what of it is gone.

    On Windows its python.exe starts the Python that made it, which can be removed alone.
    """
    cfg = os.path.join(VENV, "pyvenv.cfg")
    home = ""
    try:
        with open(cfg, encoding="utf-8") as file:
            home = dict(line.strip().split(" = ", 1) for line in file)["home"]
    except (OSError, ValueError, KeyError):
        pass
    looks = ""
    for path in (cfg, PYTHON, os.path.join(home, os.path.basename(PYTHON))):
        try:
            stat = os.stat(path)
            looks += f"{path} {stat.st_size} {stat.st_mtime_ns}\n"
        except OSError:
            looks += f"{path} gone\n"
    return looks


def _try_to_start() -> bool:
    """Start the Python of `.venv`, and return whether it is new enough and in a `.venv`."""
    import subprocess

    unfit = f"sys.version_info < {MINIMUM} or sys.prefix == sys.base_prefix"
    command = [PYTHON, "-I", "-c", f"import sys; sys.exit({unfit})"]
    null = subprocess.DEVNULL
    try:
        done = subprocess.run(command, stdin=null, stdout=null, stderr=null, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def go_on(python: str = PYTHON) -> None:
    """Run the same command with a Python, and only the variables that pass. Do not return."""
    command = [python, os.path.join(ROOT, "course"), *sys.argv[1:]]
    if os.name == "nt":
        sys.exit(run_to_its_end(command))  # There, exec would give the shell its prompt back.
    os.execve(python, command, environment.for_command())


def run_to_its_end(command: list[str]) -> int:
    """Run `command` and return its exit status.

    Ctrl-C reaches it as well as this process, and what happens then is for it to say.
    """
    import subprocess

    child = subprocess.Popen(command, env=environment.for_command())
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:
            continue
