"""The poll of the cancel keys, and the stop that follows."""

import asyncio

import pytest

from tailrace_worker.cancellation import CancelRequested
from tailrace_worker.generation import Generations
from tailrace_worker.interruption import Interruptible


async def test_a_job_that_is_over_before_the_tick_is_not_asked_for(
    generations: Generations, caplog: pytest.LogCaptureFixture
) -> None:
    poll, asked = generations.cancel_poll, asyncio.Event()
    with poll.watch("a" * 22, lambda _: None):
        pass
    await generations.broker.call("SET", generations.keys.cancel("b" * 22), "", "PX", 60_000)
    with poll.watch("b" * 22, lambda _: asked.set()):
        async with asyncio.timeout(5):
            await asked.wait()
    assert "cannot be read" not in caplog.text


async def test_the_first_of_two_reasons_counts() -> None:
    interruptible = Interruptible()
    with pytest.raises(CancelRequested, match="first"):  # noqa: PT012
        async with interruptible:
            interruptible.interrupt(CancelRequested("first"))
            interruptible.interrupt(CancelRequested("second"))
            await asyncio.Event().wait()
    current = asyncio.current_task()
    assert current is not None
    assert current.cancelling() == 0


async def test_a_worker_that_stops_at_the_same_moment_goes_before_the_reason() -> None:
    interruptible, inside = Interruptible(), asyncio.Event()

    async def run() -> None:
        async with interruptible:
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(run())
    await inside.wait()
    interruptible.interrupt(CancelRequested("enough"))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
