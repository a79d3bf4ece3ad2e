"""The workbench: what the wire shows, whose requests it refuses, and what it cleans up."""

import asyncio
import contextlib
import functools
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
import requests
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode
from websockets.sync.client import connect

from course.grading.waiting import PATIENCE
from course.learner.refusal import Refusal
from course.lesson import needs
from course.lesson.lessons import ROOT, Lesson
from course.workbench import app as app_module
from course.workbench import read_events
from course.workbench.app import App
from course.workbench.bench import Bench, require_app
from course.workbench.page_kind import kind_of
from course.workbench.read_http import Conversation
from course.workbench.recorder import Recorder, parsed
from course.workbench.sender import BROKEN, data_of, frame
from course.workbench.transcript import MOST, Transcript

SECONDS = 30.0 * PATIENCE
LINE_END = read_events._LINE_END

APP = """
import os
from flask import Flask, Response, request
from flask_sock import Sock

def create_app(config=None):
    app, sock = Flask(__name__), Sock()

    @app.get("/rooms/<room>/messages")
    def messages(room):
        found = [] if "after" in request.args else [{"id": 1, "text": "<i>hi</i>"}]
        return {"messages": found, "next": 1}

    @app.get("/process")
    def process():
        return {"pid": os.getpid(), "cwd": os.getcwd(), "port": request.environ["SERVER_PORT"]}

    @app.get("/stream")
    def stream():
        body = (f"id: {number}\\ndata: news\\n\\n" for number in (1, 2))
        return Response(body, mimetype="text/event-stream")

    @sock.route("/echo")
    def echo(ws):
        while True:
            data = ws.receive()
            if data == "bye":
                ws.close(4001, "as you wish")
                return
            ws.send(data)

    sock.init_app(app)
    return app
"""


def write_app(root: Path, text: str = APP) -> Lesson:
    """Write a course with one lesson, whose app this is."""
    lesson = Lesson("01_little", root)
    lesson.lesson.mkdir(parents=True, exist_ok=True)
    fresh = lesson.lesson / "fresh"
    fresh.write_text(text, "utf-8")
    os.replace(fresh, lesson.lesson / "app.py")  # At once, so that it is one save.
    return lesson


# An app that brings its own page, which opens a WebSocket to where it comes from.
OWN_PAGE = APP.replace(
    "    sock.init_app(app)",
    """
    @app.get("/")
    def page():
        return '<p id="p"></p><script>' + (
            'let s = new WebSocket("ws://" + location.host + "/echo");'
            's.onopen = () => p.textContent = "A page of its own, open";'
        ) + '</script>'

    sock.init_app(app)
    """,
)


class Running:
    """A workbench in a thread, and methods to read its state and to send its commands."""

    def __init__(self, root: Path) -> None:
        self.lesson = write_app(root)
        self._started: Future = Future()
        self.said: list[str] = []
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._thread.start()
        self.bench: Bench = self._started.result(SECONDS)
        self.address = self.bench.address
        self.page = requests.Session()
        assert self.page.get(self.bench.server.address, timeout=SECONDS).ok
        self.home = f"http://127.0.0.1:{self.bench.server.port}{self.bench.server.home}"

    async def _run(self) -> None:
        bench = Bench(self.lesson, self.lesson.lesson, self.said.append)
        self._stop, self._loop = asyncio.Event(), asyncio.get_running_loop()
        await bench.start()
        await bench.app.ready()
        self._started.set_result(bench)
        await self._stop.wait()
        await bench.close()

    def close(self) -> None:
        """End it."""
        self.page.close()
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(SECONDS)

    def save(self, text: str) -> None:
        """Write the app, and if it has changed, wait until the workbench noticed."""
        if (self.lesson.lesson / "app.py").read_text("utf-8") != text:
            before = self.bench.state()["app"]["starts"]
            write_app(self.lesson.root, text)
            self.state_where("a new start", lambda s: s["app"]["starts"] > before)

    def get(self, path: str, **options) -> requests.Response:
        """Ask the app, through the proxy."""
        return requests.get(self.address + path, timeout=SECONDS, **options)

    def ask(self, name: str, **what: object) -> requests.Response:
        """Ask the workbench for something, as its page does."""
        return self.page.post(f"{self.home}do/{name}", json=what, timeout=SECONDS)

    def echo(self, **options):
        """Open a WebSocket to the app, through the proxy."""
        return connect(
            self.address.replace("http", "ws") + "/echo", open_timeout=SECONDS, **options
        )

    def until(self, what: str, found) -> dict:
        """Wait until an entry is `found`, and return it; a failure names `what`."""
        end = time.monotonic() + SECONDS
        for entries, _ in self.bench.transcript.follow(1.0):
            for entry in entries:
                if found(entry):
                    return entry
            assert time.monotonic() < end, f"{what}: {self.bench.transcript.entries()}"
        raise AssertionError(what)

    def state_where(self, what: str, found) -> dict:
        """Wait until `found` accepts the page's state, and return it."""
        end = time.monotonic() + SECONDS
        for _ in self.bench.transcript.follow(1.0):
            state = self.bench.state()
            if found(state):
                return state
            assert time.monotonic() < end, f"{what}: {state}"
        raise AssertionError(what)


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """A workbench that the tests of this file share."""
    running = Running(tmp_path_factory.mktemp("course"))
    yield running
    running.close()


@pytest.fixture
def wire(running):
    """The same, with nothing on its wire yet and no faults."""
    running.ask("faults", delay=0, rate=0, held=False)
    running.ask("cut")
    running.ask("clear")
    return running


@pytest.fixture(scope="module")
def changing(tmp_path_factory):
    """A workbench for the tests that change its app."""
    running = Running(tmp_path_factory.mktemp("changing"))
    yield running
    running.close()


@pytest.fixture
def own(changing):
    """The same, which runs the little app."""
    changing.save(APP)
    changing.state_where("that it runs", lambda s: s["app"]["state"] == "ready")
    return changing


def field(entry: dict, name: str) -> str:
    """Return an entry's field, "" where it has none."""
    return next((value for key, value in entry["fields"] if key == name), "")


# What the wire shows, of bytes that are known


@pytest.fixture
def transcript():
    return Transcript()


def lines(transcript: Transcript) -> list[str]:
    """Return each entry in a line."""
    arrows = {"up": "→", "down": "←", "": "·"}
    return [f"{arrows[e['way']]} {e['title']} ({e['size']})" for e in transcript.entries()]


REQUEST = b"GET /rooms/lobby/messages?after=3 HTTP/1.1\r\nHost: x\r\n\r\n"
UPGRADE = b"GET /echo HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"


def answer(body: bytes, status: str = "200 OK", headers: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_a_request_and_its_answer_are_read_however_the_bytes_come(transcript, size):
    talk = Conversation(transcript, 1)
    reply = answer(b'{"messages": []}')

    passed = b"".join(talk.up(REQUEST[i : i + size]) for i in range(0, len(REQUEST), size))
    for i in range(0, len(reply), size):
        talk.down(reply[i : i + size])

    assert passed == REQUEST
    assert lines(transcript) == [
        f"→ GET /rooms/lobby/messages?after=3 ({len(REQUEST)})",
        f"← 200 OK ({len(reply)})",
    ]
    asked, answered = transcript.entries()
    assert field(asked, "Host") == "x"
    assert field(answered, "response to") == "GET /rooms/lobby/messages?after=3"
    assert answered["body"] == '{"messages": []}'


@pytest.mark.parametrize(
    ("reply", "useless"),
    [
        (answer(b'{"messages": [], "next": 3}'), True),
        (answer(b"[]"), True),
        (b"HTTP/1.1 304 Not Modified\r\n\r\n", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
        (answer(b'{"messages": [{"id": 4}]}'), False),
        (answer(b"not JSON"), False),
        (answer(b"[]", "404 Not Found"), True),
    ],
)
def test_a_response_without_news_is_counted(transcript, reply, useless):
    talk = Conversation(transcript, 1)

    talk.up(REQUEST)
    talk.down(reply)

    assert transcript.entries()[-1]["useless"] == useless
    assert transcript.counts["useless"] == useless
    assert transcript.counts["requests"] == 1


def test_two_requests_that_come_at_once_get_their_answers_in_order(transcript):
    talk = Conversation(transcript, 1)

    talk.up(REQUEST + REQUEST.replace(b"after=3", b"after=4"))
    talk.down(answer(b"three") + answer(b"four"))

    found = [(e["body"], field(e, "response to")[-1]) for e in transcript.entries()[2:]]
    assert found == [("three", "3"), ("four", "4")]


def test_a_chunked_body_is_shown_without_its_chunks(transcript):
    talk = Conversation(transcript, 1)
    reply = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"

    talk.up(REQUEST)
    talk.down(reply)

    assert transcript.entries()[-1]["body"] == "hello"
    assert transcript.entries()[-1]["size"] == len(reply)


def test_each_event_of_a_stream_is_an_entry(transcript):
    talk = Conversation(transcript, 1)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    body = b"retry: 2000\n\n: heartbeat\n\nevent: message\nid: 7\ndata: caf\xc3\xa9\ndata: two\n\n"

    talk.up(REQUEST)
    for byte in head + body:
        talk.down(bytes([byte]))

    assert lines(transcript)[1:] == [
        f"← 200 OK ({len(head)})",
        "← no data, only retry (13)",
        "← no data, only comment (13)",
        "← event message, id 7 (44)",
    ]
    assert transcript.entries()[-1]["body"] == "café\ntwo"
    assert transcript.counts["events"] == 3


def follow_stream(transcript: Transcript) -> Conversation:
    """Return a conversation whose stream of events has begun."""
    talk = Conversation(transcript, 1)
    talk.up(REQUEST)
    talk.down(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
    return talk


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_events_are_read_however_their_lines_end(transcript, line_end, size):
    talk = follow_stream(transcript)
    body = line_end.join([b"data: one", b"", b"data: two", b"id: 2", b"", b": so that it is seen"])

    for place in range(0, len(body), size):
        talk.down(body[place : place + size])

    events = [e for e in transcript.entries() if e["kind"] == "event"]
    assert [(e["title"], e["body"]) for e in events] == [
        ("event message", "one"),
        ("event message, id 2", "two"),
    ]


@pytest.mark.parametrize(
    ("piece", "times"),
    [
        (b"data: an event that does not end\n", 5000),
        (b"x" * 400, 5000),
        (b"data\n", 5000),
        (b"data: " + b"y" * 2_000_000, 1),
    ],
)
def test_an_event_that_never_ends_is_kept_in_part(transcript, piece, times):
    talk = follow_stream(transcript)

    for _ in range(times):
        talk.down(piece)

    events = talk._waiting[0].events
    assert sum(map(len, events._pieces)) + sum(len(a + b) for a, b in events._fields) <= 17_000
    assert len(events._fields) <= 100
    talk.down(b"\n" if piece.endswith(b"\n") else b"\n\n")
    entry = transcript.entries()[-1]
    assert entry["size"] >= len(piece) * times
    assert len(entry["body"]) <= 17_000
    assert field(entry, "not shown").endswith("characters more")


@pytest.mark.parametrize("piece", [b"data: an event that does not end\n", b"x" * 100])
def test_reading_an_unfinished_event_takes_as_long_as_it_is(transcript, monkeypatch, piece):
    searched = []

    class Pattern:
        def finditer(self, text: str):
            searched.append(len(text))
            return LINE_END.finditer(text)

    monkeypatch.setattr(read_events, "_LINE_END", Pattern())
    talk = follow_stream(transcript)

    for _ in range(500):
        talk.down(piece)

    assert sum(searched) == 500 * len(piece)


def test_a_large_answer_shortens_its_entry_and_no_other_is_lost(transcript):
    talk = Conversation(transcript, 1)
    transcript.say("note", "the first")
    recorded = []
    transcript.listen(recorded.append)

    talk.up(REQUEST)
    talk.down(b"HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n")
    for _ in range(5000):
        talk.down(b"x" * 1000)

    assert [e["title"] for e in transcript.entries()][::2] == ["the first", "200 OK"]
    assert transcript.entries()[-1]["size"] > 5_000_000
    assert "more" in transcript.entries()[-1]["body"][-40:]
    assert len(transcript.entries()[-1]["body"]) < 20_000
    assert len(recorded) < 50


@pytest.mark.parametrize("before", [b"", SWITCH + b"\r\n" + b"HTTP/1.1 500 Oops\r\n\r\n"])
def test_bytes_that_cannot_be_read_are_one_entry(transcript, before):
    talk = Conversation(transcript, 1)
    transcript.say("note", "the first")
    talk.up(UPGRADE)
    talk.down(before or b"what?")

    for _ in range(5000):
        talk.down(b"\xff" * 1000)
    talk.end("The app")

    entries = transcript.entries()
    assert entries[0]["title"] == "the first"
    assert len(entries) < 10
    assert max(e["size"] for e in entries) >= 5_000_000


def test_a_reader_gets_each_changed_entry_once(transcript):
    number = transcript.say("request", "one")
    follow = transcript.follow(0.0)
    assert [e["title"] for e in next(follow)[0]] == ["one"]

    for size in range(100):
        transcript.say("request", "one", n=number, size=size)
    transcript.say("note", "two")

    assert [(e["title"], e["size"]) for e in next(follow)[0]] == [("one", 99), ("two", 0)]
    assert next(follow)[0] == []


def opened(transcript: Transcript, headers: bytes = b"") -> Conversation:
    """Return a conversation that is at its first frame."""
    talk = Conversation(transcript, 1)
    talk.up(UPGRADE)
    talk.down(SWITCH + headers + b"\r\n")
    return talk


def test_frames_are_read_in_both_directions(transcript):
    talk = opened(transcript)

    talk.up(frame(1, b"hi") + frame(2, b"\x00\xff"))
    talk.down(frame(1, b"hi", masked=False) + frame(8, b"\x0f\xa1why", masked=False))

    assert lines(transcript)[2:] == [
        "→ text  hi (8)",
        "→ binary  00 ff (8)",
        "← text  hi (4)",
        "← close 4001 (private use)  why (7)",
    ]
    assert transcript.counts["frames"] == 4
    assert field(transcript.entries()[2], "mask").startswith("1, key")
    assert not any(field(entry, "note") for entry in transcript.entries())


def test_a_message_in_fragments_is_shown_whole_at_its_last(transcript):
    talk = opened(transcript)
    data = "naïve".encode()

    talk.up(frame(1, data[:3], fin=False) + frame(9, b"?") + frame(0, data[3:]))

    first, ping, last = transcript.entries()[2:]
    assert first["title"].startswith("text, first fragment")
    assert ping["title"] == "ping  ?"
    assert (last["body"], field(last, "message")) == ("naïve", "complete, in 2 frames")


@pytest.mark.parametrize("size", [1, 100_000])
def test_compressed_frames_are_shown_unpacked(transcript, size):
    talk = opened(transcript, b"Sec-WebSocket-Extensions: permessage-deflate\r\n")
    deflate = PerMessageDeflate(False, False, 15, 15)
    text = b'{"type": "post", "text": "so it is, so it is, so it is"}'
    frames = [Frame(Opcode.TEXT, text), Frame(Opcode.TEXT, text[:20], fin=False)]
    frames += [Frame(Opcode.CONT, text[20:]), Frame(Opcode.TEXT, text)]
    data = b"".join(f.serialize(mask=True, extensions=[deflate]) for f in frames)

    for place in range(0, len(data), size):
        talk.up(data[place : place + size])

    bodies = [entry["body"] for entry in transcript.entries()[2:]]
    assert bodies == [text.decode(), text[:20].decode(), text.decode(), text.decode()]
    # The last one refers to those before it, so its context was kept.
    assert transcript.entries()[-1]["size"] < 30


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("way", ["up", "down"])
def test_a_broken_frame_is_shown_with_its_fault(transcript, name, way):
    talk = opened(transcript)

    data = data_of({"kind": "broken", "fault": name, "text": "x"}, masked=way == "up")
    getattr(talk, way)(data)
    talk.end("The page")

    entry = next(e for e in transcript.entries()[2:] if e["way"] == way)
    assert field(entry, "note")


def test_http_between_frames_is_named(transcript):
    talk = opened(transcript)

    talk.down(b"HTTP/1.1 500 INTERNAL SERVER ERROR\r\n\r\n")

    assert "1002" in field(transcript.entries()[-1], "note")


def test_bytes_that_are_not_http_are_shown_and_forwarded(transcript):
    talk = Conversation(transcript, 1)

    assert talk.up(b"\x00\x01\r\n\r\n") == b"\x00\x01\r\n\r\n"
    talk.down(b"what?")
    talk.end("The app")

    assert [e["kind"] for e in transcript.entries()] == ["raw", "raw", "end"]


@pytest.mark.parametrize(("closing", "seen"), [(b"", "1006"), (b"\x03\xe8", "1000")])
def test_the_end_says_which_code_both_sides_see(transcript, closing, seen):
    talk = opened(transcript)

    if closing:
        talk.down(frame(8, closing, masked=False))
    talk.end("The app")

    assert transcript.entries()[-1]["title"] == "The app ended the connection"
    assert field(transcript.entries()[-1], "both sides see").startswith(seen)


# What the wire shows, of a real app


def test_a_request_through_the_proxy_is_on_the_wire(wire):
    assert wire.get("/rooms/lobby/messages").json()["next"] == 1

    entry = wire.until("the answer", lambda e: e["kind"] == "response" and e["body"])
    assert entry["title"] == "200 OK"
    assert json.loads(entry["body"])["messages"][0]["text"] == "<i>hi</i>"


def test_a_stream_of_events_through_the_proxy_is_on_the_wire(wire):
    assert wire.get("/stream").text == "id: 1\ndata: news\n\nid: 2\ndata: news\n\n"

    entry = wire.until("the second event", lambda e: e["title"] == "event message, id 2")
    assert (entry["way"], entry["body"]) == ("down", "news")
    assert wire.bench.transcript.counts["events"] == 2


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_a_websocket_through_the_proxy_is_on_the_wire(wire, compression):
    with wire.echo(compression=compression) as ws:
        ws.send(["so it is, ", "so it is, ", "so it is"])
        assert ws.recv(SECONDS) == "so it is, so it is, so it is"
        ws.send("bye")
        with pytest.raises(ConnectionClosed):
            ws.recv(SECONDS)

    assert ws.close_code == 4001
    close = wire.until("the close frame", lambda e: e["title"].startswith("close 4001"))
    assert (close["way"], close["body"]) == ("down", "as you wish")
    bodies = [e["body"] for e in wire.bench.transcript.entries() if e["kind"] == "frame"]
    assert bodies.count("so it is, so it is, so it is") == 2  # at the last fragment, and back


def test_a_cut_connection_ends_with_1006_on_both_sides(wire):
    with wire.echo() as ws:
        ws.send("hi")
        ws.recv(SECONDS)

        assert wire.ask("cut").ok

        with pytest.raises(ConnectionClosed):
            ws.recv(SECONDS)
    assert ws.close_code == 1006
    end = wire.until("the cut", lambda e: e["kind"] == "end")
    assert end["title"] == "The workbench ended the connection"
    assert field(end, "both sides see").startswith("1006")


def test_a_delay_makes_an_answer_late(wire):
    wire.ask("faults", delay=0.2, rate=0)

    start = time.monotonic()
    assert wire.get("/rooms/lobby/messages").ok

    assert time.monotonic() - start >= 0.4  # there, and back


def test_a_throttle_makes_an_answer_slow(wire):
    size = len(wire.get("/rooms/lobby/messages").content)
    wire.ask("faults", delay=0, rate=1000)

    start = time.monotonic()
    assert wire.get("/rooms/lobby/messages").ok

    assert time.monotonic() - start >= size / 1000


def test_held_bytes_arrive_when_the_hold_ends(wire):
    with wire.echo() as ws:
        wire.ask("faults", held=True)
        ws.send("hi")
        assert wire.bench.state()["faults"]["held"]
        wire.ask("faults", held=False)

        assert ws.recv(SECONDS) == "hi"


# Sending


def number_of(wire, path: str) -> int:
    """Return the number of the WebSocket that is open there."""
    state = wire.state_where(
        "a WebSocket", lambda s: any(x["websocket"] and x["path"] == path for x in s["links"])
    )
    return next(link["link"] for link in state["links"] if link["websocket"])


def test_a_written_request_is_sent_unchanged(wire):
    text = "POST /rooms/lobby/messages HTTP/1.1\nOrigin: http://evil.example\n\nhello"

    assert wire.ask("request", text=text).ok

    sent = wire.until("the request", lambda e: e["kind"] == "request")
    assert field(sent, "Origin") == "http://evil.example"
    assert (field(sent, "Content-Length"), sent["body"]) == ("5", "hello")
    wire.until("the answer", lambda e: e["title"].startswith("405"))


def test_a_lone_surrogate_in_a_request_is_sent_as_a_question_mark(wire):
    assert wire.ask("request", text="GET /process HTTP/1.1\nX-Name: \ud800").ok

    sent = wire.until("the request", lambda e: e["kind"] == "request")
    assert field(sent, "X-Name") == "?"


def test_frames_are_sent_over_an_open_connection(wire):
    with wire.echo(compression=None) as ws:
        link = number_of(wire, "/echo")

        assert wire.ask("send", kind="text", link=link, way="up", text="from here").ok
        assert ws.recv(SECONDS) == "from here"
        assert wire.ask("send", kind="bytes", link=link, way="down", text="00 ff").ok
        assert ws.recv(SECONDS) == b"\x00\xff"
        assert wire.ask("send", kind="close", link=link, way="down", code="1013", text="soon").ok
        with pytest.raises(ConnectionClosed):
            ws.recv(SECONDS)

    assert (ws.close_code, ws.close_reason) == (1013, "soon")
    put = [e for e in wire.bench.transcript.entries() if field(e, "sent by")]
    assert [e["title"] for e in put] == ["text  from here", "binary  00 ff", put[2]["title"]]


def test_the_workbench_opens_a_websocket_and_sends_a_broken_frame(wire):
    assert wire.ask("open", path="/echo").ok
    link = number_of(wire, "/echo")

    assert wire.ask("send", kind="broken", fault="opcode", link=link).ok

    # Where the handler ends before the library's own thread has answered, there is no close frame.
    wire.until(
        "the app's end",
        lambda e: e["way"] == "down" and ("close 1002" in e["title"] or e["kind"] == "raw"),
    )


@pytest.mark.parametrize(
    ("name", "what", "says"),
    [
        ("send", {"kind": "text", "link": 9999}, "has ended"),
        ("send", {"kind": "bytes", "text": "zz"}, "has ended"),
        ("request", {"text": ""}, "begins with a line"),
        ("open", {"path": "echo"}, "begins with /"),
        ("open", {"path": "/echo", "origin": "a\r\nEvil: 1"}, "no spaces"),
        ("faults", {"delay": "long"}, "from 0 to 60 seconds"),
        ("faults", {"delay": "nan"}, "from 0 to 60 seconds"),
        ("faults", {"rate": 3}, "at least 10"),
        ("faults", {"rate": [3]}, "from 0 to"),
        ("send", {"kind": "text", "link": [1]}, "has ended"),
        ("send", {"kind": "text", "link": {}}, "has ended"),
    ],
)
def test_a_wrong_command_is_refused_with_a_sentence(wire, name, what, says):
    found = wire.ask(name, **what)

    assert found.status_code == 400
    assert says in found.json()["said"]


@pytest.mark.parametrize(
    "what",
    [
        {"kind": "bytes", "text": "4"},
        {"kind": "raw", "text": "hello"},
        {"kind": "close", "code": "65536"},
        {"kind": "close", "code": "one"},
        {"kind": "close", "code": "1" * 5000},
        {"kind": "broken", "fault": "nothing"},
        {"kind": "broken", "fault": ["mask"]},
        {"kind": ["text"]},
        {"kind": "nothing"},
        {},
    ],
)
def test_a_frame_that_cannot_be_made_is_refused(what):
    with pytest.raises(Refusal):
        data_of(what, masked=True)


# Access


def test_the_token_is_exchanged_for_a_cookie_of_the_page_alone(running):
    home = running.bench.server.home
    first = requests.get(running.bench.server.address, allow_redirects=False, timeout=SECONDS)

    cookie = first.headers["Set-Cookie"]
    assert (first.status_code, first.headers["Location"]) == (303, home)
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert f"Path={home}" in cookie
    token = running.bench.server.address.partition("token=")[2]
    assert token not in running.page.get(running.home, timeout=SECONDS).text


@pytest.mark.parametrize("path", ["/", "/process", "/workbench/", "/.workbench/kind.json"])
def test_the_app_and_other_ports_do_not_get_the_cookie(wire, path):
    # A browser sends a cookie to every port whose path matches, as this client does.
    assert wire.page.cookies

    wire.page.get(wire.address + path, timeout=SECONDS)

    asked = [e for e in wire.bench.transcript.entries() if e["kind"] == "request"]
    assert not any(field(entry, "Cookie") for entry in asked)
    assert "Cookie" not in wire.page.get(wire.address + path, timeout=SECONDS).request.headers


def test_the_path_of_the_page_cannot_be_guessed(running, changing):
    homes = {running.bench.server.home, changing.bench.server.home}

    assert len(homes) == 2
    assert all(len(home) >= 32 for home in homes)


@pytest.mark.parametrize("path", ["", "events", "recordings", "bench.js", "nothing"])
def test_nothing_is_shown_without_the_token(running, path):
    address = running.home + path

    assert requests.get(address, timeout=SECONDS).status_code == 403
    wrong = {"Authorization": "Bearer wrong", "Cookie": "workbench=wrong"}
    assert requests.get(address, headers=wrong, timeout=SECONDS).status_code == 403
    root = f"http://127.0.0.1:{running.bench.server.port}"
    assert requests.get(f"{root}/?token=wrong", timeout=SECONDS).status_code == 403


def test_nothing_is_done_without_the_token(running):
    found = requests.post(f"{running.home}do/cut", json={}, timeout=SECONDS)

    assert found.status_code == 403


def test_a_program_may_bring_the_token_in_a_header(running):
    token = running.bench.server.address.partition("token=")[2]
    headers = {"Authorization": f"Bearer {token}"}

    assert requests.get(f"{running.home}recordings", headers=headers, timeout=SECONDS).ok


FOREIGN = [
    {"Host": "evil.example"},
    {"Host": "127.0.0.1"},
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:1"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
]


@pytest.mark.parametrize("headers", FOREIGN)
def test_the_workbench_refuses_a_foreign_page_even_with_the_token(running, headers):
    found = running.page.post(f"{running.home}do/clear", json={}, headers=headers, timeout=SECONDS)

    assert found.status_code == 403


@pytest.mark.parametrize("headers", FOREIGN)
def test_the_proxy_refuses_a_foreign_page_without_asking_the_app(wire, headers):
    found = wire.get("/process", headers=headers)

    assert found.status_code == 403
    assert "pid" not in found.text
    assert wire.bench.transcript.counts["requests"] == 0


def test_the_proxy_refuses_a_websocket_of_a_foreign_origin(wire):
    with pytest.raises(Exception, match="403"):
        wire.echo(origin="http://evil.example").close()


def test_each_request_of_a_connection_is_checked(wire):
    host = wire.address.removeprefix("http://")
    good = f"GET /process HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    bad = good.replace(host.encode(), b"evil.example")
    with socket.create_connection(tuple(host.split(":")), SECONDS) as client:
        client.sendall(good + bad)
        found = b"".join(iter(lambda: client.recv(65536), b""))

    assert b"403 Forbidden" in found
    assert wire.bench.transcript.counts["requests"] == 1


def test_bytes_that_are_not_http_are_refused_from_outside(wire):
    host, port = wire.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), SECONDS) as client:
        client.sendall(b"\x16\x03\x01 nonsense\r\n\r\n")
        found = client.recv(65536)

    assert found.startswith(b"HTTP/1.1 400 ")


def test_it_listens_on_loopback_alone(running):
    for port in (running.bench.server.port, int(running.address.rpartition(":")[2])):
        for address in {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), 0)}:
            if not address.startswith(("127.", "::1")):
                with pytest.raises(OSError, match=r"refused|timed out|unreachable|route"):
                    socket.create_connection((address, port), 1).close()


def test_the_pages_load_nothing_from_elsewhere(running):
    page = running.page.get(running.home, timeout=SECONDS)

    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert page.headers["Referrer-Policy"] == "no-referrer"


# Recording


def test_a_session_is_recorded_and_shown_again(wire):
    assert wire.ask("record").ok
    name = wire.bench.state()["recording"]
    wire.get("/rooms/lobby/messages?after=1")
    wire.until("the answer", lambda e: e["useless"])
    assert name in wire.ask("stop").json()["said"]
    wire.get("/rooms/lobby/messages")

    assert wire.page.get(f"{wire.home}recordings", timeout=SECONDS).json()[0] == name
    found = wire.page.get(f"{wire.home}recordings/{name}", timeout=SECONDS).json()
    assert found["lesson"] == "01_little"
    titles = list({e["n"]: e["title"] for e in found["entries"]}.values())
    assert titles == ["GET /rooms/lobby/messages?after=1", "200 OK"]


@pytest.mark.parametrize("name", ["nothing.jsonl", "..%2Fprogress.json", "%2Fetc%2Fpasswd"])
def test_other_files_are_not_shown_as_recordings(running, name):
    found = running.page.get(f"{running.home}recordings/{name}", timeout=SECONDS)

    assert found.status_code in (400, 404)


def recording(**other: str) -> str:
    """Return a recording of one entry, with these fields of it written otherwise, as JSON."""
    entry = {"n": "1", "at": "0", "link": "1", "size": "0", "kind": '"note"', "title": '"t"'}
    entry |= {"way": '""', "body": '""', "fields": "[]"} | other
    fields = ", ".join(f'"{name}": {value}' for name, value in entry.items())
    return f'{{"workbench": 1}}\n{{{fields}}}'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "x isn't a recording"),
        ("{}", "x isn't a recording"),
        ('{"workbench": 1}\nnonsense', "Line 2 of x isn't JSON"),
        ('{"workbench": 1}\n{"n": 1}', "Line 2 of x isn't an entry"),
        ('{"workbench": 1}\n[]', "Line 2 of x isn't an entry"),
        ('{"workbench": NaN}', "Line 1 of x isn't JSON"),
        (recording(at="NaN"), "Line 2 of x isn't JSON"),
        (recording(size="-Infinity"), "Line 2 of x isn't JSON"),
        (recording(at="1e999"), "Line 2 of x isn't an entry"),
        (recording(at="1" * 400), "Line 2 of x isn't an entry"),
        (recording(at="1" * 5000), "Line 2 of x isn't JSON"),
        (recording(fields="[[1, 2]]"), "Line 2 of x isn't an entry"),
        (recording(fields="[" * 100_000), "Line 2 of x isn't JSON"),
    ],
)
def test_a_file_that_is_not_a_recording_is_refused(text, says):
    with pytest.raises(Refusal, match=says):
        parsed(text, "x")


def test_of_a_long_recording_the_last_entries_are_shown():
    line = recording().partition("\n")[2]

    found = parsed("\n".join(['{"workbench": 1}', *[line] * 60_000]), "x")

    assert (len(found["entries"]), found["omitted"]) == (MOST, 60_000 - MOST)


def test_a_lone_surrogate_in_a_recording_is_shown():
    entry = parsed(recording(title='"\\ud800"'), "x")["entries"][0]

    assert json.loads(json.dumps(entry))["title"] == "\ud800"


@pytest.fixture
def recorder(tmp_path, transcript):
    return Recorder(tmp_path, "01_little", transcript)


def test_a_folder_among_the_recordings_is_a_sentence(recorder, tmp_path):
    (tmp_path / "a.jsonl").mkdir()
    (tmp_path / "b.jsonl").write_text(recording(), "utf-8")

    assert recorder.names() == ["b.jsonl"]
    with pytest.raises(Refusal, match=r"a\.jsonl can't be shown: it is not a file"):
        recorder.read("a.jsonl")


@pytest.mark.skipif(os.name == "nt", reason="Windows allows links only with a privilege")
def test_a_dangling_link_among_the_recordings_is_a_sentence(recorder, tmp_path):
    (tmp_path / "a.jsonl").symlink_to(tmp_path / "nothing")
    (tmp_path / "b.jsonl").write_text(recording(), "utf-8")

    assert recorder.names() == ["b.jsonl"]
    with pytest.raises(Refusal, match="a link to a file that doesn't exist"):
        recorder.read("a.jsonl")


def test_a_recording_that_cannot_be_written_any_more_ends(recorder, transcript):
    name = recorder.start()

    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    recorder._file.close()
    recorder._file = Full()
    transcript.say("note", "one more")

    assert recorder.name == ""
    titles = [e["title"] for e in transcript.entries()]
    assert titles == ["one more", f"The recording {name} has ended: No space left on device."]


# The app


def test_a_save_restarts_the_app(own):
    before = own.get("/process").json()["pid"]

    own.save(APP.replace('"next": 1', '"next": 2'))

    assert own.get("/rooms/lobby/messages").json()["next"] == 2
    assert own.get("/process").json()["pid"] != before


def test_a_syntax_error_is_shown_and_the_old_app_is_gone(own):
    own.save("def create_app(:\n")
    state = own.state_where("that it is broken", lambda s: s["app"]["state"] == "broken")

    assert state["app"]["sentence"].startswith("app.py:1: SyntaxError")
    answer = own.get("/rooms/lobby/messages")
    assert (answer.status_code, "app.py:1" in answer.text) == (503, True)
    assert "SyntaxError" in own.said[-1]

    own.save(APP)
    own.state_where("that it runs", lambda s: s["app"]["state"] == "ready")
    assert own.get("/rooms/lobby/messages").ok


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import nothing_of_this_name", "app.py:1: ModuleNotFoundError"),
        ("def create_app():\n    return None", "not a Flask app"),
        ("def create_app():\n    return 1 / 0", "app.py:2: ZeroDivisionError"),
        ("import sys\nsys.exit(3)", "app.py:2: SystemExit"),
        ("import os\nos._exit(3)", "exit status 3"),
        ("x = 1", "create_app"),
        (r"raise ValueError('\ud800')", r"ValueError: \ud800"),
    ],
)
def test_a_failed_start_is_explained(own, text, says):
    own.save(text)

    own.state_where(f"a sentence with {says!r}", lambda s: says in s["app"]["sentence"])

    assert own.bench.state()["app"]["state"] in ("broken", "ended")
    assert says in own.get("/rooms/lobby/messages").text


# A helper that the app starts. It keeps the app's own stderr open, and ignores SIGTERM.
HELPER = """
import subprocess, sys
helper = subprocess.Popen(
    [sys.executable, "-c",
     "import signal, sys\\n"
     "signal.signal(signal.SIGTERM, signal.SIG_IGN)\\n"
     "print('up', flush=True)\\n"
     "signal.pause()"],
    stdout=subprocess.PIPE, start_new_session=SESSION,
)
helper.stdout.readline()
print(f"helper {helper.pid}.", flush=True)
"""
IGNORING = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"


def assert_ended(pid: int) -> None:
    """Assert that a process has ended, or ends."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        assert psutil.wait_procs([process], SECONDS)[0] or process.status() == "zombie"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM that could be ignored")
@pytest.mark.parametrize("session", [False, True])
@pytest.mark.parametrize("ending", ["", "import os\nos._exit(3)\n"])
def test_a_helper_of_the_app_is_ended_with_it(tmp_path, monkeypatch, session, ending):
    if session and ending:
        pytest.skip("such a helper has left the app's group, and its parent has gone")
    monkeypatch.setattr(app_module, "END", 0.1)
    heard, folder = [], write_app(tmp_path, APP + HELPER.replace("SESSION", str(session)) + ending)

    async def run() -> tuple[str, int]:
        app = App(folder.lesson, lambda event, facts: heard.append(facts))
        try:
            await app.restart()
            await app.ready()
            state, pid = app.state, app._process.pid
        finally:
            await app.close()
        return state, pid

    state, pid = asyncio.run(run())

    assert state == ("ended" if ending else "ready")
    printed = "".join(facts.get("text", "") for facts in heard)
    assert_ended(pid)
    assert_ended(int(re.search(r"helper (\d+)\.", printed)[1]))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM that could be ignored")
def test_an_app_that_ignores_sigterm_is_replaced_and_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(app_module, "END", 0.1)
    folder = write_app(tmp_path, IGNORING + APP).lesson

    async def run() -> list[int]:
        app, pids = App(folder, lambda *_: None), []
        try:
            for _ in range(2):
                await app.restart()
                assert await app.ready()
                pids.append(app._process.pid)
        finally:
            await app.close()
        return pids

    for pid in asyncio.run(run()):
        assert_ended(pid)


COUNTED = """
import os

import redis
from flask import Flask

def create_app():
    app = Flask(__name__)
    starts = redis.Redis.from_url(os.environ["BOARD_REDIS"]).incr("starts")
    app.add_url_rule("/", view_func=lambda: str(starts))
    return app
"""


@pytest.mark.skipif(not needs.redis().where, reason=needs.redis().advice)
def test_an_app_that_needs_redis_gets_one_that_keeps_its_data_over_a_save(tmp_path):
    folder = write_app(tmp_path, COUNTED).lesson

    async def run() -> tuple[list[str], list[int]]:
        app, found, pids = App(folder, lambda *_: None, ("redis",)), [], []
        try:
            for _ in range(2):
                await app.restart()
                assert await app.ready(), app.sentence
                get = functools.partial(requests.get, timeout=SECONDS)
                found.append((await asyncio.to_thread(get, f"http://127.0.0.1:{app.port}")).text)
                pids += [each.pid for each in psutil.Process(app._process.pid).children()]
        finally:
            await app.close()
        return found, pids

    found, pids = asyncio.run(run())

    assert found == ["1", "2"]
    assert len(pids) == 2
    for pid in pids:
        assert_ended(pid)


def test_without_redis_an_app_that_needs_it_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(needs.FINDERS, "redis", lambda: needs.Found("", "Get it somewhere."))
    folder = write_app(tmp_path, COUNTED).lesson

    async def run() -> str:
        app = App(folder, lambda *_: None, ("redis",))
        try:
            await app.restart()
            assert not await app.ready()
        finally:
            await app.close()
        return app.sentence

    assert asyncio.run(run()) == "The app needs Redis. Get it somewhere."


ACCOUNTS = """
from flask.cli import AppGroup

without_accounts = create_app

def create_app():
    app, accounts = without_accounts(), AppGroup("accounts")
    app.config["ORIGINS"] = ["http://127.0.0.1:5011"]

    @accounts.command("demo")
    def demo():
        print("accounts for", *app.config["ORIGINS"])

    app.cli.add_command(accounts)
    return app
"""


def test_an_app_with_accounts_gets_some_and_knows_the_origin_of_its_page(own):
    own.save(APP + ACCOUNTS)

    own.until("the accounts", lambda e: f"accounts for {own.address}\n" in e["body"])


def test_what_the_app_prints_is_on_the_wire(own):
    own.save(APP + "\nprint('I was here')\n")

    own.until("what it printed", lambda e: "I was here" in e["body"])


def test_a_program_on_a_bare_socket_is_an_echo_console(tmp_path):
    program = """
import socket
listener = socket.create_server(("127.0.0.1", 0))
print(f"ws://127.0.0.1:{listener.getsockname()[1]}", flush=True)
while True:
    connection, _ = listener.accept()
    connection.close()
"""
    folder = Path(write_app(tmp_path).lesson)
    (folder / "app.py").unlink()
    (folder / "server.py").write_text(program, "utf-8")

    async def state() -> dict:
        bench = Bench(Lesson("01_little", tmp_path), folder, print)
        try:
            await bench.start()
            assert await bench.app.ready(), bench.app.sentence
            return bench.state()
        finally:
            await bench.close()

    assert asyncio.run(state())["kind"]["page"] == "console"


def rule(path: str, websocket: bool = False) -> dict:
    return {"rule": path, "methods": ["GET"], "websocket": websocket}


@pytest.mark.parametrize(
    ("routes", "settings", "page", "way"),
    [
        ([rule("/rooms/<room>/messages")], {}, "board", "hand"),
        ([rule("/rooms/<room>/messages")], {"waits": True}, "board", "wait"),
        ([rule("/rooms/<a>/messages"), rule("/rooms/<a>/events")], {}, "board", "events"),
        ([rule("/rooms/<a>/messages"), rule("/board/<a>", True)], {}, "board", "socket"),
        ([rule("/board/<room:room>", True)], {}, "board", "socket"),
        ([rule("/echo", True)], {}, "console", None),
        ([rule("/"), rule("/board/<room>", True)], {}, "own", None),
        ([rule("/static/<path:filename>")], {}, "console", None),
    ],
)
def test_the_page_is_found_by_what_the_app_has(routes, settings, page, way):
    found = kind_of(routes, settings)

    assert (found["page"], found.get("way")) == (page, way)


# The command


STARTED: list[subprocess.Popen] = []


@pytest.fixture(autouse=True)
def _nothing_goes_on():
    """End the processes that a failed test left."""
    yield
    while STARTED:
        with STARTED.pop() as child:
            child.kill()


def start(*arguments: str) -> subprocess.Popen:
    """Start Python with its output piped."""
    child = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    STARTED.append(child)
    return child


def start_little(root: Path) -> subprocess.Popen:
    """Start the command `run`, of a course whose one lesson is the little app."""
    write_app(root)
    script = f"""if True:
        import pathlib, sys
        from course import cli
        from course.lesson.lessons import Lesson
        cli.find = lambda name: Lesson("01_little", pathlib.Path({str(root)!r}))
        sys.argv[1:] = ["run", "1"]
        sys.exit(cli.main())
    """
    return start("-c", script)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["poling"], "No lesson is called 'poling'. Did you mean 02_polling?"),
        ([], "Missing argument"),
        (["1", "--nothing"], "No such option"),
    ],
)
def test_wrong_use_is_a_sentence_and_exit_2(arguments, says):
    child = start("-m", "course", "run", *arguments)

    out, err = child.communicate(timeout=SECONDS)

    assert (child.returncode, out) == (2, "")
    assert says in err


def test_a_folder_without_an_app_is_refused(tmp_path):
    lesson = write_app(tmp_path)
    (lesson.lesson / "app.py").rename(lesson.lesson / "other.py")
    with pytest.raises(Refusal, match=r"neither app\.py nor server\.py"):
        require_app(lesson, lesson.lesson)
    with pytest.raises(Refusal, match=r"solutions/01_little doesn't exist\. .* no solution"):
        require_app(lesson, lesson.solution)


def begun(child: subprocess.Popen) -> tuple[str, str]:
    """Return the addresses that a run prints, of the workbench and of the app."""
    text = "".join(child.stdout.readline() for _ in range(4))
    workbench, app = re.findall(r"http://\S+", text)
    return workbench, app


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot send Ctrl-C to one process alone")
@pytest.mark.parametrize(
    ("number", "status", "says"), [(signal.SIGINT, 130, "Stopped."), (signal.SIGTERM, 143, "")]
)
def test_a_signal_ends_it_with_a_websocket_open_and_nothing_is_left(tmp_path, number, status, says):
    child = start_little(tmp_path)
    workbench, app = begun(child)
    process = requests.get(f"{app}/process", timeout=SECONDS).json()

    with connect(app.replace("http", "ws") + "/echo", open_timeout=SECONDS):
        child.send_signal(number)
        _, err = child.communicate(timeout=SECONDS)

    assert (child.returncode, err.strip()) == (status, says)
    for address in (workbench, app, f"http://127.0.0.1:{process['port']}"):
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.1", urlsplit(address).port), 5)
    with pytest.raises(ProcessLookupError):
        os.kill(process["pid"], 0)
    assert not Path(process["cwd"]).exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lessons"]


def test_the_app_does_not_outlive_a_workbench_that_was_killed(tmp_path):
    child = start_little(tmp_path)
    _, app = begun(child)
    process = requests.get(f"{app}/process", timeout=SECONDS).json()
    with socket.create_connection(("127.0.0.1", int(process["port"])), SECONDS) as client:
        child.kill()
        child.communicate(timeout=SECONDS)

        with contextlib.suppress(ConnectionError):  # Its end, too.
            assert client.recv(1) == b""
    if os.name == "posix":  # Elsewhere a folder that is a process's current one cannot be removed.
        assert not Path(process["cwd"]).exists()


# In a browser


@pytest.fixture
def page(browser):
    """An empty page of the browser, on which no script may fail."""
    faults = []
    page = browser.new_page()
    page.set_default_timeout(SECONDS * 1000)
    page.on("pageerror", lambda error: faults.append(str(error)))
    yield page
    page.close()
    assert faults == []


def test_a_message_is_posted_in_the_browser_and_seen_on_both_sides(page):
    child = start("-m", "course", "run", "1", "--solution")
    workbench, _ = begun(child)
    try:
        page.goto(workbench)
        assert "token" not in page.url
        board = page.frame_locator("#board")
        board.get_by_label("Message", exact=True).fill("<b>good</b> morning")
        board.get_by_role("button", name="Send").press("Enter")

        board.get_by_text("<b>good</b> morning").wait_for()
        row = page.locator("#wire li").filter(has_text="POST /rooms/lobby/messages")
        row.locator("summary").press("Enter")
        row.get_by_label("Body").get_by_text("<b>good</b> morning").wait_for()
        assert page.locator("#wire b, #wire i").count() == 0
    finally:
        child.terminate()
        child.communicate(timeout=SECONDS)


def test_the_browser_shows_a_fault_and_a_session_again(page, own):
    page.goto(own.bench.server.address)
    board, wire = page.frame_locator("#board"), page.locator("#wire")
    board.get_by_text("<i>hi</i>").or_(board.get_by_text("Nothing new")).first.wait_for()
    page.get_by_role("button", name="Record").click()
    page.get_by_role("button", name="Stop recording").wait_for()
    board.get_by_role("button", name="Fetch messages").click()
    wire.get_by_text("useless").last.wait_for()
    page.get_by_role("button", name="Stop recording").click()
    page.locator("#recordings option").nth(1).wait_for(state="attached")

    page.locator("#recordings").select_option(index=1)
    page.get_by_role("button", name="Play").click()
    wire.get_by_text("GET /rooms/lobby/messages").first.wait_for()
    assert wire.get_by_text("The app has started").count() == 0
    page.locator("#recordings").select_option(index=0)
    wire.get_by_text("The app has started").first.wait_for()

    own.save("def create_app(:")
    page.get_by_role("alert").get_by_text("app.py:1: SyntaxError").wait_for()
    own.save(APP)
    page.get_by_text("running", exact=True).wait_for()
    assert page.get_by_role("alert").count() == 0

    own.save(OWN_PAGE)
    board.get_by_text("A page of its own, open").wait_for()
