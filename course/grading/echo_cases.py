"""What clients may send to the echo server of lesson 5, and what it must send back.

A case is its name, the frames that the client sends, the messages and pongs that the server sends
back, and the code of its close frame. The client sends a close 1000 at the end of every case.
"""

from websockets.frames import Frame, Opcode

from course.grading import expect
from course.grading.codec import LIMIT
from course.grading.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    NEVER_SENT,
    OVERLONG,
    PING,
    PONG,
    SENT_CODES,
    TEXT,
    UNKNOWN,
    closing,
)
from course.grading.frames import client_frame as frame
from course.grading.frames import server_frame as unmasked
from course.grading.raw import Raw, in_words

Case = tuple[str, list[bytes], list, int]
SMALL = 400  # bytes; a case of at most so many is sent byte by byte as well


def text(data: str | bytes, fin: bool = True) -> bytes:
    """Return a text frame, whole or the first fragment."""
    return frame(TEXT, data.encode() if isinstance(data, str) else data, fin)


def more(data: str | bytes, fin: bool = False) -> bytes:
    """Return a continuation."""
    return frame(CONTINUATION, data.encode() if isinstance(data, str) else data, fin)


def last(data: str | bytes) -> bytes:
    """Return the last fragment."""
    return more(data, fin=True)


def ping(payload: bytes = b"") -> bytes:
    """Return a ping."""
    return frame(PING, payload)


def pong(payload: bytes = b"") -> Frame:
    """Return a pong that is expected."""
    return Frame(Opcode.PONG, payload)


def close(code: int | None = None, reason: bytes = b"") -> bytes:
    """Return a close frame."""
    return frame(CLOSE, closing(code, reason))


def in_bytes(data: bytes) -> list[bytes]:
    """Return a text as fragments of one byte each."""
    first, *rest = [data[at : at + 1] for at in range(len(data))]
    return [text(first, False), *map(more, rest[:-1]), last(rest[-1])]


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
    (
        "fragments over the limit",
        [frame(BINARY, bytes(1000), False), more(bytes(LIMIT - 999))],
        [],
        1009,
    ),
    (
        "a continuation far over the limit",
        [text("a", False), frame(CONTINUATION, length=2**40)],
        [],
        1009,
    ),
    (
        "20 messages in one segment",
        [text(f"{n}") for n in range(20)],
        [f"{n}" for n in range(20)],
        1000,
    ),
    *(
        (
            f"{n} bytes, with {form} bytes of extended length",
            [frame(BINARY, bytes(n), extended=form)],
            [],
            1002,
        )
        for n, form in OVERLONG
    ),
]

MASKED: list[Case] = [
    *(
        (f"masked by {mask.hex()}", [frame(TEXT, b"Hello", mask=mask)], ["Hello"], 1000)
        for mask in (bytes(4), b"\xff" * 4, b"\x00\x00\x00\x01", b"\x80\x00\x00\x00", b"Hell")
    ),
    ("two different masks", [frame(TEXT, b"a", mask=b"abcd"), text("b")], ["a", "b"], 1000),
    ("an unmasked text", [unmasked(TEXT, b"Hello")], [], 1002),
    ("unmasked bytes", [unmasked(BINARY, b"Hello")], [], 1002),
    ("an unmasked empty text", [unmasked(TEXT)], [], 1002),
    ("an unmasked ping", [unmasked(PING)], [], 1002),
    ("an unmasked pong", [unmasked(PONG)], [], 1002),
    ("an unmasked close", [unmasked(CLOSE)], [], 1002),
    ("an unmasked second frame", [text("a"), unmasked(TEXT, b"b")], ["a"], 1002),
    ("an unmasked fragment", [text("a", False), unmasked(CONTINUATION, b"b")], [], 1002),
]

CONTROL: list[Case] = [
    ("a ping", [ping()], [pong()], 1000),
    ("a ping with a text", [ping(b"Hello")], [pong(b"Hello")], 1000),
    ("a ping with bytes that aren't UTF-8", [ping(b"\x00\xff\xfe")], [pong(b"\x00\xff\xfe")], 1000),
    ("a ping of 125 bytes", [ping(b"\xfe" * 125)], [pong(b"\xfe" * 125)], 1000),
    (
        "10 pings",
        [ping(bytes([n])) for n in range(10)],
        [pong(bytes([n])) for n in range(10)],
        1000,
    ),
    ("an unsolicited pong", [frame(PONG)], [], 1000),
    ("an unsolicited pong with a text", [frame(PONG, b"Hello")], [], 1000),
    ("a pong, then a ping", [frame(PONG, b"a"), ping(b"b")], [pong(b"b")], 1000),
    ("a ping between messages", [text("a"), ping(), text("b")], ["a", pong(), "b"], 1000),
    *(
        (f"{name} of {n} bytes", [frame(opcode, bytes(n))], [], 1002)
        for name, opcode in (("a ping", PING), ("a pong", PONG), ("a close", CLOSE))
        for n in (126, 127, 65536)
    ),
    *(
        (f"{name} without fin", [frame(opcode, fin=False), last("")], [], 1002)
        for name, opcode in (("a ping", PING), ("a pong", PONG), ("a close", CLOSE))
    ),
    ("a ping without fin during a text", [text("a", False), frame(PING, fin=False)], [], 1002),
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
    (
        "a reserved bit in the second frame",
        [text("a"), frame(BINARY, reserved=1), text("b")],
        ["a"],
        1002,
    ),
    (
        "a reserved bit in a fragment",
        [text("a", False), frame(CONTINUATION, b"b", reserved=2)],
        [],
        1002,
    ),
    *((f"the opcode {opcode:#x}", [frame(opcode)], [], 1002) for opcode in UNKNOWN),
    *(
        (f"the opcode {opcode:#x} after a text", [text("a"), frame(opcode, b"b")], ["a"], 1002)
        for opcode in UNKNOWN
    ),
]

FRAGMENTED: list[Case] = [
    ("two fragments", [text("a", False), last("b")], ["ab"], 1000),
    (
        "five fragments",
        [text("a", False), more("b"), more("c"), more("d"), last("e")],
        ["abcde"],
        1000,
    ),
    ("two fragments of bytes", [frame(BINARY, b"a", False), last("b")], [b"ab"], 1000),
    ("an empty first fragment", [text("", False), last("b")], ["b"], 1000),
    ("an empty last fragment", [text("a", False), last("")], ["a"], 1000),
    ("only empty fragments", [text("", False), more(""), last("")], [""], 1000),
    (
        "50 fragments",
        [text("0", False), *[more("1")] * 48, last("2")],
        ["0" + "1" * 48 + "2"],
        1000,
    ),
    (
        "two large fragments",
        [text("a" * 65536, False), last("b" * 65536)],
        ["a" * 65536 + "b" * 65536],
        1000,
    ),
    (
        "a ping between fragments",
        [text("a", False), ping(b"p"), last("b")],
        [pong(b"p"), "ab"],
        1000,
    ),
    (
        "pings between fragments",
        [text("a", False), ping(b"1"), more("b"), ping(b"2"), last("c")],
        [pong(b"1"), pong(b"2"), "abc"],
        1000,
    ),
    ("a pong between fragments", [text("a", False), frame(PONG, b"p"), last("b")], ["ab"], 1000),
    ("a close between fragments", [text("a", False), close(1000), last("b")], [], 1000),
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
    ("a last fragment without a message", [last("a")], [], 1002),
    ("a fragment without a message", [more("a")], [], 1002),
    ("an empty fragment without a message", [last("")], [], 1002),
    ("a last fragment after a whole text", [text("a"), last("b")], ["a"], 1002),
    ("a fragment after a whole text", [text("a"), more("b"), last("c")], ["a"], 1002),
    ("a fragment after the last one", [text("a", False), last("b"), last("c")], ["ab"], 1002),
    ("a text during a text", [text("a", False), text("b")], [], 1002),
    ("bytes during a text", [text("a", False), frame(BINARY, b"b")], [], 1002),
    ("a text during bytes", [frame(BINARY, b"a", False), text("b")], [], 1002),
    ("bytes during bytes", [frame(BINARY, b"a", False), frame(BINARY, b"b")], [], 1002),
    ("two first fragments", [text("a", False), text("b", False), last("c")], [], 1002),
    (
        "a text instead of the third fragment",
        [text("a", False), more("b"), text("c"), last("d")],
        [],
        1002,
    ),
]

VALID_TEXTS = [
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
INVALID_TEXTS = {
    "a continuation byte alone": "80",
    "the last continuation byte alone": "bf",
    "continuation bytes alone": "8081bf",
    "a continuation byte after a letter": "4880",
    "the first of two bytes, then a space": "c320",
    "the first of three bytes, then a space": "e020",
    "the first of four bytes, then a space": "f020",
    "two of three bytes, then a space": "e28220",
    "three of four bytes, then a space": "f09fa620",
    "the end after the first of two": "c3",
    "the end after the first of three": "e2",
    "the end after two of three": "e282",
    "the end after the first of four": "f0",
    "the end after two of four": "f09f",
    "the end after three of four": "f09fa6",
    "the invalid byte, c0": "c0",
    "the invalid byte, c1": "c1",
    "the invalid byte, f5": "f5",
    "the invalid byte, fe": "fe",
    "the invalid byte, ff": "ff",
    "an overlong slash of two bytes": "c0af",
    "an overlong slash of three bytes": "e080af",
    "an overlong slash of four bytes": "f08080af",
    "the last overlong form of two": "c1bf",
    "the last overlong form of three": "e09fbf",
    "the last overlong form of four": "f08fbfbf",
    "an overlong NUL of two bytes": "c080",
    "an overlong NUL of three bytes": "e08080",
    "an overlong NUL of four bytes": "f0808080",
    "the first high surrogate": "eda080",
    "the last high surrogate": "edafbf",
    "the first low surrogate": "edb080",
    "the last low surrogate": "edbfbf",
    "a pair of surrogates": "eda080edb080",
    "U+110000": "f4908080",
    "a code point far above the last": "f7bfbfbf",
    "a sequence of five bytes": "f888808080",
    "a sequence of six bytes": "fc8480808080",
    "Latin-1": "6772f6dfe8",
    "UTF-16": "ff fe 48 00",
    "a valid start, then a surrogate": "cebae1bdb9cf83cebceda080656469746564",
}

UTF_8: list[Case] = [
    *((f"the text {good!a}", [text(good)], [good], 1000) for good in VALID_TEXTS),
    *(
        (f"{good!a} in fragments of a byte", in_bytes(good.encode()), [good], 1000)
        for good in VALID_TEXTS
        if len(good.encode()) > 1
    ),
    *((bad, [text(bytes.fromhex(data))], [], 1007) for bad, data in INVALID_TEXTS.items()),
    *(
        (f"{bad}, in fragments", in_bytes(bytes.fromhex(data)), [], 1007)
        for bad, data in INVALID_TEXTS.items()
        if len(bytes.fromhex(data)) > 1
    ),
    ("an invalid second fragment", [text("a", False), more(b"\xff"), more("b"), ping()], [], 1007),
    (
        "a ping inside a character",
        [text(b"\xc3", False), ping(b"\xbc"), last(b"\xbc")],
        [pong(b"\xbc"), "ü"],
        1000,
    ),
    ("a valid text, then an invalid one", [text("a"), text(b"\xff")], ["a"], 1007),
    ("half a character in each message", [text(b"\xc3"), text(b"\xbc")], [], 1007),
    ("bytes that aren't UTF-8", [frame(BINARY, b"\xff\xc3")], [b"\xff\xc3"], 1000),
    (
        "bytes that aren't UTF-8, in fragments",
        [frame(BINARY, b"\xff", False), last(b"\xc3")],
        [b"\xff\xc3"],
        1000,
    ),
]

CLOSES: list[Case] = [
    ("a close without a code", [close()], [], 1005),
    ("a close with a reason", [close(1000, b"bye")], [], 1000),
    ("a reason of 123 bytes", [close(1000, b"a" * 123)], [], 1000),
    ("a reason with other letters than ASCII", [close(1000, "größer".encode())], [], 1000),
    ("a close with one byte", [frame(CLOSE, b"\x03")], [], 1002),
    ("a reason that isn't UTF-8", [close(1000, b"\xff")], [], 1007),
    ("a reason that ends inside a character", [close(1000, b"a\xf0\x9f")], [], 1007),
    ("a reason with a surrogate", [close(1000, b"\xed\xa0\x80")], [], 1007),
    ("a text, then a close", [text("a"), close(1001)], ["a"], 1001),
    ("a text after the close", [close(1001), text("a")], [], 1001),
    ("a ping after the close", [close(1001), ping()], [], 1001),
    ("another close", [close(1001), close(1002)], [], 1001),
    ("an invalid frame after the close", [close(1001), frame(0xF, reserved=7)], [], 1001),
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


def expect_frame(client: Raw, name: str, wanted: object) -> None:
    """Expect the next frame: a text, bytes, a pong, or a close with this code and any reason."""
    wished = as_frame(wanted)
    words = f"{in_words(wished)}, for {name}"

    got = client.frame(words)

    data = got.data[:2] if got.opcode is Opcode.CLOSE else got.data
    expect((got.opcode, got.fin, data) == (wished.opcode, True, wished.data), words, in_words(got))


def as_frame(wanted: object) -> Frame:
    """Return the frame that a value of a case stands for."""
    if isinstance(wanted, int):
        return Frame(Opcode.CLOSE, closing(None if wanted == 1005 else wanted))
    if isinstance(wanted, Frame):
        return wanted
    if isinstance(wanted, str):
        return Frame(Opcode.TEXT, wanted.encode())
    return Frame(Opcode.BINARY, wanted)
