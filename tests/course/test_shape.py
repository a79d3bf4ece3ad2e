"""Each lesson's tests get data without a field or with a wrong type: the result is a card."""

import shutil
from pathlib import Path

import pytest

from course.grading.engine import Engine, Job
from course.lesson import needs
from course.lesson.lessons import ROOT

# Changes what a learner's app writes as JSON, from the `after`th time on.
WRITES_JSON = """
import json as _json

_write, _count = _json.dumps, [0]

def _changed(value):
    if isinstance(value, (list, tuple)):
        return [_changed(item) for item in value]
    if not isinstance(value, dict):
        return value
    fields = {name: _changed(item) for name, item in value.items()}
    if NAME in fields:
        fields |= {"missing": {}, "text": {NAME: str(value[NAME])}, "null": {NAME: None},
                   "list": {NAME: [value[NAME]]}, "wrapped": {NAME: {"value": value[NAME]}}}[HOW]
        if HOW == "missing":
            del fields[NAME]
    return fields

def _dumps(value, *args, **options):
    _count[0] += 1
    return _write(_changed(value) if _count[0] > AFTER else value, *args, **options)

_json.dumps = _dumps
"""
# Changes what each function of a module returns.
RETURNS = """

def _wrapped(function):
    def changed(*args, **options):
        value = function(*args, **options)
        return {change}
    return changed

for _name in {names}:
    globals()[_name] = _wrapped(globals()[_name])
"""
SENDS = """{
  const write = JSON.stringify;
  JSON.stringify = ({ type, ...fields }) => write(CHANGED);
}
"""
NO_IDS = """new MutationObserver(() => {
  for (const row of document.querySelectorAll("[data-id]")) row.removeAttribute("data-id");
}).observe(document, { subtree: true, childList: true, attributes: true });
"""

WRITTEN = [  # lesson, how the field is changed, which field, after how many values
    ("01_rest", "missing", "id", 6),
    ("01_rest", "text", "id", 6),
    ("01_rest", "missing", "messages", 6),
    ("02_polling", "missing", "next", 0),
    ("02_polling", "text", "next", 1),
    ("02_polling", "null", "messages", 2),
    ("03_long_polling", "missing", "id", 2),
    ("03_long_polling", "wrapped", "next", 2),
    ("03_long_polling", "list", "messages", 3),
    ("04_sse", "missing", "id", 1),
    ("04_sse", "text", "id", 2),
    ("04_sse", "null", "text", 3),
    ("07_protocol", "missing", "id", 2),
    ("07_protocol", "text", "message", 2),
    ("07_protocol", "missing", "next", 0),
    ("08_broadcast", "missing", "message", 4),
    ("08_broadcast", "text", "members", 2),
    ("08_broadcast", "missing", "next", 0),
    ("09_browser", "missing", "id", 3),
    ("09_browser", "null", "messages", 0),
]
NAMES = ["accept_key", "check_request", "encode", "close_payload", "parse_close", "answer"]
RETURNED = [  # lesson, file, which functions, what they return
    ("05_wire", "wire.py", NAMES, "None"),
    ("05_wire", "wire.py", NAMES, "[value]"),
    ("05_wire", "wire.py", NAMES[3:], "str(value)"),
    ("06_echo", "replies.py", ["reply"], "value if isinstance(value, bytes) else value.encode()"),
    ("06_echo", "replies.py", ["reply"], "repr(value)"),
    ("06_echo", "replies.py", ["mean"], "''"),
]
SENT = [
    SENDS.replace("CHANGED", "{ type, fields }"),
    NO_IDS,
]


@pytest.fixture(scope="module")
def engine():
    """Graders for all these lessons."""
    with Engine(sorted({case[0] for case in WRITTEN + RETURNED})) as engine:
        yield engine


def copy(tmp_path: Path, slug: str) -> Path:
    """Return a copy of the lesson's solution."""
    ignored = shutil.ignore_patterns("__pycache__")
    return Path(shutil.copytree(ROOT / "solutions" / slug, tmp_path / slug, ignore=ignored))


def expect_cards(engine: Engine, folder: Path) -> None:
    """Grade the folder, and expect at least one failed task and no error."""
    tasks = engine.grade([Job(folder.name, folder)], seed=4)[0].tasks

    assert [task.message for task in tasks if task.status == "error"] == []
    assert [task.id for task in tasks if task.status == "failed"]


@pytest.mark.parametrize(("slug", "how", "name", "after"), WRITTEN)
def test_json_without_a_field_or_with_a_wrong_type_fails_with_a_card(
    engine, tmp_path, slug, how, name, after
):
    if slug == "09_browser" and not needs.browser().where:
        pytest.skip("No browser was found here.")
    folder = copy(tmp_path, slug)
    settings = f"HOW, NAME, AFTER = {how!r}, {name!r}, {after}\n"
    (folder / "changed_json.py").write_text(settings + WRITES_JSON, "utf-8")
    app = folder / "app.py"
    app.write_text(app.read_text("utf-8") + "\nimport changed_json\n", "utf-8")

    expect_cards(engine, folder)


@pytest.mark.parametrize(("slug", "name", "functions", "change"), RETURNED)
def test_a_function_that_returns_a_wrong_type_fails_with_a_card(
    engine, tmp_path, slug, name, functions, change
):
    folder = copy(tmp_path, slug)
    code = RETURNS.format(change=change, names=functions)
    (folder / name).write_text((folder / name).read_text("utf-8") + code, "utf-8")

    expect_cards(engine, folder)


@pytest.mark.skipif(not needs.browser().where, reason="No browser was found here.")
@pytest.mark.parametrize("code", SENT)
def test_a_page_that_sends_or_shows_other_fields_fails_with_a_card(engine, tmp_path, code):
    folder = copy(tmp_path, "09_browser")
    board = folder / "static" / "board.js"
    board.write_text(code + board.read_text("utf-8"), "utf-8")

    expect_cards(engine, folder)
