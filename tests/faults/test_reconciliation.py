"""A Redis that comes back with less than it had: what an attempt may still write, and what it may not."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

import pytest

from tailrace import Event, GenerationRequest, Job, JobState, Tailrace
from tailrace.broker.client import Broker, open_redis
from tailrace.cursor import EntryId
from tailrace.errors import FailureCode, ProviderError
from tailrace.events import Gap, Queued
from tailrace.protocol.entries import encode
from tailrace.protocol.keys import arq_retry
from tailrace.protocol.scripts import Script
from tailrace_worker.processes.valkey import EmbeddedBroker
from tests.support.eventually import eventually
from tests.support.own_server import broker_url
from tests.support.streams import run_unclaimed, said
from tests.worker.conftest import OpenGenerations, Puppet, open_generations, puppet, request_

__all__ = ["broker_url", "open_generations", "puppet", "request_"]  # fixtures


@pytest.fixture
async def broker(own_broker: EmbeddedBroker) -> AsyncIterator[Broker]:
    opened = Broker(open_redis(own_broker.url))
    yield opened
    await opened.aclose()


async def lose_after(broker: Broker, stream: str, kept: list[Event]) -> None:
    """Leaves no more of a stream than a restarted Redis might, and cuts everybody off."""
    appends = (("XADD", stream, str(event.id), *encode(event)) for event in kept if not isinstance(event, Gap))
    await broker.transaction(("DEL", stream), *appends, ("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"))


async def test_nothing_is_sent_before_a_refused_reconciliation_has_succeeded(
    tailrace: Tailrace,
    open_generations: OpenGenerations,
    request_: GenerationRequest,
    puppet: Puppet,
    broker: Broker,
) -> None:
    async def refused() -> bool:
        return b"xrevrange" in [value for entry in await broker.call("ACL", "LOG") for value in entry]

    await broker.call("ACL", "LOG", "RESET")
    job = await tailrace.enqueue(request_)
    async with open_generations() as generations:
        running = asyncio.create_task(run_unclaimed(generations, job.id, 1))
        puppet.say("one ")
        kept = await said(job, "one ")
        puppet.say("two ")
        await said(job, "two ")
        await broker.call("ACL", "SETUSER", "default", "-xrevrange")
        await lose_after(broker, generations.keys.events(job.id), kept)
        puppet.say("three")
        await eventually(refused)
        puppet.finish()
        await broker.call("ACL", "SETUSER", "default", "+xrevrange")
        await running
    answer = await job.answer()
    assert answer.text == "one two three"
    assert [event.id.seq async for event in job.tail()] == list(range(1, answer.cursor.seq + 1))


async def test_lost_entries_of_two_attempts_are_sent_again_after_a_reconnect_that_lost_nothing(
    tailrace: Tailrace, open_generations: OpenGenerations, request_: GenerationRequest, puppet: Puppet, broker: Broker
) -> None:
    job = await tailrace.enqueue(request_)
    async with open_generations() as generations:
        await broker.call("SET", arq_retry(job.id), 1, "PX", 60_000)
        running = asyncio.create_task(run_unclaimed(generations, job.id, 1))
        puppet.say("one ")
        await said(job, "one ")
        puppet.put(ProviderError("It broke off.", code=FailureCode.PROVIDER_INTERRUPTED, retryable=True))
        puppet.say("two ")
        await said(job, "two ")
        await broker.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        puppet.say("three ")
        begun = (await said(job, "three "))[:2]
        await lose_after(broker, generations.keys.events(job.id), begun)
        puppet.say("four")
        puppet.finish()
        await running
        entries = await broker.call("XRANGE", generations.keys.events(job.id), "-", "+")
    assert [EntryId.decode(id_).seq for id_, _ in entries] == list(range(1, len(entries) + 1))
    assert [fields[b"text"] for _, fields in entries if fields[b"type"] == b"delta"][:2] == [b"one ", b"two "]
    assert (await job.answer()).text == "two three four"


async def test_a_key_that_is_no_longer_a_stream_blocks_no_other_stream(
    tailrace: Tailrace, open_generations: OpenGenerations, request_: GenerationRequest, puppet: Puppet, broker: Broker
) -> None:
    broken, sound = await tailrace.enqueue(request_), await tailrace.enqueue(request_)
    async with open_generations() as generations:
        dropped = asyncio.create_task(run_unclaimed(generations, broken.id, 1))
        puppet.say("one ")
        await said(broken, "one ")
        key = generations.keys.events(broken.id)
        await broker.transaction(("DEL", key), ("SET", key, "rubbish", "PX", 60_000))
        await broker.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        async with asyncio.timeout(10):
            await dropped
            puppet.finish()
            await run_unclaimed(generations, sound.id, 1)
    assert (await sound.status()).state is JobState.COMPLETED


async def test_a_cancel_after_redis_lost_the_start_of_the_attempt_is_the_only_ending(
    tailrace: Tailrace, open_generations: OpenGenerations, request_: GenerationRequest, puppet: Puppet, broker: Broker
) -> None:
    job = await tailrace.enqueue(request_)
    async with open_generations() as generations:
        running = asyncio.create_task(run_unclaimed(generations, job.id, 1))
        await puppet.called.wait()
        keys = generations.keys
        job_keys = (keys.events(job.id), keys.record(job.id), keys.cancel(job.id))
        # In one step, so that the worker cannot put its `started` back before the cancel comes.
        await broker.transaction(
            ("XTRIM", keys.events(job.id), "MAXLEN", 0),
            ("XSETID", keys.events(job.id), "0-0"),
            ("XADD", keys.events(job.id), "0-1", *encode(Queued(at=1, queue="default"))),
            Script.CANCEL.command(job_keys, "enough", 60_000),
            ("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"),
        )
        await running
        entries = await broker.call("XRANGE", keys.events(job.id), "-", "+")
    # A tail would stop at the first ending.
    assert [fields[b"type"] for _, fields in entries] == [b"queued", b"cancelled"]


async def test_the_start_of_a_silent_job_that_redis_lost_is_sent_again(
    tailrace: Tailrace, open_generations: OpenGenerations, request_: GenerationRequest, puppet: Puppet, broker: Broker
) -> None:
    job = await tailrace.enqueue(request_)
    async with open_generations() as generations:
        running = asyncio.create_task(run_unclaimed(generations, job.id, 1))
        await puppet.called.wait()
        queued, started = [event async for event in _first(job, 2)]
        await lose_after(broker, generations.keys.events(job.id), [queued])
        # The provider says nothing: nobody appends, and the publisher notices by itself.
        assert [event async for event in _first(job, 2)] == [queued, started]
        puppet.finish()
        await running


async def _first(job: Job, count: int) -> AsyncGenerator[Event, None]:
    async with asyncio.timeout(10):
        async for event in job.tail():
            yield event
            count -= 1
            if not count:
                return
