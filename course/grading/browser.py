"""People with a browser: the one that this machine has, driven by Playwright."""

import contextlib
import os

import pytest
from playwright.sync_api import Error, sync_playwright
from playwright.sync_api import TimeoutError as TooLate

from course import doctor
from course.grading.expect import Unmet, shown
from course.grading.processes import PATIENCE
from course.grading.stage import SECONDS

START = 30.0  # seconds for the browser to start, on a machine that has other work


class Browser:
    """A browser with nothing in it. `Stage.browser` starts it; it ends with the test.

    Skips the test where there is no browser, or none that starts.
    """

    def __init__(self, stage) -> None:
        self._stage = stage
        self._end = contextlib.ExitStack()

    def __enter__(self) -> "Browser":
        where, advice = doctor.browser()
        if not where:
            pytest.skip(f"No browser was found here. {advice}")
        playwright = self._end.enter_context(sync_playwright())
        # Chromium's sandbox refuses to work for root, as which containers often run.
        root = hasattr(os, "geteuid") and os.geteuid() == 0
        arguments = ["--no-sandbox"] if root else []
        try:
            browser = playwright.chromium.launch(
                executable_path=where, args=arguments, timeout=START * PATIENCE * 1000
            )
        except Error as error:
            self._end.close()
            pytest.skip(f"{where} does not start here: {error.message.splitlines()[0]} {advice}")
        self._browser = self._end.enter_context(browser)
        return self

    def __exit__(self, *exception: object) -> None:
        self._end.close()

    def open(self, who: str, url: str, unsaid: str = "") -> "Tab":
        """Open a page in a new tab, and wait until it is there.

        Lines of its console that contain `unsaid` are not on the wire.
        """
        return Tab(self._stage.wire, who, self._browser.new_page(), url, unsaid)


class Tab:
    """A page that is open. What it prints on its console, and its errors, are on the wire."""

    def __init__(self, wire, who: str, page, url: str, unsaid: str = "") -> None:
        self._wire, self.who, self._page = wire, who, page
        page.set_default_timeout(SECONDS * PATIENCE * 1000)
        page.on("console", lambda message: self._note(message.text, unsaid))
        page.on("pageerror", lambda error: wire.received(who, f"error in the page: {error}"))
        wire.sent(who, f"open {url} in a browser")
        try:
            page.goto(url)
        except Error as error:
            raise Unmet(f"{url} to open in a browser", error.message.splitlines()[0]) from None

    def _note(self, line: str, unsaid: str) -> None:
        if not (unsaid and unsaid in line):
            self._wire.received(self.who, line)

    def run(self, script: str, argument: object = None) -> object:
        """Run JavaScript in the page: an expression, or a function, which gets `argument`.

        Returns its value, as far as JSON can hold it.
        """
        return self._page.evaluate(script, argument)

    def wait_for(self, condition: str, expected: str, got: str, seconds: float = SECONDS) -> None:
        """Wait until the JavaScript expression `condition` is true.

        Raises Unmet with the value of the expression `got` when that does not come.
        """
        try:
            self._page.wait_for_function(condition, timeout=seconds * PATIENCE * 1000)
        except TooLate:
            late = f"{expected}, within {seconds * PATIENCE:g} s"
            raise Unmet(late, shown(self.run(got))) from None
