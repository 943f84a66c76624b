"""The poll of the cancel keys, and the stop that follows."""

import asyncio
from typing import Any

import pytest

from tailrace_worker.attempt.cancel_poll import CancelRequested
from tailrace_worker.cancel_scope import Interruptible
from tailrace_worker.generation import Generations


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


async def test_a_reply_that_comes_when_the_job_is_over_reaches_nobody(
    generations: Generations, monkeypatch: pytest.MonkeyPatch
) -> None:
    poll, told = generations.cancel_poll, list[CancelRequested]()
    exchange, replied, over, asked_again = poll._wire.exchange, asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def late(payload: bytes, replies: int) -> list[Any]:
        answered = await exchange(payload, replies)
        replied.set()
        await over.wait()
        return answered

    monkeypatch.setattr(poll._wire, "exchange", late)
    gone, other = "a" * 22, "b" * 22
    for job_id in (gone, other):
        await generations.broker.call("SET", generations.keys.cancel(job_id), "", "PX", 60_000)
    async with asyncio.timeout(5):
        with poll.watch(gone, told.append):
            await replied.wait()
        over.set()
        with poll.watch(other, lambda _: asked_again.set()):
            await asked_again.wait()
    assert told == []


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
