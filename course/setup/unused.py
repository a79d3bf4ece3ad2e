"""The parts of packages that the course doesn't use: a sixth of the space in `.venv`.

The theme has thousands of icons, each in a file, and Babel has the data of a thousand locales. Both
look a file up by its name only when a page needs it, so they work without the others. If you
install requirements.txt by hand, they are all there, and the course works the same.
"""

import contextlib
import os
import sysconfig
from fnmatch import fnmatch

# Folders in the folder of packages, and which of their files are used.
ICONS = os.path.join("material", "templates", ".icons")
USED = {
    os.path.join(ICONS, "fontawesome", "regular"): (),
    os.path.join(ICONS, "fontawesome", "solid"): (),
    os.path.join(ICONS, "octicons"): (),
    os.path.join(ICONS, "simple"): (),
    os.path.join("babel", "locale-data"): ("root.dat", "en.dat", "en_*.dat"),
}


def remove() -> None:
    """Remove them from this Python's packages. It must be the Python of `.venv`."""
    for folder, used in USED.items():
        whole = os.path.join(sysconfig.get_path("purelib"), folder)
        for path, _, names in os.walk(whole):
            for name in names:
                if not any(fnmatch(name, pattern) for pattern in used):
                    with contextlib.suppress(OSError):
                        os.remove(os.path.join(path, name))
