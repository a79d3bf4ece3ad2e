"""The WebSocket protocol of RFC 6455: handshake, frames, messages and close codes."""

import base64
import codecs
import hashlib
import struct
from collections.abc import Iterator
from typing import NamedTuple

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # the same for every WebSocket (section 1.3)
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
CONTROL = (CLOSE, PING, PONG)
DATA = (CONTINUATION, TEXT, BINARY)
NO_CODE = 1005  # stands for a close frame without a code, and is never sent
LIMIT = 2**20  # bytes in a message, and so in a frame

Headers = list[tuple[str, str]]  # in the order received; a name may appear twice


class Refusal(Exception):
    """The request isn't a valid opening handshake. Respond with this status and these headers."""

    def __init__(self, status: int, reason: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status, self.headers = status, headers or {}


class Violation(Exception):
    """The peer broke the protocol. Close the connection with this code (section 7.4.1)."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class Frame(NamedTuple):
    """A frame with its payload unmasked. `fin` marks the last frame of a message."""

    opcode: int
    payload: bytes
    fin: bool = True


class Head(NamedTuple):
    """The part of a frame before its payload (section 5.2)."""

    fin: bool
    reserved: int  # the three reserved bits, as a number from 0 to 7
    opcode: int
    masked: bool
    length: int  # bytes of payload
    size: int  # bytes of the head, including the mask: 2 to 14

    @property
    def extended(self) -> int:
        """Bytes of extended length that the sender used: 0, 2 or 8."""
        return self.size - 2 - 4 * self.masked


# Handshake


def accept_key(key: str) -> str:
    """Return the Sec-WebSocket-Accept for a Sec-WebSocket-Key (section 4.2.2, step 5.4)."""
    # --8<-- [start:accept] Return the SHA-1 digest of `key` followed by `GUID`, in base64.
    digest = hashlib.sha1((key + GUID).encode()).digest()
    return base64.b64encode(digest).decode()
    # --8<-- [end:accept]


def check_request(method: str, version: str, headers: Headers) -> str:
    """Return the Sec-WebSocket-Key of an opening handshake (section 4.2.1).

    Raises Refusal with status 400, or with 426 and the header Sec-WebSocket-Version.
    """
    # --8<-- [start:request] Raise `Refusal` if a rule is broken; return the key.
    keys = values(headers, "Sec-WebSocket-Key")
    versions = values(headers, "Sec-WebSocket-Version")
    rules = {
        "the method GET": method == "GET",
        "HTTP/1.1": version == "HTTP/1.1",
        "a Host header": values(headers, "Host"),
        "Upgrade: websocket": "websocket" in tokens(headers, "Upgrade"),
        "Connection: Upgrade": "upgrade" in tokens(headers, "Connection"),
        "one Sec-WebSocket-Key of 16 bytes": len(keys) == 1 and is_key(keys[0]),
        "a Sec-WebSocket-Version": versions,
    }
    for needed, met in rules.items():
        if not met:
            raise Refusal(400, f"A WebSocket handshake needs {needed}.")
    if versions != ["13"]:
        raise Refusal(426, "Only version 13 is supported.", {"Sec-WebSocket-Version": "13"})
    return keys[0]
    # --8<-- [end:request]


# --8<-- [start:request-values]
def values(headers: Headers, name: str) -> list[str]:
    """Return every value of a header, whose name is case-insensitive."""
    return [value.strip() for other, value in headers if other.lower() == name.lower()]


def tokens(headers: Headers, name: str) -> list[str]:
    """Return the items of a header that holds a comma-separated list, in lower case."""
    items = ",".join(values(headers, name)).split(",")
    return [item.strip().lower() for item in items]


def is_key(key: str) -> bool:
    """Return whether a key is 16 bytes in base64."""
    try:
        # Without `validate`, b64decode skips characters that aren't base64.
        return len(base64.b64decode(key, validate=True)) == 16
    except ValueError:
        return False


# --8<-- [end:request-values]


# Frames


def encode(opcode: int, payload: bytes, fin: bool = True, mask: bytes | None = None) -> bytes:
    """Return a frame (section 5.2). A client passes a mask of four bytes, a server passes None."""
    # --8<-- [start:encode] Return the head, the `mask` if there is one, and the payload.
    length = len(payload)
    first, mask_bit = fin << 7 | opcode, (mask is not None) << 7
    if length < 126:
        head = struct.pack("!BB", first, mask_bit | length)
    elif length < 2**16:
        head = struct.pack("!BBH", first, mask_bit | 126, length)
    else:
        head = struct.pack("!BBQ", first, mask_bit | 127, length)
    return head + (payload if mask is None else mask + masked(payload, mask))
    # --8<-- [end:encode]


def masked(payload: bytes, mask: bytes) -> bytes:
    """Mask a payload with four bytes. A second call unmasks the result (section 5.3)."""
    # --8<-- [start:encode-mask] XOR each byte of `payload` with a byte of `mask`, in turn.
    return bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
    # --8<-- [end:encode-mask]


class Decoder:
    """Turns the bytes of a TCP stream into frames.

    `client` says whether a client sends the bytes. A client masks every frame, a server none.
    """

    def __init__(self, client: bool, limit: int = LIMIT) -> None:
        self.client, self.limit = client, limit
        self.buffer = bytearray()  # bytes received that aren't a complete frame yet

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Add received bytes, and yield each frame that is now complete.

        Raises Violation at the first invalid frame, after yielding those before it.
        """
        self.buffer += data
        while frame := self.frame():
            yield frame

    def frame(self) -> Frame | None:
        """Remove the first frame from the buffer and return it; None if it is incomplete."""
        # --8<-- [start:decode] Call `head` and `check`; return a frame once `buffer` holds it all.
        head = self.head()
        if head is None:
            return None
        # Check now: the server must not wait for a payload that is too long.
        self.check(head)
        end = head.size + head.length
        if len(self.buffer) < end:
            return None
        payload = bytes(self.buffer[head.size : end])
        if head.masked:
            payload = masked(payload, self.buffer[head.size - 4 : head.size])
        del self.buffer[:end]
        return Frame(head.opcode, payload, head.fin)
        # --8<-- [end:decode]

    def head(self) -> Head | None:
        """Return the head at the start of the buffer, without removing it; None if incomplete."""
        # --8<-- [start:decode-head] Return a `Head`, or `None` if `buffer` doesn't hold all of it.
        if len(self.buffer) < 2:
            return None
        first, second = self.buffer[:2]
        masked, length = second >> 7 == 1, second & 0x7F
        extended = {126: 2, 127: 8}.get(length, 0)
        size = 2 + extended + 4 * masked
        if len(self.buffer) < size:
            return None
        if extended:
            length = int.from_bytes(self.buffer[2 : 2 + extended], "big")
        return Head(first >> 7 == 1, first >> 4 & 7, first & 0xF, masked, length, size)
        # --8<-- [end:decode-head]

    def check(self, head: Head) -> None:
        """Raise Violation if a rule is broken: 1009 for a payload over the limit, else 1002."""
        # --8<-- [start:check] Reject reserved bits, unknown opcodes, overlong forms, long payloads.
        if head.reserved:
            raise Violation(1002, "a reserved bit is set, but no extension was negotiated")
        if head.opcode not in CONTROL + DATA:
            raise Violation(1002, f"opcode {head.opcode:#x} is unknown")
        shortest = 0 if head.length < 126 else 2 if head.length < 2**16 else 8
        if head.extended != shortest:
            raise Violation(1002, "the length isn't in its shortest form")
        if head.length > self.limit:
            raise Violation(1009, f"a frame is longer than {self.limit} bytes")
        # --8<-- [end:check]
        # --8<-- [start:check-control] Reject a control frame over 125 bytes, or without `fin`.
        if head.opcode in CONTROL and (head.length > 125 or not head.fin):
            raise Violation(1002, "a control frame is fragmented, or longer than 125 bytes")
        # --8<-- [end:check-control]
        # --8<-- [start:check-mask] Reject a client's frame without a mask, and a server's with one.
        if head.masked != self.client:
            raise Violation(1002, "a client must mask its frames, and a server must not")
        # --8<-- [end:check-mask]


# Messages


class Messages:
    """Joins the frames of one peer into messages."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit = limit
        self.opcode: int | None = None  # of the message in progress, if there is one
        self.data = bytearray()  # the payload of that message so far
        self.utf8 = codecs.getincrementaldecoder("utf-8")()

    def feed(self, frame: Frame) -> str | bytes | None:
        """Return the message that this frame completes, text as str, binary as bytes; else None.

        Raises Violation. A control frame isn't part of a message (section 5.4).
        """
        # --8<-- [start:fragments] Return the message if `frame` completes it, otherwise `None`.
        if frame.opcode in CONTROL:
            return None
        if (frame.opcode == CONTINUATION) != (self.opcode is not None):
            raise Violation(1002, "a message starts with text or binary, and then continues")
        if self.opcode is None:
            self.opcode, self.data = frame.opcode, bytearray()
        if len(self.data) + len(frame.payload) > self.limit:
            raise Violation(1009, f"a message is longer than {self.limit} bytes")
        self.data += frame.payload
        if self.opcode == TEXT:
            self.check_text(frame.payload, frame.fin)
        if not frame.fin:
            return None
        opcode, self.opcode = self.opcode, None
        return self.data.decode() if opcode == TEXT else bytes(self.data)
        # --8<-- [end:fragments]

    # --8<-- [start:fragments-text]
    def check_text(self, part: bytes, last: bool) -> None:
        """Raise Violation as soon as a text can't be UTF-8 (section 8.1).

        `utf8` remembers a character that isn't complete yet. If this is the last part of the
        text, such a character is an error.
        """
        try:
            self.utf8.decode(part, last)
        except UnicodeDecodeError:
            raise Violation(1007, "a text message isn't valid UTF-8") from None

    # --8<-- [end:fragments-text]


# Closing


def close_payload(code: int, reason: str = "") -> bytes:
    """Return the payload of a close frame (section 5.5.1).

    Raises ValueError for a code that must not be sent, and for a reason over 123 bytes.
    """
    # --8<-- [start:close] Return `code` in two bytes, then `reason`; raise if either isn't allowed.
    data = reason.encode()
    if not may_be_sent(code):
        raise ValueError(f"Close code {code} must not be sent.")
    if len(data) > 123:
        raise ValueError("A reason is at most 123 bytes.")
    return struct.pack("!H", code) + data
    # --8<-- [end:close]


def parse_close(payload: bytes) -> tuple[int, str]:
    """Return the code and the reason in the payload of a close frame. Raises Violation."""
    # --8<-- [start:close-parse] Return code and reason; for an empty payload, `NO_CODE` and "".
    if not payload:
        return NO_CODE, ""
    code = int.from_bytes(payload[:2], "big")
    if len(payload) == 1 or not may_be_sent(code):
        raise Violation(1002, "the close code isn't valid")
    try:
        return code, payload[2:].decode()
    except UnicodeDecodeError:
        raise Violation(1007, "the close reason isn't valid UTF-8") from None
    # --8<-- [end:close-parse]


def may_be_sent(code: int) -> bool:
    """Return whether a close frame may contain this code (section 7.4, and IANA's registry)."""
    # --8<-- [start:close-codes] Return whether `code` is in one of the three ranges.
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999
    # --8<-- [end:close-codes]


def answer(frame: Frame) -> bytes:
    """Return the frame that a server must send in reply, or b"". Raises Violation."""
    # --8<-- [start:talk] Reply to a ping with a pong, and to a close with a close.
    if frame.opcode == PING:
        return encode(PONG, frame.payload)
    if frame.opcode == CLOSE:
        code, _ = parse_close(frame.payload)
        return encode(CLOSE, b"" if code == NO_CODE else close_payload(code))
    return b""
    # --8<-- [end:talk]
