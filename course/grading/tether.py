"""A server that ends with the process that has started it, even if that process is killed."""

import contextlib
import subprocess
from pathlib import Path
from typing import BinaryIO

import psutil

# The shell waits for the end of its input, which the end of the grader is, too.
SCRIPT = '"$@" </dev/null >&2 & echo $!; read line; kill -9 $!; wait'


class Tethered:
    """A running program. What it prints goes to `log`. `options` are those of `Popen`.

    It needs a POSIX shell, so it isn't for Windows.
    """

    def __init__(self, command: list[str | Path], log: BinaryIO, **options: object) -> None:
        self._shell = subprocess.Popen(
            ["/bin/sh", "-c", SCRIPT, "sh", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            **options,
        )
        self.process = psutil.Process(int(self._shell.stdout.readline()))

    def ended(self) -> bool:
        """Return whether the program has ended by itself."""
        return not self.process.is_running() or self.process.status() == psutil.STATUS_ZOMBIE

    def kill(self) -> None:
        """End the program at once, and what it has started."""
        started = []
        with contextlib.suppress(psutil.Error):
            started = self.process.children(recursive=True)
        with contextlib.suppress(OSError):
            self._shell.stdin.close()
        self._shell.wait()
        self._shell.stdout.close()
        for each in started:
            with contextlib.suppress(psutil.Error):
                each.kill()
