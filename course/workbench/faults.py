"""Network faults on purpose: delay, throttle, hold."""

import asyncio

SLICE = 0.05  # seconds between two pieces of a throttled connection
LONGEST_DELAY, LOWEST_RATE = 60.0, 10  # seconds; bytes a second


class Faults:
    """The faults of all connections. A change applies to the next bytes."""

    def __init__(self) -> None:
        self.delay = 0.0  # seconds, in each direction
        self.rate = 0  # bytes a second in each direction; 0 is unlimited
        self._flows = asyncio.Event()
        self._flows.set()

    def facts(self) -> dict:
        """Return what the page shows of the faults."""
        return {"delay": self.delay, "rate": self.rate, "held": not self._flows.is_set()}

    def hold(self, held: bool) -> None:
        """Stop forwarding without closing anything, as a lost network does; or continue."""
        if held:
            self._flows.clear()
        else:
            self._flows.set()

    async def wait(self, due: float) -> None:
        """Wait until bytes may be forwarded that are due at this time of the loop's clock."""
        late = due - asyncio.get_running_loop().time()
        if late > 0:
            await asyncio.sleep(late)
        await self._flows.wait()

    async def slices(self, data: bytes):
        """Yield the bytes in pieces, at the throttled rate."""
        while data and self.rate:
            most = max(1, int(self.rate * SLICE))
            piece, data = data[:most], data[most:]
            await asyncio.sleep(len(piece) / self.rate)
            await self._flows.wait()
            yield piece
        if data:
            yield data
