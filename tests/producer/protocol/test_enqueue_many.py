"""Many jobs into the queue at once, on the real server and on fakeredis: both must decide alike."""

import pytest
from redis.asyncio import Redis

from tailrace import GenerationRequest, InvalidRequest, JobState, QueueFull, RequestTooLarge, Settings, Tailrace
from tailrace.broker.client import Broker, Command
from tailrace.protocol.keys import Keys, arq_job, new_job_id
from tailrace.protocol.new_job import NewJob
from tailrace.protocol.queue import enqueue_many, withdraw
from tests.support.either_redis import broker, queued, tailrace

__all__ = ["broker", "tailrace"]  # fixtures

REQUESTS = [
    GenerationRequest.model_validate(
        {"provider": "openai", "model": f"gpt-{number}", "messages": [{"role": "user", "content": "Hi"}]}
    )
    for number in range(1_000)
]


async def ours(broker: Broker, keys: Keys) -> set[bytes]:
    return {key for key in await broker.call("KEYS", "*") if keys.prefix.encode() in key}


async def test_a_thousand_jobs_go_in_in_one_round_trip_and_in_their_order(
    tailrace: Tailrace, broker: Broker, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    trips: list[int] = []
    pipeline = Broker.pipeline

    async def counted(self: Broker, *commands: Command) -> list[object]:
        trips.append(len(commands))
        return await pipeline(self, *commands)

    async def other(self: Broker, *command: object) -> object:
        raise AssertionError(command)

    with monkeypatch.context() as patched:
        patched.setattr(Broker, "pipeline", counted)
        patched.setattr(Broker, "transaction", other)
        patched.setattr(Broker, "call", other)
        jobs = await tailrace.enqueue_many(REQUESTS)
    assert trips == [1_001]
    assert await queued(broker, keys) == [job.id for job in jobs]


async def test_each_job_goes_in_on_both_sides(tailrace: Tailrace, broker: Broker, keys: Keys) -> None:
    jobs = await tailrace.enqueue_many(iter(REQUESTS[:3]), tenant="acme", queue="batch")
    assert await queued(broker, keys, "batch") == [job.id for job in jobs]
    for job, request in zip(jobs, REQUESTS, strict=False):
        status = await job.status()
        assert (status.state, status.tenant, status.queue) == (JobState.QUEUED, "acme", "batch")
        assert GenerationRequest.from_json(await broker.call("HGET", keys.record(job.id), "request")) == request
        assert await broker.call("PTTL", arq_job(job.id)) > 0


async def test_all_are_due_at_once_and_stand_before_what_comes_behind(
    tailrace: Tailrace, broker: Broker, keys: Keys
) -> None:
    jobs = await tailrace.enqueue_many(REQUESTS)
    enqueued_at = float(await broker.call("ZSCORE", keys.queues, "default"))
    behind = await tailrace.enqueue(REQUESTS[0])
    assert await queued(broker, keys) == [*(job.id for job in jobs), behind.id]
    due = [float(await broker.call("ZSCORE", keys.queue("default"), job.id)) for job in jobs]
    assert due == sorted(set(due))
    assert enqueued_at - 1 < due[0] < due[-1] == enqueued_at


async def test_deferred_jobs_are_due_later_and_ring_nobody(tailrace: Tailrace, broker: Broker, keys: Keys) -> None:
    now = await tailrace.enqueue(REQUESTS[0], queue="other")
    later = await tailrace.enqueue_many(REQUESTS[:2], defer_seconds=60)
    due_now = float(await broker.call("ZSCORE", keys.queue("other"), now.id))
    for job in later:
        assert 59_000 < float(await broker.call("ZSCORE", keys.queue("default"), job.id)) - due_now < 61_000
    assert await broker.call("EXISTS", keys.doorbell("default")) == 0


async def test_they_ring_once_each_and_do_not_pile_up(tailrace: Tailrace, broker: Broker, keys: Keys) -> None:
    await tailrace.enqueue_many(REQUESTS[:3])
    assert await broker.call("LLEN", keys.doorbell("default")) == 3
    await tailrace.enqueue_many(REQUESTS[:100])
    assert await broker.call("LLEN", keys.doorbell("default")) == 64


async def test_none_is_none(tailrace: Tailrace, broker: Broker, keys: Keys) -> None:
    assert await tailrace.enqueue_many([]) == []
    assert await ours(broker, keys) == set()


async def test_a_queue_without_room_for_all_takes_none_and_keeps_nothing(
    redis: Redis, settings: Settings, broker: Broker, keys: Keys
) -> None:
    tailrace = Tailrace(redis, settings=settings.model_copy(update={"max_queued": 3}))
    first = await tailrace.enqueue(REQUESTS[0])
    before = await ours(broker, keys)
    with pytest.raises(QueueFull) as caught:
        await tailrace.enqueue_many(REQUESTS[:3])
    assert (caught.value.depth, caught.value.limit) == (1, 3)
    assert await ours(broker, keys) == before
    assert await queued(broker, keys) == [first.id]
    jobs = await tailrace.enqueue_many(REQUESTS[:2])
    assert await queued(broker, keys) == [first.id, *(job.id for job in jobs)]


async def test_an_empty_queue_refuses_a_batch_above_its_limit(
    redis: Redis, settings: Settings, broker: Broker, keys: Keys
) -> None:
    tailrace = Tailrace(redis, settings=settings.model_copy(update={"max_queued": 2}))
    with pytest.raises(QueueFull) as caught:
        await tailrace.enqueue_many(REQUESTS[:3])
    assert (caught.value.depth, caught.value.limit) == (0, 2)
    assert await ours(broker, keys) == set()


async def test_the_same_jobs_sent_again_change_nothing(broker: Broker, keys: Keys) -> None:
    jobs = {
        new_job_id(): NewJob(
            request=request.to_json(max_bytes=9_999),
            provider=request.provider,
            model=request.model,
            tenant="default",
            queue="default",
            defer_seconds=0,
            expires_in_seconds=60,
            life_seconds=60,
            max_queued=3,
        )
        for request in REQUESTS[:3]
    }
    await enqueue_many(broker, keys, jobs)
    # One was claimed in between: what is left must neither be refused nor doubled.
    await broker.call("ZREM", keys.queue("default"), next(iter(jobs)))
    await enqueue_many(broker, keys, jobs)
    assert await queued(broker, keys) == list(jobs)[1:]
    assert [await broker.call("XLEN", keys.events(job_id)) for job_id in jobs] == [1, 1, 1]

    # All have ended in between, and others fill the queue: what they have said must stay.
    for job_id in jobs:
        await broker.call("XADD", keys.events(job_id), "1-2", "type", "completed")
        await withdraw(broker, keys, job_id, "default")
    others = {new_job_id(): job for job in jobs.values()}
    await enqueue_many(broker, keys, others)
    await enqueue_many(broker, keys, jobs)
    assert await queued(broker, keys) == list(others)
    assert [await broker.call("XLEN", keys.events(job_id)) for job_id in jobs] == [2, 2, 2]


@pytest.mark.parametrize(
    ("bad", "error"),
    [({"tenant": ""}, InvalidRequest), ({"queue": "a:b"}, InvalidRequest), ({"defer_seconds": -1}, InvalidRequest)],
)
async def test_a_bad_argument_is_named(tailrace: Tailrace, bad: dict[str, object], error: type[Exception]) -> None:
    with pytest.raises(error, match=next(iter(bad))):
        await tailrace.enqueue_many(REQUESTS[:2], **bad)  # type: ignore[arg-type]


async def test_one_request_over_the_limit_refuses_all_before_anything_is_written(
    tailrace: Tailrace, broker: Broker, keys: Keys
) -> None:
    long = REQUESTS[0].model_copy(update={"model": "m" * 2_000_000})
    with pytest.raises(RequestTooLarge):
        await tailrace.enqueue_many([REQUESTS[1], long])
    assert await ours(broker, keys) == set()
