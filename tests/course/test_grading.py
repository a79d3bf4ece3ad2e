"""How a lesson is graded, seen on a small course of its own in a folder of its own."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from course.grading.verdicts import Grading
from course.lesson.lessons import ROOT
from course.report import Card

TESTS = """
from course.grading import expect, task


@task("one", "One is one", points=2)
def test_one(stage):
    one = stage.function("app", "one")
    expect(one() == 1, "1", one())
    expect(type(one()) is int, "a whole number", one())


@task("one")
def test_one_again(stage):
    expect(stage.function("app", "one")() == 1, "1", "another")


@task("two", "Two is two", needs="one")
def test_two(stage):
    two = stage.function("app", "two")()
    expect(two == 2, "2", two, next="Add one to one.")


@task("three", "Three is three", needs="two")
def test_three(stage):
    expect(stage.function("app", "three")() == 3, "3", "another")


@task("four", "Four has no needs", points=3)
def test_four(stage):
    expect(stage.function("app", "four")(stage.random.random()) == 4, "4", "another")
"""
RIGHT = """
def one(): return 1
def two(): return 2
def three(): return 3
def four(number): return 4
"""
GRADE = """
import json, sys
from dataclasses import asdict
from pathlib import Path
from course.grading.engine import Engine, Job

with Engine(["01_tiny"]) as engine:
    for folder in sys.argv[2:]:
        job = Job("01_tiny", Path(folder), verbose=sys.argv[1] == "verbose")
        for task in engine.grade([job], seed=5)[0].tasks:
            card = asdict(task.card) if sys.argv[1] == "cards" else task.message
            print(json.dumps([task.id, task.status, task.earned, card]))
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A course with one small lesson."""
    root = tmp_path / "a course"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "course", root / "course", ignore=ignored)
    for name in ("tests", "lessons/01_tiny", "solutions/01_tiny"):
        (root / name).mkdir(parents=True)
    shutil.copy(ROOT / "pyproject.toml", root)
    shutil.copy(ROOT / "tests" / "conftest.py", root / "tests")
    (root / "tests" / "test_01_tiny.py").write_text(TESTS, "utf-8")
    (root / "solutions" / "01_tiny" / "app.py").write_text(RIGHT, "utf-8")
    return root


def answer(tree: Path, old: str = "", new: str = "") -> None:
    """Write the learner's file: the right one, with a part of it replaced."""
    (tree / "lessons" / "01_tiny" / "app.py").write_text(RIGHT.replace(old, new), "utf-8")


def grade(tree: Path, *folders: str, how: str = "short", **env: str) -> dict[str, list]:
    """Grade with an engine; return status, points and card of each task."""
    command = [sys.executable, "-c", GRADE, how, *(folders or ["lessons/01_tiny"])]
    ran = subprocess.run(
        command, cwd=tree, env={**os.environ, **env}, capture_output=True, text=True, check=True
    )
    return {row[0]: row[1:] for row in map(json.loads, ran.stdout.splitlines())}


def pytest_run(tree: Path, *args: str) -> str:
    """Run plain pytest; return what it printed."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rA", *args]
    return subprocess.run(command, cwd=tree, capture_output=True, text=True).stdout


def test_a_failed_test_speaks_for_its_task_before_those_that_it_blocked():
    grading, task = Grading(ROOT, 1, lambda: None), {"title": "One", "points": 1, "needs": ()}
    grading.expect([SimpleNamespace(args=("one",), kwargs=task)] * 3)

    grading.note("one", "failed", Card("because"), 0.0, place=2)
    for place in (0, 1):
        grading.note("one", "blocked", grading.blocked("one"), 0.0, place=place)

    assert grading.result("one").status == "failed"
    assert grading.result("one").card.sentence == "because"


def test_a_right_answer_earns_every_point(tree):
    answer(tree)

    tasks = grade(tree)

    assert tasks == {
        "one": ["passed", 2, ""],
        "two": ["passed", 1, ""],
        "three": ["passed", 1, ""],
        "four": ["passed", 3, ""],
    }


def test_a_failed_task_blocks_what_needs_it_and_nothing_else(tree):
    answer(tree, "return 2", "return 1 + 2")

    tasks = grade(tree)

    assert tasks["two"] == [
        "failed",
        0,
        "test → two()\ntest ← 3\nexpected: 2\ngot: 3\nnext: Add one to one.",
    ]
    assert tasks["three"] == ["blocked", 0, "It needs two, which has not passed yet."]
    assert [tasks["one"][0], tasks["four"][0]] == ["passed", "passed"]


def test_what_equals_is_not_enough_where_the_type_is_another(tree):
    answer(tree, "return 1\n", "return True\n")

    assert grade(tree)["one"][0] == "failed"


@pytest.mark.parametrize(
    "value", ["object()", "float('nan')", "{1, 2}", "{(1, 2): 3}", "type('S', (str,), {})()"]
)
def test_only_what_json_has_comes_back_from_a_function(tree, value):
    answer(tree, "return 2", f"return {value}")

    status, _, message = grade(tree)["two"]

    assert status == "failed"
    assert "two() in app.py returned" in message


@pytest.mark.parametrize(
    "kind",
    [
        "__import__('collections').namedtuple('Pair', 'a b')._make",
        "type('Liar', (tuple,), {'__iter__': lambda self: iter([2])})",
    ],
)
def test_a_tuple_of_any_class_comes_back_as_what_it_holds(tree, kind):
    answer(tree, "return 2", f"return {kind}((1, 2))")

    assert "got: [1, 2]" in grade(tree)["two"][2]


def test_a_learner_may_print(tree):
    answer(tree, "return 2", 'print("{\\"id\\": 1, \\"value\\": 7}"); return 2')

    tasks = grade(tree, how="verbose")

    assert tasks["two"] == ["passed", 1, ""]


def test_verbose_shows_what_the_code_printed(tree):
    answer(tree, "return 2", 'print("so far"); return 7')

    assert "your code's stdout:\n    so far" in grade(tree, how="verbose")["two"][2]


def test_where_and_how_one_calls_it_changes_nothing_for_the_code(tree):
    code = "import sys, time; return [time.timezone, sys.stdout.write_through]"
    answer(tree, "return 2", code)

    message = grade(tree, TZ="UTC", PYTHONUNBUFFERED="1")["two"][2]

    assert "got: [-32400, false]" in message


def test_half_a_character_is_told_by_its_number(tree):
    answer(tree, "return 2", 'return "\\ud83e"')

    assert r"got: \ud83e" in grade(tree)["two"][2]


def test_each_test_has_a_fresh_process(tree):
    answer(tree, "def one(): return 1", "calls = []\ndef one(): calls.append(1); return len(calls)")

    # Both tests of the task see 1 at their first call.
    assert grade(tree)["one"][0] == "passed"


def test_a_file_of_the_graders_that_the_code_changes_is_named_and_nothing_counts(tree):
    path = tree / "tests" / "test_01_tiny.py"
    answer(tree, "return 2", f"open({str(path)!r}, 'a').write('\\n'); return 2")

    tasks = grade(tree)

    assert tasks["two"][0] == "error"
    assert "tests/test_01_tiny.py, a file of the grader, changed" in tasks["two"][2]


def test_a_grader_that_ends_without_a_word_passes_nothing(tree):
    answer(tree)
    tests = tree / "tests" / "test_01_tiny.py"
    stop = "def test_three(stage):\n    import os; os._exit(0)\n"
    tests.write_text(TESTS.replace("def test_three(stage):\n", stop), "utf-8")

    tasks = grade(tree)

    assert [tasks[name][0] for name in ("one", "two", "four")] == ["passed"] * 3
    assert tasks["three"][:2] == ["error", 0]
    assert tasks["three"][2] == "The grader ended before it could judge this."


def test_a_fault_in_a_test_is_an_error_and_said_in_a_line(tree):
    answer(tree)
    tests = tree / "tests" / "test_01_tiny.py"
    fault = "def test_four(stage):\n    {}['id']\n"
    tests.write_text(TESTS.replace("def test_four(stage):\n", fault), "utf-8")

    status, earned, message = grade(tree)["four"]

    assert (status, earned) == ("error", 0)
    assert message.startswith("The grader itself failed, so this says nothing of your code: KeyErr")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("returned", "read", "expected", "got"),
    [
        ("{'text': 'hi'}", "found['id']", 'an object with the field "id"', '{"text": "hi"}'),
        ("[]", "found['id']", 'an object with the field "id"', "[]"),
        ("[5]", "found[1]", "a list of at least 2 items", "[5]"),
        ("{'id': '4'}", "4 - found['id']", "data of the types that the", "found['id'] = \"4\": un"),
        ("7", "found.get('id')", "data of the type that the page states", "7"),
        ("'x'", "sorted({'id': found}, key=int)", "data of the types that the page states", ""),
    ],
)
def test_an_error_over_data_of_the_wrong_shape_is_a_failure_with_a_card(
    tree, returned, read, expected, got
):
    answer(tree, "def four(number): return 4", f"def four(number): return {returned}")
    tests = tree / "tests" / "test_01_tiny.py"
    reads = f'def test_four(stage):\n    found = stage.function("app", "four")(1)\n    {read}\n'
    tests.write_text(TESTS.replace("def test_four(stage):\n", reads), "utf-8")

    status, earned, message = grade(tree)["four"]

    assert (status, earned) == ("failed", 0)
    assert f"expected: {expected}" in message
    assert f"got: {got}" in message
    assert "next: Compare what your code sent with the format on the lesson's page." in message


def test_a_probe_that_cant_use_the_learners_data_says_so(tree):
    answer(tree)
    probes = tree / "tests" / "probes"
    probes.mkdir()
    (probes / "tiny.py").write_text("import app\n\ndef four():\n    app.four(1)['id']\n", "utf-8")
    tests = tree / "tests" / "test_01_tiny.py"
    asks = "def test_four(stage):\n    from pathlib import Path\n"
    asks += "    stage.probe(Path(__file__).parent / 'probes' / 'tiny.py', 'four')\n"
    tests.write_text(TESTS.replace("def test_four(stage):\n", asks), "utf-8")

    status, _, message = grade(tree)["four"]

    assert status == "failed"
    assert "the test can't use what your code has here: `app.four(1)['id']` raised Typ" in message


def test_the_same_graders_grade_again_and_again(tree):
    answer(tree, "return 2", "return 3")

    tasks = grade(tree, "lessons/01_tiny", "lessons/01_tiny", "solutions/01_tiny")

    assert {status for status, *_ in tasks.values()} == {"passed"}


def test_a_test_that_began_ahead_counts_for_nothing_if_its_need_fails(tree):
    answer(tree, "return 2", "return 3")  # `three` needs `two`, and begins beside it.

    tasks = grade(tree)

    assert tasks["two"][0] == "failed"
    assert tasks["three"][:2] == ["blocked", 0]


def test_a_blocked_task_names_the_first_of_its_needs_that_has_not_passed(tree):
    answer(tree, "return 2", "return 7")
    tests = tree / "tests" / "test_01_tiny.py"
    text = TESTS.replace('needs="two")', 'needs=("one", "four", "two"))')
    # The second need is known long after the third.
    slow = "def test_four(stage):\n    import time; time.sleep(1)\n"
    tests.write_text(text.replace("def test_four(stage):\n", slow), "utf-8")
    lesson = tree / "lessons" / "01_tiny" / "app.py"
    lesson.write_text(lesson.read_text("utf-8").replace("return 4", "return 7"), "utf-8")

    tasks = grade(tree)

    assert [tasks[name][0] for name in ("one", "two", "four")] == ["passed", "failed", "failed"]
    assert tasks["three"] == ["blocked", 0, "It needs four, which has not passed yet."]


def test_without_fork_all_is_the_same(tree):
    answer(tree, "return 2", "return 3")

    folders = ("solutions/01_tiny", "lessons/01_tiny")
    with_fork = grade(tree, *folders, how="cards")
    without = grade(tree, *folders, how="cards", COURSE_NO_FORK="1")

    assert without == with_fork
    assert with_fork["three"][2]["needs"] == ["two"]


def test_plain_pytest_grades_the_lessons_and_another_folder_by_its_option(tree):
    answer(tree, "return 2", "return 3")

    lessons = pytest_run(tree, "tests/test_01_tiny.py", "--seed", "9")
    solutions = pytest_run(tree, "tests/test_01_tiny.py", "--target", "solutions")

    assert "3 passed, 1 skipped, 1 failed" in lessons or "1 failed, 3 passed, 1 skipped" in lessons
    assert "expected: 2\ngot: 3\nnext: Add one to one." in lessons
    assert "It needs two, which has not passed yet." in lessons
    assert "grading lessons/ with --seed 9" in lessons
    assert "5 passed" in solutions


def test_plain_pytest_runs_one_task_by_itself(tree):
    answer(tree, "return 1\n", "return 7\n")

    assert "1 passed" in pytest_run(tree, "tests/test_01_tiny.py::test_two")


def test_the_seed_says_what_the_random_data_is(tree):
    tests = tree / "tests" / "test_01_tiny.py"
    shows = "def test_two(stage):\n    expect(False, 'x', [stage.text(), stage.name()])\n"
    tests.write_text(TESTS.replace("def test_two(stage):\n", shows), "utf-8")
    answer(tree)

    seen = [pytest_run(tree, str(tests), "--seed", seed) for seed in ("1", "1", "2")]

    got = [next(line for line in out.split("\n") if line.startswith("got: ")) for out in seen]
    assert got[0] == got[1] != got[2]


NEEDS = """
from course.grading import expect, task
from course.lesson import needs

needs.FINDERS["redis"] = lambda: needs.Found({where!r}, "Install Redis.")


@task("need", "It needs Redis")
def test_need(stage):
    expect(stage.need("redis") == "/bin/redis", "its path", "another")
"""


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("/bin/redis", ["passed", 1, ""]),
        ("", ["skipped", 0, "No redis was found here. Install Redis."]),
    ],
)
def test_a_test_is_skipped_if_this_machine_lacks_what_it_needs(tree, where, found):
    (tree / "tests" / "test_01_tiny.py").write_text(NEEDS.format(where=where), "utf-8")
    answer(tree)

    assert grade(tree)["need"] == found


LINES = """
from course.grading import task


@task("lines", "It prints two lines")
def test_lines(stage):
    stage.run("app.py").lines(2, 0.5)
"""
SAYS = """
import sys, threading

print("one", flush=True)
print("Nobody answers.", "Again in 5 s.", sep="\\n", file=sys.stderr, flush=True)
threading.Event().wait()
"""


def test_a_card_has_what_a_program_that_goes_on_has_said_of_itself(tree):
    (tree / "tests" / "test_01_tiny.py").write_text(LINES, "utf-8")
    (tree / "lessons" / "01_tiny" / "app.py").write_text(SAYS, "utf-8")

    status, _, card = grade(tree)["lines"]

    assert status == "failed"
    assert "got: 1 line. app.py went on for 0.5 s. Its last line on stderr: Again in 5 s." in card
    assert "waiting at: app.py:6\n    threading.Event().wait()" in card


def test_a_given_line_that_waits_is_not_shown(tree):
    (tree / "tests" / "test_01_tiny.py").write_text(LINES, "utf-8")
    asked = "# TODO(lines): Print two lines.\n...\n# END(lines)\n"
    (tree / "lessons" / "01_tiny" / "app.py").write_text(asked + SAYS, "utf-8")
    marked = "# --8<-- [start:lines] Print two lines.\n...\n# --8<-- [end:lines]\n"
    (tree / "solutions" / "01_tiny" / "app.py").write_text(marked + SAYS, "utf-8")

    status, _, card = grade(tree)["lines"]

    assert status == "failed"
    assert "app.py:" not in card


CTRL_C = """
from course.grading import expect, task


@task("end", "Ctrl-C ends it")
def test_end(stage):
    program = stage.run("app.py")
    program.lines(1)
    program.interrupt()
    expect(program.end() == 7, "7", "another status")
"""
WAITS = """
import signal, socket, sys, threading

main = threading.get_ident()

def say_when_it_waits():
    while sys._current_frames()[main].f_lineno != 15:
        pass
    print("waiting", flush=True)

signal.siginterrupt(signal.SIGINT, False)  # recv() goes on; Python looks when it has ended.
here, there = socket.socketpair()
threading.Thread(target=say_when_it_waits, daemon=True).start()
try:
    here.recv(1)
except KeyboardInterrupt:
    sys.exit(7)
"""


@pytest.mark.skipif(not hasattr(signal, "siginterrupt"), reason="Ctrl-C is no signal on Windows")
def test_ctrl_c_is_heard_also_where_it_comes_right_before_a_wait(tree):
    (tree / "tests" / "test_01_tiny.py").write_text(CTRL_C, "utf-8")
    (tree / "lessons" / "01_tiny" / "app.py").write_text(WAITS, "utf-8")

    assert grade(tree)["end"] == ["passed", 1, ""]


BESIDE = """
import json, sys
from course.grading.engine import Engine, Job
from course.lesson.lessons import lessons

with Engine([lesson.slug for lesson in lessons()]) as engine:
    for lesson in lessons():
        result = engine.grade([Job(lesson.slug, lesson.lesson)], seed=5)[0]
        tasks = {task.id: [task.status, task.message] for task in result.tasks}
        print(json.dumps([tasks, result.notes]))
"""
TWO = """
from course.grading import expect, task


@task("only", "It is there")
def test_only(stage):
    expect(True, "", "")
"""
BROKEN = {
    "an unknown name": (TWO + "missing\n", "8 can't be used: NameError: name 'missing' is not"),
    "a failed import": ("import nothing\n" + TWO, "1 can't be used: ModuleNotFoundError: No modu"),
    "a syntax error": (TWO + "def (:\n", "8 can't be used: SyntaxError: invalid syntax."),
    "no UTF-8": (TWO + "# \udcff\n", " can't be used: UnicodeDecodeError: 'utf-8' codec can't d"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_test_file_takes_down_its_own_lesson_only(tree, name):
    text, said = BROKEN[name]
    answer(tree)
    (tree / "lessons" / "02_two").mkdir()
    (tree / "tests" / "test_02_two.py").write_text(text, "utf-8", "surrogateescape")

    command = [sys.executable, "-c", BESIDE]
    ran = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=True)
    (one, _), (two, notes) = map(json.loads, ran.stdout.splitlines())

    assert {status for status, _ in one.values()} == {"passed"}
    assert "passed" not in str(two)
    told = [message for _, message in two.values()] or notes
    assert told[0].startswith("tests/test_02_two.py")
    assert said in told[0]
    assert told[0].endswith("`git checkout HEAD -- tests/test_02_two.py` restores it.")


def judged_with(tree: Path, before: str, *within: str) -> dict[str, list]:
    """Grade with an engine in a process that did something else before."""
    answer(tree, "return 2", "return 3")
    command = [*within, sys.executable, "-c", before + GRADE, "short", "lessons/01_tiny"]
    ran = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=True)
    return {row[0]: row[1:] for row in map(json.loads, ran.stdout.splitlines())}


NOT_WHOLE = {
    "no sqlite3": ("import sys; sys.modules['_sqlite3'] = None", "has no module sqlite3."),
    "no ssl": ("import sys; sys.modules['_ssl'] = None", "has no module ssl."),
    "a full disk": (
        "import shutil; shutil.disk_usage = lambda path: shutil._ntuple_diskusage(1, 1, 0)",
        "is full: 0 MiB are free.",
    ),
    "no temporary folder": (
        "import tempfile; tempfile._candidate_tempdir_list = lambda: ['/nowhere']",
        "No temporary file can be written: No usable temporary directory found in ['/nowhere']",
    ),
}


@pytest.mark.parametrize("name", NOT_WHOLE)
def test_a_machine_that_lacks_something_is_not_the_learners_fault(tree, name):
    before, said = NOT_WHOLE[name]

    tasks = judged_with(tree, before)

    assert [status for status, *_ in tasks.values()] == ["error"] * 4
    for _, earned, message in tasks.values():
        assert earned == 0
        assert said in message
        assert message.endswith("next: python3 -m course doctor")


NO_NETWORK = ["unshare", "--net", "--map-root-user"]


@pytest.mark.skipif(
    sys.platform != "linux"
    or subprocess.run([*NO_NETWORK, "true"], capture_output=True).returncode,
    reason="No process can be started without a network here",
)
def test_a_loopback_that_is_down_is_not_the_learners_fault(tree):
    tasks = judged_with(tree, "", *NO_NETWORK)

    assert [status for status, *_ in tasks.values()] == ["error"] * 4
    assert "127.0.0.1 can't be used" in tasks["two"][2]


def test_a_temporary_folder_with_a_long_path_is_as_good(tree, tmp_path):
    long = tmp_path / ("x" * 90)
    long.mkdir()
    answer(tree)

    tasks = grade(tree, TMPDIR=str(long))

    assert {status for status, *_ in tasks.values()} == {"passed"}
    assert list(long.iterdir()) == []


def test_a_machine_that_fails_while_it_grades_is_not_the_learners_fault(tree):
    tests = tree / "tests" / "test_01_tiny.py"
    breaks = "import shutil; shutil.disk_usage = lambda path: shutil._ntuple_diskusage(1, 1, 0)"
    tests.write_text(TESTS.replace("def test_two(stage):", f"def test_two(stage):\n    {breaks}"))
    answer(tree, "return 2", "return 3")

    status, _, message = grade(tree)["two"]

    assert status == "error"
    assert "is full: 0 MiB are free. So this says nothing of your code." in message


FORGED = {
    "no JSON": "nonsense",
    "no object": "[1]",
    "an unknown task": '{"event": "task", "task": {"id": "six"}}',
    "a task without its card": '{"event": "task", "task": {"id": "one", "status": "passed"}}',
    "more points": json.dumps(
        {
            "event": "task",
            "task": {
                "id": "four",
                "title": "Four has no needs",
                "points": 300,
                "status": "passed",
                "seconds": 0,
                "card": {"wire": [], "printed": [], "needs": []},
            },
        }
    ),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_line_that_is_not_the_graders_ends_in_a_report(tree, name):
    tests = tree / "tests" / "test_01_tiny.py"
    hook = (
        "\nimport sys\n"
        f"def forged(self, result): self._out.write({FORGED[name] + chr(10)!r})\n"
        "sys.modules['__main__'].Loop.task = forged\n"
    )
    tests.write_text(TESTS + hook, "utf-8")
    answer(tree)

    tasks = grade(tree)

    assert {(status, earned) for status, earned, _ in tasks.values()} == {("error", 0)}
    assert "The grader's report made no sense." in tasks["one"][2]
