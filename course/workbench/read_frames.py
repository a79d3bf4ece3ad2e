"""Read WebSocket frames as they are, right or wrong (RFC 6455, section 5).

A library that speaks the protocol stops at the first fault, which is what one wants to see here.
So the head is read by hand, and what is wrong with it is a note beside it.
"""

import codecs
from dataclasses import dataclass, field

from websockets.exceptions import PayloadTooBig, ProtocolError
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import CLOSE_CODE_EXPLANATIONS, Close, Frame, Opcode

from course.workbench.transcript import Transcript

NAMES = {0: "continuation", 1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong"}
MOST = 16 * 2**20  # bytes of a frame; a longer one is passed on without being read
KEEP = 16384  # bytes of it that are kept to be shown
TITLE = 200  # characters of a message that stand in its line


@dataclass
class Head:
    """What stands before a frame's payload."""

    fin: bool
    rsv: tuple[bool, bool, bool]
    opcode: int
    masked: bool
    length: int
    key: bytes
    size: int  # bytes of the head itself


@dataclass
class Message:
    """The message whose fragments are coming."""

    opcode: int
    data: bytes = b""
    frames: int = 0


@dataclass
class Reading:
    """What is known of one frame."""

    head: Head
    payload: bytes
    notes: list[str] = field(default_factory=list)


class Frames:
    """The frames of one direction of a connection."""

    def __init__(
        self, transcript: Transcript, link: int, way: str, inflate: PerMessageDeflate | None
    ) -> None:
        self._transcript, self._link, self._way, self._inflate = transcript, link, way, inflate
        self._deflated = inflate is not None
        self._buffer = bytearray()
        self._message: Message | None = None
        self._lost = ""  # why these bytes are no frames any more
        self.closed = 0  # the code of the close frame that went by; 1005 for one without

    @property
    def between(self) -> bool:
        """Whether nothing of a frame has come that is not whole."""
        return not self._buffer

    def feed(self, data: bytes, by: str = "") -> None:
        """Add bytes, and tell each frame that is whole."""
        self._buffer += data
        while not self._lost and self._buffer:
            if self._buffer[:5] == b"HTTP/":
                self._lost = "This is HTTP, in the middle of the frames. A client reports 1002."
                break
            head = read_head(self._buffer)
            if head is None:
                return
            if head.length > MOST:
                self._lost = f"A frame of {head.length:,} bytes is begun. It is not read."
                break
            if len(self._buffer) < head.size + head.length:
                return
            payload = bytes(self._buffer[head.size : head.size + head.length])
            del self._buffer[: head.size + head.length]
            self._tell(Reading(head, unmask(payload, head.key)), by)
        if self._lost and self._buffer:
            self._say_raw(self._lost)

    def end(self) -> None:
        """Tell what is left of a frame that never came whole."""
        if self._buffer:
            head = read_head(self._buffer)
            of = f" of {head.size + head.length:,}" if head else ""
            self._say_raw(f"A frame that was cut: {len(self._buffer):,}{of} bytes came.")

    def _say_raw(self, note: str) -> None:
        data = bytes(self._buffer)
        self._buffer.clear()
        more = {"way": self._way, "size": len(data), "link": self._link}
        more |= {"fields": [["note", note]], "body": shown(data[:KEEP])}
        self._transcript.say("raw", f"{len(data):,} bytes that are no frame", **more)

    def _tell(self, reading: Reading, by: str) -> None:
        head = reading.head
        reading.notes += faults(reading, self._way, self._deflated)
        self._open(reading)
        whole = self._joined(reading)
        if head.opcode == Opcode.CLOSE:
            self.closed = self.closed or close_code(reading.payload)
        fields = [["sent by", by]] if by else []
        fields += described(reading)
        fields += [["note", note] for note in reading.notes]
        body = readable(head.opcode, reading.payload)
        if whole and whole.frames > 1:
            fields.append(["message", f"whole now, of {whole.frames} frames"])
            body = readable(whole.opcode, whole.data)
        self._transcript.count(frames=1)
        size = head.size + head.length
        more = {"way": self._way, "size": size, "fields": fields, "body": body}
        self._transcript.say("frame", self._title(reading), link=self._link, **more)

    def _title(self, reading: Reading) -> str:
        head, payload = reading.head, reading.payload
        name = NAMES.get(head.opcode, f"opcode {head.opcode}")
        if head.opcode == Opcode.CLOSE:
            return f"close {close_words(payload)}"
        if head.opcode < 8 and not head.fin:
            name += ", with more to come" if head.opcode == 0 else ", first fragment"
        elif head.opcode == 0:
            name += ", the last"
        text = " ".join(shown(payload[: 4 * TITLE]).split())
        text = text[: TITLE - 1] + "…" if len(text) > TITLE or len(payload) > 4 * TITLE else text
        return f"{name}  {text}" if text else f"{name}, empty"

    def _open(self, reading: Reading) -> None:
        """Take the compression off the payload."""
        head = reading.head
        if not self._inflate or head.opcode not in (0, 1, 2):
            return
        frame = Frame(Opcode(head.opcode), reading.payload, head.fin, *head.rsv)
        try:
            reading.payload = bytes(self._inflate.decode(frame, max_size=MOST).data)
        except (ProtocolError, PayloadTooBig, AssertionError) as error:
            reading.notes.append(f"It could not be decompressed: {error}. From here on none can.")
            self._inflate = None

    def _joined(self, reading: Reading) -> Message | None:
        """Join fragments. Returns the message where this frame is its last."""
        head = reading.head
        if head.opcode >= 8:
            return None
        if head.opcode == 0 and self._message is None:
            reading.notes.append("A continuation, where no message was begun.")
            return None
        if head.opcode != 0:
            if self._message is not None:
                reading.notes.append("A new message, before the last fragment of the one before.")
            self._message = Message(head.opcode)
        self._message.data += reading.payload[: KEEP - len(self._message.data)]
        self._message.frames += 1
        if not head.fin:
            return None
        whole, self._message = self._message, None
        if whole.opcode == Opcode.TEXT and len(whole.data) < KEEP and not is_utf8(whole.data):
            reading.notes.append("A text that is not UTF-8. It is answered by close 1007.")
        return whole


def read_head(data: bytes) -> Head | None:
    """Return the head that the bytes begin with, or None where it is not whole yet."""
    if len(data) < 2:
        return None
    first, second = data[0], data[1]
    masked, length = bool(second & 0x80), second & 0x7F
    extra = {126: 2, 127: 8}.get(length, 0)
    size = 2 + extra + 4 * masked
    if len(data) < size:
        return None
    if extra:
        length = int.from_bytes(data[2 : 2 + extra], "big")
    key = bytes(data[size - 4 : size]) if masked else b""
    rsv = (bool(first & 0x40), bool(first & 0x20), bool(first & 0x10))
    return Head(bool(first & 0x80), rsv, first & 0x0F, masked, length, key, size)


def unmask(payload: bytes, key: bytes) -> bytes:
    """Return the payload without its mask, or with one: it is the same."""
    if not key or not payload:
        return payload
    # As two great numbers, which is much faster than byte by byte.
    repeated = (key * (len(payload) // 4 + 1))[: len(payload)]
    number = int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")
    return number.to_bytes(len(payload), "big")


def faults(reading: Reading, way: str, deflated: bool) -> list[str]:
    """Return what is wrong with a frame by itself."""
    head, found = reading.head, []
    if way == "up" and not head.masked:
        found.append("Not masked. A client's frames have to be: close 1002.")
    if way == "down" and head.masked:
        found.append("Masked. A server's frames never are: close 1002.")
    if head.opcode not in NAMES:
        found.append(f"Opcode {head.opcode} is reserved: close 1002.")
    if any(head.rsv[1:]) or (head.rsv[0] and not deflated):
        found.append("A reserved bit is set, and no extension was agreed on: close 1002.")
    if head.opcode >= 8 and not head.fin:
        found.append("A control frame cannot be a fragment: close 1002.")
    if head.opcode >= 8 and head.length > 125:
        found.append("A control frame carries at most 125 bytes: close 1002.")
    if head.opcode == Opcode.CLOSE and reading.payload:
        try:
            Close.parse(reading.payload).check()
        except (ProtocolError, UnicodeDecodeError) as error:
            found.append(f"{error}: close 1002.".capitalize())
    return found


def described(reading: Reading) -> list[list[str]]:
    """Return a frame's fields in the order in which they stand on the wire."""
    head = reading.head
    name = NAMES.get(head.opcode, "reserved")
    fields = [["fin", "1, the last of its message" if head.fin else "0, more to come"]]
    bits = "".join(str(int(bit)) for bit in head.rsv)
    fields.append(["rsv", bits + (", compressed" if head.rsv[0] and head.opcode < 8 else "")])
    fields.append(["opcode", f"{head.opcode:x}, {name}"])
    fields.append(["mask", f"1, key {head.key.hex(' ')}" if head.masked else "0"])
    fields.append(["length", f"{head.length:,} bytes, after a head of {head.size}"])
    if len(reading.payload) != head.length:
        fields.append(["unpacked", f"{len(reading.payload):,} bytes"])
    return fields


def close_code(payload: bytes) -> int:
    """Return the code of a close frame; 1005 is how one without a code is read."""
    return int.from_bytes(payload[:2], "big") if len(payload) >= 2 else 1005


def close_words(payload: bytes) -> str:
    """Return a close frame's code, its reason, and what the code means."""
    if len(payload) < 2:
        return "without a code"
    code = close_code(payload)
    reason = payload[2:].decode("utf-8", "replace")
    known = CLOSE_CODE_EXPLANATIONS.get(code, "private use" if code >= 4000 else "unknown")
    return f"{code} ({known})" + (f"  {reason}" if reason else "")


def readable(opcode: int, payload: bytes) -> str:
    """Return a payload as it is shown: text as text, bytes in hex."""
    if opcode == Opcode.CLOSE:
        return payload[2:].decode("utf-8", "replace")
    if opcode == Opcode.BINARY:
        return payload[:KEEP].hex(" ")
    return shown(payload[:KEEP])


def shown(data: bytes) -> str:
    """Return bytes as text if they are text, a character at the end may be cut; else in hex."""
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(data)
    except UnicodeDecodeError:
        return data.hex(" ")


def is_utf8(data: bytes) -> bool:
    """Whether the bytes are whole text."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
