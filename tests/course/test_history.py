"""The history of board.v1 goes backwards from lesson 9 on, as its asyncapi.yaml says."""

import importlib
import sys

import pytest

from course.grading.asyncapi import Described
from course.lesson.lessons import ROOT

LESSON = ROOT / "solutions" / "09_browser"
FILE = Described(LESSON / "asyncapi.yaml")


@pytest.fixture
def ask(tmp_path, monkeypatch):
    """Asks for history in a room with the messages 1 to 9, of which the even ones are there."""
    for name in ("protocol", "store"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(str(LESSON))
    protocol, store = map(importlib.import_module, ("protocol", "store"))
    kept = store.Store(str(tmp_path / "board.sqlite3"))
    for number in range(1, 10):
        kept.add("other" if number % 2 else "lobby", "ada", f"number {number}")
    session = protocol.Session(kept, "lobby", "ada")

    def ask(**fields: object) -> dict:
        request = {"type": "history", "id": "1", **fields}
        reply = session.handle(protocol.json.dumps(request))
        assert not FILE.problem(reply)
        assert bool(FILE.problem(request)) == (reply["type"] == "error")
        return reply

    yield ask
    for name in ("protocol", "store"):
        sys.modules.pop(name, None)


def ids(reply: dict) -> list[int]:
    """Return the ids of a page."""
    return [message["id"] for message in reply["messages"]]


def test_before_gives_the_last_messages_below_a_cursor_oldest_first(ask):
    assert ids(ask(before=9, limit=2)) == [6, 8]
    assert ids(ask(before=8)) == [2, 4, 6]


def test_next_leads_through_all_pages_each_message_once(ask):
    cursor, pages = 100, []
    while page := ids(reply := ask(before=cursor, limit=3)):
        pages.append(page)
        cursor = reply["next"]

    assert pages == [[4, 6, 8], [2]]


def test_where_nothing_is_older_the_page_is_empty_and_the_cursor_stays(ask):
    reply = ask(before=2)

    assert (ids(reply), reply["next"]) == ([], 2)


def test_after_is_as_it_was(ask):
    assert ids(ask()) == [2, 4, 6, 8]
    assert ids(ask(after=2, limit=2)) == [4, 6]


@pytest.mark.parametrize(
    "fields",
    [
        {"before": 0},
        {"before": "9"},
        {"before": 1.5},
        {"before": True},
        {"before": None},
        {"before": 2**63},
        {"before": 9, "after": 1},
    ],
    ids=str,
)
def test_a_cursor_that_is_none_is_refused(ask, fields):
    assert ask(**fields)["code"] == "bad_message"
