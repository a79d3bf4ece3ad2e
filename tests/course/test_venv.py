"""The `.venv`: whether its Python starts, and when it is made again."""

import os
import sys
from collections.abc import Callable

import pytest
from little_setup import Course, refusal

posix_only = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals and terminals")


def test_the_python_of_venv_is_tried_once_and_again_when_it_has_changed(set_up):
    starts = ["setattr(venv, '_try_to_start', lambda: False)", "venv.starts()"]

    assert set_up.ask(*starts) == [None, False]
    assert set_up.ask("venv.starts()") == [True]
    assert set_up.ask(*starts) == [None, True]
    (set_up.venv / "pyvenv.cfg").touch()
    assert set_up.ask(*starts) == [None, False]


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
    """Check that a `.venv` that started counts as broken after `damage`."""
    assert course.run().status == 0
    damage()
    assert course.ask("venv.starts()", "install.make()", "venv.starts()") == [
        False,
        None,
        True,
    ]


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
