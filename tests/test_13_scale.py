"""Lesson 13: the board in several processes. These tests are the lesson's specification.

A `Board` is the learner's app in some processes, A, B and so on, with a Redis of the test's own;
the class is at the bottom of this file. A probe in a process stops its follower before it reads.
"""

import contextlib
import json
import socket
from http.client import HTTPResponse
from pathlib import Path
from urllib.parse import urlencode

import pytest

from course.grading import Stage, expect, task
from course.grading.expect import Unmet
from course.grading.guests import Guest, checked, ids
from course.grading.http import Answer
from course.grading.nginx import Backend, Nginx, conf, effective, seconds
from course.grading.redis import Redis
from course.grading.stage import Server
from course.grading.swarm import Swarm
from course.grading.waiting import PATIENCE, SECONDS, eventually, in_threads

PROBES = Path(__file__).parent / "probes" / "13_scale.py"
HEARTBEAT = 25  # seconds, as in the app's defaults
LEASE = 1.0  # seconds after which a silent process counts as dead


@pytest.fixture
def board(stage) -> "Board":
    """The learner's app in two processes."""
    return Board(stage)


@pytest.fixture
def front(stage) -> "Front":
    """nginx in front of three processes."""
    return Front(stage)


# store


@task("store", "All processes store messages in Redis Streams", points=2)
def test_ids_have_no_gaps_over_processes_and_rooms(board):
    other = board.new_room()
    places = (("A", "ada", board.room), ("B", "bob", board.room), ("A", "eve", other))
    places += (("B", "ada", other),)
    posters = [board.join(process, who, room=room) for process, who, room in places]

    work = [lambda each=each: [each.post(f"{n}") for n in range(20)] for each in posters]
    posted = in_threads(work)

    found = [message["id"] for messages in posted for message in messages]
    expect(sorted(found) == list(range(1, 81)), "the ids 1 to 80, each once", sorted(found))
    for process in "AB":
        for room in (board.room, other):
            wanted = sorted((m for ms in posted for m in ms if m["room"] == room), key=id_of)
            board.expect_history(process, wanted, room)


@task("store")
def test_a_request_id_counts_in_all_processes(board):
    ada, tab, bob = board.join("A", "ada"), board.join("B", "ada"), board.join("B", "bob")
    first = ada.post("hi", id="request 1")

    again = tab.post("hi", id="request 1")
    expect(again == first, f"{json.dumps(first)} again", again)
    for process, room, text in (("B", board.room, "other"), ("A", board.new_room(), "hi")):
        guest = board.join(process, "ada", room=room)
        guest.send("post", id="request 1", text=text)
        reply = guest.next("ack", "error")
        expect(reply.get("code") == "conflict", "an error with the code conflict", reply)
    number = bob.post("hi", id="request 1")["id"]
    expect(number == 2, "message 2: it is another author's request id", number)


@task("store")
def test_of_the_same_request_at_once_one_is_stored(board):
    tabs = [board.join(process, "ada") for process in "ABAB"]

    for number in range(5):
        work = [lambda tab=tab, n=number: tab.post("hi", id=f"request {n}") for tab in tabs]
        found = {message["id"] for message in in_threads(work)}
        expect(found == {number + 1}, f"message {number + 1} in each ack", sorted(found))


@task("store")
def test_a_page_has_the_messages_after_or_before_an_id(board):
    board.probe("A", "fill", board.room, 3)
    board.probe("B", "fill", board.new_room(), 2)
    board.probe("B", "fill", board.room, 4)

    for call, wanted in (
        (("list", 0, 50), [1, 2, 3, 6, 7, 8, 9]),
        (("list", 2, 3), [3, 6, 7]),
        (("list", 3, 50), [6, 7, 8, 9]),
        (("list", 9, 50), []),
        (("list", 2**63 - 1, 50), []),
        (("list_before", 8, 3), [3, 6, 7]),
        (("list_before", 2**63 - 1, 2), [8, 9]),
        (("list_before", 5, 50), [1, 2, 3]),
        (("list_before", 1, 50), []),
    ):
        (found,) = board.probe("A", "pages", board.room, [call])

        expect(ids(found) == wanted, f"{call[0]}{call[1:]} to return {wanted}", ids(found))


@task("store")
def test_the_boards_stream_has_all_messages_and_is_trimmed(stage):
    board = Board(stage, FOLLOW=100)
    rooms = [board.room, board.new_room()]
    for room in rooms * 2:
        board.probe("A", "fill", room, 2)

    entries = board.redis.client.xrange("{board}:stream")
    found = [entry for entry in entries if "text" in entry[1]]
    wanted = [f"{number}-0" for number in range(1, 9)]
    expect([e[0] for e in found] == wanted, f"the entries {wanted}", [e[0] for e in found])
    in_rooms = [
        entry for room in rooms for entry in board.redis.client.xrange("{board}:room:" + room)
    ]
    same = sorted(found) == sorted(in_rooms)
    expect(same, "the same entries in the streams of the rooms", in_rooms)
    board.probe("A", "fill", board.room, 400)
    kept = board.redis.client.xlen("{board}:stream")
    expect(100 <= kept <= 300, "about 100 entries in the board's stream, as FOLLOW says", kept)
    expect(len(board.history("B")) == 50, "the room's messages to be still there", "fewer")


@task("store")
def test_a_request_id_is_forgotten_after_a_day(board):
    board.join("A", "ada").post("hi", id="request 1")

    seconds_left = board.redis.client.ttl("{board}:posted:ada:request 1")

    day = 24 * 3600
    expect(day - 60 <= seconds_left <= day, "EXPIRE in a day", f"a TTL of {seconds_left}")


@task("store")
def test_a_room_keeps_its_newest_messages(stage):
    board = Board(stage, RETAIN=5)
    board.probe("A", "fill", board.room, 8)

    expect(ids(board.history("B")) == [4, 5, 6, 7, 8], "the last 5", ids(board.history("B")))
    board.get("A", "ada", f"/rooms/{board.room}/messages/3").expect_status(404)
    board.get("B", "ada", f"/rooms/{board.room}/messages/4").expect_status(200)


# follow


@task("follow", "Each message reaches the clients of all processes", points=2, needs="store")
def test_all_clients_of_all_processes_receive_all_messages_in_one_order(board):
    guests = [board.join(process, who) for who in ("ada", "bob", "eve") for process in "AB"]
    other = board.new_room()
    outsiders = [board.join(process, "ada", room=other) for process in "AB"]
    work = [lambda g=g: [g.post(f"{g.who} {n}") for n in range(10)] for g in guests + outsiders]
    work += [lambda p=p: [board.post(p, "bob", f"REST {n}") for n in range(5)] for p in "AB"]

    posted = sorted((m for messages in in_threads(work) for m in messages), key=id_of)

    for guest in guests + outsiders:
        wanted = [message for message in posted if message["room"] == guest.room]
        found = guest.messages(len(wanted))
        expect(ids(found) == ids(wanted), f"{guest.who}: {ids(wanted)}", ids(found))
        expect(found == wanted, "the messages as they are in the acks", found)


@task("follow")
def test_a_process_that_was_behind_catches_up(board):
    ada, bob = board.join("A", "ada"), board.join("B", "bob")
    board.hold("B", bob)
    numbers = board.probe("A", "fill", board.room, 250)
    board.release("B")
    last = ada.post("at last")

    found = bob.messages(251)
    expect(ids(found) == [*numbers, last["id"]], "250 messages and one more", ids(found))


@task("follow")
def test_a_message_that_the_welcome_counts_is_not_pushed_too(board):
    carol = board.join("B", "eve")
    board.hold("B", carol)
    before = [board.post("A", "ada", f"{number}") for number in range(3)]

    bob = board.join("B", "bob")
    board.release("B")
    after = [board.post("A", "ada", f"{number}") for number in range(3)]

    last = before[-1]["id"]
    expect(bob.welcome["last_id"] == last, f"last_id {last}", bob.welcome)
    for guest, wanted in ((bob, after), (carol, before + after)):
        found = guest.messages(len(wanted))
        expect(ids(found) == ids(wanted), f"{ids(wanted)} to be pushed to {guest.who}", ids(found))


@task("follow")
def test_all_entries_that_follow_a_message_are_passed_on(board):
    guests = [board.join("B", "bob", room=room) for room in (board.room, board.other)]
    for guest in guests:
        guest.wait_for_presence("bob")
    board.probe("B", "record_news")

    board.join("A", "eve", room=board.room)
    board.expect_news("B", [board.room])
    board.join("A", "eve", room=board.other)
    board.expect_news("B", [board.room, board.other])


@task("follow")
def test_no_entry_is_passed_on_twice_if_a_later_one_fails(board):
    bob = board.join("B", "bob")
    board.hold("B", bob)
    first = board.post("A", "ada", "first")
    board.join("A", "eve")
    board.wait_for_news(board.room)
    second = board.post("A", "ada", "second")
    board.probe("B", "fail_once", says="Redis doesn't respond to B for a moment")

    board.release("B")

    bob.expect_message(first)
    bob.expect_message(second)
    board.expect_news("B", [board.room])
    bob.expect_message(board.post("A", "ada", "third"))


# down


@task("down", "The board survives an outage of Redis", points=3, needs="follow")
def test_while_redis_is_down_posts_get_unavailable_and_connections_stay_open(board):
    ada, bob = board.join("A", "ada"), board.join("B", "bob")
    first = ada.post("before")
    bob.expect_message(first)

    board.redis.stop()
    board.expect_unavailable(ada, "post", id="request 2", text="after")
    board.expect_unavailable(bob, "history")
    board.expect_503(board.send_post("B", "bob", "REST"))
    board.expect_503(board.handshake("A", "eve"))
    board.redis.restart()
    second = board.post_again(ada, "request 2", "after")
    third = board.post_again(bob, "request 3", "last")

    expect([second["id"], third["id"]] == [2, 3], "ids 2 and 3", [second["id"], third["id"]])
    for guest, wanted in ((ada, [first, second, third]), (bob, [second, third])):
        for message in wanted:
            guest.expect_message(message)


@task("down")
def test_what_was_stored_before_a_process_is_back_is_pushed(board):
    ada, bob = board.join("A", "ada"), board.join("B", "bob")
    board.probe("B", "hold_after_outage")

    board.redis.stop()
    board.redis.restart()
    board.wait_until_held("B")
    messages = [board.post_again(ada, f"request {number}", "hi") for number in range(3)]
    board.release("B")

    for message in messages:
        bob.expect_message(message)


@task("down")
def test_a_redis_that_doesnt_respond_counts_as_down(board):
    ada, bob = board.join("A", "ada"), board.join("B", "bob")

    board.redis.pause()
    board.expect_unavailable(ada, "post", id="request 1", text="hi")
    board.redis.resume()

    bob.expect_message(board.post_again(ada, "request 1", "hi"))


@task("down")
def test_a_command_whose_reply_was_lost_isnt_sent_again(board):
    says = "Redis stores the next message, and its reply to A is lost"
    board.probe("A", "lose_reply", says=says)

    board.expect_503(board.send_post("A", "ada", "once"))

    found = [message["text"] for message in board.history("B")]
    expect(found == ["once"], "one message", found)


@task("down")
def test_a_blocking_read_doesnt_hold_up_other_calls(board):
    ada = board.join("A", "ada")
    board.probe("A", "stall_reads")
    board.wait_until_held("A")

    message = ada.post("hi")

    board.release("A")
    ada.expect_message(message)


@task("down")
def test_an_error_of_the_code_is_still_internal(board):
    board.probe("A", "crash", "crash", says="a handler of A raises an exception")
    ada = board.join("A", "ada")

    ada.send("crash")

    reply = ada.next("error")
    met = reply.get("code") == "internal" and "retry_after" not in reply
    expect(met, "an error with the code internal, without retry_after", reply)


@task("down")
def test_a_full_redis_drops_nothing_and_stores_nothing(board):
    ada = board.join("A", "ada")
    first = ada.post("before")

    board.redis.client.config_set("maxmemory", "1mb")
    board.stage.wire.happened("Redis", "full")
    board.expect_unavailable(ada, "post", id="request 2", text="too much")
    board.expect_503(board.send_post("A", "ada", "too much"))
    board.redis.client.config_set("maxmemory", "0")
    second = board.post_again(ada, "request 2", "too much")

    expect(second["id"] == first["id"] + 1, "the next id", second["id"])
    board.expect_history("B", [first, second])


@task("down")
def test_clients_of_a_process_that_missed_too_much_reconnect(stage):
    board = Board(stage, FOLLOW=10, REPLAY=1_000)
    bob = board.join("B", "bob")
    board.hold("B", bob)
    numbers = board.probe("A", "fill", board.room, 300)
    board.release("B")

    received = bob.until_restart()
    expect(received == [], "no message after a gap, but close 1012", ids(received))
    again = board.join("B", "bob", after=bob.last_id)
    expect(ids(again.missed) == numbers, "all 300 when bob resumes", f"{len(again.missed)}")
    again.expect_message(board.post("A", "ada", "next"))


@task("down")
def test_messages_of_other_rooms_are_no_gap(board):
    bob = board.join("B", "bob")

    for _ in range(3):
        board.post("A", "ada", "elsewhere", room=board.other)
        bob.expect_message(board.post("A", "ada", "here"))


@task("down")
def test_a_follower_that_fails_closes_its_clients_and_lets_no_more_in(board):
    ada, bob = board.join("A", "ada"), board.join("B", "bob")
    board.probe("B", "break_follower", "poison", says="B fails to publish the message poison")

    poison = ada.post("poison")

    ada.expect_message(poison)
    bob.until_restart()
    expect(board.probe("B", "alive") is False, "alive to be False in B", True)
    board.expect_503(board.handshake("B", "bob"))
    said = board.servers["B"].log()
    expect("broken on purpose" in said, "the exception in the log", said[-300:])
    ada.expect_message(ada.post("A still works"))


@task("down")
def test_the_password_is_in_no_log(board):
    ada = board.join("A", "ada")
    board.redis.stop()
    board.expect_unavailable(ada, "ping")
    board.expect_503(board.handshake("A", "bob"))

    for name, server in board.servers.items():
        said = server.log()
        met = board.redis.password not in said
        expect(met, f"a log of {name} without the password of Redis", "the password")


# presence


@task("presence", "Presence shows the members of all processes", points=2, needs="follow")
def test_a_presence_has_the_members_of_all_processes(board):
    ada = board.join("A", "ada")
    bob, eve = board.join("B", "bob"), board.join("A", "eve")

    members = bob.welcome["members"]
    expect(members == ["ada", "bob"], "ada and bob in bob's welcome", members)
    for guest in (ada, bob, eve):
        guest.wait_for_presence("ada", "bob", "eve")
    bob.leave()
    for guest in (ada, eve):
        guest.wait_for_presence("ada", "eve")


@task("presence")
def test_a_member_with_tabs_on_two_processes_is_one(board):
    bob = board.join("B", "bob")
    tabs = [board.join(process, "ada") for process in "AB"]
    bob.wait_for_presence("ada", "bob")

    tabs[0].leave()
    board.join("A", "eve")
    for members in bob.wait_for_presence("ada", "bob", "eve"):
        expect("ada" in members, "ada to be a member while one tab is open", members)
    tabs[1].leave()

    bob.wait_for_presence("bob", "eve")


@task("presence")
def test_members_of_a_killed_process_disappear(stage):
    board = Board(stage, LEASE=LEASE)
    board.join("A", "ada")
    bob = board.join("B", "bob")
    expect("ada" in bob.welcome["members"], "ada in bob's welcome", bob.welcome)

    board.servers["A"].kill()

    bob.wait_for_presence("bob")
    left = board.redis.client
    eventually(
        lambda: left.zcard("{board}:processes") == 1,
        "one process in {board}:processes",
        lambda: f"{left.zcard('{board}:processes')}",
    )


# shared


@task("shared", "Tickets, rates, caps and revocations count everywhere", points=3, needs="follow")
def test_a_ticket_opens_one_connection_on_one_process(board):
    for first, second in ("AB", "BA", "AA"):
        ticket = board.ticket("A", "ada")

        board.join(first, "ada", ticket=ticket)
        board.handshake(second, "ada", ticket=ticket).expect_status(401)
    ticket = board.ticket("A", "ada")
    board.handshake("B", "ada", ticket=ticket, room=board.other).expect_status(401)
    board.handshake("A", "ada", ticket=ticket).expect_status(401)


@task("shared")
def test_of_two_processes_one_redeems_a_ticket(board):
    for process in "AB":
        board.probe(process, "slow", "GET", ":ticket:", says="a GET of a ticket takes a moment")

    for _ in range(3):
        ticket = board.ticket("A", "ada")
        work = [lambda p=p, t=ticket: board.try_to_join(p, "ada", ticket=t) for p in "AB"]
        found = sorted(in_threads(work))
        expect(found == [False, True], "one of two handshakes to be accepted", found)


@task("shared")
def test_all_processes_take_tokens_from_one_bucket(stage):
    board = Board(stage, RATE=1.0, BURST=4)
    board.stop_clock()
    tabs = [board.join(process, "ada", in_a_hurry=True) for process in "AB"]

    times = ((0, 4), (1, 1), (2.5, 2), (0.25, 0), (0.25, 1), (1_000, 4), (1.75, 1))
    for passed, allowed in times:
        board.probe("A", "later", passed, says=f"{passed:g} s pass")
        for number in range(allowed):
            tabs[number % 2].ping()
        for tab in tabs:
            board.expect_rate(tab)
    board.join("A", "bob", in_a_hurry=True).ping()
    board.send_post("B", "ada", "hi").expect_status(429)


@task("shared")
def test_a_refusal_says_how_long_to_wait(stage):
    board = Board(stage, RATE=0.5, BURST=2)
    board.stop_clock()
    ada = board.join("A", "ada", in_a_hurry=True)
    for _ in range(2):
        ada.ping()

    for passed, wanted in ((0, 2.0), (0.5, 1.5), (1.25, 0.3)):
        board.probe("B", "later", passed, says=f"{passed:g} s pass")
        found = board.expect_rate(ada)
        met = wanted <= found <= wanted + 0.2
        expect(met, f"retry_after {wanted}", found)


@task("shared")
def test_a_cap_counts_the_connections_of_all_processes(stage):
    for limits, refused in (({"MAX_PER_USER": 2}, "ada"), ({"MAX_PER_ADDRESS": 2}, "bob")):
        board = Board(stage, **limits)
        first, _ = board.join("A", "ada"), board.join("B", "ada")

        for process in "AB":
            board.expect_refused(process, refused, 429)
            answer = board.get(process, refused, f"/rooms/{board.room}/access")
            answer.expect_status(429)
        if refused == "ada":
            board.join("A", "bob")
        first.leave()
        board.wait_until_let_in("B", refused)
        board.expect_refused("A", refused, 429)


@task("shared")
def test_connections_of_a_killed_process_dont_count(stage):
    board = Board(stage, LEASE=LEASE, MAX_PER_USER=1)
    board.join("A", "ada")
    board.expect_refused("B", "ada", 429)

    board.servers["A"].kill()

    board.join("B", "bob")
    board.wait_until_let_in("B", "ada")


@task("shared")
def test_a_ban_closes_the_connections_and_nothing_that_follows_is_pushed_to_them(board):
    guests = {who: board.join("B", who) for who in ("bob", "eve")}
    elsewhere = board.join("B", "bob", room=board.other)
    board.hold("B", guests["eve"])
    before = board.post("A", "ada", "before")
    board.change_role("A", "bob", None)
    after = board.post("A", "ada", "after")
    board.release("B")

    received = [m for m in guests["bob"].until_close(4403) if m["type"] == "message"]
    found = [event["message"]["text"] for event in received]
    expect("after" not in found, "no message that is after the ban in the stream", found)
    for message in (before, after):
        guests["eve"].expect_message(message)
    elsewhere.ping()


@task("shared")
def test_another_role_that_may_read_closes_nothing(board):
    bob = board.join("B", "bob")

    board.change_role("A", "bob", "reader")

    bob.expect_message(board.post("A", "ada", "still here"))
    bob.send("post", text="no")
    reply = bob.next("ack", "error")
    expect(reply.get("code") == "forbidden", "an error with the code forbidden", reply)


@task("shared")
def test_a_logout_closes_the_connections_of_this_login_in_all_processes(board):
    tabs = [board.join(process, "ada") for process in "AB"]
    phone = board.join("B", "ada", headers=board.token("ada"))

    board.log_out("A", "ada")

    for tab in tabs:
        tab.until_close(4401)
    phone.expect_message(board.post("A", "bob", "still here"))


@task("shared")
def test_a_new_password_closes_the_connections_of_all_logins(board):
    tabs = [board.join(process, "ada") for process in "AB"]
    tabs.append(board.join("B", "ada", headers=board.token("ada")))
    bob = board.join("B", "bob")

    board.probe("A", "new_password", "ada", "a new password", says="ada has a new password")

    for tab in tabs:
        tab.until_close(4401)
    bob.ping()


@task("shared")
def test_failed_logins_count_in_all_processes(board):
    board.probe("A", "new_password", "ada", "a long password")
    for number in range(10):
        board.try_to_log_in("AB"[number % 2], "ada", "wrong").expect_status(401)

    for process in "AB":
        board.expect_wait(board.try_to_log_in(process, "ada", "a long password"), 429)


# proxy


@task("proxy", "nginx passes on WebSockets, addresses and streams", points=2, needs="shared")
def test_a_websocket_goes_through_nginx_with_tls(front):
    client = front.nginx.shake()

    asked = front.process.last()
    expect(asked.line.endswith(" HTTP/1.1"), "HTTP/1.1 between nginx and a process", asked.line)
    expect(asked.path == "/board/lobby", "/board/lobby, as the client sent it", asked.path)
    upgrade = asked.headers.get("upgrade"), asked.headers.get("connection", "").lower()
    expect(upgrade == ("websocket", "upgrade"), "Upgrade: websocket, Connection: upgrade", upgrade)
    client.sendall(b"from the client")
    server = front.process.sockets[-1]
    front.expect_data(server, b"from the client")
    server.sendall(b"from the server")
    front.expect_data(client, b"from the server")


@task("proxy")
def test_a_plain_request_asks_for_no_upgrade(front):
    for headers in ({}, {"Connection": "Upgrade"}):
        front.nginx.begin("/rooms/lobby/messages?after=7", headers)

        asked = front.process.last()
        whole = asked.path == "/rooms/lobby/messages?after=7"
        expect(whole, "the whole path and query", asked.path)
        expect("upgrade" not in asked.headers, "no Upgrade header", asked.headers)
        said = asked.headers.get("connection", "")
        expect("upgrade" not in said.lower(), "no `Connection: upgrade`", said)


@task("proxy")
def test_the_client_cant_forge_its_address_or_scheme(front):
    forged = {
        "X-Forwarded-For": "192.0.2.1, 192.0.2.2",
        "X-Forwarded-Proto": "gopher",
        "X-Forwarded-Host": "evil.example",
    }
    for headers in ({}, forged):
        front.nginx.begin("/rooms/lobby/messages", headers)
        front.expect_forwarded("of a request")
        front.nginx.shake(headers=headers)
        front.expect_forwarded("of a handshake")


@task("proxy")
def test_a_new_client_goes_to_the_process_with_the_fewest_connections(front):
    counts = front.connect(9)
    expect(counts == [3, 3, 3], "3 of 9 clients on each process", counts)

    front.disconnect(1)
    counts = front.connect(3)

    expect(counts == [3, 3, 3], "the next 3 clients on the process that has none", counts)


@task("proxy")
def test_a_stream_isnt_buffered(front):
    stream = front.nginx.begin("/rooms/lobby/events")
    process = next(process for process in front.processes if process.streams)

    for text in ("first", "second"):
        process.event(text)

        said = front.read(stream, len(f"data: {text}\n\n"), f"the event {text!r}, at once")
        expect(said == f"data: {text}\n\n".encode(), f"data: {text}", said)


@task("proxy")
def test_an_idle_websocket_outlives_the_heartbeat(stage):
    said = effective(conf(stage), "/board/lobby", "proxy_read_timeout") or ["60s"]

    longer = seconds(said) > HEARTBEAT
    expect(longer, f"proxy_read_timeout above {HEARTBEAT} s for /board/lobby", " ".join(said))


@task("proxy")
def test_metrics_and_readyz_are_refused(front):
    for path in ("/metrics", "/metrics?all=1", "//metrics", "/%6detrics", "/readyz"):
        response = front.nginx.begin(path)

        refused = response.status in (403, 404)
        expect(refused, f"403 or 404 to GET {path}", f"{response.status} {response.reason}")
        asked = [asked.line for process in front.processes for asked in process.asked]
        expect(not asked, f"no process to be asked for {path}", asked)
    for path in ("/healthz", "/rooms/metrics/messages"):
        response = front.nginx.begin(path)

        expect(response.status == 200, f"200 to GET {path}, from a process", response.status)


@task("proxy")
def test_the_app_trusts_what_its_proxies_add_and_nothing_else(stage):
    for proxies, mine, hers in ((1, "192.0.2.1", "192.0.2.2"), (2, "192.0.2.1, p", "192.0.2.2, p")):
        board = Board(stage, PROXIES=proxies, MAX_PER_ADDRESS=1, processes="A")
        schemes = ", ".join(["https"] * proxies)
        far = {"X-Forwarded-For": mine, "X-Forwarded-Proto": schemes}
        board.join("A", "ada", headers={**board.proof("ada"), **far})

        for forged in (mine, f"192.0.2.7, {mine}", f"192.0.2.7,192.0.2.8, {mine}"):
            headers = {**far, "X-Forwarded-For": forged}
            board.expect_refused("A", "bob", 429, headers=headers)
        headers = {**board.proof("bob"), **far, "X-Forwarded-For": f"192.0.2.1, {hers}"}
        board.join("A", "bob", headers=headers)
        cookie = board.log_in("A", "eve", {"X-Forwarded-Proto": f"gopher, {schemes}"})
        expect("Secure" in cookie, "a Secure cookie for https", cookie)
        path = f"/rooms/{board.room}/messages"
        posted = board.send("A", "bob", "POST", path, {"text": "hi"}, X_Forwarded_Prefix="/forged")
        place = posted.headers.get("Location", "")
        expect(place.startswith(path), f"a Location that begins with {path}", place)


@task("proxy")
def test_without_a_proxy_the_app_ignores_forwarded_headers(stage):
    board = Board(stage, MAX_PER_ADDRESS=1, processes="A")
    board.join("A", "ada")

    board.expect_refused("A", "bob", 429, headers={"X-Forwarded-For": "192.0.2.2"})
    cookie = board.log_in("A", "eve", {"X-Forwarded-Proto": "https"})
    expect("Secure" not in cookie, "no Secure cookie for http", cookie)


# kill


@task("kill", "After a kill, clients resume in another process", points=3, needs="follow")
def test_a_client_resumes_in_a_process_that_is_behind(board):
    ada = board.join("A", "ada")
    bob = board.join("B", "bob")
    board.hold("B", bob)
    missed = [ada.post(f"{number}") for number in range(3)]

    again = board.join("B", "ada", after=bob.last_id)
    board.release("B")
    last = ada.post("last")

    expect(again.welcome["resumed"] is True, "resumed", again.welcome)
    expect(again.missed == missed, f"{ids(missed)} before the welcome", ids(again.missed))
    again.expect_message(last)
    for message in [*missed, last]:
        bob.expect_message(message)


@task("kill")
def test_a_message_that_comes_between_the_last_page_and_the_welcome_is_pushed(board):
    numbers = board.probe("A", "fill", board.room, 3)
    board.probe("B", "post_after_next_page", board.room, says="A stores a message meanwhile")

    ada = board.join("B", "ada", after=numbers[0])

    found = ids(ada.missed)
    expect(found == numbers[1:], f"{numbers[1:]} before the welcome", found)
    between = ada.message()
    expect(between["id"] == numbers[-1] + 1, f"message {numbers[-1] + 1}", between)
    ada.expect_message(board.post("A", "ada", "last"))


@task("kill")
def test_a_client_with_nothing_to_replay_misses_nothing(board):
    numbers = board.probe("A", "fill", board.room, 2)
    board.probe("B", "post_after_next_page", board.room, says="A stores a message meanwhile")

    ada = board.join("B", "ada", after=numbers[-1])

    expect(ada.missed == [], "nothing before the welcome", ids(ada.missed))
    ada.expect_message(board.history("A")[-1])
    ada.expect_message(board.post("A", "ada", "last"))


@task("kill")
def test_a_client_that_has_missed_what_was_removed_is_not_resumed(stage):
    board = Board(stage, RETAIN=5)
    numbers = board.probe("A", "fill", board.room, 9)

    for after, resumed in ((0, False), (3, False), (4, True), (9, True), (10, False)):
        ada = board.join("B", "ada", after=after)
        met = ada.welcome["resumed"] is resumed
        expect(met, f"resumed {resumed} after {after} of {numbers}", ada.welcome)
        wanted = [number for number in numbers if number > after and resumed]
        expect(ids(ada.missed) == wanted, f"{wanted} to be sent again", ids(ada.missed))


@task("kill")
def test_every_acked_message_is_shown_once_in_order_although_a_process_is_killed(stage):
    board = Board(stage, processes="ABC", REPLAY=100_000, LEASE=LEASE)
    swarm = Swarm(stage, board.addresses(), board.cookies(60), POSTS)

    swarm.run(halfway=board.servers["B"].kill)

    swarm.expect_all_shown()


# What the tests use

OWN = "https://board.example"  # the origin of the board's pages
POSTS = 600  # of all clients, while a process is killed
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


def id_of(message: dict) -> int:
    """Return a message's id, by which a list is sorted."""
    return message["id"]


class Member(Guest):
    """A client in a room, whose user has logged in."""

    author = ""
    last_id = 0  # of the messages that a test has asked for

    def post(self, text: str, **fields: object) -> dict:
        """Post a text, and return the message in the ack."""
        request_id = self.send("post", text=text, **fields)
        reply = self.next("ack", "error")
        expect(reply.get("id") == request_id, f"an ack of {request_id}", reply)
        return checked(reply.get("message"), self.author, text)

    def message(self) -> dict:
        """Return the next message that is pushed."""
        message = super().message()
        self.last_id = message["id"]
        return message

    def until_restart(self) -> list[dict]:
        """Wait for close 1012 with a reason. Return the messages before it."""
        received = self.until_close(1012)
        reason = self.socket.close_reason
        wait = reason.removeprefix("retry-after=")
        met = wait != reason and wait.isdecimal()
        expect(met, "the reason retry-after=SECONDS", reason)
        return [event["message"] for event in received if event["type"] == "message"]


class Board:
    """The learner's app in some processes that share a Redis, with a room for ada, bob and eve."""

    def __init__(self, stage: Stage, processes: str = "AB", **config: object) -> None:
        self.stage, self.room, self.other = stage, stage.name(), stage.name()
        self.redis = stage.use(Redis(stage))
        config = {"ORIGINS": [OWN], "HEARTBEAT": 3600.0, "GRACE": 0.0, **FAR_AWAY, **config}
        config |= {"REDIS": self.redis.url, "PASSWORD_METHOD": "pbkdf2:sha256:1000"}
        self.servers: dict[str, Server] = {name: stage.serve(**config) for name in processes}
        self._cookies: dict[str, str] = {}

    def probe(self, process: str, function: str, *args: object, says: str = "") -> object:
        """Call a function of the lesson's probe in a process."""
        return self.servers[process].probe(PROBES, function, *args, says=says)

    def new_room(self) -> str:
        """Return the name of another room, in which the users may write."""
        room = self.stage.name()
        self.probe("A", "enrol", ["ada", "bob", "eve"], [room])
        return room

    def proof(self, who: str) -> dict[str, str]:
        """Return the headers with which a user's browser proves who it is."""
        if not self._cookies:
            rooms = [self.room, self.other]
            self._cookies = self.probe("A", "enrol", ["ada", "bob", "eve"], rooms)
        return {"Cookie": f"login={self._cookies[who]}", "Origin": OWN}

    def cookies(self, count: int) -> dict[str, dict[str, str]]:
        """Return the headers of so many users, by name."""
        names = [f"guest-{number}" for number in range(count)]
        cookies = self.probe("A", "enrol", names, [self.room])
        return {who: {"Cookie": f"login={cookies[who]}", "Origin": OWN} for who in names}

    def addresses(self) -> list[str]:
        """Return the address of the room's WebSocket in each process."""
        return [f"ws://{server.host}/board/{self.room}" for server in self.servers.values()]

    def join(
        self,
        process: str,
        who: str,
        room: str = "",
        ticket: str = "",
        headers: dict[str, str] | None = None,
        **options: object,
    ) -> Member:
        """Join the room with a WebSocket, by a cookie, or by a ticket or other headers."""
        headers = headers or ({} if ticket else self.proof(who))
        query = {"ticket": ticket} if ticket else {}
        server = self.servers[process]
        name = f"{who} at {process}"
        member = Member(server, name, room or self.room, headers=headers, query=query, **options)
        member.author = who
        return member

    def try_to_join(self, process: str, who: str, **options: object) -> bool:
        """Return whether a handshake is accepted."""
        try:
            self.join(process, who, **options)
        except Unmet:
            return False
        return True

    def wait_until_let_in(self, process: str, who: str) -> None:
        """Connect as soon as there is room for a connection."""
        eventually(
            lambda: self.try_to_join(process, who), f"{who} to be let in", lambda: "a refusal"
        )

    def hold(self, process: str, guest: Member) -> None:
        """Stop the follower of a process before its next read. `guest` is a client there."""
        self.probe(process, "watch")
        self.probe(process, "hold")
        flush = self.post("A", "ada", "the last before the follower is stopped")
        guest.expect_message(flush)
        self.wait_until_held(process)

    def wait_until_held(self, process: str) -> None:
        """Wait until the follower of a process is stopped."""
        eventually(
            lambda: self.probe(process, "is_held"),
            f"the follower of {process} to read the board's stream with `after()`",
            lambda: "no call",
        )
        self.stage.wire.happened("test", f"the follower of {process} is stopped")

    def release(self, process: str) -> None:
        """Let the follower continue."""
        self.probe(process, "release", says=f"the follower of {process} continues")

    def wait_for_news(self, room: str) -> None:
        """Wait until a presence of the room is the newest entry of the board's stream."""
        read = self.redis.client.xrevrange
        eventually(
            lambda: read("{board}:stream", count=1)[0][1].get("presence") == room,
            "a presence in the board's stream",
            lambda: read("{board}:stream", count=1),
        )

    def expect_news(self, process: str, rooms: list[str]) -> None:
        """Wait until the follower of a process has passed on a presence of each room."""
        found = lambda: self.probe(process, "recorded_news")  # noqa: E731
        eventually(lambda: found() == rooms, f"`show()` to be called for {rooms}", found)

    def stop_clock(self) -> None:
        """Let the rates of all processes read a clock that the test sets."""
        for process in self.servers:
            self.probe(process, "stop_clock")

    # Over REST

    def get(self, process: str, who: str, path: str) -> Answer:
        """Read something over REST."""
        return self.servers[process].client(who).request("GET", path, headers=self.proof(who))

    def send(
        self, process: str, who: str, method: str, path: str, body: object, **more: str
    ) -> Answer:
        """Send a request with a body in JSON, and with more headers."""
        more = {name.replace("_", "-"): value for name, value in more.items()}
        headers = {"Content-Type": "application/json", **self.proof(who), **more}
        data = json.dumps(body).encode()
        return self.servers[process].client(who).request(method, path, data, headers)

    def send_post(self, process: str, who: str, text: str, room: str = "") -> Answer:
        """Post over REST, and return the answer."""
        path = f"/rooms/{room or self.room}/messages"
        return self.send(process, who, "POST", path, {"text": text})

    def post(self, process: str, who: str, text: str, room: str = "") -> dict:
        """Post over REST, and return the message."""
        return self.send_post(process, who, text, room).json(201)

    def history(self, process: str, room: str = "") -> list[dict]:
        """Return the room's messages over REST, at most 50."""
        path = f"/rooms/{room or self.room}/messages"
        return self.get(process, "ada", path).json(200)["messages"]

    def expect_history(self, process: str, messages: list[dict], room: str = "") -> None:
        """Check that the room has exactly these messages."""
        found = self.history(process, room)
        expect(found == messages, f"{ids(messages)} in the room, at {process}", ids(found))

    def ticket(self, process: str, who: str) -> str:
        """Return a new ticket for the room."""
        answer = self.send(process, who, "POST", "/tickets", {"room": self.room})
        return answer.json(201)["ticket"]

    def token(self, who: str) -> dict[str, str]:
        """Return the headers that prove who a user is by another login, an API token."""
        self.proof(who)
        return {"Authorization": f"Bearer {self.probe('A', 'token', who)}", "Origin": OWN}

    def change_role(self, process: str, who: str, role: str | None) -> None:
        """Let ada, as the moderator, change a user's role."""
        self.probe("A", "moderate", self.room, "ada")
        path = f"/rooms/{self.room}/roles/{who}"
        method, status = ("PUT", 200) if role else ("DELETE", 204)
        self.send(process, "ada", method, path, {"role": role}).expect_status(status)

    def log_out(self, process: str, who: str) -> None:
        """End the login of a user's browser."""
        self.send(process, who, "POST", "/logout", {}).expect_status(204)

    def try_to_log_in(
        self, process: str, who: str, password: str, headers: dict[str, str] | None = None
    ) -> Answer:
        """Log in with a password, and return the answer."""
        body = urlencode({"name": who, "password": password, "next": "/"}).encode()
        form = {"Content-Type": "application/x-www-form-urlencoded", "Origin": OWN}
        client = self.servers[process].client(who)
        return client.request("POST", "/login", body, {**form, **(headers or {})})

    def log_in(self, process: str, who: str, headers: dict[str, str]) -> str:
        """Log in with a password, and return the new cookie."""
        self.probe(process, "new_password", who, "a long password")
        answer = self.try_to_log_in(process, who, "a long password", headers)
        answer.expect_status(303)
        return answer.headers.get("Set-Cookie", "")

    def handshake(
        self,
        process: str,
        who: str,
        ticket: str = "",
        room: str = "",
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """Send a handshake that is to be refused, and return the answer."""
        proof = {} if ticket else self.proof(who)
        path = f"/board/{room or self.room}" + (f"?ticket={ticket}" if ticket else "")
        headers = {**UPGRADE, **proof, **(headers or {})}
        return self.servers[process].client(who).request("GET", path, headers=headers)

    # What is refused

    def expect_refused(self, process: str, who: str, status: int, **options: object) -> None:
        """Expect that a handshake is refused, with a time to wait."""
        self.expect_wait(self.handshake(process, who, **options), status)

    def expect_503(self, answer: Answer) -> None:
        """Check that an answer is 503, with a time to wait."""
        self.expect_wait(answer, 503)

    def expect_wait(self, answer: Answer, status: int) -> None:
        """Check an answer's status and its `Retry-After`."""
        answer.expect_status(status)
        wait = answer.headers.get("Retry-After", "")
        met = wait.isdecimal() and int(wait) > 0
        expect(met, "Retry-After with a number of seconds", wait or "no Retry-After")

    def expect_unavailable(self, guest: Member, kind: str, **fields: object) -> None:
        """Send a request, and expect an error because Redis is down."""
        self._expect_error(guest, "unavailable", kind, **fields)

    def expect_rate(self, guest: Member) -> float:
        """Send a ping, and expect an error because of its rate. Return its `retry_after`."""
        return self._expect_error(guest, "rate", "ping")

    def _expect_error(self, guest: Member, code: str, kind: str, **fields: object) -> float:
        request_id = guest.send(kind, **fields)
        reply = guest.next("error", "ack", "messages", "pong")
        met = (reply["type"], reply.get("id"), reply.get("code")) == ("error", request_id, code)
        expect(met, f"an error with the code {code} for {request_id}", reply)
        wait = reply.get("retry_after")
        met = type(wait) in (int, float) and wait > 0
        expect(met, '"retry_after" in seconds, above 0', reply)
        return wait

    def post_again(self, guest: Member, request_id: str, text: str) -> dict:
        """Post until there is an ack, as a client does. Return the message."""
        replies = []

        def acked() -> bool:
            guest.send("post", id=request_id, text=text)
            replies.append(guest.next("ack", "error"))
            return replies[-1]["type"] == "ack"

        eventually(acked, f"an ack of {request_id}", lambda: replies[-1])
        return replies[-1]["message"]


class Front:
    """nginx with the learner's file, in front of three processes that note what they get."""

    def __init__(self, stage: Stage) -> None:
        stage.need("nginx")
        self.processes = [stage.use(Backend()) for _ in range(3)]
        self.nginx = stage.use(Nginx(stage, [process.port for process in self.processes]))
        self._open: list[list] = [[], [], []]  # the clients on each process

    @property
    def process(self) -> Backend:
        """The process that was asked last."""
        return max(self.processes, key=lambda process: process.at)

    def expect_forwarded(self, what: str) -> None:
        """Check the headers that the process got."""
        headers = self.process.last().headers
        address = headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
        expect(address == "127.0.0.1", f"127.0.0.1 last in X-Forwarded-For {what}", headers)
        scheme = headers.get("x-forwarded-proto", "").rpartition(",")[2].strip()
        expect(scheme == "https", f"X-Forwarded-Proto: https {what}", headers)
        host = headers.get("host", "")
        expect(host.startswith("127.0.0.1"), f"the client's Host {what}", host)

    def connect(self, count: int) -> list[int]:
        """Open WebSockets. Return how many each process has."""
        for _ in range(count):
            before = [len(process.sockets) for process in self.processes]
            client = self.nginx.shake()
            after = [len(process.sockets) for process in self.processes]
            (index,) = [i for i in range(3) if after[i] > before[i]]
            self._open[index].append(client)
        return [len(clients) for clients in self._open]

    def disconnect(self, index: int) -> None:
        """Let a process close its WebSockets, and wait until nginx has closed the clients'."""
        for server in self.processes[index].sockets:
            server.shutdown(socket.SHUT_RDWR)
        for client in self._open[index]:
            client.settimeout(SECONDS * PATIENCE)
            with contextlib.suppress(OSError):
                client.recv(1)
        self._open[index] = []

    def expect_data(self, sock: socket.socket, data: bytes) -> None:
        """Check that these bytes arrive."""
        sock.settimeout(SECONDS * PATIENCE)
        try:
            found = sock.recv(100)
        except TimeoutError:
            found = b"nothing"
        expect(found == data, data.decode(), found.decode("latin-1"))

    def read(self, response: HTTPResponse, size: int, what: str) -> bytes:
        """Return so many bytes of a response, when they arrive."""
        response.sock.settimeout(SECONDS * PATIENCE)
        try:
            return response.read(size)
        except TimeoutError:
            raise Unmet(what, "nothing. Does nginx buffer it?") from None
