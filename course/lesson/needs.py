"""What a lesson may need beyond the packages of requirements.txt, and where this machine has it.

A page's front matter names it: `needs: [browser]`. The doctor reports it for each lesson, and a
test that asks for it where it is missing is skipped with the advice given here.
"""

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass

BROWSERS = {
    "linux": ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"),
    "darwin": (
        "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
        "/Applications/Chromium.app/Contents/MacOS/Chromium",
        "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
    ),
    "win32": (
        r"C:\Program Files\Google\Chrome\Application\chrome.exe",
        r"C:\Program Files (x86)\Google\Chrome\Application\chrome.exe",
        r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe",
    ),
}
# Debian's package and the one that Chrome for Testing brings have these names on PATH.
SHELLS = ("chromium-headless-shell", "chrome-headless-shell")


@dataclass(frozen=True)
class Found:
    """Where a need was found, or "", and what to do where it is missing."""

    where: str
    advice: str


def browser() -> Found:
    """Look for a browser that Playwright can drive."""
    known = BROWSERS.get(sys.platform, BROWSERS["linux"])
    where = next((path for name in known if (path := shutil.which(name))), "")
    return Found(where, "Install Chromium, Chrome or Edge; what needs one is skipped until then.")


def headless_shell() -> str:
    """Return where Chromium's headless shell is, or "".

    It opens a page in a third of the time, but has no back-forward cache and no window.
    """
    return next((path for name in SHELLS if (path := shutil.which(name))), "")


FINDERS: dict[str, Callable[[], Found]] = {"browser": browser}
