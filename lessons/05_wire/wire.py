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
    # TODO(accept): Return the SHA-1 digest of `key` followed by `GUID`, in base64.
    ...
    # END(accept)


def check_request(method: str, version: str, headers: Headers) -> str:
    """Return the Sec-WebSocket-Key of an opening handshake (section 4.2.1).

    Raises Refusal with status 400, or with 426 and the header Sec-WebSocket-Version.
    """
    # TODO(request): Raise `Refusal` if a rule is broken; return the key.
    ...
    # END(request)


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


# Frames


def encode(opcode: int, payload: bytes, fin: bool = True, mask: bytes | None = None) -> bytes:
    """Return a frame (section 5.2). A client passes a mask of four bytes, a server passes None."""
    # TODO(encode): Return the head, the `mask` if there is one, and the payload.
    ...
    # END(encode)


def masked(payload: bytes, mask: bytes) -> bytes:
    """Mask a payload with four bytes. A second call unmasks the result (section 5.3)."""
    # TODO(encode-mask): XOR each byte of `payload` with a byte of `mask`, in turn.
    ...
    # END(encode-mask)


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
        # TODO(decode): Call `head` and `check`; return a frame once `buffer` holds it all.
        ...
        # END(decode)

    def head(self) -> Head | None:
        """Return the head at the start of the buffer, without removing it; None if incomplete."""
        # TODO(decode-head): Return a `Head`, or `None` if `buffer` doesn't hold all of it.
        ...
        # END(decode-head)

    def check(self, head: Head) -> None:
        """Raise Violation if a rule is broken: 1009 for a payload over the limit, else 1002."""
        # TODO(check): Reject reserved bits, unknown opcodes, overlong forms, long payloads.
        ...
        # END(check)
        # TODO(check-control): Reject a control frame over 125 bytes, or without `fin`.
        ...
        # END(check-control)
        # TODO(check-mask): Reject a client's frame without a mask, and a server's with one.
        ...
        # END(check-mask)


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
        # TODO(fragments): Return the message if `frame` completes it, otherwise `None`.
        ...
        # END(fragments)

    def check_text(self, part: bytes, last: bool) -> None:
        """Raise Violation as soon as a text can't be UTF-8 (section 8.1).

        `utf8` remembers a character that isn't complete yet. If this is the last part of the
        text, such a character is an error.
        """
        try:
            self.utf8.decode(part, last)
        except UnicodeDecodeError:
            raise Violation(1007, "a text message isn't valid UTF-8") from None


# Closing


def close_payload(code: int, reason: str = "") -> bytes:
    """Return the payload of a close frame (section 5.5.1).

    Raises ValueError for a code that must not be sent, and for a reason over 123 bytes.
    """
    # TODO(close): Return `code` in two bytes, then `reason`; raise if either isn't allowed.
    ...
    # END(close)


def parse_close(payload: bytes) -> tuple[int, str]:
    """Return the code and the reason in the payload of a close frame. Raises Violation."""
    # TODO(close-parse): Return code and reason; for an empty payload, `NO_CODE` and "".
    ...
    # END(close-parse)


def may_be_sent(code: int) -> bool:
    """Return whether a close frame may contain this code (section 7.4, and IANA's registry)."""
    # TODO(close-codes): Return whether `code` is in one of the three ranges.
    ...
    # END(close-codes)


def answer(frame: Frame) -> bytes:
    """Return the frame that a server must send in reply, or b"". Raises Violation."""
    # TODO(talk): Reply to a ping with a pong, and to a close with a close.
    ...
    # END(talk)
