"""A kit for a room without internet: the command `class kit`.

It is a folder with the repository, wheels of its packages for each system and Python, the built
site and a page of instructions. If the repository has a folder `wheels`, the set-up takes packages
from there (see setup/pip.py), so the first command is the same as everywhere.
"""

import os
import shutil
import string
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement

from course.classroom.actions import COURSE
from course.learner.refusal import Refusal
from course.setup import environment
from course.setup.uv import UV

# Which wheels each system can use, as pip names the platforms, and what its markers see.
LINUX = (
    "manylinux_2_28_{}",
    "manylinux_2_17_{}",
    "manylinux2014_{}",
    "manylinux_2_5_{}",
    "linux_{}",
)
MAC = tuple(f"macosx_{version}" for version in ("14_0", "13_0", "12_0", "11_0", "10_13", "10_12"))


@dataclass(frozen=True)
class System:
    """A system that the kit has wheels for."""

    name: str
    platforms: tuple[str, ...]
    markers: dict[str, str]


def _linux(machine: str) -> System:
    markers = {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"}
    platforms = tuple(platform.format(machine) for platform in LINUX)
    name = "linux" if machine == "x86_64" else "linux-arm"
    return System(name, platforms, markers | {"platform_machine": machine})


def _mac(machine: str) -> System:
    markers = {"sys_platform": "darwin", "platform_system": "Darwin", "os_name": "posix"}
    platforms = tuple(f"{one}_{kind}" for one in MAC for kind in (machine, "universal2"))
    name = "mac" if machine == "arm64" else "mac-intel"
    return System(name, platforms, markers | {"platform_machine": machine})


WINDOWS = {"sys_platform": "win32", "platform_system": "Windows", "os_name": "nt"}
SYSTEMS = {
    system.name: system
    for system in (
        _linux("x86_64"),
        _linux("aarch64"),
        _mac("arm64"),
        _mac("x86_64"),
        System("windows", ("win_amd64",), WINDOWS | {"platform_machine": "AMD64"}),
    )
}
COMMON = ("linux", "mac", "windows")
PYTHONS = ("3.11", "3.12", "3.13")


def make(
    root: Path,
    out: Path,
    systems: tuple[str, ...],
    pythons: tuple[str, ...],
    say: Callable[[str], None],
) -> None:
    """Make the kit in a new folder. Raises Refusal."""
    if out.exists():
        raise Refusal(f"{out} exists. Name a new folder for the kit.")
    out.mkdir(parents=True)
    say("Copying the course.")
    course = out / "beyond-rest"
    _copy(root, course)
    for name in systems or COMMON:
        for python in pythons or PYTHONS:
            say(f"Downloading wheels for {name}, Python {python}.")
            _download(root, SYSTEMS[name], python, course / "wheels")
    say("Building the site.")
    _build(root, out / "site")
    (out / "START.html").write_text(_page(systems or COMMON, pythons or PYTHONS), "utf-8")


def _copy(root: Path, course: Path) -> None:
    """Clone the course with its last commit only, so that `git checkout` works there too."""
    url = root.resolve().as_uri()
    _run(["git", "clone", "--quiet", "--depth=1", url, str(course)], root)
    _run(["git", "remote", "set-url", "origin", COURSE], course)


def requirements(root: Path, system: System, version: str) -> list[str]:
    """Return what a system with this version of Python needs: the pinned packages, and uv."""
    markers = system.markers | {
        "python_version": version.rpartition(".")[0],
        "python_full_version": version,
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    found = [UV]
    for line in (root / "requirements.txt").read_text("utf-8").splitlines():
        if text := line.partition("#")[0].strip():
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate(markers):
                found.append(f"{needed.name}{needed.specifier}")
    return found


def _download(root: Path, system: System, python: str, folder: Path) -> None:
    options = ["--no-deps", "--only-binary=:all:", "--dest", str(folder), "--quiet"]
    options += [f"--platform={platform}" for platform in (*system.platforms, "any")]
    options += ["--implementation=cp"]
    options += [f"--abi={abi}" for abi in (f"cp{python.replace('.', '')}", "abi3", "none")]
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", *options]
    # A pin may depend on the patch release: those of the first and of the latest are needed.
    done: set[str] = set()
    for version in (f"{python}.0", f"{python}.99"):
        if needed := [one for one in requirements(root, system, version) if one not in done]:
            _run([*command, f"--python-version={version}", *needed], root)
        done.update(needed)


def _build(root: Path, site: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--quiet",
        "--site-dir",
        str(site.resolve()),
    ]
    _run(command, root, environment.for_program())


def _run(command: list[str], folder: Path, env: dict[str, str] | None = None) -> None:
    """Run a command. Raises Refusal with what it says last if it fails."""
    try:
        run = subprocess.run(command, cwd=folder, env=env, capture_output=True)
    except FileNotFoundError:
        raise Refusal(f"The kit needs {command[0]}, which isn't installed.") from None
    if run.returncode:
        said = run.stderr.decode("utf-8", "replace").strip().split("\n")
        errors = [line for line in said if "error" in line.lower()] or said
        raise Refusal(f"{Path(command[0]).name} failed: {errors[-1].strip()}")


def zipped(folder: Path) -> Path:
    """Put the kit's folder into a zip file beside it, and remove the folder."""
    path = shutil.make_archive(str(folder), "zip", folder.parent, folder.name)
    shutil.rmtree(folder, onerror=_make_writable)
    return Path(path)


def _make_writable(remove: Callable, path: str, _: object) -> None:
    os.chmod(path, 0o700)  # On Windows, git's files are read-only.
    remove(path)


def _page(systems: tuple[str, ...], pythons: tuple[str, ...]) -> str:
    page = string.Template(Path(__file__).with_name("kit.html").read_text("utf-8"))
    return page.substitute(pythons=", ".join(pythons), systems=", ".join(systems))
