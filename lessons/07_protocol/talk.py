"""Talk to a board by hand: `talk.py URL` sends each line of its input, and prints what comes."""

import sys
from collections.abc import Iterator

from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import ClientConnection, connect

SECONDS = 1.0  # how long an answer is waited for


def hear(socket: ClientConnection) -> None:
    """Print the next message, or that none came."""
    try:
        print("←", socket.recv(SECONDS), flush=True)
    except TimeoutError:
        print(f"← nothing for {SECONDS:g} s", flush=True)


def typed() -> Iterator[str]:
    """Return the lines of the input as they come, each shown with an arrow."""
    terminal = sys.stdin.isatty()  # It shows what is typed.
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
    """Talk until the input ends, or the connection does."""
    try:
        with connect(sys.argv[1], subprotocols=["board.v1"]) as socket:
            hear(socket)
            for line in typed():
                socket.send(line)
                hear(socket)
    except (ConnectionClosed, InvalidHandshake) as end:
        print("✂", end)


if __name__ == "__main__":
    main()
