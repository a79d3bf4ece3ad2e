"""Lesson 11: users, origins, tickets, rights and revocation. These tests are the specification.

A `User` has logged in, or has an API token; the class is at the bottom of this file. Passwords are
hashed with few rounds here. If an order matters, a probe holds one thread until another overtakes.
"""

import json
import re
import socket
from pathlib import Path
from urllib.parse import urlencode

import pytest

from course.grading import Answer, Stage, equal, expect, task
from course.grading.browser import Tab
from course.grading.fake_page import FakePage
from course.grading.guests import PROTOCOL, Guest
from course.grading.sockets import Socket
from course.grading.waiting import begin, eventually, in_threads

PROBES = Path(__file__).parent / "probes" / "11_auth.py"
FAKES = PROBES.with_name("10_reconnect.js")
LONG = 10.0  # seconds that an answer of a working app never takes
OWN = "https://board.example:8443"
OTHER_OWN = "http://192.0.2.7"
FOREIGN = [
    "null",
    "https://board.example",
    "http://board.example:8443",
    "https://board.example:8444",
    "https://board.example:84430",
    "https://board.example:8443.evil.example",
    "https://evil-board.example:8443",
    "https://evil.example/https://board.example:8443",
    "https://www.board.example:8443",
    "https://evil.example#https://board.example:8443",
    "https://board.example:8443 https://evil.example",
    "http://192.0.2.77",
    "http://192.0.2",
    "*",
    "",
]


@pytest.fixture
def page(stage) -> FakePage:
    """A page with the learner's connection.js, whose time and network are the test's."""
    return FakePage(stage, FAKES)


@pytest.fixture
def board(stage) -> "Board":
    """The learner's app, with a room and the users ada, bob and eve in it."""
    return Board(stage)


# author


@task("author", "The login determines the author", points=2)
def test_the_author_of_a_rest_post_is_the_user_who_has_logged_in(board):
    text = board.stage.text()

    for user in (board.log_in("ada"), board.program("bob"), board.log_in("bob")):
        body = {"text": text, "author": "eve", "user": "eve"}
        headers = {"X-Author": "eve", "From": "eve"}
        answer = user.request("POST", f"{board.messages}?author=eve", body, headers)

        message = answer.json(201)
        expect(message["author"] == user.name, f'"author": "{user.name}"', message)
        stored = board.read(message["id"]).json()
        expect(stored["author"] == user.name, f'"author": "{user.name}"', stored)


@task("author")
def test_the_author_on_a_websocket_is_the_user_who_has_logged_in(board):
    ada = board.log_in("ada").connect({"author": "eve", "user": "eve"})
    bob = board.log_in("bob").connect()

    message = ada.post(board.stage.text(), author="eve", user="eve")

    expect(message["author"] == "ada", '"author": "ada" in the ack', message)
    pushed = bob.message()
    expect(equal(pushed, message), f"bob to receive {json.dumps(message)}", pushed)
    names = bob.welcome["members"]
    expect(names == ["ada", "bob"], '"members": ["ada", "bob"]', names)


@task("author")
def test_an_api_token_counts_more_than_a_cookie(board):
    ada, bob = board.log_in("ada"), board.program("bob")

    headers = {**ada.headers("POST"), **bob.headers("POST")}
    message = board.request("POST", board.messages, {"text": "whose?"}, headers).json(201)

    expect(message["author"] == "bob", '"author": "bob", whose token it is', message)


@task("author")
def test_with_an_authorization_header_the_cookie_does_not_count(board):
    ada = board.log_in("ada")

    for value in ("Bearer x", "Bearer a=b", "Basic YWRhOmFkYQ==", "Basic !!!", "nonsense", ""):
        headers = {"Authorization": value}
        answer = ada.request("POST", board.messages, {"text": "x"}, headers)
        answer.expect_status(401, f"Only a Bearer token counts in Authorization: {value}")


@task("author")
def test_a_secret_of_one_kind_is_not_valid_as_the_other(board):
    ada, bob = board.log_in("ada"), board.program("bob")

    for proof in ({"Authorization": f"Bearer {ada.secret}"}, {"Cookie": f"login={bob.secret}"}):
        answer = board.request("GET", board.messages, None, proof)
        answer.expect_status(401, "A session is for the cookie, and a token for Authorization.")


@task("author")
def test_two_users_may_use_the_same_request_id(board):
    ada, bob = board.log_in("ada").connect(), board.log_in("bob").connect()

    first, second = ada.post("one", id="1"), bob.post("two", id="1")

    found = [(message["author"], message["text"]) for message in (first, second)]
    expect(found == [("ada", "one"), ("bob", "two")], "ada's one and bob's two", found)


# origin


@task("origin", "Pages of other origins can't use the cookie", points=2, needs="author")
def test_a_handshake_from_another_origin_is_refused_with_403_before_the_upgrade(board):
    ada = board.log_in("ada")

    for origin in FOREIGN:
        answer = board.handshake({**ada.cookie, "Origin": origin})
        answer.expect_problem(403, "Compare the Origin as a whole: scheme, host and port.")
    board.handshake({**ada.cookie}).expect_problem(403)  # no Origin
    expect(board.members() == [], "no client in the room", board.members())
    for origin in (OWN, OTHER_OWN):
        board.handshake({**ada.cookie, "Origin": origin}).expect_status(101)


@task("origin")
def test_a_host_that_is_the_same_as_the_origin_proves_nothing(board):
    ada = board.log_in("ada")

    for host in ("evil.example", "evil.example:80"):
        headers = {**ada.cookie, "Origin": f"http://{host}", "Host": host}
        board.handshake(headers).expect_problem(403)
    headers = {**ada.cookie, "Origin": OWN, "Host": "evil.example"}
    board.handshake(headers).expect_status(101)  # A proxy may change the Host.


@task("origin")
def test_a_post_with_the_cookie_from_another_origin_changes_nothing(board):
    ada, bob = board.log_in("ada"), board.log_in("bob")
    role = f"/rooms/{board.room}/roles/bob"

    for origin in [*FOREIGN, None]:
        headers = {**ada.cookie} if origin is None else {**ada.cookie, "Origin": origin}
        board.request("POST", board.messages, {"text": "x"}, headers).expect_problem(403)
    headers = {**ada.cookie, "Origin": FOREIGN[1]}
    board.request("PUT", role, {"role": "reader"}, headers).expect_problem(403)
    board.request("DELETE", role, None, headers).expect_problem(403)
    board.request("POST", "/logout", None, headers).expect_problem(403)
    board.request("POST", "/tickets", {"room": board.room}, headers).expect_problem(403)

    found = ada.request("GET", board.messages).json()["messages"]
    expect(found == [], "no message in the room", found)
    for user in (ada, bob):
        user.request("POST", board.messages, {"text": "mine"}).json(201)


@task("origin")
def test_reading_with_the_cookie_and_programs_need_no_origin(board):
    ada, bob = board.log_in("ada"), board.program("bob")

    board.request("GET", board.messages, None, ada.cookie).json()
    board.request("HEAD", board.messages, None, ada.cookie).expect_status(200)
    board.request("GET", f"/rooms/{board.room}/access", None, ada.cookie).json()
    bob.request("POST", board.messages, {"text": "no cookie, no Origin"}).json(201)


@task("origin")
def test_the_access_address_checks_an_origin_that_is_there(board):
    ada, target = board.log_in("ada"), f"/rooms/{board.room}/access"

    for origin in FOREIGN:
        board.request("GET", target, None, {**ada.cookie, "Origin": origin}).expect_problem(403)
    for origin in (OWN, OTHER_OWN):
        board.request("GET", target, None, {**ada.cookie, "Origin": origin}).json()
    board.request("GET", target, None, ada.cookie).json()


@task("origin")
def test_a_page_of_another_port_of_the_same_host_cannot_connect(stage):
    board, tab = open_page(stage)
    evil = "http://127.0.0.1:1"  # The same site by the rules of SameSite, and another origin.
    board.browser.answer(f"{evil}/**", lambda url: {"status": 200, "body": "<h1>Kittens</h1>"})

    found = []
    for page in (f"{evil}/", f"{board.server.url}/login"):
        tab.go(page)
        found.append(tab.run(HIJACK, f"ws://{board.server.host}/board/{board.room}"))

    expect(found == ["refused", "welcome"], "only the board's own page to be let in", found)


# rights


@task("rights", "A role determines what a user may do", points=2, needs="author")
def test_a_role_decides_what_a_user_may_do_over_rest(board):
    users = {name: board.log_in(name) for name in ("ada", "bob", "eve", "zoe")}
    message = users["ada"].request("POST", board.messages, {"text": "first"}).json(201)
    target = f"/rooms/{board.room}/roles/zed"

    for name, read, post, moderate in MAY:
        user = users[name]
        answers = {
            "read": user.request("GET", board.messages),
            "read one": user.request("GET", f"{board.messages}/{message['id']}"),
            "post": user.request("POST", board.messages, {"text": "x"}),
            "give a role": user.request("PUT", target, {"role": "reader"}),
            "take a role": user.request("DELETE", target),
        }
        wanted = [200 if read else 403] * 2 + [201 if post else 403]
        wanted += [200, 204] if moderate else [403, 403]
        for (action, answer), status in zip(answers.items(), wanted, strict=True):
            if status == 403:
                answer.expect_problem(403, f"{name} may not {action}.")
            answer.expect_status(status, f"May {name} {action}?")


@task("rights")
def test_a_readers_post_on_a_websocket_is_an_error_and_the_connection_stays(board):
    message = board.log_in("bob").request("POST", board.messages, {"text": "one"}).json(201)
    eve, bob = board.log_in("eve").connect(), board.log_in("bob").connect()

    for number in range(3):
        refused = eve.send("post", text=f"not allowed {number}")
        error = eve.next("error", "ack")
        expect(error["type"] == "error", "an error for a reader's post", error)
        met = (error["id"], error["code"]) == (refused, "forbidden")
        expect(met, f"code forbidden and id {refused}", error)

    eve.ping()
    found = eve.history(after=0)
    expect(equal(found, [message]), json.dumps([message]), found)
    marker = bob.post("after that")
    pushed = eve.message()
    expect(equal(pushed, marker), json.dumps(marker), pushed)


@task("rights")
def test_a_new_role_counts_from_the_next_action_on_an_open_websocket(board):
    bob = board.log_in("bob").connect()

    for role, allowed in (
        ("reader", False),
        ("writer", True),
        ("reader", False),
        ("moderator", True),
    ):
        board.probe("change_role", board.database, board.room, "bob", role)
        bob.send("post", text=role)
        reply = bob.next("ack", "error")

        wanted = "ack" if allowed else "error"
        expect(reply["type"] == wanted, f"{wanted} for a post of bob, who is now {role}", reply)
    board.probe("change_role", board.database, board.room, "bob", None)
    for kind in ("history", "ping"):
        bob.send(kind)
        reply = bob.next("error", "messages", "pong")
        expect(reply.get("code") == "forbidden", f"forbidden to {kind} without a role", reply)


@task("rights")
def test_a_role_counts_in_its_own_room_only(board):
    other = board.stage.name()
    board.enrol(roles=[[other, "ada", "reader"], [other, "eve", "writer"]])
    ada, eve = board.log_in("ada"), board.log_in("eve")

    ada.request("POST", f"/rooms/{other}/messages", {"text": "x"}).expect_problem(403)
    eve.request("POST", f"/rooms/{other}/messages", {"text": "x"}).json(201)
    eve.request("POST", board.messages, {"text": "x"}).expect_problem(403)
    ada.request("DELETE", f"/rooms/{other}/roles/eve").expect_problem(403)
    ada.request("POST", board.messages, {"text": "x"}).json(201)


# refuse


@task("refuse", "A handshake is rejected with 401 or 403", points=2, needs="rights")
def test_without_a_valid_login_a_handshake_is_refused_with_401(board):
    ada, bob = board.log_in("ada"), board.program("bob")
    session, token = ada.secret, bob.secret

    for cookie in ("", "x", session[:-1], session + "x", token, "\u00e9"):
        headers = {"Origin": OWN, "Cookie": f"login={cookie}"}
        expect_challenge(board.handshake(headers))
    expect_challenge(board.handshake({"Origin": OWN}))
    expect_challenge(board.handshake({"Origin": OWN}, "?ticket="))
    expect(board.members() == [], "no client in the room", board.members())


@task("refuse")
def test_without_a_valid_login_a_rest_request_is_refused_with_401(board):
    ada, bob = board.log_in("ada"), board.program("bob")
    values = ["Bearer", "Bearer x", f"Bearer {ada.secret}", f"Token {bob.secret}", bob.secret]
    values.append("Basic YWRhOmFkYQ==")

    for method in ("GET", "POST"):
        expect_challenge(board.request(method, board.messages, {"text": "x"}, {"Origin": OWN}))
        for value in values:
            headers = {"Authorization": value, "Origin": OWN}
            expect_challenge(board.request(method, board.messages, {"text": "x"}, headers))
    headers = {**ada.cookie, "Authorization": "Bearer x", "Origin": OWN}
    expect_challenge(board.request("GET", board.messages, None, headers))


@task("refuse")
def test_a_login_that_has_ended_or_expired_is_refused_with_401(board):
    ada, other, bob = board.log_in("ada"), board.log_in("ada"), board.program("bob")

    board.probe("log_out", board.database, "session", ada.secret)
    expect_challenge(ada.request("GET", board.messages))
    expect_challenge(board.handshake({**ada.cookie, "Origin": OWN}))
    board.handshake({**other.cookie, "Origin": OWN}).expect_status(101)
    board.probe("pass_time", 13 * 3600.0)
    expect_challenge(board.handshake({**other.cookie, "Origin": OWN}))
    expect_challenge(other.request("GET", board.messages))
    bob.request("GET", board.messages).json()
    board.probe("pass_time", 31 * 24 * 3600.0)
    expect_challenge(bob.request("GET", board.messages))


@task("refuse")
def test_a_user_without_a_role_in_the_room_is_refused_with_403(board):
    zoe, ada, quiet = board.log_in("zoe"), board.log_in("ada"), board.stage.name()

    for user, room in ((zoe, board.room), (ada, quiet), (zoe, quiet)):
        board.handshake({**user.cookie, "Origin": OWN}, room=room).expect_problem(403)
        expect(board.members(room) == [], "no client in the room", board.members(room))


@task("refuse")
def test_the_access_address_gives_the_same_answer_as_the_handshake(board):
    ada, eve, zoe = (board.log_in(name) for name in ("ada", "eve", "zoe"))

    for headers in (ada.cookie, eve.cookie, zoe.cookie, {}, {"Cookie": "login=x"}):
        answer = board.request("GET", f"/rooms/{board.room}/access", None, headers)
        shaken = board.handshake({**headers, "Origin": OWN})
        expected = {101: 200}.get(shaken.status, shaken.status)
        answer.expect_status(expected, "A page can't see why its handshake failed. It asks here.")
    found = eve.request("GET", f"/rooms/{board.room}/access").json()
    expect(equal(found, {"user": "eve", "role": "reader"}), "eve, the reader", found)


# ticket


@task("ticket", "A ticket opens one WebSocket", points=2, needs=("origin", "refuse"))
def test_a_ticket_lets_a_program_connect_once_without_cookie_and_origin(board):
    bob = board.program("bob")
    ticket = bob.ticket()

    guest = Guest(board.server, "bob", board.room, query={"ticket": ticket})
    message = guest.post("from a program")

    expect(message["author"] == "bob", '"author": "bob", whose ticket it is', message)
    for headers in ({}, {"Origin": OWN}):
        expect_challenge(board.handshake(headers, f"?ticket={ticket}"))
    for origin in FOREIGN[:4]:
        answer = board.handshake({"Origin": origin}, f"?ticket={bob.ticket()}")
        answer.expect_problem(403, "A ticket doesn't replace the check of an Origin that is there.")
    board.handshake({"Origin": OWN}, f"?ticket={bob.ticket()}").expect_status(101)


@task("ticket")
def test_of_20_parallel_uses_of_a_ticket_one_wins(board):
    ticket = board.program("bob").ticket()
    board.probe("hold_transactions", says="threads that use a ticket wait for each other")

    answers = in_threads([lambda: board.handshake({}, f"?ticket={ticket}") for _ in range(20)])

    found = sorted(answer.status for answer in answers)
    expect(found == [101] + [401] * 19, "101 for one of them, and 401 for 19", found)


@task("ticket")
def test_a_ticket_is_valid_for_30_seconds(board):
    bob = board.program("bob")

    early, late = bob.ticket(), bob.ticket()
    board.probe("pass_time", 25.0)
    board.handshake({}, f"?ticket={early}").expect_status(101)
    board.probe("pass_time", 10.0)

    expect_challenge(board.handshake({}, f"?ticket={late}"))


@task("ticket")
def test_a_ticket_is_bound_to_its_room(board):
    other = board.stage.name()
    board.enrol(roles=[[other, "bob", "writer"]])
    bob = board.program("bob")

    expect_challenge(board.handshake({}, f"?ticket={bob.ticket(other)}"))
    board.handshake({}, f"?ticket={bob.ticket(other)}", room=other).expect_status(101)


@task("ticket")
def test_a_ticket_is_not_valid_after_its_login_has_ended(board):
    ada, bob = board.log_in("ada"), board.program("bob")
    ended, banned = bob.ticket(), board.program("eve").ticket()

    board.probe("log_out", board.database, "token", bob.secret)
    board.probe("change_role", board.database, board.room, "eve", None)

    expect_challenge(board.handshake({}, f"?ticket={ended}"))
    board.handshake({}, f"?ticket={banned}").expect_problem(403)
    # Neither a cookie nor a token is a ticket, and a valid cookie doesn't make up for a bad one.
    expect_challenge(board.handshake({}, f"?ticket={ada.secret}"))
    expect_challenge(board.handshake({**ada.cookie, "Origin": OWN}, "?ticket=x"))


@task("ticket")
def test_a_ticket_is_not_valid_after_its_login_has_expired(board):
    ada = board.log_in("ada")

    board.probe("pass_time", 12 * 3600 - 10.0)
    ticket = ada.ticket()
    board.probe("pass_time", 15.0)

    expect_challenge(board.handshake({}, f"?ticket={ticket}"))


@task("ticket")
def test_expired_tickets_and_logins_are_deleted(board):
    old = board.program("bob")
    for _ in range(3):
        old.ticket()

    board.probe("pass_time", 40.0)
    old.ticket()
    count = board.probe("count", board.database, "tickets")
    expect(count == 1, "one ticket in the database: the others have expired", count)
    board.probe("pass_time", 31 * 24 * 3600.0)
    board.log_in("bob")

    for table, wanted in (("tickets", 0), ("logins", 1)):
        count = board.probe("count", board.database, table)
        expect(count == wanted, f"{wanted} in the table {table}, since the rest has expired", count)


@task("ticket")
def test_tickets_cannot_be_guessed_and_are_stored_as_a_hash(board):
    bob = board.program("bob")
    board.probe("stop_time", says="the clock stops, so that it can't make tickets differ")

    tickets = [bob.ticket() for _ in range(20)]

    long = all(len(ticket) >= 22 for ticket in tickets)  # 128 bits are 22 characters of base64.
    expect(long, "at least 128 random bits in each ticket", tickets[0])
    expect(len(set(tickets)) == 20, "20 different tickets", tickets[:3])
    columns = [len(set(column)) for column in zip(*tickets, strict=False)]
    expect(min(columns) > 1, "tickets that have no character in common", tickets[:3])
    stored = board.stored()
    found = [ticket for ticket in tickets if ticket.encode() in stored]
    expect(not found, "no ticket in the database, only its hash", found)


# revoke


@task("revoke", "A login or role that ends closes its connections", points=3, needs="refuse")
def test_a_logout_closes_the_connections_of_its_login_with_4401(board):
    ada, other, program = board.log_in("ada"), board.log_in("ada"), board.program("ada")
    tabs, stays = [ada.connect(), ada.connect(), program.connect()], other.connect()

    ada.request("POST", "/logout").expect_status(204)
    program.request("POST", "/logout").expect_status(204)
    marker = board.log_in("bob").request("POST", board.messages, {"text": "after"}).json(201)

    for tab in tabs:
        expect_end(tab, 4401)
    pushed = stays.message()
    expect(equal(pushed, marker), json.dumps(marker), pushed)
    stays.ping()


@task("revoke")
def test_a_ban_closes_the_connections_to_its_room_with_4403(board):
    other = board.stage.name()
    board.enrol(roles=[[other, "bob", "writer"]])
    ada, bob, program = board.log_in("ada"), board.log_in("bob"), board.program("bob")
    here = [bob.connect(), program.connect()]
    there, eve = bob.connect(room=other), board.log_in("eve").connect()

    ada.request("DELETE", f"/rooms/{board.room}/roles/bob").expect_status(204)

    for guest in here:
        expect_end(guest, 4403)
    there.ping()
    eve.wait_for_presence("eve")
    board.handshake({**bob.cookie, "Origin": OWN}).expect_problem(403)


@task("revoke")
def test_a_lower_role_that_may_still_read_closes_nothing(board):
    ada, bob = board.log_in("ada"), board.log_in("bob").connect()

    ada.request("PUT", f"/rooms/{board.room}/roles/bob", {"role": "reader"}).json()
    marker = ada.request("POST", board.messages, {"text": "still here?"}).json(201)

    pushed = bob.message()
    expect(equal(pushed, marker), json.dumps(marker), pushed)
    bob.ping()
    bob.send("post", text="no more")
    reply = bob.next("ack", "error")
    expect(reply.get("code") == "forbidden", "forbidden for a post of bob, now a reader", reply)


@task("revoke")
def test_after_a_ban_nothing_is_pushed_while_eight_threads_post(board):
    ada, eve = board.log_in("ada"), board.log_in("eve").connect()
    writers = [board.program("bob") for _ in range(8)]
    after: list[int] = []  # the ids of messages that were posted after the ban
    banned: list[bool] = []

    def write(user: User) -> None:
        for number in range(12):
            late = bool(banned)
            message = user.request("POST", board.messages, {"text": f"{number}"}).json(201)
            after.extend([message["id"]] if late else [])

    writing = [begin(lambda user=user: write(user)) for user in writers]
    eve.next("message")
    ada.request("DELETE", f"/rooms/{board.room}/roles/eve").expect_status(204)
    banned.append(True)
    for work in writing:
        work.result()

    received = eve.until_close(4403)
    late = [event for event in received if event.get("message", {}).get("id") in after]
    expect(not late, "nothing that was posted after the ban pushed to eve", late)


@task("revoke")
@pytest.mark.parametrize("decision", ["logout", "ban"])
def test_nothing_is_pushed_between_the_decision_and_the_end(board, decision):
    ada, eve, bob = board.log_in("ada"), board.log_in("eve"), board.program("bob")
    guest = eve.connect()
    board.probe("hold_decision", says="the thread that stores the decision waits")

    if decision == "ban":
        decide = begin(lambda: ada.request("DELETE", f"/rooms/{board.room}/roles/eve"))
    else:
        decide = begin(lambda: eve.request("POST", "/logout"))
    eventually(lambda: board.probe("is_held"), "the decision to be stored", lambda: "not yet")
    bob.request("POST", board.messages, {"text": "not for eve"}).json(201)
    decide.result().expect_status(204)

    received = guest.until_close(4403 if decision == "ban" else 4401)
    late = [event for event in received if event["type"] == "message"]
    expect(not late, "nothing pushed to eve after the decision was stored", late)


@task("revoke")
def test_a_reply_that_waits_during_a_ban_is_not_sent(board):
    ada, eve = board.log_in("ada"), board.log_in("eve").connect()
    board.probe("hold_replies", "eve", says="the reply to eve waits, as if a pong were written")

    eve.send("history", after=0)
    eventually(lambda: board.probe("is_held"), "a reply to eve", lambda: "nothing")
    ada.request("DELETE", f"/rooms/{board.room}/roles/eve").expect_status(204)
    board.probe("release")

    received = eve.until_close(4403)
    late = [event for event in received if event["type"] == "messages"]
    expect(not late, "no reply to eve after the ban was stored", late)


@task("revoke")
def test_a_decision_during_a_handshake_is_not_missed(board):
    ada, eve, zed = (board.log_in(name) for name in ("ada", "eve", "ada"))
    board.probe("hold_upgrade", says="new connections wait after their handshake")

    first, second = eve.socket(), zed.socket()
    eventually(lambda: board.probe("is_held"), "the handshake", lambda: "nothing")
    ada.request("DELETE", f"/rooms/{board.room}/roles/eve").expect_status(204)
    zed.request("POST", "/logout").expect_status(204)
    board.probe("release")

    first.expect_close(4403, next="Who was banned between the handshake and the room?")
    second.expect_close(4401)


@task("revoke")
def test_rights_are_checked_after_a_slow_body_has_arrived(board):
    ada, eve = board.log_in("ada"), board.log_in("eve")
    target, body = f"/rooms/{board.room}/roles/eve", b'{"role": "moderator"}'
    ada.request("PUT", target, {"role": "moderator"}).json()
    board.probe("note_bodies")
    head = [f"PUT {target} HTTP/1.1", "Host: board.example", f"Content-Length: {len(body)}"]
    head.append("Content-Type: application/json")
    head += [f"{name}: {value}" for name, value in eve.headers("PUT").items()]

    with socket.create_connection(board.server.host.split(":"), timeout=LONG) as slow:
        slow.sendall("\r\n".join([*head, "", ""]).encode() + body[:-1])
        eventually(lambda: board.probe("is_held"), "the app to read the body", lambda: "not yet")
        ada.request("DELETE", target).expect_status(204)
        slow.sendall(body[-1:])
        line = slow.makefile("rb").readline()

    expect(b" 403 " in line, "403, since eve was banned while her request arrived", line)
    eve.request("GET", board.messages).expect_problem(403)


@task("revoke")
def test_within_a_heartbeat_expiry_and_other_processes_close_connections(board):
    ada, bob, eve = (board.log_in(name) for name in ("ada", "bob", "eve"))
    program = board.program("ada")
    guests = {user.name: user.connect() for user in (bob, eve)}
    first, last = ada.connect(), program.connect()

    board.probe("change_role", board.database, board.room, "bob", None)
    board.probe("log_out", board.database, "session", eve.secret)
    board.probe("beat", says="the heartbeat beats")
    program.request("POST", board.messages, {"text": "after the beat"}).json(201)

    expect_end(guests["bob"], 4403)
    expect_end(guests["eve"], 4401)
    first.next("message")
    board.probe("pass_time", 13 * 3600.0)
    board.probe("beat", says="13 hours later, the heartbeat beats")
    program.request("POST", board.messages, {"text": "much later"}).json(201)
    expect_end(first, 4401)
    last.ping()
    expect(board.members() == ["ada"], "only the program in the room", board.members())


@task("revoke")
def test_a_check_that_fails_is_not_the_last(stage):
    board = Board(stage, HEARTBEAT=0.05)
    board.probe("ping_none", says="the heartbeat checks connections, but pings none")
    bob = board.log_in("bob")
    guest = bob.connect()

    board.probe("fail_checks", says="the database is locked for a moment")
    eventually(lambda: board.probe("is_held"), "a check that fails", lambda: "no check")
    board.probe("log_out", board.database, "session", bob.secret)

    guest.until_close(4401)


@task("revoke")
def test_a_check_that_waits_does_not_stop_the_heartbeat(stage):
    board = Board(stage, HEARTBEAT=0.05)
    board.probe("count_beats", says="the heartbeat beats, but pings none")
    bob = board.log_in("bob")
    guest = bob.connect()
    board.probe("hold_turn", says="a thread publishes to a client that doesn't read")
    board.probe("log_out", board.database, "session", bob.secret)
    waits = "a check that waits for the hub's turn"
    eventually(lambda: board.probe("a_thread_waits"), waits, lambda: "none waits")

    count = board.probe("counted_beats")
    more = "more beats, since only a beat can cut off the client that doesn't read"
    eventually(lambda: board.probe("counted_beats") > count + 1, more, lambda: "none")
    board.probe("release")

    guest.until_close(4401)


# reason


@task("reason", "The page learns why a handshake failed", points=2, needs="refuse")
def test_after_a_failed_handshake_401_and_403_stop_the_connection(page):
    for status, code in ((401, 4401), (403, 4403)):
        for attempts in (0, 3):
            page.load()
            page.access(200)
            page.call("open")
            page.lose(*[1006] * attempts)
            page.access(status)

            page.end(1006)

            page.expect_state("stopped", f"after a handshake that got {status}")
            last = page.states[-1]
            met = last["code"] == code and str(code) in last["words"]
            expect(met, f"the code {code}, also in the words", last)
            page.expect_no_timer(f"after {status}")
            page.expect_attempts(attempts + 1, f"after {status}")


@task("reason")
def test_after_any_other_answer_or_none_it_retries_with_backoff(page):
    for status, how in ((200, "answer"), (404, "answer"), (500, "answer"), (0, "fail")):
        page.load()
        page.access(status, how=how)
        page.call("open")

        waits = page.lose(1006, 1006, 1006)

        wanted = f"half of 1, 2 and 4 s if access() leads to {status or how}"
        expect(waits == [500, 1_000, 2_000], wanted, waits)
        page.expect_state("reconnecting", "between attempts")


@task("reason")
def test_429_and_503_say_how_long_to_wait(page):
    for share in (0.5, 0.9):
        page.chance(share)
        for status in (429, 503):
            for seconds, longest in ((20, 20), (0.5, 0.5), (7200, 300), (0, 1)):
                page.load()
                page.access(status, seconds)
                page.call("open")

                (wait,) = page.lose(1006)

                wanted = f"{share} of {longest} s after {status} with Retry-After: {seconds}"
                expect(wait == share * longest * 1_000, wanted, wait)
    page.load()
    page.access(500, 20)
    page.call("open")
    page.chance(0.5)
    expect(page.lose(1006) == [500], "half of 1 s after 500: only 429 and 503 count", "more")


@task("reason")
def test_an_answer_that_is_late_or_never_arrives_does_no_harm(page):
    page.access(401, how="hold")
    page.call("open")
    waits = page.lose(1006)
    expect(waits == [10_000], "another attempt after 10 s without an answer", waits)
    page.welcome()
    page.arrive()  # The answer about the attempt before.
    page.expect_state("open", "after an answer that is too late")
    page.expect_attempts(2, "after an answer that is too late")

    page.load()
    page.call("open")
    page.end(1006)
    page.call("close")
    page.arrive()
    page.expect_state("stopped", "after close()")
    page.expect_no_timer("after close()")
    page.expect_attempts(1, "after close()")


@task("reason")
def test_it_asks_only_after_a_handshake_that_failed(page):
    page.access(401)
    page.enter()

    waits = page.lose(1006)

    expect(waits == [500], "another attempt after a connection that was open is cut", waits)
    expect(page.asked == 0, "no question about a connection that was open", page.asked)
    page.welcome(resumed=True)
    page.end(4401, "Log in again.")
    expect(page.asked == 0, "no question after a close code that says why", page.asked)


@task("reason")
def test_a_page_stops_if_another_user_has_logged_in(page):
    page.load(user="ada")
    page.call("open")
    page.welcome(user="ada")
    (post,) = page.post("of ada")
    page.lose(1006)

    page.welcome(resumed=True, user="bob")

    page.expect_state("stopped", "after a welcome that names another user")
    expect(page.states[-1]["code"] == 4401, "the code 4401", page.states[-1])
    page.expect_posts()
    page.expect_no_timer("after a welcome that names another user")
    page.load(user="ada")
    page.call("open")
    page.welcome(user="ada")
    page.expect_posts((post, "of ada"))


@task("reason")
def test_the_welcome_names_the_user(board):
    for user in (board.log_in("ada"), board.program("bob")):
        found = user.connect().welcome
        expect(found.get("user") == user.name, f'"user": "{user.name}" in the welcome', found)


@task("reason")
def test_a_user_whose_login_has_ended_logs_in_again_and_loses_no_text(stage):
    board, tab = open_page(stage)
    text = stage.text()
    wait_for_state(tab, "open")
    board.probe("end_logins", board.database, says="all logins have ended")
    board.probe("cut_all", says="all connections are cut")

    wait_for_state(tab, "stopped")
    tab.fill("#text", text)
    tab.press("Enter", "#text")
    words = tab.run("document.getElementById('state')?.textContent ?? ''")
    expect("4401" in words, "4401 in #state, since the login has ended", words)
    tab.click("#login")
    log_in_with(tab, board)
    wait_for_state(tab, "open")

    shown = "[...document.querySelectorAll('#messages .text')].map((row) => row.textContent)"
    tab.wait_for(f"{shown}.includes({json.dumps(text)})", f"{text!r} in #messages", shown)


@task("reason")
def test_a_page_asks_about_its_own_room_and_waits_for_as_long_as_it_is_told(stage):
    board, tab = open_page(stage, before=COUNT_ANSWERS, control_time=True)
    wait_for_state(tab, "open")
    asked: list[str] = []

    def too_many(url: str) -> dict:
        asked.append(url)
        return {"status": 429, "headers": {"Retry-After": "30"}, "body": ""}

    board.browser.answer("**/access*", too_many)
    board.probe("change_role", board.database, board.room, "ada", None)
    board.probe("cut_all", says="all connections are cut")
    wait_for_state(tab, "reconnecting")
    tab.pass_time(1.0)
    tab.wait_for("window.answered === 1", "the page to ask why its handshake failed", "answered")
    # The browser may report a WebSocket a moment after the page has opened it.
    eventually(lambda: len(tab.sockets()) > 1, "a retry within 1 s", tab.sockets)
    count = len(tab.sockets())
    tab.pass_time(14.0)
    before = len(tab.sockets())
    tab.pass_time(1.5)

    expect(asked[0].endswith(f"/rooms/{board.room}/access"), "its own room's access", asked)
    expect(before == count, "no retry within 14 s", f"{before - count}")
    retried = "a retry 15 s after 429 with Retry-After: 30"
    eventually(lambda: len(tab.sockets()) > count, retried, lambda: "no retry")
    after = len(tab.sockets())
    expect(after == count + 1, f"one {retried[2:]}", f"{after - count}")


@task("reason")
def test_a_logout_leaves_nothing_in_the_tab(stage):
    board, tab = open_page(stage)
    text, other = stage.text(), stage.text()
    wait_for_state(tab, "open")
    board.probe("hold_posts")
    tab.run("(text) => sessionStorage.setItem('outbox of ada in attic', text)", other)
    tab.fill("#text", text)
    tab.press("Enter", "#text")
    stored = "JSON.stringify(sessionStorage)"
    tab.wait_for(f"{stored}.includes({json.dumps(text)})", "the text in the outbox", stored)

    tab.click("#logout")
    tab.wait_for("location.pathname === '/login'", "the login page", "location.href")

    left = tab.run(stored)
    expect(text not in left and other not in left, "no text in sessionStorage", left)
    eventually(lambda: board.members() == [], "no client in the room", board.members)
    count = board.probe("count", board.database, "logins")
    expect(count == 0, "no login left on the server", count)
    tab.go(f"{board.server.url}/rooms/{board.room}")
    log_in_with(tab, board)
    wait_for_state(tab, "open")
    drafts = tab.run("document.querySelectorAll('#drafts li').length")
    expect(drafts == 0, "no draft after the next login", drafts)


@task("reason")
def test_a_logout_that_failed_is_not_reported_as_done(stage):
    board, tab = open_page(stage)
    text = stage.text()
    wait_for_state(tab, "open")
    tab.run("(text) => sessionStorage.setItem('outbox of ada in attic', text)", text)
    statuses = [500, 403, 401]  # 401: the login has ended before.
    board.browser.answer("**/logout", lambda url: {"status": statuses.pop(0), "body": ""})

    words = "document.getElementById('state')?.textContent ?? ''"
    for _ in range(2):
        tab.click("#logout")
        tab.wait_for(f"{words}.includes('still logged in')", "the page to say so", words)
        left = tab.run("JSON.stringify(sessionStorage)")
        expect(text in left, "the texts still in sessionStorage, since ada is logged in", left)
        tab.go(f"{board.server.url}/rooms/{board.room}")
        wait_for_state(tab, "open")
    tab.click("#logout")

    tab.wait_for("location.pathname === '/login'", "the login page after 401", "location.href")


# secret


@task(
    "secret", "No secret is logged, and no response reveals a user name", points=2, needs="ticket"
)
def test_a_wrong_name_and_a_wrong_password_get_the_same_answer(board):
    for send in (board.ask_for_token, board.send_form):
        answers = [send("ada", "wrong"), send("nobody", board.passwords["ada"])]

        for answer in answers:
            answer.expect_status(401)
        first, second = ((a.body, sorted(a.headers.keys())) for a in answers)
        same = (first[0].replace(b"ada", b"nobody"), first[1]) == second
        expect(same, "the same answer to a wrong password and a wrong name", second)
    board.ask_for_token("ada", board.passwords["ada"]).json(201)


@task("secret")
def test_a_wrong_name_costs_the_same_work_as_a_wrong_password(board):
    board.probe("count_hashes")

    for send, password in (
        (board.ask_for_token, "wrong"),
        (board.send_form, ""),
        (board.send_form, "x" * 256),
    ):
        send("ada", password).expect_status(401)
        wanted = board.probe("counted_hashes")
        send("nobody", password).expect_status(401)

        found = board.probe("counted_hashes")
        expect(len(wanted) == 1, "one hash for a password", wanted)
        expect(found == wanted, f"the same work for a name that is wrong: {wanted}", found)


@task("secret")
def test_of_20_parallel_guesses_ten_are_checked(board):
    board.probe("count_hashes", 10, says="threads that check a password wait for each other")

    answers = in_threads([lambda: board.ask_for_token("ada", "wrong") for _ in range(20)])

    found = sorted(answer.status for answer in answers)
    expect(found == [401] * 10 + [429] * 10, "401 for ten of them, and 429 for ten", found)
    count = len(board.probe("counted_hashes"))
    expect(count == 10, "ten passwords checked, since more attempts aren't allowed", count)


@task("secret")
def test_logins_that_succeed_are_not_limited(board):
    for _ in range(12):
        board.ask_for_token("ada", board.passwords["ada"]).json(201)


@task("secret")
def test_the_log_has_the_requests_but_no_secret(board):
    board.probe("log_requests")
    ada, bob = board.log_in("ada"), board.program("bob")
    tickets = [bob.ticket() for _ in range(6)]
    secrets = [ada.secret, bob.secret, *tickets, *board.passwords.values(), "hunter2"]

    board.handshake({}, f"?ticket={tickets[0]}").expect_status(101)
    board.handshake({}, f"?after=0&ticket={tickets[0]}").expect_status(401)
    board.handshake({}, f"?ticket={tickets[1]}&after=x").expect_status(400)
    board.handshake({"Origin": FOREIGN[0]}, f"?ticket={tickets[2]}&x=?").expect_status(403)
    board.request("GET", f"/nowhere?ticket={tickets[3]}&x=%20y").expect_status(404)
    board.request("GET", f"/nowhere?x=%C2%A0&ticket={tickets[4]}").expect_status(404)
    board.ask_for_token("ada", "hunter2").expect_status(401)
    board.send_form("ada", "hunter2").expect_status(401)
    line = broken_request(board, f"GET /nowhere?ticket={tickets[5]} and more HTTP/1.1")
    expect(b" 400 " in line, "400 to a request line that isn't valid", line)
    ada.request("GET", f"{board.messages}?after=0&limit=1").json()

    found = board.wait_for_log(f'"GET {board.messages}')
    leaked = [secret for secret in secrets if secret in found]
    lines = [line for line in found.splitlines() if any(secret in line for secret in leaked)]
    expect(not leaked, "no secret in the log", lines[:2])
    expect("limit=1" not in found, "no query in the log", found[-500:])
    for method, path, status in (
        ("GET", f"/board/{board.room}", "401"),
        ("GET", "/nowhere", "404"),
        ("POST", "/tokens", "401"),
        ("GET", board.messages, "200"),
    ):
        said = re.compile(rf"{method} {path}(\?\W*)? HTTP/1\.1.* {status} ")  # "?…" is fine.
        logged = any(said.search(line) for line in found.splitlines())
        wanted = f'a line with "{method} {path} HTTP/1.1" and {status} in the log'
        expect(logged, wanted, found[-500:])


@task("secret")
def test_no_script_reads_the_cookie_and_over_https_it_is_secure(board):
    for origin, secure in ((OWN, True), (OTHER_OWN, False)):
        answer = board.send_form("ada", board.passwords["ada"], origin=origin)
        answer.expect_status(303)

        words = [word.strip() for word in answer.headers["Set-Cookie"].split(";")]
        met = {"HttpOnly", "SameSite=Lax"} <= set(words) and ("Secure" in words) == secure
        expect(met, f"HttpOnly, SameSite=Lax{', Secure' * secure}", words[1:])


@task("secret")
def test_no_secret_is_stored_or_sent_back(board):
    ada, bob = board.log_in("ada"), board.program("bob")
    ticket = bob.ticket()
    secrets = [ada.secret, bob.secret, ticket, board.passwords["ada"], "hunter2"]

    answers = [
        board.handshake({"Origin": FOREIGN[0]}, f"?ticket={ticket}"),
        board.handshake({}, f"?ticket={ticket}", room="nowhere"),
        board.handshake({}, f"?ticket={ticket}"),
        board.ask_for_token("ada", "hunter2"),
        board.send_form("ada", "hunter2"),
        board.request("GET", board.messages, None, {"Authorization": f"Token {bob.secret}"}),
    ]

    said = b"".join(answer.body + str(answer.headers).encode() for answer in answers)
    for where, data in (("an answer", said), ("the database", board.stored())):
        leaked = [secret for secret in secrets if secret.encode() in data]
        expect(not leaked, f"no secret in {where}", leaked)


# What the tests are written with


# Who may read, post and moderate. Zoe has no role.
MAY = [
    ("ada", True, True, True),
    ("bob", True, True, False),
    ("eve", True, False, False),
    ("zoe", False, False, False),
]
# Opens a WebSocket as a page would. Returns the type of the first message, or "refused".
HIJACK = """(url) => new Promise((done) => {
    const socket = new WebSocket(url, "board.v1");
    socket.onmessage = (event) => { done(JSON.parse(event.data).type); socket.close(); };
    socket.onclose = () => done("refused");
})"""
# Counts in `answered` the answers of fetch() that the page has. Each random number is 0.5.
COUNT_ANSWERS = """
const real = window.fetch;
window.answered = 0;
window.fetch = async (...given) => {
    const answer = await real(...given);
    window.answered += 1;
    return answer;
};
Math.random = () => 0.5;
"""
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    "Sec-WebSocket-Protocol": "board.v1",
}


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def open_page(stage: Stage, before: str = "", control_time: bool = False) -> tuple["Board", Tab]:
    """Return a board that allows its own pages, and a tab in its room, where ada has logged in.

    `before` is JavaScript that runs before any of the page's own.
    """
    port = free_port()
    board = Board(stage, port, ORIGINS=[f"http://127.0.0.1:{port}"])
    board.browser = stage.browser()
    if control_time:
        board.browser.control_time()
    tab = board.browser.open("ada", f"{board.server.url}/rooms/{board.room}", before=before)
    log_in_with(tab, board)
    return board, tab


def log_in_with(tab: Tab, board: "Board") -> None:
    """Fill the login page's form as ada, and wait for the page of the room."""
    tab.fill("[name=name]", "ada")
    tab.fill("[name=password]", board.passwords["ada"])
    tab.click("button")
    there = f"location.pathname === '/rooms/{board.room}'"
    tab.wait_for(there, "the page of the room after the login", "location.href")


def wait_for_state(tab: Tab, name: str) -> None:
    """Wait until the page shows this state."""
    state = "document.getElementById('state')?.dataset.state"
    tab.wait_for(f"{state} === '{name}'", f'#state to have data-state="{name}"', state)


def expect_challenge(answer: Answer) -> None:
    """Expect a 401 that says how to authenticate."""
    answer.expect_problem(401)
    challenge = answer.headers.get("WWW-Authenticate", "")
    met = re.match(r'Bearer (.*, *)?realm="?board"?( *,|$)', challenge)
    expect(met, 'WWW-Authenticate: Bearer realm="board"', challenge or "no WWW-Authenticate")


def broken_request(board: "Board", line: str) -> bytes:
    """Send a request line, and return the first line of the answer."""
    with socket.create_connection(board.server.host.split(":"), timeout=LONG) as client:
        client.sendall(f"{line}\r\n\r\n".encode())
        return client.makefile("rb").readline()


def expect_end(guest: Guest, code: int) -> None:
    """Expect a close with this code, and nothing of the room pushed before it."""
    pushed = [event for event in guest.until_close(code) if event["type"] == "message"]
    expect(not pushed, f"nothing pushed to {guest.who} before close {code}", pushed)


class Board:
    """The learner's app, its users and a room: ada moderates, bob writes, eve reads."""

    def __init__(self, stage: Stage, port: int = 0, **config: object) -> None:
        config = {"ORIGINS": [OWN, OTHER_OWN], "HEARTBEAT": 3600.0, **config}
        self.stage, self.room = stage, stage.name()
        self.server = stage.serve(port=port, PASSWORD_METHOD="pbkdf2:sha256:1000", **config)
        self.database = str(stage.scratch / "board.sqlite3")
        self.messages = f"/rooms/{self.room}/messages"
        names = ("ada", "bob", "eve", "zoe", "zed")
        self.passwords = {name: f"{name} {stage.random.randrange(10**12)}" for name in names}
        roles = zip(names, ("moderator", "writer", "reader"), strict=False)
        self.enrol(self.passwords, [[self.room, name, role] for name, role in roles])

    def probe(self, function: str, *args: object, says: str = "") -> object:
        """Call a function of the lesson's probe in the app's process."""
        return self.server.probe(PROBES, function, *args, says=says)

    def enrol(self, users: dict | None = None, roles: list | None = None) -> None:
        """Add users and roles."""
        self.probe("enrol", self.database, users or {}, roles or [])

    def members(self, room: str = "") -> list[str]:
        """Return the members of the room, as the hub lists them."""
        return self.probe("members", room or self.room)

    def request(
        self,
        method: str,
        target: str,
        body: object = None,
        headers: dict | None = None,
        who: str = "client",
    ) -> Answer:
        """Send a request, with a value as JSON."""
        data = b"" if body is None else json.dumps(body).encode()
        kind = {"Content-Type": "application/json"} if data else {}
        headers = {**kind, **(headers or {})}
        return self.server.client(who).request(method, target, data, headers)

    def read(self, message_id: int) -> Answer:
        """Read a message as ada."""
        return self.log_in("ada").request("GET", f"{self.messages}/{message_id}")

    def handshake(self, headers: dict, query: str = "", room: str = "") -> Answer:
        """Send a handshake, and return the answer, whatever its status."""
        headers = {**UPGRADE, **headers}
        target = f"/board/{room or self.room}{query}"
        return self.server.client("client").request("GET", target, headers=headers)

    def send_form(self, name: str, password: str, origin: str = OWN) -> Answer:
        """Send the login page's form."""
        kind = {"Content-Type": "application/x-www-form-urlencoded", "Origin": origin}
        form = urlencode({"name": name, "password": password, "next": "/"}).encode()
        return self.server.client(name).request("POST", "/login", form, kind)

    def ask_for_token(self, name: str, password: str) -> Answer:
        """Ask for an API token."""
        body = {"user": name, "password": password}
        return self.request("POST", "/tokens", body, who=name)

    def log_in(self, name: str) -> "User":
        """Log a user in with the form. Returns the user, who has a cookie."""
        answer = self.send_form(name, self.passwords[name])
        answer.expect_status(303)
        cookie = answer.headers["Set-Cookie"].partition(";")[0]
        return User(self, name, cookie.partition("=")[2], {"Cookie": cookie})

    def program(self, name: str) -> "User":
        """Return a program of the user's, which has an API token."""
        token = self.ask_for_token(name, self.passwords[name]).json(201)["token"]
        return User(self, name, token, {"Authorization": f"Bearer {token}"})

    def stored(self) -> bytes:
        """Return all bytes of the database's files."""
        files = sorted(self.stage.scratch.glob("board.sqlite3*"))
        return b"".join(file.read_bytes() for file in files if not file.name.endswith("-shm"))

    def wait_for_log(self, line: str) -> str:
        """Return the access log, once a line of it has this part."""
        part = re.compile(
            re.escape(line).replace('"', '"(\x1b[^m]*m)*')
        )  # Werkzeug may colour the request.
        eventually(
            lambda: part.search(self.server.log()),
            f"a line with {line} in the access log",
            lambda: self.server.log()[-500:] or "an empty log",
        )
        return self.server.log()


class User:
    """A user who has logged in, or a program with an API token."""

    def __init__(self, board: Board, name: str, secret: str, proof: dict) -> None:
        self.board, self.name, self.secret = board, name, secret
        self.cookie = self._proof = proof

    def headers(self, method: str) -> dict:
        """Return what a browser, or a program, would add to a request."""
        own = "Cookie" in self._proof and method != "GET"
        return {**self._proof, **({"Origin": OWN} if own else {})}

    def request(
        self, method: str, target: str, body: object = None, headers: dict | None = None
    ) -> Answer:
        """Send a request as this user."""
        headers = {**self.headers(method), **(headers or {})}
        return self.board.request(method, target, body, headers, self.name)

    def ticket(self, room: str = "") -> str:
        """Return a new ticket."""
        answer = self.request("POST", "/tickets", {"room": room or self.board.room}).json(201)
        met = isinstance(answer.get("ticket"), str) and answer["ticket"].isascii()
        expect(met, "a ticket as a string", answer)
        return answer["ticket"]

    def socket(self, query: str = "", room: str = "") -> Socket:
        """Open a WebSocket with the cookie."""
        target = f"/board/{room or self.board.room}{query}"
        headers = {**self.cookie, "Origin": OWN}
        return self.board.server.socket(self.name, target, subprotocols=PROTOCOL, headers=headers)

    def connect(self, query: dict | None = None, room: str = "") -> Guest:
        """Join the room, with the cookie or with a new ticket."""
        room, headers = room or self.board.room, {}
        if "Cookie" in self._proof:
            headers = {**self._proof, "Origin": OWN}
        else:
            query = {"ticket": self.ticket(room), **(query or {})}
        return Guest(self.board.server, self.name, room, headers=headers, query=query or {})
