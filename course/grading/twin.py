"""A client that behaves as lesson 10's connection.js, without a browser or a socket.

It decides what to send and when to reconnect. Its driver has the sockets, the clock and the timers,
so that one thread can drive many of them. All times are in seconds.
"""

import json
import re
from collections.abc import Callable

BASE, CAP, LONGEST = 1.0, 30.0, 300.0  # the longest delays: first, any, and asked for by a server
STABLE = 10.0  # A connection that was open for this long has worked.
PAGE = 50  # messages in one page of history
SLEPT = "Ping/Pong timeout"  # simple-websocket's reason for 1008 if a ping isn't answered


class Twin:
    """One client. `send` sends a text on the connection in use, which the driver opens and ends.

    Call `receive()` for each text, and `closed()` at the end of a connection, which returns the
    seconds until the next attempt, or None if the client stops.
    """

    def __init__(
        self,
        name: str,
        send: Callable[[str], None],
        clock: Callable[[], float],
        random: Callable[[], float],
    ) -> None:
        self.name, self._send, self._clock, self._random = name, send, clock, random
        self.cursor: int | None = None  # All messages up to this id have arrived.
        self.shown: list[int] = []  # ids of the messages, in the order in which they arrived
        self.posts: dict[str, str] = {}  # the outbox: texts without a reply, by request id
        self.acked: list[int] = []  # ids of its own messages
        self.failed: list[dict] = []  # errors to its posts
        self.retries = 0  # since the last connection that has worked
        self._opened_at: float | None = None  # when this connection's welcome arrived
        self._gap: str | None = None  # the id of the request for missing messages
        self._sent: str | None = None  # the post that has no reply on this connection
        self._numbers = 0

    def post(self, text: str) -> str:
        """Post a text until it is acknowledged or refused. Returns its request id."""
        request_id = self._new_id()
        self.posts[request_id] = text
        self._send_next()
        return request_id

    def receive(self, text: str) -> None:
        """Handle what the server sent."""
        said = json.loads(text)
        kind = said["type"]
        if kind == "welcome":
            self._opened_at = self._clock()
            self._greeted(said)
            self._send_next()
        elif kind == "message":
            self.shown.append(said["message"]["id"])
            if self._gap is None:
                self.cursor = said["message"]["id"]
        elif kind == "messages" and said["id"] == self._gap:
            self.shown += [message["id"] for message in said["messages"]]
            self.cursor, self._gap = said["next"], None
            if len(said["messages"]) == PAGE:
                self._request_missing()
        elif kind in ("ack", "error") and said.get("id") in self.posts:
            self._settle(said)

    def _greeted(self, welcome: dict) -> None:
        if self.cursor is None or welcome["last_id"] < self.cursor:
            self.cursor = welcome["last_id"]  # The first welcome, or a restored database.
        elif not welcome["resumed"]:
            self._request_missing()

    def _request_missing(self) -> None:
        self._gap = self._new_id()
        fields = {"type": "history", "id": self._gap, "after": self.cursor, "limit": PAGE}
        self._send(json.dumps(fields))

    def _settle(self, said: dict) -> None:
        if said["type"] == "ack":
            self.acked.append(said["message"]["id"])
        else:
            self.failed.append(said)
        del self.posts[said["id"]]
        self._sent = None
        self._send_next()

    def _send_next(self) -> None:
        """Send the oldest post without a reply. The others follow one by one, to stay in order."""
        if self._opened_at is None or self._sent is not None or not self.posts:
            return
        self._sent = next(iter(self.posts))
        post = {"type": "post", "id": self._sent, "text": self.posts[self._sent]}
        self._send(json.dumps(post))

    def closed(self, code: int, reason: str = "") -> float | None:
        """Return the seconds until the next attempt, or None after a code that a retry can't help.

        1006 says that there was no close frame, or no connection.
        """
        worked = self._opened_at is not None and self._clock() - self._opened_at >= STABLE
        self._opened_at = self._gap = self._sent = None
        wait = self._delay(code, reason, worked)
        if code == 1008 and reason == SLEPT:
            return 0.0 if worked else wait
        if code in (1000, 1008) or code >= 4000:
            return None
        return wait

    def _delay(self, code: int, reason: str, worked: bool) -> float:
        if worked:
            self.retries = 0
        longest = min(CAP, BASE * 2**self.retries)
        asked = re.fullmatch(r"retry-after=(\d+(\.\d+)?)", reason)
        if asked and code in (1012, 1013):
            longest = min(LONGEST, float(asked[1]))
        self.retries += 1
        return self._random() * longest

    def _new_id(self) -> str:
        self._numbers += 1
        return f"{self.name} {self._numbers}"
