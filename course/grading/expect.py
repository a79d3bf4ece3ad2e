"""Expectations that explain themselves: what was expected, what came, and what to try next."""

import json


class Unmet(AssertionError):
    """An expectation that was not met. `next` is one step to try, or empty."""

    def __init__(self, expected: str, got: str, next: str = "", where: list | None = None) -> None:
        super().__init__(f"expected {expected}, got {got}")
        self.expected, self.got, self.next, self.where = expected, got, next, where or []


def equal(got: object, expected: object) -> bool:
    """Whether two values are the same by value and by exact type: 1, 1.0 and True are three."""
    if type(got) is not type(expected):
        return False
    if isinstance(expected, dict):
        return got.keys() == expected.keys() and all(equal(got[k], expected[k]) for k in expected)
    if isinstance(expected, list | tuple):
        return len(got) == len(expected) and all(map(equal, got, expected))
    return got == expected


def shown(value: object, longest: int = 300) -> str:
    """Return a value as `in_json` does, but a text without its quotes."""
    return _cut(value, longest) if isinstance(value, str) else in_json(value, longest)


def in_json(value: object, longest: int = 300) -> str:
    """Return a value as it would stand in JSON, cut where it is long."""
    return _cut(json.dumps(value, ensure_ascii=False, default=repr), longest)


def counted(count: int, noun: str) -> str:
    """Return the number with its noun: "1 line", "2 lines"."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]} … ({len(text):,} characters)"


def expect(met: bool, expected: str, got: object, next: str = "") -> None:
    """Raise Unmet unless the condition is met. The learner reads `expected` and `got`."""
    if not met:
        raise Unmet(expected, shown(got), next)
