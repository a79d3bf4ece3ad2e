"""Lesson 4: server-sent events. These tests are the lesson's specification.

The stream is read over HTTP. The client's parser is fed with bytes; the client itself runs as a
program, against a scripted board. tests/probes/04_sse.py makes things happen at an exact moment,
such as a post between two lines of your code.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise, zip_longest
from pathlib import Path

import pytest

from course.grading import Program, Server, expect, task
from course.grading.children import Child
from course.grading.events import EventReader, parsed
from course.grading.expect import Unmet, counted, in_json
from course.grading.scripted import CUT, SILENCE, Exchange, Reply, ScriptedBoard, expect_printed
from course.grading.waiting import PATIENCE, eventually

PROBE = Path(__file__).parent / "probes" / "04_sse.py"
CLOCK = Path(__file__).parent / "probes" / "clock.py"
STREAM = {"Content-Type": "text/event-stream"}
EARLY = 0.9  # The clock may be coarse: this part of a wait is enough.
LATE = 1.01  # What a client asks to sleep may be rounded.
ODD = "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"  # line endings to str.splitlines(), not to a stream
MANY = 450  # messages, more than two pages of the store
GUESTS = 60  # clients that disconnect
MODULES = ["app", "sse", "waiting", "store"]  # where a board may wait


# format


@pytest.fixture
def event(stage) -> Callable[[str, int], object]:
    """Your function `event`, in one process for all calls of a test."""
    return stage.function("sse", "event")


@task("format", "An event follows the standard's format", points=2)
def test_an_event_has_a_type_an_id_and_data(stage, event):
    text = stage.text()

    expect_event(stage, event, text, text)


@task("format")
def test_every_message_id_is_a_valid_event_id(stage, event):
    for number in (1, 2**53, 2**63 - 2):
        expect_event(stage, event, "one", "one", number)


@task("format")
def test_every_line_of_the_data_is_received(stage, event):
    for data in ("one\ntwo", "one\n\ntwo", "\n", "one\n", "\none", "one\n\n\n"):
        expect_event(stage, event, data, data)


@task("format")
def test_every_line_end_of_the_standard_is_received_as_a_newline(stage, event):
    for end in ("\r", "\r\n"):
        expect_event(stage, event, f"one{end}two{end}", "one\ntwo\n")
    expect_event(stage, event, "one\n\rtwo\r\r\n", "one\n\ntwo\n\n")


@task("format")
def test_data_that_looks_like_a_field_is_data(stage, event):
    for data in ("data: one", "one\nid: 7\nevent: two\n\ndata: three", ": one", "a\r\rretry: 1"):
        expect_event(stage, event, data, data.replace("\r", "\n"))


@task("format")
def test_spaces_and_all_other_characters_are_received_unchanged(stage, event):
    plain = ("", " one", "  one ", "\tone\t", "ü 日本 🦦", "e\u0301")
    long = "".join(stage.random.choices("abc de ü🦦", k=20_000))
    for data in (*plain, f"one{ODD}two", "\ufeffone", "one\0two", long):
        expect_event(stage, event, data, data)


# stream


@task("stream", "A message is sent to every client of its room", points=2, needs="format")
def test_the_response_starts_at_once_with_retry(stage):
    retry = stage.random.randrange(1000, 9000)
    server = stage.serve(RETRY=retry)

    bob = listen(server, stage.name())

    bob.wait_for_retry()
    expect(bob.retry == str(retry), f"retry: {retry}", f"retry: {bob.retry}")


@task("stream")
def test_messages_are_received_as_they_were_posted(stage):
    server, room = stage.serve(), stage.name()
    bob = listen(server, room)

    longest = "".join(stage.random.choices('ab" 🦦', k=2_000))
    for text in (stage.text(), "one\ntwo\r\nthree", f"ü 日本 🦦{ODD}", "data: x\n\n", longest):
        message = post(server, room, text)

        bob.expect_message(message)


@task("stream")
def test_each_message_is_sent_when_it_is_posted(stage):
    server, room = stage.serve(), stage.name()
    slow = "makes the board's clock run 20 times as slowly, so that polling would be late"
    server.probe(CLOCK, "hurry", 1 / (20 * PATIENCE), MODULES, says=slow)
    bob = listen(server, room)

    for _ in range(3):
        bob.expect_message(post(server, room, stage.text()))


@task("stream")
def test_a_stream_has_only_the_messages_of_its_room(stage):
    server, room = stage.serve(), stage.name()
    bob = listen(server, room)
    bob.wait_for_retry()

    post(server, stage.name(), "elsewhere")
    message = post(server, room, stage.text())

    bob.expect_message(message)
    bob.expect_message(post(server, room, stage.text()))


@task("stream")
def test_every_client_of_the_room_receives_every_message(stage):
    server, room = stage.serve(), stage.name()
    readers = [listen(server, room, who=f"reader {n}") for n in range(1, 21)]

    messages = [post(server, room, stage.text()) for _ in range(3)]

    for reader in readers:
        for message in messages:
            reader.expect_message(message)


@task("stream")
def test_two_messages_posted_at_the_same_moment_are_sent_in_the_order_of_their_ids(stage):
    server, room = stage.serve(), stage.name()
    bob = listen(server, room)
    bob.expect_message(post(server, room, stage.text()))
    server.probe(PROBE, "overtake_next_post", server.host, room, stage.text())

    post(server, room, stage.text())

    expect_the_rest(server, room, bob, seen=1)


# resume


@task("resume", "A client that reconnects misses no message", points=3, needs="stream")
def test_a_stream_continues_after_the_last_event_id(stage):
    server, room = stage.serve(), stage.name()
    messages = [post(server, room, stage.text()) for _ in range(4)]

    bob = listen(server, room, last_id=messages[1]["id"])

    bob.expect_message(messages[2])
    bob.expect_message(messages[3])
    bob.expect_message(post(server, room, stage.text()))


@task("resume")
def test_without_an_id_a_stream_starts_with_the_first_of_many_messages(stage):
    server, room = stage.serve(), stage.name()
    first = post(server, room, stage.text())
    server.probe(PROBE, "fill", room, MANY, says=f"{MANY} more messages in the store")

    bob = listen(server, room)

    bob.expect_message(first)
    expected = [str(first["id"] + n) for n in range(1, MANY + 1)]
    ids = [bob.next().last_id for _ in range(MANY)]
    expect_each(ids, expected, "the ids of the messages after the first")
    bob.expect_message(post(server, room, stage.text()))


@task("resume")
def test_after_does_the_same_but_the_header_overrides_it(stage):
    server, room = stage.serve(), stage.name()
    messages = [post(server, room, stage.text()) for _ in range(4)]

    ids = [0, *(message["id"] for message in messages)]

    bob = listen(server, room, query=f"?after={ids[2]}")

    bob.expect_message(messages[2])
    for header, after in ((3, 1), (1, 3), (0, 2)):
        eve = listen(server, room, ids[header], f"?after={ids[after]}", who="eve")
        eve.expect_message(messages[header])


@task("resume")
def test_an_id_that_no_message_of_the_room_has_is_valid(stage):
    server, room = stage.serve(), stage.name()
    post(server, room, stage.text())
    elsewhere = post(server, stage.name(), "elsewhere")
    message = post(server, room, stage.text())

    bob = listen(server, room, last_id=elsewhere["id"])
    eve = listen(server, room, last_id=message["id"] + 1, who="eve")
    listen(server, room, last_id=2**63 - 1, who="mel")

    bob.expect_message(message)
    post(server, room, "the message with the id that eve sent")
    eve.expect_message(post(server, room, stage.text()))


@task("resume")
def test_an_invalid_last_event_id_is_400(stage):
    ada, path = stage.serve().client("ada"), f"/rooms/{stage.name()}/events"
    odd = ("²", "1²", "½", "1 2", "1,2", '"1"', "nan", "None", "true", "1\xa0", "9" * 5000)
    for last_id in ("x", "-1", "+1", "1.5", "1_0", "1e3", "0x1", f"{2**63}", "9" * 30, *odd):
        answer = ada.get(path, headers={"Last-Event-ID": last_id})

        answer.expect_problem(400)


@task("resume")
def test_no_message_is_lost_between_replay_and_new_messages(stage):
    server = stage.serve()
    for seen in (3, 1):
        room, text = stage.name(), stage.text()
        messages = [post(server, room, stage.text()) for _ in range(3)]
        server.probe(PROBE, "post_at_first_look", server.host, room, text, "after")

        bob = listen(server, room, last_id=messages[seen - 1]["id"])

        for message in messages[seen:]:
            bob.expect_message(message)
        event = bob.next()  # It was posted right after the stream had checked the store.
        expect(text in event.data, f"the message {text}", event.data)
        expect_the_rest(server, room, bob, seen=4)


@task("resume")
def test_no_message_is_repeated_between_replay_and_new_messages(stage):
    server, room, text = stage.serve(), stage.name(), stage.text()
    messages = [post(server, room, stage.text()) for _ in range(3)]
    server.probe(PROBE, "post_at_first_look", server.host, room, text, "before")

    bob = listen(server, room, last_id=messages[0]["id"])

    bob.expect_message(messages[1])
    bob.expect_message(messages[2])
    event = bob.next()
    expect(text in event.data, f"the message {text}", event.data)
    expect_the_rest(server, room, bob, seen=4)


@task("resume")
def test_a_restart_of_the_server_loses_nothing(stage):
    server, room = stage.serve(), stage.name()
    bob = listen(server, room)
    message = post(server, room, stage.text())
    bob.expect_message(message)
    server.kill()
    server = stage.serve()
    missed = post(server, room, stage.text())

    bob = listen(server, room, last_id=message["id"])

    bob.expect_message(missed)
    bob.expect_message(post(server, room, stage.text()))


# heartbeat


@task("heartbeat", "Streams send heartbeats and are cleaned up", points=2, needs="stream")
def test_a_stream_without_messages_has_a_comment_every_heartbeat(stage):
    server, start = stage.serve(HEARTBEAT=0.25), time.monotonic()
    server.probe(PROBE, "watch_waits")
    bob = listen(server, stage.name())

    for _ in range(4):
        bob.wait_for_comment()

    took = time.monotonic() - start  # One more may be sent at once.
    least = (bob.comments - 1) * 0.25
    wanted = f"{bob.comments} comments in not less than {least:.2f} s"
    expect(took >= least * EARLY, wanted, f"{took:.2f} s")
    waited, where = server.probe(PROBE, "waited")
    wanted = f"{bob.comments} comments after waits of {bob.comments * 0.25:.2f} s in all"
    if waited > (bob.comments + 1) * 0.25 * LATE:  # The next wait may be over, too.
        raise Unmet(wanted, f"waits of {waited:.2f} s", where=where)


@task("heartbeat")
def test_each_stream_has_its_own_heartbeat(stage):
    server, busy, quiet = stage.serve(HEARTBEAT=0.2), stage.name(), stage.name()
    ada, bob = listen(server, busy, who="eve"), listen(server, quiet)
    ada.wait_for_retry()
    server.probe(PROBE, "keep_busy", server.host, busy)

    for _ in range(3):
        bob.wait_for_comment()


@task("heartbeat")
def test_a_heartbeat_is_timed_from_the_last_message(stage):
    server, room = stage.serve(HEARTBEAT=0.3), stage.name()
    bob = listen(server, room)
    begun = posted_at = time.monotonic()

    while posted_at < begun + 0.2:
        posted_at = time.monotonic()
        bob.expect_message(post(server, room, stage.text()))
    bob.wait_for_comment()

    took = time.monotonic() - posted_at
    expect(took >= 0.3 * EARLY, "no comment within 0.3 s of a message", f"one after {took:.2f} s")


@task("heartbeat")
def test_a_stream_with_messages_has_no_comment(stage):
    server, room = stage.serve(HEARTBEAT=600.0), stage.name()
    bob = listen(server, room)

    for _ in range(3):
        bob.expect_message(post(server, room, stage.text()))

    wanted = "no comment except one at the very start: heartbeat is 600 s"
    expect(bob.comments <= 1, wanted, f"{counted(bob.comments, 'comment')} among 3 messages")


@task("heartbeat")
def test_a_heartbeat_is_not_an_event_and_messages_follow_it(stage):
    server, room = stage.serve(HEARTBEAT=0.03), stage.name()
    bob = listen(server, room)

    for comments in (2, 2, 20):
        message = post(server, room, stage.text())
        bob.expect_message(message)
        for _ in range(comments):
            bob.wait_for_comment()
        wanted = f"the last id to remain {message['id']}"
        expect(bob.last_id == str(message["id"]), wanted, bob.last_id or "none")
    bob.expect_message(post(server, room, stage.text()))


@task("heartbeat")
def test_the_store_is_not_checked_between_two_heartbeats(stage):
    server, room = stage.serve(HEARTBEAT=0.25), stage.name()
    server.probe(PROBE, "count_looks")
    bob = listen(server, room)

    bob.wait_for_comment()
    bob.wait_for_comment()
    bob.wait_for_comment()

    looks = server.probe(PROBE, "looks")
    expect(looks <= 8, "at most 8 checks of the store in three heartbeats", looks)


@pytest.mark.long
@task("heartbeat")
def test_nothing_is_left_of_clients_that_have_disconnected(stage):
    server = stage.serve(HEARTBEAT=0.2)
    census = server.census()
    come_and_go(stage, server, 10)  # After this, caches have their size.
    server.expect_census(census)
    before = server.probe(PROBE, "objects")

    come_and_go(stage, server, GUESTS)

    server.expect_census(census)
    eventually(
        lambda: more_than(before, server.probe(PROBE, "objects")).total() < GUESTS // 2,
        f"all objects of {GUESTS} clients in {GUESTS} rooms to be released",
        lambda: kept(more_than(before, server.probe(PROBE, "objects"))),
    )
    eventually(
        lambda: len(server.probe(PROBE, "texts", "guests-of-")) < GUESTS // 10,
        f"the names of {GUESTS} rooms without clients to be released",
        lambda: server.probe(PROBE, "texts", "guests-of-"),
    )


@task("heartbeat")
def test_the_other_clients_still_receive_messages_when_one_disconnects(stage):
    for heartbeat in (0.1, 600.0):
        server, room = stage.serve(HEARTBEAT=heartbeat), stage.name()
        bob = listen(server, room)
        bob.expect_message(post(server, room, stage.text()))

        for _ in range(5):
            listen(server, room, who="eve").leave()
            bob.expect_message(post(server, room, stage.text()))
            bob.expect_message(post(server, room, stage.text()))


# client: the parser


@pytest.fixture
def client(stage) -> Child:
    """A process for your parsers: all those of a test run in it."""
    return stage.child()


@task("client", "The client parses a stream and reconnects", points=3)
def test_a_line_ends_in_lf_or_crlf_or_cr(stage, client):
    text = stage.text()
    for end in ("\n", "\r\n", "\r"):
        data = lines("id: 7", f"data: {text}", "", "data: a", "data: b", "", end=end)

        expect_events(stage, client, data, [["message", text, "7"], ["message", "a\nb", "7"]])
    mixed = b"data: a\rdata: b\ndata: c\r\n\rdata: d\n\r\n"
    expect_events(stage, client, mixed, [["message", "a\nb\nc", ""], ["message", "d", ""]])


@task("client")
def test_the_bytes_may_be_cut_anywhere(stage, client):
    data = b"data: a\r\n\ndata: b\rdata: c\n\n"
    for made in fed(stage, client, *(pieces(data, [place]) for place in range(1, len(data)))):
        got = [event for events in made["events"] for event in events]
        expected = [["message", "a", ""], ["message", "b\nc", ""]]
        expect_each(got, expected, "the events of feed(), [type, data, last id]")


@task("client")
def test_an_empty_call_changes_nothing(stage, client):
    chunks = [b"", b"data: a\r", b"", b"\ndata: b\n\n"]
    for made in fed(stage, client, chunks):
        got = [event for events in made["events"] for event in events]
        expect_each(got, [["message", "a\nb", ""]], "the events of feed(), [type, data, last id]")


@task("client")
def test_nothing_else_ends_a_line(stage, client):
    expect_events(stage, client, lines(f"data: a{ODD}b", ""), [["message", f"a{ODD}b", ""]])


@task("client")
def test_an_event_is_returned_as_soon_as_its_blank_line_has_ended(stage, client):
    streams = (b"data: a\n\n", b"data: a\r\r", b"data: a\r\n\r\n", b"\rdata: a\n\r")
    chunks = [[data[:-1], data[-1:], b":"] for data in streams]
    for data, made in zip(streams, fed(stage, client, *chunks), strict=True):
        given = [event for events in made["events"][:2] for event in events]
        expect_each(given, [["message", "a", ""]], f"the events after {data!r}")


@task("client")
def test_a_character_of_several_bytes_may_be_cut(stage, client):
    text = "ü 日本 🦦 " + stage.text() + "x" * 5000

    expect_events(stage, client, lines(f"data: {text}", ""), [["message", text, ""]])


@task("client")
def test_invalid_utf_8_is_replaced(stage, client):
    expect_events(stage, client, b"data: a\xffb\n\n", [["message", "a\ufffdb", ""]])


@task("client")
def test_a_byte_order_mark_is_ignored_at_the_start_only(stage, client):
    bom = "\ufeff".encode()

    expect_events(stage, client, bom + lines("data: a", "", ""), [["message", "a", ""]])
    expect_events(stage, client, lines("", "\ufeffdata: a", "data: b", ""), [["message", "b", ""]])


@task("client")
def test_comments_and_unknown_fields_are_ignored(stage, client):
    fields = [
        ": hi",
        ":data: x",
        "date: x",
        "Data: x",
        " data: x",
        "data : x",
        "hi",
        "data: a",
        ":",
    ]

    expect_events(stage, client, lines(": hi", "", *fields, ""), [["message", "a", ""]])


@task("client")
def test_one_space_after_the_colon_is_removed(stage, client):
    data = lines("data:a", "data: b", "data:  c", "data:d: e", "data: f ", "data:\tg", "data: ", "")

    expect_events(stage, client, data, [["message", "a\nb\n c\nd: e\nf \n\tg\n", ""]])


@task("client")
def test_a_field_without_a_colon_has_an_empty_value(stage, client):
    data = lines("data", "", "data", "data", "", "event: x", "event", "id: 7", "id", "data: a", "")

    expected = [["message", "", ""], ["message", "\n", ""], ["message", "a", ""]]
    expect_events(stage, client, data, expected)


@task("client")
def test_a_type_applies_to_one_event_only(stage, client):
    data = lines("event: join", "data: a", "", "data: b", "", "event: x", "", "data: c", "")

    expected = [["join", "a", ""], ["message", "b", ""], ["message", "c", ""]]
    expect_events(stage, client, data, expected)


@task("client")
def test_an_event_without_data_is_not_returned(stage, client):
    data = lines("event: x", "id: 5", "", "", "", "data: a", "")

    expect_events(stage, client, data, [["message", "a", "5"]])


@task("client")
def test_an_id_applies_until_another_replaces_it(stage, client):
    fields = [
        "id: 5",
        "data: a",
        "",
        "data: b",
        "",
        "id: x\0y",
        "data: c",
        "",
        "id:",
        "data: d",
        "",
    ]

    expected = [[*"a5"], [*"b5"], [*"c5"], ["d", ""]]
    expected = [["message", *event] for event in expected]
    expect_events(stage, client, lines(*fields), expected, last_id="")


@task("client")
def test_an_incomplete_event_is_not_returned_and_its_id_is_not_used(stage, client):
    data = lines("id: 5", "data: a", "", "id: 6", "data: b") + b"data: c"

    expect_events(stage, client, data, [["message", "a", "5"]], last_id="5")


@task("client")
def test_retry_is_at_most_nine_ascii_digits(stage, client):
    bad = ["retry: 1.5", "retry: -5", "retry: +5", "retry: ٣", "retry:  5", "retry: 5 s", "retry"]

    expect_events(stage, client, lines(*bad, ""), [], retry=3000)
    for digits in ("1000000000", "9" * 5000):
        expect_events(stage, client, lines(f"retry: {digits}", ""), [], retry=3000)
    for retry in (stage.random.randrange(100, 10**6), 0, 999999999):
        expect_events(stage, client, lines(f"retry: {retry}", *bad), [], retry=retry)


# client: the program


@pytest.fixture
def board(stage) -> ScriptedBoard:
    """A room for the client to read."""
    return stage.use(ScriptedBoard(stage))


@task("client")
def test_a_message_is_printed_while_the_stream_is_open(stage, board):
    message = board.post()
    board.order(going_on(written(message)))

    program = read(stage, board)

    expect_printed(program, [message])
    target = board.log[0].target
    expect(target == f"/rooms/{board.room}/events", "GET /rooms/ROOM/events", target)


@task("client")
def test_only_events_of_type_message_are_printed(stage, board):
    message = board.post()
    join = b'event: join\ndata: {"who": "eve"}\n\n'
    board.order(going_on(join + written(message)))

    program = read(stage, board)

    expect_printed(program, [message])


@task("client")
def test_the_client_reconnects_with_the_last_id(stage, board):
    messages = [board.post() for _ in range(4)]
    board.order(ended(written(*messages[:2])), ended(b""), ended(written(messages[2])))
    board.order(going_on(written(messages[3])))

    program = read(stage, board)

    expect_printed(program, messages)
    wanted = ["none", *(str(m["id"]) for m in (messages[1], messages[1], messages[2]))]
    expect_last_ids(board.wait_for(4, program), wanted)


@task("client")
def test_the_last_id_may_be_any_text(stage, board):
    ids = ["0", "a-1", "", "é", "\xa7 x\xff", "日本", "9" * 300]
    for last_id in ids:
        message = {**board.post(), "id": last_id}
        board.order(ended(written(message)))

    program = read(stage, board)

    sent = [last_id or "none" for last_id in ids]  # An empty one is not sent.
    expect_last_ids(board.wait_for(8, program), ["none", *sent])


@task("client")
def test_an_incomplete_event_is_dropped(stage, board):
    messages = [board.post() for _ in range(3)]
    cut = written(*messages[:2])[:-20] + "🦦".encode()[:2]
    board.order(ended(cut), going_on(written(*messages[1:])))

    program = read(stage, board)

    expect_printed(program, messages)
    expect_last_ids(board.wait_for(2, program), ["none", str(messages[0]["id"])])


@task("client")
def test_the_client_reconnects_after_every_fault_and_waits_for_retry_milliseconds(stage, board):
    messages = [board.post() for _ in range(3)]
    board.order(ended(written(messages[0], retry=40)), Reply(500), Reply(503), Reply(404), CUT)
    board.order(ended(written(messages[1], retry=80)), CUT, ended(b""), ended(b"retry: 120\n"))
    board.order(going_on(written(messages[2])))

    program = read(stage, board)

    expect_printed(program, messages)
    retries = [0.04] * 5 + [0.08] * 3 + [0.12]
    expect_pauses(program, board.wait_for(len(retries) + 1, program), retries)


@task("client")
def test_the_client_retries_a_refused_connection(stage, board):
    messages = [board.post() for _ in range(2)]
    board.order(ended(written(messages[0], retry=50)), going_on(written(messages[1])))
    board.refuse_after(1)
    program = read(stage, board)
    board.wait_until_refused(program)

    for number, (_, slept) in enumerate(program.connections()[:2], 1):
        wanted = f"a pause of 50 ms after attempt {number} to connect"
        expect(slept <= 0.05 * LATE, wanted, f"{slept:.3f} s")
    board.accept()

    expect_printed(program, messages)


@pytest.mark.long
@task("client")
def test_the_client_gives_up_on_a_silent_stream(stage, board):
    messages = [board.post() for _ in range(2)]

    def one_more(exchange: Exchange) -> None:
        seen = int(exchange.headers.get("last-event-id", 0))
        new = [message for message in messages if message["id"] > seen][:1]
        board.order(SILENCE if len(board.log) == 1 else going_on(written(*new)))

    board.before_answer = one_more

    program = read(stage, board, "--silence", 0.3 * PATIENCE)

    expect_printed(program, messages)


# browser


@pytest.mark.long
@task("browser", "A browser reads the stream and resumes it", points=1, needs="resume")
def test_event_source_resumes_after_a_restart_of_the_server(stage):
    browser, server, room = stage.browser(), stage.serve(RETRY=50), stage.name()
    tab = browser.open("bob", f"{server.url}/static/room.html?room={room}")
    tab.run(LISTEN, f"/rooms/{room}/events")
    messages = [post(server, room, stage.text())]
    expect_seen(tab, messages)

    server.kill()
    server = stage.serve(RETRY=50, port=server.port)
    messages += [post(server, room, stage.text()) for _ in range(2)]

    expect_seen(tab, messages)
    messages.append(post(server, room, stage.text()))
    expect_seen(tab, messages)
    rows = [f"{message['author']}: {message['text']}" for message in messages]
    tab.wait_for(f"{ROWS}.length >= {len(rows)}", counted(len(rows), "row"), f"{ROWS}.length")
    expect_each(tab.run(ROWS), rows, "each message once in static/room.html")


# Helpers of these tests


def post(server: Server, room: str, text: str) -> dict:
    """Post a message and return it."""
    path = f"/rooms/{room}/messages"
    return server.client("ada").post(path, {"author": "ada", "text": text}).json(201)


def listen(
    server: Server, room: str, last_id: object = None, query: str = "", who: str = "bob"
) -> EventReader:
    """Open the room's stream."""
    headers = {} if last_id is None else {"Last-Event-ID": str(last_id)}
    return server.events(who, f"/rooms/{room}/events{query}", headers)


def expect_each(got: list, expected: list, what: str) -> None:
    """Expect two lists to be equal. The card names the first place where they differ."""
    nothing = object()
    for number, (one, wanted) in enumerate(zip_longest(got, expected, fillvalue=nothing), 1):
        given = "nothing more" if one is nothing else in_json(one)
        sought = "nothing more" if wanted is nothing else in_json(wanted)
        expect(one == wanted, f"{what}, number {number} of {len(expected)}: {sought}", given)


def expect_event(stage, event: Callable, data: str, back: str, number: int = 0) -> None:
    """Expect a client to receive `back` for `data`, between two other events."""
    number = number or stage.random.randrange(1, 2**40)
    blocks = [event("before", number - 1), event(data, number), event("after", number + 1)]
    expect(all(isinstance(block, str) for block in blocks), "a str", blocks[1])

    got = [[e.name, e.last_id, e.data] for e in parsed("".join(blocks))]

    expected = [(number - 1, "before"), (number, back), (number + 1, "after")]
    expected = [["message", str(number), data] for number, data in expected]
    expect_each(got, expected, "an event as a client receives it, [type, id, data]")


def expect_the_rest(server: Server, room: str, reader: EventReader, seen: int) -> None:
    """Expect a client to receive the room's messages, except the first `seen`, each once."""
    server.probe(PROBE, "wait_for_posts")
    marker = post(server, room, "the last")  # A repeated message is sent before this one.
    messages = server.client("ada").get(f"/rooms/{room}/messages", limit=200).json()["messages"]
    expect_each(messages[-1:], [marker], "the room's last message")
    for message in messages[seen:]:
        reader.expect_message(message)


def come_and_go(stage, server: Server, count: int) -> None:
    """Let this many clients each read their own room, receive a message, and disconnect.

    Later posts detect every second client, and heartbeats detect the others.
    """
    with stage.wire.only_what_fails():
        for number in range(count):
            room = f"guests-of-{stage.name()}"
            bob = listen(server, room)
            bob.expect_message(post(server, room, "hi"))
            bob.leave()
            for _ in range(number % 2 * 2):
                post(server, room, "one more")
    stage.wire.happened(
        f"{count} clients", "each received a message in a room of its own, and disconnected"
    )


def more_than(before: dict[str, int], now: dict[str, int]) -> Counter:
    """Return how many more objects of each type there are than before, or how many fewer."""
    return Counter({name: now.get(name, 0) - before.get(name, 0) for name in {**before, **now}})


def kept(more: Counter) -> str:
    """Name the types with the most objects left."""
    most = ", ".join(f"{count} of {name}" for name, count in more.most_common(5))
    return f"{more.total()} more objects than before, such as {most}"


def expect_events(
    stage, client: Child, data: bytes, events: list[list[str]], **ends: object
) -> None:
    """Expect these events of a stream, in one piece and however it is cut.

    An event is its type, its data and the last id. `ends` are the parser's `retry` and `last_id`.
    """
    cut = sorted(stage.random.sample(range(len(data) + 1), min(5, len(data))))
    streams = [pieces(data, places) for places in ([], range(1, len(data)), cut)]
    for made in fed(stage, client, *streams):
        got = [event for events in made["events"] for event in events]
        expect_each(got, events, "the events of feed(), [type, data, last id]")
        got = {name: made[name] for name in ends}
        expect(got == ends, f"the parser to have {in_json(ends)}", got)


def pieces(data: bytes, places: Iterable[int]) -> list[bytes]:
    """Return the data, cut at these places."""
    return [data[a:b] for a, b in pairwise([0, *places, len(data)])]


def fed(stage, client: Child, *streams: list[bytes]) -> Iterator[dict]:
    """Feed a new parser with the chunks of each stream.

    Yields the `events` that each chunk completed, and the parser's `retry` and `last_id`.
    """
    in_hex = [[chunk.hex() for chunk in chunks] for chunks in streams]
    for chunks, made in zip(streams, client.probe(PROBE, "parse", in_hex), strict=True):
        stage.wire.sent("test", " ".join(f"feed({chunk!r})" for chunk in chunks))
        expect("returned" not in made, "a list of events from feed()", made.get("returned"))
        yield made


def lines(*lines: str, end: str = "\n") -> bytes:
    """Return lines as the bytes of a stream."""
    return "".join(line + end for line in lines).encode()


def read(stage, board: ScriptedBoard, *more: object) -> Program:
    """Start the client."""
    return stage.run("client.py", board.url, board.room, *more, events=Program.PAUSES)


def written(*messages: dict, retry: int = 20) -> bytes:
    """Return a stream of these messages."""
    events = [f"id: {m['id']}\ndata: {json.dumps(m)}\n\n" for m in messages]
    return "".join([f"retry: {retry}\n\n", *events]).encode()


def ended(body: bytes) -> Reply:
    """Return a stream that ends."""
    return Reply(200, STREAM, body)


def going_on(body: bytes) -> Reply:
    """Return a stream that stays open."""
    return Reply(200, STREAM, body, open=True)


def expect_last_ids(log: list[Exchange], expected: list[str]) -> None:
    """Expect this Last-Event-ID of each request, or "none"."""
    got = [exchange.headers.get("last-event-id", "none").encode("latin-1") for exchange in log]
    got = [last_id.decode("utf-8", "replace") for last_id in got]
    expect_each(got, expected, "the Last-Event-ID of each request")


def expect_pauses(program: Program, log: list[Exchange], retries: list[float]) -> None:
    """Expect each pause between a response and the next request to be `retry`, in seconds.

    The clock shows if a pause is too short, and the argument of time.sleep() if it is too long.
    """
    waits = [then.received_at - before.answered_at for before, then in pairwise(log)]
    slept = [seconds for _, seconds in program.connections()]
    # A learner's client may connect more often than ours, or not use time.sleep().
    slept = slept if len(slept) == len(log) else [0.0] * len(log)
    for number, (retry, wait, sleep) in enumerate(zip(retries, waits, slept, strict=False), 1):
        wanted = f"a pause of {1000 * retry:g} ms after response {number}"
        expect(wait >= retry * EARLY, wanted, f"{wait:.3f} s")
        expect(sleep <= retry * LATE, wanted, f"{sleep:.3f} s")


ROWS = "[...document.querySelectorAll('#messages li')].map((row) => row.textContent)"
LISTEN = """
(address) => {
    window.seen = [];
    new EventSource(address).onmessage = (event) => {
        console.log(`id: ${event.lastEventId}, data: ${event.data}`);
        seen.push([event.lastEventId, JSON.parse(event.data)]);
    };
}
"""


def expect_seen(tab, messages: list[dict]) -> None:
    """Expect the page to have received these messages, each once."""
    count = len(messages)
    tab.wait_for(
        f"seen.length >= {count}", f"{counted(count, 'message')} in the page", "seen.length"
    )
    seen, expected = tab.run("seen"), [[str(m["id"]), m] for m in messages]
    expect_each(seen, expected, "each message once, [id, message]")
