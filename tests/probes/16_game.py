"""Functions that the tests of lesson 16 call inside a process that imports from the lesson.

They step a game, run a room's loop with a clock of their own, and run the ticks of a room by hand.
Snakes go over the channel as pairs, since a key of a JSON object is a string.
"""

import copy
import gc
import hashlib
import json
import logging
import random
import socket
import threading
import time
from collections.abc import Callable

import game
import room
import snapshots
import ticker
import turns
import writer

NOTED = (1, 2, 3, 10, 50, 100, 200, 300, 400)  # ticks of the recording
LATE = 5.0  # seconds after which the writer should have sent a snapshot
LONG = 200_000  # calls of the loop's sleep after which it is stopped


# The game


def played(snakes: list, food: list[int], players: list[int], chosen: list, tick: int = 0) -> dict:
    """Return the game after one tick, with its snakes in order, and whether the old one stayed."""
    before = {"tick": tick, "snakes": dict(snakes), "food": food}
    copied = copy.deepcopy(before)
    after = game.step(before, players, dict(chosen), 7)
    kept = before == copied
    lists = {"snakes": [list(pair) for pair in sorted(after["snakes"].items())]}
    return {"tick": after["tick"], **lists, "food": after["food"], "kept": kept}


class Dice:
    """Numbers that look random, and are the same in every version of Python."""

    def __init__(self, seed: int) -> None:
        self.state = seed

    def roll(self, sides: int) -> int:
        """Return a number from 0 to `sides - 1`."""
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self.state >> 33) % sides


def recording(count: int, shuffled: bool = False):
    """Yield the game after each tick of a recorded one, in which players join, turn and leave."""
    dice, mixed, now = Dice(16), Dice(17), game.new_game()
    players: list[int] = []
    for tick in range(count):
        if tick < 30 or dice.roll(20) == 0:
            players.append(tick * 7 % 41 + 41 * (tick // 41) + 1)
        if len(players) > 20 and dice.roll(20) == 0:
            players.pop(dice.roll(len(players)))
        chosen = {p: game.DIRECTIONS[dice.roll(4)] for p in players if dice.roll(3) == 0}
        order = list(players)
        if shuffled:
            order.sort(key=lambda _: mixed.roll(2**20))
            chosen = dict(sorted(chosen.items(), reverse=bool(mixed.roll(2))))
            now = {**now, "snakes": dict(sorted(now["snakes"].items(), reverse=True))}
        now = game.step(now, order, chosen, 16)
        yield now


def digests(shuffled: bool) -> list[list]:
    """Return a digest of the recorded game after each of the ticks `NOTED`."""
    found = []
    for now in recording(max(NOTED), shuffled):
        if now["tick"] in NOTED:
            plain = [now["tick"], sorted(now["snakes"].items()), sorted(now["food"])]
            found.append([now["tick"], hashlib.sha256(json.dumps(plain).encode()).hexdigest()[:12]])
    return found


# The clock


class Stop(BaseException):
    """End a loop that would go on."""


class Time:
    """A clock that only a test moves."""

    def __init__(self) -> None:
        self.now = 64.0

    def __call__(self) -> float:
        return self.now


def dues(rate: float, moments: list[float]) -> list[list]:
    """Return [seconds to wait, ticks that are due, seconds to wait then] at each moment."""
    time = Time()
    ours, found = ticker.Ticker(rate, time), []
    for moment in moments:
        time.now = 64.0 + moment
        found.append([ours.wait(), ours.due(), ours.wait()])
    return found


class WatchedLock:
    """A lock of one thread, which knows whether it is held. It calls `before` when it is taken."""

    def __init__(self, before: Callable[[], None]) -> None:
        self.depth, self.before = 0, before

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take the lock."""
        if not self.depth:
            self.before()
        self.depth += 1
        return True

    def release(self) -> None:
        """Let the lock go."""
        self.depth -= 1

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *error: object) -> None:
        self.release()


class Loop(logging.Handler):
    """A room's loop, with a clock, a sleep, a lock and ticks of ours."""

    def __init__(self, rate: float, seconds: float, cost: float) -> None:
        super().__init__()
        self.time, self.dice = Time(), Dice(1)
        self.room = room.Room("lobby", room.Rooms(rate, 10.0))
        self.room._rooms._rooms["lobby"] = self.room
        self.room.clock, self.room.sleep = self.time, self.sleep
        self.room.players = {1: room.Player(1, "ada")}
        self.room.tick, self.room.publish = self.tick, self.publish
        self.end, self.cost = self.time.now + seconds, cost
        self.ticks: list[float] = []  # when each was run
        self.batches: list[int] = []  # the ticks before each snapshot
        self.count = self.sleeps = 0
        self.pauses: dict[int, float] = {}  # after which tick, and for how long, all stops
        self.faults: set[int] = set()  # ticks that raise an exception
        self.faulty = ""  # what the loop did with or without the lock
        self.logged = 0  # records in the log
        self.empty_at = 0  # during which tick the last player leaves
        self.ended = False  # The loop has ended by itself.
        self.joins = False  # A player joins in the moment before the lock is taken.
        self.lock_of_room = self.room.lock = WatchedLock(self.before_lock)
        self.forget, self.room.end = self.room.end, self.end_room

    def sleep(self, seconds: float) -> None:
        """Sleep, and a little longer, as the real one does."""
        self.sleeps += 1
        if self.time.now >= self.end or self.sleeps > LONG:
            raise Stop
        if seconds < 0:
            raise ValueError("sleep length must be non-negative")
        if self.lock_of_room.depth:
            self.faulty = "it slept while it held the lock"
        self.time.now += seconds + self.dice.roll(2_000) / 1e6 + 1e-5

    def before_lock(self) -> None:
        """Let a player join if the room is empty, before the loop can take the lock."""
        if self.joins and not self.room.players:
            self.room.players, self.joins = {2: room.Player(2, "bob")}, False

    def end_room(self) -> None:
        """End the room."""
        if not self.lock_of_room.depth:
            self.faulty = "it called end() without the lock"
        if self.room.players:
            self.faulty = "it called end() although a player has joined"
        self.forget()

    def emit(self, record: logging.LogRecord) -> None:
        """Count what is logged."""
        self.logged += 1

    def tick(self) -> None:
        """Run a tick."""
        if not self.lock_of_room.depth:
            self.faulty = "it ran a tick without the lock"
        self.ticks.append(self.time.now)
        self.count += 1
        self.time.now += self.cost + self.pauses.get(len(self.ticks), 0.0)
        if len(self.ticks) in self.faults:
            raise RuntimeError("a tick that fails, for a test")
        if len(self.ticks) == self.empty_at:
            self.room.players = {}

    def publish(self) -> None:
        """Publish a snapshot."""
        self.batches.append(self.count)
        self.count = 0

    def run(self) -> None:
        """Run the loop to its end."""
        real = room.time.sleep
        room.time.sleep = self.sleep  # It may be called in place of `self.sleep`.
        logging.getLogger().addHandler(self)
        try:
            self.room.run()
            self.ended = True
        except Stop:
            pass
        finally:
            room.time.sleep = real
            logging.getLogger().removeHandler(self)


def hour(rate: float, cost: float) -> dict:
    """Run a loop for an hour. Return how many ticks it ran, and how late the latest one was."""
    loop = Loop(rate, 3600, cost)
    loop.run()
    late = max(
        (when - 64.0 - (number + 1) / rate for number, when in enumerate(loop.ticks)), default=0.0
    )
    return {"ticks": len(loop.ticks), "late": round(late * 1000), "fault": loop.faulty}


def stopped(rate: float, pause: float) -> dict:
    """Run a loop in which everything stops once after tick 10. Return its ticks and snapshots."""
    loop = Loop(rate, 10.0, 0.0)
    loop.pauses = {10: pause}
    loop.run()
    after = [round((when - 64.0) * rate, 1) for when in loop.ticks[10:18]]
    return {"batches": loop.batches[10:16], "after": after, "count": len(loop.ticks)}


def overloaded(rate: float, cost: float) -> dict:
    """Run a loop whose ticks take longer than they may. Return the largest batch."""
    loop = Loop(rate, 60.0, cost)
    loop.run()
    return {"most": max(loop.batches, default=0), "ticks": len(loop.ticks), "sleeps": loop.sleeps}


def failing(faults: list[int]) -> list[int]:
    """Run a loop in which ticks fail. Return how many it ran in 10 seconds, and what it logged."""
    loop = Loop(10.0, 10.0, 0.0)
    loop.faults = set(faults)
    loop.run()
    return [len(loop.ticks), loop.logged]


def emptied() -> dict:
    """Run a loop whose players leave during tick 5. Return what is left of the room."""
    loop = Loop(10.0, 10.0, 0.0)
    loop.empty_at = 5
    loop.run()
    kept = loop.room._rooms.get("lobby") is not None
    return {"ended": loop.ended, "kept": kept, "ticks": len(loop.ticks), "fault": loop.faulty}


def joined_late() -> str:
    """Run a loop whose players leave, and another joins at once. Return what the loop did wrong."""
    loop = Loop(10.0, 10.0, 0.0)
    loop.empty_at, loop.joins = 5, True
    loop.run()
    return loop.faulty


# The turns


def take_turns(script: list[list]) -> list:
    """Run calls of `add()` and `take()`. Return what each led to."""
    ours, found = turns.Turns(), []
    for name, *arguments in script:
        try:
            got = getattr(ours, name)(*arguments)
        except turns.Refused as refusal:
            got = refusal.code
        found.append([got, ours.acked] if name == "take" else got)
    return found


# The snapshots


def changed(before: list, now: list) -> list:
    """Return what `changed_snakes()` returns."""
    pairs = [dict(snakes) for snakes in (before, now)]
    return snapshots.changed_snakes(*pairs)


def patched(snakes: dict, found: list) -> dict:
    """Return snakes as a client has them after `changed_snakes()`."""
    patch = {p: (cells + snakes.get(p, []))[:length] for p, length, cells in found}
    return {**snakes, **patch}


def patch_many(count: int, every: int) -> str:
    """Follow a recorded game by differences, of `every` tick. Return the first fault, or ""."""
    before: dict = {}
    for now in recording(count):
        if now["tick"] % every:
            continue
        kept = copy.deepcopy((before, now["snakes"]))
        found = snapshots.changed_snakes(before, now["snakes"])
        if kept != (before, now["snakes"]):
            return "changed_snakes() has changed its arguments"
        known = {p: body for p, body in before.items() if p in now["snakes"]}
        for player, body in patched(known, found).items():
            if body != now["snakes"][player]:
                old = before.get(player, [])
                return f"{old} became {now['snakes'][player]}, but a client has {body}"
        before = now["snakes"]
    return ""


def sizes(players: int, count: int) -> list[int]:
    """Return the sizes of the differences of a game in which all players turn often, in bytes."""
    dice, numbers, found = Dice(3), list(range(1, players + 1)), []
    now, acks = game.new_game(), dict.fromkeys(numbers, 0)
    for tick in range(count):
        before = snapshots.snapshot(now, acks)
        chosen = {p: game.DIRECTIONS[dice.roll(4)] for p in numbers if dice.roll(2)}
        acks = {p: acks[p] + (p in chosen) for p in numbers}
        now = game.step(now, numbers, chosen, 5)
        message = snapshots.difference(before, snapshots.snapshot(now, acks))
        if tick >= 3:  # All are born in the first.
            found.append(len(snapshots.frame(message)))
    return found


# The server


class HeldSocket:
    """The socket that the writer uses, which takes nothing while a test says so."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock, self.full = sock, False

    def __getattr__(self, name: str) -> object:
        return getattr(self._sock, name)

    def send(self, data: bytes) -> int:
        """Send the data, unless it is full."""
        if self.full:
            threading.Event().wait(0.005)  # The selector thinks otherwise, and calls again.
            raise BlockingIOError
        return self._sock.send(data)


encoded: list[str] = []  # the types of the messages that were encoded
gone: list[str] = []  # the rooms of the connections that have ended


def rooms() -> room.Rooms:
    """Return the app's rooms."""
    return next(each for each in gc.get_objects() if type(each) is room.Rooms)


def by_hand() -> None:
    """From now on, a room has no thread: `advance()` runs its ticks. Note what is encoded."""
    rooms().start = lambda room: None
    random.seed(1)
    init, dumps, leave = writer.Outbox.__init__, json.dumps, room.Room.leave

    def held(self: writer.Outbox, *args: object) -> None:
        init(self, *args)
        self.sock = HeldSocket(self.sock)

    def noted(value: object, *args: object, **options: object) -> str:
        if isinstance(value, dict) and "type" in value:
            encoded.append(value["type"])
        return dumps(value, *args, **options)

    def noted_leave(self: room.Room, *args: object) -> None:
        leave(self, *args)
        gone.append(self.name)

    writer.Outbox.__init__, json.dumps, room.Room.leave = held, noted, noted_leave


def advance(name: str, count: int = 1, apart: bool = True) -> int:
    """Run ticks, with a snapshot after each or one after all. Return the room's newest tick.

    The writer gets time to send each snapshot, or at least to begin with it.
    """
    here = rooms().get(name)
    for step in [1] * count if apart else [count]:
        with here.lock:
            here.advance(step)
            outboxes = [connection.outbox for connection in here.connections()]
        deadline = time.monotonic() + LATE
        while not all(is_settled(outbox) for outbox in outboxes) and time.monotonic() < deadline:
            threading.Event().wait(0.0005)
    return here.game["tick"]


def is_settled(outbox: writer.Outbox) -> bool:
    """Return whether all is sent, or the system takes nothing and a frame is begun."""
    return outbox.ended or (bool(outbox.rest) if outbox.sock.full else not outbox.size)


def limit(players: int) -> None:
    """Let a room have fewer players."""
    room.MAX_PLAYERS = players


def queued(name: str, number: int) -> list:
    """Return the newest turn that a player has sent: its number, and that of the last one used."""
    here = rooms().get(name)
    with here.lock:
        turns = here.players[number].turns
        return [turns.newest, turns.acked]


def left() -> int:
    """Return how many connections have ended."""
    return len(gone)


def state(name: str) -> dict:
    """Return a room's game as a key frame has it."""
    here = rooms().get(name)
    with here.lock:
        return snapshots.key(here.sent)


def place(name: str, snakes: list, food: list[int]) -> None:
    """Put snakes and food where a test wants them."""
    here = rooms().get(name)
    with here.lock:
        here.game = {**here.game, "snakes": dict(snakes), "food": food}
        here.sent = {**here.sent, "snakes": here.game["snakes"], "food": food}
        here.sent["acks"] = {player: here.players[player].turns.acked for player, _ in snakes}


def is_there(name: str) -> bool:
    """Return whether a room has players."""
    return rooms().get(name) is not None


def connected(name: str) -> int:
    """Return how many players of a room aren't away."""
    here = rooms().get(name)
    with here.lock:
        return len(here.connections())


def hold(name: str, number: int, full: bool) -> None:
    """Let the system take nothing more for a player, or let it take all."""
    here = rooms().get(name)
    with here.lock:
        here.players[number].connection.outbox.sock.full = full


def waiting(name: str, number: int) -> list[str]:
    """Return the frames that wait for a player and were not begun, as their texts."""
    here = rooms().get(name)
    with here.lock:
        frames = list(here.players[number].connection.outbox.waiting.values())
    return [frame[frame.index(b"{") :].decode() for frame in frames]


def count_encoded() -> list[str]:
    """Return the types of the messages that were encoded since the last call."""
    found = list(encoded)
    encoded.clear()
    return found
