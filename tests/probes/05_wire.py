"""Call the learner's wire.py in its own process. Bytes travel as {"hex": …}.

Each function below yields what the learner's code returns; `ask` adds what it raises.
"""

import linecache
import traceback
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import wire


def ask(function: str, args: list) -> dict:
    """Call a function below. Return what it yielded, and what was raised, why and where."""
    answer = {"given": [], "raised": None, "reason": "", "where": []}
    try:
        for value in globals()[function](*map(received, args)):
            answer["given"].append(sent(value))
    except (wire.Refusal, wire.Violation) as error:
        answer |= {"raised": raised(error), "reason": str(error), "where": place(error)}
    except ValueError as error:
        if function not in ("close_payload", "answer"):
            raise
        answer |= {"raised": ["ValueError"], "reason": str(error), "where": place(error)}
    return answer


def received(value: object) -> object:
    """Return an argument: bytes where they were sent as hex."""
    if isinstance(value, dict):
        return bytes.fromhex(value["hex"])
    return list(map(received, value)) if isinstance(value, list) else value


def sent(value: object) -> object:
    """Return a result as JSON can hold it; of a wrong type, what it is."""
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if isinstance(value, tuple | list):
        return list(map(sent, value))
    if value is None or isinstance(value, str | int):
        return value
    return {"odd": f"{type(value).__name__}: {value!r:.60}"}


def raised(error: Exception) -> list:
    """Return an exception's type and its code, with the version header of a Refusal."""
    if isinstance(error, wire.Violation):
        return ["Violation", sent(error.code)]
    headers = {name.lower(): str(value) for name, value in error.headers.items()}
    return ["Refusal", sent(error.status), headers.get("sec-websocket-version", "")]


def place(error: Exception) -> list[dict]:
    """Return the line of wire.py that raised an exception."""
    places = [
        (line, frame.f_code.co_name)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if Path(frame.f_code.co_filename) == Path(wire.__file__)
    ]
    return [
        {
            "file": "wire.py",
            "line": line,
            "function": function,
            "source": linecache.getline(wire.__file__, line).strip(),
        }
        for line, function in places[-1:]
    ]


def as_bytes(value: object) -> object:
    """Return bytes for a bytearray too, which is as good on its way to a socket."""
    return bytes(value) if isinstance(value, bytearray) else value


def accept_key(key: str) -> Iterator:
    """Yield the Sec-WebSocket-Accept."""
    yield wire.accept_key(key)


def check_request(method: str, version: str, headers: list) -> Iterator:
    """Yield the key."""
    yield wire.check_request(method, version, list(map(tuple, headers)))


def encode(opcode: int, payload: bytes, fin: bool, mask: bytes | None) -> Iterator:
    """Yield the bytes of a frame."""
    yield as_bytes(wire.encode(opcode, payload, fin, mask))


def masked(payload: bytes, mask: bytes) -> Iterator:
    """Yield the payload, masked."""
    yield as_bytes(wire.masked(payload, mask))


def decode(chunks: list, client: bool, limit: int) -> Iterator:
    """Yield each frame."""
    decoder = wire.Decoder(client=client, limit=limit)
    for chunk in chunks:
        for frame in decoder.feed(chunk):
            yield int(frame.opcode), as_bytes(frame.payload), bool(frame.fin)


def head(data: bytes, client: bool) -> Iterator:
    """Yield None if the buffer has no complete head."""
    decoder = wire.Decoder(client=client)
    decoder.buffer += data
    yield None if decoder.head() is None else "a Head"


def join(frames: list, limit: int) -> Iterator:
    """Yield what `Messages.feed` returns for each frame."""
    messages = wire.Messages(limit)
    for frame in frames:
        yield messages.feed(wire.Frame(*frame))


def messages(frames: list) -> Iterator:
    """Yield each message."""
    yield from (message for message in join(frames, wire.LIMIT) if message is not None)


def close_payload(code: int, reason: str) -> Iterator:
    """Yield the payload."""
    yield as_bytes(wire.close_payload(code, reason))


def parse_close(payload: bytes) -> Iterator:
    """Yield code and reason."""
    yield wire.parse_close(payload)


def codes(function: str, end: int) -> Iterator:
    """Yield each range of codes below `end` that a function takes, as its first and its last."""
    taken = [code for code in range(end) if takes(function, code)]
    starts = [code for before, code in pairwise([-2, *taken]) if code != before + 1]
    ends = [code for code, after in pairwise([*taken, 2**17]) if after != code + 1]
    yield from zip(starts, ends, strict=True)


def takes(function: str, code: int) -> bool:
    """Return whether a function accepts a code."""
    data = code.to_bytes(2, "big")
    try:
        return (
            wire.close_payload(code) == data
            if function == "close_payload"
            else tuple(wire.parse_close(data)) == (code, "")
        )
    except (wire.Violation, ValueError):
        return False


def answer(opcode: int, payload: bytes) -> Iterator:
    """Yield the reply."""
    yield as_bytes(wire.answer(wire.Frame(opcode, payload)))


def receive(data: bytes) -> Iterator:
    """Yield what a server makes of a client's bytes: an event each, up to a close."""
    decoder, messages = wire.Decoder(client=True), wire.Messages()
    for frame in decoder.feed(data):
        message = messages.feed(frame)
        if frame.opcode == wire.CLOSE:
            yield "close", *wire.parse_close(frame.payload)
            return
        if frame.opcode in (wire.PING, wire.PONG):
            yield "ping" if frame.opcode == wire.PING else "pong", as_bytes(frame.payload)
        elif message is not None:
            yield "text" if isinstance(message, str) else "binary", message
