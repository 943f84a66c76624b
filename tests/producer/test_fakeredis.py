"""`Tailrace` on fakeredis, as services test with it: the worker is the test itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from tailrace import BrokerUnavailable, InvalidCursor, Job, JobNotFound, Settings, Tailrace
from tailrace.broker.client import Broker
from tailrace.broker.wire import Wire, packed
from tailrace.events import Completed, Delta
from tailrace.protocol.keys import Keys
from tests.support.eventually import eventually
from tests.support.handwritten import REQUEST, STARTED, HandwrittenStream

fakeredis = pytest.importorskip("fakeredis")

KEYS = Keys()
COMPLETED = Completed(at=2, finish_reason="stop", output_tokens=1)


@pytest.fixture
async def fake() -> AsyncIterator[Any]:
    async with fakeredis.FakeAsyncRedis(protocol=2) as client:
        yield client


@pytest.fixture
async def tailrace(fake: Any) -> AsyncIterator[Tailrace]:
    async with Tailrace(fake) as opened:
        yield opened


async def finish(fake: Any, job: Job) -> None:
    """What a worker would write."""
    stream = HandwrittenStream(Broker(fake), KEYS, job)
    await stream.append("1-2", STARTED)
    await stream.append("1-3", Delta(text="Hello"))
    await stream.append("1-4", COMPLETED)


def test_a_client_of_fakeredis_is_taken_as_it_is_made() -> None:
    if fakeredis.FakeAsyncRedis().connection_pool.make_connection().protocol != 2:
        pytest.skip("this redis-py speaks RESP3 unless told otherwise")
    Tailrace(fakeredis.FakeAsyncRedis())


async def test_a_tail_follows_a_job_to_its_ending(tailrace: Tailrace, fake: Any) -> None:
    job = await tailrace.enqueue(REQUEST)
    async with asyncio.timeout(10), job.tail() as tail:
        assert (await anext(tail)).type == "queued"
        waiting = asyncio.ensure_future(anext(tail))
        await eventually(lambda: is_heard(fake, job.id))
        await finish(fake, job)
        assert (await waiting).type == "started"
        assert [event.type async for event in tail] == ["delta", "completed"]
        assert [event.type async for event in job.tail(after="1-3")] == ["completed"]
        assert [event.type async for event in job.tail(snapshot=True)] == ["snapshot", "completed"]
        assert (await job.answer()).text == "Hello"


async def test_many_tails_of_many_jobs_reach_their_endings(tailrace: Tailrace, fake: Any) -> None:
    jobs = await tailrace.enqueue_many([REQUEST] * 20)
    answers = [asyncio.ensure_future(job.answer()) for job in jobs for _ in range(5)]
    for job in jobs:
        await finish(fake, job)
    async with asyncio.timeout(20):
        assert {answer.text for answer in await asyncio.gather(*answers)} == {"Hello"}


async def test_a_job_is_cancelled_told_of_regenerated_and_deleted(tailrace: Tailrace) -> None:
    job = await tailrace.enqueue(REQUEST, tenant="acme", idempotency_key="order-7")
    assert (await tailrace.enqueue(REQUEST, tenant="acme", idempotency_key="order-7")).id == job.id
    again = await job.regenerate(temperature=1.0)
    assert await job.cancel("enough") == "cancelled"
    status = await job.status()
    assert (status.state, status.regenerated_as) == ("cancelled", (again.id,))
    assert (await tailrace.fleet()).queues[0].due == 1
    await again.delete()
    async with asyncio.timeout(10):
        with pytest.raises(JobNotFound):
            await again.answer()
        with pytest.raises(InvalidCursor):
            [event async for event in job.tail(after="9999-1")]


async def test_requests_run_side_by_side(tailrace: Tailrace, fake: Any) -> None:
    heard: list[tuple[int, str]] = []
    async with asyncio.timeout(10), aclosing(tailrace.parallel([REQUEST] * 3, max_concurrent=2)) as events:
        async for index, event in events:
            heard.append((index, event.type))
            if event.type == "queued":
                await finish(fake, tailrace.job(await newest(fake)))
    assert sorted(index for index, type_ in heard if type_ == "completed") == [0, 1, 2]


async def newest(fake: Any) -> str:
    """The job that was enqueued and has not been begun."""
    broker = Broker(fake)
    for job_id in await broker.call("ZRANGE", KEYS.queue("default"), 0, -1):
        if await broker.call("XLEN", KEYS.events(job_id.decode())) == 1:
            return str(job_id.decode())
    raise AssertionError("all have begun")


async def test_readers_of_endings_are_told_and_leave_nothing_behind(tailrace: Tailrace, fake: Any) -> None:
    first, second = [await tailrace.enqueue(REQUEST) for _ in range(2)]
    for job in (first, second):
        await job.cancel()
    async with asyncio.timeout(10):
        async with aclosing(tailrace.endings("archive")) as endings:
            assert (await anext(endings)).job_id == first.id
        async with aclosing(tailrace.endings("archive", redeliver_seconds=0)) as endings:
            assert [(await anext(endings)).job_id for _ in range(2)] == [first.id, second.id]
            waiting = asyncio.ensure_future(anext(endings))
            third = await tailrace.enqueue(REQUEST)
            await third.cancel()
            assert (await waiting).is_readable


@pytest.mark.slow
async def test_a_server_that_is_away_ends_tails_as_a_real_one_does() -> None:
    server = fakeredis.FakeServer()
    client = fakeredis.FakeAsyncRedis(server=server, protocol=2)
    settings = Settings.read(reconnect_seconds=0.1)
    async with client, Tailrace(client, settings=settings) as tailrace:
        job = await tailrace.enqueue(REQUEST)
        waiting = asyncio.ensure_future(job.answer())
        await eventually(lambda: is_heard(client, job.id))
        server.connected = False
        async with asyncio.timeout(30):
            with pytest.raises(BrokerUnavailable):
                await waiting
        server.connected = True


async def test_replies_come_in_order_and_errors_stand_in_their_places(fake: Any) -> None:
    await fake.set("text", "no stream")
    transaction = (("MULTI",), ("SET", "a", 1), ("LPUSH", "text", 1), ("GET", "none"), ("EXEC",))
    commands = (("XREVRANGE", "text", "+", "-"), ("EXISTS", "text"), *transaction, ("GET", "a"), ("ABSENT",))
    async with asyncio.timeout(10), Wire(fake) as wire:
        await wire.connect()
        refused, exists, *_, executed, got, absent = await wire.exchange(
            b"".join(packed(*command) for command in commands), len(commands)
        )
    assert (exists, got) == (1, b"1")
    assert "WRONGTYPE" in str(refused)
    assert "unknown command" in str(absent)
    assert (executed[0], executed[2]) == (b"OK", None)
    assert "WRONGTYPE" in str(executed[1])


async def test_a_defect_of_the_fake_ends_the_connection_and_no_wait_for_it(fake: Any) -> None:
    await fake.set("text", "no stream")
    async with asyncio.timeout(5), Wire(fake) as wire:
        await wire.connect()
        # The real one says WRONGTYPE.
        with pytest.raises(BrokerUnavailable, match="irange"):
            await wire.exchange(packed("XREAD", "STREAMS", "text", "0-0"), 1)
        assert not wire.is_connected


async def is_heard(fake: Any, job_id: str) -> bool:
    _, listeners = await Broker(fake).call("PUBSUB", "NUMSUB", KEYS.bell(job_id))
    return bool(listeners)
