"""What bad code of a learner's gets: a sentence that names the cause and the place, and no more.

The other tasks are still graded, nothing is earned that was not shown, and nothing is left behind.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from course.grading import failure
from course.grading.engine import Engine, Job
from course.grading.waiting import eventually
from course.lesson import regions
from course.lesson.lessons import ROOT
from course.report import LessonResult, TaskResult

SOLUTION = ROOT / "solutions" / "01_rest"
ALL = ["create", "read", "list", "cursor", "refuse", "keep"]


@pytest.fixture(scope="module")
def engine():
    """Graders with short deadlines, since several of these tests wait for them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_PATIENCE", "0.5")
        with Engine(["01_rest"]) as engine:
            yield engine


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A learner's folder, with everything right in it."""
    shutil.copytree(SOLUTION, tmp_path / "01_rest", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "01_rest"


def grade(engine: Engine, folder: Path, *tasks: str) -> LessonResult:
    return engine.grade([Job("01_rest", folder, tasks)], seed=3)[0]


def passed(result: LessonResult) -> list[str]:
    return [task.id for task in result.tasks if task.status == "passed"]


def the(result: LessonResult, task_id: str) -> TaskResult:
    return next(task for task in result.tasks if task.id == task_id)


def in_region(folder: Path, region: str, code: str) -> None:
    """Put code at the beginning of a region of app.py."""
    app = folder / "app.py"
    text = app.read_text("utf-8")
    body = next(r.body for r in regions.regions(text, ".py") if r.name == region)
    app.write_text(regions.replace(text, ".py", region, f"{code}\n{body}"), "utf-8")


def at_top(folder: Path, code: str) -> None:
    """Put code at the end of app.py's imports."""
    app = folder / "app.py"
    app.write_text(app.read_text("utf-8").replace("\nMAX_TEXT", f"\n{code}\nMAX_TEXT", 1), "utf-8")


AT_IMPORT = {
    "an endless loop": ("while True: pass", "did not end within 4 s", "while True: pass"),
    "sys.exit": ("import sys; sys.exit(0)", "ended the program with sys.exit(0)", "sys.exit(0)"),
    "os._exit": ("import os; os._exit(0)", "ended its process with os._exit(0)", "os._exit(0)"),
    "os.abort": ("import os; os.abort()", "ended its process with os.abort()", "os.abort()"),
    "an exception": ("1 / 0", "raised ZeroDivisionError: division by zero", "1 / 0"),
    "a server": ("Flask('x').run(port=0)", "did not end within 4 s", "Flask('x').run(port=0)"),
    "a recursion": ("def f(): f()\nf()", "raised RecursionError", "def f(): f()"),
}
if hasattr(__import__("os"), "fork"):
    AT_IMPORT["os.fork"] = ("import os; os.fork()", "a copy of its process with", "os.fork()")


@pytest.mark.parametrize("name", AT_IMPORT)
def test_what_goes_wrong_at_import_is_named_with_its_line(engine, folder, name):
    code, sentence, source = AT_IMPORT[name]
    at_top(folder, code)

    result = grade(engine, folder)

    create = the(result, "create")
    assert passed(result) == []
    assert create.status == "failed"
    assert sentence in create.message
    assert re.search(r"^(in your code|waiting at): app\.py:", create.message, re.M)
    assert source in create.message
    assert {task.status for task in result.tasks[1:]} == {"blocked"}


IN_A_ROUTE = {
    "an endless loop": ("while True: pass", "had no answer", "while True: pass"),
    "sys.exit": ("import sys; sys.exit(0)", "SystemExit", "sys.exit(0)"),
    "os._exit": ("import os; os._exit(0)", "ended its process with os._exit(0)", "os._exit(0)"),
    "os.abort": ("import os; os.abort()", "ended its process with os.abort()", "os.abort()"),
    "an exception": ("{}['id']", "KeyError: 'id'", "{}['id']"),
    "a killed process": ("import os, signal; os.kill(os.getpid(), 9)", "process ended", "got:"),
}
if sys.platform == "linux":  # Elsewhere no limit on memory is kept for us.
    IN_A_ROUTE["2 GB"] = ("x = bytearray(2 * 2**30)", "MemoryError", "bytearray(2 * 2**30)")
if hasattr(__import__("os"), "fork"):
    IN_A_ROUTE["os.fork"] = ("import os; os.fork(); 1 / 0", "ZeroDivisionError", "os.fork()")


@pytest.mark.parametrize("name", IN_A_ROUTE)
def test_what_goes_wrong_in_a_route_costs_that_task_and_no_other(engine, folder, name):
    code, sentence, source = IN_A_ROUTE[name]
    in_region(folder, "read", code)

    result = grade(engine, folder)

    read = the(result, "read")
    assert read.status == "failed"
    assert sentence in read.message
    assert source in read.message
    assert passed(result) == ["create", "list", "cursor"]
    assert the(result, "keep").status == "blocked"


ANSWERS = {
    "a body that never ends": "return Response(b'x' * 65536 for _ in iter(int, 1))",
    "500 MB": "return Response([b'x' * 2**20] * 500)",
    "10**12 bytes announced": "return Response(iter(['{}']), headers={'Content-Length': 10**12})",
}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_response_that_is_too_large_is_told_with_its_route(engine, folder, name):
    in_region(folder, "read", f"from flask import Response; {ANSWERS[name]}")

    result = grade(engine, folder, "create", "read")

    assert passed(result) == ["create"]
    assert the(result, "read").status == "failed"
    assert re.search(r"an answer to GET /\S+ of at most 16 MiB", the(result, "read").message)


def test_an_endless_loop_in_a_function_is_named_with_its_line(engine, folder):
    in_region(folder, "cursor", "while messages: pass")

    result = grade(engine, folder, "create", "list", "read")

    assert "in your code: app.py:" in the(result, "list").message
    assert "while messages: pass" in the(result, "list").message
    assert passed(result) == ["create", "read"]


FILES = {
    "deleted": (None, "app.py is not there. `python3 -m course reset 1` brings it back."),
    "empty": (b"", "app.py is empty. `python3 -m course reset 1` brings the starter back."),
    "not UTF-8": (
        "x = 1\nname = 'Zoë'\n".encode("latin-1"),
        "line 2 has a byte that isn't utf-8. Save it as UTF-8.",
    ),
    "in an unknown encoding": (b"# coding: klingon\n", "unknown encoding: klingon. Save it as"),
    "UTF-16": ("x = 1\n".encode("utf-16"), "it is saved as UTF-16. Save it as UTF-8."),
    "with a NUL": (b"x = 1\ny = '\0'\n", "there is a NUL byte in line 2."),
    "a merge conflict": (
        b"x = 1\n<<<<<<< HEAD\ny = 1\n=======\ny = 2\n>>>>>>> theirs\n",
        "line 2 is a mark of a merge conflict. Choose one of the two versions",
    ),
    "tabs and spaces": (
        b"if True:\n        x = 1\n\ty = 2\n",
        "Indent with spaces alone, or with tabs alone.",
    ),
    "a syntax error": (b"import os\ndef create_app(:\n", "app.py can't be read: SyntaxError"),
    "without create_app": (b"x = 1\n", "app.py has no function create_app()."),
    "with a create_app that returns nothing": (
        b"def create_app(config=None):\n    pass\n",
        "create_app() in app.py returned nothing (None), not a Flask app.",
    ),
    "with a create_app that raises": (
        b"def create_app(config=None):\n    config['PORT']\n",
        "create_app() in app.py raised KeyError: 'PORT'.",
    ),
    "with a misspelled import": (b"import flaskk\n", "No module named 'flaskk'"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_cannot_be_used_is_named_with_the_reason(engine, folder, name):
    data, sentence = FILES[name]
    (folder / "app.py").unlink() if data is None else (folder / "app.py").write_bytes(data)

    result = grade(engine, folder)

    assert sentence in the(result, "create").message
    assert passed(result) == []


def test_a_syntax_error_in_another_module_is_named_with_its_line(engine, folder):
    (folder / "store.py").write_text("x = 1\nclass Store(:\n", "utf-8")

    result = grade(engine, folder, "create")

    assert "in your code: store.py:2" in the(result, "create").message


def test_a_program_that_cannot_be_read_is_named_with_its_line(tmp_path):
    shutil.copytree(ROOT / "solutions" / "02_polling", tmp_path / "02_polling")
    client = tmp_path / "02_polling" / "client.py"
    client.write_text(client.read_text("utf-8") + "\nsession = = None\n", "utf-8")

    with Engine(["02_polling"], workers=1) as engine:
        result = engine.grade([Job("02_polling", tmp_path / "02_polling", ("cursor",))], seed=3)[0]

    message = the(result, "cursor").message
    assert "client.py can't be read: SyntaxError" in message
    assert "in your code: client.py:" in message


def test_a_folder_that_is_not_there_is_said(engine, tmp_path):
    result = grade(engine, tmp_path / "01_rest")

    assert passed(result) == []
    assert "is not there" in result.notes[0]


def test_ten_megabytes_of_print_cost_nothing_and_are_said(engine, folder):
    in_region(folder, "create", "print('x' * 10 * 2**20)")

    result = grade(engine, folder, "create", "read")

    assert passed(result) == ["create", "read"]
    assert len([note for note in result.notes if "Your code printed" in note]) == 1


@pytest.mark.parametrize("name", ["conftest.py", "pytest.ini", "sitecustomize.py"])
def test_a_set_up_of_their_own_changes_nothing_and_is_said(engine, folder, name):
    text = "[pytest]\naddopts = --nonsense\n" if name.endswith("ini") else "raise SystemExit(0)\n"
    (folder / name).write_text(text, "utf-8")

    result = grade(engine, folder, "create")

    assert passed(result) == ["create"]
    assert any(note.startswith(name) for note in result.notes)


@pytest.mark.parametrize("name", ["course", "requests", "pytest"])
def test_a_module_named_like_one_of_ours_changes_nothing_and_is_said(engine, folder, name):
    (folder / f"{name}.py").write_text("raise RuntimeError('not this one')\n", "utf-8")

    result = grade(engine, folder, "create")

    assert passed(result) == ["create"]
    assert any(note.startswith(f"{name}.py") for note in result.notes)


def test_a_module_that_hides_a_library_from_their_own_code_is_said(engine, folder):
    (folder / "flask.py").write_text("x = 1\n", "utf-8")

    result = grade(engine, folder, "create")

    assert "cannot import name" in the(result, "create").message
    assert any(note.startswith("flask.py") for note in result.notes)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def is_free(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) != 0


def test_a_port_that_it_holds_is_free_again_and_in_nobodys_way(engine, folder):
    port = free_port()
    at_top(folder, f"import socket\nheld = socket.create_server(('127.0.0.1', {port}))")

    result = grade(engine, folder)

    assert passed(result) == ALL
    assert is_free(port)


@pytest.mark.parametrize("session", ["", ", start_new_session=True"])
def test_a_thread_and_a_process_that_it_leaves_are_ended(folder, tmp_path, monkeypatch, session):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    port = free_port()
    hold = f"import socket; socket.create_server(('127.0.0.1', {port})).accept()"
    at_top(
        folder,
        "import subprocess, sys, threading\n"
        "threading.Thread(target=threading.Event().wait).start()\n"
        f'left = subprocess.Popen([sys.executable, "-c", "{hold}"]{session})\n'
        f"while socket.socket().connect_ex(('127.0.0.1', {port})): pass",
    )
    in_region(folder, "create", "if 'ada' in request.get_data(as_text=True): time.sleep(60)")
    at_top(folder, "import socket, time")

    with Engine(["01_rest"]) as engine:
        job = Job("01_rest", folder, ("create", "read"), to_first_failure=True)
        result = engine.grade([job], seed=3)[0]

    assert the(result, "create").status == "failed"
    # A process that was killed holds its port for a moment.
    eventually(lambda: is_free(port), f"port {port} to be free", lambda: "it isn't")
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_parent_that_it_stops_goes_on(folder):
    at_top(folder, "import os, signal; os.kill(os.getppid(), signal.SIGSTOP)")

    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.setenv("COURSE_PATIENCE", "0.5")
        engine = stack.enter_context(Engine(["01_rest"]))
        result = grade(engine, folder, "create")

    assert the(result, "create").status in ("passed", "failed")


def test_c_code_that_holds_all_else_up_is_named_with_its_line(engine, folder):
    in_region(folder, "read", "import re; re.match(r'(a+)+$', 'a' * 60 + 'b')")

    result = grade(engine, folder, "create", "read")

    read = the(result, "read")
    assert passed(result) == ["create"]
    assert "C code that your code called, such as a regular expression, has not" in read.message
    assert re.search(r"in your code: app\.py:\d+ read", read.message)
    assert "re.match(r'(a+)+$'" in read.message


def test_a_runner_that_is_killed_leaves_nothing_of_theirs_behind(folder):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        port = server.getsockname()[1]
        call = f"import socket; call = socket.create_connection(('127.0.0.1', {port}))"
        at_top(folder, f"{call}\nwhile True: pass")
        check = [sys.executable, "-m", "course", "check", "1", "--from", str(folder.parent)]
        runner = subprocess.Popen(check, cwd=ROOT, stdout=subprocess.DEVNULL)
        connection, _ = server.accept()

        runner.kill()
        runner.wait()

        # The system closes the connection when their process has ended.
        connection.settimeout(60)
        assert connection.recv(1) == b""


def test_an_object_that_equals_everything_earns_nothing(engine, folder):
    in_region(
        folder,
        "create",
        "class Liar(dict):\n"
        "    def __eq__(self, other): return True\n"
        "    def __ne__(self, other): return False\n"
        "return Liar(), 201",
    )

    result = grade(engine, folder, "create")

    assert the(result, "create").status == "failed"


def test_a_template_that_it_kills_is_there_for_the_next_check(engine, folder):
    right = (folder / "app.py").read_text("utf-8")
    in_region(folder, "create", "import os; os.kill(os.getppid(), 9)")

    # In one lane, more than the child that was started ahead is needed.
    result = engine.grade([Job("01_rest", folder, lanes=1)], seed=3)[0]
    assert any("Did your code kill its parent?" in task.message for task in result.tasks)

    (folder / "app.py").write_text(right, "utf-8")

    assert passed(grade(engine, folder, "create")) == ["create"]


GIVEN_RAISES = """
message = store().add(room, object(), body["text"])
"""


def test_a_given_line_is_not_accused_of_an_error_that_the_learners_line_caused(engine, folder):
    in_region(folder, "create", GIVEN_RAISES)  # store.py is given, and sqlite3 raises there.

    card = the(grade(engine, folder, "create"), "create").card

    assert "create" in card.place
    assert card.place.startswith("app.py:")
    assert card.source == 'message = store().add(room, object(), body["text"])'
    assert "object" in card.raised


def test_without_the_solutions_only_a_line_of_a_todo_is_accused(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(failure, "ROOT", tmp_path)  # There, no folder is called solutions.
    line = regions.asked(folder / "app.py")[0].first
    theirs = {"file": "app.py", "line": line, "function": "create", "source": "..."}
    given = {"file": "store.py", "line": 1, "function": "add", "source": "..."}

    accused = [failure._accused(where, False, folder) for where in ([theirs, given], [given])]

    assert accused == [[theirs], []]


def test_a_line_that_the_learner_changed_is_theirs(engine, folder):
    store = folder / "store.py"
    text = store.read_text("utf-8")
    begin = text.index("    def add(")
    first = text.index('"""\n', text.index('"""', begin) + 3) + len('"""\n')
    store.write_text(f"{text[:first]}        1 / 0\n{text[first:]}", "utf-8")

    card = the(grade(engine, folder, "create"), "create").card

    assert card.place.startswith("store.py:")
    assert card.source == "1 / 0"


LOOK_AROUND = """
import os
assert os.getuid() != 0
parent = os.getppid()
grandparent = int(open(f"/proc/{parent}/stat").read().rpartition(")")[2].split()[1])
for act in (lambda pid: os.listdir(f"/proc/{pid}/fd"), lambda pid: os.kill(pid, 0)):
    for pid in (parent, grandparent):
        try:
            act(pid)
        except PermissionError:
            continue
        raise RuntimeError(f"process {pid} can be reached")
"""


def nobody_can_run_python() -> bool:
    """Return whether this is root, and another user can start this Python with its packages."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0 or sys.platform != "linux":
        return False
    command = [sys.executable, "-c", "import flask"]
    with suppress(OSError):
        return subprocess.run(command, cwd="/", capture_output=True, user="nobody").returncode == 0
    return False


@pytest.mark.skipif(not nobody_can_run_python(), reason="This isn't root, or Python is root's own")
def test_as_root_their_code_is_another_users_who_reaches_no_process_of_the_grader(folder):
    at_top(folder, LOOK_AROUND)
    with tempfile.TemporaryDirectory(dir="/tmp") as place, Engine(["01_rest"]) as engine:
        os.chmod(place, 0o755)
        shutil.copytree(folder, Path(place, "01_rest"))

        result = grade(engine, Path(place, "01_rest"))

    assert passed(result) == ALL
