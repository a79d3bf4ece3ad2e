"""How much a grader reads of one answer: so many bytes, in so many seconds, whatever is sent."""

import socket
import time

LARGEST = 16 * 2**20  # bytes of a response, an event or a frame; a right one has at most 5 MiB
LARGEST_IN_WORDS = "16 MiB"


class TooMuch(Exception):
    """More bytes were sent than the grader reads."""


class BoundedSocket(socket.socket):
    """A TCP connection of which no more is read than `allow` says."""

    _deadline, _left = 0.0, 0

    def allow(self, seconds: float, size: int = LARGEST) -> None:
        """From now on, read at most so many bytes, for so many seconds."""
        self._deadline, self._left = time.monotonic() + seconds, size

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Receive as ever. Raises TimeoutError after the seconds, and TooMuch after the bytes."""
        self._hurry()
        data = super().recv(size, flags)
        self._count(len(data))
        return data

    def recv_into(self, buffer: memoryview, size: int = 0, flags: int = 0) -> int:
        """Receive as `recv` does, into a buffer: `makefile` reads this way."""
        self._hurry()
        size = super().recv_into(buffer, size, flags)
        self._count(size)
        return size

    def _hurry(self) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self.settimeout(left)

    def _count(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise TooMuch


def connect(host: str, port: int, seconds: float) -> BoundedSocket:
    """Return a connection that is allowed so many seconds for each answer, until `allow`."""
    tcp = socket.create_connection((host, port), seconds)
    bounded = BoundedSocket(tcp.family, tcp.type, tcp.proto, tcp.detach())
    bounded.settimeout(seconds)
    bounded.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    bounded.allow(seconds)
    return bounded
