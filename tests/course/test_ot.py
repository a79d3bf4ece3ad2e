"""Lesson 15's ot.py has the properties of its page, and ot.js returns what ot.py returns."""

import base64
import functools
import importlib.util
import random
import tempfile
from pathlib import Path

import hypothesis.configuration
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from playwright.sync_api import Browser

LESSON = Path(__file__).resolve().parents[2] / "solutions" / "15_editor"
# A combining accent, emoji of one and of three code points, and a letter of two UTF-16 units.
CHARACTERS = [
    "a",
    "b",
    "\n",
    "\u00e9",
    "e\u0301",
    "\U0001f600",
    "\U0001f469\u200d\U0001f680",
    "\U0001d4b3",
]
CASES = 300
hypothesis.configuration.set_hypothesis_home_dir(Path(tempfile.gettempdir(), "course-hypothesis"))
# hypothesis draws all that `chance` draws, and so finds the shortest example that fails.
chances = given(chance=st.randoms(use_true_random=False))
drawn = settings(max_examples=200, deadline=None, database=None, derandomize=True)
SCRIPT = """async ([source, cases]) => {
    const ot = await import(`data:text/javascript;base64,${source}`);
    const attempt = (name, given) => {
        try {
            return ot[name](...given);
        } catch (error) {
            if (error instanceof ot.Misfit) return "misfit";
            throw error;
        }
    };
    return cases.map(([name, given]) => attempt(name, given));
}"""


@drawn
@chances
def test_both_orders_of_two_operations_result_in_one_text(chance):
    ot, text = module(), random_text(chance, 6)
    first, second = operation_for(ot, chance, text), operation_for(ot, chance, text)

    new_first, new_second = ot.transform(first, second)

    one = ot.apply(ot.apply(text, first), new_second)
    assert one == ot.apply(ot.apply(text, second), new_first)
    assert [new_first, new_second] == [canonical(ot, new_first), canonical(ot, new_second)]


@drawn
@chances
def test_a_composed_operation_does_what_both_do(chance):
    ot, text = module(), random_text(chance, 6)
    first = operation_for(ot, chance, text)
    between = ot.apply(text, first)
    second = operation_for(ot, chance, between)

    both = ot.compose(first, second)

    assert ot.apply(text, both) == ot.apply(between, second)
    assert both == canonical(ot, both)


@drawn
@chances
def test_an_inverse_restores_the_text(chance):
    ot, text = module(), random_text(chance, 6)
    operation = operation_for(ot, chance, text)

    inverse = ot.invert(operation, text)

    assert ot.apply(ot.apply(text, operation), inverse) == text
    assert inverse == canonical(ot, inverse)


@drawn
@chances
def test_a_moved_position_has_the_same_characters_before_it(chance):
    ot, text = module(), "0123456"[: chance.randint(0, 7)]
    operation, position = operation_for(ot, chance, text), chance.randint(0, len(text))

    after, moved = ot.apply(text, operation), ot.moved(position, operation)

    before = [digit for digit in text[:position] if digit in after]
    assert [digit for digit in after[:moved] if digit in text] == before


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_both_twins_return_the_same(browser: Browser, seed):
    chance, ot = random.Random(seed), module()
    calls = [call for _ in range(CASES) for call in calls_of(ot, chance)]
    source = base64.b64encode((LESSON / "static" / "ot.js").read_bytes()).decode()

    with browser.new_context() as context:
        results = context.new_page().evaluate(SCRIPT, [source, calls])

    for (name, args), result in zip(calls, results, strict=True):
        assert result == attempt(ot, name, args), (name, args)


@functools.cache
def module():
    """Return lesson 15's ot.py, without leaving its name among the modules."""
    spec = importlib.util.spec_from_file_location("lesson_15_ot", LESSON / "ot.py")
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def canonical(ot, operation: list) -> list:
    """Return the operation in canonical form."""
    again: list = []
    for part in operation:
        ot.add(again, part)
    return again


def attempt(ot, name: str, given: list) -> object:
    """Return what a function of ot.py returns, as JSON has it, or "misfit"."""
    try:
        result = getattr(ot, name)(*given)
    except ot.Misfit:
        return "misfit"
    return list(result) if isinstance(result, tuple) else result


def calls_of(ot, chance: random.Random) -> list[tuple[str, list]]:
    """Return a call of each function. Half of the second operations may not fit."""
    text, other = random_text(chance, 12), random_text(chance, 12)
    first = operation_for(ot, chance, text)
    second, misfit = operation_for(ot, chance, text), operation_for(ot, chance, other)
    after = operation_for(ot, chance, ot.apply(text, first))
    return [
        ("apply", [text, first]),
        ("apply", [text, misfit]),
        ("compose", [first, after]),
        ("compose", [first, misfit]),
        ("transform", [first, second]),
        ("transform", [first, misfit]),
        ("invert", [first, text]),
        ("moved", [chance.randint(0, len(text)), first]),
    ]


def random_text(chance: random.Random, most: int) -> str:
    """Return up to so many characters, some of several code points."""
    return "".join(chance.choices(CHARACTERS, k=chance.randint(0, most)))


def operation_for(ot, chance: random.Random, text: str) -> list:
    """Return a random operation for a text."""
    operation, left = [], len(text)
    while left:
        length = chance.randint(0, min(left, 4))
        part = chance.choice([length, -length, random_text(chance, 2)])
        left -= 0 if isinstance(part, str) else length
        ot.add(operation, part)
    ot.add(operation, random_text(chance, 2))
    return operation
