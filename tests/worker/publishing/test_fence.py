"""The stream id is the fence: who may write, and what is written once."""

import asyncio

import pytest

from tailrace import Job
from tailrace.events import Delta
from tailrace_worker.generation import Generations
from tailrace_worker.publishing.losses import Fenced, StreamDeleted, StreamLost
from tests.support.proxy import Proxy
from tests.support.streams import ENDING, begin, ignore, read, run_unclaimed, texts, writing
from tests.worker.conftest import OpenGenerations, Puppet


async def test_a_zombie_cannot_write_after_takeover(job: Job, generations: Generations) -> None:
    told: list[StreamLost] = []
    with generations.publisher.open(job.id, await begin(generations, job), told.append) as zombie:
        zombie.write(Delta(text="before"))
        await zombie.settled()
        successor = await begin(generations, job, attempt=2)
        zombie.write(Delta(text="after"))
        with pytest.raises(Fenced):
            await zombie.settled()
        with pytest.raises(Fenced):
            zombie.write(Delta(text="still"))
    assert [type(why) for why in told] == [Fenced]
    with generations.publisher.open(job.id, successor, ignore) as writer:
        await writer.end(ENDING)
    events = await read(job, 5)
    assert texts(events) == ["before"]
    assert [str(event.id) for event in events] == ["0-1", "1-2", "1-3", "2-4", "2-5"]


async def test_an_append_whose_reply_was_lost_is_sent_again_and_lands_once(
    job: Job, proxied: Generations, proxy: Proxy
) -> None:
    async with writing(proxied, job) as writer:
        writer.write(Delta(text="one "))
        await writer.settled()
        proxy.hold_replies = True
        writer.write(Delta(text="two "))
        await proxy.requested(b"two ")
        # Handed over while the batch is under way: it must not grow into an entry that may have landed.
        writer.write(Delta(text="three"))
        assert texts(await read(job, 4)) == ["one ", "two "]
        await proxy.cut()
        await writer.end(ENDING)
    events = await read(job, 9)
    assert texts(events) == ["one ", "two ", "three"]
    assert [event.id.seq for event in events] == [1, 2, 3, 4, 5, 6]


async def test_an_append_that_never_arrived_is_sent_again_under_the_same_id(
    job: Job, proxied: Generations, proxy: Proxy
) -> None:
    async with writing(proxied, job) as writer:
        writer.write(Delta(text="one"))
        await writer.settled()
        await proxy.cut()
        writer.write(Delta(text="two"))
        await writer.end(ENDING)
    events = await read(job, 9)
    assert texts(events) == ["one", "two"]
    assert [str(event.id) for event in events] == ["0-1", "1-2", "1-3", "1-4", "1-5"]


async def test_a_refused_resend_is_not_taken_for_landed_where_a_successor_has_begun(
    job: Job,
    proxied: Generations,
    open_generations: OpenGenerations,
    proxy: Proxy,
) -> None:
    async with writing(proxied, job) as writer:
        writer.write(Delta(text="one"))
        await writer.settled()
        await proxy.cut()
        async with open_generations() as other:
            await begin(other, job, attempt=2)
            with pytest.raises(Fenced):
                await writer.end(ENDING)
    assert [event.type for event in await read(job, 4)] == ["queued", "started", "delta", "started"]


async def test_a_cancel_while_a_reply_was_lost_leaves_no_gap_and_doubles_nothing(
    job: Job,
    open_generations: OpenGenerations,
    proxy: Proxy,
    puppet: Puppet,
) -> None:
    # Only the publisher's connection loses its replies: the cancel poll goes straight to the server.
    async with open_generations(publisher_url=proxy.url) as generations:
        running = asyncio.create_task(run_unclaimed(generations, job.id, 1))
        puppet.say("one ")
        await proxy.replied(b"1-3")
        proxy.hold_replies = True
        puppet.say("two ")
        await proxy.requested(b"two ")
        puppet.say("three")
        await job.cancel("enough")
        await puppet.closed.wait()
        await proxy.cut()
        await running
    events = await read(job, 9)
    assert "".join(texts(events)) in {"one two ", "one two three"}
    assert [event.id.seq for event in events] == list(range(1, len(events) + 1))
    assert events[-1].type == "cancelled"


async def test_a_deleted_stream_is_not_raised_from_the_dead(job: Job, generations: Generations, puppet: Puppet) -> None:
    running = asyncio.create_task(run_unclaimed(generations, job.id, 1))
    puppet.say("one")
    await read(job, 3)
    await job.delete()
    puppet.say("two")
    await running
    assert puppet.closed.is_set()
    assert await generations.broker.call("EXISTS", generations.keys.events(job.id)) == 0


async def test_a_writer_of_a_deleted_stream_is_told(job: Job, generations: Generations) -> None:
    async with writing(generations, job) as writer:
        await job.delete()
        with pytest.raises(StreamDeleted):
            await writer.end(ENDING)


async def test_adjacent_texts_that_wait_together_become_one_entry(job: Job, generations: Generations) -> None:
    async with writing(generations, job) as writer:
        for number in range(100):
            writer.write(Delta(text=f"{number} "))
        await writer.end(ENDING)
    events = await read(job, 99)
    assert "".join(texts(events)) == "".join(f"{number} " for number in range(100))
    assert len(events) < 20


async def test_a_lone_surrogate_does_not_stop_the_stream(job: Job, generations: Generations) -> None:
    async with writing(generations, job) as writer:
        writer.write(Delta(text="a\ud83db"))
        await writer.end(ENDING)
    assert texts(await read(job, 9)) == ["a?b"]
