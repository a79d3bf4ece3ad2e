"""Lesson 9: the board's page, in a real browser. These tests are the lesson's specification.

The tests do what a user does: write, click, scroll, go back. Then they check what the page shows
and what the server received. A probe in the app's process makes the server misbehave.
"""

import json
import re
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlsplit

import pytest

from course.grading import Server, Stage, expect, task
from course.grading.browser import Browser, Tab
from course.grading.expect import counted, shown
from course.grading.waiting import SECONDS, eventually

pytestmark = pytest.mark.busy  # The browser keeps the CPU busy while a test waits for it.

PAGE = 50  # messages that the page requests at a time
KNOWN = (1000, 1001, 1006, 1009, 1011, 4406)  # the close codes in WORDS


# connect


@task("connect", "The page opens a WebSocket to its room", points=1)
def test_the_page_opens_one_websocket_to_the_room_of_its_address(room):
    tab = room.open("ada")

    room.expect_members("ada")
    expect_one_websocket(tab.sockets(), f"ws://{room.server.host}/board/{room.name}", "ada")
    offers = room.probe("seen")["offers"]
    expect(offers == ["board.v1"], "the header Sec-WebSocket-Protocol: board.v1", offers)


@task("connect")
def test_a_name_of_any_characters_reaches_the_server_unchanged(room):
    name = " Zoe\u0308/Søn &author=x#1+1?;100%41😀"

    room.open(name)

    room.expect_members(name)


@task("connect")
def test_the_scheme_and_the_host_are_those_of_the_page(room):
    for page, scheme in (("https", "wss"), ("http", "ws")):
        name = f"-{room.stage.name()}-9-"[-32:]

        urls = open_elsewhere(room, f"{page}://{ELSEWHERE}/rooms/{name}?author=ada")

        expect_one_websocket(urls, f"{scheme}://{ELSEWHERE}/board/{name}", "ada")


# states


@task("states", "The page shows its state, and sends only while open", points=2, needs="connect")
def test_a_text_written_while_connecting_is_not_sent_and_stays_in_the_field(room):
    text, other = room.stage.text(), room.stage.text()
    room.probe("hold_handshakes")
    tab = room.open()

    wait_for_state(tab, "connecting")
    write_in_vain(tab, text)
    room.probe("release_handshakes")
    wait_for_state(tab, "open")
    write(tab, other)

    room.expect_posts(other)


@task("states")
def test_a_text_written_while_closing_or_closed_stays_in_the_field(room):
    text, other = room.stage.text(), room.stage.text()
    tab = room.enter(before=KEEP_SOCKETS)
    tab.fill("#text", text)

    tab.run("() => { window.sockets[0].close(); document.getElementById('say').requestSubmit(); }")

    expect(tab.run(FIELD) == text, "the text still in #text", tab.run(FIELD))
    wait_for_state(tab, "closed")
    write_in_vain(tab, other)
    expect(tab.run(DRAFTS) == [], "nothing in #drafts, because nothing was sent", tab.run(DRAFTS))


@task("states")
def test_a_closed_connection_says_why_in_words_with_its_code(room):
    tab, said = room.enter(), {}
    unknown = [1012, 3000 + room.stage.random.randrange(1000), 4999]

    for code in [*KNOWN, *unknown]:
        reason = "" if code in (1006, 1012) else room.stage.text()
        room.close(tab, code, reason)
        words = tab.run(SAYS)
        expect(reason in words, f"the server's reason, {reason!r}, in #state", words)
        own = words.replace(reason, "")
        expect(str(code) in own, f"the code {code} in #state", words)
        said[code] = own.replace(str(code), "")
        letters = "".join(character for character in said[code] if character.isalpha())
        has_words = len(letters) >= 4 and not re.search("undefined|null|NaN", own)
        expect(has_words, f"#state to say in words what {code} means", words)
        connect_again(tab)

    different = len({said[code] for code in KNOWN}) == len(KNOWN)
    found = "; ".join(f"{code}: {said[code].strip()}" for code in KNOWN)
    expect(different, "a different sentence for each code in WORDS", found)


@task("states")
def test_a_connection_that_cannot_be_opened_is_closed(room):
    tab = room.enter()
    room.server.kill()
    wait_for_state(tab, "closed")

    tab.click("#again")

    wait_for_state(tab, "closed")


@task("states")
def test_the_close_of_an_old_websocket_is_ignored(room):
    tab = room.enter(before=KEEP_SOCKETS)
    room.probe("wait_for", "ada")

    tab.run("() => document.getElementById('again').click()")
    room.probe("close_first", "ada")
    first = "window.sockets[0].readyState"
    tab.wait_for(f"{first} === WebSocket.CLOSED", "the page's first WebSocket to close", first)

    wait_for_state(tab, "open")


# receive


@task("receive", "The page listens once on each connection", points=1, needs="states")
def test_each_message_is_received_once_on_every_connection(room):
    tab, welcome = room.enter(), {**WELCOME, "room": room.name}

    for times in (1, 2, 3):
        room.expect_pages(3 * times - 2)
        room.probe("say", "ada", [welcome, welcome])
        room.expect_pages(3 * times)
        room.close(tab, 1001)
        connect_again(tab)
    texts = [room.stage.text(), room.stage.text()]
    for text in texts:
        write(tab, text)

    room.expect_posts(*texts)
    room.expect_pages(10)


# render


@task("render", "The page shows messages as text, in order, each once", points=2, needs="receive")
def test_authors_and_texts_are_shown_as_text_character_by_character(room):
    said = [("eve", text) for text in HOSTILE] + [(text, "hello") for text in HOSTILE]
    tab = room.enter()

    events = [pushed(number, author, text) for number, (author, text) in enumerate(said, start=1)]
    rows = room.deliver(tab, *events)

    expect(len(rows) == len(said), f"{counted(len(said), 'message')} in #messages", len(rows))
    for (author, text), row in zip(said, rows, strict=True):
        expect(row["author"] == author, f"the author {author!r}", repr(row["author"]))
        expect(row["text"] == text, f"the text {text!r}", repr(row["text"]))
        expect(not row["elements"], f"no elements in .author and .text, for {text!r}", row)
    expect(tab.run("window.harmed ?? null") is None, "no message to run any script", "one did")


@task("render")
def test_a_message_shows_when_it_was_sent(room):
    tab = room.enter()
    times = ["2024-02-03T04:05:06.789Z", "2026-11-26T17:48:59.012Z"] * 2

    rows = room.deliver(tab, *(pushed(n, sent_at=time) for n, time in enumerate(times, start=1)))

    found = [row["sent_at"] for row in rows]
    expect(found == times, f"dateTime {times[0]}, then {times[1]}, and both again", found)
    words = [row["time"].strip() for row in rows]
    readable = all(words) and not re.search("Invalid|NaN|undefined", "".join(words))
    expect(readable, "a time for people to read, in `time`", words)
    expect(words[0] != words[1], "different times for messages of different years", words)
    expect(
        words[:2] == words[2:], "the same time for messages that were sent at the same time", words
    )


@task("render")
def test_rows_are_in_the_order_of_their_ids_each_id_once(room):
    ids = [12, 100, 9, 12, 3, 20, 100, 2**33, 1000, 2**32 + 1, 12, 99, 3, *range(300, 400), 9]
    tab = room.enter()

    # In parts, since a page may sort all of its rows for each message, which takes a moment.
    for start in range(0, len(ids), 30):
        rows = room.deliver(tab, *map(pushed, ids[start : start + 30]))

    found = [row["id"] for row in rows]
    expect(found == sorted(set(ids)), f"the ids {sorted(set(ids))}", found)


# send


@task("send", "The page shows a draft until its ack arrives", points=2, needs="render")
def test_enter_and_the_button_send_any_text_that_is_not_blank(room):
    tab, texts = room.enter(), [room.stage.text(), "<b>two</b>  & more"]

    for blank in ("", " ", " \t  ", "\u3000\u00a0"):
        write(tab, blank)
        tab.click("#send")
    write(tab, texts[0])
    tab.fill("#text", texts[1])
    tab.click("#send")

    wait_for_delivered(tab, 2)
    found = [(row["author"], row["text"]) for row in rows_of(tab)]
    wanted = [("ada", text) for text in texts]
    expect(found == wanted, f"{shown(wanted)} in #messages", found)
    expect(tab.run(FIELD) == "", "#text to be empty again", tab.run(FIELD))
    expect(tab.run(DRAFTS) == [], "no draft of a delivered text", tab.run(DRAFTS))
    room.expect_posts(*texts)


@task("send")
def test_each_text_is_a_draft_until_its_own_ack_however_long_that_takes(room):
    texts = [f"  {room.stage.text()} ", "twice", "twice"]
    room.browser.control_time()
    room.probe("hold_replies")
    tab = room.enter()

    for text in texts:
        write(tab, text)
        expect(tab.run(FIELD) == "", "#text to be empty for the next text", tab.run(FIELD))

    for acks in (0, 1, 2, 3):
        tab.pass_time(HOUR)
        wait_for_delivered(tab, acks)
        delivered = [row["text"] for row in rows_of(tab) if row["delivered"]]
        expect(delivered == texts[:acks], f"after {acks} acks {texts[:acks]} delivered", delivered)
        drafts = [row["text"] for row in tab.run(DRAFTS) if not row["failed"]]
        expect(drafts == texts[acks:], f"after {acks} acks {texts[acks:]} in #drafts", drafts)
        room.probe("release_replies", 1)


@task("send")
def test_a_message_that_is_pushed_before_or_after_its_ack_is_shown_once(room):
    room.probe("hold_replies")
    tab, wanted = room.enter(), []

    for number, order in enumerate(("push first", "ack first"), start=1):
        write(tab, "yes")
        room.expect_posts(*["yes"] * number)
        push, later = pushed(10 * number, "ada", "yes"), pushed(10 * number + 5, "bob", "yes")
        ack = {**push, "type": "ack", "id": room.asked("post")[-1]["id"]}
        events = [push, later, ack] if order == "push first" else [ack, later, push]
        rows = room.deliver(tab, *events)

        wanted += [(10 * number, True), (10 * number + 5, False)]
        found = [(row["id"], row["delivered"]) for row in rows]
        expect(found == wanted, f"{order}: {wanted} as (id, whether it is delivered)", found)
        expect(tab.run(DRAFTS) == [], "no draft of a delivered text", tab.run(DRAFTS))
        room.close(tab, 1006)  # The server still holds the reply of this connection.
        connect_again(tab)


@task("send")
def test_an_ack_of_another_request_leaves_a_draft_as_it_is(room):
    text = room.stage.text()
    room.probe("hold_replies")
    tab = room.enter()
    write(tab, text)
    room.expect_posts(text)

    room.deliver(tab, {**pushed(1, "ada", "another"), "type": "ack", "id": "another"})

    found = [(row["text"], row["failed"]) for row in tab.run(DRAFTS)]
    expect(found == [(text, False)], f"{text!r} still in #drafts, not failed", tab.run(DRAFTS))
    room.probe("release_replies", 1)
    wait_for(tab, DRAFTS, "!it.length", f"{text!r} to leave #drafts with its own ack")


@task("send")
def test_an_error_fails_its_own_draft_whose_text_can_be_edited(room):
    room.browser.control_time()
    room.probe("refuse", "bad")
    room.probe("hold_replies")
    tab = room.enter()
    texts = [f"bad {room.stage.text()}", room.stage.text(), f"bad <b>{room.stage.text()}</b>"]

    for text in texts:
        write(tab, text)
    room.probe("release_replies", 3)
    wait_for(tab, DRAFTS, "it.filter((d) => d.failed).length === 2", "two drafts that have failed")
    wait_for_delivered(tab, 1)
    tab.pass_time(HOUR)

    found = tab.run(DRAFTS)
    for text, draft in zip([texts[0], texts[2]], found, strict=False):
        expect(draft["text"] == text, f"{text!r} still in #drafts", draft)
        detail = f"The board refuses {text}."
        expect(detail in (draft["fate"] or ""), f"the error's detail, {detail!r}, in .fate", draft)
    expect(len(found) == 2, "no draft but the two that failed", found)
    delivered = [row["text"] for row in rows_of(tab)]
    expect(delivered == [texts[1]], f"{[texts[1]]} in #messages", delivered)
    room.close(tab, 1006)
    expect(tab.run(DRAFTS) == found, "a draft with a reply to stay as it is", tab.run(DRAFTS))
    tab.click("#drafts li:last-child .edit")
    expect(tab.run(FIELD) == texts[2], f"{texts[2]!r} in #text again, to edit", tab.run(FIELD))


@task("send")
def test_an_error_about_no_draft_changes_none_and_raises_nothing(room):
    text = room.stage.text()
    room.probe("hold_replies")
    tab = room.enter()
    write(tab, text)
    room.expect_posts(text)

    errors = len(tab.errors)
    ids = [None, "something else", *(request.get("id") for request in room.asked("older"))]
    room.deliver(tab, *({**ERROR, "id": request_id} for request_id in ids))

    found = [(row["text"], row["failed"]) for row in tab.run(DRAFTS)]
    expect(found == [(text, False)], f"{text!r} in #drafts, not failed", tab.run(DRAFTS))
    expect(not tab.errors[errors:], "no error in the page", "; ".join(tab.errors[errors:]))
    room.close(tab, 1006)
    connect_again(tab)
    found = [(row["text"], row["failed"]) for row in tab.run(DRAFTS)]
    expect(found == [(text, True)], f"{text!r} still in #drafts, as failed", tab.run(DRAFTS))


# history


@task("history", "The page loads older messages on request", points=2, needs="render")
def test_each_press_of_the_button_loads_one_older_page(room):
    some = [("bob", f"number {number}") for number in range(PAGE + 10)]
    kept = room.keep(*some)
    room.keep(*some, name=room.stage.name())  # This makes a gap in the room's ids.
    kept += room.keep(*some)
    ids = [message["id"] for message in kept]
    tab = room.enter()

    for page, count in enumerate((PAGE, 2 * PAGE, 2 * PAGE + 20), start=1):
        wait_for_rows(tab, count)
        found = [row["id"] for row in rows_of(tab)]
        expect(found == ids[-count:], f"the last {count} messages", found)
        room.expect_pages(page)
        if page == 1:
            tab.click("#older")
        elif page == 2:
            tab.run("() => { for (const _ of [1, 2]) document.getElementById('older').click(); }")

    wait_for(tab, "document.getElementById('older').hidden", "it", "#older to be hidden at the end")
    write(tab, "the end")
    room.expect_posts("the end")  # By now the server has received all earlier requests.
    room.expect_pages(3)


@task("history")
def test_a_page_and_pushed_messages_are_one_list(room):
    tab = room.enter()
    page = [message(number) for number in (8, 9, 10, 11)]
    reply = {"type": "messages", "id": "x", "messages": page, "next": 8}

    rows = room.deliver(tab, pushed(100), pushed(9), reply, pushed(99))

    found = [row["id"] for row in rows]
    expect(found == [8, 9, 10, 11, 99, 100], "the ids 8, 9, 10, 11, 99, 100", found)


@task("history")
def test_the_message_that_the_user_reads_stays_in_its_position_when_a_page_arrives(room):
    texts = [f"number {number}\n" * (1 + number % 3) for number in range(3 * PAGE - 20)]
    room.keep(*(("bob", text) for text in texts))
    tab = room.enter()
    wait_for_rows(tab, PAGE)

    for count, scrolled in ((2 * PAGE, 0), (len(texts), 130)):
        seen = scroll(tab, scrolled)
        tab.run("() => document.getElementById('older').click()")
        wait_for_rows(tab, count)
        expect_same_height(tab, *seen)

    seen = scroll(tab, 230)
    room.close(tab, 1001)
    room.keep(*(("bob", text) for text in texts[:30]))
    connect_again(tab)
    wait_for_rows(tab, len(texts) + 30)
    expect_same_height(tab, *seen)
    room.expect_pages(4)


# presence


@task("presence", "The page lists the room's members", points=1, needs="receive")
def test_members_are_listed_as_the_server_names_them(room):
    tab, strange = room.enter(), "<b>Bo</b> &lt; co "
    many = [f"guest {number}" for number in range(40)]

    expect_members_shown(tab, "ada")
    target = f"/board/{room.name}?author={quote(strange)}"
    bob = room.server.socket("bob", target, subprotocols=["board.v1"])
    expect_members_shown(tab, strange, "ada")
    bob.close()
    expect_members_shown(tab, "ada")
    for names in (["Zoe", "ada"], ["ada", "eve"], many, ["Eve", "ada", "eve"]):
        room.probe("say", "ada", [{"type": "presence", "members": names}])
        expect_members_shown(tab, *names)
    room.close(tab, 1006)
    expect_members_shown(tab)


# reach


@task(
    "reach", "The page works with screen readers and keyboards", points=1, needs=("send", "history")
)
def test_a_screen_reader_announces_each_new_message_and_no_history(room):
    room.keep(("eve", "an old story"), *[("eve", "another story")] * PAGE)
    tab, text = room.enter(before=LISTEN), room.stage.text()
    wait_for_rows(tab, PAGE)
    tab.click("#older")
    wait_for_rows(tab, PAGE + 1)

    tab.fill("#text", "half a sen")
    wanted = [text, "yes", "yes", "long " * 50 + HOSTILE[1], "the last"]
    for said in wanted:
        room.post("bob", said)

    heard = "it.some((said) => said.includes('the last'))"
    wait_for(tab, "window.announced", heard, "'the last' in a new element of a live region")
    announced = [said for said in tab.run("window.announced") if "story" in said or "bob" in said]
    expect(not any("story" in said for said in announced), "no message from history", announced)
    met = len(announced) == len(wanted) and all(
        text in said for text, said in zip(wanted, announced, strict=True)
    )
    expect(met, f"bob's name with each of {shown(wanted)}, each in a new element", announced)
    expect(tab.run("window.harmed ?? null") is None, "no message to run any script", "one did")
    expect_focus_in_text(tab)


@task("reach")
def test_everything_works_with_the_keyboard(room):
    room.keep(*(("bob", f"number {number}") for number in range(PAGE + 10)))
    room.probe("refuse", "bad")
    tab = room.enter()
    wait_for_rows(tab, PAGE)

    press_on(tab, "#older")
    wait_for_rows(tab, PAGE + 10)
    tab.click("#text")
    write(tab, "no news")
    write(tab, "bad news")
    wait_for_text(tab, "no news")
    wait_for(tab, DRAFTS, "it.some((d) => d.failed)", "a draft that has failed")
    expect_focus_in_text(tab)
    press_on(tab, ".edit")
    expect(tab.run(FIELD) == "bad news", "'bad news' in #text again", tab.run(FIELD))
    expect_focus_in_text(tab)
    tab.fill("#text", "good news")
    press_on(tab, "#send")
    wait_for_text(tab, "good news")
    room.close(tab, 1006)
    press_on(tab, "#again")
    wait_for_state(tab, "open")


@task("reach")
def test_axe_reports_no_violation(room):
    room.keep(*(("bob", f"number {number}") for number in range(PAGE)))
    room.probe("refuse", "bad")
    tab = room.enter()

    write(tab, "bad news")
    write(tab, "good news")
    wait_for_text(tab, "good news")
    wait_for(tab, DRAFTS, "it.some((d) => d.failed)", "a draft that has failed")
    expect_no_violations(tab, "light")
    room.close(tab, 1006)
    expect_no_violations(tab, "dark")


# leave


@task("leave", "The page leaves the room, and reconnects after Back", points=1, needs="receive")
def test_closing_the_tab_closes_with_1001(room):
    tab = room.enter()

    tab.close()

    def endings() -> list[int]:
        return room.probe("seen")["endings"]

    eventually(endings, "the connection to end", lambda: "it is still open")
    code = "the close code 1001, which the browser sends by itself"
    expect(endings() == [1001], code, endings())
    room.expect_members()


@task("leave")
def test_a_page_leaves_the_room_with_its_user_and_reconnects_on_back(cached_room):
    room = cached_room
    tab = room.enter()
    tab.run("() => { window.mark = 1; }")

    for times in (1, 2):
        tab.go(room.server.url)
        room.expect_members()
        tab.back()

        expect_kept(room, tab)
        room.expect_members("ada")
        wait_for_state(tab, "open")
        text = room.stage.text()
        room.post("bob", text)
        wait_for_text(tab, text)
        expect(tab.run(STATE) == "open", "the state still to be open", tab.run(STATE))
        connections = len(room.probe("seen")["offers"])
        expect(connections == 1 + times, "one new connection each time", connections)


# The room, and what a user does in it


PROBES = Path(__file__).parent / "probes" / "09_browser.py"
HOUR = 3600  # seconds
FIRST_MARKER = 2**40  # Messages with these ids and above only show that the page has received all.
WELCOME = {"type": "welcome", "last_id": 0, "members": ["ada"]}
ERROR = {"type": "error", "code": "internal", "detail": "It isn't your fault."}


class Room:
    """A room of the learner's board, and a browser to look at it. Its user is ada."""

    def __init__(self, stage: Stage, browser: Browser) -> None:
        self.stage, self.server, self.browser = stage, stage.serve(), browser
        self.name = stage.name()
        self._marker = FIRST_MARKER
        self.probe("watch")

    def probe(self, function: str, *args: object) -> object:
        """Call a function of the probe in the app's process."""
        return self.server.probe(PROBES, function, *args)

    def open(self, author: str = "ada", before: str = "") -> Tab:
        """Open the room's page, which may not be connected yet."""
        url = f"{self.server.url}/rooms/{self.name}?author={quote(author)}"
        return self.browser.open("ada", url, before=before)

    def enter(self, before: str = "") -> Tab:
        """Open the room's page, and wait until it is connected."""
        tab = self.open(before=before)
        wait_for_state(tab, "open")
        return tab

    def keep(self, *messages: tuple[str, str], name: str = "") -> list[dict]:
        """Store messages, each an author and a text, without publishing them."""
        database = str(self.stage.scratch / "board.sqlite3")
        return self.stage.probe(PROBES, "keep", database, name or self.name, messages)

    def post(self, author: str, text: str) -> None:
        """Post over REST."""
        body = {"author": author, "text": text}
        self.server.client(author).post(f"/rooms/{self.name}/messages", body).json(201)

    def deliver(self, tab: Tab, *events: dict) -> list[dict]:
        """Send events to the page, and return the rows of #messages when it has received them.

        One more message, sent last, shows that they arrived; its row isn't returned.
        """
        self._marker += 1
        marker = self.stage.text()
        self.probe("say", "ada", [*events, pushed(self._marker, "ada", marker)])
        wait_for_text(tab, marker)
        return [row for row in rows_of(tab) if row["id"] < FIRST_MARKER]

    def close(self, tab: Tab, code: int, reason: str = "") -> None:
        """End ada's connections from the server's side: cut them if the code is 1006."""
        self.probe("cut", "ada") if code == 1006 else self.probe("close", "ada", code, reason)
        wait_for_state(tab, "closed")

    def asked(self, kind: str) -> list[dict]:
        """Return the requests of this type that the server received."""
        requests = self.probe("seen")["requests"]
        return [request for request in requests if request.get("type") == kind]

    def posts(self) -> list[str]:
        """Return the texts of the posts that the server received."""
        posts = self.asked("post")
        for post in posts:
            met = post.keys() == {"type", "id", "text"} and isinstance(post["text"], str)
            expect(met, "a post that has type, id and text, and no other field", post)
        return [post["text"] for post in posts]

    def expect_posts(self, *texts: str) -> None:
        """Wait until the last of these texts was posted, and expect these posts and no others."""
        last, others = texts[-1], len(texts) - 1
        eventually(lambda: last in self.posts()[others:], f"a post of {last!r}", self.posts)
        expect(self.posts() == [*texts], f"one post for each of {shown(texts)}", self.posts())

    def expect_pages(self, count: int) -> None:
        """Wait until the page has requested this many pages of history, and expect no more."""
        wanted = f"{counted(count, 'request')} of type older, one for each welcome and each press"
        eventually(lambda: len(self.asked("older")) >= count, wanted, lambda: self.asked("older"))
        expect(len(self.asked("older")) == count, wanted, self.asked("older"))

    def expect_members(self, *names: str) -> None:
        """Wait until the server has these names in the room."""
        eventually(
            lambda: self.probe("members", self.name) == sorted(names),
            f"the server to have {', '.join(names) or 'no member'} in the room",
            lambda: self.probe("members", self.name) or "no member",
            3 * SECONDS,  # Chromium may send the close of a page that it caches late.
        )


@pytest.fixture
def room(stage) -> Room:
    """A room."""
    return Room(stage, stage.browser())


@pytest.fixture
def cached_room(stage) -> Room:
    """A room whose browser has the back-forward cache."""
    return Room(stage, stage.browser(back_forward_cache=True))


def message(number: int, author: str = "bob", text: str = "yes", sent_at: str = "") -> dict:
    """Return a message with this id."""
    sent_at = sent_at or "2026-11-26T10:00:00.000Z"
    return {"id": number, "room": "lobby", "author": author, "text": text, "sent_at": sent_at}


def pushed(number: int, author: str = "bob", text: str = "yes", sent_at: str = "") -> dict:
    """Return the event that pushes a message."""
    return {"type": "message", "message": message(number, author, text, sent_at)}


def write(tab: Tab, text: str) -> None:
    """Write a text, and press Enter."""
    tab.fill("#text", text)
    tab.press("Enter", "#text")


def write_in_vain(tab: Tab, text: str) -> None:
    """Write a text, press Enter, and expect the text to stay, without any error."""
    before = len(tab.errors)
    write(tab, text)
    field, errors = tab.run(FIELD), tab.errors[before:]
    expect(not errors, "no error in the page while it isn't open", "; ".join(errors))
    expect(field == text, "the text still in #text", field)


def connect_again(tab: Tab) -> None:
    """Click the button, and wait until the page is connected."""
    tab.click("#again")
    wait_for_state(tab, "open")


def press_on(tab: Tab, wanted: str) -> None:
    """Move the focus to an element with the Tab key, and press Enter there."""
    for _ in range(30):
        if tab.run("(wanted) => document.activeElement.matches(wanted)", wanted):
            return tab.press("Enter")
        tab.press("Tab")
    expect(False, f"{wanted} to be reached by the Tab key", "30 presses of Tab did not reach it")


def scroll(tab: Tab, pixels: int) -> tuple[str, float]:
    """Scroll the reader to here. Return the id of the first visible row, and its height."""
    tab.run(SCROLL, pixels)
    found = tab.run(FIRST_SEEN)
    expect(found is not None, "a row with its data-id in #reader", "no such row is visible")
    return found[0], found[1]


def expect_same_height(tab: Tab, row: str, before: float) -> None:
    """Expect a row at the same height of the reader, give or take two pixels."""
    after = tab.run(HEIGHT_OF, row)
    expect(after is not None, f"the row of message {row} in #messages", "it is gone")
    where = f"message {row} to stay {before:.0f} px below the top of #reader"
    expect(abs(after - before) <= 2, where, f"it is {after:.0f} px below")


# What the page shows


STATE = "document.getElementById('state').dataset.state"
SAYS = "document.getElementById('state').textContent"
FIELD = "document.getElementById('text').value"
ROWS = """[...document.querySelectorAll('#messages > li')].map((row) => {
    const part = (selector) => row.querySelector(selector);
    return {
        id: row.dataset.id,
        author: part('.author')?.textContent,
        text: part('.text')?.textContent,
        elements: row.querySelectorAll('.author *, .text *').length,
        sent_at: part('time')?.dateTime,
        time: part('time')?.textContent,
        delivered: row.classList.contains('delivered'),
    };
})"""
DRAFTS = """[...document.querySelectorAll('#drafts > li')].map((row) => ({
    text: row.querySelector('.text')?.textContent ?? null,
    fate: row.querySelector('.fate')?.textContent ?? null,
    failed: row.classList.contains('failed'),
}))"""
MEMBERS = """[...document.getElementById('members').children]
    .map((row) => row.localName === 'li' ? row.textContent : row.outerHTML)"""
SCROLL = """async (pixels) => {
    document.getElementById('reader').scrollTop = pixels;
    // The event `scroll` comes before the next frame.
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
}"""
FIRST_SEEN = """() => {
    const edge = document.getElementById('reader').getBoundingClientRect().top;
    const rows = [...document.querySelectorAll('#messages > li[data-id]')];
    const row = rows.find((row) => row.getBoundingClientRect().top >= edge);
    return row ? [row.dataset.id, row.getBoundingClientRect().top - edge] : null;
}"""
HEIGHT_OF = """(id) => {
    const edge = document.getElementById('reader').getBoundingClientRect().top;
    const row = document.querySelector(`#messages > li[data-id="${id}"]`);
    return row ? row.getBoundingClientRect().top - edge : null;
}"""


def rows_of(tab: Tab) -> list[dict]:
    """Return the rows of #messages. Raises Unmet unless each has the parts that the page names."""
    rows = tab.run(ROWS)
    for row in rows:
        has_id = re.fullmatch("[0-9]{1,15}", str(row.get("id")))
        expect(bool(has_id), "each row of #messages to have its message's id in data-id", row)
        missing = [name for name in ("author", "text", "time") if row.get(name) is None]
        expect(not missing, "author, text and time in each row of #messages", row)
    return [{**row, "id": int(row["id"])} for row in rows]


def wait_for_state(tab: Tab, name: str) -> None:
    """Wait until the page shows this state."""
    tab.wait_for(f"{STATE} === '{name}'", f'#state to have data-state="{name}"', STATE)


def wait_for(tab: Tab, what: str, met: str, expected: str) -> None:
    """Wait until `met`, a condition on `it`, the value of `what`. Both are JavaScript."""
    tab.wait_for(f"((it) => {met})({what})", expected, what)


def wait_for_text(tab: Tab, text: str) -> None:
    """Wait until a message with this text is shown."""
    met = f"it.some((row) => row.text === {json.dumps(text)})"
    wait_for(tab, ROWS, met, f"{text!r} in #messages")


def wait_for_rows(tab: Tab, count: int) -> None:
    """Wait until at least this many messages are shown."""
    wait_for(tab, f"{ROWS}.length", f"it >= {count}", f"{counted(count, 'message')} in #messages")


def wait_for_delivered(tab: Tab, count: int) -> None:
    """Wait until this many messages are shown as delivered."""
    met = f"it.filter((row) => row.delivered).length === {count}"
    wait_for(tab, ROWS, met, f"{counted(count, 'row')} with the class delivered, one for each ack")


def expect_members_shown(tab: Tab, *names: str) -> None:
    """Wait until #members lists these names, in this order."""
    wanted = json.dumps(names)
    met = f"JSON.stringify(it) === JSON.stringify({wanted})"
    wait_for(tab, MEMBERS, met, f"{wanted} in #members")


def expect_focus_in_text(tab: Tab) -> None:
    """Expect the focus where the user writes."""
    focus = tab.run("document.activeElement.id || document.activeElement.localName")
    expect(focus == "text", "the focus to stay in #text, where the user writes", focus)


def expect_no_violations(tab: Tab, scheme: str) -> None:
    """Expect axe to report nothing when the user prefers "light" or "dark" colours."""
    tab.use_colours(scheme)
    found = tab.barriers()
    expect(not found, f"axe to report no violation ({scheme} colours)", "; ".join(found))


# A page on another host


ELSEWHERE = "board.example:8443"  # There is no such host: the test serves it.


def open_elsewhere(room: Room, url: str) -> list[str]:
    """Open the app's page at an address of another host; return the WebSockets that it opens."""
    urls: list[str] = []
    scheme = urlsplit(url).scheme
    room.browser.answer(f"{scheme}://{ELSEWHERE}/**", lambda url: fetched(room.server, url))
    room.browser.answer_socket("**", lambda socket: urls.append(socket.url))
    tab = room.browser.open("ada", url)
    eventually(lambda: tab.run("1") and urls, "a WebSocket of the page", lambda: tab.errors)
    return urls


def fetched(server: Server, url: str) -> dict:
    """Return the app's response for the same path."""
    answer = server.client("browser").get(url.partition(ELSEWHERE)[2])
    headers = {"Content-Type": answer.content_type}
    return {"status": answer.status, "headers": headers, "body": answer.body}


def expect_one_websocket(urls: list[str], address: str, author: str) -> None:
    """Expect the page to have opened one WebSocket, to this address, for this author."""
    expect(len(urls) == 1, f"one WebSocket, to {address}", urls)
    parts = urlsplit(urls[0])
    found = f"{parts.scheme}://{parts.netloc}{parts.path}"
    expect(found == address, f"a WebSocket to {address}", urls[0])
    authors = [value for name, value in parse_qsl(parts.query) if name == "author"]
    expect(authors == [author], f"author={quote(author)} in the query", urls[0])


# What the tests add to the page


# The WebSockets that the page has made, so that a test can tell when one of them has closed.
KEEP_SOCKETS = """(() => {
    window.sockets = [];
    window.WebSocket = class extends WebSocket {
        constructor(...given) {
            super(...given);
            window.sockets.push(this);
        }
    };
})()"""

# Each of these would run, or be shown differently, if a page treated it as more than text.
HOSTILE = [
    "<script>window.harmed = 1</script>",
    '<img src=x onerror="window.harmed = 1">',
    '<svg onload="window.harmed = 1"></svg>',
    "<svg><script>window.harmed = 1</script></svg>",
    '<iframe srcdoc="<script>parent.harmed = 1</script>"></iframe>',
    '<details open ontoggle="window.harmed = 1">x</details>',
    '<input autofocus onfocus="window.harmed = 1">',
    '<video><source onerror="window.harmed = 1"></video>',
    '<a href="javascript:window.harmed = 1">click</a>',
    '<math><mtext></form><form><mglyph><style></math><img src onerror="window.harmed = 1">',
    '<b onmouseover="window.harmed = 1">bold</b>',
    "<style>* { display: none }</style>",
    "<link rel=stylesheet href=/nowhere.css>",
    "<base href=//example.com/>",
    "<template><p>hidden</p></template>",
    "<!-- nothing to see",
    '"><img src=x onerror=window.harmed=1>',
    "</p></li></ol><h1>Yours</h1>",
    "&lt;img src=x onerror=window.harmed=1&gt;",
    "javascript:window.harmed=1",
    "${window.harmed = 1} {{constructor.constructor('window.harmed = 1')()}}",
    "see https://example.com/?a=1&b=2, www.example.com or eve@example.com",
    "*one* _two_ `three` :smile: 😀",
    "line one\nline two\r\nline three\rline four,  with  blanks\t& an ampersand",
    "  an e\u0301, an \ufb01, a \u200b, and blanks at both ends  ",
    "😀" * 2000,
]

# Records what is added to live regions. Screen readers announce new elements. They compare texts,
# so the same text, set again, may not be announced.
LISTEN = """(() => {
    const live = '[aria-live=polite], [aria-live=assertive], [role=log], [role=status],'
        + ' [role=alert], output';
    window.announced = [];
    new MutationObserver((changes) => {
        const fresh = new Set();
        for (const { target, addedNodes } of changes) {
            const region = target.closest?.(live);
            if (!region || region.closest('[aria-busy=true]')) continue;
            for (const node of addedNodes) if (node.nodeType === 1) fresh.add(node);
        }
        // An element inside another new element is announced as a part of it.
        const within = (node) => node && (fresh.has(node) || within(node.parentNode));
        const said = [...fresh].filter((node) => !within(node.parentNode));
        window.announced.push(...said.map((node) => node.textContent));
    }).observe(document, { subtree: true, childList: true });
})()"""


# The back-forward cache


def expect_kept(room: Room, tab: Tab) -> None:
    """Expect the browser to have kept the page, if it keeps any page that had a WebSocket."""
    if tab.run("window.mark ?? null") is None:
        skip_unless_pages_are_kept(room)
        reasons = tab.run("performance.getEntriesByType('navigation')[0].notRestoredReasons")
        wanted = "a page that the browser keeps, and shows again as it was"
        expect(False, wanted, f"it was loaded again. The browser's reasons: {shown(reasons)}")


def skip_unless_pages_are_kept(room: Room) -> None:
    """Skip the test if this browser keeps no page that had a WebSocket."""
    tab = room.browser.open("eve", f"{room.server.url}/?control")
    tab.run(CONTROL, f"ws://{room.server.host}/board/{room.name}?author=eve")
    tab.go(f"{room.server.url}/?elsewhere")
    tab.back()
    if tab.run("window.mark ?? null") is None:
        pytest.skip("This browser keeps no page for the Back button. Chromium 156 does.")


CONTROL = """async (url) => {
    window.mark = 1;
    const socket = new WebSocket(url, 'board.v1');
    await new Promise((opened) => { socket.onopen = opened; });
    addEventListener('pagehide', () => socket.close());
}"""
