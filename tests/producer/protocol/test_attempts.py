"""The scripts on a job's own keys: one ending, ids that fence, and an expiry on everything that they leave."""

from typing import Any

import pytest

from tailrace import CancelOutcome, Job, Settings, Tailrace
from tailrace.broker.client import Broker
from tailrace.events import Failed
from tailrace.protocol import attempts
from tailrace.protocol.attempts import Began
from tailrace.protocol.job_end import Gone, Over, end_orphan
from tailrace.protocol.keys import Keys, arq_job
from tests.support.handwritten import REQUEST

LOST = Failed(at=1, code="worker_lost", message="lost")


async def begin(broker: Broker, keys: Keys, job: Job, attempt: int = 1) -> object:
    return await attempts.begin(
        broker,
        keys,
        job.id,
        attempt=attempt,
        worker="w",
        reason="retry",
        max_lost=3,
        life_seconds=100,
        keep_seconds=50,
    )


async def lives(broker: Broker, keys: Keys, job: Job) -> list[int]:
    names = keys.events(job.id), keys.record(job.id), keys.cancel(job.id)
    left = await broker.pipeline(*(("PTTL", name) for name in names))
    return [life for life in left if life != -2]


async def types(broker: Broker, keys: Keys, job: Job) -> list[tuple[int, str]]:
    entries: list[Any] = await broker.call("XRANGE", keys.events(job.id), "-", "+")
    return [(int(entry_id.partition(b"-")[0]), fields[b"type"].decode()) for entry_id, fields in entries]


async def test_who_ends_a_job_that_it_does_not_run_fences_whoever_does(
    tailrace: Tailrace, broker: Broker, keys: Keys
) -> None:
    job = await tailrace.enqueue(REQUEST)
    assert isinstance(await begin(broker, keys, job), Began)
    assert isinstance(await end_orphan(broker, keys, job.id, LOST, keep_seconds=50), Over)
    (_, started), (outside, ending) = (await types(broker, keys, job))[1:]
    assert (started, ending) == ("started", "failed")
    # Above every attempt that may have begun since Redis lost some of its last words.
    assert outside > 100


async def test_a_job_that_has_its_ending_gets_no_second_one(tailrace: Tailrace, broker: Broker, keys: Keys) -> None:
    job = await tailrace.enqueue(REQUEST)
    assert await job.cancel() is CancelOutcome.CANCELLED
    over = await end_orphan(broker, keys, job.id, LOST, keep_seconds=50)
    assert over == Over(ending="cancelled", tenant="default")
    assert isinstance(await begin(broker, keys, job, attempt=5_000), Over)
    assert await job.cancel() is CancelOutcome.ENDED
    assert [type_ for _, type_ in await types(broker, keys, job)] == ["queued", "cancelled"]


async def test_a_job_that_is_gone_is_given_no_ending(tailrace: Tailrace, broker: Broker, keys: Keys) -> None:
    job = await tailrace.enqueue(REQUEST)
    await job.delete()
    assert isinstance(await end_orphan(broker, keys, job.id, LOST, keep_seconds=50), Gone)
    assert await lives(broker, keys, job) == []


@pytest.mark.parametrize("ended_by", ["cancel", "end", "begin"])
async def test_whoever_writes_the_ending_begins_the_time_to_keep(
    settings: Settings, broker: Broker, keys: Keys, ended_by: str
) -> None:
    async with Tailrace.connect(settings.redis_url, prefix=settings.prefix, keep_seconds=50) as tailrace:
        job = await tailrace.enqueue(REQUEST)
        if ended_by == "end":
            await end_orphan(broker, keys, job.id, LOST, keep_seconds=50)
        else:
            if ended_by == "begin":
                await begin(broker, keys, job)
            await job.cancel()
            await begin(broker, keys, job, attempt=2)
        left = await lives(broker, keys, job)
        assert len(left) == (2 if ended_by == "end" else 3)
        assert all(0 < life <= 50_000 for life in left)


async def test_what_is_written_around_a_job_expires_too(tailrace: Tailrace, broker: Broker, keys: Keys) -> None:
    job = await tailrace.enqueue(REQUEST, idempotency_key="order-7")
    await begin(broker, keys, job)
    assert await job.cancel() is CancelOutcome.REQUESTED
    around = arq_job(job.id), keys.idempotency("default", "order-7"), keys.cancel(job.id)
    assert all(left > 0 for left in await broker.pipeline(*(("PTTL", name) for name in around)))


async def test_a_record_whose_times_are_no_numbers_stops_nobody(tailrace: Tailrace, broker: Broker, keys: Keys) -> None:
    job = await tailrace.enqueue(REQUEST)
    await broker.call("HSET", keys.record(job.id), "queued_at", "soon", "expires_at", "later")
    began = await begin(broker, keys, job)
    assert isinstance(began, Began)
    assert began.queued_at == began.at
