"""A first try at polling: ask for the room again and again."""

import sys
import time

import requests

from meter import Meter


def main() -> None:
    """Poll `naive.py URL ROOM SECONDS`, and print what has come so far."""
    url, room, seconds = sys.argv[1:]
    session, meter = requests.Session(), Meter()
    session.mount("http://", meter)
    while True:
        messages = session.get(f"{url}/rooms/{room}/messages").json()["messages"]
        newest = messages[-1]["text"] if messages else None
        print(f"newest: {newest}, {meter.bytes_received:,} bytes so far", flush=True)
        time.sleep(float(seconds))


if __name__ == "__main__":
    main()
