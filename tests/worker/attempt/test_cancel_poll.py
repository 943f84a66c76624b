"""The poll of the cancel keys, and the stop that follows."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import pytest

from tailrace import GenerationRequest, Tailrace
from tailrace.broker.wire import Wire
from tailrace.events import Delta, StreamEvent
from tailrace.protocol import endings
from tailrace.request.any_request import AnyRequest
from tailrace_worker.attempt.calls import Calls
from tailrace_worker.attempt.cancel_poll import CancelRequested
from tailrace_worker.attempt.rate_limits import RateLimits
from tailrace_worker.cancel_scope import Interruptible
from tailrace_worker.generation import Generations
from tailrace_worker.providers.base import Piece
from tailrace_worker.publishing.stream_writer import StreamWriter
from tests.support.eventually import eventually
from tests.support.streams import run_unclaimed
from tests.worker.conftest import Puppet


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
    exchange, replied, over, asked_again = Wire.exchange, asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def late(wire: Wire, payload: bytes, replies: int) -> list[Any]:
        answered = await exchange(wire, payload, replies)
        if b"MGET" in payload:
            replied.set()
            await over.wait()
        return answered

    monkeypatch.setattr(Wire, "exchange", late)
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


class Witness:
    """A `Provider` that never says a word, and tells in which turn of the loop its connection would be closed."""

    prefills = False

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.requests: list[AnyRequest] = []

    async def stream(self, request: AnyRequest) -> AsyncGenerator[Piece, None]:
        self.requests.append(request)
        try:
            await asyncio.Event().wait()
            yield Delta(text="")
        finally:
            # As a transport does.
            asyncio.get_running_loop().call_soon(self.seen.append, "closed")

    stream_verbatim = stream


async def test_of_jobs_that_are_cancelled_together_all_connections_are_closed_before_any_ending_is_written(
    tailrace: Tailrace,
    generations: Generations,
    request_: GenerationRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    witness, write = Witness(), StreamWriter.write

    def seen_to_write(writer: StreamWriter, event: StreamEvent) -> None:
        witness.seen.append(event.type)
        write(writer, event)

    monkeypatch.setattr(StreamWriter, "write", seen_to_write)
    calls = Calls({"openai": witness}, RateLimits(generations.broker, generations.keys), generations.settings)
    own = replace(generations, calls=calls)
    jobs = await tailrace.enqueue_many([request_] * 3)
    async with asyncio.timeout(10), asyncio.TaskGroup() as running:
        for job in jobs:
            running.create_task(run_unclaimed(own, job.id, 1))
        await eventually(lambda: len(witness.requests) == 3)
        await own.broker.transaction(*(("SET", own.keys.cancel(job.id), "enough", "PX", 60_000) for job in jobs))
    assert witness.seen == ["closed"] * 3 + ["cancelled"] * 3


async def test_jobs_that_end_together_do_not_all_ask_redis_at_the_same_time(
    tailrace: Tailrace,
    generations: Generations,
    request_: GenerationRequest,
    puppet: Puppet,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    close, open_, most = endings.close, 0, 0

    async def counted(*args: Any, **options: Any) -> None:
        nonlocal open_, most
        open_ += 1
        most = max(most, open_)
        await close(*args, **options)
        open_ -= 1

    monkeypatch.setattr(endings, "close", counted)
    jobs = await tailrace.enqueue_many([request_] * 100)
    async with asyncio.timeout(20), asyncio.TaskGroup() as running:
        for job in jobs:
            running.create_task(run_unclaimed(generations, job.id, 1))
        await eventually(lambda: len(puppet.requests) == 100)
        commands = (("SET", generations.keys.cancel(job.id), "enough", "PX", 60_000) for job in jobs)
        await generations.broker.transaction(*commands)
    assert 1 < most <= 32
