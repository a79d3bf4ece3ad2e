"""Functions that the tests of lesson 13 call inside a process of the app.

They let users in without a password, stop the follower before it reads, let it fail, post from
inside, and have a clock that shows what a test says.
"""

import json
import threading
import time
from pathlib import Path

import redis
from flask import Flask
from redis.connection import AbstractConnection
from werkzeug.exceptions import ServiceUnavailable

import board
import database
import follow
import hub
import limits
import resume
import store
from accounts import Accounts, digest, new_secret
from database import key

LONG = 10.0  # seconds after which what is held goes on
MOMENT = 0.05  # seconds in which another process or thread can overtake
NOW = 'redis.call("TIME")'  # how a script of the lesson reads the clock
CLOCK = "{board}:the clock of a test"

gate = threading.Event()  # While it isn't set, the follower doesn't read.
gate.set()
held = threading.Event()  # The follower waits at the gate.
target = [0]  # the message after which the follower stops
news: list[str] = []  # the rooms for which the follower called `show()`


def the(kind: type) -> object:
    """Return the only object of a class that this process has."""
    import gc

    (found,) = [each for each in gc.get_objects() if type(each) is kind]
    return found


def extension(name: str) -> object:
    """Return what the app has under this name."""
    return the(Flask).extensions[name]


def enrol(names: list[str], rooms: list[str]) -> dict[str, str]:
    """Give users the role of a writer in the rooms. Return the cookie of each."""
    users: Accounts = extension("accounts")
    redis = extension("database")
    cookies = {}
    for name in names:
        redis.hsetnx(key("users"), name, "no password")
        for room in rooms:
            redis.hset(key("roles", room), name, "writer")
        cookies[name] = users.log_in(name, "session")
    return cookies


def token(name: str) -> str:
    """Return a new API token of a user."""
    return extension("accounts").log_in(name, "token")


def moderate(room: str, name: str) -> None:
    """Make a user the moderator of a room."""
    extension("database").hset(key("roles", room), name, "moderator")


def new_password(name: str, password: str) -> None:
    """Change a user's password, as `flask accounts add` does."""
    extension("accounts").add_user(name, password)


def fill(room: str, count: int) -> list[int]:
    """Store messages. Return their ids."""
    messages = extension("store")
    return [messages.add(room, "eve", f"number {number}")["id"] for number in range(count)]


def pages(room: str, calls: list[list]) -> list:
    """Call methods of the store, each given with its arguments after the room."""
    messages = extension("store")
    return [getattr(messages, name)(room, *args) for name, *args in calls]


# The follower


def watch() -> None:
    """Let the follower wait at the gate before a read."""
    real = database.Stream.after

    def after(self: database.Stream, position: str) -> list:
        number = position.partition("-")[0]
        if not gate.is_set() and not (number.isdecimal() and int(number) < target[0]):
            held.set()
            gate.wait(LONG)
        return real(self, position)

    database.Stream.after = after


def hold() -> None:
    """Let the follower read nothing after the next message."""
    target[0] = int(extension("database").get(key("id")) or 0) + 1
    held.clear()
    gate.clear()


def is_held() -> bool:
    """Return whether the follower is at the gate, after the message that `hold` counts."""
    return held.is_set()


def hold_after_outage() -> None:
    """Let the follower wait at the gate before it reads again after an outage of Redis."""
    real = follow.Follower.check

    def check(self: follow.Follower) -> None:
        held.set()
        gate.wait(LONG)
        real(self)

    held.clear()
    gate.clear()
    follow.Follower.check = check


def release() -> None:
    """Let the follower go on."""
    gate.set()


def record_news() -> None:
    """Record for which rooms the follower calls `show()`."""
    real = hub.Hub.show
    news.clear()

    def show(self: hub.Hub, room: str) -> None:
        real(self, room)
        news.append(room)

    hub.Hub.show = show


def recorded_news() -> list[str]:
    """Return the rooms that were recorded."""
    return news


def fail_once() -> None:
    """Let Redis not respond when the follower needs it for the next presence. Record the others."""
    record_news()
    real = hub.Hub.show

    def show(self: hub.Hub, room: str) -> None:
        hub.Hub.show = real
        raise ServiceUnavailable

    hub.Hub.show = show


def break_follower(word: str) -> None:
    """Raise an exception when a message with this text is published."""
    real = hub.Hub.publish

    def publish(self: hub.Hub, room: str, message: dict) -> None:
        if message.get("message", {}).get("text") == word:
            raise RuntimeError("broken on purpose")
        real(self, room, message)

    hub.Hub.publish = publish


def stall_reads() -> None:
    """Let no blocking read return before `release`. Another call on its connection has to wait."""
    real = AbstractConnection.send_command

    def send(self: AbstractConnection, *words: object, **options: object) -> None:
        real(self, *words, **options)
        if words[0] == "XREAD":
            held.set()
            gate.wait(LONG)

    held.clear()
    gate.clear()
    AbstractConnection.send_command = send


def lose_reply() -> None:
    """Cut the connection before the reply to the next script arrives that stores a message."""
    real = AbstractConnection.send_command

    def send(self: AbstractConnection, *words: object, **options: object) -> None:
        real(self, *words, **options)
        if words[0] == "EVALSHA" and key("rooms") in words:
            self.read_response()  # It raises NoScriptError if Redis doesn't know the script yet.
            AbstractConnection.send_command = real
            raise redis.ConnectionError("Connection closed by a test.")

    AbstractConnection.send_command = send


def alive() -> bool:
    """Return what the follower says of itself."""
    return the(follow.Follower).alive


def connections(room: str) -> int:
    """Return how many connections of this process are in a room."""
    here = extension("hub")._rooms.get(room)
    return len(here.connections) if here else 0


def post_after_next_page(room: str) -> None:
    """Store a message in the room when the next page has been read, before its reader goes on."""
    real = store.Store.list

    def listed(self: store.Store, *args: object, **options: object) -> list:
        found = real(self, *args, **options)
        if args[-1] == resume.PAGE:  # `count` calls it with another limit.
            store.Store.list = real
            self.add(room, "eve", "between the page and the welcome")
        return found

    store.Store.list = listed


# What is shared


def stop_clock() -> None:
    """Let the rates read the clock of a test, which `later` sets."""
    rates = extension("rates")
    redis = extension("database")
    redis.set(CLOCK, 1_000_000)
    text = Path(limits.__file__).with_name("lua").joinpath("take.lua").read_text()
    text = text.replace(NOW, f'{{redis.call("GET", "{CLOCK}"), 0}}')
    rates._take = redis.register_script(text)


def later(seconds: float) -> None:
    """Let so much time pass on the clock of a test."""
    redis = extension("database")
    redis.set(CLOCK, float(redis.get(CLOCK)) + seconds)


def slow(command: str, part: str) -> None:
    """Let a command of Redis take a moment afterwards if its key has this part."""
    real = database.Database.execute_command

    def execute(self: database.Database, *words: object, **options: object) -> object:
        found = real(self, *words, **options)
        if words[0] == command and part in str(words[1]):
            threading.Event().wait(MOMENT)
        return found

    database.Database.execute_command = execute


def crash(word: str) -> None:
    """Let each request with this word in it raise an exception in its handler."""
    real = board.Session.reply

    def reply(self: object, request: dict) -> dict:
        if word in json.dumps(request):
            raise RuntimeError("crashed on purpose")
        return real(self, request)

    board.Session.reply = reply


def now() -> float:
    """Return the time of this machine."""
    return time.time()


def login_of(cookie: str) -> str:
    """Return the hash of a login, by its cookie."""
    return digest(cookie) if cookie else new_secret()
