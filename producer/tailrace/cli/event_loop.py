"""The event loop of a verb."""

import asyncio
import signal
import sys
import threading
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

_T = TypeVar("_T")

_ENDING: Final = (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM)
"""Signals that by default end a process without restoring the terminal."""


def run(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine as `asyncio.run` does, but in a task of its own, so that Ctrl-C and SIGTERM always end it.

    Signals cancel the main task, even in the middle of a step. If the main task read from Redis, redis-py could enter a
    timeout of 0 s before it waits the next time, and `asyncio.timeout` would mistake the cancellation for its own.

    Args:
        coroutine: What to run.

    Returns:
        The result of the coroutine.
    """
    ended_by: signal.Signals | None = None

    def end(main: asyncio.Task[object], number: signal.Signals) -> None:
        nonlocal ended_by
        ended_by = number
        main.cancel()

    async def wait() -> _T:
        task = asyncio.create_task(coroutine)
        main = asyncio.current_task()
        if threading.current_thread() is threading.main_thread() and main is not None:
            # The handler cancels the main task: an exception raised in the handler would hit whatever task is running.
            for number in _ENDING:
                # Under `nohup` SIGHUP is ignored.
                if signal.getsignal(number) is signal.SIG_DFL:
                    asyncio.get_running_loop().add_signal_handler(number, end, main, number)
        # Not `await task`, because a signal would then cancel the task in the middle of a step, and not between steps.
        await asyncio.wait({task})
        return task.result()

    try:
        return asyncio.run(wait())
    except asyncio.CancelledError:
        if ended_by is not None:
            sys.exit(128 + ended_by)
        raise
