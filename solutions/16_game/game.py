"""The game: snakes on a grid whose edges are joined. A tick is a pure function.

A game is plain data: `{"tick": 12, "snakes": {3: [70, 69, 68]}, "food": [15, 300]}`. A cell is one
number, row by row. A snake is the list of its cells, head first, and its key the player's number.
"""

from collections import Counter
from collections.abc import Collection
from hashlib import sha256

WIDTH, HEIGHT = 64, 36  # cells
CELLS = WIDTH * HEIGHT
LENGTH = 3  # cells of a new snake; no snake is shorter
FOOD = 40  # pieces of food in the game
TRIES = 100  # places that are tried for a new snake or a piece of food in one tick
DIRECTIONS = ("up", "right", "down", "left")
OPPOSITE = {"up": "down", "right": "left", "down": "up", "left": "right"}

Body = list[int]
Game = dict[str, int | dict[int, Body] | list[int]]


def new_game() -> Game:
    """Return a game without snakes and food."""
    return {"tick": 0, "snakes": {}, "food": []}


def step(game: Game, players: Collection[int], turns: dict[int, str], seed: int) -> Game:
    """Return the game after one more tick. The old one stays as it is.

    `players` are the numbers of those who play, and `turns` is the direction that each has chosen,
    if any. The result depends on nothing else, not even on the order of a dict.
    """
    tick = game["tick"] + 1
    playing = {player: body for player, body in game["snakes"].items() if player in players}
    moved = move_all(playing, game["food"], turns)
    heads = {body[0] for body in moved.values()}
    food = [cell for cell in game["food"] if cell not in heads]
    snakes = without_crashed(moved)
    add_snakes(snakes, food, players, tick, seed)
    add_food(snakes, food, tick, seed)
    return {"tick": tick, "snakes": snakes, "food": food}


def move_all(snakes: dict[int, Body], food: list[int], turns: dict[int, str]) -> dict[int, Body]:
    """Return all snakes, each moved by one cell. One whose new head is on food grows by a cell."""
    moved = {}
    # --8<-- [start:step] Move each snake in its new direction. It can't turn to the opposite one.
    for player, body in snakes.items():
        direction = heading(body)
        turn = turns.get(player, direction)
        if turn != OPPOSITE[direction]:
            direction = turn
        head = move(body[0], direction)
        moved[player] = [head, *body] if head in food else [head, *body[:-1]]
    # --8<-- [end:step]
    return moved


def without_crashed(snakes: dict[int, Body]) -> dict[int, Body]:
    """Return the snakes whose heads are on no other cell of any snake, their own included."""
    alive = snakes
    # --8<-- [start:step-crash] Set `alive` to the snakes that haven't crashed.
    used = Counter(cell for body in snakes.values() for cell in body)
    alive = {player: body for player, body in snakes.items() if used[body[0]] == 1}
    # --8<-- [end:step-crash]
    return alive


def add_snakes(
    snakes: dict[int, Body], food: list[int], players: Collection[int], tick: int, seed: int
) -> None:
    """Give each of the players who have no snake a new one, on free cells."""
    # --8<-- [start:step-born] For each such player, try up to `TRIES` places that `chance()` names.
    for player in sorted(set(players) - snakes.keys()):
        taken = occupied(snakes, food)
        for n in range(TRIES):
            body = newborn(chance(seed, tick, "snake", player, n))
            if taken.isdisjoint(body):
                snakes[player] = body
                break
    # --8<-- [end:step-born]


def add_food(snakes: dict[int, Body], food: list[int], tick: int, seed: int) -> None:
    """Add food on free cells, until there is enough."""
    taken = occupied(snakes, food)
    for n in range(TRIES):
        if len(food) == FOOD:
            break
        cell = chance(seed, tick, "food", n) % CELLS
        if cell not in taken:
            food.append(cell)
            taken.add(cell)


def occupied(snakes: dict[int, Body], food: list[int]) -> set[int]:
    """Return the cells that aren't free."""
    return {cell for body in snakes.values() for cell in body}.union(food)


def newborn(number: int) -> Body:
    """Return a new snake. The number decides its place and direction."""
    direction = DIRECTIONS[number // CELLS % 4]
    body = [number % CELLS]
    while len(body) < LENGTH:
        body.append(move(body[-1], OPPOSITE[direction]))
    return body


def move(cell: int, direction: str) -> int:
    """Return the next cell in a direction. Behind an edge is the opposite edge."""
    y, x = divmod(cell, WIDTH)
    if direction in ("left", "right"):
        x = (x + (1 if direction == "right" else -1)) % WIDTH
    else:
        y = (y + (1 if direction == "down" else -1)) % HEIGHT
    return y * WIDTH + x


def heading(body: Body) -> str:
    """Return the direction in which a snake has moved last."""
    return next(each for each in DIRECTIONS if move(body[1], each) == body[0])


def chance(seed: int, *what: object) -> int:
    """Return a large number that looks random, and is the same on every machine.

    `random` and `hash()` may differ from one version or process to the next. SHA-256 doesn't.
    """
    text = " ".join(str(each) for each in (seed, *what))
    return int.from_bytes(sha256(text.encode()).digest()[:8], "big")
