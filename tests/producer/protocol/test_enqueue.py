"""Into the queue, on the real server and on fakeredis: both must decide alike."""

import asyncio
import json
from unittest.mock import ANY

import pytest
from redis.asyncio import Redis

from tailrace import (
    EntryId,
    GenerationRequest,
    IdempotencyConflict,
    InvalidRequest,
    Job,
    JobNotFound,
    JobState,
    QueueFull,
    RequestTooLarge,
    Settings,
    Tailrace,
)
from tailrace.broker.client import Broker
from tailrace.events import Cancelled
from tailrace.protocol.entries import decode
from tailrace.protocol.keys import Keys, arq_job, new_job_id
from tailrace.protocol.new_job import NewJob, create_command
from tests.support.either_redis import broker, queued, tailrace
from tests.support.handwritten import REQUEST

__all__ = ["broker", "tailrace"]  # fixtures

OTHER = REQUEST.model_copy(update={"model": "gpt-6"})


async def test_a_job_goes_in_on_both_sides(tailrace: Tailrace, broker: Broker, keys: Keys) -> None:
    job = await tailrace.enqueue(REQUEST, tenant="acme")
    status = await job.status()
    assert (status.state, status.tenant, status.queue) == (JobState.QUEUED, "acme", "default")
    assert (status.provider, status.model) == ("openai", "gpt-5")
    assert await queued(broker, keys) == [job.id]
    stored = await broker.call("HGET", keys.record(job.id), "request")
    assert GenerationRequest.from_json(stored) == REQUEST


async def test_the_body_is_json_and_holds_no_request(tailrace: Tailrace, broker: Broker) -> None:
    job = await tailrace.enqueue(REQUEST)
    body = json.loads(await broker.call("GET", arq_job(job.id)))
    assert body.pop("et") > 0
    assert body == {"t": None, "f": "generate", "a": [], "k": {}, "providers": ["openai"], "tenant": "default"}


async def test_the_body_names_the_providers_that_may_run_the_job(tailrace: Tailrace, broker: Broker) -> None:
    others = [{"provider": name, "model": "m"} for name in ("anthropic", "openai", "own")]
    asked = GenerationRequest.model_validate({**REQUEST.model_dump(), "fallbacks": others})
    jobs = await tailrace.enqueue_many([asked, REQUEST])
    bodies = [json.loads(await broker.call("GET", arq_job(job.id))) for job in jobs]
    assert [body["providers"] for body in bodies] == [["openai", "anthropic", "own"], ["openai"]]


async def test_a_deferred_job_is_due_later(tailrace: Tailrace, broker: Broker, keys: Keys) -> None:
    now, later = await tailrace.enqueue(REQUEST), await tailrace.enqueue(REQUEST, defer_seconds=60)
    due = [float(await broker.call("ZSCORE", keys.queue("default"), job.id)) for job in (now, later)]
    assert 59_000 < due[1] - due[0] < 61_000


async def test_the_same_idempotency_key_gives_the_first_job_and_starts_nothing(
    tailrace: Tailrace, broker: Broker, keys: Keys
) -> None:
    first = await tailrace.enqueue(REQUEST, idempotency_key="order-7")
    second = await tailrace.enqueue(REQUEST, idempotency_key="order-7")
    assert first.id == second.id
    assert await queued(broker, keys) == [first.id]
    assert (await first.status()).cursor.seq == 1


async def test_an_idempotency_key_belongs_to_its_tenant(tailrace: Tailrace) -> None:
    first = await tailrace.enqueue(REQUEST, tenant="acme", idempotency_key="order-7")
    second = await tailrace.enqueue(OTHER, tenant="umbrella", idempotency_key="order-7")
    assert first.id != second.id


async def test_the_same_key_with_another_request_is_a_conflict(tailrace: Tailrace) -> None:
    job = await tailrace.enqueue(REQUEST, idempotency_key="order-7")
    with pytest.raises(IdempotencyConflict, match=f"order-7.*{job.id}"):
        await tailrace.enqueue(OTHER, idempotency_key="order-7")


async def test_a_job_keeps_what_its_front_has_to_remember(tailrace: Tailrace) -> None:
    front = {"version": 1, "metadata": {"name": "Ada \N{SNOWMAN}"}}
    job = await tailrace.enqueue(REQUEST, front=front)
    turn = await tailrace.enqueue(REQUEST, front=front, conversation="chat-1")
    assert [await each.front() for each in (job, turn)] == [front, front]
    assert await (await tailrace.enqueue(REQUEST)).front() == {}


async def test_the_same_key_with_another_front_is_a_conflict(tailrace: Tailrace) -> None:
    job = await tailrace.enqueue(REQUEST, idempotency_key="order-7", front={"a": 1})
    assert (await tailrace.enqueue(REQUEST, idempotency_key="order-7", front={"a": 1})).id == job.id
    for other in ({"a": 2}, None):
        with pytest.raises(IdempotencyConflict):
            await tailrace.enqueue(REQUEST, idempotency_key="order-7", front=other)


@pytest.mark.parametrize("front", [{"a": "b" * 65_536}, {"a": object()}, {"a": float("nan")}, {"a": "\ud800"}])
async def test_a_front_that_cannot_be_kept_is_refused(tailrace: Tailrace, front: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest, match="front: "):
        await tailrace.enqueue(REQUEST, front=front)


async def test_a_job_that_has_ended_is_not_started_again_by_its_key(
    tailrace: Tailrace, broker: Broker, keys: Keys
) -> None:
    job = await tailrace.enqueue(REQUEST, idempotency_key="order-7")
    await job.cancel()
    assert (await tailrace.enqueue(REQUEST, idempotency_key="order-7")).id == job.id
    assert await queued(broker, keys) == []


async def test_a_producer_that_died_after_taking_the_key_is_completed(
    tailrace: Tailrace, broker: Broker, keys: Keys
) -> None:
    half_id = new_job_id()
    await broker.call("SET", keys.idempotency("default", "order-7"), half_id, "PX", 60_000)
    job = await tailrace.enqueue(REQUEST, idempotency_key="order-7")
    assert job.id == half_id
    assert await queued(broker, keys) == [job.id]


async def test_a_producer_that_died_between_the_two_sides_is_completed(
    tailrace: Tailrace, broker: Broker, keys: Keys
) -> None:
    half_id, key = new_job_id(), keys.idempotency("default", "order-7")
    half = NewJob(
        request=REQUEST.to_json(max_bytes=9_999),
        provider="openai",
        model="gpt-5",
        tenant="default",
        queue="default",
        defer_seconds=0,
        expires_in_seconds=60,
        life_seconds=60,
        max_queued=0,
    )
    await broker.pipeline(("SET", key, half_id, "PX", 60_000), create_command(keys, half_id, half, "idempotency", key))
    assert await queued(broker, keys) == []
    job = await tailrace.enqueue(REQUEST, idempotency_key="order-7")
    assert job.id == half_id
    assert await queued(broker, keys) == [job.id]
    assert (await job.status()).cursor.seq == 1


async def test_many_producers_with_one_key_start_one_job(tailrace: Tailrace, broker: Broker, keys: Keys) -> None:
    jobs = await asyncio.gather(*(tailrace.enqueue(REQUEST, idempotency_key="order-7") for _ in range(20)))
    assert len({job.id for job in jobs}) == 1
    assert await queued(broker, keys) == [jobs[0].id]


async def test_a_deleted_job_leaves_nothing(tailrace: Tailrace, broker: Broker, keys: Keys) -> None:
    job = await tailrace.enqueue(REQUEST, idempotency_key="order-7")
    await job.cancel()
    other = await tailrace.enqueue(REQUEST)
    await job.delete()
    await other.delete()
    ours = keys.prefix.encode(), job.id.encode()
    left = {key.decode() for key in await broker.call("KEYS", "*") if any(part in key for part in ours)}
    assert left == {keys.endings, keys.queues, keys.history, keys.doorbell("default")}
    with pytest.raises(JobNotFound, match=job.id):
        await job.delete()
    with pytest.raises(JobNotFound):
        await job.status()


async def test_a_deleted_job_whose_record_is_lost_leaves_no_key_of_arqs(
    tailrace: Tailrace, broker: Broker, keys: Keys
) -> None:
    job = await tailrace.enqueue(REQUEST)
    await broker.call("DEL", keys.record(job.id))
    await job.delete()
    assert not await broker.call("EXISTS", arq_job(job.id))


async def test_a_deleted_jobs_key_may_be_used_again(tailrace: Tailrace) -> None:
    job = await tailrace.enqueue(REQUEST, idempotency_key="order-7")
    await job.delete()
    assert (await tailrace.enqueue(OTHER, idempotency_key="order-7")).id != job.id


async def test_a_request_over_the_limit_is_refused_before_anything_is_written(
    tailrace: Tailrace, broker: Broker, keys: Keys
) -> None:
    long = REQUEST.model_copy(update={"model": "m" * 2_000_000})
    with pytest.raises(RequestTooLarge, match="TAILRACE_MAX_REQUEST_BYTES"):
        await tailrace.enqueue(long)
    assert await queued(broker, keys) == []


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        ({"tenant": ""}, "tenant"),
        ({"queue": "a:b"}, "queue"),
        ({"defer_seconds": -1}, "defer_seconds"),
        ({"expires_in_seconds": float("nan")}, "expires_in_seconds"),
        ({"idempotency_key": ""}, "idempotency_key"),
    ],
)
async def test_a_bad_argument_is_named(tailrace: Tailrace, bad: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidRequest, match=field):
        await tailrace.enqueue(REQUEST, **bad)  # type: ignore[arg-type]


async def test_a_cancelled_job_leaves_the_queue(tailrace: Tailrace, broker: Broker, keys: Keys) -> None:
    job: Job = await tailrace.enqueue(REQUEST)
    await job.cancel("changed my mind")
    assert await queued(broker, keys) == []
    assert await broker.call("EXISTS", arq_job(job.id)) == 0


@pytest.mark.parametrize("idempotency_key", [None, "order-9"])
async def test_a_full_queue_refuses_with_its_depth_and_leaves_nothing_behind(
    redis: Redis, settings: Settings, broker: Broker, keys: Keys, idempotency_key: str | None
) -> None:
    tailrace = Tailrace(redis, settings=settings.model_copy(update={"max_queued": 2}))
    jobs = [await tailrace.enqueue(REQUEST) for _ in range(2)]
    before = set(await broker.call("KEYS", "*"))
    with pytest.raises(QueueFull, match="'default' is full: 2 jobs wait, and the limit is 2") as caught:
        await tailrace.enqueue(REQUEST, idempotency_key=idempotency_key)
    assert (caught.value.depth, caught.value.limit) == (2, 2)
    assert {key for key in await broker.call("KEYS", "*") if keys.prefix.encode() in key} <= before
    # Other queues are not concerned, nor is a job that has its place already.
    await tailrace.enqueue(REQUEST, queue="other")
    await jobs[0].cancel()
    await tailrace.enqueue(REQUEST, idempotency_key=idempotency_key)


async def test_rings_that_nobody_hears_do_not_pile_up(tailrace: Tailrace, broker: Broker, keys: Keys) -> None:
    for _ in range(100):
        await tailrace.enqueue(REQUEST)
    assert await broker.call("LLEN", keys.doorbell("default")) == 64
    assert 0 < await broker.call("PTTL", keys.doorbell("default")) <= 60_000


async def test_an_idempotency_key_does_not_outlive_its_job(
    redis: Redis, settings: Settings, broker: Broker, keys: Keys
) -> None:
    """It would start the job again, under its old id."""
    tailrace = Tailrace(redis, settings=settings.model_copy(update={"keep_seconds": 1.01}))
    job = await tailrace.enqueue(REQUEST, idempotency_key="order-7")
    await job.cancel()
    assert await broker.call("PTTL", keys.idempotency("default", "order-7")) <= 10
    assert await broker.call("PTTL", keys.record(job.id)) > 500


async def test_what_has_no_utf8_is_replaced_or_hashed_and_never_raises(
    tailrace: Tailrace, broker: Broker, keys: Keys
) -> None:
    job = await tailrace.enqueue(REQUEST, idempotency_key="\ud800")
    await job.cancel("\ud800")
    _, ending = await broker.call("XRANGE", keys.events(job.id), "-", "+")
    assert decode(*ending) == Cancelled(id=EntryId(1_000, 2), at=ANY, reason="?")


async def test_a_handle_says_whether_its_call_enqueued_the_job(tailrace: Tailrace) -> None:
    first = await tailrace.enqueue(REQUEST, idempotency_key="k")
    again = await tailrace.enqueue(REQUEST, idempotency_key="k")
    assert (first.is_new, again.is_new) == (True, False)
    assert (await tailrace.enqueue(REQUEST)).is_new
    assert all(job.is_new for job in await tailrace.enqueue_many([REQUEST] * 2))
    assert (await first.regenerate()).is_new
    assert not tailrace.job(first.id).is_new
