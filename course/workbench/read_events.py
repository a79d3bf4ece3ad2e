"""Read a stream of server-sent events as it arrives (the HTML standard, section 9.2.6)."""

import codecs
import re

from course.workbench.transcript import Transcript

KEEP = 16384  # characters of an event that are kept to be shown
FIELDS = 100  # fields of an event that are listed
_LINE_END = re.compile("\r\n|\n|\r")


class Events:
    """Adds each event, comment or retry of a stream to the transcript.

    Each character is read once, and of an event that never ends only the beginning is kept.
    """

    def __init__(self, transcript: Transcript, link: int) -> None:
        self._transcript, self._link = transcript, link
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""  # a CR, until it is known whether a LF follows
        self._size = 0  # bytes on the wire that no entry counts yet
        self._begin()

    def _begin(self) -> None:
        self._took = 0  # bytes of this event's lines
        self._kept = self._left = 0  # characters
        self._pieces: list[str] = []  # of the line that has not ended
        self._empty = True  # whether that line has no character yet
        self._fields: list[list[str]] = []

    def feed(self, data: bytes, size: int) -> None:
        """Add bytes of the body, which took `size` bytes on the wire."""
        self._size += size
        text = self._held + self._decoder.decode(data)
        self._held = "\r" if text.endswith("\r") else ""
        text = text.removesuffix("\r")
        start = 0
        for end in _LINE_END.finditer(text):
            self._add(text[start : end.start()])
            self._took += len(end.group())
            self._end_line(last=end.end() == len(text) and not self._held)
            start = end.end()
        self._add(text[start:])

    def _add(self, piece: str) -> None:
        """Add to the line, as far as there is room."""
        if piece:
            self._empty = False
            self._took += len(piece.encode())
            kept = piece[: KEEP - self._kept] if len(self._fields) < FIELDS else ""
            self._kept += len(kept)
            self._left += len(piece) - len(kept)
            if kept:
                self._pieces.append(kept)

    def _end_line(self, last: bool) -> None:
        if self._empty:
            # All bytes that came with the event count as its own, also those of HTTP's chunks.
            self._tell(self._size if last else min(self._took, self._size))
            self._begin()
            return
        if self._pieces:
            self._fields.append(self._field("".join(self._pieces)))
        self._pieces, self._empty = [], True

    def _tell(self, size: int) -> None:
        self._size -= size
        data = "\n".join(value for name, value in self._fields if name == "data")
        about = dict(self._fields)
        if data:
            title = f"event {about.get('event', 'message')}"
            title += f", id {about['id']}" if "id" in about else ""
        else:
            title = "no data, only " + (", ".join(about) or "an empty line")
        fields = self._fields
        if self._left:
            fields = [*fields, ["not shown", f"{self._left:,} characters more"]]
        self._transcript.count(events=1)
        more = {"way": "down", "size": size, "fields": fields, "body": data, "link": self._link}
        self._transcript.say("event", title, **more)

    @staticmethod
    def _field(line: str) -> list[str]:
        name, colon, value = line.partition(":")
        if not name and colon:
            return ["comment", value.removeprefix(" ")]
        return [name, value.removeprefix(" ")]
