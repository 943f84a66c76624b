"""Stops a job's task from outside, and tells the task why."""

import asyncio
from types import TracebackType
from typing import Self


class AttemptLost(Exception):
    """The attempt has lost its job. It has to close the provider's connection, and must write nothing more."""


class Interruptible:
    """An `async with` block that other code can end: `interrupt(why)` cancels the block, which then raises `why`.

    It works as `asyncio.timeout` does: if anything else cancels the task, `CancelledError` leaves the block as usual.
    """

    def __init__(self) -> None:
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._why: Exception | None = None

    def interrupt(self, why: Exception) -> None:
        """End the block. Do nothing if the task is not inside the block, or if the block already has a reason.

        Args:
            why: The exception that the block raises.
        """
        if self._task is not None and self._why is None:
            self._why = why
            self._task.cancel()

    async def __aenter__(self) -> Self:
        self._task = asyncio.current_task()
        assert self._task is not None  # noqa: S101
        self._cancelling = self._task.cancelling()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        if task is None or self._why is None:
            return
        if task.uncancel() <= self._cancelling and exc_type is asyncio.CancelledError:
            raise self._why from exc
