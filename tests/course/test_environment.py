"""Which variables pass: with all others set, no process has them, and nothing changes."""

import asyncio
import os
import re
import select
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from little_setup import BARE, Course, done

from course.grading import children, engine
from course.learner.site import Site
from course.lesson.lessons import ROOT
from course.measuring import runs
from course.setup import environment
from course.workbench.app import App

# What changes Python, pip, uv, or a library that the course or a learner uses; and any other name.
OTHERS = environment.names(
    """
    PYTHONASYNCIODEBUG PYTHONBREAKPOINT PYTHONCASEOK PYTHONCOERCECLOCALE PYTHONDEBUG PYTHONDEVMODE
    PYTHONDUMPREFS PYTHONDUMPREFSFILE PYTHONEXECUTABLE PYTHONFAULTHANDLER PYTHONHASHSEED PYTHONHOME
    PYTHONINSPECT PYTHONINTMAXSTRDIGITS PYTHONIOENCODING PYTHONLEGACYWINDOWSFSENCODING
    PYTHONLEGACYWINDOWSSTDIO PYTHONMALLOC PYTHONMALLOCSTATS PYTHONNODEBUGRANGES PYTHONOPTIMIZE
    PYTHONPATH PYTHONPLATLIBDIR PYTHONPROFILEIMPORTTIME PYTHONSAFEPATH
    PYTHONSTARTUP PYTHONTRACEMALLOC PYTHONUNBUFFERED PYTHONUSERBASE PYTHONUTF8 PYTHONVERBOSE
    PYTHONWARNDEFAULTENCODING PYTHONWARNINGS PYTHON_BASIC_REPL PYTHON_COLORS PYTHON_CPU_COUNT
    PYTHON_FROZEN_MODULES PYTHON_GIL PYTHON_HISTORY PYTHON_JIT PYTHON_PRESITE __PYVENV_LAUNCHER__

    PIP_TARGET PIP_USER PIP_PREFIX PIP_ROOT PIP_DRY_RUN PIP_QUIET PIP_REQUIRE_HASHES PIP_CONSTRAINT
    PIP_INDEX_URL PIP_CONFIG_FILE UV_DEFAULT_INDEX UV_SYSTEM_PYTHON UV_CACHE_DIR UV_PYTHON
    UV_OFFLINE UV_TARGET VIRTUAL_ENV CONDA_PREFIX
    HTTP_PROXY HTTPS_PROXY ALL_PROXY FTP_PROXY WS_PROXY WSS_PROXY http_proxy https_proxy all_proxy
    no_proxy socks_proxy SSL_CERT_FILE SSL_CERT_DIR SSLKEYLOGFILE REQUESTS_CA_BUNDLE CURL_CA_BUNDLE
    NETRC

    FLASK_APP FLASK_DEBUG FLASK_ENV FLASK_RUN_PORT FLASK_RUN_HOST FLASK_SKIP_DOTENV
    WERKZEUG_RUN_MAIN WERKZEUG_SERVER_FD WERKZEUG_DEBUG_PIN WEBSOCKETS_MAX_LOG_SIZE
    WEBSOCKETS_BACKOFF_INITIAL_DELAY GUNICORN_CMD_ARGS WEB_CONCURRENCY
    PYTEST_ADDOPTS PYTEST_PLUGINS PYTEST_THEME HYPOTHESIS_STORAGE_DIRECTORY COVERAGE_PROCESS_START
    PLAYWRIGHT_BROWSERS_PATH PLAYWRIGHT_NODEJS_PATH PWDEBUG DEBUG NODE_OPTIONS NODE_EXTRA_CA_CERTS
    MKDOCS_CONFIG WATCHFILES_FORCE_POLLING WATCHFILES_IGNORE_PERMISSION_DENIED
    LD_PRELOAD DYLD_INSERT_LIBRARIES GIT_DIR TZ COLUMNS NO_COLOR FORCE_COLOR CLICOLOR TERM CI
    DATABASE_URL REDIS_URL SECRET_KEY PORT AUTHOR anything
    """
)
# ... and whatever else this Python knows.
HELP = subprocess.run([sys.executable, "--help-env"], capture_output=True, text=True).stdout
OTHERS |= set(re.findall(r"\bPYTHON[A-Z_]+", HELP)) - environment.KEPT
# What each of these processes is given on purpose.
OURS = {
    "NO_PROXY": "*",
    "PYTHONUTF8": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUNBUFFERED": "1",
    "PYTHONIOENCODING": "utf-8",
    "TZ": "XXX-9",
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
}


class Seen(BaseException):
    """A process would have been started now."""


@pytest.fixture
def others(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set every variable that may not pass."""
    for name in OTHERS:
        monkeypatch.setenv(name, "poison")


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch, others: None) -> Callable[[Callable], dict[str, str]]:
    """Return the environment that a function gives to the process which it would start."""
    seen: list[dict[str, str]] = []

    def note(*_: object, env: dict[str, str] | None = None, **__: object) -> None:
        seen.append(dict(os.environ if env is None else env))
        raise Seen

    def run(start: Callable) -> dict[str, str]:
        with pytest.raises(Seen):
            start()
        return seen[0]

    monkeypatch.setattr(subprocess, "Popen", note)
    monkeypatch.setattr(asyncio, "create_subprocess_exec", note)
    return run


def assert_closed(variables: dict[str, str]) -> None:
    """Assert that a process has what its system needs and what it was given, and no more."""
    named = environment.SYSTEM | environment.KEPT | environment.OURS | OURS.keys()
    assert variables.keys() <= named | {children.ADDRESS}
    for name, value in OURS.items():
        assert variables.get(name, value) == value
    assert variables["NO_PROXY"] == "*"
    assert variables["PATH"] == os.environ["PATH"]


@pytest.mark.skipif(not children.can_fork(), reason="nothing is forked here")
def test_the_process_that_forks_learners_processes_is_closed(given):
    assert_closed(given(children.Template))


def test_a_process_of_a_learners_code_is_closed(given):
    assert_closed(given(children.Spares))


def test_a_grader_is_closed(given):
    assert_closed(given(lambda: engine._Worker(["01_rest"], "")))


def test_the_app_beside_the_workbench_is_closed(given):
    app = App(ROOT / "solutions" / "01_rest", lambda *_: None)

    assert_closed(given(lambda: asyncio.run(app.restart())))


def test_a_server_that_is_measured_is_closed(given, tmp_path):
    assert_closed(given(lambda: runs._one_run(tmp_path, runs.TRANSPORTS[0], runs.QUICK, seed=0)))


def test_the_server_of_the_site_is_closed(given):
    assert_closed(given(lambda: Site(ROOT)))


def test_a_learners_code_sees_none_of_the_others(others, tmp_path):
    probe = tmp_path / "probe.py"
    probe.write_text("import os\n\ndef variables():\n    return dict(os.environ)\n", "utf-8")
    child = children.start_fresh()
    try:
        variables = child.probe(probe, "variables")
    finally:
        child.kill()

    assert_closed({name: value for name, value in variables.items() if name != "LC_CTYPE"})


def test_pip_and_uv_are_given_what_reaches_the_index_and_no_more(others):
    given = environment.for_setup(PIP_INDEX_URL="https://a")

    assert given.keys() <= environment.SYSTEM | environment.NETWORK | {"PIP_INDEX_URL"}
    assert given["PIP_INDEX_URL"] == "https://a"
    assert given["HTTPS_PROXY"] == "poison"


def test_a_command_keeps_what_is_not_pythons_own(others):
    given = environment.for_command()

    kept = environment.SHOWN | environment.KEPT
    assert not {n for n in given if n.startswith("PYTHON") and "_" not in n} - kept
    assert {n for n in OTHERS if not n.startswith("PYTHON")} <= given.keys()
    assert given["PYTHONIOENCODING"] == "poison"


# A command starts its Python again without what has changed it


@pytest.fixture
def foreign(tmp_path: Path) -> str:
    """A folder with another project's package, in another version."""
    info = tmp_path / "foreign" / "tiny-9.dist-info"
    info.mkdir(parents=True)
    (info / "INSTALLER").write_text("pip", "utf-8")
    (tmp_path / "foreign" / "tiny.py").write_text("VERSION = '9'", "utf-8")
    return str(tmp_path / "foreign")


@pytest.mark.parametrize("inside", [False, True])
def test_packages_on_pythonpath_are_neither_counted_nor_imported(set_up, foreign, inside):
    run = set_up.run(python=set_up.python if inside else BARE, PYTHONPATH=foreign)

    assert (run.status, run.stderr) == (0, "")
    assert run.told["tiny"] == "1.0"
    assert "PYTHONPATH" not in run.told["variables"]


@pytest.mark.parametrize("inside", [False, True])
def test_a_command_runs_as_it_would_without_pythons_variables(set_up, foreign, inside):
    python = set_up.python if inside else BARE
    variables = {
        "PYTHONPATH": foreign,
        "PYTHONWARNINGS": "error",
        "PYTHONSAFEPATH": "1",
        "PYTHONOPTIMIZE": "2",
        "PYTHONHOME": sys.base_prefix,
        "PYTHONUSERBASE": foreign,
        "PYTHONINSPECT": "1",
        "PYTHONDEVMODE": "1",
        "PYTHONIOENCODING": "utf-8",
    }

    # With PYTHONSAFEPATH, Python itself finds no module in the current folder: a path works.
    run = done(set_up.start(python, "course", "check", "1", **variables))

    assert (run.status, run.stderr) == (0, "")
    assert run.told["arguments"] == ["check", "1"]
    assert (run.told["tiny"], run.told["debug"], run.told["warnings"]) == ("1.0", True, [])
    assert Path(run.told["prefix"]) == set_up.venv
    assert not variables.keys() - {"PYTHONIOENCODING"} & run.told["variables"].keys()


def test_a_set_up_takes_no_notice_of_pythons_variables(course: Course, foreign):
    run = course.run(PYTHONPATH=foreign, PYTHONWARNINGS="error", PYTHONHOME=sys.base_prefix)

    assert run.told["tiny"] == "1.0"
    assert run.stderr.splitlines()[-1].startswith("Set up in ")
    if course.told:
        assert not any(environment.changes_python(name) for name in course.told[0][1])


def test_variables_of_a_container_start_nothing_again():
    names = ["PYTHON_VERSION", "PYTHON_SHA256", "PYTHON_PIP_VERSION", "PYTHONUNBUFFERED", "PATH"]

    assert not any(map(environment.changes_python, names))


# The programs of a lesson talk to the server that they are given, whatever proxy there is


@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        ("02_polling/naive.py", ["http://{}", "lobby", "1"]),
        ("02_polling/client.py", ["http://{}", "lobby", "--interval", "1", "--for", "1"]),
        ("03_long_polling/client.py", ["http://{}", "lobby", "--for", "1"]),
        ("04_sse/client.py", ["http://{}", "lobby"]),
        ("05_wire/hello.py", ["ws://{}/"]),
        ("07_protocol/talk.py", ["ws://{}/board/lobby?author=ada"]),
        ("08_broadcast/storm.py", ["http://{}", "lobby", "1"]),
    ],
)
def test_a_program_of_a_lesson_uses_no_proxy_for_this_machine(program, arguments):
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_server(("127.0.0.1", 0)) as proxy,
    ):
        host, through = (f"127.0.0.1:{one.getsockname()[1]}" for one in (server, proxy))
        names = environment.names("HTTP_PROXY HTTPS_PROXY ALL_PROXY")
        names |= {name.lower() for name in names}
        here = {name: value for name, value in os.environ.items() if name.lower() != "no_proxy"}
        command = [sys.executable, str(ROOT / "solutions" / program)]
        process = subprocess.Popen(
            command + [argument.format(host) for argument in arguments],
            env=here | dict.fromkeys(names, f"http://{through}"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            ready, _, _ = select.select([server, proxy], [], [], 60)
        finally:
            process.kill()
            process.wait()

    assert ready == [server]
