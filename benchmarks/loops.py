"""What the worker is compared with: other loops over a provider's stream, run in a process of their own by `providers`.

`bare` is the least that the SDK can do: its raw streaming response over its aiohttp transport, with the worker's limits
and event loop, in which events are counted and nothing else. `common` is the common way: the SDK as it comes, its typed
loop, and for each piece one XADD and one GET of the cancel key by redis-py; all jobs are tasks of one process, as they
are in a worker of arq. It runs on the worker's event loop as well, which is in its favour.
"""

import asyncio
import secrets
import sys
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Future
from contextlib import aclosing
from typing import Any, Final, TypeAlias

import httpx2
import openai
import uvloop
from redis.asyncio import Redis

from benchmarks.process import answer
from benchmarks.sdks import SDK, SDKS

_LIMITS: Final = httpx2.Limits(max_connections=10_000)
"""As the worker's: how many streams there are is not decided by the pool."""
_TIMEOUT: Final = httpx2.Timeout(600, connect=10)

Loop: TypeAlias = Callable[[str], AsyncGenerator[int]]
"""Streams from a model; yields the number of the pieces that it is done with."""


def bare(sdk: SDK) -> Loop:
    """As little as can be."""

    async def loop(model: str) -> AsyncGenerator[int]:
        async with sdk.raw(model) as response:
            async for chunk in response.iter_bytes():
                yield chunk.count(b"data:")

    return loop


def common(sdk: SDK, redis: Any) -> Loop:
    """As it is commonly done."""

    async def loop(model: str) -> AsyncGenerator[int]:
        stream = f"common:{secrets.token_hex(8)}"
        async with aclosing(sdk.texts(model)) as texts:
            async for text in texts:
                await redis.xadd(stream, {"type": "delta", "text": text})
                if await redis.get(f"{stream}:cancel"):
                    break
                yield 1

    return loop


class Streams:
    """Streams that run at the same time, each a task."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._turning = asyncio.get_running_loop()
        self._running: list[Future[None]] = []
        self._pieces: list[int] = []

    def start(self, streams: int, model: str) -> None:
        """Starts so many more; may be called in any thread."""
        for number in range(len(self._pieces), len(self._pieces) + streams):
            self._pieces.append(0)
            self._running.append(asyncio.run_coroutine_threadsafe(self._run(number, model), self._turning))

    def pieces(self) -> list[int]:
        """How many pieces each has had. Raises what ended one of them; may be called in any thread."""
        for stream in self._running:
            if stream.done():
                stream.result()
                raise SystemExit("A stream has ended while it was measured.")
        return self._pieces

    async def _run(self, number: int, model: str) -> None:
        async with aclosing(self._loop(model)) as progress:
            async for pieces in progress:
                self._pieces[number] += pieces


async def main(name: str, provider: str, redis_url: str) -> None:
    """Runs the process: starts streams, and tells how far they have come, until nobody is left who asks."""
    sdk = SDKS[provider]
    redis: Any = Redis.from_url(redis_url)  # pyright: ignore[reportUnknownMemberType]
    async with openai.DefaultAioHttpClient(timeout=_TIMEOUT, limits=_LIMITS) as http_client, redis:
        streams = Streams(bare(sdk(http_client)) if name == "bare" else common(sdk(None), redis))
        # In a thread: a loop that falls behind tells how far it has come all the same.
        await asyncio.to_thread(answer, {"start": streams.start, "pieces": streams.pieces})


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
