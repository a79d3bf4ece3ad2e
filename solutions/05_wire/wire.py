"""What a WebSocket sends and accepts, by RFC 6455: handshake, frames, messages, close codes."""

import base64
import codecs
import hashlib
import struct
from collections.abc import Iterator
from typing import NamedTuple

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # of every WebSocket (section 1.3)
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
CONTROL = (CLOSE, PING, PONG)
DATA = (CONTINUATION, TEXT, BINARY)
NO_CODE = 1005  # what a close frame without a code is read as; it is never sent
LIMIT = 2**20  # bytes of a message, and so of each of its frames

Headers = list[tuple[str, str]]  # in the order they came; a name may come twice


class Refusal(Exception):
    """A request is no opening handshake. It is answered with this status and these headers."""

    def __init__(self, status: int, reason: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status, self.headers = status, headers or {}


class Violation(Exception):
    """A peer broke the rules. The connection is closed with this code (section 7.4.1)."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class Frame(NamedTuple):
    """A frame as a peer meant it, without its mask. `fin` says that it is a message's last."""

    opcode: int
    payload: bytes
    fin: bool = True


class Head(NamedTuple):
    """What stands before a frame's payload (section 5.2)."""

    fin: bool
    reserved: int  # the three reserved bits, as a number from 0 to 7
    opcode: int
    masked: bool
    length: int  # bytes of the payload
    size: int  # bytes of the head itself: 2 to 14, with the mask


def accept_key(key: str) -> str:
    """Return the Sec-WebSocket-Accept for a Sec-WebSocket-Key (section 4.2.2, step 5.4)."""
    # --8<-- [start:accept] Return the SHA-1 of `key` and `GUID` together, in base64.
    digest = hashlib.sha1((key + GUID).encode()).digest()
    return base64.b64encode(digest).decode()
    # --8<-- [end:accept]


def check_request(method: str, version: str, headers: Headers) -> str:
    """Return the key of an opening handshake (section 4.2.1), such as GET, HTTP/1.1, its headers.

    Raises Refusal with 400, or with 426 and the header Sec-WebSocket-Version.
    """
    # --8<-- [start:request] Raise a `Refusal` for what is no handshake; return its key.
    keys = values(headers, "Sec-WebSocket-Key")
    versions = values(headers, "Sec-WebSocket-Version")
    needed = {
        "the method GET": method == "GET",
        "HTTP/1.1": "HTTP/1.1" <= version < "HTTP/2",
        "a Host": len(values(headers, "Host")) == 1,
        "Upgrade: websocket": "websocket" in tokens(headers, "Upgrade"),
        "Connection: Upgrade": "upgrade" in tokens(headers, "Connection"),
        "a Sec-WebSocket-Key of 16 bytes": len(keys) == 1 and is_key(keys[0]),
        "a Sec-WebSocket-Version": len(versions) == 1,
    }
    for what, met in needed.items():
        if not met:
            raise Refusal(400, f"A WebSocket begins with {what}.")
    if versions != ["13"]:
        raise Refusal(426, "Only version 13 is spoken.", {"Sec-WebSocket-Version": "13"})
    return keys[0]
    # --8<-- [end:request]


# --8<-- [start:request-values] Write `values`, `tokens` and `is_key`, or what else you call above.
def values(headers: Headers, name: str) -> list[str]:
    """Return each value that a header has. Its name is written in any case."""
    return [value.strip() for other, value in headers if other.lower() == name.lower()]


def tokens(headers: Headers, name: str) -> list[str]:
    """Return what stands in a header that is a list, in lower case."""
    listed = ",".join(values(headers, name)).split(",")
    return [token.strip().lower() for token in listed]


def is_key(key: str) -> bool:
    """Whether a key is 16 bytes in base64."""
    try:
        # Without `validate`, characters that are not of base64 would be passed over.
        return len(base64.b64decode(key, validate=True)) == 16
    except ValueError:
        return False


# --8<-- [end:request-values]


def encode(opcode: int, payload: bytes, fin: bool = True, mask: bytes | None = None) -> bytes:
    """Return a frame (section 5.2). A client gives the four bytes of a mask, a server none."""
    # --8<-- [start:encode] Return the head, the `mask` if any, and the payload.
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
    """Return the payload masked by four bytes; masked again, it is as before (section 5.3)."""
    # --8<-- [start:mask] Combine each byte with one of `mask` by `^`, the four of them in turn.
    return bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))
    # --8<-- [end:mask]


class Decoder:
    """Takes bytes as TCP brings them, and gives frames.

    `client` says that a client sends them, so that every frame is masked; a server's never is.
    """

    def __init__(self, client: bool, limit: int = LIMIT) -> None:
        self.client, self.limit = client, limit
        self.buffer = bytearray()  # what has come, and belongs to no whole frame yet

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Add bytes, and yield each frame that is whole now.

        Raises Violation at the frame that breaks a rule, after those before it were given.
        """
        self.buffer += data
        while frame := self.frame():
            yield frame

    def frame(self) -> Frame | None:
        """Take the first frame from the buffer, or nothing while it is not whole."""
        # --8<-- [start:decode] Call `head` and `check`; take the frame once `buffer` has it whole.
        head = self.head()
        if head is None:
            return None
        # Now, since a payload that is too long must not be waited for.
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
        """Read the head at the start of the buffer, which stays there; None while it is cut."""
        # --8<-- [start:decode-head] Return a `Head`, or `None` while bytes of it are missing.
        if len(self.buffer) < 2:
            return None
        first, second = self.buffer[:2]
        masked, length = second >> 7 == 1, second & 0x7F
        more = {126: 2, 127: 8}.get(length, 0)
        size = 2 + more + 4 * masked
        if len(self.buffer) < size:
            return None
        if more:
            length = int.from_bytes(self.buffer[2 : 2 + more], "big")
        return Head(first >> 7 == 1, first >> 4 & 7, first & 0xF, masked, length, size)
        # --8<-- [end:decode-head]

    def check(self, head: Head) -> None:
        """Raise Violation where the head breaks a rule."""
        # --8<-- [start:decode-check] Refuse each head that no sender may send, and one too long.
        if head.reserved:
            raise Violation(1002, "a reserved bit is set, and no extension was agreed on")
        if head.opcode not in CONTROL + DATA:
            raise Violation(1002, f"the opcode {head.opcode:#x} is unknown")
        shortest = 0 if head.length < 126 else 2 if head.length < 2**16 else 8
        if head.size != 2 + shortest + 4 * head.masked:
            raise Violation(1002, "a length is not in its shortest form")
        if head.length > self.limit:
            raise Violation(1009, f"a frame is longer than {self.limit} bytes")
        # --8<-- [end:decode-check]
        # --8<-- [start:mask-check] Refuse a frame of a client without a mask, of a server with one.
        if head.masked != self.client:
            raise Violation(1002, "a client masks its frames, and a server does not")
        # --8<-- [end:mask-check]
        # --8<-- [start:control] Refuse a control frame that is long, or a fragment.
        if head.opcode in CONTROL and (head.length > 125 or not head.fin):
            raise Violation(1002, "a control frame is short and whole")
        # --8<-- [end:control]


class Messages:
    """Takes frames, and gives messages."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit = limit
        self.opcode: int | None = None  # of the message that has begun and has not ended
        self.data = bytearray()  # what of it has come
        self.utf8 = codecs.getincrementaldecoder("utf-8")()

    def feed(self, frame: Frame) -> str | bytes | None:
        """Return the message that this frame ends: text as str, binary as bytes; else None.

        Raises Violation. A control frame is no part of a message (section 5.4).
        """
        # --8<-- [start:fragments] Return the message when `frame` is the last of it.
        if frame.opcode in CONTROL:
            return None
        if (frame.opcode == CONTINUATION) != (self.opcode is not None):
            raise Violation(1002, "a message begins once, and is continued until it ends")
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

    def check_text(self, part: bytes, last: bool) -> None:
        """Raise Violation as soon as the parts of a text cannot be UTF-8 (section 8.1)."""
        # --8<-- [start:fragments-text] Give `part` to `self.utf8`, which may be in mid-character.
        try:
            self.utf8.decode(part, last)
        except UnicodeDecodeError:
            raise Violation(1007, "a text is not UTF-8") from None
        # --8<-- [end:fragments-text]


def close_payload(code: int, reason: str = "") -> bytes:
    """Return the payload of a close frame (section 5.5.1).

    Raises ValueError for a code that is never sent, and a reason of more than 123 bytes.
    """
    # --8<-- [start:close] Return two bytes of `code`, then `reason`; raise for what is not sent.
    data = reason.encode()
    if not may_be_sent(code):
        raise ValueError(f"The close code {code} is never sent.")
    if len(data) > 123:
        raise ValueError("A reason has at most 123 bytes.")
    return struct.pack("!H", code) + data
    # --8<-- [end:close]


def parse_close(payload: bytes) -> tuple[int, str]:
    """Return the code and the reason of a close frame. Raises Violation."""
    # --8<-- [start:close-parse] Undo `close_payload`; without a code it is `NO_CODE`.
    if not payload:
        return NO_CODE, ""
    code = int.from_bytes(payload[:2], "big")
    if len(payload) == 1 or not may_be_sent(code):
        raise Violation(1002, "a close code is one that may be sent")
    try:
        return code, payload[2:].decode()
    except UnicodeDecodeError:
        raise Violation(1007, "a reason is not UTF-8") from None
    # --8<-- [end:close-parse]


def may_be_sent(code: int) -> bool:
    """Whether a close frame may carry this code (section 7.4, and IANA's list since)."""
    # --8<-- [start:close-codes] Tell the codes that are sent from the others.
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999
    # --8<-- [end:close-codes]


def answer(frame: Frame) -> bytes:
    """Return the frame that a server owes for this one, or nothing. Raises Violation."""
    # --8<-- [start:talk] Answer a ping with its pong, and a close with a close.
    if frame.opcode == PING:
        return encode(PONG, frame.payload)
    if frame.opcode == CLOSE:
        code, _ = parse_close(frame.payload)
        return encode(CLOSE, b"" if code == NO_CODE else close_payload(code))
    return b""
    # --8<-- [end:talk]
