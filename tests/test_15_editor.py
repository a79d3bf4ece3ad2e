"""Lesson 15: one document for several people, by operational transformation: its specification.

An operation is a list of parts, as in ot.py. The first tests call the functions of ot.py. Those of
`server` speak to the app over WebSockets, and those of `client` run whole sessions, of which a
seed decides everything, in one process: see tests/probes/15_editor.py.
"""

import json
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from course.grading import Server, equal, expect, task
from course.grading.asyncapi import described
from course.grading.browser import Tab
from course.grading.expect import Unmet, shown
from course.grading.waiting import PATIENCE, SECONDS
from course.lesson.lessons import ROOT

PROBES = Path(__file__).parent / "probes" / "15_editor.py"
PROTOCOL = ["editor.v1"]
NEVER = 3600  # seconds between two pings
LOG = 4  # edits that the server keeps at least
REPLIES = ("ack", "document", "error", "pong")
MOST = 1_000  # messages that a client receives while it waits for one
SESSIONS = 200
# A text, an operation for it, and the result. The second emoji has three code points.
CHANGES = [
    ("abcde", [3, "!", -2], "abc!"),
    ("", [], ""),
    ("", ["hi"], "hi"),
    ("hi", [2], "hi"),
    ("hi", [-2], ""),
    ("abcde", ["x", 1, -1, 1, "yz", -1, 1], "xacyze"),
    ("a😀b", [1, -1, 1], "ab"),
    ("👩\u200d🚀!", [3, "?", -1], "👩\u200d🚀?"),
    ("e\u0301", [1, -1], "e"),
    ("a\nb", [1, -1, "\n\n", 1], "a\n\nb"),
]


MISFIT = "Misfit raised"


def in_python(got: object) -> str:
    """Name what a call of a learner's function returned, or raised."""
    return MISFIT if got == MISFIT else repr(got)


@pytest.fixture
def call(stage) -> Callable:
    """Calls functions of the learner's ot.py, all in one process."""
    return partial(stage.child().probe, PROBES, "call")


@pytest.fixture
def server(stage) -> Server:
    """The learner's app."""
    return stage.serve(HEARTBEAT=NEVER, LOG=LOG)


# apply


@task("apply", "An operation changes the text that it was made for, and no other")
def test_an_operation_is_applied_to_code_points(call):
    for text, operation, wanted in CHANGES:
        got = call("apply", text, operation)
        expect(got == wanted, f"{wanted!r} from apply({text!r}, {operation})", in_python(got))


@task("apply")
def test_an_operation_for_a_text_of_another_length_is_refused(call):
    for text, operation in [
        ("abc", [2]),
        ("abc", [4]),
        ("abc", []),
        ("abc", [1, "x", -3]),
        ("abc", [-4]),
        ("", [1]),
        ("", [-1, "x"]),
        ("a😀b", [4]),
        ("abc", ["xyz"]),
    ]:
        got = call("apply", text, operation)
        expect(got == MISFIT, f"Misfit raised by apply({text!r}, {operation})", in_python(got))


# compose


@task("compose", "Two operations in a row become one", needs="apply")
def test_the_composed_operation_does_what_both_do(call):
    for first, second, wanted in [
        (["hi"], [2, "!"], ["hi!"]),
        (["hi"], [1, -1], ["h"]),
        (["hi"], [-2], []),
        ([3, "x"], [-4], [-3]),
        ([-2, 1], ["x", 1], ["x", -2, 1]),
        ([1, "ab", 1], [2, "X", 2], [1, "aXb", 1]),
        ([1, -1, 1], [1, "x", 1], [1, "x", -1, 1]),
        ([], [], []),
    ]:
        got = call("compose", first, second)
        expect(equal(got, wanted), f"{wanted} from compose({first}, {second})", in_python(got))


@task("compose")
def test_random_operations_are_composed(stage):
    found = stage.probe(PROBES, "compose_many", stage.random.randrange(10**6), 500)

    expect(not found, "compose(first, second) to do what first and then second do", found)


@task("compose")
def test_operations_that_do_not_fit_are_not_composed(call):
    for first, second in [([3], [2]), ([2], [3]), (["x"], []), ([-1], [1]), ([], [-1])]:
        got = call("compose", first, second)
        expect(got == MISFIT, f"Misfit raised by compose({first}, {second})", in_python(got))


# transform


@task("transform", "Two operations made at the same time fit after each other", 3, needs="apply")
def test_two_operations_that_cross_are_transformed(call):
    for first, second, wanted in [
        ([1, "X", 2], [3, "Y"], [[1, "X", 3], [4, "Y"]]),
        ([3, "Y"], [1, "X", 2], [[4, "Y"], [1, "X", 3]]),
        (["X", 3], ["Y", 3], [["X", 4], [1, "Y", 3]]),
        ([-2, 1], [-2, 1], [[1], [1]]),
        ([-2, 1], [1, -2], [[-1], [-1]]),
        ([-3], [1, "Y", 2], [[-1, 1, -2], ["Y"]]),
        ([1, "X", 2], [-3], [["X"], [-1, 1, -2]]),
        ([], ["Y"], [[1], ["Y"]]),
    ]:
        got = call("transform", first, second)
        says = f"{wanted} from transform({first}, {second})"
        expect(equal(got, wanted), says, in_python(got))


@task("transform")
def test_both_orders_of_random_operations_result_in_one_text(stage):
    found = stage.probe(PROBES, "transform_many", stage.random.randrange(10**6), 1000)

    expect(
        not found, "first and then the new second to give what second and the new first give", found
    )


@task("transform")
def test_operations_for_different_lengths_are_not_transformed(call):
    for first, second in [([3], [2]), ([2], [3]), (["x"], [1]), ([-1], []), ([], [-1])]:
        got = call("transform", first, second)
        expect(got == MISFIT, f"Misfit raised by transform({first}, {second})", in_python(got))


# server


class Writer:
    """A client that sends what a test tells it to."""

    def __init__(self, server: Server, who: str, room: str, revision: int | None = None) -> None:
        query = f"author={who}" + ("" if revision is None else f"&revision={revision}")
        self.who = who
        self.heard: list[dict] = []  # all that was received
        self.socket = server.socket(who, f"/documents/{room}?{query}", subprotocols=PROTOCOL)
        self.missed = self.until("welcome")
        self.text = next((m["text"] for m in self.missed if m["type"] == "document"), None)

    def until(self, kind: str, request_id: object = None) -> list[dict]:
        """Return what is received up to and without the next message of this type.

        Raises Unmet at once if the request with this id gets another reply.
        """
        found, deadline = [], time.monotonic() + 3 * SECONDS * PATIENCE
        while len(found) < MOST and time.monotonic() < deadline:
            event = self.socket.receive_json()
            met = isinstance(event, dict) and isinstance(event.get("type"), str)
            expect(met, "a JSON object with a type", event)
            self.heard.append(event)
            if event["type"] == kind:
                self.last = event
                return found
            answered = request_id is not None and event.get("id") == request_id
            if answered and event["type"] in REPLIES:
                wanted = f"the reply {kind} to {self.who}'s request {request_id!r}"
                raise Unmet(wanted, shown(event))
            found.append(event)
        kinds = Counter(event["type"] for event in found)
        counts = ", ".join(f"{count:,} of the type {name}" for name, count in kinds.items())
        doubt = "Does since() return [] for the newest revision?" if kind == "welcome" else ""
        raise Unmet(f"a message of the type {kind} for {self.who}", f"none, but {counts}", doubt)

    def ask(self, kind: str, reply: str, **fields: object) -> dict:
        """Send a request, and return its reply of this type."""
        self.socket.send(json.dumps({"type": kind, **fields}))
        self.before = self.until(reply, fields["id"])
        return self.last

    def edit(self, edit_id: str, revision: int, operation: list) -> int:
        """Send an operation. Returns the revision of its ack."""
        ack = self.ask("edit", "ack", id=edit_id, revision=revision, operation=operation)
        expect(ack.get("id") == edit_id, f"an ack of {edit_id}", ack)
        expect(type(ack.get("revision")) is int, "an ack with a revision", ack)
        return ack["revision"]

    def refuse(self, code: str, revision: object, operation: object) -> None:
        """Send an operation, and check that the reply is this error."""
        fields = {"id": code, "revision": revision, "operation": operation}
        error = self.ask("edit", "error", **fields)
        expect(error.get("code") == code, f"the error {code}", error)

    def document(self) -> list:
        """Return the revision and the text of the server."""
        reply = self.ask("document", "document", id="now")
        return [reply.get("revision"), reply.get("text")]

    def expect_document(self, revision: int, text: str) -> None:
        """Check the revision and the text of the server."""
        got = self.document()
        expect(equal(got, [revision, text]), f"revision {revision}: {text!r}", got)

    def expect_edit(self, **fields: object) -> None:
        """Check that this edit is pushed next."""
        self.until("edit")
        wanted = {"type": "edit", **fields}
        expect(equal(self.last, wanted), json.dumps(wanted), self.last)


@task("server", "The server puts all edits in one order", 3, needs=("transform", "compose"))
def test_an_edit_is_acknowledged_pushed_to_the_others_and_stored(stage, server):
    room = stage.name()
    ada, bob = Writer(server, "ada", room), Writer(server, "bob", room)

    expect(ada.edit("a1", 0, ["hi"]) == 1, "an ack of revision 1", ada.last)

    bob.expect_edit(revision=1, author="ada", id="a1", operation=["hi"])
    ada.expect_document(1, "hi")
    pushes = [event for event in ada.before if event["type"] == "edit"]
    expect(pushes == [], "no push of ada's own edit to ada", pushes)


@task("server")
def test_an_edit_of_an_earlier_revision_is_transformed(stage, server):
    room = stage.name()
    ada, bob = Writer(server, "ada", room), Writer(server, "bob", room)
    ada.edit("a1", 0, ["abc"])
    ada.edit("a2", 1, ["X", 3])
    ada.edit("a3", 2, [4, "Z"])

    revision = bob.edit("b1", 1, ["Y", 1, -1, 1])

    expect(revision == 4, "an ack of revision 4", revision)
    ada.expect_edit(revision=4, author="bob", id="b1", operation=[1, "Y", 1, -1, 2])
    ada.expect_document(4, "XYacZ")


@task("server")
def test_an_edit_that_is_sent_again_is_acknowledged_and_applied_once(stage, server):
    room = stage.name()
    ada, bob = Writer(server, "ada", room), Writer(server, "bob", room)
    ada.edit("same", 0, ["hi"])
    bob.edit("same", 1, [2, "!"])

    for revision, operation in ((0, ["hi"]), (2, [3])):
        expect(ada.edit("same", revision, operation) == 1, "the ack of revision 1 again", ada.last)

    ada.expect_document(2, "hi!")
    bob.document()
    expect(bob.before == [], "nothing more to be pushed to bob", bob.before)


@task("server")
def test_an_edit_that_is_sent_again_at_a_forgotten_revision_is_acknowledged(stage, server):
    room = stage.name()
    ada, bob = Writer(server, "ada", room), Writer(server, "bob", room)
    for number in range(2 * LOG):
        ada.edit(f"a{number}", number, [number, "x"] if number else ["x"])
    newest = bob.edit("b1", 1, ["!", 1])  # The log is compacted: now it forgets revision 1.

    again = bob.edit("b1", 1, ["!", 1])

    expect(again == newest, f"the ack of revision {newest} again", bob.last)
    ada.refuse("forgotten", 1, [1, "?"])
    ada.expect_document(newest, "!" + "x" * 2 * LOG)


@task("server")
def test_an_edit_that_cannot_be_stored_changes_nothing(stage, server):
    room = stage.name()
    ada, bob = Writer(server, "ada", room), Writer(server, "bob", room)
    ada.edit("a1", 0, ["abc"])
    server.probe(PROBES, "fail_once", "add", says="the next store.add() raises an error")

    ada.refuse("internal", 1, [3, "d"])

    ada.expect_document(1, "abc")
    expect(ada.edit("internal", 1, [3, "d"]) == 2, "the same edit to be accepted now", ada.last)
    ada.expect_document(2, "abcd")
    bob.document()
    revisions = [event["revision"] for event in bob.before if event["type"] == "edit"]
    expect(revisions == [1, 2], "bob to receive the edits 1 and 2", revisions)


@task("server")
def test_an_edit_that_cannot_be_applied_is_refused_and_changes_nothing(stage, server):
    room = stage.name()
    ada = Writer(server, "ada", room)
    ada.edit("a1", 0, ["abc"])

    ada.refuse("future", 2, [3])
    ada.refuse("future", 2**40, [3])
    ada.refuse("misfit", 1, [2])
    ada.refuse("misfit", 0, [3])
    ada.refuse("too_long", 1, [3, "x" * 19_998])
    for operation in (None, "abc", [3.0], [True, 2], [0, 3], [3, ""], [1, 2], [3, "\r\n"], [{}]):
        ada.refuse("bad_message", 1, operation)
    for revision in (None, -1, "1", 1.0, True):
        ada.refuse("bad_message", revision, [3])

    ada.expect_document(1, "abc")
    revision = ada.edit("a2", 1, [3, "x" * 19_996 + "\U0001f600"])  # two UTF-16 units
    expect(revision == 2, "20,000 characters to be accepted", revision)


@task("server")
def test_an_operation_has_at_most_1000_parts(stage, server):
    room = stage.name()
    ada = Writer(server, "ada", room)
    ada.edit("a1", 0, ["a" * 501])

    ada.refuse("too_long", 1, [*["x", 1] * 500, -1])

    ada.expect_document(1, "a" * 501)
    revision = ada.edit("a2", 1, [*["x", 1] * 499, "x", 2])
    expect(revision == 2, "an operation of 1,000 parts to be accepted", revision)


@task("server")
def test_what_the_server_sends_matches_asyncapi_yaml(stage, server):
    file, room = described("15_editor", ROOT, stage.folder), stage.name()
    ada, bob = Writer(server, "ada", room), Writer(server, "bob", room)
    ada.edit("a1", 0, ["hi"])
    for request in (
        {"type": "caret", "revision": 1, "start": 0, "end": 2},
        {"type": "caret", "revision": 1},
        {"type": "dance", "id": "a2"},
        {"type": "edit", "id": "a3", "revision": 9, "operation": [2]},
    ):
        ada.socket.send(json.dumps(request))
    ada.ask("ping", "pong", id="a4")
    ada.document()
    eve = Writer(server, "eve", room, revision=0)
    eve.socket.close()
    bob.until("left")

    for who in (ada, bob, eve):
        for message in who.heard:
            file.kind(message)


@task("server")
def test_the_log_forgets_old_edits_and_keeps_the_newest(stage, server):
    room = stage.name()
    ada = Writer(server, "ada", room)
    for number in range(2 * LOG + 1):
        ada.edit(f"a{number}", number, [number, "x"] if number else ["x"])
        known = number + 1 if number < 2 * LOG else LOG
        bob = Writer(server, "bob", room, number + 1 - known)
        kinds = [event["type"] for event in bob.missed]
        expect(kinds == ["edit"] * known, f"{known} edits that bob missed", kinds)

    newest = 2 * LOG + 1
    eve = Writer(server, "eve", room, newest - LOG - 1)
    expect(eve.text == "x" * newest, "the document instead of forgotten edits", eve.missed)
    eve.refuse("forgotten", newest - LOG - 1, [newest - LOG - 1])
    eve.expect_document(newest, "x" * newest)


@task("server")
def test_a_log_that_cannot_be_compacted_forgets_nothing(stage, server):
    room = stage.name()
    ada = Writer(server, "ada", room)
    for number in range(2 * LOG):
        ada.edit(f"a{number}", number, [number, "x"] if number else ["x"])
    server.probe(PROBES, "fail_once", "compact", says="the next store.compact() raises an error")
    newest = ada.edit("more", 2 * LOG, [2 * LOG, "x"])

    kinds = [event["type"] for event in Writer(server, "bob", room, revision=0).missed]

    expect(kinds == ["edit"] * newest, f"all {newest} edits that bob missed", kinds)
    ada.edit("last", newest, [newest, "x"])  # The log is compacted now.
    ada.refuse("forgotten", newest - LOG, [newest - LOG])


@task("server")
def test_a_document_survives_a_restart(stage, server):
    room = stage.name()
    for count in (3, 2 * LOG + 3):
        ada = Writer(server, "ada", room)
        revision, text = ada.document()
        for number in range(count):
            parts = [len(text), "é😀"]
            revision = ada.edit(f"{count}-{number}", revision, [part for part in parts if part])
            text += "é😀"

        server.kill()
        server = stage.serve(HEARTBEAT=NEVER, LOG=LOG)

        bob = Writer(server, "bob", room, revision - 2)
        expect(len(bob.missed) == 2, "the two edits that bob missed", bob.missed)
        bob.expect_document(revision, text)

    bob.refuse("forgotten", revision - LOG - 1, [len(text)])
    again = bob.ask("edit", "ack", id="b", revision=revision - 1, operation=[len(text) - 2])
    expect(again["revision"] == revision + 1, "an ack of the next revision", again)


# client


class Script:
    """What happens to a client, and what it should do then."""

    def __init__(self) -> None:
        self.events: list[str] = []  # in words
        self.steps: list[list] = []

    def then(self, event: str, *step: object, sent: list | None = None, text: str) -> None:
        """Add an event. `sent` is the revision and the operation of the edit that is sent then."""
        self.events.append(event)
        self.steps.append([step, [sent] if sent else [], text])

    def play(self, stage) -> list[str]:
        """Take the learner's client through all of it. Returns the ids that it sent."""
        played = stage.probe(PROBES, "drive", self.steps)
        for event, (_, wanted, text), (sent, shows) in zip(
            self.events, self.steps, played["outcomes"], strict=False
        ):
            says = f"after {event}, " + (edit_in_words(wanted) if wanted else "nothing to be sent")
            doubt = (
                "" if sent else "Does flush() call send_in_flight(), and is flush() called here?"
            )
            got = " and ".join(edit_in_words([edit]) for edit in sent) or "nothing was sent"
            expect(equal(sent, wanted), says, got, doubt)
            expect(shows == text, f"after {event}, the text {text!r}", repr(shows))
        return played["ids"]


def edit_in_words(sent: list) -> str:
    """Name the first of the edits that were sent."""
    revision, operation = sent[0]
    return f"the edit {json.dumps(operation, ensure_ascii=False)} of revision {revision}"


WELCOME = {"type": "welcome"}


def document(revision: int, text: str) -> dict:
    """Return the message that gives a client the whole document."""
    return {"type": "document", "revision": revision, "text": text}


def pushed(revision: int, operation: list) -> dict:
    """Return the push of an edit of bob's."""
    named = {"revision": revision, "author": "bob", "id": f"b{revision}"}
    return {"type": "edit", **named, "operation": operation}


@task("client", "Every client has the server's text in the end", 3, needs="server")
def test_one_operation_is_in_flight_and_one_buffer_waits(stage):
    ada = Script()
    ada.then("the document arrived", "receive", document(0, ""), text="")
    ada.then("ada wrote 'early'", "edit", ["early"], text="early")
    ada.then("the welcome arrived", "receive", WELCOME, sent=[0, ["early"]], text="early")
    ada.then("ada wrote 'a'", "edit", [5, "a"], text="earlya")
    ada.then("ada wrote 'b'", "edit", [6, "b"], text="earlyab")
    ada.then("the ack of 'early' arrived", "ack", 1, sent=[1, [5, "ab"]], text="earlyab")
    ada.then("ada wrote 'c'", "edit", [7, "c"], text="earlyabc")
    ada.then("the ack of 'ab' arrived", "ack", 2, sent=[2, [7, "c"]], text="earlyabc")
    ada.then("the ack of 'c' arrived", "ack", 3, text="earlyabc")
    ada.then("ada wrote 'd'", "edit", [8, "d"], sent=[3, [8, "d"]], text="earlyabcd")

    ids = ada.play(stage)

    expect(len(set(ids)) == 4, "a new id for each operation", ids)


@task("client")
def test_an_edit_of_another_client_is_transformed_past_what_was_not_acknowledged(stage):
    ada = Script()
    ada.then("the document arrived", "receive", document(1, "abc"), text="abc")
    ada.then("the welcome arrived", "receive", WELCOME, text="abc")
    ada.then("bob's 'B' arrived", "receive", pushed(2, [1, "B", 2]), text="aBbc")
    ada.then("ada wrote '1'", "edit", [4, "1"], sent=[2, [4, "1"]], text="aBbc1")
    ada.then("ada wrote '2'", "edit", [5, "2"], text="aBbc12")
    ada.then("bob's 'C' arrived", "receive", pushed(3, [4, "C"]), text="aBbcC12")
    ada.then("the ack of '1' arrived", "ack", 4, sent=[4, [6, "2"]], text="aBbcC12")

    ada.play(stage)


@task("client")
def test_after_a_cut_the_operation_in_flight_is_sent_again_with_its_id(stage):
    ada = Script()
    ada.then("the document arrived", "receive", document(4, "xyz"), text="xyz")
    ada.then("the welcome arrived", "receive", WELCOME, text="xyz")
    ada.then("ada wrote 'a'", "edit", [3, "a"], sent=[4, [3, "a"]], text="xyza")
    ada.then("ada wrote 'b'", "edit", [4, "b"], text="xyzab")
    ada.then("the connection ended", "cut", text="xyzab")
    ada.then("ada wrote 'c'", "edit", [5, "c"], text="xyzabc")
    ada.then("bob's edit, which she missed, arrived", "receive", pushed(5, [-3]), text="abc")
    ada.then("the second welcome arrived", "receive", WELCOME, sent=[5, ["a"]], text="abc")
    ada.then("the ack of 'a' arrived", "ack", 6, sent=[6, [1, "bc"]], text="abc")

    ids = ada.play(stage)

    expect(ids[0] == ids[1] != ids[2], "the first id twice, then a new one", ids)


@task("client")
def test_many_sessions_with_delays_and_cuts_converge(stage):
    first = stage.random.randrange(10**6)

    seed, fault = stage.probe(PROBES, "converge", first, SESSIONS)

    expect(not fault, "one text everywhere, with each insert once", f"session {seed}: {fault}")


# carets


@task("carets", "A caret stays at its place in the text", needs="server")
def test_a_position_moves_with_the_text(call):
    for position, operation, wanted in [
        (3, ["ab", 5], 5),
        (3, [3, "ab", 2], 3),
        (3, [4, "ab", 1], 3),
        (3, [2, "a", 3], 4),
        (3, [-2, 3], 1),
        (3, [1, -4], 1),
        (3, [3, -2], 3),
        (3, [2, "xy", -3], 4),
        (0, ["a", 5], 0),
        (5, [5, "a"], 5),
        (5, [1, "😀", -4], 2),
        (3, ["x", 1, -1, "y", 3], 4),
        (5, [-1, 1, -1, 1, -1], 2),
    ]:
        got = call("moved", position, operation)
        expect(equal(got, wanted), f"{wanted} from moved({position}, {operation})", in_python(got))


@task("carets")
def test_the_server_moves_a_caret_to_its_newest_revision(stage, server):
    room = stage.name()
    ada, bob = Writer(server, "ada", room), Writer(server, "bob", room)
    ada.edit("a1", 0, ["abc"])
    ada.edit("a2", 1, ["xy", 3])

    bob.socket.send(json.dumps({"type": "caret", "revision": 1, "start": 1, "end": 3}))

    bob.ask("ping", "pong", id="b1")
    errors = [event for event in bob.before if event["type"] == "error"]
    expect(errors == [], "no error in reply to bob's caret", errors)
    ada.until("caret")
    here = [ada.last.get(name) for name in ("author", "revision", "start", "end")]
    expect(here == ["bob", 2, 3, 5], "bob's caret from 3 to 5 at revision 2", ada.last)


# page


@pytest.fixture
def tabs(stage) -> tuple[Tab, Tab]:
    """Ada's and bob's page of one document, in a real browser."""
    server, browser, room = stage.serve(), stage.browser(), stage.name()
    pages = []
    for who in ("ada", "bob"):
        # The script runs in every page that is opened from now on, before the page's own.
        script = NETWORK if who == "ada" else ""
        tab = browser.open(who, f"{server.url}/rooms/{room}?author={who}", before=script)
        tab.wait_for(f"{STATE} === 'open'", "the page to connect", STATE)
        pages.append(tab)
    return pages[0], pages[1]


@task("page", "Two pages edit one text, and each has its caret and its undo", 3, needs="carets")
def test_what_one_page_writes_is_in_the_other(tabs):
    ada, bob = tabs

    insert(ada, "e\u0301t\u00e9 \U0001f600 <b>\n")
    expect_text(bob, "e\u0301t\u00e9 \U0001f600 <b>\n")
    insert(bob, "\U0001f469\u200d\U0001f680", 0)

    expect_text(ada, "\U0001f469\u200d\U0001f680e\u0301t\u00e9 \U0001f600 <b>\n")


@task("page")
def test_edits_that_cross_are_in_both_pages_once_also_after_a_cut(tabs):
    ada, bob = tabs
    insert(bob, "the cat sat")
    expect_text(ada, "the cat sat")
    expect_saved(bob)
    ada.run("() => network.hold()")

    insert(ada, "black ", 4)
    insert(bob, " on \U0001f600")
    expect_text(ada, "the black cat sat on \U0001f600")
    expect_text(bob, "the cat sat on \U0001f600")
    expect_saved(bob)
    ada.run("() => { network.release(); network.cut(); }")  # The edit arrives, but no ack.
    bob.run("() => network.cut()")
    insert(bob, "!")

    for tab in tabs:
        expect_text(tab, "the black cat sat on \U0001f600!")
        expect_saved(tab)


@task("page")
def test_the_selection_stays_on_its_text_under_remote_edits(tabs):
    ada, bob = tabs
    insert(ada, "one \U0001f600 two three")
    expect_text(bob, "one \U0001f600 two three")
    select(ada, 7, 10, "backward")

    insert(bob, "\U0001f600\U0001f601 ", 0)
    expect_text(ada, "\U0001f600\U0001f601 one \U0001f600 two three")
    expect_selection(ada, "two", "backward")
    insert(bob, "!", 19)
    expect_text(ada, "\U0001f600\U0001f601 one \U0001f600 two thr!ee")
    expect_selection(ada, "two", "backward")
    insert(bob, "", 0, 5)

    expect_text(ada, "one \U0001f600 two thr!ee")
    expect_selection(ada, "two", "backward")


@task("page")
def test_the_page_stays_scrolled_under_remote_edits(tabs):
    ada, bob = tabs
    lines = "line\n" * 100
    insert(ada, lines)
    expect_text(bob, lines)
    ada.run(AS_IN_FIREFOX)
    ada.run(f"() => {{ {FIELD}.scrollTop = 900; }}")
    before = ada.run(f"{FIELD}.scrollTop")

    insert(bob, "the end", len(lines))

    expect_text(ada, f"{lines}the end")
    now = ada.run(f"{FIELD}.scrollTop")
    expect(now == before, f"the page still scrolled to {before}", now)


@task("page")
def test_undo_reverts_the_last_edit_of_ones_own(tabs):
    ada, bob = tabs
    insert(ada, "ada\U0001f600")
    expect_text(bob, "ada\U0001f600")
    insert(bob, "bob ", 0)
    expect_text(ada, "bob ada\U0001f600")
    insert(bob, "!", 7)
    expect_text(ada, "bob ada!\U0001f600")

    ada.press("Control+z", "#text")
    expect_text(bob, "bob !")
    ada.press("Control+Shift+z", "#text")
    expect_text(bob, "bob ada\U0001f600!", "bob !ada\U0001f600", "bob ada!\U0001f600")
    ada.click("#undo")

    expect_text(bob, "bob !")
    expect(ada.run(NO_UNDO), "nothing left to undo", "an edit")


@task("page")
def test_undo_reverts_step_by_step_what_others_have_moved(tabs):
    ada, bob = tabs
    insert(ada, "one")
    pause(ada)
    insert(ada, " two")
    expect_text(bob, "one two")
    insert(bob, "zero ", 0)
    expect_text(ada, "zero one two")

    ada.press("Control+z", "#text")
    expect_text(bob, "zero one")
    ada.press("Control+z", "#text")

    expect_text(bob, "zero ")


@task("page")
def test_undo_leaves_out_a_step_of_which_another_user_deleted_all(tabs):
    ada, bob = tabs
    insert(ada, "one")
    pause(ada)
    insert(ada, " two")
    expect_text(bob, "one two")
    insert(bob, "", 3, 7)
    expect_text(ada, "one")

    ada.press("Control+z", "#text")

    expect_text(bob, "")


@task("page")
def test_undo_brings_back_what_was_deleted_at_its_place(tabs):
    ada, bob = tabs
    insert(bob, "one two three")
    expect_text(ada, "one two three")
    insert(ada, "", 4, 8)
    expect_text(bob, "one three")
    insert(bob, "zero ", 0)
    expect_text(ada, "zero one three")

    ada.press("Control+z", "#text")

    expect_text(bob, "zero one two three")


@task("page")
def test_a_screen_reader_is_not_told_each_remote_keystroke(tabs):
    ada, bob = tabs
    ada.run(COUNT_NEWS)

    for _ in range(10):
        insert(bob, "x", 0)
    expect_text(ada, "x" * 10)

    told = ada.run("window.told")
    expect(told == 0, "nothing announced while bob types", told)
    found = ada.barriers()
    expect(not found, "no barrier that axe finds", "; ".join(found))


# The page's helpers

FIELD = "document.getElementById('text')"
STATE = "document.getElementById('state').dataset.state"
NO_UNDO = "document.getElementById('undo').ariaDisabled === 'true'"
SAVED = "document.getElementById('saved').textContent"
# Lets a test hold back what a page sends, and cut its connection. It reconnects without delay.
NETWORK = """
    Math.random = () => 0;
    window.network = {
        held: null,
        hold() { this.held = []; },
        release() {
            const held = this.held;
            this.held = null;
            for (const data of held) this.socket.send(data);
        },
        cut() { this.socket.close(); },
    };
    window.WebSocket = class extends WebSocket {
        constructor(...options) {
            super(...options);
            network.socket = this;
        }
        send(data) {
            if (network.held) network.held.push(data);
            else super.send(data);
        }
    };
"""
# Firefox scrolls to a selection that a script sets (whatwg/html#6217). The caret is at the end.
AS_IN_FIREFOX = """() => {
    const field = document.getElementById("text");
    field.setSelectionRange = (...range) => {
        HTMLTextAreaElement.prototype.setSelectionRange.apply(field, range);
        field.scrollTop = field.scrollHeight;
    };
}"""
COUNT_NEWS = """() => {
    window.told = 0;
    const seen = new MutationObserver((records) => { window.told += records.length; });
    for (const live of document.querySelectorAll("[aria-live], [role=status], [role=log]")) {
        seen.observe(live, { childList: true, characterData: true, subtree: true });
    }
}"""


def insert(tab: Tab, text: str, start: int | None = None, end: int | None = None) -> None:
    """Write over the UTF-16 units from `start` to `end` of the page's text, as a user does."""
    tab.run(
        """([text, start, end]) => {
            const field = document.getElementById("text");
            field.focus();
            const from = start ?? field.value.length;
            field.setSelectionRange(from, end ?? from);
            document.execCommand(text ? "insertText" : "delete", false, text);
        }""",
        [text, start, end],
    )


def pause(tab: Tab) -> None:
    """Let so much time pass in the page that its next edit is another step of undo."""
    tab.run("() => { const later = performance.now() + 60_000; performance.now = () => later; }")


def select(tab: Tab, start: int, end: int, direction: str) -> None:
    """Select UTF-16 units of the page's text."""
    tab.run(f"() => {FIELD}.setSelectionRange({start}, {end}, '{direction}')")


def expect_text(tab: Tab, *texts: str) -> None:
    """Wait until the page's text is one of these."""
    condition = f"{json.dumps(texts)}.includes({FIELD}.value)"
    tab.wait_for(condition, f"{shown(texts[0])} in {tab.who}'s page", f"{FIELD}.value")


def expect_saved(tab: Tab) -> None:
    """Wait until the page is connected and has an ack for each of its edits."""
    saved = f"{STATE} === 'open' && {SAVED}.endsWith('saved')"
    tab.wait_for(saved, f"all edits of {tab.who} to be acknowledged", SAVED)


def expect_selection(tab: Tab, text: str, direction: str) -> None:
    """Expect the page's selection to be this text, in this direction."""
    found = tab.run(
        "() => { const f = document.getElementById('text');"
        " return [f.value.slice(f.selectionStart, f.selectionEnd), f.selectionDirection]; }"
    )
    expect(found == [text, direction], f"{text!r} selected, {direction}", found)
