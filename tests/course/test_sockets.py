"""The grader's WebSocket clients, and what it sees of the app that they talk to."""

import pytest

from course.grading.expect import Unmet
from course.grading.plugin import Starter
from course.grading.sockets import TEXT, Socket
from course.grading.stage import Server, Stage
from course.grading.waiting import eventually

APP = """
import sys

from flask import Flask
from flask_sock import Sock

sock = Sock()


def create_app(config):
    app = Flask(__name__)
    sock.init_app(app)
    return app


@sock.route("/echo")
def echo(ws):
    try:
        while True:
            data = ws.receive()
            if data == "fail":
                raise RuntimeError("as asked")
            if data == "go":
                return
            ws.send(data)
    finally:
        print("the handler has ended", file=sys.stderr)
"""


@pytest.fixture
def server(tmp_path):
    """Return a server of the app above."""
    (tmp_path / "app.py").write_text(APP, "utf-8")
    starter = Starter()
    stage = Stage(starter.start, tmp_path, "sockets")
    yield stage.serve()
    stage.close()
    starter.close()


def ended(server: Server) -> None:
    """Wait until a handler has ended."""
    eventually(lambda: "has ended" in server.log(), "an end", server.log)


def test_text_and_bytes_are_told_apart(server):
    ada = server.socket("ada", "/echo")

    ada.send("hi")
    ada.expect("hi")
    ada.send(b"hi")

    with pytest.raises(Unmet, match="expected hi, got 2 bytes: b'hi'"):
        ada.expect("hi")


@pytest.mark.parametrize("go", [Socket.cut, Socket.close])
def test_a_client_that_goes_is_noticed_by_the_app(server, go):
    before = server.census()
    ada = server.socket("ada", "/echo")
    ada.send("hi")
    ada.expect("hi")

    go(ada)

    ended(server)
    server.expect_census(before)


def test_a_thread_that_is_left_is_told_with_its_place(server):
    before = server.census()
    server.socket("ada", "/echo")

    with pytest.raises(Unmet, match="threads again, as before") as told:
        server.expect_census(before, seconds=0.1)

    assert told.value.where[-1]["source"] == "data = ws.receive()"


def test_a_response_in_the_stream_is_shown(server):
    ada = server.socket("ada", "/echo")

    ada.send("fail")

    with pytest.raises(Unmet, match=r"got HTTP/1.1 500 .* so 1002"):
        ada.expect_close(1011)


def test_the_log_is_all_that_was_written_and_nothing_else(server):
    ada = server.socket("ada", "/echo")
    assert server.log() == ""

    ada.send("go")
    ada.expect_close(1000)

    ended(server)
    assert server.log() == "the handler has ended\n"


def test_a_raw_client_sees_what_follows_a_close(server):
    ada = server.raw_socket("ada", "/echo")
    ada.send(TEXT, b"hi")
    assert ada.receive() == (TEXT, b"hi")
    ada.send(TEXT, b"go")
    ada.expect_close(1000)

    with pytest.raises(Unmet, match=r"got HTTP/1.1 200 OK"):
        ada.expect_end()


def test_a_path_without_a_websocket_does_not_open(server):
    for opened in (server.socket, server.raw_socket):
        with pytest.raises(Unmet, match="404"):
            opened("ada", "/nothing")
