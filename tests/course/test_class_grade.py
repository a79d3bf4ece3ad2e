"""`class grade`: what it grades, what it writes, and how it goes on after an interruption."""

import csv
import io
import json
import os
import stat
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from axe_playwright_python.sync_playwright import Axe
from little_course import SOLUTION, STARTER, make_course, write

from course.classroom import container, grade, gradebook, page
from course.classroom.gradebook import Gradebook
from course.grading.engine import Job
from course.learner.refusal import Refusal
from course.lesson import lessons
from course.lesson.lessons import ROOT
from course.report import Card, LessonResult, TaskResult

HALF = SOLUTION.replace("    # --8<-- [start:read]", "    # TODO(read)")


class FakeGrader:
    """Passes a task unless its TODO is in app.py. It records the jobs, and may be interrupted."""

    def __init__(self, root: Path) -> None:
        self.root, self.jobs = root, []
        self.interrupt_after = 1000
        self.status = "failed"

    def grade(self, jobs: list[Job], on_result: Callable) -> None:
        """Grade each job, until it is interrupted."""
        for count, job in enumerate(jobs):
            if count == self.interrupt_after:
                raise KeyboardInterrupt
            self.jobs.append(job)
            on_result(job, self._result(job))

    def _result(self, job: Job) -> LessonResult:
        code = (job.folder / "app.py").read_text("utf-8")
        lesson = lessons.find(job.slug, self.root)
        tasks = []
        for task in lesson.tasks:
            status = self.status if f"TODO({task.id})" in code else "passed"
            card = Card() if status == "passed" else Card(expected="201", got="<b>404</b>")
            tasks.append(TaskResult(task.id, task.title, task.points, status, card))
        return LessonResult(job.slug, lesson.title, tasks)


class Room:
    """A folder of submissions to a little course, and what grading them wrote."""

    def __init__(self, root: Path, grader: FakeGrader) -> None:
        make_course(root / "course")
        self.folder, self.out, self.grader = root / "room", root / "grades", grader
        self.root = root / "course"
        self.folder.mkdir()
        self.said = ""

    def hand_in(self, name: str, app: str, slug: str = "01_rest") -> None:
        """Hand in a folder with one lesson."""
        write(self.folder / name / slug / "app.py", app)

    def grade(self, *numbers: int, **options: object) -> int:
        """Grade the folder. Returns the exit status."""
        found = [lessons.find(str(number), self.root) for number in numbers]
        options = {"trust": True, "seed": 7} | options
        out = io.StringIO()
        request = grade.Request(self.folder, self.out, found, root=self.root, **options)
        try:
            return grade.grade(request, out)
        finally:
            self.said = out.getvalue()

    @property
    def book(self) -> Gradebook:
        """The grades, read back from their JSON."""
        return Gradebook.from_dict(json.loads((self.out / "grades.json").read_text("utf-8")))

    @property
    def rows(self) -> list[dict[str, str]]:
        """The rows of the CSV file."""
        text = (self.out / "grades.csv").read_text("utf-8-sig")
        return list(csv.DictReader(io.StringIO(text)))

    @property
    def page(self) -> str:
        """The HTML page."""
        return (self.out / "report.html").read_text("utf-8")


@pytest.fixture
def room(tmp_path, monkeypatch) -> Room:
    """A folder of submissions, still empty, and a grader that is quick."""
    grader = FakeGrader(tmp_path / "course")
    monkeypatch.setattr(grade, "Unguarded", lambda jobs: grader)
    return Room(tmp_path, grader)


# What is graded, and what is written


def test_each_submission_is_a_row_with_its_points(room):
    room.hand_in("ada", SOLUTION)
    room.hand_in("bob", HALF)

    assert room.grade() == 0

    ada, bob = room.rows
    assert (ada["submission"], ada["earned"], ada["points"]) == ("ada", "4", "4")
    assert (bob["earned"], bob["01_rest:create"], bob["01_rest:read"]) == ("3", "2", "0")
    assert [one.report.earned for one in room.book.grades] == [4, 3]


def test_progress_shows_what_is_done_and_the_time_left(room):
    room.hand_in("ada", SOLUTION)
    room.hand_in("bob", HALF)

    room.grade()

    first, *_, last = room.said.splitlines()
    assert first == "Reading 2 submissions."
    assert "1/2  0:00 left  ada  01_rest  4/4\n2/2  0:00 left  bob  01_rest  3/4\n" in room.said
    assert last.startswith("2 of 2 graded. The reports are in ")


def test_each_submission_has_a_seed_of_its_own_that_a_second_run_repeats(room):
    room.hand_in("ada", SOLUTION)
    room.hand_in("bob", SOLUTION)
    room.grade()
    ada, bob = (one.report.seed for one in room.book.grades)

    assert ada != bob
    room.grade(seed=None)
    assert [one.report.seed for one in room.book.grades] == [ada, bob]
    room.grade(seed=8)
    assert room.book.grades[0].report.seed != ada


def test_a_scratch_copy_is_graded_and_not_the_submission(room):
    room.hand_in("ada", SOLUTION)

    room.grade()

    (job,) = room.grader.jobs
    assert not job.folder.is_relative_to(room.folder)
    assert not job.folder.exists()


def test_without_a_lesson_every_lesson_that_was_handed_in_is_graded(room):
    room.hand_in("ada", SOLUTION)
    room.hand_in("bob", SOLUTION, "02_polling")

    room.grade()

    ada, bob = room.rows
    assert (ada["earned"], ada["points"], ada["01_rest"], ada["02_polling"]) == ("4", "7", "4", "0")
    assert (bob["earned"], bob["01_rest"], bob["02_polling"]) == ("3", "0", "3")


def test_only_the_lesson_asked_for_is_graded(room):
    room.hand_in("ada", SOLUTION)
    room.hand_in("ada", SOLUTION, "02_polling")

    room.grade(2)

    assert [job.slug for job in room.grader.jobs] == ["02_polling"]


def test_a_bad_submission_is_a_line_and_the_others_are_graded(room):
    room.hand_in("ada", SOLUTION)
    write(room.folder / "bob.zip", "not a zip file")

    assert room.grade() == 1

    assert "! bob: bob.zip isn't a zip file.\n1 of 2 graded." in room.said
    assert room.rows[1]["problem"] == "bob.zip isn't a zip file."
    assert "bob.zip isn&#39;t a zip file." in room.page
    junit = ElementTree.parse(room.out / "grades.xml")
    assert junit.find(".//testsuite[@name='bob.submission']/testcase/error") is not None


def test_the_page_has_the_matrix_and_the_cards_as_text(room):
    room.hand_in("ada <script>", HALF)

    room.grade()

    assert "ada &lt;script&gt;: 3 of 4 points" in room.page
    assert "expected: 201\ngot: &lt;b&gt;404&lt;/b&gt;" in room.page
    assert 'title="read: failed"' in room.page
    assert "<script" not in room.page
    assert "http" not in room.page


def test_the_page_shows_the_screenshots_beside_it(room, tmp_path):
    where = tmp_path / "grades" / "pictures" / "ada b" / "01_rest-read.png"
    task = TaskResult("read", "Read", 1, "failed", Card(screenshot=str(where)))
    report = grade.Report(1, [LessonResult("01_rest", "", [task])])
    asked = gradebook.Asked("01_rest", "", (lessons.Task("read", "Read"),))

    text = page.as_html(Gradebook([gradebook.Grade("ada b", report)], [asked])).decode()

    assert '<img src="pictures/ada%20b/01_rest-read.png"' in text


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_can_be_read_on_a_phone_and_passes_axe(room, browser, scheme):
    room.hand_in("ada", HALF)
    room.hand_in("bob", SOLUTION.replace("message", "a_name_that_is_much_longer") * 3)
    room.hand_in("cleo", SOLUTION.replace("message", "a_name_that_is_much_longer") * 3)
    write(room.folder / "eve.zip", "not a zip file")
    room.grade()

    with browser.new_context(
        viewport={"width": 390, "height": 800}, color_scheme=scheme
    ) as context:
        found = context.new_page()
        found.goto((room.out / "report.html").as_uri())
        violations = Axe().run(found).response["violations"]
        width = found.evaluate("document.documentElement.scrollWidth")

    assert [(one["id"], one["nodes"][0]["html"]) for one in violations] == []
    assert width == 390


def test_junit_has_a_suite_for_each_submission_and_lesson(room):
    room.hand_in("ada", SOLUTION)
    room.hand_in("bob", HALF)

    room.grade()

    suites = ElementTree.parse(room.out / "grades.xml").findall("testsuite")
    assert [(x.get("name"), x.get("failures")) for x in suites] == [
        ("ada.01_rest", "0"),
        ("bob.01_rest", "1"),
    ]


@pytest.mark.parametrize("name", ["=1+1", "+cmd", "-1", "@SUM(A1)"])
def test_a_name_is_not_a_formula_in_a_spreadsheet(room, name):
    room.hand_in(name, SOLUTION)

    room.grade()

    assert room.rows[0]["submission"] == f"'{name}"


def test_the_reports_may_not_be_among_the_submissions(room):
    room.hand_in("ada", SOLUTION)
    room.out = room.folder / "grades"

    with pytest.raises(Refusal, match="must not contain, or be in, the folder"):
        room.grade()


@pytest.mark.parametrize("name", ["nowhere", "a file"])
def test_the_submissions_must_be_a_folder(room, name):
    write(room.folder / "a file", "")
    room.folder = room.folder / name

    with pytest.raises(Refusal, match="Name the folder that has the submissions"):
        room.grade()


# After an interruption


def test_after_an_interruption_each_submission_is_graded_once(room):
    for name in ("ada", "bob", "cleo"):
        room.hand_in(name, SOLUTION)
    for _ in range(2):
        room.grader.interrupt_after = 1
        with pytest.raises(KeyboardInterrupt):
            room.grade(seed=None)
        assert "The same command goes on from here." in room.said
    room.grader.interrupt_after = 1000

    assert room.grade(seed=None) == 0

    assert len(room.grader.jobs) == 3
    assert len({job.folder.parent.name for job in room.grader.jobs}) == 3
    assert "2 of 3 were graded by an earlier run." in room.said
    assert [one.report.earned for one in room.book.grades] == [4, 4, 4]


def test_a_verdict_that_a_crash_cut_off_is_graded_again(room):
    room.hand_in("ada", SOLUTION)
    room.hand_in("bob", SOLUTION)
    room.grade()
    verdicts = room.out / grade.VERDICTS
    verdicts.write_bytes(verdicts.read_bytes()[:-10])

    room.grade()

    assert len(room.grader.jobs) == 3
    room.grade()
    assert len(room.grader.jobs) == 3


def test_a_submission_that_changed_is_graded_again(room):
    room.hand_in("ada", HALF)
    room.hand_in("bob", HALF)
    room.grade()
    room.hand_in("ada", SOLUTION)

    room.grade()

    assert len(room.grader.jobs) == 3
    assert [one.report.earned for one in room.book.grades] == [4, 3]


def test_all_is_graded_again_if_the_grader_changed(room):
    room.hand_in("ada", SOLUTION)
    room.grade()
    write(room.root / "tests" / "probes" / "01_rest.py", "probe = 1\n")

    room.grade()

    assert len(room.grader.jobs) == 2


def test_what_the_grader_failed_to_judge_is_reported_and_graded_again(room):
    room.hand_in("ada", HALF)
    room.grader.status = "error"

    assert room.grade() == 1
    assert "! ada: The grader failed in a task. Run the same command again." in room.said
    room.grader.status = "failed"
    assert room.grade() == 0


# Equal lines


MINE = '    return {"id": counted + 1}, 201, {"Location": place_of(room)}\n'
OWN_WAY = (
    """\
    counted = len(everything_in(room))
    everything_in(room).append(a_very_own_name)
"""
    + MINE
)


def test_lines_that_two_submissions_share_are_shown_with_their_places(room):
    room.hand_in("ada", STARTER + OWN_WAY)
    room.hand_in("bob", "# My answer, in my own words.\n" + STARTER + OWN_WAY)
    room.hand_in("cleo", SOLUTION)

    room.grade()

    pairs = json.loads((room.out / "grades.json").read_text("utf-8"))["alike"]
    assert [(pair["first"], pair["second"]) for pair in pairs] == [("ada", "bob")]
    assert [line["text"] for line in pairs[0]["lines"]][-1] == MINE.strip()
    assert pairs[0]["lines"][0]["first"] == {"file": "01_rest/app.py", "line": 11}
    assert pairs[0]["lines"][0]["second"] == {"file": "01_rest/app.py", "line": 12}
    assert "a hint for a talk, not a verdict" in room.page


def test_lines_of_the_starter_and_of_our_solution_are_not_shared_lines(room):
    for name in ("ada", "bob"):
        room.hand_in(name, SOLUTION + STARTER)

    room.grade()

    assert "No two submissions share three such lines." in room.page


def test_a_line_that_many_have_is_not_a_shared_line(room):
    for name in ("ada", "bob", "cleo"):
        room.hand_in(name, STARTER + OWN_WAY)

    room.grade()

    assert "No two submissions share three such lines." in room.page


# Strangers' code


def stub(folder: Path, script: str, monkeypatch) -> Path:
    """Put a program called `docker` on PATH, alone. Returns its log: a line for each call."""
    log = folder / "calls.jsonl"
    program = folder / "bin" / "docker"
    write(
        program,
        f"#!{sys.executable}\nimport json, os, sys\narguments = sys.argv[1:]\n"
        f"open({str(log)!r}, 'a').write(json.dumps(arguments) + '\\n')\n{script}",
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(program.parent))
    return log


CHECKS = f"""
if arguments[0] == "run":
    import subprocess
    os.chdir({str(ROOT)!r})
    mounted = arguments[arguments.index("--volume") + 1].removesuffix(":ro").split(":")
    check = arguments[arguments.index("check"):]
    check[check.index("--from") + 1] = os.path.dirname(mounted[0])
    sys.exit(subprocess.run([sys.executable, "-m", "course", *check]).returncode)
if arguments[:2] == ["image", "inspect"]:
    sys.exit(1)
"""
posix = pytest.mark.skipif(os.name == "nt", reason="The stub is a script with a #! line.")


def calls(log: Path) -> list[list[str]]:
    """Return the arguments of each call of the stub."""
    return [json.loads(line) for line in log.read_text("utf-8").splitlines()]


def test_without_a_container_it_refuses_unless_told_to_trust(room, monkeypatch, tmp_path):
    room.hand_in("ada", SOLUTION)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(Refusal, match="they could read and change your files and use the network"):
        room.grade(trust=False)

    assert room.grader.jobs == []


@posix
def test_a_container_that_does_not_run_is_none(room, monkeypatch, tmp_path):
    room.hand_in("ada", SOLUTION)
    stub(tmp_path, "sys.exit(1)  # The daemon isn't running.", monkeypatch)

    with pytest.raises(Refusal, match="Neither podman nor docker runs"):
        room.grade(trust=False)


@posix
def test_a_container_has_no_network_and_reads_only_its_submission(tmp_path, monkeypatch):
    log = stub(tmp_path, CHECKS, monkeypatch)
    write(tmp_path / "room" / "ada" / "01_rest" / "app.py", "raise SystemExit('mine')\n")
    request = grade.Request(tmp_path / "room", tmp_path / "grades", [lessons.find("1")], jobs=1)

    assert grade.grade(request, io.StringIO()) == 0

    info, inspect, build, run = calls(log)
    assert (info, inspect[:2], build[0]) == (["info"], ["image", "inspect"], "build")
    assert run[run.index("--network") + 1] == "none"
    assert run[run.index("--cap-drop") + 1] == "ALL"
    assert "--read-only" in run
    assert sum(argument == "--volume" for argument in run) == 1
    assert run[run.index("--volume") + 1].endswith(":/submission/01_rest:ro")
    page = (tmp_path / "grades" / "report.html").read_text("utf-8")
    assert "importing app.py ended the program with sys.exit(&#39;mine&#39;)." in page


@posix
@pytest.mark.parametrize(
    "script",
    [
        "if arguments[0] == 'run': sys.exit(137)",
        "if arguments[0] == 'run': print('{}')",
        "if arguments[0] == 'run': print('[' * 100_000)",
        "if arguments[0] == 'run': sys.stdout.buffer.write(bytes(20_000_000))",
    ],
)
def test_what_is_not_a_report_of_the_lesson_is_an_error(tmp_path, monkeypatch, script):
    stub(tmp_path, script, monkeypatch)
    lesson = lessons.find("1")
    grader = container.Container(container.find_container(), ROOT, 1, io.StringIO())
    job = Job(lesson.slug, tmp_path, seed=1)
    results = []

    grader.grade([job], lambda job, result: results.append(result))

    assert {task.status for task in results[0].tasks} == {"error"}
    assert "without a report" in results[0].tasks[0].message


@posix
def test_a_report_with_other_points_is_not_believed(tmp_path, monkeypatch):
    stub(tmp_path, "", monkeypatch)
    lesson = lessons.find("1")
    grader = container.Container(container.find_container(), ROOT, 1, io.StringIO())
    tasks = [TaskResult(t.id, t.title, t.points, "passed") for t in lesson.tasks]
    forged = [replace(tasks[0], points=100), *tasks[1:]]
    job = Job(lesson.slug, tmp_path, seed=1)

    def read(found: list[TaskResult]) -> LessonResult:
        report = grade.Report(1, [LessonResult(lesson.slug, lesson.title, found)])
        return grader._read(job, json.dumps(report.as_dict()).encode(), 0)

    assert read(tasks).earned == lesson_points(lesson)
    assert read(forged).earned == 0


def lesson_points(lesson: lessons.Lesson) -> int:
    """Return the points that a lesson is worth."""
    return gradebook.Asked.of(lesson).points


# With the real grader


def test_code_that_ends_its_parent_fails_only_itself(tmp_path):
    app = (ROOT / "solutions" / "01_rest" / "app.py").read_text("utf-8")
    store = (ROOT / "solutions" / "01_rest" / "store.py").read_text("utf-8")
    for name in ("ada", "bob"):
        write(tmp_path / "room" / name / "01_rest" / "app.py", app)
        write(tmp_path / "room" / name / "01_rest" / "store.py", store)
    hostile = "import os\nos.kill(os.getppid(), 9)\n"
    write(tmp_path / "room" / "mallory" / "01_rest" / "app.py", hostile)
    request = grade.Request(
        tmp_path / "room", tmp_path / "grades", [lessons.find("1")], jobs=3, trust=True
    )

    grade.grade(request, io.StringIO())

    data = json.loads((tmp_path / "grades" / "grades.json").read_text("utf-8"))
    earned = {one["name"]: one["earned"] for one in data["submissions"]}
    assert earned == {"ada": data["points"], "bob": data["points"], "mallory": 0}
