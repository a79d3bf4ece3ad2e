"""Many clients leave at once: how long does the next post wait? `python benchmarks/mass_leave.py`.

Each client has a name of its own, so each leave changes the list of members. Lesson 8's board and
lesson 12's, under gunicorn, by turns. POSIX only, as gunicorn is. It uses `.course/peers`, as
benchmarks/fanout.py does.
"""

import argparse
import http.client
import json
import resource
import selectors
import socket
import sys
import threading
import time

from fanout import BOARD, FAR_AWAY, GUNICORN, LIMITED, ORIGIN, Server, board, prepare, served
from room_load import Dialect, _asked, _until

SIZES = (500, 1_000, 2_000, 3_000)
LEAVING = 3.0  # seconds after the clients have left in which others post
APP = "app:create_app({{'DATABASE':'{{db}}'{}}})"
# A program that prints the cookies of many users, the last of whom isn't in the room.
LOGINS = """
import sys, time
from accounts import Accounts, digest, new_secret
accounts = Accounts(sys.argv[1], "pbkdf2:sha256:1")
with accounts.transaction() as db:
    for number in range(%d):
        name, secret = f"user{number}", new_secret()
        db.execute("INSERT INTO users VALUES (?, ?)", (name, ""))
        db.execute("INSERT INTO roles VALUES (?, ?, ?)", ("lobby", name, "writer"))
        row = (digest(secret), "session", name, time.time() + 3600)
        db.execute("INSERT INTO logins VALUES (?, ?, ?, ?)", row)
        print(secret)
"""


class Crowd:
    """Clients that read what is pushed, and throw it away."""

    def __init__(self, port: int, dialects: list[Dialect]) -> None:
        self._clients, self._ready = [], selectors.DefaultSelector()
        self._leaving = False
        threading.Thread(target=self._read, daemon=True).start()
        for dialect in dialects:
            client = _asked(port, dialect)
            _until(client, b"", b'"welcome"')
            client.setblocking(False)
            self._clients.append(client)
            self._ready.register(client, selectors.EVENT_READ)

    def _read(self) -> None:
        while not self._leaving:
            for key, _ in self._ready.select(0.05):
                while not self._leaving and self._more(key.fileobj):
                    pass

    def _more(self, client: socket.socket) -> bool:
        try:
            return bool(client.recv(1 << 20))
        except OSError:
            return False

    def leave(self) -> None:
        """Close all connections."""
        self._leaving = True
        for client in self._clients:
            client.close()


def post(port: int, headers: dict[str, str]) -> float:
    """Post over REST. Return how many seconds that took."""
    started = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    body = json.dumps({"author": "ada", "text": "Is this room empty now?"})
    headers = {"Content-Type": "application/json", **headers}
    connection.request("POST", "/rooms/lobby/messages", body, headers)
    status = connection.getresponse().status
    if status != 201:
        raise SystemExit(f"The post got {status}.")
    return time.perf_counter() - started


def measure(lesson: int, size: int) -> float:
    """Return how long a post waits at most when so many clients have just left."""
    folder, more = (BOARD, "") if lesson == 8 else (LIMITED, f",{FAR_AWAY}")
    command = f"{GUNICORN.replace('2000', '9000')} -k gthread --threads {size + 100} "
    logins = LOGINS % (size + 1) if lesson == 12 else ""
    server = Server(f"lesson {lesson}", board, command + APP.format(more), folder, logins)
    with served(server) as (port, _, dialect):
        if lesson == 8:
            names = [f"/board/lobby?author=user{number}" for number in range(size)]
            crowd = Crowd(port, [Dialect(name, "", protocol="board.v1") for name in names])
            headers = {}
        else:
            secrets = dialect.headers[0].removeprefix("Cookie: login=").split("\n")
            proofs = [(f"Cookie: login={secret}", f"Origin: {ORIGIN}") for secret in secrets]
            crowd = Crowd(
                port,
                [
                    Dialect("/board/lobby", "", protocol="board.v1", headers=proof)
                    for proof in proofs[:-1]
                ],
            )
            headers = {"Cookie": f"login={secrets[-1]}", "Origin": ORIGIN}
        post(port, headers)
        crowd.leave()
        waits, end = [], time.monotonic() + LEAVING
        while time.monotonic() < end:
            waits.append(post(port, headers))
            time.sleep(0.01)
        return max(waits)


def main() -> int:
    """Measure and print. Returns 1 if lesson 12's time grows more than linearly."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("sizes", nargs="*", type=int, default=SIZES, help="numbers of clients")
    sizes = parser.parse_args().sizes
    prepare()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    times = {}
    print("clients   lesson 8   lesson 12   seconds that a post waits at most")
    for size in sizes:
        times[size] = [measure(lesson, size) for lesson in (8, 12)]
        print(f"{size:7,} {times[size][0]:10.2f} {times[size][1]:11.2f}", flush=True)
    growth = (times[sizes[-1]][1] + 0.05) / (times[sizes[0]][1] + 0.05)
    linear = growth <= 2 * sizes[-1] / sizes[0]
    print(f"Lesson 12: {sizes[-1] / sizes[0]:g} times as many clients, {growth:.1f} times as long")
    return 0 if linear else 1


if __name__ == "__main__":
    sys.exit(main())
