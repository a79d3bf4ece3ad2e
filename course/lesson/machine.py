"""Check what every grader needs of this machine, so that a learner isn't blamed for its faults."""

import importlib.util
import shutil
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

MODULES = {"_sqlite3": "sqlite3", "_ssl": "ssl"}
FREE = 16 * 2**20  # bytes that the tests of a lesson may need


@dataclass(frozen=True)
class Fault:
    """What is wrong with this machine, and what to do about it."""

    what: str
    advice: str

    def __str__(self) -> str:
        return f"{self.what} {self.advice}"


def fault() -> Fault | None:
    """Return the first fault, or None."""
    return next((found for look in (modules, scratch, loopback) for found in look()), None)


def modules() -> Iterator[Fault]:
    """Check that Python has the modules of the standard library that some builds lack."""
    for built, name in MODULES.items():
        try:
            found = importlib.util.find_spec(built)
        except ValueError:  # An earlier import failed.
            found = None
        if not found:
            yield Fault(
                f"This Python has no module {name}.",
                "Install one that was built with it, delete the folder .venv, and start again.",
            )


def scratch() -> Iterator[Fault]:
    """Check that the temporary folder is writable and has space."""
    try:
        folder = tempfile.gettempdir()
        free = shutil.disk_usage(folder).free
        with tempfile.TemporaryFile() as file:
            file.write(b"\0" * 65536)
    except OSError as error:
        what = f"No temporary file can be written: {error.strerror or error}."
        yield Fault(what, "Set TMPDIR to a writable folder with space.")
        return
    if free < FREE:
        what = f"The temporary folder {folder} is full: {free / 2**20:.0f} MiB are free."
        yield Fault(what, "Make space there, or set TMPDIR to another folder.")


def loopback() -> Iterator[Fault]:
    """Check that programs can connect to each other over 127.0.0.1, as every test does."""
    try:
        arrived = _talks_to_itself()
        problem = "the bytes sent didn't arrive"
    except OSError as error:
        arrived, problem = False, str(error)
    if not arrived:
        advice = "A firewall or a container without a network may block it."
        yield Fault(f"127.0.0.1 can't be used: {problem}.", advice)


def _talks_to_itself() -> bool:
    seconds = 2.0
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname(), seconds) as client,
    ):
        server.settimeout(seconds)
        connection, _ = server.accept()
        with connection:
            connection.sendall(b"hi")
        return client.recv(2) == b"hi"
