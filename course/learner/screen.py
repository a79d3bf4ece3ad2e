"""The watch screen: its state, and how it is rendered. It reads no keys and no files."""

from dataclasses import dataclass, field
from typing import Literal

from rich.text import Text

from course.learner.hints import Hint
from course.learner.keys import BINDINGS
from course.learner.paint import NARROW, CardLine, Painter, crop
from course.learner.progress import Progress
from course.lesson.lessons import Lesson, Task
from course.report import TaskResult

CARD = 5  # lines; a card with less room than this is omitted in favour of the hint

Mode = Literal["tasks", "list", "ask", "page"]


@dataclass
class View:
    """The state that the screen shows."""

    lessons: list[Lesson]
    progress: Progress
    lesson: Lesson
    mode: Mode = "tasks"
    tasks: list[Task] = field(default_factory=list)
    results: dict[str, TaskResult] = field(default_factory=dict)
    fresh: set[str] = field(default_factory=set)  # Tasks that the running check has graded.
    checking: bool = True
    seconds: float = 0.0  # How long the last check took.
    notes: list[str] = field(default_factory=list)
    chosen: str = ""  # The task that the learner chose; "" for the first that fails.
    hint: Hint | None = None
    notice: str = ""  # A message to show until the next key or save.
    cursor: int = 0  # In the list of lessons.
    page: list[Text] = field(default_factory=list)  # A long text to scroll.
    offset: int = 0

    @property
    def done(self) -> bool:
        """Whether each task of the lesson passed in the last check."""
        found = [self.results.get(task.id) for task in self.tasks]
        return bool(found) and all(result and result.status == "passed" for result in found)

    @property
    def task(self) -> Task | None:
        """The task whose card is shown: the chosen one, or the first that the learner can fix."""
        status = {name: result.status for name, result in self.results.items()}
        ranks = [("failed", "error"), ("skipped",), ("blocked",)]
        open_ones = (t for rank in ranks for t in self.tasks if status.get(t.id) in rank)
        chosen = next((t for t in self.tasks if t.id == self.chosen), None)
        return chosen or next(open_ones, None)


def frame(view: View, painter: Painter, height: int) -> list[Text]:
    """Return exactly `height` lines, none wider than the painter's."""
    top, bottom = _header(view, painter), _footer(view, painter)
    room = height - len(top) - len(bottom)
    if room < 4:  # In a very low window, show the middle part.
        top, bottom, room = top[:1], [], height - 1
    body = _BODIES[view.mode](view, painter, room)[:room]
    lines = top + body + [Text()] * (room - len(body)) + bottom
    return [_cut(line, painter.width) for line in lines[:height]]


def _cut(line: Text, width: int) -> Text:
    line.no_wrap = True
    line.truncate(width, overflow="crop")
    return line


def _header(view: View, painter: Painter) -> list[Text]:
    if view.mode == "list":
        return [painter.text("Beyond REST", "bold"), _rule(painter)]
    total = sum(task.points for task in view.tasks)
    earned = sum(result.earned for result in view.results.values())
    state = painter.text("checking…" if view.checking else "", "yellow")
    points = painter.text(f"   {earned}/{total}", "green bold" if view.done else "bold")
    left = painter.text(f"{view.lesson.slug}  ", "dim") + painter.text(view.lesson.title, "bold")
    room = painter.width - len(points) - len("checking…") - 2
    painter.shorten(left, room)
    gap = painter.width - left.cell_len - state.cell_len - points.cell_len
    return [left + Text(" " * gap) + state + points, _rule(painter)]


def _rule(painter: Painter) -> Text:
    return painter.text(painter.signs.rule * painter.width, "dim")


def _footer(view: View, painter: Painter) -> list[Text]:
    lines = [Text()]
    for binding in BINDINGS[view.mode]:
        key, _, name = binding.shown.partition(" ")
        if not key:
            continue
        if name == "solution" and not view.progress.complete(view.lesson):
            continue
        keys = key if painter.unicode else key.replace("↑↓", "j/k")
        item = painter.text(keys, "bold") + painter.text(f" {name}", "dim")
        if lines[-1].cell_len + item.cell_len + 3 > painter.width:
            lines.append(Text())
        lines[-1] += Text("   " if lines[-1].plain else "") + item
    notice = painter.paragraph(view.notice or _last_check(view), "yellow" if view.notice else "dim")
    return [*notice[:3], _rule(painter), *lines]


def _last_check(view: View) -> str:
    if view.mode != "tasks" or view.checking or not view.seconds:
        return ""
    folder = view.lesson.lesson.relative_to(view.lesson.root).as_posix()
    return f"Checked in {view.seconds:.2f} s. Waiting for a save in {folder}."


def _tasks_body(view: View, painter: Painter, room: int) -> list[Text]:
    """Return the tasks, and below them the card of one of them."""
    notes = [line for note in view.notes for line in painter.paragraph(note, "yellow", 2)]
    rows = _task_rows(view, painter)
    most = max(room // 3, room - 12, room - 1 - len(_pane(view, painter, room)))
    below = Text()
    if hidden := max(len(rows) + len(notes) - most, 0):
        below = painter.text(f"    … {hidden} more task{'s' * (hidden > 1)}", "dim")
        rows = _window(rows, _focus_row(view), max(most - len(notes), 1))
    upper = [*rows, *notes, below]
    return upper + _pane(view, painter, room - len(upper))


def _task_rows(view: View, painter: Painter) -> list[Text]:
    column = max((len(task.id) for task in view.tasks), default=0) + 2
    return [_task_row(view, painter, task, column) for task in view.tasks]


def _task_row(view: View, painter: Painter, task: Task, column: int) -> Text:
    """Return a task's line. Until the task is graded again, its last verdict is shown dim."""
    result = view.results.get(task.id)
    if result is None:
        left = painter.text(f"  {painter.signs.pending} {task.id:<{column}}{task.title}", "dim")
        right = painter.text(f"0/{task.points}", "dim")
        gap = painter.width - left.cell_len - right.cell_len
        line = left + Text(" " * max(gap, 1)) + right
    else:
        stale = view.checking and task.id not in view.fresh
        line = painter.task_line(result, column, stale)
    if task.id == view.chosen:
        line.stylize("reverse", 2, 4 + len(task.id))
    return line


def _focus_row(view: View) -> int:
    return view.tasks.index(view.task) if view.task in view.tasks else 0


def _window(rows: list[Text], focus: int, height: int) -> list[Text]:
    """Return `height` of the rows, including the focused one."""
    first = min(max(focus - height // 2, 0), max(len(rows) - height, 0))
    return rows[first : first + height]


def _pane(view: View, painter: Painter, room: int) -> list[Text]:
    """Return the card of the current task, or the message that the lesson is complete."""
    card = _card(view, painter)
    hint = painter.hint(view.hint, view.lesson, 2) if view.hint else []
    if view.done and not hint and not card:
        return _complete(view, painter)
    left = room - len(hint) - bool(hint)
    if hint and len(card) > left < CARD:
        return hint  # There isn't room for both, and the learner asked for the hint.
    more = painter.text(" " * _indent(painter) + "… {} more lines").plain
    lines = crop(card, left, more)
    return [*lines, *([Text()] if hint and lines else []), *hint]


def _card(view: View, painter: Painter) -> list[CardLine]:
    """Return the card of the current task. That of a blocked task says which task it needs."""
    task = view.task
    result = view.results.get(task.id) if task else None
    if not result or not result.message or result.status == "passed":
        return []
    return painter.card(result.card, _indent(painter))


def _indent(painter: Painter) -> int:
    return 2 if painter.width < NARROW else 4


def _complete(view: View, painter: Painter) -> list[Text]:
    place = view.lessons.index(view.lesson)
    following = view.lessons[place + 1 :][:1]
    lines = painter.paragraph("Every task of this lesson passes.", "green bold", 4)
    if following:
        lines += painter.paragraph(f"n  next: {following[0].slug}, {following[0].title}", "", 4)
    else:
        lines += painter.paragraph("This is the last lesson.", "", 4)
    return lines + painter.paragraph("s  your answer beside ours", "", 4)


def _list_body(view: View, painter: Painter, room: int) -> list[Text]:
    rows = []
    for number, lesson in enumerate(view.lessons):
        row = painter.map_line(lesson, view.progress, lesson == view.lesson)
        if number == view.cursor:
            row.stylize("reverse")
        rows.append(row)
    return _window(rows, view.cursor, room)


def _ask_body(view: View, painter: Painter, room: int) -> list[Text]:
    folder = view.lesson.lesson.relative_to(view.lesson.root).as_posix()
    question = f"Restore the starter of {folder}?"
    kept = "Your files are copied to .course/kept first, so nothing is lost."
    return [Text(), *painter.paragraph(question, "bold", 2), *painter.paragraph(kept, "", 2)]


def _page_body(view: View, painter: Painter, room: int) -> list[Text]:
    view.offset = max(0, min(view.offset, len(view.page) - room))
    return view.page[view.offset : view.offset + room]


_BODIES = {"tasks": _tasks_body, "list": _list_body, "ask": _ask_body, "page": _page_body}
