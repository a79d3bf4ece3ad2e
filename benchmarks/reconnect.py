"""Lesson 10's page on a network that cuts at random bytes: `python benchmarks/reconnect.py`.

For each seed, a real browser shows lesson 10's page, behind a proxy that cuts its WebSocket in the
middle of a frame, or between a commit and its ack. The page posts half of the messages and other
users the other half. In the end, each message must be stored once, and shown once and in order.
Exits with 1 if any run lost or doubled a message.
"""

import argparse
import os
import random
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("COURSE_PATIENCE", "10")  # A page with thousands of rows is slow.

from course.grading.children import start_fresh  # noqa: E402
from course.grading.cutter import EACH, Cutter, posted_through_cuts  # noqa: E402
from course.grading.stage import Server, Stage  # noqa: E402
from course.grading.waiting import LASTING  # noqa: E402

LESSON = ROOT / "solutions" / "10_reconnect"
HOUR = 3600.0  # seconds; the heartbeat isn't part of this


def main() -> int:
    """Run each seed, and print a line for each."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--messages", type=int, default=10_000, help="10000, if not given")
    options.add_argument("--seeds", type=int, default=10, help="how many runs: 10, if not given")
    options.add_argument("--seed", type=int, help="the seed of the first run: a random one")
    given = options.parse_args()
    first = random.randrange(10**6) if given.seed is None else given.seed
    print("   seed  seconds  cuts  resumed  paged  lost  twice")
    with LASTING:
        faults = [one_run(seed, given.messages) for seed in range(first, first + given.seeds)]
    return 1 if any(faults) else 0


def one_run(seed: int, messages: int) -> bool:
    """Run one seed, and print what happened. Returns whether anything was lost or doubled."""
    stage, started = Stage(start_fresh, LESSON, f"{seed}"), time.monotonic()
    try:
        server, room = stage.serve(HEARTBEAT=HOUR, REPLAY=150), stage.name()
        network = stage.use(Cutter(server.port, stage.random))
        shown = posted_through_cuts(server, network, room, messages // 2 // EACH)
        kept = stored(server, room)
    finally:
        stage.close()
    mine = [text for _, author, text in kept if author == "ada"]
    written = [f"{number}" for number in range(messages // 2 // EACH * EACH)]
    lost = len(set(written) - set(mine)) + len([row for row in kept if row not in shown])
    twice = len(mine) - len(set(mine)) + len(shown) - len({row[0] for row in shown})
    yes, no = network.said.values()
    seconds, cuts = time.monotonic() - started, sum(network.cuts.values())
    print(f"{seed:>7}{seconds:>9.1f}{cuts:>6}{yes:>9}{no:>7}{lost:>6}{twice:>7}", flush=True)
    return mine != written or shown != kept


def stored(server: Server, room: str) -> list[list]:
    """Return the id, author and text of each message of the room, as REST lists them."""
    found, after = [], 0
    while True:
        path = f"/rooms/{room}/messages"
        page = server.client("test").get(path, after=after, limit=200).json()["messages"]
        if not page:
            return found
        found += [[message["id"], message["author"], message["text"]] for message in page]
        after = found[-1][0]


if __name__ == "__main__":
    sys.exit(main())
