"""The clients of `fronts`, in a process of their own: callers that ask an official SDK for one answer after the other.

The SDK comes as it is: its own HTTP client, and its typed stream.
"""

import asyncio
import random
import sys
import time
from dataclasses import asdict, dataclass, field

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


class Callers:
    """Makes the calls.

    Args:
        sdk: The SDK.
        model: The model to ask for.
        pieces: How many pieces an answer has.
        seconds: How long an answer takes at least.
    """

    def __init__(self, sdk: SDK, model: str, *, pieces: int, seconds: float) -> None:
        self._sdk = sdk
        self._model = model
        self._pieces = pieces
        self._seconds = seconds
        self._times = Times()

    async def run(self, callers: int, calls: int) -> Times:
        """Let a number of callers call.

        Each caller makes one more call before the counted ones, and one after them. The callers begin within the time
        of one answer, so that in every counted call as many streams are open as there are callers.

        Args:
            callers: How many.
            calls: How many calls of each are counted.
        """
        # Not at regular times: a multiple of the interval between pieces would let all pieces come at the same moment.
        delays = random.Random(callers)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(callers):
                tasks.create_task(self._call_repeatedly(delays.uniform(0, self._seconds), calls))
        return self._times

    async def _call_repeatedly(self, delay_seconds: float, calls: int) -> None:
        await asyncio.sleep(delay_seconds)
        await self._call()
        for _ in range(calls):
            first_ms, wall_ms = await self._call()
            self._times.first_ms.append(first_ms)
            self._times.wall_ms.append(wall_ms)
        await self._call()

    async def _call(self) -> tuple[float, float]:
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


async def main(provider: str) -> None:
    """Make the calls that the parent process asks for, until it closes the connection."""
    loop = asyncio.get_running_loop()

    def call(model: str, callers: int, calls: int, pieces: int, seconds: float) -> dict[str, list[float]]:
        calling = Callers(SDKS[provider](None), model, pieces=pieces, seconds=seconds).run(callers, calls)
        return asdict(asyncio.run_coroutine_threadsafe(calling, loop).result())

    await asyncio.to_thread(answer, {"ready": lambda: True, "call": call})


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
