"""Lesson 10: connections that break, on the server and in the page. This is its specification.

A test itself makes each heartbeat. A probe in the app's process lets a write block, which otherwise
depends on the sizes of buffers. A `Guest` is a client in a room; the class is in
course/grading/guests.py.
"""

import json
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from urllib.parse import quote

import pytest

from course.grading import Server, Stage, equal, expect, task
from course.grading.asyncapi import described
from course.grading.guests import PROTOCOL, Guest, ids, post
from course.grading.sockets import RawSocket
from course.grading.waiting import begin, eventually, in_threads
from course.lesson.lessons import ROOT

PROBES = Path(__file__).parent / "probes" / "10_reconnect.py"
ROOMS = Path(__file__).parent / "probes" / "08_broadcast.py"
NEVER = 3600  # seconds between two beats, so that a test makes them
REPLAY = 120  # messages
PING, PONG = 0x9, 0xA  # opcodes (RFC 6455, section 5.2)


@pytest.fixture
def server(stage) -> Server:
    """The learner's app."""
    return stage.serve(HEARTBEAT=NEVER, REPLAY=REPLAY)


# heartbeat


@task("heartbeat", "A client that is gone leaves within two heartbeats", points=2)
def test_a_client_that_answers_no_ping_is_gone_after_two_beats(stage, server):
    room = stage.name()
    ada = Guest(server, "ada", room)
    before = server.census()
    bob = silent(server, "bob", room)
    ada.wait_for_presence("ada", "bob")

    beat(server, ada)
    receive_ping(bob)
    expect(left_over(server) == 2, "bob's connection after one beat", "it has been cut off")
    beat(server, ada)

    ada.wait_for_presence("ada")
    server.expect_census(before)
    eventually(lambda: left_over(server) == 1, "one connection in memory", lambda: "more")


@task("heartbeat")
def test_a_client_that_only_answers_pings_is_never_cut_off(stage, server):
    room = stage.name()
    ada, bob = Guest(server, "ada", room), silent(server, "bob", room)
    ada.wait_for_presence("ada", "bob")

    for _ in range(5):
        beat(server, ada)
        receive_ping(bob)
        bob.send(PONG)
        eventually(lambda: server.probe(PROBES, "answered", "bob"), "bob's pong", lambda: "none")
    bob.send(PING, b"there?")

    opcode, payload = bob.receive("a pong")
    expect((opcode, payload) == (PONG, b"there?"), "a pong", payload)
    here = Guest(server, "eve", room).welcome["members"]
    expect(here == ["ada", "bob", "eve"], '["ada", "bob", "eve"]', here)


@task("heartbeat")
def test_a_client_that_stopped_answering_is_gone_after_two_more_beats(stage, server):
    room = stage.name()
    ada, bob = Guest(server, "ada", room), silent(server, "bob", room)
    beat(server, ada)
    receive_ping(bob)
    bob.send(PONG)
    eventually(lambda: server.probe(PROBES, "answered", "bob"), "bob's pong", lambda: "none")

    beat(server, ada)
    beat(server, ada)

    ada.wait_for_presence("ada", "bob")
    ada.wait_for_presence("ada")


@task("heartbeat")
def test_a_send_that_is_stuck_ends_after_two_beats_and_delays_none(stage, server):
    room = stage.name()
    server.probe(PROBES, "control_writes")
    ada, _ = Guest(server, "ada", room), Guest(server, "bob", room)
    get_stuck(server, "bob", says="bob's computer is gone: a write to it blocks")

    message = begin(lambda: post(server, "eve", room, stage.text()))
    wait_until_blocked(server, "bob")
    beat(server, ada)
    beat(server, ada)

    ada.expect_message(message.result())
    ada.wait_for_presence("ada", "bob")
    ada.wait_for_presence("ada")


@task("heartbeat")
def test_a_client_whose_buffer_stays_full_is_gone_after_two_beats(stage, server):
    room = stage.name()
    server.probe(PROBES, "control_writes")
    ada, _ = Guest(server, "ada", room), Guest(server, "bob", room)
    get_stuck(server, "bob", "full", says="bob reads nothing: its buffer is full")

    beat(server, ada)
    beat(server, ada)

    ada.wait_for_presence("ada", "bob")
    ada.wait_for_presence("ada")
    sent = server.probe(PROBES, "blocked", "bob")
    expect(not sent, "no write to a connection whose buffer is full", "one that would block")


@task("heartbeat")
def test_a_client_that_is_being_sent_to_at_each_beat_is_not_cut_off(stage, server):
    room = stage.name()
    server.probe(PROBES, "control_writes")
    ada, bob = Guest(server, "ada", room), Guest(server, "bob", room)

    for mode in ("stuck", "stuck", "full", "full", "stuck"):
        get_stuck(server, "bob", mode, says="a write to bob takes a moment")
        message = begin(lambda: post(server, "eve", room, stage.text()))
        wait_until_blocked(server, "bob")
        beat(server, ada)
        server.probe(PROBES, "unblock", "bob")
        bob.expect_message(message.result())
    for _ in range(3):
        beat(server, ada, bob)

    bob.ping()


@task("heartbeat")
def test_a_client_that_is_gone_during_its_replay_is_gone_after_two_beats(stage, server):
    room = stage.name()
    stored(stage, room, count=3)
    server.probe(PROBES, "control_writes")
    ada = Guest(server, "ada", stage.name())
    before = server.census()
    get_stuck(server, "bob", says="bob's computer is gone: a write to it blocks")

    for query in ("", "&after=0"):
        server.raw_socket("bob", f"/board/{room}?author=bob{query}", *PROTOCOL)
        wait_until_blocked(server, "bob")
        beat(server, ada)
        beat(server, ada)

        server.expect_census(before)
        get_stuck(server, "bob")


@task("heartbeat")
def test_a_client_that_is_gone_when_its_handler_ends_is_gone_after_two_beats(stage, server):
    room = stage.name()
    server.probe(PROBES, "control_writes")
    server.probe(ROOMS, "crash", "crash")
    ada = Guest(server, "ada", stage.name())
    before = server.census()
    bob = silent(server, "bob", room)
    get_stuck(server, "bob", says="bob's computer is gone: a write to it blocks")

    bob.send(0x1, b'{"type": "crash", "id": "1"}')
    wait_until_blocked(server, "bob")
    beat(server, ada)
    beat(server, ada)

    server.expect_census(before)


@task("heartbeat")
def test_the_heart_beats_every_so_many_seconds_of_the_config(stage):
    server, room = stage.serve(HEARTBEAT=0.05), stage.name()

    bob = silent(server, "bob", room)

    receive_ping(bob)
    bob.expect_end()


@task("heartbeat")
def test_nothing_is_left_of_clients_that_have_disconnected(stage, server):
    ada = Guest(server, "ada", stage.name())
    before = server.census()

    for _ in range(3):
        guests = [Guest(server, f"guest-{number}", stage.name()) for number in range(4)]
        beat(server, ada)
        for guest, end in zip(guests, (Guest.leave, Guest.cut) * 2, strict=True):
            end(guest)
        server.expect_census(before)
        beat(server, ada)

    eventually(lambda: left_over(server) == 1, "one connection in memory", lambda: "more")


# resume


@task("resume", "A client that reconnects gets what it has missed, once and in order", points=3)
def test_the_missed_messages_come_first_then_the_welcome_then_what_is_live(stage, server):
    room = stage.name()
    Guest(server, "ada", room)

    for count in (0, 1, 49, 50, 51, 100, REPLAY):
        after = last_id(server, room)
        stored(stage, stage.name(), count=2)
        if count:
            stored(stage, room, count=count)
        missed = messages(server, room, after)
        bob = Guest(server, f"bob-{count}", room, after=after)
        live = post(server, "eve", room, stage.text())

        expect(equal(bob.missed, missed), f"the {count} messages after {after}", ids(bob.missed))
        here = [f"bob-{count}" in bob.welcome["members"], bob.welcome["last_id"]]
        wanted = [True, last_id(server, room, before=live["id"])]
        expect(here == wanted, f"last_id {wanted[1]} and bob in members", bob.welcome)
        expect(bob.welcome["resumed"] is True, '"resumed": true', bob.welcome)
        bob.expect_message(live)
        bob.leave()


@task("resume")
def test_a_client_without_a_cursor_is_greeted_as_before(stage, server):
    room = stage.name()
    last = stored(stage, room, count=3)

    ada = Guest(server, "ada", room)

    wanted = {"type": "welcome", "room": room, "last_id": last["id"], "members": ["ada"]}
    expect(equal(ada.welcome, wanted), json.dumps(wanted), ada.welcome)


@task("resume")
def test_if_too_much_is_missing_the_client_is_told_and_pages_through_history(stage, server):
    room = stage.name()
    stored(stage, room, count=REPLAY + 2)

    for missing, resumed in ((REPLAY + 1, False), (REPLAY, True)):
        everything = messages(server, room, 0)
        after = everything[-missing - 1]["id"]
        bob = Guest(server, "bob", room, after=after)
        live = post(server, "eve", room, stage.text())

        expect(bob.welcome["resumed"] is resumed, f'"resumed": {json.dumps(resumed)}', bob.welcome)
        wanted = everything[-missing:] if resumed else []
        expect(equal(bob.missed, wanted), f"{len(wanted)} messages", f"{len(bob.missed)} messages")
        bob.expect_message(live)
        found = bob.history(after=after, limit=50)
        expect(equal(found, everything[-missing:][:50]), "a page of history", found)
        bob.leave()


@task("resume")
def test_a_cursor_above_the_last_id_of_the_room_is_not_resumed(stage, server):
    for above in (0, 1, 2, 2**62):
        room, other, empty = stage.name(), stage.name(), stage.name()
        last = stored(stage, room)["id"]
        stored(stage, other, count=2)

        for name, after, wanted in (
            (room, last + above, above == 0),
            (empty, above, above == 0),
        ):
            bob = Guest(server, "bob", name, after=after)

            got = bob.welcome["resumed"]
            expect(got is wanted, f'"resumed": {json.dumps(wanted)} after {after}', bob.welcome)
            expect(bob.missed == [], "no message", bob.missed)
            bob.expect_message(post(server, "eve", name, stage.text()))


@task("resume")
def test_an_invalid_cursor_is_refused_with_400(stage, server):
    room = stage.name()

    for after in ("", "-1", "+1", "1.5", " 1", "x", "null", "0x1", "1_0", "٣", str(2**63)):
        path = f"/board/{room}?author=ada&after={quote(after)}"
        status = server.client("ada").get(path, headers=HANDSHAKE).status
        expect(status == 400, f"400 to after={after}", status)
    Guest(server, "ada", room, after=0)


@task("resume")
def test_a_message_that_is_posted_while_the_last_page_is_sent_comes_once(stage, server):
    for count in (3, 52):
        room = stage.name()
        after = stored(stage, room)["id"]
        stored(stage, room, count=count)
        server.probe(PROBES, "pause_last_page", says="the thread that reads the last page is slow")

        bob = begin(partial(Guest, server, "bob", room, after=after, in_a_hurry=True))
        eventually(lambda: server.probe(PROBES, "is_paused"), "a page to be read", lambda: "none")
        first = begin(partial(post, server, "eve", room, stage.text()))
        wait_for_one(first, bob)
        server.probe(PROBES, "go_on")
        first.result()
        last = post(server, "eve", room, stage.text())

        expect_everything(server, bob.result(), after, last)


@task("resume")
def test_a_message_right_after_the_welcome_of_a_resumed_client_is_not_missed(stage, server):
    room = stage.name()
    stored(stage, room, count=3)
    server.probe(ROOMS, "hold_greeting")

    bob = Guest(server, "bob", room, after=0, in_a_hurry=True)
    message = post(server, "eve", room, stage.text())
    server.probe(ROOMS, "release")

    bob.expect_message(message)


@task("resume")
def test_clients_that_resume_while_eight_threads_post_get_each_message_once(stage):
    server = stage.serve(HEARTBEAT=NEVER, REPLAY=1000)
    room, threads, posts = stage.name(), 8, 25
    stored(stage, room, count=60)
    ada = Guest(server, "ada", room)
    afters = [message["id"] for message in messages(server, room, 0)][::8]

    server.probe(ROOMS, "flood", room, threads, posts)
    ada.messages(10)
    work = [partial(Guest, server, "bob", room, after=id, in_a_hurry=True) for id in afters]
    guests = in_threads(work)
    ada.messages(threads * posts - 10)
    last = post(server, "eve", room, stage.text())

    for after, guest in zip(afters, guests, strict=True):
        expect_everything(server, guest, after, last)


@task("resume")
def test_a_slow_client_that_catches_up_delays_no_other(stage, server):
    room = stage.name()
    stored(stage, room, count=100)
    server.probe(PROBES, "control_writes")
    ada = Guest(server, "ada", room)
    get_stuck(server, "bob", says="bob reads slowly: a write to it blocks")

    bob = begin(lambda: Guest(server, "bob", room, after=0))
    wait_until_blocked(server, "bob")
    first = ada.post(stage.text())
    ada.expect_message(first)
    ada.expect_message(post(server, "eve", room, stage.text()))
    Guest(server, "eve", room)
    server.probe(PROBES, "unblock", "bob")

    wanted = messages(server, room, 0)
    expect(equal(bob.result().missed, wanted), f"{len(wanted)} messages", ids(bob.result().missed))


@task("resume")
def test_the_server_reads_few_messages_at_once(stage, server):
    room = stage.name()
    last = stored(stage, room, count=300)
    server.probe(PROBES, "watch_store")

    for after in (0, 150, last["id"] - REPLAY):
        Guest(server, "bob", room, after=after)

    most = server.probe(PROBES, "most_at_once")
    expect(most <= 50, "at most 50 messages read at once", most)


@task("resume")
def test_what_a_resumed_client_receives_matches_asyncapi_yaml(stage, server):
    file, room = described("10_reconnect", ROOT, stage.folder), stage.name()
    stored(stage, room, count=REPLAY + 1)

    for after in (None, 0, 2):
        bob = Guest(server, "bob", room, after=after)
        bob.next("presence") if after is None else None
        for message in bob.received:
            file.kind(message)


# What the tests use

HANDSHAKE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Protocol": "board.v1",
}


def silent(server: Server, who: str, room: str) -> RawSocket:
    """Return a client in the room that sends nothing by itself, not even a pong."""
    client = server.raw_socket(who, f"/board/{room}?author={who}", *PROTOCOL)
    client.receive("a welcome")
    return client


def receive_ping(client: RawSocket) -> None:
    """Receive until a ping arrives."""
    while client.receive("a ping")[0] != PING:
        pass


def beat(server: Server, *guests: Guest) -> None:
    """Let the heart beat once. These guests have answered the ping at the end."""
    server.probe(PROBES, "beat", says="a heartbeat")
    for guest in guests:
        guest.ping()  # Its pong to the server's ping is sent before this one's reply arrives,
        guest.ping()  # and has been read before the reply to this.


def get_stuck(server: Server, who: str, mode: str = "stuck", says: str = "") -> None:
    """From now on, let each write to this client block."""
    server.probe(PROBES, "block", who, mode, says=says)


def wait_until_blocked(server: Server, who: str) -> None:
    """Wait until a write to this client blocks."""
    eventually(lambda: server.probe(PROBES, "blocked", who), f"a write to {who}", lambda: "none")


def wait_for_one(*work: Future) -> None:
    """Wait until one of these is done."""
    eventually(lambda: any(each.done() for each in work), "one of two to end", lambda: "neither")


def left_over(server: Server) -> int:
    """Return how many connections are in the server's memory."""
    return server.probe(ROOMS, "left_over", [], [])["connections"]


def stored(stage: Stage, room: str, count: int = 1) -> dict:
    """Store messages without the app, and return the last of them."""
    database = str(stage.scratch / "board.sqlite3")
    return stage.probe(ROOMS, "store_messages", database, room, "eve", stage.text(), count)


def messages(server: Server, room: str, after: int) -> list[dict]:
    """Return the messages of the room after a cursor, as REST lists them."""
    found: list[dict] = []
    while (
        page := server.client("test")
        .get(f"/rooms/{room}/messages", after=found[-1]["id"] if found else after, limit=200)
        .json()["messages"]
    ):
        found += page
    return found


def last_id(server: Server, room: str, before: int = 2**63 - 1) -> int:
    """Return the id of the room's last message below `before`, or 0."""
    return max([0, *(i for i in ids(messages(server, room, 0)) if i < before)])


def expect_everything(server: Server, guest: Guest, after: int, last: dict) -> None:
    """Expect the guest to get each message after its cursor once and in order, up to `last`."""
    wanted, got = ids(messages(server, guest.room, after)), ids(guest.missed)
    while not got or got[-1] < last["id"]:
        got.append(guest.message()["id"])
    lost = sorted({*wanted} - {*got})
    expect(not lost, f"all messages after {after}", f"without {lost[0] if lost else ''}")
    expect(got == wanted, f"the messages after {after}, each once and in order", got)
