"""Lesson 4: a stream of events. These tests are the lesson's specification.

The stream is read over HTTP. The client's parser is fed with bytes; the client itself runs as a
program, against a board of the grader's that does as it is told. What has to happen at one exact
moment, such as a message between two lines of your code, is in tests/probes/04_sse.py.
"""

import json
import time
from collections import Counter
from itertools import pairwise, zip_longest
from pathlib import Path

import pytest

from course.grading import Program, Server, expect, task
from course.grading.events import EventReader, parsed
from course.grading.expect import in_json
from course.grading.scripted import CUT, SILENCE, Exchange, Reply, ScriptedBoard
from course.grading.waiting import PATIENCE, eventually

PROBE = Path(__file__).parent / "probes" / "04_sse.py"
SOON = 10.0  # seconds for 15 messages, which need 0.1 s
STREAM = {"Content-Type": "text/event-stream"}
EARLY = 0.9  # A clock may be coarse: a wait counts when this part of it has passed.
ODD = "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"  # line ends to str.splitlines(), not to a stream


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
    """Hold that two lists are the same. The card has the first place where they differ."""
    nothing = object()
    for number, (one, wanted) in enumerate(zip_longest(got, expected, fillvalue=nothing), 1):
        given = "nothing more" if one is nothing else in_json(one)
        sought = "nothing more" if wanted is nothing else in_json(wanted)
        expect(one == wanted, f"{what}, number {number} of {len(expected)}: {sought}", given)


# format


def expect_event(stage, data: str, back: str, number: int = 0) -> None:
    """Hold what a reader gets of `data` with the id `number`, or any, between two other events."""
    event, number = stage.function("sse", "event"), number or stage.random.randrange(1, 2**40)
    blocks = [event("before", number - 1), event(data, number), event("after", number + 1)]
    expect(all(isinstance(block, str) for block in blocks), "a str", blocks[1])

    got = [[e.name, e.last_id, e.data] for e in parsed("".join(blocks))]

    expected = [(number - 1, "before"), (number, back), (number + 1, "after")]
    expected = [["message", str(number), data] for number, data in expected]
    expect_each(got, expected, "an event as a reader has it, [type, id, data]")


@task("format", "An event is written as the standard says", points=2)
def test_an_event_has_a_type_an_id_and_data(stage):
    text = stage.text()

    expect_event(stage, text, text)


@task("format")
def test_an_id_may_be_any_number_of_a_message(stage):
    for number in (1, 2**53, 2**63 - 2):
        expect_event(stage, "one", "one", number)


@task("format")
def test_data_of_several_lines_comes_back_with_every_line(stage):
    for data in ("one\ntwo", "one\n\ntwo", "\n", "one\n", "\none", "one\n\n\n"):
        expect_event(stage, data, data)


@task("format")
def test_every_line_end_of_the_standard_comes_back_as_a_newline(stage):
    for end in ("\r", "\r\n"):
        expect_event(stage, f"one{end}two{end}", "one\ntwo\n")
    expect_event(stage, "one\n\rtwo\r\r\n", "one\n\ntwo\n\n")


@task("format")
def test_nothing_in_the_data_can_be_taken_for_a_field(stage):
    for data in ("data: one", "one\nid: 7\nevent: two\n\ndata: three", ": one", "a\r\rretry: 1"):
        expect_event(stage, data, data.replace("\r", "\n"))


@task("format")
def test_spaces_and_every_other_character_come_back_as_they_were(stage):
    plain = ("", " one", "  one ", "\tone\t", "ü 日本 🦦", "e\u0301")
    for data in (*plain, f"one{ODD}two", "\ufeffone", "one\0two"):
        expect_event(stage, data, data)


# stream


@task("stream", "A message reaches every reader of its room", points=2, needs="format")
def test_the_answer_begins_at_once_and_says_when_to_come_back(stage):
    retry = stage.random.randrange(1000, 9000)
    server = stage.serve(RETRY=retry)

    bob = listen(server, stage.name())

    bob.wait_for_retry()
    expect(bob.retry == str(retry), f"retry: {retry}", f"retry: {bob.retry}")


@task("stream")
def test_messages_come_as_they_were_posted(stage):
    server, room = stage.serve(), stage.name()
    bob = listen(server, room)

    for text in (stage.text(), "one\ntwo\r\nthree", f"ü 日本 🦦{ODD}", "data: x\n\n"):
        message = post(server, room, text)

        bob.expect_message(message)


@task("stream")
def test_each_message_comes_when_it_is_posted(stage):
    server, room = stage.serve(), stage.name()
    bob = listen(server, room)
    start = time.monotonic()

    for _ in range(15):
        bob.expect_message(post(server, room, stage.text()))

    took = time.monotonic() - start
    wanted = f"15 messages within {SOON * PATIENCE:g} s, each posted when the one before had come"
    expect(took < SOON * PATIENCE, wanted, f"{took:.1f} s")


@task("stream")
def test_a_stream_has_the_messages_of_its_own_room(stage):
    server, room = stage.serve(), stage.name()
    bob = listen(server, room)
    bob.wait_for_retry()

    post(server, stage.name(), "elsewhere")
    message = post(server, room, stage.text())

    bob.expect_message(message)
    bob.expect_message(post(server, room, stage.text()))


@task("stream")
def test_every_reader_has_every_message(stage):
    server, room = stage.serve(), stage.name()
    readers = [listen(server, room, who=f"reader {n}") for n in range(1, 21)]

    messages = [post(server, room, stage.text()) for _ in range(3)]

    for reader in readers:
        for message in messages:
            reader.expect_message(message)


@task("stream")
def test_messages_come_in_the_order_of_their_ids_also_when_two_are_posted_at_once(stage):
    server, room = stage.serve(), stage.name()
    bob = listen(server, room)
    bob.expect_message(post(server, room, stage.text()))
    server.probe(PROBE, "overtake_next_post", server.host, room, stage.text())

    post(server, room, stage.text())

    expect_the_rest(server, room, bob, seen=1)


def expect_the_rest(server: Server, room: str, reader: EventReader, seen: int) -> None:
    """Hold that a reader has what the room has, but for the first `seen`, each message once."""
    server.probe(PROBE, "wait_for_posts")
    marker = post(server, room, "the last")  # What is doubled comes before this one.
    messages = server.client("ada").get(f"/rooms/{room}/messages", limit=200).json()["messages"]
    expect_each(messages[-1:], [marker], "the room's last message")
    for message in messages[seen:]:
        reader.expect_message(message)


# resume


@task("resume", "A reader that comes back has missed nothing", points=3, needs="stream")
def test_the_stream_goes_on_after_the_last_event_id(stage):
    server, room = stage.serve(), stage.name()
    messages = [post(server, room, stage.text()) for _ in range(4)]

    bob = listen(server, room, last_id=messages[1]["id"])

    bob.expect_message(messages[2])
    bob.expect_message(messages[3])
    bob.expect_message(post(server, room, stage.text()))


@task("resume")
def test_a_reader_that_names_no_message_hears_the_room_from_its_first_on(stage):
    server, room = stage.serve(), stage.name()
    first = post(server, room, stage.text())
    for _ in range(250):
        post(server, room, "one of many")

    bob = listen(server, room)

    bob.expect_message(first)
    expected = [str(first["id"] + n) for n in range(1, 251)]
    ids = [bob.next().last_id for _ in range(250)]
    expect_each(ids, expected, "the ids of the messages after the first")
    bob.expect_message(post(server, room, stage.text()))


@task("resume")
def test_after_in_the_query_does_the_same_but_the_header_counts_more(stage):
    server, room = stage.serve(), stage.name()
    messages = [post(server, room, stage.text()) for _ in range(4)]

    ids = [0, *(message["id"] for message in messages)]

    bob = listen(server, room, query=f"?after={ids[2]}")

    bob.expect_message(messages[2])
    for header, after in ((3, 1), (1, 3), (0, 2)):
        eve = listen(server, room, ids[header], f"?after={ids[after]}", who="eve")
        eve.expect_message(messages[header])


@task("resume")
def test_an_id_that_is_none_of_the_room_s_is_good_too(stage):
    server, room = stage.serve(), stage.name()
    post(server, room, stage.text())
    elsewhere = post(server, stage.name(), "elsewhere")
    message = post(server, room, stage.text())

    bob = listen(server, room, last_id=elsewhere["id"])
    eve = listen(server, room, last_id=message["id"] + 1, who="eve")
    listen(server, room, last_id=2**63 - 1, who="mel")

    bob.expect_message(message)
    post(server, room, "the message that eve has named")
    eve.expect_message(post(server, room, stage.text()))


@task("resume")
def test_a_last_event_id_that_is_no_id_is_400(stage):
    ada, path = stage.serve().client("ada"), f"/rooms/{stage.name()}/events"
    for last_id in ("x", "-1", "+1", "1.5", "1_0", "1e3", "0x1", f"{2**63}", "9" * 30):
        answer = ada.get(path, headers={"Last-Event-ID": last_id})

        answer.expect_problem(400)


@task("resume")
def test_nothing_falls_between_what_was_and_what_is_to_come(stage):
    server = stage.serve()
    for seen in (3, 1):
        room, text = stage.name(), stage.text()
        messages = [post(server, room, stage.text()) for _ in range(3)]
        server.probe(PROBE, "post_at_first_look", server.host, room, text, "after")

        bob = listen(server, room, last_id=messages[seen - 1]["id"])

        for message in messages[seen:]:
            bob.expect_message(message)
        event = bob.next()  # It was posted right after the stream had looked for what there was.
        expect(text in event.data, f"the message {text}", event.data)
        expect_the_rest(server, room, bob, seen=4)


@task("resume")
def test_nothing_comes_twice_where_what_was_and_what_is_to_come_meet(stage):
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


@task("heartbeat", "A quiet stream shows that it is alive", points=1, needs="stream")
def test_a_quiet_stream_has_a_comment_every_heartbeat_and_not_more_often(stage):
    server, start = stage.serve(HEARTBEAT=0.3), time.monotonic()
    bob = listen(server, stage.name())

    for _ in range(4):
        bob.wait_for_comment()

    took = time.monotonic() - start  # The first may come at once, as a greeting.
    least = (bob.comments - 1) * 0.3
    wanted = f"{bob.comments} comments in not less than {least:.1f} s"
    expect(took >= least * EARLY, wanted, f"{took:.2f} s")


@task("heartbeat")
def test_a_heartbeat_is_counted_from_the_last_message(stage):
    server, room = stage.serve(HEARTBEAT=0.6), stage.name()
    bob = listen(server, room)
    begun = posted_at = time.monotonic()

    while posted_at < begun + 0.3:
        posted_at = time.monotonic()
        bob.expect_message(post(server, room, stage.text()))
    bob.wait_for_comment()

    took = time.monotonic() - posted_at
    expect(took >= 0.6 * EARLY, "no comment within 0.6 s of a message", f"one after {took:.2f} s")


@task("heartbeat")
def test_a_stream_that_is_not_quiet_has_no_comment(stage):
    server, room = stage.serve(HEARTBEAT=600.0), stage.name()
    bob = listen(server, room)

    for _ in range(3):
        bob.expect_message(post(server, room, stage.text()))

    wanted = "no comment but one at the very start: heartbeat is 600 s here"
    expect(bob.comments <= 1, wanted, f"{bob.comments} comments among 3 messages")


@task("heartbeat")
def test_a_heartbeat_is_no_event_and_the_messages_go_on_after_it(stage):
    server, room = stage.serve(HEARTBEAT=0.05), stage.name()
    bob = listen(server, room)

    for comments in (2, 2, 20):
        message = post(server, room, stage.text())
        bob.expect_message(message)
        for _ in range(comments):
            bob.wait_for_comment()
        wanted = f"{message['id']} to be the last id still"
        expect(bob.last_id == str(message["id"]), wanted, bob.last_id or "none")
    bob.expect_message(post(server, room, stage.text()))


@task("heartbeat")
def test_between_two_heartbeats_a_quiet_room_is_left_alone(stage):
    server, room = stage.serve(HEARTBEAT=0.5), stage.name()
    server.probe(PROBE, "count_looks")
    bob = listen(server, room)

    bob.wait_for_comment()
    bob.wait_for_comment()
    bob.wait_for_comment()

    looks = server.probe(PROBE, "looks")
    expect(looks <= 8, "at most 8 looks into the store in three heartbeats", looks)


# leave


@task("leave", "A reader that leaves takes everything along", points=1, needs="heartbeat")
def test_of_200_readers_that_come_and_go_nothing_is_left(stage):
    server = stage.serve(HEARTBEAT=0.2)
    census = server.census()
    come_and_go(stage, server, 20)  # What is made only once, such as a cache, is there now.
    server.expect_census(census)
    before = server.probe(PROBE, "objects")

    come_and_go(stage, server, 200)

    server.expect_census(census)
    eventually(
        lambda: more_than(before, server.probe(PROBE, "objects")).total() < 150,
        "nothing to be left of 200 readers, in 200 rooms",
        lambda: kept(more_than(before, server.probe(PROBE, "objects"))),
    )
    eventually(
        lambda: len(server.probe(PROBE, "texts", "guests-of-")) < 20,
        "nothing to hold the names of 200 rooms that nobody listens to",
        lambda: server.probe(PROBE, "texts", "guests-of-"),
    )


def come_and_go(stage, server: Server, count: int) -> None:
    """Let so many readers listen, each to a room of its own, hear a message, and leave.

    Every second is found out by what is posted later, the others by a heartbeat.
    """
    with stage.wire.only_what_fails():
        for number in range(count):
            room = f"guests-of-{stage.name()}"
            bob = listen(server, room)
            bob.expect_message(post(server, room, "hi"))
            bob.leave()
            for _ in range(number % 2 * 2):
                post(server, room, "is anybody there?")
    stage.wire.happened(f"{count} readers", "each heard a message in a room of its own, and left")


def more_than(before: dict[str, int], now: dict[str, int]) -> Counter:
    """Return how many objects of each type there are more than before, or fewer."""
    return Counter({name: now.get(name, 0) - before.get(name, 0) for name in {**before, **now}})


def kept(more: Counter) -> str:
    """Name the types of which the most objects are left."""
    most = ", ".join(f"{count} of {name}" for name, count in more.most_common(5))
    return f"{more.total()} objects more than before, such as {most}"


@task("leave")
def test_whoever_stays_hears_on_when_others_leave(stage):
    for heartbeat in (0.1, 600.0):
        server, room = stage.serve(HEARTBEAT=heartbeat), stage.name()
        bob = listen(server, room)
        bob.expect_message(post(server, room, stage.text()))

        for _ in range(5):
            listen(server, room, who="eve").leave()
            bob.expect_message(post(server, room, stage.text()))
            bob.expect_message(post(server, room, stage.text()))


# client: the parser


def expect_events(stage, data: bytes, events: list[list[str]], **ends: object) -> None:
    """Hold which events the parser makes of a stream, as a whole and however it is cut.

    An event is its type, its data and the last id. `ends` are the parser's `retry` and `last_id`.
    """
    cut = sorted(stage.random.sample(range(len(data) + 1), min(5, len(data))))
    for places in ([], range(1, len(data)), cut):
        chunks = [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]

        parsed = fed(stage, chunks)

        got = [event for events in parsed["events"] for event in events]
        expect_each(got, events, "the events of feed(), [type, data, last id]")
        got = {name: parsed[name] for name in ends}
        expect(got == ends, f"{in_json(ends)} of the parser", got)


def fed(stage, chunks: list[bytes]) -> dict:
    """Feed a new parser; return the `events` that each chunk completed, `retry` and `last_id`."""
    stage.wire.sent("test", " ".join(f"feed({chunk!r})" for chunk in chunks))
    parsed = stage.probe(PROBE, "parse", [chunk.hex() for chunk in chunks])
    expect("returned" not in parsed, "a list of events from feed()", parsed.get("returned"))
    return parsed


def lines(*lines: str, end: str = "\n") -> bytes:
    """Return lines as the bytes of a stream."""
    return "".join(line + end for line in lines).encode()


@task("client", "The client reads a stream by the rules", points=3)
def test_a_line_ends_in_lf_or_crlf_or_cr(stage):
    text = stage.text()
    for end in ("\n", "\r\n", "\r"):
        data = lines("id: 7", f"data: {text}", "", "data: a", "data: b", "", end=end)

        expect_events(stage, data, [["message", text, "7"], ["message", "a\nb", "7"]])
    mixed = b"data: a\rdata: b\ndata: c\r\n\rdata: d\n\r\n"
    expect_events(stage, mixed, [["message", "a\nb\nc", ""], ["message", "d", ""]])


@task("client")
def test_a_stream_may_be_cut_anywhere(stage):
    data = b"data: a\r\n\ndata: b\rdata: c\n\n"
    for place in range(1, len(data)):
        parsed = fed(stage, [data[:place], data[place:]])

        got = [event for events in parsed["events"] for event in events]
        expected = [["message", "a", ""], ["message", "b\nc", ""]]
        expect_each(got, expected, "the events of feed(), [type, data, last id]")


@task("client")
def test_nothing_else_ends_a_line(stage):
    expect_events(stage, lines(f"data: a{ODD}b", ""), [["message", f"a{ODD}b", ""]])


@task("client")
def test_an_event_is_there_with_its_blank_line_and_not_later(stage):
    for data in (b"data: a\n\n", b"data: a\r\r", b"data: a\r\n\r\n", b"\rdata: a\n\r"):
        parsed = fed(stage, [data[:-1], data[-1:], b":"])

        given = [event for events in parsed["events"][:2] for event in events]
        expect_each(given, [["message", "a", ""]], f"the events after {data!r}")


@task("client")
def test_characters_of_several_bytes_are_read_however_they_are_cut(stage):
    text = "ü 日本 🦦 " + stage.text()

    expect_events(stage, lines(f"data: {text}", ""), [["message", text, ""]])


@task("client")
def test_bytes_that_are_no_utf_8_spoil_one_character(stage):
    expect_events(stage, b"data: a\xffb\n\n", [["message", "a\ufffdb", ""]])


@task("client")
def test_a_byte_order_mark_counts_for_nothing_at_the_start(stage):
    bom = "\ufeff".encode()

    expect_events(stage, bom + lines("data: a", "", ""), [["message", "a", ""]])
    expect_events(stage, lines("", "\ufeffdata: a", "data: b", ""), [["message", "b", ""]])


@task("client")
def test_comments_and_unknown_fields_are_passed_over(stage):
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

    expect_events(stage, lines(": hi", "", *fields, ""), [["message", "a", ""]])


@task("client")
def test_one_space_after_the_colon_is_no_part_of_the_value(stage):
    data = lines("data:a", "data: b", "data:  c", "data:d: e", "data: f ", "data:\tg", "data: ", "")

    expect_events(stage, data, [["message", "a\nb\n c\nd: e\nf \n\tg\n", ""]])


@task("client")
def test_a_field_without_a_colon_has_an_empty_value(stage):
    data = lines("data", "", "data", "data", "", "event: x", "event", "id: 7", "id", "data: a", "")

    expected = [["message", "", ""], ["message", "\n", ""], ["message", "a", ""]]
    expect_events(stage, data, expected)


@task("client")
def test_the_type_is_of_one_event_only(stage):
    data = lines("event: join", "data: a", "", "data: b", "", "event: x", "", "data: c", "")

    expected = [["join", "a", ""], ["message", "b", ""], ["message", "c", ""]]
    expect_events(stage, data, expected)


@task("client")
def test_an_event_without_data_is_none(stage):
    data = lines("event: x", "id: 5", "", "", "", "data: a", "")

    expect_events(stage, data, [["message", "a", "5"]])


@task("client")
def test_an_id_holds_until_another_comes(stage):
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
    expect_events(stage, lines(*fields), expected, last_id="")


@task("client")
def test_an_event_that_is_not_complete_is_none_and_nor_is_its_id(stage):
    data = lines("id: 5", "data: a", "", "id: 6", "data: b") + b"data: c"

    expect_events(stage, data, [["message", "a", "5"]], last_id="5")


@task("client")
def test_retry_is_a_number_of_milliseconds_in_digits(stage):
    bad = ["retry: 1.5", "retry: -5", "retry: +5", "retry: ٣", "retry:  5", "retry: 5 s", "retry"]

    expect_events(stage, lines(*bad, ""), [], retry=3000)
    for retry in (stage.random.randrange(100, 10**6), 0, 999999999):
        expect_events(stage, lines(f"retry: {retry}", *bad), [], retry=retry)


# client: the program


@pytest.fixture
def board(stage) -> ScriptedBoard:
    """A room that the client reads."""
    return stage.use(ScriptedBoard(stage))


def read(stage, board: ScriptedBoard, *more: object) -> Program:
    """Start the client."""
    return stage.run("client.py", board.url, board.room, *more, events=("socket.connect",))


def written(*messages: dict, retry: int = 20) -> bytes:
    """Return a stream of these messages."""
    events = [f"id: {m['id']}\ndata: {json.dumps(m)}\n\n" for m in messages]
    return "".join([f"retry: {retry}\n\n", *events]).encode()


def ended(body: bytes) -> Reply:
    """Return a stream that ends."""
    return Reply(200, STREAM, body)


def going_on(body: bytes) -> Reply:
    """Return a stream that does not end."""
    return Reply(200, STREAM, body, open=True)


def expect_printed(program: Program, messages: list[dict]) -> None:
    """Hold that the client has printed these messages, and nothing else."""
    seen = []
    for line in program.lines(len(messages)):
        try:
            seen.append(json.loads(line))
        except ValueError:
            expect(False, "each line on stdout to be a message as JSON", line)
    expect_each(seen, messages, "each message once, in order")


def expect_last_ids(log: list[Exchange], expected: list[str]) -> None:
    """Hold the Last-Event-ID of each request, or "none"."""
    got = [exchange.headers.get("last-event-id", "none").encode("latin-1") for exchange in log]
    got = [last_id.decode("utf-8", "replace") for last_id in got]
    expect_each(got, expected, "the Last-Event-ID of each request")


@task("client")
def test_a_message_is_printed_while_the_stream_goes_on(stage, board):
    message = board.post()
    board.order(going_on(written(message)))

    program = read(stage, board)

    expect_printed(program, [message])
    target = board.log[0].target
    expect(target == f"/rooms/{board.room}/events", "GET /rooms/ROOM/events", target)


@task("client")
def test_only_messages_are_printed(stage, board):
    message = board.post()
    join = b'event: join\ndata: {"who": "eve"}\n\n'
    board.order(going_on(join + written(message)))

    program = read(stage, board)

    expect_printed(program, [message])


@task("client")
def test_the_client_comes_back_with_the_last_id(stage, board):
    messages = [board.post() for _ in range(4)]
    board.order(ended(written(*messages[:2])), ended(b""), ended(written(messages[2])))
    board.order(going_on(written(messages[3])))

    program = read(stage, board)

    expect_printed(program, messages)
    wanted = ["none", *(str(m["id"]) for m in (messages[1], messages[1], messages[2]))]
    expect_last_ids(board.wait_for(4, program), wanted)


@task("client")
def test_the_last_id_may_be_any_text(stage, board):
    ids = ["0", "a-1", "日本"]
    for last_id in ids:
        message = {**board.post(), "id": last_id}
        board.order(ended(written(message)))

    program = read(stage, board)

    expect_last_ids(board.wait_for(4, program), ["none", *ids])


@task("client")
def test_an_event_that_was_cut_off_is_forgotten(stage, board):
    messages = [board.post() for _ in range(3)]
    cut = written(*messages[:2])[:-20] + "🦦".encode()[:2]
    board.order(ended(cut), going_on(written(*messages[1:])))

    program = read(stage, board)

    expect_printed(program, messages)
    expect_last_ids(board.wait_for(2, program), ["none", str(messages[0]["id"])])


@task("client")
def test_whatever_fails_is_tried_again(stage, board):
    messages = [board.post() for _ in range(3)]
    board.order(ended(written(messages[0])), Reply(500), Reply(503), CUT, ended(b""))
    board.order(ended(written(messages[1])), CUT, going_on(written(messages[2])))

    program = read(stage, board)

    expect_printed(program, messages)


@task("client")
def test_a_connection_that_is_refused_is_tried_again(stage, board):
    messages = [board.post() for _ in range(2)]
    board.order(ended(written(messages[0])), going_on(written(messages[1])))
    board.refuse_after(1)
    program = read(stage, board)
    board.wait_until_refused(program)

    board.accept()

    expect_printed(program, messages)


@task("client")
def test_the_client_waits_as_long_as_retry_says(stage, board):
    message = board.post()
    board.order(ended(written(message, retry=300)), Reply(500), going_on(b""))

    program = read(stage, board)

    log = board.wait_for(3, program)
    for before, after in pairwise(log):
        waited = after.received_at - before.answered_at
        expect(waited >= 0.3 * EARLY, "at least 300 ms before the next request", f"{waited:.3f} s")


@task("client")
def test_a_stream_that_says_nothing_is_given_up(stage, board):
    messages = [board.post() for _ in range(2)]

    def one_more(exchange: Exchange) -> None:
        seen = int(exchange.headers.get("last-event-id", 0))
        new = [message for message in messages if message["id"] > seen][:1]
        board.order(SILENCE if len(board.log) == 1 else going_on(written(*new)))

    board.before_answer = one_more

    program = read(stage, board, "--silence", 0.5 * PATIENCE)

    expect_printed(program, messages)


# browser


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
    """Hold that the page has had these messages, each once."""
    count = len(messages)
    tab.wait_for(f"seen.length >= {count}", f"{count} messages in the page", "seen.length")
    seen, expected = tab.run("seen"), [[str(m["id"]), m] for m in messages]
    expect_each(seen, expected, "each message once, [id, message]")


@task("browser", "A browser reads the stream and comes back", points=1, needs="resume")
def test_event_source_resumes_after_a_restart_of_the_server(stage):
    browser, server, room = stage.browser(), stage.serve(RETRY=50), stage.name()
    tab = browser.open("bob", f"{server.url}/rooms/{room}/messages")
    tab.run(LISTEN, f"/rooms/{room}/events")
    messages = [post(server, room, stage.text())]
    expect_seen(tab, messages)

    server.kill()
    server = stage.serve(RETRY=50, port=server.port)
    messages += [post(server, room, stage.text()) for _ in range(2)]

    expect_seen(tab, messages)
    messages.append(post(server, room, stage.text()))
    expect_seen(tab, messages)
