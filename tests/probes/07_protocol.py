"""What the tests of lesson 7 do inside the app's process."""

import builtins
import gc
import sqlite3
import threading

import simple_websocket

import protocol
import store

PATIENCE = 0.3  # seconds for a reply to overtake an earlier one


def keep(database: str, room: str, author: str, text: str) -> dict:
    """Store a message that no client has posted."""
    return store.Store(database).add(room, author, text)


def keep_many(database: str, room: str, count: int) -> list[int]:
    """Store this many messages, and return their ids."""
    board = store.Store(database)
    return [board.add(room, "ada", f"number {number}")["id"] for number in range(count)]


HANDLED: list[str] = []  # the messages that `reply_with()` has replied to


def reply_with(replies: list[dict]) -> None:
    """Let handle() return these replies in turn."""
    left = list(replies)

    def handle(self: protocol.Session, data: str) -> dict:
        HANDLED.append(data)
        return left.pop(0)

    protocol.Session.handle = handle


def handled() -> list[str]:
    """Return the messages that handle() was called with."""
    return HANDLED


HELD: list[sqlite3.Connection] = []  # the connection that holds the database


def lock(database: str) -> None:
    """Lock the database, as a process that writes to it does. Others can read."""
    HELD.append(sqlite3.connect(database, isolation_level=None, check_same_thread=False))
    HELD[0].execute("BEGIN IMMEDIATE")


def unlock() -> None:
    """Let others write again."""
    HELD[0].execute("COMMIT")


WRITES: list[str] = []  # statements that write, or begin to


def watch_writes() -> None:
    """Record each statement with which the store begins to write."""

    def note(statement: str) -> None:
        if statement.split()[0].upper() in {"BEGIN", "INSERT", "REPLACE", "UPDATE"}:
            WRITES.append(statement)

    for thing in gc.get_objects():
        if isinstance(thing, sqlite3.Connection) and thing not in HELD:
            thing.set_trace_callback(note)


def wants_to_write() -> bool:
    """Return whether the store has begun to write."""
    return bool(WRITES)


def back_date(database: str, sent_at: str) -> None:
    """Change the time of all messages of a board."""
    with sqlite3.connect(database, timeout=30) as board:
        board.execute("UPDATE messages SET sent_at = ?", (sent_at,))
    board.close()


def teach(kind: str, word: str) -> None:
    """Add a handler of another type. Its reply has a word, and the request's `extra` if any."""
    protocol.HANDLERS[kind] = lambda session, request: {
        "type": kind,
        "id": request["id"],
        "room": session.room,
        "word": word,
        "extra": request.get("extra"),
    }


def teach_to_refuse(kind: str, code: str, detail: str) -> None:
    """Add a handler that refuses."""

    def refuse(session: protocol.Session, request: dict) -> dict:
        raise protocol.Refused(code, detail)

    protocol.HANDLERS[kind] = refuse


class Overdrawn(Exception):
    """An error that has the attributes of `Refused`, but isn't one."""

    code, detail = "overdrawn", "Overdrawn: there is nothing left."


def teach_to_fail(kind: str, error: str, words: str) -> None:
    """Add a handler that raises an exception."""
    kind_of_error = getattr(builtins, error, Overdrawn)

    def stumble(session: protocol.Session, request: dict) -> dict:
        raise kind_of_error(words)

    protocol.HANDLERS[kind] = stumble


def break_store(method: str, words: str) -> None:
    """Let a method of the store fail as a database can."""

    def fail(*args: object, **kwargs: object) -> None:
        raise sqlite3.OperationalError(words)

    setattr(store.Store, method, fail)


def hold_first_add() -> None:
    """Delay the first post until something has been sent, or for a moment."""
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
    """Let the next message meet a broken connection."""

    def lost(self: simple_websocket.Server, data: str | bytes) -> None:
        lose_no_more()
        raise BrokenPipeError(32, "Broken pipe")

    simple_websocket.Server.send = lost


def lose_no_more() -> None:
    """Let messages be sent again."""
    simple_websocket.Server.send = SEND
