"""A client's connection. What is sent is queued in its outbox until the writer sends it."""

import socket
from contextlib import suppress

from simple_websocket import ConnectionClosed, Server

from snapshots import frame
from writer import PING, Outbox, QueuedSocket, Writer, encode

MAX_FRAMES = 100  # that may be queued for a client


class Connection:
    """One client's WebSocket."""

    def __init__(self, ws: Server, writer: Writer, max_bytes: int) -> None:
        self.ws, self._writer = ws, writer
        self.outbox = Outbox(ws.sock, max_bytes, MAX_FRAMES)
        self.has_key = False  # The client has a snapshot, and can use differences.
        # simple-websocket writes pongs and close frames to `ws.sock` from a thread of its own.
        ws.sock = QueuedSocket(ws, self.outbox, writer)

    @property
    def ending(self) -> tuple[int, str] | None:
        """The close code and reason if we have closed the connection."""
        return self.outbox.ending

    def put(self, message: dict) -> None:
        """Queue one message, and never wait. Raises ConnectionClosed if the client is gone."""
        if self.ending or not self.ws.connected:
            raise ConnectionClosed(*(self.ending or (self.ws.close_reason, self.ws.close_message)))
        self._writer.put([self.outbox], frame(message))

    def send(self, message: dict) -> None:
        """Queue one message as soon as the client has read most of what was queued before.

        Don't call it while you hold a lock. Raises ConnectionClosed like `put`.
        """
        self._writer.wait(self.outbox, self.outbox.max_bytes // 4)
        self.put(message)

    def waits(self, name: str) -> bool:
        """Return whether a frame of this name is queued: the writer hasn't started to send it."""
        return name in self.outbox.waiting

    def close(self, code: int, reason: str) -> None:
        """Send nothing more than a close frame."""
        self._writer.close(self.outbox, code, reason)

    def release(self) -> None:
        """Write nothing more."""
        self._writer.release(self.outbox)

    @property
    def writes(self) -> int:
        """The number of writes to the client."""
        return self.outbox.writes

    def ping(self) -> bool:
        """Queue a ping unless other frames are queued. Returns whether it was queued.

        It sets `ws.pong_received` to False. The library sets it to True when a pong arrives.
        """
        if self.outbox.size:
            return False
        self.ws.pong_received = False
        self._writer.put([self.outbox], encode(PING, b""))
        return True

    def cut(self) -> None:
        """End the connection at once, without a close frame, for all threads that use it."""
        with suppress(OSError):
            self.outbox.sock.shutdown(socket.SHUT_RDWR)
