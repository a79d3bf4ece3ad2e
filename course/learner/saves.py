"""Tell of each save in a lesson's folder, also where the system does not."""

import contextlib
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

CODE = {".py", ".js", ".html", ".css", ".conf", ".toml", ".ini", ".cfg", ".yml", ".yaml"}
NOT_THEIRS = ("__pycache__", "node_modules", "venv")  # Folders that a learner does not write in.
LOOK = 1.0  # seconds between looks at the files themselves, for folders that tell of no change
STEP = 20  # milliseconds without a further change, after which a save is taken as done


@dataclass(frozen=True)
class Saved:
    """A file of the lesson is not what it was."""


def fingerprint(folder: Path) -> frozenset[tuple[str, int, int]] | None:
    """Return what a save changes: the names, times and sizes of the code; None without a folder."""
    found = set()
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return None
    for entry in entries:
        with contextlib.suppress(OSError):
            if entry.name.startswith(".") or entry.name in NOT_THEIRS:
                continue
            if entry.is_dir(follow_symlinks=False):  # A link may lead in a circle.
                inner = fingerprint(Path(entry.path)) or ()
                found |= {(f"{entry.name}/{name}", *rest) for name, *rest in inner}
            elif os.path.splitext(entry.name)[1] in CODE:
                status = entry.stat()
                found.add((entry.name, status.st_mtime_ns, status.st_size))
    return frozenset(found)


class Saves:
    """Looks at one lesson's folder in a thread, and tells when its code has changed.

    The system's events only say when to look; where they do not come, it looks each second. The
    folder may be deleted and come back.
    """

    def __init__(self, folder: Path, put: Callable[[Saved], None]) -> None:
        self._put = put
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self.turn_to(folder)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def turn_to(self, folder: Path) -> None:
        """Look at this folder from now on."""
        with self._lock:
            self._folder = folder
            self._seen = fingerprint(folder)

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        # All lessons' folders are watched, so that the one in question may come and go.
        top = self._folder.parent
        while not self._stop.is_set():
            try:
                self._follow(top)
            except (OSError, RuntimeError):
                self._look()
                self._stop.wait(LOOK)

    def _follow(self, top: Path) -> None:
        """Look at each event. Returns when another folder has taken this one's place."""
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
