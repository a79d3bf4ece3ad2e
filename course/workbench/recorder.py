"""Keep a session in a file, an entry a line, and read it again."""

import json
import re
import time
from pathlib import Path

from course.learner.refusal import Refusal
from course.workbench.transcript import Transcript

NAME = re.compile(r"[\w-]+\.jsonl")
LARGEST = 64 * 2**20  # bytes of a recording that is shown again
TEXTS, NUMBERS = ("kind", "title", "way", "body"), ("n", "at", "link", "size")


class Recorder:
    """Writes what the transcript is told to a file of its own, from `start()` to `stop()`."""

    def __init__(self, folder: Path, lesson: str, transcript: Transcript) -> None:
        self._folder, self._lesson, self._transcript = folder, lesson, transcript
        self._file = None
        self.name = ""  # of the file that is being written

    def start(self) -> str:
        """Begin a file, and return its name. Raises Refusal where none can be written."""
        if self._file:
            return self.name
        stem = f"{self._lesson}-{time.strftime('%Y-%m-%d_%H%M%S')}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            path, number = self._folder / f"{stem}.jsonl", 1
            while path.exists():
                number += 1
                path = self._folder / f"{stem}-{number}.jsonl"
            self._file = path.open("x", encoding="utf-8", newline="\n")
            self._put({"workbench": 1, "lesson": self._lesson})
        except OSError as error:
            raise Refusal(f"{self._folder} cannot be written: {error.strerror}.") from None
        self.name = path.name
        self._transcript.listen(self._put)
        return self.name

    def stop(self) -> str:
        """End the file, and return its name; "" where none was begun."""
        name, self.name = self.name, ""
        if self._file:
            self._transcript.ignore(self._put)
            self._file.close()
            self._file = None
        return name

    def _put(self, entry: dict) -> None:
        # As it comes, so that a session that ends badly is kept up to its end.
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()

    def names(self) -> list[str]:
        """Return the recordings that there are, the newest first."""
        found = [path for path in self._folder.glob("*.jsonl") if NAME.fullmatch(path.name)]
        return [path.name for path in sorted(found, key=lambda path: path.stat().st_mtime)][::-1]

    def read(self, name: str) -> dict:
        """Return a recording: its lesson, and its entries. Raises Refusal."""
        if name not in self.names():
            raise Refusal(f"There is no recording {name!r} in {self._folder}.")
        path = self._folder / name
        if path.stat().st_size > LARGEST:
            raise Refusal(f"{name} is larger than {LARGEST // 2**20} MiB, too large to show.")
        return parsed(path.read_text("utf-8", "replace"), name)


def parsed(text: str, name: str) -> dict:
    """Return what a recording holds. Raises Refusal, which names the line that is wrong."""
    lines = [line for line in text.splitlines() if line.strip()]
    rows = [_row(line, number, name) for number, line in enumerate(lines, 1)]
    if not rows or rows[0].get("workbench") != 1:
        raise Refusal(f"{name} is no recording of the workbench: its first line says so in one.")
    for number, row in enumerate(rows[1:], 2):
        if not _is_entry(row):
            raise Refusal(f"Line {number} of {name} is no entry of a recording.")
    return {"name": name, "lesson": str(rows[0].get("lesson", "")), "entries": rows[1:]}


def _row(line: str, number: int, name: str) -> dict:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        raise Refusal(f"Line {number} of {name} is not JSON.") from None
    if not isinstance(row, dict):
        raise Refusal(f"Line {number} of {name} is no entry of a recording.")
    return row


def _is_entry(row: dict) -> bool:
    fields = row.get("fields")
    return (
        all(isinstance(row.get(name), str) for name in TEXTS)
        and all(isinstance(row.get(name), int | float) for name in NUMBERS)
        and isinstance(fields, list)
        and all(isinstance(pair, list) and len(pair) == 2 for pair in fields)
    )
