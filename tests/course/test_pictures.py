"""`dev pictures` draws the home page's pictures from real runs."""

import asyncio
import io
from xml.etree import ElementTree

import pytest
from rich.console import Console
from rich.text import Text

from course.author import pictures
from course.learner.paint import Painter
from course.learner.progress import Progress
from course.learner.screen import View, frame
from course.lesson import needs
from course.lesson.lessons import ROOT, find, lessons

SVG = "{http://www.w3.org/2000/svg}"


def test_a_terminals_lines_are_drawn_with_their_positions_and_colours():
    lines = [Text("ok ", "green bold") + Text("<b>", "dim"), Text(""), Text("  ← ü")]

    drawn = ElementTree.fromstring(pictures.svg(lines))

    rows = drawn.findall(f"{SVG}text")
    assert ["".join(row.itertext()) for row in rows] == ["ok <b>", "  ← ü"]
    first, second = rows[0].findall(f"{SVG}tspan")
    assert (first.get("class"), first.get("style")) == ("b", "fill: var(--green)")
    assert second.get("style") == "fill: var(--dim)"
    assert float(second.get("x")) == pytest.approx(pictures.MARGIN + 3 * pictures.CELL)
    assert float(rows[1].get("y")) - float(rows[0].get("y")) == 2 * pictures.LINE


def test_the_picture_of_the_watch_screen_has_its_keys(tmp_path):
    view = View(lessons(), Progress(tmp_path, lambda sentence: None), find(pictures.SLUG))
    console = Console(file=io.StringIO(), width=pictures.COLUMNS, force_terminal=True)
    footer = frame(view, Painter(console), pictures.ROWS)[-1]

    drawn = ElementTree.fromstring(pictures.svg([footer]))
    stored = ElementTree.parse(ROOT / "docs" / "assets" / "watch.svg").getroot()

    now, then = (list(picture.findall(f"{SVG}text")[-1].itertext()) for picture in (drawn, stored))
    assert then == now, "Run `python3 -m course dev pictures`."


def test_the_watch_screen_shows_the_wire_of_a_failure():
    shown = "\n".join(line.plain for line in pictures.watch_screen())

    assert "expected: close 1011" in shown
    assert "ada ← HTTP/1.1 500 INTERNAL SERVER ERROR" in shown


@pytest.mark.skipif(not needs.browser().where, reason=needs.browser().advice)
def test_the_workbench_is_drawn_in_light_and_dark_colours():
    found = asyncio.run(pictures.workbench_pictures(needs.browser().where))

    assert list(found) == ["light", "dark"]
    assert found["light"] != found["dark"]
    for picture in found.values():
        assert picture[:4] == b"RIFF"
        assert picture[8:12] == b"WEBP"
        assert len(picture) < 40_000
