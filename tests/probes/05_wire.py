"""Ask the learner's wire.py from within its process: bytes come and go as hex."""

import linecache
import traceback
from pathlib import Path

import wire

RAISED: list = []  # what the learner's code said with its last Refusal or Violation, and where


def ask(function: str, *args: object) -> list:
    """Return what a function below returns, and the reason and the places of what was raised."""
    RAISED[:] = ["", []]
    return [globals()[function](*args), *RAISED]


def noted(error: Exception) -> Exception:
    """Remember the reason of an error, and where in the learner's wire.py it was raised."""
    places = [
        {"file": "wire.py", "line": line, "function": frame.f_code.co_name}
        for frame, line in traceback.walk_tb(error.__traceback__)
        if Path(frame.f_code.co_filename) == Path(wire.__file__)
    ]
    for place in places:
        place["source"] = linecache.getline(wire.__file__, place["line"]).strip()
    RAISED[:] = [str(error), places[-1:]]
    return error


def kind(value: object) -> str:
    """Name the type of what should have been a text."""
    return "None" if value is None else type(value).__name__


def as_hex(value: object) -> str:
    """Return bytes in hex, and say of anything else that it is none."""
    return bytes(value).hex() if isinstance(value, bytes | bytearray) else f"no bytes: {value!r}"


def binary(message: object) -> str:
    """Return a binary message in hex; anything but `bytes`, a bytearray too, is called none."""
    return message.hex() if type(message) is bytes else f"no bytes: {message!r}"


def accept_key(key: str) -> str | list:
    """Return the answer to a key, or the type of what is no text, in a list."""
    value = wire.accept_key(key)
    return str(value) if isinstance(value, str) else [kind(value)]


def request(method: str, version: str, headers: list) -> list:
    """Return the key of a request, or the refusal's status and version header."""
    try:
        key = wire.check_request(method, version, [tuple(pair) for pair in headers])
        return ["key", str(key)] if isinstance(key, str) else ["returned", kind(key)]
    except wire.Refusal as refusal:
        noted(refusal)
        names = {name.lower(): str(value) for name, value in refusal.headers.items()}
        return ["refused", refusal.status, names.get("sec-websocket-version", "")]


def encode(opcode: int, payload: str, fin: bool, mask: str) -> str:
    """Return the bytes of a frame. An empty mask is none."""
    key = bytes.fromhex(mask) if mask else None
    return as_hex(wire.encode(opcode, bytes.fromhex(payload), fin, key))


def masked(payload: str, mask: str) -> str:
    """Return a payload masked."""
    return as_hex(wire.masked(bytes.fromhex(payload), bytes.fromhex(mask)))


def decode(client: bool, chunks: list, limit: int) -> list:
    """Feed the chunks to one decoder; return its frames, and the code of its violation or 0."""
    decoder, frames = wire.Decoder(client=client, limit=limit), []
    try:
        for chunk in chunks:
            for frame in decoder.feed(bytes.fromhex(chunk)):
                frames.append([int(frame.opcode), as_hex(frame.payload), bool(frame.fin)])
    except wire.Violation as violation:
        return [frames, noted(violation).code]
    return [frames, 0]


def join(frames: list, limit: int) -> list:
    """Feed the frames to one Messages; return what each gave, and the code of its violation or 0.

    A text is a string, and a binary message a list with its bytes in hex.
    """
    messages, given = wire.Messages(limit), []
    try:
        for opcode, payload, fin in frames:
            message = messages.feed(wire.Frame(opcode, bytes.fromhex(payload), fin))
            given.append(message if message is None or type(message) is str else [binary(message)])
    except wire.Violation as violation:
        return [given, noted(violation).code]
    return [given, 0]


def close_payload(code: int, reason: str) -> str:
    """Return the payload of a close frame, or that it was refused."""
    try:
        return as_hex(wire.close_payload(code, reason))
    except ValueError:
        return "ValueError"


def parse_close(payload: str) -> list:
    """Return code and reason of a close frame, or the code of the violation."""
    try:
        parsed = wire.parse_close(bytes.fromhex(payload)) or ["nothing"]
        return [one if isinstance(one, int | str) else repr(one) for one in parsed]
    except wire.Violation as violation:
        return ["violation", noted(violation).code]


def answer(opcode: int, payload: str) -> list:
    """Return what is owed for a frame, or the code of the violation."""
    try:
        return ["owed", as_hex(wire.answer(wire.Frame(opcode, bytes.fromhex(payload))))]
    except wire.Violation as violation:
        return ["violation", noted(violation).code]


def receive(data: str, limit: int) -> list:
    """Return what a server makes of bytes: events up to a close, and a violation's code or 0."""
    decoder, messages, events = wire.Decoder(client=True, limit=limit), wire.Messages(limit), []
    try:
        for frame in decoder.feed(bytes.fromhex(data)):
            message = messages.feed(frame)
            if frame.opcode == wire.CLOSE:
                events.append(["close", *wire.parse_close(frame.payload)])
                break
            if frame.opcode in (wire.PING, wire.PONG):
                name = "ping" if frame.opcode == wire.PING else "pong"
                events.append([name, as_hex(frame.payload)])
            elif isinstance(message, str):
                events.append(["text", message])
            elif message is not None:
                events.append(["binary", as_hex(message)])
    except wire.Violation as violation:
        return [events, noted(violation).code]
    return [events, 0]
