"""Lesson 3: long polling. These tests are the lesson's specification.

The tests talk to the board over HTTP. Some races are between two steps of one request: for them,
tests/probes/03_long_polling.py pauses a call of the store until the test releases it. The client
runs as a program, against a scripted board, as in lesson 2.
"""

import http.client
import select
import statistics
import time
from concurrent.futures import Future
from itertools import pairwise
from pathlib import Path

import pytest

from course.grading import Answer, Program, Server, bounds, expect, task
from course.grading.bounds import LARGEST_IN_WORDS, BoundedSocket, TooMuch
from course.grading.expect import Unmet, counted
from course.grading.http import read_body
from course.grading.scripted import (
    CUT,
    EARLY,
    GOOD,
    LATE,
    SILENCE,
    Exchange,
    Reply,
    ScriptedBoard,
    expect_pauses,
    expect_printed,
)
from course.grading.waiting import PATIENCE, SECONDS, begin, eventually

PROBES = Path(__file__).parent / "probes" / "03_long_polling.py"
CLOCK = Path(__file__).parent / "probes" / "clock.py"
JSON = {"Content-Type": "application/json"}
EMPTY = Reply(200, JSON, b'{"messages": [], "next": 0}')
LONG = 30  # seconds; the test fails unless a request with this wait is woken earlier
HOLD = 1.0  # seconds that a paused call gives to another request that may be waiting for it
BRIEF = 0.3  # seconds for the last step of such a request
FAULTS = {
    "bad status": Reply(500),
    "bad status, Retry-After": Reply(503, {"Retry-After": "0"}),
    "cut": CUT,
    "another status": Reply(202, {"Content-Type": "text/html"}, b"<h1>Later</h1>"),
    "html": Reply(200, {"Content-Type": "text/html"}, b"<h1>Welcome to the proxy</h1>"),
    "no body": Reply(200, JSON, b""),
    "no messages": Reply(200, JSON, b'{"error": "try later"}'),
    "no list": Reply(200, JSON, b'{"messages": null, "next": 1000000}'),
}


@pytest.fixture
def server(stage) -> Server:
    """The learner's board."""
    return stage.serve()


@pytest.fixture
def room(stage, server):
    """A room without messages. The class `Room` is at the end of this file."""
    return Room(stage, server)


# wake


@task("wake", "A new message wakes every waiting request", points=3)
def test_a_waiting_request_gets_the_message_long_before_the_deadline(room):
    asked = room.wait(after=0)

    message = room.post()

    room.expect_news(asked, [message])


@task("wake")
def test_stored_messages_are_returned_at_once(room):
    messages = [room.post() for _ in range(3)]

    for after in (0, messages[0]["id"]):
        asked = room.wait(after=after)

        there = [message for message in messages if message["id"] > after]
        room.expect_news(asked, there)


@task("wake")
def test_a_request_that_gets_no_message_ends_with_204_and_no_body(room):
    for wait in (0, 0.1):
        answer, _ = room.ask(wait=wait)

        answer.expect_status(204)
        expect(answer.body == b"", "no body", answer.body.decode("utf-8", "replace"))


@task("wake")
def test_a_hundred_waiting_requests_all_get_the_message(stage):
    room = Room(stage, stage.serve(MAX_WAIT=600))
    people = crowd(stage, room, 100, wait=600)

    message = room.post()

    for answer in answers_to(people, room):
        answer.expect_json({"messages": [message], "next": message["id"]})


@task("wake")
def test_the_board_checks_for_messages_only_when_there_is_news(stage):
    room = Room(stage, stage.serve(MAX_WAIT=60))
    says = "makes the board's clock run 40 times as fast"
    room.server.probe(CLOCK, "hurry", 40, ["app", "waiting"], says=says)
    asked = room.wait(wait=60, after=10**6)

    room.post()
    room.answered(asked, "204 at the deadline, after 1.5 s, which are 60 s to the board")

    looks = room.count("list")
    expected = "checks at the start, for the one message and at the deadline only (5 at most)"
    expect(looks <= 5, expected, f"{looks} checks in 60 s")


@task("wake")
def test_messages_in_other_rooms_wake_no_request(stage, server, room):
    other, asked = Room(stage, server), room.wait()

    for _ in range(20):
        other.post()
    room.expect_news(asked, [room.post()])

    looks = room.count("list")
    expected = f"checks at the start and for the one message in {room.name} only (4 at most)"
    expect(looks <= 4, expected, f"{looks} checks, with 20 messages in {other.name}")


@task("wake")
def test_news_of_many_other_rooms_wakes_no_thread(stage):
    looks = stage.probe(PROBES, "looks_among", 300, 0, SECONDS * PATIENCE)

    expect_looks(stage, looks, "news of 300 other rooms")


# lost


@task("lost", "No message is lost between the check and the wait", points=3)
@pytest.mark.parametrize("number", [1, 2])
def test_a_message_right_after_a_check_is_not_lost(room, number):
    room.hold("list", number)
    asked = begin(lambda: room.ask(wait=LONG))
    room.give_time(f"pauses the board right after check {number}, which found nothing")

    posted = room.post_meanwhile()
    room.let_go()

    expected = f"bob's message for ada, although it was posted between check {number} and the wait"
    room.expect_news(asked, [room.answered(posted)], expected)


@task("lost")
@pytest.mark.parametrize("number", [1, 2])
def test_a_message_is_not_lost_when_another_client_starts_to_wait(room, number):
    room.hold("list", number)
    asked = begin(lambda: room.ask("ada", wait=LONG))
    room.give_time(f"pauses the board right after check {number}, which found nothing for ada")

    posted = room.post_meanwhile()
    room.settle(begin(lambda: room.ask("carol", wait=LONG, after=10**6)))
    room.let_go()

    expected = "bob's message for ada, although carol started to wait before ada was woken"
    room.expect_news(asked, [room.answered(posted)], expected)


@task("lost")
def test_a_message_right_after_a_later_check_is_not_lost(room):
    after = room.post()["id"] + 1
    room.hold("list", 3)
    asked = room.wait(after=after)
    room.settle_looks(2)

    posts = [begin(lambda: room.post(LONG))]
    room.give_time(
        f"pauses the board right after check 3: ada asked for ids above {after}; "
        f"message {after} woke her too early"
    )
    posts.append(room.post_meanwhile())
    room.let_go()

    news = [m for m in map(room.answered, posts) if m["id"] > after]
    expected = "bob's next message for ada. Did the wait end although look() found nothing?"
    room.expect_news(asked, news, expected)


@task("lost")
def test_a_message_is_announced_after_it_is_stored(room):
    asked = room.wait(wait=LONG)
    room.hold("add", 1)

    posted = begin(lambda: room.post(LONG))
    room.give_time("pauses the board before the store has bob's message")
    room.settle_looks(room.count("list") + 1, BRIEF)
    room.let_go()

    expected = "bob's message for ada: it must be announced after it is stored, not before"
    room.expect_news(asked, [room.answered(posted)], expected)


# timeout


@task("timeout", "A wait ends with 204 and leaves nothing behind", points=4, needs="wake")
def test_without_a_message_the_response_is_204_at_the_deadline(room):
    room.watch_waits()

    for wait in ("0.5", "0", "+0.1", "1_0e-2", " 0.1 "):
        asked = room.wait(wait=wait)

        expect_nothing(room.answered(asked, f"204 after {wait} s"), float(wait))
        room.expect_waits(wait, float(wait))


@task("timeout")
def test_a_message_that_was_not_asked_for_does_not_move_the_deadline(room):
    asked = room.wait(wait=0.5, after=10**6)

    eventually(
        lambda: room.post() and asked.done(),
        "a response after 0.5 s, although messages with ids up to `after` are posted",
        lambda: "none",
    )

    expect_nothing(room.answered(asked), 0.5)


@task("timeout")
def test_a_thread_that_was_woken_for_nothing_waits_for_the_time_that_is_left(stage):
    stage.wire.sent("test", 'News().wait("here", look, 60)')
    found = stage.probe(PROBES, "waits_after_vain_news", SECONDS)

    for first, waits in ((True, found["first"]), (False, found["later"])):
        said = "starts to wait" if first else 'announce("here"), but look() finds nothing: waits'
        longest, where = max(waits, key=lambda wait: wait[0], default=(0, []))
        stage.wire.received("test", f"{said} for {longest:g} s")
        if longest > 60 or (longest == 60 and not first):
            expected = "a wait for 60 s" if first else "a wait for what is left of the 60 s"
            raise Unmet(expected, f"a wait for {longest:g} s", where=where)


@task("timeout")
def test_no_request_waits_longer_than_max_wait(stage):
    room = Room(stage, stage.serve(MAX_WAIT=0.4))

    waits = ("60", "1e6", "9" * 30, "inf", "1e999")
    asked = [begin(lambda wait=wait: room.ask(wait=wait)) for wait in waits]
    for each in asked:
        expect_nothing(room.answered(each, "204 after 0.4 s, the MAX_WAIT of this board"), 0.4)
    expect_nothing(room.ask(wait=0.1), 0.1)


@task("timeout")
def test_with_a_max_wait_of_0_no_request_waits(stage):
    room = Room(stage, stage.serve(MAX_WAIT=0))

    asked = room.wait(wait=LONG)

    expect_nothing(room.answered(asked, "204 at once, because MAX_WAIT is 0"), 0)


@task("timeout")
def test_max_wait_is_30_by_default(room):
    room.watch_waits()
    for wait, seconds in (("29.5", 29.5), ("31", 30.0), ("inf", 30.0)):
        asked = room.wait(wait=wait, after=room.last)

        room.expect_news(asked, [room.post()])
        room.expect_waits(wait, seconds)


@task("timeout")
def test_an_invalid_wait_is_400(stage, server, room):
    busy = Room(stage, server)
    busy.post()

    for asked in (room, busy):
        for wait in ("", "soon", "1,5", "-1", "-0.01", "-1e-9", "-inf", "nan", "-nan", "0x1"):
            answer = asked.answer_to_bad_wait(wait)

            answer.expect_problem(400)


@task("timeout")
def test_without_wait_the_response_comes_at_once_with_its_etag(room):
    answer, _ = room.ask()
    answer.expect_json({"messages": [], "next": 0})

    ada, tag = room.server.client("ada"), answer.headers["ETag"]
    again = ada.get(room.path, headers={"If-None-Match": tag or "none"})
    again.expect_status(304)


@task("timeout")
def test_a_request_whose_client_disconnected_ends_at_the_deadline(stage):
    server = stage.serve(MAX_WAIT=0.5)
    room = Room(stage, server)
    room.ask()
    before = server.census()

    for connection in crowd(stage, room, 30, wait=3600):
        connection.close()
    stage.wire.happened("all", "connections closed")

    server.expect_census(before)


@task("timeout")
def test_a_request_that_got_its_message_leaves_no_thread_behind(server, room):
    room.post()
    before = server.census()
    last = room.post()["id"]

    waiting = [room.wait(f"p{n}", after=last) for n in range(5)]
    message = room.post()
    for asked in waiting:
        room.expect_news(asked, [message])

    server.expect_census(before)


@task("timeout")
def test_a_request_that_ends_at_its_deadline_does_not_affect_the_others(room):
    longer = room.wait("ada", wait=LONG)
    expect_nothing(room.answered(room.wait("carol", wait=0.1)), 0.1)

    message = room.post()

    room.expect_news(longer, [message])


@task("timeout")
def test_requests_that_end_wake_no_others(stage):
    looks = stage.probe(PROBES, "looks_among", 0, 30, SECONDS * PATIENCE)

    expect_looks(stage, looks, "the end of 30 other requests")


@task("timeout")
def test_nothing_is_kept_for_a_room_after_its_last_request(stage):
    rooms = 100

    blocks = stage.probe(PROBES, "left_of_rooms", rooms)

    said = "threads waited in 100 rooms: some got a message, some reached the deadline, some failed"
    stage.wire.happened("test", said)
    kept = f"about {blocks / rooms:.1f} blocks of memory for each of {rooms} rooms"
    expect(blocks < rooms / 2, "nothing kept for a room after its last request", kept)


# client


@pytest.fixture
def board(stage) -> ScriptedBoard:
    """A room that the client reads."""
    return stage.use(ScriptedBoard(stage))


@task("client", "The client long-polls, and pauses without new messages", points=2)
def test_each_message_is_printed_once_as_soon_as_the_board_has_it(stage, board):
    for _ in range(201):
        board.post()

    program = read(stage, board, interval=LONG)

    for number in range(3, 7):
        board.wait_for(number, program)
        expect_all_read(program, board)
    cursor = 0
    for exchange in board.log:
        asked = [exchange.query.get(name) for name in ("after", "limit", "wait")]
        met = asked[:2] == [str(cursor), "200"] and float(asked[2] or 0) == 25
        expect(met, f"a request with after={cursor}, limit=200 and wait=25", exchange.target)
        cursor = exchange.messages[-1]["id"] if exchange.messages else cursor


@task("client")
def test_a_204_is_not_a_fault_and_keeps_the_cursor(stage, board):
    message = board.post()
    board.order(GOOD, *[Reply(204)] * 9)

    program = read(stage, board, wait=0.01, interval=0.02)

    log = board.wait_for(11, program)
    pauses = [(0, 0), *[(0, 0.02)] * 9]  # Nine faults in a row would make the client back off.
    expect_pauses(program, log, pauses, ["a message", *["a 204"] * 9])
    expect_cursor(log[1:], message["id"])
    expect_all_read(program, board)


@task("client")
def test_a_page_without_messages_is_not_a_fault(stage, board):
    board.order(*[EMPTY] * 9)

    program = read(stage, board, wait=0.01, interval=0.02)

    log = board.wait_for(10, program)
    expect_pauses(program, log, [(0, 0.02)] * 9, ["an empty page"] * 9)
    expect_all_read(program, board)


@task("client")
def test_a_board_that_does_not_hold_requests_is_not_polled_without_a_pause(stage, board):
    board.order(Reply(204), EMPTY, Reply(204))

    program = read(stage, board, interval=0.2)

    log = board.wait_for(4, program)
    expect_pauses(program, log, [(0.2, 0.2)] * 3, ["no message"] * 3)
    expect_all_read(program, board)


@task("client")
def test_the_client_waits_longer_than_the_board(stage, board):
    board.order(*[SILENCE] * 3)

    program = read(stage, board, wait=0.2, timeout=0.3, interval=0.01)

    log = board.wait_for(4, program)[:4]
    met = float(log[0].query.get("wait") or 0) == 0.2
    expect(met, "a request with wait=0.2", log[0].target)
    # A busy machine may note one request late, so the middle one of three counts.
    waited = statistics.median(b.received_at - a.received_at for a, b in pairwise(log))
    expected = "the client to wait for a response for wait + timeout, 0.5 s"
    expect(waited >= 0.5 * EARLY, expected, f"{waited:.2f} s")


@task("client")
def test_the_end_of_for_ends_the_client_while_the_board_holds_its_request(stage, board):
    board.order(SILENCE)
    start = time.monotonic()

    program = read(stage, board, **{"wait": 3600, "timeout": 3600, "for": 0.6})

    program.end()
    took = time.monotonic() - start
    expect(took >= 0.6 * EARLY, "the client to run for 0.6 s", f"{took:.2f} s")


@task("client")
def test_faults_back_off_exponentially_and_a_success_resets_the_backoff(stage, board):
    board.before_answer = lambda exchange: board.post()
    for fault in FAULTS.values():
        board.order(fault, fault, fault, GOOD)

    program = read(stage, board, interval=0.01)

    log = board.wait_for(4 * len(FAULTS) + 1, program)
    pauses = [(0.01, 0.02), (0.02, 0.04), (0.04, 0.08), (0, 0)] * len(FAULTS)
    after = [name for fault in FAULTS for name in (*[f"a fault ({fault})"] * 3, "messages")]
    expect_pauses(program, log, pauses, after)
    expect_all_read(program, board)


@task("client")
def test_refused_connections_back_off_exponentially(stage, board):
    board.post()
    board.refuse_after(1)

    program = read(stage, board, interval=0.02)

    if not program.wait_for_event("socket.connect", 5):
        raise program.unmet("4 more attempts to connect", "fewer", SECONDS)
    for (at, slept), (then, _), least in zip(
        program.connections()[1:4], program.connections()[2:5], (0.02, 0.04, 0.08), strict=True
    ):
        said = f"from {least:g} to {2 * least:g} s after a refused connection"
        expect(then - at >= least * EARLY, said, f"{then - at:.3f} s")
        expect(slept <= 2 * least * LATE, said, f"a sleep of {slept:.3f} s")
    board.accept()
    expect_all_read(program, board)


@task("client")
def test_the_client_waits_as_long_as_retry_after_asks(stage, board):
    board.order(Reply(503, {"Retry-After": "1"}))

    program = read(stage, board, interval=0.02)

    log = board.wait_for(2, program)
    expect_pauses(program, log, [(1, 1)], ["a 503 with Retry-After: 1"])
    expect_all_read(program, board)


# Helpers of these tests: a room, its clients, and what they expect


class Room:
    """A room of the learner's board, with clients that post there and wait for messages."""

    def __init__(self, stage, server: Server) -> None:
        self.server, self.name = server, stage.name()
        self.path = f"/rooms/{self.name}/messages"
        self.text = stage.text
        self.last = 0  # the id of the newest message that was posted here

    def post(self, seconds: float = SECONDS) -> dict:
        """Post a message, and return the one in the response."""
        body = {"author": "bob", "text": self.text()}
        message = self.server.client("bob", seconds).post(self.path, body).json(201)
        met = isinstance(message, dict) and type(message.get("id")) is int
        expect(met, "the message as a JSON object, with its id", message)
        self.last = message["id"]
        return message

    def ask(self, who: str = "ada", **query: object) -> tuple[Answer, float]:
        """Request the list. Returns the response and the seconds it took."""
        start = time.monotonic()
        answer = self.server.client(who, 2 * LONG).get(self.path, **query)
        return answer, time.monotonic() - start

    def answer_to_bad_wait(self, wait: str) -> Answer:
        """Send an invalid `wait`, which must be rejected at once."""
        try:
            return self.server.client("ada").get(self.path, wait=wait)
        except Unmet as unmet:
            # The line where the board is now, such as one in the store, isn't the cause.
            tip = "Every comparison with NaN is false." if "nan" in wait else ""
            raise Unmet(f"400 to GET {self.path}?wait={wait}", unmet.got, tip) from None

    def answered(
        self, doing: Future, expected: str = "a response", seconds: float = SECONDS
    ) -> object:
        """Return the result of a request that is due now."""
        try:
            return doing.result(seconds * PATIENCE)
        except TimeoutError:
            raise self.server.unmet(expected, "none", seconds) from None

    def wait(self, who: str = "ada", wait: float | str = LONG, **query: object) -> Future:
        """Begin a request with `wait`, and return when the board has checked the room for it."""
        looks = self.count("list")
        asked = begin(lambda: self.ask(who, wait=wait, **query))
        eventually(
            lambda: self.count("list") > looks or asked.done(),
            f"the board to check for messages of {self.name}",
            lambda: "it didn't",
        )
        return asked

    def expect_news(
        self, asked: Future, messages: list[dict], expected: str = "a response"
    ) -> None:
        """Expect a waiting request to be answered with these messages."""
        answer, _ = self.answered(asked, expected)
        answer.expect_json({"messages": messages, "next": messages[-1]["id"]})

    def count(self, method: str) -> int:
        """Return how often the board has called this method of its store for the room."""
        return self.server.probe(PROBES, "calls", method, self.name)

    def watch_waits(self) -> None:
        """Record how long the app has `News` wait, from now on."""
        self.server.probe(PROBES, "watch_waits")

    def expect_waits(self, wait: str, seconds: float) -> None:
        """Expect the app to have called News.wait() once, with this time, or not at all."""
        waits = self.server.probe(PROBES, "waits")
        wanted = f"one call of News.wait(…, {seconds:g}) for wait={wait}"
        got = " and ".join(f"News.wait(…, {each!r})" for each in waits)
        expect(waits in ([], [seconds]), wanted, got)

    def settle(self, doing: Future, seconds: float = BRIEF) -> None:
        """Give a request a moment, because it may have to wait for the call that is paused."""
        deadline = time.monotonic() + seconds * PATIENCE
        eventually(lambda: doing.done() or time.monotonic() > deadline, "a moment", lambda: "none")

    def settle_looks(self, count: int, seconds: float = HOLD) -> None:
        """Give the board a moment to make this many checks. Fewer are fine."""
        deadline = time.monotonic() + seconds * PATIENCE
        eventually(
            lambda: self.count("list") >= count or time.monotonic() > deadline,
            "a moment",
            lambda: "none",
        )

    def hold(self, method: str, number: int) -> None:
        """Pause the board when it calls this method for the `number`th time from now."""
        self.server.probe(PROBES, "hold", method, self.name, number)

    def give_time(self, says: str) -> None:
        """Wait a moment for the call to be paused. It is fine if the board has no such call."""
        if self.server.probe(PROBES, "is_held", HOLD * PATIENCE):
            self.server.stage.wire.happened("test", says)

    def post_meanwhile(self) -> Future:
        """Post while a call is paused. The message is stored, and announced if nothing locks it."""
        stored, deadline = self.count("added"), time.monotonic() + HOLD * PATIENCE
        posted = begin(lambda: self.post(LONG))
        eventually(
            lambda: self.count("added") > stored or time.monotonic() > deadline,
            "a moment",
            lambda: "none",
        )
        self.settle(posted)
        return posted

    def let_go(self) -> None:
        """Let the paused call continue."""
        self.server.stage.wire.happened("test", "lets the board continue")
        self.server.probe(PROBES, "let_go")


def expect_nothing(asked: tuple[Answer, float], seconds: float) -> None:
    """Expect a 204 without a body, and not before this many seconds have passed."""
    answer, took = asked
    answer.expect_status(204)
    expect(answer.body == b"", "no body", answer.body.decode("utf-8", "replace"))
    expect(took >= seconds * EARLY, f"a response after {seconds:g} s, not before", f"{took:.2f} s")


def expect_looks(stage, looks: int | None, after: str) -> None:
    """Expect a thread in `News.wait` to have checked for its own message, and rarely more often."""
    said = f"one thread waits in News.wait(); after {after}, its room is announced"
    stage.wire.happened("test", said)
    expected = f"wait() to return the message, after {after}"
    expect(looks is not None, expected, f"nothing for {SECONDS * PATIENCE:g} s")
    expected = "checks at the start and for the one message only (4 at most)"
    expect(looks <= 4, expected, f"{looks} checks, after {after}")


def crowd(stage, room: Room, count: int, wait: float) -> list[BoundedSocket]:
    """Start this many waiting requests. Returns their connections once the board has checked.

    A board checks once for each request, and may check again under its lock: it gets a moment.
    """
    request = f"GET {room.path}?wait={wait}"
    looks, (host, port) = room.count("list"), room.server.host.split(":")
    connections = []
    for number in range(count):
        connection = stage.use(bounds.connect(host, int(port), LONG * PATIENCE))
        stage.wire.sent(f"p{number}", request)
        connection.sendall(f"{request} HTTP/1.1\r\nHost: {room.server.host}\r\n\r\n".encode())
        connections.append(connection)
    eventually(
        lambda: room.count("list") >= looks + count,
        f"the board to check for each of {count} requests",
        lambda: counted(room.count("list") - looks, "check"),
        LONG,
    )
    room.settle_looks(looks + 2 * count)
    return connections


def answers_to(people: list[BoundedSocket], room: Room) -> list[Answer]:
    """Return the responses to the crowd."""
    answers = []
    for number, connection in enumerate(people, 1):
        connection.allow(SECONDS * PATIENCE)
        try:
            response = http.client.HTTPResponse(connection)
            response.begin()
            answers.append(Answer(room.server.url, "GET", room.path, response, read_body(response)))
        except TooMuch:
            raise Unmet(f"a response of at most {LARGEST_IN_WORDS}", "a longer one") from None
        except (OSError, http.client.HTTPException, ValueError, OverflowError):
            others, _, _ = select.select([connection, *people[number:]], [], [], 0)
            got = f"{len(answers) + len(others)} of {len(people)} responses"
            trouble = room.server.trouble(f"No more arrived within {SECONDS * PATIENCE:g} s")
            expected = f"a response to each of {len(people)} waiting requests"
            raise Unmet(expected, f"{got}. {trouble}", where=trouble.where) from None
    return answers


def read(stage, board: ScriptedBoard, **options: object) -> Program:
    """Start the client."""
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    return stage.run("client.py", board.url, board.room, *words, events=Program.PAUSES)


def expect_all_read(program: Program, board: ScriptedBoard) -> None:
    """Expect the client to print every message once."""
    board.before_answer = lambda exchange: None
    board.post()  # A message that is printed twice is printed before this one.
    expect_printed(program, board.messages)


def expect_cursor(log: list[Exchange], after: int) -> None:
    """Expect each request to ask for the messages after this one."""
    for exchange in log:
        asked = exchange.query.get("after")
        expect(asked == str(after), f"a request with after={after}", exchange.target)
