"""The room on bare sockets: as fast as one Python thread can hand a frame to the system.

`python bare_room.py PORT`. It is no server for anybody: it shows what the load generator can take.
"""

import base64
import hashlib
import itertools
import json
import re
import selectors
import socket
import sys

from messages import WELCOME, delivery

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def frame(message: dict) -> bytes:
    """Return a text frame (RFC 6455, section 5.2) of 126 bytes or more, or of fewer."""
    data = json.dumps(message).encode()
    size = bytes([len(data)]) if len(data) < 126 else b"\x7e" + len(data).to_bytes(2, "big")
    return b"\x81" + size + data


def shake(client: socket.socket) -> bool:
    """Answer the handshake (RFC 6455, section 4.2.2), and greet. False if the client has gone."""
    head = b""
    while b"\r\n\r\n" not in head:
        data = client.recv(4096)
        if not data:
            return False
        head += data
    key = re.search(rb"(?i)sec-websocket-key: (\S+)", head)[1]
    proof = base64.b64encode(hashlib.sha1(key + GUID).digest())
    answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    client.sendall(answer + b"Sec-WebSocket-Accept: " + proof + b"\r\n\r\n" + frame(WELCOME))
    return True


def posts(buffer: bytearray) -> list[str]:
    """Take the whole frames out of the buffer; return their payloads."""
    found = []
    while len(buffer) >= 8:
        long = buffer[1] & 127 == 126
        size = int.from_bytes(buffer[2:4], "big") if long else buffer[1] & 127
        start = 8 if long else 6
        if len(buffer) < start + size:
            break
        mask, data = buffer[start - 4 : start], buffer[start : start + size]
        found.append(bytes(a ^ b for a, b in zip(data, itertools.cycle(mask))).decode())
        del buffer[: start + size]
    return found


def main(port: int) -> None:
    """Serve until killed."""
    door = socket.create_server(("127.0.0.1", port), backlog=1024)
    ready, clients = selectors.DefaultSelector(), {}
    ready.register(door, selectors.EVENT_READ)
    while True:
        for key, _ in ready.select():
            if key.fileobj is door:
                client = door.accept()[0]
                if shake(client):
                    clients[client] = bytearray()
                    ready.register(client, selectors.EVENT_READ)
                continue
            data = key.fileobj.recv(65536)
            if not data:
                ready.unregister(key.fileobj)
                del clients[key.fileobj]
                continue
            clients[key.fileobj] += data
            for post in posts(clients[key.fileobj]):
                message = frame(delivery(post))
                for client in clients:
                    client.sendall(message)


if __name__ == "__main__":
    main(int(sys.argv[1]))
