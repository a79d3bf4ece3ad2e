"""One room and many clients, on the course's board and on others: `python benchmarks/fanout.py`.

Measures the boards of lessons 8 and 12 under Werkzeug and gunicorn, and minimal versions of the
same room on other servers (benchmarks/peers), by turns and with the same clients. It installs
those in `.course/peers`, with pip, and with npm if Node is installed. POSIX only, like gunicorn.
"""

import argparse
import contextlib
import gc
import math
import resource
import shutil
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
from room_load import Broken, Dialect, Load

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from course.measuring.runs import machine  # noqa: E402
from course.setup import environment  # noqa: E402

PEERS = ROOT / "benchmarks" / "peers"
MADE = ROOT / ".course" / "peers"
PYTHON = MADE / "venv" / "bin" / "python"
BOARD = ROOT / "solutions" / "08_broadcast"
LIMITED = ROOT / "solutions" / "12_limits"
PAGE = ROOT / "docs" / "reference" / "fanout.md"
WIDTH = 136  # characters of a line of the page
RATE = 1_000  # deliveries a second, where the time of a delivery is measured
START = 30.0  # seconds that a server may take to start

board = Dialect(
    "/board/lobby?author=ada",
    '{"type": "post", "id": "[id]", "text": "{}"}',
    protocol="board.v1",
    acks=True,
)
with_login = replace(board, path="/board/lobby")
room = Dialect("/room", '{"text": "{}"}')
socketio = Dialect("/socket.io/?EIO=4&transport=websocket", '42["post",{"text": "{}"}]', hello="40")


@dataclass(frozen=True)
class Server:
    """Something that serves a room. In its command `{port}` and `{db}` are replaced."""

    name: str
    dialect: Dialect
    command: str
    folder: Path = PEERS
    login: str = ""  # A program that prints the cookie of a user who may write.


GUNICORN = "python -m gunicorn -b 127.0.0.1:{port} --worker-connections 2000 "
APP = "app:create_app({'DATABASE':'{db}'})"
ORIGIN = "http://127.0.0.1:5012"  # in the board's ORIGINS
FAR_AWAY = "'RATE':1e9,'MAX_PER_USER':1e9,'MAX_PER_ADDRESS':1e9,'MAX_CONNECTIONS':1e9"
LOGIN = """
import sys
from accounts import Accounts
accounts = Accounts(sys.argv[1], "pbkdf2:sha256:1")
accounts.add_user("ada", "a long password")
accounts.set_role("lobby", "ada", "writer")
print(accounts.log_in("ada", "session"))
"""
WERKZEUG, GTHREAD = "the board, Werkzeug", "the board, gthread"
TWELVE, STOPPED = "lesson 12's board, gthread", "lesson 12's, one client stopped"
THREADS, DAPHNE, UVICORN = "Flask-SocketIO, gthread", "Channels, daphne", "Channels, uvicorn"
WS, WEBSOCKETS, BARE = "Node's ws", "websockets", "(bare sockets)"
WITH_LIMITS = Server(
    TWELVE,
    with_login,
    f"{GUNICORN} -k gthread --threads 600 app:create_app({{'DATABASE':'{{db}}',{FAR_AWAY}}})",
    LIMITED,
    LOGIN,
)
SERVERS = [
    WITH_LIMITS,
    replace(WITH_LIMITS, name=STOPPED),
    Server(WERKZEUG, board, f"python -m flask --app {APP} run -p {{port}}", BOARD),
    Server(GTHREAD, board, f"{GUNICORN} -k gthread --threads 600 {APP}", BOARD),
    Server("the board, gevent", board, f"{GUNICORN} -k gevent {APP}", BOARD),
    Server(
        THREADS,
        socketio,
        f"{GUNICORN} -k gthread --threads 600 socketio_room:create_app('threading')",
    ),
    Server(
        "Flask-SocketIO, gevent",
        socketio,
        f"{GUNICORN} -k gevent socketio_room:create_app('gevent')",
    ),
    Server(DAPHNE, room, "python -m daphne -v 0 -p {port} channels_room:app"),
    Server(UVICORN, room, "python -m uvicorn --log-level error --port {port} channels_room:app"),
    Server(
        "Starlette, uvicorn",
        room,
        "python -m uvicorn --log-level error --port {port} starlette_room:app",
    ),
    Server(WEBSOCKETS, room, "python websockets_room.py {port}"),
    Server(WS, room, "node ws_room.js {port}"),
    Server(BARE, room, "python bare_room.py {port}"),
]


@dataclass(frozen=True)
class Plan:
    """How long to measure. `full` and `paced` are seconds for each number of clients."""

    runs: int
    sizes: dict[int, tuple[float, float]]
    talk: float  # seconds in which ten clients take turns


WHOLE = Plan(3, {10: (0.8, 1.0), 100: (1.0, 1.5), 500: (1.6, 3.0)}, talk=2.0)
QUICK = Plan(1, {10: (0.4, 0.5), 500: (1.0, 1.0)}, talk=1.0)
SPEAKERS, GAP = 10, 0.02  # clients that send by turns, and the seconds between two messages


@dataclass
class Result:
    """What the runs of one server with one number of clients found. Times are in seconds."""

    rates: list[float] = field(default_factory=list)  # deliveries a second
    shares: list[float] = field(default_factory=list)  # of a core, by the load generator
    ages: list[float] = field(default_factory=list)  # of deliveries at the modest rate
    talk: list[float] = field(default_factory=list)  # of deliveries while ten clients send
    memory: list[float] = field(default_factory=list)  # bytes a connection
    disorder: int = 0  # runs in which two clients read different orders
    broken: list[str] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Deliveries a second: the median."""
        return statistics.median(self.rates)


Results = dict[tuple[str, int], Result]


def prepare() -> list[Server]:
    """Install what the peers need, where that was not done; return the servers that can run."""
    stamp, wanted = MADE / "requirements.txt", PEERS / "requirements.txt"
    if not stamp.exists() or stamp.read_text("utf-8") != wanted.read_text("utf-8"):
        print(f"Making {MADE.relative_to(ROOT)}, once.", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(MADE / "venv")], check=True)
        subprocess.run([PYTHON, "-m", "pip", "install", "-q", "-r", wanted], check=True)
        shutil.copy(wanted, stamp)
    if shutil.which("node") and shutil.which("npm"):
        shutil.copy(PEERS / "package.json", MADE)
        command = ["npm", "install", "--prefix", str(MADE), "--no-audit", "--no-fund"]
        done = subprocess.run(command, capture_output=True, text=True)
        if not done.returncode:
            return SERVERS
        print(f"npm could not install ws:\n{done.stderr[-500:]}")
    print(f"{WS} is left out: node, npm or the package is not there. Ratios are to {WEBSOCKETS}.")
    return [server for server in SERVERS if server.name != WS]


@contextlib.contextmanager
def served(server: Server) -> Iterator[tuple[int, psutil.Process, Dialect]]:
    """Run the server on a free port of loopback; yield port, process, and how to speak to it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="fanout-", ignore_cleanup_errors=True) as scratch:
        words = server.command.replace("{port}", str(port)).replace("{db}", f"{scratch}/board.db")
        program, *rest = words.split()
        command = [str(PYTHON) if program == "python" else program, *rest]
        variables = environment.for_program(
            PYTHONDONTWRITEBYTECODE="1",
            PYTHONPATH=str(PEERS),
            NODE_PATH=str(MADE / "node_modules"),
        )
        dialect = server.dialect
        if server.login:
            login = [str(PYTHON), "-c", server.login, f"{scratch}/board.db"]
            cookie = subprocess.check_output(login, cwd=server.folder, env=variables, text=True)
            headers = (f"Cookie: login={cookie.strip()}", f"Origin: {ORIGIN}")
            dialect = replace(dialect, headers=headers)
        log = Path(scratch, "log")
        with log.open("wb") as out:
            process = psutil.Popen(
                command, cwd=server.folder, env=variables, stdout=out, stderr=out
            )
        try:
            _wait_for(port, process, log)
            yield port, process, dialect
        finally:
            for each in [*process.children(recursive=True), process]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.kill()
            process.wait()


def _wait_for(port: int, process: psutil.Popen, log: Path) -> None:
    end = time.monotonic() + START
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        time.sleep(0.02)
    raise Broken(f"it did not start: {log.read_text('utf-8', 'replace')[-1000:]}")


def memory(process: psutil.Process) -> int:
    """Return the bytes that the process and its children have in memory."""
    return sum(each.memory_info().rss for each in [process, *process.children(recursive=True)])


def measure(server: Server, clients: int, plan: Plan, result: Result) -> None:
    """Serve one room to so many clients, and add what is found to the result."""
    full, paced = plan.sizes[clients]
    with served(server) as (port, process, dialect):
        first = Load(port, dialect, 1)
        first.paced(0.01, 20, speakers=1)  # What is imported and made once is there from now on.
        first.close()
        time.sleep(0.2)
        before = memory(process)
        load = Load(port, dialect, clients)
        if server.name == STOPPED:
            load.add_stopped(port)
        try:
            time.sleep(0.2)
            grown = (memory(process) - before) / clients
            ages = load.paced(clients / RATE, math.ceil(paced * RATE / clients), speakers=1)
            talk = []
            if clients == SPEAKERS:
                talk = load.paced(GAP, round(plan.talk / GAP), SPEAKERS)
            rate, share = load.full_speed(full, SPEAKERS)
        finally:
            load.close()
    result.rates.append(rate)
    result.shares.append(share)
    result.disorder += not load.one_order
    result.ages += ages
    result.talk += talk
    result.memory.append(grown)


def measure_all(servers: list[Server], plan: Plan, say: Callable[[str], None]) -> Results:
    """Measure all by turns, so that a busy minute of the machine hits them all."""
    results = {(server.name, size): Result() for size in plan.sizes for server in servers}
    for turn in range(plan.runs):
        for size in plan.sizes:
            for server in servers:
                say(f"run {turn + 1} of {plan.runs}, {size} clients: {server.name}")
                result = results[server.name, size]
                gc.collect()
                try:
                    measure(server, size, plan, result)
                except (Broken, OSError) as error:
                    result.broken.append(f"{error}")
    return results


def base_of(results: Results) -> str:
    """Return the name of the server that the others are compared with."""
    return WS if any(name == WS for name, _ in results) else WEBSOCKETS


def ratio(results: Results, name: str, other: str, size: int) -> float:
    """Return the median of the ratios of two servers' rates, each of one run."""
    one, two = results[name, size].rates, results[other, size].rates
    return statistics.median(a / b for a, b in zip(one, two, strict=False)) if one and two else 0.0


def percentiles(times: list[float]) -> tuple[float, float]:
    """Return the median and the 99th percentile, in milliseconds."""
    times = sorted(times)
    return 1000 * statistics.median(times), 1000 * times[int(0.99 * len(times))]


def rows(results: Results, size: int) -> list[list[str]]:
    """Return the table's cells for one number of clients, the fastest server first."""
    base, largest = base_of(results), max(size for _, size in results)
    names = [name for name, clients in results if clients == size]
    found = []
    for name in sorted(names, key=lambda name: -ratio(results, name, base, size)):
        result = results[name, size]
        if not result.rates or result.broken:
            found.append([name, "; ".join(sorted(set(result.broken))), "", "", "", ""])
            continue
        median, high = percentiles(result.ages)
        kept = f"{statistics.median(result.memory) / 1024:.0f}" if size == largest else ""
        order = "no" if result.disorder else "yes"
        pace = f"{ratio(results, name, base, size):.2f}"
        found.append([name, pace, f"{median:.1f}", f"{high:.1f}", order, kept])
    return found


HEADS = ["server", "deliveries", "median, ms", "99%, ms", "one order", "KiB each"]


def targets(results: Results) -> list[str]:
    """Return a line for each limit that the board must keep, and whether it does."""
    found, size = [], max(size for _, size in results)

    def line(what: str, value: float, least: float = 0, most: float = math.inf) -> None:
        limit = f"at least {least:g}" if least else f"at most {most:g}"
        verdict = "holds" if least <= value <= most else "MISSED"
        found.append(f"{what}: {value:.2f}, {limit}: {verdict}")

    twelve, other = results[TWELVE, size], results[STOPPED, size]
    at = f"{size} clients, {TWELVE}"
    if base_of(results) == WS:
        line(f"{at}, as a ratio to {WS}", ratio(results, TWELVE, WS, size), least=3)
        times = [statistics.median(results[name, size].ages or [math.inf]) for name in (TWELVE, WS)]
        line(f"{at}, median delivery as a ratio to {WS}", times[0] / times[1], most=1)
    line(f"{at}, rate with one client stopped", ratio(results, STOPPED, TWELVE, size), least=0.9)
    broken = sum(len(each.broken) + each.disorder for each in (twelve, other))
    line(f"{at}, runs with a message lost, doubled or out of order", broken, most=0)
    at = f"{size} clients, {GTHREAD}, as a ratio to"
    if base_of(results) == WS:
        line(f"{at} {WS}", ratio(results, GTHREAD, WS, size), least=0.35)
    line(f"{at} {THREADS}", ratio(results, GTHREAD, THREADS, size), least=5)
    quickest = max(DAPHNE, UVICORN, key=lambda name: ratio(results, name, GTHREAD, size))
    line(f"{at} {quickest}", ratio(results, GTHREAD, quickest, size), least=15)
    talk = results[WERKZEUG, SPEAKERS].talk
    delay = statistics.median(talk) * 1000 if talk else math.inf
    gap = f"{SPEAKERS} clients that send by turns, {1000 * GAP:g} ms apart"
    line(f"{gap}, {WERKZEUG}, median delivery in ms", delay, most=5)
    ours = [result for (name, _), result in results.items() if name.startswith("the board")]
    broken = sum(len(result.broken) + result.disorder for result in ours)
    line("runs of the board with a message lost, doubled or out of order", broken, most=0)
    return found


def conditions(results: Results, plan: Plan) -> list[str]:
    """Return, as lines, what was measured, where, and whether the clients kept up."""
    base, size = base_of(results), max(size for _, size in results)
    shares = {key: statistics.median(r.shares) for key, r in results.items() if r.shares}
    busiest = max((key for key in shares if key[0] != BARE), key=lambda key: shares[key])
    return [
        f"{machine()}; {date.today():%-d %B %Y}; {plan.runs} run{'s' * (plan.runs > 1)} of each "
        "server, in rotation.",
        f"1.00 is {results[base, size].rate:,.0f} deliveries a second ({base}, {size} clients).",
        f"The load generator used at most {shares[busiest]:.2f} of a core ({busiest[0]}, "
        f"{busiest[1]} clients). With bare sockets, {size} clients received "
        f"{results[BARE, size].rate:,.0f} deliveries a second.",
    ]


def printed(results: Results, plan: Plan) -> str:
    """Return the tables as text."""
    lines = []
    for size in plan.sizes:
        cells = [HEADS, *rows(results, size)]
        lines.append(f"{size} clients in one room; deliveries as a ratio to {base_of(results)}")
        for name, *others in cells:
            lines.append(f"  {name:<24}" + "".join(f"{cell:>12}" for cell in others))
        lines.append("")
    return "\n".join([*lines, *conditions(results, plan), "", *targets(results)])


def page(results: Results, plan: Plan) -> str:
    """Return the page of the site."""
    base = base_of(results)
    parts = [
        "---",
        'description: "A fan-out benchmark: the boards of lessons 8 and 12 compared with ws, '
        'websockets, Starlette, Flask-SocketIO and Channels."',
        "---",
        "",
        "# Fan-out benchmark: one room, many clients",
        "",
        *wrapped(
            "One client posts, and every client in the room receives the message. The tables "
            "compare the boards of [lesson 8](../lessons/08_broadcast.md) and "
            "[lesson 12](../lessons/12_limits.md) with a minimal version of the same room on other "
            "servers. The boards store each message in SQLite and acknowledge it, and lesson 12's "
            "checks the author's role; the others don't. All clients have the same name, so the "
            "boards send no presence messages."
        ),
        "",
        *wrapped(
            "*Deliveries* is the number of deliveries a second at full speed, relative to "
            f"{base}: higher is better. The times, *median* and *99%*, run from a post to its "
            f"delivery, at a rate of {RATE:,} deliveries a second. *One order* says whether all "
            "clients received all messages in the same order in every run. *KiB each* is the "
            "server memory that each idle connection takes. *Bare sockets* isn't a server: it "
            "shows how fast one Python thread can pass frames to the operating system."
        ),
    ]
    for size in plan.sizes:
        wide = HEADS if size == max(plan.sizes) else HEADS[:-1]
        title = f"## Fan-out to {size} clients {{ #{size}-clients }}"
        parts += ["", title, "", f"| {' | '.join(wide)} |"]
        parts += [f"|---|{'---:|' * (len(wide) - 1)}"]
        parts += [f"| {' | '.join(cells[: len(wide)])} |" for cells in rows(results, size)]
    parts += ["", "## How the fan-out was measured { #where-and-how }", ""]
    notes = [
        *conditions(results, plan),
        "Each client must receive each message exactly once; otherwise the run fails.",
        "To repeat the benchmark on your machine, run `python benchmarks/fanout.py`; add `--quick` "
        "for a first look. The script also checks the ratios that the board must reach.",
    ]
    for note in notes:
        parts += wrapped(f"- {note}", "  ")
    return "\n".join([*parts, ""])


def wrapped(text: str, indent: str = "") -> list[str]:
    """Return the lines of a paragraph of the page."""
    return textwrap.wrap(text, WIDTH, subsequent_indent=indent, break_on_hyphens=False)


def main() -> int:
    """Measure and print. Returns 1 if the board misses one of its targets."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one short run: a first look")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.relative_to(ROOT)}")
    options = parser.parse_args()
    plan, servers = QUICK if options.quick else WHOLE, prepare()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # Lesson 12 needs two for a client.
    began = time.monotonic()
    results = measure_all(servers, plan, lambda text: print(text, file=sys.stderr, flush=True))
    print(printed(results, plan))
    print(f"\nIt took {(time.monotonic() - began) / 60:.1f} minutes.")
    if options.write:
        PAGE.write_text(page(results, plan), "utf-8")
        print(f"Written: {PAGE.relative_to(ROOT)}")
    return 1 if any(line.endswith("MISSED") for line in targets(results)) else 0


if __name__ == "__main__":
    sys.exit(main())
