"""A Redis that comes back without its last moments: claims, the beginning of an attempt, whole jobs."""

import asyncio
from contextlib import AbstractAsyncContextManager, aclosing
from functools import partial

import pytest

from tailrace import Event, Job
from tailrace.broker.client import Broker
from tailrace.errors import FailureCode, ProviderError
from tailrace.events import Started
from tailrace_worker.generation import Generations
from tests.support.eventually import eventually
from tests.support.own_server import OwnServer, broker_url, own
from tests.support.proxy import Proxy
from tests.support.streams import events_of, said, texts
from tests.worker.conftest import Puppet, open_generations, puppet, request_

__all__ = ["broker_url", "open_generations", "own", "puppet", "request_"]  # fixtures

LEASE_SECONDS = 2.0


def working(
    own: OwnServer, name: str, *, puppet: Puppet | None = None, **changed: object
) -> AbstractAsyncContextManager[Generations]:
    """A worker with short leases."""
    return own.worker(name, puppet=puppet, **{"lease_seconds": LEASE_SECONDS, **changed})


async def exists(broker: Broker, key: str, member: str) -> bool:
    return await broker.call("ZSCORE", key, member) is not None


async def is_released(broker: Broker) -> bool:
    """Whether the queue's side has nothing of any job."""
    return not await broker.call("KEYS", "arq:*")


async def read(job: Job, seen: list[Event]) -> None:
    async with asyncio.timeout(40):
        async for event in job.tail():
            seen.append(event)  # noqa: PERF401 - somebody looks at what has come so far


async def test_a_worker_keeps_the_job_whose_claim_and_beginning_redis_has_lost(own: OwnServer) -> None:
    rival = Puppet()
    job = await own.enqueue()
    waiting = await own.moment()
    async with working(own, "holder") as holder:
        own.puppet.say("one ")
        await said(job, "one ")
        reader = asyncio.create_task(events_of(job))
        async with working(own, "rival", puppet=rival):
            await waiting.come_back()
            await eventually(partial(exists, own.broker, holder.keys.running("default"), job.id))
            own.puppet.say("two")
            own.puppet.finish()
            events = await reader
    assert texts(events) == ["one ", "two"]
    assert [str(event.id) for event in await events_of(job)] == ["0-1", "1-2", "1-3", "1-4", "1-5"]
    assert (len(own.puppet.requests), rival.requests) == (1, [])


async def test_a_job_that_is_enqueued_after_a_restart_is_claimed_at_once(own: OwnServer) -> None:
    old = await own.enqueue()
    await (await own.moment()).come_back()
    for text in ("new", "old"):
        own.puppet.say(text)
        own.puppet.finish()
    async with working(own, "worker"):
        new = await own.enqueue()
        assert (await asyncio.wait_for(new.answer(), 10)).text == "new"
        assert (await asyncio.wait_for(old.answer(), 10)).text == "old"


async def test_a_job_that_redis_lost_completely_comes_back_with_the_same_entry_ids(own: OwnServer) -> None:
    async with working(own, "holder") as holder:
        before = await own.moment()
        job = await own.enqueue(front={"version": 1})
        own.puppet.say("one ")
        await said(job, "one ")
        reader = asyncio.create_task(events_of(job))
        record = await own.broker.call("HGETALL", holder.keys.record(job.id))
        await before.come_back()
        own.puppet.say("two")
        own.puppet.finish()
        events = await reader
        await eventually(lambda: is_released(own.broker))
    assert [str(event.id) for event in events] == ["0-1", "1-2", "1-3", "1-4", "1-5"]
    assert await events_of(job) == events
    assert await own.broker.call("HGETALL", holder.keys.record(job.id)) == record
    assert (await job.answer()).text == "one two"
    assert len(own.puppet.requests) == 1
    assert await job.front() == {"version": 1}


async def test_an_ending_that_redis_has_lost_together_with_the_whole_job_is_announced_again(own: OwnServer) -> None:
    async with working(own, "holder") as holder:
        before = await own.moment()
        job = await own.enqueue()
        own.puppet.say("all")
        own.puppet.finish()
        events = await events_of(job)
        await eventually(lambda: is_released(own.broker))
        await before.come_back()
        async with asyncio.timeout(10), aclosing(own.tailrace.endings("readers")) as endings:
            ended = await anext(endings)
        assert (ended.job_id, ended.ending, ended.is_readable) == (job.id, "completed", True)
        assert await events_of(job) == events
        assert await own.broker.call("TTL", holder.keys.record(job.id)) <= holder.settings.keep_seconds


async def test_an_answer_that_breaks_off_before_its_lost_claim_is_back_begins_again(own: OwnServer) -> None:
    # Leases are renewed, and claims asserted, in the third second.
    async with working(own, "holder", lease_seconds=8):
        before = await own.moment()
        job = await own.enqueue()
        own.puppet.say("one ")
        await said(job, "one ")
        reader = asyncio.create_task(events_of(job))
        await before.come_back()
        own.puppet.put(ProviderError("It broke off.", code=FailureCode.PROVIDER_INTERRUPTED, retryable=True))
        own.puppet.say("other")
        own.puppet.finish()
        events = await asyncio.wait_for(reader, 20)
    assert [event.type for event in events] == ["queued", "started", "delta", "started", "delta", "completed"]
    assert (await job.answer()).text == "other"
    assert len(own.puppet.requests) == 2


async def test_a_job_that_was_deleted_does_not_come_back_with_a_restart(own: OwnServer) -> None:
    async with working(own, "holder") as holder:
        job = await own.enqueue()
        own.puppet.say("one ")
        await said(job, "one ")
        await job.delete()
        own.puppet.say("two ")
        await own.puppet.closed.wait()
        await (await own.moment()).come_back()
        other = await own.enqueue()
        own.puppet.say("other")
        own.puppet.finish()
        await asyncio.wait_for(other.answer(), 10)
        assert await own.broker.call("EXISTS", holder.keys.events(job.id), holder.keys.record(job.id)) == 0


async def test_two_starts_of_one_job_are_never_joined(own: OwnServer) -> None:
    rival = Puppet()
    job = await own.enqueue()
    waiting = await own.moment()
    async with Proxy(own.server.url) as proxy, working(own, "holder", redis_url=proxy.url):
        own.puppet.say("one ", "two ")
        seen: list[Event] = []
        reader = asyncio.create_task(read(job, seen))
        await eventually(lambda: "two" in "".join(texts(seen)))
        proxy.refuses = True
        await waiting.come_back()
        async with working(own, "rival", puppet=rival):
            rival.say("other ")
            await said(job, "other ")
            proxy.refuses = False
            await asyncio.wait_for(own.puppet.closed.wait(), 20)
            rival.say("end")
            rival.finish()
            await reader
    starts = [event for event in seen if isinstance(event, Started)]
    assert [event.attempt for event in starts[:1]] == [1]
    assert starts[1].attempt > 2
    after = seen[seen.index(starts[1]) :]
    assert "".join(texts(after)) == "other end"
    assert (await job.answer()).text == "other end"
    assert [event.type for event in await events_of(job)].count("started") == 1


@pytest.mark.parametrize(
    ("directive", "refuse", "allow"),
    [("maxmemory", "1", "0"), ("min-replicas-to-write", "1", "0")],
    ids=["oom", "noreplicas"],
)
async def test_no_worker_takes_over_a_lease_that_redis_refused_to_renew(
    own: OwnServer, directive: str, refuse: str, allow: str
) -> None:
    rival = Puppet()
    job = await own.enqueue()
    async with working(own, "holder") as holder:
        own.puppet.say("one ")
        await said(job, "one ")
        async with working(own, "rival", puppet=rival):
            await own.broker.call("CONFIG", "SET", directive, refuse)
            running = holder.keys.running("default")

            async def is_out() -> bool:
                (seconds, _), score = await own.broker.pipeline(("TIME",), ("ZSCORE", running, job.id))
                return int(seconds) > float(score) / 1_000 + 1

            # The lease has run out, and for longer than Redis would have to be silent.
            await eventually(is_out)
            await own.broker.call("CONFIG", "SET", directive, allow)
            own.puppet.say("two")
            own.puppet.finish()
            answer = await asyncio.wait_for(job.answer(), 20)
    assert answer.text == "one two"
    assert (len(own.puppet.requests), rival.requests) == (1, [])
