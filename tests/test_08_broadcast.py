"""Lesson 8: one board for REST and WebSocket. These tests are the lesson's specification.

A `Guest` is a client in a room; the class is in course/grading/guests.py. To test a race, a probe
in the app's process holds one thread for a moment, or until another thread overtakes it.
"""

import json
from concurrent.futures import Future
from pathlib import Path

import pytest

from course.grading import Server, Stage, equal, expect, task
from course.grading.asyncapi import described
from course.grading.expect import counted
from course.grading.guests import PROTOCOL, Guest, ids, post
from course.grading.raw import Raw
from course.grading.sockets import CLOSE
from course.grading.waiting import begin, eventually, in_threads
from course.lesson.lessons import ROOT

PROBES = Path(__file__).parent / "probes" / "08_broadcast.py"
NAMES = [f"guest-{number}" for number in range(8)]
OTTERS = "🦦" * 2000  # the longest text, and 24 kB as JSON


@pytest.fixture
def server(stage) -> Server:
    """The learner's app."""
    return stage.serve()


# join


@task("join", "A new client is registered, greeted and served", points=1)
def test_the_welcome_comes_first_with_the_last_id_and_the_members(stage, server):
    room, quiet = stage.name(), stage.name()
    stored(stage, stage.name())
    last = [stored(stage, room)["id"] for _ in range(3)][-1]
    stored(stage, stage.name())

    for name, last_id in ((room, last), (quiet, 0)):
        ada = Guest(server, "ada", name)

        wanted = {"type": "welcome", "room": name, "last_id": last_id, "members": ["ada"]}
        expect(equal(ada.welcome, wanted), json.dumps(wanted), ada.welcome)


@task("join")
def test_a_client_that_has_joined_gets_replies(stage, server):
    room = stage.name()
    message = stored(stage, room)
    ada = Guest(server, "ada", room)

    ada.ping()
    ada.ping()

    found = ada.history(after=0)
    expect(found == [message], json.dumps([message]), found)


@task("join")
def test_a_client_that_disconnects_before_its_welcome_blocks_no_other_client(stage, server):
    room = stage.name()
    server.probe(PROBES, "lose_welcome", says="the first welcome can't be sent")

    server.socket("bob", f"/board/{room}?author=bob", subprotocols=PROTOCOL)
    eventually(lambda: server.probe(PROBES, "is_held"), "a welcome for bob", lambda: "nothing")

    # In another room, because `leave` and `publish` may still be TODOs.
    other = stage.name()
    for who in ("ada", "eve"):
        Guest(server, who, other)


@task("join")
def test_nagles_algorithm_is_off_on_every_connection_before_the_welcome(stage, server):
    room = stage.name()
    server.probe(PROBES, "watch_no_delay")

    for who in ("ada", "ada", "bob"):
        Guest(server, who, room)

    found = server.probe(PROBES, "no_delay")
    expect(found == [True] * 3, "TCP_NODELAY set on all three sockets before the welcome", found)


@task("join")
def test_an_invalid_handshake_is_refused_with_400_or_426(stage, server):
    target = f"/board/{stage.name()}?author=ada"

    for version, changed, status in HANDSHAKES:
        got, *fields = handshake(server, f"GET {target} {version}", changed)

        expect(got.split()[1:2] == [status], f"{status} to {changed or version}", got)
        if status == "426":
            named = {"Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"}
            expect(named <= set(fields), f"the headers {', '.join(sorted(named))}", fields)
    ada = Guest(server, "ada", stage.name())
    ada.ping()


# fan_out


@task("fan_out", "Every client in a room receives each message", points=3, needs="join")
def test_a_posted_message_reaches_every_client_in_the_room_and_its_sender(stage, server):
    room = stage.name()
    guests = [Guest(server, who, room) for who in ("ada", "bob", "eve", "ada", *NAMES, *NAMES)]
    texts = (stage.text(), " <b>e\u0301</b>\r\n\t", "\x00 & \ufeff", OTTERS)

    for sender, text in zip(guests[:4], texts, strict=True):
        message = sender.post(text)

        for guest in guests:
            guest.expect_message(message)


@task("fan_out")
def test_a_join_is_reported_to_the_clients_in_the_room(stage, server):
    room = stage.name()

    ada = Guest(server, "ada", room)
    Guest(server, "bob", room)

    ada.wait_for_presence("ada", "bob")


@task("fan_out")
def test_all_clients_receive_all_messages_in_the_order_of_their_ids(stage, server):
    room = stage.name()
    guests = [Guest(server, name, room) for name in NAMES[:6]]

    def chat(guest: Guest) -> list[dict]:
        for number in range(10):
            guest.send("post", text=f"{guest.who} {number}")
        return guest.messages(60)

    received = in_threads([lambda guest=guest: chat(guest) for guest in guests])

    for guest, messages in zip(guests, received, strict=True):
        in_order = ids(messages) == sorted(ids(messages))
        expect(in_order, f"{guest.who} to receive increasing ids", ids(messages))
        same = messages == received[0]
        expect(same, f"{guest.who} to receive the same messages as the others", ids(messages))


@task("fan_out")
def test_no_message_overtakes_one_that_was_stored_before_it(stage, server):
    room = stage.name()
    ada, bob, eve = (Guest(server, who, room) for who in ("ada", "bob", "eve"))
    server.probe(PROBES, "hold_stored", says="the thread that stores the next message is slow")

    first = begin(lambda: ada.post("first"))
    wait_until_held(server)
    second = bob.post("second")

    for guest in (eve, bob):
        guest.expect_message(first.result())
        guest.expect_message(second)


@task("fan_out")
def test_a_message_reaches_its_own_room_only(stage, server):
    name = stage.name()
    longest = f"{name:x<31}"  # A room's name has at most 32 characters.
    rooms = [name, f"{name}-2", f"{name}2", f"{longest}a", f"{longest}b", f"-{name}", stage.name()]
    guests = [Guest(server, who, room) for room in rooms for who in ("ada", "bob")]

    sent = {room: [] for room in rooms}
    for guest in guests:
        sent[guest.room].append(guest.post(stage.text()))

    for guest in guests:
        for message in sent[guest.room]:
            guest.expect_message(message)


@task("fan_out")
def test_joins_and_leaves_are_reported_in_their_own_room_only(stage, server):
    here, there = stage.name(), stage.name()
    ada = Guest(server, "ada", here)
    ada.expect_presence("ada")

    Guest(server, "zoe", there)
    bob = Guest(server, "bob", there)
    Guest(server, "ada", there).leave()
    bob.leave()
    Guest(server, "eve", here)

    ada.expect_presence("ada", "eve")


# catch_up


@task("catch_up", "There is no gap between history and live messages", points=1, needs="fan_out")
def test_a_message_right_after_the_welcome_is_not_missed(stage, server):
    room = stage.name()
    server.probe(PROBES, "hold_greeting")

    ada = Guest(server, "ada", room, in_a_hurry=True)
    message = post(server, "bob", room, stage.text())
    server.probe(PROBES, "release")

    ada.expect_message(message)


@task("catch_up")
def test_a_client_that_waits_to_join_gets_no_message_before_its_welcome(stage, server):
    room = stage.name()
    ada = Guest(server, "ada", room)
    server.probe(PROBES, "hold_until_waiting", says="the thread that stores a message is slow")

    message = begin(lambda: ada.post(stage.text()))
    wait_until_held(server)
    bob = Guest(server, "bob", room)

    expect_caught_up(server, bob, message.result())


@task("catch_up")
def test_a_message_that_is_posted_during_a_join_arrives_once(stage, server):
    for after in (False, True):  # Before the room's last id is read, and after it.
        room = stage.name()
        stored(stage, room, count=3)
        server.probe(PROBES, "hold_look", after)

        joined = begin(lambda room=room: Guest(server, "ada", room, in_a_hurry=True))
        wait_until_held(server)
        post(server, "bob", room, stage.text())
        server.probe(PROBES, "release")
        last = post(server, "bob", room, stage.text())

        expect_caught_up(server, joined.result(), last)


@task("catch_up")
def test_a_message_that_is_posted_when_the_turn_is_released_arrives_once(stage, server):
    room = stage.name()
    server.probe(PROBES, "hold_turn")

    joined = begin(lambda: Guest(server, "ada", room, in_a_hurry=True))
    wait_until_held(server, or_done=joined)
    post(server, "bob", room, stage.text())
    server.probe(PROBES, "release")
    last = post(server, "bob", room, stage.text())

    expect_caught_up(server, joined.result(), last)


@task("catch_up")
def test_a_client_that_joins_a_busy_room_gets_each_message_once(stage, server):
    room = stage.name()
    bob, guests = Guest(server, "bob", room), []

    for _ in range(8):
        for _ in range(4):
            bob.send("post", text=stage.text())
        guests.append(Guest(server, "ada", room, in_a_hurry=True))
    bob.messages(32)
    last = post(server, "bob", room, stage.text())

    for guest in guests:
        expect_caught_up(server, guest, last)


# rest


@task("rest", "REST and WebSocket clients share one board", points=1, needs="fan_out")
def test_a_message_posted_over_rest_is_pushed(stage, server):
    rooms = [stage.name(), stage.name()]
    guests = [Guest(server, who, room) for room in rooms for who in ("ada", "bob")]

    for who, text in (("eve", "the same"), ("eve", "the same"), ("x" * 200, OTTERS)):
        messages = {room: post(server, who, room, text) for room in rooms}

        for guest in guests:
            guest.expect_message(messages[guest.room])


@task("rest")
def test_a_message_posted_over_a_websocket_is_the_same_over_rest(stage, server):
    room = stage.name()
    ada, bob = Guest(server, "ada", room), server.client("bob")

    message = ada.post(stage.text())

    found = bob.get(f"/rooms/{room}/messages").json()["messages"]
    expect(equal(found, [message]), json.dumps([message]), found)
    one = bob.get(f"/rooms/{room}/messages/{message['id']}").json()
    expect(equal(one, message), json.dumps(message), one)


@task("rest")
def test_a_message_can_be_read_as_soon_as_it_is_pushed(stage, server):
    room = stage.name()
    ada = Guest(server, "ada", room)
    server.probe(PROBES, "hold_commit")
    response = begin(lambda: post(server, "bob", room, stage.text()))

    message = ada.message()

    path = f"/rooms/{room}/messages/{message['id']}"
    server.client("ada").get(path).expect_status(200)
    server.probe(PROBES, "release")
    expect(equal(response.result(), message), json.dumps(message), response.result())


@task("rest")
def test_a_message_is_committed_before_it_is_pushed(stage, server):
    room = stage.name()
    ada = Guest(server, "ada", room)
    server.probe(PROBES, "look_again", str(stage.scratch / "board.sqlite3"))

    message, other = ada.post(stage.text()), post(server, "bob", room, stage.text())

    ada.expect_message(message)
    ada.expect_message(other)
    missing = server.probe(PROBES, "missing")
    expect(missing == [], "another process to find each message when it is pushed", missing)


@task("rest")
def test_a_refused_post_is_not_pushed(stage, server):
    room = stage.name()
    ada = Guest(server, "ada", room)

    for text in ("", " ", None, "x" * 2001):
        body = {"author": "bob", "text": text}
        server.client("bob").post(f"/rooms/{room}/messages", body)
        ada.send("post", text=text)
    message = post(server, "bob", room, stage.text())

    ada.expect_message(message)


@task("rest")
def test_a_repeated_post_is_acknowledged_again_and_pushed_once(stage, server):
    room, text = stage.name(), stage.text()
    ada, bob = Guest(server, "ada", room), Guest(server, "bob", room)

    message = ada.post(text, id="1")
    stored(stage, room, count=250)
    between = ada.post(text, id="between")
    for tab in (ada, Guest(server, "ada", room), Guest(server, "ada", room)):
        for request_id, first in (("1", message), ("between", between)):
            again = tab.post(text, id=request_id)
            expect(equal(again, first), f"the original message, {json.dumps(first)}", again)
    other = ada.post(text, id="2")

    for pushed in (message, between, other):
        bob.expect_message(pushed)


@task("rest")
def test_a_request_id_that_is_used_for_another_text_pushes_nothing(stage, server):
    room = stage.name()
    ada, bob = Guest(server, "ada", room), Guest(server, "bob", room)

    message = ada.post(stage.text(), id="1")
    ada.send("post", text=stage.text(), id="1")
    reply = ada.next("ack", "error")
    other = bob.post(stage.text(), id="1")

    expect(reply.get("code") == "conflict", "an error with the code conflict", reply)
    bob.expect_message(message)
    bob.expect_message(other)


@task("rest")
def test_a_post_that_two_tabs_send_at_once_is_pushed_once(stage, server):
    room, text = stage.name(), stage.text()
    bob, *tabs = (Guest(server, who, room) for who in ("bob", "ada", "ada"))
    server.probe(PROBES, "hold_look", True)
    server.probe(PROBES, "release")

    acks = in_threads([lambda tab=tab: tab.post(text, id="1") for tab in tabs])
    other = bob.post(text)

    expect(equal(acks[0], acks[1]), f"{json.dumps(acks[0])} in both acks", acks[1])
    bob.expect_message(acks[0])
    bob.expect_message(other)


@task("rest")
def test_a_post_that_is_repeated_after_a_restart_is_not_pushed(stage, server):
    room, text = stage.name(), stage.text()
    Guest(server, "ada", room).post(text, id="1")
    server.kill()
    ada = Guest(stage.serve(), "ada", room)

    ada.post(text, id="1")
    other = ada.post(text, id="2")

    ada.expect_message(other)


# leave


@task("leave", "A client that disconnects leaves its room", points=1, needs="fan_out")
def test_a_client_leaves_the_room_however_its_connection_ends(stage, server):
    room = stage.name()
    server.probe(PROBES, "crash", "crash")
    ada = Guest(server, "ada", room)

    for end in (Guest.leave, Guest.cut, Guest.half_close, Guest.crash, Guest.send_too_much):
        bob = Guest(server, "bob", room)
        ada.wait_for_presence("ada", "bob")
        end(bob)

        ada.wait_for_presence("ada")


@task("leave")
def test_closing_one_tab_leaves_the_other_tab_in_the_room(stage, server):
    room = stage.name()
    first, second, ada = (Guest(server, who, room) for who in ("bob", "bob", "ada"))

    first.leave()
    wait_until_served(server, connections=2)
    message = ada.post(stage.text())

    second.expect_message(message)
    members = Guest(server, "eve", room).welcome["members"]
    expect(members == ["ada", "bob", "eve"], '["ada", "bob", "eve"]', members)


@task("leave")
def test_nothing_is_left_of_200_clients_that_have_disconnected(stage, server):
    Guest(server, "ada", stage.name()).leave()
    before, rooms = server.census(), [stage.name() for _ in range(200)]
    authors = [stage.name() for _ in rooms]
    server.probe(PROBES, "crash", "crash")

    def join_and_leave(number: int) -> None:
        guest = Guest(server, authors[number], rooms[number])
        guest.post("hello, and goodbye")
        [guest.leave, guest.cut, guest.half_close, guest.crash][number % 4]()

    def in_turn(numbers: range) -> None:
        for number in numbers:
            join_and_leave(number)

    for first in range(0, 200, 20):  # In rounds, so that a leak shows before it grows.
        shares = [range(first + start, first + 20, 4) for start in range(4)]
        in_threads([lambda share=share: in_turn(share) for share in shares])
        server.expect_census(before)
    nothing = {"connections": 0, "rooms": 0, "authors": 0}
    eventually(
        lambda: server.probe(PROBES, "left_over", rooms, authors) == nothing,
        "no connection, no room and no author left in memory",
        lambda: server.probe(PROBES, "left_over", rooms, authors),
    )


@task("leave")
def test_a_post_to_a_room_without_clients_leaves_no_room_in_memory(stage, server):
    rooms = [stage.name() for _ in range(5)]

    for room in rooms:
        post(server, "eve", room, stage.text())

    eventually(
        lambda: server.probe(PROBES, "left_over", rooms, [])["rooms"] == 0,
        "no room without clients left in memory",
        lambda: server.probe(PROBES, "left_over", rooms, []),
    )


@task("leave")
def test_a_client_that_never_joined_leaves_nothing_behind(stage, server):
    room = stage.name()
    for _ in range(2):  # The room is empty at first; then ada is there.
        stranger = server.raw_socket("stranger", f"/board/{room}?author=bob")
        stranger.expect_close(4406)
        stranger.send(CLOSE, (4406).to_bytes(2, "big"))

        stranger.expect_end()
        Guest(server, "ada", room)
    log = server.log()
    expect("Traceback" not in log, "no exception", log.strip().rpartition("\n")[2])


# dead_client


@task("dead_client", "A failed send doesn't affect the other clients", points=1, needs="leave")
def test_a_failed_send_removes_its_client_and_no_other(stage, server):
    room = stage.name()
    crowd = {name: Guest(server, name, room) for name in NAMES}
    for guest in crowd.values():
        guest.wait_for_presence(*NAMES)
    server.probe(PROBES, "note_order", NAMES)
    message = post(server, "eve", room, stage.text())
    for guest in crowd.values():
        guest.expect_message(message)

    # The first client in the loop fails, so a presence inside the loop would reach the others.
    order = dict.fromkeys([*server.probe(PROBES, "noted_order"), *NAMES])  # each name once
    first, second, ada, third, bob, fourth, fifth, zoe = map(crowd.get, order)
    for error, guest in zip(ERRORS, (first, second, third, fourth, fifth), strict=True):
        lose(server, error, guest)
    message = ada.post(stage.text())

    living = [ada, bob, zoe]
    names = [guest.who for guest in living]
    for guest in living:
        guest.expect_message(message)
        guest.expect_to_shrink_to(*names)
    other = post(server, "eve", room, stage.text())
    for guest in living:
        guest.expect_message(other)
        guest.expect_no_older_presence(*names)
    living.append(Guest(server, "newcomer", room))
    for guest in living:
        guest.expect_presence(*names, "newcomer")


@task("dead_client")
def test_a_failed_send_to_one_tab_keeps_the_other_tab_of_the_client(stage, server):
    room = stage.name()
    ada = beside_a_dead_client(server, room)
    bob = Guest(server, "bob", room)

    message, other = ada.post(stage.text()), ada.post(stage.text())
    Guest(server, "eve", room)

    for guest in (ada, bob):
        guest.expect_message(message)
        guest.expect_message(other)
        guest.wait_for_presence("ada", "bob", "eve")


@task("dead_client")
def test_all_tabs_whose_sends_fail_leave_the_room(stage, server):
    room = stage.name()
    ada, *tabs = (Guest(server, who, room) for who in ("ada", "bob", "bob", "bob"))
    ada.wait_for_presence("ada", "bob")
    lose(server, "ConnectionResetError", *tabs)

    message = post(server, "eve", room, stage.text())

    ada.expect_message(message)
    ada.expect_presence("ada")


@task("dead_client")
def test_a_presence_that_cannot_be_sent_removes_its_client_too(stage, server):
    room = stage.name()
    ada = beside_a_dead_client(server, room)

    eve = Guest(server, "eve", room)

    for guest in (ada, eve):
        guest.wait_for_presence("ada", "eve")


@task("dead_client")
def test_connections_that_are_cut_during_a_conversation_affect_no_other_client(stage, server):
    room = stage.name()
    crowd = [Guest(server, name, room) for name in NAMES]
    guests, sent = [Guest(server, who, room) for who in ("ada", "bob")], []

    for doomed in crowd:
        doomed.send("post", text="my connection is about to break")
        doomed.message()
        doomed.cut()
        sent += [guest.post(stage.text()) for guest in guests]
        sent.append(post(server, "eve", room, stage.text()))

    for guest in guests:
        received = guest.messages(len(sent) + len(crowd))
        missed = [message for message in sent if message not in received]
        expect(not missed, f"{guest.who} to receive all messages from the others", missed)
        guest.wait_for_presence("ada", "bob")


# presence


@task("presence", "Every client knows who is in the room", points=1, needs="leave")
def test_a_newcomer_and_the_others_receive_the_new_list_of_members(stage, server):
    room, names = stage.name(), ["mia", "ada", "Zoë", "Ada", " ada", "éa", "e\u0301a", "🦦" * 32]
    guests = []

    for number, name in enumerate(names, 1):
        guests.append(Guest(server, name, room))

        here = sorted(names[:number])
        got = guests[-1].welcome["members"]
        expect(equal(got, here), f'"members": {json.dumps(here)} in the welcome', got)
        for guest in guests:
            guest.expect_presence(*here)


@task("presence")
def test_a_client_with_two_tabs_is_listed_once_until_both_are_closed(stage, server):
    room = stage.name()
    ada, bob = Guest(server, "ada", room), Guest(server, "bob", room)
    ada.expect_presence("ada")
    ada.expect_presence("ada", "bob")

    second = Guest(server, "bob", room)
    here = second.welcome["members"]
    expect(equal(here, ["ada", "bob"]), '["ada", "bob"] in the second tab', here)
    bob.leave()
    Guest(server, "eve", room)
    for guest in (ada, second):
        guest.expect_presence("ada", "bob", "eve")
    second.leave()

    ada.expect_presence("ada", "eve")


@task("presence")
def test_a_post_does_not_change_the_presence(stage, server):
    room = stage.name()
    ada = Guest(server, "ada", room)
    ada.expect_presence("ada")

    ada.post(stage.text())
    post(server, "zoe", room, stage.text())
    Guest(server, "bob", room)

    ada.expect_presence("ada", "bob")


@task("presence")
def test_the_last_presence_is_the_newest_when_two_clients_join_at_once(stage, server):
    room = stage.name()
    ada = Guest(server, "ada", room)
    ada.expect_presence("ada")
    server.probe(PROBES, "hold_presence", "ada")

    bob = begin(lambda: Guest(server, "bob", room))
    wait_until_held(server)
    eve = begin(lambda: Guest(server, "eve", room))

    bob.result(), eve.result()
    first, last = ada.presence(), ada.presence()
    expect(equal(last, ["ada", "bob", "eve"]), '["ada", "bob", "eve"] last', [first, last])


@task("presence")
def test_a_client_that_opens_a_tab_while_its_other_tab_closes_is_listed(stage, server):
    room = stage.name()
    ada, bob = (Guest(server, who, room) for who in ("ada", "bob"))
    server.probe(PROBES, "hold_members", says="the next call to members() takes a moment")

    second = begin(lambda: Guest(server, "bob", room))
    wait_until_held(server, or_done=second)
    bob.leave()
    second.result()
    Guest(server, "eve", room)

    before = ada.wait_for_presence("ada", "bob", "eve")
    expect(before[-1] == ["ada", "bob"], '["ada", "bob"] before eve joined', before)


@task("presence")
def test_a_tab_that_closes_while_another_client_joins_is_not_reported(stage, server):
    room = stage.name()
    ada, bob, _ = (Guest(server, who, room) for who in ("ada", "bob", "bob"))
    ada.wait_for_presence("ada", "bob")
    server.probe(PROBES, "hold_members", says="the next call to members() takes a moment")

    bob.cut()
    wait_until_served(server, connections=2, or_held=True)
    Guest(server, "eve", room)
    Guest(server, "zoe", room)

    ada.expect_presence("ada", "bob", "eve")
    ada.expect_presence("ada", "bob", "eve", "zoe")


@task("presence")
def test_the_last_presence_is_the_newest_when_two_clients_leave_at_once(stage, server):
    room = stage.name()
    ada, bob, eve = (Guest(server, who, room) for who in ("ada", "bob", "eve"))
    ada.wait_for_presence("ada", "bob", "eve")
    server.probe(PROBES, "hold_presence", "ada", says="the next presence is sent slowly")

    bob.cut()
    wait_until_held(server)
    eve.cut()

    ada.expect_to_shrink_to("ada")
    Guest(server, "zoe", room)
    ada.expect_presence("ada", "zoe")


@task("presence")
def test_every_message_matches_asyncapi_yaml(stage, server):
    file, room = described("08_broadcast", ROOT, stage.folder), stage.name()
    ada = Guest(server, "ada", room)

    ada.post(stage.text())
    post(server, "an author whose name has more than 32 characters", room, OTTERS)
    ada.history(after=0)
    ada.send("ping")
    ada.send("dance")
    for kind in ("message", "message", "presence", "pong", "error"):
        ada.next(kind)

    kinds = {file.kind(message) for message in ada.received} | {"post", "history", "ping"}
    expect(kinds == file.kinds, f"all of {', '.join(sorted(file.kinds))}", sorted(kinds))


# threads


@task("threads", "Frames to one client never mix", points=3, needs="fan_out")
def test_one_thread_at_a_time_sends_to_a_client(stage, server):
    for who, first, then in (
        ("ada", "message", "message"),
        ("bob", "pong", "message"),
        ("eve", "message", "pong"),
    ):
        room = stage.name()
        guest = Guest(server, who, room, deflate=True)
        causes = {
            "message": lambda room=room: post(server, "zoe", room, "hi"),
            "pong": lambda guest=guest: guest.send("ping"),
        }
        server.probe(PROBES, "hold_send", who, first)

        begun = begin(causes[first])
        wait_until_held(server)
        causes[then]()
        begun.result()

        guest.next(first)
        guest.next(then)
        found = server.probe(PROBES, "overlapped")
        expect(not found, f"one message at a time to {who}", found)


@task("threads")
def test_a_pong_is_not_written_inside_a_message(stage, server):
    room = stage.name()
    server.probe(PROBES, "hold_large_write", says="half of the next large frame is written")
    ada = Guest(server, "ada", room)

    message = begin(lambda: post(server, "bob", room, OTTERS))
    wait_until_held(server)
    pong = begin(ada.socket.ping)
    message.result()

    found = server.probe(PROBES, "written_inside")
    expect(not found, "the whole message, then the pong", f"inside the message: {found}")
    ada.expect_message(message.result())
    pong.result()


@task("threads")
def test_a_send_that_writes_only_a_part_is_continued(stage, server):
    room = stage.name()
    server.probe(PROBES, "write_parts", says="each send() of the socket writes 1,000 bytes")
    ada = Guest(server, "ada", room)

    message = post(server, "bob", room, OTTERS)

    unwritten = server.probe(PROBES, "unwritten")
    expect(unwritten == 0, "every byte of the message written", f"{unwritten:,} were not")
    ada.expect_message(message)


@task("threads")
def test_eight_threads_post_to_clients_that_compress_and_no_frame_breaks(stage, server):
    room, threads, posts = stage.name(), 8, 25
    guests = [Guest(server, f"guest-{number}", room, deflate=True) for number in range(16)]

    server.probe(PROBES, "flood", room, threads, posts)
    for guest in guests:
        guest.send("ping")

    expected = {f"{thread} {number}" for thread in range(threads) for number in range(posts)}
    all_received = [guest.messages(threads * posts) for guest in guests]
    for guest, received in zip(guests, all_received, strict=True):
        lost = expected - {message["text"] for message in received}
        expect(not lost, f"{guest.who} to receive all messages", f"{len(lost)} were lost")
        same = ids(received) == ids(all_received[0])
        expect(same, "one order for all clients", f"another order for {guest.who}")
        expect(ids(received) == sorted(ids(received)), "the order of the ids", ids(received))


@task("threads")
def test_large_messages_from_four_threads_arrive_whole(stage, server):
    room, threads, posts = stage.name(), 4, 4
    guests = [Guest(server, f"guest-{number}", room) for number in range(4)]

    server.probe(PROBES, "publish_large", room, threads, posts, LARGE)

    for guest in guests:
        received = [guest.next("message")["message"] for _ in range(threads * posts)]
        whole = all(message["text"] == message["author"] * LARGE for message in received)
        expect(whole, f"{LARGE:,} equal characters in each message", "a mixture")


# What the tests use

ERRORS = [
    "BrokenPipeError",
    "ConnectionResetError",
    "OSError",
    "ConnectionClosed",
    "LocalProtocolError",
]
LARGE = 300_000  # characters

# What differs from a valid handshake, and the status of the response.
HANDSHAKES = [
    ("HTTP/1.1", {"Sec-WebSocket-Version": None}, "400"),
    ("HTTP/1.1", {"Sec-WebSocket-Version": "12"}, "426"),
    ("HTTP/1.1", {"Sec-WebSocket-Key": None}, "400"),
    ("HTTP/1.1", {"Sec-WebSocket-Key": "YWJj"}, "400"),  # three bytes
    ("HTTP/1.1", {"Sec-WebSocket-Key": "*" * 24}, "400"),
    ("HTTP/1.1", {"Host": None}, "400"),
    ("HTTP/1.0", {}, "400"),
]


def stored(stage: Stage, room: str, count: int = 1) -> dict:
    """Store messages without the app, and return the last one."""
    database = str(stage.scratch / "board.sqlite3")
    return stage.probe(PROBES, "store_messages", database, room, "eve", stage.text(), count)


def handshake(server: Server, line: str, changed: dict[str, str | None]) -> list[str]:
    """Send a handshake with some headers changed or left out. Returns the response's head."""
    headers = {
        "Host": server.host,
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Protocol": "board.v1",
    }
    sent = {name: value for name, value in {**headers, **changed}.items() if value is not None}
    raw = server.stage.use(Raw(server, "ada", server.port))
    raw.request([line, *(f"{name}: {value}" for name, value in sent.items())])
    return raw.head()


def wait_until_held(server: Server, or_done: Future | None = None) -> None:
    """Wait until the probe holds a thread, or until `or_done` is done."""

    def met() -> bool:
        return server.probe(PROBES, "is_held") or (or_done is not None and or_done.done())

    eventually(met, "a call in the app that the test waits for", lambda: "none yet")


def wait_until_served(server: Server, connections: int, or_held: bool = False) -> None:
    """Wait until only this many connections are left, or until the probe holds a thread."""

    def left() -> int:
        return server.probe(PROBES, "left_over", [], [])["connections"]

    def met() -> bool:
        return (or_held and server.probe(PROBES, "is_held")) or left() == connections

    eventually(met, f"{counted(connections, 'connection')} in memory", left)


def beside_a_dead_client(server: Server, room: str) -> Guest:
    """Return ada, in a room with bob, whose connection is broken. Only a send reveals it."""
    ada = Guest(server, "ada", room)
    lose(server, "BrokenPipeError", Guest(server, "bob", room))
    return ada


def lose(server: Server, error: str, *guests: Guest) -> None:
    """From now on, let each send to these connections raise this error."""
    server.probe(PROBES, "lose", [guest.who for guest in guests], error)
    for guest in guests:
        happened = f"disconnected: from now on, a send raises {error}"
        server.stage.wire.happened(guest.who, happened)


def expect_caught_up(server: Server, guest: Guest, last: dict) -> None:
    """Check that history and pushed messages are the whole room, up to the message `last`."""
    found = server.client("eve").get(f"/rooms/{guest.room}/messages", limit=200).json()
    got, wanted = ids(caught_up(guest, last)), ids(found["messages"])
    expect(got == wanted, f"history and pushed messages to be {wanted}", got)


def caught_up(guest: Guest, last: dict) -> list[dict]:
    """Return the room as the page describes: the history up to `last_id`, then what is pushed."""
    messages: list[dict] = []
    last_id, cursor = guest.welcome["last_id"], 0
    while cursor < last_id:
        page = guest.history(after=cursor, limit=2)
        expect(bool(page), f"messages after {cursor}, because last_id is {last_id}", page)
        cursor = page[-1]["id"]
        messages += [message for message in page if message["id"] <= last_id]
    while not messages or messages[-1]["id"] < last["id"]:
        messages.append(guest.message())
    return messages
