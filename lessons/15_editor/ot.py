"""Operational transformation: changes of a text that can be applied, composed and transformed.

An operation covers the whole text, from its start to its end. It is a list of parts: a positive
number retains so many characters, a negative number deletes so many, and a string is inserted.
[3, "!", -2] turns "abcde" into "abc!". Characters are code points, as in Python's `str`.
"""

Part = int | str
Operation = list[Part]


class Misfit(ValueError):
    """An operation was made for a text of another length."""


def add(operation: Operation, part: Part) -> None:
    """Append a part in canonical form, so that equal changes are equal lists.

    Adjacent parts of one kind become one part. An insert is put before an adjacent delete.
    """
    if not part:
        return  # 0 and "" change nothing.
    deleted = 0
    if kind(part) == "insert" and operation and kind(operation[-1]) == "delete":
        deleted = operation.pop()
    if operation and kind(operation[-1]) == kind(part):
        operation[-1] += part
    else:
        operation.append(part)
    if deleted:
        operation.append(deleted)


def kind(part: Part) -> str:
    """Return what a part does: "insert", "delete" or "retain"."""
    if isinstance(part, str):
        return "insert"
    return "delete" if part < 0 else "retain"


def size(part: Part) -> int:
    """Return how many characters a part inserts, deletes or retains."""
    return len(part) if isinstance(part, str) else abs(part)


class Parts:
    """The parts of an operation, to be taken from the first to the last."""

    def __init__(self, operation: Operation) -> None:
        self._parts = operation[::-1]

    @property
    def next(self) -> str:
        """What the next part does: "insert", "delete" or "retain", or "end" after the last."""
        return kind(self._parts[-1]) if self._parts else "end"

    def take(self) -> Part:
        """Return the next part."""
        return self._parts.pop()

    def take_pieces(self, other: "Parts") -> tuple[Part, Part]:
        """Return the next piece of this operation and of the other, of the same length.

        Raises Misfit if one of them is at its end.
        """
        if "end" in (self.next, other.next):
            raise Misfit("The operations are for texts of different lengths.")
        length = min(size(self._parts[-1]), size(other._parts[-1]))
        return self._take_piece(length), other._take_piece(length)

    def _take_piece(self, length: int) -> Part:
        """Return the next so many characters, which are of one part."""
        part = self._parts.pop()
        if isinstance(part, str):
            piece, rest = part[:length], part[length:]
        else:
            piece = length if part > 0 else -length
            rest = part - piece
        if rest:
            self._parts.append(rest)
        return piece


def apply(text: str, operation: Operation) -> str:
    """Return the text with the operation applied. Raises Misfit if it is for another length."""
    # TODO(apply): Return the new text. Raise `Misfit` unless the operation covers `text`.
    ...
    # END(apply)


def compose(first: Operation, second: Operation) -> Operation:
    """Return one operation that does what `first` and then `second` do.

    Raises Misfit if `second` isn't for the length of the text that `first` results in.
    """
    a, b, both = Parts(first), Parts(second), []
    # TODO(compose): Take parts from `a` and `b` until both end, and `add()` to `both`.
    ...
    # END(compose)
    return both


def transform(first: Operation, second: Operation) -> tuple[Operation, Operation]:
    """Return both operations, made at the same time, as they are after the other one.

    `first` and then the new `second` result in the same text as `second` and then the new `first`.
    If both insert in one place, the text of `first` is before that of `second`.
    Raises Misfit if they aren't for the same length.
    """
    a, b, new_first, new_second = Parts(first), Parts(second), [], []
    # TODO(transform): Take parts from `a` and `b` until both end. `add()` to the new ones.
    ...
    # END(transform)
    return new_first, new_second


def invert(operation: Operation, text: str) -> Operation:
    """Return what undoes the operation. `text` is the text before it."""
    inverse, position = [], 0
    for part in operation:
        if kind(part) == "insert":
            add(inverse, -len(part))
            continue
        after = position + size(part)
        add(inverse, text[position:after] if kind(part) == "delete" else part)
        position = after
    return inverse


def moved(position: int, operation: Operation) -> int:
    """Return where a position in the text is after the operation.

    An insert at the position itself leaves it where it is.
    """
    # TODO(carets): Follow the parts up to `position`. Return the position after them.
    ...
    # END(carets)
