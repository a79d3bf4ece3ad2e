"""Clients that read a room by one transport, and count every byte.

They use Sans-I/O libraries over plain streams, so that they count the bytes on the wire: all of
HTTP and WebSocket, without TCP and IP.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import datetime

import h11
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, Ping, RejectConnection, Request, TextMessage
from wsproto.extensions import PerMessageDeflate

CHUNK = 65536  # bytes

# The headers that a browser sends with each request. They are most of a poll.
BROWSER = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/142.0.0.0 Safari/537.36",
    "Accept": "*/*",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Accept-Language": "en-GB,en;q=0.9",
    "sec-ch-ua": '"Chromium";v="142", "Not_A Brand";v="99"',
    "sec-ch-ua-mobile": "?0",
    "sec-ch-ua-platform": '"Linux"',
    "Sec-Fetch-Dest": "empty",
    "Sec-Fetch-Mode": "cors",
    "Sec-Fetch-Site": "same-origin",
}


@dataclass
class Meter:
    """The cost of reading. It counts only while `running`."""

    running: bool = False
    requests: int = 0
    sent: int = 0  # bytes
    received: int = 0  # bytes
    ages: list[float] = field(default_factory=list)  # seconds, of each message at its arrival

    def count(self, requests: int = 0, sent: int = 0, received: int = 0) -> None:
        """Add to the counters."""
        if self.running:
            self.requests += requests
            self.sent += sent
            self.received += received

    def see(self, message: dict) -> None:
        """Note the age of a message at its arrival."""
        if self.running:
            age = time.time() - datetime.fromisoformat(message["sent_at"]).timestamp()
            self.ages.append(max(age, 0.0))


class Wire:
    """A TCP connection whose bytes are counted."""

    def __init__(self, port: int, meter: Meter) -> None:
        self.port, self.meter = port, meter

    async def __aenter__(self) -> "Wire":
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self.port)
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def send(self, data: bytes) -> None:
        """Send the data."""
        self.meter.count(sent=len(data))
        self._writer.write(data)
        await self._writer.drain()

    async def read(self) -> bytes:
        """Return the next bytes, or b"" at the end of the connection."""
        data = await self._reader.read(CHUNK)
        self.meter.count(received=len(data))
        return data


async def http(
    wire: Wire, method: str, target: str, headers: dict[str, str], body: bytes = b""
) -> AsyncIterator[h11.Event]:
    """Send a request, and yield the events of its response as they arrive."""
    connection = h11.Connection(h11.CLIENT)
    fields = {"Host": f"127.0.0.1:{wire.port}", **BROWSER, **headers}
    if body:
        fields["Content-Length"] = str(len(body))
    request = connection.send(h11.Request(method=method, target=target, headers=fields.items()))
    request += connection.send(h11.Data(body)) + connection.send(h11.EndOfMessage())
    wire.meter.count(requests=1)
    await wire.send(request)
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await wire.read())
            continue
        yield event
        if isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
            return


async def answer(
    port: int, meter: Meter, method: str, target: str, headers: dict[str, str], body: bytes = b""
) -> tuple[h11.Response, bytes]:
    """Return the response to a request, which uses its own connection."""
    head, parts = None, []
    async with Wire(port, meter) as wire:
        async for event in http(wire, method, target, headers, body):
            if isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                parts.append(bytes(event.data))
    if head is None:
        raise ConnectionError(f"{method} {target} got no response.")
    return head, b"".join(parts)


async def post(port: int, room: str, text: str) -> None:
    """Post a message without counting it."""
    body = json.dumps({"author": "ada", "text": text}).encode()
    headers = {"Content-Type": "application/json"}
    head, said = await answer(port, Meter(), "POST", f"/rooms/{room}/messages", headers, body)
    if head.status_code != 201:
        raise ConnectionError(f"A POST got {head.status_code}: {said[:200]!r}")


async def poll(port: int, room: str, meter: Meter, phase: float, interval: float) -> None:
    """Poll every `interval` seconds, as in lesson 2. `phase`, from 0 to 1, spreads the clients."""
    after, tag = 0, ""
    start = time.monotonic() + phase * interval
    while True:
        await asyncio.sleep(max(0.0, start - time.monotonic()))
        start += interval
        headers = {"If-None-Match": tag} if tag else {}
        target = f"/rooms/{room}/messages?after={after}&limit=200"
        head, body = await answer(port, meter, "GET", target, headers)
        if head.status_code == 200:
            after, tag = _take(body, meter, after), dict(head.headers).get(b"etag", b"").decode()


async def long_poll(port: int, room: str, meter: Meter, phase: float) -> None:
    """Send long polls, as in lesson 3."""
    after = 0
    while True:
        target = f"/rooms/{room}/messages?after={after}&limit=200&wait=25"
        head, body = await answer(port, meter, "GET", target, {})
        if head.status_code == 200:
            after = _take(body, meter, after)


def _take(body: bytes, meter: Meter, after: int) -> int:
    """Note the messages of a page, and return its cursor."""
    page = json.loads(body)
    for message in page["messages"]:
        meter.see(message)
    return page.get("next", after)


async def events(port: int, room: str, meter: Meter, phase: float) -> None:
    """Read a stream of server-sent events, as in lesson 4."""
    headers = {"Accept": "text/event-stream", "Cache-Control": "no-cache"}
    rest = b""
    async with Wire(port, meter) as wire:
        async for event in http(wire, "GET", f"/rooms/{room}/events", headers):
            if isinstance(event, h11.Data):
                *lines, rest = (rest + bytes(event.data)).split(b"\n")
                for line in lines:
                    if line.startswith(b"data:"):
                        meter.see(json.loads(line.removeprefix(b"data:")))


async def websocket(port: int, room: str, meter: Meter, phase: float) -> None:
    """Read from a WebSocket, as in lesson 8."""
    connection = WSConnection(ConnectionType.CLIENT)
    request = Request(
        host=f"127.0.0.1:{port}",
        target=f"/board/{room}?author=reader{phase:.3f}",
        subprotocols=["board.v1"],
        extensions=[PerMessageDeflate()],
        extra_headers=[(k.lower().encode(), v.encode()) for k, v in BROWSER.items()],
    )
    async with Wire(port, meter) as wire:
        meter.count(requests=1)
        await wire.send(connection.send(request))
        text = ""
        while data := await wire.read():
            connection.receive_data(data)
            for event in connection.events():
                if isinstance(event, RejectConnection):
                    raise ConnectionError(f"The WebSocket was refused: {event.status_code}")
                if isinstance(event, Ping):
                    await wire.send(connection.send(event.response()))
                elif isinstance(event, TextMessage):
                    text += event.data
                    if event.message_finished:
                        _listen(json.loads(text), meter)
                        text = ""
                elif isinstance(event, AcceptConnection) and event.subprotocol != "board.v1":
                    raise ConnectionError("The server doesn't support board.v1.")


def _listen(envelope: dict, meter: Meter) -> None:
    if envelope.get("type") == "message":
        meter.see(envelope["message"])


Reader = Callable[[int, str, Meter, float], "asyncio.Future"]
