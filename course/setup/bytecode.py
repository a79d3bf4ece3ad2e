"""Compile what commands and graders import, once, so that they start fast.

`PYTHONDONTWRITEBYTECODE` may be set, and a process that runs learners' code never writes bytecode.
The other half of the packages, which only the site needs, is compiled on its first use.
"""

import contextlib
import subprocess
import sys

from course.setup import environment

# Two halves, compiled at the same time. `.*` means all modules of a package.
IMPORTED = (
    "click packaging.requirements psutil pytest _pytest.* hypothesis jsonschema watchfiles yaml "
    "rich.live rich.markdown rich.progress rich.syntax rich.table",
    "flask flask_sock jinja2 simple_websocket werkzeug.serving werkzeug.debug requests h11 wsproto "
    "playwright.async_api axe_playwright_python.async_playwright websockets.sync.client "
    "websockets.extensions.permessage_deflate redis trustme",
)
CODE = """
import contextlib, importlib, pkgutil, sys
for name in sys.argv[1:]:
    with contextlib.suppress(BaseException):
        package = importlib.import_module(name.removesuffix(".*"))
        if name.endswith(".*"):
            for module in pkgutil.iter_modules(package.__path__):
                importlib.import_module(f"{package.__name__}.{module.name}")
"""


def write() -> None:
    """Compile them. If that fails, Python compiles them at each start."""
    nothing = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    with contextlib.ExitStack() as running, contextlib.suppress(OSError):
        for names in IMPORTED:
            command = [sys.executable, "-I", "-c", CODE, *names.split()]
            here = environment.for_program()
            running.enter_context(subprocess.Popen(command, env=here, **nothing))
