"""Tasks that wait are woken together."""

import asyncio

import pytest

from tailrace_worker.providers.http.wake_batcher import WakeBatcher
from tests.support.eventually import eventually


class Bench:
    """Who waits, and what became of it, in order."""

    def __init__(self, *, interval_ms: float) -> None:
        self.happened: list[str] = []
        self.wake_batcher = WakeBatcher(interval_ms=interval_ms, then=lambda: self.happened.append("then"))
        self._loop = asyncio.get_running_loop()
        self.waiting: dict[str, asyncio.Task[None]] = {}

    async def wait(self, name: str) -> asyncio.Future[None]:
        """Lets somebody wait."""
        future: asyncio.Future[None] = self._loop.create_future()

        async def wait() -> None:
            await future
            self.happened.append(name)

        self.waiting[name] = asyncio.create_task(wait())
        await asyncio.sleep(0)
        return future

    async def all_woken(self) -> None:
        """Returns when nobody waits any more."""
        async with asyncio.timeout(10):
            await asyncio.gather(*self.waiting.values(), return_exceptions=True)
            await eventually(lambda: self.happened[-1] == "then")


@pytest.fixture
async def bench() -> Bench:
    return Bench(interval_ms=20)


async def test_who_comes_alone_is_woken_at_once() -> None:
    bench = Bench(interval_ms=3_600_000)
    bench.wake_batcher.wake(await bench.wait("a"))
    await bench.all_woken()
    assert bench.happened == ["a", "then"]


async def test_who_comes_soon_after_is_woken_together_with_others(bench: Bench) -> None:
    for name in "abc":
        bench.wake_batcher.wake(await bench.wait(name))
    assert bench.happened == ["a", "then"]
    await bench.all_woken()
    assert bench.happened == ["a", "then", "b", "c", "then"]


async def test_who_has_left_is_not_woken(bench: Bench) -> None:
    for name in "abc":
        bench.wake_batcher.wake(await bench.wait(name))
    bench.waiting["b"].cancel()
    await bench.all_woken()
    assert bench.happened == ["a", "then", "c", "then"]


async def test_without_an_interval_everybody_is_woken_at_once() -> None:
    bench = Bench(interval_ms=0)
    for name in "ab":
        bench.wake_batcher.wake(await bench.wait(name))
    await bench.all_woken()
    assert bench.happened == ["a", "then", "b", "then"]
