"""The event loop of a verb."""

import asyncio
import signal
import sys
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")


def run(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """`asyncio.run`, with the coroutine in a task of its own, so that Ctrl-C always ends it, and SIGTERM as well.

    Both cancel the main task, be it in mid-step. Were that one reading from Redis, redis-py could enter a timeout of
    0 s before it next waits, and `asyncio.timeout` would take the cancellation for its own.
    """
    terminated = False

    def terminate(main: asyncio.Task[object]) -> None:
        nonlocal terminated
        terminated = True
        main.cancel()

    async def wait() -> _T:
        task = asyncio.create_task(coroutine)
        main = asyncio.current_task()
        if threading.current_thread() is threading.main_thread() and main is not None:
            # An exit from within a handler would come out of whatever task is at its turn.
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminate, main)
        # Not `await task`: that would pass the cancellation on at once, and not between two steps.
        await asyncio.wait({task})
        return task.result()

    try:
        return asyncio.run(wait())
    except asyncio.CancelledError:
        if terminated:
            sys.exit(128 + signal.SIGTERM)
        raise
