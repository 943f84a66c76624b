"""A Redis that comes back without its last moments: claims, the beginning of an attempt, whole jobs."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tailrace import Event, GenerationRequest, Job, Tailrace
from tailrace.broker.client import Broker, open_redis
from tailrace.events import Delta, Started
from tailrace_worker.attempt.calls import Calls
from tailrace_worker.attempt.rate_limits import Throttle
from tailrace_worker.generation import Generations
from tailrace_worker.processes.valkey import EmbeddedBroker
from tests.support.eventually import eventually
from tests.support.proxy import Proxy
from tests.worker.conftest import OpenGenerations, Puppet, open_generations, puppet, request_, running_worker

__all__ = ["open_generations", "puppet", "request_"]  # fixtures

LEASE_SECONDS = 2.0


@pytest.fixture
def broker_url(own_broker: EmbeddedBroker) -> str:
    """The `settings` of these tests point at a server of their own."""
    return own_broker.url


@pytest.fixture
async def broker(own_broker: EmbeddedBroker) -> AsyncIterator[Broker]:
    opened = Broker(open_redis(own_broker.url))
    await opened.call("CONFIG", "SET", "appendfsync", "always")
    yield opened
    await opened.aclose()


@dataclass(frozen=True, slots=True)
class Moment:
    """What the server had on its disk at some time."""

    server: EmbeddedBroker
    file: Path
    size: int

    @classmethod
    async def now(cls, server: EmbeddedBroker, broker: Broker) -> "Moment":
        _, directory = await broker.call("CONFIG", "GET", "dir")
        file = next((Path(directory.decode()) / "appendonlydir").glob("*.incr.aof"))
        return cls(server, file, file.stat().st_size)

    async def come_back(self) -> None:
        """Kills the server, and starts it with what it had then."""
        self.server.kill()
        with self.file.open("r+b") as log:
            log.truncate(self.size)
        await asyncio.to_thread(self.server.start)


@asynccontextmanager
async def worker_of(
    open_generations: OpenGenerations, name: str, puppet: Puppet, **changed: object
) -> AsyncGenerator[Generations]:
    """A worker that claims jobs, and whose provider is this one."""
    async with open_generations(name, lease_seconds=LEASE_SECONDS, **changed) as generations:
        calls = Calls({"openai": puppet}, Throttle(generations.broker, generations.keys), generations.settings)
        own = replace(generations, calls=calls)
        async with running_worker(own):
            yield own


async def said(job: Job, text: str) -> None:
    """Waits until the stream has said a text."""
    async with asyncio.timeout(10):
        async for event in job.tail():
            if isinstance(event, Delta) and text in event.text:
                return


async def exists(broker: Broker, key: str, member: str) -> bool:
    return await broker.call("ZSCORE", key, member) is not None


async def read(job: Job, seen: list[Event]) -> list[Event]:
    async with asyncio.timeout(40):
        async for event in job.tail():
            seen.append(event)  # noqa: PERF401 - somebody looks at what has come so far
    return seen


async def events_of(job: Job) -> list[Event]:
    return await read(job, [])


async def test_a_worker_keeps_the_job_whose_claim_and_beginning_redis_has_lost(
    tailrace: Tailrace,
    open_generations: OpenGenerations,
    request_: GenerationRequest,
    puppet: Puppet,
    own_broker: EmbeddedBroker,
    broker: Broker,
) -> None:
    rival = Puppet()
    job = await tailrace.enqueue(request_)
    waiting = await Moment.now(own_broker, broker)
    async with worker_of(open_generations, "holder", puppet) as holder:
        puppet.say("one ")
        await said(job, "one ")
        reader = asyncio.create_task(events_of(job))
        async with worker_of(open_generations, "rival", rival):
            await waiting.come_back()
            running = holder.keys.running("default")
            await eventually(lambda: exists(broker, running, job.id))
            puppet.say("two")
            puppet.finish()
            events = await reader
    assert [event.text for event in events if isinstance(event, Delta)] == ["one ", "two"]
    assert [str(event.id) for event in await events_of(job)] == ["0-1", "1-2", "1-3", "1-4", "1-5"]
    assert (len(puppet.requests), rival.requests) == (1, [])


async def test_what_is_enqueued_after_a_restart_waits_for_nobody(
    tailrace: Tailrace,
    open_generations: OpenGenerations,
    request_: GenerationRequest,
    puppet: Puppet,
    own_broker: EmbeddedBroker,
    broker: Broker,
) -> None:
    old = await tailrace.enqueue(request_)
    waiting = await Moment.now(own_broker, broker)
    await waiting.come_back()
    puppet.say("new")
    puppet.finish()
    puppet.say("old")
    puppet.finish()
    async with worker_of(open_generations, "worker", puppet):
        new = await tailrace.enqueue(request_)
        assert (await asyncio.wait_for(new.answer(), 10)).text == "new"
        assert (await asyncio.wait_for(old.answer(), 10)).text == "old"


async def test_a_job_that_redis_has_lost_whole_comes_back_under_the_same_ids(
    tailrace: Tailrace,
    open_generations: OpenGenerations,
    request_: GenerationRequest,
    puppet: Puppet,
    own_broker: EmbeddedBroker,
    broker: Broker,
) -> None:
    async with worker_of(open_generations, "holder", puppet) as holder:
        before = await Moment.now(own_broker, broker)
        job = await tailrace.enqueue(request_)
        puppet.say("one ")
        await said(job, "one ")
        reader = asyncio.create_task(events_of(job))
        record = await broker.call("HGETALL", holder.keys.record(job.id))
        await before.come_back()
        puppet.say("two")
        puppet.finish()
        events = await reader
    assert [str(event.id) for event in events] == ["0-1", "1-2", "1-3", "1-4", "1-5"]
    assert await events_of(job) == events
    assert await broker.call("HGETALL", holder.keys.record(job.id)) == record
    assert (await job.answer()).text == "one two"
    assert len(puppet.requests) == 1
    assert await broker.call("KEYS", "arq:*") == []


async def test_a_job_that_was_deleted_does_not_come_back_with_a_restart(
    tailrace: Tailrace,
    open_generations: OpenGenerations,
    request_: GenerationRequest,
    puppet: Puppet,
    own_broker: EmbeddedBroker,
    broker: Broker,
) -> None:
    async with worker_of(open_generations, "holder", puppet) as holder:
        job = await tailrace.enqueue(request_)
        puppet.say("one ")
        await said(job, "one ")
        await job.delete()
        puppet.say("two ")
        await puppet.closed.wait()
        await (await Moment.now(own_broker, broker)).come_back()
        other = await tailrace.enqueue(request_)
        puppet.say("other")
        puppet.finish()
        await asyncio.wait_for(other.answer(), 10)
        assert await broker.call("EXISTS", holder.keys.events(job.id), holder.keys.record(job.id)) == 0


async def test_two_starts_of_one_job_are_never_joined(
    tailrace: Tailrace,
    open_generations: OpenGenerations,
    request_: GenerationRequest,
    puppet: Puppet,
    own_broker: EmbeddedBroker,
    broker: Broker,
) -> None:
    rival = Puppet()
    job = await tailrace.enqueue(request_)
    waiting = await Moment.now(own_broker, broker)
    async with (
        Proxy(own_broker.url) as proxy,
        worker_of(open_generations, "holder", puppet, redis_url=proxy.url),
    ):
        puppet.say("one ", "two ")
        seen: list[Event] = []
        reader = asyncio.create_task(read(job, seen))
        await eventually(lambda: any(isinstance(event, Delta) and "two" in event.text for event in seen))
        proxy.refuses = True
        await waiting.come_back()
        async with worker_of(open_generations, "rival", rival):
            rival.say("other ")
            await said(job, "other ")
            proxy.refuses = False
            await asyncio.wait_for(puppet.closed.wait(), 20)
            rival.say("end")
            rival.finish()
            await reader
    starts = [event for event in seen if isinstance(event, Started)]
    assert [event.attempt for event in starts[:1]] == [1]
    assert starts[1].attempt > 2
    after = seen[seen.index(starts[1]) :]
    assert "".join(event.text for event in after if isinstance(event, Delta)) == "other end"
    assert (await job.answer()).text == "other end"
    assert [event.type for event in await events_of(job)].count("started") == 1


@pytest.mark.parametrize("error", ["oom", "noreplicas"])
async def test_nobody_takes_a_lease_over_that_redis_refused_to_renew(
    tailrace: Tailrace,
    open_generations: OpenGenerations,
    request_: GenerationRequest,
    puppet: Puppet,
    broker: Broker,
    error: str,
) -> None:
    rival = Puppet()
    refuse, allow = {
        "oom": (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
        "noreplicas": (
            ("CONFIG", "SET", "min-replicas-to-write", "1"),
            ("CONFIG", "SET", "min-replicas-to-write", "0"),
        ),
    }[error]
    job = await tailrace.enqueue(request_)
    async with worker_of(open_generations, "holder", puppet) as holder:
        puppet.say("one ")
        await said(job, "one ")
        async with worker_of(open_generations, "rival", rival):
            await broker.call(*refuse)
            running = holder.keys.running("default")

            async def is_out() -> bool:
                (seconds, _), score = await broker.pipeline(("TIME",), ("ZSCORE", running, job.id))
                return int(seconds) > float(score) / 1_000 + 1

            # The lease has run out, and for longer than Redis would have to be silent.
            await eventually(is_out)
            await broker.call(*allow)
            puppet.say("two")
            puppet.finish()
            answer = await asyncio.wait_for(job.answer(), 20)
    assert answer.text == "one two"
    assert (len(puppet.requests), rival.requests) == (1, [])
