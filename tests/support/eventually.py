"""Waiting for what can only be seen by looking."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable


async def eventually(condition: Callable[[], bool | Awaitable[bool]], *, within_seconds: float = 20) -> None:
    """Looks until the condition holds."""
    async with asyncio.timeout(within_seconds):
        while True:
            holds = condition()
            if await holds if inspect.isawaitable(holds) else holds:
                return
            await asyncio.sleep(0.001)


def until(condition: Callable[[], bool], *, within_seconds: float = 20) -> None:
    """Looks until the condition holds, and blocks meanwhile."""
    give_up_at = time.monotonic() + within_seconds
    while not condition():
        assert time.monotonic() < give_up_at, "it has not come about"
        time.sleep(0.001)
