"""Read a stream of events as it comes (the HTML standard, section 9.2.5)."""

import codecs
import re

from course.workbench.transcript import Transcript

_BLOCK_END = re.compile("(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r(?!$))")
_LINE_END = re.compile("\r\n|\n|\r")


class Events:
    """Tells the transcript each event, comment or retry of a stream."""

    def __init__(self, transcript: Transcript, link: int) -> None:
        self._transcript, self._link = transcript, link
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._text, self._size = "", 0

    def feed(self, data: bytes, size: int) -> None:
        """Add bytes of the body, which took `size` bytes on the wire."""
        self._text += self._decoder.decode(data)
        self._size += size
        while match := _BLOCK_END.search(self._text):
            block, self._text = self._text[: match.end()], self._text[match.end() :]
            # What came with the block is counted with it, the chunk's own bytes too.
            self._tell(block, len(block.encode()) if self._text else self._size)

    def _tell(self, block: str, size: int) -> None:
        self._size -= size
        fields = [self._field(line) for line in _LINE_END.split(block) if line]
        data = "\n".join(value for name, value in fields if name == "data")
        about = dict(fields)
        if data:
            title = f"event {about.get('event', 'message')}"
            title += f", id {about['id']}" if "id" in about else ""
        else:
            title = "nothing but " + (", ".join(dict.fromkeys(about)) or "an empty line")
        self._transcript.count(events=1)
        more = {"way": "down", "size": size, "fields": fields, "body": data, "link": self._link}
        self._transcript.say("event", title, **more)

    @staticmethod
    def _field(line: str) -> list[str]:
        name, colon, value = line.partition(":")
        if not name and colon:
            return ["comment", value.removeprefix(" ")]
        return [name, value.removeprefix(" ")]
