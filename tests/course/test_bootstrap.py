"""The first run: `python3 -m course` with a Python that has no packages, and all that can go wrong.

Each test has a copy of the course's first modules in a folder of its own, whose name has a space,
with a command line that tells where it runs and one pinned package, `tiny`. Its wheels lie beside
it, so no test needs a network.
"""

import ast
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement

from course.setup import packages

ROOT = Path(__file__).resolve().parents[2]
BARE = Path(getattr(sys, "_base_executable", sys.executable))
MODULES = ("__init__.py", "__main__.py", "setup")
CLI = """\
import json, os, sys

def main():
    import course, tiny
    try:
        import setup
    except ImportError:
        setup = None
    told = {"arguments": sys.argv[1:], "prefix": sys.prefix, "course": course.__file__}
    told |= {"tiny": tiny.VERSION, "bare names": bool(setup), "modules": sorted(sys.modules)}
    print(json.dumps(told))
    return int(os.environ.get("STATUS", "0"))
"""
MARKERS = (
    "sys_platform == 'win32'",
    "sys_platform != 'win32' and python_version < '3.13'",
    "python_full_version >= '3.12' or (platform_system == 'Darwin' and os_name == 'posix')",
    "'3.12' > python_version",
    "python_full_version == '3.11.*'",
    "python_full_version != '3.11.*' and implementation_name == 'cpython'",
    "platform_machine in 'x86_64 AMD64' and platform_python_implementation != 'PyPy'",
)
posix_only = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals and terminals")


@dataclass(frozen=True)
class Course:
    """A copy of the course's first modules, in a folder of its own."""

    root: Path

    @property
    def venv(self) -> Path:
        """Where it makes its `.venv`."""
        return self.root / ".venv"

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
        wheels = (self.root.parent / "wheels").as_uri()
        pip = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": wheels, "PIP_CONFIG_FILE": os.devnull}
        return mine | pip | {"PIP_NO_CACHE_DIR": "1", "NO_PROXY": "*"}

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
        """Return what calls into the course's bootstrap return, in a Python without packages."""
        code = "import json; from course.setup import install, packages, venv"
        run = done(self.start(BARE, "-c", f"{code}; print(json.dumps([{', '.join(calls)}]))"))
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


def wheel(folder: Path, version: str) -> None:
    """Write a wheel of the package `tiny`."""
    info = f"tiny-{version}.dist-info"
    files = {
        "tiny/__init__.py": f"VERSION = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: tiny\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"tiny-{version}-py3-none-any.whl", "w") as archive:
        for name, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(name, text)


def new_course(folder: Path) -> Course:
    """Return a course as it is after a clone."""
    course = Course(folder / "a course")
    (course.root / "course").mkdir(parents=True)
    for name in MODULES:
        source, target = ROOT / "course" / name, course.root / "course" / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    (course.root / "course" / "cli.py").write_text(CLI, "utf-8")
    wheel(folder / "wheels", "1.0")
    wheel(folder / "wheels", "2.0")
    course.pin("tiny==1.0")
    return course


@pytest.fixture
def course(tmp_path: Path) -> Course:
    """Return a course as it is after a clone."""
    return new_course(tmp_path)


@pytest.fixture(scope="session")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Serve the wheels as a package index, and return the variables with which pip uses it."""
    folder = tmp_path_factory.mktemp("index")
    wheel(folder / "tiny", "1.0")
    handler = partial(Quiet, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/"
        yield {"PIP_INDEX_URL": url, "PIP_NO_INDEX": "0", "PIP_FIND_LINKS": ""}
        server.shutdown()


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder without saying so."""

    def log_message(self, *_) -> None:
        """Say nothing."""


@pytest.fixture(scope="session")
def first_run(
    tmp_path_factory: pytest.TempPathFactory, index: dict[str, str]
) -> tuple[Course, Done]:
    """Return a course that was run once, and how that ended."""
    course = new_course(tmp_path_factory.mktemp("first"))
    return course, course.run("check", "1", **index)


@pytest.fixture
def set_up(tmp_path: Path, first_run: tuple[Course, Done]) -> Course:
    """Return a course that has been set up: a copy, which its test may break."""
    source = first_run[0].root.parent
    shutil.copytree(source, tmp_path, symlinks=True, copy_function=copy, dirs_exist_ok=True)
    return Course(tmp_path / "a course")


def copy(source: str, target: str) -> None:
    """Copy a file, or link it if it is one of pip's, which are many and never written to."""
    pips = {"pip", "setuptools"} & set(Path(source).parts)
    (os.link if pips else shutil.copy2)(source, target)


# The first run


def test_the_first_run_makes_a_venv_and_goes_on_inside_it(first_run):
    course, run = first_run

    assert run.status == 0
    assert Path(run.told["prefix"]) == course.venv
    assert run.told["tiny"] == "1.0"


def test_the_first_run_says_what_it_does_in_a_few_lines_on_stderr(first_run):
    course, run = first_run

    *lines, last = run.stderr.splitlines()
    assert lines == [
        f"Making {course.venv} ...",
        "Setting up: 1 package to install.",
        "Preparing pip ...",
        "Looking up ...",
        "Downloading ...",
        "Installing ...",
    ]
    assert last.startswith("Set up in ")


@posix_only
def test_on_a_terminal_one_line_changes(set_up, index):
    import pty

    set_up.forget_package()
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [BARE, "-m", "course"],
        cwd=set_up.root,
        env=set_up.environment | index | {"TERM": "xterm"},
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    )
    os.close(theirs)
    shown = read_all(ours)

    assert process.wait() == 0
    first, changing, *_ = shown.split("\r\n")
    states = [state.strip() for state in changing.split("\r") if state.strip()]
    assert first == "Setting up: 1 package to install."
    assert [state for state in states if " ..." not in state][:2] == [
        "Looking up 1 of 1: tiny",
        "Downloading 1 of 1: tiny",
    ]
    assert "Installing ..." in states
    assert states[-1].startswith("Set up in ")


def read_all(terminal: int) -> str:
    """Read a terminal until nobody has it open."""
    shown = b""
    try:
        while chunk := os.read(terminal, 4096):
            shown += chunk
    except OSError:  # Linux says so when the other side has gone.
        pass
    os.close(terminal)
    return shown.decode()


# An ordinary start


def test_an_ordinary_start_says_nothing_and_needs_no_network(set_up):
    run = set_up.run(PIP_NO_INDEX="0", PIP_INDEX_URL="http://127.0.0.1:9/")

    assert (run.status, run.stderr) == (0, "")


def test_arguments_arrive_as_they_were_given(set_up):
    arguments = ["check", "", "two words", "--json", "ü.json", '"', "-m"]

    assert set_up.run(*arguments).told["arguments"] == arguments
    assert set_up.run(*arguments, python=set_up.python).told["arguments"] == arguments


def test_the_exit_status_is_passed_on(set_up):
    assert set_up.run(STATUS="1").status == 1


def test_it_runs_from_any_folder(set_up, tmp_path):
    by_its_path = [BARE, Path("a course") / "course"]

    run = done(set_up.start(*by_its_path, "status", cwd=tmp_path))

    assert run.told["arguments"] == ["status"]
    assert Path(run.told["prefix"]) == set_up.venv


@pytest.mark.parametrize("name", ["course", "conftest", "tiny", "json", "subprocess"])
def test_a_file_of_the_current_folder_does_not_take_the_place_of_a_module(set_up, tmp_path, name):
    (tmp_path / f"{name}.py").write_text("raise SystemExit('fooled')", "utf-8")

    run = done(set_up.start(BARE, set_up.root / "course", cwd=tmp_path))

    assert (run.status, run.stderr) == (0, "")
    assert Path(run.told["course"]).parent == set_up.root / "course"


@pytest.mark.parametrize("way", [["-m", "course"], ["course"], ["-P", "course"]])
def test_modules_of_the_course_have_no_bare_names(set_up, way):
    run = done(set_up.start(BARE, *way))

    assert run.told["bare names"] is False


def test_nothing_heavy_is_imported_before_the_command(set_up):
    run = set_up.run(python=set_up.python)

    heavy = {"subprocess", "importlib.metadata", "pathlib", "platform", "course.setup.install"}
    assert not heavy & set(run.told["modules"])


def test_the_python_of_venv_is_tried_once_and_again_when_it_has_changed(set_up):
    starts = ["setattr(venv, '_try_to_start', lambda: False)", "venv.starts()"]

    assert set_up.ask(*starts) == [None, False]
    assert set_up.ask("venv.starts()") == [True]
    assert set_up.ask(*starts) == [None, True]
    (set_up.venv / "pyvenv.cfg").touch()
    assert set_up.ask(*starts) == [None, False]


# Whatever is there already


def test_a_python_that_has_everything_runs_the_course_itself(set_up):
    other = set_up.venv.rename(set_up.root.parent / "other")

    run = set_up.run(python=other / set_up.python.relative_to(set_up.venv))

    assert (run.status, run.stderr) == (0, "")
    assert Path(run.told["prefix"]) == other
    assert not set_up.venv.exists()


def test_a_venv_made_by_hand_is_taken_as_it_is(course):
    subprocess.run([BARE, "-m", "venv", course.venv], check=True)
    pip = [course.python, "-m", "pip", "install", "-q", "-r", "requirements.txt"]
    subprocess.run(pip, cwd=course.root, env=course.environment, check=True)

    run = course.run(PIP_FIND_LINKS="")

    assert (run.status, run.stderr) == (0, "")
    assert Path(run.told["prefix"]) == course.venv


@posix_only
def test_a_venv_whose_python_was_removed_is_made_again(set_up):
    set_up.python.unlink()
    set_up.python.symlink_to("/removed/python3.11")

    run = set_up.run()

    assert run.stderr.startswith(f"Making {set_up.venv} ...\n")
    assert run.told["tiny"] == "1.0"


def test_a_venv_whose_python_is_gone_is_made_again(set_up):
    assert_is_made_again(set_up, set_up.python.unlink)


@posix_only
def test_a_venv_whose_python_is_no_program_is_made_again(set_up):
    assert_is_made_again(set_up, lambda: set_up.replace_python("no program"))


@posix_only
def test_a_venv_whose_python_does_not_start_is_made_again(set_up):
    assert_is_made_again(set_up, lambda: set_up.replace_python("#!/bin/sh\nexit 1\n"))


def test_a_venv_without_its_configuration_is_made_again(set_up):
    assert_is_made_again(set_up, (set_up.venv / "pyvenv.cfg").unlink)


def test_a_file_in_the_place_of_a_venv_is_replaced(course):
    course.venv.write_text("", "utf-8")

    assert course.ask("venv.starts()", "install.make()", "venv.starts()") == [
        False,
        None,
        True,
    ]


def assert_is_made_again(course: Course, damage: Callable[[], None]) -> None:
    """Hold that a `.venv` that was found to start is not taken to start after `damage`."""
    assert course.run().status == 0
    damage()
    assert course.ask("venv.starts()", "install.make()", "venv.starts()") == [
        False,
        None,
        True,
    ]


def test_a_first_run_cut_off_before_pip_goes_on(course):
    subprocess.run([BARE, "-m", "venv", "--without-pip", course.venv], check=True)

    run = course.run()

    assert run.stderr.startswith("Setting up: 1 package to install.\n")
    assert run.told["tiny"] == "1.0"


def test_a_package_that_was_cut_off_is_installed_again(set_up):
    (set_up.packages / "tiny-1.0.dist-info" / "INSTALLER").unlink()
    (set_up.packages / "tiny-1.0.dist-info" / "RECORD").unlink()
    (set_up.packages / "tiny" / "__init__.py").unlink()

    assert set_up.run().told["tiny"] == "1.0"


def test_a_package_in_another_version_is_replaced(set_up):
    pip = [set_up.python, "-m", "pip", "install", "-q", "tiny==2.0"]
    subprocess.run(pip, cwd=set_up.root, env=set_up.environment, check=True)

    assert set_up.run().told["tiny"] == "1.0"


# An update of the course


def test_an_update_installs_the_difference(set_up):
    set_up.pin("tiny==2.0")

    run = set_up.run()

    assert run.stderr.startswith("Setting up: 1 package to install.\n")
    assert run.told["tiny"] == "2.0"


def test_an_update_without_network_goes_on_with_the_older_packages(set_up):
    set_up.pin("tiny==2.0")

    run = offline(set_up)

    assert run.told["tiny"] == "1.0"
    assert run.stderr.splitlines()[-2:] == [
        "The packages could not be downloaded, because the package index does not answer. Connect "
        "to the network (behind a proxy, set HTTPS_PROXY), then run the same command again.",
        "Going on with the older packages that are here.",
    ]


def test_an_update_without_network_stops_where_a_package_is_new(set_up):
    set_up.pin("tiny==1.0", "another==1.0")

    assert offline(set_up).status == 2


def offline(course: Course) -> Done:
    """Run a course whose package index refuses every connection."""
    unreachable = {"PIP_NO_INDEX": "0", "PIP_INDEX_URL": "http://127.0.0.1:9/"}
    return course.run(**unreachable, PIP_FIND_LINKS="", PIP_RETRIES="1")


# Refusals: one sentence with the way out, exit 2, and the next try works


def test_without_network(set_up):
    set_up.forget_package()

    run = offline(set_up)

    assert refusal(run) == (
        "The packages could not be downloaded, because the package index does not answer. Connect "
        "to the network (behind a proxy, set HTTPS_PROXY), then run the same command again."
    )
    assert set_up.run().status == 0


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (
            "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on "
            "device",
            "There is no room left on the disk: ",
        ),
        (
            "ERROR: Could not install packages due to an OSError: [WinError 112] There is not "
            "enough space on the disk",
            "There is no room left on the disk: ",
        ),
        (
            "ERROR: Could not install packages due to an OSError: [Errno 13] Permission denied: "
            "'/x'",
            "The course cannot write in its own folder, ",
        ),
        (
            "WARNING: Retrying (Retry(total=0)) after connection broken by 'SSLError("
            "SSLCertVerificationError(1, 'certificate verify failed'))': /simple/tiny/\n"
            "ERROR: No matching distribution found for tiny==1.0",
            "The packages could not be downloaded, because the package index's certificate ",
        ),
        (
            "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError("
            "[Errno -3] Temporary failure in name resolution)': /simple/tiny/\n"
            "ERROR: No matching distribution found for tiny==1.0",
            "The packages could not be downloaded, because the package index does not answer. ",
        ),
        (
            "ERROR: No matching distribution found for tiny==1.0",
            "The course could not be set up: ERROR: No matching distribution found for tiny==1.0 "
            "To see all of it, run ",
        ),
        ("python: No module named pip.__main__", "The course could not be set up: python: No "),
        ("", "The course could not be set up: pip ended without a word. Restore the course's "),
    ],
)
def test_what_pip_says_is_turned_into_a_sentence(set_up, said, meant):
    set_up.break_pip(f"print({said!r}); raise SystemExit(1)")

    assert refusal(set_up.run()).startswith(meant)


@pytest.mark.parametrize(
    ("error", "meant"),
    [
        ("OSError(28, 'No space left on device')", "There is no room left on the disk: "),
        ("OSError(30, 'Read-only file system')", "The course cannot write in its own folder, "),
        ("PermissionError(13, 'Permission denied')", "The course cannot write in its own folder, "),
    ],
)
def test_a_venv_that_cannot_be_made(course, error, meant):
    fault = (
        f"import venv\ndef create(*_): raise {error}\nvenv.EnvBuilder.create_configuration = create"
    )

    run = course.run_with(fault)

    assert run.stderr.startswith(f"Making {course.venv} ...\n{meant}")
    assert (run.status, run.stdout, len(run.stderr.splitlines())) == (2, "", 2)
    assert course.ask("install.make()", "venv.starts()") == [None, True]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write all")
def test_a_folder_that_is_not_writable(course):
    course.root.chmod(0o555)

    assert refusal(course.run()).startswith("The course cannot write in its own folder, ")


@pytest.mark.parametrize("module", ["venv", "ensurepip"])
def test_without_the_venv_module(course, module):
    run = course.run_with(f"sys.modules[{module!r}] = None")

    assert " came without `venv`, " in refusal(run)
    assert not course.venv.exists()


def test_without_the_venv_module_on_debian_the_package_is_named(course):
    exists = "import os; real = os.path.exists\n"
    exists += "os.path.exists = lambda path: path == '/etc/debian_version' or real(path)\n"

    run = course.run_with(exists + "sys.modules['ensurepip'] = None; sys.base_prefix = '/usr'")

    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert f"Run `sudo apt install python{version}-venv`, then run " in refusal(run)


def test_a_clone_without_its_requirements(course):
    (course.root / "requirements.txt").unlink()

    assert "requirements.txt" in refusal(course.run())


def test_a_python_that_is_too_old(course):
    run = course.run_with(
        "sys.version_info = (3, 9, 18, 'final', 0); import os; os.environ['PATH'] = ''"
    )

    assert refusal(run) == (
        "The course needs Python 3.11 or later, and this is Python 3.9.18. Install a newer one "
        "(https://www.python.org/downloads/ has it) and run the same command with that."
    )


@posix_only
def test_a_python_that_is_too_old_names_a_newer_one_that_works(course, tmp_path):
    does_not_work = tmp_path / "python3.13"
    does_not_work.write_text("#!/bin/sh\nexit 127\n", "utf-8")
    does_not_work.chmod(0o755)
    (tmp_path / "python3.12").symlink_to(BARE)

    fault = f"sys.version_info = (3, 9, 18); import os; os.environ['PATH'] = {str(tmp_path)!r}"
    run = course.run_with(fault)

    assert refusal(run).endswith("A newer one is here: run python3.12 -m course")


@pytest.mark.parametrize("name", ["__init__.py", "__main__.py"])
def test_any_old_python_can_read_what_it_is_refused_by(name):
    text = (ROOT / "course" / name).read_text("ascii")

    ast.parse(text, feature_version=(3, 4))
    assert not [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.JoinedStr)]


def refusal(run: Done) -> str:
    """Return the last line of a run that was refused: it has no traceback and no output."""
    lines = run.stderr.splitlines()
    stages = ("Setting up: ", "Looking up ...", "Making ")
    assert (run.status, run.stdout) == (2, "")
    assert all(line.startswith(stages) for line in lines[:-1]), run.stderr
    return lines[-1]


# Ctrl-C


@posix_only
def test_ctrl_c_while_installing_ends_pip_too_and_the_next_try_goes_on(set_up):
    shutil.copytree(set_up.packages / "pip", set_up.root / "pip")
    set_up.break_pip(
        "import os, threading; print('Collecting', os.getpid(), flush=True)\n"
        "os.set_blocking(0, True); threading.Event().wait()"
    )
    process = set_up.start(BARE, "-m", "course")
    assert process.stderr.readline() == "Setting up: 1 package to install.\n"
    assert process.stderr.readline() == "Looking up ...\n"

    process.send_signal(signal.SIGINT)
    run = done(process)

    assert (run.status, run.stderr) == (130, "Stopped. The same command goes on from here.\n")
    shutil.rmtree(set_up.packages / "pip")
    shutil.move(set_up.root / "pip", set_up.packages / "pip")
    assert set_up.run().told["tiny"] == "1.0"


@posix_only
def test_ctrl_c_while_pip_starts_ends_pip_too(set_up):
    set_up.break_pip("import threading; threading.Event().wait()")
    fault = """if 1:
        import signal, subprocess
        start = subprocess.Popen._execute_child
        def start_and_interrupt(self, *args):
            start(self, *args)
            print(self.pid, flush=True)
            signal.raise_signal(signal.SIGINT)
        subprocess.Popen._execute_child = start_and_interrupt
    """

    run = set_up.run_with(fault, set_up.python)

    with pytest.raises(ProcessLookupError):
        os.kill(int(run.stdout), signal.SIGKILL)
    assert run.status == 130


@posix_only
def test_where_there_is_no_exec_ctrl_c_is_for_the_command_to_answer(set_up):
    command = (
        "import signal, sys; signal.signal(signal.SIGINT, lambda *_: sys.exit(7));"
        "print('ready', flush=True); signal.pause()"
    )
    outer = f"""if 1:
        import sys; from course.setup import venv
        sys.exit(venv.run_to_its_end([sys.executable, '-c', {command!r}]))
    """
    process = subprocess.Popen(
        [BARE, "-c", outer],
        cwd=set_up.root,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
    )
    assert process.stdout.readline() == "ready\n"

    os.killpg(process.pid, signal.SIGINT)
    process.communicate()

    assert process.returncode == 7


# Two at once


def test_two_first_runs_at_once_set_up_once(course):
    processes = [course.start(BARE, "-m", "course") for _ in range(2)]

    runs = [done(process) for process in processes]

    assert [run.told["tiny"] for run in runs] == ["1.0", "1.0"]
    assert sum("Set up in " in run.stderr for run in runs) == 1


def test_a_command_that_waits_for_another_says_so(set_up):
    set_up.forget_package()
    hold = "import threading; from course.setup import install; lock = install.lock()"
    wait = "print('locked', flush=True); threading.Event().wait()"
    holder = set_up.start(BARE, "-c", f"{hold}; {wait}")
    assert holder.stdout.readline() == "locked\n"

    process = set_up.start(BARE, "-m", "course")
    line = process.stderr.readline()
    holder.kill()
    holder.communicate()

    assert line == "Another command is setting up the course. Waiting for it ...\n"
    assert done(process).told["tiny"] == "1.0"


# Pins and their markers


def test_requirements_has_only_pins():
    lines = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    requirements = [
        Requirement(line) for line in lines if line and not line.lstrip().startswith("#")
    ]

    assert requirements
    assert all(str(requirement.specifier).startswith("==") for requirement in requirements)


def test_this_python_has_everything_that_is_pinned():
    assert packages.missing() == []


@pytest.mark.parametrize("system", ["Linux", "Darwin", "Windows"])
@pytest.mark.parametrize("version", ["3.11.0", "3.11.9", "3.12.1", "3.13.0", "3.14.2", "3.15.1"])
def test_every_marker_is_understood_as_pip_understands_it(monkeypatch, system, version):
    environment = {
        "os_name": {"Windows": "nt"}.get(system, "posix"),
        "sys_platform": {"Windows": "win32"}.get(system, system.lower()),
        "platform_system": system,
        "platform_machine": {"Darwin": "arm64"}.get(system, "x86_64"),
        "platform_release": "6.1",
        "platform_python_implementation": "CPython",
        "implementation_name": "cpython",
        "python_version": version.rpartition(".")[0],
        "python_full_version": version,
    }
    lines = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    pins = [Requirement(line) for line in lines if line and not line.lstrip().startswith("#")]
    markers = [pin.marker for pin in pins if pin.marker]
    versions = {k: packages.Version(v) for k, v in environment.items() if k.startswith("python_")}
    monkeypatch.setattr(packages, "Environment", lambda: environment | versions)

    for marker in [*markers, *map(Marker, MARKERS)]:
        assert packages.applies(str(marker)) == marker.evaluate(environment), marker
