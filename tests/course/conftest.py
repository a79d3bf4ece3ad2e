"""Fixtures for the tests of the runner and the site."""

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
def _default_signals() -> None:
    """Restore the default handling of signals, even if this run ignores them.

    A shell ignores SIGINT in background jobs, nohup ignores SIGHUP, and child processes inherit
    both.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


class Quiet(SimpleHTTPRequestHandler):
    """Serves files without logging requests."""

    def log_message(self, *args: object) -> None:
        """Log nothing."""


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the site, built once. `--strict` makes every warning an error."""
    # The folder has the site's path on its host, which 404.html uses for its files.
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
    """This machine's browser, headless."""
    found = needs.browser()
    if not found.where:
        pytest.skip(f"No browser was found here. {found.advice}")
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(
                **needs.launch_options(needs.headless_shell() or found.where), timeout=60_000
            )
        except Error as error:
            said = error.message.splitlines()[0]
            pytest.skip(f"{found.where} doesn't start: {said} {found.advice}")
        yield browser
        browser.close()


@pytest.fixture
def course(tmp_path: Path) -> Course:
    """A course as it is right after `git clone`."""
    return new_course(tmp_path)


@pytest.fixture(scope="session")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Course, Done]:
    """A course that has run once, and the result. All test processes share it."""
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
    """A copy of a course that is set up, which the test may change."""
    return copy_of(first_run[0], tmp_path)


@pytest.fixture(scope="session")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The variables that make pip use a package index with `tiny` and without uv."""
    folder = tmp_path_factory.mktemp("index")
    wheel(folder / "tiny", "tiny", "1.0", {"tiny/__init__.py": "VERSION = '1.0'\n"})
    handler = functools.partial(Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/"
        yield {"PIP_INDEX_URL": url, "PIP_NO_INDEX": "0", "PIP_FIND_LINKS": ""}
        server.shutdown()
