"""Random frames of lesson 5, and what the libraries websockets and wsproto make of them.

Where the two libraries agree, so must the learner's code. hypothesis draws the frames, and finds
the shortest ones that show a difference.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

import hypothesis
import hypothesis.configuration
from hypothesis import strategies as st
from websockets.frames import Opcode
from websockets.protocol import Protocol, Side
from wsproto.frame_protocol import FrameProtocol, ParseFailed

from course.grading.children import Trouble
from course.grading.codec import LIMIT
from course.grading.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    MASK,
    NEVER_SENT,
    PING,
    PONG,
    SENT_CODES,
    TEXT,
    Frame,
    client_frame,
    closing,
    server_frame,
)
from course.grading.stage import Stage

hypothesis.configuration.set_hypothesis_home_dir(Path(tempfile.gettempdir(), "course-hypothesis"))

# Parts of texts, valid and invalid; two of them together can be a character.
TEXTS = st.sampled_from(
    [b"", b"Hello", "hü".encode(), b"\xf0\x9f", b"\xa6\xa6", b"\xed\xa0\x80", b"\xff", b"\xc3"]
)
PAYLOADS = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([125, 126, 127, 65535, 65536]).map(lambda length: b"a" * length),
)

VALID_FRAMES = st.one_of(
    st.builds(Frame, st.sampled_from([CONTINUATION, TEXT, BINARY]), PAYLOADS, st.booleans()),
    st.builds(Frame, st.sampled_from([CLOSE, PING, PONG]), st.binary(max_size=60), st.just(True)),
)
STREAMS = st.tuples(st.lists(VALID_FRAMES, max_size=4), st.integers(1, 40))  # and size of a piece

FRAGMENTS = st.one_of(
    st.builds(Frame, st.sampled_from([CONTINUATION, TEXT, BINARY]), TEXTS, st.booleans()),
    st.builds(Frame, st.sampled_from([PING, PONG]), st.binary(max_size=5), st.just(True)),
)
FRAGMENT_LISTS = st.lists(FRAGMENTS, min_size=1, max_size=6)

ODD_FRAMES = st.builds(
    server_frame,
    st.integers(0, 15),
    TEXTS,
    st.booleans(),
    reserved=st.sampled_from([0, 0, 0, 1, 2, 4]),
    mask=st.sampled_from([MASK, MASK, MASK, None]),
)
CLOSE_FRAMES = st.builds(
    lambda code, reason: client_frame(CLOSE, closing(code, reason)),
    # wsproto refuses 1014, which IANA has added since.
    st.sampled_from([code for code in (*SENT_CODES, *NEVER_SENT) if code != 1014]),
    TEXTS,
)
CLIENT_BYTES = st.lists(
    st.one_of(FRAGMENTS.map(lambda one: client_frame(*one)), ODD_FRAMES, CLOSE_FRAMES),
    min_size=1,
    max_size=6,
).map(b"".join)


class Hang(BaseException):
    """Ends the search at once: an exception or an endless loop needs no shorter example."""


def for_all(stage: Stage, cases: st.SearchStrategy, check: Callable, examples: int = 30) -> None:
    """Call `check` for random cases, drawn by the seed. A card shows the shortest that fails."""

    def one(case: object) -> None:
        try:
            check(case)
        except Trouble as trouble:
            raise Hang from trouble

    settings = hypothesis.settings(
        max_examples=examples,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    search = hypothesis.seed(stage.random.randrange(2**32))(settings(hypothesis.given(cases)(one)))
    try:
        search()
    except Hang as hang:
        raise hang.__cause__ from None


def agreed(data: bytes, side: Side) -> tuple[list[tuple], int]:
    """Return the events that both libraries see in bytes received by `side`, and the close code.

    An event is its name and its data. The code is 0 if the bytes break no rule. Bytes on which the
    libraries disagree aren't a case.
    """
    events, code = by_wsproto(data, side)
    hypothesis.assume((events, code) == by_websockets(data, side))
    return events, code


def by_websockets(data: bytes, side: Side) -> tuple[list[tuple], int]:
    """Return the events that websockets sees, and the code that it closes with."""
    protocol = Protocol(side, max_size=LIMIT)
    protocol.receive_data(data)
    events, parts = [], []
    for got in protocol.events_received():
        if got.opcode is Opcode.CLOSE:
            closed = protocol.close_rcvd
            return [*events, ("close", int(closed.code), closed.reason)], 0
        if got.opcode in (Opcode.PING, Opcode.PONG):
            events.append((got.opcode.name.lower(), bytes(got.data)))
            continue
        parts.append(got)
        if got.fin:
            whole = b"".join(bytes(part.data) for part in parts)
            try:
                text = parts[0].opcode is Opcode.TEXT
                events.append(("text", whole.decode()) if text else ("binary", whole))
            except UnicodeDecodeError:
                return events, 1007
            parts = []
    return events, int(protocol.close_sent.code) if protocol.close_sent else 0


def by_wsproto(data: bytes, side: Side) -> tuple[list[tuple], int]:
    """Return the events that wsproto sees, and the code that it refuses the bytes with."""
    protocol = FrameProtocol(client=side is Side.CLIENT, extensions=[])
    protocol.receive_bytes(data)
    events, parts = [], []
    try:
        for got in protocol.received_frames():
            name = got.opcode.name.lower()
            if name == "close":
                return [*events, ("close", int(got.payload[0]), got.payload[1])], 0
            if name in ("ping", "pong"):
                events.append((name, bytes(got.payload)))
                continue
            parts.append(got.payload)
            if got.message_finished:
                whole = parts[0][:0].join(parts)
                events.append((name, whole if name == "text" else bytes(whole)))
                parts = []
    except ParseFailed as failed:
        return events, int(failed.code)
    return events, 0
