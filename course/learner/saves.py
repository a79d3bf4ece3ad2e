"""Report each save in a lesson's folder, even if the system doesn't."""

import contextlib
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

CODE = {".py", ".js", ".html", ".css", ".lua", ".conf", ".toml", ".ini", ".cfg", ".yml", ".yaml"}
NOT_THEIRS = ("__pycache__", "node_modules", "venv")  # Folders that a learner doesn't edit.
LOOK = 1.0  # seconds between polls, for file systems that report no changes
STEP = 20  # milliseconds without another change, after which a save counts as complete


@dataclass(frozen=True)
class Saved:
    """A file of the lesson has changed."""


def fingerprint(folder: Path) -> frozenset[tuple[str, int, int]] | None:
    """Return the names, times and sizes of the code files, or None if the folder is missing."""
    found = set()
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return None
    for entry in entries:
        with contextlib.suppress(OSError):
            if entry.name.startswith(".") or entry.name in NOT_THEIRS:
                continue
            if entry.is_dir(follow_symlinks=False):  # Symlinks may form a cycle.
                inner = fingerprint(Path(entry.path)) or ()
                found |= {(f"{entry.name}/{name}", *rest) for name, *rest in inner}
            elif os.path.splitext(entry.name)[1] in CODE:
                status = entry.stat()
                found.add((entry.name, status.st_mtime_ns, status.st_size))
    return frozenset(found)


class Saves:
    """Watches one lesson's folder in a thread, and reports when its code has changed.

    An event of the system only triggers a look at the files. Without events, it looks each second.
    The folder may be deleted and created again.
    """

    def __init__(self, folder: Path, put: Callable[[Saved], None]) -> None:
        self._put = put
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self.turn_to(folder)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def turn_to(self, folder: Path) -> None:
        """Watch this folder from now on."""
        with self._lock:
            self._folder = folder
            self._seen = fingerprint(folder)

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        # Watch the parent folder, since the lesson's folder may be deleted and created again.
        top = self._folder.parent
        while not self._stop.is_set():
            try:
                self._follow(top)
            except (OSError, RuntimeError):
                self._look()
                self._stop.wait(LOOK)

    def _follow(self, top: Path) -> None:
        """Look at the files at each event. Returns when another folder has replaced this one."""
        from watchfiles import watch

        same = top.stat().st_ino
        options = {"stop_event": self._stop, "watch_filter": None, "raise_interrupt": False}
        pace = {"step": STEP, "debounce": 5 * STEP, "rust_timeout": int(LOOK * 1000)}
        for _ in watch(top, **options, **pace, yield_on_timeout=True):
            self._look()
            if top.stat().st_ino != same:
                return

    def _look(self) -> None:
        with self._lock:
            now = fingerprint(self._folder)
            changed, self._seen = now != self._seen, now
        if changed:
            self._put(Saved())
