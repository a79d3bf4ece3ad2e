"""Lesson 7: the board's message protocol. These tests are the lesson's specification.

`enter()` opens a WebSocket and reads the welcome. `ask()` sends a request and returns its reply.
"""

import json
import re
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlencode

import pytest

from course.grading import Server, Stage, equal, expect, task
from course.grading.asyncapi import described
from course.grading.expect import Unmet
from course.grading.sockets import Socket
from course.grading.waiting import begin, eventually, in_threads
from course.lesson.lessons import ROOT

PROBES = Path(__file__).parent / "probes" / "07_protocol.py"
WAKEUPS = Path(__file__).parent / "probes" / "wakeups.py"
PROTOCOL = ["board.v1"]
MAX_MESSAGE = 65_536  # characters, as in app.py
OTTER = "🦦"
DEEP = 10_000  # levels of nesting
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@pytest.fixture
def server(stage) -> Server:
    """The learner's app."""
    return stage.serve()


# welcome


@task("welcome", "The server sends welcome first", points=1)
def test_the_first_message_is_the_welcome_with_the_newest_id_of_the_room(stage, server):
    room, quiet = stage.name(), stage.name()
    stored(stage, stage.name(), "bob")
    last = [stored(stage, room, "bob")["id"] for _ in range(3)][-1]
    stored(stage, stage.name(), "bob")

    for name, last_id in ((room, last), (quiet, 0)):
        ada = server.socket("ada", address(name, "ada"), subprotocols=PROTOCOL)

        ada.expect_json({"type": "welcome", "room": name, "last_id": last_id})


@task("welcome")
def test_a_request_without_a_valid_author_gets_400(stage, server):
    client, room = server.client("eve"), stage.name()
    names = ["", " ", "\t", "\u3000", "\u00a0 \u2003", "x" * 33, f" {32 * 'x'}", f"{32 * 'x'} "]
    names += [OTTER * 33, "a\nb", "ada\x00", "\x7feve", "e\x85ve", "ada\n"]

    client.request("GET", f"/board/{room}", headers=UPGRADE).expect_status(400)
    for name in names:
        client.request("GET", address(room, name), headers=UPGRADE).expect_status(400)


@task("welcome")
def test_any_other_author_is_accepted(stage, server):
    odd = ["Ada Lovelace", " ada ", "o'Neil & <b>", "👩\u200d💻", "Zoë", "7", "\u3000x", "null"]

    for name in ("x" * 32, OTTER * 32, *odd):
        enter(server, name, stage.name())


@task("welcome")
def test_a_room_without_a_valid_name_is_404(server):
    for room in ("Lobby", "a_b", "x" * 33, "caf%C3%A9", "a%20b", "a%0A", "%D9%A3", "a.b"):
        target = f"/board/{room}?author=ada"

        server.client("ada").request("GET", target, headers=UPGRADE).expect_status(404)


@task("welcome")
def test_a_room_with_a_valid_name_is_open(server):
    for room in ("a", "7", "-", "-a--", "x" * 32):
        enter(server, "ada", room)


@task("welcome")
def test_each_message_is_passed_to_handle_and_each_reply_is_sent(stage, server):
    empty = {"type": "messages", "id": "1", "messages": [], "next": 0}
    replies = [empty, {"type": "pong", "id": "2"}, {"type": "pong", "id": "2"}, empty]
    texts = [stage.text() for _ in replies]
    server.probe(PROBES, "reply_with", replies, says="handle() returns replies of the test")
    ada = enter(server, "ada", stage.name())

    for text, reply in zip(texts, replies, strict=True):
        ada.send(text)
        ada.expect_json(reply)

    found = server.probe(PROBES, "handled")
    expect(found == texts, f"handle() to be called with each of {texts}", found)


@task("welcome")
def test_nothing_is_left_of_a_client_that_sends_a_message_that_is_too_long(stage, server):
    before = server.census()
    says = "the library closes with 1009 without waking ws.receive(), as sometimes happens"
    server.probe(WAKEUPS, "lose_wakeup", says=says)
    ada = enter(server, "ada", stage.name())

    ada.send((MAX_MESSAGE + 1) * "x")

    ada.expect_close(1009)
    server.expect_census(before)


# subprotocol


@task("subprotocol", "Without board.v1, the server closes with 4406", points=1, needs="welcome")
def test_board_v1_is_chosen_wherever_it_is_among_the_offers(stage, server):
    for offered in (["board.v1"], ["chat", "board.v1"], ["board.v1", "board.v2"]):
        ada = enter(server, "ada", stage.name(), offered)

        agreed = ada.subprotocol or "none"
        expect(agreed == "board.v1", "Sec-WebSocket-Protocol: board.v1 in the response", agreed)


@task("subprotocol")
def test_without_board_v1_the_connection_is_closed_with_4406_and_a_reason(stage, server):
    for offered in (None, ["chat"], ["board.v10"], ["board.v2", "xboard.v1"], ["BOARD.V1"]):
        ada = server.socket("ada", address(stage.name(), "ada"), subprotocols=offered)

        reason = ada.expect_close(4406)

        expect(bool(reason.strip()), "a reason with the code 4406", "none")


@task("subprotocol")
def test_nothing_follows_the_close_frame_with_4406(stage, server):
    ada = server.raw_socket("ada", address(stage.name(), "ada"))

    opcode, payload = ada.receive()
    ada.send(opcode, payload)

    expect(payload[:2] == (4406).to_bytes(2, "big"), "close 4406", payload.hex(" "))
    ada.expect_end()


# dispatch


@task("dispatch", "Each type is dispatched to its handler", points=2, needs="welcome")
def test_the_reply_to_a_ping_is_a_pong_with_its_id(stage, server):
    ada = enter(server, "ada", stage.name())

    for request_id in ("1", "1", stage.text(), "x" * 64, OTTER * 64, '"<b>\\n'):
        expect_served(ada, request_id)


@task("dispatch")
def test_history_returns_the_room_page_by_page(stage, server):
    room, ids = stage.name(), []
    messages = [stored(stage, room, name) for name in ("ada", "bob", "eve", "bob", "ada")]
    stored(stage, stage.name(), "ada")
    ada, after = enter(server, "ada", room), 0

    for page in (messages[:2], messages[2:4], messages[4:], []):
        ids.append(stage.text())
        reply = ask(ada, "history", ids[-1], after=after, limit=2)

        after = page[-1]["id"] if page else after
        expected = {"type": "messages", "id": ids[-1], "messages": page, "next": after}
        expect(equal(reply, expected), json.dumps(expected), reply)
    expect(listed(ada) == messages, "all messages, without `after` and `limit`", "other messages")


@task("dispatch")
def test_history_returns_50_messages_by_default_and_at_most_200(stage, server):
    room, database = stage.name(), str(stage.scratch / "board.sqlite3")
    ids = stage.probe(PROBES, "keep_many", database, room, 205)
    ada = enter(server, "ada", room)

    for fields, wanted in (
        ({}, ids[:50]),
        ({"limit": 1}, ids[:1]),
        ({"limit": 200}, ids[:200]),
        ({"after": ids[3]}, ids[4:54]),
        ({"after": ids[200], "limit": 200}, ids[201:]),
    ):
        found = [message.get("id") for message in listed(ada, **fields)]

        said = f"the messages {wanted[0]} to {wanted[-1]} for {fields}"
        expect(found == wanted, said, f"{len(found)} messages, starting with {found[:1]}")


@task("dispatch")
def test_the_reply_to_an_unknown_type_is_an_error(stage, server):
    ada = enter(server, "ada", stage.name())
    unknown = ["dance", "Ping", "ping ", "pin", "pings", "welcome", "error"]

    for kind in [*unknown, "handle", "parsed", "__init__", stage.text()]:
        reply = ask(ada, kind, f"a {kind}")

        expect_error(reply, "unknown_type", f"a {kind}")
        expect_served(ada, kind)


@task("dispatch")
def test_a_handler_that_is_added_later_is_used_at_once(stage, server):
    room, kind = stage.name(), stage.name()
    ada = enter(server, "ada", room)
    expect_served(ada, "before")
    expect_error(ask(ada, kind, "1"), "unknown_type", "1")

    for word in (stage.text(), stage.text()):
        says = f"HANDLERS has a new handler for {kind} now"
        server.probe(PROBES, "teach", kind, word, says=says)

        ada.send_json({"type": kind, "id": "1", "extra": [word]})
        ada.expect_json({"type": kind, "id": "1", "room": room, "word": word, "extra": [word]})


@task("dispatch")
def test_a_refusal_keeps_the_code_and_the_detail_of_its_handler(stage, server):
    ada = enter(server, "ada", stage.name())

    for code in ("bad_message", "unknown_type", stage.name()):
        kind, detail = stage.name(), stage.text()
        says = f"the handler of {kind} raises Refused({code!r}, …)"
        server.probe(PROBES, "teach_to_refuse", kind, code, detail, says=says)
        reply = ask(ada, kind, "1")

        told = expect_error(reply, code, "1")
        expect(told == detail, f"the detail {detail!r}", told)


@task("dispatch")
def test_a_key_error_in_a_handler_is_not_an_unknown_type(stage, server):
    ada, kind = enter(server, "ada", stage.name()), stage.name()
    says = f"the handler of {kind} raises KeyError"
    server.probe(PROBES, "teach_to_fail", kind, "KeyError", stage.text(), says=says)

    ada.send_json({"type": kind, "id": "1"})

    reply = None
    with suppress(Unmet):  # Before the last task, an exception ends the connection.
        reply = ada.receive_json()
    unknown = isinstance(reply, dict) and reply.get("code") == "unknown_type"
    expect(not unknown, "an error with another code, since the type is known", reply)


# validate


@task("validate", "Invalid messages get bad_message", points=3, needs="dispatch")
def test_the_reply_to_what_is_not_a_json_object_is_a_bad_message(stage, server):
    ada = enter(server, "ada", stage.name())

    for number, text in enumerate(UNREADABLE):
        ada.send(text)

        expect_error(ada.receive_json(), "bad_message", None)
        expect_served(ada, f"after {number}")


@task("validate")
def test_the_reply_to_bytes_is_a_bad_message_even_if_they_are_json(stage, server):
    ada = enter(server, "ada", stage.name())

    for data in (b"", b"\xff\xfe", b'{"type": "ping", "id": "1"}'):
        ada.send(data)

        expect_error(ada.receive_json(), "bad_message", None)
        expect_served(ada, "next")


@task("validate")
def test_the_reply_to_5000_digits_or_10000_levels_is_a_bad_message(stage, server):
    ada = enter(server, "ada", stage.name())

    for text in HUGE:
        ada.send(text)

        expect_error(ada.receive_json(), "bad_message", None, "1")
        expect_served(ada, "next")


@task("validate")
def test_the_detail_contains_the_position_or_the_duplicate_key(stage, server):
    ada = enter(server, "ada", stage.name())
    broken = json.dumps({"type": "ping", "id": stage.text()})
    place = len(broken) - 1

    ada.send(f"{broken[:-1]} oops}}")
    detail = expect_error(ada.receive_json(), "bad_message", None)
    met = bool({str(place + 1), str(place + 2)} & set(re.findall(r"\d+", detail)))
    expect(met, f"a detail with the position, character {place + 1}", detail)

    key = stage.name()
    ada.send(json.dumps({"type": "ping", "id": "1", key: 1})[:-1] + f', "{key}": 2}}')
    detail = expect_error(ada.receive_json(), "bad_message", None)
    expect(key in detail, f"a detail that names {key}", detail)


@task("validate")
def test_the_detail_contains_the_field_that_is_missing_or_invalid(stage, server):
    ada = enter(server, "ada", stage.name())

    for request, field in BAD_FIELDS:
        ada.send(json.dumps(request).replace("Infinity", "1e999"))

        detail = expect_error(ada.receive_json(), "bad_message", None if field == "id" else "1")
        expect(field in detail, f"a detail that names {field}", detail)
        expect_served(ada, "next")


@task("validate")
def test_unknown_fields_and_every_spelling_of_json_are_valid(stage, server):
    ada = enter(server, "ada", stage.name())

    ada.send_json({"type": "ping", "id": "1", "seen": [None, 1.5, {"x": OTTER}], "text": 7})
    ada.expect_json({"type": "pong", "id": "1"})
    ada.send('\n{"id": "\\ud83e\\udda6", "x": {}, "y": [{}, {}], "type": "p\\u0069ng"}')
    ada.expect_json({"type": "pong", "id": OTTER})
    ada.send_json({"type": "ping", "id": "2", "x": {"id": 3}, "y": [{"type": 4}, {"type": 5}]})
    ada.expect_json({"type": "pong", "id": "2"})
    for value in (
        "NaN",
        "-Infinity",
        "[" * DEEP,
        "{" * DEEP,
        '{"a": 1, "a": 2}',
        "\\ud83e",
        "9" * 5000,
    ):
        ada.send_json({"type": "ping", "id": "3", "x": value, value[:9]: [value]})
        ada.expect_json({"type": "pong", "id": "3"})
    ada.send('{"type": "ping", "id": "4", "x": [1e999, -1E999, 1e-999, 0.0]}')
    ada.expect_json({"type": "pong", "id": "4"})
    expect_served(ada, "\\ud83e")  # A backslash and five letters, not a surrogate.
    reply = ask(ada, "history", "2", after=2**63 - 1, limit=200)

    expect(reply.get("next") == 2**63 - 1, f"a page that ends at {2**63 - 1}", reply)


# ack


@task("ack", "An ack is sent after the message is stored", points=2, needs="validate")
def test_an_ack_contains_the_message_as_it_is_stored(stage, server):
    room = stage.name()
    ada, bob = (enter(server, name, room) for name in ("ada", "bob"))

    odd = "e\u0301\r\n\tx\x00\ufeff"  # The server must change nothing.
    for text in (stage.text(), "  two  Spaces \n", "<b>bold</b> & \\", odd, OTTER * 2000):
        reply = ask(
            ada,
            "post",
            text[:9],
            text=text,
            author="eve",
            room="elsewhere",
            sent_at="x",
            message={},
        )

        message = acknowledged(reply, text[:9])
        wanted = {**message, "room": room, "author": "ada", "text": text}
        expect(message == wanted, json.dumps(wanted, ensure_ascii=False), message)
        found = listed(bob, after=message["id"] - 1)
        expect(found == [message], f"{json.dumps([message])} in the history", found)


@task("ack")
def test_500_requests_sent_without_waiting_get_their_replies_in_order(stage, server):
    ada, expected = enter(server, "ada", stage.name()), []
    for number in range(125):
        name = f"{number} {stage.text()}"
        for kind, replied in (("post", "ack"), ("ping", "pong"), ("dance", "error")):
            ada.send_json({"type": kind, "id": f"{kind} {name}", "text": name})
            expected.append([replied, f"{kind} {name}"])
        ada.send_json({"type": "history", "id": name, "after": 2**63 - 1})
        expected.append(["messages", name])

    for number, wanted in enumerate(expected, 1):
        reply = ada.receive_json()
        got = [reply.get("type"), reply.get("id")] if isinstance(reply, dict) else reply
        expect(got == wanted, f"{' '.join(wanted)} as reply {number}", reply)
    expect_served(ada, "the last")
    posted = [wanted[1][5:] for wanted in expected if wanted[0] == "ack"]
    texts = [message.get("text") for message in listed(ada, limit=200)]
    expect(texts == posted, "all 125 posts in the history, in their order", f"{len(texts)}")


@task("ack")
def test_no_reply_overtakes_an_earlier_one(stage, server):
    ada = enter(server, "ada", stage.name())
    server.probe(PROBES, "hold_first_add")

    ada.send_json({"type": "post", "id": "slow", "text": stage.text()})
    ada.send("not JSON")
    ada.send_json({"type": "dance", "id": "unknown"})
    ada.send_json({"type": "ping", "id": "quick"})

    for request_id in ("slow", None, "unknown", "quick"):
        reply = ada.receive_json()
        met = isinstance(reply, dict) and reply.get("id") == request_id
        expect(met, f"a reply with the id {json.dumps(request_id)}", reply)


@task("ack")
def test_an_acknowledged_message_survives_a_killed_server(stage, server):
    room = stage.name()
    ada = enter(server, "ada", room)
    message = post(ada, "1", stage.text())

    server.kill()

    found = listed(enter(stage.serve(), "bob", room))
    expect(found == [message], json.dumps([message]), found)


@task("ack")
def test_a_post_without_a_valid_text_is_refused_and_not_stored(stage, server):
    ada = enter(server, "ada", stage.name())

    for request in BAD_POSTS:
        ada.send_json(request)

        detail = expect_error(ada.receive_json(), "bad_message", "1")
        expect("text" in detail, "a detail that names text", detail)
    expect(listed(ada) == [], "nothing stored", "messages")


# again


@task("again", "A post that is sent again is stored once", points=2, needs="ack")
def test_the_same_post_again_gets_the_same_message_and_is_not_stored(stage, server):
    ada, text = enter(server, "ada", stage.name()), stage.text()
    first = post(ada, "1", text)
    other = post(ada, "2", text)

    again = post(ada, "1", text)

    expect(again == first, f"the original message, {json.dumps(first)}", again)
    found = listed(ada)
    expect(found == [first, other], json.dumps([first, other]), found)


@task("again")
def test_an_id_is_remembered_after_a_reconnect_and_a_restart(stage, server):
    room, text = stage.name(), stage.text()
    ada = enter(server, "ada", room)
    first = post(ada, "1", text)
    ada.cut()

    again = post(enter(server, "ada", room), "1", text)
    server.kill()
    ada = enter(stage.serve(), "ada", room)
    expect_conflict(ada, "1", stage.text())
    later = post(ada, "1", text)

    expect(again == first, f"after the reconnect {json.dumps(first)}", again)
    expect(later == first, f"after the restart {json.dumps(first)}", later)
    expect(listed(ada) == [first], "one message in the room", listed(ada))


@task("again")
def test_an_id_that_was_used_for_another_text_or_room_is_a_conflict(stage, server):
    room, other, text = stage.name(), stage.name(), stage.text()
    ada, elsewhere = enter(server, "ada", room), enter(server, "ada", other)
    first = post(ada, "1", text)

    for tab, changed in ((ada, stage.text()), (elsewhere, text), (ada, f"{text} "), (ada, "x")):
        expect_conflict(tab, "1", changed)
        expect_served(tab, "next")
    again, found = post(ada, "1", text), listed(ada) + listed(elsewhere)
    expect(again == first, f"the original message, {json.dumps(first)}", again)
    expect(found == [first], f"only {json.dumps(first)} in both rooms", found)


@task("again")
def test_two_authors_may_use_the_same_id(stage, server):
    room = stage.name()
    pairs = [("ada", "1"), ("bob", "1"), ("ad", "a1"), ("a", "d a1"), ("a d", "a1")]

    posted = [post(enter(server, who, room), each, stage.text()) for who, each in pairs]

    expect(listed(enter(server, "eve", room)) == posted, "one message from each author", posted)


@task("again")
def test_ids_are_compared_character_by_character(stage, server):
    room, posted = stage.name(), []
    ids = ["a", "A", " a", "1", "01", "x" * 63 + "y", "x" * 64, OTTER, "é", "e\u0301", "1.0"]

    for author in ("ada", "Ada"):
        tab = enter(server, author, room)
        posted += [post(tab, request_id, stage.text())["id"] for request_id in ids]

    wanted = f"{len(posted)} messages, one for each author and id"
    expect(len(set(posted)) == len(posted), wanted, sorted(posted))


@task("again")
def test_an_id_is_remembered_after_300_posts_and_for_years(stage, server):
    ada = enter(server, "ada", stage.name())
    text = stage.text()
    first = post(ada, "1", text)
    for number in range(300):
        ada.send_json({"type": "post", "id": f"other {number}", "text": stage.text()})
    for number in range(300):
        acknowledged(ada.receive_json(), f"other {number}")
    database, long_ago = str(stage.scratch / "board.sqlite3"), "2001-01-01T00:00:00.000Z"
    stage.probe(PROBES, "back_date", database, long_ago)

    again = post(ada, "1", text)

    expect(again["id"] == first["id"], f"the message with the id {first['id']}", again)


@task("again")
def test_a_post_from_eight_connections_at_once_is_stored_once(stage, server):
    room, text = stage.name(), stage.text()
    tabs = [enter(server, "ada", room) for _ in range(8)]

    told = in_threads([lambda tab=tab: post(tab, "1", text) for tab in tabs])

    found = listed(tabs[0])
    expect(found == told[:1], "one message in the room", found)
    expect(told == found * 8, "the same message in all eight acks", told)


@task("again")
def test_a_post_to_two_processes_at_once_is_stored_once(stage, server):
    room, text, servers = stage.name(), stage.text(), [server, stage.serve()]
    tabs = [enter(each, "ada", room) for each in servers]
    database = str(stage.scratch / "board.sqlite3")
    server.probe(PROBES, "lock", database, says="a third process holds the write lock")
    for each in servers:
        each.probe(PROBES, "watch_writes")

    posts = [begin(lambda tab=tab: post(tab, "1", text)) for tab in tabs]
    for each in servers:
        wants = lambda each=each: each.probe(PROBES, "wants_to_write")  # noqa: E731
        eventually(wants, "each process to begin a transaction or an insert", lambda: "none")
    server.probe(PROBES, "unlock", says="the third process has released it")

    told = [each.result() for each in posts]
    expect(listed(tabs[0]) == told[:1], "one message in the room", listed(tabs[0]))
    expect(told[0] == told[1], "the same message in both acks", told)


# fault


@task("fault", "When a handler fails, the reply is internal", points=1, needs="ack")
def test_an_exception_in_a_handler_is_logged_and_the_reply_is_internal(stage, server):
    ada = enter(server, "ada", stage.name())

    for error in (
        "RuntimeError",
        "ValueError",
        "KeyError",
        "TypeError",
        "RecursionError",
        "OSError",
        "AttributeError",
        "AssertionError",
        "Overdrawn",
        "RuntimeError",
    ):
        kind, words = stage.name(), stage.text()
        says = f"the handler of {kind} raises {error}"
        server.probe(PROBES, "teach_to_fail", kind, error, words, says=says)
        reply = ask(ada, kind, f"a {kind}")

        detail = expect_error(reply, "internal", f"a {kind}")
        parts = (words, error, "Traceback", ".py", "stumble")
        leaked = [part for part in parts if part in detail]
        expect(not leaked, "a detail that doesn't show the exception", detail)
        expect_served(ada, "next")
        expect_logged(server, f"{error}: ", words)


@task("fault")
def test_a_database_error_does_not_end_the_connection(stage, server):
    words = stage.text()
    ada, bob = (enter(server, name, stage.name()) for name in ("ada", "bob"))
    server.probe(PROBES, "break_store", "add", words, says="the store's add() raises an error")

    reply = ask(ada, "post", "1", text=stage.text())

    expect_error(reply, "internal", "1")
    expect_logged(server, "OperationalError: ", words)
    for person in (ada, bob):
        expect_served(person, "next")


@task("fault")
def test_an_exception_before_the_welcome_closes_with_1011(stage, server):
    words = stage.text()
    says = "the store's last_id() raises an error"
    server.probe(PROBES, "break_store", "last_id", words, says=says)

    ada = server.socket("ada", address(stage.name(), "ada"), subprotocols=PROTOCOL)

    ada.expect_close(1011)
    expect_logged(server, "OperationalError: ", words)


@task("fault")
def test_a_client_that_disconnects_leaves_nothing_and_is_not_an_error(stage, server):
    room, before = stage.name(), server.census()
    ada, logged = enter(server, "ada", room), server.log()

    server.probe(PROBES, "lose_client", says="the next ws.send() meets a broken pipe")
    with suppress(Unmet):  # Without a reply, the app ends the connection.
        for request_id in ("1", "2"):  # An earlier send() may still reply to the first.
            ada.send_json({"type": "ping", "id": request_id})
            ada.receive()
    server.probe(PROBES, "lose_no_more")
    ada.cut()
    for number in range(10):
        bob = enter(server, "bob", room)
        for _ in range(20):
            bob.send_json({"type": "post", "id": f"{number}", "text": stage.text()})
        bob.cut()

    server.expect_census(before)
    log = server.log().removeprefix(logged)
    expect(not log, "nothing in the log, because no code failed", log[-500:])


@task("fault")
def test_all_messages_match_their_description_in_asyncapi_yaml(stage, server):
    file, room, went_by = described("07_protocol", ROOT, stage.folder), stage.name(), []
    broken = stage.name()
    server.probe(PROBES, "teach_to_fail", broken, "RuntimeError", "x")
    ada = server.socket("ada", address(room, "ada"), subprotocols=PROTOCOL)
    requests = [
        {"type": "post", "id": "1", "text": stage.text()},
        {"type": "post", "id": "1", "text": OTTER * 2000, "new": [1]},
        {"type": "history", "id": "2"},
        {"type": "history", "id": "x" * 64, "after": 2**63 - 1, "limit": 200},
        {"type": "ping", "id": OTTER},
    ]
    faulty = [{"type": broken, "id": "3"}, {"type": "dance", "id": "4"}, {"id": "5"}, {}]

    went_by.append(ada.receive_json())
    for request in [*requests, *faulty]:
        ada.send_json(request)
        went_by.append(ada.receive_json())

    kinds = {file.kind(message) for message in [*requests, *went_by]}
    expect(kinds == file.kinds, f"all of {', '.join(sorted(file.kinds))}", sorted(kinds))


# What the tests have in common

# None of these is a JSON object of valid characters, so no id in them can be trusted.
UNREADABLE = [
    "",
    "hi",
    '{"type": "ping", "id": "1"',
    '{"type": "ping", "id": "1"} and more',
    "{'type': 'ping', 'id': '1'}",
    '{"type": "ping", "id": "1",}',
    '{"type": "ping", "id": "1", "x": "a\nb"}',
    '\u00a0{"type": "ping", "id": "1"}\u00a0',
    "null",
    "7",
    '"ping"',
    '[{"type": "ping", "id": "1"}]',
    '{"type": "ping", "id": "1", "id": "2"}',
    '{"id": "1", "type": "ping", "id": "1"}',
    '{"id": "1", "type": "ping", "\\u0069d": "1"}',
    '{"type": "post", "type": "ping", "id": "1"}',
    '{"type": "ping", "id": "1", "x": {"y": 1, "y": 1}}',
    '{"type": "ping", "id": "1", "x": [{"y": 1, "z": 2, "y": 3}]}',
    '{"type": "history", "id": "1", "after": NaN}',
    '{"type": "ping", "id": "1", "x": [Infinity]}',
    '{"type": "ping", "id": "1", "x": -Infinity}',
    '{"type": "ping", "id": "1", "half": "\\ud83e"}',
    '{"type": "ping", "id": "\\udda6"}',
    '{"type": "ping", "id": "1", "\\ud800": 1}',
    '{"type": "ping", "id": "1", "x": [{"y": "\\ud83e"}]}',
    '{"type": "ping", "id": "1", "x": [{"\\udda6": 1}]}',
    "[" * DEEP + "]" * DEEP,
    "[" * DEEP,
    '{"type": ' * 7_000,
]

# Python's version and the parser decide whether these can be read: the error may have the id.
HUGE = [
    '{"type": "history", "id": "1", "after": ' + "9" * 5000 + "}",
    '{"type": "history", "id": "1", "after": ' + "[" * DEEP + "]" * DEEP + "}",
    '{"type": "history", "id": "1", "limit": ' + '{"x":' * DEEP + "1" + "}" * DEEP + "}",
]

# A request that breaks a rule, and the field that breaks it.
BAD_FIELDS = [
    ({}, "id"),
    ({"type": "ping"}, "id"),
    ({"type": "ping", "id": None}, "id"),
    ({"type": "ping", "id": 7}, "id"),
    ({"type": "ping", "id": ["7"]}, "id"),
    ({"type": "ping", "id": ""}, "id"),
    ({"type": "ping", "id": " \t"}, "id"),
    ({"type": "ping", "id": "\u3000"}, "id"),
    ({"type": "ping", "id": {"id": "1"}}, "id"),
    ({"type": "ping", "id": " " + 64 * "x"}, "id"),
    ({"type": "ping", "id": "x" * 65}, "id"),
    ({"id": "1"}, "type"),
    ({"type": None, "id": "1"}, "type"),
    ({"type": " ", "id": "1"}, "type"),
    ({"type": "x" * 65, "id": "1"}, "type"),
    ({"type": 7, "id": "1"}, "type"),
    ({"type": ["ping"], "id": "1"}, "type"),
    ({"type": {"ping": 1}, "id": "1"}, "type"),
    ({"type": "history", "id": "1", "after": "5"}, "after"),
    ({"type": "history", "id": "1", "after": -1}, "after"),
    ({"type": "history", "id": "1", "after": 1.5}, "after"),
    ({"type": "history", "id": "1", "after": True}, "after"),
    ({"type": "history", "id": "1", "after": None}, "after"),
    ({"type": "history", "id": "1", "after": 2**63}, "after"),
    ({"type": "history", "id": "1", "after": float("inf")}, "after"),
    ({"type": "history", "id": "1", "after": {"after": 1}}, "after"),
    ({"type": "history", "id": "1", "limit": 0}, "limit"),
    ({"type": "history", "id": "1", "limit": 201}, "limit"),
    ({"type": "history", "id": "1", "limit": False}, "limit"),
    ({"type": "history", "id": "1", "limit": [50]}, "limit"),
]

BAD_POSTS = [
    {"type": "post", "id": "1"},
    {"type": "post", "id": "1", "text": None},
    {"type": "post", "id": "1", "text": 7},
    {"type": "post", "id": "1", "text": ["hi"]},
    {"type": "post", "id": "1", "text": ""},
    {"type": "post", "id": "1", "text": " \n\t"},
    {"type": "post", "id": "1", "text": "\u3000"},
    {"type": "post", "id": "1", "text": {"text": "hi"}},
    {"type": "post", "id": "1", "text": True},
    {"type": "post", "id": "1", "text": " " + "x" * 2000},
    {"type": "post", "id": "1", "text": "x" * 2001},
    {"type": "post", "id": "1", "text": OTTER * 2001},
]


def address(room: str, author: str) -> str:
    """Return the address of a room for an author."""
    return f"/board/{room}?{urlencode({'author': author})}"


def enter(server: Server, who: str, room: str, offered: list[str] = PROTOCOL) -> Socket:
    """Open a WebSocket in a room as `who`, and read the welcome."""
    socket = server.socket(who, address(room, who), subprotocols=offered)
    reply = socket.receive_json()
    met = isinstance(reply, dict) and reply.get("type") == "welcome"
    expect(met, "a welcome", reply)
    return socket


def ask(socket: Socket, kind: str, request_id: str, **fields: object) -> dict:
    """Send a request and return its reply."""
    socket.send_json({"type": kind, "id": request_id, **fields})
    reply = socket.receive_json()
    expect(isinstance(reply, dict), "a reply that is a JSON object", reply)
    return reply


def post(socket: Socket, request_id: str, text: str) -> dict:
    """Post a text, and return the message that is acknowledged."""
    return acknowledged(ask(socket, "post", request_id, text=text), request_id)


def acknowledged(reply: dict, request_id: str) -> dict:
    """Check the fields of an ack, and return its message."""
    expect(reply.get("type") == "ack", "an ack", reply)
    expect(sorted(reply) == ["id", "message", "type"], "an ack with id and message", reply)
    expect(reply["id"] == request_id, f"an ack with the id {json.dumps(request_id)}", reply)
    message, fields = reply["message"], ["author", "id", "room", "sent_at", "text"]
    met = isinstance(message, dict) and sorted(message) == fields
    expect(met, f"a message with the fields {', '.join(fields)}", reply)
    expect(type(message["id"]) is int, "a message whose id is a whole number", reply)
    return message


def listed(socket: Socket, **fields: int) -> list[dict]:
    """Return the messages that `history` returns."""
    reply = ask(socket, "history", "list", **fields)
    messages = reply.get("messages")
    met = isinstance(messages, list) and all(isinstance(each, dict) for each in messages)
    expect(met, '{"type": "messages", "id": "list", "messages": […], "next": …}', reply)
    return messages


def expect_served(socket: Socket, request_id: str) -> None:
    """Assert that no reply is missing, and that the next request is served."""
    socket.send_json({"type": "ping", "id": request_id})
    socket.expect_json({"type": "pong", "id": request_id})


def expect_error(reply: object, code: str, *ids: str | None) -> str:
    """Assert that a reply is an error with one of the ids, and return its detail."""
    met = isinstance(reply, dict) and reply.get("type") == "error" and reply.get("code") == code
    expect(met, f'an error with the code "{code}"', reply)
    fields = ["code", "detail", "id", "type"]
    expect(sorted(reply) == fields, f"an error with the fields {', '.join(fields)}", reply)
    wanted = " or ".join(json.dumps(each) for each in ids)
    expect(reply["id"] in ids, f'an error with "id": {wanted}', reply)
    detail = reply["detail"]
    met = isinstance(detail, str) and bool(detail.strip())
    expect(met, "a detail that says what is wrong", reply)
    return detail


def expect_conflict(socket: Socket, request_id: str, text: str) -> None:
    """Assert that a post with an id that was used before is refused."""
    try:
        reply = ask(socket, "post", request_id, text=text)
    except Unmet as unmet:
        next = "If add() raised Conflict, catch it in post() and refuse it."
        raise Unmet('an error with the code "conflict"', unmet.got, next) from None
    expect_error(reply, "conflict", request_id)


def stored(stage: Stage, room: str, author: str) -> dict:
    """Store a message in the board's database, and return it."""
    database = str(stage.scratch / "board.sqlite3")
    return stage.probe(PROBES, "keep", database, room, author, stage.text())


def expect_logged(server: Server, *parts: str) -> None:
    """Assert that an error is in the log, with its traceback."""
    log = server.log()
    met = all(part in log for part in ("Traceback", *parts))
    expect(met, f"a traceback that ends in {''.join(parts)} on stderr", log[-500:] or "nothing")
