"""Lesson 6: an echo server over a WebSocket. These tests are the lesson's specification.

`stage.serve()` starts the app. `enter()` opens a WebSocket and reads the greeting.
"""

import contextlib
import os
import re
import time
from collections.abc import Callable
from pathlib import Path

from course.grading import Server, expect, task
from course.grading.expect import Unmet
from course.grading.sockets import CLOSE, TEXT, RawSocket, Socket
from course.grading.waiting import PATIENCE, SECONDS, eventually, in_threads

PROBES = Path(__file__).parent / "probes" / "06_echo.py"
CLOCK = Path(__file__).parent / "probes" / "clock.py"
WAKEUPS = Path(__file__).parent / "probes" / "wakeups.py"
MAX_MESSAGE = 65_536  # bytes or characters, as in app.py
ANSWER = 1.0  # seconds, as in closing.py
EARLY, LATE = 0.9, 0.5  # A wait may last this part of its time, or this many seconds longer.
PING, PONG = 0x9, 0xA  # opcodes (RFC 6455, section 5.2)
HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


# greet


@task("greet", "Each new client is greeted", points=1)
def test_a_client_is_greeted_by_its_name_before_it_sends_anything(stage):
    server = stage.serve()
    for name in ("ada", stage.name(), "ada", "7", "-", 32 * "z"):
        person = server.socket(name, f"/echo?name={name}")

        person.expect(f"hello, {name}")


@task("greet")
def test_a_client_is_greeted_once(stage):
    ada = enter(stage.serve(), "ada")

    # Next is a reply, or the end of the connection if the handler reads nothing yet.
    following = None
    with contextlib.suppress(Unmet):
        ada.send(stage.text())
        following = ada.receive()
    expect(following != "hello, ada", "one greeting", "a second greeting")


# echo


@task("echo", "Each message is sent back", points=3, needs="greet")
def test_text_is_sent_back_as_text_and_bytes_as_bytes(stage):
    ada = enter(stage.serve(), "ada")
    texts = [stage.text(), "", " ", "0", "null", "counts", "Grüße, 日本, 🦦", "e\u0301", "a\r\nb\0"]
    messages = [*texts, stage.text().encode(), b"", b"\x00\xff", b"count", b"bye", b"mean"]

    for data in messages:
        expect_echo(ada, data)

    expect_count(ada, len(messages) + 1)


@task("echo")
def test_a_thousand_messages_are_sent_back_in_order(stage):
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


@task("echo")
def test_sixty_connections_are_counted_separately(stage):
    server, names = stage.serve(), ["ada", "bob", stage.name()]
    people = [enter(server, names[i % 3], f"{names[i % 3]} ({i})") for i in range(60)]
    for person in people:
        expect_count(person, 1)
        expect_echo(person, stage.text())

    for number, person in enumerate(people[::-1]):
        expect_count(person, 3)
        expect_echo(person, stage.text())
        if number % 2:
            expect_count(person, 5)


@task("echo")
def test_the_count_of_a_new_connection_starts_at_one(stage):
    server = stage.serve()
    ada = enter(server, "ada")
    expect_echo(ada, stage.text())
    ada.close()

    again = enter(server, "ada", "ada, again")

    expect_count(again, 1)


@task("echo")
def test_two_clients_are_served_at_the_same_time(stage):
    server = stage.serve()
    people = [enter(server, "ada"), enter(server, "bob")]

    def talk(person: Socket) -> None:
        for number in range(100):
            expect_echo(person, f"{person.who} {number}")
        expect_count(person, 101)

    in_threads([lambda person=person: talk(person) for person in people])


# bye


@task("bye", "bye closes with 1000", points=1, needs="echo")
def test_bye_closes_its_connection_with_1000_and_no_other(stage):
    server = stage.serve()
    ada, tab, bob = enter(server, "ada"), enter(server, "ada", "ada (2)"), enter(server, "bob")

    ada.send("bye")

    ada.expect_close(1000)
    for person in (tab, bob, enter(server, "ada", "ada, again")):
        expect_echo(person, stage.text())


@task("bye")
def test_earlier_messages_are_sent_back_before_the_close(stage):
    ada = enter(stage.serve(), "ada")
    texts = ["goodbye", "bye bye", "bye!", "Bye", " bye", "bye ", "bye\n", "by", stage.text()]

    for text in (*texts, "bye"):
        ada.send(text)

    for text in texts:
        ada.expect(text)
    ada.expect_close(1000)


# idle


@task("idle", "An idle connection is closed with 4408", points=1, needs="echo")
def test_a_client_that_sends_nothing_is_closed_with_4408_after_idle_seconds(stage):
    for idle in (1.5, 0.1):
        server = stage.serve(IDLE=idle)

        expect_to_last(idle, lambda server=server: enter(server, "ada").expect_close(4408))


@task("idle")
def test_a_client_that_sends_nothing_is_closed_after_exactly_that_time(stage):
    server = stage.serve(IDLE=60)
    says = "makes the app's clock run 200 times as fast; IDLE is 60 s"
    server.probe(CLOCK, "hurry", 200, ["app", "closing"], says=says)
    server.probe(CLOCK, "add_up_waits")
    ada = enter(server, "ada")

    ada.expect_close(4408)

    least, most = server.probe(CLOCK, "longest_wait")
    expect(most <= 61, "close 4408 after 60 s", f"close 4408 after {most:g} s")
    expect(least >= 59.9 or not least, "close 4408 after 60 s", f"close 4408 after {least:g} s")


@task("idle")
def test_each_message_restarts_the_timer_of_its_own_client(stage):
    for data in ("still here", "", b""):
        ada = expect_stay(stage, data)

        ada.expect_close(4408)


@task("idle")
def test_an_empty_message_is_echoed_and_not_taken_for_a_timeout(stage):
    ada = enter(stage.serve(), "ada")

    for data in ("", b"", ""):
        expect_echo(ada, data)


@task("idle")
def test_pings_and_pongs_are_not_messages(stage):
    ada = enter_raw(stage.serve(IDLE=PATIENCE), "ada")

    opcode, payload = ping_on(ada)

    got = f"close {int.from_bytes(payload[:2], 'big')}" if opcode == CLOSE else "only pongs"
    expect(got == "close 4408", "close 4408 for a client that only pings", got)


# crash


@task("crash", "An exception closes with 1011 and is logged", points=2, needs="echo")
def test_an_exception_closes_its_connection_with_1011_and_is_logged(stage):
    cases = [
        ("mean", "ZeroDivisionError", "division"),
        ("mean 4 two", "ValueError", "invalid literal"),
        ("mean 1" + 400 * "0", "OverflowError", "too large"),
        ("mean", "ZeroDivisionError", "division"),
    ]
    server = stage.serve()
    for number, (text, error, words) in enumerate(cases, start=1):
        ada = enter(server, "ada")
        ada.send("mean 4 6")
        ada.expect("5")

        ada.send(text)

        expect_secret(ada.expect_close(1011), error, words, "mean")
        expect_logged(server, error, tracebacks=number)


@task("crash")
def test_any_exception_closes_with_1011(stage):
    server = stage.serve()
    errors = ["FileNotFoundError", "TimeoutError", "BrokenPipeError", "ConnectionError", "KeyError"]
    errors += ["RuntimeError", "StopIteration", "NotFound", "Surprise", "KeyError"]
    for number, error in enumerate(errors, start=1):
        words, name = stage.text(), stage.name().replace("-", "_")
        says = f"mean() raises {error} from now on"
        server.probe(PROBES, "break_mean", error, words, name, says=says)
        ada = enter(server, "ada")

        ada.send("mean 1")

        expect_secret(ada.expect_close(1011), error, words, name)
        expect_logged(server, words, tracebacks=number)


@task("crash")
def test_an_exception_affects_no_other_connection(stage):
    server = stage.serve()
    ada, tab, bob = enter(server, "ada"), enter(server, "ada", "ada (2)"), enter(server, "bob")
    expect_count(bob, 1)

    ada.send("mean")
    ada.expect_close(1011)

    expect_count(bob, 2)
    expect_count(tab, 1)
    expect_count(enter(server, "ada", "ada, again"), 1)


# gone


@task("gone", "Everything that a disconnected client used is released", points=3, needs="crash")
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


@task("gone")
def test_nothing_is_left_of_a_client_that_sends_a_message_that_is_too_long(stage):
    server = stage.serve(IDLE=0.2)
    before = server.census()
    says = "the library closes with 1009 without waking ws.receive(), as sometimes happens"
    server.probe(WAKEUPS, "lose_wakeup", says=says)
    for data in ((MAX_MESSAGE + 1) * "x", (MAX_MESSAGE + 1) * b"x"):
        ada = enter(server, "ada")

        ada.send(data)

        ada.expect_close(1009)
    expect_nothing_left(server, before)


@task("gone")
def test_send_raises_connection_closed_however_the_client_disconnected(stage):
    for error in (
        "ConnectionClosed",
        "LocalProtocolError",
        "BrokenPipeError",
        "ConnectionResetError",
        "TimeoutError",
        "OSError",
    ):
        raised = stage.probe(PROBES, "raised_by_send", error)

        met = raised == "ConnectionClosed"
        expect(met, f"ConnectionClosed, because ws.send() raised {error}", raised)


@task("gone")
def test_a_client_may_disconnect_while_it_is_sent_to(stage):
    for vanish in (Socket.cut, Socket.close):
        vanish_during(stage, "send", stage.text(), vanish)


@task("gone")
def test_a_client_may_disconnect_while_it_is_closed(stage):
    for vanish in (Socket.cut, Socket.close):
        vanish_during(stage, "close", "bye", vanish)


@task("gone")
def test_a_client_that_does_not_reply_to_the_close_is_cut_off_after_a_second(stage):
    server = stage.serve()
    before = server.census()

    def leave() -> None:
        ada = enter_raw(server, "ada")
        ada.send(TEXT, b"bye")
        ada.expect_close(1000)
        ada.expect_end()
        expect_nothing_left(server, before)

    expect_to_last(ANSWER, leave)
    server.probe(CLOCK, "add_up_waits")
    leave()
    _, most = server.probe(CLOCK, "longest_wait")
    expect(most <= ANSWER + 0.1, f"the end after {ANSWER} s", f"the end after {most:g} s")


@task("gone")
def test_an_idle_client_that_does_not_reply_to_the_close_is_cut_off(stage):
    server = stage.serve(IDLE=0.1)
    before = server.census()
    bob = enter_raw(server, "bob")

    bob.expect_close(4408)

    bob.expect_end()
    expect_nothing_left(server, before)


@task("gone")
def test_a_connection_that_is_still_open_when_its_handler_ends_is_closed_with_1000(stage):
    server = stage.serve()
    server.probe(PROBES, "end_handler", says="ws.receive() raises ConnectionClosed from now on")

    ada = enter(server, "ada")

    ada.expect_close(1000)


@task("gone")
def test_nothing_follows_a_close_frame_that_the_client_replies_to(stage):
    server = stage.serve()
    for text, code in ((b"bye", 1000), (b"mean", 1011)):
        ada = enter_raw(server, "ada")
        ada.send(TEXT, text)
        ada.expect_close(code)

        ada.send(CLOSE, code.to_bytes(2, "big"))

        ada.expect_end()


@task("gone")
def test_nothing_follows_a_close_frame_that_replies_to_the_client(stage):
    server = stage.serve()
    before = server.census()
    for opcode, payload, code in ((CLOSE, b"\x03\xe8", 1000), (TEXT, b"\xff", 1007)):
        ada = enter_raw(server, "ada")

        ada.send(opcode, payload)

        ada.expect_close(code)
        ada.expect_end()
    expect_nothing_left(server, before)


# refuse


@task("refuse", "A request without a valid name is rejected", points=1, needs="greet")
def test_a_request_without_a_valid_name_gets_400(stage):
    ada = stage.serve().client("ada")
    for query in (
        "",
        "?name=",
        "?name=Ada",
        "?name=%20ada",
        "?name=ada%20",
        "?name=ada%20b",
        "?name=ada%0A",
        "?name=ada%0Ab",
        "?name=ada%00",
        "?name=%C3%A4da",
        "?name=%D9%A3",
        "?name=a_b",
        "?name=a.b",
        f"?name={33 * 'a'}",
        f"?name={32 * 'a'}%0A",
        "?other=ada",
        "?NAME=ada",
    ):
        answer = ada.get(f"/echo{query}", headers=HANDSHAKE)

        answer.expect_status(400)


@task("refuse")
def test_a_request_with_a_valid_name_is_accepted(stage):
    server = stage.serve()
    for name in ("a", "7", "-", "--", "-a-", "0", "ada-7", "a--b", 32 * "z", 31 * "-"):
        enter(server, name)


# What the tests have in common


def enter(server: Server, name: str, who: str = "", **options: object) -> Socket:
    """Open a WebSocket and read the greeting. `who` distinguishes clients with the same name."""
    person = server.socket(who or name, f"/echo?name={name}", **options)
    person.expect(f"hello, {name}")
    return person


def enter_raw(server: Server, name: str) -> RawSocket:
    """Open a WebSocket that doesn't reply to close frames, and read the greeting."""
    person = server.raw_socket(name, f"/echo?name={name}")
    _, payload = person.receive()
    expect(payload == f"hello, {name}".encode(), f"hello, {name}", payload.decode())
    return person


def expect_echo(person: Socket, data: str | bytes) -> None:
    """Assert that a message is sent back."""
    person.send(data)
    person.expect(data)


def expect_count(person: Socket, number: int) -> None:
    """Assert that `count`, itself a message, is message `number` of this connection."""
    person.send("count")
    person.expect(str(number))


def expect_to_last(seconds: float, work: Callable[[], object]) -> None:
    """Assert that `work` takes this long, and not much longer.

    A busy machine may be late, so there are three tries. It must never be early.
    """
    for _ in range(3):
        start = time.monotonic()
        work()
        lasted = time.monotonic() - start
        expect(lasted >= seconds * EARLY, f"the end after {seconds} s", f"{lasted:.3f} s")
        if lasted <= seconds + LATE:
            return
    expect(False, f"the end after {seconds} s", f"{lasted:.3f} s")


def talked(person: Socket, data: str | bytes, seconds: float) -> tuple[float, Unmet | None]:
    """Send the same message again and again for `seconds`.

    Returns how long the slowest reply took, in seconds, and what went wrong, if anything did.
    """
    start, slowest, fault = time.monotonic(), 0.0, None
    while fault is None and time.monotonic() < start + seconds:
        sent_at = time.monotonic()
        fault = unmet(lambda: expect_echo(person, data))
        slowest = max(slowest, time.monotonic() - sent_at)
    return slowest, fault


def unmet(work: Callable[[], object]) -> Unmet | None:
    """Return what `work` finds wrong, or None."""
    try:
        work()
    except Unmet as fault:
        return fault
    return None


def expect_stay(stage, data: str | bytes) -> Socket:
    """Assert that a client that sends this message over and over stays connected, and return it.

    Meanwhile, another client sends nothing, and its connection is closed.
    """
    for idle in (0.3, 1.5, 7.5):  # The longer times are for a machine too slow for the shorter.
        server = stage.serve(IDLE=idle * PATIENCE)
        bob, ada = enter(server, "bob"), enter(server, "ada")
        slowest, fault = talked(ada, data, 1.5 * idle * PATIENCE)
        late = unmet(lambda bob=bob: bob.expect_close(4408, seconds=0))
        if slowest < idle * PATIENCE / 2 and (fault or not late):
            break
    if fault or late:
        raise fault or late
    return ada


def ping_on(person: RawSocket) -> tuple[int, bytes]:
    """Send pings and pongs over and over; return the first frame that isn't a pong."""
    end, opcode, payload = time.monotonic() + SECONDS * PATIENCE, PONG, b""
    while opcode == PONG and time.monotonic() < end:
        person.send(PONG)
        person.send(PING)
        opcode, payload = person.receive()
    return opcode, payload


def expect_secret(reason: str, *words: str) -> None:
    """Assert that a close reason doesn't show the error, or where it was raised."""
    shown = any(word in reason for word in words)
    shown = shown or re.search(r"Traceback|\.py|replies|line \d", reason)
    expect(not shown, "a reason that doesn't show the error or the code", reason)


def expect_logged(server: Server, error: str, tracebacks: int) -> None:
    """Assert that the log has this error, and at least this many tracebacks."""

    def met() -> bool:
        log = server.log()
        return log.count("Traceback (most recent call last)") >= tracebacks and error in log

    def got() -> str:
        return server.log().strip() or "nothing"

    eventually(met, f"{error} in the log, and traceback number {tracebacks}", got)


def expect_nothing_left(server: Server, before: dict[str, int]) -> None:
    """Assert that no thread, socket or `ws` is left, and no traceback in the log."""
    server.expect_census(before)
    eventually(
        lambda: server.probe(PROBES, "connections") == 0,
        "no reference to the `ws` of a client that has disconnected",
        lambda: f"{server.probe(PROBES, 'connections')} of them",
    )
    log = server.log()
    met = "Traceback" not in log
    expect(met, "no traceback in the log, since no code failed", last_error(log, server))


def last_error(log: str, server: Server) -> str:
    """Return the log's last line, and the last line in it that names the learner's code."""
    folder = server.stage.folder
    own = [line for line in log.split("\n") if str(folder) in line]
    lines = [line.strip() for line in (log.rstrip().split("\n")[-1], *own[-1:])]
    return ", ".join(lines).replace(f"{folder}{os.sep}", "")


def vanish_during(stage, method: str, text: str, vanish: Callable[[Socket], None]) -> None:
    """Let a client disconnect while the app is in `ws.send` or `ws.close`."""
    server = stage.serve()
    before = server.census()
    ada = enter(server, "ada")
    server.probe(PROBES, "hold", method)
    ada.send(text)
    eventually(lambda: server.probe(PROBES, "is_held"), f"a call to ws.{method}", lambda: "none")

    vanish(ada)

    expect_nothing_left(server, before)
