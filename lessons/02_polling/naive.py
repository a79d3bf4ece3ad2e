"""A first attempt at polling: request the whole room repeatedly."""

import sys
import time

import requests

from meter import Meter


def main() -> None:
    """Run `naive.py URL ROOM SECONDS`: poll, and print the newest message and the bytes so far."""
    url, room, seconds = sys.argv[1:]
    session, meter = requests.Session(), Meter()
    session.trust_env = False  # The meter can't count what a proxy sends.
    session.mount("http://", meter)
    while True:
        messages = session.get(f"{url}/rooms/{room}/messages").json()["messages"]
        newest = messages[-1]["text"] if messages else None
        print(f"newest: {newest}, {meter.bytes_received:,} bytes so far", flush=True)
        time.sleep(float(seconds))


if __name__ == "__main__":
    main()
