"""What you can send from the workbench: requests, messages, close codes, and broken frames."""

import asyncio
import base64
import contextlib
import os
import re
from collections.abc import Callable

from course.learner.refusal import Refusal
from course.workbench.proxy import CHUNK, Proxy
from course.workbench.read_frames import unmask

TEXT, BINARY, CLOSE, PING = 1, 2, 8, 9


def frame(
    opcode: int, payload: bytes, fin: bool = True, rsv: int = 0, masked: bool = True
) -> bytes:
    """Return a frame, right or wrong (RFC 6455, section 5.2)."""
    length = len(payload)
    first, mask_bit = fin << 7 | rsv << 4 | opcode, masked << 7
    if length < 126:
        head = bytes([first, mask_bit | length])
    elif length < 2**16:
        head = bytes([first, mask_bit | 126]) + length.to_bytes(2, "big")
    else:
        head = bytes([first, mask_bit | 127]) + length.to_bytes(8, "big")
    if not masked:
        return head + payload
    key = os.urandom(4)
    return head + key + unmask(payload, key)


# A function takes the text to send, and whether a client sends it and so masks its frames.
BROKEN: dict[str, tuple[str, Callable[[bytes, bool], bytes]]] = {
    "mask": (
        "wrong masking: unmasked from the page, masked from the app",
        lambda data, masked: frame(TEXT, data, masked=not masked),
    ),
    "opcode": ("reserved opcode 3", lambda data, masked: frame(3, data, masked=masked)),
    "rsv": (
        "a reserved bit without an extension",
        lambda data, masked: frame(TEXT, data, rsv=2, masked=masked),
    ),
    "utf8": (
        "text that isn't UTF-8",
        lambda data, masked: frame(TEXT, data + b"\xff", masked=masked),
    ),
    "continuation": (
        "a continuation without a first frame",
        lambda data, masked: frame(0, data, masked=masked),
    ),
    "ping": ("a ping of 126 bytes", lambda data, masked: frame(PING, b"p" * 126, masked=masked)),
    "piece": ("a fragmented ping", lambda data, masked: frame(PING, data, False, masked=masked)),
    "close": (
        "a close frame with one byte",
        lambda data, masked: frame(CLOSE, b"\x03", masked=masked),
    ),
    "http": ("HTTP between frames", lambda data, masked: b"HTTP/1.1 500 Oops\r\n\r\n"),
    "short": (
        "half a frame",
        lambda data, masked: frame(TEXT, data + b"0123456789", masked=masked)[:8],
    ),
}


def from_hex(text: str) -> bytes:
    """Return the bytes that hex digits spell. Raises Refusal."""
    try:
        return bytes.fromhex(re.sub(r"0x|[,:]", " ", text))
    except ValueError:
        raise Refusal("Write bytes as pairs of hex digits, such as 48 69 0a.") from None


def data_of(what: dict, masked: bool) -> bytes:
    """Return the bytes that the page asks for. Raises Refusal if they can't be made."""
    kind, text = what.get("kind"), str(what.get("text", ""))
    if kind == "text":
        return frame(TEXT, _utf8(text), masked=masked)
    if kind == "bytes":
        return frame(BINARY, from_hex(text), masked=masked)
    if kind == "ping":
        return frame(PING, _utf8(text)[:125], masked=masked)
    if kind == "fragments":
        data = _utf8(text)
        half = len(data) // 2
        return frame(TEXT, data[:half], False, masked=masked) + frame(0, data[half:], masked=masked)
    if kind == "close":
        return frame(CLOSE, _close_payload(what.get("code"), text), masked=masked)
    if kind == "broken" and str(what.get("fault")) in BROKEN:
        return BROKEN[what["fault"]][1](_utf8(text), masked)
    if kind == "raw":
        return from_hex(text)
    raise Refusal(f"The workbench can't send {kind!r}.")


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _close_payload(code: object, reason: str) -> bytes:
    if code in (None, ""):
        return b""
    if not re.fullmatch("[0-9]{1,5}", str(code)) or int(str(code)) > 65535:
        raise Refusal("A close code is a whole number from 0 to 65535.")
    return int(str(code)).to_bytes(2, "big") + _utf8(reason)[:123]


class Sender:
    """Sends over open connections, or over new ones."""

    def __init__(self, proxy: Proxy, port: int) -> None:
        self._proxy, self._port = proxy, port
        self._ends: dict[int, asyncio.StreamWriter] = {}
        self._readers: set[asyncio.Task] = set()

    async def send(self, what: dict) -> str:
        """Send over an open connection. Raises Refusal."""
        number = what.get("link")
        link = self._proxy.links.get(number) if isinstance(number, int) else None
        if link is None:
            raise Refusal("This connection has ended. Choose another, or open one.")
        way = "down" if what.get("way") == "down" else "up"
        if what.get("kind") != "raw" and not link.conversation.frames:
            raise Refusal("This is an HTTP connection. Open a WebSocket to send a frame.")
        data = data_of(what, masked=way == "up")
        if not data:
            raise Refusal("There are no bytes to send. Write some, such as 81 02 48 69.")
        await link.inject(way, data)
        return f"Sent over connection {link.number}."

    async def request(self, what: dict) -> str:
        """Send a request over a new connection, as it is written."""
        text = str(what.get("text", "")).replace("\r\n", "\n")
        head, _, body = text.partition("\n\n")
        lines = [line for line in head.split("\n") if line.strip()]
        if not lines:
            raise Refusal("A request begins with a line such as GET /rooms/lobby/messages HTTP/1.1")
        names = {line.partition(":")[0].strip().lower() for line in lines[1:]}
        data = _utf8(body.removesuffix("\n"))
        if "host" not in names:
            lines.append(f"Host: 127.0.0.1:{self._port}")
        if data and not names & {"content-length", "transfer-encoding"}:
            lines.append(f"Content-Length: {len(data)}")
        return await self._over(_utf8("\r\n".join([*lines, "", ""])) + data, last=True)

    async def open(self, what: dict) -> str:
        """Open a WebSocket to a path of the app, and keep it open."""
        path, origin = str(what.get("path") or "/"), str(what.get("origin") or "")
        protocol = str(what.get("protocol") or "")
        if not re.fullmatch(r"/[!-~]*", path) or re.search(r"[\r\n]", origin + protocol):
            raise Refusal("A path begins with / and has no spaces: /echo?name=ada.")
        lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{self._port}", "Upgrade: websocket"]
        lines += ["Connection: Upgrade", "Sec-WebSocket-Version: 13"]
        lines += [f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}"]
        lines += [f"Origin: {origin}"] if origin else []
        lines += [f"Sec-WebSocket-Protocol: {protocol}"] if protocol else []
        return await self._over(_utf8("\r\n".join([*lines, "", ""])))

    async def _over(self, data: bytes, last: bool = False) -> str:
        link, (reader, writer) = await self._proxy.connect()
        self._ends[link.number] = writer
        task = asyncio.ensure_future(self._read(link.number, reader))
        self._readers.add(task)
        task.add_done_callback(self._readers.discard)
        writer.write(data)
        if last:  # Otherwise the app would wait for another request.
            writer.write_eof()
        await writer.drain()
        return f"Sent over the new connection {link.number}."

    async def _read(self, number: int, reader: asyncio.StreamReader) -> None:
        """Read until the app closes the connection, and close it, too. The proxy shows the data."""
        with contextlib.suppress(OSError):
            while await reader.read(CHUNK):
                pass
        self._ends.pop(number).close()
