"""The turns of a player that no tick has used yet."""

from collections import deque

AHEAD = 20  # ticks: a turn for a later tick is rejected
QUEUE = 4  # turns of a player that may be queued


class Refused(Exception):
    """A request that gets an error as its reply: `code` for programs, `detail` for people."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class Turns:
    """A player's turns, in the order of their sequence numbers."""

    def __init__(self) -> None:
        self.newest = 0  # the largest sequence number that was accepted
        self.acked = 0  # the largest one that a tick has used
        self.waiting: deque[tuple[int, int, str]] = deque()  # sequence number, tick, direction

    def add(self, seq: int, tick: int, direction: str, now: int) -> None:
        """Accept a turn for a tick. `now` is the newest tick of the game. Raises Refused."""
        # --8<-- [start:inputs] Ignore a turn that isn't new. Reject one that is early or too many.
        if seq <= self.newest:
            return
        if tick > now + AHEAD:
            raise Refused("early", f"tick must be at most {AHEAD} above the game's.")
        if len(self.waiting) >= QUEUE:
            raise Refused("too_many", f"At most {QUEUE} turns may wait.")
        self.newest = seq
        self.waiting.append((seq, tick, direction))
        # --8<-- [end:inputs]

    def take(self, tick: int) -> str | None:
        """Return the direction to use in this tick, if there is one: one turn at most."""
        # --8<-- [start:inputs-take] If the first turn is due, remove it, and set `acked`.
        if not self.waiting or self.waiting[0][1] > tick:
            return None
        self.acked, _, direction = self.waiting.popleft()
        return direction
        # --8<-- [end:inputs-take]
