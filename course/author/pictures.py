"""Draw the pictures of the home page and the README from real runs: `dev pictures`.

- `docs/assets/watch.svg`: the watch screen with the card of a failure, from a check of one of the
  lesson's wrong answers.
- `docs/assets/workbench-light.webp` and `-dark.webp`: the workbench with a lesson's solution.

Run it after a change to the look of the watch screen, a card or the workbench.
"""

import asyncio
import base64
import contextlib
import io
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from html import escape
from pathlib import Path

from playwright.async_api import Browser, Page, async_playwright
from rich.console import Console
from rich.style import Style
from rich.text import Text

from course.author.answer_file import build, read
from course.grading.engine import Engine, Job
from course.learner.paint import Painter
from course.learner.progress import Progress
from course.learner.refusal import Refusal
from course.learner.screen import View, frame
from course.lesson import needs
from course.lesson.lessons import ROOT, find, lessons

SLUG, BELIEF = "06_echo", "Flask turns an exception into a response that the client understands"
SEED = 7
COLUMNS, ROWS = 84, 29  # of the terminal
CELL, LINE, MARGIN = 8.4, 19, 18  # a character's width, a line's height, the edge: in pixels
SIZE = {"width": 1040, "height": 770}  # of the workbench's window, in CSS pixels
SCALE = 0.8  # pixels of the picture for each of the window's: the home page stays light
QUALITY = 0.6  # of the WebP, from 0 to 1
SECONDS = 30_000  # milliseconds for a step in the browser

# The terminal's light and dark colours. The picture has its own background.
STYLE = """
  svg { color-scheme: light dark; --ground: #fdfdfb; --edge: #d9d7ce; --ink: #1b1e23;
        --dim: #565c66; --red: #a52a1c; --green: #2d6a2f; --yellow: #7a5900; --blue: #2850a8;
        --magenta: #7d3c98; --cyan: #0b5d73; }
  @media (prefers-color-scheme: dark) {
    svg { --ground: #15181c; --edge: #383e47; --ink: #e4e7ea; --dim: #a0a8b2; --red: #ff9a8f;
          --green: #97d59b; --yellow: #e8cf7a; --blue: #8fb8f5; --magenta: #dda6ee;
          --cyan: #7ccfdf; }
  }
  rect { fill: var(--ground); stroke: var(--edge); }
  text { font: 14px ui-monospace, "Cascadia Code", "SF Mono", Menlo, Consolas, "DejaVu Sans Mono",
         monospace; white-space: pre; fill: var(--ink); }
  .b { font-weight: 700; }
"""
COLOURS = ("red", "green", "yellow", "blue", "magenta", "cyan")


def draw(root: Path) -> list[Path]:
    """Draw all pictures, and return their files.

    Raises Refusal if no browser is found, or if the wrong answer no longer exists.
    """
    browser = needs.browser()
    if not browser.where:
        raise Refusal(f"The workbench is shown in a browser, and none was found. {browser.advice}")
    files = {"watch.svg": svg(watch_screen()).encode()}
    for scheme, picture in asyncio.run(workbench_pictures(browser.where)).items():
        files[f"workbench-{scheme}.webp"] = picture
    for name, data in files.items():
        (root / "docs" / "assets" / name).write_bytes(data)
    return [root / "docs" / "assets" / name for name in files]


# The watch screen


def watch_screen() -> list[Text]:
    """Return the lines of the watch screen with a wrong answer's card."""
    lesson = find(SLUG)
    answer = next((each for each in read(lesson, lesson.answers) if each.name == BELIEF), None)
    if not answer:
        raise Refusal(f"{lesson.answers.name} has no belief {BELIEF!r}. Name another one.")
    with tempfile.TemporaryDirectory(prefix="course-") as scratch:
        folder = Path(scratch, "lessons", lesson.slug)
        build(answer, folder)
        with Engine([lesson.slug]) as engine:
            [result] = engine.grade([Job(lesson.slug, folder)], SEED, lambda event: None)
        progress = Progress(Path(scratch, "progress.json"), lambda sentence: None)
        view = View(lessons(), progress, lesson, tasks=lesson.tasks, checking=False)
        view.results = {task.id: task for task in result.tasks}
        view.seconds, view.notes = result.seconds, result.notes
        console = Console(file=io.StringIO(), width=COLUMNS, force_terminal=True)
        return frame(view, Painter(console), ROWS)


def svg(lines: list[Text]) -> str:
    """Return the lines of a terminal as a drawing in light and dark colours."""
    width, height = round(COLUMNS * CELL + 2 * MARGIN), len(lines) * LINE + 2 * MARGIN
    label = "The watch screen of a lesson, with the card of a task that fails"
    rows = "\n".join(
        f'<text y="{MARGIN + 14 + LINE * number}">{"".join(_spans(line))}</text>'
        for number, line in enumerate(lines)
        if line.plain.strip()
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-label="{label}">\n<style>{STYLE}</style>\n'
        f'<rect x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8"/>\n'
        f"{rows}\n</svg>\n"
    )


def _spans(line: Text) -> Iterator[str]:
    """Yield a line's parts, each at its column, as wide as a terminal shows it."""
    column = 0
    for segment in line.render(Console(width=COLUMNS), end=""):
        text, cells = segment.text, segment.cell_length
        if text.strip():
            look = _look(segment.style)
            yield (
                f'<tspan x="{MARGIN + column * CELL:.1f}"{look} textLength="{cells * CELL:.1f}" '
                f'lengthAdjust="spacingAndGlyphs">{escape(text, quote=False)}</tspan>'
            )
        column += cells


def _look(style: Style | None) -> str:
    """Return the attributes that show a style."""
    if not style:
        return ""
    name = style.color.name if style.color and style.color.name in COLOURS else ""
    name = "dim" if style.dim else name
    fill = f' style="fill: var(--{name})"' if name else ""
    return (' class="b"' if style.bold else "") + fill


# The workbench


async def workbench_pictures(browser: str) -> dict[str, bytes]:
    """Return the workbench with the solution's app, by colour scheme, as WebP."""
    async with _workbench() as address, _opened(browser) as chromium:
        page = await chromium.new_page(
            viewport=SIZE, device_scale_factor=SCALE, reduced_motion="reduce"
        )
        page.set_default_timeout(SECONDS)
        await page.goto(address)
        await talk(page)
        return {scheme: await _webp(page, scheme) for scheme in ("light", "dark")}


@contextlib.asynccontextmanager
async def _workbench() -> AsyncIterator[str]:
    """Run the command `run`, yield the address of its workbench, and end it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "course", "run", SLUG, "--solution"),
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(SECONDS / 1000):
            async for line in process.stdout:
                if found := re.search(rb"workbench is at (\S+)", line):
                    break
            else:
                raise Refusal(f"`run {SLUG} --solution` ended before its workbench started.")
        yield found[1].decode()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT if os.name != "nt" else signal.SIGTERM)
        await process.wait()


@contextlib.asynccontextmanager
async def _opened(path: str) -> AsyncIterator[Browser]:
    """Start the browser, and close it at the end."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(**needs.launch_options(path))
        yield browser
        await browser.close()


async def talk(page: Page) -> None:
    """Send messages to lesson 6's app until it closes with 1011."""
    board, wire = page.frame_locator("#board"), page.locator("#wire")
    await board.get_by_text("hello, ada").wait_for()
    for text, reply in (("mean 4 6", "text 5"), ("mean", "close 1011")):
        await board.get_by_placeholder("Message").fill(text)
        await board.get_by_role("button", name="Send", exact=True).click()
        await wire.get_by_text(reply).first.wait_for()
    await wire.get_by_text("The app ended the connection").wait_for()


async def _webp(page: Page, scheme: str) -> bytes:
    """Return a screenshot of the page in light or dark colours."""
    await page.emulate_media(color_scheme=scheme)
    png = base64.b64encode(await page.screenshot()).decode()
    async with await page.context.browser.new_page() as blank:  # The page's policy forbids data:.
        url = await blank.evaluate(CONVERT, [f"data:image/png;base64,{png}", QUALITY])
    return base64.b64decode(url.partition(",")[2])


# Playwright writes PNG and JPEG only. A WebP of the same picture has a third of the PNG's bytes.
CONVERT = """async ([url, quality]) => {
  const picture = new Image();
  picture.src = url;
  await picture.decode();
  const canvas = new OffscreenCanvas(picture.width, picture.height);
  canvas.getContext("2d").drawImage(picture, 0, 0);
  const blob = await canvas.convertToBlob({ type: "image/webp", quality });
  return new Promise((resolve) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.readAsDataURL(blob);
  });
}"""
