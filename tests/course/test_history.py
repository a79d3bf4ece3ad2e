"""Paging backwards: the request `older`, which board.v1 has from lesson 9 on."""

import importlib
import json
import sys
from collections.abc import Callable

import pytest

from course.grading.asyncapi import Described
from course.lesson.lessons import ROOT

LESSON = ROOT / "solutions" / "09_browser"
LESSON_BEFORE = ROOT / "solutions" / "08_broadcast"
FILE = Described(LESSON / "asyncapi.yaml")
MODULES = ("inputs", "protocol", "store")


@pytest.fixture
def asking(tmp_path, monkeypatch):
    """Return `ask` for the server of a lesson.

    The board has the messages 1 to 9: the even ones are in the client's room, the odd ones in
    another.
    """

    def asking(lesson) -> Callable[..., dict]:
        monkeypatch.syspath_prepend(str(lesson))
        protocol, store = map(importlib.import_module, ("protocol", "store"))
        board = store.Store(str(tmp_path / "board.sqlite3"))
        for number in range(1, 10):
            board.add("other" if number % 2 else "lobby", "ada", f"number {number}")
        session = protocol.Session(board, "lobby", "ada")

        def ask(kind: str = "older", **fields: object) -> dict:
            return session.handle(json.dumps({"type": kind, "id": "1", **fields}))

        return ask

    forget()
    yield asking
    forget()


@pytest.fixture
def ask(asking):
    """Return `ask` for lesson 9's server. Requests and replies are checked by asyncapi.yaml."""
    ask_server = asking(LESSON)

    def ask(kind: str = "older", **fields: object) -> dict:
        reply = ask_server(kind, **fields)
        assert not FILE.problem(reply)
        refused = reply["type"] == "error"
        assert bool(FILE.problem({"type": kind, "id": "1", **fields})) == refused
        return reply

    return ask


def forget() -> None:
    """Forget the modules that lessons have in common."""
    for name in MODULES:
        sys.modules.pop(name, None)


def ids(reply: dict) -> list[int]:
    """Return the ids of a page."""
    return [message["id"] for message in reply["messages"]]


def test_older_returns_the_last_messages_below_an_id_oldest_first(ask):
    assert ids(ask(before=9, limit=2)) == [6, 8]
    assert ids(ask(before=8)) == [2, 4, 6]


def test_next_leads_through_all_pages_with_each_message_once(ask):
    cursor, pages = 100, []
    while page := ids(reply := ask(before=cursor, limit=3)):
        pages.append(page)
        cursor = reply["next"]

    assert pages == [[4, 6, 8], [2]]


def test_without_older_messages_the_page_is_empty_and_the_cursor_stays(ask):
    reply = ask(before=2)

    assert (ids(reply), reply["next"]) == ([], 2)


def test_history_is_as_it_was_and_knows_no_before(ask):
    assert ids(ask("history")) == [2, 4, 6, 8]
    assert ids(ask("history", after=2, limit=2)) == [4, 6]
    assert ids(ask("history", before=6)) == [2, 4, 6, 8]


def test_an_older_server_refuses_the_request_as_unknown(asking):
    assert asking(LESSON_BEFORE)(before=9)["code"] == "unknown_type"


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"before": 0},
        {"before": -1},
        {"before": "9"},
        {"before": 1.5},
        {"before": True},
        {"before": None},
        {"before": 2**63},
        {"before": 9, "limit": 0},
        {"before": 9, "limit": 201},
    ],
    ids=str,
)
def test_a_request_without_a_good_id_or_limit_is_refused(ask, fields):
    assert ask(**fields)["code"] == "bad_message"
