"""Say hello to an echo server, by the library `websockets`, in three ways."""

import sys

from websockets.sync.client import connect


def main() -> None:
    """Talk to the server whose address is on the command line."""
    with connect(sys.argv[1], compression=None) as echo:
        for _ in range(2):
            echo.send("Hello")
            print(echo.recv())

        for number in range(100):  # Without waiting for an answer in between.
            echo.send(f"number {number}")
        print(len([echo.recv() for _ in range(100)]), "answers")

        echo.send("Hello" * 40_000)
        print(len(echo.recv()), "characters")


if __name__ == "__main__":
    main()
