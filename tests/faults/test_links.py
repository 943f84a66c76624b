"""Connections that die without a word, stand still, or carry little: nothing hangs, and what is well is kept."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from tailrace import CancelOutcome, GenerationRequest, Job, Settings, Tailrace
from tailrace.broker.client import Broker, open_redis
from tailrace.broker.wire import Wire, packed
from tailrace.protocol.keys import Keys
from tailrace_worker.processes.valkey import EmbeddedBroker
from tailrace_worker.queueing.claimer import ClaimingLimits
from tailrace_worker.simulator import Scenario, Simulator
from tests.support.eventually import eventually
from tests.support.handwritten import ENDING, REQUEST, STARTED, HandwrittenStream
from tests.support.processes import worker_process
from tests.support.proxy import BEGINS, Proxy
from tests.support.suspended import suspended
from tests.worker.conftest import OpenGenerations, Puppet, open_generations, puppet, request_, running_worker

__all__ = ["open_generations", "puppet", "request_"]  # fixtures

SHORT = "demo?pieces=20&interval_ms=10"
SILENT = "demo?pieces=3&first_token_ms=3600000"


def asking(model: str) -> GenerationRequest:
    return GenerationRequest.model_validate(
        {"provider": "openai", "model": model, "messages": [{"role": "user", "content": "Tell me."}]}
    )


@pytest.fixture
async def proxy(settings: Settings) -> AsyncIterator[Proxy]:
    async with Proxy(settings.redis_url) as proxy:
        yield proxy


@pytest.fixture
async def beyond(settings: Settings, proxy: Proxy) -> AsyncIterator[Tailrace]:
    """A client whose way to Redis leads through the proxy."""
    async with Tailrace.connect(proxy.url, prefix=settings.prefix) as tailrace:
        yield tailrace


async def test_jobs_begin_and_are_cancelled_although_the_connections_of_their_worker_have_died_silently(
    tailrace: Tailrace, settings: Settings, simulator: Simulator, proxy: Proxy
) -> None:
    behind = settings.model_copy(update={"redis_url": proxy.url})
    async with worker_process(behind, simulator) as worker:
        silent = [await tailrace.enqueue(asking(SILENT)) for _ in range(10)]
        await asyncio.gather(*(job.answer() for job in await tailrace.enqueue_many([asking(SHORT)] * 20)))
        await eventually(lambda: sum(entry.model == SILENT for entry in simulator.journal.entries) == 10)
        proxy.deaden()
        for job in silent:
            assert await job.cancel() is CancelOutcome.REQUESTED
        async with asyncio.timeout(4):
            for job in silent:
                assert [event.type async for event in job.tail()] == ["queued", "started", "cancelled"]
        proxy.deaden()
        jobs = await tailrace.enqueue_many([asking(SHORT)] * 30)
        async with asyncio.timeout(10):
            answers = await asyncio.gather(*(job.answer() for job in jobs))
        assert {answer.text for answer in answers} == {Scenario.parse(SHORT).text_sent}
    assert "Traceback" not in worker.log


async def test_a_tail_goes_on_although_its_connections_have_died_silently(
    settings: Settings, tailrace: Tailrace, broker: Broker, beyond: Tailrace, proxy: Proxy
) -> None:
    job = await tailrace.enqueue(REQUEST)
    stream = HandwrittenStream(broker, Keys(settings.prefix), job)
    seen: list[str] = []
    async with asyncio.timeout(15):
        async for event in beyond.job(job.id).tail():
            seen.append(str(event.id))
            proxy.deaden()
            if event.id.seq < 4:
                await stream.append(f"1-{event.id.seq + 1}", STARTED)
            elif event.id.seq == 4:
                await stream.append("1-5", ENDING)
    assert seen == ["0-1", "1-2", "1-3", "1-4", "1-5"]


async def test_a_producer_is_answered_although_its_connections_have_died_silently(
    beyond: Tailrace, proxy: Proxy
) -> None:
    jobs = await asyncio.gather(*(beyond.enqueue(REQUEST) for _ in range(20)))
    proxy.deaden()
    async with asyncio.timeout(3):
        assert set(await asyncio.gather(*(job.cancel() for job in jobs))) == {CancelOutcome.CANCELLED}


async def test_a_server_that_stalls_for_a_while_keeps_its_connections(own_broker: EmbeddedBroker) -> None:
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(open_redis(own_broker.url))
        broker = Broker(redis)
        wire = await stack.enter_async_context(Wire(redis))
        await wire.connect()
        before = await broker.call("CLIENT", "ID"), await wire.exchange(packed("CLIENT", "ID"), 1)
        async with suspended(own_broker.url):
            asking = asyncio.gather(broker.call("CLIENT", "ID"), wire.exchange(packed("CLIENT", "ID"), 1))
            # Long enough for any doubt to become a certainty.
            await asyncio.wait([asking], timeout=3)
        assert tuple(await asking) == before


async def test_a_long_reply_over_a_slow_link_and_a_command_that_blocks_are_waited_for(
    broker: Broker, settings: Settings, proxy: Proxy
) -> None:
    long = os.urandom(200_000)
    await broker.call("SET", f"{settings.prefix}:long", long)
    async with open_redis(proxy.url) as redis, Wire(redis) as wire:
        beyond = Broker(redis)
        await wire.connect()
        before = await beyond.call("CLIENT", "ID"), await wire.exchange(packed("CLIENT", "ID"), 1)
        proxy.bytes_per_second = 80_000
        assert await beyond.call("GET", f"{settings.prefix}:long") == long
        assert await wire.exchange(packed("GET", f"{settings.prefix}:long"), 1) == [long]
        assert await beyond.call("SET", f"{settings.prefix}:long", long)
        proxy.bytes_per_second = 0
        assert await beyond.call("BLPOP", f"{settings.prefix}:nothing", 2) is None
        assert (await beyond.call("CLIENT", "ID"), await wire.exchange(packed("CLIENT", "ID"), 1)) == before


async def test_a_job_that_does_not_begin_in_time_is_handed_back_and_the_log_says_so(
    tailrace: Tailrace,
    proxy: Proxy,
    open_generations: OpenGenerations,
    request_: GenerationRequest,
    puppet: Puppet,
    caplog: pytest.LogCaptureFixture,
) -> None:
    limits = ClaimingLimits(begin_seconds=0.5)
    async with open_generations(redis_url=proxy.url) as generations, running_worker(generations, limits=limits):
        # The reply to arq's own first question is lost, and nothing else is answered either.
        proxy.trap = BEGINS
        with caplog.at_level(logging.WARNING):
            job: Job = await tailrace.enqueue(request_)
            await eventually(lambda: "did not begin within 0.5 s and is handed back" in caplog.text)
        proxy.trap = None
        await proxy.cut()
        puppet.say("Hello")
        puppet.finish()
        async with asyncio.timeout(30):
            assert (await job.answer()).text == "Hello"
