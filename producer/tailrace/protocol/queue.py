"""Enqueues, withdraws and deletes jobs: first the job's own keys, then those of the queue, each all or nothing."""

from collections.abc import Mapping
from typing import Any

from tailrace.broker.client import Broker, ms, text
from tailrace.errors import IdempotencyConflict, QueueFull
from tailrace.protocol.job_end import no_stream
from tailrace.protocol.keys import Keys, arq_in_progress, arq_job, arq_result, arq_retry, new_job_id
from tailrace.protocol.new_job import Enqueued, NewJob, create_command, enqueue_command
from tailrace.protocol.scripts import Script


async def enqueue(broker: Broker, keys: Keys, job: NewJob) -> str:
    """Enqueue a job that belongs to no conversation, in one round trip.

    Args:
        broker: The connections to Redis.
        keys: The keys under the prefix.
        job: The job.

    Returns:
        The id of the job.

    Raises:
        QueueFull: `max_queued` jobs wait already; the job was not enqueued.
        BrokerUnavailable: Redis cannot be reached; the job may have been enqueued nevertheless.
        BrokerRefused: Redis refused.
    """
    job_id = new_job_id()
    await enqueue_many(broker, keys, {job_id: job})
    return job_id


async def enqueue_many(broker: Broker, keys: Keys, jobs: Mapping[str, NewJob]) -> None:
    """Enqueue jobs in one queue, in one round trip. The call may be repeated with the same ids.

    Args:
        broker: The connections to Redis.
        keys: The keys under the prefix.
        jobs: The jobs by their ids, at least one, all of one tenant and for one queue, and of no conversation.

    Raises:
        QueueFull: The queue has no room for all jobs; none of them was enqueued.
        BrokerUnavailable: Redis cannot be reached; some jobs may have been enqueued nevertheless.
        BrokerRefused: Redis refused; some jobs may have been enqueued nevertheless.
    """
    job = next(iter(jobs.values()))
    *states, placed = await broker.pipeline(
        *(create_command(keys, job_id, each) for job_id, each in jobs.items()),
        enqueue_command(keys, jobs, limit=job.max_queued),
    )
    # If one has begun, an earlier call enqueued all of them and this one is a repetition: nothing is to be undone.
    if placed[0] == b"full" and b"begun" not in states:
        await broker.call("UNLINK", *(key for job_id in jobs for key in created(keys, job_id)))
        raise QueueFull(job.queue, depth=placed[1], limit=job.max_queued)


async def enqueue_once(broker: Broker, keys: Keys, job: NewJob, idempotency_key: str) -> Enqueued:
    """Enqueue a job of no conversation, unless its tenant has enqueued one under the same idempotency key.

    The steps are those of `enqueue`, and each may be repeated: if a producer died half-way, the next call with the key
    completes its job.

    Args:
        broker: The connections to Redis.
        keys: The keys under the prefix.
        job: The job.
        idempotency_key: The key, not empty.

    Returns:
        The first job under the key.

    Raises:
        IdempotencyConflict: The first job under the key has another request or conversation.
        QueueFull: `max_queued` jobs wait already; the job was not enqueued.
        BrokerUnavailable: Redis cannot be reached; the job may have been enqueued nevertheless.
        BrokerRefused: Redis refused.
    """
    admitted = await admit(broker, keys, job, idempotency_key, limit=job.max_queued)
    if isinstance(admitted, int):
        raise QueueFull(job.queue, depth=admitted, limit=job.max_queued)
    if not await create_once(broker, keys, admitted.job_id, job, idempotency_key):
        # No limit: the job was admitted above. To refuse it now would take it from other callers with the same key.
        await broker.call(*enqueue_command(keys, {admitted.job_id: job}, limit=0))
    return admitted


async def admit(broker: Broker, keys: Keys, job: NewJob, idempotency_key: str, *, limit: int) -> Enqueued | int:
    """Find out which job an idempotency key stands for.

    Args:
        broker: The connections to Redis.
        keys: The keys under the prefix.
        job: The job that comes with the key.
        idempotency_key: The key, not empty.
        limit: How many jobs may wait; 0 for no limit.

    Returns:
        The first job under the key; or how many jobs wait, if the key is new and the queue is full.

    Raises:
        BrokerUnavailable: Redis cannot be reached.
        BrokerRefused: Redis refused.
    """
    at = keys.idempotency(job.tenant, idempotency_key), keys.queue(job.queue)
    proposed = new_job_id()
    admitted: Any = await broker.call(*Script.ADMIT.command(at, proposed, ms(job.life_seconds), limit))
    return admitted if isinstance(admitted, int) else Enqueued(text(admitted), text(admitted) == proposed)


async def create_once(broker: Broker, keys: Keys, job_id: str, job: NewJob, idempotency_key: str) -> bool:
    """Create the keys of the job that an idempotency key stands for, unless it has them.

    Args:
        broker: The connections to Redis.
        keys: The keys under the prefix.
        job_id: The job that the key stands for.
        job: The job that comes with the key.
        idempotency_key: The key, not empty.

    Returns:
        True if the job has begun or is over, so that it was enqueued.

    Raises:
        IdempotencyConflict: The first job under the key has another request or conversation.
        BrokerUnavailable: Redis cannot be reached.
        BrokerRefused: Redis refused.
    """
    key = keys.idempotency(job.tenant, idempotency_key)
    state = await broker.call(*create_command(keys, job_id, job, "idempotency", key))
    if state == b"conflict":
        raise IdempotencyConflict(
            f"Tenant {job.tenant!r} used the idempotency key {idempotency_key!r} before, for another request "
            f"or conversation (job {job_id!r}): use a new key for a new request."
        )
    return bool(state == b"begun")


def created(keys: Keys, job_id: str) -> tuple[str, str]:
    """Return the keys that `create_command` makes, to be deleted if the job is refused."""
    return keys.events(job_id), keys.record(job_id)


async def withdraw(broker: Broker, keys: Keys, job_id: str, queue: str) -> None:
    """Remove a job that has ended from its queue, if it still waits there.

    Args:
        broker: The connections to Redis.
        keys: The keys under the prefix.
        job_id: The job.
        queue: The queue in which it was enqueued.

    Raises:
        BrokerUnavailable: Redis cannot be reached.
        BrokerRefused: Redis refused.
    """
    await broker.transaction(
        ("ZREM", keys.queue(queue), job_id), ("DEL", arq_job(job_id), arq_retry(job_id), arq_result(job_id))
    )


async def delete(broker: Broker, keys: Keys, job_id: str) -> None:
    """Delete all keys of a job. A worker that runs it stops at its next append, or when it finds its claim gone.

    Args:
        broker: The connections to Redis.
        keys: The keys under the prefix.
        job_id: The job.

    Raises:
        JobNotFound: The job has no keys.
        BrokerUnavailable: Redis cannot be reached.
        BrokerRefused: Redis refused.
    """
    queue, tenant, conversation, idempotency = await broker.call(
        "HMGET", keys.record(job_id), "queue", "tenant", "conversation", "idempotency"
    )
    # The stream is deleted before the queue's side: a worker that claims the job in between finds no stream and stops.
    removed, *_ = await broker.pipeline(
        ("UNLINK", *keys.of_job(job_id)),
        *((("UNLINK", idempotency),) if idempotency else ()),
    )
    sets = [] if queue is None else [keys.queue(text(queue)), keys.running(text(queue))]
    if tenant is not None:
        sets.append(keys.jobs(text(tenant)))
        if conversation is not None:
            sets.append(keys.conversation(text(tenant), text(conversation)))
    arq_keys = (arq_job(job_id), arq_in_progress(job_id), arq_retry(job_id), arq_result(job_id))
    await broker.transaction(*(("ZREM", each, job_id) for each in sets), ("DEL", *arq_keys))
    if not removed:
        raise no_stream(job_id)
