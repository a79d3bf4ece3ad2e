"""pip: it installs uv, and everything if uv can't. Its settings name the package indexes."""

import ast
import contextlib
import glob
import os
import shutil
import sys
import sysconfig
import zipfile
from collections.abc import Mapping

from course.setup import environment, packages, tool
from course.setup.progress import Progress
from course.setup.venv import SCRATCH

# The settings that pass: where packages come from, and how to reach it. The others don't pass.
# Some of them, such as `user` and `target`, would install to another place.
PASSING = environment.names(
    """
    index-url extra-index-url no-index find-links trusted-host proxy cert client-cert timeout
    default-timeout retries keyring-provider only-binary no-binary prefer-binary no-cache-dir
    cache-dir use-feature use-deprecated
    """
)
SECTIONS = ("global", "install")  # of pip's configuration files; a later one counts more
# The folder that a teacher's kit adds to the course: the packages are there, not on the network.
KIT = os.path.join(packages.ROOT, "wheels")
QUIET = ("--disable-pip-version-check", "--no-input", "--no-color", "--progress-bar", "off")

Settings = Mapping[str, str]


def install(settings: Settings, progress: Progress) -> None:
    """Install everything that is pinned. Raises Failed."""
    if "pip" not in packages.installed():
        _install_pip(progress)
    seen: dict[str, int] = {"Looking up": 0, "Downloading": 0}

    def reach(stage: str, rest: str) -> None:
        """Show that one more package, named at the start of `rest`, has come to a stage."""
        progress.enter(stage)
        seen[stage] += 1
        file = os.path.basename(rest.partition(" (")[0])
        progress.reach(seen[stage], file.partition("-" if file.endswith(".whl") else "==")[0])

    def read(line: str) -> None:
        first, _, rest = line.strip().partition(" ")
        if first in ("Collecting", "Processing"):
            reach("Looking up", rest)
        elif first in ("Downloading", "Using") and rest.endswith(")") and ".metadata" not in rest:
            reach("Downloading", rest.removeprefix("cached "))
        elif line.startswith("Installing collected"):
            progress.enter("Installing")
        elif "Retrying" in line:
            progress.draw("The package index does not answer. Trying again ...")
        if progress.stage == "Installing":
            progress.reach(progress.count - len(packages.missing()))

    progress.enter("Looking up")
    command = _python("-m", "pip", "install", *QUIET, "--no-compile", "-r", packages.PINS)
    tool.run(command, _environment(settings), progress, read)


def download(requirements: list[str], folder: str, settings: Settings, progress: Progress) -> None:
    """Download wheels into a folder. Raises Failed."""

    def read(line: str) -> None:
        first, _, rest = line.strip().partition(" ")
        if first == "Downloading" and ".metadata" not in rest:
            progress.draw(f"{progress.stage}: {os.path.basename(rest).partition('-')[0]}")

    options = ["--no-deps", "--only-binary", ":all:", "--dest", folder]
    once = {**settings, "retries": "1"}  # pip can do without uv.
    command = _python(*_command(progress), "download", *QUIET, *options, *requirements)
    tool.run(command, _environment(once), progress, read)


def settings(progress: Progress) -> dict[str, str]:
    """Return what a person has set for their pip, by the options' names. Raises Failed.

    In a kit they are its own: only its folder has the packages.
    """
    if os.path.isdir(KIT):
        # A URL, since pip and uv split the setting at spaces.
        return {"no-index": "true", "find-links": _url(KIT)}
    found: dict[str, str] = {}
    # Variables are read below. Here, one such as PIP_QUIET would hide what is listed.
    where = {name: os.environ[name] for name in ("PIP_CONFIG_FILE",) if name in os.environ}
    # -vvv outweighs `quiet` in a file.
    command = _python(*_command(progress), "-vvv", "--disable-pip-version-check", "config", "list")
    listed = tool.run(command, environment.for_setup(**_temporary(), **where), progress)
    for section in SECTIONS:
        for line in listed.splitlines():
            key, _, value = line.strip().partition("=")
            if key.startswith(f"{section}."):
                found[key.removeprefix(f"{section}.")] = ast.literal_eval(value)
    for name, value in os.environ.items():
        if name.startswith("PIP_") and value:
            found[name.removeprefix("PIP_").lower().replace("_", "-")] = value
    return {name: value for name, value in found.items() if name in PASSING}


def _url(folder: str) -> str:
    from urllib.parse import urljoin
    from urllib.request import pathname2url

    return urljoin("file:", pathname2url(folder))


def bundled() -> str | None:
    """Return the wheel of pip that came with this Python, or None where it is not found."""
    import ensurepip

    beside = os.path.join(os.path.dirname(ensurepip.__file__), "_bundled")
    folder = sysconfig.get_config_var("WHEEL_PKG_DIR") or beside
    return next(iter(sorted(glob.glob(os.path.join(glob.escape(folder), "pip-*.whl")))), None)


def _command(progress: Progress) -> list[str]:
    """Return how pip is started: from `.venv`, or else from the wheel that Python brings."""
    if "pip" not in packages.installed():
        if wheel := bundled():
            with contextlib.suppress(zipfile.BadZipFile):
                return [_unpacked(wheel)]
        _install_pip(progress)
    return ["-m", "pip"]


def _unpacked(wheel: str) -> str:
    """Return the program in a wheel of pip. Unpacked, it starts faster the second time."""
    home = os.path.join(SCRATCH, "pip")
    if not os.path.exists(home):
        shutil.rmtree(f"{home}.begun", ignore_errors=True)
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(f"{home}.begun")
        os.rename(f"{home}.begun", home)
    return os.path.join(home, "pip")


def _install_pip(progress: Progress) -> None:
    progress.enter("Preparing")
    tool.run(_python("-m", "ensurepip", "--default-pip"), _environment({}), progress)


def _python(*arguments: str) -> list[str]:
    """Return a command of this Python: no file in the current folder has a part in it."""
    return [sys.executable, "-I", "-u", "-X", "utf8", *arguments]


def _environment(settings: Settings) -> dict[str, str]:
    """Return the variables with which pip has these settings and no others."""
    given = {f"PIP_{name.upper().replace('-', '_')}": value for name, value in settings.items()}
    ours = {"PIP_CONFIG_FILE": os.devnull, "PIP_RETRIES": "2"}
    return environment.for_setup(**_temporary(), **(ours | given))


def _temporary() -> dict[str, str]:
    """Return the variables that name the folder for temporary files, on the disk of `.venv`."""
    folder = os.path.join(SCRATCH, "tmp")
    os.makedirs(folder, exist_ok=True)
    return dict.fromkeys(("TMPDIR", "TEMP", "TMP"), folder)
