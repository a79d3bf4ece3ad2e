"""What can be done to a connection on purpose: delay it, throttle it, hold it."""

import asyncio

SLICE = 0.05  # seconds; a throttled connection passes on as much as comes in this time
LONGEST_DELAY, LOWEST_RATE = 60.0, 10  # seconds; bytes a second


class Faults:
    """The faults of all connections. A change counts from the next bytes on."""

    def __init__(self) -> None:
        self.delay = 0.0  # seconds that all bytes are late, in each direction
        self.rate = 0  # bytes a second in each direction; 0 is as fast as they come
        self._flows = asyncio.Event()
        self._flows.set()

    def facts(self) -> dict:
        """Return what the page shows of them."""
        return {"delay": self.delay, "rate": self.rate, "held": not self._flows.is_set()}

    def hold(self, held: bool) -> None:
        """Let nothing through and close nothing, as a network that has gone does; or let it go."""
        if held:
            self._flows.clear()
        else:
            self._flows.set()

    async def wait(self, due: float) -> None:
        """Wait until bytes that are due then, by the loop's clock, may go on."""
        late = due - asyncio.get_running_loop().time()
        if late > 0:
            await asyncio.sleep(late)
        await self._flows.wait()

    async def slices(self, data: bytes):
        """Yield the bytes in pieces, at the pace that they may have."""
        while data and self.rate:
            most = max(1, int(self.rate * SLICE))
            piece, data = data[:most], data[most:]
            await asyncio.sleep(len(piece) / self.rate)
            await self._flows.wait()
            yield piece
        if data:
            yield data
