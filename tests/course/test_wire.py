"""What lesson 5's tests are written with, and its page for a browser."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from websockets.frames import Frame as TheirFrame
from websockets.streams import StreamReader
from wsproto.frame_protocol import FrameDecoder

from course.grading.codec import Outcome, in_words, request
from course.grading.expect import Unmet
from course.grading.frames import BINARY, OPCODES, Frame, client_frame, server_frame

ROOT = Path(__file__).resolve().parents[2]
LENGTHS = (0, 1, 125, 126, 65535, 65536)


def read_by_websockets(data: bytes, mask: bool) -> Frame:
    """Return the frame that websockets reads."""
    reader = StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    try:
        next(TheirFrame.parse(reader.read_exact, mask=mask))
    except StopIteration as found:
        assert not reader.buffer
        return Frame(int(found.value.opcode), bytes(found.value.data), found.value.fin)
    raise AssertionError("websockets waits for more bytes.")


def read_by_wsproto(data: bytes, mask: bool) -> Frame:
    """Return the frame that wsproto reads."""
    reader = FrameDecoder(client=not mask)
    reader.receive_bytes(data)
    got = reader.process_buffer()
    assert got.frame_finished
    return Frame(int(got.opcode), bytes(got.payload), got.message_finished)


@pytest.mark.parametrize("read", [read_by_websockets, read_by_wsproto])
def test_two_libraries_read_the_frames(read):
    frames = [Frame(opcode, b"Hello") for opcode in OPCODES]
    frames += [Frame(BINARY, bytes(length), fin) for length in LENGTHS for fin in (True, False)]

    for frame in frames:
        assert read(server_frame(*frame), mask=False) == frame
        assert read(client_frame(*frame, mask=b"\x00\xff\x12\x34"), mask=True) == frame


def outcome(given: list, raised: list | None = None, reason: str = "") -> Outcome:
    """Return what the probes have answered, about frames."""
    return Outcome({"given": given, "raised": raised, "reason": reason, "where": []}, in_words)


def test_an_outcome_is_compared_by_exact_type():
    outcome([[1, {"hex": "6869"}, True]]).gives(Frame(1, b"hi"))
    outcome([], ["Violation", 1002]).is_refused(1002)
    outcome([], ["Refusal", 426, "13"]).is_refused(426)
    for wrong in ([1, "hi", True], [1, {"odd": "list: []"}, True], [1, {"hex": "6869"}, False]):
        with pytest.raises(Unmet):
            outcome([wrong]).gives(Frame(1, b"hi"))
    for raised in (["Violation", 1009], ["Refusal", 1002, ""], None):
        with pytest.raises(Unmet):
            outcome([], raised).is_refused(1002)
    with pytest.raises(Unmet):
        outcome([], ["Refusal", 426, "8"]).is_refused(426, version="13")


def test_a_card_shows_what_came_before_a_violation():
    late = outcome([[1, {"hex": "6869"}, True]], ["Violation", 1009], "too long")

    with pytest.raises(Unmet) as unmet:
        late.is_refused(1002)

    assert unmet.value.expected == "Violation 1002"
    assert unmet.value.got == 'text 68 69 | Violation 1009 "too long"'


def test_a_request_says_how_it_differs_from_a_valid_one():
    assert request("k").words == "a handshake"
    assert request("k", without="Host").words == "a handshake, without Host"
    assert request("k", "Upgrade: h2c").words == "a handshake, with Upgrade: h2c"


@pytest.fixture
def port() -> Iterator[int]:
    """The port of lesson 5's server."""
    program = [sys.executable, ROOT / "solutions" / "05_wire" / "server.py", "--port", "0"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as server:
        yield int(server.stdout.readline().rpartition(":")[2])
        server.kill()


def test_the_page_says_hello_and_closes_cleanly(browser: Browser, port: int):
    path = ROOT / "solutions" / "05_wire" / "hello.html"
    url = f"ws://127.0.0.1:{port}"
    elsewhere = f"WebSocket = class extends WebSocket {{ constructor() {{ super('{url}'); }} }};"
    with browser.new_context() as context:
        page = context.new_page()
        page.add_init_script(elsewhere)

        page.goto(path.as_uri())
        page.wait_for_function("document.querySelector('#log').textContent.includes('close')")

        assert page.inner_text("#log").strip() == "message: Hello\nclose: 4000, clean: true"
