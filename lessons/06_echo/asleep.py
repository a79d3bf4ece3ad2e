"""Open five connections, send bye on each, then stop responding: `asleep.py PORT`."""

import os
import socket
import sys
import time

PATIENCE = float(os.environ.get("COURSE_PATIENCE") or 1)  # more on a slow machine
SECONDS = 3.0 * PATIENCE  # how long the server is watched
HANDSHAKE = (
    b"GET /echo?name=ada HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
BYE = b"\x81\x83\x00\x00\x00\x00bye"  # a text frame, masked with zeros


def main() -> None:
    """Print how many of the five connections the server has ended."""
    try:
        clients = [open_and_say_bye(int(sys.argv[1])) for _ in range(5)]
    except OSError as error:
        sys.exit(f"There is no server on port {sys.argv[1]}: {error}. Start it first.")
    end = time.monotonic() + SECONDS
    released = sum(has_ended(client, end) for client in clients)
    print(f"The server has released {released} of {len(clients)} clients.")


def open_and_say_bye(port: int) -> socket.socket:
    """Return a client that has connected and sent bye."""
    client = socket.create_connection(("127.0.0.1", port))
    client.sendall(HANDSHAKE)
    client.recv(4096)  # A frame sent together with the handshake might be lost.
    client.sendall(BYE)
    return client


def has_ended(client: socket.socket, end: float) -> bool:
    """Return whether the server ends TCP before `end`, a time of time.monotonic()."""
    try:
        client.settimeout(max(0.1, end - time.monotonic()))
        while client.recv(4096):
            client.settimeout(max(0.1, end - time.monotonic()))
    except TimeoutError:
        return False
    except ConnectionError:
        pass
    return True


if __name__ == "__main__":
    main()
