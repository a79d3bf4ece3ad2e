"""People with a browser: the one that this machine has, driven by Playwright.

A process starts it once, for the first test that asks for it. Each test has a profile of its own in
it, so that nothing of one is there in the next.
"""

import asyncio
import contextlib
import json
import re
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest
from playwright.async_api import BrowserContext, Error, Route, WebSocket, async_playwright
from playwright.async_api import TimeoutError as TooLate

from course.grading.expect import Unmet, shown
from course.grading.waiting import LASTING, PATIENCE, SECONDS
from course.lesson import needs

START = 30.0  # seconds for the browser to start, on a machine that has other work
LOAD = 15.0  # seconds for a page to load, which depends on the browser more than on the app
GRACE = 2.0  # seconds beyond its own timeout, after which a call that has not ended will not
SIZE = {"width": 800, "height": 600}  # CSS pixels
PRINTED = 200  # characters of a line of the console
# Playwright switches the back-forward cache off, which people have.
LIKE_PEOPLE = ["--disable-back-forward-cache"]

OWN_LINE = re.compile(r"/([\w.-]+\.js):(\d+)")  # in an error's stack, the innermost first

_drivers: list["Driver"] = []  # this process's, once there is one


class Driver:
    """Playwright and the browser it drives, in a thread of their own.

    So one can give up: where a page begins an endless loop, what Playwright is waiting for then
    never ends, whatever timeout it was given.
    """

    def __enter__(self) -> "Driver":
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._playwright = self.do(async_playwright().start())
        self._browsers: dict[str, object] = {}
        return self

    def browser(self, path: str):
        """Return the running browser that is at this path, started if it does not run yet."""
        running = self._browsers.get(path)
        if not (running and running.is_connected()):
            running = self._browsers[path] = self._launch(path)
        return running

    def _launch(self, path: str):
        launch = self._playwright.chromium.launch(
            **needs.launch_options(path),
            ignore_default_args=LIKE_PEOPLE,
            timeout=START * PATIENCE * 1000,
        )
        return self.do(launch, 2 * START)

    def do(self, work: Coroutine, seconds: float = START) -> object:
        """Return what a coroutine of Playwright's returns. Raises TooLate when it does not end."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(seconds * PATIENCE)
        except TimeoutError:
            future.cancel()
            raise TooLate("It does not end.") from None

    def __exit__(self, *exception: object) -> None:
        with contextlib.suppress(Error):  # It may have crashed.
            self.do(self._playwright.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def running(where: str) -> tuple["Driver", object]:
    """Return this process's driver and the running browser. Skips the test if it doesn't start."""
    if _drivers:
        with contextlib.suppress(Error):
            return _drivers[0], _drivers[0].browser(where)
        LASTING.close()  # An earlier test may have left it broken.
    driver = LASTING.enter_context(Driver())
    _drivers.append(driver)
    LASTING.callback(_drivers.clear)
    try:
        return driver, driver.browser(where)
    except Error as error:
        said = _first_line(error)
        pytest.skip(f"{where} does not start here: {said} {needs.browser().advice}")


class Browser:
    """A browser with nothing in it. `Stage.browser` opens it; it ends with the test."""

    def __init__(self, stage, back_forward_cache: bool = False) -> None:
        self._stage, self._back_forward_cache = stage, back_forward_cache

    def __enter__(self) -> "Browser":
        # Chromium's headless shell opens a page in a third of the time, but lacks this cache.
        shell = "" if self._back_forward_cache else needs.headless_shell()
        self._driver, browser = running(shell or self._stage.need("browser"))
        fresh = browser.new_context(viewport=SIZE, reduced_motion="reduce")
        self._context = self._driver.do(fresh)
        return self

    def __exit__(self, *exception: object) -> None:
        with contextlib.suppress(Error):  # It may have crashed.
            self._driver.do(self._context.close())

    def open(self, who: str, url: str, unsaid: str = "", before: str = "") -> "Tab":
        """Open a page in a new tab, and wait until it is there.

        Lines of its console that contain `unsaid` are not on the wire. `before` is JavaScript that
        runs before any of the page's own.
        """
        if before:
            self._driver.do(self._context.add_init_script(before))
        tab = Tab(self._stage, who, self._driver, self._context, unsaid)
        tab.go(url)
        return tab

    def control_time(self) -> None:
        """Let `Tab.pass_time` move the clock of the pages that are opened from now on."""
        self._driver.do(self._context.clock.install())

    def answer(self, url: str, reply: Callable[[str], dict]) -> None:
        """Answer requests that match `url` with what `reply` returns for their address.

        That is a dict of "status", "headers" and "body".
        """

        async def fulfill(route: Route) -> None:
            await route.fulfill(**reply(route.request.url))

        self._driver.do(self._context.route(url, fulfill))

    def answer_socket(self, url: str, talk: Callable) -> None:
        """Let `talk(socket)`, which gets a WebSocketRoute, be what WebSockets to `url` meet."""
        self._driver.do(self._context.route_web_socket(url, talk))


class Tab:
    """A tab. What its page prints on its console, its errors and its frames are on the wire."""

    def __init__(
        self, stage, who: str, driver: Driver, context: BrowserContext, unsaid: str = ""
    ) -> None:
        self._wire, self.who, self._driver = stage.wire, who, driver
        self.errors: list[str] = []  # that the page did not catch
        self._urls: list[str] = []  # of the WebSockets that it opened
        self._page = driver.do(self._blank(context, unsaid))
        stage.pictures.append(self._screenshot)

    async def _blank(self, context: BrowserContext, unsaid: str):
        page = await context.new_page()
        page.set_default_timeout(SECONDS * PATIENCE * 1000)
        page.on("console", lambda message: self._note(message.text, unsaid))
        page.on("pageerror", self._fault)
        page.on("websocket", self._opened)
        return page

    def _note(self, line: str, unsaid: str) -> None:
        if not (unsaid and unsaid in line):
            self._wire.received(self.who, f"console: {line[:PRINTED]}")

    def _fault(self, error: Error) -> None:
        place = OWN_LINE.search(error.stack or "")
        said = f"{error}" + (f" ({place[1]}:{place[2]})" if place else "")
        self.errors.append(said)
        self._wire.received(self.who, f"error in the page: {said}")

    def _opened(self, socket: WebSocket) -> None:
        self._urls.append(socket.url)
        self._wire.sent(self.who, f"open {socket.url}")
        socket.on("framesent", lambda data: self._wire.sent(self.who, _frame(data)))
        socket.on("framereceived", lambda data: self._wire.received(self.who, _frame(data)))
        socket.on("close", lambda _: self._wire.happened(self.who, "the WebSocket is closed"))

    def _screenshot(self, path: Path) -> None:
        self._driver.do(self._page.screenshot(path=path), SECONDS + GRACE)

    def sockets(self) -> list[str]:
        """Return the address of each WebSocket that the page has opened so far."""
        self.run("0")  # Its answer comes after what has happened in the page before.
        return self._urls

    def go(self, url: str) -> None:
        """Go to an address, and wait until the page is there."""
        self._wire.sent(self.who, f"open {url} in a browser")
        try:
            self._driver.do(self._page.goto(url, timeout=LOAD * PATIENCE * 1000), LOAD + GRACE)
        except Error as error:
            raise Unmet(f"{url} to open in a browser", _first_line(error)) from None

    def back(self) -> None:
        """Press the browser's button Back."""
        self._wire.sent(self.who, "back to the page before")
        # A page out of the cache loads nothing.
        self._driver.do(self._page.go_back(wait_until="commit"))

    def close(self) -> None:
        """Close the tab, as a person does: the page hears of it."""
        self._wire.happened(self.who, "the tab is closed")
        self._driver.do(self._page.close(run_before_unload=True))

    def click(self, selector: str) -> None:
        """Click the element. Raises Unmet where it cannot be clicked."""
        self._wire.sent(self.who, f"click on {selector}")
        self._do(self._page.click(selector), f"{selector} to be there for a click")

    def fill(self, selector: str, text: str) -> None:
        """Write the text into a field, in place of what is there."""
        self._wire.sent(self.who, f"write {shown(text, 60)!r} into {selector}")
        self._do(self._page.fill(selector, text), f"{selector} to be there to write into")

    def press(self, key: str, selector: str = "") -> None:
        """Press a key, such as Enter or Shift+Tab, in the element or where the focus is."""
        self._wire.sent(self.who, f"press {key}")
        where = selector or "body :focus, body"
        page = self._page
        press = page.press(selector, key) if selector else page.keyboard.press(key)
        self._do(press, f"{where} to be there for a key")

    def _do(self, act: Coroutine, expected: str) -> None:
        try:
            self._driver.do(act, SECONDS + GRACE)
        except TooLate:
            self.run("0")  # Raises where it is the whole page that does not answer.
            raise Unmet(expected, "it is not") from None

    def run(self, script: str, argument: object = None) -> object:
        """Run JavaScript in the page: an expression, or a function, which gets `argument`.

        Returns its value, as far as JSON can hold it. Raises Unmet when the page does nothing more.
        """
        # wait_for_function goes on where the page is replaced by another, as evaluate does not.
        wrapped = (
            "async ([script, argument]) => { const it = (0, eval)(`(${script})`);"
            " return JSON.stringify({"
            " value: await (typeof it === 'function' ? it(argument) : it) }); }"
        )
        waiting = self._page.wait_for_function(wrapped, arg=[script, argument])
        try:
            found = self._driver.do(self._value(waiting), SECONDS + GRACE)
        except TooLate:
            raise Unmet("the page to answer", "nothing: is it in an endless loop?") from None
        except Error as error:  # The page lacks something that the script looks for.
            raise Unmet("the page to have its given elements", _first_line(error)) from None
        return json.loads(found).get("value")

    @staticmethod
    async def _value(waiting: Coroutine) -> object:
        return await (await waiting).json_value()

    def wait_for(self, condition: str, expected: str, got: str, seconds: float = SECONDS) -> None:
        """Wait until the JavaScript expression `condition` is true.

        Raises Unmet with the value of the expression `got` when that does not come.
        """
        waiting = self._page.wait_for_function(condition, timeout=seconds * PATIENCE * 1000)
        try:
            self._driver.do(waiting, seconds + GRACE)
        except TooLate:
            late = f"{expected}, within {seconds * PATIENCE:g} s"
            raise Unmet(late, shown(self.run(got))) from None
        except Error as error:
            raise Unmet(expected, _first_line(error)) from None

    def pass_time(self, seconds: float) -> None:
        """Move the page's clock forward: its timers that are due run once."""
        self._wire.happened(self.who, f"{seconds:g} seconds pass on the page's clock")
        try:
            self._driver.do(self._page.clock.fast_forward(int(seconds * 1000)))
        except Error as error:
            raise Unmet("the page's timers to raise nothing", _first_line(error)) from None

    def barriers(self) -> list[str]:
        """Return the accessibility faults that axe finds in the page, in sentences."""
        from axe_playwright_python.async_playwright import Axe

        found = self._driver.do(Axe().run(self._page)).response["violations"]
        return [
            f"{rule['id']}: {rule['help']} ({node['target'][0]})"
            for rule in found
            for node in rule["nodes"]
        ]

    def use_colours(self, scheme: str) -> None:
        """Let the person prefer "light" or "dark" colours."""
        self._driver.do(self._page.emulate_media(color_scheme=scheme))


def _first_line(error: Error) -> str:
    return error.message.partition("\n")[0]


def _frame(data: str | bytes) -> str:
    return data if isinstance(data, str) else f"{len(data)} bytes: {data[:20].hex(' ')}"


def save(pictures: list[Callable], path: Path) -> bool:
    """Save what the last of the tabs shows as a PNG. Returns whether that was possible."""
    for screenshot in reversed(pictures):
        with contextlib.suppress(Error, OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            screenshot(path)
            return True
    return False
