"""`ByteBudget`: a limit to the memory that unsent entries take."""

import asyncio


class ByteBudget:
    """A count of the bytes in use. An attempt that reads from a provider waits for `room` while the budget is full.

    `spend` never refuses bytes: a piece that was read from a provider is never dropped.
    """

    def __init__(self, max_bytes: int) -> None:
        """Start with no bytes in use.

        Args:
            max_bytes: At this many bytes in use, the budget is full.
        """
        self.used_bytes = 0
        self.is_full = False
        """True while at least `max_bytes` are in use."""
        self._max_bytes = max_bytes
        self._room = asyncio.Event()

    def spend(self, count: int) -> None:
        """Add bytes to those in use.

        Args:
            count: How many bytes.
        """
        self.used_bytes += count
        if self.used_bytes >= self._max_bytes:
            self.is_full = True

    def free(self, count: int) -> None:
        """Take bytes from those in use.

        Args:
            count: How many bytes.
        """
        self.used_bytes -= count
        if self.is_full and self.used_bytes < self._max_bytes:
            self.is_full = False
            self._room.set()

    async def room(self) -> None:
        """Wait until the budget is not full, so that the providers are read no faster than Redis takes the entries."""
        while self.is_full:
            self._room.clear()
            await self._room.wait()
