"""A network between a browser and the learner's app that breaks: it cuts WebSockets at random."""

import contextlib
import random
import socket
import struct
import threading
from pathlib import Path

from course.grading.stage import Server
from course.grading.waiting import PATIENCE, SECONDS

CHUNK = 65536  # bytes that are read at once
HEAD = 16384  # bytes of a request's head, at most
DOWN, UP = 40_000, 8_000  # bytes that a connection carries in a direction before its cut, at most
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, for 0 s, so that closing sends a reset
WAYS = ("down", "up", "reply")
EACH = 50  # posts in a round
BEHIND = 200  # messages that the page may not show yet
FLOOD = Path(__file__).resolve().parents[2] / "tests" / "probes" / "08_broadcast.py"

# Before the page's own script: retry soon, after a hundredth of the delay. Don't lay out the rows,
# which takes long if there are thousands.
QUICK = """(() => {
    const { random } = Math;
    Math.random = () => random() / 100;
    addEventListener('DOMContentLoaded', () => {
        document.head.append(Object.assign(document.createElement('style'),
            { textContent: '#messages, #drafts { display: none }' }));
    });
})()"""
# Writes so many posts as its user would, a few at a time. Their texts are numbers.
WRITE = """(count) => {
    let number = 0;
    const write = () => {
        const waiting = document.querySelectorAll('#drafts > li').length;
        for (let n = 0; n < 5 && number < count && waiting < 100; n += 1, number += 1) {
            document.getElementById('text').value = `${number}`;
            document.getElementById('say').requestSubmit();
        }
        if (number < count) setTimeout(write, 5);
    };
    write();
}"""
ROWS = "document.querySelectorAll('#messages > li').length"
STANDS = f"`${{{ROWS}}} messages; ${{document.getElementById('state').textContent}}`"
DRAFTS = "document.querySelectorAll('#drafts > li').length"
SHOWN = """[...document.querySelectorAll('#messages > li')].map((row) =>
    [Number(row.dataset.id), ...['.author', '.text'].map((n) => row.querySelector(n).textContent)])
"""


def posted_through_cuts(server: Server, network: "Cutter", room: str, rounds: int) -> list[list]:
    """Post from a page behind the network, and from other users, 50 messages each in a round.

    Return what the page shows in the end: the id, author and text of each message. The page's posts
    are the numbers from 0, written by ada.
    """
    address, count = f"{network.url}/rooms/{room}?author=ada", rounds * EACH
    tab = server.stage.browser().open("ada", address, unsaid="WebSocket", before=QUICK)

    def wait_for(rows: int, more: str = "") -> None:
        tab.wait_for(f"{ROWS} >= {rows}{more}", f"{rows} messages", STANDS, seconds=6 * SECONDS)

    tab.run(WRITE, count)
    for first in range(0, count, EACH):
        server.probe(FLOOD, "flood", room, 2, EACH // 2)
        wait_for(2 * first - BEHIND)
    wait_for(2 * count - BEHIND)
    network.calm_down()
    wait_for(2 * count, f" && !{DRAFTS}")
    return tab.run(SHOWN)


class Cutter:
    """A proxy on a port of its own. It cuts each WebSocket after a random number of bytes.

    That is in the middle of what the app sends, or of what the page sends, or after the app has
    taken what the page sent and before its reply arrives: between a commit and its ack. Requests
    that open no WebSocket aren't cut.
    """

    def __init__(self, port: int, chance: random.Random) -> None:
        self._port, self._chance = port, chance
        self._calm = False
        self._open: set[socket.socket] = set()
        self.cuts = dict.fromkeys(WAYS, 0)  # how many there were of each kind
        self.said = {'"resumed": true': 0, '"resumed": false': 0}  # how often the app said this

    def __enter__(self) -> "Cutter":
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._calm = True
        self._listener.close()
        for sock in list(self._open):
            _end(sock)

    def calm_down(self) -> None:
        """Cut nothing any more."""
        self._calm = True

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                plan = self._chance.choice(WAYS), self._chance.random(), self._chance.random() < 0.5
                threading.Thread(target=self._serve, args=(client, *plan), daemon=True).start()

    def _serve(self, client: socket.socket, way: str, share: float, reset: bool) -> None:
        """Forward a connection until one side ends it, or until its cut."""
        with client, contextlib.suppress(OSError):
            head = _head(client)
            app = socket.create_connection(("127.0.0.1", self._port), SECONDS * PATIENCE)
            app.settimeout(None)
            self._open |= {client, app}
            for sock in (client, app):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with app:
                app.sendall(head)
                link = _Link(self, client, app, way, share, reset)
                link.carry(b"upgrade: websocket" in head.lower())
            self._open -= {client, app}


class _Link:
    """A connection through the proxy, and when it is cut."""

    def __init__(self, cutter: Cutter, client, app, way: str, share: float, reset: bool) -> None:
        self._cutter, self._client, self._app = cutter, client, app
        self._way, self._reset = way, reset
        self._left = 1 + int(share * (DOWN if way == "down" else UP))
        self._due = False  # whether the next bytes of the app are lost

    def carry(self, cuts: bool) -> None:
        """Forward both directions."""
        if not cuts:
            self._way = ""
        up = threading.Thread(target=self._forward, args=("up",), daemon=True)
        up.start()
        self._forward("down")
        up.join()

    def _forward(self, way: str) -> None:
        source, target = self._app, self._client
        if way == "up":
            source, target = target, source
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK):
                if way == "down":
                    for text in self._cutter.said:
                        self._cutter.said[text] += data.count(text.encode())
                kept = self._kept(way, data)
                target.sendall(kept)
                if len(kept) < len(data):
                    self._cutter.cuts[self._way] += 1
                    return self._cut()
            target.shutdown(socket.SHUT_WR)
            return
        self._cut()

    def _kept(self, way: str, data: bytes) -> bytes:
        """Return how much of the data is forwarded: all, or less if the cut is now."""
        if self._cutter._calm or not self._way:
            return data
        if self._due and way == "down":
            return b""
        if way == ("down" if self._way == "down" else "up"):
            self._left -= len(data)
            if self._left < 0 and self._way == "reply":
                self._due = True
            elif self._left < 0:
                return data[: self._left]
        return data

    def _cut(self) -> None:
        for sock in (self._client, self._app):
            with contextlib.suppress(OSError):
                if self._reset:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            _end(sock)


def _end(sock: socket.socket) -> None:
    """End a connection, and wake the threads that use it."""
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()


def _head(client: socket.socket) -> bytes:
    """Read a request's head. The browser's compression is left out, so that frames can be read."""
    head = b""
    while b"\r\n\r\n" not in head and len(head) < HEAD:
        data = client.recv(CHUNK)
        if not data:
            break
        head += data
    lines = head.split(b"\r\n")
    return b"\r\n".join(
        line for line in lines if not line.lower().startswith(b"sec-websocket-extensions:")
    )
