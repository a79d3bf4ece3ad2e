"""The learner's wire.py of lesson 5, called in its own process, and what a test expects of it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from course.grading.expect import Unmet, equal, in_json, shown
from course.grading.frames import NAMES, Frame
from course.grading.raw import in_hex
from course.grading.stage import Stage
from course.grading.transcript import Wire

LIMIT = 2**20  # bytes, as in wire.py
FEW = 8  # bytes of an argument, which a card shows whole
HANDSHAKE = ("Host: 127.0.0.1:5005", "Upgrade: websocket", "Connection: Upgrade")


class Request(NamedTuple):
    """A request for a WebSocket. `words` says how it differs from the smallest valid one."""

    method: str
    version: str
    headers: list[tuple[str, str]]
    words: str

    @property
    def lines(self) -> list[str]:
        """The request as lines of HTTP."""
        return [f"{self.method} / {self.version}", *map(": ".join, self.headers)]


def request(
    key: str,
    *lines: str,
    without: str = "",
    method: str = "GET",
    version: str = "HTTP/1.1",
    named: Callable[[str], str] = str,
) -> Request:
    """Return an opening handshake, in which `lines` replace the headers of the same names.

    `named` changes each header's name.
    """
    valid = [*HANDSHAKE, f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13"]
    replaced = {line.partition(":")[0] for line in lines} | {without}
    kept = [line for line in valid if line.partition(":")[0] not in replaced]
    pairs = (line.partition(":") for line in [*kept, *lines])
    headers = [(named(name), value.strip()) for name, _, value in pairs]
    words = [f"without {without}"] if without else []
    words += [f"with {' and '.join(lines)}"] if lines else []
    words += [f"with names such as {headers[0][0]}"] if named is not str else []
    return Request(method, version, headers, ", ".join(["a handshake", *words]))


class Raised(NamedTuple):
    """A Refusal with its status and version header, a Violation with its code, or a ValueError."""

    kind: str
    code: int | None = None
    version: str = ""

    def __str__(self) -> str:
        also = f", Sec-WebSocket-Version: {self.version}" if self.version else ""
        return self.kind + ("" if self.code is None else f" {self.code}") + also


class Odd(NamedTuple):
    """A result of the wrong type."""

    words: str


class Outcome:
    """What a call of the learner's code returned, one after the other, and what it raised."""

    def __init__(self, answer: dict, in_words: Callable[[object], str]) -> None:
        self.given = [_revived(value) for value in answer["given"]]
        self.raised = Raised(*answer["raised"]) if answer["raised"] else None
        self._reason, self._where, self._in_words = answer["reason"], answer["where"], in_words

    def __str__(self) -> str:
        said = f" {in_json(self._reason, 80)}" if self._reason else ""
        return self._words(self.given, f"{self.raised}{said}" if self.raised else "")

    def _words(self, given: Sequence[object], raised: object) -> str:
        words = [
            value.words if isinstance(value, Odd) else self._in_words(value) for value in given
        ]
        return " | ".join([*words, str(raised)] if raised else words) or "nothing"

    def gives(self, *expected: object) -> None:
        """Expect these values, by exact type, and no exception."""
        self._expect(expected, None)

    def is_refused(self, code: int, *before: object, version: str | None = None) -> None:
        """Expect a Violation with this close code, or a Refusal with this HTTP status.

        `before` is what it gives first, and `version` the Sec-WebSocket-Version of a Refusal.
        """
        kind = "Violation" if code >= 1000 else "Refusal"
        if self.raised and version is None:
            self.raised = self.raised._replace(version="")
        self._expect(before, Raised(kind, code, version or ""))

    def is_a_value_error(self) -> None:
        """Expect a ValueError."""
        self._expect((), Raised("ValueError"))

    def gives_one_of(self, *expected: object) -> None:
        """Expect one of these values."""
        self.gives(*(self.given if self.given and self.given[0] in expected else expected[:1]))

    def _expect(self, given: Sequence[object], raised: Raised | None) -> None:
        expected = [tuple(one) if isinstance(one, Frame) else one for one in given]
        if not equal(self.given, expected) or self.raised != raised:
            raise Unmet(self._words(given, raised), str(self), where=self._where)


class Codec:
    """The functions of wire.py. A card shows the call that failed, with bytes in hex."""

    def __init__(self, stage: Stage, probes: Path) -> None:
        self._stage, self._probes, self._child = stage, probes, stage.child()

    def accept_key(self, key: str) -> Outcome:
        """Call `accept_key`."""
        return self._call(str, [f"accept_key({in_json(key)})"], "accept_key", key)

    def check_request(self, request: Request) -> Outcome:
        """Call `check_request`."""
        method, version, headers, words = request
        call = f"check_request({in_json(method)}, {in_json(version)}, {words})"
        return self._call(_key, [call], "check_request", method, version, headers)

    def encode(
        self, opcode: int, payload: bytes, fin: bool = True, mask: bytes | None = None
    ) -> Outcome:
        """Call `encode`."""
        key = f"bytes.fromhex({mask.hex(' ')!r})" if mask else "None"
        call = f"encode({_name(opcode)}, {_few(payload)}, fin={fin}, mask={key})"
        return self._call(_split, [call], "encode", opcode, payload, fin, mask)

    def masked(self, payload: bytes, mask: bytes) -> Outcome:
        """Call `masked`."""
        call = f"masked({_few(payload)}, {_few(mask)})"
        return self._call(_hex, [call], "masked", payload, mask)

    def decode(self, *chunks: bytes, client: bool = False, limit: int = LIMIT) -> Outcome:
        """Feed the chunks to one `Decoder`. It gives Frames."""
        fed = " | ".join(map(_few, chunks[:20])) + (" | …" if len(chunks) > 20 else "")
        call = f"Decoder(client={client}, limit={limit}).feed({fed})"
        return self._call(in_words, [call], "decode", chunks, client, limit)

    def head(self, data: bytes, client: bool) -> Outcome:
        """Call `head` of a `Decoder` with this buffer. It gives None if the head is incomplete."""
        call = f"Decoder(client={client}).head(), with {_few(data)} in buffer"
        return self._call(str, [call], "head", data, client)

    def join(self, *frames: Frame, limit: int = LIMIT) -> Outcome:
        """Feed the frames to one `Messages`. It gives what each call of `feed` returned."""
        calls = [f"Messages(limit={limit})", *(f"feed({in_words(frame)})" for frame in frames)]
        return self._call(_message, calls, "join", frames, limit)

    def messages(self, *frames: Frame) -> Outcome:
        """Feed the frames to one `Messages`. It gives the messages."""
        calls = [f"feed({in_words(frame)})" for frame in frames]
        return self._call(_message, calls, "messages", frames)

    def close_payload(self, code: int, reason: str = "") -> Outcome:
        """Call `close_payload`."""
        call = f"close_payload({code}, {in_json(reason, 60)})"
        return self._call(_hex, [call], "close_payload", code, reason)

    def parse_close(self, payload: bytes) -> Outcome:
        """Call `parse_close`."""
        return self._call(repr, [f"parse_close({_few(payload)})"], "parse_close", payload)

    def codes(self, function: str) -> Outcome:
        """Call `close_payload` or `parse_close` for the codes to 5999; give the ranges it takes."""
        call = f"{function}(…) for each code from 0 to 5999"
        return self._call(lambda codes: "{}-{}".format(*codes), [call], "codes", function, 6000)

    def answer(self, opcode: int, payload: bytes = b"") -> Outcome:
        """Call `answer`."""
        call = f"answer({in_words(Frame(opcode, payload))})"
        return self._call(_split, [call], "answer", opcode, payload)

    def receive(self, data: bytes) -> Outcome:
        """Decode what a client sends, and join it. It gives events, up to a close."""
        call = f"a client sends {in_hex(data)}"
        return self._call(_event, [call], "receive", data)

    def _call(
        self, in_words: Callable[[object], str], calls: list[str], function: str, *args: object
    ) -> Outcome:
        self._stage.wire = Wire()  # A card shows the call that failed, and none before it.
        for call in calls:
            self._stage.wire.sent("test", call)
        sent = list(map(_sent, args))
        outcome = Outcome(self._child.probe(self._probes, "ask", function, sent), in_words)
        self._stage.wire.received("test", str(outcome))
        return outcome


def in_words(frame: tuple[int, bytes, bool]) -> str:
    """Say what a frame is, its payload in hex."""
    opcode, payload, fin = frame
    data = payload.words if isinstance(payload, Odd) else _hex(payload) if payload else "(empty)"
    return f"{_name(opcode)} {data}{'' if fin else ', fin=False'}"


def _sent(value: object) -> object:
    """Return a value as JSON can hold it."""
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    return list(map(_sent, value)) if isinstance(value, list | tuple) else value


def _revived(value: object) -> object:
    """Return what the probes sent: the other way round, with each list as a tuple."""
    if isinstance(value, dict):
        return Odd(value["odd"]) if "odd" in value else bytes.fromhex(value["hex"])
    return tuple(map(_revived, value)) if isinstance(value, list) else value


def _name(opcode: int) -> str:
    return NAMES.get(opcode, hex(opcode))


def _few(data: bytes) -> str:
    if len(data) <= FEW:
        return data.hex(" ") or "(empty)"
    return f"{data[:FEW].hex(' ')} … {len(data):,} bytes"


def _key(key: object) -> str:
    return f"the key {key}" if isinstance(key, str) else repr(key)


def _hex(data: object) -> str:
    return in_hex(data) if isinstance(data, bytes) else repr(data)


def _split(data: object) -> str:
    """Return a frame's head and payload in hex."""
    if not isinstance(data, bytes) or len(data) < 2:
        return _hex(data)
    size = 2 + {126: 2, 127: 8}.get(data[1] & 0x7F, 0) + 4 * (data[1] >> 7)
    return f"{data[:size].hex(' ')} | {in_hex(data[size:])}"


def _message(message: str | bytes | None) -> str:
    if isinstance(message, bytes):
        return f"bytes {in_hex(message)}" if message else "bytes (empty)"
    return "None" if message is None else in_json(message, 60)


def _event(event: tuple) -> str:
    return " ".join(in_hex(word) if isinstance(word, bytes) else shown(word, 60) for word in event)
