"""The files of packages that the course doesn't use: most of the files, a quarter of the space.

The theme has 14,000 icons, each in a file, and Babel has the data of a thousand locales. Both look
up a file by its name only when a page needs it, so they work without the others. If you install
requirements.txt by hand, they are all there, and the course works the same.
"""

import contextlib
import os
import re
import sysconfig
import zipfile
from collections.abc import Callable, Iterator

from course.setup.packages import ROOT

PACKAGES = ("mkdocs-material", "babel")
THEME, ICONS, LOCALES = "material/", "material/templates/.icons/", "babel/locale-data/"
LOCALE = re.compile(r"(root|en|en_\w+)\.dat")
ICON = re.compile(r"\b(?:material|fontawesome|octicons|simple)/[\w/-]+")


def write_used(wheel: str, folder: str) -> None:
    """Write a wheel into a folder, without the files that the course doesn't use."""
    target = os.path.join(folder, os.path.basename(wheel))
    with zipfile.ZipFile(wheel) as whole, zipfile.ZipFile(target, "w") as part:
        files = whole.namelist()
        used = set(_used(files, lambda file: whole.read(file).decode()))
        for file in files:
            if file in used:
                data = whole.read(file)
                if file.endswith(".dist-info/RECORD"):
                    lines = data.decode().splitlines(keepends=True)
                    data = "".join(line for line in lines if line.split(",")[0] in used).encode()
                part.writestr(file, data)


def remove() -> None:
    """Remove the unused files from this Python's packages. It must be the Python of `.venv`."""
    packages = sysconfig.get_path("purelib")
    files = [
        os.path.relpath(os.path.join(path, name), packages).replace(os.sep, "/")
        for package in (THEME, LOCALES)
        for path, _, names in os.walk(os.path.join(packages, package))
        for name in names
    ]
    for file in set(files).difference(_used(files, lambda file: _text(packages, file))):
        with contextlib.suppress(OSError):
            os.remove(os.path.join(packages, file))


def _used(files: list[str], read: Callable[[str], str]) -> Iterator[str]:
    """Return those of these files that the course uses. `read` returns the text of one.

    An icon is used if the site's configuration or the theme names it.
    """
    sources = [f for f in files if f.startswith(THEME) and f.endswith((".html", ".py", ".yml"))]
    texts = [read(file) for file in sources] + [_text(ROOT, "mkdocs.yml")]
    icons = {f"{ICONS}{icon}.svg" for text in texts for icon in ICON.findall(text)}
    for file in files:
        if file.startswith(LOCALES):
            used = bool(LOCALE.fullmatch(file.removeprefix(LOCALES)))
        else:
            used = file in icons or not file.startswith(ICONS)
        if used:
            yield file


def _text(*path: str) -> str:
    """Return the text of a file, or "" if there is none."""
    try:
        with open(os.path.join(*path), encoding="utf-8") as file:
            return file.read()
    except OSError:
        return ""
