"""Read single keys from the terminal, and restore its settings at the end."""

import codecs
import contextlib
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator

try:
    import select
    import termios
except ImportError:  # Windows has no termios, and reads keys with msvcrt.
    termios = None

# What terminals send for special keys. Both forms of the arrows are in use.
_NAMES = {
    **{"\x1b[A": "up", "\x1b[B": "down", "\x1bOA": "up", "\x1bOB": "down"},
    **{"\x1b[5~": "page up", "\x1b[6~": "page down", " ": "page down"},
    **{"\x1b": "escape", "\r": "enter", "\n": "enter"},
}
_KEY = re.compile(r"\x1b[\[O][0-9;]*[A-Za-z~]|.", re.DOTALL)
_WINDOWS = {"H": "up", "P": "down", "I": "page up", "Q": "page down"}
END = "end"  # The terminal was closed, so no more keys will arrive.


@contextlib.contextmanager
def keys(put: Callable[[str], None]) -> Iterator[None]:
    """Call `put` with the name of each key that is pressed, from another thread.

    A letter's name is the letter in lower case. Ctrl-C still interrupts. Raises OSError if stdin
    isn't a terminal.
    """
    if termios is None:
        threading.Thread(target=_read_windows, args=(put,), daemon=True).start()
        yield
        return
    descriptor = sys.stdin.fileno()
    with _single_keys(descriptor), _reader(descriptor, put):
        yield


@contextlib.contextmanager
def _single_keys(descriptor: int) -> Iterator[None]:
    """Make the terminal deliver each key as it is pressed, without showing it."""
    try:
        before = termios.tcgetattr(descriptor)
    except termios.error as error:
        raise OSError(*error.args) from None
    mode = termios.tcgetattr(descriptor)
    mode[0] &= ~termios.IXON  # Otherwise Ctrl-S, pressed to save, freezes the screen.
    mode[3] &= ~(termios.ICANON | termios.ECHO)
    mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
    off = bytes([os.fpathconf(descriptor, "PC_VDISABLE")])
    for name in ("VSUSP", "VDSUSP"):  # Otherwise Ctrl-Z shows the shell on our screen.
        if hasattr(termios, name):
            mode[6][getattr(termios, name)] = off
    termios.tcsetattr(descriptor, termios.TCSADRAIN, mode)
    try:
        yield
    finally:
        # The terminal's window may have been closed.
        with contextlib.suppress(termios.error):
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


@contextlib.contextmanager
def _reader(descriptor: int, put: Callable[[str], None]) -> Iterator[None]:
    """Read keys in a thread that ends with this context."""
    asleep, wake = os.pipe()
    thread = threading.Thread(target=_read, args=(descriptor, asleep, put), daemon=True)
    thread.start()
    try:
        yield
    finally:
        os.close(wake)
        thread.join()
        os.close(asleep)


def _read(descriptor: int, asleep: int, put: Callable[[str], None]) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")("ignore")
    while asleep not in select.select([descriptor, asleep], [], [])[0]:
        try:
            data = os.read(descriptor, 1024)
        except OSError:
            data = b""
        if not data:
            put(END)
            return
        for key in split(decoder.decode(data)):
            put(key)


def split(text: str) -> list[str]:
    """Return the names of the keys in a terminal's input. Unknown sequences are ignored."""
    found = _KEY.findall(text)
    return [_NAMES.get(key, key.lower()) for key in found if key in _NAMES or key.isprintable()]


def _read_windows(put: Callable[[str], None]) -> None:
    import msvcrt

    while True:
        key = msvcrt.getwch()
        if key in ("\x00", "\xe0"):
            key = _WINDOWS.get(msvcrt.getwch(), "")
            put(key) if key else None
        elif key == "\x03":  # getwch() returns Ctrl-C as a key.
            import _thread

            _thread.interrupt_main()
        else:
            for name in split(key):
                put(name)
