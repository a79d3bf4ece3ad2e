"""Clients of the board over its WebSocket, as lessons 8, 10 and 11 speak to it."""

import itertools
import json
from collections import defaultdict, deque
from urllib.parse import urlencode

from course.grading.expect import Unmet, equal, expect
from course.grading.stage import Server

PROTOCOL = ["board.v1"]
FIELDS = ["author", "id", "room", "sent_at", "text"]
WELCOME = ["last_id", "members", "room", "type"]
TOO_LARGE = 65_537  # characters, one more than a message may have
NUMBERS = itertools.count(1)  # Request ids: two tabs of one client need different ones.


class Guest:
    """A client in a room. It sorts what it receives by type, and keeps the order of each type.

    Its constructor reads the welcome and, unless it is `in_a_hurry`, waits for a first reply.
    With a cursor `after` it resumes: `missed` are the messages that were pushed before the welcome.
    From lesson 11 on, `headers` or `query` prove who it is.
    """

    def __init__(
        self,
        server: Server,
        who: str,
        room: str,
        deflate: bool = False,
        in_a_hurry: bool = False,
        after: int | None = None,
        headers: dict[str, str] | None = None,
        query: dict[str, str] | None = None,
    ) -> None:
        query = {"author": who} if query is None else query
        query = query if after is None else {**query, "after": after}
        target = f"/board/{room}" + (f"?{urlencode(query)}" if query else "")
        self.who, self.room = who, room
        self.socket = server.socket(
            who, target, subprotocols=PROTOCOL, deflate=deflate, headers=headers
        )
        self._waiting: dict[str, deque] = defaultdict(deque)
        self._ids: list[int] = []  # of the messages that were pushed to it
        self.received: list[dict] = []
        self.missed: list[dict] = []
        self.welcome = self._receive()
        while after is not None and self.welcome["type"] == "message":
            self._waiting["message"].append(self.welcome)
            self.missed.append(self.message())
            self.welcome = self._receive()
        before = "anything else" if after is None else "anything but messages"
        expect(self.welcome["type"] == "welcome", f"a welcome before {before}", self.welcome)
        fields = sorted([*WELCOME, *([] if after is None else ["resumed"])])
        expect(
            sorted(self.welcome.keys() - {"user"}) == fields,
            f"a welcome with {', '.join(fields)}",
            self.welcome,
        )
        if not in_a_hurry:
            self.ping()

    def _receive(self) -> dict:
        event = self.socket.receive_json()
        met = isinstance(event, dict) and isinstance(event.get("type"), str)
        expect(met, "a JSON object with a type", event)
        self.received.append(event)
        return event

    def next(self, *kinds: str) -> dict:
        """Return the next message of these types. The others wait until they are asked for."""
        for kind in kinds:
            if self._waiting[kind]:
                return self._waiting[kind].popleft()
        while (event := self._receive())["type"] not in kinds:
            self._waiting[event["type"]].append(event)
        return event

    def message(self) -> dict:
        """Return the next message of the room that is pushed."""
        event = self.next("message")
        expect(sorted(event) == ["message", "type"], "an event with type and message", event)
        message = checked(event["message"])
        once = message["id"] not in self._ids
        expect(once, f"{self.who} to receive each message once", f"message {message['id']} again")
        self._ids.append(message["id"])
        return message

    def messages(self, count: int) -> list[dict]:
        """Return the next messages that are pushed."""
        return [self.message() for _ in range(count)]

    def expect_message(self, message: dict) -> None:
        """Check that this message is pushed next."""
        got = self.message()
        expect(equal(got, message), f"{self.who} to receive {json.dumps(message)}", got)

    def presence(self) -> list[str]:
        """Return the members that the next presence lists."""
        event = self.next("presence")
        members = event.get("members")
        met = isinstance(members, list) and all(isinstance(name, str) for name in members)
        expect(met, "a presence with a list of names", event)
        return members

    def expect_presence(self, *members: str) -> None:
        """Check that the next presence lists these members."""
        event = self.next("presence")
        wanted = {"type": "presence", "members": sorted(members)}
        expect(equal(event, wanted), f"{self.who} to receive {json.dumps(wanted)}", event)

    def wait_for_presence(self, *members: str) -> list[list[str]]:
        """Wait for a presence that lists these members. Returns the lists before it."""
        before = []
        while (here := self.presence()) != sorted(members):
            before.append(here)
        return before

    def expect_to_shrink_to(self, *members: str) -> None:
        """Wait for a presence that lists these members. Until then, members may only leave."""
        before = None
        while (now := self.presence()) != sorted(members):
            met = set(members) <= set(now) <= set(before or now)
            expect(met, f"presences that shrink to {sorted(members)}", [before, now])
            before = now

    def expect_no_older_presence(self, *members: str) -> None:
        """Check that no presence has been received after the one that lists these members."""
        if self._waiting["presence"]:
            wanted = f"the newest presence last, {json.dumps(sorted(members))}"
            raise Unmet(wanted, f"an older one after it, {json.dumps(self.presence())}")

    def send(self, kind: str, **fields: object) -> str:
        """Send a request. Returns its id."""
        request_id = fields.pop("id", None) or f"{self.who} {next(NUMBERS)}"
        self.socket.send_json({"type": kind, "id": request_id, **fields})
        return request_id

    def post(self, text: str, **fields: object) -> dict:
        """Post a text, and return the message in the ack."""
        request_id = self.send("post", text=text, **fields)
        reply = self.next("ack", "error")
        expect(reply.get("id") == request_id, f"an ack of {request_id}", reply)
        return checked(reply.get("message"), self.who, text)

    def ping(self) -> None:
        """Send a ping request of board.v1, and wait for its pong."""
        request_id = self.send("ping")
        reply = self.next("pong", "error")
        expect(reply.get("id") == request_id, f"a pong to {request_id}", reply)

    def history(self, after: int, limit: int = 50) -> list[dict]:
        """Return a page of the room's messages."""
        self.send("history", after=after, limit=limit)
        reply = self.next("messages", "error")
        expect(isinstance(reply.get("messages"), list), "a page of messages", reply)
        return [checked(message) for message in reply["messages"]]

    def leave(self) -> None:
        """Close the connection."""
        self.socket.close()

    def until_close(self, code: int) -> list[dict]:
        """Wait for a close with this code. Return what hasn't been asked for, and what precedes it.

        That is in the order of each type only.
        """
        waiting = [event for events in self._waiting.values() for event in events]
        return waiting + [json.loads(text) for text in self.socket.receive_until_close(code)]

    def cut(self) -> None:
        """Break the connection with a TCP reset."""
        self.socket.cut()

    def half_close(self) -> None:
        """End this side of TCP without a close frame."""
        self.socket.half_close()

    def crash(self) -> None:
        """Send a request that the probe `crash` turns into an exception."""
        self.send("crash")

    def send_too_much(self) -> None:
        """Send a message longer than the server allows, which closes the connection."""
        self.socket.send("x" * TOO_LARGE)


def checked(message: object, author: str | None = None, text: str | None = None) -> dict:
    """Return a message that has its five fields, and this author and text if they are given."""
    met = isinstance(message, dict) and sorted(message) == FIELDS and type(message["id"]) is int
    expect(met, f"a message with the fields {', '.join(FIELDS)}", message)
    for name, sent in (("author", author), ("text", text)):
        if sent is not None:
            expect(message[name] == sent, f"the {name} that was sent, {sent}", message[name])
    return message


def post(server: Server, who: str, room: str, text: str) -> dict:
    """Post over REST, and return the message in the response."""
    response = server.client(who).post(f"/rooms/{room}/messages", {"author": who, "text": text})
    return checked(response.json(201), who, text)


def ids(messages: list[dict]) -> list[int]:
    """Return the ids of messages."""
    return [message["id"] for message in messages]
