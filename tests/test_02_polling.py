"""Lesson 2: a client that polls. These tests are the lesson's specification.

The app is asked over HTTP, as in lesson 1. The client runs as a program, against a board of the
grader's that does as it is told: `board.order(CUT)` has it cut its next answer in the middle.
"""

import json
import time
from datetime import datetime
from itertools import pairwise

import pytest

from course.grading import Answer, Program, expect, task
from course.grading.scripted import CUT, GOOD, SILENCE, Exchange, Reply, ScriptedBoard

JSON = {"Content-Type": "application/json"}
COST = ["requests", "empty", "bytes_sent", "bytes_received", "messages", "mean_age"]
LATER = Reply(503, {"Retry-After": "60"})
PROXY = Reply(200, {"Content-Type": "text/html", "ETag": '"proxy"'}, b"<h1>Welcome</h1>")
EARLY = 0.9  # A clock may be coarse: a wait counts when this part of it has passed.
MOMENT = 0.5  # seconds that a program has to get from an answer to its wait
NEAR = 0.002  # seconds; ages are in milliseconds


@pytest.fixture
def board(stage) -> ScriptedBoard:
    """A room that the client reads."""
    return stage.use(ScriptedBoard(stage))


def read(stage, board: ScriptedBoard, interval: float, *more: object) -> Program:
    """Start the client."""
    words = (board.url, board.room, "--interval", interval, *more)
    return stage.run("client.py", *words, events=("socket.connect",))


def printed(program: Program, count: int) -> list[dict]:
    """Wait until the client has printed so many messages; return all that it printed."""
    messages = []
    for line in program.lines(count):
        try:
            messages.append(json.loads(line))
        except ValueError:
            expect(False, "each line on stdout to be a message as JSON", line)
    return messages


def expect_printed(program: Program, messages: list[dict]) -> None:
    """Hold that the client has printed these messages, and nothing else."""
    seen = printed(program, len(messages))
    for number, (got, wanted) in enumerate(zip(seen, messages, strict=False), 1):
        one_id = got.get("id") if isinstance(got, dict) else got
        expect(one_id == wanted["id"], f"the id {wanted['id']} in line {number}", one_id)
        expect(got == wanted, f"line {number} as the board gave it: {json.dumps(wanted)}", got)
    expect(len(seen) == len(messages), f"{len(messages)} lines, and no more", len(seen))


def expect_all_read(program: Program, board: ScriptedBoard) -> None:
    """Hold that the client reads all there is, each message once."""
    board.before_answer = lambda exchange: None
    board.post()  # What is printed twice is printed before this one.
    expect_printed(program, board.messages)


def waits(log: list[Exchange]) -> list[float]:
    """Return the seconds from the end of each answer to the next request."""
    return [after.received_at - before.answered_at for before, after in pairwise(log)]


def expect_waits(log: list[Exchange], shortest: list[float]) -> None:
    """Hold that no wait was shorter."""
    for number, (wait, least) in enumerate(zip(waits(log), shortest, strict=False), 1):
        met = wait >= least * EARLY
        after = f"after answer {number} ({log[number - 1].status or 'none'}) to the next request"
        expect(met, f"at least {least:g} s {after}", f"{wait:.3f} s")


def expect_end(program: Program) -> dict:
    """Hold that the client ends well, and return the cost that it printed."""
    status = program.end()
    last = program.err.rstrip().split("\n")[-1]
    expect("Traceback" not in program.err, "an end without a traceback", last)
    expect(status == 0, "the exit status 0", status)
    try:
        cost = json.loads(last)
    except ValueError:
        cost = None
    met = isinstance(cost, dict) and all(name in cost for name in COST)
    expect(met, f"a last line on stderr, of JSON, with {', '.join(COST)}", last)
    return cost


def cost_of(program: Program, board: ScriptedBoard) -> dict:
    """Stop the client when it is done with the board's last answer, and return the cost."""
    board.wait_until_refused(program)
    program.interrupt()
    return expect_end(program)


# cursor


@task("cursor", "The client prints every message once", points=2)
def test_a_room_is_read_to_its_end_page_after_page(stage, board):
    for _ in range(401):
        board.post()
    for message in board.messages[-2:]:
        message["text"] = "  the same, twice  "

    program = read(stage, board, 30)

    expect_printed(program, board.messages)
    asked = [exchange.query for exchange in board.log]
    expect(all(query.get("limit") == "200" for query in asked), "pages of 200", asked)


@task("cursor")
def test_each_request_asks_only_for_what_is_new(stage, board):
    board.order(Reply(200, JSON, b'{"messages": [], "next": 1}'))  # The first id is above 1.
    program = read(stage, board, 0.01)
    for number in (1, 2, 3):
        board.wait_for(3 * number, program)
        board.post()
        board.post()
        expect_printed(program, board.messages)

    expect_all_read(program, board)
    cursor = 0
    for exchange in board.log:
        after = int(exchange.query.get("after", "0"))
        expect(after == cursor, f"a request with after={cursor}", exchange.target)
        cursor = exchange.messages[-1]["id"] if exchange.messages else max(cursor, 1)


@task("cursor")
def test_the_interval_passes_between_an_answer_and_the_next_request(stage, board):
    board.post()

    program = read(stage, board, 0.06)

    log = board.wait_for(4, program)
    expect_waits(log, [0.06, 0.06, 0.06])


# etag


def tag_of(answer: Answer) -> str:
    """Return the answer's ETag, which must be a strong one."""
    tag = answer.headers["ETag"] or ""
    met = len(tag) > 2 and tag.startswith('"') and tag.endswith('"')
    expect(met, 'a strong ETag, such as ETag: "5f2a"', tag or "none")
    return tag


@task("etag", "What the client has is not sent again", points=2, needs="cursor")
def test_an_answer_that_the_client_has_is_304_without_a_body(stage):
    ada, path = stage.serve().client("ada"), f"/rooms/{stage.name()}/messages"
    ada.post(path, {"author": "ada", "text": stage.text()})
    tag = tag_of(ada.get(path))

    several = (f'"a", {tag}', f'"a",{tag}', f'"a", W/{tag}', f'{tag}, "a"')
    for has in (tag, f"W/{tag}", "*", *several):
        again = ada.get(path, headers={"If-None-Match": has})

        again.expect_status(304)
        expect(again.body == b"", "no body", again.body.decode("utf-8", "replace"))
        expect(tag_of(again) == tag, f"the same ETag, {tag}", again.headers["ETag"])
    for has in ('"a"', '"a", "b"', f'{tag[:-1]}x"'):
        ada.get(path, headers={"If-None-Match": has}).json()


@task("etag")
def test_the_tag_changes_when_the_answer_does_and_only_then(stage):
    ada, path = stage.serve().client("ada"), f"/rooms/{stage.name()}/messages"
    ada.post(path, {"author": "ada", "text": stage.text()})
    tag, first = tag_of(ada.get(path)), tag_of(ada.get(path, limit=1))

    ada.post(f"/rooms/{stage.name()}/messages", {"author": "ada", "text": "elsewhere"})
    same = tag_of(ada.get(path))
    ada.post(path, {"author": "ada", "text": stage.text()})
    other, same_first = tag_of(ada.get(path)), tag_of(ada.get(path, limit=1))

    expect(same == tag, f"{tag} still, since the answer is the same", same)
    expect(other != tag, "another ETag, since there is a new message", other)
    expect(same_first == first, f"{first} still, since the first page is the same", same_first)


@task("etag")
def test_two_answers_that_differ_never_share_a_tag(stage):
    ada, bodies = stage.serve().client("ada"), {}
    for path in (f"/rooms/{stage.name()}/messages" for _ in range(2)):
        for _ in range(3):
            ada.post(path, {"author": "ada", "text": "hi"})
        first = ada.get(path, limit=1).json()["next"]
        second = ada.get(path, limit=2).json()["next"]
        last = ada.get(path).json()["next"]
        afters = [{"after": after} for after in (first, second, last, last + 1)]
        for query in ({}, {"limit": 1}, *afters, {"after": first, "limit": 1}):
            answer = ada.get(path, **query)

            body, target = bodies.setdefault(tag_of(answer), (answer.body, answer.target))

            other = f"another ETag than that of {target}, whose answer is another"
            expect(body == answer.body, other, f"{tag_of(answer)} for {answer.target}")


@task("etag")
def test_the_tag_outlives_a_restart(stage):
    server, path = stage.serve(), f"/rooms/{stage.name()}/messages"
    ada = server.client("ada")
    ada.post(path, {"author": "ada", "text": stage.text()})
    tag = tag_of(ada.get(path))

    server.kill()
    again = tag_of(stage.serve(fresh=True).client("ada").get(path))

    expect(again == tag, f"{tag} still, since the answer is the same", again)


@task("etag")
def test_the_client_sends_the_tag_of_the_answer_that_it_has(stage, board):
    board.post()
    program = read(stage, board, 0.02)

    log = board.wait_for(6, program)

    for before, exchange in pairwise(log):
        if before.target == exchange.target and before.tag:
            has = exchange.headers.get("if-none-match", "none")
            expect(before.tag in has, f"If-None-Match: {before.tag}", has)
    expect_all_read(program, board)


@task("etag")
def test_a_304_is_an_answer_and_no_fault(stage, board):
    board.post()

    program = read(stage, board, 0.01)

    board.wait_for(16, program)
    expect_all_read(program, board)


# faults


@task("faults", "Faults lose nothing and repeat nothing", points=3, needs="cursor")
def test_backoff_is_random_between_half_and_the_whole_of_a_doubled_interval(stage):
    backoff = stage.function("client", "backoff")
    cases = [(1, 0.5), (2, 0.5), (3, 0.25), (4, 1.0), (6, 1.0), (12, 0.005), (1, 60.0)]

    for failures, interval in [*cases, (50, 0.2), (5000, 0.2)]:
        whole, seconds = min(30.0, interval * 2 ** min(failures, 50)), []
        for _ in range(100):
            seconds.append(backoff(failures, interval))

            number = type(seconds[-1]) in (int, float)
            expect(number, "a number of seconds", seconds[-1])
            inside = whole / 2 - 1e-9 <= seconds[-1] <= whole + 1e-9
            expect(inside, f"a wait from {whole / 2:g} to {whole:g} s", seconds[-1])
        met = min(seconds) < whole * 2 / 3 and max(seconds) > whole * 5 / 6
        wanted = f"100 waits by chance from all between {whole / 2:g} and {whole:g} s"
        expect(met, wanted, f"none below {min(seconds):g} s or above {max(seconds):g} s")


@task("faults")
def test_two_clients_draw_waits_of_their_own(stage):
    one, other = (stage.function("client", "backoff") for _ in range(2))

    waits = [[backoff(3, 1.0) for _ in range(5)] for backoff in (one, other)]

    expect(waits[0] != waits[1], "other waits than those of another client", waits[1])


@task("faults")
def test_after_a_fault_the_client_goes_on_loses_nothing_and_repeats_nothing(stage, board):
    def three_posts(exchange: Exchange) -> None:
        for _ in range(3):
            board.post()

    faults = [
        Reply(500),
        Reply(503),
        Reply(400),
        Reply(401),
        Reply(404, JSON, b'{"status": 404}'),
        CUT,
        PROXY,
        Reply(200, JSON, b""),
        Reply(200, JSON, b"null"),
        Reply(200, JSON, b'["messages"]'),
        Reply(200, JSON, b'{"error": "try later"}'),
        Reply(200, JSON, b'{"messages": null, "next": 1000000}'),
        Reply(200, JSON, b'{"messages": {}, "next": 9}'),
        Reply(200, JSON, b'{"messages": [], "next": null}'),
        Reply(200, JSON, b'{"messages": [], "next": "7"}'),
        Reply(200, JSON, b'{"next": 9}'),
    ]
    board.before_answer = three_posts
    for fault in faults:
        board.order(GOOD, fault)

    program = read(stage, board, 0.01)

    board.wait_for(2 * len(faults) + 1, program)
    expect_all_read(program, board)


@task("faults")
@pytest.mark.parametrize(
    "fault",
    [Reply(404), PROXY, Reply(200, JSON, b"null"), CUT],
    ids=["not found", "no JSON", "no page", "cut"],
)
def test_the_wait_doubles_as_long_as_the_fault_lasts(stage, board, fault):
    board.order(*[fault] * 5)

    program = read(stage, board, 0.02)

    log = board.wait_for(6, program)
    expect_waits(log, [0.02, 0.04, 0.08, 0.16, 0.32])
    expect_all_read(program, board)


@task("faults")
def test_the_wait_doubles_whatever_fault_comes_next(stage, board):
    board.order(Reply(404), PROXY, Reply(200, JSON, b"null"), CUT)

    program = read(stage, board, 0.03)

    log = board.wait_for(5, program)
    expect_waits(log, [0.03, 0.06, 0.12, 0.24])
    expect_all_read(program, board)


@task("faults")
def test_a_dozen_failures_are_not_the_end(stage, board):
    # What the board asks for once is for once: each time, it would take too long.
    board.order(Reply(503, {"Retry-After": "1"}), *[Reply(500)] * 11)

    program = read(stage, board, 0.0001)

    board.wait_for(13, program)
    expect_all_read(program, board)


@task("faults")
def test_a_board_that_asks_for_less_is_spared_all_the_same(stage, board):
    board.order(*[Reply(503, {"Retry-After": "0"})] * 4)

    program = read(stage, board, 0.01)

    log = board.wait_for(5, program)
    expect_waits(log, [0.01, 0.02, 0.04, 0.08])
    expect_all_read(program, board)


@task("faults")
def test_so_is_a_board_that_asks_for_less_than_the_interval(stage, board):
    board.order(Reply(503, {"Retry-After": "1"}))

    program = read(stage, board, 1.3)

    log = board.wait_for(2, program)
    expect_waits(log, [1.3])
    expect_all_read(program, board)


@task("faults")
def test_after_a_good_answer_the_backoff_starts_again(stage, board):
    board.order(*[Reply(500), Reply(500), GOOD] * 10)

    program = read(stage, board, 0.005)

    board.wait_for(31, program)
    expect_all_read(program, board)


@task("faults")
def test_a_fault_takes_no_tag_away_and_brings_none(stage, board):
    board.post()
    board.order(GOOD, GOOD, Reply(500), PROXY)

    program = read(stage, board, 0.01)

    log = board.wait_for(6, program)
    tag = log[1].tag
    for exchange in log[2:]:
        has = exchange.headers.get("if-none-match", "none")
        expect(tag in has, f"If-None-Match: {tag}, of the last good answer", has)
    expect_all_read(program, board)


@task("faults")
def test_the_client_waits_as_long_as_the_board_asks(stage, board):
    board.order(Reply(500), *(Reply(status, {"Retry-After": "1"}) for status in (503, 429)))

    program = read(stage, board, 0.02)

    log = board.wait_for(4, program)
    expect_waits(log, [0.02, 1.0, 1.0])
    expect_all_read(program, board)


@task("faults")
def test_a_refused_connection_is_tried_again(stage, board):
    board.refuse()
    board.post()
    program = read(stage, board, 0.02)
    board.wait_until_refused(program)

    board.accept()

    expect_all_read(program, board)


# stop


@task("stop", "It ends when it is told to", points=1, needs="faults")
def test_the_end_of_for_ends_it_whatever_it_is_doing(stage):
    programs = []
    for what, reply in (("answers", GOOD), ("says 503", LATER), ("says nothing", SILENCE)):
        board = stage.use(ScriptedBoard(stage))
        board.order(reply)
        programs.append(read(stage, board, 0.05, "--for", 0.3))
        programs[-1].name = f"client.py, whose board {what},"

    for program in programs:
        expect_end(program)


@task("stop")
def test_it_reads_to_the_end_of_for_also_where_no_request_comes_any_more(stage, board):
    start = time.monotonic()

    program = read(stage, board, 60, "--for", 2)

    expect_end(program)
    seconds = time.monotonic() - start
    expect(seconds >= 2 * EARLY, "an end 2 s after the start", f"one after {seconds:.2f} s")


@task("stop")
def test_ctrl_c_ends_it_while_it_waits(stage, board):
    board.post()
    program = read(stage, board, 60)
    expect_printed(program, board.messages)
    # It waits now. A moment goes by in which it does nothing else.
    program.wait_for_event("socket.connect", program.events("socket.connect") + 1, MOMENT)

    program.interrupt()

    expect_end(program)


@task("stop")
def test_ctrl_c_ends_it_while_it_backs_off(stage, board):
    board.post()
    board.order(GOOD, LATER)
    program = read(stage, board, 0.02)
    expect_printed(program, board.messages)
    board.wait_for(2, program)

    program.interrupt()

    expect_end(program)


@task("stop")
def test_ctrl_c_ends_it_while_it_waits_for_an_answer(stage, board):
    board.order(SILENCE)
    program = read(stage, board, 0.02)
    board.wait_for(1, program)

    program.interrupt()

    expect_end(program)


# cost


def expect_near(name: str, got: object, wanted: float, part: float) -> None:
    """Hold that a number of the cost is right, but for a part of it."""
    met = type(got) in (int, float) and abs(got - wanted) <= part * wanted
    expect(met, f"{name} to be {wanted:g}, or within {part:.0%} of it", got)


@task("cost", "It knows what it costs", points=2, needs="faults")
def test_its_numbers_are_those_that_the_board_counted(stage, board):
    def one_post(exchange: Exchange) -> None:
        if len(board.log) == 6:
            board.post()

    board.post()
    board.post()
    board.before_answer = one_post
    board.order(GOOD, GOOD, GOOD, Reply(500, JSON, b'{"status": 500}'))
    board.refuse_after(9)
    program = read(stage, board, 0.01)

    cost = cost_of(program, board)

    empty = sum(not e.messages for e in board.log if e.status in (200, 304))
    counted = {"requests": 9, "empty": empty, "messages": 3}
    got = {name: cost[name] for name in counted}
    expect(got == counted, json.dumps(counted), got)
    expect_near("bytes_sent", cost["bytes_sent"], sum(e.bytes_in for e in board.log), 0.02)
    received = sum(e.bytes_out for e in board.log)
    expect_near("bytes_received", cost["bytes_received"], received, 0.02)


@task("cost")
def test_a_request_without_an_answer_is_counted_and_a_refused_connection_is_not(stage, board):
    board.post()
    board.order(CUT)
    board.refuse_after(3)
    board.refuse()
    program = read(stage, board, 0.02)
    board.wait_until_refused(program)

    board.accept()
    board.wait_for(3, program)
    cost = cost_of(program, board)

    expect(cost["requests"] == 3, '"requests": 3', cost)


@task("cost")
def test_without_a_message_there_is_no_mean_age(stage, board):
    board.refuse_after(2)
    program = read(stage, board, 0.02)

    cost = cost_of(program, board)

    expect(cost["mean_age"] is None, '"mean_age": null', cost)


@task("cost")
def test_the_mean_age_is_that_of_the_messages_when_they_were_seen(stage, board):
    for age in (9, 0):
        board.post(sent_at=time.time() - age)
    program = read(stage, board, 0.03)
    printed(program, 2)
    seen = [time.time()] * 2
    for count in (3, 4, 5):
        board.post(sent_at=time.time() - stage.random.uniform(0, 5))
        printed(program, count)
        seen.append(time.time())
    board.refuse_after(len(board.log) + 3)

    cost = cost_of(program, board)

    sent = [time_of(message) for message in board.messages]
    given = [e.answered_at for e in board.log for _ in e.messages]
    expect_age(cost["mean_age"], mean(given) - mean(sent), mean(seen) - mean(sent))


@task("cost")
def test_predict_says_what_was_counted(stage, board):
    def two_posts(exchange: Exchange) -> None:
        for before, now in list(pairwise(e.received_at for e in board.log))[-1:]:
            board.post(sent_at=before + (now - before) / 4)
            board.post(sent_at=before + (now - before) * 3 / 4)

    board.before_answer = two_posts
    board.refuse_after(7)
    program = read(stage, board, 0.03)
    seen = []
    for count in range(2, 13, 2):
        printed(program, count)
        seen += [time.time()] * 2
    cost = cost_of(program, board)

    asked = [e.received_at for e in board.log]
    gap = (asked[-1] - asked[0]) / 6
    rate = 12 / (asked[-1] - asked[0])
    requests, age = predicted(stage, gap, rate)

    expect(abs(requests - 6 / 12) < NEAR, "0.5 requests a message, as counted", requests)
    slack = mean(seen) - mean([time for time in asked[1:] for _ in range(2)]) + NEAR
    met = abs(age - cost["mean_age"]) <= slack
    expect(met, f"a mean age near the {cost['mean_age']:.3f} s that was counted", age)


@task("cost")
def test_predict_holds_for_any_interval_and_rate(stage):
    for _ in range(5):
        interval, rate = stage.random.uniform(0.1, 60), stage.random.uniform(0.01, 20)

        requests, age = predicted(stage, interval, rate)

        expect_near("requests a message", requests, 1 / (interval * rate), 1e-6)
        expect_near("the mean age", age, interval / 2, 1e-6)


def predicted(stage, interval: float, rate: float) -> list[float]:
    """Return the two numbers of `predict`."""
    numbers = stage.function("client", "predict")(interval, rate)
    met = isinstance(numbers, list) and [type(n) in (int, float) for n in numbers] == [True, True]
    expect(met, "two numbers: requests a message, and the mean age in seconds", numbers)
    return numbers


def expect_age(age: object, least: float, most: float) -> None:
    """Hold a mean age between what the board and the reader of stdout saw."""
    met = type(age) in (int, float) and least - NEAR <= age <= most + NEAR
    expect(met, f"a mean_age from {least:.3f} to {most:.3f} s", age)


def time_of(message: dict) -> float:
    """Return when a message was posted, in seconds as time.time() counts them."""
    return datetime.fromisoformat(message["sent_at"]).timestamp()


def mean(numbers: list[float]) -> float:
    """Return the mean."""
    return sum(numbers) / len(numbers)
