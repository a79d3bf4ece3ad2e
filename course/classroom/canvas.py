"""Canvas: write the grades of one assignment in the form of the gradebook's own export.

Canvas's importer (lib/gradebook_importer.rb) needs the columns Student, ID and Section. It changes
every grade that the file has, so only the assignment's column is written.
"""

import re

from course.classroom.gradebook import Gradebook
from course.classroom.sheet import Filled, Rows, column, scaled
from course.learner.refusal import Refusal

ADVICE = "Export it in Canvas: Grades, Export, Export Entire Gradebook."
KEPT = ("Student", "ID", "SIS User ID", "SIS Login ID", "Integration ID", "Root Account", "Section")
# Canvas names a download "byronada_LATE_1815_20021_work.zip": the learner, then the submission.
NUMBER = re.compile(r"^[^_]*_(LATE_)?(?P<number>[0-9]+)_[0-9]+_")


def fill(rows: list[list[str]], book: Gradebook, assignment: str) -> Filled:
    """Return the rows of an assignment's grades, on its own scale. Raises Refusal."""
    header = rows[0] if rows else []
    for name in ("Student", "ID", "Section"):
        column(header, name, ADVICE)
    place = _assignment(header, assignment)
    kept = [number for number, name in enumerate(header) if name in KEPT]
    learners = Rows(book, NUMBER)
    filled, most = [[header[number] for number in kept] + [header[place]]], ""
    for row in rows[1:]:
        row = row + [""] * (len(header) - len(row))
        cells = dict(zip(header, row, strict=False))
        begin = [row[number] for number in kept]
        if "Points Possible" in cells["Student"]:
            most = row[place]
            filled.append([*begin, most])
            continue
        names = [cells.get(name, "") for name in ("Student", "SIS User ID", "SIS Login ID")]
        if grade := learners.grade(cells["ID"].strip(), [*names, _turned(cells["Student"])]):
            filled.append([*begin, scaled(grade, book, most)])
    return Filled(filled, list(learners.left()))


def _turned(name: str) -> str:
    """Return "Ada Byron" for "Byron, Ada"."""
    last, _, first = name.partition(",")
    return f"{first} {last}".strip()


def _assignment(header: list[str], name: str) -> int:
    """Return the place of an assignment's column, whose header ends with the assignment's id."""
    found = [
        place
        for place, title in enumerate(header)
        if title == name or re.sub(r" \([0-9]+\)$", "", title) == name
    ]
    if len(found) != 1:
        known = [title for title in header if re.search(r" \([0-9]+\)$", title)]
        raise Refusal(
            f"The sheet has {len(found) or 'no'} columns for the assignment {name!r}. "
            f"It has: {', '.join(known) or 'none'}."
        )
    return found[0]
