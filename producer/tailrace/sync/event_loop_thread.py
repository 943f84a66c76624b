"""`EventLoopThread`: an event loop in a daemon thread, in which other threads run coroutines and wait for them."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import CancelledError, Future, wait
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeVar

_T = TypeVar("_T")

_END_SECONDS: Final = 10.0
"""How long `join` waits, in seconds: more than the 5 s in which `parallel` cancels its jobs."""


class EventLoopThread:
    """A thread that runs an event loop until `stop`."""

    def __init__(self, at_end: Callable[[], Awaitable[None]]) -> None:
        """Start the thread.

        Args:
            at_end: Awaited in the loop after `stop`, when all calls have ended.
        """
        self._at_end = at_end
        self._calls: dict[Future[Any], Callable[[], Coroutine[Any, Any, Any]]] = {}
        """The calls that have not ended. No lock guards them: the garbage collector may make a call within a call."""
        self._tasks: dict[Future[Any], asyncio.Task[Any]] = {}
        self._is_over = False
        self._stopping = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="tailrace.sync", daemon=True)
        self._thread.start()

    def call(self, do: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        """Run a coroutine in the loop, and wait for its end. Any number of threads may call this at the same time.

        If the wait is interrupted, for example by Ctrl-C, the coroutine is cancelled, and the call waits for its end.

        Args:
            do: Makes the coroutine. It is called in the loop's thread, where no signal interrupts it before it runs.

        Returns:
            The result of the coroutine.

        Raises:
            RuntimeError: The call is made in the loop's thread, which would wait for itself.
            CancelledError: The thread was stopped.
            BaseException: The error of the coroutine.
        """
        if threading.current_thread() is self._thread:
            raise RuntimeError(
                "This call would wait for itself, because it is made in the event loop that has to run it. Use the "
                "asynchronous client there."
            )
        outcome: Future[_T] = Future()
        self._calls[outcome] = do
        try:
            self._loop.call_soon_threadsafe(self._begin, outcome)
        except RuntimeError:
            # The loop is closed.
            self._give_up_calls()
        try:
            return outcome.result()
        except BaseException:
            if not outcome.done():
                with suppress(RuntimeError):
                    self._loop.call_soon_threadsafe(self._cancel, outcome)
                wait([outcome])
            raise

    def stop(self) -> None:
        """Cancel all calls, and end the thread soon. Any thread may call it at any moment."""
        with suppress(RuntimeError):
            # If the loop is closed, the thread has been stopped before.
            self._loop.call_soon_threadsafe(self._stopping.set)

    def join(self) -> None:
        """Wait for the end of the thread, for 10 s at most."""
        self._thread.join(_END_SECONDS)

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._main())
        finally:
            self._give_up_calls()

    async def _main(self) -> None:
        await self._stopping.wait()
        self._is_over = True
        if tasks := [*self._tasks.values()]:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        await self._at_end()

    def _begin(self, outcome: Future[Any]) -> None:
        if not self._is_over:
            task = self._tasks[outcome] = self._loop.create_task(_run(self._calls[outcome]))
            task.add_done_callback(partial(self._finish, outcome))

    def _cancel(self, outcome: Future[Any]) -> None:
        if outcome in self._tasks:
            self._tasks[outcome].cancel()

    def _finish(self, outcome: Future[Any], task: asyncio.Task[Any]) -> None:
        del self._tasks[outcome], self._calls[outcome]
        if task.cancelled():
            outcome.set_exception(CancelledError())
        elif (error := task.exception()) is not None:
            outcome.set_exception(error)
        else:
            outcome.set_result(task.result())

    def _give_up_calls(self) -> None:
        """End the calls that came too late to begin."""
        while self._calls:
            with suppress(KeyError):
                outcome, _ = self._calls.popitem()
                outcome.set_exception(CancelledError())


async def _run(do: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
    return await do()
