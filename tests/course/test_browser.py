"""How a task with a browser is graded: its card, and what a page cannot do to the other tasks."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from course.lesson import needs
from course.lesson.lessons import ROOT

TESTS = """
from course.grading import expect, task


@task("talk", "The page talks")
def test_the_page_talks(stage):
    server = stage.serve()
    tab = stage.browser().open("ada", server.url)
    tab.wait_for("document.title === 'said'", "the title 'said'", "document.title", seconds=2)


@task("clean", "The browser is new")
def test_nothing_is_there(stage):
    tab = stage.browser().open("ada", stage.serve().url)
    expect(tab.run("localStorage.length") == 0, "nothing kept", tab.run("localStorage.length"))
    tab.run("() => { localStorage.kept = 1; }")


@task("clean")
def test_nothing_is_there_again(stage):
    test_nothing_is_there(stage)
"""
CLICK = """
from course.grading import task


@task("click", "The page can be clicked")
def test_the_page_can_be_clicked(stage):
    tab = stage.browser().open("ada", stage.serve().url)
    tab.wait_for("document.onclick !== null", "what is sent to come back", "0")
    tab.click("html")
"""
CLOCK = """
from course.grading import task


@task("time", "An hour passes")
def test_an_hour_passes(stage):
    browser = stage.browser()
    browser.control_time()
    tab = browser.open("ada", stage.serve().url)
    tab.wait_for("document.title === 'said'", "the title 'said'", "document.title")
    tab.pass_time(3600)
    tab.wait_for("document.title === 'late'", "the title 'late'", "document.title", seconds=2)


@task("element", "The page has an element")
def test_the_page_has_an_element(stage):
    tab = stage.browser().open("ada", stage.serve().url)
    tab.run("document.getElementById('nowhere').textContent")


@task("wait", "The page gets an element")
def test_the_page_gets_an_element(stage):
    tab = stage.browser().open("ada", stage.serve().url)
    tab.wait_for("document.getElementById('nowhere').hidden", "#nowhere to be hidden", "0")
"""
APP = """
from flask import Flask
from flask_sock import Sock

PAGE = '''<!doctype html><link rel="icon" href="data:,"><script type="module">
const socket = new WebSocket(`ws://${location.host}/echo`);
socket.onopen = () => { socket.send("hello"); console.log("sent"); };
socket.onmessage = ({ data }) => { LAST_LINE };
</script>'''


def create_app(config):
    app = Flask(__name__)
    sock = Sock(app)

    @app.get("/")
    def page():
        return PAGE

    @sock.route("/echo")
    def echo(ws):
        while True:
            ws.send(ws.receive())

    return app
"""

pytestmark = pytest.mark.skipif(not needs.browser().where, reason=needs.browser().advice)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A course with one small lesson, whose app has a page."""
    root = tmp_path / "a course"
    shutil.copytree(ROOT / "course", root / "course", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("tests", "lessons/01_tiny", "solutions/01_tiny", "docs/lessons"):
        (root / name).mkdir(parents=True)
    for name in ("pyproject.toml", "requirements.txt", "tests/conftest.py"):
        shutil.copy(ROOT / name, root / name)
    (root / "docs" / "lessons" / "01_tiny.md").write_text("# Tiny\n", "utf-8")
    (root / "tests" / "test_01_tiny.py").write_text(TESTS, "utf-8")
    (root / "solutions" / "01_tiny" / "app.py").write_text(APP, "utf-8")
    return root


def grade(tree: Path, line: str) -> dict[str, dict]:
    """Grade a page whose last line is this. Returns each task of the report, by its id."""
    app = APP.replace("LAST_LINE", line)
    (tree / "lessons" / "01_tiny" / "app.py").write_text(app, "utf-8")
    (tree / "reports").mkdir(exist_ok=True)
    command = [sys.executable, "-m", "course", "check", "1", "--json", "reports/r.json"]
    # An endless loop is waited for to the deadline, so a short one says the same sooner.
    env = os.environ | {"COURSE_PATIENCE": "0.4"}
    subprocess.run(command, cwd=tree, env=env, capture_output=True, check=False)
    report = json.loads((tree / "reports" / "r.json").read_text("utf-8"))
    return {task["id"]: task for task in report["lessons"][0]["tasks"]}


def test_a_right_page_passes_and_each_test_has_a_browser_with_nothing_in_it(tree):
    tasks = grade(tree, "document.title = 'said'")

    assert {name: task["status"] for name, task in tasks.items()} == {
        "talk": "passed",
        "clean": "passed",
    }
    assert not list(tree.rglob("*.png"))


def test_a_card_has_the_frames_the_console_and_a_screenshot_beside_the_report(tree):
    card = grade(tree, "nothing.here = data")["talk"]["message"]

    lines = card.splitlines()
    assert "ada → hello" in lines
    assert "ada ← hello" in lines
    assert "ada ← console: sent" in lines
    assert any(line.startswith("ada ← error in the page: nothing is not") for line in lines)
    picture = re.search(r"screenshot: (.*\.png)", card)[1]
    assert (tree / picture).read_bytes().startswith(b"\x89PNG")
    assert (tree / picture).parent == tree / "reports"


# The second begins its loop when it has been looked at.
@pytest.mark.parametrize(
    "line",
    [
        "while (true);",
        "Object.defineProperty(document, 'title', { get() {"
        " setTimeout(() => { while (true); }); return 'nothing'; } });",
    ],
)
def test_a_page_in_an_endless_loop_is_named_and_the_others_are_graded(tree, line):
    tasks = grade(tree, line)

    assert tasks["talk"]["status"] == "failed"
    assert "endless loop" in tasks["talk"]["message"]
    assert tasks["clean"]["status"] in ("passed", "failed")


def test_a_click_that_begins_an_endless_loop_is_named(tree):
    (tree / "tests" / "test_01_tiny.py").write_text(CLICK, "utf-8")

    card = grade(tree, "document.onclick = () => { while (true); }")["click"]["message"]

    assert "endless loop" in card


def test_a_test_can_let_an_hour_pass_in_the_page(tree):
    (tree / "tests" / "test_01_tiny.py").write_text(CLOCK, "utf-8")

    line = "document.title = 'said'; setTimeout(() => { document.title = 'late'; }, 3_600_000);"
    tasks = grade(tree, line)

    assert tasks["time"]["status"] == "passed"


def test_an_element_that_the_page_lacks_ends_in_a_card(tree):
    (tree / "tests" / "test_01_tiny.py").write_text(CLOCK, "utf-8")

    tasks = grade(tree, "0")

    for name in ("element", "wait"):
        assert tasks[name]["status"] == "failed"
        assert "Cannot read properties of null" in tasks[name]["message"]
