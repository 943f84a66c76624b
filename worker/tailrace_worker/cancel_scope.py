"""Stopping a job's task from outside, for a reason that the task gets to see."""

import asyncio
from types import TracebackType
from typing import Self


class AttemptLost(Exception):
    """The job is not this attempt's any more: whoever runs it closes the provider, and writes nothing more."""


class Interruptible:
    """An `async with` block that others may end: `interrupt(why)` cancels what it waits for, and it raises `why`.

    Works as `asyncio.timeout` does: a cancellation of the task by anyone else stays a cancellation.
    """

    def __init__(self) -> None:
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._why: Exception | None = None

    def interrupt(self, why: Exception) -> None:
        """Ends the block. The first reason counts; outside of the block nothing happens."""
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
