"""Talk to a board by hand: `talk.py URL` sends each line of its input, and prints each reply."""

import os
import sys
from collections.abc import Iterator

from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import ClientConnection, connect

PATIENCE = float(os.environ.get("COURSE_PATIENCE") or 1)  # more on a slow machine
SECONDS = 1.0 * PATIENCE  # how long to wait for a message


def receive(socket: ClientConnection) -> None:
    """Print the next message, or that none was received."""
    try:
        print("←", socket.recv(SECONDS), flush=True)
    except TimeoutError:
        print(f"← nothing for {SECONDS:g} s", flush=True)


def typed() -> Iterator[str]:
    """Yield the lines of the input, and show each with an arrow."""
    terminal = sys.stdin.isatty()  # A terminal shows what is typed.
    while True:
        if terminal:
            print("→ ", end="", flush=True)
        line = sys.stdin.readline()
        if not line:
            return
        line = line.rstrip("\n")
        if not terminal:
            print("→", line)
        yield line


def main() -> None:
    """Talk until the input or the connection ends."""
    try:
        with connect(sys.argv[1], subprotocols=["board.v1"], proxy=None) as socket:
            receive(socket)
            for line in typed():
                socket.send(line)
                receive(socket)
    except (ConnectionClosed, InvalidHandshake) as end:
        print("✂", end)
    except OSError as error:
        sys.exit(f"There is no server at {sys.argv[1]}: {error}. Start it first.")


if __name__ == "__main__":
    main()
