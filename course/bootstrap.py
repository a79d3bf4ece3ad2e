"""Make a Python ready to run the course: this one, or that of the `.venv` that is made here.

Three rules, and each looks at what is there, so that a broken or interrupted try is taken up again:

1. A Python that has every pinned package runs the course, whichever Python it is.
2. The Python of `.venv` installs what it lacks.
3. Any other makes `.venv`, unless the one that is there starts, and goes on inside it.

Every command passes through here, so only what each Python has imported anyway is imported at the
top. The text is ASCII, because it has to be readable on any terminal.
"""

import os
import sys

from course import MINIMUM

ROOT = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
PINS = os.path.join(ROOT, "requirements.txt")
VENV = os.path.join(ROOT, ".venv")
PYTHON = os.path.join(VENV, *(("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")))
SEEN = os.path.join(VENV, "course-saw-it-start")
LOCK = os.path.join(ROOT, ".course", "setup.lock")

AGAIN = "then run the same command again."
NO_ROOM = (
    f"There is no room left on the disk: the course's packages take about 200 MB in {VENV}, and "
    f"the folder for temporary files needs room too. Free some, {AGAIN}"
)
NOT_WRITABLE = (
    f"The course cannot write in its own folder, {ROOT} ({{reason}}). Copy the folder to where you "
    f"may write, or change its permissions, {AGAIN}"
)
NOT_TRUSTED = (
    "The packages were not downloaded, because the package index's certificate was not accepted. "
    f"If your network has a proxy with its own certificate, set PIP_CERT to its file, {AGAIN}"
)
NO_NETWORK = (
    "The packages could not be downloaded, because the package index does not answer. Connect to "
    f"the network (behind a proxy, set HTTPS_PROXY), {AGAIN}"
)
# What pip says, in lower case, and what it means. The first that fits is taken.
MEANINGS = (
    (("no space left", "errno 28", "winerror 112", "not enough space", "disk quota"), NO_ROOM),
    (("certificate_verify_failed", "certificate verify failed", "sslerror"), NOT_TRUSTED),
    (("permission denied", "errno 13", "read-only file", "access is denied"), NOT_WRITABLE),
    (("connection broken by", "max retries exceeded", "timed out", "proxyerror"), NO_NETWORK),
    (("failed to establish", "connection aborted", "connection reset"), NO_NETWORK),
)


class SetupError(Exception):
    """Why the course cannot be set up here, and the way out, as one sentence or two."""


def ready() -> None:
    """Return in a Python that has every pinned package, or go on in one and do not return.

    Exits with 2 and a sentence on stderr where there is no way, and with 130 after Ctrl-C.
    """
    try:
        _get_ready()
    except SetupError as problem:
        _say(str(problem))
        sys.exit(2)
    except OSError as error:
        _say(_meaning(str(error)))
        sys.exit(2)
    except KeyboardInterrupt:
        _say("Stopped. The same command goes on from here.")
        sys.exit(130)


def _get_ready() -> None:
    """Do what the three rules say."""
    if not missing():
        return
    if not _inside():
        if not _starts():
            _make()
        _go_on()
    _install()


# What is here


def missing() -> list[str]:
    """Return the names of the pinned packages that this Python lacks or has in another version."""
    have = _finished(sys.path)
    return [name for name, version in _pins().items() if have.get(name) != version]


def _pins() -> dict[str, str]:
    """Return what requirements.txt asks of this Python: versions by name.

    Raises OSError where the file cannot be read.
    """
    pins = {}
    with open(PINS, encoding="utf-8") as file:
        for line in file:
            requirement, _, marker = line.partition("#")[0].partition(";")
            name, pinned, version = requirement.partition("==")
            if pinned and _applies(marker.strip()):
                pins[_normal(name.strip())] = version.strip()
    return pins


def _finished(folders: list[str]) -> dict[str, str]:
    """Return the versions by name of the packages in `folders`, as an import would find them.

    A package is there once its folder `name-version.dist-info` holds INSTALLER, which installers
    write last. `importlib.metadata` would tell the rest as well, in ten times the time.
    """
    found: dict[str, str] = {}
    for folder in folders:
        for name, version, path in _dist_infos(folder):
            if name not in found and os.path.exists(os.path.join(path, "INSTALLER")):
                found[name] = version
    return found


def _dist_infos(folder: str) -> list[tuple[str, str, str]]:
    """Return (name, version, path) of what was ever begun to be installed in `folder`."""
    try:
        entries = os.listdir(folder or os.curdir)
    except OSError:
        return []
    suffix = ".dist-info"
    stems = (entry.removesuffix(suffix) for entry in entries if entry.endswith(suffix))
    parts = (stem.partition("-") for stem in stems)
    return [
        (_normal(name), version, os.path.join(folder, f"{name}-{version}{suffix}"))
        for name, _, version in parts
    ]


def _normal(name: str) -> str:
    """Return a package's name in the one form in which names are compared (PEP 503)."""
    return name.lower().replace("_", "-").replace(".", "-")


def _applies(marker: str) -> bool:
    """Return whether an environment marker (PEP 508) is true of this Python.

    Markers are expressions of Python, and those here are from our own requirements.txt.
    """
    return not marker or bool(eval(marker, {"__builtins__": {}}, _environment()))


def _environment() -> dict:
    """Return the variables of a marker, as PEP 508 names them."""
    import platform

    return {
        "os_name": os.name,
        "sys_platform": sys.platform,
        "platform_machine": platform.machine(),
        "platform_system": platform.system(),
        "platform_release": platform.release(),
        "platform_python_implementation": platform.python_implementation(),
        "implementation_name": sys.implementation.name,
        "python_version": _Version("%d.%d" % sys.version_info[:2]),
        "python_full_version": _Version("%d.%d.%d" % sys.version_info[:3]),
    }


class _Version:
    """A version, which a marker compares with a text such as "3.11.5" or "3.11.*"."""

    def __init__(self, text: str) -> None:
        self.numbers = [int(number) for number in text.split(".")]

    def __eq__(self, text: object) -> bool:
        other = _Version(str(text).removesuffix(".*")).numbers
        return self.numbers[: len(other)] == other

    def __lt__(self, text: str) -> bool:
        return self.numbers < _Version(text).numbers

    def __le__(self, text: str) -> bool:
        return self.numbers <= _Version(text).numbers

    def __gt__(self, text: str) -> bool:
        return self.numbers > _Version(text).numbers

    def __ge__(self, text: str) -> bool:
        return self.numbers >= _Version(text).numbers


# The Python of .venv


def _inside() -> bool:
    """Return whether this Python is that of `.venv`."""
    return os.path.isdir(VENV) and os.path.samefile(sys.prefix, VENV)


def _starts() -> bool:
    """Return whether `.venv` has a Python that starts as its own and is new enough.

    To try it takes as long as any start, so a file keeps what was tried, and only a Python that
    has changed since is tried again.
    """
    looks = _looks()
    try:
        with open(SEEN, encoding="utf-8") as file:
            if file.read() == looks:
                return True
    except (OSError, ValueError):
        pass  # It was never tried, or nothing is there at all.
    if not _try_to_start():
        return False
    try:
        with open(SEEN, "w", encoding="utf-8") as file:
            file.write(looks)
    except OSError:
        pass  # A `.venv` that may only be read is as good. It is tried each time.
    return True


def _looks() -> str:
    """Return sizes and dates of what `.venv` starts with; "gone" for what is not there.

    On Windows its python.exe only starts the Python that made it, which can be removed alone.
    """
    cfg = os.path.join(VENV, "pyvenv.cfg")
    home = ""
    try:
        with open(cfg, encoding="utf-8") as file:
            home = dict(line.strip().split(" = ", 1) for line in file if " = " in line)["home"]
    except (OSError, ValueError, KeyError):
        pass
    looks = []
    for path in (cfg, PYTHON, os.path.join(home, os.path.basename(PYTHON))):
        try:
            stat = os.stat(path)
            looks.append(f"{path} {stat.st_size} {stat.st_mtime_ns}\n")
        except OSError:
            looks.append(f"{path} gone\n")
    return "".join(looks)


def _try_to_start() -> bool:
    """Start the Python of `.venv`, and return whether it is new enough and in a `.venv`."""
    import subprocess

    check = f"sys.version_info < {MINIMUM} or sys.prefix == sys.base_prefix"
    command = [PYTHON, "-I", "-c", f"import sys; sys.exit({check})"]
    quiet = subprocess.DEVNULL
    try:
        done = subprocess.run(command, stdin=quiet, stdout=quiet, stderr=quiet, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _make() -> None:
    """Make `.venv`, in place of whatever is there, with a Python but without packages.

    Raises SetupError where this Python cannot, and OSError.
    """
    _need("venv", "ensurepip")
    with _lock():
        if _starts():
            return  # Another command made it while this one waited.
        _say(f"Making {VENV} ...")
        import venv

        venv.EnvBuilder(clear=os.path.isdir(VENV), symlinks=os.name != "nt").create(VENV)
        if not _starts():
            raise SetupError(
                f"{VENV} was made, but its Python does not start. Copy the course's folder to a "
                f"disk from which programs may be started, {AGAIN}"
            )


def _need(*modules: str) -> None:
    """Raise SetupError if this Python was packaged without one of `modules`."""
    from importlib.util import find_spec

    if all(find_spec(module) for module in modules):
        return
    version = "%d.%d" % sys.version_info[:2]
    way_out = "Install one from https://www.python.org/downloads/"
    if sys.base_prefix == "/usr" and os.path.exists("/etc/debian_version"):
        way_out = f"Run `sudo apt install python{version}-venv`"
    raise SetupError(
        f"This Python {version} came without `venv`, by which the course gets a place for its "
        f"packages. {way_out}, {AGAIN}"
    )


def _go_on() -> None:
    """Run the same command with the Python of `.venv`, and do not return."""
    command = [PYTHON, os.path.join(ROOT, "course"), *sys.argv[1:]]
    os.environ.pop("PYTHONHOME", None)  # It would make that Python forget that it is in `.venv`.
    if os.name == "nt":
        sys.exit(_run_to_its_end(command))  # There, exec would return to the shell at once.
    os.execv(PYTHON, command)


def _run_to_its_end(command: list[str]) -> int:
    """Run `command` and return its exit status.

    Ctrl-C reaches it as well as us, and what then happens is for it to say.
    """
    import subprocess

    child = subprocess.Popen(command)
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:
            continue


# Installing


def _install() -> None:
    """Install what is missing into this Python, which is that of `.venv`.

    Raises SetupError where it cannot. A Python that has every package, though some in the versions
    of before an update of the course, goes on with those and says so.
    """
    with _lock():
        names = missing()
        if names:  # Else another command installed them while this one waited.
            try:
                _install_packages(len(names))
            except SetupError as problem:
                if _pins().keys() - _finished(sys.path).keys():
                    raise
                _say(f"{problem}\nGoing on with the older packages that are here.")
    from importlib import invalidate_caches

    invalidate_caches()


def _install_packages(count: int) -> None:
    """Install everything in requirements.txt, of which `count` packages are missing."""
    from time import monotonic

    began = monotonic()
    _say(f"Setting up: {count} package{'s' * (count > 1)} to install. This happens once.")
    _remove_unfinished()
    if "pip" not in _finished(sys.path):
        _run(["ensurepip", "--default-pip"], _Progress(count))
    options = ["--disable-pip-version-check", "--no-input", "--no-color", "--progress-bar", "off"]
    _run(["pip", "install", *options, "-r", PINS], _Progress(count))
    _say(f"Set up in {monotonic() - began:.0f} s.")


def _remove_unfinished() -> None:
    """Remove the traces of packages whose installing was cut off: pip would take them for whole."""
    import shutil
    import sysconfig

    folder = sysconfig.get_path("purelib")
    for _, _, path in _dist_infos(folder):
        if not os.path.exists(os.path.join(path, "INSTALLER")):
            shutil.rmtree(path)


def _run(module: list[str], progress: "_Progress") -> None:
    """Run a module of this Python, given with its arguments, and show its progress.

    It runs isolated, so that no file of the current folder and no variable for Python has a part in
    it. Raises SetupError, with what its output means, if it fails.
    """
    import subprocess

    asked = {"PIP_USER": "0", "PIP_RETRIES": os.environ.get("PIP_RETRIES", "2")}
    with subprocess.Popen(
        [sys.executable, "-I", "-u", "-X", "utf8", "-m", *module],
        env=os.environ | asked,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    ) as child:
        try:
            output = progress.show(child.stdout)
        except BaseException:
            child.kill()  # Nothing is lost: what it leaves unfinished is removed at the next try.
            raise
    if child.returncode:
        raise SetupError(_meaning(output))


def _meaning(output: str) -> str:
    """Return what a failure means and the way out, from what pip or the system said of it."""
    errors = [line for line in output.splitlines() if "error" in line.lower()]
    reason = errors[-1].removeprefix("ERROR: ") if errors else output.strip()
    for text in ("\n".join(errors).lower(), output.lower()):
        for signs, sentence in MEANINGS:
            if any(sign in text for sign in signs):
                return sentence.format(reason=reason)
    again = f'"{sys.executable}" -m pip install -r "{PINS}"'
    return f"The course could not be set up ({reason}). This shows all that was said: {again}"


class _Progress:
    """Tells in short lines what pip is doing: one that changes on a terminal, few elsewhere."""

    def __init__(self, count: int) -> None:
        self.count = count  # of packages to install
        self.looked_up = self.downloaded = 0
        self.installing = False
        self.text = "Preparing pip"
        self.live = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"

    def show(self, lines) -> str:
        """Read the lines of pip's output until they end, and return them as one text."""
        import queue
        import threading

        come: queue.SimpleQueue = queue.SimpleQueue()

        def read() -> None:
            for line in lines:
                come.put(line)
            come.put(None)

        threading.Thread(target=read, daemon=True).start()
        output = []
        while True:
            try:
                line = come.get(timeout=0.2)
            except queue.Empty:
                line = ""
            if line is None:
                self._draw("")
                return "".join(output)
            output.append(line)
            self._take(line)

    def _take(self, line: str) -> None:
        """Understand a line of pip's, and show where it is now. An empty one is for time passing."""
        first, _, rest = line.strip().partition(" ")
        what = rest.split("==")[0].split(".whl")[0]
        if first == "Collecting":
            self.looked_up += 1
            self.text = f"Looking up {self.looked_up} of {self.count}: {what}"
        elif first in ("Downloading", "Using") and ".whl" in rest and ".metadata" not in rest:
            self.downloaded += 1
            self.text = f"Downloading {self.downloaded} of {self.count}: {what}"
        elif line.startswith("Installing collected"):
            self.installing = True
        elif "Retrying" in line:
            self.text = "The package index does not answer. Trying again"
        if self.installing:
            self.text = f"Installing {self.count - len(missing())} of {self.count}"
        self._draw(self.text)

    def _draw(self, text: str) -> None:
        """Write `text` over the line that changes; nothing where no line can change."""
        if self.live:
            width = os.get_terminal_size(sys.stderr.fileno()).columns - 1
            sys.stderr.write("\r" + text[:width].ljust(width) + ("" if text else "\r"))
            sys.stderr.flush()


def _lock():
    """Return a file that is locked until it is closed. Wait while another command has it locked.

    Raises OSError where the course's folder cannot be written.
    """
    os.makedirs(os.path.dirname(LOCK), exist_ok=True)
    file = open(LOCK, "a")
    waiting = "Another command is setting up the course. Waiting for it."
    if os.name == "nt":
        import msvcrt

        while True:
            try:
                msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)  # It tries for ten seconds.
                return file
            except OSError:
                _say(waiting)
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _say(waiting)
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError:
        pass  # A network folder without locks: better no lock than no course.
    return file


def _say(line: str) -> None:
    """Write a line to stderr, where it is in nobody's way."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
