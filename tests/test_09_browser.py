"""Lesson 9: the board's page, in a real browser. These tests are the lesson's specification.

People do what people do: they write, click, scroll, go back. What the page then shows is looked at,
and what the server was asked. A probe in the app's process lets the server have its bad days.
"""

import json
from pathlib import Path
from urllib.parse import quote

import pytest

from course.grading import Server, Stage, expect, task
from course.grading.browser import Browser, Tab
from course.grading.expect import shown
from course.grading.stage import eventually

pytestmark = pytest.mark.busy  # A browser has its own work to do while a test waits for it.

PROBES = Path(__file__).parent / "probes" / "09_browser.py"
PAGE = 50  # messages that the page asks for at a time
ELSEWHERE = "board.example:8443"  # There is no such host: the test is it.
PROTOCOL = ["board.v1"]

STATE = "document.getElementById('state').dataset.state"
SAYS = "document.getElementById('state').textContent"
FIELD = "document.getElementById('text').value"
MESSAGES = """(() => {
    // The end of a line is one, whether it is a character or an element.
    const words = (element) => [...(element?.childNodes ?? [])]
        .map((node) => node.nodeName === 'BR' ? '\\n' : node.textContent).join('');
    return [...document.querySelectorAll('#messages > li')].map((row) => ({
        id: Number(row.dataset.id),
        author: words(row.querySelector('.author')),
        text: words(row.querySelector('.text')),
        sent_at: row.querySelector('time')?.dateTime,
        time: row.querySelector('time')?.textContent,
        delivered: row.classList.contains('delivered'),
    }));
})()"""
IDS = "[...document.querySelectorAll('#messages > li')].map((row) => Number(row.dataset.id))"
DRAFTS = """[...document.querySelectorAll('#drafts > li')].map((row) => ({
    text: row.querySelector('.text')?.textContent,
    fate: row.querySelector('.fate')?.textContent,
    failed: row.classList.contains('failed'),
}))"""
MEMBERS = "[...document.querySelectorAll('#members > li')].map((row) => row.textContent)"

# Each would do something, if a page took it for more than text.
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
    "line one\nline two,  with  blanks\t& an ampersand",
    "  an e\u0301, an \ufb01, and blanks at both ends  ",
    "long " * 400,
]

# Notes what live regions come to say, as a screen reader does.
LISTEN = """(() => {
    const live = '[aria-live=polite], [aria-live=assertive], [role=log], [role=status],'
        + ' [role=alert], output';
    window.announced = [];
    new MutationObserver((changes) => {
        const fresh = new Set();
        for (const { target, addedNodes, type } of changes) {
            const element = target.nodeType === 1 ? target : target.parentElement;
            const region = element?.closest(live);
            if (!region || region.closest('[aria-busy=true]')) continue;
            for (const node of type === 'characterData' ? [target] : addedNodes) fresh.add(node);
        }
        // What was added within something that is new itself is said with that.
        const within = (node) => node && (fresh.has(node) || within(node.parentNode));
        const said = [...fresh].filter((node) => !within(node.parentNode));
        window.announced.push(...said.map((node) => node.textContent));
    }).observe(document, { subtree: true, childList: true, characterData: true });
})()"""


class Room:
    """A room of the learner's board, which one looks at with a browser."""

    def __init__(self, stage: Stage, server: Server, browser: Browser) -> None:
        self.stage, self.server, self.browser = stage, server, browser
        self.name = stage.name()
        server.probe(PROBES, "watch")

    def address(self, who: str) -> str:
        """Return the address of the room's page."""
        return f"{self.server.url}/rooms/{self.name}?author={quote(who)}"

    def open(self, who: str = "ada", before: str = "") -> Tab:
        """Open the room's page, which need not be connected yet."""
        return self.browser.open(who, self.address(who), before=before)

    def enter(self, who: str = "ada", before: str = "") -> Tab:
        """Open the room's page, and wait until it is connected."""
        tab = self.open(who, before)
        wait_for_state(tab, "open")
        return tab

    def keep(self, *messages: tuple[str, str], name: str = "") -> list[dict]:
        """Keep messages, each of an author and a text, of which no page hears. `name` is a room."""
        database = str(self.stage.scratch / "board.sqlite3")
        return self.stage.probe(PROBES, "keep", database, name or self.name, messages)

    def post(self, who: str, text: str, author: str = "") -> dict:
        """Post over REST, as `who` or under another name."""
        body = {"author": author or who, "text": text}
        return self.server.client(who).post(f"/rooms/{self.name}/messages", body).json(201)

    def probe(self, function: str, *args: object) -> object:
        """Let the app's process do what the probe of this name does."""
        return self.server.probe(PROBES, function, *args)

    def asked(self, kind: str) -> list[dict]:
        """Return what pages have asked for so far, of this type."""
        requests = self.probe("seen")["requests"]
        return [request for request in requests if request.get("type") == kind]

    def texts(self) -> list[str]:
        """Return the texts that pages have asked to post."""
        return [request["text"] for request in self.asked("post")]

    def expect_members(self, *names: str) -> None:
        """Wait until the hub has these names in the room."""
        eventually(
            lambda: self.probe("members", self.name) == sorted(names),
            f"the server to have {', '.join(names) or 'nobody'} in the room",
            lambda: self.probe("members", self.name) or "nobody",
        )


@pytest.fixture
def room(stage) -> Room:
    """A room."""
    browser = stage.browser()
    return Room(stage, stage.serve(), browser)


@pytest.fixture
def cached_room(stage) -> Room:
    """A room whose browser has the back-forward cache."""
    browser = stage.browser(back_forward_cache=True)
    return Room(stage, stage.serve(), browser)


def wait_for_state(tab: Tab, name: str) -> None:
    """Wait until the page shows this state."""
    tab.wait_for(f"{STATE} === '{name}'", f'#state to have data-state="{name}"', STATE)


def wait_for(tab: Tab, what: str, met: str, expected: str) -> None:
    """Wait until the page shows it. `what` is JavaScript, and `met` is so of its value, `it`."""
    tab.wait_for(f"((it) => {met})({what})", expected, what)


def wait_for_text(tab: Tab, text: str) -> None:
    """Wait until a message with this text is shown."""
    wait_for(
        tab, MESSAGES, f"it.some((m) => m.text === {json.dumps(text)})", f"{text!r} in #messages"
    )


def write(tab: Tab, text: str) -> None:
    """Write a text, and press Enter."""
    tab.fill("#text", text)
    tab.press("Enter", "#text")


def connect_again(tab: Tab) -> None:
    """Click on the button, and wait until it has helped."""
    tab.click("#again")
    wait_for_state(tab, "open")


# connect


@task("connect", "The page opens a WebSocket to its room", points=1)
def test_the_page_opens_one_websocket_to_the_room_of_its_address(room):
    tab = room.open("ada")

    room.expect_members("ada")
    urls = tab.sockets()
    wanted = f"ws://{room.server.host}/board/{room.name}?author=ada"
    expect(urls == [wanted], f"one WebSocket, to {wanted}", urls)
    offers = room.probe("seen")["offers"]
    expect(offers == PROTOCOL, "Sec-WebSocket-Protocol: board.v1", offers)


@task("connect")
def test_a_name_with_any_character_arrives_whole(room):
    name = " Zoe\u0308 & Søn #1+1=2? 100% "

    room.open(name)

    room.expect_members(name)


@task("connect")
@pytest.mark.parametrize(("page", "socket"), [("https", "wss"), ("http", "ws")])
def test_a_page_that_came_by_https_connects_by_wss_and_no_other(room, page, socket):
    urls: list[str] = []
    room.browser.answer(f"{page}://{ELSEWHERE}/**", lambda url: fetched(room.server, url))
    room.browser.answer_socket("**", lambda socket: urls.append(socket.url))

    tab = room.browser.open("ada", f"{page}://{ELSEWHERE}/rooms/{room.name}?author=ada")

    wanted = f"{socket}://{ELSEWHERE}/board/{room.name}?author=ada"
    eventually(lambda: tab.run("1") and urls, f"a WebSocket to {wanted}", lambda: tab.errors)
    expect(urls == [wanted], f"one WebSocket, to {wanted}", urls)


def fetched(server: Server, url: str) -> dict:
    """Return what the app has at the same path."""
    answer = server.client("browser").get(url.partition(ELSEWHERE)[2])
    headers = {"Content-Type": answer.content_type}
    return {"status": answer.status, "headers": headers, "body": answer.body}


# states


@task("states", "It shows its state, and sends only when it is open", points=2, needs="connect")
def test_while_it_connects_nothing_is_sent_and_nothing_is_lost(room):
    text, other = room.stage.text(), room.stage.text()
    room.probe("hold_handshakes")
    tab = room.open("ada")

    wait_for_state(tab, "connecting")
    write_in_vain(tab, text)
    room.probe("release_handshakes")
    wait_for_state(tab, "open")
    write(tab, other)

    eventually(lambda: other in room.texts(), f"a post of {other!r}", room.texts)
    expect(text not in room.texts(), f"no post of {text!r}, which was not sent", room.texts())


def write_in_vain(tab: Tab, text: str) -> None:
    """Write a text, press Enter, and hold that it is where it was, without any error."""
    before = len(tab.errors)
    write(tab, text)
    field, errors = tab.run(FIELD), tab.errors[before:]
    expect(not errors, "no error when it is not open", "; ".join(errors))
    expect(field == text, "the text to be in #text still", field)


@task("states")
def test_a_connection_that_has_closed_says_why_in_words_with_its_code(room):
    tab, said = room.open("ada"), {}

    for code in (*MET, 4999):
        wait_for_state(tab, "open")
        reason = room.stage.text() if code != 1006 else ""
        room.probe("cut", "ada") if code == 1006 else room.probe("close", "ada", code, reason)
        wait_for_state(tab, "closed")
        words = tab.run(SAYS)
        expect(str(code) in words, f"#state to name the code {code}", words)
        expect(reason in words, f"#state to give the server's reason, {reason!r}", words)
        said[code] = words.replace(str(code), "").replace(reason, "")
        letters = "".join(character for character in said[code] if character.isalpha())
        has_words = len(letters) >= 4 and letters not in ("undefined", "null")
        expect(has_words, f"#state to say in words what {code} means", words)
        tab.go(room.address("ada"))

    found = "; ".join(f"{code}: {words.strip()}" for code, words in said.items())
    different = len({said[code] for code in MET}) == len(MET)
    expect(different, "each code to have words of its own", found)


MET = (1000, 1001, 1006, 1009, 1011, 4406)  # the codes that one meets here


@task("states")
def test_a_connection_that_never_came_about_has_closed(room):
    tab = room.enter("ada")
    room.server.kill()
    wait_for_state(tab, "closed")

    tab.click("#again")

    wait_for_state(tab, "closed")


@task("states")
def test_the_end_of_an_earlier_websocket_is_no_news(room):
    tab = room.enter("ada", before=KEEP_SOCKETS)
    room.probe("wait_for", "ada")

    tab.run("() => document.getElementById('again').click()")
    room.probe("close_first", "ada")
    first = "window.sockets[0].readyState"
    tab.wait_for(f"{first} === WebSocket.CLOSED", "the page's first WebSocket to close", first)

    wait_for_state(tab, "open")


# What a page has made, so that a test can tell when one of them has closed.
KEEP_SOCKETS = """(() => {
    window.sockets = [];
    window.WebSocket = class extends WebSocket {
        constructor(...given) {
            super(...given);
            window.sockets.push(this);
        }
    };
})()"""


@task("states")
def test_what_is_written_when_it_is_closing_is_not_lost(room):
    text = room.stage.text()
    tab = room.enter("ada", before=KEEP_SOCKETS)
    tab.fill("#text", text)

    tab.run("() => { window.sockets[0].close(); document.getElementById('say').requestSubmit(); }")

    expect(tab.run(FIELD) == text, "the text to be in #text still", tab.run(FIELD))


@task("states")
def test_what_is_written_when_it_has_closed_is_not_lost(room):
    text = room.stage.text()
    tab = room.enter("ada")
    room.probe("cut", "ada")
    wait_for_state(tab, "closed")

    write_in_vain(tab, text)

    expect(tab.run(DRAFTS) == [], "nothing in #drafts, since nothing was sent", tab.run(DRAFTS))


# receive


@task("receive", "It listens once, however often it connects", points=1, needs="states")
def test_what_the_server_says_is_heard_once_on_each_connection(room):
    tab, welcome = room.enter("ada"), {**WELCOME, "room": room.name}

    for times in (1, 2, 3):
        expect_asked(room, 3 * times - 2, "welcome")
        room.probe("say", "ada", [welcome, welcome])
        expect_asked(room, 3 * times, "welcome")
        room.probe("close", "ada", 1001, "")
        wait_for_state(tab, "closed")
        connect_again(tab)


WELCOME = {"type": "welcome", "last_id": 0, "members": ["ada"]}


def expect_asked(room: Room, times: int, why: str) -> None:
    """Wait until the page has asked for history so often, which it does after each `why`."""
    eventually(
        lambda: len(room.asked("older")) == times,
        f"the page to hear each {why} once, and so to ask for history: {times} in all",
        lambda: f"it asked for history {len(room.asked('history'))} times",
    )


@task("receive")
def test_what_is_written_is_sent_once_after_the_third_connection(room):
    tab = room.enter("ada")
    for _ in range(2):
        room.probe("cut", "ada")
        wait_for_state(tab, "closed")
        connect_again(tab)

    text = room.stage.text()
    write(tab, text)
    write(tab, "the last")

    eventually(lambda: "the last" in room.texts(), "a post of 'the last'", room.texts)
    expect(room.texts() == [text, "the last"], "each text posted once", room.texts())


# render


@task("render", "It shows messages: as text, in order, once", points=2, needs="receive")
def test_what_people_write_is_shown_as_the_text_it_is(room):
    said = [(f"eve {number}", text) for number, text in enumerate(HOSTILE)]
    said += [(text, "hello") for text in HOSTILE]
    tab = listening(room)

    for author, text in said:
        room.post("eve", text, author)
    wait_for(tab, IDS, f"it.length >= {len(said)}", f"{len(said)} messages in #messages")

    rows = sorted(tab.run(MESSAGES), key=lambda row: row["id"])
    for (author, text), row in zip(said, rows, strict=True):
        expect(row["author"] == author, f"the author {author!r}", row["author"])
        expect(row["text"] == text, f"the text {text!r}", row["text"])
    expect(tab.run("window.harmed ?? null") is None, "no message to run any script", "one did")


def listening(room: Room) -> Tab:
    """Open the page, and wait until what is posted will be pushed to it."""
    tab = room.enter("ada")
    room.expect_members("ada")
    return tab


@task("render")
def test_a_message_has_its_time(room):
    tab = listening(room)

    message = room.post("bob", room.stage.text())
    wait_for_text(tab, message["text"])

    [row] = tab.run(MESSAGES)
    expect(row["sent_at"] == message["sent_at"], f"dateTime {message['sent_at']}", row["sent_at"])
    time = row["time"].strip()
    readable = time and "Invalid" not in time and "NaN" not in time
    expect(readable, "a time for people to read, in `time`", time)


@task("render")
def test_messages_stand_in_the_order_of_their_ids_each_once(room):
    tab = room.enter("ada")
    ids = [12, 100, 9, 12, 3, 20, 100, 1000, 99, 3]
    events = [{"type": "message", "message": made(room, number)} for number in ids]

    room.probe("say", "ada", [*events, {"type": "message", "message": made(room, 5000)}])

    wait_for(tab, IDS, "it.includes(5000)", "the last message, with id 5000")
    wanted = [*sorted(set(ids)), 5000]
    expect(tab.run(IDS) == wanted, f"the ids {wanted}", tab.run(IDS))


def made(room: Room, number: int) -> dict:
    """Return a message with this id."""
    sent_at = "2026-11-26T10:00:00.000Z"
    return {"id": number, "room": room.name, "author": "bob", "text": "yes", "sent_at": sent_at}


# send


@task("send", "It sends, and says what became of it", points=2, needs="render")
def test_enter_and_the_button_send_and_the_ack_marks_what_is_delivered(room):
    tab, texts = room.enter("ada"), [room.stage.text(), "<b>two</b>  & more"]

    for number, text in enumerate(texts, start=1):
        tab.fill("#text", text)
        tab.press("Enter", "#text") if number == 1 else tab.click("#send")

        wait_for(tab, MESSAGES, f"it.filter((m) => m.delivered).length === {number}", DELIVERED)
        rows = [(row["author"], row["text"]) for row in tab.run(MESSAGES)]
        wanted = [("ada", text) for text in texts[:number]]
        expect(rows == wanted, f"{shown(wanted)} in #messages", rows)
        expect(tab.run(FIELD) == "", "#text to be empty again", tab.run(FIELD))
        expect(tab.run(DRAFTS) == [], "no draft of what is delivered", tab.run(DRAFTS))
    expect(room.texts() == texts, f"posts of {shown(texts)}", room.texts())


DELIVERED = "each message whose ack has come to have the class delivered"


@task("send")
def test_a_text_of_nothing_but_blanks_is_not_sent(room):
    tab, text = room.enter("ada"), room.stage.text()

    for blank in ("", " ", " \t  "):
        write(tab, blank)
        tab.click("#send")
    write(tab, text)

    eventually(lambda: text in room.texts(), f"a post of {text!r}", room.texts)
    expect(room.texts() == [text], "no other post", room.texts())


@task("send")
def test_before_its_ack_a_text_is_shown_as_a_draft(room):
    texts = [room.stage.text(), "twice", "twice"]
    room.probe("hold_replies")
    tab = room.enter("ada")

    for text in texts:
        write(tab, text)
        expect(tab.run(FIELD) == "", "#text to be empty for the next", tab.run(FIELD))

    for acks in (0, 1, 2, 3):
        wait_for(tab, MESSAGES, f"it.filter((m) => m.delivered).length === {acks}", DELIVERED)
        delivered = [row["text"] for row in tab.run(MESSAGES) if row["delivered"]]
        expect(delivered == texts[:acks], f"after {acks} acks {texts[:acks]} delivered", delivered)
        drafts = [row["text"] for row in tab.run(DRAFTS)]
        expect(drafts == texts[acks:], f"after {acks} acks {texts[acks:]} in #drafts", drafts)
        room.probe("release_replies", 1)


@task("send")
@pytest.mark.parametrize("first", ["push", "ack"])
def test_a_message_is_pushed_before_its_ack_or_after_it(room, first):
    room.probe("hold_replies")
    tab = room.enter("ada")
    write(tab, "yes")
    eventually(lambda: room.texts(), "a post of 'yes'", room.texts)
    [request] = room.asked("post")

    message = {**made(room, 7), "author": "ada"}
    push = {"type": "message", "message": message}
    ack = {"type": "ack", "id": request["id"], "message": message}
    events = [push, ack] if first == "push" else [ack, push]
    room.probe("say", "ada", [*events, {"type": "message", "message": made(room, 5000)}])
    wait_for(tab, IDS, "it.includes(5000)", "the last message, with id 5000")

    rows = [(row["id"], row["delivered"]) for row in tab.run(MESSAGES)]
    wanted = [(7, True), (5000, False)]
    expect(rows == wanted, "message 7 once, with the class delivered; 5000 without it", rows)
    expect(tab.run(DRAFTS) == [], "no draft of what is delivered", tab.run(DRAFTS))


@task("send")
def test_an_error_is_shown_at_the_text_it_belongs_to_which_is_not_lost(room):
    room.probe("refuse", "bad")
    room.probe("hold_replies")
    tab = room.enter("ada")
    texts = [f"bad {room.stage.text()}", room.stage.text(), f"bad <b>{room.stage.text()}</b>"]

    for text in texts:
        write(tab, text)
    room.probe("release_replies", 3)
    wait_for(tab, DRAFTS, "it.filter((d) => d.failed).length === 2", "two drafts that have failed")
    wait_for(tab, MESSAGES, "it.some((m) => m.delivered)", DELIVERED)

    for text, draft in zip([texts[0], texts[2]], tab.run(DRAFTS), strict=True):
        expect(draft["text"] == text, f"{text!r} in #drafts still", draft)
        expect(f"Nobody wants {text}." in draft["fate"], "the error's detail in its .fate", draft)
    delivered = [row["text"] for row in tab.run(MESSAGES)]
    expect(delivered == [texts[1]], f"{[texts[1]]} in #messages", delivered)
    before = tab.run(DRAFTS)
    room.probe("cut", "ada")
    wait_for_state(tab, "closed")
    expect(tab.run(DRAFTS) == before, "what has had its reply to stay as it is", tab.run(DRAFTS))
    tab.click("#drafts li:last-child .edit")
    expect(tab.run(FIELD) == texts[2], f"{texts[2]!r} in #text again, to edit", tab.run(FIELD))


@task("send")
@pytest.mark.parametrize("about", [None, "something else"])
def test_an_error_that_is_about_no_text_changes_no_draft(room, about):
    text = room.stage.text()
    room.probe("hold_replies")
    tab = room.enter("ada")
    write(tab, text)

    error = {"type": "error", "id": about, "code": "internal", "detail": "It is not you."}
    room.probe("say", "ada", [error, {"type": "message", "message": made(room, 5000)}])
    wait_for(tab, IDS, "it.includes(5000)", "the message after the error, with id 5000")

    drafts = [(row["text"], row["failed"]) for row in tab.run(DRAFTS)]
    expect(drafts == [(text, False)], f"{text!r} in #drafts, not failed", tab.run(DRAFTS))
    room.probe("release_replies", 1)
    wait_for(tab, MESSAGES, "it.some((m) => m.delivered)", DELIVERED)
    expect(tab.run(DRAFTS) == [], "no draft of what is delivered", tab.run(DRAFTS))


@task("send")
def test_what_has_no_reply_when_the_connection_is_cut_stays_on_the_page(room):
    text = room.stage.text()
    room.probe("hold_replies")
    tab = room.enter("ada")
    write(tab, text)
    eventually(lambda: room.texts() == [text], f"a post of {text!r}", room.texts)

    room.probe("cut", "ada")
    wait_for_state(tab, "closed")
    connect_again(tab)

    wait_for(tab, DRAFTS, "it.length === 1", "the draft, still")
    [draft] = tab.run(DRAFTS)
    expect(draft["text"] == text and draft["failed"], f"{text!r} in #drafts, as failed", draft)


# history


@task("history", "Older messages come on demand", points=2, needs="render")
def test_older_messages_come_page_by_page(room):
    some = [("bob", f"number {number}") for number in range(PAGE + 10)]
    kept = room.keep(*some)
    room.keep(*some, name=room.stage.name())  # So the ids of this room have a gap.
    kept += room.keep(*some)
    ids = [message["id"] for message in kept]
    tab = room.enter("ada")

    for count in (PAGE, 2 * PAGE, 2 * PAGE + 20):
        wait_for(tab, IDS, f"it.length >= {count}", f"{count} messages in #messages")
        expect(tab.run(IDS) == ids[-count:], f"the last {count} messages", tab.run(IDS))
        asked = len(room.asked("older"))
        expect(asked == -(-count // PAGE), "no more pages asked for than were shown", asked)
        if count < len(ids):
            tab.click("#older")

    wait_for(tab, "document.getElementById('older').hidden", "it", "#older to be hidden at the end")


@task("history")
def test_a_page_of_history_and_what_was_pushed_are_one_list(room):
    tab = listening(room)
    page = [made(room, number) for number in (8, 9, 10, 11)]
    events = [{"type": "message", "message": made(room, number)} for number in (100, 9, 5000)]

    said = {"type": "messages", "id": "x", "messages": page, "next": 11}
    room.probe("say", "ada", [*events[:2], said, events[2]])

    wait_for(tab, IDS, "it.includes(5000)", "the last message, with id 5000")
    wanted = [8, 9, 10, 11, 100, 5000]
    expect(tab.run(IDS) == wanted, f"the ids {wanted}", tab.run(IDS))


@task("history")
@pytest.mark.parametrize("scrolled", [0, 130])
def test_what_one_reads_stays_where_it_is_when_older_messages_come(room, scrolled):
    texts = [f"number {number}\n" * (1 + number % 3) for number in range(3 * PAGE - 20)]
    room.keep(*(("bob", text) for text in texts))
    tab = room.enter("ada")
    wait_for(tab, IDS, f"it.length >= {PAGE}", f"{PAGE} messages in #messages")

    for count in (2 * PAGE, len(texts)):
        tab.run("(y) => { document.getElementById('reader').scrollTop = y; }", scrolled)
        first, before = tab.run(FIRST_SEEN)
        tab.run("() => document.getElementById('older').click()")
        wait_for(tab, IDS, f"it.length >= {count}", f"{count} messages in #messages")

        after = tab.run(PLACE_OF, first)
        same = abs(after - before) <= 2
        where = f"message {first} to stay at {before:.0f} px of the reader's edge"
        expect(same, where, f"it is at {after:.0f} px")


FIRST_SEEN = """() => {
    const edge = document.getElementById('reader').getBoundingClientRect().top;
    const rows = [...document.querySelectorAll('#messages > li')];
    const row = rows.find((row) => row.getBoundingClientRect().top >= edge);
    return [Number(row.dataset.id), row.getBoundingClientRect().top - edge];
}"""
PLACE_OF = """(id) => {
    const edge = document.getElementById('reader').getBoundingClientRect().top;
    const row = document.querySelector(`#messages > li[data-id="${id}"]`);
    return row.getBoundingClientRect().top - edge;
}"""


# presence


@task("presence", "It shows who is here", points=1, needs="receive")
def test_who_comes_and_goes_is_shown(room):
    tab = room.enter("ada")
    strange = "<b>Bo</b> &lt; co "

    expect_shown(tab, "ada")
    target = f"/board/{room.name}?author={quote(strange)}"
    bob = room.server.socket("bob", target, subprotocols=PROTOCOL)
    expect_shown(tab, strange, "ada")
    bob.close()
    expect_shown(tab, "ada")
    room.probe("cut", "ada")
    expect_shown(tab)


@task("presence")
def test_each_list_takes_the_place_of_the_one_before(room):
    tab, many = room.enter("ada"), [f"guest {number}" for number in range(40)]

    for names in (["Zoe", "ada"], ["ada", "eve"], many, ["Eve", "ada", "eve"]):
        room.probe("say", "ada", [{"type": "presence", "members": names}])

        expect_shown(tab, *names)


def expect_shown(tab: Tab, *names: str) -> None:
    """Wait until #members has these names, in this order."""
    wanted = json.dumps(names)
    wait_for(tab, MEMBERS, f"JSON.stringify(it) === JSON.stringify({wanted})", f"{wanted} here")


# reach


@task("reach", "Everybody can use it", points=1, needs=("send", "history"))
def test_a_screen_reader_says_what_is_new_and_not_what_is_old(room):
    room.keep(("eve", "an old story"), *[("eve", "another story")] * PAGE)
    tab, text = room.enter("ada", before=LISTEN), room.stage.text()
    wait_for_text(tab, "another story")
    tab.click("#older")
    wait_for_text(tab, "an old story")

    tab.fill("#text", "half a sen")
    for said in (text, "yes", "yes"):
        room.post("bob", said)
    room.post("bob", "the last")

    heard = "it.some((said) => said.includes('the last'))"
    wait_for(tab, "window.announced", heard, "'the last' in a live region")
    announced = [said for said in tab.run("window.announced") if "story" in said or "bob" in said]
    expect(not any("story" in said for said in announced), "no word of history", announced)
    whole = [said for said in announced if "bob" in said]
    wanted = [text, "yes", "yes", "the last"]
    met = len(whole) == len(wanted) and all(w in s for w, s in zip(wanted, whole, strict=True))
    expect(met, f"bob's name with each of {shown(wanted)}", announced)
    focus = tab.run("document.activeElement.id")
    expect(focus == "text", "the focus to stay in #text, where somebody writes", focus)


@task("reach")
def test_all_of_it_works_by_keyboard(room):
    room.keep(*(("bob", f"number {number}") for number in range(PAGE + 10)))
    room.probe("refuse", "bad")
    tab = room.enter("ada")
    wait_for(tab, IDS, f"it.length >= {PAGE}", f"{PAGE} messages in #messages")

    press_on(tab, "older")
    wait_for(tab, IDS, f"it.length === {PAGE + 10}", f"{PAGE + 10} messages in #messages")
    tab.click("#text")
    write(tab, "no news")
    write(tab, "bad news")
    wait_for_text(tab, "no news")
    wait_for(tab, DRAFTS, "it.some((d) => d.failed)", "a draft that has failed")
    focus = tab.run("document.activeElement.id")
    expect(focus == "text", "the focus to stay in #text, where somebody writes", focus)
    press_on(tab, "", ".edit")
    expect(tab.run(FIELD) == "bad news", "'bad news' in #text again", tab.run(FIELD))
    expect(tab.run("document.activeElement.id") == "text", "the focus in #text", "it is elsewhere")
    tab.fill("#text", "good news")
    press_on(tab, "send")
    wait_for_text(tab, "good news")
    room.probe("cut", "ada")
    wait_for_state(tab, "closed")
    press_on(tab, "again")
    wait_for_state(tab, "open")


def press_on(tab: Tab, name: str, selector: str = "") -> None:
    """Go to an element by Tab, and press Enter there."""
    wanted = selector or f"#{name}"
    for _ in range(30):
        if tab.run("(wanted) => document.activeElement.matches(wanted)", wanted):
            return tab.press("Enter")
        tab.press("Tab")
    expect(False, f"{wanted} to be reached by the key Tab", "30 times Tab did not reach it")


@task("reach")
def test_axe_finds_nothing(room):
    room.keep(*(("bob", f"number {number}") for number in range(PAGE)))
    room.probe("refuse", "bad")
    tab = room.enter("ada")

    write(tab, "bad news")
    write(tab, "good news")
    wait_for_text(tab, "good news")
    wait_for(tab, DRAFTS, "it.some((d) => d.failed)", "a draft that has failed")
    expect_no_barriers(tab)
    room.probe("cut", "ada")
    wait_for_state(tab, "closed")
    expect_no_barriers(tab)


def expect_no_barriers(tab: Tab) -> None:
    """Hold that axe finds nothing in the page, whatever colours the person prefers."""
    for scheme in ("light", "dark"):
        tab.use_colours(scheme)
        found = tab.barriers()
        expect(not found, f"axe to find nothing ({scheme} colours)", "; ".join(found))


# leave


@task("leave", "It leaves, and comes back", points=1, needs="receive")
def test_who_closes_the_tab_leaves_with_1001(room):
    tab = room.enter("ada")

    tab.close()

    def endings() -> list[int]:
        return room.probe("seen")["endings"]

    eventually(endings, "the conversation to end", lambda: "it goes on")
    code = "the close code 1001, which the browser sends by itself"
    expect(endings() == [1001], code, endings())
    room.expect_members()


@task("leave")
def test_who_goes_elsewhere_is_gone_and_who_comes_back_is_connected_again(cached_room):
    room = cached_room
    tab = room.enter("ada")
    tab.run("() => { window.mark = 1; }")

    for times in (1, 2):
        tab.go(room.server.url)
        room.expect_members()
        tab.back()

        expect_kept(room, tab)
        room.expect_members("ada")
        wait_for_state(tab, "open")
        message = room.post("bob", room.stage.text())
        wait_for_text(tab, message["text"])
        expect(tab.run(STATE) == "open", "the state to be open still", tab.run(STATE))
        connections = len(room.probe("seen")["offers"])
        expect(connections == 1 + times, "one connection for each time", connections)


def expect_kept(room: Room, tab: Tab) -> None:
    """Hold that the browser has kept the page, if it keeps any that had a WebSocket."""
    if tab.run("window.mark ?? null") is None:
        skip_unless_pages_are_kept(room)
        reasons = tab.run("performance.getEntriesByType('navigation')[0].notRestoredReasons")
        wanted = "a page that the browser keeps, and shows again as it was"
        expect(False, wanted, f"it was loaded anew. The browser's reasons: {shown(reasons)}")


def skip_unless_pages_are_kept(room: Room) -> None:
    """Skip the test where this browser keeps no page that had a WebSocket, whoever wrote it."""
    tab = room.browser.open("eve", f"{room.server.url}/?control")
    tab.run(CONTROL, f"ws://{room.server.host}/board/{room.name}?author=eve")
    tab.go(f"{room.server.url}/?elsewhere")
    tab.back()
    if tab.run("window.mark ?? null") is None:
        pytest.skip("This browser keeps no page for the button Back. Chromium 156 does.")


CONTROL = """async (url) => {
    window.mark = 1;
    const socket = new WebSocket(url, 'board.v1');
    await new Promise((opened) => { socket.onopen = opened; });
    addEventListener('pagehide', () => socket.close());
}"""
