"""Run pip or uv, and show its progress. Whatever interrupts the command ends it too."""

import contextlib
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping

from course.setup.progress import Progress, Reader


class Failed(Exception):
    """A tool ended with an error, or did not start. As text it is all that it said."""


def run(
    command: list[str],
    environment: Mapping[str, str],
    progress: Progress,
    read: Reader = lambda line: None,
) -> str:
    """Run a command, show what `read` makes of its lines, and return its output.

    Raises Failed if it does not end with 0. Whatever interrupts this ends the command too; what
    that leaves unfinished is removed at the next try.
    """
    try:
        with _ctrl_c_put_off() as let_it_come, _start(command, environment) as child:
            try:
                let_it_come()
                output = progress.follow(child.stdout, read)
            except BaseException:
                child.kill()
                raise
    except OSError as error:  # For instance a disk from which no program may be started.
        raise Failed(str(error)) from None
    if child.returncode:
        raise Failed(output)
    return output


def _start(command: list[str], environment: Mapping[str, str]) -> subprocess.Popen:
    return subprocess.Popen(
        command,
        env=environment,
        close_fds=False,  # It inherits the lock, and nothing else: all other files are closed.
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )


@contextlib.contextmanager
def _ctrl_c_put_off() -> Iterator[Callable[[], None]]:
    """Keep Ctrl-C back until what this gives is called: within Popen() it would leave an orphan."""
    came = []
    before = signal.getsignal(signal.SIGINT)
    if before == signal.SIG_IGN:  # A tool that hears it where this doesn't would end alone.
        yield lambda: None
        return
    signal.signal(signal.SIGINT, lambda *_: came.append(True))

    def let_it_come() -> None:
        signal.signal(signal.SIGINT, before)
        if came:
            signal.raise_signal(signal.SIGINT)

    try:
        yield let_it_come
    finally:
        signal.signal(signal.SIGINT, before)
