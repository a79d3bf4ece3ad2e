"""Count the bytes of HTTP that a `requests` session sends and receives."""

import http.client
import io
from functools import partial

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool
from urllib3.connection import HTTPConnection


class Meter(HTTPAdapter):
    """An adapter that counts requests and bytes. Mount it on a session.

    It counts request lines, status lines, headers and bodies, including those of incomplete
    responses. It doesn't count what TCP and IP add.
    """

    def __init__(self) -> None:
        self.requests = self.bytes_sent = self.bytes_received = 0
        super().__init__()

    def init_poolmanager(self, *args: object, **options: object) -> None:
        """Let `requests` use connections that count."""
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": partial(_Pool, self)}


class _Pool(HTTPConnectionPool):
    def __init__(self, meter: Meter, *args: object, **options: object) -> None:
        super().__init__(*args, **options)
        self.ConnectionCls = partial(_Connection, meter)


class _Connection(HTTPConnection):
    def __init__(self, meter: Meter, *args: object, **options: object) -> None:
        super().__init__(*args, **options)
        self.meter = meter
        self.response_class = partial(_Response, meter)

    def endheaders(self, *args: object, **options: object) -> None:
        # This connects first. A refused connection raises an exception and isn't counted.
        super().endheaders(*args, **options)
        self.meter.requests += 1

    def send(self, data: bytes) -> None:
        super().send(data)
        self.meter.bytes_sent += len(data)


class _Response(http.client.HTTPResponse):
    def __init__(self, meter: Meter, *args: object, **options: object) -> None:
        super().__init__(*args, **options)
        self.fp = io.BufferedReader(_Counted(self.fp.detach(), meter))


class _Counted(io.RawIOBase):
    """A stream that counts the bytes read from it."""

    def __init__(self, stream: io.RawIOBase, meter: Meter) -> None:
        self.stream, self.meter = stream, meter

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int | None:
        count = self.stream.readinto(buffer)
        self.meter.bytes_received += count or 0
        return count

    def close(self) -> None:
        self.stream.close()
        super().close()
