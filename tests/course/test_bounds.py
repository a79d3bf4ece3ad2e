"""What a grader reads has a bound: in bytes, in seconds, whatever a server sends."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterable
from types import SimpleNamespace

import pytest

from course.grading import events, sockets
from course.grading.bounds import LARGEST
from course.grading.expect import Unmet
from course.grading.http import Client
from course.grading.raw import Raw
from course.grading.transcript import Wire

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
MIB = b"x" * 2**20
MORE = [MIB] * (LARGEST // 2**20 + 8)  # than a grader reads


def server_of(blocks: Iterable[bytes]) -> SimpleNamespace:
    """Return a server that sends these to its first client, and keeps the connection open."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with listener, listener.accept()[0] as connection, contextlib.suppress(OSError):
            connection.recv(65536)
            for block in blocks:
                connection.sendall(block)
            while connection.recv(65536):
                pass

    threading.Thread(target=serve, daemon=True).start()
    port = listener.getsockname()[1]
    host = f"127.0.0.1:{port}"
    return SimpleNamespace(
        stage=SimpleNamespace(wire=Wire()),
        port=port,
        host=host,
        url=f"http://{host}",
        trouble=lambda late: Unmet("", late),
        unmet=lambda expected, got, seconds: Unmet(expected, got),
    )


def get(*blocks: bytes, seconds: float = 30) -> Unmet:
    """Return what a client reports about an invalid response."""
    with pytest.raises(Unmet) as told:
        Client(server_of(blocks), "ada", seconds).get("/rooms/lobby")
    return told.value


TOO_LARGE = {
    "a body without end": ([HEAD + b"\r\n", *MORE], "more, and no end"),
    "a header without end": ([HEAD, *[b"A: " + b"x" * 60_000 + b"\r\n"] * 400], "isn't HTTP"),
    "100 Continue without end": ([b"HTTP/1.1 100 OK\r\n\r\n" * 60_000] * 15, "more, and"),
    "10**12 bytes announced": (
        [HEAD + b"Content-Length: 1000000000000\r\n\r\nhi"],
        "Content-Length: 1000000000000",
    ),
}


@pytest.mark.parametrize("name", TOO_LARGE)
def test_an_answer_that_is_too_large_names_its_route(name):
    blocks, got = TOO_LARGE[name]

    unmet = get(*blocks)

    assert "GET /rooms/lobby" in f"{unmet.expected} {unmet.got}"
    assert got in unmet.got


@pytest.mark.parametrize("size", [b"400000000000000000", b"fffffffffffffffffffff", b"-5", b"-1"])
def test_a_chunk_of_any_size_is_told_as_an_answer_without_end(size):
    head = HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + size + b"\r\nhi"

    unmet = get(head, seconds=0.2)

    assert unmet.expected == "the whole answer to GET /rooms/lobby"


def test_a_body_that_drips_ends_after_the_seconds():
    more = threading.Event()

    def drip():
        yield HEAD + b"Content-Length: 1000\r\n\r\n"
        while not more.wait(0.01):
            yield b"x"

    with pytest.raises(Unmet, match="got no end after 0\\.3 s"):
        Client(server_of(drip()), "ada", 0.3).get("/rooms/lobby")
    more.set()


def test_a_body_that_breaks_off_is_not_a_whole_one():
    def serve():
        yield HEAD + b"Content-Length: 9\r\n\r\nhi"
        raise OSError  # It closes the connection.

    with pytest.raises(Unmet, match="the whole answer to GET /rooms/lobby, got the connection end"):
        Client(server_of(serve()), "ada", 30).get("/rooms/lobby")


@pytest.mark.parametrize(
    "target", ["http://[", "/é", "/a b", "http://example.com/", "/\udc80", "/\x7f"]
)
def test_an_address_that_is_none_of_the_servers_is_a_card(target):
    with pytest.raises(Unmet, match="an address on http"):
        Client(server_of([]), "ada", 30).get(target)


def stream(*blocks: bytes) -> events.EventReader:
    return events.EventReader(server_of([STREAM, *blocks]), "ada", "/events", {})


EVENT = b"data: " + b"y" * 100 + b"\n\n"


@pytest.mark.parametrize(
    "waits", [events.EventReader.next, events.EventReader.wait_for_retry], ids=["event", "retry"]
)
@pytest.mark.parametrize(
    "block",
    [MIB, b"data: x\n" * 2**17, b": comment\n" * 2**17, b"\n" * 2**20],
    ids=["a line", "data", "comments", "line ends"],
)
def test_a_stream_that_sends_anything_but_what_is_awaited_is_left(monkeypatch, waits, block):
    monkeypatch.setattr(events, "LARGEST", 2**18)
    with (
        stream(block) as ada,
        pytest.raises(Unmet, match="more than 262,144 bytes of GET /events without it"),
    ):
        waits(ada)


def test_a_stream_with_a_chunk_of_any_size_is_read_as_far_as_it_goes():
    head = STREAM[:-2] + b"Transfer-Encoding: chunked\r\n\r\n400000000000000000\r\n"

    with events.EventReader(server_of([head + EVENT]), "ada", "/events", {}) as ada:
        assert ada.next().data == "y" * 100


@pytest.mark.parametrize("cut", range(1, 14))
def test_events_are_the_same_however_they_are_cut(cut):
    text = "id: 1\r\ndata: a\rdata: b\n\r\n: c\r\r\ndata: d\n\n"
    parser, found = events.Parser(), []

    for begin in range(0, len(text), cut):
        found += parser.feed(text[begin : begin + cut])

    assert found == events.parsed(text) == [Event("a\nb"), Event("d")]
    assert parser.comments == 1


def Event(data: str) -> events.Event:
    return events.Event("message", data, "1")


SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"


NO_FRAMES = {
    "2**64 bytes": (b"\x81\x7f" + b"\xff" * 8, "got one of 18,446,744,073,709,551,615 bytes"),
    "masked": (b"\x81\x85" + b"\0" * 9, "a masked frame, which no server may send"),
    "half of one": (b"\x81", "nothing"),
}


@pytest.mark.parametrize("name", NO_FRAMES)
def test_a_frame_that_is_none_is_a_card(monkeypatch, name):
    data, said = NO_FRAMES[name]
    monkeypatch.setattr(sockets, "SECONDS", 0.3)
    ada = sockets.RawSocket(server_of([SWITCH, data]), "ada", "/board")

    with ada, pytest.raises(Unmet, match=said):
        ada.receive()


@pytest.mark.parametrize(
    "head",
    [[b"x" * 2**20] * 30, [SWITCH[:-2], *[b"A: b\r\n"] * 200]],
    ids=["a line", "many lines"],
)
def test_a_handshake_without_end_is_a_card(head):
    with pytest.raises(Unmet, match=r"a WebSocket that opens|the end of the handshake"):
        sockets.RawSocket(server_of(head), "ada", "/board")


def test_more_than_silence_after_a_close_is_read_up_to_a_bound():
    with (
        sockets.RawSocket(server_of([SWITCH, *MORE]), "ada", "/board") as ada,
        pytest.raises(Unmet, match="more than 16 MiB without it"),
    ):
        ada.expect_end()


@pytest.mark.parametrize(
    ("call", "blocks", "said"),
    [
        (
            Raw.frame,
            [b"\x81\x7f" + b"\x7f" * 8],
            "the head of a frame of 9,187,201,950,435,737,471",
        ),
        (Raw.head, [b"A: b\r\n"] * 200, "more than 100 lines"),
        (Raw.head, MORE, "65536"),
    ],
    ids=["a frame", "lines", "a line"],
)
def test_a_raw_client_reads_up_to_a_bound(call: Callable, blocks: list[bytes], said: str):
    server = server_of(blocks)
    with Raw(server, "ada", server.port) as ada:
        ada.send(b"hi")

        with pytest.raises(Unmet, match=said):
            call(ada)
