"""Fill the grades of a class into a sheet that a learning platform exported: `class sheet`."""

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from course.classroom.gradebook import Grade, Gradebook, csv_of
from course.learner.refusal import Refusal


@dataclass
class Filled:
    """A sheet with grades, and the submissions that no row of it belongs to."""

    rows: list[list[str]]
    unmatched: list[str] = field(default_factory=list)

    def as_csv(self) -> bytes:
        """Return the sheet as CSV."""
        return csv_of(self.rows).removeprefix("\ufeff".encode())


def read_book(path: Path) -> Gradebook:
    """Return the grades that `class grade` wrote. Raises Refusal."""
    try:
        return Gradebook.from_dict(json.loads(path.read_text("utf-8")))
    except OSError as error:
        raise Refusal(f"{path} can't be read: {error.strerror}.") from None
    except ValueError as error:
        raise Refusal(f"{path} can't be used: {error}. Name a grades.json.") from None


def read_rows(path: Path) -> list[list[str]]:
    """Return the rows of a CSV file, with commas or semicolons. Raises Refusal."""
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise Refusal(f"{path} can't be read: {error.strerror}.") from None
    except ValueError:
        raise Refusal(f"{path} isn't a CSV file in UTF-8.") from None
    head = text.split("\n", 1)[0]
    delimiter = ";" if head.count(";") > head.count(",") else ","
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))


def column(header: list[str], name: str, path: str) -> int:
    """Return the place of a column. Raises Refusal."""
    if name not in header:
        raise Refusal(f"The sheet has no column {name!r}. {path}")
    return header.index(name)


def scaled(grade: Grade, book: Gradebook, most: str) -> str:
    """Return a grade on the platform's scale, whose maximum is the number in `most`, if any."""
    try:
        factor = float(most.replace(",", ".")) / book.points
    except (ValueError, ZeroDivisionError):
        factor = 1.0
    return f"{grade.report.earned * factor:.2f}".rstrip("0").rstrip(".")


class Rows:
    """Finds the row of a submission: by a number in its name, or by the learner's own name."""

    def __init__(self, book: Gradebook, number: re.Pattern) -> None:
        self._book, self._number = book, number
        self._left = {grade.name: grade for grade in book.grades}

    def grade(self, number: str, names: list[str]) -> Grade | None:
        """Return the grade of the learner with this number, or with one of these names."""
        wanted = {_plain(name) for name in names if name.strip()}
        for grade in self._book.grades:
            found = self._number.search(grade.name)
            by_number = bool(found and number)
            if found["number"] == number if by_number else _plain(grade.name) in wanted:
                self._left.pop(grade.name, None)
                return grade
        return None

    def left(self) -> Iterator[str]:
        """Return the names of the submissions that no row had."""
        return iter(self._left)


def _plain(name: str) -> str:
    return " ".join(name.casefold().split())
