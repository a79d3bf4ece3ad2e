"""The server of the workbench's page. It serves only clients that have the token."""

import hmac
import json
import secrets
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from flask import Flask, Response, abort, jsonify, redirect, request, send_from_directory
from werkzeug.exceptions import HTTPException
from werkzeug.serving import WSGIRequestHandler, make_server

from course.learner.refusal import Refusal

HOST = "127.0.0.1"
PAGE = Path(__file__).with_name("page")
HEARTBEAT = 10.0  # seconds
LARGEST = 8 * 2**20  # bytes of a request, at most
REFUSED = "Open the workbench with the address in the terminal: it contains the token.\n"


class Silent(WSGIRequestHandler):
    """Writes no log, because a line of it would contain the token."""

    protocol_version = "HTTP/1.1"

    def log(self, *_: object) -> None:
        """Say nothing."""


class Server:
    """Serves the page, the transcript as a stream of events, and the commands.

    `state()` returns what the page shows besides the transcript. A command is called by its name
    with the page's JSON object, and returns a sentence or data. It runs in a thread of this server.
    """

    def __init__(self, transcript, recorder, state: Callable[[], dict], commands: dict) -> None:
        self._transcript, self._recorder = transcript, recorder
        self._state, self._commands = state, commands
        self._token = secrets.token_urlsafe(24)
        # A browser sends a cookie to every port of a host. It sends this one only to a path that
        # no other server here knows, so neither the app nor another port receives it.
        self.home = f"/{secrets.token_urlsafe(24)}/"
        self._http = make_server(HOST, 0, self._app(), threaded=True, request_handler=Silent)
        self._http.daemon_threads = True
        self.port = self._http.server_port
        self._hosts = {f"{name}:{self.port}" for name in (HOST, "localhost")}
        self._cookie = f"workbench_{self.port}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """The address of the page, with the token."""
        return f"http://{HOST}:{self.port}/?token={self._token}"

    def close(self) -> None:
        """Stop serving."""
        self._transcript.end()
        self._http.shutdown()
        self._http.server_close()

    def _app(self) -> Flask:
        app = Flask("workbench", static_folder=None)
        app.config["MAX_CONTENT_LENGTH"] = LARGEST
        app.before_request(self._guard)
        app.after_request(self._harden)
        app.register_error_handler(Refusal, _sentence)
        app.register_error_handler(HTTPException, _status)
        app.add_url_rule("/", view_func=self._enter)
        app.add_url_rule(self.home, view_func=self._page)
        app.add_url_rule(f"{self.home}<name>", view_func=self._page)
        app.add_url_rule(f"{self.home}events", view_func=self._events)
        app.add_url_rule(f"{self.home}recordings", view_func=self._recordings)
        app.add_url_rule(f"{self.home}recordings/<name>", view_func=self._recording)
        app.add_url_rule(f"{self.home}do/<name>", view_func=self._do, methods=["POST"])
        return app

    # Access

    def _guard(self) -> None:
        if request.host.lower() not in self._hosts:
            abort(403, "The workbench accepts requests only for 127.0.0.1 and localhost.\n")
        origin = request.headers.get("Origin")
        foreign = origin is not None and origin != f"http://{request.host}"
        site = request.headers.get("Sec-Fetch-Site", "none")
        if foreign or (site not in ("none", "same-origin") and request.path != "/"):
            abort(403, "The workbench refuses requests from pages of other origins.\n")
        if request.path != "/" and not self._known():
            abort(403, REFUSED)

    def _known(self) -> bool:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        cookie = request.cookies.get(self._cookie, "")
        return self._same(cookie) or (scheme.lower() == "bearer" and self._same(token.strip()))

    def _same(self, token: str) -> bool:
        return hmac.compare_digest(token.encode(), self._token.encode())

    def _enter(self) -> Response:
        """Exchange the token for a cookie, so that it doesn't stay in the address."""
        if not self._same(request.args.get("token", "")):
            abort(403, REFUSED)
        answer = redirect(self.home, 303)
        answer.set_cookie(
            self._cookie, self._token, path=self.home, httponly=True, samesite="Strict"
        )
        return answer

    def _harden(self, answer: Response) -> Response:
        board = self._state()["address"]
        answer.headers["Content-Security-Policy"] = (
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
            f"img-src data:; frame-src {board}; frame-ancestors 'none'; base-uri 'none'"
        )
        answer.headers["Referrer-Policy"] = "no-referrer"
        answer.headers["X-Content-Type-Options"] = "nosniff"
        answer.headers["Cache-Control"] = "no-store"
        return answer

    # Content

    def _page(self, name: str = "index.html") -> Response:
        return send_from_directory(PAGE, name)

    def _events(self) -> Response:
        def stream() -> Iterator[str]:
            for entries, counts in self._transcript.follow(HEARTBEAT):
                data = {"entries": entries, "counts": counts, "state": self._state()}
                yield f"data: {json.dumps(data)}\n\n"

        return Response(stream(), mimetype="text/event-stream")

    def _recordings(self) -> Response:
        return jsonify(self._recorder.names())

    def _recording(self, name: str) -> Response:
        return jsonify(self._recorder.read(name))

    def _do(self, name: str) -> Response:
        if name not in self._commands:
            abort(404)
        what = request.get_json()
        if not isinstance(what, dict):
            raise Refusal("Send the command's arguments as a JSON object.")
        try:
            return jsonify(said=self._commands[name](what))
        except TimeoutError:
            raise Refusal("The workbench didn't finish this in time. Is the app busy?") from None


def _sentence(refusal: Refusal) -> tuple[Response, int]:
    return jsonify(said=str(refusal)), 400


def _status(error: HTTPException) -> Response:
    return Response(error.description or error.name, error.code, mimetype="text/plain")
