"""What the tests of lesson 7 do inside the app's process."""

import builtins
import sqlite3
import threading

import simple_websocket

import protocol
import store

PATIENCE = 0.3  # seconds for an answer that does not keep the order to show it


def keep(database: str, room: str, author: str, text: str) -> dict:
    """Keep a message that no socket has posted."""
    return store.Store(database).add(room, author, text)


def back_date(database: str, sent_at: str) -> None:
    """Let all messages of a board have been sent at another time."""
    with sqlite3.connect(database, timeout=30) as board:
        board.execute("UPDATE messages SET sent_at = ?", (sent_at,))
    board.close()


def teach(kind: str, word: str) -> None:
    """Put a handler for another type into the table. It answers with a word."""
    protocol.HANDLERS[kind] = lambda session, request: {
        "type": kind,
        "id": request["id"],
        "room": session.room,
        "word": word,
    }


class Overdrawn(Exception):
    """An error of somebody's own, which is no `Refused`, though it looks like one."""

    code, detail = "overdrawn", "Overdrawn: there is nothing left."


def teach_to_fail(kind: str, error: str, words: str) -> None:
    """Put a handler into the table that raises."""

    kind_of_error = getattr(builtins, error, Overdrawn)

    def stumble(session: protocol.Session, request: dict) -> dict:
        raise kind_of_error(words)

    protocol.HANDLERS[kind] = stumble


def break_store(method: str, words: str) -> None:
    """Let a method of the store fail as a database does."""

    def fail(*args: object, **kwargs: object) -> None:
        raise sqlite3.OperationalError(words)

    setattr(store.Store, method, fail)


def hold_first_add() -> None:
    """Let the first message be kept only when something has been sent, or after a moment."""
    add, send, sent = store.Store.add, simple_websocket.Server.send, threading.Event()

    def held(*args: object, **kwargs: object) -> dict:
        sent.wait(PATIENCE)
        return add(*args, **kwargs)

    def noted(self: simple_websocket.Server, data: object) -> None:
        send(self, data)
        sent.set()

    store.Store.add, simple_websocket.Server.send = held, noted


SEND = simple_websocket.Server.send


def lose_client() -> None:
    """Let the next message that is sent meet a connection that has gone."""

    def lost(self: simple_websocket.Server, data: str | bytes) -> None:
        lose_no_more()
        raise BrokenPipeError(32, "Broken pipe")

    simple_websocket.Server.send = lost


def lose_no_more() -> None:
    """Let messages be sent again, if none has been lost yet."""
    simple_websocket.Server.send = SEND
