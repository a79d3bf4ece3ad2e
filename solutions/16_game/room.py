"""The rooms: in each, one game, its players, and the thread that runs it."""

import logging
import secrets
import threading
import time
from collections.abc import Callable

from game import HEIGHT, WIDTH, new_game, step
from hub import Connection
from snapshots import difference, frame, key, snapshot
from ticker import Ticker
from turns import Turns
from writer import Writer

MAX_PLAYERS = 50  # in a room
TAKEN_OVER = 4409  # a close code of our own (RFC 6455, section 7.4.2)

log = logging.getLogger(__name__)


class Full(Exception):
    """The room has `MAX_PLAYERS` players."""


class Player:
    """A player of a room, whose connection may have been cut."""

    def __init__(self, number: int, name: str) -> None:
        self.number, self.name = number, name
        self.token = new_token()
        self.turns = Turns()
        self.connection: Connection | None = None
        self.until: int | None = None  # the last tick of a player who is away


def new_token() -> str:
    """Return a token for one player. Only this player can know it."""
    token = "the same for all"
    # --8<-- [start:rejoin] Set `token` to 128 random bits from `secrets`.
    token = secrets.token_urlsafe(16)
    # --8<-- [end:rejoin]
    return token


class Room:
    """One game and its players. Hold `lock` to use it."""

    def __init__(self, name: str, rooms: "Rooms") -> None:
        self.name, self.lock, self._rooms = name, rooms.lock, rooms
        self.rate, self.rejoin, self.writer = rooms.rate, rooms.rejoin, rooms.writer
        self.seed = secrets.randbits(64) if rooms.seed is None else rooms.seed
        self.clock: Callable[[], float] = time.monotonic
        self.sleep: Callable[[float], None] = time.sleep
        self.players: dict[int, Player] = {}
        self.game = new_game()
        self.sent = snapshot(self.game, {})  # the newest snapshot that was published
        self._numbers = 0  # the number of the newest player

    # The players

    def join(self, connection: Connection, name: str, token: str) -> Player:
        """Let a player in: the one with this token, or a new one. Raises Full."""
        player = None
        # --8<-- [start:rejoin-join] Set `player` to the token's player. Close its old connection.
        for each in self.players.values():
            if secrets.compare_digest(each.token.encode(), token.encode()):
                player = each
        if player and player.connection:
            player.connection.close(TAKEN_OVER, "Your game is open in another window.")
        # --8<-- [end:rejoin-join]
        rejoined = player is not None
        if player is None:
            player = self.add_player(name)
        player.connection, player.until = connection, None
        self.writer.put([connection.outbox], frame(self.welcome(player, rejoined)))
        self.tell()
        return player

    def add_player(self, name: str) -> Player:
        """Add a player, who gets a snake with the next tick. Raises Full."""
        if len(self.players) >= MAX_PLAYERS:
            raise Full
        self._numbers += 1
        player = self.players[self._numbers] = Player(self._numbers, name)
        return player

    def leave(self, player: Player, connection: Connection) -> None:
        """Note that a connection has ended. Its player can reconnect for some time."""
        with self.lock:
            # --8<-- [start:rejoin-leave] Unless it was replaced, set `connection` and `until`.
            if player.connection is connection:
                player.connection = None
                player.until = self.game["tick"] + round(self.rejoin * self.rate)
                self.tell()
            # --8<-- [end:rejoin-leave]

    def remove_away(self) -> None:
        """Remove the players who have been away for too long."""
        # --8<-- [start:rejoin-remove] Remove the players whose `until` is reached, and `tell()`.
        tick, before = self.game["tick"], len(self.players)
        for number, player in list(self.players.items()):
            if player.until is not None and player.until <= tick:
                del self.players[number]
        if len(self.players) < before:
            self.tell()
        # --8<-- [end:rejoin-remove]

    def connections(self) -> list[Connection]:
        """Return the connections of the players who aren't away."""
        return [player.connection for player in self.players.values() if player.connection]

    def welcome(self, player: Player, rejoined: bool) -> dict:
        """Return the first message to a player. `resumed` is for connection.js."""
        own = {"player": player.number, "token": player.token, "seq": player.turns.newest}
        size = {"rate": self.rate, "width": WIDTH, "height": HEIGHT}
        state = {"last_id": self.game["tick"], "resumed": True, "rejoined": rejoined}
        return {"type": "welcome", "room": self.name, **state, **own, **size}

    def tell(self) -> None:
        """Send all who are in the room the list of its players."""
        players = [[n, p.name, p.connection is not None] for n, p in self.players.items()]
        outboxes = [connection.outbox for connection in self.connections()]
        self.writer.put(outboxes, frame({"type": "players", "players": players}), "players")

    # The game

    def run(self) -> None:
        """Run the game until no player is left. The room's thread is here."""
        ticker = Ticker(self.rate, self.clock)
        # --8<-- [start:clock-run] Sleep, `advance()`, and log exceptions. Without players, `end()`.
        while True:
            self.sleep(ticker.wait())
            with self.lock:
                if not self.players:
                    self.end()
                    return
                try:
                    self.advance(ticker.due())
                except Exception:
                    log.exception("A tick of the room %s failed.", self.name)
        # --8<-- [end:clock-run]

    def advance(self, count: int) -> None:
        """Run so many ticks, then publish the game once."""
        for _ in range(count):
            self.tick()
        if count:
            self.publish()

    def tick(self) -> None:
        """Run the next tick, with one turn of each player at most."""
        self.remove_away()
        tick = self.game["tick"] + 1
        taken = {number: player.turns.take(tick) for number, player in self.players.items()}
        turns = {number: direction for number, direction in taken.items() if direction}
        self.game = step(self.game, list(self.players), turns, self.seed)

    def publish(self) -> None:
        """Queue the newest snapshot for all players: what has changed, or a key frame."""
        acks = {number: player.turns.acked for number, player in self.players.items()}
        before, now = self.sent, snapshot(self.game, acks)
        # --8<-- [start:snapshots-publish] Put a difference or a key frame in each outbox.
        on_time, behind = [], []
        for connection in self.connections():
            follows = connection.has_key and not connection.waits("snapshot")
            (on_time if follows else behind).append(connection.outbox)
            connection.has_key = True
        if on_time:
            self.writer.put(on_time, frame(difference(before, now)), "snapshot")
        if behind:
            self.writer.put(behind, frame(key(now)), "snapshot")
        # --8<-- [end:snapshots-publish]
        self.sent = now

    def end(self) -> None:
        """Forget the room."""
        self._rooms.remove(self.name)


class Rooms:
    """The rooms that have players. All use one lock."""

    def __init__(self, rate: float, rejoin: float, seed: int | None = None) -> None:
        self.lock = threading.RLock()
        self.writer = Writer()
        self.rate = rate  # ticks a second
        self.rejoin = rejoin  # seconds in which a player can reconnect
        self.seed = seed  # of each game; random if None
        self._rooms: dict[str, Room] = {}

    def join(self, name: str, connection: Connection, author: str, token: str) -> tuple:
        """Let a player into a room. Return the Room and the Player. Raises Full."""
        with self.lock:
            room = self._rooms.get(name) or Room(name, self)
            player = room.join(connection, author, token)
            if name not in self._rooms:
                self._rooms[name] = room
                self.start(room)
            return room, player

    def start(self, room: Room) -> None:
        """Start the thread of a room."""
        threading.Thread(target=room.run, daemon=True, name=f"room {room.name}").start()

    def get(self, name: str) -> Room | None:
        """Return a room, or None if no player is in it."""
        with self.lock:
            return self._rooms.get(name)

    def remove(self, name: str) -> None:
        """Forget a room, whose thread ends."""
        del self._rooms[name]
