"""The store of lessons 1 to 4, while another process locks its file."""

import importlib
import sqlite3
import sys
from pathlib import Path

import pytest
from werkzeug.exceptions import ServiceUnavailable

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch):
    """The module `store` of lesson 1, with a short timeout for a locked file."""
    monkeypatch.syspath_prepend(ROOT / "solutions" / "01_rest")
    monkeypatch.delitem(sys.modules, "store", raising=False)
    module = importlib.import_module("store")
    monkeypatch.setattr(module, "TIMEOUT", 0.05)
    yield module
    del sys.modules["store"]


@pytest.fixture
def path(tmp_path: Path) -> str:
    """The path of the database."""
    return str(tmp_path / "board.sqlite3")


def test_a_locked_file_is_503_for_writing_and_readable(store, path):
    board = store.Store(path)
    message = board.add("lobby", "ada", "hi")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(ServiceUnavailable) as refusal:
        board.add("lobby", "ada", "again")

    assert refusal.value.get_response().headers["Retry-After"] == "1"
    assert board.list("lobby") == [message]
    other.execute("ROLLBACK")
    assert board.add("lobby", "ada", "again")["id"] == message["id"] + 1
    other.close()


def test_a_thread_that_does_not_get_the_lock_is_503(store, path):
    board = store.Store(path)

    with board._lock, pytest.raises(ServiceUnavailable):
        board.list("lobby")

    assert board.list("lobby") == []


def test_any_other_error_of_sqlite_is_raised(store, path):
    board = store.Store(path)
    other = sqlite3.connect(path)
    other.execute("DROP TABLE messages")

    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        board.list("lobby")

    other.close()
