"""Lesson 3: a request that waits for news. These tests are the lesson's specification.

The board is asked over HTTP. Where a task is about what happens between two steps of a request,
time is stopped there: the store holds a call of the board's until the test lets it go. The client
runs as a program, against a board of the grader's that does as it is told, as in lesson 2.
"""

import http.client
import json
import select
import socket
import time
from concurrent.futures import Future
from itertools import pairwise
from pathlib import Path

import pytest

from course.grading import Answer, Program, Server, expect, task
from course.grading.children import PATIENCE
from course.grading.expect import Unmet
from course.grading.scripted import CUT, GOOD, SILENCE, Exchange, Reply, ScriptedBoard
from course.grading.stage import SECONDS, begin, eventually

PROBES = Path(__file__).parent / "probes" / "03_long_polling.py"
JSON = {"Content-Type": "application/json"}
EMPTY = Reply(200, JSON, b'{"messages": [], "next": 0}')
EARLY = 0.9  # A clock may be coarse: a wait counts when this part of it has passed.
LONG = 30  # seconds; who waits for so long is woken before, or the test has failed
HOLD = 1.0  # seconds that a held call gives to somebody who may be waiting for it
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


class Room:
    """A room of the learner's board, and people who post there and wait for news."""

    def __init__(self, stage, server: Server) -> None:
        self.server, self.name = server, stage.name()
        self.path = f"/rooms/{self.name}/messages"
        self.text = stage.text

    def post(self, seconds: float = SECONDS) -> dict:
        """Post a message and return it as the board answered it."""
        body = {"author": "bob", "text": self.text()}
        message = self.server.client("bob", seconds).post(self.path, body).json(201)
        met = isinstance(message, dict) and type(message.get("id")) is int
        expect(met, "the message as a JSON object, with its id", message)
        return message

    def ask(self, who: str = "ada", **query: object) -> tuple[Answer, float]:
        """Ask for the list. Returns the answer and the seconds it took."""
        start = time.monotonic()
        answer = self.server.client(who, 2 * LONG).get(self.path, **query)
        return answer, time.monotonic() - start

    def answer_to_bad_wait(self, wait: str) -> Answer:
        """Ask with a `wait` that is to be refused, and so at once."""
        try:
            return self.server.client("ada").get(self.path, wait=wait)
        except Unmet as unmet:
            # Where the board is by now, such as in the store, is not where it went wrong.
            raise Unmet(f"400 to GET {self.path}?wait={wait}", unmet.got) from None

    def answered(
        self, doing: Future, expected: str = "an answer", seconds: float = SECONDS
    ) -> object:
        """Return the result of something begun, for which it is high time."""
        try:
            return doing.result(seconds * PATIENCE)
        except TimeoutError:
            raise self.server.unmet(expected, "none", seconds) from None

    def wait(self, who: str = "ada", wait: float | str = LONG, **query: object) -> Future:
        """Begin to ask with `wait`, and go on when the board has looked into the room for it."""
        looks = self.count("list")
        asked = begin(lambda: self.ask(who, wait=wait, **query))
        eventually(
            lambda: self.count("list") > looks or asked.done(),
            f"the board to look for messages of {self.name}",
            lambda: "it did not",
        )
        return asked

    def expect_news(self, asked: Future, messages: list[dict], expected: str = "an answer") -> None:
        """Hold that a request that waited is answered with these messages."""
        answer, _ = self.answered(asked, expected)
        answer.expect_json({"messages": messages, "next": messages[-1]["id"]})

    def count(self, method: str) -> int:
        """Return how often the board has called this method of its store for the room."""
        return self.server.probe(PROBES, "calls", method, self.name)

    def settle_looks(self, count: int) -> None:
        """Give the board a moment to have looked so often. It may do with fewer looks."""
        deadline = time.monotonic() + HOLD * PATIENCE
        eventually(
            lambda: self.count("list") >= count or time.monotonic() > deadline,
            "a moment",
            lambda: "none",
        )

    def hold(self, method: str, number: int) -> None:
        """Hold the board when it calls this method for the `number`th time from now."""
        self.server.probe(PROBES, "hold", method, self.name, number)

    def give_time(self, says: str) -> None:
        """Wait a moment for the call to be held. A board may have no such call: that is fine."""
        if self.server.probe(PROBES, "is_held", HOLD * PATIENCE):
            self.server.stage.wire.happened("test", says)

    def let_go(self) -> None:
        """Let the held call go on."""
        self.server.stage.wire.happened("test", "lets the board go on")
        self.server.probe(PROBES, "let_go")


@pytest.fixture
def server(stage) -> Server:
    """The learner's board."""
    return stage.serve()


@pytest.fixture
def room(stage, server) -> Room:
    """A room without messages."""
    return Room(stage, server)


def settle(doing: Future) -> None:
    """Give something a moment that may have to wait for what is held."""
    deadline = time.monotonic() + HOLD * PATIENCE
    eventually(lambda: doing.done() or time.monotonic() > deadline, "a moment", lambda: "none")


def expect_nothing(asked: tuple[Answer, float], seconds: float) -> None:
    """Hold a 204 without a body that did not come before so many seconds had passed."""
    answer, took = asked
    answer.expect_status(204)
    expect(answer.body == b"", "no body", answer.body.decode("utf-8", "replace"))
    expect(took >= seconds * EARLY, f"an answer after {seconds:g} s, not before", f"{took:.2f} s")


# wake


@task("wake", "News wakes all who wait for it", points=3)
def test_who_waits_has_the_message_long_before_the_deadline(room):
    asked = room.wait(after=0)

    message = room.post()

    room.expect_news(asked, [message])


@task("wake")
def test_what_is_there_already_is_not_waited_for(room):
    messages = [room.post() for _ in range(3)]

    for after in (0, messages[0]["id"]):
        asked = room.wait(after=after)

        there = [message for message in messages if message["id"] > after]
        room.expect_news(asked, there)


@task("wake")
def test_a_hundred_who_wait_all_have_the_message(stage):
    room = Room(stage, stage.serve(MAX_WAIT=600))
    people = crowd(stage, room, 100, wait=600)

    message = room.post()

    for answer in answers_to(people, room):
        answer.expect_json({"messages": [message], "next": message["id"]})


def crowd(stage, room: Room, count: int, wait: float) -> list[socket.socket]:
    """Have so many people ask to wait, and return their connections when the board has looked.

    A board looks for each of them once, and once more under its lock: that is waited for, a moment.
    """
    request = f"GET {room.path}?wait={wait}"
    looks, (host, port) = room.count("list"), room.server.host.split(":")
    connections = []
    for number in range(count):
        connection = stage.use(socket.create_connection((host, int(port)), LONG * PATIENCE))
        stage.wire.sent(f"p{number}", request)
        connection.sendall(f"{request} HTTP/1.1\r\nHost: {room.server.host}\r\n\r\n".encode())
        connections.append(connection)
    eventually(
        lambda: room.count("list") >= looks + count,
        f"the board to look for each of {count} people",
        lambda: f"{room.count('list') - looks} looks",
        LONG,
    )
    room.settle_looks(looks + 2 * count)
    return connections


def answers_to(people: list[socket.socket], room: Room) -> list[Answer]:
    """Return the answers to the crowd."""
    answers = []
    for number, connection in enumerate(people, 1):
        connection.settimeout(SECONDS * PATIENCE)
        try:
            response = http.client.HTTPResponse(connection)
            response.begin()
            answers.append(Answer(room.server.url, "GET", room.path, response, response.read()))
        except (OSError, http.client.HTTPException):
            others, _, _ = select.select([connection, *people[number:]], [], [], 0)
            got = f"{len(answers) + len(others)} of {len(people)} answers"
            trouble = room.server.trouble(f"No more came within {SECONDS * PATIENCE:g} s")
            expected = f"an answer to each of {len(people)} people who wait"
            raise Unmet(expected, f"{got}. {trouble}", where=trouble.where) from None
    return answers


@task("wake")
def test_who_waits_is_not_woken_by_the_clock(room):
    asked = room.wait(wait=3.2)

    room.answered(asked, "an answer at the deadline, 3.2 s", 2 * SECONDS)

    looks = room.count("list")
    expected = "looks at the start and at the deadline only, as nobody says anything (4 at most)"
    expect(looks <= 4, expected, f"{looks} looks in 3.2 s")


@task("wake")
def test_who_waits_is_not_woken_by_another_room(stage, server, room):
    other, asked = Room(stage, server), room.wait()

    for _ in range(20):
        other.post()
    room.expect_news(asked, [room.post()])

    looks = room.count("list")
    expected = f"looks at the start and for the one message in {room.name} only (4 at most)"
    expect(looks <= 4, expected, f"{looks} looks, with 20 messages in {other.name}")


@task("wake")
def test_nor_by_any_of_many_other_rooms(stage):
    looks = stage.probe(PROBES, "looks_among_rooms", 300, SECONDS * PATIENCE)

    expected = "who waits to have the message, after news of 300 other rooms"
    expect(looks is not None, expected, f"nothing for {SECONDS * PATIENCE:g} s")
    expected = "looks at the start and for the one message only (4 at most)"
    expect(looks <= 4, expected, f"{looks} looks, with news of 300 other rooms")


# lost


@task("lost", "What comes between looking and waiting is not missed", points=3)
@pytest.mark.parametrize("number", [1, 2])
def test_a_message_that_lands_right_after_a_look_is_not_missed(room, number):
    room.hold("list", number)
    asked = begin(lambda: room.ask(wait=LONG))
    room.give_time(f"stops the board right after look {number}, which found nothing")

    posted = begin(lambda: room.post(LONG))
    settle(posted)
    room.let_go()

    expected = f"bob's message for ada, though it came between look {number} and the wait"
    room.expect_news(asked, [room.answered(posted)], expected)


@task("lost")
@pytest.mark.parametrize("number", [1, 2])
def test_nor_is_it_when_somebody_else_begins_to_wait_meanwhile(room, number):
    room.hold("list", number)
    asked = begin(lambda: room.ask("ada", wait=LONG))
    room.give_time(f"stops the board right after look {number}, which found nothing for ada")

    posted = begin(lambda: room.post(LONG))
    settle(posted)
    settle(begin(lambda: room.ask("carol", wait=LONG, after=10**6)))
    room.let_go()

    expected = "bob's message for ada, though carol began to wait before ada was woken"
    room.expect_news(asked, [room.answered(posted)], expected)


@task("lost")
def test_nor_is_it_when_it_lands_right_after_the_look_of_who_was_woken_for_another(room):
    after = room.post()["id"] + 1
    room.hold("list", 3)
    asked = room.wait(after=after)
    room.settle_looks(2)

    posts = [begin(lambda: room.post(LONG))]
    room.give_time("stops the board right after look 3, for a message that ada did not ask for")
    posts.append(begin(lambda: room.post(LONG)))
    settle(posts[1])
    room.let_go()

    news = [m for m in map(room.answered, posts) if m["id"] > after]
    room.expect_news(asked, news, "bob's next message for ada, though it came after look 3")


@task("lost")
def test_who_is_woken_finds_the_message_there(room):
    asked = room.wait(wait=LONG)
    room.hold("add", 1)

    posted = begin(lambda: room.post(LONG))
    room.give_time("stops the board before the store keeps bob's message")
    room.settle_looks(room.count("list") + 1)
    room.let_go()

    expected = "bob's message for ada, as it is announced when it is kept, not before"
    room.expect_news(asked, [room.answered(posted)], expected)


# timeout


@task("timeout", "At the deadline it is 204, not before", points=2, needs="wake")
def test_where_no_message_comes_the_answer_is_204_at_the_deadline(room):
    for wait in ("0.5", "0", "+0.1", "1_0e-2", " 0.1 "):
        asked = room.wait(wait=wait)

        expect_nothing(room.answered(asked, f"204 after {wait} s"), float(wait))


@task("timeout")
def test_a_message_that_is_not_asked_for_does_not_move_the_deadline(room):
    asked = room.wait(wait=0.5, after=10**6)

    eventually(
        lambda: room.post() and asked.done(),
        "an answer after 0.5 s, whatever is posted below `after`",
        lambda: "none",
    )

    expect_nothing(room.answered(asked), 0.5)


@task("timeout")
def test_who_was_woken_for_nothing_waits_for_the_time_that_is_left(stage):
    waits = stage.probe(PROBES, "waits_after_vain_news", SECONDS)

    longest = max(waits, default=0)
    expected = "who was woken for nothing to wait for what is left of 60 s"
    expect(longest < 60, expected, f"another wait for {longest:g} s")


@task("timeout")
def test_nobody_waits_longer_than_max_wait(stage):
    room = Room(stage, stage.serve(MAX_WAIT=0.4))

    for wait in ("60", "1e6", "9" * 30, "inf", "1e999"):
        asked = room.wait(wait=wait)
        expect_nothing(room.answered(asked, "204 after 0.4 s, the MAX_WAIT of this board"), 0.4)
    expect_nothing(room.ask(wait=0.1), 0.1)


@task("timeout")
def test_with_a_max_wait_of_0_nobody_waits(stage):
    room = Room(stage, stage.serve(MAX_WAIT=0))

    asked = room.wait(wait=LONG)

    expect_nothing(room.answered(asked, "204 at once, as MAX_WAIT is 0"), 0)


@task("timeout")
def test_a_wait_that_is_no_time_is_400(stage, server, room):
    busy = Room(stage, server)
    busy.post()

    for asked in (room, busy):
        for wait in ("", "soon", "1,5", "-1", "-0.01", "-1e-9", "-inf", "nan"):
            answer = asked.answer_to_bad_wait(wait)

            answer.expect_problem(400)


@task("timeout")
def test_who_does_not_ask_to_wait_is_answered_as_before(room):
    answer, _ = room.ask()
    answer.expect_json({"messages": [], "next": 0})

    ada, tag = room.server.client("ada"), answer.headers["ETag"]
    again = ada.get(room.path, headers={"If-None-Match": tag or "none"})
    again.expect_status(304)


# leave


@task("leave", "Who has gone costs nothing", points=2, needs=("wake", "timeout"))
def test_who_hangs_up_is_gone_at_the_deadline(stage):
    server = stage.serve(MAX_WAIT=0.5)
    room = Room(stage, server)
    room.ask()
    before = server.census()

    for connection in crowd(stage, room, 30, wait=3600):
        connection.close()
    stage.wire.happened("all", "connections closed")

    server.expect_census(before)


@task("leave")
def test_who_has_the_message_leaves_no_thread_behind(server, room):
    room.post()
    before = server.census()
    last = room.post()["id"]

    waiting = [room.wait(f"p{n}", after=last) for n in range(5)]
    message = room.post()
    for asked in waiting:
        room.expect_news(asked, [message])

    server.expect_census(before)


@task("leave")
def test_who_goes_at_the_deadline_does_not_take_the_others_along(room):
    longer = room.wait("ada", wait=LONG)
    expect_nothing(room.answered(room.wait("carol", wait=0.1)), 0.1)

    message = room.post()

    room.expect_news(longer, [message])


@task("leave")
def test_a_room_that_nobody_waits_in_is_forgotten(stage):
    rooms = 100

    blocks = stage.probe(PROBES, "left_of_rooms", rooms)

    kept = f"about {blocks / rooms:.1f} blocks of memory for each of {rooms} rooms"
    expect(blocks < rooms / 2, "nothing to be kept of a room that nobody waits in", kept)


# client


@pytest.fixture
def board(stage) -> ScriptedBoard:
    """A room that the client reads."""
    return stage.use(ScriptedBoard(stage))


def read(stage, board: ScriptedBoard, **options: object) -> Program:
    """Start the client."""
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    return stage.run("client.py", board.url, board.room, *words)


def expect_printed(program: Program, messages: list[dict]) -> None:
    """Hold that the client has printed these messages, and nothing else."""
    seen = []
    for line in program.lines(len(messages)):
        try:
            seen.append(json.loads(line))
        except ValueError:
            expect(False, "each line on stdout to be a message as JSON", line)
    ids = [message.get("id") if isinstance(message, dict) else message for message in seen]
    wanted = [message["id"] for message in messages]
    expect(ids == wanted, f"each message once and in order, the ids {wanted}", ids)
    expect(seen == messages, "the messages as the board gave them", seen)


def expect_all_read(program: Program, board: ScriptedBoard) -> None:
    """Hold that the client reads all there is, each message once."""
    board.before_answer = lambda exchange: None
    board.post()  # What is printed twice is printed before this one.
    expect_printed(program, board.messages)


def expect_waits(log: list[Exchange], shortest: list[float]) -> None:
    """Hold that no wait from an answer to the next request was shorter."""
    waits = [after.received_at - before.answered_at for before, after in pairwise(log)]
    for number, (wait, least) in enumerate(zip(waits, shortest, strict=False), 1):
        met = wait >= least * EARLY
        after = f"after answer {number} ({log[number - 1].status or 'none'}) to the next request"
        expect(met, f"at least {least:g} s {after}", f"{wait:.3f} s")


@task("client", "A client that waits, and asks no more than it must", points=2)
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
def test_a_204_is_an_answer_and_no_fault(stage, board):
    board.post()

    program = read(stage, board, wait=0.01, interval=0.01)

    board.wait_for(14, program)
    expect_all_read(program, board)


@task("client")
def test_nor_is_a_page_without_messages(stage, board):
    board.order(*[EMPTY] * 14)

    program = read(stage, board, wait=0.01, interval=0.01)

    board.wait_for(15, program)
    expect_all_read(program, board)


@task("client")
def test_a_board_that_does_not_wait_is_not_asked_without_a_pause(stage, board):
    board.order(Reply(204), EMPTY, Reply(204))

    program = read(stage, board, interval=0.3)

    expect_waits(board.wait_for(4, program), [0.3, 0.3, 0.3])
    expect_all_read(program, board)


@task("client")
def test_the_client_is_more_patient_than_the_board(stage, board):
    board.order(SILENCE)

    program = read(stage, board, wait=0.5, timeout=1.5, interval=0.01)

    first, second = board.wait_for(2, program)[:2]
    met = float(first.query.get("wait") or 0) == 0.5
    expect(met, "a request with wait=0.5", first.target)
    waited = second.received_at - first.received_at
    expected = "an answer to be awaited for wait + timeout, 2 s"
    expect(waited >= 2 * EARLY, expected, f"{waited:.2f} s")


@task("client")
def test_the_end_of_for_ends_the_client_while_the_board_holds_its_request(stage, board):
    program = read(stage, board, **{"wait": 25, "for": 1})

    program.end()


@task("client")
def test_after_a_fault_the_client_backs_off_loses_nothing_and_repeats_nothing(stage, board):
    def three_posts(exchange: Exchange) -> None:
        for _ in range(3):
            board.post()

    board.before_answer = three_posts
    for fault in FAULTS.values():
        board.order(GOOD, fault)

    program = read(stage, board, interval=0.1)

    log = board.wait_for(2 * len(FAULTS) + 1, program)
    expect_waits(log, [0, 0.1] * len(FAULTS))
    expect_all_read(program, board)


@task("client")
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_the_wait_doubles_as_long_as_the_fault_lasts(stage, board, fault):
    board.post()
    board.order(*[fault] * 4)

    program = read(stage, board, interval=0.02)

    log = board.wait_for(5, program)
    expect_waits(log, [0.02, 0.04, 0.08, 0.16])
    expect_all_read(program, board)


@task("client")
def test_the_client_waits_as_long_as_the_board_asks(stage, board):
    board.order(Reply(503, {"Retry-After": "1"}))

    program = read(stage, board, interval=0.02)

    log = board.wait_for(2, program)
    expect_waits(log, [1.0])
    expect_all_read(program, board)
