"""A conversation whose worker dies, or whose Redis loses its last moments: it is never busy for ever, nor twice."""

import asyncio
import signal
from collections.abc import AsyncIterator

import pytest

from tailrace import ConversationBusy, GenerationRequest, Job, Settings, Tailrace
from tailrace.protocol.keys import Keys
from tailrace_worker.simulator import Simulator
from tests.support.eventually import eventually
from tests.support.own_server import OwnServer, broker_url, own
from tests.support.processes import worker_process
from tests.support.streams import events_of, said
from tests.worker.conftest import open_generations, puppet, request_

__all__ = ["broker_url", "open_generations", "own", "puppet", "request_"]  # fixtures

CHAT = "chat-42"
QUICK = {"TAILRACE_LEASE_SECONDS": "2"}
STREAM = "demo?pieces=200&interval_ms=10"

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator() as simulator:
        yield simulator


def asking(model: str) -> GenerationRequest:
    return GenerationRequest.model_validate(
        {"provider": "openai", "model": model, "messages": [{"role": "user", "content": "Tell me."}]}
    )


async def active(tailrace: Tailrace) -> Job | None:
    return await tailrace.conversation(CHAT).active()


async def test_a_job_whose_worker_was_killed_stays_active_until_another_has_ended_it(
    tailrace: Tailrace, settings: Settings, simulator: Simulator
) -> None:
    async with worker_process(settings, simulator, **QUICK) as doomed:
        job = await tailrace.enqueue(asking(STREAM), conversation=CHAT)
        await eventually(lambda: is_running(job))
        doomed.signal(signal.SIGKILL)
        await doomed.ended()
        with pytest.raises(ConversationBusy) as caught:
            await tailrace.enqueue(asking(STREAM), conversation=CHAT)
        assert caught.value.job_id == job.id
    async with worker_process(settings, simulator, **QUICK):
        async with asyncio.timeout(40):
            assert (await job.answer()).attempt == 2
        # At once, whether its worker has released it or not.
        second = await tailrace.enqueue(asking("demo?pieces=5&interval_ms=1"), conversation=CHAT)
        async with asyncio.timeout(40):
            assert (await second.answer()).finish_reason == "stop"
    assert await active(tailrace) is None


async def test_a_job_whose_worker_was_killed_can_be_interrupted(
    tailrace: Tailrace, settings: Settings, simulator: Simulator
) -> None:
    async with worker_process(settings, simulator, **QUICK) as doomed:
        job = await tailrace.enqueue(asking(STREAM), conversation=CHAT)
        await eventually(lambda: is_running(job))
        doomed.signal(signal.SIGKILL)
        await doomed.ended()
    second = await tailrace.enqueue(asking("demo?pieces=5&interval_ms=1"), conversation=CHAT, if_active="interrupt")
    found = await active(tailrace)
    assert found is not None
    assert found.id == second.id
    async with worker_process(settings, simulator, **QUICK), asyncio.timeout(40):
        assert (await second.answer()).finish_reason == "stop"
        ending = (await job.answer()).ending
        assert ending is not None
        assert ending.type == "cancelled"


async def test_turn_follows_turn_as_fast_as_a_client_reads(
    tailrace: Tailrace, settings: Settings, simulator: Simulator
) -> None:
    async with worker_process(settings, simulator), asyncio.timeout(60):
        for _ in range(50):
            job = await tailrace.enqueue(asking("demo?pieces=1"), conversation=CHAT)
            assert (await job.answer()).finish_reason == "stop"


async def test_a_conversation_that_redis_has_lost_is_put_back_by_the_worker(own: OwnServer, settings: Settings) -> None:
    keys = Keys(settings.prefix)
    async with own.worker("holder", lease_seconds=2):
        before = await own.moment()
        job = await own.tailrace.enqueue(own.request, conversation=CHAT, labels={"user": "ada"})
        own.puppet.say("one ")
        await said(job, "one ")
        await before.come_back()
        # It is free until the claims are back, within a third of a lease.
        await eventually(lambda: is_active(own.tailrace, job))
        with pytest.raises(ConversationBusy) as caught:
            await own.tailrace.enqueue(own.request, conversation=CHAT)
        assert caught.value.job_id == job.id
        (listed,) = await own.tailrace.jobs()
        assert (listed.job_id, listed.labels, listed.conversation) == (job.id, {"user": "ada"}, CHAT)
        assert await own.broker.call("PTTL", keys.conversation("default", CHAT)) > 0
        own.puppet.say("two")
        own.puppet.finish()
        await events_of(job)
        own.puppet.finish()
        await own.tailrace.enqueue(own.request, conversation=CHAT)


async def test_a_conversation_of_a_job_that_redis_has_lost_is_free(own: OwnServer) -> None:
    before = await own.moment()
    await own.tailrace.enqueue(own.request, conversation=CHAT)
    await before.come_back()
    assert await active(own.tailrace) is None
    job = await own.tailrace.enqueue(own.request, conversation=CHAT)
    assert await is_active(own.tailrace, job)


async def test_a_conversation_of_which_redis_has_lost_the_release_is_free(own: OwnServer) -> None:
    async with own.worker("holder", lease_seconds=2):
        job = await own.tailrace.enqueue(own.request, conversation=CHAT)
        own.puppet.say("one")
        await said(job, "one")
        before = await own.moment()
        own.puppet.finish()
        await events_of(job)
        await before.come_back()
        await eventually(lambda: is_free(own.tailrace))
        own.puppet.finish()
        second = await own.tailrace.enqueue(own.request, conversation=CHAT)
        async with asyncio.timeout(20):
            assert (await second.answer()).finish_reason == "stop"


async def is_running(job: Job) -> bool:
    return (await job.status()).state == "running"


async def is_free(tailrace: Tailrace) -> bool:
    return await active(tailrace) is None


async def is_active(tailrace: Tailrace, job: Job) -> bool:
    found = await active(tailrace)
    return found is not None and found.id == job.id
