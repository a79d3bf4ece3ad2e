"""Lesson 16: a game for many players, which the server alone decides: its specification.

The first tests call the functions of game.py and run a room's loop with a clock of their own. Those
of `snapshots` and `rejoin` speak to the app over WebSockets, and run its ticks by hand: see
tests/probes/16_game.py. A snake is a pair here, of its player's number and its cells, head first.
"""

import json
import math
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from course.grading import Server, equal, expect, task
from course.grading.asyncapi import described
from course.grading.browser import Tab
from course.grading.expect import Unmet, shown
from course.grading.waiting import eventually
from course.lesson.lessons import ROOT

PROBES = Path(__file__).parent / "probes" / "16_game.py"
TRIAL = PROBES.with_suffix(".js")  # runs smooth.js in a page
PROTOCOL = ["game.v1"]
WIDTH = 64  # cells in a row
SIZE = (WIDTH, 36)
NEVER = 3600  # seconds between two pings
MOST = 1_000  # messages that a client receives while it waits for one
BUDGET = 1_400  # bytes of a difference with 50 players
# Of the recorded game, after each of these ticks.
DIGESTS = {
    1: "c3e3317932e6",
    2: "4027893ce34d",
    3: "f17b1a0e33cc",
    10: "0c46ca87c867",
    50: "d6e677e4e483",
    100: "b2a8f3975738",
    200: "748a9d077519",
    300: "e2d062e18a98",
    400: "23e66bcf5d7a",
}
# The snakes that `chance()` names for three players in tick 9 of a game with the seed 7. If a cell
# of the first one isn't free, it gets the second place.
BORN = [[3, [457, 458, 459]], [17, [1653, 1654, 1655]], [40, [1026, 1090, 1154]]]
RIVALS = [[1, [1066, 1065, 1064]], [8, [267, 268, 269]]]  # in tick 721
SECOND = [3, [1197, 1198, 1199]]


# step


@task("step", "A tick is a pure function of the game, the turns and the seed", points=3)
def test_a_snake_moves_one_cell_in_the_direction_of_its_turn(stage):
    right, down = row(10, 9, 8), [at(9, 9), at(9, 8), at(9, 7)]
    for body, turn, head in [
        (right, None, at(11, 5)),
        (right, "right", at(11, 5)),
        (right, "up", at(10, 4)),
        (right, "down", at(10, 6)),
        (right, "left", at(11, 5)),
        (down, "up", at(9, 10)),
        (down, "left", at(8, 9)),
        (row(63, 62, 61), None, at(0, 5)),
        (row(0, 1, 2), None, at(63, 5)),
        (row(0, 63, 62), "left", at(1, 5)),
        ([at(7, 0), at(7, 1), at(7, 2)], None, at(7, 35)),
        ([at(7, 0), at(7, 35), at(7, 34)], "up", at(7, 1)),
    ]:
        after = play(stage, [[4, body]], turns=[[4, turn]] if turn else [])
        wanted = [[4, [head, *body[:-1]]]]
        says = f"{body} to become {wanted[0][1]} " + (f"by the turn {turn}" if turn else "")
        expect(equal(after["snakes"], wanted), says, shown(after["snakes"]))
        expect(after["tick"] == 1 and after["kept"], "tick 1, and the old game unchanged", after)


@task("step")
def test_a_snake_that_eats_grows_by_one_cell(stage):
    body = row(10, 9, 8)

    after = play(stage, [[4, body]], food=[at(20, 20), at(11, 5), at(30, 30)])

    expect(after["snakes"] == [[4, [at(11, 5), *body]]], "a snake of 4 cells", after["snakes"])
    food = after["food"]
    expect(food[:2] == [at(20, 20), at(30, 30)], "the food without the piece that was eaten", food)
    expect(len(set(food)) == 40, "40 pieces of food, on different cells", food)
    taken = {at(11, 5), *body} & set(food)
    expect(not taken, "no new food on the snake", sorted(taken))


@task("step")
def test_a_snake_whose_head_meets_a_snake_has_crashed(stage):
    right, left, up = row(10, 9, 8), row(12, 13, 14), [at(11, 6), at(11, 7), at(11, 8)]
    column = [at(11, 4), at(11, 5), at(11, 6), at(11, 7)]
    beam = [at(14, 3), at(13, 3), at(12, 3), at(11, 3), at(10, 3)]
    corner = [at(12, 4), at(11, 4), at(11, 5)]
    ring = [at(10, 5), at(10, 6), at(9, 6), at(9, 5)]
    for snakes, turns, food, crashed in [
        ([[1, right], [2, column]], [], [], [1]),  # into the body of another
        ([[1, right], [2, left]], [], [], [1, 2]),  # two heads on one cell
        ([[1, right], [2, left]], [], [at(11, 5)], [1, 2]),
        ([[1, right], [2, up]], [], [], [1, 2]),
        ([[2, up], [1, right]], [], [], [1, 2]),
        ([[1, row(11, 10, 9)], [2, left]], [], [], [1, 2]),  # past each other
        ([[1, ring]], [[1, "left"]], [], []),  # where its own tail was
        ([[1, [*ring, at(8, 5)]]], [[1, "left"]], [], [1]),  # into its own body
        ([[1, right], [2, corner]], [], [], []),  # where another's tail was
        ([[1, right], [2, corner]], [], [at(13, 4)], [1]),  # it grows, so its tail stays
        ([[1, right], [2, column], [3, beam]], [], [], [1, 2]),  # into one that crashes, too
    ]:
        after = dict(play(stage, snakes, food=food, turns=turns)["snakes"])
        found = [player for player, body in snakes if after[player][1:3] != body[:2]]
        says = f"of {snakes} with the turns {turns} and the food {food}, {crashed} to crash"
        expect(sorted(found) == crashed, says, f"{sorted(found)} crashed")


@task("step")
def test_a_player_without_a_snake_gets_one_at_the_place_that_chance_names(stage):
    first = play(stage, [], players=[40, 3, 17], tick=8)["snakes"]
    expect(equal(first, BORN), f"{BORN} for the players 40, 3 and 17", shown(first))

    both = play(stage, [], players=[8, 1], tick=720)["snakes"]  # Their first places overlap.
    expect(equal(both, RIVALS), f"{RIVALS}: player 1 before player 8", shown(both))

    food = [BORN[0][1][1]]
    again = play(stage, [[17, row(30, 29, 28)]], players=[17, 3], food=food, tick=8)["snakes"]
    wanted = [SECOND, [17, row(31, 30, 29)]]
    expect(equal(again, wanted), f"{wanted}, as the first place isn't free", shown(again))

    crowded = play(stage, [], players=[1, 2], food=list(range(2304)))["snakes"]
    expect(crowded == [], "no snake if no place is free", shown(crowded))


@task("step")
def test_the_snake_of_a_player_who_has_left_is_gone(stage):
    column = [at(11, 4), at(11, 5), at(11, 6)]

    after = play(stage, [[1, row(10, 9, 8)], [2, column]], players=[1])

    expect(after["snakes"] == [[1, row(11, 10, 9)]], "only the snake of player 1", after["snakes"])


@task("step")
def test_a_recorded_game_ends_in_the_same_state_everywhere(stage):
    for shuffled, how in ((False, ""), (True, ", whatever the order of players and snakes")):
        child = stage.child(fresh=True)
        found = dict(child.probe(PROBES, "digests", shuffled))
        wrong = next((tick for tick, digest in DIGESTS.items() if found[tick] != digest), None)
        expect(wrong is None, f"the recorded game{how}", f"another game at tick {wrong}")


# clock


@task("clock", "Ticks at a fixed rate, without drift and without a spiral", 2, needs="step")
def test_a_tick_is_due_at_its_own_time(stage):
    wanted = {
        0.0: [0.125, 0, 0.125],
        0.0625: [0.0625, 0, 0.0625],
        0.125: [0.0, 1, 0.125],
        0.1875: [0.0625, 0, 0.0625],
        0.3125: [0.0, 1, 0.0625],
        0.5625: [0.0, 2, 0.0625],
        0.875: [0.0, 3, 0.125],
    }

    found = ask(stage, "dues", 8.0, list(wanted))

    for got, (moment, right) in zip(found, wanted.items(), strict=True):
        says = f"{moment} s after the start, at 8 ticks a second, wait(), due() and wait()"
        expect(got == right, f"{says} to return {right}", got)


@task("clock")
def test_a_late_loop_catches_up_three_ticks_and_skips_the_rest(stage):
    found = ask(stage, "dues", 8.0, [10.03125, 10.0625, 10.125, 10.5, 99.0])

    wanted = [
        [0.0, 3, 0.09375],
        [0.0625, 0, 0.0625],
        [0.0, 1, 0.125],
        [0.0, 3, 0.125],
        [0.0, 3, 0.125],
    ]
    expect(found == wanted, f"10 s late and later, {wanted}", found)


@task("clock")
def test_the_loop_runs_every_tick_of_an_hour(stage):
    found = ask(stage, "hour", 20.0, 0.003)

    expect(abs(found["ticks"] - 72_000) <= 1, "72,000 ticks in an hour", found["ticks"])
    expect(found["late"] <= 10, "no tick more than 10 ms late", f"{found['late']} ms")
    expect(not found["fault"], "each tick with the lock, and each sleep without it", found["fault"])


@task("clock")
def test_after_a_pause_the_loop_runs_three_ticks_and_publishes_once(stage):
    found = ask(stage, "stopped", 10.0, 2.55)

    batches, after = found["batches"], found["after"]
    expect(batches == [3, 1, 1, 1, 1, 1], "one snapshot after three ticks", batches)
    on_time = all(
        abs(when - tick) < 0.2 for tick, when in zip(range(36, 41), after[3:], strict=True)
    )
    expect(on_time, "the next ticks at their own times: 36, 37, 38, 39 and 40", after[3:])


@task("clock")
def test_a_loop_that_is_always_late_does_not_spiral(stage):
    found = ask(stage, "overloaded", 20.0, 0.06)

    expect(found["most"] <= 3, "at most three ticks at once", found["most"])
    expect(found["ticks"] >= 900, "a tick every 60 ms, as fast as it can", found["ticks"])


@task("clock")
def test_a_tick_that_fails_does_not_end_the_loop(stage):
    for faults in ([1], [5, 6], [99]):
        found, logged = ask(stage, "failing", faults)

        expect(99 <= found <= 100, f"100 ticks, although {faults} raise an exception", found)
        expect(logged == len(faults), f"{len(faults)} exceptions in the log", logged)


@task("clock")
def test_the_loop_of_an_empty_room_ends(stage):
    found = ask(stage, "emptied")

    expect(found["ended"], "run() to return when no player is left", "it goes on")
    expect(found["ticks"] == 5, "no tick without players", f"{found['ticks'] - 5} more ticks")
    expect(not found["kept"], "the room to be forgotten", "it is still there")
    expect(not found["fault"], "end() to be called with the lock", found["fault"])
    fault = ask(stage, "joined_late")
    expect(not fault, "a player who joins in the last moment to be in the game", fault)


# inputs


@task("inputs", "A player has one turn in each tick, and can set nothing else", 2, needs="step")
def test_each_tick_uses_one_turn_in_the_order_of_the_sequence_numbers(stage):
    expect_turns(
        stage,
        [["add", 1, 6, "up", 5], None],
        [["add", 2, 6, "left", 5], None],
        [["add", 3, 9, "down", 5], None],
        [["take", 6], ["up", 1]],
        [["take", 7], ["left", 2]],
        [["take", 8], [None, 2]],
        [["take", 9], ["down", 3]],
        [["take", 10], [None, 3]],
    )


@task("inputs")
def test_a_late_turn_counts_in_the_next_tick(stage):
    expect_turns(
        stage,
        [["add", 1, 3, "up", 50], None],
        [["add", 2, 0, "left", 50], None],
        [["take", 51], ["up", 1]],
        [["take", 52], ["left", 2]],
    )


@task("inputs")
def test_a_turn_that_arrives_twice_or_out_of_order_is_ignored(stage):
    expect_turns(
        stage,
        [["add", 5, 6, "up", 5], None],
        [["add", 5, 6, "down", 5], None],
        [["add", 4, 6, "left", 5], None],
        [["take", 6], ["up", 5]],
        [["add", 5, 7, "up", 6], None],
        [["add", 4, 99, "up", 6], None],
        [["take", 7], [None, 5]],
        [["add", 9, 8, "right", 7], None],
        [["take", 8], ["right", 9]],
    )


@task("inputs")
def test_a_turn_for_a_tick_that_is_far_ahead_is_refused(stage):
    expect_turns(
        stage,
        [["add", 1, 26, "up", 5], "early"],
        [["add", 1, 2**53, "up", 5], "early"],
        [["add", 1, 25, "left", 5], None],  # Its number wasn't used up.
        [["take", 24], [None, 0]],
        [["take", 25], ["left", 1]],
    )


@task("inputs")
def test_a_turn_waits_for_those_before_it(stage):
    expect_turns(
        stage,
        [["add", 1, 9, "up", 5], None],
        [["add", 2, 6, "left", 5], None],
        [["take", 6], [None, 0]],
        [["take", 9], ["up", 1]],
        [["take", 10], ["left", 2]],
    )


@task("inputs")
def test_at_most_four_turns_wait(stage):
    expect_turns(
        stage,
        *[[["add", seq, 6, "up", 5], None] for seq in (1, 2, 3, 4)],
        [["add", 5, 6, "left", 5], "too_many"],
        [["add", 5, 26, "left", 5], "early"],
        [["add", 4, 6, "left", 5], None],
        [["take", 6], ["up", 1]],
        [["add", 5, 7, "left", 6], None],  # Its number wasn't used up.
        [["add", 6, 7, "left", 6], "too_many"],
        *[[["take", tick], ["up", tick - 5]] for tick in (7, 8, 9)],
        [["take", 10], ["left", 5]],
    )


@task("inputs")
def test_a_client_can_set_neither_its_position_nor_its_score(stage, server):
    room = stage.name()
    ada = Gamer(server, "ada", room)
    server.probe(PROBES, "place", room, [[1, row(10, 9, 8)]], [])

    lies = {"x": 0, "snakes": [[1, [0, 1, 2, 3, 4]]], "score": 99, "length": 99, "player": 2}
    ada.turn(1, 1, "up", **lies)
    advance(server, room)

    snakes = server.probe(PROBES, "state", room)["snakes"]
    wanted = [[1, [at(10, 4), *row(10, 9)]]]
    expect(snakes == wanted, f"only a turn: {wanted}", snakes)


@task("inputs")
def test_no_message_ends_the_connection_or_the_game(stage, server):
    room = stage.name()
    ada = Gamer(server, "ada", room)
    server.probe(PROBES, "place", room, [[1, row(10, 9, 8)]], [])
    for code, message in [
        *[("bad_message", data) for data in ("", "no", "[]", "null", '{"a": NaN}', b"{}")],
        *[("bad_message", {"seq": seq}) for seq in (None, True, 1.0, "1", 0, -1, 2**31 + 1)],
        *[("bad_message", {"tick": tick}) for tick in (None, True, 1.0, -1, 2**53 + 1)],
        *[("bad_message", {"direction": each}) for each in (None, "north", "UP", ["up"], {}, 1)],
        ("unknown_type", {"type": "move"}),
        ("early", {"tick": 21}),
    ]:
        turn = {"type": "turn", "seq": 1, "tick": 1, "direction": "up"}
        ada.socket.send(json.dumps({**turn, **message}) if isinstance(message, dict) else message)
        error = ada.until("error")
        expect(error.get("code") == code, f"the error {code} for {message!r}", error)

    ada.turn(1, 1, "down")
    advance(server, room)
    snakes = server.probe(PROBES, "state", room)["snakes"]
    expect(snakes == [[1, [at(10, 6), *row(10, 9)]]], "the game to go on", snakes)


# snapshots


@task("snapshots", "Clients receive what has changed, and the newest state only", 3, needs="inputs")
def test_a_difference_has_the_fewest_cells_that_make_the_new_body(stage):
    for old, new, cells in [
        (None, [7, 6, 5], [7, 6, 5]),
        ([7, 6, 5], [8, 7, 6], [8]),
        ([7, 6, 5], [8, 7, 6, 5], [8]),
        ([7, 6, 5], [9, 8, 7], [9, 8]),
        ([7, 6, 5], [10, 9, 8], [10, 9, 8]),
        ([7, 6, 5], [300, 301, 302], [300, 301, 302]),
        ([7, 6, 5], [8, 7, 71], [8, 7, 71]),  # It has crashed, and is back in the same place.
        ([7, 6, 5], [6, 7, 8], [6, 7, 8]),
        ([7, 6, 5], [7, 6, 5, 4], [7, 6, 5, 4]),
        ([7, 6, 5, 4, 3], [7, 6, 5], []),
        ([7, 6, 5, 4, 3], [8, 7, 6], [8]),
    ]:
        before = [[2, row(3, 2, 1)]] + ([[9, old]] if old else [])
        found = ask(stage, "changed", before, [[9, new], [2, row(3, 2, 1)]])
        wanted = [[9, len(new), cells]]
        expect(equal(found, wanted), f"{wanted} if {old} is now {new}", found)


@task("snapshots")
def test_a_client_has_the_servers_game_after_each_difference(stage):
    for every in (1, 2, 3, 7):
        fault = ask(stage, "patch_many", 200, every)

        expect(not fault, "(cells + old body)[:length] to be the new body", fault)


@task("snapshots")
def test_a_difference_for_50_players_has_at_most_1400_bytes(stage):
    most = max(ask(stage, "sizes", 50, 150))

    expect(most <= BUDGET, f"at most {BUDGET:,} bytes for each tick", f"{most:,} bytes")


@task("snapshots")
def test_a_player_receives_a_key_frame_first_and_then_differences(stage, server):
    room = stage.name()
    ada = Gamer(server, "ada", room)
    advance(server, room, 3)
    bob = Gamer(server, "bob", room)
    advance(server, room, 3)
    advance(server, room, 2, apart=False)

    ada.expect_snapshots(
        "key 1", "diff 1 2", "diff 2 3", "diff 3 4", "diff 4 5", "diff 5 6", "diff 6 8"
    )
    bob.expect_snapshots("key 4", "diff 4 5", "diff 5 6", "diff 6 8")
    for gamer in (ada, bob):
        gamer.expect_state(server.probe(PROBES, "state", room))


@task("snapshots")
def test_a_client_that_cannot_keep_up_receives_the_newest_state_only(stage, server):
    room = stage.name()
    ada, bob = Gamer(server, "ada", room), Gamer(server, "bob", room)
    advance(server, room, 2)
    ada.expect_snapshots("key 1", "diff 1 2")
    server.probe(PROBES, "hold", room, 1, True, says="the system takes nothing more for ada")
    advance(server, room, 1)
    for tick in (4, 5, 6, 7):
        advance(server, room, 1)
        waiting = server.probe(PROBES, "waiting", room, 1)
        expect(len(waiting) == 1, "one frame to wait for ada, whatever the tick", shown(waiting))
        if tick > 4:
            found = json.loads(waiting[0])
            met = [found["type"], found["tick"]] == ["key", tick]
            expect(met, f"a key frame of tick {tick} to wait", f"{shown(waiting[0])}")
    server.probe(PROBES, "hold", room, 1, False, says="the system takes all again")

    ada.expect_snapshots("diff 2 3", "key 7")
    advance(server, room, 1)
    ada.expect_snapshots("diff 7 8")
    bob.expect_snapshots("key 1", *[f"diff {tick} {tick + 1}" for tick in range(1, 8)])
    for gamer in (ada, bob):
        gamer.expect_state(server.probe(PROBES, "state", room))


@task("snapshots")
def test_each_snapshot_is_encoded_once_for_all_clients(stage, server):
    room = stage.name()
    for number in range(6):
        Gamer(server, f"guest-{number}", room)
    for ticks, diffs, keys in ((1, 0, 1), (5, 5, 0)):
        server.probe(PROBES, "count_encoded")

        advance(server, room, ticks)

        found = server.probe(PROBES, "count_encoded")
        counts = [found.count("diff"), found.count("key")]
        says = f"{diffs} differences and {keys} key frames for 6 players and {ticks} ticks"
        expect(counts == [diffs, keys], says, f"{counts[0]} and {counts[1]}")


@task("snapshots")
def test_what_the_server_sends_matches_asyncapi_yaml(stage, server):
    file, room = described("16_game", ROOT, stage.folder), stage.name()
    ada, bob = Gamer(server, "ada", room), Gamer(server, "bob", room)
    advance(server, room, 2)
    ada.turn(1, 3, "up")
    ada.turn(2, 3, "left")
    for request in (
        {"type": "turn", "seq": 7},
        {"type": "dance", "id": "a"},
        {"type": "ping", "id": ""},
    ):
        ada.socket.send(json.dumps(request))
        ada.until("error")
    advance(server, room, 3)

    for gamer in (ada, bob):
        gamer.ping()
        kinds = [file.kind(message) for message in gamer.heard]
        for kind in ("welcome", "players", "key", "diff", "pong"):
            expect(kind in kinds, f"a message of the type {kind}", kinds)


# rejoin


@task(
    "rejoin", "A player who was cut off is back in the same snake", 2, needs=("clock", "snapshots")
)
def test_a_player_with_a_token_is_the_same_player_again(stage, server):
    room = stage.name()
    ada = Gamer(server, "ada", room)
    bob = Gamer(server, "bob", room)
    server.probe(PROBES, "place", room, [[1, row(10, 9, 8)], [2, row(40, 39, 38)]], [])
    ada.turn(5, 1, "up")
    advance(server, room)
    ada.cut(room, left=1)
    bob.expect_players([1, "ada", False], [2, "bob", True])
    advance(server, room, 4)

    again = Gamer(server, "someone", room, ada.token)

    wanted = {"player": 1, "rejoined": True, "seq": 5, "token": ada.token}
    again.expect_welcome(**wanted)
    again.expect_players([1, "ada", True], [2, "bob", True])
    again.turn(6, 6, "left")
    advance(server, room)
    again.expect_snapshots("key 6")
    body = dict(again.snakes)[1]
    expect(body[:3] == [at(9, 0), at(10, 0), at(10, 1)], "the same snake, which has gone on", body)
    acks = dict(again.acks)
    expect(acks == {1: 6, 2: 0}, "an ack of turn 6", acks)


@task("rejoin")
def test_a_player_who_is_away_for_ten_seconds_is_gone(stage, server):
    room = stage.name()
    ada, bob = Gamer(server, "ada", room), Gamer(server, "bob", room)
    advance(server, room, 7)
    ada.cut(room, left=1)
    advance(server, room, 98)
    back = Gamer(server, "ada", room, ada.token)
    back.expect_welcome(player=1, rejoined=True)
    advance(server, room, 150)
    back.cut(room, left=1)
    advance(server, room, 99)
    players = [player for player, _ in server.probe(PROBES, "state", room)["snakes"]]
    expect(players == [1, 2], "ada's snake to be there for 100 ticks, or 10 s", players)

    advance(server, room, 3)

    players = [player for player, _ in server.probe(PROBES, "state", room)["snakes"]]
    expect(players == [2], "ada's snake to be gone after 100 ticks, or 10 s", players)
    bob.expect_players([2, "bob", True])
    late = Gamer(server, "ada", room, ada.token)
    late.expect_welcome(player=3, rejoined=False)
    expect(late.token != ada.token, "another token", "the same")


@task("rejoin")
def test_no_other_player_can_guess_or_learn_a_token(stage):
    tokens = []
    for _ in range(2):
        server, room = stage.serve(fresh=True, HEARTBEAT=NEVER, SEED=1), "lobby"
        server.probe(PROBES, "by_hand")
        gamers = [Gamer(server, "ada", room) for _ in range(3)]
        advance(server, room, 2)
        for gamer in gamers:
            gamer.ping()
            tokens.append(gamer.token)
            for other in gamers:
                known = other is not gamer and gamer.token in json.dumps(other.heard)
                expect(not known, "a token that only its player receives", other.heard)
        server.kill()

    expect(len(set(tokens)) == 6, "a random token for each player, in each run", tokens)
    short = [token for token in tokens if len(token) < 22]
    expect(not short, "tokens of at least 128 random bits: 22 characters", short)


@task("rejoin")
def test_a_token_that_is_not_valid_makes_a_new_player(stage, server):
    room, other = stage.name(), stage.name()
    ada, eve = Gamer(server, "ada", room), Gamer(server, "eve", other)
    tokens = ["1", "ada", "", "%C3%A9", ada.token[:-1], ada.token.swapcase(), eve.token, "None"]

    for number, token in enumerate(tokens, 2):
        gamer = Gamer(server, "bob", room, token)
        gamer.expect_welcome(player=number, rejoined=False)


@task("rejoin")
def test_a_second_connection_takes_the_player_over(stage, server):
    room = stage.name()
    ada = Gamer(server, "ada", room)
    server.probe(PROBES, "place", room, [[1, row(10, 9, 8)]], [])

    again = Gamer(server, "ada", room, ada.token)
    ada.socket.receive_until_close(4409)

    again.expect_welcome(player=1, rejoined=True)
    left = partial(server.probe, PROBES, "left")
    eventually(lambda: left() == 1, "the handler of the old connection to end", left)
    again.expect_players([1, "ada", True])
    again.turn(1, 1, "down")
    advance(server, room, 110)
    again.expect_state(server.probe(PROBES, "state", room))
    expect(again.acks == [[1, 1]], "the game to go on for ada", again.acks)


@task("rejoin")
def test_a_full_room_lets_in_only_those_who_come_back(stage, server):
    room = stage.name()
    server.probe(PROBES, "limit", 2, says="a room has at most 2 players")
    ada, bob = Gamer(server, "ada", room), Gamer(server, "bob", room)
    ada.cut(room, left=1)

    eve = server.socket("eve", f"/games/{room}?author=eve", subprotocols=PROTOCOL)

    reason = eve.expect_close(1013)
    expect(reason.startswith("retry-after="), "the reason retry-after=SECONDS", reason)
    again = Gamer(server, "ada", room, ada.token)
    again.expect_welcome(player=1, rejoined=True)
    again.ping()  # Now all have been told.
    bob.expect_players([1, "ada", True], [2, "bob", True])


@task("rejoin")
def test_nothing_is_left_of_a_room_whose_players_have_left(stage):
    server, room = stage.serve(HEARTBEAT=NEVER, RATE=20, REJOIN=0.2), stage.name()
    Gamer(server, "eve", stage.name()).until("key")  # All other threads are running.
    before = server.census()
    gamers = [Gamer(server, f"guest-{number}", room) for number in range(3)]
    for gamer in gamers:
        gamer.until("key")

    for gamer in gamers:
        gamer.socket.close()

    server.expect_census(before)
    expect(not server.probe(PROBES, "is_there", room), "the room to be forgotten", "it is there")


# smooth


@task("smooth", "Motion is smooth, and the own snake turns at once", points=3, needs="rejoin")
def test_other_snakes_move_evenly_though_snapshots_do_not_arrive_evenly(stage, lab):
    late = {tick: stage.random.randrange(5, 45) for tick in range(1, 61) if tick % 5}

    frames = run(lab, down=50, jitter=late, others={8: "down", 15: "left", 26: "down"})["frames"]

    expect_on_path(frames, "other")
    expect_even(frames[60:], "other", 0.16)


@task("smooth")
def test_no_snake_is_drawn_beyond_the_newest_snapshot_or_backwards(lab):
    late = {tick: (27 - tick) * 100 for tick in range(20, 27)}  # They arrive with number 27.
    late |= dict.fromkeys(range(40, 81), 80)  # From now on, each takes longer.

    frames = run(lab, ticks=80, jitter=late, lost=[33, 34, 35], others={22: "down", 34: "right"})[
        "frames"
    ]

    expect_on_path(frames, "other")
    for before, frame in pairwise(frames):
        drawn, newest = frame["otherTick"], frame["newest"]
        says = f"a snake drawn as it was in tick {newest} or before, the newest that has arrived"
        expect(drawn <= newest + 0.02, says, f"it is drawn as in tick {drawn:.2f}")
        says = f"a snake that doesn't move back from tick {before['otherTick']:.2f}"
        expect(drawn >= before["otherTick"] - 0.02, says, f"tick {drawn:.2f}")
    between = [frame["otherTick"] for frame in frames if 33 < frame["otherTick"] < 35.9]
    says = "a snake between its places in the ticks 32 and 36, if none arrives for those between"
    expect(between, says, "none: it jumps from one to the other")
    frame = frames[-1]
    says = f"a snake drawn at most 3 ticks before the newest one, {frame['newest']}"
    expect(frame["otherTick"] > frame["newest"] - 3, says, f"tick {frame['otherTick']:.2f}")


@task("smooth")
def test_a_new_snake_does_not_slide_in_from_where_the_old_one_crashed(lab):
    born = {
        15: {2: row(10, 11, 12)},
        20: {1: [at(40, y) for y in (30, 31, 32)]},
        33: {2: row(20, 21, 22)},
    }

    frames = run(lab, born=born, gone=[25])["frames"]

    expect_on_path([frame for frame in frames if frame["other"]], "other")
    gone = [frame for frame in frames if 28 <= frame["newest"] <= 32]
    found = [frame["other"] for frame in gone if frame["other"]]
    expect(not found, "nothing drawn of a snake that has left", found[:1])
    back = [frame for frame in frames if frame["newest"] >= 36]
    expect(all(frame["other"] for frame in back), "the other's new snake to be drawn", "it isn't")
    expect_on_path([frame for frame in frames if not 17 <= frame["newest"] < 20], "own")


@task("smooth")
def test_turns_without_an_ack_are_replayed_as_the_server_does(lab):
    right = row(10, 9, 8)
    for turns, ticks, wanted in [
        ([], [5, 6, 8], [[10, 5], [11, 5], [13, 5]]),
        ([[8, 7, "up"]], [6, 7, 8], [[11, 5], [11, 4], [11, 3]]),
        ([[8, 6, "up"], [9, 8, "left"]], [6, 7, 8, 9], [[10, 4], [10, 3], [9, 3], [8, 3]]),
        ([[8, 6, "up"], [9, 6, "left"]], [6, 7, 8], [[10, 4], [9, 4], [8, 4]]),  # one for each tick
        ([[8, 3, "down"]], [6, 7], [[10, 6], [10, 7]]),  # late
        ([[8, 3, "down"], [9, 4, "right"]], [6, 7, 8], [[10, 6], [11, 6], [12, 6]]),
        ([[6, 5, "up"], [7, 6, "down"]], [6, 7], [[11, 5], [12, 5]]),  # The server has used both.
        ([[7, 5, "down"], [8, 7, "up"]], [6, 7, 8], [[11, 5], [11, 4], [11, 3]]),
        ([[8, 6, "left"], [9, 8, "down"]], [6, 7, 8], [[11, 5], [12, 5], [12, 6]]),  # impossible
        (
            [[8, 9, "up"], [9, 10, "left"]],
            [6, 8, 9, 10, 11],
            [[11, 5], [13, 5], [13, 4], [12, 4], [11, 4]],
        ),
    ]:
        plan = {"tick": 5, "body": right, "food": [at(11, 5)], "seq": 7, "ticks": ticks}
        named = [dict(zip(("seq", "tick", "direction"), turn, strict=True)) for turn in turns]
        found = lab.run("(plan) => trial.predicted(plan)", {**plan, "turns": named})

        heads = [[body[0] % WIDTH, body[0] // WIDTH] for body in found["bodies"]]
        says = f"predicted() of the ticks {ticks}, from tick 5 and ack 7, to have these heads"
        expect(equal(heads, wanted), f"{says} with {shown(turns)}: {wanted}", heads)
        expect(found["kept"], "predicted() to change neither `turns` nor a snapshot", "it does")
        length = 4 if [11, 5] in wanted else 3
        found_length = len(found["bodies"][-1])
        expect(found_length == length, f"a snake of {length} cells, as food adds one", found_length)


@task("smooth")
def test_the_own_snake_is_drawn_where_the_server_will_have_it(lab):
    turns = [[500, "up"], [900, "left"], [980, "up"], [1500, "right"], [1530, "down"]]
    for way in (10, 50, 150):
        played = run(lab, up=way, down=way, turns=[*turns, [2300, "left"]])

        expect(all(played["sent"]), "a turn sent for each key", played["sent"])
        expect_on_path(played["frames"], "own")
        for frame in played["frames"]:
            due, drawn = (frame["now"] + way) / 100, frame["ownTick"]
            says = f"the own snake as the server has it in tick {due:.2f}, {2 * way} ms ahead"
            expect(abs(drawn - due) < 0.05, says, f"tick {drawn:.2f}")


@task("smooth")
def test_a_correction_glides(lab):
    late = [1000, "up", 260]  # The server receives it two ticks too late.

    frames = run(lab, turns=[late, [2500, "right"]])["frames"]

    turned = next(frame for frame in frames if frame["now"] >= 1250)
    expect(turned["own"][1] < 17, "a turn to be seen within 250 ms", f"the head at {turned['own']}")
    for before, frame in pairwise(frames):
        moved = far(before["own"], frame["own"])
        says = "a head that glides to its new place, at most 0.6 cells in 16 ms"
        expect(moved < 0.6, says, f"it moves by {moved:.2f} cells")
    expect_on_path([frame for frame in frames if frame["now"] > 2100], "own")


@task("smooth")
def test_a_browser_plays_a_round_by_keyboard_and_touch(stage, server):
    room = stage.name()
    address = f"{server.url}/rooms/{room}?author=ada"
    tab = stage.browser().open("ada", address, before=ROUND)
    tab.wait_for(f"{STATE} === 'open'", "the page to connect", STATE)
    food = [at(x, 15) for x in range(20, 56)]
    server.probe(PROBES, "place", room, [[1, [at(21, 20), at(20, 20), at(19, 20)]]], food)
    advance(server, room, 2)
    tab.wait_for("document.querySelector('#players li')", "the players", "document.body.innerText")
    tab.run(COUNT_NEWS)

    tab.press("ArrowUp")
    expect_heading(server, room, 1, "up")
    tab.wait_for(f"{SCORE} > 0", "a score", SCORE)
    tab.run("() => touch('#pad [data-direction=left]', [0, 0])")
    expect_heading(server, room, 2, "left")
    tab.run("() => touch('#stage', [3, 60])")
    expect_heading(server, room, 3, "down")
    tab.press("d")
    expect_heading(server, room, 4, "right")
    tab.press("ArrowLeft")  # A snake can't go back, so nothing is sent.
    tab.press("w")
    expect_heading(server, room, 5, "up")

    told = tab.run("window.told")
    expect(told <= 1, "a screen reader to be told of points, not of each tick", told)
    Gamer(server, "bob", room)
    news = "document.getElementById('news').textContent"
    tab.wait_for(f"{news}.includes('bob')", "a screen reader to be told that bob joins", news)
    drawn = tab.run(DRAWN)
    expect(drawn == 0, "nothing drawn between ticks for reduced motion", f"{drawn} rectangles")
    found = [*tab.barriers(), *tab.errors]
    expect(not found, "no barrier that axe finds, and no error in the page", "; ".join(found))


@task("smooth")
def test_snakes_jump_from_cell_to_cell_for_users_who_prefer_reduced_motion(lab):
    snakes = {1: row(10, 9, 8), 2: [at(60, 9), at(59, 9), at(58, 9)]}

    found = lab.run("(plan) => trial.still(plan)", {"snakes": snakes, "turns": {4: "up"}})

    between = [number for number in found if number != int(number)]
    expect(not between, "whole numbers only", between[:3])


# The tests' helpers


@pytest.fixture
def lab(stage) -> Tab:
    """A page that can run smooth.js, with a server and a clock of ours."""
    server = stage.serve()
    return stage.browser().open("the page", f"{server.url}/", before=TRIAL.read_text("utf-8"))


def run(lab: Tab, **plan: object) -> dict:
    """Run a game of 60 ticks, as tests/probes/16_game.js says. Return what was drawn and sent."""
    snakes = {
        1: [at(10 - n, 18) for n in range(4)],
        2: [at(57 - n, 6) for n in range(7)],
    }
    usual = {"rate": 10, "ticks": 60, "up": 50, "down": 50, "snakes": snakes, "food": []}
    empty = {"turns": [], "others": {}, "jitter": {}, "lost": [], "born": {}, "gone": []}
    return lab.run("(plan) => trial.run(plan)", {**usual, **empty, **plan})


def expect_on_path(frames: list[dict], whose: str) -> None:
    """Expect a snake only where the server has it in some tick, or between two ticks."""
    for frame in frames:
        head, name = frame[whose], "own" if whose == "own" else "other player's"
        says = f"the {name} snake on the way that the server's snake takes, at {frame['now']} ms"
        off = head and f"its head at {[round(number, 2) for number in head]}"
        expect(frame[f"{whose}Tick"] is not None, says, off or "no snake")


def expect_even(frames: list[dict], whose: str, step: float) -> None:
    """Expect a snake that moves by about as many ticks in each frame."""
    for before, frame in pairwise(frames):
        moved = frame[f"{whose}Tick"] - before[f"{whose}Tick"]
        says = f"a snake that moves by about {step} cells in 16 ms, at {frame['now']} ms"
        expect(step / 2 < moved < step * 1.6, says, f"{moved:.2f} cells")


def far(one: list[float], other: list[float]) -> float:
    """Return the distance between two points, the shortest one if the field is left and entered."""
    ways = [
        (a - b + size / 2) % size - size / 2 for a, b, size in zip(one, other, SIZE, strict=True)
    ]
    return math.hypot(*ways)


def expect_heading(server: Server, room: str, seq: int, direction: str) -> None:
    """Wait for a turn of the page, and expect its snake to go in this direction afterwards."""
    queued = partial(server.probe, PROBES, "queued", room, 1)
    eventually(lambda: queued()[0] == seq, f"turn {seq} to be sent", queued)
    advance(server, room, 12)
    expect(queued()[1] == seq, f"turn {seq} used within 12 ticks", queued())
    body = dict(map(tuple, server.probe(PROBES, "state", room)["snakes"]))[1]
    step = {"up": -WIDTH, "down": WIDTH, "left": -1, "right": 1}[direction]
    expect((body[0] - body[1] - step) % (36 * WIDTH) == 0, f"a snake that goes {direction}", body)


@pytest.fixture
def server(stage) -> Server:
    """The learner's app, in which a test runs the ticks."""
    server = stage.serve(HEARTBEAT=NEVER, SEED=1)
    server.probe(PROBES, "by_hand")
    return server


class Gamer:
    """A player who sends what a test says, and has the game as the server's snapshots give it."""

    def __init__(self, server: Server, who: str, room: str, token: str | None = None) -> None:
        query = f"author={who}" + ("" if token is None else f"&token={token}")
        self.server, self.who = server, who
        self.heard: list[dict] = []  # all that was received
        self.names: list[str] = []  # of the snapshots since the last look, such as "diff 1 2"
        self.tick, self.snakes, self.food, self.acks, self.players = None, [], [], [], []
        self.socket = server.socket(who, f"/games/{room}?{query}", subprotocols=PROTOCOL)
        self.welcome = self.until("welcome")
        self.token = self.welcome.get("token")
        expect(isinstance(self.token, str), "a welcome with a token", self.welcome)

    def until(self, kind: str) -> dict:
        """Return the next message of this type. Note what is received before it."""
        for _ in range(MOST):
            said = self.socket.receive_json()
            expect(isinstance(said, dict) and "type" in said, "a JSON object with a type", said)
            self.heard.append(said)
            self.note(said)
            if said["type"] == kind:
                return said
        raise Unmet(f"a message of the type {kind} for {self.who}", f"{MOST} others")

    def note(self, said: dict) -> None:
        """Follow the game."""
        if said["type"] == "players":
            self.players = said["players"]
        elif said["type"] == "key":
            self.names.append(f"key {said['tick']}")
            self.tick, self.snakes, self.food = said["tick"], said["snakes"], said["food"]
            self.acks = said["acks"]
        elif said["type"] == "diff":
            self.names.append(f"diff {said['base']} {said['tick']}")
            met = self.tick == said["base"]
            expect(met, f"a difference from tick {self.tick}, which {self.who} has", said)
            self.patch(said)

    def patch(self, said: dict) -> None:
        """Change the game as a difference says."""
        old, acks = dict(map(tuple, self.snakes)), dict(map(tuple, self.acks))
        for player, length, cells in said["snakes"]:
            old[player] = (cells + old.get(player, []))[:length]
        snakes = {player: body for player, body in old.items() if player not in said["gone"]}
        acks = {
            player: seq
            for player, seq in {**acks, **dict(said["acks"])}.items()
            if player in snakes
        }
        self.tick, self.snakes = said["tick"], [list(pair) for pair in sorted(snakes.items())]
        self.acks = [list(pair) for pair in sorted(acks.items())]
        self.food = [cell for cell in self.food if cell not in said["eaten"]] + said["food"]

    def ping(self) -> None:
        """Receive all that the server has sent so far."""
        self.socket.send_json({"type": "ping", "id": "p"})
        self.until("pong")

    def turn(self, seq: int, tick: int, direction: str, **more: object) -> None:
        """Send a turn, and wait until the server has read it."""
        self.socket.send_json(
            {"type": "turn", "seq": seq, "tick": tick, "direction": direction, **more}
        )
        self.ping()

    def cut(self, room: str, left: int) -> None:
        """Lose the connection, and wait until only so many players are connected."""
        self.socket.cut()
        count = partial(self.server.probe, PROBES, "connected", room)
        eventually(lambda: count() == left, f"{self.who} to be noted as away", count)

    def expect_welcome(self, **fields: object) -> None:
        """Expect these fields in the welcome."""
        found = {name: self.welcome.get(name) for name in fields}
        expect(equal(found, fields), f"a welcome with {shown(fields)}", self.welcome)

    def expect_players(self, *players: list) -> None:
        """Expect these players in the newest list."""
        self.ping()
        expect(equal(self.players, list(players)), f"the players {list(players)}", self.players)

    def expect_snapshots(self, *names: str) -> None:
        """Expect exactly these snapshots since the last look."""
        self.ping()
        found, self.names = self.names, []
        expect(found == list(names), f"the snapshots {', '.join(names)} for {self.who}", found)

    def expect_state(self, wanted: dict) -> None:
        """Expect the client to have the game as the server has it."""
        self.ping()
        found = [self.tick, self.snakes, sorted(self.food), self.acks]
        right = [wanted["tick"], wanted["snakes"], sorted(wanted["food"]), wanted["acks"]]
        expect(equal(found, right), f"{self.who} to have {shown(right)}", shown(found))


def at(x: int, y: int) -> int:
    """Return the cell in a column and a row."""
    return y * WIDTH + x


def row(*columns: int) -> list[int]:
    """Return the cells in these columns of row 5."""
    return [at(x, 5) for x in columns]


def ask(stage, function: str, *arguments: object) -> object:
    """Call a function of the probes, in one process for the whole test."""
    child = stage.children[0] if stage.children else stage.child()
    return child.probe(PROBES, function, *arguments)


def play(stage, snakes: list, players=None, food=(), turns=(), tick: int = 0) -> dict:
    """Return the game after one tick. Without `players`, those that have snakes play."""
    players = [player for player, _ in snakes] if players is None else players
    return ask(stage, "played", snakes, list(food), players, list(turns), tick)


def expect_turns(stage, *calls: list) -> None:
    """Call methods of Turns, and check what each leads to."""
    found = ask(stage, "take_turns", [call for call, _ in calls])
    for index, (call, wanted) in enumerate(calls):
        name, *arguments = call
        before = ", ".join(f"{name}({shown(rest)[1:-1]})" for (name, *rest), _ in calls[:index])
        wanted_in_words = f"the error {wanted}" if isinstance(wanted, str) else wanted
        says = f"{name}({shown(arguments)[1:-1]}) to lead to {wanted_in_words}"
        expect(found[index] == wanted, f"{says} after {before or 'nothing'}", found[index])


def advance(server: Server, room: str, count: int = 1, apart: bool = True) -> None:
    """Run ticks of a room, with a snapshot after each, or one after all."""
    says = f"{count} ticks" if count > 1 else "a tick"
    server.probe(PROBES, "advance", room, count, apart, says=says)


# The page of a room

STATE = "document.getElementById('state').dataset.state"
SCORE = "Number(document.getElementById('score').textContent)"
COUNT_NEWS = """() => {
    window.told = 0;
    const seen = new MutationObserver((records) => { window.told += records.length; });
    for (const live of document.querySelectorAll("[aria-live], [role=status], [role=log]")) {
        seen.observe(live, { childList: true, characterData: true, subtree: true });
    }
}"""
# Returns what is drawn while two frames pass.
DRAWN = """async () => {
    const before = window.drawn;
    for (const _ of [1, 2, 3]) await new Promise((done) => requestAnimationFrame(done));
    return window.drawn - before;
}"""
# Counts what is drawn, and lets a test move a finger. The page's time stands still, so that each
# turn is for the second tick from now, however long a message takes.
ROUND = """
performance.now = () => 1000;
window.drawn = 0;
const { fillRect } = CanvasRenderingContext2D.prototype;
CanvasRenderingContext2D.prototype.fillRect = function (...given) {
    window.drawn += 1;
    return fillRect.apply(this, given);
};
window.touch = (selector, [right, down]) => {
    const element = document.querySelector(selector);
    const send = (name, x, y) => element.dispatchEvent(new PointerEvent(name, {
        bubbles: true, pointerType: "touch", isPrimary: true, clientX: x, clientY: y }));
    const [x, y] = [300, 300];
    send("pointerdown", x, y);
    for (const part of [0.3, 0.6, 1]) send("pointermove", x + part * right, y + part * down);
    send("pointerup", x + right, y + down);
};
"""
