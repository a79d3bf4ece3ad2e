"""What the tests of lesson 9 do inside the app's process: they play a server that has bad days."""

import contextlib
import gc
import json
import socket
import threading
from collections import defaultdict

import app
import simple_websocket
from simple_websocket import ConnectionClosed

import hub
import protocol
import store

LONG = 60.0  # seconds, after which what is held is let go for good
SOON = 5.0  # seconds for somebody to be in the room who is on the way

requests: list[dict] = []  # what pages have asked for
endings: list[int] = []  # the close codes of the conversations that have ended
offers: list[str] = []  # the subprotocols that were asked for, a line for each handshake
handshakes = threading.Event()  # those that are held go on
replies = threading.Semaphore(0)  # of those that are held, so many go on
joined = threading.Condition()
here: dict[str, list[hub.Connection]] = defaultdict(list)  # by their author, since the last cut


def watch() -> None:
    """Note what pages ask for, and how their conversations end."""
    handle, converse = protocol.Session.handle, app.converse
    begin, join = simple_websocket.Server.__init__, hub.Hub.join

    def join_and_note(self: hub.Hub, room: str, connection: hub.Connection, *args: object) -> None:
        join(self, room, connection, *args)
        with joined:
            here[connection.author].append(connection)
            joined.notify_all()

    def handle_and_note(self: protocol.Session, data: str | bytes) -> dict:
        with contextlib.suppress(protocol.Refused):  # It is the server that refuses it.
            requests.append(protocol.parsed(data))
        return handle(self, data)

    def converse_and_note(*args: object) -> None:
        try:
            converse(*args)
        except ConnectionClosed as closed:
            endings.append(int(closed.reason))
            raise

    def begin_and_note(self: object, environ: dict, *args: object, **options: object) -> None:
        offers.append(environ.get("HTTP_SEC_WEBSOCKET_PROTOCOL", ""))
        begin(self, environ, *args, **options)

    protocol.Session.handle, app.converse = handle_and_note, converse_and_note
    simple_websocket.Server.__init__, hub.Hub.join = begin_and_note, join_and_note


def seen() -> dict[str, list]:
    """Return what was noted so far."""
    return {"requests": requests, "endings": endings, "offers": offers}


def members(room: str) -> list[str]:
    """Return who is in the room, as the hub has it."""
    return next(each for each in gc.get_objects() if type(each) is hub.Hub).members(room)


def keep(database: str, room: str, texts: list[list[str]]) -> list[dict]:
    """Keep messages, each of an author and a text, of which no page hears."""
    kept = store.Store(database)
    return [kept.add(room, author, text) for author, text in texts]


def hold_handshakes() -> None:
    """Answer no handshake until `release_handshakes`."""
    begin = simple_websocket.Server.__init__

    def wait(*args: object, **options: object) -> None:
        handshakes.wait(LONG)
        begin(*args, **options)

    simple_websocket.Server.__init__ = wait


def hold_replies() -> None:
    """Answer no post until `release_replies`."""
    post = protocol.HANDLERS["post"]

    def wait(*args: object) -> dict:
        replies.acquire(timeout=LONG)
        return post(*args)

    protocol.HANDLERS["post"] = wait


def refuse(word: str) -> None:
    """Refuse each post with this word in it. The reason has the text in it."""
    post = protocol.HANDLERS["post"]

    def choose(session: protocol.Session, request: dict) -> dict:
        if word in request["text"]:
            raise protocol.Refused("bad_message", f"Nobody wants {request['text']}.")
        return post(session, request)

    protocol.HANDLERS["post"] = choose


def release_handshakes() -> None:
    """Let all handshakes go on."""
    handshakes.set()


def release_replies(count: int) -> None:
    """Let so many replies go on."""
    replies.release(count)


def say(author: str, events: list[dict]) -> None:
    """Send events to somebody."""
    for connection in connections(author):
        for event in events:
            connection.send(json.dumps(event))


def close(author: str, code: int, reason: str) -> None:
    """Close somebody's connections."""
    for connection in connections(author, forget=True):
        end(connection, code, reason)


def wait_for(author: str) -> None:
    """Wait until somebody is in the room."""
    connections(author)


def close_first(author: str) -> None:
    """Close the first of somebody's connections, when there is another."""
    with joined:
        joined.wait_for(lambda: len(here[author]) > 1, SOON)
        first = here[author].pop(0)
    end(first, 1000, "")


def end(connection: hub.Connection, code: int, reason: str) -> None:
    """Close a connection. No reply that is on its way gets behind the close frame."""
    with connection._lock:
        connection.ws.close(code, reason)


def cut(author: str) -> None:
    """End somebody's connections without a close frame."""
    for connection in connections(author, forget=True):
        connection.ws.sock.shutdown(socket.SHUT_RDWR)


def connections(author: str, forget: bool = False) -> list[hub.Connection]:
    """Return somebody's connections, and wait for the first. `forget` those that will be ended."""
    with joined:
        joined.wait_for(lambda: here[author], SOON)
        return here.pop(author) if forget and here[author] else list(here[author])
