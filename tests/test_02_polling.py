"""Lesson 2: a client that polls. These tests are the lesson's specification.

The app is tested over HTTP, as in lesson 1. The client runs as a program and polls a board of the
grader, which follows orders: `board.order(CUT)` makes it cut off its next response.
"""

import json
import threading
import time
from datetime import datetime
from itertools import pairwise

import pytest

from course.grading import Answer, Program, expect, task
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
    printed,
)
from course.grading.waiting import eventually

JSON = {"Content-Type": "application/json"}
COST = ["requests", "empty", "bytes_sent", "bytes_received", "messages", "mean_age"]
LATER = Reply(503, {"Retry-After": "3600"})
PROXY = Reply(200, {"Content-Type": "text/html", "ETag": '"proxy"'}, b"<h1>Welcome</h1>")
MOMENT = 0.5  # seconds, enough for a program to get from a response to its wait
NEAR = 0.002  # seconds; ages are in milliseconds


@pytest.fixture
def board(stage) -> ScriptedBoard:
    """A room that the client reads."""
    return stage.use(ScriptedBoard(stage))


def read(stage, board: ScriptedBoard, interval: float, *more: object) -> Program:
    """Start the client."""
    words = (board.url, board.room, "--interval", interval, *more)
    return stage.run("client.py", *words, events=Program.PAUSES)


def page(messages: list, following: object) -> Reply:
    """Return a response with this page."""
    body = json.dumps({"messages": messages, "next": following}).encode()
    return Reply(200, JSON, body)


# cursor


@task("cursor", "The client prints every message once", points=2)
def test_a_room_is_read_to_its_end_page_by_page(stage, board):
    for _ in range(401):
        board.post()
    for message in board.messages[-2:]:
        message["text"] = "  the same, twice  "
    board.messages[7]["stars"] = ["bob", None, 2.5]

    program = read(stage, board, 30)

    expect_printed(program, board.messages)
    asked = [exchange.query for exchange in board.log]
    expect(all(query.get("limit") == "200" for query in asked), "pages of 200", asked)


@task("cursor")
def test_each_request_asks_only_for_new_messages(stage, board):
    board.order(page([], 1))  # The first id is above 1.
    program = read(stage, board, 0.01)
    for number in (1, 2, 3):
        board.wait_for(3 * number, program)
        board.post()
        board.post()
        expect_printed(program, board.messages)

    expect_all_read(program, board)
    cursor = 0
    for exchange in board.log:
        after = exchange.query.get("after", "0")
        expect(after == str(cursor), f"a request with after={cursor}", exchange.target)
        cursor = exchange.messages[-1]["id"] if exchange.messages else max(cursor, 1)


@task("cursor")
def test_next_is_the_cursor_even_if_no_message_has_that_id(stage, board):
    message = board.post()
    following = message["id"] + 1  # The next id is at least two higher.
    board.order(page([message], following))

    program = read(stage, board, 0.01)

    log = board.wait_for(3, program)
    for exchange in log[1:]:
        after = exchange.query.get("after")
        expect(after == str(following), f"a request with after={following}", exchange.target)
    expect_all_read(program, board)


@task("cursor")
def test_the_interval_passes_between_a_response_and_the_next_request(stage, board):
    def slow_post(exchange: Exchange) -> None:
        board.post()
        threading.Event().wait(0.05)

    board.before_answer = slow_post
    board.order(*[page([], 1)] * 3)  # The first id is above 1.

    program = read(stage, board, 0.05)

    log = board.wait_for(7, program)
    after = [*["an empty page"] * 3, *["a page with messages"] * 3]
    expect_pauses(program, log, [(0.05, 0.05)] * 6, after)
    expect_all_read(program, board)


# etag


@task("etag", "A client doesn't get the same page twice", points=2, needs="cursor")
def test_a_page_that_the_client_has_is_304_without_a_body(stage):
    ada, paths = stage.serve().client("ada"), [f"/rooms/{stage.name()}/messages" for _ in range(2)]
    ada.post(paths[0], {"author": "ada", "text": stage.text()})
    for path in paths:
        tag = tag_of(ada.get(path))

        two = (f'"a", {tag}', f'"a",{tag}', f'"a", W/{tag}', f'{tag}, "a"', f'"a,b", {tag}')
        several = (*two, f'"a", {tag}, "b"', f'W/"a",W/{tag},W/"b"', f'"a" , {tag} , "b"')
        for has in (tag, f"W/{tag}", "*", *several):
            again = ada.get(path, headers={"If-None-Match": has})

            again.expect_status(304)
            expect(again.body == b"", "no body", again.body.decode("utf-8", "replace"))
            expect(tag_of(again) == tag, f"the same ETag, {tag}", again.headers["ETag"])
        for has in ('"a"', '"a", "b"', f'{tag[:-1]}x"', f'"x{tag[1:]}', '"*"'):
            ada.get(path, headers={"If-None-Match": has}).json()


@task("etag")
def test_the_tag_changes_when_the_page_does_and_only_then(stage):
    ada, path = stage.serve().client("ada"), f"/rooms/{stage.name()}/messages"
    ada.post(path, {"author": "ada", "text": "the same"})
    first, seen = tag_of(ada.get(path, limit=1)), [tag_of(ada.get(path))]
    for number in range(1, 5):
        ada.post(f"/rooms/{stage.name()}/messages", {"author": "ada", "text": "the same"})
        same = tag_of(ada.get(path))
        expect(same == seen[-1], f"the ETag {seen[-1]}, because the page is the same", same)

        ada.post(path, {"author": "ada", "text": "the same"})

        changed = ada.get(path, headers={"If-None-Match": ", ".join(seen)})
        posted = changed.json()["messages"]
        expect(len(posted) == number + 1, f"{number + 1} messages", posted)
        seen.append(tag_of(changed))
        other = f"an ETag other than {', '.join(seen[:-1])}, because there is a new message"
        expect(len(set(seen)) == len(seen), other, seen[-1])
        same_first = tag_of(ada.get(path, limit=1))
        expect(same_first == first, f"the ETag {first}, because that page is the same", same_first)


@task("etag")
def test_different_pages_never_share_a_tag(stage):
    ada, bodies = stage.serve().client("ada"), {}
    for path in (f"/rooms/{stage.name()}/messages" for _ in range(2)):
        for _ in range(3):
            ada.post(path, {"author": "ada", "text": "hi"})
        first = ada.get(path, limit=1).json()["next"]
        second = ada.get(path, limit=2).json()["next"]
        last = ada.get(path).json()["next"]
        afters = [{"after": after} for after in (first, second, *range(last, last + 60))]
        for query in ({}, {"limit": 1}, {"after": first, "limit": 1}, *afters):
            answer = ada.get(path, **query)

            body, target = bodies.setdefault(tag_of(answer), (answer.body, answer.target))

            other = f"an ETag other than that of {target}, which is a different page"
            expect(body == answer.body, other, f"{tag_of(answer)} for {answer.target}")


@task("etag")
def test_the_tag_survives_a_restart(stage):
    server, path = stage.serve(), f"/rooms/{stage.name()}/messages"
    ada = server.client("ada")
    ada.post(path, {"author": "ada", "text": stage.text()})
    tag, second = tag_of(ada.get(path)), int(time.time())

    server.kill()
    ada = stage.serve(fresh=True).client("ada")
    eventually(lambda: int(time.time()) > second, "the next second", lambda: "the same second")
    again = tag_of(ada.get(path))

    expect(again == tag, f"the ETag {tag}, because the page is the same", again)


@task("etag")
def test_the_client_sends_the_tag_of_the_page_that_it_has(stage, board):
    board.post()
    program = read(stage, board, 0.02)

    log = board.wait_for(6, program)

    for before, exchange in pairwise(log):
        if before.target == exchange.target and before.tag:
            has = exchange.headers.get("if-none-match", "none")
            expect(before.tag in has, f"If-None-Match: {before.tag}", has)
    expect_all_read(program, board)


@task("etag")
def test_a_304_is_not_a_fault(stage, board):
    board.post()

    program = read(stage, board, 0.01)

    log = board.wait_for(16, program)
    expect_pauses(program, log, [(0.01, 0.01)] * 15, ["a message", *["no message"] * 14])
    expect_all_read(program, board)


# faults

FAULTS = {
    "a 500": Reply(500),
    "a 400": Reply(400),
    "a 401": Reply(401),
    "a 404": Reply(404, JSON, b'{"status": 404}'),
    "an incomplete response": CUT,
    "HTML with status 200": PROXY,
    "an empty body": Reply(200, JSON, b""),
    "JSON that isn't an object": Reply(200, JSON, b"null"),
}
NOT_PAGES = [
    b'["messages", "next"]',
    b'{"error": "try later"}',
    b'{"messages": null, "next": 1000000}',
    b'{"messages": {}, "next": 9}',
    b'{"messages": [], "next": null}',
    b'{"messages": [], "next": "7"}',
    b'{"messages": [], "next": 7.5}',
    b'{"messages": []}',
    b'{"next": 9}',
    b'{"messages": [1], "next": 9}',
    b'{"messages": [null], "next": 9}',
    b'{"messages": ["sent_at"], "next": 9}',
    b'{"messages": [{"id": 9}], "next": 9}',
    b'{"messages": [{"id": 9, "sent_at": null}], "next": 9}',
    b'{"messages": [{"id": 9, "sent_at": "today"}], "next": 9}',
]


@task("faults", "The client recovers from every fault", points=3, needs="cursor")
def test_backoff_is_random_between_half_and_all_of_a_doubled_interval(stage):
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
        wanted = f"100 random waits, spread between {whole / 2:g} and {whole:g} s"
        expect(met, wanted, f"none below {min(seconds):g} s or above {max(seconds):g} s")


@task("faults")
def test_two_clients_draw_different_waits(stage):
    one, other = (stage.function("client", "backoff") for _ in range(2))

    waits = [[backoff(3, 1.0) for _ in range(5)] for backoff in (one, other)]

    expect(waits[0] != waits[1], "waits that differ from those of another client", waits[1])


@task("faults")
def test_after_each_fault_the_client_backs_off_and_a_good_response_resets_that(stage, board):
    board.before_answer = lambda exchange: board.post()
    for fault in FAULTS.values():
        board.order(fault, fault, fault, GOOD)

    program = read(stage, board, 0.01)

    log = board.wait_for(4 * len(FAULTS) + 1, program)
    pauses = [(0.01, 0.02), (0.02, 0.04), (0.04, 0.08), (0.01, 0.01)] * len(FAULTS)
    after = [name for fault in FAULTS for name in (*[f"a fault ({fault})"] * 3, "a good response")]
    expect_pauses(program, log, pauses, after)
    expect_all_read(program, board)


@task("faults")
def test_json_that_is_not_a_page_is_a_fault(stage, board):
    board.before_answer = lambda exchange: board.post()
    for body in NOT_PAGES:
        board.order(Reply(200, JSON, body), GOOD)

    program = read(stage, board, 0.01)

    log = board.wait_for(2 * len(NOT_PAGES) + 1, program)
    after = [name for body in NOT_PAGES for name in (f"{body[:60].decode()}", "a good response")]
    expect_pauses(program, log, [(0.01, 0.02), (0.01, 0.01)] * len(NOT_PAGES), after)
    expect_all_read(program, board)


@task("faults")
def test_a_page_with_a_bad_message_is_not_printed_in_part(stage, board):
    message = board.post()
    board.order(page([message, 7], message["id"]))

    program = read(stage, board, 0.01)

    board.wait_for(2, program)
    expect_all_read(program, board)


@task("faults")
def test_the_backoff_doubles_whatever_the_next_fault_is(stage, board):
    board.order(Reply(404), PROXY, Reply(200, JSON, b"null"), CUT)

    program = read(stage, board, 0.02)

    log = board.wait_for(5, program)
    pauses = [(0.02, 0.04), (0.04, 0.08), (0.08, 0.16), (0.16, 0.32)]
    expect_pauses(program, log, pauses, [f"fault {number}" for number in (1, 2, 3, 4)])
    expect_all_read(program, board)


@task("faults")
def test_a_refused_connection_is_a_fault(stage, board):
    board.post()
    board.refuse_after(1)
    program = read(stage, board, 0.02)
    if not program.wait_for_event("socket.connect", 5):
        raise program.unmet("4 more attempts to connect", "fewer", MOMENT)
    attempts = program.connections()[1:]

    for least, (before, slept), (then, _) in zip(
        (0.02, 0.04, 0.08), attempts[:3], attempts[1:], strict=False
    ):
        expected = f"a pause of {least:g} to {2 * least:g} s after a refused connection"
        expect(then - before >= least * EARLY, expected, f"{then - before:.3f} s")
        expect(slept <= 2 * least * LATE, expected, f"{slept:.3f} s")
    board.accept()
    expect_all_read(program, board)


@task("faults")
def test_a_dozen_failures_are_not_the_end(stage, board):
    board.order(*[Reply(500)] * 12)

    program = read(stage, board, 0.00005)

    board.wait_for(13, program)
    expect_all_read(program, board)


@task("faults")
def test_a_fault_keeps_the_tag_and_its_own_is_not_used(stage, board):
    board.post()
    board.order(GOOD, GOOD, Reply(500, {"ETag": '"500"'}), PROXY)

    program = read(stage, board, 0.01)

    log = board.wait_for(5, program)
    tag = log[1].tag
    for exchange in log[2:]:
        has = exchange.headers.get("if-none-match", "none")
        expect(tag in has, f"If-None-Match: {tag}, of the last good response", has)
        expect('"500"' not in has and '"proxy"' not in has, "no ETag of a fault", has)
    expect_all_read(program, board)


@task("faults")
def test_a_304_resets_the_backoff(stage, board):
    board.post()
    board.order(GOOD, GOOD, Reply(500), Reply(500), GOOD, Reply(500))

    program = read(stage, board, 0.02)

    log = board.wait_for(7, program)
    pauses = [(0.02, 0.02), (0.02, 0.02), (0.02, 0.04), (0.04, 0.08), (0.02, 0.02), (0.02, 0.04)]
    after = ["a message", "an empty page", "a 500", "a second 500", "a 304", "a 500 after a 304"]
    expect_pauses(program, log, pauses, after)
    expect_all_read(program, board)


@task("faults")
def test_the_client_waits_as_long_as_retry_after_asks_and_never_less_than_its_backoff(stage):
    longer = stage.use(ScriptedBoard(stage))
    longer.order(Reply(500, {"Retry-After": "1"}))
    patient = read(stage, longer, 1.25)
    cases = [(503, "1", (1, 1)), (429, "1", (1, 1)), (404, "1", (1, 1)), (503, "0", (0.04, 0.08))]
    boards = [stage.use(ScriptedBoard(stage, f"board {n}")) for n in range(2, len(cases) + 2)]
    for board, (status, asked, _) in zip(boards, cases, strict=True):
        board.order(Reply(500), Reply(status, {"Retry-After": asked}), Reply(500))
    programs = [read(stage, board, 0.02) for board in boards]

    for board, program, (status, asked, pause) in zip(boards, programs, cases, strict=True):
        after = ["a 500", f"a {status} with Retry-After: {asked}", "a 500 after a Retry-After"]
        pauses = [(0.02, 0.04), pause, (0.08, 0.16)]
        with board.alone():
            expect_pauses(program, board.wait_for(4, program), pauses, after)
    after = ["Retry-After: 1, which is less than the backoff"]
    with longer.alone():
        expect_pauses(patient, longer.wait_for(2, patient), [(1.25, 2.5)], after)
    expect_all_read(programs[0], boards[0])


@task("faults")
def test_a_retry_after_of_more_than_30_seconds_is_obeyed(stage, board):
    board.order(LATER)
    program = read(stage, board, 0.02)
    board.wait_for(1, program)

    # The client waits now, but not necessarily with time.sleep().
    program.wait_for_event("time.sleep", 2, MOMENT)

    slept = sum(seconds for _, seconds in program.connections())
    met = slept < 1 or 3600 <= slept <= 3600 * LATE
    expect(met, "a pause of 3,600 s after Retry-After: 3600", f"{slept:g} s")


# stop


@task("stop", "The client stops on time and on Ctrl+C", points=1, needs="faults")
def test_the_end_of_for_ends_the_client_whatever_it_is_doing(stage):
    replies = {"is silent": SILENCE, "sends 503": LATER, "sends pages": GOOD}
    boards = [stage.use(ScriptedBoard(stage, f"board {n}")) for n in range(1, len(replies) + 1)]
    for board, reply in zip(boards, replies.values(), strict=True):
        board.order(reply)
    programs = [read(stage, board, 0.05, "--for", 0.4) for board in boards]

    for what, board, program in zip(replies, boards, programs, strict=True):
        program.name = f"client.py, whose board {what},"
        with board.alone():
            board.wait_for(1, program)
            expect_end(program)
            took = time.time() - board.log[0].received_at
            expect(took < 9, f"{program.name} to exit before the timeout of 10 s", f"{took:.2f} s")
            slept = sum(seconds for _, seconds in program.connections())
            expect(slept <= 0.4 * LATE, "pauses of at most 0.4 s in all", f"{slept:.3f} s")
    count = len(boards[-1].log)
    expect(count <= 9, "at most 9 requests in 0.4 s, with 0.05 s between them", count)


@task("stop")
def test_the_client_runs_to_the_end_of_for_even_if_no_request_follows(stage, board):
    start = time.monotonic()

    program = read(stage, board, 3600, "--for", 1.5)

    expect_end(program)
    seconds = time.monotonic() - start
    expect(seconds >= 1.5 * EARLY, "the client to run for 1.5 s", f"{seconds:.2f} s")


@task("stop")
def test_ctrl_c_ends_the_client_while_it_waits(stage, board):
    board.post()
    program = read(stage, board, 3600)
    expect_printed(program, board.messages)
    # From now on, it waits and does nothing else.
    program.wait_for_event("socket.connect", program.events("socket.connect") + 1, MOMENT)

    program.interrupt()

    expect_end(program)


@task("stop")
def test_ctrl_c_ends_the_client_while_it_backs_off(stage, board):
    board.post()
    board.order(GOOD, LATER)
    program = read(stage, board, 0.02)
    expect_printed(program, board.messages)
    board.wait_for(2, program)

    program.interrupt()

    expect_end(program)


@task("stop")
def test_ctrl_c_ends_the_client_while_it_waits_for_a_response(stage, board):
    board.order(SILENCE)
    program = read(stage, board, 0.02)
    board.wait_for(1, program)

    program.interrupt()

    expect_end(program)


# cost


@task("cost", "The client counts and predicts its cost", points=2, needs="faults")
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
def test_a_request_without_a_response_is_counted_and_a_refused_connection_is_not(stage, board):
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
def test_the_mean_age_is_that_of_the_messages_when_they_were_read(stage, board):
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
def test_predict_returns_what_was_counted(stage, board):
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

    expect(abs(requests - 6 / 12) < NEAR, "0.5 requests per message, as counted", requests)
    counted = cost["mean_age"]
    expect(type(counted) in (int, float), "a mean_age in seconds", counted)
    slack = mean(seen) - mean([time for time in asked[1:] for _ in range(2)]) + NEAR
    met = abs(age - counted) <= slack
    expect(met, f"a mean age near the {counted:.3f} s that was counted", age)


@task("cost")
def test_predict_is_correct_for_any_interval_and_rate(stage):
    for _ in range(5):
        interval, rate = stage.random.uniform(0.1, 60), stage.random.uniform(0.01, 20)

        requests, age = predicted(stage, interval, rate)

        expect_near("requests per message", requests, 1 / (interval * rate), 1e-6)
        expect_near("the mean age", age, interval / 2, 1e-6)


# What the tests above use


def expect_all_read(program: Program, board: ScriptedBoard) -> None:
    """Expect the client to read every message once."""
    board.before_answer = lambda exchange: None
    board.post()  # A message that is printed twice is printed before this one.
    expect_printed(program, board.messages)


def tag_of(answer: Answer) -> str:
    """Return the ETag of a response, which must be a strong one."""
    tag = answer.headers["ETag"] or ""
    met = len(tag) > 2 and tag.startswith('"') and tag.endswith('"')
    expect(met, 'a strong ETag, such as ETag: "5f2a"', tag or "none")
    return tag


def expect_end(program: Program) -> dict:
    """Expect the client to exit without an error. Returns the cost that it printed."""
    status = program.end()
    last = program.err.rstrip().split("\n")[-1]
    expect("Traceback" not in program.err, "an end without a traceback", last)
    expect(status == 0, "the exit status 0", status)
    try:
        cost = json.loads(last)
    except ValueError:
        cost = None
    met = isinstance(cost, dict) and all(name in cost for name in COST)
    expect(met, f"the last line of stderr to be JSON with {', '.join(COST)}", last)
    return cost


def cost_of(program: Program, board: ScriptedBoard) -> dict:
    """Stop the client after the board's last response, and return the cost."""
    board.wait_until_refused(program)
    program.interrupt()
    return expect_end(program)


def expect_near(name: str, got: object, wanted: float, part: float) -> None:
    """Expect a number that differs from `wanted` by at most this fraction of it."""
    met = type(got) in (int, float) and abs(got - wanted) <= part * wanted
    expect(met, f"{name} to be {wanted:g}, or within {part:.0%} of it", got)


def predicted(stage, interval: float, rate: float) -> list[float]:
    """Return the two numbers of `predict`."""
    numbers = stage.function("client", "predict")(interval, rate)
    met = isinstance(numbers, list) and [type(n) in (int, float) for n in numbers] == [True, True]
    expect(met, "two numbers: the requests per message and the mean age in seconds", numbers)
    return numbers


def expect_age(age: object, least: float, most: float) -> None:
    """Expect a mean age between the age at the board's response and the age on stdout."""
    met = type(age) in (int, float) and least - NEAR <= age <= most + NEAR
    expect(met, f"a mean_age from {least:.3f} to {most:.3f} s", age)


def time_of(message: dict) -> float:
    """Return the time when a message was posted, in seconds of time.time()."""
    return datetime.fromisoformat(message["sent_at"]).timestamp()


def mean(numbers: list[float]) -> float:
    """Return the mean."""
    return sum(numbers) / len(numbers)
