"""uv: it installs everything in a fraction of pip's time. It is removed afterwards, with its cache.

It doesn't read pip's settings, so they are translated. If uv fails, pip does the work.
"""

import os
import shutil
import sys
import zipfile
from collections.abc import Iterable, Mapping

from course.setup import environment, packages, pip, tool, unused
from course.setup.progress import Progress
from course.setup.venv import SCRATCH

UV = "uv==0.13.9"
FETCHED = os.path.join(SCRATCH, "fetched")
PROGRAM = os.path.join(FETCHED, "uv.exe" if os.name == "nt" else "uv")
CACHE = os.path.join(SCRATCH, "cache")

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
    """Install everything that is pinned, and pip. Raises tool.Failed, Untranslated and OSError."""
    options, variables = translated(settings)
    if not os.path.exists(PROGRAM):
        _fetch(settings, progress)
    here = environment.for_setup(**variables)
    if local := _local():
        command = _pip_install("--no-index", "--no-deps", "--find-links", FETCHED, *local)
        tool.run(command, here, progress)
    progress.enter("Looking up")
    command = _pip_install(*options, "-r", packages.PINS)
    tool.run(command, here, progress, _reader(progress))


def _fetch(settings: pip.Settings, progress: Progress) -> None:
    """Download uv, and the packages of which the course uses only a part: all of them or nothing.

    These have most of the files of all packages, so the rest is installed in half the time.
    """
    whole, begun = f"{FETCHED}.whole", f"{FETCHED}.begun"
    for folder in (whole, begun):
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
    pip.download([UV, *_missing(unused.PACKAGES)], whole, settings, progress)
    try:
        for name in os.listdir(whole):
            wheel = os.path.join(whole, name)
            if name.startswith("uv-"):
                _unpack(wheel, begun)
            else:
                unused.write_used(wheel, begun)
    except zipfile.BadZipFile as error:
        raise tool.Failed(str(error)) from None
    shutil.rmtree(whole)
    os.rename(begun, FETCHED)


def _unpack(wheel: str, folder: str) -> None:
    """Take uv's program out of its wheel."""
    with zipfile.ZipFile(wheel) as archive:
        name = os.path.basename(PROGRAM)
        for entry in archive.infolist():
            if entry.filename.endswith(f"/{name}"):
                entry.filename = name
                os.chmod(archive.extract(entry, folder), 0o755)


def _local() -> list[str]:
    """Return what is installed from this disk: pip, and the packages that were fetched."""
    # pip is as `python -m venv` would have left it, for a person who starts it by hand.
    wheel = None if "pip" in packages.installed() else pip.bundled()
    files = os.listdir(FETCHED)
    fetched = [
        requirement
        for requirement in _missing(unused.PACKAGES)
        if any(file.startswith(_stem(requirement)) for file in files)
    ]
    return [wheel, *fetched] if wheel else fetched


def _missing(names: Iterable[str]) -> list[str]:
    """Return those of these packages that are missing, as requirements."""
    pins, missing = packages.pins(), packages.missing()
    return [f"{name}=={pins[name]}" for name in names if name in missing]


def _stem(requirement: str) -> str:
    """Return how the name of a pinned package's wheel begins."""
    name, _, version = requirement.partition("==")
    return f"{name.replace('-', '_')}-{version}-"


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
