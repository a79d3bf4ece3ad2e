"""uv: it installs everything in a fraction of pip's time. It is removed afterwards, with its cache.

It doesn't read pip's settings, so they are translated. If uv fails, pip does the work.
"""

import os
import shutil
import sys
from collections.abc import Mapping

from course.setup import environment, packages, pip, tool
from course.setup.progress import Progress
from course.setup.venv import SCRATCH

UV = "uv==0.13.9"
HOME = os.path.join(SCRATCH, "uv")
CACHE = os.path.join(SCRATCH, "cache")
PROGRAM = os.path.join(HOME, "bin", "uv.exe" if os.name == "nt" else "uv")

# pip's settings, and the options of uv that mean the same, given once for each value ...
OPTIONS = {
    "index-url": "--default-index",
    "extra-index-url": "--index",
    "find-links": "--find-links",
    "trusted-host": "--allow-insecure-host",
    "only-binary": "--only-binary",
    "no-binary": "--no-binary",
}
# ... and its variables.
VARIABLES = {
    "proxy": ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"),
    "cert": ("SSL_CERT_FILE",),
    "client-cert": ("SSL_CLIENT_CERT",),
    "timeout": ("UV_HTTP_TIMEOUT",),
    "default-timeout": ("UV_HTTP_TIMEOUT",),
    "retries": ("UV_HTTP_RETRIES",),
}
# Settings that uv doesn't need: it has a cache of its own, and prefers wheels.
IDLE = {"prefer-binary", "cache-dir", "no-cache-dir", "use-deprecated"}
TRUE = {"1", "true", "yes", "on", "y", "t"}


class Untranslated(Exception):
    """uv has no option for a setting of pip's."""


def install(settings: pip.Settings, progress: Progress) -> None:
    """Install everything that is pinned, and pip. Raises tool.Failed, and Untranslated."""
    options, variables = translated(settings)
    if not os.path.exists(PROGRAM):
        _fetch(settings, progress)
    here = environment.for_setup(**variables)
    wheel = pip.bundled()
    if wheel and "pip" not in packages.installed():
        # As `python -m venv` would have left it, for a person who starts it by hand.
        tool.run(_pip_install("--no-index", "--no-deps", wheel), here, progress)
    progress.enter("Looking up")
    command = _pip_install(*options, "-r", packages.PINS)
    tool.run(command, here, progress, _reader(progress))


def translated(settings: pip.Settings) -> tuple[list[str], dict[str, str]]:
    """Return the options and the variables that tell uv what a person has set for their pip.

    Raises Untranslated.
    """
    # pip looks in all indexes for a version; uv would stop at the first that has the package.
    options, variables = ["--index-strategy", "unsafe-best-match"], _certificates(os.environ)
    for name, value in settings.items():
        if name in OPTIONS:
            options += [part for each in _values(name, value) for part in (OPTIONS[name], each)]
        elif name in VARIABLES:
            variables |= dict.fromkeys(VARIABLES[name], value)
        elif name == "no-index":
            options += ["--no-index"] if value.lower() in TRUE else []
        elif name == "use-feature":
            options += ["--system-certs"] if "truststore" in value else []
        elif name not in IDLE:
            raise Untranslated(name)
    return options, variables


def _values(name: str, value: str) -> list[str]:
    """Return the values of an option of pip's that can be given more than once."""
    return value.split(",") if name.endswith("-binary") else value.split()


def _certificates(here: Mapping[str, str]) -> dict[str, str]:
    """Return the variable for the certificates that pip would use: pip knows two other names."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        if here.get(name):
            return {"SSL_CERT_FILE": here[name]}
    return {}


def _fetch(settings: pip.Settings, progress: Progress) -> None:
    """Install uv into a folder of its own, completely or not at all."""
    begun = f"{HOME}.begun"
    shutil.rmtree(begun, ignore_errors=True)
    shutil.rmtree(HOME, ignore_errors=True)
    pip.install_alone(UV, begun, settings, progress)
    os.rename(begun, HOME)


def _pip_install(*arguments: str) -> list[str]:
    alone = ["--no-config", "--no-progress", "--color", "never", "--no-python-downloads"]
    where = ["--python", sys.executable, "--cache-dir", CACHE]
    return [PROGRAM, "pip", "install", *alone, *where, *arguments]


def _reader(progress: Progress):
    """Return what shows in short what uv says.

    uv names only large packages, when a download begins and ends. Each package that has arrived
    has a folder in uv's cache.
    """
    coming: list[str] = []

    def read(line: str) -> None:
        first, _, rest = line.strip().partition(" ")
        if first == "Resolved":
            progress.enter("Downloading")
        elif first == "Downloading":
            coming.append(rest)
        elif first == "Downloaded":
            coming[:] = [each for each in coming if each.partition(" ")[0] != rest]
        elif first == "Prepared" or (first == "Installed" and progress.stage != "Installing"):
            progress.enter("Installing")
        if progress.stage == "Downloading":
            progress.reach(_arrived(), coming[0] if coming else "")
        elif progress.stage == "Installing":
            progress.reach(progress.count - len(packages.missing()))

    return read


def _arrived() -> int:
    """Return how many packages have been unpacked in the cache."""
    try:
        return len(os.listdir(os.path.join(CACHE, "archive-v0")))
    except OSError:
        return 0
