"""The packages that requirements.txt pins, and which of them this Python has.

Every command passes through here, so only os and sys, which each Python has imported anyway, are
imported at the top.
"""

import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
PINS = os.path.join(ROOT, "requirements.txt")
VERSION = ".".join(str(number) for number in sys.version_info[:3])


def missing() -> list[str]:
    """Return the names of the pinned packages that this Python lacks or has in another version."""
    have = installed()
    return [name for name, version in pins().items() if have.get(name) != version]


def pins() -> dict[str, str]:
    """Return what requirements.txt asks of this Python: versions by name.

    Raises OSError where the file cannot be read.
    """
    found = {}
    with open(PINS, encoding="utf-8") as file:
        for line in file:
            requirement, _, marker = line.partition("#")[0].partition(";")
            name, pinned, version = requirement.partition("==")
            if pinned and applies(marker.strip()):
                found[_normal(name.strip())] = version.strip()
    return found


def installed() -> dict[str, str]:
    """Return the versions by name of the packages that are wholly installed in this Python."""
    return {name: version for name, (version, _) in found().items()}


def found() -> dict[str, tuple[str, str]]:
    """Return the version and the `dist-info` of each package that is wholly installed, by name.

    `importlib.metadata` could tell, but to import it takes ten times as long as this.
    """
    packages: dict[str, tuple[str, str]] = {}
    for folder in sys.path:
        for name, version, path in dist_infos(folder):
            if name not in packages and is_whole(path):
                packages[name] = version, path
    return packages


def dist_infos(folder: str) -> list[tuple[str, str, str]]:
    """Return (name, version, path) of each `name-version.dist-info` in `folder`."""
    try:
        entries = os.listdir(folder)
    except OSError:
        return []
    found = []
    for entry in entries:
        if entry.endswith(".dist-info"):
            name, _, version = entry.removesuffix(".dist-info").partition("-")
            found.append((_normal(name), version, os.path.join(folder, entry)))
    return found


def is_whole(dist_info: str) -> bool:
    """Return whether a package was installed to its end: INSTALLER is written last."""
    return os.path.exists(os.path.join(dist_info, "INSTALLER"))


def _normal(name: str) -> str:
    """Return a package's name in the form in which names are compared."""
    return name.lower().replace("_", "-").replace(".", "-")


# Markers, such as `python_full_version < '3.11.5'`


def applies(marker: str) -> bool:
    """Return whether an environment marker (PEP 508) is true of this Python.

    It is an expression of Python too, and comes from our own requirements.txt.
    """
    return not marker or bool(eval(marker, {"__builtins__": {}}, Environment()))


class Environment(dict):
    """The variables of a marker. Those of the platform take an import, so they wait."""

    def __init__(self) -> None:
        super().__init__(
            os_name=os.name,
            sys_platform=sys.platform,
            implementation_name=sys.implementation.name,
            python_version=Version(VERSION.rpartition(".")[0]),
            python_full_version=Version(VERSION),
        )

    def __missing__(self, name: str) -> str:
        import platform

        return getattr(platform, name.removeprefix("platform_"))()


class Version:
    """A version, which a marker compares with a text such as "3.11.5" or "3.11.*"."""

    def __init__(self, text: str) -> None:
        self.numbers = [int(number) for number in text.split(".")]

    def __eq__(self, text: object) -> bool:
        other = Version(str(text).removesuffix(".*")).numbers
        return self.numbers[: len(other)] == other

    def __lt__(self, text: str) -> bool:
        return self.numbers < Version(text).numbers

    def __le__(self, text: str) -> bool:
        return self.numbers <= Version(text).numbers

    def __gt__(self, text: str) -> bool:
        return self.numbers > Version(text).numbers

    def __ge__(self, text: str) -> bool:
        return self.numbers >= Version(text).numbers
