"""The process that a lesson's app runs in, for the workbench.

It is started as a plain script and imports nothing of the course, so that a learner's own modules
mean here what they mean to them:

    child.py FOLDER SCRATCH    serves the app of FOLDER on a free port, its files in SCRATCH

It says on its first stdout what becomes of it, in lines of JSON: that it is ready, with its port
and what the app has, or what went wrong. What the learner's code prints goes to stderr. It ends
when its stdin does, so that it never outlives the workbench.
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
import sys
import threading
import traceback
from pathlib import Path

HOST = "127.0.0.1"
# `module.create_app()` is a Flask app; a program is given a port, and prints where it listens.
APP, PROGRAM = "app.py", "server.py"
LISTENS = re.compile(r"\bwss?://[^\s/:]+:([0-9]+)")


def main() -> None:
    """Serve the folder's app until the workbench goes."""
    folder, scratch = (os.path.realpath(path) for path in sys.argv[1:])
    os.chdir(scratch)
    say = channel()
    threading.Thread(target=end_with_stdin, args=(scratch,), daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the workbench, which ends this.
    sys.path[0] = folder
    # Bytecode of a file that was saved twice within a second may be that of the first.
    sys.pycache_prefix = scratch
    sys.dont_write_bytecode = True
    try:
        serve_app(say) if Path(folder, APP).is_file() else serve_program(folder, say)
    except BaseException as error:
        say(event="broken", sentence=in_words(error, folder), trace=own_trace(error, folder))
        sys.exit(1)


def channel():
    """Return a function that tells the workbench something. From here on stdout is stderr."""
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
    """End this process when the workbench has gone, and remove what that would have removed."""
    with contextlib.suppress(OSError):
        while os.read(0, 4096):
            pass
    shutil.rmtree(scratch, ignore_errors=True)
    os._exit(0)


def serve_app(say) -> None:
    """Serve the Flask app that `create_app()` in app.py returns."""
    import flask
    from werkzeug.serving import make_server

    app = importlib.import_module("app").create_app()
    if not isinstance(app, flask.Flask):
        raise TypeError(f"create_app() returned a {type(app).__name__}, not a Flask app.")
    server = make_server(HOST, 0, app, threaded=True)
    server.daemon_threads = True
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # The wire says who asked for what.
    say(event="ready", port=server.server_port, routes=routes(app), settings=settings(app))
    server.serve_forever(0.02)


def routes(app) -> list[dict]:
    """Return what the app answers to."""
    return [
        {"rule": rule.rule, "methods": sorted(rule.methods or ()), "websocket": rule.websocket}
        for rule in app.url_map.iter_rules()
    ]


def settings(app) -> dict:
    """Return what the page has to know of the app's config."""
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
    raise SystemExit("it came to its end")


class Overheard(io.TextIOBase):
    """Passes on what is printed, and tells of the first port in it."""

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
    """Return a sentence: where in the learner's code, and what."""
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
    """Return the traceback, of which only the learner's own files are shown."""
    lines = traceback.format_list(own_frames(error, folder))
    lines += traceback.format_exception_only(error)
    return "".join(lines).replace(folder + os.sep, "")


def own_frames(error: BaseException, folder: str) -> list[traceback.FrameSummary]:
    """Return the lines of the learner's own files that the error went through, innermost last."""
    frames = traceback.extract_tb(error.__traceback__)
    return [f for f in frames if os.path.realpath(f.filename).startswith(folder + os.sep)]


def shown(path: str, folder: str) -> str:
    """Return a file's name as it is shown: from the lesson's folder."""
    path = os.path.realpath(path)
    return os.path.relpath(path, folder) if path.startswith(folder + os.sep) else path


if __name__ == "__main__":
    main()
