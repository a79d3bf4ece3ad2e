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
    # TODO(accept): Return the SHA-1 of `key` and `GUID` together, in base64.
    ...
    # END(accept)


def check_request(method: str, version: str, headers: Headers) -> str:
    """Return the key of an opening handshake (section 4.2.1), such as GET, HTTP/1.1, its headers.

    Raises Refusal with 400, or with 426 and the header Sec-WebSocket-Version.
    """
    # TODO(request): Raise a `Refusal` for what is no handshake; return its key.
    ...
    # END(request)


# TODO(request-values): Write `values`, `tokens` and `is_key`, or what else you call above.
...
# END(request-values)


def encode(opcode: int, payload: bytes, fin: bool = True, mask: bytes | None = None) -> bytes:
    """Return a frame (section 5.2). A client gives the four bytes of a mask, a server none."""
    # TODO(encode): Return the head, the `mask` if any, and the payload.
    ...
    # END(encode)


def masked(payload: bytes, mask: bytes) -> bytes:
    """Return the payload masked by four bytes; masked again, it is as before (section 5.3)."""
    # TODO(mask): Combine each byte with one of `mask` by `^`, the four of them in turn.
    ...
    # END(mask)


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
        # TODO(decode): Call `head` and `check`; take the frame once `buffer` has it whole.
        ...
        # END(decode)

    def head(self) -> Head | None:
        """Read the head at the start of the buffer, which stays there; None while it is cut."""
        # TODO(decode-head): Return a `Head`, or `None` while bytes of it are missing.
        ...
        # END(decode-head)

    def check(self, head: Head) -> None:
        """Raise Violation where the head breaks a rule."""
        # TODO(decode-check): Refuse each head that no sender may send, and one too long.
        ...
        # END(decode-check)
        # TODO(mask-check): Refuse a frame of a client without a mask, of a server with one.
        ...
        # END(mask-check)
        # TODO(control): Refuse a control frame that is long, or a fragment.
        ...
        # END(control)


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
        # TODO(fragments): Return the message when `frame` is the last of it.
        ...
        # END(fragments)

    def check_text(self, part: bytes, last: bool) -> None:
        """Raise Violation as soon as the parts of a text cannot be UTF-8 (section 8.1)."""
        # TODO(fragments-text): Give `part` to `self.utf8`, which may be in mid-character.
        ...
        # END(fragments-text)


def close_payload(code: int, reason: str = "") -> bytes:
    """Return the payload of a close frame (section 5.5.1).

    Raises ValueError for a code that is never sent, and a reason of more than 123 bytes.
    """
    # TODO(close): Return two bytes of `code`, then `reason`; raise for what is not sent.
    ...
    # END(close)


def parse_close(payload: bytes) -> tuple[int, str]:
    """Return the code and the reason of a close frame. Raises Violation."""
    # TODO(close-parse): Undo `close_payload`; without a code it is `NO_CODE`.
    ...
    # END(close-parse)


def may_be_sent(code: int) -> bool:
    """Whether a close frame may carry this code (section 7.4, and IANA's list since)."""
    # TODO(close-codes): Tell the codes that are sent from the others.
    ...
    # END(close-codes)


def answer(frame: Frame) -> bytes:
    """Return the frame that a server owes for this one, or nothing. Raises Violation."""
    # TODO(talk): Answer a ping with its pong, and a close with a close.
    ...
    # END(talk)
