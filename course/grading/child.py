"""The process that a learner's code runs in.

It is started as a plain script and imports nothing of the course, so that a learner's own
`course.py` or `json.py` means here what it means to them. Two ways to start:

    child.py ADDRESS TOKEN    one child, which connects to the grader over loopback
    template.py FD FOLDER     a process that forks a child for each request, where there is fork

A child takes commands and answers them as lines of JSON on a socket of its own, apart from stdout,
so that a learner may print. The grader's side of this is children.py.
"""

import argparse  # noqa: F401 (for the learner: so that a fork has it ready)
import asyncio  # noqa: F401
import codecs
import contextlib
import email.parser  # noqa: F401
import faulthandler
import functools
import http.client  # noqa: F401
import importlib
import importlib.metadata
import importlib.util
import io
import itertools
import json
import linecache
import logging
import os
import queue
import random
import runpy
import secrets
import signal
import socket
import stat
import sys
import threading
import time
import tokenize
import traceback
from pathlib import Path
from time import sleep

PRELOADED = ("flask", "flask_sock", "simple_websocket", "requests", "werkzeug.serving", "redis")
MEMORY = 1536 * 2**20  # bytes of data; a child that asks for more gets a MemoryError
LARGEST_FILE = 2**30  # bytes; a full disk would be the machine's fault
PROBE = "probe "  # begins the name of a grader's module, which no learner's can have
LONGEST = 500  # characters of an error's own words that are worth showing

real_exit = os._exit
real_abort = os.abort


class Refused(Exception):
    """A command that could not be done, in words for the learner."""

    def __init__(self, sentence: str, where: list | None = None) -> None:
        super().__init__(sentence)
        self.where = where or []


class Channel:
    """Lines of JSON to and from the grader."""

    def __init__(self, sock: socket.socket) -> None:
        self._lock = threading.RLock()
        self._sock = sock
        self._lines = sock.makefile("r", encoding="utf-8", newline="\n")

    def send(self, **message: object) -> None:
        data = json.dumps(message).encode() + b"\n"
        with self._lock, contextlib.suppress(OSError):
            self._sock.sendall(data)

    def __iter__(self):
        for line in self._lines:
            yield json.loads(line)


def undecodable(data: bytes) -> str:
    """Return why Python can't decode a source file (PEP 263), or "" if it can."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "it is saved as UTF-16. Save it as UTF-8."
    if b"\0" in data:
        line = data[: data.index(b"\0")].count(b"\n") + 1
        return f"there is a NUL byte in line {line}. Was it saved as UTF-16? Save it as UTF-8."
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        data.decode(encoding)
    except SyntaxError as error:
        return f"{error.msg}. Save it as UTF-8."
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        return f"line {line} has a byte that isn't {encoding}. Save it as UTF-8."
    return ""


def in_syntax(error: SyntaxError, data: bytes) -> str:
    """Return a sentence or two on a source file that doesn't parse."""
    lines = data.split(b"\n")
    marks = (b"<<<<<<< ", b">>>>>>> ")
    if conflict := next((n for n, line in enumerate(lines, 1) if line.startswith(marks)), 0):
        return (
            f"line {conflict} is a mark of a merge conflict. "
            "Choose one of the two versions, and delete the lines that mark them."
        )
    said = f"{type(error).__name__}: {error.msg}."
    if isinstance(error, TabError):
        return f"{said} Indent with spaces alone, or with tabs alone."
    return said


class Child:
    """Runs what the grader asks for on the main thread, and says what becomes of it."""

    def __init__(self, sock: socket.socket) -> None:
        self.channel = Channel(sock)
        self.commands: queue.SimpleQueue = queue.SimpleQueue()
        self.folder = ""
        self.main_thread = threading.get_ident()

    def main(self) -> None:
        """Take commands until the grader goes. `run` ends as a program would, by itself."""
        self._report_what_ends_a_process()
        threading.Thread(target=self._listen, daemon=True).start()
        while True:
            command = self.commands.get()
            try:
                if command["do"] == "run":
                    self._source(command["program"])
                    self.channel.send(id=command["id"], value=None)
                    self.run(command["program"], command["args"])
                    return
                value = getattr(self, command["do"])(**command["args"])
                self.channel.send(id=command["id"], value=value)
            except Refused as refusal:
                error = {"sentence": str(refusal), "where": refusal.where}
                self.channel.send(id=command["id"], error=error)

    def _listen(self) -> None:
        """Pass commands on to the main thread; answer at once what it may be too busy for."""
        with contextlib.suppress(OSError, ValueError):
            for command in self.channel:
                if command["do"] == "where":
                    self.channel.send(id=command["id"], value=self.busy())
                elif command["do"] == "census":
                    self.channel.send(id=command["id"], value=census())
                elif command["do"] == "interrupt":
                    self.interrupt()
                else:
                    self.commands.put(command)
        real_exit(0)  # The grader has gone.

    def interrupt(self) -> None:
        """Send Ctrl-C's signal to the main thread, whose sleep no other thread's would end."""
        if hasattr(signal, "pthread_kill"):
            signal.pthread_kill(self.main_thread, signal.SIGINT)
            threading.Thread(target=self._wake, daemon=True).start()
        else:
            signal.raise_signal(signal.SIGINT)

    def _wake(self) -> None:
        """Have the main thread look at its signals for a second.

        Python looks between two steps. What comes right before a step that waits, such as `recv`,
        is seen when that has ended, and no code of a learner's can help it. The signal sent here
        does nothing, but has such a step look.
        """
        for _ in range(20):
            sleep(0.05)
            signal.pthread_kill(self.main_thread, signal.SIGURG)

    # Commands

    def load(self, folder: str, scratch: str) -> None:
        """Make `folder` the place that modules are imported from, and `scratch` the current one."""
        self.folder = os.path.realpath(folder)
        step_down(self.folder, scratch)
        os.chdir(scratch)
        # Bytecode of a file that was saved twice within a second may be that of the first.
        sys.pycache_prefix = scratch
        sys.path.insert(0, self.folder)
        # A learner's file may have the name of a library that was imported ahead: theirs counts,
        # as it does when they run their program by themselves.
        for name in {path.stem for path in Path(self.folder).glob("*.py")} | {
            path.parent.name for path in Path(self.folder).glob("*/__init__.py")
        }:
            for loaded in [m for m in sys.modules if m == name or m.startswith(name + ".")]:
                if loaded not in ("__main__", "sys", "builtins"):
                    del sys.modules[loaded]
        importlib.invalidate_caches()

    def serve(self, module: str, config: dict, port: int = 0) -> int:
        """Start the app that the module's `create_app(config)` returns; return its port."""
        import flask

        app = self.call(module, "create_app", [config], wire=False)
        if not isinstance(app, flask.Flask):
            kind = "nothing (None)" if app is None else f"a {type(app).__name__}"
            raise Refused(f"create_app() in {module}.py returned {kind}, not a Flask app.")
        flask.got_request_exception.connect(self._fault)
        self._report_what_is_logged()
        server = hosting().server(self._guarded(app), port)
        serve = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        serve.start()
        return server.server_port

    def call(self, module: str, function: str, args: list, wire: bool = True) -> object:
        """Call a function of the learner's; return what it returned, if JSON can hold it."""
        loaded = self._import(module)
        target = loaded
        for name in function.split("."):
            target = getattr(target, name, None)
        if not callable(target):
            raise Refused(f"{module}.py has no function {function}().")
        with self._in_words(f"{function}() in {module}.py"):
            value = target(*args)
        return self._jsonable(value, f"{function}() in {module}.py") if wire else value

    def run(self, program: str, args: list[str]) -> None:
        """Run a file as `python program args` would, to the end of this process."""
        path = os.path.join(self.folder, program)
        sys.argv = [path, *args]
        sys.stdout.reconfigure(line_buffering=False)  # as Python has it for a pipe
        threading.excepthook = self._thread_fault
        try:
            runpy.run_path(path, run_name="__main__")
        except SystemExit:
            raise
        except KeyboardInterrupt:
            self._say_fault(sys.exc_info()[1])
            raise
        except BaseException as error:
            self._say_fault(error)
            traceback.print_exc()
            sys.exit(1)

    def watch(self, events: list[str]) -> None:
        """Report these audit events (PEP 578) of the learner's code as they happen.

        And calls of `time.sleep`, if it is among them: an audit event only from Python 3.13 on.
        """

        def report(event: str, args: tuple) -> None:
            said = {"name": event, "args": repr(args)[:LONGEST], "at": time.time()}
            self.channel.send(event="audit", **said)

        def hook(event: str, args: tuple) -> None:
            if event in events and event != "time.sleep":
                report(event, args[1:])

        def reported_sleep(seconds: float) -> None:
            report("time.sleep", (seconds,))
            sleep(seconds)

        sys.addaudithook(hook)
        if "time.sleep" in events:
            time.sleep = reported_sleep

    def probe(self, file: str, function: str, args: list) -> object:
        """Call a function of a grader's file in here, where it can reach the learner's modules."""
        name = f"{PROBE}{file}"
        if name not in sys.modules:
            spec = importlib.util.spec_from_file_location(name, file)
            sys.modules[name] = importlib.util.module_from_spec(spec)
            with self._in_words("importing your code"):
                spec.loader.exec_module(sys.modules[name])
        with self._in_words("your code"):
            value = getattr(sys.modules[name], function)(*args)
        return self._jsonable(value, function)

    def mark(self) -> None:
        """Write a NUL on stderr, so that the grader knows when it has read all before it."""
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()
        os.write(2, b"\0")

    def ping(self) -> None:
        """Answer, so that the grader knows that it has read all that was said before."""

    # Importing

    def _text(self, name: str) -> bytes:
        """Return a source file's bytes. Refuses one that has no text."""
        path = Path(self.folder, name)
        if not path.is_file():
            raise Refused(f"{name} is not there. {self._reset()} brings it back.")
        data = path.read_bytes()
        if not data.strip():
            raise Refused(f"{name} is empty. {self._reset()} brings the starter back.")
        if why := undecodable(data):
            raise Refused(f"{name} can't be read: {why}")
        return data

    def _source(self, name: str) -> None:
        """Refuse a source file that Python can't read, with its line and the likely cause."""
        data, path = self._text(name), Path(self.folder, name)
        try:
            compile(data, str(path), "exec")
        except SyntaxError as error:
            place = {"file": name, "line": error.lineno or 0, "function": "", "source": ""}
            place["source"] = (error.text or "").strip()
            raise Refused(f"{name} can't be read: {in_syntax(error, data)}", [place]) from None
        except (ValueError, RecursionError, MemoryError) as error:
            raise Refused(f"{name} can't be read: {self._words(error)}.") from None

    def _reset(self) -> str:
        """Return the command that writes the starter again."""
        number = os.path.basename(self.folder)[:2].lstrip("0")
        lesson = number if number.isdecimal() else "LESSON"
        return f"`python3 -m course reset {lesson}`"

    def _import(self, module: str) -> object:
        if module not in sys.modules:
            self._text(module + ".py")
            try:
                with self._in_words(f"importing {module}.py"):
                    importlib.import_module(module)
            except Refused:
                self._source(module + ".py")  # If it is this file, there is more to say.
                raise
        return sys.modules[module]

    # What went wrong, and where

    @contextlib.contextmanager
    def _in_words(self, doing: str):
        try:
            yield
        except SystemExit as error:
            sentence = f"{doing} ended the program with sys.exit({error.code!r})."
            raise Refused(sentence, self._places(error)) from None
        except BaseException as error:
            sentence = f"{doing} raised {self._words(error)}."
            if line := self._line_of_probe(error):
                sentence = f"the test can't use what your code has here: {line} raised "
                sentence += f"{self._words(error)}."
            raise Refused(sentence, self._places(error)) from None

    def _line_of_probe(self, error: BaseException) -> str:
        """Return the probe's own line that raised an error over the learner's data, or ""."""
        kinds = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)
        line = ""
        for frame, number in traceback.walk_tb(error.__traceback__):
            name = frame.f_code.co_filename
            if frame.f_globals.get("__name__", "").startswith(PROBE):
                line = linecache.getline(name, number).strip()
            elif self._own_line(name, number, "", ""):
                line = ""
        return f"`{line}`" if line and isinstance(error, kinds) else ""

    def _words(self, error: BaseException) -> str:
        """Name an error by its type and its own words, which may themselves fail."""
        try:
            text = str(error)
        except BaseException:
            text = "(its own words cannot be shown)"
        if len(text) > LONGEST:
            text = text[:LONGEST] + " …"
        return f"{type(error).__name__}: {text}" if text else type(error).__name__

    def _places(self, error: BaseException) -> list[dict]:
        """Return the lines of the learner's own files that the error went through, innermost last.

        A SyntaxError in another module of theirs has a place of its own.
        """
        frames = [(f, line) for f, line in traceback.walk_tb(error.__traceback__)]
        places = self._own(frames)
        if isinstance(error, SyntaxError) and error.filename:
            places += self._own_line(error.filename, error.lineno or 0, "", error.text or "")
        return places

    def _own(self, frames: list) -> list[dict]:
        places = []
        for frame, line in frames:
            name = frame.f_code.co_filename
            places += self._own_line(name, line, frame.f_code.co_name, "")
        return places[-10:]

    def _own_line(self, path: str, line: int, function: str, source: str) -> list[dict]:
        path = os.path.realpath(path)
        if not path.startswith(self.folder + os.sep):
            return []
        source = source or linecache.getline(path, line)
        file = os.path.relpath(path, self.folder).replace(os.sep, "/")
        return [{"file": file, "line": line, "function": function, "source": source.strip()}]

    def busy(self) -> list[dict]:
        """Return where the learner's code is now, in whichever thread has work of theirs."""
        best: list[dict] = []
        for ident, frame in sys._current_frames().items():
            if ident != threading.get_ident():
                stack = list(traceback.walk_stack(frame))[::-1]
                own = self._own(stack)
                if own and (not best or ident == self.main_thread):
                    # If a library is running, this line called it and is waiting for it.
                    inner = os.path.realpath(stack[-1][0].f_code.co_filename)
                    own[-1]["waits"] = not inner.startswith(self.folder + os.sep)
                    best = own
        return best

    def _jsonable(self, value: object, what: str) -> object:
        # An object whose == or whose class lies must not reach the grader: only JSON's own types
        # go over the channel, and their exact types at that. A named tuple goes as what it holds.
        if type(value) is list or issubclass(type(value), tuple):
            items = value if type(value) is list else tuple.__iter__(value)
            return [self._jsonable(item, what) for item in items]
        if type(value) is dict:
            for key in value:
                if type(self._jsonable(key, what)) is list:  # It was a tuple.
                    raise Refused(f"{what} returned a dict with a key that JSON cannot have.")
            return {key: self._jsonable(item, what) for key, item in value.items()}
        if type(value) is float and (value != value or value in (float("inf"), -float("inf"))):
            raise Refused(f"{what} returned {value}, which is not a number that JSON has.")
        if type(value) not in (str, int, float, bool, type(None)):
            kind = type(value).__name__
            raise Refused(f"{what} returned a {kind}, which is none of JSON's types.")
        return value

    def _fault(self, sender: object, exception: BaseException) -> None:
        self._say_fault(exception)

    def _thread_fault(self, fault: threading.ExceptHookArgs) -> None:
        """Report what a thread of the learner's program did not catch, and print it as ever."""
        if fault.exc_value is not None:
            self._say_fault(fault.exc_value)
        threading.__excepthook__(fault)

    def _say_fault(self, error: BaseException) -> None:
        last = list(traceback.walk_tb(error.__traceback__))[-1:]
        if last and last[0][0].f_globals.get("__name__", "").startswith(PROBE):
            return  # It is the test that raised it, on purpose.
        self.channel.send(event="fault", sentence=self._words(error), where=self._places(error))

    def _report_what_is_logged(self) -> None:
        """Report the exceptions that the learner's code catches and logs, too."""
        real = logging.Logger.handle

        def handle(logger: logging.Logger, record: logging.LogRecord) -> None:
            if record.exc_info and record.exc_info[1]:
                self._say_fault(record.exc_info[1])
            real(logger, record)

        logging.Logger.handle = handle

    def _guarded(self, app):
        """Wrap a WSGI app so that what even Flask lets through is reported, and then raised."""

        def guarded(environ, start_response):
            try:
                return blocks(app(environ, start_response))
            except BaseException as error:
                self._say_fault(error)
                raise

        def blocks(body):
            try:
                for block in body:  # noqa: UP028 (`yield from` would close it once more)
                    yield block
            except Exception as error:
                self._say_fault(error)
                raise
            finally:
                if hasattr(body, "close"):
                    body.close()

        return guarded

    def _report_what_ends_a_process(self) -> None:
        """Name the place of a call that ends this process, or doubles it, before it does."""

        def reporting(name, real):
            def last_words(*args):
                here = traceback.walk_stack(sys._getframe(1))
                where = self._own(list(here)[::-1])
                shown = ", ".join(map(repr, args))
                self.channel.send(event="exit", sentence=f"{name}({shown})", where=where)
                return real(*args)

            return last_words

        os._exit = reporting("os._exit", real_exit)
        os.abort = reporting("os.abort", real_abort)
        if hasattr(os, "register_at_fork"):
            # A copy shares this process's sockets: it would answer the same requests once more.
            os.register_at_fork(before=self._forking, after_in_child=lambda: real_exit(70))

    def _forking(self) -> None:
        where = self._own(list(traceback.walk_stack(sys._getframe(1)))[::-1])
        self.channel.send(event="fork", sentence="os.fork()", where=where)


@functools.cache
def hosting():
    """Return the module hosting.py, which a learner's module of that name does not replace."""
    path = Path(__file__).resolve().parents[1] / "hosting.py"
    spec = importlib.util.spec_from_file_location("course's hosting", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def census() -> dict[str, int]:
    """Return how many threads this process has, and how many sockets (0 where nobody can say)."""
    sockets = 0
    with contextlib.suppress(OSError):
        for number in os.listdir("/dev/fd"):
            with contextlib.suppress(OSError):
                sockets += stat.S_ISSOCK(os.fstat(int(number)).st_mode)
    return {"threads": threading.active_count(), "sockets": sockets}


def warm_up() -> None:
    """Serve one request, so that what the libraries do only once is done before the first fork."""
    from flask import Flask, abort, request
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app = Flask("warm")

    @app.route("/<int:number>", methods=["POST"])
    def echo(number: int) -> dict:
        return request.get_json() if number else abort(400)

    for path in ("/1", "/0"):
        server = make_server("127.0.0.1", 0, app)
        with server, socket.create_connection(server.server_address) as client:
            head = f"POST {path} HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 2"
            client.sendall(f"{head}\r\n\r\n{{}}".encode())
            server.handle_request()
            client.recv(4096)
    # Each server asks for Werkzeug's version, and the answer is in a file.
    importlib.metadata.version = functools.cache(importlib.metadata.version)
    importlib.metadata.version("werkzeug")
    import sqlite3

    with sqlite3.connect(":memory:") as database:
        database.execute("SELECT 1")
    database.close()


def step_down(folder: str, scratch: str) -> None:
    """Go on as the user `nobody`, if this is root's process and that user can do what it has to.

    Root could open the grader's pipes and write verdicts there; `nobody` can't. It has to read the
    learner's folder, this Python, its packages and the probes, and to write to `scratch`.
    """
    if not hasattr(os, "setresuid") or os.getuid() != 0:
        return
    import pwd

    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        return
    uid, gid, groups = nobody.pw_uid, nobody.pw_gid, os.getgroups()
    course = Path(__file__).resolve().parents[2]
    try:
        os.setgroups([])
        os.setresgid(gid, gid, 0)
        os.setresuid(0, uid, 0)
        fits = can_use([folder, *sys.path, str(course / "tests" / "probes")], scratch)
        os.setresuid(0, 0, 0)
        if fits:
            give_away(scratch, uid, gid)
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
            see_oneself()
            return
    except OSError:
        if os.getuid() != 0:
            raise
    os.setresuid(0, 0, 0)
    os.setresgid(0, 0, 0)
    with contextlib.suppress(OSError):
        os.setgroups(groups)


def can_use(folders: list[str], scratch: str) -> bool:
    """Return whether this user can read all of the first folder, and list the others.

    And reach `scratch`.
    """
    try:
        os.stat(scratch)
        for place in filter(os.path.isdir, folders[1:]):
            os.listdir(place)
        if not os.access(sys.executable, os.X_OK, effective_ids=True):
            return False
        walk = os.walk(folders[0], onerror=fail)
        paths = (os.path.join(parent, name) for parent, _, files in walk for name in files)
        for path in itertools.islice(paths, 200):
            with open(path, "rb"):
                pass
    except OSError:
        return False
    # What can't even be looked at is no folder to os.path.isdir.
    return all(map(os.path.isdir, [os.path.dirname(os.__file__), folders[0]]))


def fail(error: OSError) -> None:
    """Raise what os.walk() would pass over."""
    raise error


def give_away(scratch: str, uid: int, gid: int) -> None:
    """Make a user the owner of the scratch folder, and of all in it."""
    os.chown(scratch, uid, gid)
    for parent, folders, files in os.walk(scratch):
        for name in (*folders, *files):
            os.chown(os.path.join(parent, name), uid, gid, follow_symlinks=False)


def see_oneself() -> None:
    """On Linux, let this process read what /proc says of it, as before its user changed."""
    with contextlib.suppress(Exception):
        import ctypes

        ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE


def restrain() -> None:
    """Begin a child: fresh randomness, the default signals, a bound on its memory."""
    random.seed(secrets.token_bytes(16))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGURG"):
        signal.signal(signal.SIGURG, lambda *_: None)  # One without a handler would wake nobody.
    if hasattr(faulthandler, "register"):
        # It needs no Python to run, so that it answers also while C code keeps all else waiting.
        faulthandler.register(signal.SIGUSR2, file=2)
    sys.dont_write_bytecode = True
    sys.stdout.reconfigure(line_buffering=True)  # What is printed is there when a test has failed.
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, LARGEST_FILE))


def spare(address: str, token: str) -> socket.socket:
    """Connect to the grader, which knows this child by its token."""
    host, port = address.rsplit(":", 1)
    sock = socket.create_connection((host, int(port)))
    sock.sendall(token.encode() + b"\n")
    return sock


def prepare() -> None:
    """Import what learners import, before a learner's folder is where modules come from."""
    for name in PRELOADED:
        # A package that is missing is the learner's import error later, with its own sentence.
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    with contextlib.suppress(ImportError, OSError):
        warm_up()
    hosting()


def begin(channel: socket.socket) -> None:
    """Be a child, to the end of this process."""
    restrain()
    sys.argv[:] = [""]
    Child(channel).main()


if __name__ == "__main__":
    prepare()
    begin(spare(*sys.argv[1:]))
