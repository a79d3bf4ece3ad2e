"""Let 50 players play lesson 16's game in one room, one of whom has stopped reading.

.venv/bin/python benchmarks/game.py --players 50 --rate 20 --seconds 30

The server is one process. An observer notes when each snapshot arrives. A tick is on time if its
snapshot arrives within 10 ms of its own time: that of the earliest one, plus a whole number of
periods.
"""

import argparse
import base64
import json
import os
import random
import selectors
import socket
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
DIRECTIONS = ["up", "right", "down", "left"]
ON_TIME = 0.010  # seconds
TURNS = 2.0  # that each player sends in a second
SMALL = 4_096  # bytes: the stopped player's system stores little, as a slow line does
WARM = 2.0  # seconds before the counting starts


def serve(rate: float) -> None:
    """Serve the game on a free port, and print the port."""
    sys.path.insert(0, str(ROOT / "solutions" / "16_game"))
    from app import create_app
    from werkzeug.serving import make_server

    server = make_server("127.0.0.1", 0, create_app({"RATE": rate}), threaded=True)
    print(server.port, flush=True)
    server.serve_forever(0.05)


class Player:
    """A connection whose frames are read by hand, which costs little."""

    def __init__(self, port: int, name: str, buffer: int = 0) -> None:
        self.socket = socket.socket()
        if buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.socket.settimeout(10.0)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [
            f"GET /games/lobby?author={name} HTTP/1.1",
            f"Host: 127.0.0.1:{port}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Protocol: game.v1",
        ]
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode())
        self.data, self.size, self.seq, self.tick = b"", 0, 0, 0
        while b"\r\n\r\n" not in self.data:
            self.data += self.socket.recv(65536)
        self.data = self.data.partition(b"\r\n\r\n")[2]

    def send(self, opcode: int, payload: bytes) -> None:
        """Send a frame of at most 125 bytes, masked with a key of zeros."""
        self.socket.sendall(bytes([0x80 | opcode, 0x80 | len(payload), 0, 0, 0, 0]) + payload)

    def turn(self, direction: str) -> None:
        """Send a turn for the next tick."""
        self.seq += 1
        turn = {"type": "turn", "seq": self.seq, "tick": self.tick + 1, "direction": direction}
        self.send(1, json.dumps(turn).encode())

    def read(self) -> list[dict]:
        """Read what has arrived. Return the messages."""
        data = self.socket.recv(1 << 20)
        self.size += len(data)
        self.data += data
        found = []
        while len(self.data) >= 2:
            opcode, size, start = self.data[0] & 15, self.data[1], 2
            if size >= 126:
                start = 4 if size == 126 else 10
                size = int.from_bytes(self.data[2:start], "big")
            if len(self.data) < start + size:
                break
            payload, self.data = self.data[start : start + size], self.data[start + size :]
            if opcode == 9:
                self.send(10, payload)
            if opcode == 1:
                found.append(json.loads(payload))
                self.tick = found[-1].get("tick", self.tick)
        return found


def play(port: int, options: argparse.Namespace, server: psutil.Process) -> None:
    """Let all play, and print what it took."""
    dice, ready = random.Random(1), selectors.DefaultSelector()
    players = [Player(port, f"player-{number}") for number in range(options.players - 1)]
    stopped = Player(port, "stopped", SMALL)
    for player in players:
        ready.register(player.socket, selectors.EVENT_READ, player)
    arrived: list[tuple[int, float, int]] = []  # tick, when, bytes of the snapshot
    started, counted, turn_at = time.monotonic(), False, time.monotonic()
    while (now := time.monotonic()) < started + WARM + options.seconds:
        if not counted and now >= started + WARM:
            counted, cpu = True, server.cpu_times()
            arrived.clear()
            for player in players:
                player.size = 0
        while turn_at <= now:
            turn_at += 1 / (TURNS * len(players))
            dice.choice(players).turn(dice.choice(DIRECTIONS))
        for key, _ in ready.select(max(0.0, turn_at - now)):
            for said in key.data.read():
                if key.data is players[0] and said["type"] in ("key", "diff"):
                    size = len(json.dumps(said, separators=(",", ":")))
                    arrived.append((said["tick"], time.monotonic(), size))
    after = server.cpu_times()
    used = (after.user + after.system - cpu.user - cpu.system) / options.seconds
    report(arrived, options.rate, used, [player.size / options.seconds for player in players])
    read_late(stopped, arrived[-1][0])


def report(arrived: list, rate: float, used: float, sizes: list[float]) -> None:
    """Print the share of ticks on time, the bytes and the CPU."""
    start = min(when - tick / rate for tick, when, _ in arrived)
    late = [when - tick / rate - start for tick, when, _ in arrived]
    ticks = arrived[-1][0] - arrived[0][0] + 1
    skipped = sum(then - tick - 1 for (tick, *_), (then, *_) in pairwise(arrived))
    on_time = sum(each <= ON_TIME for each in late)
    print(f"ticks                  {ticks}, {skipped} without a snapshot of their own")
    print(f"on time                {on_time / ticks:.1%} within {ON_TIME * 1000:g} ms")
    print(f"bytes a second         {sum(sizes) / len(sizes):,.0f} for each player")
    largest = max(size for *_, size in arrived)
    mean = sum(size for *_, size in arrived) / len(arrived)
    print(f"bytes of a difference  {mean:,.0f}, at most {largest:,}")
    print(f"CPU of the server      {used:.0%} of a core")


def read_late(stopped: Player, newest: int) -> None:
    """Print what the player who stopped receives when it reads again."""
    stopped.socket.settimeout(0.3)
    ticks: list[int] = []
    try:
        while not ticks or ticks[-1] < newest:
            ticks += [said["tick"] for said in stopped.read() if said["type"] in ("key", "diff")]
    except TimeoutError:
        pass
    gap = max(after - before for before, after in pairwise(ticks))
    print(f"the stopped player     {len(ticks)} snapshots, then from tick", end=" ")
    at = next(before for before, after in pairwise(ticks) if after - before == gap)
    print(f"{at} to {at + gap} at once")


def main() -> None:
    """Start the server, and play."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--players", type=int, default=50)
    parser.add_argument("--rate", type=float, default=20.0, help="ticks a second")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return serve(options.rate)
    words = [sys.executable, __file__, "--serve", "--rate", str(options.rate)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            play(int(process.stdout.readline()), options, psutil.Process(process.pid))
        finally:
            process.kill()


if __name__ == "__main__":
    main()
