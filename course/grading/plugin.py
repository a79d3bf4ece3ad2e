"""The pytest plugin that grades: `pytest tests/test_01_rest.py` and the runner both use it."""

import random
import re
from pathlib import Path

import pytest

from course.grading import shape
from course.grading.children import Child, Nursery, Spares, Template, Trouble, can_fork
from course.grading.expect import Unmet
from course.grading.failure import card
from course.grading.stage import Stage
from course.grading.verdicts import Grading, add_notes, not_judged
from course.grading.waiting import LASTING
from course.lesson import machine
from course.lesson.lessons import ROOT, pictures
from course.report import Card

GRADINGS = pytest.StashKey[dict[str, Grading]]()
STARTER = pytest.StashKey[object]()
BLOCKED = pytest.StashKey[Card]()
STAGE = pytest.StashKey[Stage]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what to grade."""
    group = parser.getgroup("course")
    group.addoption(
        "--target", default="lessons", help="the folder that holds lesson folders: lessons"
    )
    group.addoption("--seed", type=int, default=None, help="the seed of the tests' random data")


def pytest_configure(config: pytest.Config) -> None:
    """Begin without knowing anything."""
    config.addinivalue_line("markers", "task(id, title, points, needs): a task of the lesson")
    config.addinivalue_line("markers", "busy: work as much as wait, so that one runs on each core")
    config.addinivalue_line("markers", "long: start before other tests, since it takes long")
    config.stash.setdefault(GRADINGS, {})


def pytest_report_header(config: pytest.Config) -> str:
    """Say what would repeat this run."""
    return f"grading {config.getoption('--target')}/ with --seed {seed_of(config)}"


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the processes that were kept ready, and what else lasted."""
    LASTING.close()
    starter = config.stash.get(STARTER, None)
    if starter:
        starter.close()


def seed_of(config: pytest.Config) -> int:
    """Return the seed that was asked for, or the one chosen for this run."""
    if config.option.seed is None:
        config.option.seed = random.randrange(10**6)
    return config.option.seed


def is_graded(item: pytest.Item) -> bool:
    """Whether the test belongs to a lesson's task."""
    return item.get_closest_marker("task") is not None


def slug_of(item: pytest.Item) -> str:
    """Return the lesson that a test file grades: tests/test_01_rest.py grades 01_rest."""
    return item.path.stem.removeprefix("test_")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Prepare the grading of each lesson that has tests in this run."""
    config = session.config
    by_slug: dict[str, list[pytest.Item]] = {}
    for item in session.items:
        if is_graded(item):
            by_slug.setdefault(slug_of(item), []).append(item)
    if not by_slug or config.option.collectonly or config.stash[GRADINGS]:
        return
    target = Path(config.getoption("--target"))
    target = target if target.is_absolute() else config.invocation_params.dir / target
    if not target.is_dir():
        target = ROOT / config.getoption("--target")
    for slug, items in by_slug.items():
        folder = target / slug
        grading = Grading(folder, seed_of(config), lambda: starter_of(config).start())
        grading.pictures = pictures(ROOT)
        grading.expect([item.get_closest_marker("task") for item in items])
        config.stash[GRADINGS][slug] = grading


def starter_of(config: pytest.Config) -> "Starter":
    """Return what starts children in this run, made when the first is needed."""
    if STARTER not in config.stash:
        config.stash[STARTER] = Starter()
    return config.stash[STARTER]


class Starter:
    """Starts children by the way that this system has."""

    def __init__(self, address: str = "") -> None:
        self._template = None
        if not can_fork():
            self._source = Spares()
        else:
            if not address:
                self._template = Template()
                address = self._template.address
            self._source = Nursery(address)

    def start(self) -> Child:
        """Return a fresh child."""
        return self._source.start()

    def close(self) -> None:
        """End what was kept ready."""
        self._source.close()
        if self._template:
            self._template.close()


def grading_of(item: pytest.Item) -> Grading:
    """Return the run that the test belongs to."""
    return item.config.stash[GRADINGS][slug_of(item)]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Do not run what could say nothing."""
    why = grading_of(item).blocked(task_of(item)) if is_graded(item) else None
    if why:
        item.stash[BLOCKED] = why
        pytest.skip(why.text())


@pytest.fixture
def stage(request: pytest.FixtureRequest) -> Stage:
    """What a test has at hand: the learner's app, people who use it, programs, functions."""
    grading = grading_of(request.node)
    made = Stage(grading.start, grading.folder, f"{grading.seed}:{request.node.name}")
    request.node.stash[STAGE] = made
    yield made
    made.close()
    add_notes(grading.notes, made.notes(task_of(request.node)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    """Turn what a test found into the card that a learner reads."""
    report = yield
    if not is_graded(item) or (call.when != "call" and report.passed):
        return report
    grading, task_id = grading_of(item), task_of(item)
    status, found = verdict_on(item, call, grading)
    if status in ("failed", "error"):
        report.outcome, report.longrepr = "failed", found.text()
    # If it is the end that fails, the call has reported already.
    grading.note(task_id, status, found, call.duration, again=call.when == "teardown")
    return report


def verdict_on(item: pytest.Item, call: pytest.CallInfo, grading: Grading) -> tuple[str, Card]:
    """Return the test's status and its card."""
    stage = item.stash.get(STAGE, None)
    error = call.excinfo.value if call.excinfo else stage and stage.own_doing()
    if error is None:
        return "passed", Card()
    if isinstance(error, pytest.skip.Exception):
        why = item.stash.get(BLOCKED, None)
        return ("blocked", why) if why else ("skipped", Card(error.msg))
    task_id = task_of(item)
    hint = f"python3 -m course hint {slug_of(item)[:2].lstrip('0')} {task_id}"
    if not isinstance(error, Unmet | Trouble) and stage:
        error = shape.unmet(error, stage.wire.lines(whole=True)) or error
    if isinstance(error, Unmet | Trouble):
        if wrong := machine.fault():
            return "error", not_judged(wrong)
        picture = grading.pictures and stage and _picture(stage, grading.pictures, item)
        return "failed", card(error, stage, hint, grading.verbose, picture or "")
    place = call.excinfo.traceback[-1]
    return "error", Card(
        f"The grader itself failed, so this says nothing of your code: "
        f"{type(error).__name__}: {error} ({Path(place.path).name}:{place.lineno + 1})."
    )


def _picture(stage: Stage, folder: Path, item: pytest.Item) -> str:
    """Save a screenshot if the test has a browser. Returns its path, or ""."""
    if not stage.pictures:
        return ""
    from course.grading.browser import save

    # A name of its own for each test, by its line: those of a task run side by side.
    which = f"{item.location[1] + 1}" + re.sub(r"[^\w]+", "-", item.name.partition("[")[2])
    path = folder / f"{slug_of(item)}-{task_of(item)}-{which}.png"
    if not save(stage.pictures, path):
        return ""
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else str(path)


def task_of(item: pytest.Item) -> str:
    """Return the id of the task that the test belongs to."""
    return item.get_closest_marker("task").args[0]


def run(items: list[pytest.Item], grading: Grading) -> None:
    """Run tests in this process, reporting to `grading`."""
    config = items[0].config
    config.stash[GRADINGS] = {slug_of(items[0]): grading}
    for item, following in zip(items, [*items[1:], None], strict=True):
        for left in (STAGE, BLOCKED):  # by the same test of an earlier job
            item.stash.setdefault(left, None)
            del item.stash[left]
        config.hook.pytest_runtest_protocol(item=item, nextitem=following)
