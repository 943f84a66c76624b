"""The event loop of a verb."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

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

    return asyncio.run(wait())
