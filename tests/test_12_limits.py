"""Lesson 12: a board with limits. These tests are the lesson's specification.

A `Board` is the learner's app with a room and its users; the class is at the bottom of this file.
To make a client slow in every run, a probe in the app's process holds what is written to it.
"""

import contextlib
import json
from pathlib import Path

import pytest

from course.grading import Stage, expect, task
from course.grading.asyncapi import described
from course.grading.expect import Unmet
from course.grading.fake_page import FakePage
from course.grading.guests import Guest, ids
from course.grading.http import Answer
from course.grading.raw import Opcode, Raw, in_hex
from course.grading.waiting import begin, eventually, in_threads
from course.lesson.lessons import ROOT

PROBES = Path(__file__).parent / "probes" / "12_limits.py"
FAKES = PROBES.with_name("10_reconnect.js")
NAMES = [f"guest-{number}" for number in range(20)]
LONG = "🦦" * 2000  # the longest text, and 24 kB as JSON


@pytest.fixture
def board(stage) -> "Board":
    """The learner's app, with limits that are far away."""
    return Board(stage)


# writer


@task("writer", "One thread writes to all clients", points=3)
def test_every_client_in_the_room_receives_messages_and_replies(board):
    guests = [board.join(who, deflate=who == "bob") for who in ("ada", "bob", "eve")]
    other = board.join("ada", room=board.stage.name())

    for guest, text in zip(guests, (board.stage.text(), LONG, "\x00 é 🦦"), strict=True):
        message = guest.post(text)

        for each in guests:
            each.expect_message(message)
    guests[0].socket.ping()
    other.ping()
    kinds = {event["type"] for event in other.received}
    expect("message" not in kinds, "no message in another room", sorted(kinds))


@task("writer")
def test_no_client_needs_a_thread_of_its_own_for_writing(board):
    ada = board.join("ada")
    before = board.server.census()["threads"]

    guests = [board.join(name) for name in NAMES]
    message = ada.post(board.stage.text())
    for guest in (ada, *guests):
        guest.expect_message(message)

    threads = board.server.census()["threads"] - before
    most = 2 * len(guests)  # the handler, and simple-websocket's thread, which reads
    expect(threads <= most, f"at most {most} more threads for {len(guests)} clients", threads)


@task("writer")
def test_each_message_is_encoded_once_for_all_clients(board):
    board.probe("watch")
    guests = [board.join(name) for name in NAMES[:6]]

    for text in ("first", "second"):
        message = board.post("ada", text)
        for guest in guests:
            guest.expect_message(message)

    found = board.probe("copies", '"type": "message"')
    expect(found == 2, "2 frames for 2 messages to 6 clients", f"{found} frames")


@task("writer")
def test_a_presence_has_a_name_and_a_message_has_none(board):
    board.probe("watch")
    ada = board.join("ada")

    board.join("bob")
    ada.post("hi")
    ada.wait_for_presence("ada", "bob")

    for kind, wanted in (("presence", ["presence"]), ("message", [None])):
        found = board.probe("names_of", f'"{kind}"')
        expect(found == wanted, f"{wanted[0]} as `latest` of each {kind}", found)


@task("writer")
def test_all_that_waits_for_a_client_is_sent_in_one_call(board):
    board.probe("watch")
    ada, bob = board.join("ada"), board.join("bob")
    board.probe("hold", "ada", says="a send() to ada takes long")
    before = board.probe("calls", "bob")

    messages = [board.post("eve", f"message {number}") for number in range(12)]
    board.probe("release", "ada")

    for guest in (ada, bob):
        guest.expect_messages(messages)
    calls = board.probe("calls", "bob")[len(before) :]
    expect(len(calls) <= 3, "at most 3 calls of send() to bob for 12 messages", f"{len(calls)}")


@task("writer")
def test_a_send_that_takes_only_a_part_is_continued(board):
    board.probe("watch")
    ada, bob = board.join("ada"), board.join("bob")
    board.probe("parts", "ada", says="each send() to ada takes at most 1,000 bytes")

    messages = [board.post("eve", text) for text in (LONG, "short", LONG)]

    for guest in (ada, bob):
        guest.expect_messages(messages)
    ada.ping()


@task("writer")
def test_the_rest_of_a_call_is_not_copied_at_each_send(board):
    sizes, copies = board.probe("taken_in_parts", 8, 1_000, says="a client takes 8 kB in parts")

    wanted = [8_000 - 1_000 * number for number in range(8)]
    expect(sizes == wanted, f"the rest at each call: {wanted}", sizes)
    expect(copies == 1, "memoryviews of the same bytes", f"{copies} copies")


@task("writer")
def test_a_full_buffer_loses_nothing_and_holds_up_no_other_client(board):
    board.probe("watch")
    ada, bob = board.join("ada"), board.join("bob")
    board.probe("fill", "ada", says="the system's buffer for ada is full")

    messages = [bob.post(f"message {number}") for number in range(3)]
    bob.expect_messages(messages)
    board.probe("fill", "ada", False, says="the buffer for ada has room again")

    ada.expect_messages(messages)
    ada.ping()


@task("writer")
def test_a_broken_connection_affects_no_other_client(board):
    board.probe("watch")
    guests = {name: board.join(name) for name in NAMES[:6]}
    errors = ["BrokenPipeError", "ConnectionResetError", "OSError"]
    for name, error in zip(NAMES, errors, strict=False):
        board.probe("fail", name, [error], says=f"the next send() to {name}: {error}")

    living = [guests[name] for name in NAMES[3:6]]
    for _ in range(2):
        message = board.post("ada", board.stage.text())
        for guest in living:
            guest.expect_message(message)
    for name in NAMES[:3]:
        ended = [board.probe("has_ended", name), board.probe("size", name)]
        expect(ended == [True, 0], f"drop() to be called for {name}'s outbox", "it wasn't")
    living[0].ping()


@task("writer")
def test_the_librarys_pong_waits_for_the_end_of_a_frame(board):
    board.probe("watch")
    ada = board.join("ada")
    message = board.post_in_parts("ada")

    pong = begin(ada.socket.ping)
    ada.send("ping")
    board.wait_until_waiting("ada", frames=2, what="two pongs to wait for ada")
    board.probe("release", "ada")

    ada.expect_message(message)
    pong.result()
    ada.next("pong")


@task("writer")
def test_the_librarys_close_frame_waits_for_the_end_of_a_frame(board):
    board.probe("watch")
    ada = board.raw("ada")
    message = board.post_in_parts("ada")

    ada.send(b"\x88\x82\x00\x00\x00\x00\x03\xe8", "close 1000")
    board.wait_until_waiting("ada", frames=1, what="a close frame to wait for ada")
    board.post("eve", "after the close frame")
    board.probe("release", "ada")

    expect(ada.message() == message, f"{json.dumps(message)}", "another message")
    expect(ada.message() is None, "close 1000", "another message")
    expect(ada.closed == (1000, ""), "close 1000", ada.closed)
    ada.expect_end()


@task("writer")
def test_the_reply_to_a_close_frame_is_sent_before_the_connection_ends(board):
    board.probe("watch")
    ada = board.raw("ada")
    board.wait_until_joined(1)
    board.wait_until_empty("ada")
    board.probe("hold", "ada", says="a send() to ada takes long")

    ada.send(b"\x88\x82\x00\x00\x00\x00\x03\xe8", "close 1000")
    board.wait_until_joined(0)
    board.probe("release", "ada")

    expect(ada.message() is None, "close 1000", "a message")
    expect(ada.closed == (1000, ""), "close 1000", ada.closed)
    ada.expect_end()


# queue


@task("queue", "Each client has a bounded queue", points=1, needs="writer")
def test_acks_pushes_and_pongs_keep_their_order(board):
    board.probe("watch")
    ada = board.join("ada")
    before = len(ada.received)
    board.post_and_hold("ada")

    wanted = ["taken"]
    for number in range(3):
        board.post("eve", f"push {number}")
        ada.send("ping", id=f"ping {number}")
        wanted += [f"push {number}", f"ping {number}"]
        board.wait_until_waiting("ada", 2 * number + 2)
    board.probe("release", "ada")
    while ada.next("pong")["id"] != "ping 2":
        pass

    found = [e.get("id") or e["message"]["text"] for e in ada.received[before:]]
    expect(found == wanted, f"{wanted}", found)


@task("queue")
def test_at_most_so_many_frames_wait_for_a_client(stage):
    board = Board(stage, QUEUE_FRAMES=10)
    board.probe("watch")
    ada = board.raw("ada")
    first = [board.post_and_hold("ada"), *(board.post("eve", f"{n}") for n in range(10))]
    _, waiting = board.probe("waiting", "ada")
    expect(waiting == 10, "10 frames to wait for ada, as QUEUE_FRAMES says", waiting)
    ended = board.probe("has_ended", "ada")
    expect(not ended, "ada's queue to be open: it has 10 frames", "it was closed")
    more = [board.post("eve", f"{n}") for n in range(10, 40)]
    board.probe("release", "ada")

    found = ada.messages_until_end()
    gone = found == [*first, *more][: len(found)]
    expect(gone, "no gap in ada's messages before the end", ids(found))
    wanted = "at most 11 messages for ada: one was taken, and 10 frames are the limit"
    expect(len(found) <= 11, wanted, f"{len(found)} messages")
    most = board.probe("largest")[1]
    expect(most <= 10, "at most 10 frames to wait", f"{most} frames")


@task("queue")
def test_at_most_so_many_bytes_wait_for_a_client(stage):
    board = Board(stage, QUEUE_BYTES=60_000)
    board.probe("watch")
    board.join("ada")
    bob = board.join("bob")
    board.probe("fill", "ada", says="the system's buffer for ada is full")

    for _ in range(2):
        bob.post(LONG)
    ended = board.probe("has_ended", "ada")
    expect(not ended, "ada's queue to be open: it has at most 48,400 bytes", "it was closed")
    for _ in range(6):  # As UTF-8, a message has 8 kB. With \uXXXX in the JSON, it has 24 kB.
        bob.post(LONG)

    most = board.probe("largest")[0]
    expect(most <= 60_100, "at most 60,000 bytes, and a close frame, to wait", f"{most:,} bytes")
    ended = board.probe("has_ended", "ada")
    expect(ended, "ada's queue to be closed when it was full", "it is open")


@task("queue")
def test_a_queue_takes_what_fits_exactly(board):
    for max_bytes, max_frames, sizes, taken in (
        (100, 9, [50, 50, 1], 2),
        (100, 9, [60, 41], 1),
        (100, 9, [100, 1], 1),
        (100, 9, [500, 1], 1),
        (100, 2, [1, 1, 1], 2),
        (100, 1, [1, 1], 1),
    ):
        found = board.probe("filled", max_bytes, max_frames, sizes)

        limits = f"{max_bytes} bytes and {max_frames} frames"
        expect(found == sizes[:taken], f"{sizes[:taken]} of {sizes} in {limits}", found)


@task("queue")
def test_a_queue_that_is_full_is_closed_with_the_time_to_retry(board):
    found = board.probe("ending_when_full")

    met = len(found) == 2 and found[0] == 1013 and found[1].startswith("retry-after=")
    expect(met, "close 1013 with the reason retry-after=SECONDS", found)


@task("queue")
def test_what_the_writer_has_taken_and_not_sent_counts(board):
    for sent, sizes, taken in (
        (0, [60, 41], 1),
        (0, [60, 40, 1], 2),
        (30, [60, 70, 1], 2),
        (30, [60, 71], 1),
        (60, [60, 500], 2),
    ):
        found = board.probe("filled", 100, 9, sizes, sent)

        rest = f"100 bytes, after {sent} of the first {sizes[0]} were sent"
        expect(found == sizes[:taken], f"{sizes[:taken]} of {sizes} in {rest}", found)


@task("queue")
def test_an_empty_queue_takes_a_message_of_any_size(stage):
    board = Board(stage, QUEUE_BYTES=10_000)
    ada = board.join("ada")

    for _ in range(2):
        board.wait_until_empty("ada")
        message = board.post("eve", LONG)
        ada.expect_message(message)
    board.wait_until_empty("ada")
    found = ada.history(after=0)

    expect(len(found) == 2, "a page with 2 messages, of 48,000 bytes", len(found))


# slow


@task("slow", "A client that stops reading affects no other client", points=3, needs="queue")
def test_a_client_that_stops_reading_is_closed_with_1013_and_the_others_miss_nothing(stage):
    board = Board(stage, QUEUE_BYTES=200_000)
    board.probe("small_buffers")
    guests = [board.join(name) for name in NAMES[:12]]
    slow = board.raw("ada")
    board.wait_until_joined(13)
    speaker, sent = guests[0], []

    while not board.probe("has_ended", "ada") and len(sent) < 100:
        sent.append(speaker.post(LONG))
        for guest in guests:
            guest.expect_message(sent[-1])
    board.stage.wire.happened("ada", "reads again")
    received = slow.messages_until_close()
    code, reason = slow.closed

    expect(code == 1013, "close 1013", f"close {code} {reason}")
    seconds = reason.removeprefix("retry-after=")
    expect(seconds != reason and seconds.isdecimal(), "the reason retry-after=SECONDS", reason)
    same = received == sent[: len(received)]
    expect(same, "no gap in ada's messages before the close", ids(received))
    missed = board.join("ada", after=received[-1]["id"] if received else 0).missed
    expect(received + missed == sent, "the rest when ada resumes", ids(missed))


@task("slow")
def test_nothing_waits_any_more_for_a_client_that_is_closed(stage):
    board = Board(stage, QUEUE_FRAMES=10)
    board.probe("watch")
    board.join("ada")
    board.post_and_hold("ada")

    for number in range(12):
        board.post("eve", f"{number}")

    waiting, frames = board.probe("waiting", "ada")
    expect(frames == 1, "only a close frame to wait for ada", f"{frames} frames")
    size = board.probe("size", "ada")
    wanted = f"the `size` of ada's outbox to be {waiting}, the bytes in rest and waiting"
    expect(size == waiting, wanted, size)


@task("slow")
def test_a_close_frame_is_not_written_inside_a_message(stage):
    board = Board(stage, QUEUE_FRAMES=10)
    board.probe("watch")
    ada = board.raw("ada")
    message = board.post_in_parts("ada")

    for number in range(12):
        board.post("eve", f"{number}")
    board.probe("release", "ada")

    received = ada.messages_until_close()
    expect(received == [message], "the message that was begun, whole, and then the close", received)
    expect(ada.closed[0] == 1013, "close 1013", ada.closed)


@task("slow")
def test_nothing_is_left_of_clients_that_never_read_again(stage):
    board = Board(stage, QUEUE_BYTES=100_000, GRACE=0.0)
    board.probe("small_buffers")
    board.probe("linger", 0.05)
    bob = board.join("bob")
    before = board.server.census()
    for _ in range(3):
        board.raw("ada")
    board.wait_until_joined(4)

    for _ in range(100):
        bob.post(LONG)
        if board.probe("members", board.room) == 1:
            break

    board.server.expect_census(before)
    bob.wait_for_presence("bob")


@task("slow")
def test_a_client_that_does_not_read_its_replies_gets_no_more_of_them(stage):
    board = Board(stage, QUEUE_BYTES=200_000)
    board.probe("watch")
    bob, ada = board.join("bob"), board.join("ada")
    sent = [bob.post(LONG) for _ in range(2)]
    for guest in (ada, bob):
        guest.expect_messages(sent)
    board.probe("fill", "ada", says="the system's buffer for ada is full")

    for _ in range(20):
        ada.send("history", after=0)
    bob.ping()
    bob.expect_message(bob.post("hi"))
    most = board.probe("largest")[0]
    board.probe("fill", "ada", False, says="the buffer for ada has room again")

    for _ in range(20):
        reply = ada.next("messages", "error")
        expect(reply["type"] == "messages", "20 pages for ada", reply)
    most = max(most, board.probe("largest")[0])
    expect(most <= 110_000, "at most a quarter of QUEUE_BYTES, and a reply, to wait", f"{most:,}")


@task("slow")
def test_a_client_that_sends_requests_and_reads_no_reply_is_closed_with_1008(stage):
    board = Board(stage, QUEUE_BYTES=200_000)
    board.probe("watch")
    bob, ada = board.join("bob"), board.join("ada")
    sent = [bob.post(LONG) for _ in range(3)]
    for guest in (ada, bob):
        guest.expect_messages(sent)
    board.probe("fill", "ada", says="the system's buffer for ada is full")

    for _ in range(2):
        ada.send("history", after=0)
    for _ in range(150):
        ada.send("ping")
    board.wait_until_joined(1)
    board.probe("fill", "ada", False, says="the buffer for ada has room again")

    found = ada.until_close(1008)
    pongs = [event for event in found if event["type"] == "pong"]
    expect(not pongs, "no reply after the page that ada didn't read", f"{len(pongs)} pongs")
    bob.expect_message(bob.post("hi"))


@task("slow")
def test_a_client_that_is_closed_while_its_reply_waits_leaves_the_room(stage):
    board = Board(stage, QUEUE_BYTES=200_000)
    board.probe("watch")
    bob, ada = board.join("bob"), board.join("ada")
    sent = [bob.post(LONG) for _ in range(3)]
    for guest in (ada, bob):
        guest.expect_messages(sent)
    board.probe("fill", "ada", says="the system's buffer for ada is full")
    before = board.probe("put_count")

    for _ in range(2):
        ada.send("history", after=0)
    eventually(lambda: board.probe("put_count") > before, "a reply to ada", lambda: "none")
    for _ in range(25):  # With 200 kB or more, her queue is full.
        bob.post(LONG)

    board.wait_until_joined(1)


@task("slow")
def test_resuming_waits_for_the_client_and_not_for_the_room(stage):
    board = Board(stage, QUEUE_BYTES=200_000)
    bob = board.join("bob")
    sent = [bob.post(LONG) for _ in range(52)]

    ada = board.join("ada", after=0)

    expect(ada.missed == sent, "52 messages, of 1.2 MB", ids(ada.missed))


# latest


@task(
    "latest",
    "Only the newest presence is queued, and quick reconnects aren't reported",
    points=2,
    needs="queue",
)
def test_a_newer_presence_replaces_one_that_waits_and_no_message(board):
    board.probe("watch")
    ada = board.join("ada")
    ada.expect_presence("ada")
    before = len(ada.received)
    board.probe("fill", "ada", says="the system's buffer for ada is full")
    messages = [board.post("eve", "taken")]
    board.wait_until_waiting("ada", 0)

    for name in NAMES[:5]:
        board.join(name)
        messages.append(board.post("eve", f"{name} is here"))
    waiting, _ = board.probe("waiting", "ada")
    size = board.probe("size", "ada")
    wanted = f"the `size` of ada's outbox to be {waiting}, the bytes in rest and waiting"
    expect(size == waiting, wanted, size)
    board.probe("fill", "ada", False, says="the buffer for ada has room again")
    ada.ping()

    ada.expect_messages(messages)
    here = sorted(["ada", *NAMES[:5]])
    ada.expect_presence(*here)
    kinds = [e["type"] for e in ada.received[before:]]
    wanted = [*["message"] * 5, "presence", "message", "pong"]
    expect(kinds == wanted, f"one presence, where the newest belongs: {wanted}", kinds)


@task("latest")
def test_a_member_who_is_back_in_time_has_not_left(board):
    board.probe("stop_time")
    ada, bob = board.join("ada"), board.join("bob")
    ada.wait_for_presence("ada", "bob")

    for end in (Guest.leave, Guest.cut):
        end(bob)
        board.wait_until_joined(1)
        board.probe("later", board.GRACE - 0.1, says="almost the grace period passes")
        bob = board.join("bob")
        expect(bob.welcome["members"] == ["ada", "bob"], '["ada", "bob"]', bob.welcome)
    board.fire_all()
    board.join("eve")

    ada.expect_presence("ada", "bob", "eve")


@task("latest")
def test_a_member_who_is_not_back_in_time_has_left(board):
    board.probe("stop_time")
    ada, bob, eve, zoe = (board.join(who) for who in ("ada", "bob", "eve", "zoe"))
    ada.wait_for_presence("ada", "bob", "eve", "zoe")

    for left, guest in zip((3, 2, 1), (bob, eve, zoe), strict=True):
        guest.leave()
        board.wait_until_joined(left)
        board.probe("later", 0.5)
    timers = board.probe("started")
    expect(timers == [board.GRACE], f"one timer, of {board.GRACE:g} s", timers)
    board.probe("later", board.GRACE - 1.5)
    board.probe("fire", says="the grace period of bob ends")
    ada.expect_presence("ada", "eve", "zoe")
    timers = [round(seconds, 3) for seconds in board.probe("started")]
    expect(timers == [0.5], "a timer for eve, of 0.5 s", timers)
    board.probe("later", 0.501)
    board.probe("fire", says="the grace period of eve ends")
    ada.expect_presence("ada", "zoe")
    board.probe("later", 0.5)
    board.fire_all()

    ada.expect_presence("ada")


@task("latest")
def test_members_who_leave_at_once_cost_one_timer_and_one_presence(board):
    board.probe("stop_time")
    board.probe("watch")
    staying = [f"zoe-{number}" for number in range(8)]
    ada, *_ = (board.join(name) for name in ("ada", *staying))
    guests = [board.join(name) for name in NAMES]
    ada.wait_for_presence("ada", *NAMES, *staying)
    before = board.probe("put_count")

    for guest in guests:
        guest.cut()
    board.wait_until_joined(1 + len(staying))
    timers = board.probe("started")
    board.probe("later", board.GRACE)
    board.fire_all()

    ada.expect_presence("ada", *staying)
    expect(len(timers) == 1, "one timer for the room", f"{len(timers)} timers")
    puts = board.probe("put_count") - before
    # One presence for each client that stays, and at most two close frames for each that left.
    most = 1 + len(staying) + 2 * len(NAMES)
    expect(puts <= most, f"at most {most} frames when {len(NAMES)} clients leave", f"{puts} frames")


@task("latest")
def test_a_client_with_two_tabs_that_closes_one_has_not_left(board):
    board.probe("stop_time")
    ada, bob, _ = (board.join(who) for who in ("ada", "bob", "bob"))
    ada.wait_for_presence("ada", "bob")

    bob.leave()
    board.wait_until_joined(2)
    board.probe("later", board.GRACE)
    board.fire_all()
    board.join("eve")

    ada.expect_presence("ada", "bob", "eve")


@task("latest")
def test_the_grace_period_begins_when_the_last_tab_is_closed(board):
    board.probe("stop_time")
    ada, *tabs = (board.join(who) for who in ("ada", "bob", "bob"))
    ada.wait_for_presence("ada", "bob")
    for left, tab in zip((2, 1), tabs, strict=True):
        board.probe("later", 1.0)
        tab.leave()
        board.wait_until_joined(left)

    board.probe("later", board.GRACE - 1.0)
    board.probe("fire", says="the grace period after bob's first tab ends")
    board.join("eve")

    ada.expect_presence("ada", "bob", "eve")
    board.probe("later", 1.0)
    board.fire_all()
    ada.expect_presence("ada", "eve")


@task("latest")
def test_an_empty_room_is_forgotten_after_the_grace_period(board):
    board.probe("stop_time")
    names = [board.stage.name() for _ in range(3)]
    for name in names:
        board.join("ada", room=name).leave()
    eventually(lambda: len(board.probe("started")) == 3, "a timer for each room", lambda: "fewer")

    board.probe("later", board.GRACE)
    board.fire_all()

    found = board.probe("rooms")
    expect(found == [], "no room left in the hub", found)


# size


@task("size", "A message has at most 65,536 bytes", points=1, needs="writer")
def test_a_message_of_65536_bytes_is_read(board):
    ada = board.join("ada", deflate=True)

    for filling in ("x", "€", "🦦"):
        for parts in (1, 3):
            ada.socket.send_parts(cut(padded(filling, 65_536), parts))

            ada.next_id("pong", "1")


@task("size")
def test_a_binary_message_may_have_as_many_bytes(board):
    ada = board.join("ada")

    for size in (20_000, 65_536):
        ada.socket.send(bytes(size))

        code = ada.next("error")["code"]
        expect(code == "bad_message", "the code bad_message, and no close", code)


@task("size")
def test_a_message_of_more_bytes_is_closed_with_1009(board):
    board.probe("linger", 10.0)
    for filling, size, parts, deflate in (
        ("x", 65_537, 1, False),
        ("€", 65_537, 1, False),
        ("🦦", 65_540, 1, True),
        ("€", 65_538, 4, False),
        ("x", 200_000, 1, True),
        # The server closes before it has read these. It must read the rest, or TCP resets the
        # connection, and the reset may arrive before the close frame.
        ("x", 3_000_000, 1, False),
        ("€", 3_000_000, 1, False),
    ):
        ada = board.join("ada", deflate=deflate, in_a_hurry=True)
        with contextlib.suppress(Unmet):  # The server may close before it has read all.
            ada.socket.send_parts(cut(padded(filling, size), parts))

        ada.until_close(1009)


@task("size")
def test_a_message_that_is_too_large_does_nothing_and_leaves_nothing(board):
    bob = board.join("bob")
    before = board.server.census()
    for filling in ("x", "€"):
        ada = board.join("ada")
        ada.socket.send(padded(filling, 69_000, type="post", text="too large"))
        ada.until_close(1009)

    board.server.expect_census(before)
    bob.expect_message(board.post("eve", "next"))


# rate


@task("rate", "A token bucket limits each user", points=2, needs="writer")
def test_more_requests_than_the_bucket_has_tokens_are_refused(stage):
    board = Board(stage, RATE=2.0, BURST=5)
    board.probe("stop_time")
    ada, bob = board.join("ada", in_a_hurry=True), board.join("bob", in_a_hurry=True)

    sent = [ada.post(f"{number}") for number in range(5)]
    for _ in range(3):
        ada.expect_refused("post", text="too fast")
    bob.ping()
    wait = ada.expect_refused("ping")
    expect(0.5 <= wait <= 0.7, '"retry_after": 0.5, or a little more', wait)
    board.probe("later", 0.3, says="0.3 s pass")
    wait = ada.expect_refused("ping")
    expect(0.2 <= wait <= 0.4, '"retry_after": 0.2, or a little more', wait)
    board.probe("later", wait, says=f"{wait:g} s pass")
    sent.append(ada.post("in time"))

    bob.expect_messages(sent)
    file = described("12_limits", ROOT, stage.folder)
    for event in ada.received:
        file.kind(event)


@task("rate")
def test_all_connections_of_a_user_share_one_bucket(stage):
    board = Board(stage, RATE=1.0, BURST=4)
    board.probe("stop_time")
    tabs = [board.join("ada", in_a_hurry=True) for _ in range(2)]

    for tab in tabs:
        tab.ping()
        tab.ping()
    for tab in tabs:
        tab.expect_refused("ping")
    later = board.join("ada", in_a_hurry=True)
    later.expect_refused("ping")
    answer = board.send_post("ada", "over REST")
    answer.expect_status(429)
    wait = answer.headers.get("Retry-After", "")
    expect(wait == "1", "Retry-After: 1", wait or "no Retry-After")
    board.send_post("bob", "over REST").expect_status(201)
    board.join("bob", in_a_hurry=True).ping()


@task("rate")
def test_posts_over_rest_take_tokens(stage):
    board = Board(stage, RATE=0.5, BURST=3)
    board.probe("stop_time")
    bob = board.join("bob", in_a_hurry=True)

    sent = [board.post("ada", f"{number}") for number in range(3)]
    for passed, left, seconds in ((0.0, 2.0, "2"), (0.7, 1.3, "2"), (1.0, 0.3, "1")):
        board.probe("later", passed, says=f"{passed:g} s pass")
        answer = board.send_post("ada", "too fast")
        answer.expect_status(429)
        wait = answer.headers.get("Retry-After", "")
        wanted = f"Retry-After: {seconds}, which is {left:g} s rounded up"
        expect(wait == seconds, wanted, wait or "no Retry-After")
    board.probe("later", 0.4, says="0.4 s pass")
    sent.append(board.post("ada", "in time"))

    bob.expect_messages(sent)


@task("rate")
def test_tokens_flow_in_at_the_rate_and_never_above_the_burst(stage):
    board = Board(stage, RATE=2.0, BURST=4)
    board.probe("stop_time")
    ada = board.join("ada", in_a_hurry=True)

    for seconds, allowed in ((0.0, 4), (1.0, 2), (0.25, 0), (0.25, 1), (1_000.0, 4), (1.6, 3)):
        board.probe("later", seconds, says=f"{seconds:g} s pass")
        for _ in range(allowed):
            ada.ping()
        ada.expect_refused("ping")


@task("rate")
def test_a_message_that_is_not_valid_takes_a_token(stage):
    board = Board(stage, RATE=1.0, BURST=3)
    board.probe("stop_time")
    ada = board.join("ada", in_a_hurry=True)

    for text in ("no JSON", "{}", '{"type": "dance", "id": "1"}'):
        ada.socket.send(text)
        ada.next("error")

    ada.expect_refused("ping")


@task("rate")
def test_a_client_that_goes_on_regardless_is_closed_with_1008(stage):
    board = Board(stage, RATE=1.0, BURST=1)
    board.probe("stop_time")
    ada, bob = board.join("ada", in_a_hurry=True), board.join("bob", in_a_hurry=True)
    ada.ping()

    for _ in range(19):
        ada.expect_refused("ping")
    board.probe("later", 1.0, says="1 s passes")
    ada.ping()
    for _ in range(20):
        ada.expect_refused("ping")

    ada.until_close(1008)
    bob.ping()


@task("rate")
def test_two_threads_never_take_the_same_token(board):
    for burst, threads in ((1, 2), (2, 4)):
        found = board.probe("take_at_once", 1.0, burst, threads)

        expect(found == burst, f"{burst} of {threads} threads to get a token", found)


@task("rate")
def test_a_full_bucket_takes_no_memory(board):
    before, after = board.probe("take_many", 100, 100.0)

    expect(after <= 2, "the full buckets of 100 users to be forgotten", f"{after} of {before}")


# pause


@task("pause", "The page waits for as long as the server asks", points=1, needs="rate")
def test_a_post_that_is_refused_for_its_rate_is_sent_again_after_the_pause(stage):
    page = FakePage(stage, FAKES)
    page.enter()

    first, second = page.post("one", "two")
    page.say(too_fast(first, 2))
    page.pass_time(1_900)
    page.say({"type": "presence", "members": ["ada", "bob"]})
    page.expect_posts((first, "one"))
    page.pass_time(200)
    page.expect_posts((first, "one"), (first, "one"))
    page.say(acked(first))

    page.expect_posts((first, "one"), (first, "one"), (second, "two"))
    for seconds in (0.1, 1.7):
        page.say(too_fast(second, seconds))
        before = len(page.sent("post"))
        page.pass_time(1_000 * seconds - 50)
        page.expect_sent("post", before, f"within {seconds} s of the error")
        page.pass_time(100)
        page.expect_sent("post", before + 1, f"{seconds} s after the error")
    page.say(acked(second))
    page.expect_outbox()


@task("pause")
def test_an_error_without_a_pause_fails_the_post_and_the_next_is_sent(stage):
    page = FakePage(stage, FAKES)
    page.enter()

    first, second = page.post("one", "two")
    page.say({"type": "error", "id": first, "code": "forbidden", "detail": "You may not."})

    page.expect_outbox((first, "one", "You may not."), (second, "two"))
    page.expect_posts((first, "one"), (second, "two"))


@task("pause")
def test_a_pause_ends_with_its_connection(stage):
    page = FakePage(stage, FAKES)
    page.enter()
    (first,) = page.post("one")
    page.say(too_fast(first, 200))

    page.reconnect()

    page.expect_posts((first, "one"))
    page.say(acked(first))
    page.call("close")
    page.expect_no_timer("after close()")


@task("pause")
def test_only_the_post_that_was_sent_can_be_too_large(stage):
    page = FakePage(stage, FAKES)
    page.enter()
    texts = ["small", "x" * 70_000]
    posts = list(zip(page.post(*texts), texts, strict=True))

    page.reconnect()
    page.expect_outbox(*posts)
    page.say(acked(posts[0][0]))
    page.expect_posts(*posts)
    page.lose(1006)

    failed = [post["id"] for post in page.outbox if post.get("failed")]
    expect(failed == [posts[1][0]], "the large post to have failed, since it was sent", failed)


@task("pause")
def test_a_page_of_messages_that_is_refused_for_its_rate_is_requested_again(stage):
    board = Board(stage, RATE=2.0, BURST=1)
    board.probe("stop_time")
    browser = stage.browser()
    browser.control_time()
    board.probe("allow_origin", board.server.url)
    tab = browser.open("ada", f"{board.server.url}/login")
    board.post("ada", "with the only token")
    tab.run("(cookie) => { document.cookie = cookie; }", f"{board.proof('ada')['Cookie']}; path=/")
    tab.go(f"{board.server.url}/rooms/{board.room}")

    def wait_until_refused(count: int) -> None:
        eventually(
            lambda: board.probe("refused") == count,
            f"{count} requests of the page to be refused",
            lambda: board.probe("refused"),
        )

    wait_until_refused(1)
    tab.pass_time(0.7)
    wait_until_refused(2)
    board.probe("later", 1.0, says="1 s passes on the server")
    tab.pass_time(0.7)

    text = "document.querySelector('#messages .text')?.textContent"
    tab.wait_for(f"{text} === 'with the only token'", "the message in the page", text)


# caps


@task("caps", "Connections are limited per user and IP address", points=2, needs="writer")
def test_connections_above_a_cap_are_refused_before_the_upgrade(stage):
    for limits, refused, status in (
        ({"MAX_PER_USER": 2}, "ada", 429),
        ({"MAX_PER_ADDRESS": 2}, "bob", 429),
        ({"MAX_CONNECTIONS": 2}, "bob", 503),
    ):
        board = Board(stage, **limits)
        first, _ = board.join("ada"), board.join("ada")

        for _ in range(3):
            board.expect_refused(refused, status)
        if "MAX_PER_USER" in limits:
            board.join("bob")
        first.leave()
        board.wait_until_let_in("ada")
        board.expect_refused(refused, status)


@task("caps")
def test_a_header_of_the_client_is_not_its_address(stage):
    board = Board(stage, MAX_PER_ADDRESS=1)
    board.join("ada")

    for name in ("X-Forwarded-For", "X-Real-IP", "Forwarded"):
        board.expect_refused("bob", 429, {name: "192.0.2.1"})


@task("caps")
def test_the_access_address_gives_the_same_answer(stage):
    board = Board(stage, MAX_PER_USER=1)
    path = f"/rooms/{board.room}/access"
    board.get("ada", path).expect_status(200)

    board.join("ada")

    board.expect_too_many(board.get("ada", path), 429)
    board.get("bob", path).expect_status(200)


@task("caps")
def test_only_open_connections_count(stage):
    board = Board(stage, MAX_PER_USER=8, MAX_PER_ADDRESS=9, MAX_CONNECTIONS=10)
    board.probe("crash", "crash")
    board.proof("ada")  # Threads can't call a probe at once.
    ends = (Guest.leave, Guest.cut, Guest.half_close, Guest.crash)

    def connect_and_end(start: int) -> None:
        for number in range(start, 200, 4):
            board.wait_until_let_in("ada", ends[number // 4 % 4])

    in_threads([lambda start=start: connect_and_end(start) for start in range(4)])
    for _ in range(10):
        board.handshake("ada", {"Sec-WebSocket-Version": "12"}).expect_status(426)
        board.handshake("ada", {"Origin": "http://evil.example"}).expect_status(403)
    eventually(
        lambda: board.probe("counted") == 0, "no connection counted", lambda: board.probe("counted")
    )
    for _ in range(8):
        board.join("ada", in_a_hurry=True)
    board.expect_refused("ada", 429)


@task("caps")
def test_of_many_handshakes_at_once_only_so_many_are_accepted(stage):
    board = Board(stage, MAX_PER_USER=3)
    board.probe("slow_check", says="check() takes a moment")
    board.proof("ada")
    raws = [Raw(board.server, f"tab {number}", board.server.port) for number in range(8)]

    lines = in_threads([lambda raw=raw: board.shake(raw, "ada") for raw in raws])

    found = sorted(line.split()[1] for line in lines)
    expect(found == ["101"] * 3 + ["429"] * 5, "3 times 101, and 5 times 429", found)


# What the tests use

OWN = "https://board.example"  # the origin of the board's pages
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Protocol": "board.v1",
}
FAR_AWAY = {
    "RATE": 1_000_000.0,
    "BURST": 1_000_000,
    "MAX_PER_USER": 1_000,
    "MAX_PER_ADDRESS": 1_000,
    "MAX_CONNECTIONS": 1_000,
}


def too_fast(request_id: str, seconds: float) -> dict:
    """Return the error for a request that comes too fast."""
    words = {"code": "rate", "detail": "You are sending too many requests."}
    return {"type": "error", "id": request_id, **words, "retry_after": seconds}


def acked(request_id: str) -> dict:
    """Return the ack of a post."""
    message = {"id": 1, "room": "lobby", "author": "ada", "text": "", "sent_at": ""}
    return {"type": "ack", "id": request_id, "message": message}


class Member(Guest):
    """A client in a room, whose user has logged in."""

    def ping(self) -> None:
        """Send a ping of the protocol board.v1, and wait for its pong."""
        self.next_id("pong", self.send("ping"))

    def next_id(self, kind: str, request_id: str) -> dict:
        """Return the next reply of a type, which must be to this request."""
        reply = self.next(kind, "error")
        met = (reply["type"], reply.get("id")) == (kind, request_id)
        expect(met, f"a {kind} to {request_id}", reply)
        return reply

    def expect_messages(self, messages: list[dict]) -> None:
        """Check that these messages are pushed next."""
        for message in messages:
            self.expect_message(message)

    def expect_refused(self, kind: str, **fields: object) -> float:
        """Send a request, and expect an error because of its rate. Return its `retry_after`."""
        request_id = self.send(kind, **fields)
        reply = self.next("error", "pong", "ack", "messages")
        met = (reply["type"], reply.get("id"), reply.get("code")) == ("error", request_id, "rate")
        expect(met, f"an error with the code rate for {request_id}", reply)
        wait = reply.get("retry_after")
        met = type(wait) in (int, float) and wait > 0
        expect(met, '"retry_after" in seconds, above 0', reply)
        return wait


class Still(Raw):
    """A client that reads only when it is told to."""

    closed: tuple[int, str] | None = None  # the code and the reason of the server's close frame

    def next(self) -> dict | None:
        """Return the next JSON object, or None after a close frame."""
        while (frame := self.frame("a message or a close frame")).opcode in (
            Opcode.PING,
            Opcode.PONG,
        ):
            pass
        if frame.opcode is Opcode.CLOSE:
            data = bytes(frame.data)
            self.closed = (int.from_bytes(data[:2], "big"), data[2:].decode())
            return None
        try:
            return json.loads(bytes(frame.data))
        except ValueError as error:
            raise Unmet("a message that is JSON", f"{error}: {in_hex(bytes(frame.data))}") from None

    def message(self) -> dict | None:
        """Return the next message that is pushed, or None if a close frame is before it."""
        while (event := self.next()) and event["type"] != "message":
            pass
        return event and event["message"]

    def messages_until_end(self) -> list[dict]:
        """Return the messages that are pushed before the end, with or without a close frame."""
        messages = []
        with contextlib.suppress(Unmet):
            for message in iter(self.message, None):
                messages.append(message)
        return messages

    def messages_until_close(self) -> list[dict]:
        """Return the messages that are pushed before the server's close frame."""
        return list(iter(self.message, None))


class Board:
    """The learner's app, with a room in which each user may write."""

    GRACE = 3.0  # seconds

    def __init__(self, stage: Stage, **config: object) -> None:
        config = {"ORIGINS": [OWN], "HEARTBEAT": 3600.0, "GRACE": self.GRACE, **FAR_AWAY, **config}
        self.stage, self.room = stage, stage.name()
        self.server = stage.serve(PASSWORD_METHOD="pbkdf2:sha256:1000", **config)
        self._cookies: dict[tuple[str, str], str] = {}

    def probe(self, function: str, *args: object, says: str = "") -> object:
        """Call a function of the lesson's probe in the app's process."""
        return self.server.probe(PROBES, function, *args, says=says)

    def proof(self, who: str, room: str = "") -> dict[str, str]:
        """Return the headers with which a user's browser proves who it is."""
        key = (room or self.room, who)
        if key not in self._cookies:
            names = [who, *NAMES, "ada", "bob", "eve"]
            cookies = self.probe("enrol", key[0], sorted(set(names)))
            self._cookies |= {(key[0], name): cookie for name, cookie in cookies.items()}
        return {"Cookie": f"login={self._cookies[key]}", "Origin": OWN}

    def join(self, who: str, room: str = "", **options: object) -> Member:
        """Join the room with a WebSocket."""
        room = room or self.room
        return Member(self.server, who, room, headers=self.proof(who, room), query={}, **options)

    def raw(self, who: str) -> Still:
        """Join the room with a WebSocket that reads nothing until it is told to."""
        client = self.stage.use(Still(self.server, who, self.server.port))
        line = self.shake(client, who)
        expect(" 101 " in line, "101 Switching Protocols", line)
        welcome = client.next()
        expect(welcome and welcome["type"] == "welcome", "a welcome", welcome)
        return client

    def shake(self, client: Raw, who: str) -> str:
        """Send a handshake. Return the status line of the response."""
        headers = {"Host": self.server.host, **UPGRADE, **self.proof(who)}
        lines = [f"{name}: {value}" for name, value in headers.items()]
        client.request([f"GET /board/{self.room} HTTP/1.1", *lines], f"a handshake as {who}")
        return client.head()[0]

    def handshake(self, who: str, headers: dict[str, str] | None = None) -> Answer:
        """Send a handshake that is to be refused, and return the answer."""
        headers = {**UPGRADE, **self.proof(who), **(headers or {})}
        return self.server.client(who).request("GET", f"/board/{self.room}", headers=headers)

    def expect_refused(self, who: str, status: int, headers: dict | None = None) -> None:
        """Expect that a handshake is refused because it is one too many."""
        self.expect_too_many(self.handshake(who, headers), status)

    def expect_too_many(self, answer: Answer, status: int) -> None:
        """Check that an answer says there are too many connections, and when to try again."""
        answer.expect_status(status)
        wait = answer.headers.get("Retry-After", "")
        met = wait.isdecimal() and int(wait) > 0
        expect(met, "Retry-After with a number of seconds", wait or "no Retry-After")
        kind = answer.headers.get("Content-Type", "")
        expect(kind.startswith("application/problem+json"), "a problem document", kind)

    def wait_until_let_in(self, who: str, end: object = None) -> None:
        """Connect as soon as there is room for a connection, and perhaps end it."""
        met: list[Member] = []

        def let_in() -> bool:
            try:
                met.append(self.join(who))
            except Unmet:
                return False
            return True

        eventually(let_in, f"{who} to be let in", lambda: "a refusal")
        if end:
            end(met[0])

    def get(self, who: str, path: str) -> Answer:
        """Read something over REST."""
        return self.server.client(who).request("GET", path, headers=self.proof(who))

    def send_post(self, who: str, text: str) -> Answer:
        """Post over REST, and return the answer."""
        headers = {"Content-Type": "application/json", **self.proof(who)}
        body = json.dumps({"text": text}).encode()
        path = f"/rooms/{self.room}/messages"
        return self.server.client(who).request("POST", path, body, headers)

    def post(self, who: str, text: str) -> dict:
        """Post over REST, and return the message."""
        return self.send_post(who, text).json(201)

    def post_in_parts(self, who: str) -> dict:
        """Post a long message, and hold what is written to this client after 1,000 bytes of it."""
        self.wait_until_empty(who)
        self.probe("hold", who, 1, 1_000, says=f"1,000 bytes of the next frame are sent to {who}")
        message = self.post("eve", LONG)
        self.wait_until_waiting(who, 0, f"the writer to take the message for {who}")
        return message

    def wait_until_waiting(self, who: str, frames: int, what: str = "") -> None:
        """Wait until exactly so many frames wait for this client."""
        eventually(
            lambda: self.probe("waiting", who)[1] == frames,
            what or f"{frames} frames to wait for {who}",
            lambda: f"{self.probe('waiting', who)[1]} frames",
        )

    def wait_until_empty(self, who: str) -> None:
        """Wait until the queue of this client is empty, also as the writer knows it."""
        eventually(
            lambda: self.probe("size", who) == 0,
            f"an empty queue of {who}",
            lambda: f"{self.probe('size', who)} bytes",
        )

    def post_and_hold(self, who: str) -> dict:
        """Hold what is written to this client, from a message on that the writer has taken."""
        self.wait_until_empty(who)
        self.probe("hold", who, says=f"a send() to {who} takes long")
        message = self.post("eve", "taken")
        self.wait_until_waiting(who, 0, f"the writer to take the message for {who}")
        return message

    def wait_until_joined(self, count: int) -> None:
        """Wait until so many connections are in the room."""
        eventually(
            lambda: self.probe("members", self.room) == count,
            f"{count} connections in the room",
            lambda: self.probe("members", self.room),
        )

    def fire_all(self) -> None:
        """Call all timers that have been started by now."""
        for _ in self.probe("started"):
            self.probe("fire", says="a timer ends")


def padded(filling: str, size: int, **fields: str) -> str:
    """Return a request of so many bytes, with a field that the board ignores."""
    start = json.dumps({"type": "ping", "id": "1", **fields})[:-1] + ', "padding": "'
    left = size - len(start) - 2
    count, rest = divmod(left, len(filling.encode()))
    return start + filling * count + "x" * rest + '"}'


def cut(text: str, parts: int) -> list[str]:
    """Return a text in so many parts."""
    size = -(-len(text) // parts)
    return [text[start : start + size] for start in range(0, len(text), size)]
