"""nginx with the learner's nginx.conf, in front of processes, and what a client gets through it.

nginx runs in a folder of its own, on a free port, and not as root. It ends with the test.
"""

import contextlib
import functools
import http.client
import os
import re
import socket
import ssl
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from course.grading.expect import Unmet, expect
from course.grading.stage import Stage
from course.grading.tether import Tethered
from course.grading.waiting import PATIENCE, SECONDS

CONF = "nginx.conf"
# The ports that the file names. Each is replaced by one that is free, or by a process's.
FRONT, PROCESSES = "8443", ("5101", "5102", "5103")
FOREGROUND = "daemon off; master_process off;"
HEAD = 65536  # bytes of a request's head, at most
COUNTED = {"ms": 0.001, "s": 1, "": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
SHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Protocol": "board.v1",
}


@functools.cache
def certificate() -> tuple[bytes, bytes, bytes]:
    """Return a certificate for 127.0.0.1 with its chain, its key, and who has issued it."""
    import trustme  # Here, since only the tests of one lesson need it.

    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1", "localhost")
    chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
    return chain, issued.private_key_pem.bytes(), authority.cert_pem.bytes()


@functools.cache
def trusting() -> ssl.SSLContext:
    """Return what a client needs to trust the certificate."""
    return ssl.create_default_context(cadata=certificate()[2].decode())


class Nginx:
    """nginx in front of processes, by their ports. `stage.use(Nginx(...))` ends with the test."""

    def __init__(self, stage: Stage, ports: list[int]) -> None:
        self.stage = stage
        program = stage.need("nginx")
        self._folder = Path(stage.scratch, f"nginx-{time.monotonic_ns()}")
        self.port = _free_port()
        self.host = f"127.0.0.1:{self.port}"
        self._prepare(ports)
        self._log = Path(self._folder, "said")
        with open(self._log, "wb") as log:
            path = Path(self._folder, CONF)
            command = [program, "-p", self._folder, "-c", path, "-g", FOREGROUND]
            self._process = Tethered(command, log, cwd=self._folder, **_as_nobody(self._folder))
        try:
            self._wait_until_it_listens()
        except BaseException:
            self._process.kill()
            raise

    def _prepare(self, ports: list[int]) -> None:
        """Write the learner's file, with other ports, and the certificate."""
        self._folder.mkdir()
        chain, key, _ = certificate()
        text = conf(self.stage)
        new = {FRONT: self.port, **dict(zip(PROCESSES, ports, strict=True))}
        text = re.sub(r"(?<![\d.])\d{4}(?!\d)", lambda m: str(new.get(m[0], m[0])), text)
        for name, data in ((CONF, text.encode()), ("server.pem", chain), ("server.key", key)):
            Path(self._folder, name).write_bytes(data)

    def _wait_until_it_listens(self) -> None:
        give_up = time.monotonic() + SECONDS * PATIENCE
        while time.monotonic() < give_up:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), SECONDS).close()
                return
            if self._process.ended():
                raise Unmet(f"nginx to start with {CONF}", self.said() or "it ended at once")
            time.sleep(0.01)
        raise Unmet(f"nginx to listen on 127.0.0.1:{FRONT}", self.said() or "it doesn't")

    def said(self) -> str:
        """Return what nginx printed, with the ports and paths of the learner's file."""
        text = self._log.read_text(errors="replace").replace(f"{self._folder}{os.sep}", "")
        lines = [line for line in text.splitlines() if "could not open error log" not in line]
        lines = [line for line in lines if '"user" directive' not in line]
        return " ".join(lines).replace(str(self.port), FRONT)

    def __enter__(self) -> "Nginx":
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.kill()

    def connect(self) -> ssl.SSLSocket:
        """Return a TLS connection to nginx."""
        try:
            tcp = socket.create_connection(("127.0.0.1", self.port), SECONDS * PATIENCE)
            return trusting().wrap_socket(tcp, server_hostname="127.0.0.1")
        except (OSError, ssl.SSLError) as error:
            says = "Does it listen with `ssl`, and does it have server.pem?"
            raise Unmet(f"TLS on 127.0.0.1:{FRONT}", str(error), says) from None

    def begin(self, path: str, headers: dict[str, str] | None = None) -> http.client.HTTPResponse:
        """Send a GET request. Return the response as soon as its head is there."""
        asked = f"GET {path} through nginx"
        said = "".join(f", {name}: {value}" for name, value in (headers or {}).items())
        self.stage.wire.sent("client", asked + said)
        sock = self.stage.use(self.connect())
        lines = [f"{name}: {value}" for name, value in (headers or {}).items()]
        head = [f"GET {path} HTTP/1.1", f"Host: {self.host}", *lines, "", ""]
        sock.sendall("\r\n".join(head).encode())
        response = http.client.HTTPResponse(sock, method="GET")
        try:
            response.begin()
        except (OSError, http.client.HTTPException) as error:
            said = str(error) or type(error).__name__
            raise Unmet(f"a response to {asked}", said) from None
        self.stage.wire.received("client", f"{response.status} {response.reason}")
        response.sock = sock
        return response

    def shake(
        self, path: str = "/board/lobby", headers: dict[str, str] | None = None
    ) -> ssl.SSLSocket:
        """Open a WebSocket, as far as HTTP goes, and return its connection."""
        response = self.begin(path, {**SHAKE, **(headers or {})})
        upgraded = response.status == 101
        expect(upgraded, "101 Switching Protocols", f"{response.status} {response.reason}")
        return response.sock


def conf(stage: Stage) -> str:
    """Return the learner's nginx.conf."""
    try:
        return Path(stage.folder, CONF).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise Unmet(f"a file {CONF} in UTF-8", str(error)) from None


def _as_nobody(folder: Path) -> dict[str, object]:
    """Return how to start a program as the user `nobody`, who is given the folder, if root asks."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return {}
    import pwd

    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        return {}
    for path in (folder, *folder.iterdir()):
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
    if not _may_enter(folder, nobody.pw_uid):
        return {}
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _may_enter(folder: Path, uid: int) -> bool:
    """Return whether each folder above this one may be entered by a user."""
    return all(
        status.st_mode & 0o001 or (status.st_uid == uid and status.st_mode & 0o100)
        for status in (parent.stat() for parent in folder.parents)
    )


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@dataclass
class Asked:
    """A request as a process behind nginx got it. The names of its headers are in lower case."""

    line: str
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """The path and the query."""
        return self.line.split()[1]


class Backend:
    """A process behind nginx that notes each request, and opens every WebSocket.

    The path of a stream of events gets a response without an end, to which `event()` adds.
    """

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.at = 0.0  # when the newest request came
        self.sockets: list[socket.socket] = []  # open WebSockets
        self.streams: list[socket.socket] = []
        self._all: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> "Backend":
        return self

    def __exit__(self, *exception: object) -> None:
        for sock in [self._listener, *self._all]:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self._all.append(sock)
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError, IndexError):
            head = b""
            while b"\r\n\r\n" not in head and len(head) < HEAD:
                if not (data := sock.recv(4096)):
                    return
                head += data
            line, *rest = head.decode("latin-1").split("\r\n\r\n")[0].split("\r\n")
            pairs = [text.partition(":") for text in rest]
            asked = Asked(line, {name.lower(): value.strip() for name, _, value in pairs})
            self.at = time.monotonic()
            self.asked.append(asked)  # Before the client has its response.
            self._respond(sock, asked)

    def _respond(self, sock: socket.socket, asked: Asked) -> None:
        if asked.headers.get("upgrade", "").lower() == "websocket":
            self.sockets.append(sock)
            accept = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
            head = ["101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade", accept]
        elif asked.path.endswith("/events"):
            self.streams.append(sock)
            head = ["200 OK", "Content-Type: text/event-stream", "Connection: close"]
        else:
            head = ["200 OK", "Content-Length: 2", "Connection: close"]
        body = "ok" if "Content-Length: 2" in head else ""
        lines = "\r\n".join(head)
        sock.sendall(f"HTTP/1.1 {lines}\r\n\r\n{body}".encode())
        if body:
            sock.shutdown(socket.SHUT_WR)

    def event(self, data: str) -> None:
        """Send an event on the newest stream."""
        self.streams[-1].sendall(f"data: {data}\n\n".encode())

    def last(self) -> Asked:
        """Return the newest request."""
        expect(bool(self.asked), "a request to a process", "none")
        return self.asked[-1]


# What the learner's file says


def effective(text: str, path: str, name: str) -> list[str]:
    """Return the arguments of a directive that holds for a path of the first server, or []."""
    http = _within(_parsed(text), "http")
    server = _within(http, "server")
    for block in (_location(server, path), server, http):
        for words, _ in block:
            if words[0] == name:
                return words[1:]
    return []


def seconds(words: list[str]) -> float:
    """Return a time of nginx's, such as 1m30s, in seconds."""
    return sum(float(n) * COUNTED[unit] for n, unit in re.findall(r"(\d+)(ms|[smhdw]?)", words[0]))


def _location(server: list, path: str) -> list:
    """Return the location that nginx chooses for a path, without nested ones."""
    found = [(words[1:], block) for words, block in server if words[0] == "location"]
    prefixes = [(w[-1], w[0], block) for w, block in found if w[0] not in ("~", "~*")]
    fits = [p for p in prefixes if (path == p[0] if p[1] == "=" else path.startswith(p[0]))]
    best = max(fits, key=lambda p: (p[1] == "=", len(p[0])), default=("", "", []))
    if best[1] in ("=", "^~"):
        return best[2]
    for words, block in found:
        if words[0] in ("~", "~*") and re.search(words[1], path, re.I * (words[0] == "~*")):
            return block
    return best[2]


def _within(block: list, name: str) -> list:
    return next((inner for words, inner in block if words[0] == name), [])


def _parsed(text: str) -> list:
    """Return directives as their words and their blocks."""
    tokens = re.findall(r"""#[^\n]*|"[^"]*"|'[^']*'|[{};]|[^\s{};"'#][^\s{};]*""", text)
    stack: list[list] = [[]]
    words: list[str] = []
    for token in (token for token in tokens if not token.startswith("#")):
        if token == "}":
            stack[-1:] = [] if len(stack) > 1 else stack[-1:]
        elif token in ";{":
            block: list = []
            if words:
                stack[-1].append((words, block))
            if token == "{":
                stack.append(block)
            words = []
        else:
            words.append(token.strip("\"'"))
    return stack[0]
