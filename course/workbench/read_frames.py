"""Read WebSocket frames, valid or not (RFC 6455, section 5).

A library stops at the first invalid frame, which is the one to look at here. So the header is
parsed by hand, and each fault becomes a note.
"""

import codecs
from dataclasses import dataclass, field

from websockets.exceptions import PayloadTooBig, ProtocolError
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import CLOSE_CODE_EXPLANATIONS, Close, Frame, Opcode

from course.workbench.transcript import Transcript

NAMES = {0: "continuation", 1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong"}
MOST = 16 * 2**20  # bytes of a frame; a longer one is forwarded without being read
KEEP = 16384  # bytes of a frame that are kept to be shown
TITLE = 200  # characters of a message in its title


@dataclass
class Head:
    """A frame's header."""

    fin: bool
    rsv: tuple[bool, bool, bool]
    opcode: int
    masked: bool
    length: int
    key: bytes
    size: int  # bytes of the head itself


@dataclass
class Message:
    """A fragmented message that isn't complete yet."""

    opcode: int
    data: bytes = b""
    frames: int = 0


@dataclass
class Reading:
    """A frame, and notes on it."""

    head: Head
    payload: bytes
    notes: list[str] = field(default_factory=list)


class Raw:
    """Bytes that can't be parsed: one entry that grows, however many there are."""

    def __init__(self, transcript: Transcript, link: int, way: str, what: str) -> None:
        self._transcript, self._what = transcript, what
        self._about = {"link": link, "way": way}
        self._begin("")

    def _begin(self, note: str) -> None:
        self._n = self._size = self._told = 0
        self._body, self._note = b"", note

    def add(self, data: bytes, note: str = "") -> None:
        """Add bytes. Those with a note of their own begin a new entry."""
        if not data:
            return
        if note and note != self._note:
            self.tell()
            self._begin(note)
        self._size += len(data)
        self._body += data[: KEEP - len(self._body)]
        # At each doubling only, so that a long stream needs few reports.
        if self._size >= 2 * self._told:
            self.tell()

    def tell(self) -> None:
        """Bring the entry up to date."""
        if self._size > self._told:
            self._told = self._size
            fields = [["note", self._note]] if self._note else []
            title = f"{self._size:,} bytes that are not {self._what}"
            more = self._about | {"size": self._size, "fields": fields, "body": shown(self._body)}
            self._n = self._transcript.say("raw", title, n=self._n, **more)


class Frames:
    """The frames of one direction of a connection."""

    def __init__(
        self, transcript: Transcript, link: int, way: str, inflate: PerMessageDeflate | None
    ) -> None:
        self._transcript, self._link, self._way, self._inflate = transcript, link, way, inflate
        self._deflated = inflate is not None
        self._raw = Raw(transcript, link, way, "a frame")
        self._buffer = bytearray()
        self._message: Message | None = None
        self._lost = ""  # why no more frames can be read
        self.closed = 0  # the code of the close frame; 1005 if it had none

    @property
    def between(self) -> bool:
        """Whether the last frame is complete."""
        return not self._buffer

    def feed(self, data: bytes, by: str = "") -> None:
        """Add bytes, and report each complete frame."""
        self._buffer += data
        while not self._lost and self._buffer:
            if self._buffer[:5] == b"HTTP/":
                self._lost = "This is HTTP, between frames. A client reports 1002."
                break
            head = read_head(self._buffer)
            if head is None:
                return
            if head.length > MOST:
                self._lost = f"A frame of {head.length:,} bytes is too long to be read here."
                break
            if len(self._buffer) < head.size + head.length:
                return
            payload = bytes(self._buffer[head.size : head.size + head.length])
            del self._buffer[: head.size + head.length]
            self._tell(Reading(head, unmask(payload, head.key)), by)
        if self._lost:
            self._say_raw(self._lost)

    def end(self) -> None:
        """Report the start of a frame whose rest never arrived."""
        if self._buffer:
            head = read_head(self._buffer)
            of = f" of {head.size + head.length:,}" if head else ""
            self._say_raw(f"An incomplete frame: {len(self._buffer):,}{of} bytes arrived.")
        self._raw.tell()

    def _say_raw(self, note: str) -> None:
        data = bytes(self._buffer)
        self._buffer.clear()
        self._raw.add(data, note)

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
            fields.append(["message", f"complete, in {whole.frames} frames"])
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
            name += ", not the last" if head.opcode == 0 else ", first fragment"
        elif head.opcode == 0:
            name += ", the last"
        text = " ".join(shown(payload[: 4 * TITLE]).split())
        text = text[: TITLE - 1] + "…" if len(text) > TITLE or len(payload) > 4 * TITLE else text
        return f"{name}  {text}" if text else f"{name}, empty"

    def _open(self, reading: Reading) -> None:
        """Decompress the payload."""
        head = reading.head
        if not self._inflate or head.opcode not in (0, 1, 2):
            return
        frame = Frame(Opcode(head.opcode), reading.payload, head.fin, *head.rsv)
        try:
            reading.payload = bytes(self._inflate.decode(frame, max_size=MOST).data)
        except (ProtocolError, PayloadTooBig, AssertionError) as error:
            reading.notes.append(
                f"Decompression failed: {error}. Later frames can't be decompressed either."
            )
            self._inflate = None

    def _joined(self, reading: Reading) -> Message | None:
        """Join fragments. Returns the message if this frame is its last."""
        head = reading.head
        if head.opcode >= 8:
            return None
        if head.opcode == 0 and self._message is None:
            reading.notes.append("A continuation without a first frame: close 1002.")
            return None
        if head.opcode != 0:
            if self._message is not None:
                reading.notes.append(
                    "A new message before the last fragment of the previous one: close 1002."
                )
            self._message = Message(head.opcode)
        self._message.data += reading.payload[: KEEP - len(self._message.data)]
        self._message.frames += 1
        if not head.fin:
            return None
        whole, self._message = self._message, None
        if whole.opcode == Opcode.TEXT and len(whole.data) < KEEP and not is_utf8(whole.data):
            reading.notes.append("Text that isn't UTF-8: close 1007.")
        return whole


def read_head(data: bytes) -> Head | None:
    """Return the header at the start of the bytes, or None if it is incomplete."""
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
    """Mask or unmask the payload: both are the same operation."""
    if not key or not payload:
        return payload
    # As two large integers, which is much faster than byte by byte.
    repeated = (key * (len(payload) // 4 + 1))[: len(payload)]
    number = int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")
    return number.to_bytes(len(payload), "big")


def faults(reading: Reading, way: str, deflated: bool) -> list[str]:
    """Return the faults of a single frame."""
    head, found = reading.head, []
    if way == "up" and not head.masked:
        found.append("Not masked. A client must mask its frames: close 1002.")
    if way == "down" and head.masked:
        found.append("Masked. A server must not mask its frames: close 1002.")
    if head.opcode not in NAMES:
        found.append(f"Opcode {head.opcode} is reserved: close 1002.")
    if any(head.rsv[1:]) or (head.rsv[0] and not deflated):
        found.append("A reserved bit is set without an extension: close 1002.")
    if head.opcode >= 8 and not head.fin:
        found.append("A control frame must not be fragmented: close 1002.")
    if head.opcode >= 8 and head.length > 125:
        found.append("A control frame has a payload of at most 125 bytes: close 1002.")
    if head.opcode == Opcode.CLOSE and reading.payload:
        try:
            Close.parse(reading.payload).check()
        except (ProtocolError, UnicodeDecodeError) as error:
            found.append(f"{error}: close 1002.".capitalize())
    return found


def described(reading: Reading) -> list[list[str]]:
    """Return a frame's fields in their order on the wire."""
    head = reading.head
    name = NAMES.get(head.opcode, "reserved")
    fields = [["fin", "1, the last of its message" if head.fin else "0, more frames follow"]]
    bits = "".join(str(int(bit)) for bit in head.rsv)
    fields.append(["rsv", bits + (", compressed" if head.rsv[0] and head.opcode < 8 else "")])
    fields.append(["opcode", f"{head.opcode:x}, {name}"])
    fields.append(["mask", f"1, key {head.key.hex(' ')}" if head.masked else "0"])
    fields.append(["length", f"{head.length:,} bytes, after a header of {head.size}"])
    if len(reading.payload) != head.length:
        fields.append(["decompressed", f"{len(reading.payload):,} bytes"])
    return fields


def close_code(payload: bytes) -> int:
    """Return the code of a close frame, or 1005 if it has none."""
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
    """Return a payload as the page shows it: text as text, bytes in hex."""
    if opcode == Opcode.CLOSE:
        return payload[2:].decode("utf-8", "replace")
    if opcode == Opcode.BINARY:
        return payload[:KEEP].hex(" ")
    return shown(payload[:KEEP])


def shown(data: bytes) -> str:
    """Return bytes as text if they are UTF-8, apart from a cut last character; else in hex."""
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(data)
    except UnicodeDecodeError:
        return data.hex(" ")


def is_utf8(data: bytes) -> bool:
    """Whether the bytes are valid UTF-8."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
