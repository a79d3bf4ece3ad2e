"""Lesson 8: one board for REST and WebSocket. These tests are the lesson's specification.

Guests are in a room over WebSocket, and read at their own pace. Where an order counts, a probe in
the app's process holds one thread until another has overtaken it, if it can.
"""

import itertools
import json
from collections import defaultdict, deque
from concurrent.futures import Future
from pathlib import Path
from urllib.parse import urlencode

import pytest

from course.grading import Server, Stage, equal, expect, task
from course.grading.asyncapi import described
from course.grading.sockets import CLOSE
from course.grading.stage import begin, eventually, in_threads
from course.lesson.lessons import ROOT

PROBES = Path(__file__).parent / "probes" / "08_broadcast.py"
PROTOCOL = ["board.v1"]
FIELDS = ["author", "id", "room", "sent_at", "text"]
WELCOME = ["last_id", "members", "room", "type"]
ERRORS = [
    "BrokenPipeError",
    "ConnectionResetError",
    "OSError",
    "ConnectionClosed",
    "LocalProtocolError",
]
LARGE = 300_000  # characters
NUMBERS = itertools.count(1)  # Of requests: two tabs of one person need ids of their own.


@pytest.fixture
def server(stage) -> Server:
    """The learner's app."""
    return stage.serve()


class Guest:
    """Somebody in a room. What comes is kept apart by its type, in the order in which it came.

    One `in_a_hurry` has its welcome, and no reply yet.
    """

    def __init__(
        self, server: Server, who: str, room: str, deflate: bool = False, in_a_hurry: bool = False
    ) -> None:
        target = f"/board/{room}?{urlencode({'author': who})}"
        self.who, self.room = who, room
        self.socket = server.socket(who, target, subprotocols=PROTOCOL, deflate=deflate)
        self._waiting: dict[str, deque] = defaultdict(deque)
        self.came: list[dict] = []
        self.welcome = self._receive()
        met = self.welcome["type"] == "welcome"
        expect(met, "a welcome, before anything else", self.welcome)
        expect(sorted(self.welcome) == WELCOME, f"a welcome with {WELCOME}", self.welcome)
        if not in_a_hurry:
            self.ping()

    def _receive(self) -> dict:
        event = self.socket.receive_json()
        met = isinstance(event, dict) and isinstance(event.get("type"), str)
        expect(met, "a JSON object with a type", event)
        self.came.append(event)
        return event

    def next(self, *kinds: str) -> dict:
        """Return the next that comes of these kinds. Others wait until they are asked for."""
        for kind in kinds:
            if self._waiting[kind]:
                return self._waiting[kind].popleft()
        while (event := self._receive())["type"] not in kinds:
            self._waiting[event["type"]].append(event)
        return event

    def message(self) -> dict:
        """Return the next message of the room that is pushed."""
        event = self.next("message")
        expect(sorted(event) == ["message", "type"], "an event with type and message", event)
        message = event["message"]
        met = isinstance(message, dict) and sorted(message) == FIELDS
        expect(met, f"a message with the fields {', '.join(FIELDS)}", event)
        return message

    def messages(self, count: int) -> list[dict]:
        """Return the next messages that are pushed."""
        return [self.message() for _ in range(count)]

    def expect_message(self, message: dict) -> None:
        """Hold that this message is the next that is pushed."""
        got = self.message()
        expect(equal(got, message), f"{self.who} to hear {json.dumps(message)}", got)

    def presence(self) -> list[str]:
        """Return who is here by the next presence."""
        event = self.next("presence")
        expect(isinstance(event.get("members"), list), "a presence with a list of members", event)
        return event["members"]

    def expect_presence(self, *members: str) -> None:
        """Hold that the next presence says that these are here."""
        event = self.next("presence")
        wanted = {"type": "presence", "members": sorted(members)}
        expect(equal(event, wanted), f"{self.who} to hear {json.dumps(wanted)}", event)

    def wait_for_presence(self, *members: str) -> list[list[str]]:
        """Wait for a presence that says that these are here. Returns what was said before it."""
        before = []
        while (here := self.presence()) != sorted(members):
            before.append(here)
        return before

    def expect_left(self, *members: str) -> None:
        """Hold that in the end these are here; on the way there, people only go."""
        before = None
        while (now := self.presence()) != sorted(members):
            met = set(members) <= set(now) <= set(before or now)
            expect(met, f"presences that shrink to {sorted(members)}", [before, now])
            before = now

    def send(self, kind: str, **fields: object) -> str:
        """Send a request. Returns its id."""
        request_id = fields.pop("id", None) or f"{self.who} {next(NUMBERS)}"
        self.socket.send_json({"type": kind, "id": request_id, **fields})
        return request_id

    def post(self, text: str, **fields: object) -> dict:
        """Post a text, and return the message that is acknowledged."""
        request_id = self.send("post", text=text, **fields)
        reply = self.next("ack", "error")
        met = reply.get("id") == request_id and isinstance(reply.get("message"), dict)
        expect(met, f"an ack of {request_id}, with the message", reply)
        return reply["message"]

    def ping(self) -> None:
        """Send a ping, and wait for its pong."""
        request_id = self.send("ping")
        reply = self.next("pong", "error")
        expect(reply.get("id") == request_id, f"a pong to {request_id}", reply)

    def history(self, after: int, limit: int = 50) -> list[dict]:
        """Return a page of the room's messages."""
        self.send("history", after=after, limit=limit)
        reply = self.next("messages", "error")
        expect(isinstance(reply.get("messages"), list), "a page of messages", reply)
        return reply["messages"]

    def leave(self) -> None:
        """Close the connection."""
        self.socket.close()

    def cut(self) -> None:
        """Break the connection, by a TCP reset."""
        self.socket.cut()

    def half_close(self) -> None:
        """End this side of TCP, without a close frame."""
        self.socket.half_close()

    def crash(self) -> None:
        """Send what the probe of this name makes an exception of."""
        self.send("crash")


def post(server: Server, who: str, room: str, text: str) -> dict:
    """Post over REST, and return the message of the answer."""
    answer = server.client(who).post(f"/rooms/{room}/messages", {"author": who, "text": text})
    return answer.json(201)


def kept(stage: Stage, room: str) -> dict:
    """Keep a message of which the app knows nothing, and return it."""
    database = str(stage.scratch / "board.sqlite3")
    return stage.probe(PROBES, "keep", database, room, "eve", stage.text())


def wait_until_held(server: Server, or_done: Future | None = None) -> None:
    """Wait until the call that the probe holds has come, or all is done without such a call."""

    def met() -> bool:
        return server.probe(PROBES, "is_held") or (or_done is not None and or_done.done())

    eventually(met, "the board at work", lambda: "nothing yet")


def ids(messages: list[dict]) -> list[object]:
    """Return the ids of messages."""
    return [message["id"] for message in messages]


# join


@task("join", "Who joins is greeted first, and served", points=1)
def test_the_welcome_comes_first_and_says_how_far_the_room_is(stage, server):
    room, quiet = stage.name(), stage.name()
    kept(stage, stage.name())
    last = [kept(stage, room)["id"] for _ in range(3)][-1]
    kept(stage, stage.name())

    for name, last_id in ((room, last), (quiet, 0)):
        ada = Guest(server, "ada", name)

        wanted = {"type": "welcome", "room": name, "last_id": last_id, "members": ["ada"]}
        expect(equal(ada.welcome, wanted), json.dumps(wanted), ada.welcome)


@task("join")
def test_who_has_joined_is_served(stage, server):
    room = stage.name()
    message = kept(stage, room)
    ada = Guest(server, "ada", room)

    ada.ping()
    ada.ping()
    found = ada.history(after=0)
    expect(found == [message], json.dumps([message]), found)


# fan_out


@task("fan_out", "A message reaches everybody, in one order", points=2, needs="join")
def test_a_posted_message_reaches_every_client_in_the_room_the_sender_too(stage, server):
    room = stage.name()
    guests = [Guest(server, who, room) for who in ("ada", "bob", "eve", "ada")]
    texts = (stage.text(), " <b>e\u0301</b>\r\n\t", "\x00 & \ufeff", "🦦" * 2000)

    for sender, text in zip(guests, texts, strict=True):
        message = sender.post(text)

        met = message.get("text") == text and message.get("author") == sender.who
        expect(met, f"an ack with what {sender.who} has posted", message)
        for guest in guests:
            guest.expect_message(message)


@task("fan_out")
def test_who_comes_is_told_to_those_who_are_here(stage, server):
    room = stage.name()

    ada = Guest(server, "ada", room)
    Guest(server, "bob", room)

    ada.wait_for_presence("ada", "bob")


@task("fan_out")
def test_all_clients_hear_all_messages_in_the_order_of_the_ids(stage, server):
    room = stage.name()
    guests = [Guest(server, f"guest-{number}", room) for number in range(6)]

    def chat(guest: Guest) -> list[dict]:
        for number in range(10):
            guest.send("post", text=f"{guest.who} {number}")
        return guest.messages(60)

    heard = in_threads([lambda guest=guest: chat(guest) for guest in guests])

    for guest, messages in zip(guests, heard, strict=True):
        in_order = ids(messages) == sorted(ids(messages))
        expect(in_order, f"{guest.who} to hear rising ids", ids(messages))
        expect(messages == heard[0], f"{guest.who} to hear what the others hear", ids(messages))


@task("fan_out")
def test_who_is_held_up_after_the_commit_is_not_overtaken(stage, server):
    room = stage.name()
    ada, bob, eve = (Guest(server, who, room) for who in ("ada", "bob", "eve"))
    server.probe(PROBES, "hold_kept")

    first = begin(lambda: ada.post("first"))
    wait_until_held(server)
    second = bob.post("second")

    for guest in (eve, bob):
        guest.expect_message(first.result())
        guest.expect_message(second)


# rooms


@task("rooms", "What is said in a room stays there", points=1, needs="fan_out")
def test_a_message_reaches_its_own_room_only(stage, server):
    name = stage.name()
    longest = f"{name:x<31}"  # of the 32 characters that a name may have
    rooms = [name, f"{name}-2", f"{name}2", f"{longest}a", f"{longest}b", stage.name()]
    guests = [Guest(server, who, room) for room in rooms for who in ("ada", "bob")]

    said = {room: [] for room in rooms}
    for guest in guests:
        said[guest.room].append(guest.post(stage.text()))
    for room in rooms:
        said[room].append(post(server, "eve", room, stage.text()))

    for guest in guests:
        for message in said[guest.room]:
            guest.expect_message(message)


@task("rooms")
def test_who_comes_and_goes_in_a_room_is_told_in_that_room_only(stage, server):
    here, there = stage.name(), stage.name()
    ada = Guest(server, "ada", here)
    ada.expect_presence("ada")

    Guest(server, "zoe", there)
    bob = Guest(server, "bob", there)
    Guest(server, "ada", there).leave()
    bob.leave()
    Guest(server, "eve", here)

    ada.expect_presence("ada", "eve")


# rest


@task("rest", "REST and WebSocket are one board", points=1, needs="fan_out")
def test_what_is_posted_over_rest_is_pushed(stage, server):
    room = stage.name()
    guests = [Guest(server, who, room) for who in ("ada", "bob")]

    for text in (stage.text(), "the same", "the same"):
        message = post(server, "eve", room, text)

        for guest in guests:
            guest.expect_message(message)


@task("rest")
def test_what_a_client_posts_is_seen_over_rest_as_the_same_message(stage, server):
    room = stage.name()
    ada, bob = Guest(server, "ada", room), server.client("bob")

    message = ada.post(stage.text())

    found = bob.get(f"/rooms/{room}/messages").json()["messages"]
    expect(equal(found, [message]), json.dumps([message]), found)
    one = bob.get(f"/rooms/{room}/messages/{message['id']}").json()
    expect(equal(one, message), json.dumps(message), one)


@task("rest")
def test_whoever_hears_of_a_message_can_get_it(stage, server):
    room = stage.name()
    ada = Guest(server, "ada", room)
    server.probe(PROBES, "hold_commit")
    answer = begin(lambda: post(server, "bob", room, stage.text()))

    message = ada.message()

    path = f"/rooms/{room}/messages/{message['id']}"
    server.client("ada").get(path).expect_status(200)
    server.probe(PROBES, "release")
    expect(equal(answer.result(), message), json.dumps(message), answer.result())


@task("rest")
def test_a_message_is_kept_before_anybody_hears_of_it(stage, server):
    room = stage.name()
    ada = Guest(server, "ada", room)
    server.probe(PROBES, "look_again", str(stage.scratch / "board.sqlite3"))

    message, other = ada.post(stage.text()), post(server, "bob", room, stage.text())

    ada.expect_message(message)
    ada.expect_message(other)
    unkept = server.probe(PROBES, "unkept")
    expect(unkept == [], "another process to find each message when it is pushed", unkept)


@task("rest")
def test_what_is_refused_is_not_pushed(stage, server):
    room = stage.name()
    ada = Guest(server, "ada", room)

    for text in ("", " ", None, "x" * 2001):
        body = {"author": "bob", "text": text}
        server.client("bob").post(f"/rooms/{room}/messages", body)
        ada.send("post", text=text)
    message = post(server, "bob", room, stage.text())

    ada.expect_message(message)


@task("rest")
def test_a_post_that_is_sent_again_is_pushed_once(stage, server):
    room, text = stage.name(), stage.text()
    ada, bob = Guest(server, "ada", room), Guest(server, "bob", room)

    message, between = ada.post(text, id="1"), ada.post(text, id="between")
    for tab in (ada, Guest(server, "ada", room), Guest(server, "ada", room)):
        again = tab.post(text, id="1")
        expect(equal(again, message), f"the same message again, {json.dumps(message)}", again)
    other = ada.post(text, id="2")

    for pushed in (message, between, other):
        bob.expect_message(pushed)


@task("rest")
def test_a_post_that_comes_from_two_tabs_at_once_is_pushed_once(stage, server):
    room, text = stage.name(), stage.text()
    bob, *tabs = (Guest(server, who, room) for who in ("bob", "ada", "ada"))
    server.probe(PROBES, "hold_look", True)
    server.probe(PROBES, "release")

    told = in_threads([lambda tab=tab: tab.post(text, id="1") for tab in tabs])
    other = bob.post(text)

    expect(equal(told[0], told[1]), f"{json.dumps(told[0])} in both acks", told[1])
    bob.expect_message(told[0])
    bob.expect_message(other)


@task("rest")
def test_a_post_that_is_sent_again_after_a_restart_is_not_pushed(stage, server):
    room, text = stage.name(), stage.text()
    Guest(server, "ada", room).post(text, id="1")
    server.kill()
    ada = Guest(stage.serve(), "ada", room)

    ada.post(text, id="1")
    other = ada.post(text, id="2")

    ada.expect_message(other)


# leave


@task("leave", "Who goes is gone, however they go", points=1, needs="fan_out")
def test_who_closes_or_is_cut_or_whose_handler_fails_is_gone_from_the_room(stage, server):
    room = stage.name()
    server.probe(PROBES, "crash", "crash")
    ada = Guest(server, "ada", room)

    for go in (Guest.leave, Guest.cut, Guest.half_close, Guest.crash):
        bob = Guest(server, "bob", room)
        ada.wait_for_presence("ada", "bob")
        go(bob)

        ada.wait_for_presence("ada")


@task("leave")
def test_after_200_have_come_and_gone_nothing_is_left_of_them(stage, server):
    Guest(server, "ada", stage.name()).leave()
    before, rooms = server.census(), [stage.name() for _ in range(200)]
    server.probe(PROBES, "crash", "crash")

    def come_and_go(some: list[str]) -> None:
        for number, room in enumerate(some):
            guest = Guest(server, "bob", room)
            guest.post("hello, and goodbye")
            [guest.leave, guest.cut, guest.half_close, guest.crash][number % 4]()

    for first in range(0, 200, 20):  # In rounds, so that what stays is seen before it piles up.
        some = rooms[first : first + 20]
        in_threads([lambda some=some[start::4]: come_and_go(some) for start in range(4)])
        server.expect_census(before)
    nothing = {"connections": 0, "rooms": 0}
    eventually(
        lambda: server.probe(PROBES, "left_over", rooms) == nothing,
        "no connection and no room to be left in memory",
        lambda: server.probe(PROBES, "left_over", rooms),
    )


@task("leave")
def test_who_was_never_in_the_room_leaves_nothing_behind(stage, server):
    room = stage.name()
    for _ in range(2):  # The room is empty at first; then ada is there.
        stranger = server.raw_socket("stranger", f"/board/{room}?author=bob")
        stranger.expect_close(4406)
        stranger.send(CLOSE, (4406).to_bytes(2, "big"))

        stranger.expect_end()
        Guest(server, "ada", room)


# dead_client


@task("dead_client", "One dead client does not stop the others", points=1, needs="leave")
@pytest.mark.parametrize("error", ERRORS)
def test_a_send_that_fails_removes_that_client_and_goes_on(stage, server, error):
    room = stage.name()
    crowd = {name: Guest(server, name, room) for name in NAMES}
    for guest in crowd.values():
        guest.wait_for_presence(*NAMES)
    server.probe(PROBES, "note_order", NAMES)
    message = post(server, "eve", room, stage.text())
    for guest in crowd.values():
        guest.expect_message(message)

    # Who is sent to first dies: then the others are in the middle of it when they hear of that.
    order = dict.fromkeys([*server.probe(PROBES, "noted_order"), *NAMES])  # each name once
    first, second, ada, third, bob, zoe = map(crowd.get, order)
    lose(server, error, first, second, third)
    message = ada.post(stage.text())

    living = [ada, bob, zoe]
    for guest in living:
        guest.expect_message(message)
        guest.expect_left(*(other.who for other in living))
    other = post(server, "eve", room, stage.text())
    for guest in living:
        guest.expect_message(other)
    living.append(Guest(server, "newcomer", room))
    for guest in living:
        guest.expect_presence(*(other.who for other in living))


NAMES = [f"guest-{number}" for number in range(6)]


def beside_a_dead_client(server: Server, room: str) -> Guest:
    """Return ada, in a room with a bob who has gone; only who sends to him can know."""
    ada = Guest(server, "ada", room)
    lose(server, "BrokenPipeError", Guest(server, "bob", room))
    return ada


def lose(server: Server, error: str, *guests: Guest) -> None:
    """From now on, let each send to these guests raise this error."""
    server.probe(PROBES, "lose", [guest.who for guest in guests], error)
    for guest in guests:
        server.stage.wire.happened(guest.who, f"has gone: a send raises {error} from now on")


@task("dead_client")
def test_a_dead_tab_is_one_client_and_its_owner_may_have_another(stage, server):
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
def test_whoever_cannot_be_told_who_is_here_has_gone_too(stage, server):
    room = stage.name()
    ada = beside_a_dead_client(server, room)

    eve = Guest(server, "eve", room)

    for guest in (ada, eve):
        guest.wait_for_presence("ada", "eve")


@task("dead_client")
def test_connections_that_are_cut_while_others_talk_harm_nobody(stage, server):
    room = stage.name()
    crowd = [Guest(server, f"crowd-{number}", room) for number in range(8)]
    guests, said = [Guest(server, who, room) for who in ("ada", "bob")], []

    for doomed in crowd:
        doomed.send("post", text="I am as good as gone")
        doomed.message()
        doomed.cut()
        said += [guest.post(stage.text()) for guest in guests]
        said.append(post(server, "eve", room, stage.text()))

    for guest in guests:
        heard = guest.messages(len(said) + len(crowd))
        missed = [message for message in said if message not in heard]
        expect(not missed, f"{guest.who} to hear all that the others said", missed)
        guest.wait_for_presence("ada", "bob")


# presence


@task("presence", "Everybody knows who is here", points=1, needs="leave")
def test_who_comes_is_told_who_is_here_and_everybody_hears_of_it(stage, server):
    room, names = stage.name(), ["mia", "ada", "Zoë", "Ada", " ada", "éa", "e\u0301a"]
    guests = []

    for number, name in enumerate(names, 1):
        guests.append(Guest(server, name, room))

        here = sorted(names[:number])
        got = guests[-1].welcome["members"]
        expect(equal(got, here), f'"members": {json.dumps(here)} in the welcome', got)
        for guest in guests:
            guest.expect_presence(*here)


@task("presence")
def test_somebody_with_two_tabs_is_here_once_until_the_last_is_closed(stage, server):
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
def test_what_is_posted_changes_nobodys_presence(stage, server):
    room = stage.name()
    ada = Guest(server, "ada", room)
    ada.expect_presence("ada")

    ada.post(stage.text())
    post(server, "zoe", room, stage.text())
    Guest(server, "bob", room)

    ada.expect_presence("ada", "bob")


@task("presence")
def test_of_two_presences_the_later_has_the_last_word(stage, server):
    room = stage.name()
    ada = Guest(server, "ada", room)
    ada.expect_presence("ada")
    server.probe(PROBES, "hold_presence", "ada")

    bob = begin(lambda: Guest(server, "bob", room))
    wait_until_held(server)
    eve = begin(lambda: Guest(server, "eve", room))

    bob.result(), eve.result()
    first, last = ada.presence(), ada.presence()
    expect(equal(last, ["ada", "bob", "eve"]), '["ada", "bob", "eve"] in the end', [first, last])


@task("presence")
def test_who_comes_while_their_other_tab_goes_is_here(stage, server):
    room = stage.name()
    ada, bob = (Guest(server, who, room) for who in ("ada", "bob"))
    server.probe(PROBES, "hold_members", says="the next look at who is here is held for a moment")

    second = begin(lambda: Guest(server, "bob", room))
    wait_until_held(server, or_done=second)
    bob.leave()
    second.result()
    Guest(server, "eve", room)

    before = ada.wait_for_presence("ada", "bob", "eve")
    expect(before[-1] == ["ada", "bob"], '["ada", "bob"] before eve came', before)


@task("presence")
def test_of_two_who_go_at_once_the_later_has_the_last_word(stage, server):
    room = stage.name()
    ada, bob, eve = (Guest(server, who, room) for who in ("ada", "bob", "eve"))
    ada.wait_for_presence("ada", "bob", "eve")
    server.probe(PROBES, "hold_presence", "ada", says="the next presence is held up for a moment")

    bob.cut()
    wait_until_held(server)
    eve.cut()

    ada.expect_left("ada")
    Guest(server, "zoe", room)
    ada.expect_presence("ada", "zoe")


@task("presence")
def test_all_that_goes_by_is_as_asyncapi_yaml_describes_it(stage, server):
    file, room = described("08_broadcast", ROOT, stage.folder), stage.name()
    ada = Guest(server, "ada", room)

    ada.post(stage.text())
    post(server, "somebody whose name has more than 32 characters", room, "🦦" * 2000)
    ada.history(after=0)
    ada.send("ping")
    ada.send("dance")
    for kind in ("message", "message", "presence", "pong", "error"):
        ada.next(kind)

    kinds = {file.kind(message) for message in ada.came} | {"post", "history", "ping"}
    expect(kinds == file.kinds, f"all of {', '.join(sorted(file.kinds))}", sorted(kinds))


# prompt


@task("prompt", "No message waits for an ACK", points=1, needs="join")
def test_nagles_algorithm_is_off_on_every_connection(stage, server):
    room = stage.name()
    for who in ("ada", "ada", "bob"):
        Guest(server, who, room)

    found = server.probe(PROBES, "no_delay")

    expect(found == [True] * 3, "TCP_NODELAY set on the sockets of all three", found)


# threads


@task("threads", "Many threads send, and no frame breaks", points=2, needs="fan_out")
@pytest.mark.parametrize(
    ("first", "then"), [("message", "message"), ("pong", "message"), ("message", "pong")]
)
def test_one_thread_at_a_time_sends_to_a_client(stage, server, first, then):
    room = stage.name()
    ada = Guest(server, "ada", room, deflate=True)
    causes = {"message": lambda: post(server, "bob", room, "hi"), "pong": lambda: ada.send("ping")}
    server.probe(PROBES, "hold_send", "ada", first)

    begun = begin(causes[first])
    wait_until_held(server)
    causes[then]()
    begun.result()

    ada.next(first)
    ada.next(then)
    found = server.probe(PROBES, "overlapped")
    expect(not found, "one message at a time on its way to ada", found)


@task("threads")
def test_eight_threads_post_to_clients_that_compress_and_nothing_breaks(stage, server):
    room, threads, posts = stage.name(), 8, 50
    guests = [Guest(server, f"guest-{number}", room, deflate=True) for number in range(50)]

    server.probe(PROBES, "flood", room, threads, posts)
    for guest in guests[:8]:
        guest.send("ping")

    expected = {f"{thread} {number}" for thread in range(threads) for number in range(posts)}
    everybody = [guest.messages(threads * posts) for guest in guests]
    for guest, heard in zip(guests, everybody, strict=True):
        lost = expected - {message["text"] for message in heard}
        expect(not lost, f"{guest.who} to hear all that was posted", f"{len(lost)} were lost")
        expect(ids(heard) == ids(everybody[0]), "one order for everybody", f"another: {guest.who}")
        expect(ids(heard) == sorted(ids(heard)), "the order of the ids", ids(heard))


@task("threads")
def test_large_messages_from_four_threads_come_whole(stage, server):
    room, threads, posts = stage.name(), 4, 4
    guests = [Guest(server, f"guest-{number}", room) for number in range(4)]

    server.probe(PROBES, "publish_large", room, threads, posts, LARGE)

    for guest in guests:
        heard = [guest.next("message")["message"] for _ in range(threads * posts)]
        whole = all(message["text"] == message["author"] * LARGE for message in heard)
        expect(whole, f"{LARGE:,} equal characters in each message", "a mixture")


# catch_up


def caught_up(guest: Guest, last: dict) -> list[dict]:
    """Return all of the room as the page says: the history up to `last_id`, then what is pushed."""
    messages: list[dict] = []
    last_id, cursor = guest.welcome["last_id"], 0
    while cursor < last_id:
        page = guest.history(after=cursor, limit=2)
        expect(bool(page), f"messages after {cursor}, since last_id is {last_id}", page)
        cursor = page[-1]["id"]
        messages += [message for message in page if message["id"] <= last_id]
    while not messages or messages[-1]["id"] < last["id"]:
        messages.append(guest.message())
    return messages


def expect_caught_up(server: Server, guest: Guest, last: dict) -> None:
    """Hold that history and what is pushed make up the room."""
    wanted = server.client("eve").get(f"/rooms/{guest.room}/messages", limit=200).json()
    got, wanted = ids(caught_up(guest, last)), ids(wanted["messages"])
    expect(got == wanted, f"history and what is pushed to be {wanted}", got)


@task("catch_up", "History and live meet: no gap, nothing twice", points=1, needs="fan_out")
def test_a_message_that_lands_right_after_the_welcome_is_not_missed(stage, server):
    room = stage.name()
    server.probe(PROBES, "hold_greeting")

    ada = Guest(server, "ada", room, in_a_hurry=True)
    message = post(server, "bob", room, stage.text())
    server.probe(PROBES, "release")

    ada.expect_message(message)


@task("catch_up")
@pytest.mark.parametrize("after", [False, True], ids=["before_the_look", "after_the_look"])
def test_a_message_that_lands_while_somebody_joins_comes_once(stage, server, after):
    room = stage.name()
    for _ in range(3):
        kept(stage, room)
    server.probe(PROBES, "hold_look", after)

    joined = begin(lambda: Guest(server, "ada", room, in_a_hurry=True))
    wait_until_held(server)
    post(server, "bob", room, stage.text())
    server.probe(PROBES, "release")
    last = post(server, "bob", room, stage.text())

    expect_caught_up(server, joined.result(), last)


@task("catch_up")
def test_a_message_that_lands_when_the_turn_is_given_up_comes_once(stage, server):
    room = stage.name()
    server.probe(PROBES, "hold_turn")

    joined = begin(lambda: Guest(server, "ada", room, in_a_hurry=True))
    wait_until_held(server, or_done=joined)
    post(server, "bob", room, stage.text())
    server.probe(PROBES, "release")
    last = post(server, "bob", room, stage.text())

    expect_caught_up(server, joined.result(), last)


@task("catch_up")
def test_who_joins_while_others_talk_has_everything_once(stage, server):
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
