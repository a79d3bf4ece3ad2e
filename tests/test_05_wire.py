"""Lesson 5: the WebSocket protocol by hand. These tests are the lesson's specification.

`codec` calls the functions of wire.py. `client_frame` and `server_frame` return the bytes of a
frame, valid or invalid, as each side sends it. In the last task, server.py runs as a program.
"""

import base64
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
from websockets.frames import Frame as TheirFrame
from websockets.frames import Opcode
from websockets.protocol import Side
from websockets.utils import accept_key

from course.grading import Stage, echo_cases, expect, task
from course.grading.codec import LIMIT, Codec, Request, request
from course.grading.expect import Unmet
from course.grading.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    CONTROL,
    DATA,
    OPCODES,
    OVERLONG,
    PING,
    PONG,
    TEXT,
    UNKNOWN,
    Frame,
    client_frame,
    closing,
    fragments,
    masked,
    pieces,
    server_frame,
)
from course.grading.fuzz import CLIENT_BYTES, FRAGMENT_LISTS, STREAMS, agreed, for_all
from course.grading.raw import Raw
from course.grading.sockets import Socket
from course.grading.transcript import Wire

LENGTHS = (0, 1, 125, 126, 127, 255, 256, 65535, 65536, 70000)


@pytest.fixture
def codec(stage) -> Codec:
    """The learner's wire.py, in a process of its own."""
    return Codec(stage, Path(__file__).parent / "probes" / "05_wire.py")


# accept


@task("accept", "The server computes Sec-WebSocket-Accept", points=1)
def test_the_key_of_the_rfc_gives_the_value_of_the_rfc(codec):
    codec.accept_key("dGhlIHNhbXBsZSBub25jZQ==").gives("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")


@task("accept")
def test_any_key_gives_the_value_that_clients_expect(stage, codec):
    for key in keys_with_every_sign(stage):
        codec.accept_key(key).gives(accept_key(key))


# request

VALID_HANDSHAKES = [  # Each line replaces the headers of its name.
    [],
    ["Upgrade: WebSocket"],
    ["Upgrade: h2c, websocket"],
    ["Upgrade: websocket, h2c"],
    ["Upgrade: h2c", "Upgrade: websocket"],
    ["Upgrade: websocket", "Upgrade: h2c"],
    ["Connection: upgrade"],
    ["Connection: keep-alive, Upgrade"],
    ["Connection: Upgrade, keep-alive"],
    ["Connection: keep-alive,upgrade"],
    ["Connection: keep-alive , Upgrade , TE"],
    ["Connection: keep-alive", "Connection: Upgrade"],
    ["Connection: Upgrade", "Connection: keep-alive"],
    ["Origin: http://localhost:5000"],
    ["Sec-WebSocket-Extensions: permessage-deflate"],
]
HEADERS = ("Host", "Upgrade", "Connection", "Sec-WebSocket-Key")
WITHOUT_UPGRADE = [
    ["Upgrade: h2c"],
    ["Upgrade: websockets"],
    ["Upgrade: a-websocket"],
    ["Upgrade: h2c", "Upgrade: web socket"],
    ["Connection: keep-alive"],
    ["Connection: no-upgrade"],
    ["Connection: upgrade-no"],
    ["Connection: keep-alive", "Connection: close"],
]
BAD_KEYS = [
    "",
    "dGhlIHNhbXBsZSBub25j",  # 15 bytes
    "dGhlIHNhbXBsZSBub25jZTE=",  # 17 bytes
    "a key of 24 characters!!",
    "dGhlIHNhbXBsZSBub25jZQ=",
    "!dGhlIHNhbXBsZSBub25jZQ==",
    "dGhlIHNh bXBsZSBub25jZQ==",
    "-_hlIHNhbXBsZSBub25jZQ==",
    "éGhlIHNhbXBsZSBub25jZQ==",
    "dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ==",
]


@task("request", "Only a valid handshake opens a WebSocket", points=1)
def test_a_valid_handshake_returns_its_key(stage, codec):
    for lines in VALID_HANDSHAKES:
        key = random_key(stage)

        codec.check_request(request(key, *lines)).gives(key)


@task("request")
def test_header_names_are_case_insensitive(stage, codec):
    for named in (str.lower, str.upper, str.swapcase):
        key = random_key(stage)

        codec.check_request(request(key, named=named)).gives(key)


@task("request")
def test_an_invalid_handshake_is_refused_with_400(stage, codec):
    for invalid in invalid_requests(random_key(stage)):
        codec.check_request(invalid).is_refused(400)


@task("request")
def test_a_request_without_a_version_is_refused_with_400(stage, codec):
    incomplete = request(random_key(stage), without="Sec-WebSocket-Version")

    codec.check_request(incomplete).is_refused(400)


@task("request")
def test_another_version_is_refused_with_426_and_the_supported_version(stage, codec):
    for version in ("8", "7", "14", "0", "013", "+13", "1_3", "13.0", "thirteen", "13, 8"):
        other = request(random_key(stage), f"Sec-WebSocket-Version: {version}")

        codec.check_request(other).is_refused(426, version="13")


@task("request")
def test_several_version_headers_are_refused_with_426(stage, codec):
    for versions in (("13", "8"), ("8", "13"), ("13", "13")):
        lines = [f"Sec-WebSocket-Version: {version}" for version in versions]

        codec.check_request(request(random_key(stage), *lines)).is_refused(426, version="13")


@task("request")
def test_400_takes_precedence_over_426(stage, codec):
    for invalid in invalid_requests(random_key(stage), "Sec-WebSocket-Version: 8"):
        codec.check_request(invalid).is_refused(400)


# encode


@task("encode", "Frames are encoded and masked", points=2)
def test_the_examples_of_the_rfc_are_encoded(codec):
    codec.encode(TEXT, b"Hello").gives(bytes.fromhex("81 05 48 65 6c 6c 6f"))
    codec.encode(TEXT, b"Hel", fin=False).gives(bytes.fromhex("01 03 48 65 6c"))
    codec.encode(CONTINUATION, b"lo").gives(bytes.fromhex("80 02 6c 6f"))
    codec.encode(PING, b"Hello").gives(bytes.fromhex("89 05 48 65 6c 6c 6f"))


@task("encode")
def test_a_payload_is_masked_byte_by_byte(stage, codec):
    for length in (*range(10), 300, 70000):
        payload, mask = stage.random.randbytes(length), stage.random.randbytes(4)

        codec.masked(payload, mask).gives(masked(payload, mask))
        codec.masked(masked(payload, mask), mask).gives(payload)


@task("encode")
def test_every_opcode_is_encoded_with_and_without_a_mask(stage, codec):
    for opcode in OPCODES:
        mask = stage.random.randbytes(4)

        codec.encode(opcode, b"Hello").gives(server_frame(opcode, b"Hello"))
        codec.encode(opcode, b"Hello", mask=mask).gives(client_frame(opcode, b"Hello", mask=mask))


@task("encode")
def test_every_length_takes_its_shortest_form(stage, codec):
    for length in LENGTHS:
        payload, mask = stage.random.randbytes(length), stage.random.randbytes(4)
        for fin in (True, False):
            masked_frame = client_frame(BINARY, payload, fin, mask=mask)

            codec.encode(BINARY, payload, fin).gives(server_frame(BINARY, payload, fin))
            codec.encode(BINARY, payload, fin, mask).gives(masked_frame)


@task("encode")
def test_a_mask_of_zeros_is_a_mask(codec):
    codec.encode(TEXT, b"Hello", mask=bytes(4)).gives(bytes.fromhex("8185 00000000 48656c6c6f"))


# decode


@task("decode", "Frames are decoded, however TCP splits them", points=2, needs="encode")
def test_the_examples_of_the_rfc_are_decoded(codec):
    hello, ping = bytes.fromhex("81 05 48 65 6c 6c 6f"), bytes.fromhex("89 05 48 65 6c 6c 6f")
    hel, lo = bytes.fromhex("01 03 48 65 6c"), bytes.fromhex("80 02 6c 6f")
    from_a_client = bytes.fromhex("81 85 37 fa 21 3d 7f 9f 4d 51 58")

    codec.decode(hello).gives(Frame(TEXT, b"Hello"))
    codec.decode(ping).gives(Frame(PING, b"Hello"))
    codec.decode(hel + lo).gives(Frame(TEXT, b"Hel", fin=False), Frame(CONTINUATION, b"lo"))
    codec.decode(from_a_client, client=True).gives(Frame(TEXT, b"Hello"))


@task("decode")
def test_every_length_is_decoded(stage, codec):
    for length in LENGTHS:
        payload, mask = stage.random.randbytes(length), stage.random.randbytes(4)
        unmasked = server_frame(BINARY, payload, fin=False)
        from_a_client = client_frame(BINARY, payload, mask=mask)

        codec.decode(*pieces(unmasked, 30000)).gives(Frame(BINARY, payload, fin=False))
        codec.decode(*pieces(from_a_client, 30000), client=True).gives(Frame(BINARY, payload))


@task("decode")
def test_frames_may_be_split_and_joined_anywhere(stage, codec):
    frames = [
        Frame(TEXT, b"one"),
        Frame(BINARY, stage.random.randbytes(300)),
        Frame(PING, b""),
        Frame(TEXT, b"two"),
    ]
    unmasked = b"".join(server_frame(*frame) for frame in frames)
    from_a_client = b"".join(
        client_frame(*frame, mask=stage.random.randbytes(4)) for frame in frames
    )

    for size in (1, 2, 3, 7, len(from_a_client)):
        codec.decode(*pieces(unmasked, size)).gives(*frames)
        codec.decode(*pieces(from_a_client, size), client=True).gives(*frames)


@task("decode")
def test_an_incomplete_frame_waits_for_its_rest(codec):
    first = client_frame(TEXT, b"first")
    for length in (5, 300, 70000):
        second = client_frame(BINARY, bytes(length))
        frames = [Frame(TEXT, b"first"), Frame(BINARY, bytes(length))]
        for size in range(1, min(len(second), 16)):
            start, rest = first + second[:size], second[size:]

            codec.decode(start, client=True).gives(frames[0])
            codec.decode(start, rest, client=True).gives(*frames)


@task("decode")
def test_a_head_is_complete_only_with_its_length_and_its_mask(codec):
    for length in (5, 300, 70000):
        unmasked, masked = (frame(BINARY, bytes(length)) for frame in (server_frame, client_frame))
        for data, client in ((unmasked, False), (masked, True)):
            for size in range(len(data) - length):
                codec.head(data[:size], client=client).gives(None)


@task("decode")
def test_a_mask_of_zeros_is_removed_like_any_other(codec):
    data = client_frame(TEXT, b"Hello", mask=bytes(4))

    codec.decode(data, client=True).gives(Frame(TEXT, b"Hello"))


@task("decode")
def test_frames_that_another_library_encodes_are_decoded(stage, codec):
    def check(case: tuple) -> None:
        frames, size = case
        theirs = [TheirFrame(Opcode(opcode), data, fin) for opcode, data, fin in frames]
        data = b"".join(frame.serialize(mask=False) for frame in theirs)

        codec.decode(*pieces(data, max(size, len(data) // 50))).gives(*frames)

    for_all(stage, STREAMS, check)


# check


@task("check", "Invalid frames are rejected with 1002 or 1009", points=2, needs="decode")
def test_reserved_bits_are_refused(codec):
    for opcode in OPCODES:
        for bits in range(1, 8):
            expect_refused(codec, 1002, opcode, reserved=bits)


@task("check")
def test_unknown_opcodes_are_refused(codec):
    for opcode in UNKNOWN:
        for fin in (True, False):
            expect_refused(codec, 1002, opcode, b"hi", fin)
            expect_refused(codec, 1002, opcode, b"", fin)


@task("check")
def test_a_length_that_is_not_in_its_shortest_form_is_refused(codec):
    for length, extended in OVERLONG:
        for opcode in DATA:
            expect_refused(codec, 1002, opcode, bytes(length), extended=extended)
    for opcode in CONTROL:
        expect_refused(codec, 1002, opcode, bytes(5), extended=2)


@task("check")
def test_a_payload_over_the_limit_is_refused_before_it_arrives(codec):
    for limit, length in ((10, 11), (125, 126), (1000, 1001), (LIMIT, LIMIT + 1), (LIMIT, 2**40)):
        for opcode, fin in ((BINARY, True), (TEXT, False), (CONTINUATION, False)):
            expect_refused(codec, 1009, opcode, fin=fin, length=length, limit=limit)


@task("check")
def test_a_payload_of_exactly_the_limit_is_accepted(codec):
    for limit in (10, 125, 126, 1000):
        for opcode in DATA:
            frame = Frame(opcode, bytes(limit))

            codec.decode(server_frame(*frame), limit=limit).gives(frame)
            codec.decode(client_frame(*frame), client=True, limit=limit).gives(frame)


@task("check")
def test_a_control_frame_over_125_bytes_is_refused(codec):
    for opcode in CONTROL:
        for length in (126, 127, 65536):
            expect_refused(codec, 1002, opcode, bytes(length))


@task("check")
def test_a_control_frame_without_fin_is_refused(codec):
    for opcode in CONTROL:
        expect_refused(codec, 1002, opcode, b"hi", fin=False)
        expect_refused(codec, 1002, opcode, b"", fin=False)


@task("check")
def test_a_control_frame_of_up_to_125_bytes_is_accepted(codec):
    for opcode in CONTROL:
        for length in (0, 2, 124, 125):
            frame = Frame(opcode, bytes(length))

            codec.decode(server_frame(*frame)).gives(frame)
            codec.decode(client_frame(*frame), client=True).gives(frame)


@task("check")
def test_a_client_must_mask_and_a_server_must_not(codec):
    for opcode in OPCODES:
        for payload in (b"", b"Hello"):
            codec.decode(server_frame(opcode, payload) + bytes(4), client=True).is_refused(1002)
            codec.decode(client_frame(opcode, payload)).is_refused(1002)
    for fragment in (server_frame(TEXT, b"a", fin=False), server_frame(BINARY, bytes(300))):
        codec.decode(fragment, client=True).is_refused(1002)


@task("check")
def test_the_frames_before_an_invalid_one_are_returned(codec):
    valid, invalid = client_frame(TEXT, b"valid"), client_frame(TEXT, b"invalid", reserved=4)

    outcome = codec.decode(valid + invalid + valid, client=True)

    outcome.is_refused(1002, Frame(TEXT, b"valid"))


# fragments


@task("fragments", "Fragments are joined into messages", points=2)
def test_a_frame_with_fin_is_a_message(codec):
    text, marked = "hü 🦦", "\ufeffa"
    frames = [Frame(TEXT, text.encode()), Frame(TEXT, marked.encode()), Frame(TEXT, b"")]

    codec.join(*frames, Frame(BINARY, b"\x00\xff")).gives(text, marked, "", b"\x00\xff")
    codec.join(Frame(BINARY, b""), Frame(TEXT, b"a")).gives(b"", "a")


@task("fragments")
def test_fragments_are_joined_in_order(stage, codec):
    first, second, third = (stage.text() for _ in range(3))

    codec.join(*fragments(TEXT, first, "", second, third)).gives(
        None, None, None, first + second + third
    )
    codec.join(*fragments(BINARY, b"\xf0\x9f", b"\xa6")).gives(None, b"\xf0\x9f\xa6")
    codec.join(*fragments(TEXT, "", first)).gives(None, first)


@task("fragments")
def test_a_message_may_follow_a_message_of_another_type(codec):
    text, data = fragments(TEXT, "a", "b"), fragments(BINARY, b"\xff", b"\xc3")

    codec.join(*text, *data, *text).gives(None, "ab", None, b"\xff\xc3", None, "ab")
    codec.join(*data, Frame(TEXT, b"c"), *text).gives(None, b"\xff\xc3", "c", None, "ab")


@task("fragments")
def test_control_frames_do_not_affect_the_message(codec):
    hel, lo = fragments(TEXT, "Hel", "lo")
    control = [Frame(PING, b"between"), Frame(PONG, b""), Frame(CLOSE, b"\x03\xe8")]

    codec.join(*control, hel, *control, lo).gives(*[None] * 7, "Hello")


@task("fragments")
def test_a_character_may_be_split_between_fragments(codec):
    otter = "🦦".encode()

    codec.join(*fragments(TEXT, *pieces(otter, 1))).gives(None, None, None, "🦦")
    codec.join(*fragments(TEXT, otter[:1], otter[1:3], otter[3:])).gives(None, None, "🦦")


@task("fragments")
def test_a_continuation_without_a_message_is_refused(codec):
    last, more = Frame(CONTINUATION, b"hi"), Frame(CONTINUATION, b"hi", fin=False)

    codec.join(last).is_refused(1002)
    codec.join(more).is_refused(1002)
    codec.join(Frame(PING, b""), last).is_refused(1002, None)
    codec.join(Frame(TEXT, b"done"), last).is_refused(1002, "done")
    codec.join(*fragments(TEXT, "do", "ne"), more).is_refused(1002, None, "done")


@task("fragments")
def test_a_message_that_starts_during_another_is_refused(codec):
    for first in (TEXT, BINARY):
        for second in (Frame(TEXT, b"b"), Frame(BINARY, b"b"), Frame(TEXT, b"", fin=False)):
            codec.join(Frame(first, b"a", fin=False), second).is_refused(1002, None)
            codec.join(Frame(first, b"", fin=False), second).is_refused(1002, None)


@task("fragments")
def test_text_that_is_not_utf_8_is_refused(codec):
    for data in ("c328", "eda080", "f4908080", "c0af", "c080", "ff", "61e282", "f0", "80"):
        codec.join(Frame(TEXT, bytes.fromhex(data))).is_refused(1007)


@task("fragments")
def test_invalid_text_is_refused_at_its_first_invalid_fragment(codec):
    codec.join(Frame(TEXT, b"\xff", fin=False)).is_refused(1007)
    codec.join(*fragments(TEXT, b"good", b"\xff", b"")).is_refused(1007, None)
    codec.join(*fragments(TEXT, b"\xc3", b"\xff", b"")).is_refused(1007, None)


@task("fragments")
def test_text_that_ends_inside_a_character_is_refused(codec):
    half, end = fragments(TEXT, b"\xf0\x9f", b"")

    codec.join(half, Frame(PING, b"\xa6\xa6"), end).is_refused(1007, None, None)
    codec.join(Frame(TEXT, b"a"), Frame(TEXT, b"\xc3"), Frame(TEXT, b"\xbc")).is_refused(1007, "a")


@task("fragments")
def test_a_message_over_the_limit_is_refused_at_the_frame_that_exceeds_it(codec):
    for opcode, start in ((BINARY, b"12345"), (TEXT, "1üü".encode())):
        first, ping = Frame(opcode, start, fin=False), Frame(PING, b"67")
        second, over = (
            Frame(CONTINUATION, b"67890", fin=False),
            Frame(CONTINUATION, b"1", fin=False),
        )

        codec.join(first, ping, second, over, limit=10).is_refused(1009, None, None, None)
        codec.join(Frame(opcode, b"12345678901", fin=False), limit=10).is_refused(1009)
        codec.join(Frame(opcode, b"12345678901"), limit=10).is_refused(1009)


@task("fragments")
def test_each_message_may_be_as_long_as_the_limit(codec):
    whole, parts = Frame(BINARY, b"1234567890"), fragments(TEXT, "1üü", "67890")

    codec.join(whole, *parts, limit=10).gives(b"1234567890", None, "1üü67890")
    codec.join(*parts, *parts, limit=10).gives(None, "1üü67890", None, "1üü67890")
    codec.join(whole, whole, limit=10).gives(b"1234567890", b"1234567890")


@task("fragments")
def test_fragments_are_read_as_two_libraries_read_them(stage, codec):
    def check(frames: list[Frame]) -> None:
        events, code = agreed(b"".join(server_frame(*frame) for frame in frames), Side.CLIENT)
        messages = [data for name, data in events if name in ("text", "binary")]

        outcome = codec.messages(*frames)

        outcome.is_refused(code, *messages) if code else outcome.gives(*messages)

    for_all(stage, FRAGMENT_LISTS, check, examples=60)


# close


@task("close", "Close codes and reasons are encoded and parsed", points=1)
def test_a_close_payload_is_the_code_and_then_the_reason(codec):
    for code, reason in ((1000, ""), (1001, "größer 🦦"), (3000, " a\n"), (4999, "a" * 123)):
        payload = closing(code, reason)

        codec.close_payload(code, reason).gives(payload)
        codec.parse_close(payload).gives((code, reason))


@task("close")
def test_an_empty_payload_is_read_as_1005(codec):
    codec.parse_close(b"").gives((1005, ""))


@task("close")
def test_a_single_byte_is_refused(codec):
    for byte in (b"\x03", b"\x00", b"\xff"):
        codec.parse_close(byte).is_refused(1002)


@task("close")
def test_only_codes_that_may_be_sent_are_encoded_and_accepted(codec):
    for function in ("close_payload", "parse_close"):
        codec.codes(function).gives((1000, 1003), (1007, 1014), (3000, 4999))


@task("close")
def test_other_codes_are_refused(codec):
    for code in (0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65535):
        codec.close_payload(code).is_a_value_error()
        codec.parse_close(closing(code)).is_refused(1002)
        codec.parse_close(closing(code, "why")).is_refused(1002)


@task("close")
def test_a_reason_is_utf_8(codec):
    for reason in (b"\xff", b"a\xf0\x9f", b"\xed\xa0\x80"):
        codec.parse_close(closing(1000, reason)).is_refused(1007)
    codec.parse_close(closing(1000, "\ufeffa")).gives((1000, "\ufeffa"))


@task("close")
def test_a_reason_of_more_than_123_bytes_is_refused(codec):
    codec.close_payload(1000, "ü" * 61).gives(closing(1000, "ü" * 61))
    codec.close_payload(1000, "ü" * 62).is_a_value_error()
    codec.close_payload(1000, "a" * 124).is_a_value_error()


# talk


@task(
    "talk",
    "Your server talks to any WebSocket client",
    points=2,
    needs=("accept", "request", "encode", "decode", "check", "fragments", "close"),
)
def test_a_ping_gets_a_pong_with_its_payload(codec):
    for payload in (b"Hello", b"", b"\x00\xff", b"a" * 125):
        codec.answer(PING, payload).gives(server_frame(PONG, payload))


@task("talk")
def test_a_close_gets_a_close_with_its_code(codec):
    for code in (1000, 1001, 3000, 4999):
        outcome = codec.answer(CLOSE, closing(code, "bye"))

        outcome.gives_one_of(*(server_frame(CLOSE, closing(code, end)) for end in ("", "bye")))
    codec.answer(CLOSE).gives(server_frame(CLOSE))


@task("talk")
def test_an_invalid_close_gets_no_reply(codec):
    codec.answer(CLOSE, b"\x03").is_refused(1002)
    codec.answer(CLOSE, closing(1005)).is_refused(1002)
    codec.answer(CLOSE, closing(1000, b"\xff")).is_refused(1007)


@task("talk")
def test_any_other_frame_gets_no_reply(codec):
    for opcode in (PONG, TEXT, BINARY, CONTINUATION):
        codec.answer(opcode, b"Hello").gives(b"")


@task("talk")
def test_bytes_are_read_as_two_libraries_read_them(stage, codec):
    def check(data: bytes) -> None:
        events, code = agreed(data, Side.SERVER)

        outcome = codec.receive(data)

        outcome.is_refused(code, *events) if code else outcome.gives(*events)

    for_all(stage, CLIENT_BYTES, check, examples=100)


@task("talk")
def test_the_websockets_library_can_talk_to_the_server(stage, echo):
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
def test_a_frame_that_arrives_with_the_handshake_is_not_lost(echo):
    with echo.open(client_frame(TEXT, b"early")) as ada:
        expect(bytes(ada.frame().data) == b"early", "the text 'early'", "another frame")


@task("talk")
def test_the_server_responds_to_a_handshake_with_a_status(stage, echo):
    key = random_key(stage)
    outdated = request(key, "Sec-WebSocket-Version: 8")
    for asked, status in ((request(key), "101"), (outdated, "426"), (request(""), "400")):
        with Raw(echo, "ada", echo.port) as ada:
            ada.request(asked.lines)

            line = ada.head()[0]

        expect(line.split(" ")[1] == status, status, line)


@task("talk")
@pytest.mark.parametrize("group", echo_cases.TABLE)
def test_the_server_does_what_the_table_says(echo, group):
    for name, frames, expected, code in echo_cases.TABLE[group]:
        data = b"".join([*frames, client_frame(CLOSE, closing(1000))])
        for piece in (0, 1) if len(data) <= echo_cases.SMALL else (0,):
            echo.stage.wire = Wire()
            with echo.open() as client:
                client.send(data, name, piece)

                for wanted in [*expected, code]:
                    echo_cases.expect_frame(client, name, wanted)

                client.expect_end()


# Helpers of these tests


class Echo:
    """The learner's server.py, running."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.program = stage, stage.run("server.py", "--port", 0)
        self.url = self.program.lines(1)[0]
        self.port = int(self.url.rpartition(":")[2])

    def unmet(self, expected: str, got: str, seconds: float) -> Unmet:
        """Return the exception to raise if nothing arrived."""
        return self.program.unmet(expected, got, seconds)

    def open(self, more: bytes = b"") -> Raw:
        """Return a TCP connection after its handshake. `more` is sent together with the request."""
        raw = Raw(self, "ada", self.port)
        raw.request(request(random_key(self.stage)).lines, "a handshake", more)
        status = raw.head()[0]
        expect(" 101 " in status, "101 Switching Protocols", status)
        return raw


@pytest.fixture
def echo(stage) -> Echo:
    """The learner's server.py, running."""
    return Echo(stage)


def random_key(stage: Stage) -> str:
    """Return a Sec-WebSocket-Key that is generated from the seed."""
    return base64.b64encode(stage.random.randbytes(16)).decode()


def keys_with_every_sign(stage: Stage, count: int = 5) -> list[str]:
    """Return keys whose Sec-WebSocket-Accept contains both + and /."""
    keys = iter(lambda: random_key(stage), None)
    return list(islice((key for key in keys if {"+", "/"} <= set(accept_key(key))), count))


def invalid_requests(key: str, *lines: str) -> Iterator[Request]:
    """Yield requests that break one rule of an opening handshake, with `lines` added to each."""
    yield from (request(key, *lines, method=method) for method in ("POST", "HEAD", "get"))
    yield from (request(key, *lines, version=version) for version in ("HTTP/1.0", "HTTP/0.9"))
    yield from (request(key, *lines, without=name) for name in HEADERS)
    yield from (request(key, *lines, *wrong) for wrong in WITHOUT_UPGRADE)
    yield from (request(wrong, *lines) for wrong in BAD_KEYS)
    yield request(key, *lines, f"Sec-WebSocket-Key: {key}", f"Sec-WebSocket-Key: {key}")


def expect_refused(
    codec: Codec, code: int, *frame: object, limit: int = LIMIT, **options: object
) -> None:
    """Expect a Violation for a frame, whichever side sends it."""
    codec.decode(server_frame(*frame, **options), limit=limit).is_refused(code)
    codec.decode(client_frame(*frame, **options), client=True, limit=limit).is_refused(code)
