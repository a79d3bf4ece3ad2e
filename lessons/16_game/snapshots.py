"""What clients receive of a game: all of it, or what has changed since the snapshot before."""

import json

from game import Game
from writer import TEXT, encode

BUDGET = 1_400  # bytes of a difference with 50 players, so that it fits in one TCP segment

# A snapshot is a game with "acks": for each snake, the newest turn that a tick has used.
Snapshot = Game


def snapshot(game: Game, acks: dict[int, int]) -> Snapshot:
    """Return a snapshot of the game."""
    return {**game, "acks": {player: acks[player] for player in game["snakes"]}}


def key(now: Snapshot) -> dict:
    """Return a key frame: the message with the whole snapshot."""
    lists = {name: sorted(now[name].items()) for name in ("snakes", "acks")}
    return {"type": "key", "tick": now["tick"], "food": now["food"], **lists}


def difference(before: Snapshot, now: Snapshot) -> dict:
    """Return the message that leads from the snapshot before to the one of now."""
    old, new = before["food"], now["food"]
    return {
        "type": "diff",
        "base": before["tick"],
        "tick": now["tick"],
        "snakes": changed_snakes(before["snakes"], now["snakes"]),
        "gone": sorted(before["snakes"].keys() - now["snakes"].keys()),
        "food": [cell for cell in new if cell not in old],
        "eaten": [cell for cell in old if cell not in new],
        "acks": sorted(now["acks"].items() - before["acks"].items()),
    }


def changed_snakes(before: dict[int, list[int]], now: dict[int, list[int]]) -> list[list]:
    """Return `[player, length, cells]` for each snake that has changed.

    `cells` are as few cells of its head as possible: `(cells + old body)[:length]` is its body.
    """
    changed = []
    # TODO(snapshots): Add each snake that has changed, in ascending order of players.
    ...
    # END(snapshots)
    return changed


def frame(message: dict) -> bytes:
    """Return the WebSocket frame of a message, without spaces."""
    return encode(TEXT, json.dumps(message, separators=(",", ":")).encode())
