"""Find what a lesson may need besides the packages in requirements.txt, such as a browser.

A page's front matter names it: `needs: [browser]`. The doctor reports it for each lesson. A test
asks for it by `stage.need("browser")`, and is skipped with the advice given here if it is missing.
"""

import os
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
# The names of the command in Debian's package and in Chrome for Testing.
SHELLS = ("chromium-headless-shell", "chrome-headless-shell")


@dataclass(frozen=True)
class Found:
    """Where a need was found, or "", and what to do if it is missing."""

    where: str
    advice: str


def browser() -> Found:
    """Find a browser that Playwright can drive."""
    known = BROWSERS.get(sys.platform, BROWSERS["linux"])
    where = next((path for name in known if (path := shutil.which(name))), "")
    return Found(where, "Install Chromium, Chrome or Edge. Tasks that need one are skipped.")


def headless_shell() -> str:
    """Return the path of Chromium's headless shell, or "".

    It opens a page in a third of the time, but has no back-forward cache and no window.
    """
    return next((path for name in SHELLS if (path := shutil.which(name))), "")


def launch_options(where: str) -> dict[str, object]:
    """Return the arguments that Playwright's `launch` needs for the browser at this path."""
    # Chromium's sandbox doesn't work for root, which containers often use.
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    return {"executable_path": where, "args": ["--no-sandbox"] if root else []}


FINDERS: dict[str, Callable[[], Found]] = {"browser": browser}


def find(name: str) -> Found:
    """Find a need by its name. It isn't found if no finder has this name."""
    unknown = Found("", f"The course has no way to find {name}.")
    return FINDERS.get(name, lambda: unknown)()
