"""The whole output at two widths, and the escaping of control sequences in it."""

# ruff: noqa: RUF001 - the sign of a skipped task is a dash.

import io
import re
from pathlib import Path

import pytest
from little_course import make_course
from rich.text import Text

from course.learner.hints import Hint
from course.learner.paint import VITAL, Painter, crop, make_console, printable
from course.learner.progress import Progress
from course.learner.screen import View, frame
from course.learner.solution import Pair, comparison
from course.lesson.lessons import Task
from course.report import Card, LessonResult, Report, TaskResult, WireLine

CARD = Card(
    wire=(
        WireLine(
            "ada",
            "→",
            'POST /rooms/lobby/messages {"author": "ada", "text": "the quick brown fox jumps '
            'over it"}',
        ),
        WireLine("ada", "←", "500 Internal Server Error"),
        WireLine("carol", "✂", "connection cut"),
        WireLine("", "…", "3 more"),
    ),
    expected="201 Created, with the address of the message in its Location header, and the message",
    got="500 Internal Server Error",
    place="app.py:31 create",
    raised="KeyError: 'text'",
    source='message["text"]',
    next="python3 -m course hint 1 create",
)

NEEDS = Card.blocked("create")
ENDED = Card("The grader ended before it could judge this.")
LACKS = Card("No browser was found here. Install Chromium.")
LONG = "A posted message is kept and gets an address of its own, which is told"
FAILED = LessonResult(
    "01_rest",
    "A board over REST",
    [
        TaskResult("create", LONG, 2, "failed", CARD),
        TaskResult("read", "It is read there", 1, "blocked", NEEDS),
        TaskResult("list", "Oldest first", 1, "passed"),
        TaskResult("keep", "201 is kept", 2, "error", ENDED),
        TaskResult("page", "In a browser", 1, "skipped", LACKS),
    ],
    notes=["requests.py in your folder has the name of a library. Give it another name."],
)
PASSED = LessonResult("02_polling", "A client that polls", [TaskResult("etag", "304", 3, "passed")])


def printed(lines_of, width: int, encoding: str = "utf-8") -> str:
    """Return the output for a console that isn't a terminal."""
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, errors="backslashreplace", newline="\n")
    painter = Painter(make_console(file, width))
    for line in lines_of(painter):
        painter.console.print(line, soft_wrap=True)
    file.flush()
    return "\n" + raw.getvalue().decode(encoding)


def report_of(*lessons: LessonResult, verbose: bool = False):
    """Return a function that renders a report."""
    return lambda painter: painter.report(Report(7, list(lessons)), verbose)


def test_a_report_at_100_columns():
    assert (
        printed(report_of(FAILED), 100)
        == """
01_rest  A board over REST                                                                       1/7
  note: requests.py in your folder has the name of a library. Give it another name.
  ✗ create  A posted message is kept and gets an address of its own, which is told               0/2
        ada   → POST /rooms/lobby/messages {"author": "ada", "text": "the quick brown fox jumps over
                it"}
        ada   ← 500 Internal Server Error
        carol ✂ connection cut
              … 3 more
        expected: 201 Created, with the address of the message in its Location header, and the
            message
        got: 500 Internal Server Error
        in your code: app.py:31 create → KeyError: 'text'
            message["text"]
        next: python3 -m course hint 1 create
  ◌ read    It is read there  needs create                                                       0/1
  ✓ list    Oldest first                                                                         1/1
  ! keep    201 is kept                                                                          0/2
        The grader ended before it could judge this.
  – page    In a browser                                                                         0/1
        No browser was found here. Install Chromium.

1 of 7 points  1 passed, 1 failed, 1 error, 1 blocked, 1 skipped                              seed 7
"""
    )


def test_a_report_at_60_columns():
    assert (
        printed(report_of(FAILED), 60)
        == """
01_rest  A board over REST                               1/7
  note: requests.py in your folder has the name of a
        library. Give it another name.
  ✗ create  A posted message is kept and gets an         0/2
            address of its own, which is told
    ada   → POST /rooms/lobby/messages {"author": "ada",
            "text": "the quick brown fox jumps over it"}
    ada   ← 500 Internal Server Error
    carol ✂ connection cut
          … 3 more
    expected: 201 Created, with the address of the message
        in its Location header, and the message
    got: 500 Internal Server Error
    in your code: app.py:31 create → KeyError: 'text'
        message["text"]
    next: python3 -m course hint 1 create
  ◌ read    It is read there  needs create               0/1
  ✓ list    Oldest first                                 1/1
  ! keep    201 is kept                                  0/2
    The grader ended before it could judge this.
  – page    In a browser                                 0/1
    No browser was found here. Install Chromium.

1 of 7 points  1 passed, 1 failed, 1 error, 1         seed 7
             blocked, 1 skipped
"""
    )


def test_a_report_without_unicode():
    assert (
        printed(report_of(FAILED), 60, "ascii")
        == """
01_rest  A board over REST                               1/7
  note: requests.py in your folder has the name of a
        library. Give it another name.
  x create  A posted message is kept and gets an         0/2
            address of its own, which is told
    ada   -> POST /rooms/lobby/messages {"author": "ada",
             "text": "the quick brown fox jumps over it"}
    ada   <- 500 Internal Server Error
    carol >< connection cut
          ... 3 more
    expected: 201 Created, with the address of the message
        in its Location header, and the message
    got: 500 Internal Server Error
    in your code: app.py:31 create -> KeyError: 'text'
        message["text"]
    next: python3 -m course hint 1 create
  o read    It is read there  needs create               0/1
  + list    Oldest first                                 1/1
  ! keep    201 is kept                                  0/2
    The grader ended before it could judge this.
  - page    In a browser                                 0/1
    No browser was found here. Install Chromium.

1 of 7 points  1 passed, 1 failed, 1 error, 1         seed 7
             blocked, 1 skipped
"""
    )


def test_another_wording_of_labels_changes_neither_colours_nor_what_is_shown(monkeypatch):
    tasks = [TaskResult(name, "", 1, "failed", CARD) for name in ("create", "read")]
    painter, labelled = Painter(make_console(io.StringIO(), 100)), Card.labelled
    before = painter.lesson(LessonResult("01_rest", "A board", tasks), None, False)
    monkeypatch.setattr(
        Card, "labelled", lambda card: (x._replace(label=x.label.upper()) for x in labelled(card))
    )

    after = painter.lesson(LessonResult("01_rest", "A board", tasks), None, False)

    assert [line.spans for line in after] == [line.spans for line in before]
    assert [line.plain.casefold() for line in after] == [line.plain.casefold() for line in before]
    assert sum("EXPECTED: " in line.plain for line in after) == 2  # one of them in one line
    assert [x.rank for x in painter.card(CARD, 4)].count(VITAL) == 4


def test_a_lesson_that_passed_is_one_line():
    assert (
        printed(report_of(PASSED), 60)
        == """
✓ 02_polling  A client that polls                        3/3
"""
    )


def test_a_report_on_several_lessons_shows_one_card_each():
    assert (
        printed(report_of(PASSED, FAILED, PASSED), 100)
        == """
✓ 02_polling  A client that polls                                                                3/3

01_rest  A board over REST                                                                       1/7
  note: requests.py in your folder has the name of a library. Give it another name.
  ✗ create  A posted message is kept and gets an address of its own, which is told               0/2
        ada   → POST /rooms/lobby/messages {"author": "ada", "text": "the quick brown fox jumps over
                it"}
        ada   ← 500 Internal Server Error
        carol ✂ connection cut
              … 3 more
        expected: 201 Created, with the address of the message in its Location header, and the
            message
        got: 500 Internal Server Error
        in your code: app.py:31 create → KeyError: 'text'
            message["text"]
        next: python3 -m course hint 1 create
  ◌ read    It is read there  needs create                                                       0/1
  ✓ list    Oldest first                                                                         1/1
  ! keep    201 is kept                                                                          0/2
  – page    In a browser                                                                         0/1
    2 more cards: `python3 -m course check 01_rest` or --verbose shows them all.

✓ 02_polling  A client that polls                                                                3/3

7 of 13 points  3 passed, 1 failed, 1 error, 1 blocked, 1 skipped                             seed 7
"""
    )


def test_cards_after_a_failed_task_are_one_line_each_unless_verbose():
    card = Card(
        wire=CARD.wire, expected="404 Not Found", got="200 OK\nfor a room " * 9, next="Look"
    )
    later = [TaskResult("list", "Oldest first", 1, "failed", card)]
    result = LessonResult("01_rest", "A board over REST", [FAILED.tasks[0], *later])

    short = printed(lambda painter: painter.lesson(result, None, False), 100)
    whole = printed(lambda painter: painter.lesson(result, None, True), 100)

    assert (
        short[short.index("  ✗ list") :]
        == """\
  ✗ list    Oldest first                                                                         0/1
        expected: 404 Not Found, got: 200 OK for a room 200 OK for a room 200 OK for a room 200 OK …
    1 shortened card: `python3 -m course check 01_rest --verbose` shows everything.
"""
    )
    assert "next: python3 -m course hint 1 create" in short
    assert "next: Look" in whole
    assert "shortened" not in whole


def test_several_lessons_that_passed_are_one_line_each():
    assert (
        printed(report_of(PASSED, PASSED), 60)
        == """
✓ 02_polling  A client that polls                        3/3
✓ 02_polling  A client that polls                        3/3

6 of 6 points  2 passed                               seed 7
"""
    )


HINT = Hint(
    Task("create", "A posted message is kept"),
    3,
    3,
    "- `url_for` names the *address*.\n- The status is 201.\n\n"
    "```python\nreturn message, 201\n```\n",
)


def watched(tmp_path: Path, *results: TaskResult, **more) -> View:
    """Return the watch screen's state after a check."""
    lessons = make_course(tmp_path)
    found = {result.id: result for result in results or FAILED.tasks}
    view = View(lessons, Progress(tmp_path, print), lessons[0], **more)
    view.tasks = [Task(result.id, result.title, result.points) for result in found.values()]
    view.results, view.checking, view.seconds = found, False, 0.14
    return view


def framed(view: View, width: int, height: int) -> str:
    """Return the watch screen in a window of this size."""
    return printed(lambda painter: frame(view, painter, height), width)


def test_the_map(tmp_path):
    lessons = make_course(tmp_path)
    progress = Progress(tmp_path, print)
    progress.record(LessonResult("01_rest", "", [TaskResult("create", "", 2, "passed")]))

    assert (
        printed(lambda painter: painter.course_map(lessons, progress, lessons[0]), 60)
        == """
Beyond REST                                    2 of 7 points

  ▸ 01  A board over REST                        ✓··     2/4
    02  A client that polls                        ·     0/3
"""
    )


def test_the_watch_screen_at_100_columns(tmp_path):
    view = watched(tmp_path)

    assert (
        framed(view, 100, 26)
        == """
01_rest  A board over REST                                                                       1/7
────────────────────────────────────────────────────────────────────────────────────────────────────
  ✗ create  A posted message is kept and gets an address of its own, which is told               0/2
  ◌ read    It is read there  needs create                                                       0/1
  ✓ list    Oldest first                                                                         1/1
  ! keep    201 is kept                                                                          0/2
  – page    In a browser                                                                         0/1

    ada   → POST /rooms/lobby/messages {"author": "ada", "text": "the quick brown fox jumps over
            it"}
    ada   ← 500 Internal Server Error
    carol ✂ connection cut
          … 3 more
    expected: 201 Created, with the address of the message in its Location header, and the message
    got: 500 Internal Server Error
    in your code: app.py:31 create → KeyError: 'text'
        message["text"]
    next: python3 -m course hint 1 create





Checked in 0.14 s. Waiting for a save in lessons/01_rest.
────────────────────────────────────────────────────────────────────────────────────────────────────
h hint   d docs   n next   p previous   l list   r reset   c check   q quit
"""
    )


def test_the_watch_screen_at_60_columns_keeps_the_labelled_lines_of_a_card(tmp_path):
    view = watched(tmp_path)

    assert (
        framed(view, 60, 18)
        == """
01_rest  A board over REST                               1/7
────────────────────────────────────────────────────────────
  ✗ create  A posted message is kept and gets an addre…  0/2
  ◌ read    It is read there  needs create               0/1
  ✓ list    Oldest first                                 1/1
  ! keep    201 is kept                                  0/2
    … 1 more task
  … 5 more lines
  expected: 201 Created, with the address of the message in
      its Location header, and the message
  got: 500 Internal Server Error
  in your code: app.py:31 create → KeyError: 'text'
      message["text"]
  next: python3 -m course hint 1 create
Checked in 0.14 s. Waiting for a save in lessons/01_rest.
────────────────────────────────────────────────────────────
h hint   d docs   n next   p previous   l list   r reset
c check   q quit
"""
    )


def test_the_watch_screen_in_a_window_of_eight_lines(tmp_path):
    view = watched(tmp_path)

    assert (
        framed(view, 60, 8)
        == """
01_rest  A board over REST                               1/7
  ✗ create  A posted message is kept and gets an addre…  0/2
  ◌ read    It is read there  needs create               0/1
    … 3 more tasks
  … 8 more lines
  expected: 201 Created, with the address of the message in
  got: 500 Internal Server Error
  in your code: app.py:31 create → KeyError: 'text'
"""
    )


def test_a_hint_is_shown_below_the_card_if_there_is_room(tmp_path):
    view = watched(tmp_path, hint=HINT)

    assert (
        framed(view, 100, 32)
        == """
01_rest  A board over REST                                                                       1/7
────────────────────────────────────────────────────────────────────────────────────────────────────
  ✗ create  A posted message is kept and gets an address of its own, which is told               0/2
  ◌ read    It is read there  needs create                                                       0/1
  ✓ list    Oldest first                                                                         1/1
  ! keep    201 is kept                                                                          0/2
  – page    In a browser                                                                         0/1

    ada   → POST /rooms/lobby/messages {"author": "ada", "text": "the quick brown fox jumps over
            it"}
    ada   ← 500 Internal Server Error
    carol ✂ connection cut
          … 3 more
    expected: 201 Created, with the address of the message in its Location header, and the message
    got: 500 Internal Server Error
    in your code: app.py:31 create → KeyError: 'text'
        message["text"]
    next: python3 -m course hint 1 create

  hint 3 of 3 for create
     • url_for names the address.
     • The status is 201.

     return message, 201
    That was the last hint. Next: `python3 -m course solution 1 --anyway`




Checked in 0.14 s. Waiting for a save in lessons/01_rest.
────────────────────────────────────────────────────────────────────────────────────────────────────
h hint   d docs   n next   p previous   l list   r reset   c check   q quit
"""
    )


def test_a_hint_replaces_the_card_if_there_is_no_room_for_both(tmp_path):
    view = watched(tmp_path, hint=HINT)

    assert (
        framed(view, 60, 18)
        == """
01_rest  A board over REST                               1/7
────────────────────────────────────────────────────────────
  ✗ create  A posted message is kept and gets an addre…  0/2
  ◌ read    It is read there  needs create               0/1
  ✓ list    Oldest first                                 1/1
  ! keep    201 is kept                                  0/2
    … 1 more task
  hint 3 of 3 for create
     • url_for names the address.
     • The status is 201.

     return message, 201
    That was the last hint. Next: `python3 -m course
    solution 1 --anyway`
Checked in 0.14 s. Waiting for a save in lessons/01_rest.
────────────────────────────────────────────────────────────
h hint   d docs   n next   p previous   l list   r reset
c check   q quit
"""
    )


def test_a_complete_lesson_shows_the_next_one(tmp_path):
    view = watched(tmp_path, *PASSED.tasks)

    assert (
        framed(view, 60, 12)
        == """
01_rest  A board over REST                               3/3
────────────────────────────────────────────────────────────
  ✓ etag  304                                            3/3

    Every task of this lesson passes.
    n  next: 02_polling, A client that polls
    s  your answer beside ours

Checked in 0.14 s. Waiting for a save in lessons/01_rest.
────────────────────────────────────────────────────────────
h hint   d docs   n next   p previous   l list   r reset
c check   q quit
"""
    )


def test_the_list_of_lessons(tmp_path):
    view = watched(tmp_path, mode="list", cursor=1)

    assert (
        framed(view, 60, 9)
        == """
Beyond REST
────────────────────────────────────────────────────────────
  ▸ 01  A board over REST                        ···     0/4
    02  A client that polls                        ·     0/3



────────────────────────────────────────────────────────────
↑↓ move   enter choose   l back   q quit
"""
    )


def test_a_reset_asks_for_confirmation(tmp_path):
    view = watched(tmp_path, mode="ask")

    assert (
        framed(view, 60, 9)
        == """
01_rest  A board over REST                               1/7
────────────────────────────────────────────────────────────

  Restore the starter of lessons/01_rest?
  Your files are copied to .course/kept first, so nothing is
  lost.

────────────────────────────────────────────────────────────
y yes   n no
"""
    )


def test_verdicts_of_an_earlier_check_are_dim_until_new_ones_arrive(tmp_path):
    view = watched(tmp_path, checking=True)
    view.checking, view.fresh = True, {"create"}
    painter = Painter(make_console(io.StringIO(), 60))

    head, _, create, _, listed, *_ = frame(view, painter, 18)

    assert "checking…" in head.plain
    assert "dim" not in {span.style for span in create.spans}
    assert "dim" in {span.style for span in listed.spans}


@pytest.mark.parametrize("mode", ["tasks", "list", "ask", "page"])
@pytest.mark.parametrize(("width", "height"), [(20, 1), (20, 3), (30, 5), (60, 10), (200, 60)])
def test_the_watch_screen_fits_any_window(tmp_path, mode, width, height):
    view = watched(tmp_path, mode=mode, hint=HINT, page=[Text("x" * 300)] * 100, notice="y " * 200)
    painter = Painter(make_console(io.StringIO(), width))

    lines = frame(view, painter, height)

    assert len(lines) == height
    assert max(line.cell_len for line in lines) <= width


def test_wrapping_preserves_spaces():
    painter = Painter(make_console(io.StringIO(), 30))
    numbers = ", ".join(map(str, range(60)))

    lines = painter.wrapped(Text("    expected: "), Text(numbers), hang=8)

    assert " ".join(line.plain.strip() for line in lines) == f"expected: {numbers}"
    assert max(line.cell_len for line in lines) <= 30


def test_every_task_is_shown_if_there_is_room(tmp_path):
    results = [TaskResult(f"task{number}", "A title", 1, "passed") for number in range(9)]
    view = watched(tmp_path, *results)

    screen = framed(view, 60, 19)

    assert [result.id for result in results if result.id not in screen] == []
    assert "Every task of this lesson passes." in screen


def test_a_cropped_card_keeps_its_labelled_lines_and_the_end_of_the_wire():
    painter = Painter(make_console(io.StringIO(), 100))
    wire = tuple(WireLine("ada", "→", str(number)) for number in range(9))
    card = Card(wire=wire, expected="1", got="2", next="3")

    lines = crop(painter.card(card, 0), 6, "{} more")

    assert [line.plain for line in lines] == [
        "7 more",
        *("ada → 7", "ada → 8", "expected: 1", "got: 2", "next: 3"),
    ]


MINE = "def f():\n    return 1\n"
OURS = "def f():\n    # One \x1b more.\n    return 2\n"


def test_a_narrow_terminal_shows_the_comparison_as_a_diff():
    shown = printed(lambda painter: comparison([Pair("app.py", MINE, OURS)], painter), 60)

    assert (
        shown
        == """
app.py   - yours   + ours
 def f():
-    return 1
+    # One \\x1b more.
+    return 2
"""
    )


def test_a_wide_terminal_shows_the_comparison_side_by_side():
    raw = io.StringIO()
    painter = Painter(make_console(raw, 140), 200)

    lines = [line.plain for line in comparison([Pair("app.py", MINE, OURS)], painter)]

    assert [line[:14] for line in lines[2:]] == [
        "  def f():    ",
        "-     return 1",
        " " * 14,
    ]
    assert [line[69:] for line in lines[2:]] == [
        "│   def f():",
        "│ +     # One \\x1b more.",
        "│ +     return 2",
    ]


def test_an_identical_file_is_reported_as_the_same():
    shown = printed(lambda painter: comparison([Pair("app.py", MINE, MINE)], painter), 60)

    assert shown.strip() == "app.py  the same"


def test_control_characters_and_markup_are_escaped():
    evil = "\x1b[2J\x07 \x9b31m \u202eevil [bold]not bold[/bold] :smile: \r\n"

    shown = printed(lambda painter: [painter.text(evil)], 100)

    assert shown == "\n\\x1b[2J\\x07 \\x9b31m \\u202eevil [bold]not bold[/bold] :smile: \\r\\n\n"


def test_a_lone_surrogate_can_be_printed():
    assert printable("a\ud800b") == "a\\ud800b"


def test_control_sequences_in_a_card_are_escaped():
    task = TaskResult("create", "title", 1, "failed", Card(got="\x1b]0;owned\x07\n\x1b[1A over"))

    shown = printed(report_of(LessonResult("01_rest", "x", [task])), 60)

    assert "\x1b" not in shown
    assert "\x07" not in shown


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_no_line_is_wider_than_the_terminal(width):
    shown = printed(report_of(FAILED, PASSED, verbose=True), width)

    assert max(len(line) for line in shown.splitlines()) <= width


def test_no_color_turns_colours_off(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("FORCE_COLOR", "1")

    shown = printed(report_of(FAILED), 100)

    assert not re.search(r"\x1b\[[0-9;]*3[0-7]", shown)
