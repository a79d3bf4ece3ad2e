"""Frames of RFC 6455, section 5.2, as bytes: valid or invalid, as each side sends them."""

from typing import NamedTuple

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
DATA, CONTROL = (CONTINUATION, TEXT, BINARY), (CLOSE, PING, PONG)
OPCODES = DATA + CONTROL
UNKNOWN = (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)  # opcodes
NAMES = {0: "continuation", 1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong"}
MASK = bytes.fromhex("37fa213d")  # in the RFC's own example

# Lengths of payload and bytes of extended length, where the latter is longer than it has to be.
OVERLONG = ((0, 2), (1, 2), (125, 2), (0, 8), (125, 8), (126, 8), (65535, 8))
# Close codes at both ends of each range that may be sent, and next to them.
SENT_CODES = (1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 3999, 4000, 4999)
NEVER_SENT = (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)


class Frame(NamedTuple):
    """A frame, its payload unmasked."""

    opcode: int
    payload: bytes
    fin: bool = True


def server_frame(
    opcode: int,
    payload: bytes = b"",
    fin: bool = True,
    reserved: int = 0,
    extended: int | None = None,
    length: int | None = None,
    mask: bytes | None = None,
) -> bytes:
    """Return the bytes of a frame as a server sends it: without a mask.

    `extended` is the number of bytes of extended length (0, 2 or 8), the fewest unless given.
    `length` is the length that the head states, if it isn't that of the payload.
    """
    length = len(payload) if length is None else length
    if extended is None:
        extended = 0 if length < 126 else 2 if length < 2**16 else 8
    short = {0: length, 2: 126, 8: 127}[extended]
    head = bytes([fin << 7 | reserved << 4 | opcode, (mask is not None) << 7 | short])
    head += length.to_bytes(extended, "big") if extended else b""
    return head + (payload if mask is None else mask + masked(payload, mask))


def client_frame(*args: object, mask: bytes = MASK, **options: object) -> bytes:
    """Return the bytes of a frame as a client sends it: with a mask."""
    return server_frame(*args, **options, mask=mask)


def masked(payload: bytes, mask: bytes) -> bytes:
    """Return the payload, masked or unmasked by four bytes."""
    repeated = (mask * (len(payload) // 4 + 1))[: len(payload)]
    number = int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")
    return number.to_bytes(len(payload), "big")


def closing(code: int | None, reason: bytes | str = b"") -> bytes:
    """Return the payload of a close frame."""
    reason = reason.encode() if isinstance(reason, str) else reason
    return (b"" if code is None else code.to_bytes(2, "big")) + reason


def pieces(data: bytes, size: int) -> list[bytes]:
    """Return bytes in pieces, as TCP may deliver them."""
    return [data[start : start + size] for start in range(0, len(data), size)]


def fragments(opcode: int, *parts: str | bytes) -> list[Frame]:
    """Return a message as frames, one for each part."""
    data = [part.encode() if isinstance(part, str) else part for part in parts]
    opcodes = [opcode, *[CONTINUATION] * (len(data) - 1)]
    last = len(data) - 1
    return [Frame(opcodes[at], part, fin=at == last) for at, part in enumerate(data)]
