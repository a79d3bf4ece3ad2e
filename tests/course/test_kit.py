"""The kit for a room without internet: what is in it, and the set-up from it."""

import os
import subprocess
import zipfile
from pathlib import Path

import pytest
from little_course import write
from little_setup import Course

from course.classroom import kit
from course.learner.refusal import Refusal
from course.lesson.lessons import ROOT
from course.setup.uv import UV

PINS = """\
flask==3.1.3
    # via
    #   flask-sock
gunicorn==27.0 ; sys_platform != 'win32'
colorama==0.4.6 ; sys_platform == 'win32'
themes==12.3 ; python_full_version < '3.11.5'
themes==13.1 ; python_full_version >= '3.11.5'
"""


@pytest.fixture
def downloaded(monkeypatch) -> list[list[str]]:
    """The commands that the kit runs apart from git. They only create the folders."""
    commands: list[list[str]] = []
    real = kit._run

    def run(command: list[str], folder: Path, env: dict | None = None) -> None:
        if command[0] == "git":
            return real(command, folder, env)
        commands.append(command)
        option = "--dest" if "download" in command else "--site-dir"
        return Path(command[command.index(option) + 1]).mkdir(parents=True, exist_ok=True)

    monkeypatch.setattr(kit, "_run", run)
    return commands


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one commit, in a folder with a space."""
    root = tmp_path / "my course"
    write(root / "requirements.txt", PINS)
    write(root / "README.md", "Hello.\n")
    me = ["-c", "user.name=me", "-c", "user.email=me@example.org"]
    for command in (["init", "--quiet"], ["add", "."], [*me, "commit", "--quiet", "-m", "One"]):
        subprocess.run(["git", *command], cwd=root, check=True)
    return root


@pytest.mark.parametrize(
    ("system", "version", "expected"),
    [
        ("linux", "3.11.0", {UV, "flask==3.1.3", "gunicorn==27.0", "themes==12.3"}),
        ("mac", "3.13.0", {UV, "flask==3.1.3", "gunicorn==27.0", "themes==13.1"}),
        ("windows", "3.12.0", {UV, "flask==3.1.3", "colorama==0.4.6", "themes==13.1"}),
    ],
)
def test_each_system_and_python_has_its_own_packages(tmp_path, system, version, expected):
    write(tmp_path / "requirements.txt", PINS)

    assert set(kit.requirements(tmp_path, kit.SYSTEMS[system], version)) == expected


def test_the_courses_own_pins_can_be_read_for_every_system():
    for system in kit.SYSTEMS.values():
        assert len(kit.requirements(ROOT, system, "3.11.0")) > 50


def test_a_kit_has_the_course_its_packages_the_site_and_a_page(repository, tmp_path, downloaded):
    kit.make(repository, tmp_path / "kit", ("linux",), ("3.11",), lambda line: None)

    course = tmp_path / "kit" / "beyond-rest"
    assert (course / "README.md").read_text("utf-8") == "Hello.\n"
    assert (course / "wheels").is_dir()
    assert (tmp_path / "kit" / "site").is_dir()
    page = (tmp_path / "kit" / "START.html").read_text("utf-8")
    assert "python3 -m course" in page
    assert "3.11" in page
    clean = subprocess.run(
        ["git", "status", "--short"], cwd=course, capture_output=True, check=True
    )
    assert clean.stdout == b""


def test_a_pin_that_depends_on_the_patch_release_is_downloaded_in_each_version(
    repository, tmp_path, downloaded
):
    kit.make(repository, tmp_path / "kit", ("linux",), ("3.11",), lambda line: None)

    first, latest, _ = downloaded
    assert "--python-version=3.11.0" in first
    assert {"themes==12.3", "flask==3.1.3"} <= set(first)
    assert "--python-version=3.11.99" in latest
    assert [one for one in latest if "==" in one] == ["themes==13.1"]


def test_a_kit_is_never_written_into_a_folder_that_exists(tmp_path, repository):
    with pytest.raises(Refusal, match="Name a new folder"):
        kit.make(repository, tmp_path, (), (), lambda line: None)


def test_a_download_that_fails_is_told_in_a_sentence(repository, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")

    with pytest.raises(Refusal, match=r"failed: ERROR: No matching distribution found for"):
        kit.make(repository, tmp_path / "kit", ("linux",), ("3.11",), lambda line: None)


def test_a_zipped_kit_replaces_its_folder(tmp_path):
    write(tmp_path / "kit" / "START.html", "page")

    path = kit.zipped(tmp_path / "kit")

    assert zipfile.ZipFile(path).read("kit/START.html") == b"page"
    assert not (tmp_path / "kit").exists()


@pytest.mark.skipif(os.name == "nt", reason="the tests' uv is a script")
def test_the_first_command_in_a_kit_takes_the_packages_from_its_wheels(set_up: Course):
    set_up.forget_package()
    set_up.fetch_uv()
    set_up.wheels.rename(set_up.root / "wheels")

    run = set_up.run(PIP_INDEX_URL="http://127.0.0.1:9/", PIP_NO_INDEX="0", PIP_FIND_LINKS="")

    assert run.told["tiny"] == "1.0"
    (arguments, _) = set_up.told[-1]
    assert "--no-index" in arguments
    assert arguments[arguments.index("--find-links") + 1] == (set_up.root / "wheels").as_uri()
