"""An echo server on a TCP socket, which uses wire.py for the WebSocket protocol."""

import argparse
import contextlib
import socket
import sys
import threading
import time
from http import HTTPStatus

import wire

CHUNK = 65536  # bytes; the most to read at once
LONGEST_HEAD = 16384  # bytes; a longer request is dropped
PATIENCE = 20.0  # seconds to wait for the request, and for the client to disconnect at the end


def serve(connection: socket.socket) -> None:
    """Serve one client: the handshake, then frames until either side closes."""
    with connection, contextlib.suppress(OSError):  # A client may disconnect at any time.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(PATIENCE)
        rest = shake_hands(connection)
        if rest is not None:
            connection.settimeout(None)
            connection.sendall(converse(connection, rest))
        hang_up(connection)


def shake_hands(connection: socket.socket) -> bytes | None:
    """Respond to the request. Returns the bytes after it; None if it isn't a handshake."""
    head, rest = receive_head(connection)
    try:
        key = wire.check_request(*parse_head(head))
    except wire.Refusal as refusal:
        connection.sendall(refused(refusal))
        return None
    lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
    lines += [f"Sec-WebSocket-Accept: {wire.accept_key(key)}", "", ""]
    connection.sendall("\r\n".join(lines).encode())
    return rest


def receive_head(connection: socket.socket) -> tuple[bytes, bytes]:
    """Read up to the empty line. Any bytes after it belong to the first frame."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(CHUNK)
        if not more or len(data) > LONGEST_HEAD:
            return b"", b""
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def parse_head(head: bytes) -> tuple[str, str, wire.Headers]:
    """Return the method, version and headers of a request; empty values if it isn't one."""
    line, *fields = head.decode("latin-1").split("\r\n")
    words = line.split(" ")
    if len(words) != 3:
        return "", "", []
    pairs = (field.partition(":") for field in fields)
    return words[0], words[2], [(name, value.strip()) for name, _, value in pairs]


def refused(refusal: wire.Refusal) -> bytes:
    """Return the HTTP response to a request that isn't a valid handshake."""
    lines = [f"HTTP/1.1 {refusal.status} {HTTPStatus(refusal.status).phrase}"]
    body = f"{refusal}\n".encode()
    headers = {"Content-Type": "text/plain; charset=utf-8", "Content-Length": len(body)}
    headers |= {"Connection": "close", **refusal.headers}
    if refusal.status == HTTPStatus.UPGRADE_REQUIRED:  # RFC 9110, section 15.5.22
        headers |= {"Connection": "close, Upgrade", "Upgrade": "websocket"}
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def converse(connection: socket.socket, data: bytes) -> bytes:
    """Exchange frames until the connection ends. Returns the close frame to send, or b""."""
    try:
        return talk(connection, data)
    except wire.Violation as violation:
        return closing(violation.code, str(violation))
    except OSError:
        return b""
    except Exception:
        connection.sendall(closing(1011, "internal error"))
        hang_up(connection)
        raise


# --8<-- [start:talk-loop]
def talk(connection: socket.socket, data: bytes) -> bytes:
    """Echo each message until the client closes; return the close frame to send back."""
    decoder, messages = wire.Decoder(client=True), wire.Messages()
    while True:
        for frame in decoder.feed(data):
            owed = wire.answer(frame) or b""
            if frame.opcode == wire.CLOSE:
                return owed
            connection.sendall(owed + echo(messages.feed(frame)))
        data = connection.recv(CHUNK)
        if not data:
            return b""


# --8<-- [end:talk-loop]


def echo(message: str | bytes | None) -> bytes:
    """Return the frame that sends a message back."""
    if message is None:
        return b""
    if isinstance(message, str):
        return wire.encode(wire.TEXT, message.encode())
    return wire.encode(wire.BINARY, message)


def closing(code: int, reason: str) -> bytes:
    """Return a close frame, with the reason cut to 123 bytes."""
    short = reason.encode()[:123].decode("utf-8", "ignore")
    return wire.encode(wire.CLOSE, wire.close_payload(code, short))


def hang_up(connection: socket.socket) -> None:
    """Stop sending, and read until the client disconnects.

    If unread bytes are left, TCP sends a reset, which may overtake the close frame.
    """
    connection.shutdown(socket.SHUT_WR)
    end = time.monotonic() + PATIENCE
    while (left := end - time.monotonic()) > 0:
        connection.settimeout(left)
        if not connection.recv(CHUNK):
            return


def main() -> None:
    """Listen until Ctrl-C."""
    parser = argparse.ArgumentParser(description="Echo the messages of WebSocket clients.")
    parser.add_argument("--port", type=int, default=5005, help="0 picks a free port")
    port = parser.parse_args().port
    try:
        listener = socket.create_server(("127.0.0.1", port), backlog=128)
    except OSError as error:
        advice = "Stop the program that uses the port, or choose another --port."
        sys.exit(f"server.py: {error.strerror}. {advice}")
    print(f"ws://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    listener.settimeout(1.0)  # On Windows, Ctrl-C takes effect only between calls.
    with listener, contextlib.suppress(KeyboardInterrupt):
        while True:
            with contextlib.suppress(TimeoutError):
                connection, _ = listener.accept()
                threading.Thread(target=serve, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    main()
