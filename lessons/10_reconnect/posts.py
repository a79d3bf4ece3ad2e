"""Post numbered texts to the room lobby as bob: `posts.py BOARD FIRST LAST`."""

import sys

import requests


def main(board: str, first: int, last: int) -> None:
    """Post from "message FIRST" to "message LAST"."""
    with requests.Session() as session:
        session.trust_env = False  # Connect to the board directly, not through a proxy.
        for number in range(first, last + 1):
            message = {"author": "bob", "text": f"message {number}"}
            session.post(f"{board}/rooms/lobby/messages", json=message).raise_for_status()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
