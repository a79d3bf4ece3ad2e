"""Find a Python that can run the course: this one, or that of the `.venv` that is made here.

Three rules, and each looks at what is there, so that a broken or interrupted try is taken up again:

1. A Python that has every pinned package runs the course, whichever Python it is.
2. The Python of `.venv` installs what it lacks.
3. Any other makes `.venv`, unless the one that is there starts, and goes on inside it.

Every command passes through here, so only os and sys, which each Python has imported anyway, are
imported at the top. What is done once is in first_run.py.
"""

import os
import sys

from course import MINIMUM

ROOT = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
PINS = os.path.join(ROOT, "requirements.txt")
VENV = os.path.join(ROOT, ".venv")
PYTHON = os.path.join(VENV, *(("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")))
STARTED = os.path.join(VENV, "course-started")
VERSION = ".".join(str(number) for number in sys.version_info[:3])


class SetupError(Exception):
    """Why the course cannot be set up here and the way out, in a sentence or two."""


def ready() -> None:
    """Return in a Python that has every pinned package, or go on in one and do not return.

    Exits with 2 and a sentence on stderr where there is no way, and with 130 after Ctrl-C.
    """
    try:
        if not missing():
            return
        if not inside():
            if not starts():
                _first_run().make()
            go_on()
        _first_run().install()
    except SetupError as problem:
        _stop(2, str(problem))
    except OSError as error:
        _stop(2, _first_run().meaning(str(error)))
    except KeyboardInterrupt:
        _stop(130, "Stopped. The same command goes on from here.")


# Which packages are here


def missing() -> list[str]:
    """Return the names of the pinned packages that this Python lacks or has in another version."""
    have = installed()
    return [name for name, version in pins().items() if have.get(name) != version]


def pins() -> dict[str, str]:
    """Return what requirements.txt asks of this Python: versions by name.

    Raises OSError where the file cannot be read.
    """
    found = {}
    with open(PINS, encoding="utf-8") as file:
        for line in file:
            requirement, _, marker = line.partition("#")[0].partition(";")
            name, pinned, version = requirement.partition("==")
            if pinned and applies(marker.strip()):
                found[_normal(name.strip())] = version.strip()
    return found


def installed() -> dict[str, str]:
    """Return the versions by name of the packages that are wholly installed in this Python.

    `importlib.metadata` could tell, but to import it takes ten times as long as this.
    """
    found: dict[str, str] = {}
    for folder in sys.path:
        for name, version, path in dist_infos(folder):
            if name not in found and is_whole(path):
                found[name] = version
    return found


def dist_infos(folder: str) -> list[tuple[str, str, str]]:
    """Return (name, version, path) of each `name-version.dist-info` in `folder`."""
    try:
        entries = os.listdir(folder)
    except OSError:
        return []
    found = []
    for entry in entries:
        if entry.endswith(".dist-info"):
            name, _, version = entry.removesuffix(".dist-info").partition("-")
            found.append((_normal(name), version, os.path.join(folder, entry)))
    return found


def is_whole(dist_info: str) -> bool:
    """Return whether a package was installed to its end: INSTALLER is written last."""
    return os.path.exists(os.path.join(dist_info, "INSTALLER"))


def _normal(name: str) -> str:
    """Return a package's name in the form in which names are compared."""
    return name.lower().replace("_", "-").replace(".", "-")


# Markers, such as `python_full_version < '3.11.5'`


def applies(marker: str) -> bool:
    """Return whether an environment marker (PEP 508) is true of this Python.

    It is an expression of Python too, and comes from our own requirements.txt.
    """
    return not marker or bool(eval(marker, {"__builtins__": {}}, Environment()))


class Environment(dict):
    """The variables of a marker. Those of the platform take an import, so they wait."""

    def __init__(self) -> None:
        super().__init__(
            os_name=os.name,
            sys_platform=sys.platform,
            implementation_name=sys.implementation.name,
            python_version=Version(VERSION.rpartition(".")[0]),
            python_full_version=Version(VERSION),
        )

    def __missing__(self, name: str) -> str:
        import platform

        return getattr(platform, name.removeprefix("platform_"))()


class Version:
    """A version, which a marker compares with a text such as "3.11.5" or "3.11.*"."""

    def __init__(self, text: str) -> None:
        self.numbers = [int(number) for number in text.split(".")]

    def __eq__(self, text: object) -> bool:
        other = Version(str(text).removesuffix(".*")).numbers
        return self.numbers[: len(other)] == other

    def __lt__(self, text: str) -> bool:
        return self.numbers < Version(text).numbers

    def __le__(self, text: str) -> bool:
        return self.numbers <= Version(text).numbers

    def __gt__(self, text: str) -> bool:
        return self.numbers > Version(text).numbers

    def __ge__(self, text: str) -> bool:
        return self.numbers >= Version(text).numbers


# The Python of .venv


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


def go_on() -> None:
    """Run the same command with the Python of `.venv`, and do not return."""
    command = [PYTHON, os.path.join(ROOT, "course"), *sys.argv[1:]]
    os.environ.pop("PYTHONHOME", None)  # It would make that Python forget that it is in `.venv`.
    if os.name == "nt":
        sys.exit(run_to_its_end(command))  # There, exec would give the shell its prompt back.
    os.execv(PYTHON, command)


def run_to_its_end(command: list[str]) -> int:
    """Run `command` and return its exit status.

    Ctrl-C reaches it as well as this process, and what happens then is for it to say.
    """
    import subprocess

    child = subprocess.Popen(command)
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:
            continue


def _first_run():
    """Return the module of what is done once: few starts have a use for all that it imports."""
    from course import first_run

    return first_run


def _stop(status: int, sentence: str) -> None:
    """End the process with a sentence and an exit status."""
    sys.stderr.write(sentence + "\n")
    sys.exit(status)
