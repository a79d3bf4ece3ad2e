"""A person's settings for pip: which are read, and which are left out."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from little_setup import Course

from course.setup import pip
from course.setup.progress import Progress


@pytest.fixture
def settings(monkeypatch, tmp_path):
    """Return what is read from a configuration file with this text, and from these variables."""
    for name in list(os.environ):
        if name.startswith("PIP_"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(pip, "SCRATCH", str(tmp_path))

    def read(text: str = "", **variables: str) -> dict[str, str]:
        file = tmp_path / "pip.conf"
        file.write_text(text, "utf-8")
        for name, value in ({"PIP_CONFIG_FILE": str(file)} | variables).items():
            monkeypatch.setenv(name, value)
        return pip.settings(Progress(1))

    return read


def test_files_and_variables_say_from_where_packages_come(settings):
    read = settings(
        "[global]\nindex-url = https://a/simple\ncert = /a.pem\nquiet = 1\n"
        "[install]\ncert = /it's/b.pem\nextra-index-url =\n    https://b/simple\n    file:///c\n",
        PIP_CERT="/c.pem",
        PIP_DEFAULT_TIMEOUT="60",
    )

    assert read == {
        "index-url": "https://a/simple",
        "extra-index-url": "\nhttps://b/simple\nfile:///c",
        "cert": "/c.pem",
        "default-timeout": "60",
    }


def test_a_section_of_install_counts_more(settings):
    read = settings("[global]\ncert = /a.pem\n[install]\ncert = /it's/b.pem\n")

    assert read == {"cert": "/it's/b.pem"}


def test_where_packages_go_is_not_for_a_setting_to_say(settings):
    read = settings(
        "[global]\nuser = true\nrequire-virtualenv = true\n[install]\ntarget = /t\n",
        PIP_PREFIX="/p",
        PIP_ROOT="/r",
        PIP_DRY_RUN="1",
        PIP_REQUIRE_HASHES="1",
        PIP_CONSTRAINT="/c.txt",
        PIP_QUIET="3",
        PIP_INDEX_URL="",
    )

    assert read == {}


def test_pip_is_given_these_settings_and_no_others(monkeypatch, tmp_path):
    monkeypatch.setattr(pip, "SCRATCH", str(tmp_path))
    monkeypatch.setenv("PIP_TARGET", "/t")

    given = pip._environment({"index-url": "https://a", "retries": "1"})

    assert {name: value for name, value in given.items() if name.startswith("PIP_")} == {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": "https://a",
        "PIP_RETRIES": "1",
    }


def test_settings_that_would_install_elsewhere_change_nothing(set_up: Course, tmp_path: Path):
    set_up.forget_package()
    set_up.lose_uv()
    file = tmp_path / "pip.conf"
    file.write_text("[global]\nrequire-hashes = true\n[install]\nuser = true\n", "utf-8")

    run = set_up.run(
        PIP_CONFIG_FILE=str(file), PIP_TARGET=str(tmp_path / "target"), PIP_DRY_RUN="1"
    )

    assert run.told["tiny"] == "1.0"


def test_the_pip_that_came_with_this_python_is_found():
    wheel = pip.bundled()

    assert wheel is not None
    version = subprocess.run(
        [sys.executable, "-I", os.path.join(wheel, "pip"), "--version"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert version.startswith(f"pip {Path(wheel).name.split('-')[1]} ")
