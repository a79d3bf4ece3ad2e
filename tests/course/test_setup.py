"""The first run and all that follow: `python3 -m course` with a Python that has no packages."""

import ast
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from little_setup import BARE, ROOT, Course, done, offline, refusal

posix_only = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals and terminals")


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
        "Preparing ...",
        "Looking up ...",
        "Downloading ...",
        "Installing ...",
    ]
    assert last.startswith("Set up in ")


@posix_only
def test_on_a_terminal_one_line_changes(set_up):
    set_up.forget_package()

    states = shown_on_a_terminal(set_up, {})

    assert states[0] == "Preparing ..."
    assert "Downloading 0 of 1: tiny (1.0MiB)" in states
    assert "Installing ..." in states
    assert states[-1].startswith("Set up in ")


@posix_only
def test_on_a_terminal_one_line_changes_where_pip_does_the_work(set_up, index):
    set_up.forget_package()

    states = shown_on_a_terminal(set_up, index)

    assert [state for state in states if " ..." not in state][:2] == [
        "Looking up 1 of 1: tiny",
        "Downloading 1 of 1: tiny",
    ]
    assert "Installing ..." in states
    assert states[-1].startswith("Set up in ")


def shown_on_a_terminal(course: Course, variables: dict[str, str]) -> list[str]:
    """Set the course up on a terminal, and return what the line that changes has shown."""
    import pty

    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [BARE, "-m", "course"],
        cwd=course.root,
        env=course.environment | variables | {"TERM": "xterm"},
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    )
    os.close(theirs)
    shown = read_all(ours)
    assert process.wait() == 0
    first, changing, *_ = shown.split("\r\n")
    assert first == "Setting up: 1 package to install."
    return [state.strip() for state in changing.split("\r") if state.strip()]


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


# Whatever is there already


def test_a_python_that_has_everything_runs_the_course_itself(set_up):
    other = set_up.venv.rename(set_up.root.parent / "other")

    run = set_up.run(python=other / set_up.python.relative_to(set_up.venv))

    assert (run.status, run.stderr) == (0, "")
    assert Path(run.told["prefix"]) == other
    assert not set_up.venv.exists()


def test_a_venv_made_by_hand_is_taken_as_it_is(course, first_run):
    subprocess.run([BARE, "-m", "venv", "--without-pip", course.venv], check=True)
    for path in first_run[0].packages.glob("tiny*"):
        shutil.copytree(path, course.packages / path.name)

    run = course.run(PIP_FIND_LINKS="")

    assert (run.status, run.stderr) == (0, "")
    assert Path(run.told["prefix"]) == course.venv


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


# Ctrl-C


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


# A Python that is too old


def test_a_python_that_is_too_old(course):
    run = course.run_with(
        "sys.version_info = (3, 9, 18, 'final', 0); import os; os.environ['PATH'] = ''"
    )

    assert refusal(run) == (
        "The course needs Python 3.11 or later; this is Python 3.9.18. Install a newer one "
        "(https://www.python.org/downloads/) and run the same command with it."
    )


@posix_only
def test_a_python_that_is_too_old_names_a_newer_one_that_works(course, tmp_path):
    does_not_work = tmp_path / "python3.13"
    does_not_work.write_text("#!/bin/sh\nexit 127\n", "utf-8")
    does_not_work.chmod(0o755)
    (tmp_path / "python3.12").symlink_to(BARE)

    fault = f"sys.version_info = (3, 9, 18); import os; os.environ['PATH'] = {str(tmp_path)!r}"
    run = course.run_with(fault)

    assert refusal(run).endswith("This machine has a newer one. Run: python3.12 -m course")


@pytest.mark.parametrize("name", ["__init__.py", "__main__.py"])
def test_any_old_python_can_read_what_it_is_refused_by(name):
    text = (ROOT / "course" / name).read_text("ascii")

    ast.parse(text, feature_version=(3, 4))
    assert not [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.JoinedStr)]
