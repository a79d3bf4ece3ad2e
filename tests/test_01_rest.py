"""Lesson 1: a message board over REST. These tests are the lesson's specification."""

import json
import re
from datetime import UTC, datetime, timedelta
from urllib.parse import urljoin

import pytest

from course.grading import Answer, Client, expect, task
from course.grading.stage import in_threads

JSON = {"Content-Type": "application/json"}


@pytest.fixture
def ada(stage) -> Client:
    """Ada, who uses the board."""
    return stage.serve().client("ada")


def post(person: Client, room: str, text: str) -> dict:
    """Post a message and return it as the board answered it."""
    answer = person.post(f"/rooms/{room}/messages", {"author": person.who, "text": text})
    return message_in(answer)


def message_in(answer: Answer) -> dict:
    """Return the message that a post was answered with."""
    message = answer.json(201)
    fields = ["author", "id", "room", "sent_at", "text"]
    expect(isinstance(message, dict), "the message as a JSON object", message)
    expect(sorted(message) == fields, f"a message with the fields {', '.join(fields)}", message)
    expect(type(message["id"]) is int, "an id that is a whole number", message)
    return message


def address_in(answer: Answer) -> str:
    """Return the Location of an answer, which may be relative to what was asked for."""
    expect("Location" in answer.headers, "a Location header", dict(answer.headers))
    return urljoin(answer.url, answer.headers["Location"])


def page_of(person: Client, room: str, **query: int) -> dict:
    """Return one page of the room's messages."""
    page = person.get(f"/rooms/{room}/messages", **query).json()
    met = isinstance(page, dict) and isinstance(page.get("messages"), list)
    expect(met, '{"messages": [...], "next": id}', page)
    return page


def cursor_of(page: dict) -> int:
    """Return the page's `next`."""
    cursor = page.get("next")
    expect(type(cursor) is int, "`next` to be a whole number", json.dumps(cursor))
    return cursor


def expect_nothing_kept(person: Client, last: dict) -> None:
    """Hold that what was refused left nothing behind this message, and spent no id."""
    page = page_of(person, last["room"])
    expect(page["messages"] == [last], f"no message after the id {last['id']}", page)
    following = post(person, last["room"], "after the refusals")["id"]
    expect(following == last["id"] + 1, f"the id {last['id'] + 1} for the next post", following)


def followed(person: Client, room: str, after: int, limit: int) -> list[dict]:
    """Return all messages after a cursor, page by page, each page asked for with `next`."""
    messages: list[dict] = []
    for _ in range(50):
        page = page_of(person, room, after=after, limit=limit)
        if not page["messages"]:
            return messages
        messages += page["messages"]
        after = cursor_of(page)
    expect(False, "to reach the end of the room by following `next`", "50 pages, and no end")
    return messages


# create


@task("create", "A posted message is kept and gets an address", points=2)
def test_a_post_is_answered_201_with_the_message_and_its_location(stage, ada):
    room, text = stage.name(), stage.text()
    before = datetime.now(UTC)

    answer = ada.post(f"/rooms/{room}/messages", {"author": "ada", "text": text})

    message = message_in(answer)
    expected = {**message, "room": room, "author": "ada", "text": text}
    answer.expect_json(expected, 201)
    address = f"{answer.url}/{message['id']}"
    expect(address_in(answer) == address, f"Location: {address}", answer.headers["Location"])
    expect_time(message["sent_at"], before, datetime.now(UTC))


def expect_time(sent_at: object, earliest: datetime, latest: datetime) -> None:
    """Hold that a time is RFC 3339 in UTC, and that of the post."""
    try:
        met = re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", sent_at)
        when = datetime.fromisoformat(sent_at)
    except (TypeError, ValueError):
        met = None
    expect(bool(met), "sent_at in UTC, such as 2026-11-23T10:00:00Z", sent_at)
    near = earliest - timedelta(seconds=1) <= when <= latest + timedelta(seconds=1)
    expect(near, f"sent_at to be the time of the post, {earliest:%Y-%m-%dT%H:%M:%SZ}", sent_at)


@task("create")
def test_ids_rise_by_one_for_each_message_of_the_board(stage, ada):
    here, there = stage.name(), stage.name()
    first = post(ada, there, "the same")

    paths = [f"/rooms/{room}/messages" for room in (here, here, there)]
    answers = [ada.post(path, {"author": "ada", "text": "the same"}) for path in paths]

    ids = [message_in(answer)["id"] for answer in answers]
    expected = [first["id"] + n for n in (1, 2, 3)]
    expect(ids == expected, f"the ids {expected}, one higher each", ids)
    addresses = [address_in(answer) for answer in answers]
    expected = [f"{answer.url}/{id}" for answer, id in zip(answers, ids, strict=True)]
    expect(addresses == expected, f"the Locations {expected}", addresses)


@task("create")
def test_author_and_text_come_back_as_they_were_sent(stage, ada):
    texts = [
        "  two  Spaces ",
        "one\ntwo\r\nthree\tfour",
        "<b>bold</b> & 'quoted' \\",
        "Grüße, 日本, 🦦",
        "e\u0301, \ufb01",  # é of two characters, and fi of one
    ]
    for text in texts:
        answer = ada.post(f"/rooms/{stage.name()}/messages", {"author": text, "text": text})

        message = message_in(answer)
        got = [message["author"], message["text"]]
        expect(got == [text, text], f"{text!r} as the author and as the text", got)


# read


@task("read", "A message is read at its address", points=1, needs="create")
def test_the_location_of_a_message_leads_to_it(stage, ada):
    path = f"/rooms/{stage.name()}/messages"
    texts = [f" <b>{stage.text()}</b>" for _ in range(52)]
    answers = [ada.post(path, {"author": "ada", "text": text}) for text in texts]

    for answer in (answers[0], answers[50]):
        again = ada.get(address_in(answer))

        again.expect_json(message_in(answer))


@task("read")
def test_a_message_that_is_not_there_is_404(stage, ada):
    message = post(ada, stage.name(), stage.text())

    for unknown in (message["id"] + 1, 0, 2**63):
        answer = ada.get(f"/rooms/{message['room']}/messages/{unknown}")

        answer.expect_status(404)


# list


@task("list", "A room's messages are listed, oldest first", points=2, needs="create")
def test_a_room_is_listed_oldest_first_and_50_unless_told(stage, ada):
    room = stage.name()
    messages = [post(ada, room, f" <b>{stage.text()}</b>" * 40) for _ in range(52)]

    for query, count in (({}, 50), ({"limit": 7}, 7), ({"limit": 200}, 52)):
        listed = page_of(ada, room, **query)["messages"]

        expect_messages(listed, messages[:count])


def expect_messages(got: list, messages: list[dict]) -> None:
    """Hold that these messages are listed, in this order."""
    ids = [message.get("id") if isinstance(message, dict) else message for message in got]
    wanted = [message["id"] for message in messages]
    expect(len(ids) == len(wanted), f"{len(wanted)} messages", f"{len(ids)} messages")
    expect(ids == wanted, f"the ids {wanted}, oldest first", ids)
    expect(got == messages, "each message as it was posted", got)


@task("list")
def test_a_room_without_messages_is_an_empty_list(stage, ada):
    page = page_of(ada, stage.name())

    expect(page["messages"] == [], "no messages", page)


# cursor


@task("cursor", "Following `next` gives every message once", points=2, needs="list")
def test_following_next_gives_every_message_once_and_in_order(stage, ada):
    room, other = stage.name(), stage.name()
    messages = []
    for _ in range(4):
        messages += [post(ada, room, stage.text()), post(ada, room, stage.text())]
        post(ada, other, "elsewhere")

    fifth = messages[4]["id"]
    page = page_of(ada, room, after=fifth)
    later, last = page["messages"], messages[-1]["id"]
    expect(later == messages[5:], f"with after={fifth} the messages with a higher id", later)
    expect(cursor_of(page) == last, f"as `next` the last message's id, {last}", page["next"])
    for limit in (1, 3, 7):
        seen = followed(ada, room, after=0, limit=limit)

        ids = [message.get("id") for message in seen]
        expected = [message["id"] for message in messages]
        expect(seen == messages, f"the ids {expected}, in pages of {limit}", ids)


@task("cursor")
def test_a_message_that_comes_later_is_found_from_the_last_cursor(stage, ada):
    room, other = stage.name(), stage.name()
    post(ada, other, "elsewhere")
    cursor = cursor_of(page_of(ada, room))
    early = post(ada, room, "early")
    page = page_of(ada, room, after=cursor)
    expect(page["messages"] == [early], "the message after the cursor of an empty room", page)
    post(ada, other, "elsewhere")
    still = page_of(ada, room, after=cursor_of(page))
    expect(still["messages"] == [], f"no messages after {page['next']}", still)

    late = post(ada, room, stage.text())

    page = page_of(ada, room, after=cursor_of(still))
    expect(page["messages"] == [late], "the late message, after the cursor of an empty page", page)


@task("cursor")
def test_any_number_is_a_cursor_whoever_has_that_id(stage, ada):
    room = stage.name()
    post(ada, room, "early")
    elsewhere = post(ada, stage.name(), "elsewhere")["id"]

    for after in (elsewhere, 2**63 - 1):
        page = page_of(ada, room, after=after)
        expect(page["messages"] == [], f"no message with an id above {after}", page)

    empty = page_of(ada, room, after=elsewhere)
    late = post(ada, room, "late")
    page = page_of(ada, room, after=cursor_of(empty))
    expect(page["messages"] == [late], f"the message after {empty['next']}", page)


# refuse


@task("refuse", "Bad input is refused with a problem document", points=3, needs=("create", "list"))
def test_a_post_that_is_no_message_is_400_and_keeps_nothing(stage, ada):
    before = post(ada, stage.name(), "before")
    path = f"/rooms/{before['room']}/messages"
    bad = [
        b"",
        b"not json",
        b'{"author": "ada", "text": "hi"',
        b'{"author": "ada", "text": "hi"} and more',
        b"[" * 9000,
        b"\xff\xfe",
        b'{"author": "ada", "text": "caf\xe9"}',
        b'{"author": "ada", "text": "\\ud83e"}',
        b"null",
        b'["ada", "hi"]',
        b'{"text": "hi"}',
        b'{"author": "ada"}',
        b'{"author": "", "text": "hi"}',
        b'{"author": " \\t", "text": "hi"}',
        b'{"author": "ada", "text": ""}',
        b'{"author": "ada", "text": " \\n\\t"}',
        b'{"author": "ada", "text": "\\u00a0\\u3000"}',
        b'{"author": "ada", "text": null}',
        b'{"author": null, "text": "hi"}',
        b'{"author": "ada", "text": true}',
        b'{"author": 7, "text": "hi"}',
        b'{"author": "ada", "text": ["hi"]}',
    ]

    for body in bad:
        ada.request("POST", path, body, headers=JSON).expect_problem(400)

    expect_nothing_kept(ada, before)


@task("refuse")
def test_a_number_that_is_none_or_out_of_range_is_400(stage, ada):
    path = f"/rooms/{stage.name()}/messages"
    for after in ("-1", "x", "1.5", "²", "", 2**63, "9" * 30):
        ada.get(path, after=after).expect_problem(400)

    for limit in ("0", "201", "-5", "ten", "", "1e1"):
        ada.get(path, limit=limit).expect_problem(400)

    for query in ({"after": 0, "limit": 1}, {"after": 2**63 - 1, "limit": 200}):
        ada.get(path, **query).expect_status(200)


@task("refuse")
def test_a_text_that_is_too_long_is_422(stage, ada):
    before = post(ada, stage.name(), "before")
    path = f"/rooms/{before['room']}/messages"

    for text in ("x" * 2001, "x" * 1999 + "  "):
        answer = ada.post(path, {"author": "ada", "text": text})
        answer.expect_problem(422, next="The text has 2,001 characters, one too many.")

    expect_nothing_kept(ada, before)


@task("refuse")
def test_a_body_that_is_too_large_is_413(stage, ada):
    before = post(ada, stage.name(), "before")
    path = f"/rooms/{before['room']}/messages"
    too_big = b'{"author": "ada", "text": "hi"}'.ljust(32 * 1024 + 1)

    ada.request("POST", path, too_big, headers=JSON).expect_problem(413)
    ada.post(path, {"author": "🦦" * 8192, "text": "hi"}).expect_problem(413)
    chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(too_big), too_big)
    answer = ada.request("POST", path, chunks, headers={**JSON, "Transfer-Encoding": "chunked"})
    answer.expect_problem(411 if answer.status == 411 else 413)

    expect_nothing_kept(ada, before)


@task("refuse")
def test_a_body_that_is_not_json_by_its_type_is_415(stage, ada):
    before = post(ada, stage.name(), "before")
    path = f"/rooms/{before['room']}/messages"
    body = b'{"author": "ada", "text": "hi"}'

    for other in ("text/plain", "application/json-seq"):
        ada.request("POST", path, body, headers={"Content-Type": other}).expect_problem(415)

    expect_nothing_kept(ada, before)


@task("refuse")
def test_what_is_as_long_as_it_may_be_is_accepted(stage, ada):
    path = f"/rooms/{stage.name()}/messages"
    longest = {"author": "ada", "text": "🦦" * 2000}
    escaped = json.dumps(longest).encode()  # 24,031 bytes, 12 for each character
    biggest = b'{"author": "ada", "text": "hi"}'.ljust(32 * 1024)
    with_charset = {"Content-Type": "application/json; charset=utf-8"}

    answers = [ada.post(path, longest), ada.request("POST", path, escaped, headers=JSON)]
    ada.request("POST", path, biggest, headers=with_charset).expect_status(201)

    for answer in answers:
        answer.expect_status(201, next="The text has 2,000 characters, which are accepted.")
        text = message_in(answer)["text"]
        expect(text == longest["text"], "2000 characters, each 🦦", f"{len(text)} characters")


@task("refuse")
def test_an_unknown_place_is_404_and_a_wrong_method_405(stage, ada):
    message = post(ada, stage.name(), "hi")
    path = f"/rooms/{message['room']}/messages"

    ada.get("/nothing").expect_problem(404)
    ada.get(f"{path}/{message['id'] + 1}").expect_problem(404)
    for name in ("Lobby", "a_b", "a.b", "x" * 33, "caf%C3%A9", "%D9%A3", "a%20b", "a%0A"):
        ada.get(f"/rooms/{name}/messages").expect_problem(404)
        ada.post(f"/rooms/{name}/messages", {"author": "ada", "text": "hi"}).expect_problem(404)
    for address in (path, f"{path}/{message['id']}"):
        ada.request("DELETE", address).expect_problem(405)


# rooms


@task("rooms", "One room never shows another's messages", points=1, needs=("read", "list"))
def test_each_room_shows_its_own_messages_and_no_other(stage, ada):
    name = stage.name()
    rooms = ["0", "-", "a" * 32, "a" * 31 + "b", name, name + "-2", "x" + name]

    messages = {room: post(ada, room, stage.text()) for room in rooms}

    for room, message in messages.items():
        listed = page_of(ada, room)["messages"]
        expect(listed == [message], f"the one message of {room}", listed)


@task("rooms")
def test_a_message_is_not_found_in_another_room(stage, ada):
    room = stage.name()
    message = post(ada, room, stage.text())

    alike = (room + "-2", "x" + room, room[:-1], room[1:], room[::-1], room.replace("-", ""))
    for other in (stage.name(), *alike):
        post(ada, other, "elsewhere")
        answer = ada.get(f"/rooms/{other}/messages/{message['id']}")

        answer.expect_status(404)


# keep


@task("keep", "What was answered 201 is kept", points=2, needs=("read", "list"))
def test_a_killed_and_restarted_server_has_every_message_it_answered_201_for(stage):
    server, room = stage.serve(), stage.name()
    before = [post(server.client("ada"), room, stage.text()) for _ in range(3)]

    server.kill()
    bob = stage.serve().client("bob")

    kept = page_of(bob, room)["messages"]
    expect(kept == before, "the 3 messages from before the restart", kept)
    for message in before:
        bob.get(f"/rooms/{room}/messages/{message['id']}").expect_json(message)
    following = post(bob, room, "after")["id"]
    expect(following == before[-1]["id"] + 1, f"the id {before[-1]['id'] + 1}", following)


@task("keep")
def test_200_posts_from_20_threads_are_200_messages_in_one_order(stage):
    server, room = stage.serve(), stage.name()
    people = [server.client(f"p{n}", seconds=30) for n in range(20)]

    def ten_posts(person: Client) -> list[dict]:
        return [post(person, room, f"{person.who} says {n}") for n in range(10)]

    by_person = in_threads([lambda p=p: ten_posts(p) for p in people])
    posted = [message for messages in by_person for message in messages]

    kept = page_of(server.client("ada"), room, limit=200)["messages"]
    ids = [message["id"] for message in posted]
    expect(len(set(ids)) == 200, "200 different ids", f"{len(set(ids))} different ids")
    first = min(ids)
    rising = [message.get("id") for message in kept]
    expect(rising == list(range(first, first + 200)), "all 200, ids rising by one", rising)
    expect(
        sorted(kept, key=lambda m: m["id"]) == sorted(posted, key=lambda m: m["id"]),
        "the messages as they were answered",
        "others",
    )
    for person in people:
        own = [message["text"] for message in kept if message["author"] == person.who]
        in_order = [f"{person.who} says {n}" for n in range(10)]
        expect(own == in_order, f"{person.who}'s messages in the order of posting", own)
