"""Lesson 13's store, under the tests of earlier lessons that are about the store, unchanged.

In a copy of a lesson's solution, a new `store.py` uses Redis. The tests give it the path of an
SQLite file, which is unique to each test, and so is the prefix of its keys. Tests that use the file
itself, to lock it or to change the date of a message, are left out.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from course.grading.redis import Redis
from course.grading.stage import Stage
from course.lesson import needs

ROOT = Path(__file__).resolve().parents[2]
STORE = '''\
"""The store of lesson 13, in the place of SQLite's."""

import hashlib

import database
import streams
from streams import Conflict


class Store(streams.Store):
    """It uses Redis. The path tells the boards of different tests apart."""

    def __init__(self, path: str) -> None:
        database.PREFIX = "{board}:" + hashlib.sha256(path.encode()).hexdigest() + ":"
        super().__init__(database.connect("URL"), 10_000, 100_000)
'''
TESTS = {
    "01_rest": "listed or list or lists or cursor or restarted or killed or threads",
    "07_protocol": "history or ack_contains or same_post or after_a_reconnect or conflict or "
    "same_id or compared or eight_connections or last_id",
    "10_reconnect": "missed_messages_come_first or without_a_cursor or above_the_last_id "
    "or resume_while",
}
pytestmark = pytest.mark.skipif(not needs.redis().where, reason=needs.redis().advice)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the processes of lessons' apps, which may be another user's, can enter."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def url(folder: Path) -> Iterator[str]:
    """The address of a Redis."""
    stage = Stage(lambda: None, folder, "seed")
    yield stage.use(Redis(stage)).url
    stage.close()


def with_redis(slug: str, folder: Path, url: str) -> Path:
    """Copy the solution of a lesson, and let its store use Redis. Return the folder to grade."""
    answer, new = folder / "answers" / slug, ROOT / "solutions" / "13_scale"
    shutil.copytree(ROOT / "solutions" / slug, answer)
    shutil.copytree(new / "lua", answer / "lua")
    shutil.copy(new / "database.py", answer)
    shutil.copy(new / "store.py", answer / "streams.py")
    (answer / "store.py").write_text(STORE.replace("URL", url), encoding="utf-8")
    return answer.parent


@pytest.mark.parametrize("slug", TESTS)
def test_the_store_on_redis_meets_the_tests_of_an_earlier_lesson(slug, folder, url):
    target = with_redis(slug, folder, url)

    command = [sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider"]
    command += [f"tests/test_{slug}.py", "--target", str(target), "-k", TESTS[slug]]
    graded = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", timeout=300
    )

    assert graded.returncode == 0, graded.stdout
    assert "skipped" not in graded.stdout
