"""The site, served on this machine."""

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
PORT = 8000  # where free; else any other


class Site:
    """The site, built and served by a child process. `wait()` returns once it can be read."""

    def __init__(self, root: Path) -> None:
        # Live reload polls every file each second, for pages that nobody edits here.
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
        # It is read to its end, because a pipe that nobody reads fills and stops the server.
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self._process.stderr:
            if match := re.search(r"Serving on (http\S+)", line):
                self._address = match[1].rstrip("/") + "/"
                self._decided.set()
            self._last_words = line.strip() or self._last_words
        self._decided.set()

    def wait(self) -> str:
        """Return the site's address, when it is built. Raises Refusal where it cannot be."""
        self._decided.wait()
        if not self._address:
            raise Refusal(f"The site could not be built: {self._last_words}")
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
    """Return the wanted port, or another one if somebody holds that."""
    for port in (wanted, 0):
        with contextlib.suppress(OSError), socket.socket() as listener:
            if os.name == "posix":  # Elsewhere this option lets two programs share a port.
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((HOST, port))
            return listener.getsockname()[1]
    raise Refusal(f"No port on {HOST} can be had. `python3 -m course doctor` says more.")


def open_browser(address: str) -> bool:
    """Show the address in the browser, and return whether there is one to try."""
    screens = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    if sys.platform.startswith("linux") and not any(os.environ.get(name) for name in screens):
        return False
    # A process of its own, because browsers write what they like on the terminal.
    nothing = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    subprocess.Popen([sys.executable, "-m", "webbrowser", "-t", address], **nothing)
    return True


def serve(root: Path, out: TextIO) -> None:
    """Serve the site until Ctrl-C; open it where somebody is there to see it."""
    out.write("Building the site.\n")
    out.flush()
    site = Site(root)
    try:
        address = site.wait()
        out.write(f"It is at {address} until you press Ctrl-C.\n")
        out.flush()
        if out.isatty():
            open_browser(address)
        site.join()
    finally:
        site.close()
