"""Runs inside the app's process for lesson 9's tests: it notes requests, and makes faults happen.

A page sees an error, a cut connection or a late reply only if the server has them. This probe makes
them, one at a time.
"""

import contextlib
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

LONG = 60.0  # seconds, after which a held handshake or reply continues
SOON = 5.0  # seconds for a page that connects to join its room

requests: list[dict] = []  # what pages have asked for
endings: list[int] = []  # the close codes of the connections that have ended
offers: list[str] = []  # the subprotocols that were offered, one entry for each handshake
hubs: list[hub.Hub] = []  # the app's hub, once a page has joined a room
handshakes = threading.Event()  # set when held handshakes may continue
replies = threading.Semaphore(0)  # how many of the held replies may continue
joined = threading.Condition()
here: dict[str, list[hub.Connection]] = defaultdict(list)  # by author, since the last cut


def watch() -> None:
    """Note what pages ask for, and how their connections end."""
    handle, converse = protocol.Session.handle, app.converse
    begin, join = simple_websocket.Server.__init__, hub.Hub.join

    def join_and_note(self: hub.Hub, room: str, connection: hub.Connection, *args: object) -> None:
        join(self, room, connection, *args)
        with joined:
            hubs[:] = [self]
            here[connection.author].append(connection)
            joined.notify_all()

    def handle_and_note(self: protocol.Session, data: str | bytes) -> dict:
        with contextlib.suppress(protocol.Refused):  # The server refuses it by itself.
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
    """Return the members of the room, as the hub lists them."""
    return hubs[0].members(room) if hubs else []


def keep(database: str, room: str, texts: list[list[str]]) -> list[dict]:
    """Store messages, each an author and a text, without publishing them."""
    kept = store.Store(database)
    return [kept.add(room, author, text) for author, text in texts]


def hold_handshakes() -> None:
    """Hold all handshakes until `release_handshakes`."""
    begin = simple_websocket.Server.__init__

    def wait(*args: object, **options: object) -> None:
        handshakes.wait(LONG)
        begin(*args, **options)

    simple_websocket.Server.__init__ = wait


def hold_replies() -> None:
    """Hold all replies to posts until `release_replies`."""
    post = protocol.HANDLERS["post"]

    def wait(*args: object) -> dict:
        replies.acquire(timeout=LONG)
        return post(*args)

    protocol.HANDLERS["post"] = wait


def refuse(word: str) -> None:
    """Refuse each post that contains this word. The error's detail contains the text."""
    post = protocol.HANDLERS["post"]

    def choose(session: protocol.Session, request: dict) -> dict:
        if word in request["text"]:
            raise protocol.Refused("bad_message", f"The board refuses {request['text']}.")
        return post(session, request)

    protocol.HANDLERS["post"] = choose


def release_handshakes() -> None:
    """Let all handshakes continue."""
    handshakes.set()


def release_replies(count: int) -> None:
    """Let this many replies continue."""
    replies.release(count)


def say(author: str, events: list[dict]) -> None:
    """Send events to the author's connections."""
    for connection in connections(author):
        for event in events:
            connection.send(json.dumps(event))


def close(author: str, code: int, reason: str) -> None:
    """Close the author's connections."""
    for connection in connections(author, forget=True):
        end(connection, code, reason)


def wait_for(author: str) -> None:
    """Wait until the author is in the room."""
    connections(author)


def close_first(author: str) -> None:
    """Close the first of the author's connections, when there is another."""
    with joined:
        joined.wait_for(lambda: len(here[author]) > 1, SOON)
        first = here[author].pop(0)
    end(first, 1000, "")


def end(connection: hub.Connection, code: int, reason: str) -> None:
    """Close a connection. The lock keeps a late reply from following the close frame."""
    with connection._lock:
        connection.ws.close(code, reason)


def cut(author: str) -> None:
    """End the author's connections without a close frame."""
    for connection in connections(author, forget=True):
        connection.ws.sock.shutdown(socket.SHUT_RDWR)


def connections(author: str, forget: bool = False) -> list[hub.Connection]:
    """Wait for the author's connections, and return them. `forget` those that are to end."""
    with joined:
        joined.wait_for(lambda: here[author], SOON)
        return here.pop(author) if forget and here[author] else list(here[author])
