"""Lesson 6: an echo over a WebSocket. These tests are the lesson's specification.

`stage.serve()` starts the app, and `enter()` is somebody who opens a WebSocket and is greeted.
"""

import os
import re
import time
from collections.abc import Callable
from pathlib import Path

from course.grading import Server, expect, task
from course.grading.children import PATIENCE
from course.grading.expect import Unmet
from course.grading.sockets import CLOSE, TEXT, RawSocket, Socket
from course.grading.stage import SECONDS, eventually, in_threads

PROBES = Path(__file__).parent / "probes" / "06_echo.py"
MAX_MESSAGE = 65_536  # bytes, as in app.py
PING, PONG = 0x9, 0xA  # opcodes (RFC 6455, section 5.2)
ANSWER = 1.0  # seconds, as in app.py
EARLY = 0.9  # A clock may be coarse: a silence counts when this part of it has passed.
HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def enter(server: Server, name: str, who: str = "", **options: object) -> Socket:
    """Open a WebSocket and read the greeting. `who` tells two of one name apart on the card."""
    person = server.socket(who or name, f"/echo?name={name}", **options)
    person.expect(f"hello, {name}")
    return person


def enter_raw(server: Server, name: str) -> RawSocket:
    """Open a WebSocket that will answer nothing, and read the greeting."""
    person = server.raw_socket(name, f"/echo?name={name}")
    _, payload = person.receive()
    expect(payload == f"hello, {name}".encode(), f"hello, {name}", payload.decode())
    return person


def expect_echo(person: Socket, data: str | bytes) -> None:
    """Hold that a message comes back."""
    person.send(data)
    person.expect(data)


def expect_count(person: Socket, number: int) -> None:
    """Hold that `count`, which is a message too, is the `number`th of this connection."""
    person.send("count")
    person.expect(str(number))


# greet


@task("greet", "The server speaks first", points=1)
def test_a_client_is_greeted_by_its_name_before_it_says_anything(stage):
    server = stage.serve()
    for name in ("ada", stage.name(), "ada"):
        person = server.socket(name, f"/echo?name={name}")

        person.expect(f"hello, {name}")


# echo


@task("echo", "What is sent comes back", points=2, needs="greet")
def test_text_comes_back_as_text_and_bytes_as_bytes(stage):
    ada = enter(stage.serve(), "ada")
    texts = [stage.text(), "", " ", "0", "null", "counts", "Grüße, 日本, 🦦", "e\u0301"]
    messages = [*texts, stage.text().encode(), b"", b"\x00\xff", b"count", b"bye"]

    for data in messages:
        expect_echo(ada, data)

    expect_count(ada, len(messages) + 1)


@task("echo")
def test_a_thousand_messages_come_back_in_order(stage):
    ada = enter(stage.serve(), "ada")
    texts = [f"{number} {stage.text()}" for number in range(1000)]

    for text in texts:
        ada.send(text)

    for text in texts:
        ada.expect(text)
    expect_count(ada, 1001)


@task("echo")
def test_a_message_of_64_kib_is_sent_back_whole(stage):
    server = stage.serve()
    letters = "".join(stage.random.choices("abcdefg éü日本🦦", k=MAX_MESSAGE))
    data = stage.random.randbytes(MAX_MESSAGE)
    for deflate in (False, True):
        with enter(server, "ada", deflate=deflate) as ada:
            expect_echo(ada, letters)
            expect_echo(ada, data)
            ada.send_parts([data[:10], data[10:50_000], data[50_000:]])
            ada.expect(data)


# apart


@task("apart", "Each connection has its own count", points=1, needs="echo")
def test_two_connections_of_one_name_count_apart(stage):
    server = stage.serve()
    one, other = enter(server, "ada", "ada (1)"), enter(server, "ada", "ada (2)")
    expect_count(one, 1)
    expect_echo(one, stage.text())
    expect_count(other, 1)
    expect_echo(one, stage.text())

    expect_count(one, 4)
    expect_count(other, 2)


@task("apart")
def test_the_count_of_a_new_connection_begins_at_one(stage):
    server = stage.serve()
    ada = enter(server, "ada")
    expect_echo(ada, stage.text())
    ada.close()

    again = enter(server, "ada", "ada, again")

    expect_count(again, 1)


@task("apart")
def test_two_talk_at_once(stage):
    server = stage.serve()
    people = [enter(server, "ada"), enter(server, "bob")]

    def talk(person: Socket) -> None:
        for number in range(100):
            expect_echo(person, f"{person.who} {number}")
        expect_count(person, 101)

    in_threads([lambda person=person: talk(person) for person in people])


# bye


@task("bye", "bye is answered by close 1000", points=1, needs="echo")
def test_bye_closes_with_1000(stage):
    ada = enter(stage.serve(), "ada")

    ada.send("bye")

    ada.expect_close(1000)


@task("bye")
def test_what_was_sent_before_bye_is_answered_before_the_close(stage):
    ada = enter(stage.serve(), "ada")
    texts = ["goodbye", "bye bye", "Bye", " bye", "bye\n", stage.text()]

    for text in (*texts, "bye"):
        ada.send(text)

    for text in texts:
        ada.expect(text)
    ada.expect_close(1000)


# idle


def talked(person: Socket, data: str | bytes, seconds: float) -> tuple[float, Unmet | None]:
    """Send the same message without a pause for so long.

    Returns how long the slowest answer took, in seconds, and what went wrong, if anything did.
    """
    start, slowest, fault = time.monotonic(), 0.0, None
    while fault is None and time.monotonic() < start + seconds:
        sent_at = time.monotonic()
        try:
            expect_echo(person, data)
        except Unmet as unmet:
            fault = unmet
        slowest = max(slowest, time.monotonic() - sent_at)
    return slowest, fault


def expect_stay(stage, data: str | bytes) -> Socket:
    """Hold that who sends this message over and over stays for longer than a silence may last."""
    for idle in (0.3, 1.5, 7.5):  # The longer ones are for a machine that was too slow to tell.
        person = enter(stage.serve(IDLE=idle * PATIENCE), "ada")
        slowest, fault = talked(person, data, 1.5 * idle * PATIENCE)
        if slowest < idle * PATIENCE / 2:
            break
    if fault:
        raise fault
    return person


def ping_on(person: RawSocket) -> tuple[int, bytes]:
    """Ping, and wait for the pong, over and over; return the first frame that is no pong."""
    end, opcode, payload = time.monotonic() + SECONDS * PATIENCE, PONG, b""
    while opcode == PONG and time.monotonic() < end:
        person.send(PING)
        opcode, payload = person.receive()
    return opcode, payload


@task("idle", "Silence ends in close 4408", points=1, needs="echo")
def test_a_client_that_says_nothing_is_closed_with_4408(stage):
    for idle in (1.5, 0.1):
        server, start = stage.serve(IDLE=idle), time.monotonic()

        enter(server, "ada").expect_close(4408)

        lasted = time.monotonic() - start
        expect(lasted >= idle * EARLY, f"{idle} s of silence before it", f"{lasted:.3f} s")


@task("idle")
def test_a_client_that_talks_may_stay(stage):
    for data in ("still here", "", b""):
        ada = expect_stay(stage, data)

        ada.expect_close(4408)


@task("idle")
def test_an_empty_message_is_no_silence(stage):
    ada = enter(stage.serve(), "ada")

    for data in ("", b"", ""):
        expect_echo(ada, data)


@task("idle")
def test_pings_are_no_messages(stage):
    ada = enter_raw(stage.serve(IDLE=PATIENCE), "ada")

    opcode, payload = ping_on(ada)

    got = f"close {int.from_bytes(payload[:2], 'big')}" if opcode == CLOSE else "only pongs"
    expect(got == "close 4408", "close 4408 for who only pings", got)


# crash


# What a reason might give away.
CODE = re.compile(r"Traceback|division|invalid|replies|mean\(|\.py|line \d")


def expect_logged(server: Server, error: str, tracebacks: int = 1) -> None:
    """Hold that the app's log has the traceback of an error, and as many as there were bugs."""

    def met() -> bool:
        log = server.log()
        return log.count("Traceback (most recent call last)") >= tracebacks and error in log

    def got() -> str:
        return server.log().strip() or "nothing"

    eventually(met, f"a traceback of the {error} in the log", got)


@task("crash", "A bug ends in close 1011, in a log, and nowhere else", points=2, needs="apart")
def test_a_bug_closes_its_connection_with_1011_and_is_logged(stage):
    cases = {
        "mean": "ZeroDivisionError",
        "mean 4 two": "ValueError",
        "mean 1" + 400 * "0": "OverflowError",
    }
    server = stage.serve()
    for number, (text, error) in enumerate(cases.items(), start=1):
        ada = enter(server, "ada")
        ada.send("mean 4 6")
        ada.expect("5")

        ada.send(text)

        reason = ada.expect_close(1011)
        expect_logged(server, error, tracebacks=number)
        told = error in reason or CODE.search(reason)
        expect(not told, "a reason that says nothing of the code", reason)


@task("crash")
def test_a_bug_may_raise_anything(stage):
    for error in (
        "FileNotFoundError",
        "TimeoutError",
        "BrokenPipeError",
        "KeyError",
        "RuntimeError",
        "Surprise",
    ):
        server, words = stage.serve(), stage.text()
        server.probe(PROBES, "break_mean", error, words, says=f"mean() raises {error} from now on")
        ada = enter(server, "ada")

        ada.send("mean 1")

        reason = ada.expect_close(1011)
        expect_logged(server, error)
        expect(words not in reason, "a reason that says nothing of the code", reason)


@task("crash")
def test_a_bug_touches_nobody_else(stage):
    server = stage.serve()
    ada, bob = enter(server, "ada"), enter(server, "bob")
    expect_count(bob, 1)

    ada.send("mean")
    ada.expect_close(1011)

    expect_count(bob, 2)
    expect_count(enter(server, "ada"), 1)


# gone


def expect_nothing_left(server: Server, before: dict[str, int]) -> None:
    """Hold that no thread and no socket is left, and no traceback in the log."""
    server.expect_census(before)
    log = server.log()
    met = "Traceback" not in log
    expect(met, "no traceback in the log: a client may go", last_error(log, server.stage.folder))


def last_error(log: str, folder: Path) -> str:
    """Return the log's last line, and which line of the learner's it is about."""
    own = [line for line in log.split("\n") if str(folder) in line]
    lines = [line.strip() for line in (log.rstrip().split("\n")[-1], *own[-1:])]
    return ", ".join(lines).replace(f"{folder}{os.sep}", "")


@task("gone", "Nothing is left of a client that has gone", points=3, needs="crash")
def test_nothing_is_left_of_clients_that_vanish(stage):
    server = stage.serve()
    before = server.census()
    for number in range(5):
        ada, bob = enter(server, "ada"), enter(server, "bob")
        expect_echo(ada, stage.text())
        for _ in range(20 * number):
            bob.send(stage.text())
        ada.cut()
        bob.cut()

    expect_nothing_left(server, before)


@task("gone")
def test_nothing_is_left_of_a_client_that_vanishes_in_the_middle_of_a_message(stage):
    server = stage.serve()
    before = server.census()
    with enter_raw(server, "ada") as ada:
        ada.send_bytes(b"\x81\xfe\x01\x00mask and a half")

    expect_nothing_left(server, before)


@task("gone")
def test_nothing_is_left_of_clients_that_close(stage):
    server = stage.serve()
    before = server.census()
    for code in (1000, 1001, 4000):
        ada = enter(server, "ada")
        ada.send(stage.text())

        ada.close(code)

    expect_nothing_left(server, before)


def vanish_during(stage, method: str, text: str, vanish: Callable[[Socket], None]) -> None:
    """Have a client vanish while the app is in `ws.send` or `ws.close`."""
    server = stage.serve()
    before = server.census()
    ada = enter(server, "ada")
    server.probe(PROBES, "hold", method)
    ada.send(text)
    eventually(lambda: server.probe(PROBES, "is_held"), f"a call of ws.{method}", lambda: "none")

    vanish(ada)

    expect_nothing_left(server, before)


@task("gone")
def test_send_raises_connection_closed_however_the_client_went(stage):
    for error in (
        "ConnectionClosed",
        "LocalProtocolError",
        "BrokenPipeError",
        "ConnectionResetError",
        "TimeoutError",
        "OSError",
    ):
        raised = stage.probe(PROBES, "raised_by_send", error)

        expect(
            raised == "ConnectionClosed", f"ConnectionClosed, as ws.send() raised {error}", raised
        )


@task("gone")
def test_a_client_may_vanish_while_it_is_sent_to(stage):
    for vanish in (Socket.cut, Socket.close):
        vanish_during(stage, "send", stage.text(), vanish)


@task("gone")
def test_a_client_may_vanish_while_it_is_closed(stage):
    for vanish in (Socket.cut, Socket.close):
        vanish_during(stage, "close", "bye", vanish)


@task("gone")
def test_a_client_that_does_not_answer_the_close_is_cut_off(stage):
    patient, strict = stage.serve(), stage.serve(IDLE=0.1)
    before = [patient.census(), strict.census()]
    ada, bob = enter_raw(patient, "ada"), enter_raw(strict, "bob")
    start = time.monotonic()
    ada.send(TEXT, b"bye")

    ada.expect_close(1000)
    bob.expect_close(4408)

    ada.expect_end()
    bob.expect_end()
    expect_nothing_left(patient, before[0])
    lasted = time.monotonic() - start
    expect(lasted >= ANSWER * EARLY, f"{ANSWER} s for the client to answer", f"{lasted:.3f} s")
    expect_nothing_left(strict, before[1])


@task("gone")
def test_what_is_still_open_when_the_handler_ends_is_closed_with_1000(stage):
    server = stage.serve()
    server.probe(PROBES, "end_handler", says="ws.receive() raises ConnectionClosed from now on")

    ada = enter(server, "ada")

    ada.expect_close(1000)


@task("gone")
def test_nothing_follows_the_close_that_a_client_answers(stage):
    server = stage.serve()
    for text, code in ((b"bye", 1000), (b"mean", 1011)):
        ada = enter_raw(server, "ada")
        ada.send(TEXT, text)
        ada.expect_close(code)

        ada.send(CLOSE, code.to_bytes(2, "big"))

        ada.expect_end()


@task("gone")
def test_nothing_follows_the_close_that_answers_a_client(stage):
    server = stage.serve()
    before = server.census()
    for opcode, payload, code in ((CLOSE, b"\x03\xe8", 1000), (TEXT, b"\xff", 1007)):
        ada = enter_raw(server, "ada")

        ada.send(opcode, payload)

        ada.expect_close(code)
        ada.expect_end()
    expect_nothing_left(server, before)


# refuse


@task("refuse", "Who has no good name is refused before the upgrade", points=1, needs="greet")
def test_a_request_without_a_good_name_is_answered_400(stage):
    ada = stage.serve().client("ada")
    for query in (
        "",
        "?name=",
        "?name=Ada",
        "?name=ada%20b",
        "?name=ada%0A",
        "?name=%C3%A4da",
        "?name=%D9%A3",
        "?name=a_b",
        f"?name={33 * 'a'}",
        "?other=ada",
    ):
        answer = ada.get(f"/echo{query}", headers=HANDSHAKE)

        answer.expect_status(400)


@task("refuse")
def test_a_request_with_a_good_name_is_let_in(stage):
    server = stage.serve()
    for name in ("a", "7", "-", "ada-7", 32 * "z"):
        enter(server, name)
