"""A room with a client that stops reading: `python still.py FOLDER`, the folder of a lesson's app.

ada posts for five seconds, bob reads, and carol reads nothing after her welcome.
"""

import contextlib
import json
import logging
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path

from flask import Flask
from websockets.sync.client import connect
from werkzeug.serving import make_server

ORIGIN, SECONDS = "http://127.0.0.1:5012", 5.0
sys.path.insert(0, str(Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent).resolve()))
from app import create_app  # noqa: E402


def cookie(app: Flask, name: str) -> dict[str, str]:
    """Return the headers of a user who has logged in, if the app has logins."""
    accounts = app.extensions.get("accounts")
    if not accounts:
        return {}
    accounts.add_user(name, "a long password")
    accounts.set_role("lobby", name, "writer")
    return {"Cookie": f"login={accounts.log_in(name, 'session')}", "Origin": ORIGIN}


def join_and_stop_reading(port: int, headers: dict[str, str]) -> socket.socket:
    """Return the connection of a client that has sent a handshake and reads nothing."""
    lines = [
        "GET /board/lobby?author=carol HTTP/1.1",
        "Host: 127.0.0.1",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Protocol: board.v1",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    client = socket.create_connection(("127.0.0.1", port))
    client.sendall("\r\n".join([*lines, "", ""]).encode())
    return client


class Member:
    """A client that reads, and counts the messages."""

    def __init__(self, port: int, name: str, headers: dict[str, str]) -> None:
        address = f"ws://127.0.0.1:{port}/board/lobby?author={name}"
        self.name, self.received, self.last = name, 0, 0.0
        self._ws = connect(address, additional_headers=headers, subprotocols=["board.v1"])
        self._ws.__enter__()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for text in self._ws:
            if json.loads(text)["type"] == "message":
                self.received += 1
                self.last = time.monotonic()

    def post_for(self, seconds: float) -> None:
        """Post for `seconds`, each message when the last one has arrived."""
        number, end = 0, time.monotonic() + seconds
        while time.monotonic() < end:
            if self.received == number:
                number += 1
                request = {"type": "post", "id": f"{number}", "text": "🦦" * 2000}
                self._ws.send(json.dumps(request))
            time.sleep(0.0005)


def serve() -> tuple[Flask, int]:
    """Start the app on a free port. Return it, and the port."""
    config = {"ORIGINS": [ORIGIN], "RATE": 1e6, "BURST": 1e6}
    app = create_app({"DATABASE": f"{tempfile.mkdtemp()}/board.sqlite3", **config})
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return app, server.port


def main() -> None:
    """Start the app, let the three clients join, and print what each receives."""
    app, port = serve()
    ada, bob = (Member(port, name, cookie(app, name)) for name in ("ada", "bob"))
    carol = join_and_stop_reading(port, cookie(app, "carol"))
    start = time.monotonic()
    ada.post_for(SECONDS)
    for each in (ada, bob):
        after = f", the last after {each.last - start:.1f} s" if each.received else ""
        print(f"{each.name} received {each.received} messages{after}")
    carol.settimeout(2)
    data = b""
    with contextlib.suppress(TimeoutError):
        while (more := carol.recv(65536)) and b"retry-after=" not in data:
            data += more
    print(f"carol reads again: {len(data):,} bytes, which end with {data[-17:]}")


if __name__ == "__main__":
    main()
