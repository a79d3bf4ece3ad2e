"""The parts of the packages that the course has no use for: a fifth of the space in `.venv`.

The theme brings 14,000 icons, each a file of its own, and Babel the calendars of 1,100 locales. A
package is as whole without them: it finds them by name, when a page asks for one. Someone who
installs requirements.txt by hand has them all, and the course is the same.
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
    """Remove them from this Python, which is that of `.venv`."""
    for folder, used in USED.items():
        whole = os.path.join(sysconfig.get_path("purelib"), folder)
        for path, _, names in os.walk(whole):
            for name in names:
                if not any(fnmatch(name, pattern) for pattern in used):
                    with contextlib.suppress(OSError):
                        os.remove(os.path.join(path, name))
