"""What the tests of the runner have in common."""

import signal

import pytest


@pytest.fixture(autouse=True, scope="session")
def _ctrl_c_means_something() -> None:
    """Let Ctrl-C reach what these tests start, also where the shell had it ignored.

    A shell does so for what runs in its background, and programs inherit it.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
