"""Limits the memory that large events and whole bodies take, which cannot be read in parts."""

import asyncio
from types import TracebackType
from typing import Self

from tailrace_worker.providers.http.answer_limits import AnswerLimits


class LargeAnswers:
    """The bytes that the large answers of one provider share. A hundred events of 16 MB would not fit into a worker.

    An answer takes from these bytes as it grows. If none are left, one waiting answer may still go on, because
    otherwise all of them could wait for each other. A slow answer keeps only the bytes that it holds from the others.
    """

    def __init__(self, limits: AnswerLimits) -> None:
        self.large_bytes = limits.large_bytes
        """An answer that holds more than this takes from the shared bytes."""
        self._free_bytes = limits.shared_bytes
        self._exempt: LargeAnswer | None = None
        self._waiting: list[asyncio.Future[None]] = []

    def open(self) -> "LargeAnswer":
        """Return the share of a new answer, for an `async with` block."""
        return LargeAnswer(self)

    def take(self, answer: "LargeAnswer", more_bytes: int) -> bool:
        """Take bytes for an answer, or give them back.

        Args:
            answer: The answer.
            more_bytes: How many bytes to take; negative to give bytes back.

        Returns:
            False if there were not enough bytes. Then nothing was taken.
        """
        if more_bytes > 0 and more_bytes > self._free_bytes:
            self._exempt = self._exempt or answer
            if self._exempt is not answer:
                return False
        self._free_bytes -= more_bytes
        if more_bytes < 0:
            self._wake()
        return True

    def leave(self, answer: "LargeAnswer") -> None:
        """Note that an answer has given back all bytes that it took.

        Args:
            answer: The answer.
        """
        if self._exempt is answer:
            self._exempt = None

    async def change(self) -> None:
        """Wait until an answer gives bytes back."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        await waiter

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)


class LargeAnswer:
    """The share that one answer takes. All of it is given back at the exit."""

    def __init__(self, shared: LargeAnswers) -> None:
        self._shared = shared
        self._taken_bytes = 0

    def hold(self, held_bytes: int) -> bool:
        """Set how many bytes the answer holds.

        Args:
            held_bytes: How many bytes it holds now.

        Returns:
            True if more may be read; False if the answer has to wait for `room` first.
        """
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
        """Wait until the answer may hold this many bytes.

        Args:
            held_bytes: How many bytes it holds.
        """
        while not self.hold(held_bytes):
            await self._shared.change()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.hold(0)
