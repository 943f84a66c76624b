"""The event loop of a verb."""

import asyncio
import signal
import sys
import threading
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

_T = TypeVar("_T")

_ENDING: Final = (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM)
"""End a process that does nothing about them, and leave the terminal as it is just then."""


def run(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """`asyncio.run`, with the coroutine in a task of its own, so that Ctrl-C, SIGTERM and the like always end it.

    They cancel the main task, be it in mid-step. Were that one reading from Redis, redis-py could enter a timeout of
    0 s before it next waits, and `asyncio.timeout` would take the cancellation for its own.
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
            # An exit from within a handler would come out of whatever task is at its turn.
            for number in _ENDING:
                # Under `nohup` SIGHUP is ignored.
                if signal.getsignal(number) is signal.SIG_DFL:
                    asyncio.get_running_loop().add_signal_handler(number, end, main, number)
        # Not `await task`: that would pass the cancellation on at once, and not between two steps.
        await asyncio.wait({task})
        return task.result()

    try:
        return asyncio.run(wait())
    except asyncio.CancelledError:
        if ended_by is not None:
            sys.exit(128 + ended_by)
        raise
