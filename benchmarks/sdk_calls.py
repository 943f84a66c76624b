"""The clients of `fronts`, in processes of their own: callers that ask an official SDK for one answer after the other.

Those that are measured use the SDK as it comes: its own HTTP client, and its typed stream. Those that only keep streams
open read the SDK's raw response over aiohttp, which takes an eighth of the CPU.
"""

import asyncio
import random
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field

import openai
import uvloop

from benchmarks.process import answer
from benchmarks.sdks import SDK, SDKS


@dataclass(slots=True)
class Times:
    """What the counted calls took, in ms from the call."""

    first_ms: list[float] = field(default_factory=list[float])
    """Until the first text."""
    wall_ms: list[float] = field(default_factory=list[float])
    """Until the end of the stream."""


class Call:
    """A call that can be made any number of times.

    Args:
        sdk: The SDK.
        model: The model to ask for.
        pieces: How many pieces an answer has.
    """

    def __init__(self, sdk: SDK, model: str, pieces: int) -> None:
        self._sdk = sdk
        self._model = model
        self._pieces = pieces

    async def typed(self) -> tuple[float, float]:
        """Call, and read the typed stream.

        Returns:
            The time until the first text, and until the end of the stream, in ms.
        """
        began = time.perf_counter()
        first_ms = 0.0
        pieces = 0
        async for text in self._sdk.texts(self._model):
            first_ms = first_ms or (time.perf_counter() - began) * 1e3
            # A piece of the simulator's endless text is a word.
            pieces += len(text.split())
        if pieces != self._pieces:
            raise SystemExit(f"An answer had {pieces} pieces instead of {self._pieces}.")
        return first_ms, (time.perf_counter() - began) * 1e3

    async def raw(self) -> tuple[float, float]:
        """Call, and read the bytes of the response.

        Returns:
            The time until the first bytes, and until the end of the stream, in ms.
        """
        began = time.perf_counter()
        first_ms = 0.0
        read: list[bytes] = []
        async with self._sdk.raw(self._model) as response:
            async for some in response.iter_bytes():
                first_ms = first_ms or (time.perf_counter() - began) * 1e3
                read.append(some)
        frames = b"".join(read).count(b"data: ")
        if frames < self._pieces:
            raise SystemExit(f"An answer of {self._pieces} pieces had {frames} frames.")
        return first_ms, (time.perf_counter() - began) * 1e3


async def call_repeatedly(
    call: Callable[[], Awaitable[tuple[float, float]]], callers: int, calls: int, seconds: float
) -> Times:
    """Let a number of callers call.

    Each caller makes one more call before the counted ones, and one after them. The callers begin within the time of
    one answer, so that in every counted call as many streams are open as there are callers.

    Args:
        call: Makes one call.
        callers: How many.
        calls: How many calls of each are counted.
        seconds: How long an answer takes at least.

    Returns:
        The times of the counted calls.
    """
    times = Times()
    # Not at regular times: a multiple of the interval between pieces would let all pieces come at the same moment.
    delays = random.Random(callers)

    async def call_each(delay_seconds: float) -> None:
        await asyncio.sleep(delay_seconds)
        await call()
        for _ in range(calls):
            first_ms, wall_ms = await call()
            times.first_ms.append(first_ms)
            times.wall_ms.append(wall_ms)
        await call()

    async with asyncio.TaskGroup() as tasks:
        for _ in range(callers):
            tasks.create_task(call_each(delays.uniform(0, seconds)))
    return times


async def main(provider: str) -> None:
    """Make the calls that the parent process asks for, until it closes the connection."""
    loop = asyncio.get_running_loop()

    def measure(model: str, callers: int, calls: int, pieces: int, seconds: float) -> dict[str, list[float]]:
        call = Call(SDKS[provider](None), model, pieces)
        calling = call_repeatedly(call.typed, callers, calls, seconds)
        return asdict(asyncio.run_coroutine_threadsafe(calling, loop).result())

    def fill(model: str, callers: int, calls: int, pieces: int, seconds: float) -> None:
        async def calling() -> None:
            async with openai.DefaultAioHttpClient() as http_client:
                call = Call(SDKS[provider](http_client), model, pieces)
                await call_repeatedly(call.raw, callers, calls, seconds)

        asyncio.run_coroutine_threadsafe(calling(), loop).result()

    await asyncio.to_thread(answer, {"ready": lambda: True, "measure": measure, "fill": fill})


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
