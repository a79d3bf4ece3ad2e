"""Serve the site on this machine: the command `docs`."""

import contextlib
import os
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TextIO

from course.learner.refusal import Refusal
from course.setup import environment

HOST = "127.0.0.1"
PORT = 8000  # If it is in use, any other port.


class Site:
    """The site, built and served by a child process. `wait()` returns once it is available."""

    def __init__(self, root: Path) -> None:
        # Live reload isn't needed, since a learner doesn't edit pages; it polls all files.
        options = ["--no-livereload", "--dev-addr", f"{HOST}:{free_port(PORT)}"]
        nothing = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mkdocs", "serve", *options],
            cwd=root,
            env=environment.for_program(),
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            **nothing,
        )
        self._address = self._last_words = ""
        self._decided = threading.Event()
        # Read stderr to its end, because a full pipe would block the server.
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self._process.stderr:
            if match := re.search(r"Serving on (http\S+)", line):
                self._address = match[1].rstrip("/") + "/"
                self._decided.set()
            self._last_words = line.strip() or self._last_words
        self._decided.set()

    def wait(self) -> str:
        """Return the site's address once it is built. Raises Refusal if the build fails."""
        self._decided.wait()
        if not self._address:
            raise Refusal(f"The site can't be built: {self._last_words}")
        return self._address

    def join(self) -> None:
        """Wait until the server ends."""
        self._process.wait()

    def close(self) -> None:
        """End the server."""
        self._process.terminate()
        try:
            self._process.wait(2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def free_port(wanted: int) -> int:
    """Return the wanted port, or another one if it is in use."""
    for port in (wanted, 0):
        with contextlib.suppress(OSError), socket.socket() as listener:
            if os.name == "posix":  # On Windows, this option lets two programs share a port.
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((HOST, port))
            return listener.getsockname()[1]
    raise Refusal(f"No port on {HOST} is available. `python3 -m course doctor` says more.")


def open_browser(address: str) -> bool:
    """Open the address in a browser, and return whether this machine can show one."""
    screens = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    if sys.platform.startswith("linux") and not any(os.environ.get(name) for name in screens):
        return False
    # Start it in another process, because browsers write to the terminal.
    nothing = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    subprocess.Popen([sys.executable, "-m", "webbrowser", "-t", address], **nothing)
    return True


def serve(root: Path, out: TextIO) -> None:
    """Serve the site until Ctrl-C. On a terminal, open it in a browser."""
    out.write("Building the site.\n")
    out.flush()
    site = Site(root)
    try:
        address = site.wait()
        out.write(f"The site is at {address}. Press Ctrl-C to stop it.\n")
        out.flush()
        if out.isatty():
            open_browser(address)
        site.join()
    finally:
        site.close()
