"""Redis goes away in mid-stream, and comes back with less than it had, or without memory to spare."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tailrace import Event, GenerationRequest, Job, Tailrace
from tailrace.broker.client import Broker, open_redis
from tailrace.events import Delta
from tailrace_worker.processes.valkey import EmbeddedBroker
from tests.support.eventually import eventually
from tests.worker.conftest import OpenGenerations, Puppet, open_generations, puppet, request_

__all__ = ["open_generations", "puppet", "request_"]  # fixtures


@pytest.fixture
def broker_url(own_broker: EmbeddedBroker) -> str:
    """The `settings` of these tests point at a server of their own."""
    return own_broker.url


async def events_of(job: Job) -> list[Event]:
    async with asyncio.timeout(30):
        return [event async for event in job.tail()]


async def seen(job: Job, text: str) -> None:
    """Waits until the stream has said a text."""
    said = ""
    async with asyncio.timeout(10):
        async for event in job.tail():
            said += event.text if isinstance(event, Delta) else ""
            if text in said:
                return


def texts(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Delta))


async def append_only_file(broker: Broker) -> Path:
    _, directory = await broker.call("CONFIG", "GET", "dir")
    return next((Path(directory.decode()) / "appendonlydir").glob("*.incr.aof"))


@pytest.fixture
async def broker(own_broker: EmbeddedBroker) -> AsyncIterator[Broker]:
    opened = Broker(open_redis(own_broker.url))
    yield opened
    await opened.aclose()


@pytest.mark.parametrize("lost_bytes", [0, 1_000], ids=["nothing-lost", "tail-lost"])
async def test_what_a_restarted_redis_lost_is_sent_again_in_order(
    tailrace: Tailrace,
    open_generations: OpenGenerations,
    request_: GenerationRequest,
    puppet: Puppet,
    own_broker: EmbeddedBroker,
    broker: Broker,
    lost_bytes: int,
) -> None:
    job = await tailrace.enqueue(request_)
    reader = asyncio.create_task(events_of(job))
    async with open_generations() as generations:
        running = asyncio.create_task(generations.run(job.id, 1))
        for number in range(20):
            puppet.say(f"{number} ")
            await seen(job, f"{number} ")
        file = await append_only_file(broker)
        own_broker.kill()
        puppet.say("meanwhile ")
        size = file.stat().st_size
        with file.open("r+b") as log:
            log.truncate(size - lost_bytes)
        await asyncio.to_thread(own_broker.start)
        puppet.say("after")
        puppet.finish()
        await running
    events = await events_of(job)
    assert texts(events) == "".join(f"{number} " for number in range(20)) + "meanwhile after"
    assert [event.id.seq for event in events] == list(range(1, len(events) + 1))
    assert [event.type for event in events if event.type != "delta"] == ["queued", "started", "completed"]
    # Who read on through the restart saw no less and nothing twice.
    assert texts(await reader) == texts(events)


async def test_a_redis_that_comes_back_without_the_last_words_of_an_ended_job_gets_them_again(
    tailrace: Tailrace,
    open_generations: OpenGenerations,
    request_: GenerationRequest,
    puppet: Puppet,
    own_broker: EmbeddedBroker,
    broker: Broker,
) -> None:
    job = await tailrace.enqueue(request_)
    file = await append_only_file(broker)
    async with open_generations() as generations:
        puppet.say("Hello")
        running = asyncio.create_task(generations.run(job.id, 1))
        await seen(job, "Hello")
        size = file.stat().st_size
        puppet.finish()
        await running
        before = await events_of(job)
        own_broker.kill()
        with file.open("r+b") as log:
            log.truncate(size)
        # Nobody appends anything more: the publisher notices by itself that Redis was away.
        await asyncio.to_thread(own_broker.start)
        assert await events_of(job) == before


async def test_a_batch_that_is_refused_for_want_of_memory_lands_whole_once_there_is_some(
    tailrace: Tailrace,
    open_generations: OpenGenerations,
    request_: GenerationRequest,
    puppet: Puppet,
    broker: Broker,
    caplog: pytest.LogCaptureFixture,
) -> None:
    job = await tailrace.enqueue(request_)
    async with open_generations() as generations:
        running = asyncio.create_task(generations.run(job.id, 1))
        puppet.say("one ")
        await seen(job, "one ")
        await broker.call("CONFIG", "SET", "maxmemory", "1")
        puppet.say("two ")
        await eventually(lambda: "maxmemory" in caplog.text)
        puppet.say("three")
        puppet.finish()
        await broker.call("CONFIG", "SET", "maxmemory", "0")
        await running
    events = await events_of(job)
    assert texts(events) == "one two three"
    assert [event.id.seq for event in events] == list(range(1, len(events) + 1))


async def test_what_waits_is_bounded_and_then_the_provider_is_not_read(
    tailrace: Tailrace,
    open_generations: OpenGenerations,
    request_: GenerationRequest,
    puppet: Puppet,
    broker: Broker,
) -> None:
    job = await tailrace.enqueue(request_)
    async with open_generations(max_waiting_bytes=65_536) as generations:
        running = asyncio.create_task(generations.run(job.id, 1))
        puppet.say("one ")
        await seen(job, "one ")
        await broker.call("CONFIG", "SET", "maxmemory", "1")
        puppet.say(*("x" * 1_024 for _ in range(1_000)))
        await eventually(lambda: puppet.unread <= 1_000 - 64)
        for _ in range(100):
            await asyncio.sleep(0)
        assert puppet.unread > 900
        await broker.call("CONFIG", "SET", "maxmemory", "0")
        puppet.finish()
        await running
    assert len(texts(await events_of(job))) == len("one ") + 1_000 * 1_024
