"""Let the same users write the same text with lesson 15's editor and with a CRDT.

The CRDT is Yjs, by the package pycrdt on the server and in each client. The course doesn't need
pycrdt, so install it elsewhere (on Windows, use `.venv\\Scripts\\python`):

    python3 -m pip install --target /tmp/crdt pycrdt
    PYTHONPATH=/tmp/crdt .venv/bin/python benchmarks/crdt.py

Nothing is sent over a real network. What would be sent is counted, as text and as compressed by
permessage-deflate, without WebSocket frames, carets and presence.
"""

import argparse
import gc
import json
import multiprocessing
import random
import sys
import tempfile
import zlib
from collections import Counter, deque
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "solutions" / "15_editor")]
import client  # noqa: E402
from document import Document  # noqa: E402
from hub import Hub  # noqa: E402
from protocol import Session  # noqa: E402
from store import Store  # noqa: E402

try:
    from pycrdt import Doc, Text, create_update_message
except ImportError:
    sys.exit(__doc__)

ROOM = "lobby"
WRITERS = ["ada", "bob", "cleo"]
START = "1\n2\n3\n"  # each writer writes before a digit of their own
LOG = 500  # as in app.py
DOCUMENTS = 100  # whose memory is measured


class Network:
    """Delivers messages in order, each after `delay` keystrokes, and counts their bytes."""

    def __init__(self, delay: int) -> None:
        self.delay, self.now = delay, 0
        self.queue: deque[tuple[int, Callable[[bytes], object], bytes]] = deque()
        self.plain, self.deflated = Counter(), Counter()  # bytes, by the way and the client
        self.streams: dict[tuple, object] = {}

    def send(self, way: str, name: str, data: bytes, receive: Callable[[bytes], object]) -> None:
        """Send a message `up` from a client, or `down` to it."""
        self.plain[way, name] += len(data)
        # permessage-deflate compresses each message with the connection's earlier ones.
        stream = self.streams.setdefault((way, name), zlib.compressobj(wbits=-15))
        compressed = stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH)
        self.deflated[way, name] += len(compressed) - 4  # RFC 7692, section 7.2.1
        self.queue.append((self.now + self.delay, receive, data))

    def tick(self) -> None:
        """Deliver what is due after one more keystroke of each writer."""
        self.now += 1
        self.deliver()

    def deliver(self, all: bool = False) -> None:
        """Deliver what is due, or everything, with what is sent because of it."""
        while self.queue and (all or self.queue[0][0] <= self.now):
            _, receive, data = self.queue.popleft()
            receive(data)

    def cost(self, counted: Counter, way: str) -> int:
        """Return the bytes of all clients that went this way."""
        return sum(count for (each, _), count in counted.items() if each == way)


class OtClient:
    """A client of lesson 15's editor, with its connection."""

    def __init__(self, server: "OtServer", name: str) -> None:
        self.server, self.author = server, name
        self.talk = Session(server.hub, server.document, ROOM, self, len(server.clients) + 1)
        self.client = client.Client(self.request)

    @property
    def text(self) -> str:
        return self.client.text

    def change(self, start: int, removed: int, inserted: str) -> None:
        parts = [start, inserted, -removed, len(self.text) - start - removed]
        self.client.edit([part for part in parts if part])

    def request(self, request: dict) -> None:
        # As JSON.stringify() in the page writes it.
        data = json.dumps(request, ensure_ascii=False, separators=(",", ":")).encode()
        self.server.network.send("up", self.author, data, self.serve)

    def serve(self, data: bytes) -> None:
        """Let the server handle a request."""
        reply = self.talk.handle(data.decode())
        if reply is not None:
            self.send(json.dumps(reply))

    def send(self, text: str) -> None:
        """Send a message of the server's."""
        self.server.network.send("down", self.author, text.encode(), self.receive)

    def receive(self, data: bytes) -> None:
        self.client.receive(json.loads(data))

    def connect(self) -> None:
        for message in self.talk.missed(self.client.revision):
            self.send(json.dumps(message))
        self.server.hub.join(ROOM, self, self.talk.welcome)
        self.server.network.deliver(all=True)

    def disconnect(self) -> None:
        self.server.hub.leave(ROOM, self)
        self.client.disconnected()


class OtServer:
    """Lesson 15's server."""

    Client = OtClient

    def __init__(self, network: Network, folder: Path) -> None:
        self.network, self.hub, self.clients = network, Hub(), []
        self.file = folder / f"{network.delay}.sqlite3"
        self.document = Document(Store(str(self.file)), ROOM, LOG)

    def stored(self) -> int:
        """Return the bytes of what is stored."""
        revision, text, log = self.document.store.load(ROOM)
        return len(json.dumps([revision, text, [list(vars(edit).values()) for edit in log]]))


class CrdtClient:
    """A client of a Yjs document, with its connection."""

    def __init__(self, server: "CrdtServer", name: str) -> None:
        self.server, self.name, self.open, self.applying = server, name, False, False
        # As in a browser: Yjs gives each client a random number of 32 bits.
        self.doc = Doc(client_id=server.random.getrandbits(32))
        self.shared = self.doc.get("text", type=Text)
        self.doc.observe(self.changed)

    @property
    def text(self) -> str:
        return str(self.shared)

    def change(self, start: int, removed: int, inserted: str) -> None:
        with self.doc.transaction():
            if removed:
                del self.shared[start : start + removed]
            if inserted:
                self.shared.insert(start, inserted)

    def changed(self, event: object) -> None:
        if self.open and not self.applying:
            send, data = self.server.network.send, create_update_message(event.update)
            send("up", self.name, data, lambda _, update=event.update: self.serve(update))

    def serve(self, update: bytes) -> None:
        """Let the server apply an update, and pass it on to the others."""
        self.server.doc.apply_update(update)
        for other in self.server.clients:
            if other is not self and other.open:
                other.send(update)

    def send(self, update: bytes) -> None:
        """Send an update of the server's."""
        data = create_update_message(update)
        self.server.network.send("down", self.name, data, lambda _: self.apply(update))

    def apply(self, update: bytes) -> None:
        self.applying = True
        self.doc.apply_update(update)
        self.applying = False

    def connect(self) -> None:
        """Exchange state vectors, and what the other side doesn't have."""
        self.open = True
        self.send(self.server.doc.get_update(self.doc.get_state()))
        self.server.network.deliver(all=True)
        missing = self.doc.get_update(self.server.doc.get_state())
        self.server.network.send(
            "up", self.name, create_update_message(missing), lambda _: self.serve(missing)
        )
        self.server.network.deliver(all=True)

    def disconnect(self) -> None:
        self.open = False


class CrdtServer:
    """A server that has a Yjs document."""

    Client = CrdtClient

    def __init__(self, network: Network, folder: Path) -> None:
        self.network, self.clients, self.random = network, [], random.Random(1)
        self.file = folder / f"{network.delay}.update"
        self.doc = Doc(client_id=self.random.getrandbits(32))
        self.doc.get("text", type=Text)

    def stored(self) -> int:
        """Store the state in `file`, and return its bytes."""
        return self.file.write_bytes(self.doc.get_update())


def typed(dice: random.Random, text: str, mark: str) -> tuple[int, int, str]:
    """Draw a keystroke of the writer of a paragraph: where, what is deleted, what is inserted."""
    end = text.index(mark)
    start = text.rfind("\n", 0, end) + 1
    if end > start and dice.random() < 0.1:
        return end - 1, 1, ""
    back = min(end - start, 20) if dice.random() < 0.02 else 0  # a correction further up
    return end - back, 0, dice.choice("etaoinshrdlu    ")


def write(server: object, keys: int, seed: int) -> str:
    """Let each writer press so many keys. Returns the text, which all have in the end."""
    network, dice = server.network, random.Random(seed)
    for name in WRITERS:
        server.clients.append(server.Client(server, name))
        server.clients[-1].connect()
    server.clients[0].change(0, 0, START)
    network.deliver(all=True)
    network.plain.clear()
    network.deflated.clear()
    for _ in range(keys):
        for number, writer in enumerate(server.clients, 1):
            writer.change(*typed(dice, writer.text, str(number)))
        network.tick()
    while network.queue:
        network.tick()
    texts = {writer.text for writer in server.clients}
    assert len(texts) == 1, "the clients have different texts"
    return texts.pop()


def offline(server: object, keys: int) -> tuple[int, bool]:
    """Let ada write offline while the others press so many keys, and then connect.

    Returns the bytes that she receives, and whether her text is in every document.
    """
    ada, *others = server.clients
    dice, word = random.Random(keys), f"OFFLINE FOR {keys} "
    ada.disconnect()
    ada.change(0, 0, word)
    for _ in range(keys):
        for number, writer in enumerate(others, 2):
            writer.change(*typed(dice, writer.text, str(number)))
        server.network.deliver(all=True)
    before = server.network.plain["down", "ada"]
    ada.connect()
    received = server.network.plain["down", "ada"] - before
    return received, all(word in writer.text for writer in server.clients)


def newcomer(server: object) -> int:
    """Return how many bytes a client receives that opens the document."""
    eve = server.Client(server, "eve")
    server.clients.append(eve)
    eve.connect()
    server.clients.remove(eve)
    eve.disconnect()
    return server.network.plain["down", "eve"]


def memory(kind: type, file: Path) -> float:
    """Return how many bytes of a new process an open document takes, with its log."""
    open_one = opener(kind, file)
    keep = [open_one()]  # which also loads code and fills caches
    gc.collect()
    before = psutil.Process().memory_info().rss
    keep += [open_one() for _ in range(DOCUMENTS)]
    return (psutil.Process().memory_info().rss - before) / DOCUMENTS


def opener(kind: type, file: Path) -> Callable[[], object]:
    """Return what opens a server's document from a file."""
    if kind is OtServer:
        return partial(Document, Store(str(file)), ROOM, LOG)

    def open_one() -> Doc:
        doc = Doc()
        doc.get("text", type=Text)
        doc.apply_update(file.read_bytes())
        return doc

    return open_one


def measure(kind: type, options: argparse.Namespace, delay: int, folder: Path) -> dict[str, str]:
    """Return the figures of a session, by what they are, and the text as "text"."""
    server = kind(Network(delay), folder)
    text, network = write(server, options.keys, options.seed), server.network
    presses = options.keys * len(WRITERS)
    figures = {"text": text}
    for way, title, count in (("up", "sent", presses), ("down", "received", presses * 3)):
        for how, counted in (("", network.plain), (", compressed", network.deflated)):
            name = f"each keystroke: {title}{how}"
            figures[name] = f"{network.cost(counted, way) / count:.1f}"
    return figures if delay else {**figures, **at_rest(server, kind)}


def at_rest(server: object, kind: type) -> dict[str, str]:
    """Return the figures that don't depend on the delay."""
    figures = {"stored": f"{server.stored():,}"}
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        figures["memory of the server"] = f"{pool.apply(memory, (kind, server.file)):,.0f}"
    figures["received to open the document"] = f"{newcomer(server):,}"
    for keys in (100, 1_000):
        received, merged = offline(server, keys)
        figures[f"received after {keys * 2:,} missed edits"] = f"{received:,}"
        figures[f"written before these {keys * 2:,} edits"] = "merged" if merged else "lost"
    return figures


def main() -> None:
    """Print the figures of both, side by side."""
    parser = argparse.ArgumentParser(description="Compare lesson 15's editor with a CRDT.")
    parser.add_argument("--keys", type=int, default=5_000, help="keystrokes of each writer")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print(f"{len(WRITERS)} writers, {options.keys:,} keystrokes each; pycrdt {version('pycrdt')}")
    for delay in (0, 5):
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            kinds = (OtServer, CrdtServer)
            ot, crdt = (measure(kind, options, delay, Path(folder)) for kind in kinds)
        text = ot.pop("text")
        assert text == crdt.pop("text"), "the texts differ"
        print(f"\nDelay: {delay} keystrokes. Both texts: {len(text):,} characters")
        print(f"{'lesson 15':>9}{'Yjs':>9}  bytes of a client or the server")
        for name, value in ot.items():
            print(f"{value:>9}{crdt[name]:>9}  {name}")


if __name__ == "__main__":
    main()
