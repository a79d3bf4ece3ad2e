"""Send messages to an echo server with the `websockets` library, and print the replies."""

import sys

from websockets.sync.client import connect


# --8<-- [start:hello-main]
def main() -> None:
    """Connect to the URL on the command line."""
    with connect(sys.argv[1], compression=None, proxy=None) as echo:
        for _ in range(2):
            echo.send("Hello")
            print(echo.recv())

        for number in range(100):  # Send all before reading any reply.
            echo.send(f"number {number}")
        print(len([echo.recv() for _ in range(100)]), "replies")

        echo.send("Hello" * 40_000)
        print(len(echo.recv()), "characters")


# --8<-- [end:hello-main]


if __name__ == "__main__":
    main()
