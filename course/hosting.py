"""Serves the app of a lesson's folder, in a process of its own.

The workbench and `measure` start it as a plain script. It imports nothing of the course, so that
a learner's own modules mean here what they mean to them:

    hosting.py FOLDER SCRATCH [ORIGIN]    serves the app of FOLDER on a free port, its files in
                                          SCRATCH. ORIGIN is that of the pages that may use it.

If `REDIS_SERVER` in the environment is the path of a Redis server, the app gets one of its own,
whose address is in `BOARD_REDIS`.

It reports on its first stdout, in lines of JSON, that the app is ready, with its port and routes,
or what went wrong. What the learner's code prints goes to stderr. It ends when its stdin does, so
that it never outlives the program that started it.

The grader's own child loads this file by its path, for `server()`.
"""

import contextlib
import importlib
import io
import json
import logging
import os
import re
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path

HOST = "127.0.0.1"
LINGER = 1.0  # seconds for a client to close a WebSocket's connection
# `module.create_app()` is a Flask app; a program is given a port, and prints where it listens.
APP, PROGRAM = "app.py", "server.py"
REDIS_SERVER = "REDIS_SERVER"
LISTENS = re.compile(r"\bwss?://[^\s/:]+:([0-9]+)")


def main() -> None:
    """Serve the folder's app until stdin ends."""
    folder, scratch = (os.path.realpath(path) for path in sys.argv[1:3])
    os.chdir(scratch)
    say = channel()
    threading.Thread(target=end_with_stdin, args=(scratch,), daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this.
    sys.path[0] = folder
    # Bytecode of a file that was saved twice within a second may be that of the first.
    sys.pycache_prefix = scratch
    sys.dont_write_bytecode = True
    try:
        serve_app(say, sys.argv[3:]) if Path(folder, APP).is_file() else serve_program(folder, say)
    except BaseException as error:
        say(event="broken", sentence=in_words(error, folder), trace=own_trace(error, folder))
        sys.exit(1)


def channel():
    """Return a function that sends a line to the parent. From here on stdout is stderr."""
    lines = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n")
    os.dup2(2, 1)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)

    def say(**message: object) -> None:
        with contextlib.suppress(OSError):
            lines.write(json.dumps(message) + "\n")
            lines.flush()

    return say


def end_with_stdin(scratch: str) -> None:
    """End when the parent has gone: remove the scratch folder, and end what the app started."""
    with contextlib.suppress(OSError):
        while os.read(0, 4096):
            pass
    shutil.rmtree(scratch, ignore_errors=True)
    if hasattr(os, "getpgrp") and os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)  # This process is in the group, too.
    os._exit(0)


def start_redis(program: str, folder: str) -> str:
    """Start a Redis on a Unix socket, with its data in the folder. Return its URL.

    It is in this process's group, and ends with it.
    """
    path = os.path.join(folder, "redis.sock")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    options = ["--port", "0", "--unixsocket", path, "--unixsocketperm", "700"]
    options += ["--dir", folder, "--save", "", "--appendonly", "yes", "--loglevel", "warning"]
    nothing = subprocess.DEVNULL
    process = subprocess.Popen([program, *options], stdin=nothing, stdout=nothing)
    while not answers(path):
        if process.poll() is not None:
            raise RuntimeError(f"{program} ended with exit status {process.returncode}")
        time.sleep(0.01)
    return f"unix://{path}?db=0"


def answers(path: str) -> bool:
    """Return whether the Redis on this socket serves clients."""
    with socket.socket(socket.AF_UNIX) as client, contextlib.suppress(OSError):
        client.settimeout(LINGER)
        client.connect(path)
        client.sendall(b"PING\r\n")
        return client.recv(16).startswith(b"+PONG")
    return False


def serve_app(say, origins: list[str]) -> None:
    """Serve the Flask app that `create_app()` in app.py returns.

    If it has accounts, it gets some to try it with. `origins` are those of the pages that may use
    it, if it asks for them.
    """
    import flask

    if program := os.environ.pop(REDIS_SERVER, ""):
        os.environ["BOARD_REDIS"] = start_redis(program, os.getcwd())
    app = importlib.import_module("app").create_app()
    if not isinstance(app, flask.Flask):
        raise TypeError(f"create_app() returned a {type(app).__name__}, not a Flask app.")
    if "ORIGINS" in app.config and origins:
        app.config["ORIGINS"] = origins
    if "accounts" in app.cli.commands:
        with app.app_context():
            app.cli.commands["accounts"].commands["demo"].main([], standalone_mode=False)
    listening = server(app)
    say(event="ready", port=listening.server_port, routes=routes(app), settings=settings(app))
    listening.serve_forever(0.02)


def server(app, port: int = 0):
    """Return Werkzeug's server for a WSGI app, on loopback, with a thread for each connection."""
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Handler(WSGIRequestHandler):
        """Closes a WebSocket's connection when its handler has returned.

        After each response Werkzeug reads up to 10 MB of what the client still sends, and waits
        for them or for the client's end. After a WebSocket, that is the client's close frame. The
        client then waits for the server to close TCP (RFC 6455, section 7.1.1), so both wait until
        the client loses patience: the `websockets` library after 10 s, Chromium after 2 s.
        """

        replaced = None

        def make_environ(self) -> dict:
            environ = super().make_environ()
            if self.headers.get("Upgrade", "").lower() == "websocket":
                self.replaced, self.rfile = self.rfile, io.BytesIO()
            return environ

        def finish(self) -> None:
            if self.replaced:
                self.end_websocket()
            super().finish()

        def end_websocket(self) -> None:
            """Close this side, and read to the client's end: unread bytes would cause a reset."""
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_WR)
                self.connection.settimeout(LINGER)
                for _ in range(100):
                    if not self.connection.recv(65536):
                        break
            self.replaced.close()

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # No line for each request.
    made = make_server(HOST, port, app, threaded=True, request_handler=Handler)
    made.daemon_threads = True
    return made


def routes(app) -> list[dict]:
    """Return the app's routes."""
    return [
        {"rule": rule.rule, "methods": sorted(rule.methods or ()), "websocket": rule.websocket}
        for rule in app.url_map.iter_rules()
    ]


def settings(app) -> dict:
    """Return what the workbench's page needs of the app's config."""
    options = app.config.get("SOCK_SERVER_OPTIONS") or {}
    return {
        "waits": "MAX_WAIT" in app.config,
        "subprotocols": [str(name) for name in options.get("subprotocols") or ()],
    }


def serve_program(folder: str, say) -> None:
    """Run server.py, which serves WebSockets on a bare socket at any path."""

    def ready(port: int) -> None:
        rule = {"rule": "/", "methods": ["GET"], "websocket": True}
        say(event="ready", port=port, routes=[rule], settings={})

    path = os.path.join(folder, PROGRAM)
    sys.argv = [path, "--port", "0"]
    sys.stdout = Overheard(sys.stderr, ready)
    runpy.run_path(path, run_name="__main__")
    raise SystemExit("it returned")


class Overheard(io.TextIOBase):
    """Passes on what is printed, and reports the first port in it."""

    def __init__(self, stream, ready) -> None:
        self.stream, self.ready, self.heard = stream, ready, ""

    def write(self, text: str) -> int:
        if self.ready:
            self.heard += text
            if match := LISTENS.search(self.heard):
                self.ready(int(match[1]))
                self.ready = None
        return self.stream.write(text)

    def flush(self) -> None:
        self.stream.flush()


def in_words(error: BaseException, folder: str) -> str:
    """Return a sentence: the line of the learner's code, and the error."""
    text = str(error)
    if isinstance(error, SystemExit):
        text = f"the program ended itself ({error})"
    what = f"{type(error).__name__}: {text}" if text else type(error).__name__
    if isinstance(error, SyntaxError) and error.filename:
        return (
            f"{shown(error.filename, folder)}:{error.lineno}: {type(error).__name__}: {error.msg}"
        )
    own = own_frames(error, folder)
    if not own:
        return what
    return f"{shown(own[-1].filename, folder)}:{own[-1].lineno}: {what}"


def own_trace(error: BaseException, folder: str) -> str:
    """Return the traceback, with the frames of the learner's own files only."""
    lines = traceback.format_list(own_frames(error, folder))
    lines += traceback.format_exception_only(error)
    return "".join(lines).replace(folder + os.sep, "")


def own_frames(error: BaseException, folder: str) -> list[traceback.FrameSummary]:
    """Return the error's frames in the learner's own files, innermost last."""
    frames = traceback.extract_tb(error.__traceback__)
    return [f for f in frames if os.path.realpath(f.filename).startswith(folder + os.sep)]


def shown(path: str, folder: str) -> str:
    """Return a file's name as the page shows it: relative to the lesson's folder."""
    path = os.path.realpath(path)
    return os.path.relpath(path, folder) if path.startswith(folder + os.sep) else path


if __name__ == "__main__":
    main()
