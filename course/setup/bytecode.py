"""Compile what commands and graders import, once, so that no start has to.

Someone may have told Python to write no bytecode, and a process that runs learners' code writes
none. What only the site needs, about half of it all, is compiled when it is first used.
"""

import contextlib
import subprocess
import sys

from course.setup import environment

# Half of them each for a core of its own. `.*` stands for all modules of a package.
IMPORTED = (
    "click psutil pytest _pytest.* hypothesis jsonschema watchfiles yaml rich.live rich.markdown "
    "rich.progress rich.syntax rich.table",
    "flask flask_sock simple_websocket werkzeug.serving werkzeug.debug requests h11 wsproto "
    "playwright.async_api axe_playwright_python.async_playwright websockets.sync.client "
    "websockets.extensions.permessage_deflate",
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
    """Compile them. Where that is not possible each start does, as Python always would."""
    nothing = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    with contextlib.ExitStack() as running, contextlib.suppress(OSError):
        for names in IMPORTED:
            command = [sys.executable, "-I", "-c", CODE, *names.split()]
            here = environment.for_program()
            running.enter_context(subprocess.Popen(command, env=here, **nothing))
