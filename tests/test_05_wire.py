"""Lesson 5: what a WebSocket is made of. These tests are the lesson's specification.

The functions of wire.py are asked through tests/probes/05_wire.py, where bytes come and go as hex.
Two other implementations of RFC 6455, wsproto and websockets, say what is right as well: hypothesis
looks for bytes at which the three differ. At the end, server.py runs as a program, and goes through
the table of cases below.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from string import hexdigits

import hypothesis
import hypothesis.configuration
import pytest
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side
from websockets.streams import StreamReader
from websockets.utils import accept_key, generate_key
from wsproto.frame_protocol import FrameDecoder, FrameProtocol, ParseFailed

from course.grading import Stage, expect, task
from course.grading.children import Trouble
from course.grading.expect import Unmet, in_json, shown
from course.grading.raw import Raw, in_hex, in_words
from course.grading.sockets import Socket
from course.grading.transcript import Wire

PROBES = Path(__file__).parent / "probes" / "05_wire.py"
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
UNKNOWN = (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)  # opcodes
LIMIT = 2**20  # bytes, as in wire.py
MASK = bytes.fromhex("37fa213d")  # of the RFC's own example

hypothesis.configuration.set_hypothesis_home_dir(Path(tempfile.gettempdir(), "course-hypothesis"))


NAMES = {0: "continuation", 1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong"}


def named(opcode: int, payload: str, fin: bool) -> str:
    """Say what a frame of the probes is."""
    end = "" if fin else ", not the last"
    return f"{NAMES.get(opcode, hex(opcode))} {shown(payload, 60) or '(empty)'}{end}"


def asked(function: str, args: list) -> str:
    """Say what the probes are asked, as it would stand in Python, with bytes in hex."""
    if function == "request":
        method, version, headers = args
        return f'check_request("{method}", "{version}", a good handshake{changed(headers)})'
    if function == "decode":
        client, chunks, limit = args
        fed = " | ".join(chunks[:20]) + (" | …" if len(chunks) > 20 else "")
        return f"Decoder(client={client}, limit={limit}).feed({fed})"
    if function == "receive":
        return f"a client sends {in_hex(bytes.fromhex(args[0]))}"
    if function in ("encode", "answer"):
        args = [NAMES.get(args[0], hex(args[0])), few(args[1]), *args[2:]]
    elif function in ("masked", "parse_close"):
        args = [few(arg) for arg in args]
    else:
        args = [shown(arg, 60) if isinstance(arg, int) else in_json(arg, 60) for arg in args]
    if function == "encode":
        args[2:] = [f"fin={args[2]}", f"mask={few(args[3]) if args[3] else None}"]
    return f"{function}({', '.join(args)})"


def few(payload: str) -> str:
    """Return bytes in hex; where there are many, how many and the first of them."""
    data = bytes.fromhex(payload)
    if len(data) <= 8:
        return data.hex(" ") or "(empty)"
    return f"{len(data):,} bytes: {data[:8].hex(' ')} …"


def spaced(data: str) -> str:
    """Return bytes in hex, or what the probes say of none as it is."""
    return in_hex(bytes.fromhex(data)) if is_hex(data) else data


def is_hex(data: str) -> bool:
    """Whether the probes have answered bytes."""
    return set(data) <= set(hexdigits)


def framed(data: str) -> str:
    """Return a frame's head and payload in hex, or what is none as it is."""
    if not is_hex(data) or len(data) < 4:
        return spaced(data)
    whole = bytes.fromhex(data)
    size = 2 + {126: 2, 127: 8}.get(whole[1] & 0x7F, 0) + 4 * (whole[1] >> 7)
    return f"{whole[:size].hex(' ')} | {in_hex(whole[size:])}"


def changed(headers: list) -> str:
    """Say what a handshake has that the least one has not, and what it lacks."""
    good, got = [], []
    for pairs, listed in ((HANDSHAKE.items(), good), (headers, got)):
        listed += [(name.lower(), f"{name}: {value}") for name, value in pairs]
    odd = {name for name, _ in good + got if lines(name, good) != lines(name, got)}
    has = [line for name, line in got if name in odd]
    lacks = [line.partition(":")[0] for name, line in good if name in odd and not lines(name, got)]
    words = [f"with {' and '.join(has)}"] if has else []
    words += [f"without {', '.join(lacks)}"] if lacks else []
    return "".join(f", {word}" for word in words)


def lines(name: str, listed: list) -> list[str]:
    """Return the lines of a header."""
    return [line for other, line in listed if other == name]


def told(function: str, value: object, reason: str = "") -> str:
    """Say what the probes have answered, or should have. `reason` is of what was raised."""
    said = f" {in_json(reason, 80)}" if reason else ""
    if function in ("decode", "join", "receive"):
        given, code = value
        words = [result(function, one) for one in given]
        words += [f"Violation {code}{said}"] if code else []
        return " | ".join(words) or "nothing"
    if function == "request":
        kind, what, *version = value
        also = "".join(f", Sec-WebSocket-Version: {one}" for one in version if one)
        if kind == "returned":
            return f"returned {what}, expected a str"
        return f"Refusal {what}{said}{also}" if kind == "refused" else f"the key {what}"
    if isinstance(value, list) and value[0] == "violation":
        return f"Violation {value[1]}{said}"
    if function == "accept_key":
        return value if isinstance(value, str) else f"returned {value[0]}, expected a str"
    if function == "parse_close":
        return "None" if value == ["nothing"] else repr(tuple(value))
    if function == "answer":
        return framed(value[1])
    return framed(value) if function == "encode" else spaced(value)


def result(function: str, one: object) -> str:
    """Say what one frame has given."""
    if function == "decode":
        return named(*one)
    if function == "receive":
        return " ".join(shown(word, 60) or '""' for word in one)
    if isinstance(one, list):
        return f"binary {shown(one[0], 60) or '(empty)'}"
    return "None" if one is None else shown(one, 60) or '""'


class Codec:
    """The learner's wire.py, in one process for the whole test."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.child = stage, stage.child()
        self.reason, self.where = "", []  # of what the last call raised

    def __call__(self, function: str, *args: object) -> object:
        """Call a function of the probes. Bytes go as hex."""
        args = [arg.hex() if isinstance(arg, bytes) else arg for arg in args]
        if function == "join":  # A frame has a line, so that none is cut off.
            self.stage.wire.sent("test", f"Messages(limit={args[1]})")
            for one in args[0]:
                self.stage.wire.sent("test", f"feed({named(*one)})")
        else:
            self.stage.wire.sent("test", asked(function, args))
        value, self.reason, self.where = self.child.probe(PROBES, "ask", function, *args)
        self.stage.wire.received("test", told(function, value, self.reason))
        return value

    def hold(self, met: bool, expected: str, function: str, got: object) -> None:
        """Hold a condition for what a function of the probes has returned."""
        if not met:
            raise Unmet(expected, told(function, got, self.reason), where=self.where)

    def expect(self, expected: object, function: str, *args: object) -> None:
        """Hold what a function of the probes returns."""
        got = self(function, *args)
        self.hold(got == expected, told(function, expected), function, got)


@pytest.fixture
def codec(stage) -> Codec:
    """The learner's wire.py."""
    return Codec(stage)


class Hang(BaseException):
    """Ends hypothesis' search at once: an error or an endless loop is found as it is."""


def for_all(stage: Stage, cases: st.SearchStrategy, check: Callable, examples: int = 30) -> None:
    """Hold `check` for whatever hypothesis draws; a card shows the shortest case that it finds."""

    def one(case: object) -> None:
        stage.wire = Wire()
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


def frame(
    opcode: int,
    payload: bytes = b"",
    fin: bool = True,
    reserved: int = 0,
    mask: bytes | None = MASK,
    form: int | None = None,
    length: int | None = None,
) -> bytes:
    """Return a frame as a client sends it, right or wrong.

    `form` is how many bytes more the length takes (0, 2, 8), and `length` a length that is a lie.
    """
    length = len(payload) if length is None else length
    if form is None:
        form = 0 if length < 126 else 2 if length < 2**16 else 8
    short = {0: length, 2: 126, 8: 127}[form]
    head = bytes([fin << 7 | reserved << 4 | opcode, (mask is not None) << 7 | short])
    head += length.to_bytes(form, "big") if form else b""
    if mask is None:
        return head + payload
    whole = (mask * (len(payload) // 4 + 1))[: len(payload)]
    body = int.from_bytes(payload, "big") ^ int.from_bytes(whole, "big")
    return head + mask + body.to_bytes(len(payload), "big")


def plain(*args: object, **options: object) -> bytes:
    """Return a frame as a server sends it."""
    return frame(*args, **{"mask": None, **options})


def closing(code: int | None, reason: bytes = b"") -> bytes:
    """Return the payload of a close frame."""
    return (b"" if code is None else code.to_bytes(2, "big")) + reason


def pieces(data: bytes, size: int) -> list[str]:
    """Return bytes as TCP may bring them."""
    return [data[at : at + size].hex() for at in range(0, len(data), size)]


# accept


@task("accept", "The server computes Sec-WebSocket-Accept", points=1)
def test_the_key_of_the_rfc_gives_the_answer_of_the_rfc(codec):
    codec.expect("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "accept_key", "dGhlIHNhbXBsZSBub25jZQ==")


@task("accept")
def test_any_key_gives_what_the_libraries_expect(codec):
    for key in [generate_key() for _ in range(5)]:
        codec.expect(accept_key(key), "accept_key", key)


# request

HANDSHAKE = {
    "Host": "127.0.0.1:5005",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}
KEY = HANDSHAKE["Sec-WebSocket-Key"]


def without(*names: str) -> dict:
    """Return the handshake without some of its headers."""
    return {name: value for name, value in HANDSHAKE.items() if name not in names}


GOOD_REQUESTS = [
    ("the least there is", list(HANDSHAKE.items())),
    ("names in lower case", [(name.lower(), value) for name, value in HANDSHAKE.items()]),
    ("names in upper case", [(name.upper(), value) for name, value in HANDSHAKE.items()]),
    ("Upgrade: WebSocket", [*(HANDSHAKE | {"Upgrade": "WebSocket"}).items()]),
    ("Upgrade, a list of two", [*(HANDSHAKE | {"Upgrade": "h2c, websocket"}).items()]),
    ("Connection: upgrade", [*(HANDSHAKE | {"Connection": "upgrade"}).items()]),
    ("Connection as in Firefox", [*(HANDSHAKE | {"Connection": "keep-alive, Upgrade"}).items()]),
    (
        "a Connection list without spaces",
        [*(HANDSHAKE | {"Connection": "keep-alive,upgrade"}).items()],
    ),
    ("Connection twice, one a line", [("Connection", "keep-alive"), *HANDSHAKE.items()]),
    ("Upgrade twice, one a line", [("Upgrade", "h2c"), *HANDSHAKE.items()]),
    ("Connection again, at the end", [*HANDSHAKE.items(), ("Connection", "keep-alive")]),
    ("with an origin", [*HANDSHAKE.items(), ("Origin", "http://localhost:5000")]),
    ("with an offer", [*HANDSHAKE.items(), ("Sec-WebSocket-Extensions", "permessage-deflate")]),
]
NO_HANDSHAKES = [
    ("POST, not GET", "POST", "HTTP/1.1", HANDSHAKE),
    ("HEAD, not GET", "HEAD", "HTTP/1.1", HANDSHAKE),
    ("get, not GET", "get", "HTTP/1.1", HANDSHAKE),
    ("HTTP/1.0, not 1.1", "GET", "HTTP/1.0", HANDSHAKE),
    ("no word of a WebSocket", "GET", "HTTP/1.1", {"Host": "127.0.0.1:5005", "Accept": "*/*"}),
    ("no Host", "GET", "HTTP/1.1", without("Host")),
    ("no Upgrade", "GET", "HTTP/1.1", without("Upgrade")),
    ("Upgrade to h2c", "GET", "HTTP/1.1", HANDSHAKE | {"Upgrade": "h2c"}),
    ("Upgrade: websockets", "GET", "HTTP/1.1", HANDSHAKE | {"Upgrade": "websockets"}),
    ("no Connection", "GET", "HTTP/1.1", without("Connection")),
    ("Connection: keep-alive alone", "GET", "HTTP/1.1", HANDSHAKE | {"Connection": "keep-alive"}),
    ("Connection: no-upgrade", "GET", "HTTP/1.1", HANDSHAKE | {"Connection": "no-upgrade"}),
    ("no key", "GET", "HTTP/1.1", without("Sec-WebSocket-Key")),
    ("an empty key", "GET", "HTTP/1.1", HANDSHAKE | {"Sec-WebSocket-Key": ""}),
    (
        "a key of 15 bytes",
        "GET",
        "HTTP/1.1",
        HANDSHAKE | {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25j"},
    ),
    (
        "a key of 17 bytes",
        "GET",
        "HTTP/1.1",
        HANDSHAKE | {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZTE="},
    ),
    (
        "a key that is not base64",
        "GET",
        "HTTP/1.1",
        HANDSHAKE | {"Sec-WebSocket-Key": "a key of 24 characters!!"},
    ),
    ("a key cut short", "GET", "HTTP/1.1", HANDSHAKE | {"Sec-WebSocket-Key": KEY[:-1]}),
    ("a key with a stray !", "GET", "HTTP/1.1", HANDSHAKE | {"Sec-WebSocket-Key": "!" + KEY}),
    (
        "a key with a space",
        "GET",
        "HTTP/1.1",
        HANDSHAKE | {"Sec-WebSocket-Key": f"{KEY[:8]} {KEY[8:]}"},
    ),
    (
        "a key with - and _",
        "GET",
        "HTTP/1.1",
        HANDSHAKE | {"Sec-WebSocket-Key": f"-_{KEY[2:]}"},
    ),
    ("a key with an accent", "GET", "HTTP/1.1", HANDSHAKE | {"Sec-WebSocket-Key": "é" + KEY[1:]}),
    ("no version", "GET", "HTTP/1.1", without("Sec-WebSocket-Version")),
]


@task("request", "Only a valid handshake opens a WebSocket", points=1)
def test_a_handshake_gives_its_key_however_it_is_written(codec):
    for name, headers in GOOD_REQUESTS:
        headers = [[header, value] for header, value in headers]

        got = codec("request", "GET", "HTTP/1.1", headers)

        codec.hold(got == ["key", KEY], f"the key {KEY} ({name})", "request", got)


@task("request")
def test_what_is_no_handshake_is_refused_with_400(codec):
    for name, method, version, headers in NO_HANDSHAKES:
        headers = [[header, value] for header, value in headers.items()]

        got = codec("request", method, version, headers)

        codec.hold(got[:2] == ["refused", 400], f"Refusal 400 ({name})", "request", got)


@task("request")
def test_two_keys_are_none(codec):
    headers = [[name, value] for name, value in HANDSHAKE.items()]

    got = codec("request", "GET", "HTTP/1.1", [*headers, ["Sec-WebSocket-Key", KEY]])

    codec.hold(got[:2] == ["refused", 400], "Refusal 400 (two keys)", "request", got)


@task("request")
def test_another_version_is_refused_with_426_and_the_one_that_is_spoken(codec):
    for version in ("8", "7", "14", "0", "013", "thirteen", "13, 8"):
        headers = [[*pair] for pair in (HANDSHAKE | {"Sec-WebSocket-Version": version}).items()]

        codec.expect(["refused", 426, "13"], "request", "GET", "HTTP/1.1", headers)


@task("request")
def test_what_breaks_another_rule_too_is_refused_with_400(codec):
    for name, method, version, headers in NO_HANDSHAKES[:-1]:  # The last has no other fault.
        headers = [[*pair] for pair in (headers | {"Sec-WebSocket-Version": "8"}).items()]

        got = codec("request", method, version, headers)

        wanted = f"Refusal 400 ({name}, and version 8)"
        codec.hold(got[:2] == ["refused", 400], wanted, "request", got)


# encode


@task("encode", "Frames are encoded and masked", points=2)
def test_the_examples_of_the_rfc_are_encoded_as_there(codec):
    codec.expect("810548656c6c6f", "encode", TEXT, b"Hello", True, "")
    codec.expect("010348656c", "encode", TEXT, b"Hel", False, "")
    codec.expect("80026c6f", "encode", CONTINUATION, b"lo", True, "")
    codec.expect("890548656c6c6f", "encode", PING, b"Hello", True, "")


@task("encode")
def test_a_length_takes_the_shortest_form(codec):
    for length in (0, 1, 125, 126, 127, 255, 256, 65535, 65536, 70000):
        payload = codec.stage.random.randbytes(length)

        codec.expect(plain(BINARY, payload).hex(), "encode", BINARY, payload, True, "")


# What hypothesis draws: a frame as opcode, payload and fin, lengths at the borders among them.
PAYLOADS = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([125, 126, 127, 65535, 65536]).map(lambda length: b"a" * length),
)
DATA_FRAMES = st.tuples(st.sampled_from([CONTINUATION, TEXT, BINARY]), PAYLOADS, st.booleans())
CONTROL_FRAMES = st.tuples(
    st.sampled_from([CLOSE, PING, PONG]), st.binary(max_size=60), st.just(True)
)
FRAMES = st.one_of(DATA_FRAMES, CONTROL_FRAMES)
MASKS = st.one_of(st.just(MASK), st.binary(min_size=4, max_size=4))


def read_by_websockets(data: bytes, mask: bool) -> list:
    """Return the frame that the library websockets reads, which must be all there is."""
    reader = StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    try:
        next(Frame.parse(reader.read_exact, mask=mask))
    except StopIteration as found:
        got = found.value
        expect(not reader.buffer, "nothing after the frame", bytes(reader.buffer).hex())
        return [int(got.opcode), bytes(got.data).hex(), got.fin]
    except Exception as error:
        return [f"websockets cannot read it: {error}"]
    return ["websockets waits for more"]


def read_by_wsproto(data: bytes, mask: bool) -> list:
    """Return the frame that the library wsproto reads, which must be all there is."""
    reader = FrameDecoder(client=not mask)
    reader.receive_bytes(data)
    try:
        got = reader.process_buffer()
    except ParseFailed as failed:
        return [f"wsproto cannot read it: {failed}"]
    if got is None or not got.frame_finished or len(reader.buffer):
        return ["wsproto sees more or less than a frame"]
    return [int(got.opcode), bytes(got.payload).hex(), got.message_finished]


def expect_read(codec: Codec, case: tuple, mask: bytes) -> None:
    """Hold that the two libraries read the frame that the learner's code wrote."""
    opcode, payload, fin = case

    data = codec("encode", opcode, payload, fin, mask.hex())

    expect(not data.startswith("no bytes"), "the bytes of a frame", data)
    wanted = [opcode, payload.hex(), fin]
    for read in (read_by_websockets, read_by_wsproto):
        got = read(bytes.fromhex(data), mask=bool(mask))
        expect(got == wanted, f"{named(*wanted)}, when another library reads it", got)


@task("encode")
def test_other_libraries_read_any_frame_as_it_was_meant(stage, codec):
    for_all(stage, FRAMES, lambda case: expect_read(codec, case, b""))


# decode


@task("decode", "Frames are decoded, however TCP splits them", points=2, needs="encode")
def test_the_examples_of_the_rfc_are_decoded_as_there(codec):
    hello, ping = "810548656c6c6f", "890548656c6c6f"
    hel, lo = "010348656c", "80026c6f"

    codec.expect([[[TEXT, b"Hello".hex(), True]], 0], "decode", False, [hello], LIMIT)
    parts = [[TEXT, b"Hel".hex(), False], [CONTINUATION, b"lo".hex(), True]]
    codec.expect([parts, 0], "decode", False, [hel + lo], LIMIT)
    codec.expect([[[PING, b"Hello".hex(), True]], 0], "decode", False, [ping], LIMIT)


@task("decode")
def test_every_length_is_read(codec):
    for length in (0, 1, 125, 126, 127, 255, 256, 65535, 65536):
        payload = codec.stage.random.randbytes(length)

        chunks = pieces(plain(BINARY, payload), 30000)
        codec.expect([[[BINARY, payload.hex(), True]], 0], "decode", False, chunks, LIMIT)


@task("decode")
def test_a_frame_that_comes_byte_by_byte_is_one_frame(codec):
    payload = codec.stage.random.randbytes(300)
    data = plain(TEXT, b"one") + plain(BINARY, payload) + plain(PING) + plain(TEXT, b"two")
    frames = [[TEXT, b"one"], [BINARY, payload], [PING, b""], [TEXT, b"two"]]
    wanted = [[[opcode, payload.hex(), True] for opcode, payload in frames], 0]

    for size in (1, 2, 3, 7, len(data)):
        codec.expect(wanted, "decode", False, pieces(data, size), LIMIT)


@task("decode")
def test_frames_that_end_in_the_middle_are_given_when_they_are_whole(codec):
    data = plain(TEXT, b"whole") + plain(TEXT, b"only half")[:5]

    codec.expect([[[TEXT, b"whole".hex(), True]], 0], "decode", False, [data.hex()], LIMIT)


@task("check", "Invalid frames are refused with 1002 or 1009", points=2, needs="decode")
def test_a_reserved_bit_is_refused(codec):
    for bits in range(1, 8):
        data = plain(TEXT, b"Hello", reserved=bits)

        codec.expect([[], 1002], "decode", False, [data.hex()], LIMIT)


@task("check")
def test_an_unknown_opcode_is_refused(codec):
    for opcode in UNKNOWN:
        codec.expect([[], 1002], "decode", False, [plain(opcode, b"hi").hex()], LIMIT)
        codec.expect([[], 1002], "decode", False, [plain(opcode).hex()], LIMIT)


@task("check")
def test_a_length_in_a_longer_form_than_it_needs_is_refused(codec):
    for length, form in ((0, 2), (1, 2), (125, 2), (0, 8), (125, 8), (126, 8), (65535, 8)):
        data = plain(BINARY, bytes(length), form=form)

        codec.expect([[], 1002], "decode", False, [data.hex()], LIMIT)


@task("check")
def test_a_payload_over_the_limit_is_refused_before_it_comes(codec):
    for limit, length in ((10, 11), (125, 126), (1000, 1001), (LIMIT, LIMIT + 1), (LIMIT, 2**40)):
        for opcode, fin in ((BINARY, True), (TEXT, False), (CONTINUATION, False)):
            head = plain(opcode, fin=fin, length=length)

            codec.expect([[], 1009], "decode", False, [head.hex()], limit)
    data = plain(BINARY, bytes(1000))
    codec.expect([[[BINARY, bytes(1000).hex(), True]], 0], "decode", False, [data.hex()], 1000)


@task("check")
def test_frames_before_the_one_that_is_refused_are_given(codec):
    data = plain(TEXT, b"good") + plain(TEXT, b"bad", reserved=4) + plain(TEXT, b"late")

    codec.expect([[[TEXT, b"good".hex(), True]], 1002], "decode", False, [data.hex()], LIMIT)


@task("decode")
def test_what_another_library_writes_is_read_however_it_is_cut(stage, codec):
    def check(case: tuple) -> None:
        frames, size = case
        data = b"".join(
            Frame(Opcode(opcode), payload, fin).serialize(mask=False)
            for opcode, payload, fin in frames
        )
        wanted = [[[opcode, payload.hex(), fin] for opcode, payload, fin in frames], 0]

        got = codec("decode", False, pieces(data, max(size, len(data) // 50)), LIMIT)

        codec.hold(got == wanted, told("decode", wanted), "decode", got)

    for_all(stage, st.tuples(st.lists(FRAMES, max_size=4), st.integers(1, 40)), check)


# mask


@task("decode")
def test_the_masked_example_of_the_rfc_goes_both_ways(codec):
    data = "818537fa213d7f9f4d5158"

    codec.expect(b"\x7f\x9f\x4d\x51\x58".hex(), "masked", b"Hello", MASK)
    codec.expect(b"Hello".hex(), "masked", b"\x7f\x9f\x4d\x51\x58", MASK)
    codec.expect(data, "encode", TEXT, b"Hello", True, MASK)
    codec.expect("8a8537fa213d7f9f4d5158", "encode", PONG, b"Hello", True, MASK)
    codec.expect([[[TEXT, b"Hello".hex(), True]], 0], "decode", True, [data], LIMIT)


@task("decode")
def test_each_frame_has_a_mask_of_its_own(codec):
    masks = [codec.stage.random.randbytes(4) for _ in range(3)]
    payloads = [codec.stage.random.randbytes(length) for length in (9, 0, 300)]
    data = b"".join(frame(BINARY, p, mask=m) for p, m in zip(payloads, masks, strict=True))

    for size in (1, 5, len(data)):
        wanted = [[[BINARY, payload.hex(), True] for payload in payloads], 0]
        codec.expect(wanted, "decode", True, pieces(data, size), LIMIT)


@task("decode")
def test_a_mask_of_zeros_is_a_mask(codec):
    data = frame(TEXT, b"Hello", mask=bytes(4))

    codec.expect(data.hex(), "encode", TEXT, b"Hello", True, bytes(4))
    codec.expect([[[TEXT, b"Hello".hex(), True]], 0], "decode", True, [data.hex()], LIMIT)


@task("check")
def test_the_wrong_side_with_a_mask_is_refused(codec):
    for opcode in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG):
        codec.expect([[], 1002], "decode", True, [plain(opcode).hex() + "00000000"], LIMIT)
        codec.expect([[], 1002], "decode", False, [frame(opcode).hex()], LIMIT)


@task("encode")
def test_other_libraries_read_any_masked_frame(stage, codec):
    cases = st.tuples(FRAMES, MASKS)
    for_all(stage, cases, lambda case: expect_read(codec, *case))


# control


@task("check")
def test_a_long_control_frame_is_refused(codec):
    for opcode in (CLOSE, PING, PONG):
        for length in (126, 127, 65536):
            data = plain(opcode, bytes(length))

            codec.expect([[], 1002], "decode", False, [data.hex()], LIMIT)


@task("check")
def test_a_control_frame_in_parts_is_refused(codec):
    for opcode in (CLOSE, PING, PONG):
        codec.expect([[], 1002], "decode", False, [plain(opcode, b"", fin=False).hex()], LIMIT)


@task("check")
def test_any_other_control_frame_is_given(codec):
    frames = [(PING, b""), (PONG, bytes(125)), (PING, bytes(125)), (CLOSE, closing(1000))]
    data = b"".join(plain(opcode, payload) for opcode, payload in frames)

    wanted = [[[opcode, payload.hex(), True] for opcode, payload in frames], 0]
    codec.expect(wanted, "decode", False, [data.hex()], LIMIT)


@task("check")
def test_a_long_fragment_is_no_control_frame(codec):
    data = plain(TEXT, b"a" * 126, fin=False) + plain(CONTINUATION, b"b" * 126, fin=False)

    wanted = [[[TEXT, "61" * 126, False], [CONTINUATION, "62" * 126, False]], 0]
    codec.expect(wanted, "decode", False, [data.hex()], LIMIT)


# fragments


def parts(*frames: tuple) -> list:
    """Return frames for the probe: opcode, payload, and whether it is the last."""
    return [[opcode, payload.hex(), fin] for opcode, payload, fin in frames]


@task("fragments", "Fragments are joined into messages", points=2)
def test_a_frame_alone_is_a_message(codec):
    frames = parts((TEXT, "hü 🦦".encode(), True), (BINARY, b"\x00\xff", True), (TEXT, b"", True))
    marked = parts((TEXT, "\ufeffa".encode(), True))

    codec.expect([["hü 🦦", ["00ff"], ""], 0], "join", frames, LIMIT)
    codec.expect([["\ufeffa"], 0], "join", marked, LIMIT)


@task("fragments")
def test_fragments_are_joined_in_their_order(codec):
    text = [codec.stage.text() for _ in range(3)]
    frames = parts(
        (TEXT, text[0].encode(), False),
        (CONTINUATION, b"", False),
        (CONTINUATION, text[1].encode(), False),
        (CONTINUATION, text[2].encode(), True),
        (BINARY, b"\xf0\x9f", False),
        (CONTINUATION, b"\xa6", True),
        (TEXT, b"after", True),
    )

    wanted = [None, None, None, "".join(text), None, ["f09fa6"], "after"]
    codec.expect([wanted, 0], "join", frames, LIMIT)


@task("fragments")
def test_control_frames_between_fragments_are_no_part_of_the_message(codec):
    frames = parts(
        (PING, b"before", True),
        (TEXT, b"Hel", False),
        (PING, b"between", True),
        (PONG, b"", True),
        (CONTINUATION, b"lo", True),
    )

    codec.expect([[None, None, None, None, "Hello"], 0], "join", frames, LIMIT)


@task("fragments")
def test_a_character_may_be_cut_between_two_fragments(codec):
    otter = "🦦".encode()
    frames = parts(
        (TEXT, otter[:1], False), (CONTINUATION, otter[1:3], False), (CONTINUATION, otter[3:], True)
    )

    codec.expect([[None, None, "🦦"], 0], "join", frames, LIMIT)


@task("fragments")
def test_a_continuation_of_nothing_is_refused(codec):
    again = [(TEXT, b"done", True), (CONTINUATION, b"more", True)]
    late = [(TEXT, b"do", False), (CONTINUATION, b"ne", True), (CONTINUATION, b"more", True)]

    codec.expect([[], 1002], "join", parts((CONTINUATION, b"hi", True)), LIMIT)
    codec.expect([[], 1002], "join", parts((CONTINUATION, b"hi", False)), LIMIT)
    codec.expect([["done"], 1002], "join", parts(*again), LIMIT)
    codec.expect([[None, "done"], 1002], "join", parts(*late), LIMIT)


@task("fragments")
def test_a_message_that_begins_within_another_is_refused(codec):
    for first, second in ((TEXT, TEXT), (TEXT, BINARY), (BINARY, BINARY), (BINARY, TEXT)):
        frames = parts((first, b"a", False), (second, b"b", True))

        codec.expect([[None], 1002], "join", frames, LIMIT)


@task("fragments")
def test_a_text_that_is_not_utf_8_is_refused(codec):
    for data in ("c328", "eda080", "f4908080", "c0af", "c080", "ff", "61e282", "f0", "80"):
        codec.expect([[], 1007], "join", [[TEXT, data, True]], LIMIT)


@task("fragments")
def test_a_text_is_refused_at_its_first_wrong_byte_not_at_its_end(codec):
    frames = parts((TEXT, b"good", False), (CONTINUATION, b"\xff", False))

    codec.expect([[None], 1007], "join", frames, LIMIT)
    codec.expect([[], 1007], "join", parts((TEXT, b"\xff", False)), LIMIT)


@task("fragments")
def test_a_text_that_ends_in_the_middle_of_a_character_is_refused(codec):
    frames = parts((TEXT, b"\xf0\x9f", False), (PING, b"\xa6\xa6", True), (CONTINUATION, b"", True))

    codec.expect([[None, None], 1007], "join", frames, LIMIT)


@task("fragments")
def test_a_binary_message_may_hold_anything(codec):
    frames = parts((BINARY, b"\xff", False), (CONTINUATION, b"\xc3", True))

    codec.expect([[None, ["ffc3"]], 0], "join", frames, LIMIT)


@task("fragments")
def test_all_fragments_together_may_not_go_over_the_limit(codec):
    cases = [
        (BINARY, b"12345", [b"1234567890".hex()]),
        (TEXT, "1üü".encode(), "1üü67890"),  # The limit is in bytes.
    ]
    for opcode, first, message in cases:
        start = [(opcode, first, False), (PING, b"67", True), (CONTINUATION, b"67890", False)]

        last = (CONTINUATION, b"", True)
        codec.expect([[None, None, None, message], 0], "join", parts(*start, last), 10)
        over = (CONTINUATION, b"1", False)
        codec.expect([[None, None, None], 1009], "join", parts(*start, over), 10)


# What the two libraries make of a stream of bytes: events, and the code that they close with or 0.


def by_websockets(data: bytes, side: Side) -> list:
    """Return what the library websockets says of bytes, which `side` receives."""
    protocol = Protocol(side, max_size=LIMIT)
    protocol.receive_data(data)
    events, parts = [], []
    for got in protocol.events_received():
        if got.opcode is Opcode.CLOSE:
            return [[*events, ["close", protocol.close_rcvd.code, protocol.close_rcvd.reason]], 0]
        if got.opcode in (Opcode.PING, Opcode.PONG):
            events.append([got.opcode.name.lower(), bytes(got.data).hex()])
            continue
        parts.append(got)
        if got.fin:
            whole = b"".join(bytes(part.data) for part in parts)
            try:
                is_text = parts[0].opcode is Opcode.TEXT
                events.append(["text", whole.decode()] if is_text else ["binary", whole.hex()])
            except UnicodeDecodeError:
                return [events, 1007]
            parts = []
    return [events, int(protocol.close_sent.code) if protocol.close_sent else 0]


def by_wsproto(data: bytes, side: Side) -> list:
    """Return what the library wsproto says of bytes, which `side` receives."""
    protocol = FrameProtocol(client=side is Side.CLIENT, extensions=[])
    protocol.receive_bytes(data)
    events, parts = [], []
    try:
        for got in protocol.received_frames():
            name = got.opcode.name.lower()
            if name == "close":
                return [[*events, ["close", int(got.payload[0]), got.payload[1]]], 0]
            if name in ("ping", "pong"):
                events.append([name, bytes(got.payload).hex()])
                continue
            parts.append(got.payload)
            if got.message_finished:
                whole = parts[0][:0].join(parts)
                events.append([name, whole if name == "text" else bytes(whole).hex()])
                parts = []
    except ParseFailed as failed:
        return [events, int(failed.code)]
    return [events, 0]


TEXTS = st.sampled_from(
    [b"", b"Hello", "hü".encode(), b"\xf0\x9f", b"\xa6\xa6", b"\xed\xa0\x80", b"\xff", b"\xc3"]
)
FRAGMENTS = st.one_of(
    st.tuples(st.sampled_from([CONTINUATION, TEXT, BINARY]), TEXTS, st.booleans()),
    st.tuples(st.sampled_from([PING, PONG]), st.binary(max_size=5), st.just(True)),
)


@task("fragments")
def test_whatever_two_libraries_say_of_frames_is_right(stage, codec):
    def check(frames: list) -> None:
        data = b"".join(plain(*one) for one in frames)
        wanted = by_wsproto(data, Side.CLIENT)
        hypothesis.assume(wanted == by_websockets(data, Side.CLIENT))

        given, code = codec("join", parts(*frames), LIMIT)

        got = [one if isinstance(one, str) else one[0] for one in given if one is not None]
        messages = [event[1] for event in wanted[0] if event[0] in ("text", "binary")]
        wanted = [messages, wanted[1]]
        codec.hold([got, code] == wanted, told("join", wanted), "join", [got, code])

    for_all(stage, st.lists(FRAGMENTS, min_size=1, max_size=6), check, examples=60)


# close


@task("close", "Close codes and reasons are encoded and parsed", points=1)
def test_a_close_payload_is_the_code_and_then_the_reason(codec):
    codec.expect("03e8", "close_payload", 1000, "")
    codec.expect("03e9" + "größer 🦦".encode().hex(), "close_payload", 1001, "größer 🦦")
    codec.expect("0fa0" + "61" * 123, "close_payload", 4000, "a" * 123)


@task("close")
def test_a_close_payload_is_parsed_back(codec):
    for code, reason in ((1000, ""), (1001, "größer 🦦"), (3000, " a\n"), (4999, "a" * 123)):
        codec.expect([code, reason], "parse_close", closing(code, reason.encode()))


@task("close")
def test_a_close_without_a_code_is_read_as_1005(codec):
    codec.expect([1005, ""], "parse_close", b"")


SENT_CODES = (1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 3999, 4000, 4999)
NEVER_SENT = (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)


@task("close")
def test_only_codes_that_may_be_sent_are_sent_and_accepted(codec):
    for code in SENT_CODES:
        codec.expect(closing(code).hex(), "close_payload", code, "")
        codec.expect([code, ""], "parse_close", closing(code))
    for code in NEVER_SENT:
        codec.expect("ValueError", "close_payload", code, "")
        codec.expect(["violation", 1002], "parse_close", closing(code))


@task("close")
def test_one_byte_is_no_code(codec):
    codec.expect(["violation", 1002], "parse_close", b"\x03")


@task("close")
def test_a_reason_is_utf_8_of_at_most_123_bytes(codec):
    codec.expect(["violation", 1007], "parse_close", closing(1000, b"\xff"))
    codec.expect(["violation", 1007], "parse_close", closing(1000, b"\xed\xa0\x80"))
    codec.expect("ValueError", "close_payload", 1000, "a" * 124)
    codec.expect("ValueError", "close_payload", 1000, "ü" * 62)
    codec.expect("03e8" + "c3bc" * 61, "close_payload", 1000, "ü" * 61)


# talk


class Echo:
    """The learner's server.py, running."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.program = stage, stage.run("server.py", "--port", 0)
        self.url = self.program.lines(1)[0]
        self.port = int(self.url.rpartition(":")[2])

    def unmet(self, expected: str, got: str, seconds: float) -> Unmet:
        """Return what to raise when nothing came."""
        return self.program.unmet(expected, got, seconds)

    def open(self, more: bytes = b"") -> Raw:
        """Return a TCP connection after its handshake, which `more` is sent together with."""
        raw = Raw(self, "ada", self.port)
        raw.request(["GET / HTTP/1.1", *map(": ".join, HANDSHAKE.items())], "a handshake", more)
        status = raw.head()[0]
        expect(" 101 " in status, "101 Switching Protocols", status)
        return raw


@pytest.fixture
def echo(stage) -> Echo:
    """The learner's server.py, running."""
    return Echo(stage)


@task(
    "talk",
    "Your server talks to any WebSocket client",
    points=2,
    needs=("accept", "request", "encode", "decode", "check", "fragments", "close"),
)
def test_a_ping_is_owed_a_pong_with_its_payload_and_a_pong_nothing(codec):
    codec.expect(["owed", plain(PONG, b"Hello").hex()], "answer", PING, b"Hello")
    codec.expect(["owed", plain(PONG).hex()], "answer", PING, b"")
    for opcode in (PONG, TEXT, BINARY, CONTINUATION):
        codec.expect(["owed", ""], "answer", opcode, b"Hello")


@task("talk")
def test_a_close_is_owed_a_close_with_its_code(codec):
    for code in (1000, 1001, 4999):
        got = codec("answer", CLOSE, closing(code, b"bye"))

        owed = [["owed", plain(CLOSE, closing(code, reason)).hex()] for reason in (b"", b"bye")]
        codec.hold(got in owed, told("answer", owed[0]), "answer", got)
    codec.expect(["owed", plain(CLOSE).hex()], "answer", CLOSE, b"")
    codec.expect(["violation", 1002], "answer", CLOSE, b"\x03")
    codec.expect(["violation", 1002], "answer", CLOSE, closing(1005))


@task("talk")
def test_the_library_websockets_talks_to_it(stage, echo):
    with Socket(echo, "ada", echo.url) as ada, Socket(echo, "bob", echo.url) as bob:
        for text in (stage.text(), "", "größer 🦦", "long " * 30000):
            ada.send(text)
            bob.send(text.encode())
            ada.expect(text)
            bob.expect(text.encode())
        ada.ping()
        ada.send_parts(["in ", "three ", "parts"])
        ada.expect("in three parts")

        ada.close(4000, "done")
        bob.send("still here")
        bob.expect("still here")


@task("talk")
def test_a_frame_that_comes_with_the_handshake_is_not_lost(echo):
    with echo.open(frame(TEXT, b"early")) as ada:
        expect(bytes(ada.frame().data) == b"early", "the text 'early'", "another")


@task("talk")
def test_the_server_refuses_what_is_no_handshake(echo):
    for version, status in (("13", "101"), ("8", "426"), ("", "400")):
        headers = {k: v for k, v in (HANDSHAKE | {"Sec-WebSocket-Version": version}).items() if v}
        with Raw(echo, "ada", echo.port) as ada:
            ada.request(["GET / HTTP/1.1", *map(": ".join, headers.items())])

            line = ada.head()[0]

        expect(line.split(" ")[1] == status, status, line)


ODD_FRAMES = st.builds(
    frame,
    st.integers(0, 15),
    TEXTS,
    st.booleans(),
    st.sampled_from([0, 0, 0, 1, 2, 4]),
    st.sampled_from([MASK, MASK, MASK, None]),
)
CLOSE_FRAMES = st.builds(
    lambda code, reason: frame(CLOSE, closing(code, reason)),
    # wsproto does not know 1014, and so would be right for a wrong reason.
    st.sampled_from([code for code in (*SENT_CODES, *NEVER_SENT) if code != 1014]),
    TEXTS,
)
STREAMS = st.lists(
    st.one_of(FRAGMENTS.map(lambda one: frame(*one)), ODD_FRAMES, CLOSE_FRAMES),
    min_size=1,
    max_size=6,
).map(b"".join)


@task("talk")
def test_whatever_two_libraries_say_of_bytes_is_right(stage, codec):
    def check(data: bytes) -> None:
        wanted = by_wsproto(data, Side.SERVER)
        hypothesis.assume(wanted == by_websockets(data, Side.SERVER))

        got = codec("receive", data, LIMIT)

        codec.hold(got == wanted, told("receive", wanted), "receive", got)

    for_all(stage, STREAMS, check, examples=100)


# The table. A case is its name, what the client sends, what is echoed, and the code of the close
# frame that comes then. After it the client sends a close 1000 in any case.

Case = tuple[str, list[bytes], list, int]
TOO_BIG = [frame(BINARY, bytes(1000), fin=False), frame(CONTINUATION, bytes(LIMIT - 999))]


def pong(payload: bytes) -> Frame:
    """Return a pong, as it stands among what is expected."""
    return Frame(Opcode.PONG, payload)


def text(data: str | bytes, fin: bool = True) -> bytes:
    """Return the frame of a text, or of the first part of one."""
    return frame(TEXT, data.encode() if isinstance(data, str) else data, fin)


def more(data: str | bytes, fin: bool = False) -> bytes:
    """Return a fragment that goes on, or `fin` ends it."""
    return frame(CONTINUATION, data.encode() if isinstance(data, str) else data, fin)


def last(data: str | bytes) -> bytes:
    """Return the last fragment."""
    return more(data, fin=True)


def ping(payload: bytes = b"") -> bytes:
    """Return a ping."""
    return frame(PING, payload)


def close(code: int | None = None, reason: bytes = b"") -> bytes:
    """Return a close frame."""
    return frame(CLOSE, closing(code, reason))


def in_bytes(data: bytes) -> list[bytes]:
    """Return a text as fragments of one byte each."""
    first, *rest = [data[at : at + 1] for at in range(len(data))]
    return [text(first, False), *map(more, rest[:-1]), last(rest[-1])]


def expect_frame(client: Raw, name: str, wanted: object) -> None:
    """Hold that the next frame is this one: a text, bytes, a pong, or a close with its code."""
    wished = as_frame(wanted)
    words = f"{in_words(wished)}, for {name}"

    got = client.frame(words)

    # A reason may stand behind the code of a close.
    data = got.data[:2] if got.opcode is Opcode.CLOSE else got.data
    expect((got.opcode, got.fin, data) == (wished.opcode, True, wished.data), words, in_words(got))


def as_frame(wanted: object) -> Frame:
    """Return the frame that is meant by what stands in the table."""
    if isinstance(wanted, int):
        return Frame(Opcode.CLOSE, closing(None if wanted == 1005 else wanted))
    if isinstance(wanted, Frame):
        return wanted
    if isinstance(wanted, str):
        return Frame(Opcode.TEXT, wanted.encode())
    return Frame(Opcode.BINARY, wanted)


SIZES: list[Case] = [
    *(
        (f"a text of {n:,} bytes", [text("a" * n)], ["a" * n], 1000)
        for n in (0, 1, 125, 126, 127, 128, 65535, 65536, 65537)
    ),
    *(
        (f"{n:,} bytes", [frame(BINARY, b"\xfe" * n)], [b"\xfe" * n], 1000)
        for n in (0, 1, 125, 126, 127, 128, 65535, 65536, 65537)
    ),
    ("a text at the limit", [text("a" * LIMIT)], ["a" * LIMIT], 1000),
    ("a text over the limit", [frame(TEXT, length=LIMIT + 1)], [], 1009),
    ("bytes over the limit", [frame(BINARY, length=LIMIT + 1)], [], 1009),
    ("far over the limit", [frame(BINARY, length=2**40)], [], 1009),
    ("fragments over the limit", TOO_BIG, [], 1009),
    ("a part far over it", [text("a", False), frame(CONTINUATION, length=2**40)], [], 1009),
    ("20 messages at once", [text(f"{n}") for n in range(20)], [f"{n}" for n in range(20)], 1000),
    *(
        (f"{n} bytes, their length in {form}", [frame(BINARY, bytes(n), form=form)], [], 1002)
        for n, form in ((0, 2), (1, 2), (125, 2), (0, 8), (125, 8), (126, 8), (65535, 8))
    ),
]

MASKED: list[Case] = [
    *(
        (f"masked by {mask.hex()}", [frame(TEXT, b"Hello", mask=mask)], ["Hello"], 1000)
        for mask in (bytes(4), b"\xff" * 4, b"\x00\x00\x00\x01", b"\x80\x00\x00\x00", b"Hell")
    ),
    ("two masks", [frame(TEXT, b"a", mask=b"abcd"), text("b")], ["a", "b"], 1000),
    ("a text without a mask", [plain(TEXT, b"Hello")], [], 1002),
    ("bytes without a mask", [plain(BINARY, b"Hello")], [], 1002),
    ("an empty text without a mask", [plain(TEXT)], [], 1002),
    ("a ping without a mask", [plain(PING)], [], 1002),
    ("a pong without a mask", [plain(PONG)], [], 1002),
    ("a close without a mask", [plain(CLOSE)], [], 1002),
    ("a second frame without a mask", [text("a"), plain(TEXT, b"b")], ["a"], 1002),
    ("a fragment without a mask", [text("a", False), plain(CONTINUATION, b"b")], [], 1002),
]

CONTROL: list[Case] = [
    ("a ping", [ping()], [pong(b"")], 1000),
    ("a ping with a text", [ping(b"Hello")], [pong(b"Hello")], 1000),
    ("a ping with what is no text", [ping(b"\x00\xff\xfe")], [pong(b"\x00\xff\xfe")], 1000),
    ("a ping of 125 bytes", [ping(b"\xfe" * 125)], [pong(b"\xfe" * 125)], 1000),
    (
        "10 pings",
        [ping(bytes([n])) for n in range(10)],
        [pong(bytes([n])) for n in range(10)],
        1000,
    ),
    ("a pong that nobody asked for", [frame(PONG)], [], 1000),
    ("one with a text", [frame(PONG, b"Hello")], [], 1000),
    ("a pong, then a ping", [frame(PONG, b"a"), ping(b"b")], [pong(b"b")], 1000),
    ("a ping between messages", [text("a"), ping(), text("b")], ["a", pong(b""), "b"], 1000),
    *(
        (f"{name} of {n} bytes", [frame(opcode, bytes(n))], [], 1002)
        for name, opcode in (("a ping", PING), ("a pong", PONG), ("a close", CLOSE))
        for n in (126, 127, 65536)
    ),
    *(
        (f"the first part of {name}", [frame(opcode, fin=False), last("")], [], 1002)
        for name, opcode in (("a ping", PING), ("a pong", PONG), ("a close", CLOSE))
    ),
    ("a ping in parts within a text", [text("a", False), frame(PING, fin=False)], [], 1002),
]

RESERVED: list[Case] = [
    *(
        (f"a text with the reserved bits {bits:03b}", [frame(TEXT, b"a", reserved=bits)], [], 1002)
        for bits in range(1, 8)
    ),
    *(
        (f"a ping with the reserved bits {bits:03b}", [frame(PING, reserved=bits)], [], 1002)
        for bits in range(1, 8)
    ),
    ("a close with a reserved bit", [frame(CLOSE, reserved=4)], [], 1002),
    ("a reserved bit later", [text("a"), frame(BINARY, reserved=1), text("b")], ["a"], 1002),
    ("in a fragment", [text("a", False), frame(CONTINUATION, b"b", reserved=2)], [], 1002),
    *((f"the opcode {opcode:#x}", [frame(opcode)], [], 1002) for opcode in UNKNOWN),
    *(
        (f"the opcode {opcode:#x} after a text", [text("a"), frame(opcode, b"b")], ["a"], 1002)
        for opcode in UNKNOWN
    ),
]

FRAGMENTED: list[Case] = [
    ("two parts", [text("a", False), last("b")], ["ab"], 1000),
    ("five parts", [text("a", False), more("b"), more("c"), more("d"), last("e")], ["abcde"], 1000),
    ("two parts of bytes", [frame(BINARY, b"a", False), last("b")], [b"ab"], 1000),
    ("an empty first part", [text("", False), last("b")], ["b"], 1000),
    ("an empty last part", [text("a", False), last("")], ["a"], 1000),
    ("nothing but empty parts", [text("", False), more(""), last("")], [""], 1000),
    ("50 parts", [text("0", False), *[more("1")] * 48, last("2")], ["0" + "1" * 48 + "2"], 1000),
    (
        "two large parts",
        [text("a" * 65536, False), last("b" * 65536)],
        ["a" * 65536 + "b" * 65536],
        1000,
    ),
    ("a ping within", [text("a", False), ping(b"p"), last("b")], [pong(b"p"), "ab"], 1000),
    (
        "pings within",
        [text("a", False), ping(b"1"), more("b"), ping(b"2"), last("c")],
        [pong(b"1"), pong(b"2"), "abc"],
        1000,
    ),
    ("a pong within", [text("a", False), frame(PONG, b"p"), last("b")], ["ab"], 1000),
    ("a close within", [text("a", False), close(1000), last("b")], [], 1000),
    (
        "two messages",
        [text("a", False), last("b"), text("c", False), last("d")],
        ["ab", "cd"],
        1000,
    ),
    (
        "a text, then bytes",
        [text("a", False), last("b"), frame(BINARY, b"c", False), last("d")],
        ["ab", b"cd"],
        1000,
    ),
    ("a last part of nothing", [last("a")], [], 1002),
    ("a part of nothing", [more("a")], [], 1002),
    ("an empty part of nothing", [last("")], [], 1002),
    ("a last part after a text", [text("a"), last("b")], ["a"], 1002),
    ("a part after a text", [text("a"), more("b"), last("c")], ["a"], 1002),
    ("a part too many", [text("a", False), last("b"), last("c")], ["ab"], 1002),
    ("a text within a text", [text("a", False), text("b")], [], 1002),
    ("bytes within a text", [text("a", False), frame(BINARY, b"b")], [], 1002),
    ("a text within bytes", [frame(BINARY, b"a", False), text("b")], [], 1002),
    ("bytes within bytes", [frame(BINARY, b"a", False), frame(BINARY, b"b")], [], 1002),
    ("two beginnings", [text("a", False), text("b", False), last("c")], [], 1002),
    ("a beginning late", [text("a", False), more("b"), text("c"), last("d")], [], 1002),
]

TEXTS_THAT_ARE_UTF_8 = [
    "Hello",
    "größer",
    "κόσμε",
    "日本語",
    "🦦🦦🦦",
    "\x00",
    "\x7f",
    "\x80",
    "\u07ff",
    "\u0800",
    "\ud7ff",
    "\ue000",
    "\ufffd",
    "\ufffe",
    "\uffff",
    "\U00010000",
    "\U0001fffe",
    "\U000fffff",
    "\U0010ffff",
    "\ufeffa",
    "e\u0301",
]
BYTES_THAT_ARE_NOT = {
    "a continuation byte alone": "80",
    "the last continuation byte alone": "bf",
    "continuation bytes alone": "8081bf",
    "one in the middle of a text": "4880",
    "the start of two bytes, then a space": "c320",
    "the start of three, then a space": "e020",
    "the start of four, then a space": "f020",
    "two of three bytes, then a space": "e28220",
    "three of four bytes, then a space": "f09fa620",
    "the end after the first of two": "c3",
    "the end after the first of three": "e2",
    "the end after two of three": "e282",
    "the end after the first of four": "f0",
    "the end after two of four": "f09f",
    "the end after three of four": "f09fa6",
    "a byte that is never used, c0": "c0",
    "a byte that is never used, c1": "c1",
    "a byte that is never used, f5": "f5",
    "a byte that is never used, fe": "fe",
    "a byte that is never used, ff": "ff",
    "a slash in two bytes": "c0af",
    "a slash in three": "e080af",
    "a slash in four": "f08080af",
    "the last overlong in two": "c1bf",
    "the last overlong in three": "e09fbf",
    "the last overlong in four": "f08fbfbf",
    "a zero in two bytes": "c080",
    "a zero in three": "e08080",
    "a zero in four": "f0808080",
    "the first surrogate": "eda080",
    "the last high surrogate": "edafbf",
    "the first low surrogate": "edb080",
    "the last surrogate": "edbfbf",
    "a pair of surrogates": "eda080edb080",
    "past the last character": "f4908080",
    "far past it": "f7bfbfbf",
    "five bytes": "f888808080",
    "six bytes": "fc8480808080",
    "Latin-1": "6772f6dfe8",
    "UTF-16": "ff fe 48 00",
    "a good beginning": "cebae1bdb9cf83cebceda080656469746564",
}

UTF_8: list[Case] = [
    *((f"the text {good!a}", [text(good)], [good], 1000) for good in TEXTS_THAT_ARE_UTF_8),
    *(
        (f"{good!a} in parts of a byte", in_bytes(good.encode()), [good], 1000)
        for good in TEXTS_THAT_ARE_UTF_8
        if len(good.encode()) > 1
    ),
    *((bad, [text(bytes.fromhex(data))], [], 1007) for bad, data in BYTES_THAT_ARE_NOT.items()),
    *(
        (f"{bad}, in parts", in_bytes(bytes.fromhex(data)), [], 1007)
        for bad, data in BYTES_THAT_ARE_NOT.items()
        if len(bytes.fromhex(data)) > 1
    ),
    ("refused at once", [text("a", False), more(b"\xff"), more("b"), ping()], [], 1007),
    (
        "a ping in mid-character",
        [text(b"\xc3", False), ping(b"\xbc"), last(b"\xbc")],
        [pong(b"\xbc"), "ü"],
        1000,
    ),
    ("a good text, then a bad one", [text("a"), text(b"\xff")], ["a"], 1007),
    ("half a character each", [text(b"\xc3"), text(b"\xbc")], [], 1007),
    ("bytes that are no text", [frame(BINARY, b"\xff\xc3")], [b"\xff\xc3"], 1000),
    ("those in parts", [frame(BINARY, b"\xff", False), last(b"\xc3")], [b"\xff\xc3"], 1000),
]

CLOSES: list[Case] = [
    ("a close without a code", [close()], [], 1005),
    ("a close with a reason", [close(1000, b"bye")], [], 1000),
    ("a reason of 123 bytes", [close(1000, b"a" * 123)], [], 1000),
    ("a reason with umlauts", [close(1000, "größer".encode())], [], 1000),
    ("one byte", [frame(CLOSE, b"\x03")], [], 1002),
    ("a reason that is no UTF-8", [close(1000, b"\xff")], [], 1007),
    ("one cut in mid-character", [close(1000, b"a\xf0\x9f")], [], 1007),
    ("one with a surrogate", [close(1000, b"\xed\xa0\x80")], [], 1007),
    ("a text, then a close", [text("a"), close(1001)], ["a"], 1001),
    ("a text after the close", [close(1001), text("a")], [], 1001),
    ("a ping after the close", [close(1001), ping()], [], 1001),
    ("another close", [close(1001), close(1002)], [], 1001),
    ("nonsense after the close", [close(1001), frame(0xF, reserved=7)], [], 1001),
    *((f"the code {code}", [close(code)], [], code) for code in SENT_CODES),
    *((f"the code {code}", [close(code)], [], 1002) for code in NEVER_SENT),
    *((f"{code} and a reason", [close(code, b"bye")], [], 1002) for code in (1005, 1006, 1015)),
]

TABLE = {
    "sizes": SIZES,
    "masks": MASKED,
    "control frames": CONTROL,
    "reserved": RESERVED,
    "fragments": FRAGMENTED,
    "UTF-8": UTF_8,
    "closes": CLOSES,
}
SMALL = 400  # bytes; what is not longer comes byte by byte as well


@task("talk")
@pytest.mark.parametrize("group", TABLE)
def test_the_server_does_what_the_table_says(echo, group):
    for name, frames, expected, code in TABLE[group]:
        data = b"".join([*frames, close(1000)])
        for piece in (0, 1) if len(data) <= SMALL else (0,):
            echo.stage.wire = Wire()
            with echo.open() as client:
                client.send(data, name, piece)

                for wanted in [*expected, code]:
                    expect_frame(client, name, wanted)

                client.expect_end()
