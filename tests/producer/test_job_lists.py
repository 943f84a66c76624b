"""Labels, lists and positions, on the real server and on fakeredis."""

from contextlib import aclosing
from typing import Any

import pytest
from redis.asyncio import Redis

from tailrace import InvalidRequest, JobState, Settings, Tailrace
from tailrace.broker.client import Broker
from tailrace.protocol import new_job
from tailrace.protocol.keys import Keys
from tests.support.either_redis import broker, tailrace
from tests.support.handwritten import ENDING, REQUEST, STARTED, HandwrittenStream

__all__ = ["broker", "tailrace"]  # fixtures

LABELS = {"user": "ada", "chat.title": "Grüße 🌊"}


async def listed(tailrace: Tailrace, **options: Any) -> list[str]:
    return [status.job_id for status in await tailrace.jobs(**options)]


async def test_labels_are_told_by_statuses_and_endings(tailrace: Tailrace) -> None:
    job = await tailrace.enqueue(REQUEST, labels=LABELS, conversation="chat-42")
    assert (await job.status()).labels == LABELS
    await job.cancel()
    async with aclosing(tailrace.endings("readers")) as endings:
        ended = await anext(endings)
        assert (ended.labels, ended.conversation) == (LABELS, "chat-42")
        plain = await tailrace.enqueue(REQUEST)
        await plain.cancel()
        ended = await anext(endings)
        assert (ended.labels, ended.conversation) == ({}, None)
    status = await plain.status()
    assert (status.labels, status.conversation) == ({}, None)


async def test_an_ending_of_a_job_that_is_gone_has_no_labels(tailrace: Tailrace) -> None:
    job = await tailrace.enqueue(REQUEST, labels=LABELS, conversation="chat-42")
    await job.cancel()
    await job.delete()
    async with aclosing(tailrace.endings("readers")) as endings:
        ended = await anext(endings)
    assert (ended.labels, ended.conversation, ended.is_readable) == ({}, None, False)


async def test_jobs_that_are_enqueued_together_have_the_labels_and_a_regenerated_one_too(tailrace: Tailrace) -> None:
    jobs = await tailrace.enqueue_many([REQUEST] * 2, labels=LABELS)
    jobs.append(await jobs[0].regenerate())
    assert [(await job.status()).labels for job in jobs] == [LABELS] * 3
    assert (await (await jobs[0].regenerate(labels={"a": "b"})).status()).labels == {"a": "b"}
    async with aclosing(tailrace.parallel([REQUEST], labels={"c": "d"})) as events:
        await anext(events)
        assert (await tailrace.jobs(limit=1))[0].labels == {"c": "d"}


@pytest.mark.parametrize(
    "labels",
    [
        {f"n{number}": "" for number in range(17)},
        {"": "x"},
        {"a b": "x"},
        {"x" * 65: "x"},
        {"a": "x" * 257},
        {"a": "\ud800"},
        {"a": 1},
    ],
    ids=["many", "empty", "name", "long name", "long value", "surrogate", "number"],
)
async def test_labels_that_are_not_allowed_are_named(tailrace: Tailrace, labels: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="labels"):
        await tailrace.enqueue(REQUEST, labels=labels)
    assert await listed(tailrace) == []


async def test_the_largest_labels_are_allowed(tailrace: Tailrace) -> None:
    labels = {f"{number:064}": "🌊" * 256 for number in range(16)}
    job = await tailrace.enqueue(REQUEST, labels=labels)
    assert (await job.status()).labels == labels


async def test_jobs_are_listed_newest_first_by_tenant_and_conversation(tailrace: Tailrace) -> None:
    first = await tailrace.enqueue(REQUEST, tenant="acme", conversation="chat-42")
    many = await tailrace.enqueue_many([REQUEST] * 3, tenant="acme")
    later = await tailrace.enqueue(REQUEST, tenant="acme", defer_seconds=60, idempotency_key="order-7")
    other = await tailrace.enqueue(REQUEST)
    in_order = [later.id, *(job.id for job in reversed(many)), first.id]
    assert await listed(tailrace, tenant="acme") == in_order
    assert await listed(tailrace, tenant="acme", limit=2) == in_order[:2]
    assert await listed(tailrace, tenant="acme", conversation="chat-42") == [first.id]
    assert await listed(tailrace, conversation="chat-42") == []
    assert await listed(tailrace) == [other.id]


async def test_jobs_are_listed_by_state(tailrace: Tailrace, broker: Broker, keys: Keys) -> None:
    jobs = await tailrace.enqueue_many([REQUEST] * 250)
    running, done = jobs[3], jobs[120]
    for job in (running, done):
        await HandwrittenStream(broker, keys, job).append("1-2", STARTED)
    await HandwrittenStream(broker, keys, done).append("1-3", ENDING)
    (status,) = await tailrace.jobs(state=JobState.RUNNING)
    assert (status.job_id, status.attempt, status.worker) == (running.id, 1, "w")
    (status,) = await tailrace.jobs(state=JobState.COMPLETED)
    assert status == await done.status()
    waiting = await tailrace.jobs(state=JobState.QUEUED, limit=1_000)
    assert [each.job_id for each in waiting] == [job.id for job in reversed(jobs) if job not in (running, done)]
    # Those that have begun still stand in the queue: no worker has claimed them.
    assert [each.position for each in waiting][:3] == [250, 249, 248]


async def test_a_job_whose_keys_are_gone_leaves_the_index_when_it_is_read(
    tailrace: Tailrace, broker: Broker, keys: Keys
) -> None:
    jobs = await tailrace.enqueue_many([REQUEST] * 3)
    await broker.call("DEL", *keys.of_job(jobs[1].id))
    assert await broker.call("ZCARD", keys.jobs("default")) == 3
    assert await listed(tailrace) == [jobs[2].id, jobs[0].id]
    assert await broker.call("ZCARD", keys.jobs("default")) == 2


async def test_the_index_keeps_the_newest_and_expires_with_them(
    tailrace: Tailrace, broker: Broker, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(new_job, "INDEX_CAPACITY", 5)
    first, *_ = await tailrace.enqueue_many([REQUEST] * 3, expires_in_seconds=10)
    left_ms = await broker.call("PTTL", keys.jobs("default"))
    assert abs(left_ms - await broker.call("PTTL", keys.record(first.id))) < 1_000
    jobs = [await tailrace.enqueue(REQUEST) for _ in range(4)]
    assert len(await listed(tailrace)) == 5
    assert first.id not in await listed(tailrace)
    left_ms = await broker.call("PTTL", keys.jobs("default"))
    assert abs(left_ms - await broker.call("PTTL", keys.record(jobs[0].id))) < 1_000
    # A job that lives shorter does not shorten the index.
    await tailrace.enqueue(REQUEST, expires_in_seconds=10)
    assert abs(await broker.call("PTTL", keys.jobs("default")) - left_ms) < 1_000


async def test_a_job_that_is_refused_is_not_listed(redis: Redis, settings: Settings) -> None:
    tailrace = Tailrace(redis, settings=settings.model_copy(update={"max_queued": 1}))
    job = await tailrace.enqueue(REQUEST)
    for options in ({}, {"idempotency_key": "order-7"}):
        with pytest.raises(Exception, match="is full"):
            await tailrace.enqueue(REQUEST, **options)  # type: ignore[arg-type]
    assert await listed(tailrace) == [job.id]


async def test_rubbish_in_one_stream_hides_no_other_job(tailrace: Tailrace, broker: Broker, keys: Keys) -> None:
    jobs = await tailrace.enqueue_many([REQUEST] * 2)
    await broker.call("XADD", keys.events(jobs[0].id), "1-2", "type", "delta")
    assert await listed(tailrace) == [jobs[1].id, jobs[0].id]


async def test_a_waiting_job_knows_its_position(tailrace: Tailrace, broker: Broker, keys: Keys) -> None:
    later = await tailrace.enqueue(REQUEST, defer_seconds=60)
    first, second, third = [await tailrace.enqueue(REQUEST) for _ in range(3)]
    other = await tailrace.enqueue(REQUEST, queue="other")
    assert [(await job.status()).position for job in (first, second, third, other)] == [1, 2, 3, 1]
    # A job that is not due has no position, although none is before it.
    assert (await later.status()).position is None
    await first.cancel()
    assert (await first.status()).position is None
    assert [(await job.status()).position for job in (second, third)] == [1, 2]
    await broker.call("ZREM", keys.queue("default"), second.id)
    await HandwrittenStream(broker, keys, second).append("1-2", STARTED)
    assert [(await job.status()).position for job in (second, third)] == [None, 1]
    await broker.call("ZADD", keys.queue("default"), 1_000, later.id)
    assert [(await job.status()).position for job in (later, third)] == [1, 2]


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        ({"tenant": "a b"}, "tenant"),
        ({"conversation": ""}, "conversation"),
        ({"state": "done"}, "state"),
        ({"limit": 0}, "limit"),
        ({"limit": 10_001}, "limit"),
    ],
)
async def test_a_list_that_cannot_be_is_refused(tailrace: Tailrace, bad: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest, match=field):
        await tailrace.jobs(**bad)


async def test_a_state_may_be_given_by_its_name(tailrace: Tailrace) -> None:
    job = await tailrace.enqueue(REQUEST)
    assert await listed(tailrace, state="queued") == [job.id]
    assert await listed(tailrace, state="failed") == []
