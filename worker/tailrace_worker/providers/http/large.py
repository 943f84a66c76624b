"""Bounds the memory of what is large and cannot be read in parts: an event, or a whole body."""

import asyncio
from types import TracebackType
from typing import Final, Self

_LARGE_BYTES: Final = 1_048_576


class LargeTurns:
    """Lets one answer at a time grow large: a hundred events of 16 MB would not fit into a worker's memory."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(1)

    def open(self) -> "LargeTurn":
        """The turn of one answer, to be entered at once."""
        return LargeTurn(self._free)


class LargeTurn:
    """Is taken while the answer holds much, and given back at the exit."""

    def __init__(self, free: asyncio.Semaphore) -> None:
        self._free = free
        self._is_taken = False

    async def hold(self, held_bytes: int) -> None:
        """So much is held now. Waits for the turn if that is much; nothing more is read meanwhile."""
        is_large = held_bytes > _LARGE_BYTES
        if is_large and not self._is_taken:
            await self._free.acquire()
            self._is_taken = True
        elif self._is_taken and not is_large:
            self._give_back()

    def _give_back(self) -> None:
        self._is_taken = False
        self._free.release()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._is_taken:
            self._give_back()
