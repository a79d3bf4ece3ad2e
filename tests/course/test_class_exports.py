"""The formats of other platforms. Each schema here restates what the platform documents."""

import csv
import io
import json
import os
import stat
import sys
import zipfile

import jsonschema
import pytest
import yaml
from little_course import write

from course import cli
from course.classroom import (
    actions,
    autograde,
    canvas,
    classroom50,
    exercism,
    gradescope,
    moodle,
    sheet,
)
from course.classroom.gradebook import Asked, Grade, Gradebook, as_json
from course.classroom.graded import Graded
from course.learner.refusal import Refusal
from course.lesson.lessons import ROOT, find
from course.report import Card, LessonResult, Report, TaskResult, WireLine

LESSON = find("1")
FAILED = Card(
    wire=(WireLine("ada", "→", "POST /rooms/lobby/messages"), WireLine("app", "←", "200")),
    expected="201",
    got="200, 50%",
    place="app.py:66 create",
    raised="ValueError: a,b",
    printed=(("stdout", "x" * 600),),
)


def result(**statuses: str) -> LessonResult:
    """Return the result of lesson 1, with these statuses and else passed."""
    tasks = [
        TaskResult(
            task.id,
            task.title,
            task.points,
            statuses.get(task.id, "passed"),
            FAILED if statuses.get(task.id) == "failed" else Card(),
            0.5,
        )
        for task in LESSON.tasks
    ]
    return LessonResult(LESSON.slug, LESSON.title, tasks, 3.0, ["A note."])


def graded(**statuses: str) -> Graded:
    """Return a graded submission with lesson 1 in `lessons/`."""
    homes = {LESSON.slug: f"lessons/{LESSON.slug}"}
    return Graded(Report(7, [result(**statuses)]), homes)


HALF = graded(create="failed", read="blocked", keep="skipped")
POINTS = sum(task.points for task in LESSON.tasks)
LOST = sum(task.points for task in LESSON.tasks if task.id in ("create", "read", "keep"))


def test_a_report_can_be_read_back_from_its_json_with_its_cards():
    written = json.loads(json.dumps(HALF.report.as_dict()))

    assert Report.from_dict(written) == HALF.report


@pytest.mark.parametrize("data", [{}, {"seed": 1, "lessons": [{}]}, {"seed": 1, "lessons": 3}])
def test_what_is_not_a_report_is_refused(data):
    with pytest.raises(ValueError, match="it isn't a report of `check --json`"):
        Report.from_dict(data)


# Gradescope: https://gradescope-autograders.readthedocs.io/en/latest/specs/

VISIBILITY = {"enum": ["hidden", "after_due_date", "after_published", "visible"]}
FORMAT = {"enum": ["text", "html", "simple_format", "md", "ansi"]}
GRADESCOPE = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "score": {"type": "number"},
        "execution_time": {"type": "number"},
        "output": {"type": "string"},
        "output_format": FORMAT,
        "test_output_format": FORMAT,
        "test_name_format": FORMAT,
        "visibility": VISIBILITY,
        "stdout_visibility": VISIBILITY,
        "extra_data": {"type": "object"},
        "leaderboard": {"type": "array"},
        "tests": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "score": {"type": "number"},
                    "max_score": {"type": "number"},
                    "status": {"enum": ["passed", "failed"]},
                    "name": {"type": "string"},
                    "name_format": FORMAT,
                    "number": {"type": "string"},
                    "output": {"type": "string"},
                    "output_format": FORMAT,
                    "tags": {"type": "array", "items": {"type": "string"}},
                    "visibility": VISIBILITY,
                    "extra_data": {"type": "object"},
                },
            },
        },
    },
}


def test_gradescope_gets_a_test_case_for_each_task():
    data = json.loads(gradescope.export(HALF))

    jsonschema.validate(data, GRADESCOPE)
    assert (data["score"], data["extra_data"]) == (POINTS - LOST, {"seed": 7})
    create = data["tests"][0]
    assert (create["number"], create["score"], create["status"]) == ("1.1", 0, "failed")
    assert "ada → POST /rooms/lobby/messages" in create["output"]
    assert [test["status"] for test in data["tests"]].count("failed") == 3


def test_the_autograder_for_gradescope_has_both_scripts_at_its_top():
    archive = zipfile.ZipFile(io.BytesIO(gradescope.autograder(ROOT, [LESSON])))

    names = set(archive.namelist())
    assert {"setup.sh", "run_autograder", "course/course/__main__.py"} <= names
    assert f"course/tests/test_{LESSON.slug}.py" in names
    for name in ("setup.sh", "run_autograder"):
        assert archive.read(name).startswith(b"#!/usr/bin/env bash\n")
        assert archive.getinfo(name).external_attr >> 16 & stat.S_IXUSR
    assert "--lesson 01_rest" in archive.read("run_autograder").decode()
    assert not [name for name in names if "/.venv/" in name or "/__pycache__/" in name]


def test_the_autograder_installs_what_its_lessons_need():
    def setup(number: str) -> str:
        archive = zipfile.ZipFile(io.BytesIO(gradescope.autograder(ROOT, [find(number)])))
        return archive.read("setup.sh").decode()

    assert "chromium" not in setup("1")
    assert "playwright install --with-deps chromium" in setup("9")
    assert "nginx" not in setup("9")
    assert "apt-get install -y nginx" in setup("13")


# Classroom 50: https://github.com/foundation50/classroom50/wiki/Advanced-Autograding

TEXT = {"type": "string", "minLength": 1}
COUNT = {"type": "integer", "minimum": 0}
UTC = {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$"}
CLASSROOM50 = {
    "type": "object",
    "additionalProperties": False,
    "required": [
        *("schema", "classroom", "assignment", "assignment_type", "owner", "submission"),
        *("commit", "release", "review", "datetime", "score", "max-score", "tests"),
    ],
    "properties": {
        "schema": {"const": "classroom50/result/v1"},
        "classroom": TEXT,
        "assignment": TEXT,
        "assignment_type": {"enum": ["individual", "group"]},
        "owner": TEXT,
        "submission": {"type": "string", "pattern": "^submit/"},
        "commit": TEXT,
        "release": TEXT,
        "review": TEXT,
        "datetime": UTC,
        "graded_at": UTC,
        "score": COUNT,
        "max-score": COUNT,
        "submitted_by": {"type": "object"},
        "tests": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["test-name", "passed", "score", "max-score"],
                "properties": {
                    "test-name": TEXT,
                    "passed": {"type": "boolean"},
                    "score": COUNT,
                    "max-score": COUNT,
                },
            },
        },
    },
}
RUNNER = {
    "CLASSROOM": "web",
    "ASSIGNMENT": "rest",
    "USERNAME": "ada",
    "SUBMISSION_TAG": "submit/2026-11-29T10-00-00Z-a1b2c3d",
    "COMMIT_URL": "https://github.com/web/rest/commit/a1b2c3d",
    "RELEASE_URL": "https://github.com/web/rest/releases/tag/submit",
}


def test_classroom_50_gets_whole_numbers_and_the_identity_of_its_runner():
    data = json.loads(classroom50.export(HALF, RUNNER))

    jsonschema.validate(data, CLASSROOM50)
    assert (data["owner"], data["assignment_type"]) == ("ada", "individual")
    assert data["review"] == data["commit"]
    assert (data["score"], data["max-score"]) == (POINTS - LOST, POINTS)
    assert [test["passed"] for test in data["tests"]].count(False) == 3


def test_the_autograder_for_classroom_50_is_a_program_that_pins_the_course():
    text = classroom50.autograder([LESSON]).decode()

    compile(text, "autograder.py", "exec")
    assert '"--lesson", "01_rest"' in text
    assert f'"checkout", "--quiet", "{actions.commit()}"' in text


# Exercism: https://exercism.org/docs/building/tooling/test-runners/interface

EXERCISM = {
    "type": "object",
    "additionalProperties": False,
    "required": ["version", "status", "tests"],
    "properties": {
        "version": {"const": 3},
        "status": {"enum": ["pass", "fail", "error"]},
        "message": {"type": ["string", "null"], "maxLength": 65535},
        "tests": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["name", "status", "test_code"],
                "properties": {
                    "name": {"type": "string"},
                    "status": {"enum": ["pass", "fail", "error"]},
                    "message": {"type": ["string", "null"]},
                    "output": {"type": ["string", "null"], "maxLength": 500},
                    "test_code": TEXT,
                    "task_id": {"type": "integer", "minimum": 1},
                },
            },
        },
    },
}


def test_exercism_gets_the_tasks_in_order_with_the_code_of_their_tests():
    data = json.loads(exercism.export(HALF))

    jsonschema.validate(data, EXERCISM)
    assert (data["status"], data["message"]) == ("fail", None)
    assert [test["task_id"] for test in data["tests"]] == list(range(1, len(LESSON.tasks) + 1))
    create = data["tests"][0]
    assert create["output"].endswith(exercism.CUT)
    compile(create["test_code"], "test_code", "exec")


@pytest.mark.parametrize(("status", "whole"), [("passed", "pass"), ("error", "error")])
def test_exercism_gets_an_error_only_if_no_task_was_graded(status, whole):
    found = graded(**{task.id: status for task in LESSON.tasks})
    data = json.loads(exercism.export(found))

    jsonschema.validate(data, EXERCISM)
    assert data["status"] == whole


# GitHub Actions


def test_github_gets_an_annotation_on_the_learners_line():
    lines = actions.export(HALF).decode().splitlines()

    error, warning, notice = lines
    title = f"create%3A {LESSON.tasks[0].title}"
    assert error.startswith(f"::error file=lessons/01_rest/app.py,line=66,title={title}::ada")
    assert "expected: 201%0Agot: 200, 50%25%0Ain your code: app.py:66" in error
    assert warning == "::warning::A note."
    assert notice == f"::notice title=Grade::{POINTS - LOST} of {POINTS} points"


def test_a_card_without_a_line_has_no_file():
    task = TaskResult("create", "Create", 1, "failed", Card(got="nothing"))
    found = Graded(Report(7, [LessonResult("01_rest", "", [task])]))

    assert actions.export(found).decode().startswith("::error title=create%3A Create::got: nothing")


def test_the_workflow_grades_with_the_teachers_copy_of_the_course():
    workflow = yaml.safe_load(actions.workflow([LESSON, find("2")]))

    steps = workflow["jobs"]["grade"]["steps"]
    assert steps[1]["with"]["ref"] == actions.commit()
    assert steps[3]["run"] == (
        "python -m course class autograde ../submission --lesson 01_rest --lesson 02_polling"
        " --as actions --out - --fail"
    )
    assert workflow["permissions"] == {"contents": "read"}


# One submission, from end to end


@pytest.fixture
def run(monkeypatch, capfdbinary):
    """Run a command. Returns its exit status and output."""
    monkeypatch.setattr(cli, "_prepare", lambda: None)

    def run(*arguments: object) -> tuple[int, bytes]:
        monkeypatch.setattr(sys, "argv", ["course", *map(str, arguments)])
        return cli.main(), capfdbinary.readouterr().out

    return run


def test_a_submission_is_graded_and_reported_in_the_platforms_format(run, tmp_path):
    write(tmp_path / "work" / "lessons" / "01_rest" / "app.py", "raise SystemExit(3)\n")
    command = ("class", "autograde", tmp_path / "work", "--lesson", "1", "--out", "-")

    status, out = run(*command, "--as", "actions")
    assert status == 0
    assert out.startswith(b"::error file=lessons/01_rest/app.py,line=1,title=create")
    assert run(*command, "--as", "actions", "--fail")[0] == 1


@pytest.mark.parametrize("name", sorted(autograde.EXPORTS))
def test_a_submission_that_cannot_be_read_earns_nothing_and_says_why(tmp_path, name):
    write(tmp_path / "work.zip", "not a zip file")
    out = io.BytesIO()

    assert not autograde.autograde(tmp_path / "work.zip", [LESSON], name, out)

    assert b"work.zip isn't a zip file." in out.getvalue()


def test_an_unknown_format_is_wrong_usage(run, tmp_path):
    status, _ = run(
        *("class", "autograde", tmp_path, "--lesson", "1", "--as", "pdf", "--out", tmp_path / "x")
    )

    assert status == 2


# Sheets


def book(*names: str) -> Gradebook:
    """Return grades: the first has every point, the next all but three tasks' points."""
    reports = [graded().report, HALF.report]
    grades = [Grade(name, report) for name, report in zip(names, reports, strict=False)]
    return Gradebook(grades, [Asked.of(LESSON)])


MOODLE = """\
Identifier,Full name,Email address,Status,Grade,Maximum grade,Grade can be changed,\
Last modified (submission),Last modified (grade),Feedback comments
Participant 1815,Ada Byron,ada@example.org,Submitted for grading,,100.00,Yes,"Fri, 27 November",-,
Participant 1906,Grace Hopper,grace@example.org,Submitted for grading,,100.00,Yes,-,-,
Participant 1912,Alan Turing,alan@example.org,No submission,,100.00,Yes,-,-,
"""


def rows_of(text: str) -> list[list[str]]:
    """Return the rows of a CSV text."""
    return list(csv.reader(io.StringIO(text)))


def test_moodles_worksheet_is_filled_on_its_own_scale():
    names = ("Ada Byron_1815_assignsubmission_file_", "Grace Hopper_1906_assignsubmission_file_")
    filled = moodle.fill(rows_of(MOODLE), book(*names))

    found = list(csv.DictReader(io.StringIO(filled.as_csv().decode())))
    assert [row["Identifier"] for row in found] == [
        "Participant 1815",
        "Participant 1906",
        "Participant 1912",
    ]
    half = f"{100 * (POINTS - LOST) / POINTS:.2f}".rstrip("0").rstrip(".")
    assert [row["Grade"] for row in found] == ["100", half, ""]
    assert found[0]["Feedback comments"] == "Every task passed."
    assert found[1]["Feedback comments"].startswith("Not passed: create (failed), read (blocked)")
    assert found[0]["Last modified (submission)"] == "Fri, 27 November"
    assert filled.unmatched == []


def test_a_submission_is_found_by_the_learners_name_or_address_too():
    filled = moodle.fill(rows_of(MOODLE), book("ada  byron", "GRACE@example.org"))

    assert [row[4] != "" for row in filled.rows[1:]] == [True, True, False]


def test_a_submission_that_no_row_belongs_to_is_named():
    filled = moodle.fill(rows_of(MOODLE), book("Ada Byron_99_assignsubmission_file_", "zoe"))

    assert filled.unmatched == ["Ada Byron_99_assignsubmission_file_", "zoe"]


def test_a_locked_grade_is_not_changed():
    rows = rows_of(MOODLE.replace("100.00,Yes", "100.00,No"))

    assert moodle.fill(rows, book("Ada Byron")).rows == rows


def test_a_worksheet_in_another_language_is_refused_with_advice():
    with pytest.raises(Refusal, match=r"no column 'Identifier'\. Download it in English"):
        moodle.fill([["ID", "Nom complet"]], book("ada"))


CANVAS = """\
Student,ID,SIS User ID,SIS Login ID,Section,REST (4711),Essay (4712),Final Score
,,,,,Manual Posting,,(read only)
    Points Possible,,,,,20,10,(read only)
"Byron, Ada",1815,s1,ada,A,,7,
"Hopper, Grace",1906,s2,grace,A,3,9,
"Turing, Alan",1912,s3,alan,A,,8,
"""


def test_canvas_gets_only_the_assignments_column_on_its_own_scale():
    names = ("byronada_1815_20021_work.zip", "hoppergrace_LATE_1906_20022_work.zip")
    filled = canvas.fill(rows_of(CANVAS), book(*names), "REST")

    half = f"{20 * (POINTS - LOST) / POINTS:.2f}".rstrip("0").rstrip(".")
    assert filled.rows == [
        ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "REST (4711)"],
        ["    Points Possible", "", "", "", "", "20"],
        ["Byron, Ada", "1815", "s1", "ada", "A", "20"],
        ["Hopper, Grace", "1906", "s2", "grace", "A", half],
    ]
    assert filled.unmatched == []


@pytest.mark.parametrize("name", ["Ada Byron", "byron, ada", "ada", "s1"])
def test_canvas_finds_a_learner_by_name_or_login(name):
    filled = canvas.fill(rows_of(CANVAS), book(name), "REST (4711)")

    assert [row[0] for row in filled.rows[2:]] == ["Byron, Ada"]


def test_an_unknown_assignment_is_refused_with_those_that_are_there():
    with pytest.raises(Refusal, match=r"It has: REST \(4711\), Essay \(4712\)"):
        canvas.fill(rows_of(CANVAS), book("ada"), "Quiz")


def test_the_sheet_command_writes_the_sheet_and_names_who_is_missing(run, tmp_path):
    write(tmp_path / "moodle.csv", "\ufeff" + MOODLE)
    (tmp_path / "grades.json").write_bytes(as_json(book("Ada Byron", "zoe")))

    status, _ = run(
        *("class", "sheet", "moodle", tmp_path / "grades.json", tmp_path / "moodle.csv"),
        *("--out", tmp_path / "filled.csv"),
    )

    assert status == 1
    assert (tmp_path / "filled.csv").read_text("utf-8").startswith("Identifier,")


def test_a_sheet_with_semicolons_is_read(tmp_path):
    write(tmp_path / "sheet.csv", 'a;b\n"1;2";"3\n4"\n')

    assert sheet.read_rows(tmp_path / "sheet.csv") == [["a", "b"], ["1;2", "3\n4"]]


@pytest.mark.parametrize("content", ["[]", "{}", '{"schema": "class/9"}', "no JSON"])
def test_other_files_are_not_taken_for_grades(tmp_path, content):
    write(tmp_path / "grades.json", content)

    with pytest.raises(Refusal, match="can't be used"):
        sheet.read_book(tmp_path / "grades.json")


def test_an_export_that_cannot_be_written_is_refused(run, tmp_path):
    status, _ = run("class", "actions", "--lesson", "1", "--out", tmp_path / "nowhere" / "x.yml")

    assert status == 2
    assert not os.path.exists(tmp_path / "nowhere")
