"""Lesson 13's board in one, two and four processes behind nginx: `python benchmarks/scale.py`.

Measures deliveries, their age, and the CPU time that each takes, by turns and with the same
clients; then the memory of idle connections; then a kill of one of three processes while clients
post. The processes, nginx, Redis and the clients share this machine. POSIX only, like gunicorn.
"""

import argparse
import contextlib
import json
import math
import re
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

import psutil
from room_load import Broken, Dialect, Load, idle

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from course.grading.children import start_fresh  # noqa: E402
from course.grading.nginx import Nginx, trusting  # noqa: E402
from course.grading.stage import Stage  # noqa: E402
from course.grading.swarm import Swarm  # noqa: E402
from course.lesson.needs import find  # noqa: E402
from course.measuring.runs import machine  # noqa: E402

LESSON = ROOT / "solutions" / "13_scale"
PAGE = ROOT / "docs" / "reference" / "scale.md"
BEGIN, END = "<!-- measured -->\n", "<!-- end of what was measured -->\n"
WIDTH = 136  # characters of a line of the page
START = 60.0  # seconds that all servers may take to start
ORIGIN = "https://board.example"
RATE = 1_000  # deliveries a second, where the time of a delivery is measured
SPEAKERS = 10  # clients that send by turns
SPARE = 500  # files of a program that aren't connections of clients
LOGIN = """
import json, sys
from app import create_app
accounts = create_app({"REDIS": sys.argv[1]}).extensions["accounts"]
for name in sys.argv[2:]:
    accounts.set_role("lobby", name, "writer")
print(json.dumps({name: accounts.log_in(name, "session") for name in sys.argv[2:]}))
"""
board = Dialect(
    "/board/lobby",
    '{"type": "post", "id": "[id]", "text": "{}"}',
    protocol="board.v1",
    acks=True,
)


@dataclass(frozen=True)
class Way:
    """How many processes serve the board, and whether nginx is in front of them."""

    processes: int
    nginx: bool = True

    def __str__(self) -> str:
        several = "es" * (self.processes > 1)
        return f"{self.processes} process{several}" + (", nginx" if self.nginx else "")


WAYS = [Way(1, nginx=False), Way(1), Way(2), Way(4)]


@dataclass(frozen=True)
class Plan:
    """How much to measure: clients in the room, and seconds at full speed and at a modest rate."""

    runs: int
    clients: int
    full: float
    paced: float
    idle: int
    posts: int  # while a process is killed


WHOLE = Plan(runs=3, clients=200, full=3.0, paced=3.0, idle=10_000, posts=2_000)
QUICK = Plan(runs=1, clients=60, full=1.0, paced=1.0, idle=200, posts=300)


@dataclass
class Result:
    """What the runs of one way found."""

    rates: list[float] = field(default_factory=list)  # deliveries a second
    ages: list[float] = field(default_factory=list)  # seconds
    costs: list[dict[str, float]] = field(default_factory=list)  # CPU seconds for a delivery
    broken: list[str] = field(default_factory=list)


class Servers:
    """Redis, processes of the board, and perhaps nginx, until `close()`."""

    def __init__(self, way: Way, threads: int) -> None:
        self._scratch = tempfile.TemporaryDirectory(prefix="scale-", ignore_cleanup_errors=True)
        self.folder = Path(self._scratch.name)
        self.redis, *ports = free_ports(way.processes + 2)
        self.address = f"redis://127.0.0.1:{self.redis}/0"
        self.ports = ports[:-1]
        self.groups: dict[str, list[psutil.Popen]] = {"redis": [], "board": [], "nginx": []}
        try:
            self._start_redis()
            for port in self.ports:
                self._start_board(port, threads, proxies=int(way.nginx))
            if way.nginx:
                self._start_nginx(ports[-1])
        except BaseException:
            self.close()
            raise
        self.port = ports[-1] if way.nginx else ports[0]

    def _start_redis(self) -> None:
        options = f"--bind 127.0.0.1 --port {self.redis} --appendonly yes --save".split()
        command = [find("redis").where, *options, "", "--dir", str(self.folder)]
        self._start("redis", command, self.redis)

    def _start_board(self, port: int, threads: int, proxies: int) -> None:
        config = {"REDIS": self.address, "ORIGINS": [ORIGIN], "PROXIES": proxies}
        config |= {"HEARTBEAT": 3600.0, "LEASE": 60.0, "REPLAY": 100_000}
        config |= dict.fromkeys(("RATE", "BURST"), 1e9)
        config |= dict.fromkeys(("MAX_PER_USER", "MAX_PER_ADDRESS", "MAX_CONNECTIONS"), 1e9)
        options = f"-b 127.0.0.1:{port} -k gthread --threads {threads} --backlog 4096"
        command = [sys.executable, "-m", "gunicorn", *options.split(), f"app:create_app({config})"]
        self._start("board", command, port)

    def _start_nginx(self, port: int) -> None:
        """Start it with the lesson's file, but without TLS, which the clients here don't speak."""
        text = (LESSON / "nginx.conf").read_text("utf-8")
        servers = "".join(f"server 127.0.0.1:{each};\n" for each in self.ports)
        text = re.sub(r"(?:\s*server 127\.0\.0\.1:\d+;)+", f"\n{servers}", text)
        text = re.sub(r"listen \S+ ssl;|ssl_certificate(_key)? \S+;", "", text)
        text = text.replace("server {", f"server {{\nlisten 127.0.0.1:{port} backlog=4096;", 1)
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        text = re.sub(r"worker_connections \d+;", f"worker_connections {most};", text)
        conf = self.folder / "nginx.conf"
        conf.write_text(f"worker_rlimit_nofile {most};\n{text}", "utf-8")
        command = [find("nginx").where, "-p", self.folder, "-c", conf, "-g", "daemon off;"]
        self._start("nginx", command, port)

    def _start(self, group: str, command: list, port: int) -> None:
        with (self.folder / f"{group}-{port}.log").open("wb") as log:
            process = psutil.Popen(command, cwd=LESSON, stdout=log, stderr=log)
        self.groups[group].append(process)
        end = time.monotonic() + START
        while time.monotonic() < end and process.poll() is None:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            time.sleep(0.02)
        raise Broken(f"{group} didn't start: {Path(log.name).read_text('utf-8', 'replace')[-800:]}")

    def log_in(self, *names: str) -> dict[str, dict[str, str]]:
        """Return the headers of users who may write, by name."""
        command = [sys.executable, "-c", LOGIN, self.address, *names]
        cookies = json.loads(subprocess.check_output(command, cwd=LESSON))
        return {n: {"Cookie": f"login={cookies[n]}", "Origin": ORIGIN} for n in names}

    def dialect(self) -> Dialect:
        """Return how to speak to the board."""
        headers = self.log_in("ada")["ada"].items()
        return replace(board, headers=tuple(f"{name}: {value}" for name, value in headers))

    def processes(self, group: str) -> Iterator[psutil.Process]:
        """Yield the processes of a group that still run."""
        for process in self.groups[group]:
            with contextlib.suppress(psutil.NoSuchProcess):
                yield from [*process.children(recursive=True), process]

    def cpu(self) -> dict[str, float]:
        """Return the CPU seconds that each group has used."""
        used = dict.fromkeys(self.groups, 0.0)
        for group in self.groups:
            for process in self.processes(group):
                times = process.cpu_times()
                used[group] += times.user + times.system
        return used

    def memory(self, group: str) -> int:
        """Return the bytes that a group has in memory."""
        return sum(process.memory_info().rss for process in self.processes(group))

    def messages(self) -> int:
        """Return how many messages are stored."""
        from redis import Redis

        with Redis.from_url(self.address) as client:
            return int(client.get("{board}:id") or 0)

    def close(self) -> None:
        """End everything."""
        for group in self.groups:
            for process in self.processes(group):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            for process in self.groups[group]:
                process.wait()
        self._scratch.cleanup()


def free_ports(count: int) -> list[int]:
    """Return ports that nothing listens on."""
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in held]


def measure(way: Way, plan: Plan, result: Result) -> None:
    """Serve one room, and add what is found to the result."""
    with contextlib.closing(Servers(way, threads=plan.clients + 20)) as servers:
        load = Load(servers.port, servers.dialect(), plan.clients)
        with contextlib.closing(load):
            load.paced(0.01, 20, speakers=1)  # What is imported and made once is there from now on.
            gap, count = plan.clients / RATE, math.ceil(plan.paced * RATE / plan.clients)
            ages = load.paced(gap, count, speakers=1)
            before, first = servers.cpu(), servers.messages()
            rate, _ = load.full_speed(plan.full, SPEAKERS)
            after, deliveries = servers.cpu(), (servers.messages() - first) * plan.clients
        if not load.one_order:
            raise Broken("two clients received the messages in different orders")
    result.rates.append(rate)
    result.ages += ages
    result.costs.append({name: (after[name] - before[name]) / deliveries for name in after})


def measure_all(plan: Plan, say: Callable[[str], None]) -> dict[Way, Result]:
    """Measure all by turns, so that a busy minute of the machine hits them all."""
    results = {way: Result() for way in WAYS}
    for turn in range(plan.runs):
        for way, result in results.items():
            say(f"run {turn + 1} of {plan.runs}: {way}")
            try:
                measure(way, plan, result)
            except (Broken, OSError) as error:
                result.broken.append(f"{error}")
    return results


HEADS = ["served by", "deliveries", "median, ms", "99%, ms", "CPU", "board", "nginx", "Redis"]


def rows(results: dict[Way, Result]) -> list[list[str]]:
    """Return the table's cells."""
    base, found = results[WAYS[0]], []
    for way, result in results.items():
        if result.broken or base.broken:
            found.append([f"{way}", "; ".join(result.broken or base.broken), *[""] * 6])
            continue
        pace = statistics.median(a / b for a, b in zip(result.rates, base.rates, strict=True))
        ages = sorted(1000 * age for age in result.ages)
        times = statistics.median(ages), ages[int(0.99 * len(ages))]
        whole = [sum(cost.values()) for cost in result.costs]
        wholes = [sum(cost.values()) for cost in base.costs]
        cost = statistics.median(a / b for a, b in zip(whole, wholes, strict=True))
        parts = [statistics.median(c[g] for c in result.costs) for g in ("board", "nginx", "redis")]
        shares = [f"{100 * part / statistics.median(whole):.0f}%" for part in parts]
        cells = [f"{pace:.2f}", *(f"{each:.1f}" for each in times), f"{cost:.2f}", *shares]
        found.append([f"{way}", *cells])
    return found


def idle_memory(wanted: int, processes: int) -> str:
    """Open idle connections through nginx. Return, as a line, how many there were, and the cost."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    count = min(wanted, (most - SPARE) // 2)  # nginx needs two files for a client.
    with contextlib.closing(Servers(Way(processes), threads=count // processes + 200)) as servers:
        dialect = servers.dialect()
        with idle(servers.port, dialect, processes * 2):
            time.sleep(1)
        before = {group: servers.memory(group) for group in servers.groups}
        with idle(servers.port, dialect, count):
            time.sleep(1)
            after = {group: servers.memory(group) for group in servers.groups}
    kib = {group: (after[group] - before[group]) / count / 1024 for group in after}
    limit = f" (a program may open {most:,} files here)" if count < wanted else ""
    return (
        f"{count:,} idle connections to {processes} processes{limit} took "
        f"{kib['board']:.0f} KiB of the processes for each, {kib['nginx']:.1f} KiB of nginx, and "
        f"{kib['redis']:.1f} of Redis."
    )


def kill_one(clients: int, posts: int) -> str:
    """Kill one of three processes while clients post. Raises Unmet if a message is lost or twice.

    nginx runs with the lesson's own file, and with TLS.
    """
    names = [f"guest-{number}" for number in range(clients)]
    with contextlib.closing(Servers(Way(3, nginx=False), threads=clients + 20)) as servers:
        users = servers.log_in(*names)
        stage = Stage(start_fresh, LESSON, "1")
        try:
            nginx = stage.use(Nginx(stage, servers.ports))
            swarm = Swarm(stage, [f"wss://{nginx.host}/board/lobby"], users, posts)
            swarm.trust(trusting())
            victim = servers.groups["board"][1]
            began = time.monotonic()
            swarm.run(halfway=lambda: [each.kill() for each in [*victim.children(), victim]])
            swarm.expect_all_shown()
        finally:
            stage.close()
    return (
        f"{clients} clients sent {posts:,} posts through nginx with TLS, and one of three "
        f"processes was killed halfway. All {posts:,} posts were acknowledged, and every client "
        f"received each message once, in order, after {time.monotonic() - began:.1f} s."
    )


def conditions(results: dict[Way, Result], plan: Plan) -> list[str]:
    """Return, as lines, what was measured, and where."""
    rates = results[WAYS[0]].rates
    base = f"{statistics.median(rates):,.0f} deliveries a second" if rates else "nothing"
    return [
        f"{machine()}; {date.today():%-d %B %Y}; {plan.runs} run{'s' * (plan.runs > 1)} of each, "
        f"in rotation; {plan.clients} clients in one room. The clients, nginx and Redis run on "
        "the same cores. nginx has no TLS here.",
        f"1.00 is {base}.",
    ]


def printed(results: dict[Way, Result], notes: list[str]) -> str:
    """Return the table as text."""
    lines = [f"{cells[0]:<22}" + "".join(f"{c:>12}" for c in cells[1:]) for cells in rows(results)]
    heads = f"{HEADS[0]:<22}" + "".join(f"{head:>12}" for head in HEADS[1:])
    return "\n".join([heads, *lines, "", *notes])


def write(results: dict[Way, Result], notes: list[str]) -> None:
    """Replace the measured part of the page."""
    table = [f"| {' | '.join(HEADS)} |", f"|---|{'---:|' * (len(HEADS) - 1)}"]
    table += [f"| {' | '.join(cells)} |" for cells in rows(results)]
    for note in notes:
        lines = textwrap.wrap(f"- {note}", WIDTH, subsequent_indent="  ", break_on_hyphens=False)
        table += ["", *lines] if note is notes[0] else lines
    text = PAGE.read_text("utf-8")
    head, rest = text.split(BEGIN)
    PAGE.write_text(
        f"{head}{BEGIN}\n" + "\n".join(table) + f"\n\n{END}{rest.split(END)[1]}", "utf-8"
    )


def main() -> int:
    """Measure and print. Returns 1 if something broke."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one short run: a first look")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.relative_to(ROOT)}")
    parser.add_argument("--kill", action="store_true", help="only the kill of one process")
    options = parser.parse_args()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    plan = QUICK if options.quick else WHOLE
    killed = kill_one(60, plan.posts)
    if options.kill:
        print(textwrap.fill(killed, 100))
        return 0
    results = measure_all(plan, lambda text: print(text, file=sys.stderr, flush=True))
    notes = [*conditions(results, plan), idle_memory(plan.idle, processes=4), killed]
    print(printed(results, notes))
    if options.write:
        write(results, notes)
    return 1 if any(result.broken for result in results.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
