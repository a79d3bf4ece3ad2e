"""Lesson 10: connections that break, on the server and in the page. This is its specification.

A test itself makes each heartbeat. A probe in the app's process lets a write block, which otherwise
depends on the sizes of buffers. A `Guest` is a client in a room; the class is in
course/grading/guests.py.
"""

import json
import re
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from urllib.parse import quote

import pytest

from course.grading import Server, Stage, equal, expect, task
from course.grading.asyncapi import described
from course.grading.cutter import Cutter, posted_through_cuts
from course.grading.expect import shown
from course.grading.fake_page import FakePage
from course.grading.guests import PROTOCOL, Guest, ids, post
from course.grading.sockets import RawSocket
from course.grading.waiting import begin, eventually, in_threads
from course.lesson.lessons import ROOT

pytestmark = pytest.mark.busy  # A browser has its own work to do while a test waits for it.

PROBES = Path(__file__).parent / "probes" / "10_reconnect.py"
FAKES = PROBES.with_suffix(".js")
ROOMS = Path(__file__).parent / "probes" / "08_broadcast.py"
NEVER = 3600  # seconds between two beats, so that a test makes them
REPLAY = 120  # messages
PING, PONG = 0x9, 0xA  # opcodes (RFC 6455, section 5.2)
SLEPT = "Ping/Pong timeout"  # simple-websocket's reason for 1008
SHOWN = 8  # delays in a card
CLOSING = 2  # the `readyState` of a WebSocket after close()


@pytest.fixture
def server(stage) -> Server:
    """The learner's app."""
    return stage.serve(HEARTBEAT=NEVER, REPLAY=REPLAY)


@pytest.fixture
def page(stage) -> FakePage:
    """A page that uses connection.js, with a clock and WebSockets of ours."""
    return FakePage(stage, FAKES)


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
def test_clients_that_are_gone_at_the_same_time_are_all_gone_after_two_beats(stage, server):
    room = stage.name()
    ada = Guest(server, "ada", room)
    gone = [silent(server, name, room) for name in ("bob", "dan", "eve")]
    ada.wait_for_presence("ada", "bob", "dan", "eve")

    beat(server, ada)
    for client in gone:
        receive_ping(client)
    beat(server, ada)

    ada.expect_to_shrink_to("ada")


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
    for _ in range(2):
        beat(server, ada, bob)
    get_stuck(server, "bob", "full", says="bob's buffer is full for a moment")
    beat(server, ada)
    server.probe(PROBES, "unblock", "bob")
    beat(server, ada, bob)

    bob.expect_message(post(server, "eve", room, stage.text()))


@task("heartbeat")
def test_a_client_that_reads_a_long_message_slowly_is_not_cut_off(stage, server):
    room = stage.name()
    server.probe(PROBES, "control_writes")
    ada, bob = Guest(server, "ada", room), Guest(server, "bob", room)
    get_stuck(server, "bob", says="bob reads 16 kB between two beats")

    message = begin(lambda: post(server, "eve", room, "🦦" * 2000))
    for count in (1, 2):
        wait_until_blocked(server, "bob", count)
        beat(server, ada)
        server.probe(PROBES, "take_one", "bob")
    server.probe(PROBES, "unblock", "bob")

    bob.expect_message(message.result())


@task("heartbeat")
def test_a_ping_waits_behind_few_bytes(stage, server):
    bob = Guest(server, "bob", stage.name())

    found = server.probe(PROBES, "send_buffer", "bob")
    bob.ping()
    expect(found <= 2 * 65_536, "a send buffer of 65,536 bytes, or twice that", f"{found:,} bytes")


@task("heartbeat")
def test_a_connection_that_breaks_between_two_beats_disturbs_no_other(stage, server):
    room = stage.name()
    server.probe(PROBES, "hold_requests", "hold", says="bob's next request takes a moment")
    ada, bob = Guest(server, "ada", room), Guest(server, "bob", room)
    eve = silent(server, "eve", room)
    bob.send("hold")
    eventually(lambda: server.probe(PROBES, "is_paused"), "bob's request", lambda: "none")

    bob.cut()
    eventually(lambda: server.probe(PROBES, "is_closed", "bob"), "the end of bob's", lambda: "none")
    for _ in range(3):
        beat(server, ada)
    server.probe(PROBES, "go_on")

    receive_ping(eve)
    ada.wait_for_presence("ada", "bob", "eve")
    ada.expect_to_shrink_to("ada")


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
    for count, probe in (
        (3, "pause_last_page"),
        (52, "pause_last_page"),
        (3, "pause_greeting"),
        (52, "pause_greeting"),
    ):
        room = stage.name()
        after = stored(stage, room)["id"]
        stored(stage, room, count=count)
        where = "has read the last page" if probe == "pause_last_page" else "will greet bob"
        server.probe(PROBES, probe, says=f"the thread that {where} is slow")

        bob = begin(partial(Guest, server, "bob", room, after=after, in_a_hurry=True))
        eventually(lambda: server.probe(PROBES, "is_paused"), "bob's replay", lambda: "none")
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


# backoff


@task("backoff", "The client retries with exponential backoff and full jitter", points=2)
def test_the_longest_delay_doubles_from_1_second_to_30(page):
    page.chance(0.75)
    page.call("open")

    waits = page.lose(*[1006] * 60)

    longest = [1_000, 2_000, 4_000, 8_000, 16_000, *[30_000] * 55]
    expect_waits(waits, [0.75 * ms for ms in longest], "0.75 * 1, 2, 4, 8, 16, 30, 30 … s")


@task("backoff")
def test_each_delay_is_a_random_share_of_the_longest(page):
    page.call("open")

    for index, share in enumerate((0.0, 0.999, 0.1, 0.5, 0.0, 0.95, 0.001, 0.2)):
        page.chance(share)
        longest = min(30_000, 1_000 * 2**index)
        wanted = f"{share} * {longest / 1000:g} s before retry {index + 1}"
        expect_waits(page.lose(1006), [share * longest], wanted)


@task("backoff")
def test_only_a_connection_that_was_open_for_10_seconds_resets_the_delay(page):
    page.call("open")
    page.lose(1006, 1006)

    page.accept()
    page.pass_time(20_000)
    expect_waits(page.lose(1006), [2_000], "0.5 * 4 s: the welcome never arrived")
    for seconds, longest in ((0, 8), (5, 16), (9.9, 30), (9.9, 30)):
        page.welcome(resumed=True)
        page.pass_time(1_000 * seconds)
        wanted = f"0.5 * {longest} s: the connection was open for {seconds} s"
        expect_waits(page.lose(1011), [500 * longest], wanted)
    page.welcome(resumed=True)
    page.pass_time(10_000)

    expect_waits(page.lose(1006, 1006, 1006), [500, 1_000, 2_000], "0.5 * 1, 2 and 4 s again")


@task("backoff")
def test_the_seconds_in_the_reason_of_1012_and_1013_replace_the_delay(page):
    page.call("open")
    asked = [("40", 40), ("2.5", 2.5), ("7", 7), ("0.25", 0.25), ("300", 300), ("86400", 300)]
    cases = [(code, f"retry-after={text}", s) for code in (1012, 1013) for text, s in asked]
    unreadable = ["", "5", "retry-after=", "retry-after=-5", "retry-after=soon"]
    unreadable += ["retry-after=40 minutes", "retry-after=NaN", "please retry-after=40"]
    unreadable += ["Retry-After=40"]
    cases += [(1012, reason, 1) for reason in unreadable]
    cases += [(code, "retry-after=40", 1) for code in (1001, 1006, 1011)]

    for code, reason, longest in cases:
        page.welcome(resumed=True)
        page.pass_time(10_000)
        wanted = f"0.5 * {longest:g} s after {code} {reason}"
        expect_waits(page.lose((code, reason)), [500 * longest], wanted)


@task("backoff")
def test_a_retry_at_the_time_that_the_server_asked_for_counts_too(page):
    page.call("open")

    waits = page.lose((1013, "retry-after=40"), 1006, (1012, "retry-after=2"), 1006)

    wanted = "0.5 * 40 s as asked, then 0.5 * 2 s, 0.5 * 2 s as asked, and 0.5 * 8 s"
    expect_waits(waits, [20_000, 1_000, 1_000, 4_000], wanted)


# codes


@task("codes", "The close code determines whether the client retries", points=2, needs="backoff")
def test_it_stops_after_a_code_that_a_retry_cant_help(page):
    slow = f"{SLEPT}, for the third time: you are too slow."
    codes = [1000, 1008, 4000, 4401, 4403, 4406, 4499, 4999]
    cases = [(code, page.stage.text()) for code in codes] + [(1008, slow), (4403, "")]
    for code, reason in cases:
        for greeted in (True, False):
            page.load()
            page.call("open")
            page.welcome() if greeted else page.accept()

            page.end(code, reason)

            page.expect_state("stopped", f"after {code}")
            words = page.states[-1]["words"]
            expect(reason in words, f"the server's reason, {reason!r}, in the words", words)
            page.expect_no_timer(f"after {code}")
            page.expect_attempts(1, f"after {code}")
            page.call("open")
            page.expect_attempts(2, "after the user asked for another")


@task("codes")
def test_it_retries_with_backoff_after_every_other_code(page):
    codes = (1001, 1002, 1005, 1006, 1009, 1011, 1012, 1013, 1014, 3000, 3999)
    for code, reason in [*((code, "") for code in codes), (1011, SLEPT)]:
        page.load()
        page.enter()
        page.pass_time(20_000)

        waits = page.lose((code, reason), (code, reason))

        page.expect_state("reconnecting", f"after {code}")
        expect_waits(waits, [500, 1_000], f"0.5 * 1 s and 0.5 * 2 s after {code}")


@task("codes")
def test_a_laptop_that_slept_retries_at_once_but_only_once(page):
    page.enter()
    page.pass_time(20_000)

    waits = page.lose((1008, SLEPT))
    page.expect_state("reconnecting", f"after 1008 {SLEPT}")
    expect_waits(waits, [0], f"none after 1008 {SLEPT}")

    for when in ("soon after the first", "after that"):
        page.welcome(resumed=True)
        (wait,) = page.lose((1008, SLEPT))
        backoff = f"backoff after another 1008 {SLEPT}, {when}"
        expect(wait is not None and wait >= 500, backoff, f"a retry after {wait} ms")
    page.welcome(resumed=True)
    page.pass_time(20_000)
    expect_waits(page.lose((1008, SLEPT)), [0], "none again, once a connection has worked")


@task("codes")
def test_a_change_of_state_is_reported_once_in_words(page):
    page.call("open")
    page.lose(1006, 1006, 1006)
    page.welcome()
    page.lose(1012, 1006, 1011)
    page.welcome(resumed=True)
    page.end(4403)

    found = [state["state"] for state in page.states]
    names = ["connecting", "reconnecting", "open", "reconnecting", "open", "stopped"]
    expect(found == names, f"these states, each reported once: {shown(names)}", found)
    for state in page.states:
        words = state["words"]
        readable = isinstance(words, str) and not re.search("undefined|null|NaN", words)
        expect(readable and len(words) > 5, "each state in words", state)


# watchdog


@task("watchdog", "The client detects a dead connection by itself", points=2, needs="backoff")
def test_it_sends_a_ping_after_30_seconds_without_a_message(page):
    page.enter()

    for count in (0, 1, 2):
        page.pass_time(20_000)
        page.say(pushed(count + 1))
        page.pass_time(29_000)
        page.expect_sent("ping", count, "while messages arrive, or within 29 s of the last one")
        page.pass_time(2_000)
        (*_, ping) = page.expect_sent("ping", count + 1, "when nothing has arrived for 30 s")
        page.say({"type": "pong", "id": ping["id"]})
    page.expect_state("open", "while each ping is answered")


@task("watchdog")
def test_it_gives_up_a_connection_if_nothing_arrives_within_10_seconds(page):
    page.enter()
    page.pass_time(30_000)

    page.pass_time(9_000)
    page.expect_state("open", "9 s after the ping")
    page.pass_time(1_100)

    page.expect_state("reconnecting", "10 s after the ping, though no close event has arrived")
    closed = page.sockets[0]["state"] >= CLOSING
    expect(closed, "close() to have been called on the WebSocket", "it wasn't called")
    page.expect_attempts(1, "before the delay has passed")
    page.pass_time(1_000)
    page.expect_attempts(2, "after a delay of 0.5 * 1 s")


@task("watchdog")
def test_any_message_is_a_sign_of_life(page):
    page.enter()

    for said in (pushed(1), {"type": "presence", "members": []}, {"type": "news"}):
        page.pass_time(39_000)
        page.say(said)
        page.pass_time(20_000)
        page.expect_state("open", "since a message arrived 9 s after the ping")
        page.say(pushed(2))
    page.expect_attempts(1, "since the connection works")


@task("watchdog")
def test_the_events_of_a_connection_that_was_given_up_are_ignored(page):
    page.enter()
    page.pass_time(42_000)
    page.expect_attempts(2, "after the first was given up")

    page.say(pushed(99), which=0)
    page.end(1006, which=0)
    page.welcome(resumed=True)
    page.end(1006, which=0)
    page.pass_time(20_000)

    ids = [said["message"]["id"] for said in page.received if said["type"] == "message"]
    expect(not ids, "no message of a WebSocket that was given up", ids)
    page.expect_state("open", "when the old WebSocket closes")
    page.expect_attempts(2, "when the old WebSocket has closed")


@task("watchdog")
def test_it_gives_up_a_handshake_that_hangs(page):
    for accepted in (False, True):
        page.load()
        page.call("open")
        if accepted:
            page.accept()
        page.pass_time(39_000)
        page.expect_attempts(1, "within 39 s")

        page.pass_time(3_000)

        page.expect_state("reconnecting", "since no welcome arrived for 40 s")
        page.expect_attempts(2, "after 42 s")
        page.welcome()
        page.expect_state("open", "after the welcome of the second WebSocket")


@task("watchdog")
def test_a_timer_that_runs_late_proves_nothing(page):
    for late in (3_590_000, 60_000, 5_001):
        page.load()
        page.enter()
        page.pass_time(30_000)
        page.sleep(10_000 + late)
        when = f"when the timer runs {late / 1000:g} s late"
        page.expect_state("open", when)
        pings = page.expect_sent("ping", 2, when)
        page.say({"type": "pong", "id": pings[-1]["id"]})
        page.pass_time(20_000)
        page.expect_state("open", "since the second ping was answered")

        page.sleep(3_600_000)
        page.expect_state("open", "when an hour has passed without a ping")
        page.expect_sent("ping", 3, "after an hour of sleep")
        page.pass_time(10_100)
        page.expect_state("reconnecting", "since the third ping wasn't answered in time")


@task("watchdog")
def test_a_timer_that_runs_a_little_late_is_right(page):
    for late in (4_000, 5_000):
        page.load()
        page.enter()
        page.pass_time(30_000)

        page.sleep(10_000 + late)

        page.expect_state("reconnecting", f"when the timer runs {late / 1000:g} s late")


@task("watchdog")
def test_wake_retries_at_once_with_one_websocket(page):
    page.enter()
    page.chance(0.999)
    page.lose(1006, 1006, 1006, 1006)
    page.end(1006)
    page.expect_attempts(5, "while the connection waits for its next retry")

    page.call("wake")
    page.expect_attempts(6, "as soon as the page is visible again")
    page.call("wake")
    page.pass_time(30_000)
    page.expect_attempts(6, "while the last one is still connecting")
    page.welcome(resumed=True)
    page.expect_state("open", "after the welcome")
    wanted = "0.999 * 30 s: wake() isn't a connection that has worked"
    expect_waits(page.lose(1006), [29_970], wanted)
    page.welcome(resumed=True)
    page.pass_time(20_000)
    page.expect_attempts(7, "since the last one is open")


@task("watchdog")
def test_wake_checks_an_open_connection(page):
    page.enter()

    page.call("wake")
    (ping,) = page.expect_sent("ping", 1, "as soon as the page is visible again")
    page.say({"type": "pong", "id": ping["id"]})
    page.pass_time(25_000)
    page.expect_state("open", "since the ping was answered")
    page.expect_attempts(1, "since the connection works")
    page.call("wake")
    page.expect_sent("ping", 2, "as soon as the page is visible again")
    page.pass_time(9_000)
    page.expect_state("open", "9 s after the ping")
    page.pass_time(1_100)

    page.expect_state("reconnecting", "since the second ping wasn't answered within 10 s")


@task("watchdog")
def test_wake_does_not_postpone_the_end_of_a_dead_connection(page):
    for silence in (0, 31_000):
        page.load()
        page.enter()
        page.pass_time(silence)
        page.call("wake")
        page.pass_time(8_000)
        page.call("wake")
        page.expect_state("open", "at most 9 s after the ping")

        page.pass_time(2_100)

        page.expect_state("reconnecting", "10 s after the first ping, though wake() was called")


@task("watchdog")
def test_wake_leaves_a_connection_alone_that_is_connecting_or_stopped(page):
    page.call("wake")
    page.expect_attempts(0, "before open() was called")
    page.call("open")
    page.call("wake")
    page.expect_attempts(1, "while the first one is connecting")
    page.welcome()
    page.expect_state("open", "after the welcome")
    page.call("close")
    page.call("wake")
    page.expect_attempts(1, "after close()")
    page.expect_no_timer("after close()")


@task("watchdog")
def test_close_leaves_no_timer_and_no_websocket(page):
    pinged = [("pass_time", 31_000)]
    ways = {
        "while it is connecting": [],
        "while it is open": [("welcome",)],
        "after a ping": [("welcome",), *pinged],
        "after wake()": [("welcome",), ("call", "wake")],
        "after wake() and a message": [("welcome",), ("call", "wake"), ("say", pushed(1))],
        "after two calls of wake()": [("welcome",), ("call", "wake"), ("call", "wake")],
        "while it waits for a retry": [("welcome",), ("end",)],
        "after it gave up": [("welcome",), ("pass_time", 40_100)],
    }
    for when, steps in ways.items():
        page.load()
        page.call("open")
        for name, *given in steps:
            getattr(page, name)(*given)

        page.call("close")

        page.expect_state("stopped", f"after close() {when}")
        page.expect_no_timer(f"after close() {when}")
        closed = page.sockets[-1]["state"] >= CLOSING
        expect(closed, f"the WebSocket to be closed after close() {when}", "it is open")


# outbox


@task("outbox", "The client resends each post until a reply arrives", points=3)
def test_a_post_is_sent_at_once_while_the_connection_is_open(page):
    page.enter()
    texts = [page.stage.text(), "twice", "twice", "  <b>& blanks  "]

    ids = page.post(*texts)

    page.expect_posts(*zip(ids, texts, strict=True))
    expect(len(set(ids)) == 4, "an id of its own for each post", ids)
    page.expect_outbox(*zip(ids, texts, strict=True))


@task("outbox")
def test_posts_written_offline_are_sent_in_order_after_the_welcome(page):
    texts = [page.stage.text() for _ in range(12)]
    ids = page.post(*texts[:3])
    page.call("open")
    ids += page.post(*texts[3:6])
    page.accept()
    ids += page.post(*texts[6:9])
    page.expect_outbox(*zip(ids, texts[:9], strict=True))
    page.expect_posts()

    page.welcome()

    page.expect_posts(*zip(ids, texts[:9], strict=True))
    ids += page.post(*texts[9:])
    page.expect_posts(*zip(ids, texts, strict=True))


@task("outbox")
def test_posts_without_an_ack_are_sent_again_with_their_ids_after_the_replay(page):
    page.enter()
    texts = ["one", "two", "three", "four"]
    posts = list(zip(page.post(*texts), texts, strict=True))

    page.say(acked(1, *posts[1]), acked(2, "somebody's", "else"))
    page.expect_outbox(posts[0], posts[2], posts[3])
    for resumed in (True, False):
        page.lose(1006)
        page.accept()
        page.say(pushed(3), pushed(4))
        page.expect_posts()
        page.welcome(4, resumed)
        page.expect_posts(posts[0], posts[2], posts[3])

    page.say(acked(5, *posts[2]), acked(6, *posts[0]), acked(7, *posts[3]))
    page.expect_outbox()
    page.reconnect(7)
    page.expect_posts()


@task("outbox")
def test_a_refused_post_is_never_sent_again(page):
    page.enter()
    texts, detail = ["one", "two", "three"], page.stage.text()
    posts = list(zip(page.post(*texts), texts, strict=True))
    refusal = {"type": "error", "code": "bad_message", "detail": detail}

    page.say({**refusal, "id": None}, {**refusal, "id": "another"})
    page.expect_outbox(*posts)
    page.say({**refusal, "id": posts[1][0]})

    page.expect_outbox(posts[0], (*posts[1], detail), posts[2])
    page.reconnect()
    page.expect_posts(posts[0], posts[2])
    page.load()
    page.enter()
    page.expect_outbox(posts[0], (*posts[1], detail), posts[2])
    page.expect_posts(posts[0], posts[2])


@task("outbox")
def test_a_post_is_sent_again_after_the_server_failed_to_store_it(page):
    page.enter()
    texts = ["one", "two"]
    posts = list(zip(page.post(*texts), texts, strict=True))

    page.say({"type": "error", "id": posts[0][0], "code": "internal", "detail": "It failed."})

    page.expect_state("reconnecting", "after the error internal, so that there is a delay")
    page.expect_outbox(*posts)
    page.pass_time(1_000)
    page.welcome(resumed=True)
    page.expect_posts(*posts)


@task("outbox")
def test_posts_survive_a_reload_until_they_are_acknowledged_or_discarded(page):
    texts = ["one", "two", "three", "four"]
    posts = list(zip(page.post(*texts), texts, strict=True))

    for _ in ("once", "twice"):
        page.load()
        page.call("open")
        page.expect_outbox(*posts)
    page.welcome()
    page.expect_posts(*posts)
    page.say(acked(1, *posts[0]))
    page.call("discard", posts[2][0])
    page.load()
    page.enter()

    page.expect_outbox(posts[1], posts[3])
    page.expect_posts(posts[1], posts[3])
    (late,) = page.post("five")
    page.expect_posts(posts[1], posts[3], (late, "five"))
    page.say(acked(2, *posts[1]), acked(3, *posts[3]), acked(4, late, "five"))
    page.load()
    page.enter()
    page.expect_outbox()
    page.expect_posts()


@task("outbox")
def test_tabs_and_rooms_have_an_outbox_each(page):
    (one,) = page.post("one")

    page.load(storage="of another tab")
    page.enter()
    page.expect_posts()
    page.load(key="outbox of ada in another room")
    page.enter()
    page.expect_posts()
    page.load()
    page.enter()

    page.expect_posts((one, "one"))


@task("outbox")
def test_it_works_without_a_storage(page):
    for broken in ("set", "get", "both", None):
        if broken:
            page.break_storage("broken", broken)
        page.load(storage="broken" if broken else None)
        page.enter()
        texts = ["one", "two"]
        posts = list(zip(page.post(*texts), texts, strict=True))
        page.say(acked(1, *posts[0]))

        page.reconnect()

        page.expect_outbox(posts[1])
        page.expect_posts(posts[1])


@task("outbox")
def test_stored_values_that_are_not_posts_are_dropped(page):
    post = {"id": "1-2-3", "text": "kept"}
    others = [None, 5, "text", [], {}, {"id": 7, "text": "x"}, {"id": "7"}, {"text": "x"}]
    others += [{"id": "7", "text": None}, {"id": "7", "text": ["x"]}]
    values = ["", "{", "null", "5", "{}", '"text"', "true", "[object Object]"]

    for value in values:
        page.store(value)
        page.load()
        page.enter()
        page.expect_outbox()
        page.expect_posts()
    page.store(json.dumps([*others, post, *others]))
    page.load()
    page.enter()

    page.expect_outbox(("1-2-3", "kept"))
    page.expect_posts(("1-2-3", "kept"))
    (late,) = page.post("one more")
    page.expect_posts(("1-2-3", "kept"), (late, "one more"))


@task("outbox")
def test_after_1009_the_largest_post_of_the_connection_is_never_sent_again(page):
    page.enter()
    texts = ["x" * 9_000, "small", "y" * 8_000, "z" * 7_000, "last"]
    posts = list(zip(page.post(*texts), texts, strict=True))
    page.say(acked(1, *posts[0]))

    for largest in (2, 3):
        page.lose(1009)
        page.expect_state("reconnecting", "after 1009")
        failed = [post["id"] for post in page.outbox if post.get("failed")]
        wanted = [post[0] for post in posts[2 : largest + 1]]
        expect(failed == wanted, f"these posts to have failed: {wanted}", shown(page.outbox))
        page.welcome(resumed=True)
        page.expect_posts(*(post for post in posts[1:] if post[0] not in failed))

    page.say(acked(2, *posts[1]), acked(3, *posts[4]))
    page.lose(1009)
    huge = page.post("w" * 9_999)
    page.accept()
    page.lose(1009)
    page.welcome(resumed=True)
    page.expect_posts((huge[0], "w" * 9_999))


@task("outbox")
def test_a_post_that_is_too_large_fails_though_the_close_frame_was_lost(page):
    for text, fails in (("x" * 66_000, True), ("\u00e9" * 33_000, True), ("y" * 65_000, False)):
        page.load(key=f"outbox for a text of {len(text)} characters")
        (post,) = page.post(text)
        page.call("open")
        page.lose(1006)
        page.expect_outbox((post, text))
        page.welcome()

        page.lose(1006)

        page.expect_state("reconnecting", "after 1006")
        failed = [post["id"] for post in page.outbox if post.get("failed")]
        size = f"{len(text.encode())} bytes"
        expect(failed == [post] * fails, f"{size} to {'fail' if fails else 'stay'}", failed)
        (late,) = page.post("small")
        page.welcome(resumed=True)
        page.expect_posts(*[(post, text)] * (not fails), (late, "small"))
        page.lose(1006)
        page.welcome(resumed=True)
        page.expect_posts(*[(post, text)] * (not fails), (late, "small"))


# once


@task(
    "once",
    "The client neither loses nor duplicates a message",
    points=3,
    needs=("watchdog", "outbox"),
)
def test_it_resumes_after_the_last_message_that_arrived(page):
    page.call("open")
    page.lose(1006)
    page.expect_after(None, "before the first welcome")
    page.welcome(last_id=7)
    page.lose(1006, 1006)
    page.expect_after(7, "the last_id of the first welcome, as nothing has arrived since")
    page.accept()
    page.say(pushed(9), pushed(12))
    page.lose(1006)
    page.expect_after(12, "the last message of a replay that was cut")
    page.welcome(12, resumed=True)
    page.say(pushed(13), pushed(2**33), {"type": "presence", "members": ["ada"]})
    page.lose(1006)
    page.expect_after(2**33, "the last message that was pushed")


@task("once")
def test_replies_do_not_move_the_cursor(page):
    page.enter(7)
    (post,) = page.post("one")
    page.say(pushed(8))
    older = page.call("ask", "older", {"before": 5, "limit": 50})
    messages = [pushed(number)["message"] for number in (3, 4)]

    page.say(acked(20, post, "one"))
    page.say({"type": "messages", "id": older, "messages": messages, "next": 3})
    page.say({"type": "error", "id": None, "code": "bad_message", "detail": "No."})

    page.expect_attempts(1, "since an error about no request isn't a reason to reconnect")
    page.lose(1006)
    page.expect_after(8, "since the push of message 9 may still be missing")


@task("once")
def test_too_many_missed_messages_are_requested_page_by_page(page):
    page.enter(7)
    page.say(pushed(8))
    page.lose(1006)

    page.welcome(200, resumed=False)
    page.say(*page.history(8, range(9, 59)), pushed(201))
    page.say(*page.history(58, range(59, 109)), pushed(202))
    page.lose(1006)
    page.expect_after(108, "the last message before the gap")
    page.welcome(203, resumed=None)  # As a server of lesson 9 does, which ignores `after`.
    page.say(pushed(204))
    page.say(*page.history(108, range(109, 159)), *[pushed(205)])
    page.say(*page.history(158, range(159, 206)))
    page.lose(1006)
    page.expect_after(205, "since nothing is missing any more")
    page.welcome(205, resumed=True)
    page.expect_sent("history", 0, "since nothing is missing")
    page.say(pushed(206))
    page.lose(1006)
    page.expect_after(206, "the last message that was pushed")


@task("once")
def test_a_page_of_older_messages_leaves_the_gap_open(page):
    page.enter(100)
    page.lose(1006)
    page.welcome(200, resumed=False)
    older = page.call("ask", "older", {"before": 5, "limit": 50})
    messages = [pushed(number)["message"] for number in (3, 4)]

    page.say({"type": "messages", "id": older, "messages": messages, "next": 3})
    page.say(pushed(201))

    page.lose(1006)
    page.expect_after(100, "since the messages after 100 are still missing")


@task("once")
def test_a_full_last_page_is_followed_by_an_empty_one(page):
    page.enter(7)
    page.lose(1006)
    page.welcome(57, resumed=False)

    page.say(*page.history(7, range(8, 58)))
    page.say(*page.history(57, range(0)))
    page.say(pushed(58))

    page.expect_sent("history", 2, "since the second page was empty")
    page.lose(1006)
    page.expect_after(58, "the last message that was pushed")


@task("once")
def test_it_reconnects_if_the_server_cannot_send_what_is_missing(page):
    for code in ("internal", "of a newer server"):
        page.load()
        page.enter(7)
        page.lose(1006)
        page.welcome(200, resumed=False)
        (request,) = page.expect_sent("history", 1, "since messages are missing")

        page.say({"type": "error", "id": request["id"], "code": code, "detail": "It failed."})

        page.expect_state("reconnecting", "since nothing else would request them")
        page.pass_time(2_000)
        page.expect_after(7, "since the same messages are missing")


@task("once")
def test_a_server_whose_database_was_restored_sets_the_cursor_back(page):
    page.enter(100)
    page.say(pushed(101))
    page.lose(1006)

    page.welcome(3, resumed=False)
    page.lose(1006)
    page.expect_after(3, "the last_id of the server")
    page.welcome(3, resumed=True)
    page.say(pushed(4))
    page.lose(1006)
    page.expect_after(4, "the last message that was pushed")


@task("once")
def test_each_object_is_passed_to_the_page_once_in_order(page):
    page.enter(7)
    said = []
    for number in (8, 10, 12):
        said += [pushed(number), pushed(number + 1), {"type": "presence", "members": ["bob"]}]
        page.say(*said[-3:])
        page.reconnect(number + 1)

    found = [one for one in page.received if one["type"] != "welcome"]
    expect(found == said, f"these objects: {shown(said)}", found)


@task("once")
def test_the_first_page_of_messages_is_shown_though_its_reply_was_lost(stage, server):
    room = stage.name()
    stored(stage, room, count=6)
    server.probe(PROBES, "hold_requests", "older", says="the replies to older take long")
    url = f"{server.url}/rooms/{room}?author=ada"
    tab = stage.browser().open("ada", url, before="Math.random = () => 0.01;")
    eventually(lambda: server.probe(PROBES, "is_paused"), "a request for older", lambda: "none")

    stored(stage, room, count=60)
    server.probe(PROBES, "cut", "ada", says="ada's connection is cut")
    server.probe(PROBES, "go_on")

    rows = "document.querySelectorAll('#messages > li').length"
    tab.wait_for(f"{rows} >= 66", "66 messages", f"`${{{rows}}} messages`")


@task("once")
def test_2000_messages_survive_a_network_that_cuts_at_random_bytes(stage):
    server, room = stage.serve(HEARTBEAT=NEVER, REPLAY=150), stage.name()
    network = stage.use(Cutter(server.port, stage.random))

    shown = posted_through_cuts(server, network, room, rounds=20)

    stored = messages(server, room, 0)
    mine = [message["text"] for message in stored if message["author"] == "ada"]
    expect(mine == [f"{n}" for n in range(1000)], "each post stored once, in order", mine)
    wanted = [[message["id"], message["author"], message["text"]] for message in stored]
    expect(
        shown == wanted, "the page to show each message once, in order", different(shown, wanted)
    )


# What the tests use

HANDSHAKE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Protocol": "board.v1",
}


def silent(server: Server, who: str, room: str) -> RawSocket:
    """Return a client in the room that sends nothing by itself, not even a pong.

    Its first reply comes when it has joined, so that no thread is still sending the presence: a
    ping is skipped while another frame is sent.
    """
    client = server.raw_socket(who, f"/board/{room}?author={who}", *PROTOCOL)
    client.send(0x1, b'{"type": "ping", "id": "joined"}')
    while b'"joined"' not in client.receive("a welcome, and a pong to its first request")[1]:
        pass
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


def wait_until_blocked(server: Server, who: str, count: int = 1) -> None:
    """Wait until a write to this client blocks, or until so many have blocked."""
    eventually(
        lambda: server.probe(PROBES, "blocked", who) >= count, f"a write to {who}", lambda: "none"
    )


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


# What the page's tests use


def different(got: list, wanted: list) -> str:
    """Say where two lists begin to differ."""
    same = [one == other for one, other in zip(got, wanted, strict=False)]
    index = same.index(False) if False in same else len(same)
    one, other = got[index : index + 1], wanted[index : index + 1]
    return f"{len(got)} rows; row {index + 1} is {one}, not {other}"


def pushed(number: int) -> dict:
    """Return the object that pushes a message."""
    sent_at = "2026-11-29T10:00:00.000Z"
    message = {"id": number, "room": "lobby", "author": "bob", "text": "yes", "sent_at": sent_at}
    return {"type": "message", "message": message}


def acked(number: int, request_id: str, text: str) -> dict:
    """Return the ack of a post that was stored with this number."""
    message = {**pushed(number)["message"], "author": "ada", "text": text}
    return {"type": "ack", "id": request_id, "message": message}


def expect_waits(waits: list[float | None], wanted: list[float], sentence: str) -> None:
    """Expect these delays before the retries, give or take a millisecond. `sentence` names them."""
    got = ["no retry" if wait is None else f"{wait / 1000:g} s" for wait in waits]
    pairs = zip(waits, wanted, strict=True)
    met = all(wait is not None and abs(wait - ms) <= 1 for wait, ms in pairs)
    more = f" and {len(got) - SHOWN} more" if len(got) > SHOWN else ""
    expect(met, f"these delays: {sentence}", ", ".join(got[:SHOWN]) + more)
