"""The grader's side of the processes that learners' code runs in: start, ask, listen, end.

Each test has fresh ones. Where there is fork, a template process forks them within milliseconds;
where there is not, a few are started ahead and wait. child.py
and template.py are the other side.
"""

import contextlib
import faulthandler
import json
import linecache
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

from course.grading.bounds import LARGEST
from course.grading.waiting import PATIENCE, SECONDS
from course.setup import environment

GARBLED = (
    "Your code's process sent the grader what isn't an answer, or more than 16 MiB. "
    "Does your code write to a socket that it did not open, or return too much?"
)
HELD = "C code that your code called, such as a regular expression, has not returned."
MUTE = "Its process does not answer: C code may keep it busy, or a signal has stopped it."
CHILD = Path(__file__).with_name("child.py")
TEMPLATE = Path(__file__).with_name("template.py")
ADDRESS = "COURSE_TEMPLATE"  # the environment variable with the address of a running template
# An interrupted import must not hold a grader up for long; a slow machine raises the patience.
LONG = 8 * PATIENCE  # seconds for an answer from a child that has nothing else to do
BULK = 30 * PATIENCE  # seconds for a probe, which may fill a store with hundreds of messages
KEPT = 2**20  # bytes of a stream that are kept; the rest is read and thrown away
LONGEST_FOLDER = 100  # bytes of the path of a folder for a Unix socket
MARK = b"\0"  # what a child writes on its stderr when it is asked to


class Trouble(Exception):
    """The learner's code did not do what it was asked for. `where` are lines of theirs."""

    def __init__(self, sentence: str, where: list[dict] | None = None) -> None:
        super().__init__(sentence)
        self.where = where or []


class Stream:
    """What a process printed, read as it comes so that it never blocks."""

    def __init__(self, file) -> None:
        self._file = file
        self._data = bytearray()
        self._news = threading.Condition()
        self.size = 0
        self.ended = False
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while chunk := os.read(self._file.fileno(), 65536):
                with self._news:
                    self.size += len(chunk)
                    self._data += chunk[: max(0, KEPT - len(self._data))]
                    self._news.notify_all()
        with self._news:
            self.ended = True
            self._news.notify_all()
        self._file.close()

    @property
    def text(self) -> str:
        with self._news:
            return self._text()

    def _text(self) -> str:
        return self._data.replace(MARK, b"").decode("utf-8", "replace")

    def marked(self, write_mark: Callable[[], object], seconds: float) -> str:
        """Return all that was printed before the mark that `write_mark` has the process write."""
        with self._news:
            count = self._data.count(MARK)
        write_mark()
        with self._news:
            self._news.wait_for(
                lambda: self.ended or self._data.count(MARK) > count or self.size > KEPT, seconds
            )
        return self.text

    def waited_for(self, met: Callable[[str], bool], seconds: float) -> str:
        """Wait until what was printed is as it should be, or the stream ends; return all."""
        with self._news:
            self._news.wait_for(lambda: self.ended or met(self._text()), seconds)
        return self.text

    def lines(self, count: int, seconds: float) -> list[str]:
        """Wait until there are `count` whole lines, or the stream ends; return all there are."""

        def enough() -> bool:
            return self.ended or self._data.count(b"\n") >= count

        with self._news:
            self._news.wait_for(enough, seconds)
        return self.text.split("\n")[:-1] if "\n" in self.text else []

    def wait_for_end(self, seconds: float) -> bool:
        with self._news:
            return self._news.wait_for(lambda: self.ended, seconds)


class Child:
    """One process of the learner's code, and a private channel to it."""

    def __init__(self, sock: socket.socket, out, err, handle) -> None:
        self._sock = sock
        self._handle = handle  # has kill(), and wait(seconds) -> exit status or None
        self._news = threading.Condition()
        self._answers: dict[int, dict] = {}
        self._next_id = 0
        self.events: list[dict] = []
        self.gone = False
        self._garbled = False  # It has sent a line that child.py never sends.
        self._said = 0  # bytes of its events
        self._folder = ""  # the learner's, once it is loaded
        self.out, self.err = Stream(out), Stream(err)
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            lines = self._sock.makefile("rb")
            while line := lines.readline(LARGEST):
                message = _message(line)
                if not message:
                    self._garbled = True
                    break
                with self._news:
                    if "id" in message:
                        self._answers[message["id"]] = message
                    elif self._said < LARGEST:
                        self._said += len(line)
                        self.events.append(message)
                    self._news.notify_all()
        with self._news:
            self.gone = True
            self._news.notify_all()

    def begin(self, do: str, **command: object) -> int:
        """Send a command without waiting for its answer. Returns the number to ask for it with."""
        self._next_id += 1
        if do == "load":
            self._folder = os.path.realpath(command["args"]["folder"])
        line = json.dumps({"id": self._next_id, "do": do, **command}) + "\n"
        with contextlib.suppress(OSError):
            self._sock.sendall(line.encode())
        return self._next_id

    def answer(self, number: int, doing: str, seconds: float = LONG) -> object:
        """Wait for a command's answer.

        Raises Trouble when the learner's code refused, ended its process, or took too long.
        """
        with self._news:
            self._news.wait_for(lambda: number in self._answers or self.gone, seconds)
            message = self._answers.pop(number, None)
        if message is None:
            raise self.trouble(f"{doing} did not end within {seconds:g} s")
        if "error" in message:
            raise Trouble(message["error"]["sentence"], message["error"]["where"])
        return message["value"]

    def ask(self, do: str, doing: str = "", seconds: float = LONG, **args: object) -> object:
        """Send a command and wait for its answer. Raises Trouble as `answer` does."""
        return self.answer(self.begin(do, args=args), doing or do, seconds)

    def log(self) -> str:
        """Return what the process has written on stderr by now."""
        return self.err.marked(lambda: self.ask("mark", "reading your log"), LONG)

    def probe(self, file: Path, function: str, *args: object) -> object:
        """Call a function of a file of ours in there. Raises Trouble as `answer` does."""
        return self.ask("probe", function, BULK, file=str(file), function=function, args=list(args))

    def trouble(self, late: str) -> Trouble:
        """Say why nothing came: the process doubled, ended, or is busy, and where."""
        where = self._busy_at()  # By its answer, all that the child had said has been read.
        if own := self.own_doing():
            return own
        if self._garbled:
            return Trouble(GARBLED)
        if where is None and not self.gone:
            where = self._held_at()
            return Trouble(f"{late}. {HELD if where else MUTE}", where)
        if self.gone:
            status = self._handle.wait(LONG)
            return Trouble(f"Your code's process ended {_status_in_words(status)}.")
        known = where or any(event["event"] == "fault" for event in self.events)
        return Trouble(f"{late}." if known else f"{late}, and no line of yours was running.", where)

    def own_doing(self) -> Trouble | None:
        """Return how the code ended its process, or made a copy of it, if it did either."""
        verbs = {"exit": "ended its process with", "fork": "made a copy of its process with"}
        for event in self.events:
            if event["event"] in verbs:
                sentence = f"Your code {verbs[event['event']]} {event['sentence']}."
                return Trouble(sentence, event["where"])
        return None

    def _busy_at(self) -> list[dict] | None:
        """Return where the learner's code is; None if its process doesn't answer."""
        number = self.begin("where", args={})
        with self._news:
            self._news.wait_for(lambda: number in self._answers or self.gone, 2 * PATIENCE)
            answer = self._answers.pop(number, None)
        where = answer.get("value") if answer else None
        return where if where is None or _are_places(where) else []

    def _held_at(self) -> list[dict]:
        """Return where the code called C code that keeps all else in its process waiting."""
        if not (self._folder and hasattr(faulthandler, "register") and self._handle.pid):
            return []
        begin = len(self.err.text)
        with contextlib.suppress(OSError):
            os.kill(self._handle.pid, signal.SIGUSR2)
        # The threads' stacks are written piece by piece, one thread after another, and have no
        # end mark: all of the learner's lines are there once a line of another file follows.
        own = re.escape(self._folder + os.sep)
        whole = re.compile(rf'File "{own}.*\n *File "(?!{own})')
        dump = self.err.waited_for(lambda text: whole.search(text, begin), LONG)[begin:]
        found = re.findall(rf'File "({own}.+)", line (\d+) in (.+)', dump)[:10]
        return [self._place(path, int(line), function) for path, line, function in reversed(found)]

    def _place(self, path: str, line: int, function: str) -> dict:
        file = os.path.relpath(path, self._folder).replace(os.sep, "/")
        source = linecache.getline(path, line).strip()
        return {"file": file, "line": line, "function": function, "source": source}

    def settle(self) -> None:
        """Return once everything that the child had said by now has been read."""
        self._busy_at()

    def wait_for_event(self, name: str, count: int, seconds: float) -> bool:
        """Wait until that many audit events of this name have been reported."""

        def seen() -> bool:
            return self.gone or sum(e.get("name") == name for e in self.events) >= count

        with self._news:
            return self._news.wait_for(seen, seconds) and not self.gone

    def interrupt(self) -> None:
        """Do to the process what Ctrl-C in its terminal would."""
        self.begin("interrupt", args={})

    def wait(self, seconds: float) -> int | None:
        """Wait for the process to end by itself. Returns its exit status, or None if it did not."""
        return self._handle.wait(seconds)

    def kill(self) -> None:
        """End the process as a power cut would, and wait until it has gone."""
        self._handle.kill()
        self._handle.wait(LONG)
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()


def _message(line: bytes) -> dict | None:
    """Return what a child says in a line; None if no child says it so."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return None
    match message:
        case {"id": int(), "value": _}:
            return message
        case {"id": int(), "error": {"sentence": str(), "where": where}} if _are_places(where):
            return message
        case {"event": "audit", "name": str(), "args": str(), "at": float() | int()}:
            return message
        case {"event": "fault" | "exit" | "fork", "sentence": str(), "where": where} if _are_places(
            where
        ):
            return message
    return None


def _are_places(where: object) -> bool:
    """Return whether these are lines of a learner's code, as child.py reports them."""
    kinds = {"file": str, "line": int, "function": str, "source": str}
    return isinstance(where, list) and all(
        isinstance(place, dict)
        and all(isinstance(place.get(name), kind) for name, kind in kinds.items())
        for place in where
    )


def _status_in_words(status: int | None) -> str:
    if status is not None and status < 0:
        with contextlib.suppress(ValueError):
            return f"by the signal {signal.Signals(-status).name}"
    return "and nobody knows how" if status is None else f"with exit status {status}"


def _environment() -> dict[str, str]:
    """Return the environment of a child.

    Local time is nine hours ahead there, so that code that takes it for UTC fails on any machine.
    """
    ours = {"PYTHONUTF8": "1", "PYTHONDONTWRITEBYTECODE": "1", "TZ": "XXX-9"}
    return environment.for_program(**ours)


def _python(script: Path, *args: str) -> list[str]:
    return [sys.executable, "-P", str(script), *args]


def _descendants(pid: int) -> list:
    """Return the processes that a process has started, and those that these have."""
    import psutil  # Here, since it is seldom needed.

    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).children(recursive=True)
    return []


def _end(processes: list) -> None:
    """End processes, which may have ended."""
    for process in processes:
        with contextlib.suppress(Exception):
            process.kill()


class _Forked:
    """A child that the template forked. The template reports its end, and ends its own children."""

    def __init__(self, pid: int, nursery: "Nursery") -> None:
        self.pid, self._nursery = pid, nursery
        self.status: int | None = None  # as the template reports it, once it has ended

    def kill(self) -> None:
        # Not after its end is known: the number may be another process by then.
        if self.status is None:
            left = [] if sys.platform == "linux" else _descendants(self.pid)
            with contextlib.suppress(OSError):
                os.killpg(self.pid, signal.SIGKILL)
            with contextlib.suppress(OSError):
                os.kill(self.pid, signal.SIGKILL)
            _end(left)

    def wait(self, seconds: float) -> int | None:
        self._nursery.wait_for(lambda: self.status is not None, seconds)
        return self.status


def _short_folder() -> str:
    """Return a new folder that only its owner may enter, for the address of a Unix socket.

    Such an address has at most 103 bytes, more than which TMPDIR alone may have.
    """
    for base in (None, "/tmp", "/var/tmp"):
        with contextlib.suppress(OSError):
            folder = tempfile.mkdtemp(prefix="course-", dir=base)
            if len(os.fsencode(folder)) < LONGEST_FOLDER:
                if os.geteuid() == 0:
                    os.chmod(folder, 0o711)  # A learner's process may be another user's.
                return folder
            os.rmdir(folder)
    raise OSError(f"The path of the temporary folder {tempfile.gettempdir()} is too long")


class Template:
    """The process that forks children, kept for as long as its owner lives."""

    def __init__(self) -> None:
        self.folder = _short_folder()  # also of what tests write, so that all of it is removed
        path = os.path.join(self.folder, "s")
        with socket.socket(socket.AF_UNIX) as listener:
            # Bound here, so that a grader may connect while the template is still importing.
            listener.bind(path)
            listener.listen(16)
            number = listener.fileno()
            self._process = subprocess.Popen(
                _python(TEMPLATE, str(number), self.folder),
                stdin=subprocess.PIPE,
                pass_fds=[number],
                env=_environment(),
                start_new_session=True,  # Ctrl-C in the terminal is for the runner alone.
            )

        self.address = f"{self._process.pid}:{path}"

    def wake(self) -> None:
        """Let it go on, if a learner's code has stopped it."""
        with contextlib.suppress(OSError):
            self._process.send_signal(signal.SIGCONT)

    @property
    def lives(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def close(self) -> None:
        """End the process, and its children with it."""
        self._process.stdin.close()
        self.wake()
        try:
            self._process.wait(SECONDS * PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class Nursery:
    """Starts children by asking a template for them, always one ahead."""

    def __init__(self, address: str) -> None:
        pid, _, path = address.partition(":")
        self._template = int(pid)
        self._sock = socket.socket(socket.AF_UNIX)
        self._sock.connect(path)
        self._news = threading.Condition()
        self._starting = threading.Lock()
        self._asked: deque[tuple] = deque()  # the channel and streams of children to come
        self._started: deque[_Forked] = deque()  # in the same order
        # By process id, which the system gives to another child once this one has ended.
        self._living: dict[int, _Forked] = {}
        self._gone = False  # the template, with all its children
        threading.Thread(target=self._listen, daemon=True).start()
        self._ask()

    def _listen(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            for line in self._sock.makefile("r"):
                message = json.loads(line)
                pid = message["pid"]
                with self._news:
                    if "status" in message:
                        self._living.pop(pid).status = message["status"]
                    else:
                        self._living[pid] = _Forked(pid, self)
                        self._started.append(self._living[pid])
                    self._news.notify_all()
        with self._news:
            self._gone = True
            self._news.notify_all()

    def wait_for(self, met: Callable[[], bool], seconds: float) -> None:
        """Wait for what the template does; let it go on, if a learner's code has stopped it."""
        with self._news:
            if self._news.wait_for(lambda: met() or self._gone, min(seconds, PATIENCE)):
                return
            with contextlib.suppress(OSError):
                os.kill(self._template, signal.SIGCONT)
            self._news.wait_for(lambda: met() or self._gone, max(0.0, seconds - PATIENCE))

    def _ask(self) -> None:
        ours, theirs = socket.socketpair()
        out_read, out_write = os.pipe()
        err_read, err_write = os.pipe()
        socket.send_fds(self._sock, [b"+"], [theirs.fileno(), out_write, err_write])
        theirs.close()
        os.close(out_write)
        os.close(err_write)
        self._asked.append((ours, os.fdopen(out_read, "rb"), os.fdopen(err_read, "rb")))

    def start(self) -> Child:
        """Return a new child."""
        with self._starting:
            self.wait_for(lambda: bool(self._started), 30 * PATIENCE)
            with self._news:
                if not self._started:
                    raise Trouble("What starts your code has ended. Did your code kill its parent?")
                forked = self._started.popleft()
            channel = self._asked.popleft()
            with contextlib.suppress(OSError):  # `start()` reports it when that child is needed.
                self._ask()
        return Child(*channel, forked)

    def close(self) -> None:
        """Let the template end all of its children."""
        self._sock.close()
        for channel in self._asked:
            for end in channel:
                end.close()


class _Spawned:
    """A child that was started as a process of its own."""

    def __init__(self, process: subprocess.Popen) -> None:
        self._process = process

    def kill(self) -> None:
        # With all that it started: a group on POSIX, a tree of processes on Windows.
        if os.name == "nt":
            command = ["taskkill", "/F", "/T", "/PID", str(self._process.pid)]
            subprocess.run(command, capture_output=True, check=False)
        else:
            left = _descendants(self._process.pid)  # some perhaps in a session of their own
            with contextlib.suppress(OSError):
                os.killpg(self._process.pid, signal.SIGKILL)
            _end(left)

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    def wait(self, seconds: float) -> int | None:
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None


class Spares:
    """Starts children ahead, where there is no fork: two wait while one is used."""

    def __init__(self, ahead: int = 2) -> None:
        self._ahead = ahead
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._waiting: deque[tuple[str, subprocess.Popen]] = deque()
        self._connected: dict[str, socket.socket] = {}
        self._fill(ahead)

    def _fill(self, count: int) -> None:
        port = self._listener.getsockname()[1]
        while len(self._waiting) < count:
            token = secrets.token_hex(16)
            process = subprocess.Popen(
                _python(CHILD, f"127.0.0.1:{port}", token),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=_environment(),
                start_new_session=True,  # A group of its own, on POSIX, to be ended as one.
            )
            self._waiting.append((token, process))

    def start(self) -> Child:
        """Return a child that is ready, and start the next."""
        self._fill(1)
        token, process = self._waiting.popleft()
        self._fill(self._ahead)
        self._listener.settimeout(30 * PATIENCE)
        while token not in self._connected:
            sock, _ = self._listener.accept()
            # Another program on this machine may connect too: without the token it is refused.
            sock.settimeout(5 * PATIENCE)
            with contextlib.suppress(OSError):
                self._connected[sock.recv(33).decode("ascii", "replace").strip()] = sock
            sock.settimeout(None)
        sock = self._connected.pop(token)
        return Child(sock, process.stdout, process.stderr, _Spawned(process))

    def close(self) -> None:
        """End the children that nobody used."""
        for _, process in self._waiting:
            process.kill()
            process.wait()
            process.stdout.close()
            process.stderr.close()
        self._listener.close()


def start_fresh() -> Child:
    """Return a child with an interpreter of its own. A forked one has the template's hash seed."""
    spares = Spares(ahead=0)
    try:
        return spares.start()
    finally:
        spares.close()


def can_fork() -> bool:
    """Whether children are forked here; COURSE_NO_FORK=1 tries the other way."""
    return hasattr(os, "fork") and not os.environ.get("COURSE_NO_FORK")
