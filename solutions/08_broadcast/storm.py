"""Post to a room from eight threads at once: `storm.py BOARD ROOM SECONDS`."""

import sys
import threading
import time
from collections import Counter

import requests

THREADS = 8


def post(url: str, name: str, end: float, statuses: Counter) -> None:
    """Post one message after another until `time.monotonic()` reaches `end`."""
    with requests.Session() as session:
        session.trust_env = False  # Connect to the board directly, not through a proxy.
        while time.monotonic() < end:
            message = {
                "author": name,
                "text": f"{name} posts a rather long message. " * 5,
            }
            statuses[session.post(url, json=message).status_code] += 1


def main() -> None:
    """Post, and print how many responses had each status."""
    board, room, seconds = sys.argv[1:]
    end, statuses = time.monotonic() + float(seconds), Counter()
    url = f"{board.rstrip('/')}/rooms/{room}/messages"
    threads = [
        threading.Thread(target=post, args=(url, f"thread {number}", end, statuses))
        for number in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"{THREADS} threads posted:", dict(statuses))


if __name__ == "__main__":
    main()
