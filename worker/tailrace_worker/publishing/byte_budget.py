"""`ByteBudget`: a bound on the memory that unsent entries take."""

import asyncio


class ByteBudget:
    """Counts the bytes in use. Whoever produces more waits for `room` while the budget is full.

    Spending is never refused: what has been read from a provider is not thrown away.
    """

    def __init__(self, max_bytes: int) -> None:
        self.used_bytes = 0
        self.is_full = False
        """True while at least `max_bytes` are in use."""
        self._max_bytes = max_bytes
        self._room = asyncio.Event()

    def spend(self, count: int) -> None:
        """Count so many bytes more."""
        self.used_bytes += count
        if self.used_bytes >= self._max_bytes:
            self.is_full = True

    def free(self, count: int) -> None:
        """Count so many bytes less."""
        self.used_bytes -= count
        if self.is_full and self.used_bytes < self._max_bytes:
            self.is_full = False
            self._room.set()

    async def room(self) -> None:
        """Wait until the budget is not full: so reading from the providers waits when Redis does not keep up."""
        while self.is_full:
            self._room.clear()
            await self._room.wait()
