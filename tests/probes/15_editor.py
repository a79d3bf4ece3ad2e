"""Sessions of several clients in one document, which the tests of lesson 15 run in one process.

A session is decided by its seed: who edits what, which message arrives next, which connection is
cut. Nothing waits, and nothing runs at the same time.
"""

import json
import random
import sqlite3
from collections import deque

import client
import document
import hub
import ot
import protocol
import store

LETTERS = "abcde fghij\nkl" + "éñ" + "e\u0301" + "😀👩\u200d🚀"
ROOM = "lobby"


class Pipe:
    """One connection of a client: what is on its way, in both directions."""

    def __init__(self, session: "Session", name: str) -> None:
        self.author = name
        self.up: deque[dict] = deque()
        self.down: deque[dict] = deque()
        session.clients += 1
        self.talk = protocol.Session(session.hub, session.document, ROOM, self, session.clients)

    def send(self, text: str) -> None:
        """Send a message of the server's."""
        self.down.append(json.loads(text))

    def serve(self) -> None:
        """Let the server read one request."""
        reply = self.talk.handle(json.dumps(self.up.popleft()))
        if reply is not None:
            self.send(json.dumps(reply))


class Line:
    """A client with its connections, one after the other."""

    def __init__(self, session: "Session", name: str) -> None:
        self.session, self.name = session, name
        self.pipe: Pipe | None = None
        self.late: list[Pipe] = []  # cut, but the server hasn't read all that was sent
        self.client = client.Client(self.request)

    def request(self, request: dict) -> None:
        """Send a request of the client's."""
        if self.pipe:
            self.pipe.up.append(json.loads(json.dumps(request)))

    def connect(self) -> None:
        """Connect, and receive what is missing."""
        self.pipe = Pipe(self.session, self.name)
        for message in self.pipe.talk.missed(self.client.revision):
            self.pipe.send(json.dumps(message))
        self.session.hub.join(ROOM, self.pipe, self.pipe.talk.welcome)

    def cut(self) -> None:
        """Lose the connection. The server may still read some of what was sent, also later."""
        pipe, self.pipe = self.pipe, None
        self.session.hub.leave(ROOM, pipe)
        arrived = self.session.random.randint(0, len(pipe.up))
        pipe.up = deque(list(pipe.up)[:arrived])
        self.late.append(pipe)
        self.client.disconnected()

    @property
    def waiting(self) -> bool:
        """Whether anything is on its way."""
        late = any(pipe.up for pipe in self.late)
        return late or bool(self.pipe and (self.pipe.up or self.pipe.down))

    def deliver(self) -> None:
        """Let one message arrive."""
        late = [pipe for pipe in self.late if pipe.up]
        if late and self.session.random.random() < 0.4:
            late[0].serve()
        elif self.pipe and self.pipe.up and self.session.random.random() < 0.5:
            self.pipe.serve()
        elif self.pipe and self.pipe.down:
            self.client.receive(self.pipe.down.popleft())


class Session:
    """2 to 5 clients who edit one document."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.hub = hub.Hub()
        keep = self.random.choice((2, 5, 1000))
        self.document = document.Document(store.Store(":memory:"), ROOM, keep)
        self.clients = 0
        names = ["ada", "bob", "cleo", "dan", "eve"][: self.random.randint(2, 5)]
        self.lines = [Line(self, name) for name in names]
        self.inserted: list[str] = []  # marks, each unique, that no client deletes

    def run(self) -> str:
        """Return what went wrong, or ""."""
        for line in self.lines:
            line.connect()
        for _ in range(self.random.randint(20, 80)):
            self.step(self.random.choice(self.lines))
        for line in self.lines:
            if not line.pipe:
                line.connect()
        while busy := [line for line in self.lines if line.waiting]:
            self.random.choice(busy).deliver()
        return self.fault()

    def step(self, line: Line) -> None:
        """Let one thing happen to a client."""
        chance = self.random.random()
        if not line.pipe:
            if chance < 0.3:
                line.connect()
            else:
                self.edit(line)
        elif chance < 0.05:
            line.cut()
        elif chance < 0.4:
            self.edit(line)
        else:
            line.deliver()

    def edit(self, line: Line) -> None:
        """Let a client insert or delete somewhere."""
        if line.client.revision is None:
            return
        length, operation = len(line.client.text), []
        at = self.random.randint(0, length)
        removed = self.random.choice((0, 0, 0, 1, 3))
        text = line.client.text[at : at + removed]
        # A mark is never deleted: "every insert that no client deleted" is then every mark.
        removed = 0 if any("\ue000" <= c <= "\uf8ff" for c in text) else len(text)
        parts = [at, self.insert(), -removed, length - at - removed]
        operation = [part for part in parts if part]
        if operation and operation != [length]:
            line.client.edit(operation)

    def insert(self) -> str:
        """Return a text to insert: letters, or a mark."""
        if self.random.random() < 0.3:
            self.inserted.append(chr(0xE000 + len(self.inserted)))
            return self.inserted[-1]
        return "".join(self.random.choice(LETTERS) for _ in range(self.random.randint(0, 3)))

    def fault(self) -> str:
        """Return how the documents differ, or ""."""
        for line in self.lines:
            if line.client.text != self.document.text:
                return f"{line.name} has {line.client.text!r}, the server {self.document.text!r}"
            if line.client.in_flight or line.client.buffer:
                return f"{line.name} has edits that it never sent"
        lost = "".join("".join(line.client.lost) for line in self.lines)
        for mark in self.inserted:
            count = self.document.text.count(mark)
            if count > 1 or (count < 1 and mark not in lost):
                return f"{mark!r}, which a client inserted once, is {count} times in the text"
        stored = document.Document(self.document.store, ROOM, self.document.keep)
        if (stored.text, stored.revision) != (self.document.text, self.document.revision):
            return f"the store has {stored.text!r}, the server {self.document.text!r}"
        return ""


def converge(first: int, count: int) -> list:
    """Run sessions. Return the seed of the first that went wrong, and how, or None."""
    for seed in range(first, first + count):
        try:
            if fault := Session(seed).run():
                return [seed, fault]
        except Exception as error:
            return [seed, f"{type(error).__name__}: {error}"]
    return [None, ""]


def call(function: str, *args: object) -> object:
    """Call a function of ot.py. Returns "Misfit raised" if it raises Misfit."""
    try:
        return getattr(ot, function)(*args)
    except ot.Misfit:
        return "Misfit raised"


def fail_once(method: str) -> None:
    """Let the next call of this method of the store raise an error, without doing anything."""
    real = getattr(store.Store, method)

    def fail(*args: object) -> None:
        setattr(store.Store, method, real)
        raise sqlite3.OperationalError("database or disk is full (so this test wants it)")

    setattr(store.Store, method, fail)


def drawn(dice: random.Random, length: int) -> list:
    """Return a random operation in canonical form for a text of this length."""
    operation: list = []
    while length or dice.random() < 0.4:
        kind = dice.choice(("insert", "retain", "delete"))
        if kind == "insert":
            ot.add(operation, "".join(dice.choice(LETTERS) for _ in range(dice.randint(1, 3))))
        elif length:
            count = dice.randint(1, length)
            length -= count
            ot.add(operation, count if kind == "retain" else -count)
    return operation


def applied(text: str, operation: list) -> str:
    """Apply an operation, by other code than the learner's."""
    result, rest = "", text
    for part in operation:
        if isinstance(part, str):
            result += part
        else:
            result, rest = result + rest[: max(part, 0)], rest[abs(part) :]
    return result + rest


def is_canonical(operation: list) -> bool:
    """Return whether each change has one form only."""
    again: list = []
    for part in operation:
        ot.add(again, part)
    return again == operation


def transform_many(seed: int, count: int) -> str:
    """Transform random pairs. Returns the shortest sentence on one that went wrong, or ""."""
    dice = random.Random(seed)
    faults = (transform_fault(dice) for _ in range(count))
    return min(filter(None, faults), key=len, default="")


def transform_fault(dice: random.Random) -> str:
    """Transform a random pair. Returns what went wrong, or ""."""
    text = "".join(dice.choice(LETTERS) for _ in range(dice.randint(0, 6)))
    first, second = drawn(dice, len(text)), drawn(dice, len(text))
    new_first, new_second = ot.transform(list(first), list(second))
    one = applied(applied(text, first), new_second)
    other = applied(applied(text, second), new_first)
    if one != other:
        return f"transform({first}, {second}) on {text!r}: {one!r} and {other!r}"
    if not is_canonical(new_first) or not is_canonical(new_second):
        return f"transform({first}, {second}) isn't canonical: {new_first}, {new_second}"
    return ""


def compose_many(seed: int, count: int) -> str:
    """Compose random pairs. Returns the shortest sentence on one that went wrong, or ""."""
    dice = random.Random(seed)
    faults = (compose_fault(dice) for _ in range(count))
    return min(filter(None, faults), key=len, default="")


def compose_fault(dice: random.Random) -> str:
    """Compose a random pair. Returns what went wrong, or ""."""
    text = "".join(dice.choice(LETTERS) for _ in range(dice.randint(0, 6)))
    first = drawn(dice, len(text))
    between = applied(text, first)
    second = drawn(dice, len(between))
    both = ot.compose(list(first), list(second))
    wanted = applied(between, second)
    if applied(text, both) != wanted or not is_canonical(both):
        return f"compose({first}, {second}) returned {both}; {text!r} should be {wanted!r}"
    return ""


def drive(steps: list) -> dict:
    """Take a client through steps, up to the first that doesn't do what it should.

    A step is what happens, the edits that the client sends then, and its text after it. Returns
    the edits that were sent and the text for each step, and the ids of the edits.
    """
    sent: list[dict] = []
    one = client.Client(sent.append)
    outcomes, ids = [], []
    for (name, *args), *wanted in steps:
        sent.clear()
        if name == "ack":
            one.receive({"type": "ack", "id": ids[-1], "revision": args[0]})
        elif name == "cut":
            one.disconnected()
        else:
            getattr(one, name)(*args)
        edits = [request for request in sent if request["type"] == "edit"]
        ids += [request["id"] for request in edits]
        pairs = [[request["revision"], request["operation"]] for request in edits]
        outcomes.append([pairs, one.text])
        if outcomes[-1] != wanted:
            break
    return {"outcomes": outcomes, "ids": ids}
