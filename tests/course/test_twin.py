"""The grader's client in Python decides as lesson 10's connection.js: the cases are its tests'."""

import json

import pytest

from course.grading.twin import SLEPT, Twin

STOPS = [(code, "") for code in (1000, 1008, 4000, 4401, 4403, 4406, 4499, 4999)]
STOPS += [(1008, f"{SLEPT}, for the third time: you are too slow.")]
RETRIES = (1001, 1002, 1005, 1006, 1009, 1011, 1012, 1013, 1014, 3000, 3999)


class Bench:
    """A twin with a clock that tests set, and what it has sent."""

    def __init__(self) -> None:
        self.now, self.sent = 0.0, []
        self.twin = Twin("ada", self.send, lambda: self.now, lambda: 0.5)

    def send(self, text: str) -> None:
        self.sent.append(json.loads(text))

    def say(self, kind: str, **fields: object) -> None:
        self.twin.receive(json.dumps({"type": kind, **fields}))

    def push(self, number: int) -> None:
        self.say("message", message={"id": number})


@pytest.fixture
def bench():
    return Bench()


@pytest.mark.parametrize(("code", "reason"), STOPS)
def test_it_stops_after_a_code_that_a_retry_cant_help(bench, code, reason):
    bench.say("welcome", last_id=0)

    assert bench.twin.closed(code, reason) is None


@pytest.mark.parametrize(("code", "reason"), [*((code, "") for code in RETRIES), (1011, SLEPT)])
def test_it_retries_with_backoff_after_every_other_code(bench, code, reason):
    bench.say("welcome", last_id=0)

    assert [bench.twin.closed(code, reason) for _ in range(6)] == [0.5, 1, 2, 4, 8, 15]


def test_backoff_starts_over_after_a_connection_that_has_worked(bench):
    bench.twin.closed(1006)
    bench.twin.closed(1006)
    bench.say("welcome", last_id=0)
    bench.now = 10.0

    assert bench.twin.closed(1006) == 0.5


def test_after_sleep_it_retries_at_once_but_only_once(bench):
    bench.say("welcome", last_id=0)
    bench.now = 20.0

    assert bench.twin.closed(1008, SLEPT) == 0.0
    assert bench.twin.closed(1008, SLEPT) >= 0.5


@pytest.mark.parametrize("code", [1012, 1013])
def test_a_server_can_ask_for_a_delay(bench, code):
    assert bench.twin.closed(code, "retry-after=8") == 4.0
    assert bench.twin.closed(code, "retry-after=9999") == 150.0
    assert bench.twin.closed(1011, "retry-after=8") == 2.0


def test_a_post_is_sent_again_with_its_id_until_it_has_a_reply(bench):
    bench.twin.post("first")
    bench.twin.post("second")
    bench.say("welcome", last_id=0)
    bench.twin.closed(1006)
    bench.say("welcome", last_id=0, resumed=True)
    bench.say("ack", id="ada 1", message={"id": 1})

    sent = [(post["id"], post["text"]) for post in bench.sent]
    assert sent == [("ada 1", "first"), ("ada 1", "first"), ("ada 2", "second")]
    assert bench.twin.acked == [1]


def test_without_resuming_it_reads_what_is_missing(bench):
    bench.say("welcome", last_id=7)
    bench.push(8)
    bench.twin.closed(1006)
    bench.say("welcome", last_id=70, resumed=False)

    asked = bench.sent[-1]
    bench.push(71)
    assert (asked["type"], asked["after"], bench.twin.cursor) == ("history", 8, 8)
    page = [{"id": number} for number in range(9, 59)]
    bench.say("messages", id=asked["id"], messages=page, next=58)
    assert (bench.sent[-1]["after"], bench.twin.cursor) == (58, 58)
    assert bench.twin.shown == [8, 71, *range(9, 59)]
