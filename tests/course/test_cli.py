"""The commands: their output, the files they write, and their exit status."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest
import requests
from little_course import SOLUTION, STARTER, make_course, write

from course import cli
from course.author import test_all
from course.grading import engine
from course.learner import site
from course.lesson import lessons
from course.lesson.lessons import ROOT
from course.report import FORMATS, Card, LessonResult, TaskResult

PARSERS = {"json": json.loads, "junit": ElementTree.fromstring}


class FakeEngine:
    """A grader that passes a task once its TODO is removed from the folder's app.py."""

    def __init__(self, slugs: list[str], workers: int = 1) -> None:
        self.slugs = slugs

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def grade(self, jobs, seed, on_event):
        """Grade each job's folder, with an event for each task."""
        found = []
        for job in jobs:
            code = (job.folder / "app.py").read_text("utf-8")
            lesson = next(x for x in lessons.lessons(job.root) if x.slug == job.slug)
            tasks = [self._verdict(task, code) for task in lesson.tasks]
            for task in tasks:
                on_event(engine.Finished(job.slug, task))
            found.append(LessonResult(job.slug, lesson.title, tasks))
        return found

    @staticmethod
    def _verdict(task, code: str) -> TaskResult:
        if "crash" in code:
            raise RuntimeError("boom\nand more")
        status = "failed" if f"TODO({task.id})" in code else "passed"
        card = Card(got="nothing") if status == "failed" else Card()
        return TaskResult(task.id, task.title, task.points, status, card)


@dataclass(frozen=True)
class Run:
    """A command's exit status and its output."""

    status: int
    out: str
    err: str


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run a command of a little course, in this process and with a fake grader."""
    make_course(tmp_path)
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr(cli, "ROOT", tmp_path)
    monkeypatch.setattr(cli, "lessons", lambda: lessons.lessons(tmp_path))
    monkeypatch.setattr(cli, "find", lambda name: lessons.find(name, tmp_path))
    monkeypatch.setattr(cli, "_prepare", lambda: None)
    monkeypatch.setattr(engine, "Engine", FakeEngine)
    monkeypatch.setattr(engine.Job, "root", tmp_path, raising=False)

    def run(*arguments: str) -> Run:
        monkeypatch.setattr(sys, "argv", ["course", *map(str, arguments)])
        status = cli.main()
        return Run(status, *capsys.readouterr())

    return run


FAILED = """\
Checking 01_rest.
01_rest  A board over REST                               2/4
  ✗ create  A posted message is kept                     0/2
    got: nothing
  ✓ read    A message is read at its address             1/1
  ✓ keep    A message that returned 201 is kept          1/1

2 of 4 points  2 passed, 1 failed                     seed 7
"""


def solve(root: Path, *tasks: str, slug: str = "01_rest") -> None:
    """Remove these tasks' TODOs from the learner's file."""
    app = root / "lessons" / slug / "app.py"
    text = app.read_text("utf-8")
    for task in tasks:
        text = text.replace(f"TODO({task})", f"done({task})")
    app.write_text(text, "utf-8")


# check


def test_a_failed_check_shows_the_card_and_exits_with_1(run, tmp_path):
    solve(tmp_path, "read")

    assert run("check", "1", "--seed", "7") == Run(1, FAILED, "")


def test_a_passed_lesson_is_one_line_and_the_next_lesson(run, tmp_path):
    solve(tmp_path, "create", "read")

    assert run("check", "rest") == Run(
        0,
        "Checking 01_rest.\n"
        "✓ 01_rest  A board over REST                             4/4\n"
        "Next: 02_polling, A client that polls\n",
        "",
    )


def test_check_without_a_name_checks_the_current_lesson(run, tmp_path):
    assert run("check").out.startswith("Checking 01_rest.\n")
    solve(tmp_path, "create", "read")
    assert run("check").status == 0

    assert run("check").out.startswith("Checking 02_polling.\n")


def test_all_checks_every_lesson(run, tmp_path):
    found = run("check", "--all", "--from", tmp_path / "solutions")

    assert found.status == 0
    assert found.out.startswith("Checking 2 lessons.\n")
    assert "7 of 7 points" in found.out


def test_the_results_of_another_folder_are_not_saved(run, tmp_path):
    run("check", "--from", tmp_path / "solutions")

    assert "0 of 7 points" in run("status").out


def test_from_without_a_name_checks_every_lesson_in_the_folder(run, tmp_path):
    write(tmp_path / "ada" / "02_polling" / "app.py", SOLUTION)

    found = run("check", "--from", tmp_path / "ada")

    assert found.status == 0
    assert found.out.startswith("Checking 02_polling.\n")


def test_a_lesson_missing_from_the_folder_is_reported_and_does_not_pass(run, tmp_path):
    write(tmp_path / "ada" / "02_polling" / "app.py", SOLUTION)

    found = run("check", "--all", "--from", tmp_path / "ada", "--verbose")

    assert found.status == 1
    assert "doesn't exist." in " ".join(found.out.split())
    assert "3 of 7 points" in found.out


@pytest.mark.parametrize("folder", ["nowhere", "README.md", "docs"])
def test_a_folder_without_lessons_is_wrong_usage(run, tmp_path, folder):
    write(tmp_path / "README.md", "")

    found = run("check", "--from", tmp_path / folder)

    assert (found.status, found.out) == (2, "")
    assert str(tmp_path / folder) in found.err
    assert found.err.count("\n") == 1


def test_the_report_is_written_as_json_and_junit(run, tmp_path):
    run("check", "1", "--seed", "7", "--json", tmp_path / "r.json", "--junit", tmp_path / "r.xml")

    report = json.loads((tmp_path / "r.json").read_text("utf-8"))
    assert (report["seed"], report["points"], report["earned"]) == (7, 4, 1)
    assert report["lessons"][0]["tasks"][0]["message"] == "got: nothing"
    assert len(ElementTree.parse(tmp_path / "r.xml").findall(".//testcase")) == 3


@pytest.mark.parametrize("name", [known.name for known in FORMATS])
def test_with_a_report_on_stdout_other_output_goes_to_stderr(run, name):
    found = run("check", "1", f"--{name}", "-")

    assert PARSERS[name](found.out) is not None
    assert found.err.startswith("Checking 01_rest.\n")


@pytest.mark.parametrize("name", [known.name for known in FORMATS])
def test_a_report_on_stdout_is_utf_8_whatever_the_terminals_encoding(tmp_path, name):
    shutil.copytree(ROOT / "lessons" / "01_rest", tmp_path / "01_rest")
    app = tmp_path / "01_rest" / "app.py"
    app.write_text(f"raise RuntimeError('Zoë → \\U0001f600')\n{app.read_text('utf-8')}", "utf-8")
    command = [sys.executable, "-m", "course", "check", "--from", str(tmp_path), f"--{name}", "-"]
    env = os.environ | {"PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"}

    out = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, check=False).stdout

    assert "Zoë → 😀" in out.decode("utf-8")
    assert PARSERS[name](out) is not None


@pytest.mark.parametrize("name", [known.name for known in FORMATS])
@pytest.mark.parametrize(
    "place", ["", "nowhere/report", "x" * 300, "lessons/01_rest/app.py/report"]
)
def test_a_report_that_cannot_be_written_is_refused_before_the_check(run, tmp_path, name, place):
    found = run("check", "1", f"--{name}", tmp_path / place)

    assert (found.status, found.out) == (2, "")
    assert str(tmp_path) in found.err


def test_a_report_that_may_not_be_written_is_refused_before_the_check(run, tmp_path, monkeypatch):
    def refuse(path: Path, mode: str = "r", *rest: object, **options: object):
        if mode == "ab":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, mode, *rest, **options)

    real = Path.open
    monkeypatch.setattr(Path, "open", refuse)

    found = run("check", "1", "--json", tmp_path / "r.json")

    said = f"{tmp_path / 'r.json'} can't be written: Permission denied.\n"
    assert found == Run(2, "", said)


def test_two_reports_cannot_have_one_file(run, tmp_path):
    on_stdout = run("check", "1", "--json", "-", "--junit", "-")
    in_a_file = run("check", "1", "--json", tmp_path / "r", "--junit", tmp_path / "r")

    said = "Only one of --json and --junit can write to"
    assert on_stdout == Run(2, "", f"{said} stdout (-).\n")
    assert in_a_file == Run(2, "", f"{said} {tmp_path / 'r'}.\n")


def test_a_check_that_crashes_leaves_no_report_behind(run, tmp_path):
    write(tmp_path / "lessons/01_rest/app.py", "crash")

    run("check", "1", "--json", tmp_path / "r.json")

    assert not (tmp_path / "r.json").exists()


def test_all_cannot_be_combined_with_a_name(run):
    found = run("check", "1", "--all")

    assert found.status == 2
    assert "--all" in found.err


def test_an_unknown_lesson_is_refused_with_the_nearest_one(run):
    assert run("check", "poling") == Run(
        2, "", "No lesson is called 'poling'. Did you mean 02_polling?\n"
    )


@pytest.mark.parametrize("names", [["create"], ["1", "create"], ["2", "1", "create"]])
def test_a_task_cannot_be_checked_alone(run, names):
    assert run("check", *names) == Run(
        2,
        "",
        "'create' is a task of 01_rest. Check the whole lesson: `python3 -m course check 1`.\n",
    )


def test_a_task_of_another_lesson_is_an_unknown_lesson(run):
    assert "No lesson is called 'create'." in run("check", "2", "create").err


def test_an_unknown_command_is_refused_with_the_nearest_one(run):
    found = run("chek")

    assert found.status == 2
    assert "check" in found.err


# Without a command


def test_without_a_terminal_it_shows_the_map_and_checks_once(run):
    found = run()

    assert found.status == 1
    assert found.out.startswith(
        """\
Beyond REST                                    0 of 7 points

  ▸ 01  A board over REST                        ···     0/4
    02  A client that polls                        ·     0/3

Checking 01_rest.
"""
    )


def test_status_shows_the_points_so_far(run, tmp_path):
    solve(tmp_path, "read")
    run("check")

    assert run("status") == Run(
        0,
        """\
Beyond REST                                    2 of 7 points

  ▸ 01  A board over REST                        ·✓✓     2/4
    02  A client that polls                        ·     0/3
""",
        "",
    )


# hint


def test_each_hint_is_followed_by_the_next_and_the_last_by_the_solution(run):
    found = [run("hint").out for _ in range(4)]

    assert found[0] == "hint 1 of 3 for create\n  Which two things does create return?\n"
    assert "url_for names the address." in found[1]
    assert "return message, 201" in found[2]
    assert "`python3 -m course solution 1 --anyway`" in " ".join(found[2].split())
    assert found[3] == found[2]


def test_a_hint_is_for_the_first_task_that_has_not_passed(run, tmp_path):
    solve(tmp_path, "create")
    run("check")

    found = run("hint")

    assert found == Run(2, "", "The page docs/lessons/01_rest.md has no hints for read.\n")


def test_hint_accepts_a_task_of_the_current_lesson_without_the_lesson(run):
    assert run("hint", "create").out.startswith("hint 1 of 3 for create\n")


def test_an_unknown_task_is_refused_with_the_nearest_one(run):
    found = run("hint", "1", "creat")

    assert found.status == 2
    assert "Did you mean create?" in found.err


# solution


def test_the_solution_is_shown_once_the_lesson_has_passed(run, tmp_path):
    found = run("solution", "1")
    assert found.status == 2
    assert "create hasn't passed yet" in found.err

    solve(tmp_path, "create", "read")
    run("check", "1")

    found = run("solution", "1")
    assert found.status == 0
    assert "+    return message, 201" in found.out


def test_the_solution_omits_given_files(run):
    found = run("solution", "1", "--anyway")

    assert "app.py" in found.out
    assert "store.py" not in found.out


def test_the_solution_of_a_missing_file_is_shown_whole(run, tmp_path):
    (tmp_path / "lessons" / "01_rest" / "app.py").unlink()

    assert "+def create(room):" in run("solution", "1", "--anyway").out


# reset


def kept(root: Path) -> dict[str, str]:
    """Return the copies in .course/kept: the text of each file by its path below its folder."""
    top = root / ".course" / "kept"
    files = [path for path in top.rglob("*") if path.is_file()]
    return {path.relative_to(top).as_posix().split("/", 1)[1]: path.read_text() for path in files}


def test_reset_restores_the_starter_and_copies_the_old_files(run, tmp_path):
    lesson = tmp_path / "lessons" / "01_rest"
    write(lesson / "app.py", "mine = 1\n")
    write(lesson / "notes" / "extra.py", "mine = 2\n")

    found = run("reset", "1")

    assert found.status == 0
    assert (lesson / "app.py").read_text() == STARTER
    assert not (lesson / "notes" / "extra.py").exists()
    assert kept(tmp_path) == {
        "lessons/01_rest/app.py": "mine = 1\n",
        "lessons/01_rest/notes/extra.py": "mine = 2\n",
    }
    place = found.out.split("copied to ")[1].strip().rstrip(".")
    assert (tmp_path / place / "app.py").read_text() == "mine = 1\n"


def test_two_resets_in_one_second_copy_both_files(run, tmp_path):
    for text in ("one\n", "two\n"):
        write(tmp_path / "lessons" / "01_rest" / "app.py", text)
        run("reset", "1")

    found = (tmp_path / ".course" / "kept").glob("*/lessons/01_rest/app.py")
    assert sorted(path.read_text() for path in found) == ["one\n", "two\n"]


def test_reset_creates_a_folder_that_was_deleted(run, tmp_path):
    import shutil

    shutil.rmtree(tmp_path / "lessons")

    assert run("reset", "1").status == 0
    assert (tmp_path / "lessons" / "01_rest" / "app.py").read_text() == STARTER


def test_reset_of_an_unchanged_starter_does_nothing(run, tmp_path):
    assert run("reset", "1") == Run(0, "lessons/01_rest is already the starter.\n", "")
    assert kept(tmp_path) == {}


def test_reset_does_not_replace_a_file_that_cannot_be_copied(run, tmp_path):
    app = tmp_path / "lessons" / "01_rest" / "app.py"
    write(app, "mine = 1\n")
    write(tmp_path / ".course" / "kept", "a file, where the folder should be")

    found = run("reset", "1")

    assert found.status == 2
    assert app.read_text() == "mine = 1\n"


def test_reset_replaces_a_symlink_and_not_its_target(run, tmp_path):
    app = tmp_path / "lessons" / "01_rest" / "app.py"
    write(tmp_path / "elsewhere.py", "mine = 1\n")
    app.unlink()
    try:
        app.symlink_to(tmp_path / "elsewhere.py")
    except OSError:
        pytest.skip("this account can't create symlinks")

    run("reset", "1")

    assert (tmp_path / "elsewhere.py").read_text() == "mine = 1\n"
    assert app.read_text() == STARTER


def test_resetting_a_task_leaves_the_rest_unchanged(run, tmp_path):
    app = tmp_path / "lessons" / "01_rest" / "app.py"
    mine = STARTER.replace("    ...\n", "    mine = 1\n")
    write(app, mine)

    found = run("reset", "1", "create")

    assert found.status == 0
    assert app.read_text() == STARTER.split("def read")[0] + "def read" + mine.split("def read")[1]
    assert kept(tmp_path) == {"lessons/01_rest/app.py": mine}


def test_resetting_a_task_keeps_windows_line_endings(run, tmp_path):
    app = tmp_path / "lessons" / "01_rest" / "app.py"
    write(app, STARTER.replace("    ...\n", "    mine = 1\n").replace("\n", "\r\n"))

    run("reset", "1", "create")
    run("reset", "1", "read")

    assert app.read_bytes() == STARTER.replace("\n", "\r\n").encode()


def test_a_task_whose_markers_are_missing_is_refused_with_advice(run, tmp_path):
    app = tmp_path / "lessons" / "01_rest" / "app.py"
    write(app, STARTER.replace("    # END(create)\n", ""))

    found = run("reset", "1", "create")

    assert found.status == 2
    assert "TODO(create)" in found.err
    assert "`python3 -m course reset 1`" in found.err
    assert kept(tmp_path) == {}


def test_a_task_without_a_todo_cannot_be_reset_alone(run):
    found = run("reset", "1", "keep")

    assert found.status == 2
    assert "`python3 -m course reset 1`" in found.err


# When something goes wrong


def test_a_bug_in_the_course_is_reported_in_one_sentence_with_its_traceback_in_a_file(
    run, tmp_path
):
    write(tmp_path / "lessons" / "01_rest" / "app.py", "crash")

    found = run("check", "1")

    assert found.status == 2
    assert found.err.count("\n") == 1
    assert "(RuntimeError: boom)" in found.err
    details = Path(found.err.split("Details: ")[1].strip()).read_text("utf-8")
    assert "Traceback" in details
    assert "python3 -m course check 1" in details


def test_an_invalid_progress_file_does_not_stop_a_check(run, tmp_path):
    write(tmp_path / ".course" / "progress.json", "{")

    found = run("check", "1")

    assert found.status == 1
    assert "It was renamed to" in found.err


# As a process


def start(*arguments: str, **options) -> subprocess.Popen:
    """Start the real course with its output piped."""
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        **options,
    )


def test_the_first_line_is_printed_before_slow_imports():
    script = """if True:
        import sys
        from course import cli

        class Out:
            def isatty(self): return False
            def flush(self): pass
            def write(self, text):
                heavy = {"rich", "pytest", "requests", "flask", "watchfiles", "websockets"}
                sys.stderr.write(f"{text.strip()} {sorted(heavy & set(sys.modules))}")
                raise KeyboardInterrupt

        sys.stdout = Out()
        sys.argv[1:] = ["check", "1"]
        sys.exit(cli.main())
    """
    child = start("-c", script)

    _, err = child.communicate(timeout=60)

    assert err.startswith("Checking 01_rest. []")
    assert child.returncode == 130


@pytest.mark.skipif(os.name == "nt", reason="Windows can't send Ctrl-C to a single process")
def test_ctrl_c_ends_a_check_with_one_line():
    child = start("-m", "course", "check", "1", "--from", "solutions")
    assert child.stdout.readline() == "Checking 01_rest.\n"

    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=60)

    assert (child.returncode, err.strip()) == (130, "Stopped.")


@pytest.mark.skipif(os.name == "nt", reason="Windows can't send Ctrl-C to a single process")
def test_the_site_is_served_until_ctrl_c_even_if_its_port_is_in_use():
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # Another program may use it, which is as good.
            stack.enter_context(socket.create_server(("127.0.0.1", site.PORT)))
        child = start("-m", "course", "docs")
        assert child.stdout.readline() == "Building the site.\n"
        address = re.search(r"http://127\.0\.0\.1:(\d+)/\S*", child.stdout.readline())
    try:
        page = requests.get(f"{address[0]}lessons/01_rest/", timeout=60)
    finally:
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=60)

    assert "<h1" in page.text
    assert (child.returncode, err.strip()) == (130, "Stopped.")
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", int(address[1])), 5)


# test


def gate(title: str, prints: str, status: int = 0) -> test_all.Gate:
    """Return a part that prints this and exits with this status."""
    return test_all.Gate(title, ("-c", f"import sys; print({prints!r}); sys.exit({status})"))


def test_test_runs_each_part_and_sums_the_counts(tmp_path, capsys):
    parts = [
        gate("the rules", "Every rule passes."),
        gate("the graders", "✓ all\n12 judged correctly, 0 wrongly"),
        gate("the runner", "8 passed, 1 failed, 3 skipped in 2.41s", 1),
        gate("the site", "WARNING: broken", 1),
    ]

    status = test_all.run(tmp_path, sys.stdout, parts)

    out = re.sub(r"\d+:\d\d", "M:SS", capsys.readouterr().out)
    assert status == 1
    assert "2 of 4, after M:SS: the graders\n✓ all\n12 judged correctly, 0 wrongly\n" in out
    assert out.endswith(
        """
the rules     M:SS  1 passed
the graders   M:SS  12 passed
the runner    M:SS  8 passed, 1 failed
the site      M:SS  0 passed, 1 failed

21 passed, 2 failed
"""
    )


def test_test_passes_if_each_part_does(tmp_path, capsys):
    assert test_all.run(tmp_path, sys.stdout, [gate("a", "3 passed"), gate("b", "")]) == 0
    assert capsys.readouterr().out.endswith("\n\n4 passed, 0 failed\n")


def test_test_passes_its_options_to_the_parts():
    parts = test_all.gates("scratch", lesson="08_broadcast", jobs=3)

    commands = [" ".join(part.arguments) for part in parts]
    assert "-m course dev answers 08_broadcast --jobs 3" in commands
    assert "-m pytest -q -n 3 --dist worksteal tests/course" in commands
