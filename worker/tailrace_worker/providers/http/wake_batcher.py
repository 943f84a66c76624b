"""`Coalescer`: wakes tasks together, as a network card holds interrupts back to tell of many packets at once."""

import asyncio
from collections.abc import Callable


class Coalescer:
    """Wakes who waits at once when idle, else together with others, at most once every `interval_ms`.

    A task that wakes by itself finds nothing that it needs in the CPU's caches: what it does takes twice as long.
    """

    def __init__(self, *, interval_ms: float, then: Callable[[], None] | None = None) -> None:
        """`then` is called each time when all who were woken have had their turn."""
        self._interval_seconds = interval_ms / 1000
        self._then = then
        self._waiters: list[asyncio.Future[None]] = []
        self._earliest = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def wake(self, waiter: asyncio.Future[None]) -> None:
        """What is waited for has come."""
        self._waiters.append(waiter)
        if self._timer is not None:
            return
        loop = waiter.get_loop()
        if loop.time() >= self._earliest:
            self._wake_all(loop)
        else:
            self._timer = loop.call_at(self._earliest, self._wake_all, loop)

    def _wake_all(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        self._earliest = loop.time() + self._interval_seconds
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
        if self._then is not None:
            loop.call_soon(self._then)
