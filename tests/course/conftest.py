"""What the tests of the runner and of the site have in common."""

import functools
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from little_setup import Course, Done, copy_of, new_course, wheel
from playwright.sync_api import Browser, Error, sync_playwright

from course.lesson import needs
from course.setup.install import lock

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True, scope="session")
def _signals_mean_something() -> None:
    """Let signals reach what these tests start, also where this run itself ignores them.

    A shell ignores Ctrl-C in what runs in its background, nohup the end of the terminal, and
    programs inherit it.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


class Quiet(SimpleHTTPRequestHandler):
    """Serves files without a line for each."""

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the site, built once. `--strict` makes every warning an error."""
    # Named as on its host: 404.html, which may be shown at any address, asks for files from there.
    folder = tmp_path_factory.mktemp("site") / "beyond-rest"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    built = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
    )
    assert built.returncode == 0, built.stderr
    return folder


@pytest.fixture(scope="session")
def site(folder: Path) -> Iterator[str]:
    """The address of the built site, on loopback."""
    handler = functools.partial(Quiet, directory=str(folder.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/{folder.name}/"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The browser that this machine has, with a window's features but without a window."""
    found = needs.browser()
    if not found.where:
        pytest.skip(f"No browser was found here. {found.advice}")
    # Chromium's sandbox refuses to work for root, as which containers often run.
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(
                executable_path=needs.headless_shell() or found.where,
                args=["--no-sandbox"] if root else [],
                timeout=60_000,
            )
        except Error as error:
            said = error.message.splitlines()[0]
            pytest.skip(f"{found.where} does not start: {said} {found.advice}")
        yield browser
        browser.close()


@pytest.fixture
def course(tmp_path: Path) -> Course:
    """A course as it is after a clone."""
    return new_course(tmp_path)


@pytest.fixture(scope="session")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Course, Done]:
    """A course that was run once, and how that ended: one for all processes that run tests."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, kept = base / "first-run", base / "first-run.json"
    with lock(str(base / "first-run.lock")):
        if not kept.exists():
            folder.mkdir()
            course = new_course(folder)
            run = course.run("check", "1")
            # Once for all its copies, in which pip starts several times.
            compiling = [sys.executable, "-m", "compileall", "-q", course.packages / "pip"]
            subprocess.run(compiling, check=True)
            kept.write_text(json.dumps([run.status, run.stdout, run.stderr]), "utf-8")
    return Course(folder / "a course"), Done(*json.loads(kept.read_text("utf-8")))


@pytest.fixture
def set_up(tmp_path: Path, first_run: tuple[Course, Done]) -> Course:
    """A course that has been set up: a copy, which its test may break."""
    return copy_of(first_run[0], tmp_path)


@pytest.fixture(scope="session")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The variables with which pip uses a package index that has `tiny`, and has no uv."""
    folder = tmp_path_factory.mktemp("index")
    wheel(folder / "tiny", "tiny", "1.0", {"tiny/__init__.py": "VERSION = '1.0'\n"})
    handler = functools.partial(Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/"
        yield {"PIP_INDEX_URL": url, "PIP_NO_INDEX": "0", "PIP_FIND_LINKS": ""}
        server.shutdown()
