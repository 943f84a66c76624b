"""Opening a tail: what is wrong is raised before the first event, on the real server."""

import asyncio

import pytest

from tailrace import (
    BrokerRefused,
    BrokerUnavailable,
    InvalidCursor,
    InvalidRequest,
    Job,
    JobNotFound,
    Settings,
    Snapshot,
    Tailrace,
)
from tailrace.broker.client import Broker, open_redis
from tailrace.protocol.keys import Keys, arq_job
from tailrace.tailing.limits import ReaderLimits
from tailrace.tailing.reader import Reader
from tests.support.handwritten import ENDING, STARTED, HandwrittenStream
from tests.support.proxy import Proxy


async def test_an_open_tail_yields_what_a_tail_yields(job: Job, stream: HandwrittenStream) -> None:
    await stream.append_deltas(2, 3)
    async with asyncio.timeout(10), await job.open_tail(after="0-1") as tail:
        assert not tail.at_end
        assert (await anext(tail)).id.seq == 2
        await stream.append("1-4", ENDING)
        assert [event.id.seq async for event in tail] == [3, 4]


@pytest.mark.parametrize("after", ["0-0", "0-1"])
async def test_a_job_that_waits_is_opened_at_once_wherever_the_cursor_is(job: Job, after: str) -> None:
    async with asyncio.timeout(1), await job.open_tail(after=after) as tail:
        assert not tail.at_end


async def test_a_tail_that_is_opened_beside_another_one_knows_as_much(job: Job) -> None:
    async with asyncio.timeout(10), job.tail() as waiting:
        await anext(waiting)
        for _ in range(3):
            async with await job.open_tail(after="0-1") as tail:
                assert not tail.at_end


async def test_a_cursor_at_the_ending_is_at_the_end_and_no_event_follows(job: Job, stream: HandwrittenStream) -> None:
    await stream.append("1-2", STARTED)
    await stream.append("1-3", ENDING)
    async with asyncio.timeout(10):
        async with await job.open_tail(after="1-3") as tail:
            assert tail.at_end
            assert [event async for event in tail] == []
        for after in ("0-0", "1-2"):
            async with await job.open_tail(after=after) as earlier:
                assert not earlier.at_end
                assert [event.type async for event in earlier][-1] == "completed"


async def test_a_snapshot_of_an_ended_job_is_not_at_the_end(job: Job, stream: HandwrittenStream) -> None:
    await stream.append_deltas(2, 3)
    await stream.append("1-4", ENDING)
    async with asyncio.timeout(10), await job.open_tail(snapshot=True) as tail:
        assert not tail.at_end
        first = await anext(tail)
        assert isinstance(first, Snapshot)
        assert first.answer.text == "2 3 "
        assert [event.type async for event in tail] == ["completed"]


async def test_a_job_that_is_not_there_is_told_before_the_first_event(tailrace: Tailrace) -> None:
    async with asyncio.timeout(1):
        with pytest.raises(JobNotFound, match="expired, was deleted, or was never enqueued"):
            await tailrace.job("x" * 22).open_tail()


async def test_a_job_whose_stream_its_worker_has_yet_to_make_is_opened(tailrace: Tailrace, broker: Broker) -> None:
    job = tailrace.job("y" * 22)
    await broker.call("SET", arq_job(job.id), "{}", "EX", 30)
    async with asyncio.timeout(5), await job.open_tail() as tail:
        assert not tail.at_end
    await broker.call("DEL", arq_job(job.id))


async def test_a_cursor_that_is_none_and_one_that_is_ahead_are_told_before_the_first_event(
    job: Job, stream: HandwrittenStream
) -> None:
    async with asyncio.timeout(10):
        with pytest.raises(InvalidCursor, match="ATTEMPT-SEQ"):
            await job.open_tail(after="first")
        with pytest.raises(InvalidCursor, match="ahead"):
            await job.open_tail(after="7-7")
        await stream.append("1-2", ENDING)
        with pytest.raises(InvalidCursor, match="ahead"):
            await job.open_tail(after="1-3")


async def test_a_snapshot_and_a_cursor_cannot_be_combined(job: Job) -> None:
    with pytest.raises(InvalidRequest, match="snapshot"):
        await job.open_tail(after="0-1", snapshot=True)


async def test_a_key_that_holds_no_stream_is_told_before_the_first_event(
    tailrace: Tailrace, broker: Broker, settings: Settings
) -> None:
    await broker.call("SET", Keys(settings.prefix).events("z" * 22), "no stream")
    async with asyncio.timeout(10):
        with pytest.raises(BrokerRefused, match="WRONGTYPE"):
            await tailrace.job("z" * 22).open_tail()


async def test_a_redis_that_is_away_is_told_before_the_first_event(job: Job, settings: Settings) -> None:
    impatient = settings.model_copy(update={"reconnect_seconds": 0})
    async with Proxy(settings.redis_url) as proxy:
        broker = Broker(open_redis(proxy.url))
        reader = Reader(broker, impatient, limits=ReaderLimits(first_retry_seconds=0.01))
        await proxy.close()
        async with asyncio.timeout(10):
            with pytest.raises(BrokerUnavailable) as caught:
                await Job(job.id, broker, reader, impatient).open_tail(after="0-1")
    assert caught.value.cursor == "0-1"
    assert reader.registry.is_empty
    await broker.aclose()


async def test_a_tail_that_could_not_be_opened_leaves_nothing_behind(
    broker: Broker, settings: Settings, job: Job
) -> None:
    reader = Reader(broker, settings)
    tasks = asyncio.all_tasks()
    with pytest.raises(JobNotFound):
        await Job("x" * 22, broker, reader, settings).open_tail()
    with pytest.raises(InvalidCursor):
        await Job(job.id, broker, reader, settings).open_tail(after="9-9")
    assert reader.registry.is_empty
    assert asyncio.all_tasks() <= tasks
