"""Installing: what it says when it cannot, and that it goes on wherever it was cut off."""

import os
import shutil
import signal
import subprocess

import pytest
from little_setup import BARE, done, offline, refusal

posix_only = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals and terminals")


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


def test_a_clone_without_its_requirements(course):
    (course.root / "requirements.txt").unlink()

    assert "requirements.txt" in refusal(course.run())


# Cut off


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


@posix_only
@pytest.mark.parametrize(
    "step", ["pip.settings", "uv._fetch", "uv._pip_install", "bytecode.write", "unused.remove"]
)
def test_a_set_up_that_is_killed_at_any_step_goes_on(set_up, step):
    set_up.forget_package()
    name = step.rpartition(".")[2]
    killed = set_up.run_with(
        f"""if 1:
            import os, signal
            from course.setup import bytecode, pip, unused, uv
            {step} = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        """,
        set_up.python,
    )
    assert killed.status == -signal.SIGKILL, name

    run = set_up.run()

    assert run.told["tiny"] == "1.0"
    assert not set_up.scratch.exists()


@posix_only
def test_a_package_that_uv_was_killed_in_is_installed_again(set_up, tmp_path):
    killed = tmp_path / "killed"
    set_up.forget_package()
    set_up.fetch_uv(
        f"""
        if not os.path.exists({str(killed)!r}):
            os.mkdir({str(killed)!r})
            os.mkdir({str(set_up.packages / "tiny-1.0.dist-info")!r})
            os.kill(os.getppid(), 9)
            os._exit(1)
        """
    )
    assert set_up.run().status == -signal.SIGKILL

    assert set_up.run().told["tiny"] == "1.0"


@posix_only
def test_a_command_waits_for_a_uv_whose_command_was_killed(set_up, tmp_path):
    set_up.forget_package()
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    set_up.fetch_uv(
        f"""
        os.kill(os.getppid(), 9)
        open({str(gate)!r}).close()
        sys.stdout = open(os.devnull, "w")  # The command that has read it is gone.
        """
    )
    assert set_up.start(BARE, "-m", "course").wait() == -signal.SIGKILL

    process = set_up.start(BARE, "-m", "course")
    line = process.stderr.readline()
    gate.open("w").close()
    run = done(process)

    assert line == "Another command is setting up the course. Waiting for it ...\n"
    assert (run.told["tiny"], run.stderr) == ("1.0", "")


def test_what_is_left_of_a_set_up_is_removed_without_a_word(set_up):
    set_up.scratch.mkdir()
    locales = set_up.packages / "babel" / "locale-data"
    locales.mkdir(parents=True)
    for name in ("en.dat", "de.dat"):
        (locales / name).touch()

    run = set_up.run()

    assert (run.status, run.stderr) == (0, "")
    assert [path.name for path in locales.iterdir()] == ["en.dat"]
    assert not set_up.scratch.exists()


def test_packages_that_python_does_not_find_after_installing_are_named(set_up, tmp_path):
    (tmp_path / "other" / "tiny-9.dist-info").mkdir(parents=True)
    (tmp_path / "other" / "tiny-9.dist-info" / "INSTALLER").write_text("pip", "utf-8")
    path = f"import sys; sys.path.insert(0, {str(tmp_path / 'other')!r})"
    (set_up.packages / "other.pth").write_text(path, "utf-8")

    run = set_up.run()

    assert (run.status, run.stdout) == (2, "")
    assert run.stderr.splitlines()[-1] == (
        f"The course's packages were installed, but Python finds tiny 9 in {tmp_path / 'other'} "
        "first. Remove that folder from Python's path, then run the same command again."
    )


def test_a_package_that_is_there_twice_is_told_with_the_way_out(set_up):
    for version in ("0.1", "0.2"):
        info = set_up.packages / f"tiny-{version}.dist-info"
        info.mkdir()
        (info / "INSTALLER").write_text("pip", "utf-8")

    run = set_up.run()

    # Which of them Python finds first is for the file system to say.
    if run.status:
        assert run.stderr.splitlines()[-1].startswith("The course's packages were installed, but ")
        assert f"Delete {set_up.venv}, then run" in run.stderr


@posix_only
def test_ctrl_c_while_installing_ends_pip_too_and_the_next_try_goes_on(set_up):
    shutil.copytree(set_up.packages / "pip", set_up.root / "pip")
    set_up.break_pip(
        "import os, threading; print('Collecting', os.getpid(), flush=True)\n"
        "os.set_blocking(0, True); threading.Event().wait()"
    )
    process = set_up.start(BARE, "-m", "course")
    assert process.stderr.readline() == "Setting up: 1 package to install.\n"
    assert process.stderr.readline() == "Preparing ...\n"

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
