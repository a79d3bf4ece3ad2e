"""The grader's raw connection: bytes go out as they are, and only a server's frames come in."""

import queue
import socket
import threading
from types import SimpleNamespace

import pytest

from course.grading.expect import Unmet
from course.grading.raw import Raw
from course.grading.transcript import Wire
from course.report import Card


def connected(answer: bytes, received: queue.SimpleQueue | None = None) -> Raw:
    """Return a connection to a server that sends these bytes; in the end it gives what it got."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with listener, listener.accept()[0] as connection:
            connection.sendall(answer)
            connection.shutdown(socket.SHUT_WR)
            got = b"".join(iter(lambda: connection.recv(65536), b""))
            if received is not None:
                received.put(got)

    threading.Thread(target=serve, daemon=True).start()
    stage = SimpleNamespace(wire=Wire())
    server = SimpleNamespace(stage=stage, unmet=lambda expected, got, seconds: Unmet(expected, got))
    return Raw(server, "ada", listener.getsockname()[1])


def lines(raw: Raw) -> list[str]:
    """Return the connection's wire."""
    return Card(wire=tuple(raw._wire.lines())).text().split("\n")


def test_frames_are_read_and_shown_in_words_and_in_hex():
    with connected(bytes.fromhex("810548656c6c6f 8a00 880403e86279")) as raw:
        data = [bytes(raw.frame().data) for _ in range(3)]
        raw.expect_end()

    assert data == [b"Hello", b"", b"\x03\xe8by"]
    assert lines(raw) == [
        "ada ← text 'Hello': 81 05 48 65 6c 6c 6f",
        "ada ← pong '': 8a 00",
        "ada ← close 1000 by: 88 04 03 e8 62 79",
    ]


def test_an_http_answer_is_read_up_to_the_empty_line():
    with connected(b"HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\n\r\n\x81\x00") as raw:
        head = raw.head()
        frame = raw.frame()

    assert head == ["HTTP/1.1 101 Yes", "Upgrade: websocket"]
    assert (frame.opcode, bytes(frame.data)) == (1, b"")


@pytest.mark.parametrize(
    ("answer", "got"),
    [
        ("818537fa213d7f9f4d5158", "what no server may send: incorrect masking"),
        ("8f00", "what no server may send: invalid opcode"),
        ("8105486", "the end of the connection"),
        ("", "the end of the connection"),
    ],
)
def test_what_is_no_frame_of_a_server_is_said(answer, got):
    with (
        connected(bytes.fromhex(answer[: len(answer) // 2 * 2])) as raw,
        pytest.raises(Unmet) as unmet,
    ):
        raw.frame("a text")

    assert (unmet.value.expected, unmet.value.got) == ("a text", got)


def test_bytes_after_the_last_frame_are_no_end():
    with connected(b"\x88\x00HTTP") as raw:
        raw.frame()
        with pytest.raises(Unmet, match="48 54 54 50"):
            raw.expect_end()


@pytest.mark.parametrize("piece", [0, 1, 7])
def test_what_is_sent_arrives_whole_however_it_is_cut(piece):
    received: queue.SimpleQueue = queue.SimpleQueue()
    data = bytes(range(256)) * 64

    with connected(b"", received) as raw:
        raw.send(data, "all of it", piece)
        raw._sending.join(30)
        raw._sock.shutdown(socket.SHUT_WR)
        got = received.get(timeout=30)

    assert got == data
    assert lines(raw)[0].startswith("ada → all of it: 00 01 02")
