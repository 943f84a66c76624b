"""Redis goes away in mid-stream, and comes back with less than it had, or without memory to spare."""

import asyncio

import pytest

from tests.support.eventually import eventually
from tests.support.own_server import OwnServer, broker_url, own
from tests.support.streams import events_of, run_unclaimed, said, texts
from tests.worker.conftest import open_generations, puppet, request_

__all__ = ["broker_url", "open_generations", "own", "puppet", "request_"]  # fixtures


@pytest.mark.parametrize("lost_bytes", [0, 1_000], ids=["nothing-lost", "tail-lost"])
async def test_entries_that_a_restarted_redis_lost_are_sent_again_in_order(own: OwnServer, lost_bytes: int) -> None:
    job = await own.enqueue()
    reader = asyncio.create_task(events_of(job))
    async with own.attempt(job):
        for number in range(20):
            own.puppet.say(f"{number} ")
            await said(job, f"{number} ")
        (await own.moment()).lose(more_bytes=lost_bytes)
        own.puppet.say("meanwhile ")
        await asyncio.to_thread(own.server.start)
        own.puppet.say("after")
        own.puppet.finish()
    events = await events_of(job)
    assert "".join(texts(events)) == "".join(f"{number} " for number in range(20)) + "meanwhile after"
    assert [event.id.seq for event in events] == list(range(1, len(events) + 1))
    assert [event.type for event in events if event.type != "delta"] == ["queued", "started", "completed"]
    # Who read on through the restart saw no less and nothing twice.
    assert texts(await reader) == texts(events)


async def test_the_last_entries_of_an_ended_job_that_redis_lost_are_sent_again(own: OwnServer) -> None:
    job = await own.enqueue()
    async with own.open_generations() as generations:
        own.puppet.say("Hello")
        running = asyncio.create_task(run_unclaimed(generations, job.id, 1))
        await said(job, "Hello")
        moment = await own.moment()
        own.puppet.finish()
        await running
        before = await events_of(job)
        # Nobody appends anything more: the publisher notices by itself that Redis was away.
        await moment.come_back()
        assert await events_of(job) == before


async def test_a_batch_that_was_refused_without_memory_lands_completely_once_there_is_memory(
    own: OwnServer, caplog: pytest.LogCaptureFixture
) -> None:
    job = await own.enqueue()
    async with own.attempt(job):
        own.puppet.say("one ")
        await said(job, "one ")
        await own.broker.call("CONFIG", "SET", "maxmemory", "1")
        own.puppet.say("two ")
        await eventually(lambda: "maxmemory" in caplog.text)
        own.puppet.say("three")
        own.puppet.finish()
        await own.broker.call("CONFIG", "SET", "maxmemory", "0")
    events = await events_of(job)
    assert "".join(texts(events)) == "one two three"
    assert [event.id.seq for event in events] == list(range(1, len(events) + 1))


async def test_waiting_text_is_bounded_and_at_the_bound_the_provider_is_not_read(own: OwnServer) -> None:
    job = await own.enqueue()
    async with own.attempt(job, max_waiting_bytes=65_536):
        own.puppet.say("one ")
        await said(job, "one ")
        await own.broker.call("CONFIG", "SET", "maxmemory", "1")
        own.puppet.say(*("x" * 1_024 for _ in range(1_000)))
        await eventually(lambda: own.puppet.unread <= 1_000 - 64)
        for _ in range(100):
            await asyncio.sleep(0)
        assert own.puppet.unread > 900
        await own.broker.call("CONFIG", "SET", "maxmemory", "0")
        own.puppet.finish()
    assert len("".join(texts(await events_of(job)))) == len("one ") + 1_000 * 1_024
