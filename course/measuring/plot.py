"""The plot of a measurement: two dot plots on logarithmic axes, as an SVG that needs no library."""

import math
from collections.abc import Callable, Iterator
from html import escape

from course.measuring.runs import Result

ROW = 34  # the height of a transport's row; all lengths are in pixels
TOP = 44  # the top of the first row
LEFT, WIDTH, GAP = 120, 300, 60  # the first panel's left edge, a panel's width, between the two
SMALLEST = 1e-4  # seconds: a coarse clock may measure 0, which has no logarithm

# Colours in light and dark mode. The plot has its own background, so it fits any page.
STYLE = """
  svg { font: 13px system-ui, "Segoe UI", Roboto, "Noto Sans", sans-serif; color-scheme: light dark;
        --ground: #fdfdfb; --ink: #1b1e23; --soft: #565c66; --line: #d9d7ce; --mark: #0b5d73; }
  @media (prefers-color-scheme: dark) {
    svg { --ground: #15181c; --ink: #e4e7ea; --soft: #a9b0b9; --line: #383e47; --mark: #78c9da; }
  }
  .ground { fill: var(--ground); }
  text { fill: var(--ink); stroke: var(--ground); stroke-width: 4px; paint-order: stroke; }
  .tick, .where { fill: var(--soft); font-size: 12px; }
  .grid { stroke: var(--line); }
  .axis { stroke: var(--soft); }
  .mark { fill: var(--mark); }
  .range, .high { stroke: var(--mark); stroke-width: 3; }
  .range { stroke-opacity: .4; stroke-width: 4; }
"""


class Axis:
    """A logarithmic axis in whole decades, as wide as a panel. `left` is its left end."""

    def __init__(self, values: list[float], left: float) -> None:
        self.left = left
        self.low = math.floor(math.log10(min(values)))
        self.high = max(math.ceil(math.log10(max(values))), self.low + 1)

    def x(self, value: float) -> float:
        """Return the position of a value."""
        part = (math.log10(value) - self.low) / (self.high - self.low)
        return self.left + part * WIDTH

    def ticks(self) -> list[float]:
        """Return the powers of ten, including both ends."""
        return [10.0**power for power in range(self.low, self.high + 1)]


def plot(results: list[Result], where: str) -> str:
    """Return the SVG. `where` names the machine.

    The same results give the same text, so that a plot can be kept in the repository.
    """
    height = TOP + ROW * len(results) + 78
    width = LEFT + 2 * WIDTH + GAP + 60
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img" aria-labelledby="title">',
        '<title id="title">Bytes for each message, and the age of a message when it is received, '
        "by transport</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="ground" width="{width}" height="{height}"/>',
        *_names(results),
        *_sizes(results),
        *_ages(results),
        _text(width / 2, height - 10, where, "middle", "where"),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _names(results: list[Result]) -> Iterator[str]:
    for number, result in enumerate(results):
        yield _text(LEFT - 14, _y(number) + 4, result.transport.name, "end")


def _sizes(results: list[Result]) -> Iterator[str]:
    """Draw the panel of bytes: a dot for each transport, with its value."""
    sizes = [result.bytes_a_message for result in results]
    axis = Axis(sizes, LEFT)
    yield from _panel(axis, len(results), "bytes for each message (log scale)", _bytes)
    for number, size in enumerate(sizes):
        x, y = axis.x(size), _y(number)
        yield f'<circle class="mark" cx="{x:.1f}" cy="{y}" r="5"/>'
        yield _text(x + 10, y + 4, _bytes(size))


def _ages(results: list[Result]) -> Iterator[str]:
    """Draw the panel of ages: from the median, a dot, to the 99th percentile, a stroke."""
    ages = [[max(age, SMALLEST) for age in result.ages] for result in results]
    axis = Axis([age for pair in ages for age in pair], LEFT + WIDTH + GAP)
    yield from _panel(axis, len(results), "age of a message when it is received (log scale)", _time)
    for number, (median, high) in enumerate(ages):
        yield from _range(axis.x(median), axis.x(high), _y(number))
    yield from _range(axis.left, axis.left + 30, 18)
    yield _text(axis.left + 44, 22, "median to 99th percentile")


def _range(start: float, end: float, y: float) -> Iterator[str]:
    yield f'<path class="range" d="M{start:.1f} {y}H{end:.1f}"/>'
    yield f'<path class="high" d="M{end:.1f} {y - 7}v14"/>'
    yield f'<circle class="mark" cx="{start:.1f}" cy="{y}" r="5"/>'


def _panel(axis: Axis, rows: int, label: str, write: Callable[[float], str]) -> Iterator[str]:
    """Draw an axis with its grid, its ticks and its label."""
    bottom = TOP + ROW * rows
    for tick in axis.ticks():
        x = axis.x(tick)
        yield f'<path class="grid" d="M{x:.1f} {TOP}V{bottom}"/>'
        yield f'<path class="axis" d="M{x:.1f} {bottom}v5"/>'
        yield _text(x, bottom + 19, write(tick), "middle", "tick")
    yield f'<path class="axis" d="M{axis.left} {bottom}h{WIDTH}"/>'
    yield _text(axis.left + WIDTH / 2, bottom + 42, label, "middle")


def _bytes(size: float) -> str:
    return f"{size:,.0f}"


def _time(seconds: float) -> str:
    return f"{seconds:g} s" if seconds >= 1 else f"{seconds * 1000:g} ms"


def _y(number: int) -> float:
    return TOP + ROW * number + ROW / 2


def _text(x: float, y: float, text: str, anchor: str = "start", kind: str = "") -> str:
    kind = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{kind}>{escape(text)}</text>'
