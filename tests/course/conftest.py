"""What the tests of the runner have in common."""

import signal

import pytest


@pytest.fixture(autouse=True, scope="session")
def _signals_mean_something() -> None:
    """Let signals reach what these tests start, also where this run itself ignores them.

    A shell ignores Ctrl-C in what runs in its background, nohup the end of the terminal, and
    programs inherit it.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
