"""uv: what it is told of a person's pip, and what happens where it cannot do the work."""

import os
import shutil
import sys

import pytest
from little_setup import Course, refusal, wheel

from course.setup import environment, pip, uv
from course.setup.progress import Progress

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the tests' uv is a script")


@pytest.fixture
def to_set_up(set_up: Course) -> Course:
    """A course whose `.venv` lacks its package."""
    set_up.forget_package()
    set_up.fetch_uv()
    return set_up


def installer(course: Course) -> str:
    """Return what has installed the package."""
    return (course.packages / "tiny-1.0.dist-info" / "INSTALLER").read_text("utf-8").strip()


def test_uv_is_fetched_installs_and_is_removed(set_up):
    set_up.forget_package()

    run = set_up.run()

    assert run.told["tiny"] == "1.0"
    assert installer(set_up) == "uv"
    assert not set_up.scratch.exists()


def test_pip_is_there_after_the_first_run(first_run):
    course, _ = first_run

    assert (course.packages / "pip" / "__main__.py").exists()


@pytest.mark.parametrize(
    ("settings", "options", "variables"),
    [
        ({"index-url": "https://a/simple"}, ["--default-index", "https://a/simple"], {}),
        (
            {"extra-index-url": "https://a/simple\nfile:///b/simple"},
            ["--index", "https://a/simple", "--index", "file:///b/simple"],
            {},
        ),
        ({"find-links": "a b"}, ["--find-links", "a", "--find-links", "b"], {}),
        ({"no-index": "1"}, ["--no-index"], {}),
        ({"no-index": "false"}, [], {}),
        ({"trusted-host": "a:81"}, ["--allow-insecure-host", "a:81"], {}),
        ({"only-binary": "a,b"}, ["--only-binary", "a", "--only-binary", "b"], {}),
        ({"no-binary": ":all:"}, ["--no-binary", ":all:"], {}),
        ({"cert": "/a.pem"}, [], {"SSL_CERT_FILE": "/a.pem"}),
        ({"client-cert": "/b.pem"}, [], {"SSL_CLIENT_CERT": "/b.pem"}),
        (
            {"proxy": "http://p:3128"},
            [],
            dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), "http://p:3128"),
        ),
        ({"timeout": "60"}, [], {"UV_HTTP_TIMEOUT": "60"}),
        ({"default-timeout": "60"}, [], {"UV_HTTP_TIMEOUT": "60"}),
        ({"retries": "7"}, [], {"UV_HTTP_RETRIES": "7"}),
        ({"use-feature": "truststore"}, ["--system-certs"], {}),
        ({"use-deprecated": "legacy-certs", "no-cache-dir": "1"}, [], {}),
    ],
)
def test_a_setting_of_pip_has_the_same_meaning_to_uv(monkeypatch, settings, options, variables):
    for name in environment.NETWORK:
        monkeypatch.delenv(name, raising=False)

    told = uv.translated(settings)

    assert told == (["--index-strategy", "unsafe-best-match", *options], variables)


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_certificates_that_pip_would_take_are_named_to_uv(monkeypatch, name):
    for other in environment.NETWORK:
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, "/a.pem")

    assert uv.translated({})[1] == {"SSL_CERT_FILE": "/a.pem"}
    assert uv.translated({"cert": "/b.pem"})[1] == {"SSL_CERT_FILE": "/b.pem"}


def test_every_setting_that_passes_is_translated_or_left_to_pip(monkeypatch):
    left = set()
    for name in pip.PASSING:
        try:
            uv.translated({name: "1"})
        except uv.Untranslated:
            left.add(name)

    assert left == {"keyring-provider"}


def test_the_settings_arrive_at_uv(to_set_up):
    wheels = to_set_up.wheels.as_uri()

    to_set_up.run(PIP_TRUSTED_HOST="example", PIP_CERT="/a.pem", HTTPS_PROXY="http://p:1")

    arguments, variables = to_set_up.told[0]
    assert arguments[arguments.index("--find-links") + 1] == wheels
    assert arguments[arguments.index("--allow-insecure-host") + 1] == "example"
    assert "--no-index" in arguments
    assert variables["SSL_CERT_FILE"] == "/a.pem"
    assert variables["HTTPS_PROXY"] == "http://p:1"


# Where pip does the work: quietly


def by_pip(course: Course, **variables: str) -> None:
    """Assert that a set-up succeeds by pip, and says no more than it does by uv."""
    run = course.run(**variables)

    assert run.told["tiny"] == "1.0"
    assert (course.packages / "tiny-1.0.dist-info" / "INSTALLER").read_text(
        "utf-8"
    ).strip() == "pip"
    *lines, last = run.stderr.splitlines()
    stages = ["Preparing ...", "Looking up ...", "Downloading ...", "Installing ..."]
    assert lines[0] == "Setting up: 1 package to install."
    assert set(lines[1:]) <= set(stages)
    assert last.startswith("Set up in ")


def test_where_there_is_no_uv_for_this_system_pip_does_the_work(set_up):
    set_up.forget_package()
    set_up.lose_uv()

    by_pip(set_up)


def test_where_uv_has_no_word_for_a_setting_pip_does_the_work(to_set_up):
    by_pip(to_set_up, PIP_KEYRING_PROVIDER="disabled")

    assert to_set_up.told == []


@pytest.mark.parametrize(
    "fault",
    [
        "sys.exit('error: Failed to fetch: https://a/  Caused by: invalid peer certificate')",
        "print('Resolved 1 package in 1ms', flush=True); os.kill(os.getpid(), 9)",
        "os._exit(127)",
    ],
)
def test_where_uv_fails_pip_does_the_work(to_set_up, fault):
    to_set_up.fetch_uv(fault)

    by_pip(to_set_up)


def test_where_uv_does_not_start_pip_does_the_work(to_set_up):
    to_set_up.fetch_uv(program="#!/nowhere/python\n")

    by_pip(to_set_up)


def test_a_full_disk_is_told_at_once_and_what_took_the_room_is_removed(to_set_up):
    to_set_up.fetch_uv(
        "sys.exit('error: Failed to write to the distribution cache\\\\n'"
        "'  Caused by: No space left on device (os error 28)')"
    )

    assert refusal(to_set_up.run()).startswith("There is no room left on the disk: ")
    assert not to_set_up.scratch.exists()
    assert to_set_up.run().told["tiny"] == "1.0"


def test_the_true_uv_understands_what_it_is_told(to_set_up):
    program = shutil.which("uv")
    if not program:
        pytest.skip("There is no uv on this machine's PATH.")
    to_set_up.fetch_uv(program=f'#!/bin/sh\nexec {program} "$@"\n')

    run = to_set_up.run()

    assert run.told["tiny"] == "1.0"
    assert installer(to_set_up) == "uv"


def test_what_uv_says_is_shown_in_short(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False)
    monkeypatch.setattr(uv, "_arrived", lambda: 1)
    progress, drawn = Progress(2), []
    monkeypatch.setattr(progress, "draw", drawn.append)
    read = uv._reader(progress)

    for line in (
        "Using Python 3.11.7 environment at: .venv",
        "Resolved 2 packages in 3ms",
        "Downloading big (51.0MiB)",
        "",
        " Downloaded big",
        "Prepared 2 packages in 1s",
        "Installed 2 packages in 5ms",
        " + big==1.0",
    ):
        read(f"{line}\n")

    assert drawn[:4] == [
        "Downloading ...",
        "Downloading 1 of 2",
        "Downloading 1 of 2: big (51.0MiB)",
        "Downloading 1 of 2: big (51.0MiB)",
    ]
    assert drawn[4:6] == ["Downloading 1 of 2", "Installing ..."]
    assert capsys.readouterr().err == "Downloading ...\nInstalling ...\n"


def test_a_wheel_of_uv_without_its_program_is_left_for_pip(set_up):
    set_up.forget_package()
    name, _, version = uv.UV.partition("==")
    wheel(set_up.wheels, name, version, {})

    by_pip(set_up)
