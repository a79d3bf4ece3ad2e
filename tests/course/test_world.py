"""Lesson 16's world.js follows a game as its game.py and snapshots.py make it."""

import base64
import importlib
import random
import sys
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest
from playwright.sync_api import Browser

LESSON = Path(__file__).resolve().parents[2] / "solutions" / "16_game"
TICKS = 120
SCRIPT = """async ([source, key, differences, moves, bodies]) => {
    const world = await import(`data:text/javascript;base64,${source}`);
    let state = world.opened(key);
    const states = differences.map((each) => (state = world.patched(state, each)));
    const moved = moves.map(([cell, direction]) => world.move(cell, direction));
    const advanced = bodies.map(([body, turn, food]) => world.advance(body, turn, food));
    return { states, moved, advanced };
}"""


@pytest.fixture
def lesson(monkeypatch) -> tuple[ModuleType, ModuleType]:
    """Lesson 16's game.py and snapshots.py, without leaving their names among the modules."""
    names = ("game", "snapshots", "writer")
    before = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    monkeypatch.syspath_prepend(str(LESSON))
    game, snapshots = (importlib.import_module(name) for name in ("game", "snapshots"))
    yield game, snapshots
    for name in names:
        sys.modules.pop(name, None)
    sys.modules.update(before)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_page_has_the_servers_game(browser: Browser, lesson, seed):
    (game, snapshots), chance = lesson, random.Random(seed)
    shots = played(game, snapshots, chance, seed)
    differences = [snapshots.difference(a, b) for a, b in pairwise(shots)]
    directions = game.DIRECTIONS
    moves = [[cell, each] for cell in range(game.CELLS) for each in directions]
    bodies = [
        [body, chance.choice([None, *directions]), shot["food"]]
        for shot in shots
        for body in shot["snakes"].values()
    ]
    source = base64.b64encode((LESSON / "static" / "world.js").read_bytes()).decode()

    with browser.new_context() as context:
        plan = [source, snapshots.key(shots[0]), differences, moves, bodies]
        found = context.new_page().evaluate(SCRIPT, plan)

    assert [plain(state) for state in found["states"]] == [plain(shot) for shot in shots[1:]]
    assert found["moved"] == [game.move(*move) for move in moves]
    ahead = [game.move_all({1: b}, food, {1: t} if t else {})[1] for b, t, food in bodies]
    assert found["advanced"] == ahead


def played(game: ModuleType, snapshots: ModuleType, chance: random.Random, seed: int) -> list[dict]:
    """Return the snapshots of a game in which players join and leave, of each tick or of some."""
    now, acks, shots, players = game.new_game(), {}, [], list(range(1, 13))
    for _ in range(TICKS):
        if chance.random() < 0.05:
            players.append(max(players) + 1)
        if chance.random() < 0.05 and len(players) > 5:
            players.remove(chance.choice(players))
        turns = {p: chance.choice(game.DIRECTIONS) for p in players if chance.random() < 0.3}
        acks = {p: acks.get(p, 0) + (p in turns) for p in players}
        now = game.step(now, players, turns, seed)
        if not shots or chance.random() < 0.7:
            shots.append(snapshots.snapshot(now, acks))
    return shots


def plain(state: dict) -> list:
    """Return a state as a comparison needs it. The order of the food doesn't matter."""
    pairs = [
        {int(number): value for number, value in state[name].items()} for name in ("snakes", "acks")
    ]
    return [state["tick"], *pairs, sorted(state["food"])]
