"""Lesson 1: a message board over REST. These tests are the lesson's specification."""

import json
import re
from datetime import UTC, datetime, timedelta
from urllib.parse import urljoin

import pytest

from course.grading import Answer, Client, expect, task
from course.grading.expect import Unmet
from course.grading.waiting import in_threads

JSON = {"Content-Type": "application/json"}
FIELDS = ["author", "id", "room", "sent_at", "text"]
MAX_BODY = 32 * 1024  # bytes
LARGEST = 2**63 - 1  # the largest id


@pytest.fixture
def ada(stage) -> Client:
    """Ada, a client of the board."""
    return stage.serve().client("ada")


def post(person: Client, room: str, text: str) -> dict:
    """Post a message, and return the one in the response."""
    answer = person.post(f"/rooms/{room}/messages", {"author": person.who, "text": text})
    return message_in(answer)


def message_in(answer: Answer) -> dict:
    """Return the message in the response to a post."""
    message = answer.json(201)
    expect(isinstance(message, dict), "the message as a JSON object", message)
    expect(sorted(message) == FIELDS, f"a message with the fields {', '.join(FIELDS)}", message)
    expect(type(message["id"]) is int, "an id that is a whole number", message)
    return message


def address_in(answer: Answer) -> str:
    """Return the Location of a response, which may be relative to the request."""
    expect("Location" in answer.headers, "a Location header", dict(answer.headers))
    return urljoin(answer.url, answer.headers["Location"])


def page_of(person: Client, room: str, **query: int) -> dict:
    """Return one page of the room's messages."""
    page = person.get(f"/rooms/{room}/messages", **query).json()
    met = isinstance(page, dict) and isinstance(page.get("messages"), list)
    expect(met, '{"messages": [...], "next": id}', page)
    return page


# create


@task("create", "A post returns 201 with the message and its URL", points=2)
def test_a_post_returns_201_with_the_message_and_its_location(stage, ada):
    for room in (stage.name(), "-" + stage.name() + "-"):
        text, before = stage.text(), datetime.now(UTC)

        answer = ada.post(f"/rooms/{room}/messages", {"author": "ada", "text": text})

        message = message_in(answer)
        answer.expect_json({**message, "room": room, "author": "ada", "text": text}, 201)
        address = f"{answer.url}/{message['id']}"
        expect(address_in(answer) == address, f"Location: {address}", answer.headers["Location"])
        expect_time(message["sent_at"], before, datetime.now(UTC))


@task("create")
def test_ids_increase_by_one_with_each_message_on_the_board(stage, ada):
    here, there = stage.name(), stage.name()
    first = post(ada, there, "the same")

    paths = [f"/rooms/{room}/messages" for room in (here, here, there)]
    answers = [ada.post(path, {"author": "ada", "text": "the same"}) for path in paths]

    ids = [message_in(answer)["id"] for answer in answers]
    expected = [first["id"] + n for n in (1, 2, 3)]
    expect(ids == expected, f"the ids {expected}, each one higher than the last", ids)
    addresses = [address_in(answer) for answer in answers]
    expected = [f"{answer.url}/{id}" for answer, id in zip(answers, ids, strict=True)]
    expect(addresses == expected, f"the Locations {expected}", addresses)


@task("create")
def test_author_and_text_are_returned_as_they_were_sent(stage, ada):
    texts = [
        "  two  Spaces ",
        "one\ntwo\r\nthree\tfour\rfive\u2028six",
        "<b>bold</b> & 'quoted' \"twice\" \\ {0} %s",
        "Grüße, 日本, 🦦, 👩\u200d🚀",
        "e\u0301, \ufb01, \u212b",  # é of two code points, the ligature fi, and the Ångström sign
        "\ufeff\x00 \x7f",
        "007",
        f"{stage.text()} 🦦" * 60,
    ]
    for text in texts:
        answer = ada.post(f"/rooms/{stage.name()}/messages", {"author": text, "text": text})

        message = message_in(answer)
        got = [message["author"], message["text"]]
        expect(got == [text, text], f"{text!r} as the author and as the text", got)


@task("create")
def test_other_fields_of_the_body_are_ignored(stage, ada):
    first, room = post(ada, stage.name(), "first"), stage.name()
    body = {"author": "ada", "text": stage.text(), "id": 999, "room": "other", "sent_at": "never"}
    before = datetime.now(UTC)

    answer = ada.post(f"/rooms/{room}/messages", {**body, "color": ["red"], "text ": "other"})

    message = message_in(answer)
    expected = {**message, "id": first["id"] + 1, "room": room, "text": body["text"]}
    answer.expect_json(expected, 201, next="Take only author and text from the body.")
    expect_time(message["sent_at"], before, datetime.now(UTC))


# read


@task("read", "A message is read at its URL", points=2, needs="create")
def test_the_location_leads_to_the_message_however_many_there_are(stage, ada):
    path = f"/rooms/{stage.name()}/messages"
    texts = [" <b>ü🦦</b>\n".ljust(1900), *(stage.text() for _ in range(279))]
    first = ada.post(path, {"author": "Ada ", "text": texts[0]})
    ada.get(address_in(first)).expect_json(message_in(first))
    with stage.wire.only_what_fails():
        more = [ada.post(path, {"author": "Ada ", "text": text}) for text in texts[1:]]
    stage.wire.happened("ada", f"{len(more)} more messages posted")
    answers = [first, *more]

    for answer in (answers[0], answers[70], answers[-1]):
        again = ada.get(address_in(answer))

        again.expect_json(message_in(answer))


@task("read")
def test_an_unknown_message_is_404(stage, ada):
    message = post(ada, stage.name(), stage.text())

    for unknown in (0, message["id"] + 1, LARGEST, LARGEST + 1, 10**30):
        answer = ada.get(f"/rooms/{message['room']}/messages/{unknown}")

        answer.expect_status(404)


@task("read")
def test_a_message_that_was_404_is_found_once_it_is_posted(stage, ada):
    room = stage.name()
    first = post(ada, room, "first")
    address = f"/rooms/{room}/messages/{first['id'] + 1}"
    ada.get(address).expect_status(404)

    second = post(ada, room, "second")

    ada.get(address).expect_json(second)


@task("read")
def test_a_message_is_not_found_in_another_room(stage, ada):
    room = stage.name()
    message = post(ada, room, stage.text())

    for other in (stage.name(), *similar(room)):
        post(ada, other, "elsewhere")
        answer = ada.get(f"/rooms/{other}/messages/{message['id']}")

        answer.expect_status(404)


# list


@task("list", "A room's messages are listed, oldest first", points=2, needs="create")
def test_a_room_is_listed_oldest_first_in_pages_of_50_or_limit(stage, ada):
    room = stage.name()
    texts = [" <b>ü🦦</b>\n".ljust(1900), *(stage.text() for _ in range(204))]
    messages = [post(ada, room, texts[0])]
    expect_messages(page_of(ada, room)["messages"], messages)
    with stage.wire.only_what_fails():
        messages += [post(ada, room, text) for text in texts[1:]]
    stage.wire.happened("ada", f"{len(texts) - 1} more messages posted")

    for query, count in (({}, 50), ({"limit": 1}, 1), ({"limit": 199}, 199), ({"limit": 200}, 200)):
        listed = page_of(ada, room, **query)["messages"]

        expect_messages(listed, messages[:count])


@task("list")
def test_a_room_without_messages_has_an_empty_list(stage, ada):
    room = stage.name()
    post(ada, room, "elsewhere")

    for other in (stage.name(), *similar(room)):
        page = page_of(ada, other)

        expect(page["messages"] == [], "no messages", page)


@task("list")
def test_each_room_lists_its_own_messages_and_no_others(stage, ada):
    name = stage.name()
    rooms = ["0", "-", "a" * 32, "a" * 31 + "b", name, *similar(name)]

    messages = {room: post(ada, room, stage.text()) for room in rooms}

    for room, message in messages.items():
        listed = page_of(ada, room)["messages"]
        expect(listed == [message], f"the one message of {room}", listed)


# cursor


@task("cursor", "Following `next` gives every message once", points=2, needs="list")
def test_following_next_gives_every_message_once_and_in_order(stage, ada):
    room, other = stage.name(), stage.name()
    messages = []
    for _ in range(30):
        messages += [post(ada, room, stage.text()), post(ada, room, stage.text())]
        post(ada, other, "elsewhere")

    fifth = messages[4]["id"]
    page = page_of(ada, room, after=fifth, limit=3)
    later, last = page["messages"], messages[7]["id"]
    expect(
        later == messages[5:8], f"the messages with an id above {fifth} for after={fifth}", later
    )
    expect(
        cursor_of(page) == last, f"`next` to be {last}, the id of the last message", page["next"]
    )
    for limit in (1, 7, 50, 60, 200):
        seen = followed(ada, room, after=0, limit=limit)

        ids = ids_of(seen)
        expected = [message["id"] for message in messages]
        expect(seen == messages, f"the ids {expected}, in pages of {limit}", ids)


@task("cursor")
def test_an_empty_page_returns_the_cursor_that_was_requested(stage, ada):
    room = stage.name()
    expect_empty(page_of(ada, room), 0)
    early = post(ada, room, "early")["id"]
    elsewhere = post(ada, stage.name(), "elsewhere")["id"]

    for after in (early, elsewhere, elsewhere + 1000, LARGEST):
        expect_empty(page_of(ada, room, after=after), after)


@task("cursor")
def test_a_message_that_is_posted_later_is_found_from_the_last_cursor(stage, ada):
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


# refuse


@task("refuse", "Bad input is rejected with a problem document", points=3, needs=("create", "list"))
def test_a_post_that_is_not_a_message_is_400_and_stores_nothing(stage, ada):
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
        b'{"author": "\\udda6", "text": "hi"}',
        b"null",
        b"7",
        b'"author text"',
        b'["ada", "hi"]',
        b'["author", "text"]',
        b'[["author", "ada"], ["text", "hi"]]',
        b'{"text": "hi"}',
        b'{"author": "ada"}',
        b'{"Author": "ada", "Text": "hi"}',
        b'{"author": "", "text": "hi"}',
        b'{"author": " \\t", "text": "hi"}',
        b'{"author": "\\u2003", "text": "hi"}',
        b'{"author": "ada", "text": ""}',
        b'{"author": "ada", "text": " \\n\\t"}',
        b'{"author": "ada", "text": "\\u00a0\\u3000"}',
        b'{"author": "ada", "text": null}',
        b'{"author": null, "text": "hi"}',
        b'{"author": "ada", "text": true}',
        b'{"author": 7, "text": "hi"}',
        b'{"author": "ada", "text": 1.5}',
        b'{"author": "ada", "text": ["hi"]}',
        b'{"author": ["ada"], "text": "hi"}',
        b'{"author": {"name": "ada"}, "text": "hi"}',
        b'{"author": "ada", "text": {}}',
    ]

    for body in bad:
        ada.request("POST", path, body, headers=JSON).expect_problem(400)

    expect_nothing_stored(ada, before)


@task("refuse")
def test_an_after_or_limit_that_is_not_a_whole_number_in_range_is_400(stage, ada):
    path = f"/rooms/{stage.name()}/messages"
    odd = ("", "x", "1.5", "²", "٣", "1_0", " 1", "1\n", "+1", "1e1", "0x1", "9" * 5000)
    for after in (*odd, "-1", LARGEST + 1, "9" * 30):
        ada.get(path, after=after).expect_problem(400)

    for limit in (*odd, "0", "201", "-5", LARGEST):
        ada.get(path, limit=limit).expect_problem(400)

    for query in ({"after": 0, "limit": 1}, {"after": 10**18}, {"after": LARGEST, "limit": 200}):
        ada.get(path, **query).expect_status(200)


@task("refuse")
def test_a_text_that_is_too_long_is_422(stage, ada):
    before = post(ada, stage.name(), "before")
    path = f"/rooms/{before['room']}/messages"

    for text in ("x" * 2001, "x" * 1999 + "  ", "🦦" * 2001, "👩\u200d🚀" * 667):
        answer = ada.post(path, {"author": "ada", "text": text})
        answer.expect_problem(422, next="The text has 2,001 characters, one too many.")

    expect_nothing_stored(ada, before)


@task("refuse")
def test_a_body_that_is_too_large_is_413(stage, ada):
    before = post(ada, stage.name(), "before")
    path = f"/rooms/{before['room']}/messages"
    too_large = b'{"author": "ada", "text": "hi"}'.ljust(MAX_BODY + 1)

    ada.request("POST", path, too_large, headers=JSON).expect_problem(413)
    ada.post(path, {"author": "🦦" * 8192, "text": "hi"}).expect_problem(413)
    chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(too_large), too_large)
    answer = ada.request("POST", path, chunks, headers={**JSON, "Transfer-Encoding": "chunked"})
    answer.expect_problem(411 if answer.status == 411 else 413)

    expect_nothing_stored(ada, before)


@task("refuse")
def test_a_content_type_other_than_json_is_415(stage, ada):
    before = post(ada, stage.name(), "before")
    path = f"/rooms/{before['room']}/messages"
    body = b'{"author": "ada", "text": "hi"}'
    form = "application/x-www-form-urlencoded"

    for other in ("text/plain", form, "application/json-seq", "application/jsonp", "json"):
        ada.request("POST", path, body, headers={"Content-Type": other}).expect_problem(415)
    ada.request("POST", path, body).expect_problem(415)

    expect_nothing_stored(ada, before)


@task("refuse")
def test_a_body_and_a_text_of_the_maximum_length_are_accepted(stage, ada):
    room = stage.name()
    path = f"/rooms/{room}/messages"
    longest = {"author": "ada", "text": "🦦" * 2000}
    escaped = json.dumps(longest).encode()  # more than 24,000 bytes: 12 for each character
    largest = b'{"author": "ada", "text": "hi"}'.ljust(MAX_BODY)

    answers = [ada.post(path, longest), ada.request("POST", path, escaped, headers=JSON)]
    for kind in ("application/json; charset=utf-8", "Application/JSON"):
        ada.request("POST", path, largest, headers={"Content-Type": kind}).expect_status(201)

    for answer in answers:
        answer.expect_status(201, next="The text has 2,000 characters, which are accepted.")
        text = message_in(answer)["text"]
        expect(text == longest["text"], "2,000 characters, each 🦦", f"{len(text)} characters")
    listed = page_of(ada, room)["messages"]
    expect_messages(listed[:2], [message_in(answer) for answer in answers])


@task("refuse")
def test_an_unknown_address_is_404_and_a_wrong_method_is_405(stage, ada):
    message = post(ada, stage.name(), "hi")
    path = f"/rooms/{message['room']}/messages"

    ada.get("/nothing").expect_problem(404)
    ada.get(f"{path}/{message['id'] + 1}").expect_problem(404)
    for name in ("Lobby", "a_b", "a.b", "x" * 33, "caf%C3%A9", "%D9%A3", "a%20b", "a%0A", "%C2%B2"):
        ada.get(f"/rooms/{name}/messages").expect_problem(404)
        ada.get(f"/rooms/{name}/messages/{message['id']}").expect_problem(404)
        ada.post(f"/rooms/{name}/messages", {"author": "ada", "text": "hi"}).expect_problem(404)
    for method in ("DELETE", "PUT", "PATCH"):
        ada.request(method, path).expect_problem(405)
        ada.request(method, f"{path}/{message['id']}").expect_problem(405)
    ada.post(f"{path}/{message['id']}", {"author": "ada", "text": "hi"}).expect_problem(405)


# keep


@task("keep", "No message is lost after its post returned 201", points=2, needs=("read", "list"))
def test_a_restarted_server_has_every_message_that_it_returned_with_201(stage):
    server, room = stage.serve(), stage.name()
    before = [post(server.client("ada"), room, stage.text()) for _ in range(3)]

    server.kill()
    bob = stage.serve().client("bob")

    stored = page_of(bob, room)["messages"]
    expect(stored == before, "the 3 messages from before the restart", stored)
    for message in before:
        bob.get(f"/rooms/{room}/messages/{message['id']}").expect_json(message)
    following = post(bob, room, "after")["id"]
    expect(following == before[-1]["id"] + 1, f"the id {before[-1]['id'] + 1}", following)


@task("keep")
def test_a_server_that_is_killed_during_a_post_loses_no_earlier_message(stage):
    room, posted = stage.name(), []
    for _ in range(3):
        server = stage.serve()
        large = {"author": "🦦" * 7000, "text": "hi"}
        posted += [message_in(server.client("ada").post(f"/rooms/{room}/messages", large))]
        posted += posted_until_killed(server, room, large)

    stored = page_of(stage.serve().client("bob"), room, limit=200)["messages"]

    lost = [id for id in ids_of(posted) if id not in ids_of(stored)]
    expect(not lost, "every message that returned 201", f"all but those with the ids {lost}")


@task("keep")
def test_200_posts_from_20_threads_are_stored_in_one_order(stage):
    server, room = stage.serve(), stage.name()
    people = [server.client(f"p{n}", seconds=30) for n in range(20)]

    def ten_posts(person: Client) -> list[Answer]:
        bodies = [{"author": person.who, "text": f"{person.who} says {n}"} for n in range(10)]
        return [person.post(f"/rooms/{room}/messages", body) for body in bodies]

    answers = [a for some in in_threads([lambda p=p: ten_posts(p) for p in people]) for a in some]
    posted = [message_in(answer) for answer in answers]

    stored = page_of(server.client("ada"), room, limit=200)["messages"]
    ids = [message["id"] for message in posted]
    expect(len(set(ids)) == 200, "200 different ids", f"{len(set(ids))} different ids")
    rising = ids_of(stored)
    expect(rising == list(range(min(ids), min(ids) + 200)), "all 200, with consecutive ids", rising)
    by_id = sorted(posted, key=lambda message: message["id"])
    expect(stored == by_id, "each message as its 201 response returned it", "others")
    for answer, message in zip(answers, posted, strict=True):
        own = f"{answer.url}/{message['id']}"
        expect(address_in(answer) == own, f"Location: {own}", answer.headers["Location"])
    for person in people:
        own = [message["text"] for message in stored if message["author"] == person.who]
        in_order = [f"{person.who} says {n}" for n in range(10)]
        expect(own == in_order, f"{person.who}'s messages in the order they were posted", own)


# What the tests above use


def expect_time(sent_at: object, earliest: datetime, latest: datetime) -> None:
    """Expect the time of the post, in UTC and in RFC 3339 format."""
    try:
        met = re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", sent_at)
        when = datetime.fromisoformat(sent_at)
    except (TypeError, ValueError):
        met = None
    expect(bool(met), "sent_at in UTC, such as 2026-11-23T10:00:00Z", sent_at)
    # A time in seconds can be up to a second early, one in milliseconds up to a millisecond.
    digits = len((met[1] or ".")[1:])
    near = earliest - timedelta(seconds=10**-digits) <= when <= latest + timedelta(seconds=1)
    expect(near, f"sent_at to be the time of the post, {earliest:%Y-%m-%dT%H:%M:%S.%fZ}", sent_at)


def similar(room: str) -> list[str]:
    """Return names that a careless comparison confuses with this one."""
    added = [room + "-2", "x" + room, "-" + room, room + "-"]
    return [*added, room[:-1], room[1:], room[::-1], room.replace("-", "")]


def ids_of(messages: list) -> list:
    """Return the id of each message, and any value that isn't a message unchanged."""
    return [message.get("id") if isinstance(message, dict) else message for message in messages]


def expect_messages(got: list, messages: list[dict]) -> None:
    """Expect these messages in this order."""
    ids, wanted = ids_of(got), ids_of(messages)
    expect(len(ids) == len(wanted), f"{len(wanted)} messages", f"{len(ids)} messages")
    expect(ids == wanted, f"the ids {wanted}, oldest first", ids)
    expect(got == messages, "each message as it was posted", got)


def cursor_of(page: dict) -> int:
    """Return the page's `next`."""
    cursor = page.get("next")
    expect(type(cursor) is int, "`next` to be a whole number", json.dumps(cursor))
    return cursor


def expect_empty(page: dict, after: int) -> None:
    """Expect a page without messages that returns the cursor of its request."""
    expect(page["messages"] == [], f"no messages after {after}", page)
    expect(cursor_of(page) == after, f"`next` to be {after}, the requested `after`", page["next"])


def followed(person: Client, room: str, after: int, limit: int) -> list[dict]:
    """Return all messages after a cursor, page by page, each page requested with `next`."""
    messages: list[dict] = []
    for _ in range(100):
        page = page_of(person, room, after=after, limit=limit)
        if not page["messages"]:
            return messages
        messages += page["messages"]
        after = cursor_of(page)
    expect(False, "to reach the end of the room by following `next`", "100 pages without an end")
    return messages


def expect_nothing_stored(person: Client, last: dict) -> None:
    """Expect that the refused posts stored nothing after this message, and used no id."""
    page = page_of(person, last["room"])
    expect(page["messages"] == [last], f"no message after the id {last['id']}", page)
    following = post(person, last["room"], "after the refusals")["id"]
    expect(following == last["id"] + 1, f"the id {last['id'] + 1} for the next post", following)


def posted_until_killed(server, room: str, body: dict) -> list[dict]:
    """Kill the server while four clients post, and return the messages that it returned."""
    posted: list[dict] = []

    def post_on(person: Client) -> None:
        while True:
            try:
                posted.append(message_in(person.post(f"/rooms/{room}/messages", body)))
            except Unmet:
                return  # The server was killed during this post.
            if len(posted) >= 8:
                server.kill()

    in_threads([lambda n=n: post_on(server.client(f"p{n}")) for n in range(4)])
    server.kill()
    return posted
