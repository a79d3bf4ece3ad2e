"""The proxy between page and app: it forwards the bytes unchanged, and reads them."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from http import HTTPStatus

import h11

from course.workbench.app import App
from course.workbench.faults import Faults
from course.workbench.read_http import Conversation, Unreadable
from course.workbench.transcript import Transcript

HOST = "127.0.0.1"
CHUNK = 65536  # bytes to read at once, at most
LINGER = 2.0  # seconds for the page to close a connection that the app has closed
WAITING = 32  # chunks that may wait in one direction, before the proxy stops reading
CUT_OFF = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: closing sends a reset
WORKBENCH = "the workbench"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Own = Callable[
    [str], tuple[str, bytes] | None
]  # takes a path; returns a file of the workbench's, and its type


class Reply(Exception):
    """The proxy responds to a request itself, and doesn't forward it to the app."""

    def __init__(self, status: int, body: bytes, kind: str, headers: str = "") -> None:
        super().__init__(status)
        self.sentence = ""  # for the transcript
        head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: {kind}\r\n"
        head += f"Content-Length: {len(body)}\r\nConnection: close\r\n"
        head += f"Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n{headers}\r\n"
        self.data = head.encode() + body


def refusal(status: int, sentence: str) -> Reply:
    """Return a reply whose body is a sentence."""
    reply = Reply(
        status, f"{sentence}\n".encode("utf-8", "backslashreplace"), "text/plain; charset=utf-8"
    )
    reply.sentence = sentence
    return reply


def doorkeeper(port: int, own: Own) -> Callable[[h11.Request], None]:
    """Return a function that raises a Reply for requests that are not for the app.

    A page of another site can make a browser send requests here. The browser then says in their
    headers where the page is from, and by which name it reached this server.
    """
    hosts = {f"{name}:{port}" for name in (HOST, "localhost")}
    sockets = " ".join(sorted(f"ws://{host}" for host in hosts))
    policy = (
        "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; "
        f"img-src data:; connect-src 'self' {sockets}; base-uri 'none'; form-action 'none'; "
        f"frame-ancestors http://{HOST}:* http://localhost:*\r\n"
    )

    def door(request: h11.Request) -> None:
        headers = {name.decode(): value.decode("latin-1") for name, value in request.headers}
        if headers.get("host", "").lower() not in hosts:
            raise refusal(403, "The workbench accepts requests only for 127.0.0.1 and localhost.")
        origin = headers.get("origin")
        if origin is not None and origin.lower() not in {f"http://{host}" for host in hosts}:
            raise refusal(403, "The workbench refuses requests from pages of other origins.")
        site, mode = headers.get("sec-fetch-site", "none"), headers.get("sec-fetch-mode")
        if site not in ("none", "same-origin") and mode != "navigate":
            raise refusal(403, "The workbench refuses requests from pages of other origins.")
        found = own(request.target.decode("latin-1").partition("?")[0])
        if found:
            raise Reply(200, found[1], found[0], policy)

    return door


class Lane:
    """One direction of a connection: the bytes that wait to be forwarded."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._queue: asyncio.Queue = asyncio.Queue(WAITING)

    async def fill(self, reader: asyncio.StreamReader) -> None:
        """Read until the sender closes its side."""
        now = asyncio.get_running_loop().time
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(CHUNK):
                await self._queue.put((now() + self._faults.delay, data, ""))
        await self._queue.put((now() + self._faults.delay, b"", ""))

    async def inject(self, data: bytes, by: str) -> None:
        """Add bytes of the workbench's own."""
        await self._queue.put((0.0, data, by))

    async def drain(self):
        """Yield the bytes when they are due, and who added them, until the sender's end."""
        while True:
            due, data, by = await self._queue.get()
            await self._faults.wait(due)
            if not data:
                return
            if by:
                yield data, by
            else:
                async for piece in self._faults.slices(data):
                    yield piece, ""


class Link:
    """A connection from the page, and its counterpart to the app."""

    def __init__(self, proxy: "Proxy", number: int, client: Streams, guarded: bool) -> None:
        self.proxy, self.number = proxy, number
        self._client, self._app = client, None
        door = proxy.door if guarded else None
        self.conversation = Conversation(proxy.transcript, number, door)
        self.lanes = {"up": Lane(proxy.faults), "down": Lane(proxy.faults)}
        self._who = ""  # the side that closed first
        self._late: dict[str, list[bytes]] = {"up": [], "down": []}
        self._from = {"up": "", "down": ""}  # who added the last bytes
        self._tasks: list[asyncio.Task] = []

    def facts(self) -> dict:
        """Return what the page shows of the connection."""
        frames = bool(self.conversation.frames)
        path = self.conversation.path
        return {"link": self.number, "websocket": frames, "path": path}

    async def run(self) -> None:
        """Forward bytes until both sides have closed, or one has and the other doesn't follow."""
        up, down = (asyncio.ensure_future(way) for way in (self._upwards(), self._downwards()))
        filling = asyncio.ensure_future(self.lanes["up"].fill(self._client[0]))
        self._tasks += [up, down, filling]
        try:
            done, _ = await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            if self._app:
                await asyncio.wait({up, down}, timeout=None if up in done else LINGER)
        except Reply as reply:
            await self._answer(reply)
            # If bytes are left unread, TCP sends a reset, which may overtake the response.
            await asyncio.wait({filling}, timeout=LINGER)
        finally:
            self._close()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self.conversation.end(self._who or "The page")

    async def _answer(self, reply: Reply) -> None:
        if reply.sentence:
            what = {"link": self.number, "body": reply.sentence}
            self.proxy.transcript.say("note", "The workbench responded itself", **what)
        with contextlib.suppress(OSError):
            self._client[1].write(reply.data)
            await self._client[1].drain()
            self._client[1].write_eof()

    async def _upwards(self) -> None:
        async for data, by in self._frame_by_frame("up"):
            try:
                passed = self.conversation.up(data, by)
            except Unreadable as error:
                raise refusal(400, f"This isn't a valid HTTP/1.1 request: {error}.") from None
            await self._to_app(passed)
        self._ended("The page")
        if self._app:
            with contextlib.suppress(OSError):
                self._app[1].write_eof()

    async def _frame_by_frame(self, way: str):
        """Yield the bytes of one direction. The workbench's own wait for the end of a frame."""
        late = self._late[way]
        async for data, by in self.lanes[way].drain():
            if by and not self._from[way] and not self.conversation.between(way):
                late.append(data)
                continue
            self._from[way] = by
            yield data, by
            while late and self.conversation.between(way):
                self._from[way] = WORKBENCH
                yield late.pop(0), WORKBENCH

    async def _to_app(self, data: bytes) -> None:
        if not data:
            return
        if self._app is None:
            self._app = await self._reach_app()
            self._tasks.append(asyncio.ensure_future(self.lanes["down"].fill(self._app[0])))
        self.proxy.transcript.count(up=len(data))
        with contextlib.suppress(ConnectionError):
            self._app[1].write(data)
            await self._app[1].drain()

    async def _reach_app(self) -> Streams:
        app = self.proxy.app
        if not await app.ready():
            raise refusal(503, f"The lesson's app isn't running. {app.sentence}")
        try:
            return await asyncio.open_connection(HOST, app.port)
        except OSError as error:
            raise refusal(502, f"The lesson's app doesn't accept connections: {error}.") from None

    async def _downwards(self) -> None:
        async for data, by in self._frame_by_frame("down"):
            self.proxy.transcript.count(down=len(data))
            self._client[1].write(self.conversation.down(data, by))
            await self._client[1].drain()
            await self._to_app(self.conversation.released())
        self._ended("The app")
        with contextlib.suppress(OSError):
            self._client[1].write_eof()

    def _ended(self, who: str) -> None:
        self._who = self._who or who

    async def inject(self, way: str, data: bytes) -> None:
        """Send bytes of the workbench's own in one direction."""
        await self.lanes[way].inject(data, WORKBENCH)

    def cut(self) -> None:
        """Reset the connection on both sides, as a failing network does."""
        self._ended("The workbench")
        for streams in (self._client, self._app):
            if streams:
                sock = streams[1].get_extra_info("socket")
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, CUT_OFF)
                streams[1].transport.abort()
        self._stop()

    def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()

    def _close(self) -> None:
        self._stop()
        for streams in (self._client, self._app):
            if streams:
                streams[1].close()


class Proxy:
    """Accepts connections on a loopback port, and opens one to the app for each."""

    def __init__(self, app: App, transcript: Transcript, own: Own) -> None:
        self.app, self.transcript, self.faults = app, transcript, Faults()
        self._own = own
        self.links: dict[int, Link] = {}
        self._numbers = 0
        self._work: set[asyncio.Task] = set()

    async def start(self) -> int:
        """Listen, and return the port."""
        self._server = await asyncio.start_server(self._take, HOST, 0)
        port = self._server.sockets[0].getsockname()[1]
        self.door = doorkeeper(port, self._own)
        return port

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._serve(self._link((reader, writer), guarded=True))

    async def connect(self) -> tuple[Link, Streams]:
        """Open a connection of the workbench's own, which isn't checked. Return it and its end."""
        ours, theirs = socket.socketpair()
        end = await asyncio.open_connection(sock=ours)
        link = self._link(await asyncio.open_connection(sock=theirs), guarded=False)
        self._work.add(asyncio.ensure_future(self._serve(link)))
        return link, end

    def _link(self, client: Streams, guarded: bool) -> Link:
        self._numbers += 1
        link = self.links[self._numbers] = Link(self, self._numbers, client, guarded)
        return link

    async def _serve(self, link: Link) -> None:
        work = asyncio.current_task()
        self._work.add(work)
        try:
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await link.run()
        finally:
            self._work.discard(work)
            del self.links[link.number]
            self.transcript.touch()

    def cut(self) -> int:
        """Cut every connection, and return their number."""
        links = list(self.links.values())
        for link in links:
            link.cut()
        return len(links)

    async def close(self) -> None:
        """Stop accepting connections, and cut the open ones."""
        self._server.close()
        self.cut()
        if self._work:
            await asyncio.wait(self._work, timeout=2)
