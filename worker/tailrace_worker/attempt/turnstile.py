"""Lets one task through per turn of the event loop."""

import asyncio
from collections import deque


class Turnstile:
    """Keeps apart what holds the loop for milliseconds: between two that come through, all others get their turn."""

    def __init__(self) -> None:
        self._is_free = True
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def turn(self) -> None:
        """Returns in the order of the calls, and at most once in a turn of the loop."""
        loop = asyncio.get_running_loop()
        if not self._is_free:
            mine: asyncio.Future[None] = loop.create_future()
            self._waiting.append(mine)
            try:
                await mine
            except asyncio.CancelledError:
                # Cancelled in the very turn that was ours: it goes to the next in line.
                if not mine.cancelled():
                    self._next()
                raise
        self._is_free = False
        loop.call_soon(self._next)

    def _next(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._is_free = True
