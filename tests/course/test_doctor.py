"""The doctor's findings on a machine that has everything, and on one that lacks something."""

import io
import socket

import pytest
from little_course import make_course, write

from course.learner import doctor
from course.lesson import needs
from course.lesson.lessons import Lesson
from course.setup import packages


@pytest.fixture
def examined(tmp_path, monkeypatch):
    """Run the doctor on a little course. Returns the exit status and the output."""
    make_course(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")

    def examine() -> tuple[int, str]:
        out = io.StringIO()
        return doctor.examine(tmp_path, out), out.getvalue()

    return examine


def test_the_course_works_on_a_machine_that_has_everything(examined):
    status, out = examined()

    assert status == 0
    assert f"Python       {packages.VERSION}" in out
    assert "01_rest      needs nothing else" in out
    assert out.endswith("The course works here.\n")


def test_packages_that_differ_from_the_pins_are_reported(examined, monkeypatch):
    monkeypatch.setattr(packages, "pins", lambda: {"flask": "3.1.3", "rich": "15.0.0"})
    monkeypatch.setattr(packages, "installed", lambda: {"flask": "2.0"})

    status, out = examined()

    assert status == 2
    assert "✗ packages     flask 2.0 instead of 3.1.3; rich is missing\n" in out
    assert "python3 -m course" in out


def test_the_course_cannot_work_without_loopback(examined, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("not permitted")

    monkeypatch.setattr(socket, "create_server", refuse)

    status, out = examined()

    assert status == 2
    assert "✗ loopback     127.0.0.1 can't be used: not permitted.\n" in out


def test_a_folder_that_is_not_writable_is_reported(examined, tmp_path):
    write(tmp_path / ".course", "a file, where the folder should be")

    status, out = examined()

    assert status == 0
    assert "folder" in out
    assert "isn't writable" in " ".join(out.split())


def test_a_port_in_use_is_reported(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        held = server.getsockname()[1]
        real = socket.socket.connect_ex

        def moved(self, address):
            return real(self, (address[0], held if address[1] == 5000 else 1))

        monkeypatch.setattr(socket.socket, "connect_ex", moved)
        found = {finding.name: finding for finding in doctor.ports()}

    assert found["port 5000"].status == "skipped"
    assert "flask run --port 5001" in found["port 5000"].what
    assert found["port 8000"].status == "passed"


def test_missing_file_events_are_reported(examined, monkeypatch):
    monkeypatch.setattr(doctor, "_event_comes", lambda folder: False)

    status, out = examined()

    assert status == 0
    assert "once a second" in out


def test_the_needs_of_a_lesson_are_reported(tmp_path, monkeypatch):
    write(tmp_path / "docs/lessons/13_scale.md", "---\nneeds: [redis, nginx]\n---\n")
    monkeypatch.setitem(needs.FINDERS, "redis", lambda: needs.Found("/usr/bin/redis-server", ""))
    monkeypatch.setitem(needs.FINDERS, "nginx", lambda: needs.Found("", "Install nginx."))

    finding = doctor.needs_of(Lesson("13_scale", tmp_path))

    assert finding.status == "skipped"
    assert finding.what == "redis: /usr/bin/redis-server, no nginx found"
    assert finding.advice == "Install nginx."


def test_a_need_that_the_course_cannot_find_is_reported(tmp_path):
    write(tmp_path / "docs/lessons/13_scale.md", "---\nneeds: [rediss]\n---\n")

    finding = doctor.needs_of(Lesson("13_scale", tmp_path))

    assert finding.status == "skipped"
    assert finding.what == "no rediss found"
    assert finding.advice == "The course has no way to find rediss."
