"""A copy of the course's first modules in a folder of its own, for the tests of the set-up.

The folder's name has a space. Its command line tells where it runs, and it pins one package,
`tiny`. The wheels lie beside it, so no test needs a network; one of them is a small `uv`.
"""

import json
import os
import shutil
import subprocess
import sys
import textwrap
import zipfile
from dataclasses import dataclass
from pathlib import Path

from course.setup.uv import UV

ROOT = Path(__file__).resolve().parents[2]
BARE = Path(getattr(sys, "_base_executable", sys.executable))
CLI = """\
import json, os, sys

def main():
    import course, tiny
    try:
        import install
    except ImportError:
        install = None
    told = {"arguments": sys.argv[1:], "prefix": sys.prefix, "course": course.__file__}
    told |= {"tiny": tiny.VERSION, "bare names": bool(install), "modules": sorted(sys.modules)}
    told |= {"variables": dict(os.environ), "debug": __debug__, "warnings": sys.warnoptions}
    print(json.dumps(told))
    return int(os.environ.get("STATUS", "0"))
"""
# Installs wheels from the folders it is told of, and writes down what it was told.
FAKE_UV = """\
#!{python}
import glob, json, os, shutil, sys, urllib.parse, urllib.request, zipfile
arguments = sys.argv[1:]
with open({told!r}, "a", encoding="utf-8") as file:
    file.write(json.dumps([arguments, dict(os.environ)]) + "\\n")

def given(option):
    return [arguments[i + 1] for i, each in enumerate(arguments) if each == option]

{fault}
prefix = os.path.dirname(os.path.dirname(given("--python")[0]))
packages = glob.glob(os.path.join(prefix, "lib", "python*", "site-packages"))[0]
wheels = [each for each in arguments if each.endswith(".whl")]
lines = arguments
if given("-r"):
    lines = open(given("-r")[0], encoding="utf-8").read().splitlines()
folders = [urllib.request.url2pathname(urllib.parse.urlparse(url).path)
           for url in given("--find-links")]
for name, version in [line.strip().split("==") for line in lines if "==" in line]:
    stem = name.replace("-", "_") + "-" + version
    if os.path.exists(os.path.join(packages, stem + ".dist-info")):
        continue
    found = [w for f in folders for w in glob.glob(os.path.join(f, stem + "-*"))]
    if not found:
        sys.exit("error: Because " + name + " was not found, your requirements are unsatisfiable.")
    wheels += found
print("Resolved", len(wheels), "packages in 1ms", flush=True)
for wheel in wheels:
    print("Downloading", os.path.basename(wheel).split("-")[0], "(1.0MiB)", flush=True)
print("Prepared", len(wheels), "packages in 1ms", flush=True)
for wheel in wheels:
    name = os.path.basename(wheel).split("-")[0]
    for old in glob.glob(os.path.join(packages, name + "-*.dist-info")):
        shutil.rmtree(old)
        # With its bytecode: that of a file of the same second and size would pass for the new one.
        shutil.rmtree(os.path.join(packages, name), ignore_errors=True)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    info = glob.glob(os.path.join(packages, name + "-*.dist-info"))[0]
    with open(os.path.join(info, "INSTALLER"), "w") as file:
        file.write("uv")
    with open(os.path.join(info, "RECORD"), "a") as file:
        file.write(os.path.basename(info) + "/INSTALLER,,\\n")
print("Installed", len(wheels), "packages in 1ms", flush=True)
"""


@dataclass(frozen=True)
class Course:
    """A copy of the course's first modules, in a folder of its own."""

    root: Path

    @property
    def venv(self) -> Path:
        """Where it makes its `.venv`."""
        return self.root / ".venv"

    @property
    def scratch(self) -> Path:
        """What its set-up needs while it runs."""
        return self.venv / "course-setup"

    @property
    def wheels(self) -> Path:
        """The folder of the wheels that can be installed."""
        return self.root.parent / "wheels"

    @property
    def python(self) -> Path:
        """The Python of its `.venv`."""
        return self.venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    @property
    def packages(self) -> Path:
        """The folder in which `.venv` has its packages."""
        return next(self.venv.glob("[Ll]ib/**/site-packages"))

    @property
    def environment(self) -> dict[str, str]:
        """The variables of its processes: ours, without any for Python, and pip kept offline."""
        mine = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PIP_", "COV"))}
        pip = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": self.wheels.as_uri()}
        pip |= {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_CACHE_DIR": "1"}
        return mine | pip | {"NO_PROXY": "*"}

    def pin(self, *lines: str) -> None:
        """Write requirements.txt."""
        (self.root / "requirements.txt").write_text("# Pins.\n" + "\n".join(lines) + "\n", "utf-8")

    def start(self, *command: str | Path, cwd: Path | None = None, **variables: str):
        """Start a process, in the course's folder unless told otherwise, and return it."""
        return subprocess.Popen(
            [str(part) for part in command],
            cwd=cwd or self.root,
            env=self.environment | variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )

    def run(self, *arguments: str, python: Path = BARE, **variables: str) -> "Done":
        """Run `python3 -m course` in its folder."""
        return done(self.start(python, "-m", "course", *arguments, **variables))

    def run_with(self, fault: str, python: Path = BARE) -> "Done":
        """Run the course in a Python in which the statements `fault` were executed first."""
        course = str(self.root / "course")
        start = f"import runpy, sys; sys.argv = [{course!r}]"
        go_on = f"runpy.run_path({course!r}, run_name='__main__')"
        return done(self.start(python, "-c", f"{start}\n{fault}\n{go_on}"))

    def ask(self, *calls: str) -> list:
        """Return what calls into the course's set-up return, in a Python without packages."""
        code = "import json; from course.setup import install, venv"
        run = done(self.start(BARE, "-c", f"{code}; print(json.dumps([{', '.join(calls)}]))"))
        assert run.stdout, run.stderr
        return json.loads(run.stdout)

    def break_pip(self, code: str) -> None:
        """Have `.venv` lack its package, and put `code` in place of its pip."""
        self.forget_package()
        main = self.packages / "pip" / "__main__.py"
        main.unlink()  # It is linked to the pip of the other tests.
        main.write_text(code, "utf-8")

    def replace_python(self, text: str) -> None:
        """Put a program file with `text` in place of the Python of `.venv`."""
        self.python.unlink()
        self.python.write_text(text, "utf-8")
        self.python.chmod(0o755)

    def forget_package(self) -> None:
        """Take the package out of `.venv`."""
        for path in self.packages.glob("tiny*"):
            shutil.rmtree(path)

    def bring_uv(self) -> None:
        """Write the wheel of the tests' uv."""
        name, _, version = UV.partition("==")
        program = f"{name}-{version}.data/scripts/uv"
        wheel(self.wheels, name, version, {program: self._fake_uv("")})

    def fetch_uv(self, fault: str = "", program: str = "") -> None:
        """Put a uv where an earlier try has left it, since pip takes a second to fetch one.

        It executes the statements `fault` before it does its work, or is another program.
        """
        path = self.scratch / "fetched" / "uv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(program or self._fake_uv(fault), "utf-8")
        path.chmod(0o755)

    def _fake_uv(self, fault: str) -> str:
        told = str(self.root.parent / "told")
        return FAKE_UV.format(python=BARE, told=told, fault=textwrap.dedent(fault))

    def lose_uv(self) -> None:
        """Remove the wheel of uv."""
        for path in self.wheels.glob("uv-*"):
            path.unlink()

    @property
    def told(self) -> list[tuple[list[str], dict[str, str]]]:
        """The arguments and the variables of each call of that uv."""
        file = self.root.parent / "told"
        lines = file.read_text("utf-8").splitlines() if file.exists() else []
        return [tuple(json.loads(line)) for line in lines]


@dataclass(frozen=True)
class Done:
    """How a run ended."""

    status: int
    stdout: str
    stderr: str

    @property
    def told(self) -> dict:
        """What the command line said of where it ran."""
        assert self.stdout, self.stderr
        return json.loads(self.stdout)


def done(process: subprocess.Popen) -> Done:
    """Wait for the end of a process."""
    stdout, stderr = process.communicate(timeout=300)
    return Done(process.returncode, stdout, stderr)


def refusal(run: Done) -> str:
    """Return the last line of a run that was refused: it has no traceback and no output."""
    lines = run.stderr.splitlines()
    stages = ("Setting up: ", "Preparing ...", "Looking up ...", "Making ")
    assert (run.status, run.stdout) == (2, "")
    assert all(line.startswith(stages) for line in lines[:-1]), run.stderr
    return lines[-1]


def offline(course: Course) -> Done:
    """Run a course whose package index refuses every connection."""
    unreachable = {"PIP_NO_INDEX": "0", "PIP_INDEX_URL": "http://127.0.0.1:9/"}
    return course.run(**unreachable, PIP_FIND_LINKS="", PIP_RETRIES="1")


def wheel(folder: Path, name: str, version: str, files: dict[str, str]) -> None:
    """Write a wheel with these files, of which those that begin with #! are programs."""
    info = f"{name}-{version}.dist-info"
    files = files | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{file},,\n" for file in [*files, f"{info}/RECORD"])
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for file, text in {**files, f"{info}/RECORD": record}.items():
            entry = zipfile.ZipInfo(file)
            entry.external_attr = (0o100755 if text.startswith("#!") else 0o100644) << 16
            archive.writestr(entry, text)


def new_course(folder: Path) -> Course:
    """Return a course as it is after a clone."""
    course = Course(folder / "a course")
    (course.root / "course").mkdir(parents=True)
    for name in ("__init__.py", "__main__.py"):
        shutil.copy(ROOT / "course" / name, course.root / "course")
    shutil.copytree(
        ROOT / "course" / "setup",
        course.root / "course" / "setup",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    (course.root / "course" / "cli.py").write_text(CLI, "utf-8")
    for version in ("1.0", "2.0"):
        wheel(course.wheels, "tiny", version, {"tiny/__init__.py": f"VERSION = {version!r}\n"})
    if os.name != "nt":  # A script without .exe is no program there, so those tests use pip.
        course.bring_uv()
    course.pin("tiny==1.0")
    return course


def copy_of(course: Course, folder: Path) -> Course:
    """Return a copy, which its test may break."""
    source = course.root.parent
    shutil.copytree(source, folder, symlinks=True, copy_function=_copy, dirs_exist_ok=True)
    copied = Course(folder / course.root.name)
    (folder / "told").unlink(missing_ok=True)
    if os.name != "nt":
        copied.bring_uv()  # It writes into this folder.
    return copied


def _copy(source: str, target: str) -> None:
    """Copy a file, or link it if it is one of pip's, which are many and never written to."""
    pips = {"pip", "setuptools"} & set(Path(source).parts)
    (os.link if pips else shutil.copy2)(source, target)
