"""Servers that stand still."""

import os
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from tailrace.broker.client import Broker, open_redis


@asynccontextmanager
async def suspended(url: str) -> AsyncGenerator[None]:
    """Suspends the process of a server: it takes nothing more, and says nothing."""
    async with open_redis(url) as redis:
        process_id = int((await Broker(redis).call("INFO", "server"))["process_id"])
    os.kill(process_id, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process_id, signal.SIGCONT)
