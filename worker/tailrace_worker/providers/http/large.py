"""Bounds the memory of what is large and cannot be read in parts: an event, or a whole body."""

import asyncio
from types import TracebackType
from typing import Self

from tailrace_worker.providers.http.answer_limits import AnswerLimits


class LargeAnswers:
    """Lets the answers of one provider hold so much together: a hundred events of 16 MB would not fit into a worker.

    They take of it as they grow. Where nothing is left, one of those that wait may go on nevertheless: else all of them
    could wait for each other. So one answer, slow as it may be, keeps nothing from the others but what it holds.
    """

    def __init__(self, limits: AnswerLimits) -> None:
        self.large_bytes = limits.large_bytes
        """An answer that holds no more takes nothing of what they share."""
        self._free_bytes = limits.shared_bytes
        self._exempt: LargeAnswer | None = None
        self._waiting: list[asyncio.Future[None]] = []

    def open(self) -> "LargeAnswer":
        """One answer, to be entered at once."""
        return LargeAnswer(self)

    def take(self, answer: "LargeAnswer", more_bytes: int) -> bool:
        """Takes so much more for an answer, or gives it back. Returns whether it was there."""
        if more_bytes > 0 and more_bytes > self._free_bytes:
            self._exempt = self._exempt or answer
            if self._exempt is not answer:
                return False
        self._free_bytes -= more_bytes
        if more_bytes < 0:
            self._wake()
        return True

    def leave(self, answer: "LargeAnswer") -> None:
        """An answer has given back all that it took."""
        if self._exempt is answer:
            self._exempt = None

    async def change(self) -> None:
        """Waits until something was given back."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        await waiter

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)


class LargeAnswer:
    """What one answer takes of that. All is given back at the exit."""

    def __init__(self, shared: LargeAnswers) -> None:
        self._shared = shared
        self._taken_bytes = 0

    def hold(self, held_bytes: int) -> bool:
        """So much is held now. Returns whether more may be read; where it may not, wait for `room` first."""
        large_bytes = held_bytes if held_bytes > self._shared.large_bytes else 0
        if large_bytes == self._taken_bytes:
            return True
        if not self._shared.take(self, large_bytes - self._taken_bytes):
            return False
        self._taken_bytes = large_bytes
        if not large_bytes:
            self._shared.leave(self)
        return True

    async def room(self, held_bytes: int) -> None:
        """Waits until so much may be held."""
        while not self.hold(held_bytes):
            await self._shared.change()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.hold(0)
