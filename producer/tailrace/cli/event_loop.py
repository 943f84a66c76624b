"""The event loop of a verb."""

import asyncio
import signal
import sys
import threading
from collections.abc import Coroutine, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn, TypeVar

_T = TypeVar("_T")


def run(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """`asyncio.run`, with the coroutine in a task of its own, so that Ctrl-C always ends it.

    Ctrl-C cancels the main task, be it in mid-step. Were that one reading from Redis, redis-py could enter a timeout of
    0 s before it next waits, and `asyncio.timeout` would take the cancellation for its own.
    """

    async def wait() -> _T:
        task = asyncio.create_task(coroutine)
        # Not `await task`: that would pass the cancellation on at once, and not between two steps.
        await asyncio.wait({task})
        return task.result()

    with _sigterm():
        return asyncio.run(wait())


@contextmanager
def _sigterm() -> Generator[None]:
    """SIGTERM ends it as an exit does: what was done to the terminal is undone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _exit)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _exit(number: int, _: FrameType | None) -> NoReturn:
    sys.exit(128 + number)
