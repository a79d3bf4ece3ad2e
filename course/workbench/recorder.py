"""Record a session in a file, one entry a line, and read it again."""

import contextlib
import json
import math
import os
import re
import time
from pathlib import Path

from course.learner.refusal import Refusal
from course.workbench.transcript import MOST, Transcript

NAME = re.compile(r"[\w-]+\.jsonl")
LARGEST = 64 * 2**20  # bytes of a recording that can be shown
TEXTS, NUMBERS = ("kind", "title", "way", "body"), ("n", "at", "link", "size")


class Recorder:
    """Writes each entry of the transcript to a file, from `start()` to `stop()`."""

    def __init__(self, folder: Path, lesson: str, transcript: Transcript) -> None:
        self._folder, self._lesson, self._transcript = folder, lesson, transcript
        self._file = None
        self.name = ""  # of the file that is being written

    def start(self) -> str:
        """Begin a file, and return its name. Raises Refusal if it can't be written."""
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
            self._file = None
            raise Refusal(f"{self._folder} can't be written: {error.strerror}.") from None
        self.name = path.name
        self._transcript.listen(self._record)
        return self.name

    def stop(self) -> str:
        """End the file, and return its name, or "" if nothing is being recorded."""
        name, self.name = self.name, ""
        if self._file:
            self._transcript.ignore(self._record)
            file, self._file = self._file, None
            with contextlib.suppress(OSError):  # A full disk: the file keeps what fitted.
                file.close()
        return name

    def _record(self, entry: dict) -> None:
        try:
            self._put(entry)
        except OSError as error:
            name = self.stop()
            title = f"The recording {name} has ended: {error.strerror}."
            self._transcript.say("note", title)

    def _put(self, entry: dict) -> None:
        # At once, so that a session that ends badly is recorded up to its end.
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()

    def names(self) -> list[str]:
        """Return the names of the recordings, the newest first."""
        found = []
        for path in self._folder.glob("*.jsonl"):
            with contextlib.suppress(OSError):  # It is gone, or a link to nothing.
                if NAME.fullmatch(path.name) and path.is_file():
                    found.append((path.stat().st_mtime, path.name))
        return [name for _, name in sorted(found, reverse=True)]

    def read(self, name: str) -> dict:
        """Return a recording: its lesson and its last entries. Raises Refusal."""
        path = self._folder / name
        if not NAME.fullmatch(name) or not os.path.lexists(path):
            raise Refusal(f"There is no recording {name!r} in {self._folder}.")
        if not path.is_file():
            what = "a link to a file that doesn't exist" if path.is_symlink() else "not a file"
            raise Refusal(f"{name} can't be shown: it is {what}.")
        try:
            if path.stat().st_size > LARGEST:
                raise Refusal(f"{name} is larger than {LARGEST // 2**20} MiB, too large to show.")
            return parsed(path.read_text("utf-8", "replace"), name)
        except OSError as error:
            raise Refusal(f"{name} can't be read: {error.strerror}.") from None


def parsed(text: str, name: str) -> dict:
    """Return what a recording holds. Raises Refusal, which names the line that is wrong.

    Of a long recording only the last entries are returned, as many as the page can show; `omitted`
    is the number of the others.
    """
    lines = [line for line in text.split("\n") if line.strip()]
    if not lines or _row(lines[0], 1, name).get("workbench") != 1:
        raise Refusal(f"{name} isn't a recording of the workbench: its first line doesn't say so.")
    rows = [_row(line, number, name) for number, line in enumerate(lines[1:], 2)]
    for number, row in enumerate(rows, 2):
        if not _is_entry(row):
            raise Refusal(f"Line {number} of {name} isn't an entry of a recording.")
    lesson = str(_row(lines[0], 1, name).get("lesson", ""))
    omitted = max(len(rows) - MOST, 0)
    return {"name": name, "lesson": lesson, "entries": rows[omitted:], "omitted": omitted}


def _row(line: str, number: int, name: str) -> dict:
    try:
        row = json.loads(line, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise Refusal(f"Line {number} of {name} isn't JSON.") from None
    if not isinstance(row, dict):
        raise Refusal(f"Line {number} of {name} isn't an entry of a recording.")
    return row


def _refuse(constant: str) -> None:
    """Refuse NaN and Infinity, which Python reads and JSON doesn't have."""
    raise ValueError(constant)


def _is_entry(row: dict) -> bool:
    fields = row.get("fields")
    return (
        all(isinstance(row.get(name), str) for name in TEXTS)
        and all(_is_number(row.get(name)) for name in NUMBERS)
        and isinstance(fields, list)
        and all(isinstance(pair, list) and len(pair) == 2 for pair in fields)
        and all(isinstance(text, str) for pair in fields for text in pair)
    )


def _is_number(value: object) -> bool:
    # 1e999 is JSON, but Python reads it as infinity.
    return isinstance(value, int | float) and abs(value) < 2**53 and math.isfinite(value)
