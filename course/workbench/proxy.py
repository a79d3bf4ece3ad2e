"""The proxy between page and app: it passes the bytes on as they are, and reads them."""

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
CHUNK = 65536  # bytes, the most that are read at once
LINGER = 2.0  # seconds for the page to go, when the app has
WAITING = 32  # chunks that may wait in one direction, before its sender has to
CUT_OFF = struct.pack("ii", 1, 0)  # SO_LINGER: on, for 0 s, so that closing sends a reset
WORKBENCH = "the workbench"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Own = Callable[[str], tuple[str, bytes] | None]  # by its path: a file of ours, and its type


class Reply(Exception):
    """The proxy answers a request by itself: the app does not hear of it."""

    def __init__(self, status: int, body: bytes, kind: str, headers: str = "") -> None:
        super().__init__(status)
        self.sentence = ""  # for the wire, where there is something to say
        head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: {kind}\r\n"
        head += f"Content-Length: {len(body)}\r\nConnection: close\r\n"
        head += f"Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n{headers}\r\n"
        self.data = head.encode() + body


def refusal(status: int, sentence: str) -> Reply:
    """Return an answer that is a sentence."""
    reply = Reply(status, f"{sentence}\n".encode(), "text/plain; charset=utf-8")
    reply.sentence = sentence
    return reply


def doorkeeper(port: int, own: Own) -> Callable[[h11.Request], None]:
    """Return what raises a Reply for requests that are not for the app.

    A page of another site can make a browser ask us. It cannot hide where it comes from, nor by
    which name it called.
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
            raise refusal(403, "The workbench answers to the name of this machine alone.")
        origin = headers.get("origin")
        if origin is not None and origin.lower() not in {f"http://{host}" for host in hosts}:
            raise refusal(403, "The workbench refuses what a page of another origin asks for.")
        site, mode = headers.get("sec-fetch-site", "none"), headers.get("sec-fetch-mode")
        if site not in ("none", "same-origin") and mode != "navigate":
            raise refusal(403, "The workbench refuses what a page of another origin asks for.")
        found = own(request.target.decode("latin-1").partition("?")[0])
        if found:
            raise Reply(200, found[1], found[0], policy)

    return door


class Lane:
    """One direction of a connection: what waits to be passed on."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._queue: asyncio.Queue = asyncio.Queue(WAITING)

    async def fill(self, reader: asyncio.StreamReader) -> None:
        """Read until the sender ends."""
        now = asyncio.get_running_loop().time
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(CHUNK):
                await self._queue.put((now() + self._faults.delay, data, ""))
        await self._queue.put((now() + self._faults.delay, b"", ""))

    async def inject(self, data: bytes, by: str) -> None:
        """Put bytes between those that come."""
        await self._queue.put((0.0, data, by))

    async def drain(self):
        """Yield the bytes when they may go on, each with who put them in; ends with the sender."""
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
    """One connection of the page's, and the one to the app that belongs to it."""

    def __init__(self, proxy: "Proxy", number: int, client: Streams, guarded: bool) -> None:
        self.proxy, self.number = proxy, number
        self._client, self._app = client, None
        door = proxy.door if guarded else None
        self.conversation = Conversation(proxy.transcript, number, door)
        self.lanes = {"up": Lane(proxy.faults), "down": Lane(proxy.faults)}
        self._who = ""  # ended it first
        self._late: dict[str, list[bytes]] = {"up": [], "down": []}
        self._from = {"up": "", "down": ""}  # who put in the last bytes
        self._tasks: list[asyncio.Task] = []

    def facts(self) -> dict:
        """Return what the page shows of it."""
        frames = bool(self.conversation.frames)
        path = self.conversation.path
        return {"link": self.number, "websocket": frames, "path": path}

    async def run(self) -> None:
        """Pass on what comes, until both sides have ended, or one of them for a while."""
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
            # What is left unread would make TCP send a reset, which may overtake the answer.
            await asyncio.wait({filling}, timeout=LINGER)
        finally:
            self._close()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self.conversation.end(self._who or "The page")

    async def _answer(self, reply: Reply) -> None:
        if reply.sentence:
            what = {"link": self.number, "body": reply.sentence}
            self.proxy.transcript.say("note", "The workbench answered by itself", **what)
        with contextlib.suppress(OSError):
            self._client[1].write(reply.data)
            await self._client[1].drain()
            self._client[1].write_eof()

    async def _upwards(self) -> None:
        async for data, by in self._frame_by_frame("up"):
            try:
                passed = self.conversation.up(data, by)
            except Unreadable as error:
                raise refusal(400, f"This is no HTTP/1.1 request: {error}.") from None
            await self._to_app(passed)
        self._ended("The page")
        if self._app:
            with contextlib.suppress(OSError):
                self._app[1].write_eof()

    async def _frame_by_frame(self, way: str):
        """Yield what goes one way. What the workbench puts in waits until no frame is half sent."""
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
            raise refusal(503, f"The lesson's app does not run. {app.sentence}")
        try:
            return await asyncio.open_connection(HOST, app.port)
        except OSError as error:
            raise refusal(502, f"The lesson's app does not take a connection: {error}.") from None

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
        """Put bytes of the workbench's own into one direction."""
        await self.lanes[way].inject(data, WORKBENCH)

    def cut(self) -> None:
        """End it as a network does that fails: a reset to both sides, and no word before."""
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
    """Takes connections on a port of this machine, and makes one to the app for each."""

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
        """Return a new connection of the workbench's own, which no door looks at, and its end."""
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
        """Cut every connection, and return how many there were."""
        links = list(self.links.values())
        for link in links:
            link.cut()
        return len(links)

    async def close(self) -> None:
        """Take no more connections, and end those that there are."""
        self._server.close()
        self.cut()
        if self._work:
            await asyncio.wait(self._work, timeout=2)
