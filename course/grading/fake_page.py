"""A page without a network: the learner's connection.js, with a clock and WebSockets of a test.

Time passes, WebSockets open and messages arrive only when a test says so. Hours of backoff take a
few milliseconds, and every run is the same.
"""

from pathlib import Path

from course.grading.expect import Unmet, expect, in_json, shown
from course.grading.stage import Stage

SITE = "http://localhost"  # The browser requests nothing from it: `_file` answers.
PAGE = "<!doctype html><title>A test</title>"
LOAD = """async () => {
    try {
        ({ Connection: window.Connection } = await import('/static/connection.js'));
    } catch (error) {
        return `${error}`;
    }
}"""
LONG = 3_600_000  # milliseconds: an hour, within which every retry happens
OPEN = 1  # the `readyState` of a WebSocket that is connected; 0 is one that is connecting
KEY = "outbox of ada in lobby"
OF_THIS_TAB = "of this tab"  # the name of a storage


class FakePage:
    """A page that uses the learner's `Connection`, and the network between it and a server.

    All times are in milliseconds. After each step, the page must have raised no error, and must
    have at most one WebSocket.
    """

    def __init__(self, stage: Stage, fakes: Path) -> None:
        self.stage = stage
        browser = stage.browser()
        browser.answer(f"{SITE}/**", self._file)
        self._tab = browser.open("page", f"{SITE}/", before=fakes.read_text("utf-8"))
        stage.pictures.pop()  # The page is empty, so a screenshot would show nothing.
        error = self._tab.run(LOAD)
        expect(not error, "static/connection.js to load, and to export Connection", error)
        self._now: dict = {}
        self.load()

    def _file(self, url: str) -> dict:
        """Return the learner's file at this address, or an empty page."""
        path = self.stage.folder / url.removeprefix(f"{SITE}/")
        if path.suffix != ".js":
            return {"status": 200, "content_type": "text/html", "body": PAGE}
        if not path.is_file():
            return {"status": 404}
        return {"status": 200, "content_type": "text/javascript", "body": path.read_bytes()}

    def play(self, *steps: tuple[str, dict]) -> list:
        """Do the steps in the page, and return what each returned."""
        before = len(self._tab.errors)
        self._now = self._tab.run("(steps) => window.fakes.play(steps)", steps)
        for kind, sentence in self._now["events"]:
            getattr(self.stage.wire, kind)("page", sentence)
        errors = self._tab.errors[before:]
        expect(not errors, "no error in connection.js", "; ".join(errors))
        misused = self._now["misused"]
        if misused:
            raise Unmet(misused[0].partition(" instead")[0], misused[0])
        live = [socket["url"] for socket in self._now["sockets"] if socket["state"] <= OPEN]
        expect(len(live) <= 1, "at most one WebSocket at a time", shown(live))
        return self._now["results"]

    # What the page does

    def load(
        self, storage: str | None = OF_THIS_TAB, key: str = KEY, user: str | None = None
    ) -> None:
        """Load the page, or load it again. `storage` is a name, or None if it is blocked.

        From lesson 11 on, `user` is whose page it is. Without one, no welcome names a user either.
        """
        named = {} if user is None else {"user": user}
        self.play(("load", {"storage": storage, "key": key, **named}))

    def call(self, method: str, *given: object) -> object:
        """Call a method of the connection."""
        return self.play(("call", {"method": method, "given": given}))[0]

    def post(self, *texts: str) -> list[str]:
        """Post each of the texts, and return their request ids."""
        return self.play(*(("call", {"method": "post", "given": [text]}) for text in texts))

    def store(self, value: str) -> None:
        """Store a text under the outbox's key, as another program might have done."""
        self.play(("store", {"name": OF_THIS_TAB, "key": KEY, "value": value}))

    def break_storage(self, name: str, how: str) -> None:
        """Let a storage raise errors from "get", "set" or "both"."""
        self.play(("store", {"name": name, "broken": how}))

    # What the network and the server do

    def accept(self) -> None:
        """Complete the handshake."""
        self.play(("accept", {}))

    def welcome(
        self, last_id: int = 0, resumed: bool | None = None, user: str | None = None
    ) -> None:
        """Complete the handshake, and send the welcome, which may name the user."""
        said = {"type": "welcome", "room": "lobby", "last_id": last_id, "members": ["ada"]}
        if resumed is not None:
            said["resumed"] = resumed
        if user is not None:
            said["user"] = user
        self.play(("accept", {}), ("say", {"objects": [said], "which": -1}))

    def enter(self, last_id: int = 0) -> None:
        """Connect for the first time, up to the welcome."""
        self.call("open")
        self.welcome(last_id)

    def say(self, *objects: dict, which: int = -1) -> None:
        """Send objects over a WebSocket, the newest one unless `which` says another."""
        self.play(("say", {"objects": objects, "which": which}))

    def history(self, after: int, ids: range) -> list[dict]:
        """Expect a request for the messages after an id. Return the reply, of these messages."""
        request = (self.sent("history") or [{}])[-1]
        expect(request.get("after") == after, f"a request for history after {after}", request)
        messages = [{"id": number, "author": "bob", "text": "yes"} for number in ids]
        cursor = ids[-1] if ids else after
        return [{"type": "messages", "id": request["id"], "messages": messages, "next": cursor}]

    def end(self, code: int = 1006, reason: str = "", which: int = -1) -> None:
        """Close a WebSocket from the server's side. With 1006, it is cut."""
        self.play(("end", {"code": code, "reason": reason, "which": which}))

    def access(self, status: int = 200, retry_after: float = 0, how: str = "answer") -> None:
        """Set what `access()` leads to: "answer", "hold" an answer until it arrives, or "fail"."""
        self.play(("access", {"status": status, "retryAfter": retry_after, "how": how}))

    def arrive(self) -> None:
        """Let the held answers of `access()` arrive."""
        self.play(("arrive", {}))

    # Time and chance

    def pass_time(self, ms: float) -> None:
        """Let time pass."""
        self.play(("pass", {"ms": ms}))

    def sleep(self, ms: float) -> None:
        """Let the computer sleep: the clock advances, and timers run late."""
        self.play(("sleep", {"ms": ms}))

    def chance(self, value: float) -> None:
        """Set what `random()` returns."""
        self.play(("chance", {"value": value}))

    def lose(self, *losses: tuple[int, str] | int) -> list[float | None]:
        """Close the connection with each code in turn, and wait for the next attempt each time.

        Returns how long each wait was, None if no attempt followed.
        """
        steps = []
        for loss in losses:
            code, reason = loss if isinstance(loss, tuple) else (loss, "")
            steps += [("end", {"code": code, "reason": reason, "which": -1})]
            steps += [("attempt", {"most": LONG})]
        return self.play(*steps)[1::2]

    def reconnect(self, last_id: int = 0, resumed: bool = True) -> None:
        """Cut the connection, wait for the next attempt, and let it succeed."""
        (wait,) = self.lose(1006)
        expect(wait is not None, "another attempt after 1006", "none within an hour")
        self.welcome(last_id, resumed)

    # What there is now

    @property
    def state(self) -> str:
        """The last state that the connection reported."""
        return self._now["states"][-1]["state"] if self._now["states"] else "none was reported"

    @property
    def states(self) -> list[dict]:
        """All states that the connection reported since the page was loaded."""
        return self._now["states"]

    @property
    def sockets(self) -> list[dict]:
        """All WebSockets since the page was loaded: `url`, `offered`, `state`, `sent`, `code`."""
        return self._now["sockets"]

    @property
    def received(self) -> list[dict]:
        """All objects that were passed to the page since it was loaded."""
        return self._now["received"]

    @property
    def asked(self) -> int:
        """How often `access()` was called since the page was loaded."""
        return self._now["asked"]

    @property
    def outbox(self) -> list[dict]:
        """What the connection last passed to `onOutbox`."""
        return self._now["outboxes"][-1] if self._now["outboxes"] else []

    def sent(self, kind: str, which: int = -1) -> list[dict]:
        """Return the requests of a type that were sent over a WebSocket, the newest one."""
        return [request for request in self.sockets[which]["sent"] if request["type"] == kind]

    # What is expected

    def expect_state(self, name: str, when: str) -> None:
        """Expect the connection to be in a state."""
        expect(self.state == name, f'the state "{name}" {when}', self.state)

    def expect_attempts(self, count: int, when: str) -> None:
        """Expect so many WebSockets since the page was loaded."""
        urls = [socket["url"] for socket in self.sockets]
        expect(len(urls) == count, f"{count} WebSockets so far, {when}", f"{len(urls)}: {urls}")

    def expect_sent(self, kind: str, count: int, when: str, which: int = -1) -> list[dict]:
        """Expect so many requests of a type over a WebSocket, and return them."""
        requests = self.sent(kind, which)
        got = in_json(requests) if requests else f"no {kind}"
        expect(len(requests) == count, f"{count or 'no'} {kind} {when}", got)
        return requests

    def expect_posts(self, *posts: tuple[str, str]) -> None:
        """Expect these posts, each an id and a text, over the newest WebSocket, and no others."""
        wanted = [{"type": "post", "id": request_id, "text": text} for request_id, text in posts]
        found = self.sent("post") if self.sockets else []
        expect(found == wanted, f"these posts over this WebSocket: {shown(wanted)}", found)

    def expect_outbox(self, *posts: tuple[str, ...]) -> None:
        """Expect these posts in the outbox, each an id, a text and perhaps why it failed."""
        wanted = [dict(zip(("id", "text", "failed"), post, strict=False)) for post in posts]
        found = [{k: v for k, v in post.items() if v} for post in self.outbox]
        met = [{**post, "failed": ""} for post in wanted] == [
            {**post, "failed": ""} for post in found
        ]
        for one, other in zip(wanted, found, strict=False):
            met = met and one.get("failed", "") in other.get("failed", "")
            met = met and bool(one.get("failed")) == bool(other.get("failed"))
        expect(met, f"this outbox: {shown(wanted)}", found)

    def expect_after(self, after: int | None, why: str) -> None:
        """Expect the newest address to ask for the messages after this id."""
        url = self.sockets[-1]["url"]
        found = url.partition("&after=")[2]
        what = f"&after={after}" if after is not None else "no &after="
        expect(found == ("" if after is None else str(after)), f"{what} in the address: {why}", url)

    def expect_no_timer(self, when: str) -> None:
        """Expect that no timer is left."""
        left = [f"one in {ms / 1000:g} s" for ms in self._now["timers"]]
        expect(not left, f"no timer {when}", ", ".join(left))
