"""Forward bytes between clients and a server, and print what each recv() returns."""

import argparse
import contextlib
import socket
import threading

SHOWN = 32  # bytes to print from one recv()


# --8<-- [start:tap-pass]
def pass_on(source: socket.socket, target: socket.socket, arrow: str) -> None:
    """Forward bytes until the source disconnects."""
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            print(f"{arrow} recv: {in_words(data)}\n", end="", flush=True)
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


# --8<-- [end:tap-pass]


def in_words(data: bytes) -> str:
    """Return the first line of an HTTP message; other bytes in hex."""
    if data.startswith((b"GET ", b"HTTP/")):
        return data.partition(b"\r\n")[0].decode("latin-1") + " …"
    more = f" … {len(data):,} bytes" if len(data) > SHOWN else ""
    return data[:SHOWN].hex(" ") + more


def main() -> None:
    """Accept clients on one port, and connect each to the server's port."""
    parser = argparse.ArgumentParser(description="Print the bytes between clients and a server.")
    parser.add_argument("port", type=int, help="the port for clients")
    parser.add_argument("server", type=int, help="the port of the server")
    options = parser.parse_args()
    with socket.create_server(("127.0.0.1", options.port)) as listener:
        listener.settimeout(1.0)  # On Windows, Ctrl-C takes effect only between calls.
        while True:
            try:
                client, _ = listener.accept()
            except TimeoutError:
                continue
            server = socket.create_connection(("127.0.0.1", options.server))
            for ends in ((client, server, "client →"), (server, client, "server ←")):
                threading.Thread(target=pass_on, args=ends, daemon=True).start()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
