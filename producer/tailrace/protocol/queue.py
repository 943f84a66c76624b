"""Enqueues, withdraws and deletes jobs: first the job's own keys, then those of the queue, each all or nothing."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from tailrace.broker.client import Broker, Command, ms, text
from tailrace.errors import IdempotencyConflict, QueueFull
from tailrace.protocol.job_end import no_stream
from tailrace.protocol.keys import (
    QUEUES_LIFE_SECONDS,
    Keys,
    arq_in_progress,
    arq_job,
    arq_result,
    arq_retry,
    new_job_id,
)
from tailrace.protocol.scripts import Script
from tailrace.request.generation_request import GenerationRequest
from tailrace.settings import Settings

FUNCTION = "generate"
"""The name of the workers' function in arq."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job to be enqueued."""

    request: str
    """The request, as JSON."""
    provider: str
    """The provider of the request."""
    model: str
    """The model of the request."""
    tenant: str
    """On whose behalf the job runs."""
    queue: str
    """The queue in which the job waits."""
    defer_seconds: float
    """The delay until the job is due, in seconds."""
    expires_in_seconds: float
    """How long the job may wait from the time at which it is due, in seconds."""
    life_seconds: float
    """How long its keys live, in seconds."""
    max_queued: int
    """How many jobs may wait in the queue; 0 for no limit."""
    fallback_providers: tuple[str, ...] = ()
    """The providers of the request's fallbacks, in their order."""
    regenerated_from: str | None = None
    """The job whose request this job runs again."""

    @classmethod
    def of(
        cls,
        request: GenerationRequest,
        settings: Settings,
        *,
        tenant: str,
        queue: str,
        defer_seconds: float = 0,
        expires_in_seconds: float | None = None,
        regenerated_from: str | None = None,
    ) -> Self:
        """Prepare a job from its request.

        Args:
            request: The request.
            settings: The limits, and the defaults.
            tenant: On whose behalf the job runs.
            queue: The queue in which the job waits.
            defer_seconds: The delay until the job is due, in seconds.
            expires_in_seconds: How long the job may wait from then on, in seconds; by default as the settings say.
            regenerated_from: The job whose request this job runs again.

        Returns:
            The job, ready to be enqueued.

        Raises:
            RequestTooLarge: The JSON of the request is larger than the settings' `max_request_bytes`.
            InvalidRequest: A text of the request is not valid Unicode.
        """
        if expires_in_seconds is None:
            expires_in_seconds = settings.expires_in_seconds
        return cls(
            request=request.to_json(max_bytes=settings.max_request_bytes),
            provider=request.provider,
            model=request.model,
            fallback_providers=tuple(each["provider"] for each in request.fallbacks),
            tenant=tenant,
            queue=queue,
            defer_seconds=defer_seconds,
            expires_in_seconds=expires_in_seconds,
            life_seconds=defer_seconds + expires_in_seconds + settings.running_seconds,
            max_queued=settings.max_queued,
            regenerated_from=regenerated_from,
        )


async def enqueue(broker: Broker, keys: Keys, job: NewJob) -> str:
    """Enqueue a job, in one round trip.

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
        jobs: The jobs by their ids, at least one, all for the same queue.

    Raises:
        QueueFull: The queue has no room for all jobs; none of them was enqueued.
        BrokerUnavailable: Redis cannot be reached; some jobs may have been enqueued nevertheless.
        BrokerRefused: Redis refused; some jobs may have been enqueued nevertheless.
    """
    job = next(iter(jobs.values()))
    *states, depth = await broker.pipeline(
        *(create_command(keys, job_id, each) for job_id, each in jobs.items()),
        _queue_side(keys, jobs, job.queue, limit=job.max_queued),
    )
    # If one has begun, an earlier call enqueued all of them and this one is a repetition: nothing is to be undone.
    if depth is not None and b"begun" not in states:
        await broker.call("UNLINK", *(key for job_id in jobs for key in (keys.events(job_id), keys.record(job_id))))
        raise QueueFull(job.queue, depth=depth, limit=job.max_queued)


async def enqueue_once(broker: Broker, keys: Keys, job: NewJob, idempotency_key: str) -> str:
    """Enqueue a job, unless its tenant has enqueued one under the same idempotency key.

    The steps are those of `enqueue`, and each may be repeated: if a producer died half-way, the next call with the key
    completes its job.

    Args:
        broker: The connections to Redis.
        keys: The keys under the prefix.
        job: The job.
        idempotency_key: The key, not empty.

    Returns:
        The id of the first job under the key.

    Raises:
        IdempotencyConflict: The first job under the key has another request.
        QueueFull: `max_queued` jobs wait already; the job was not enqueued.
        BrokerUnavailable: Redis cannot be reached; the job may have been enqueued nevertheless.
        BrokerRefused: Redis refused.
    """
    key = keys.idempotency(job.tenant, idempotency_key)
    admitted = await broker.call(
        *Script.ADMIT.command((key, keys.queue(job.queue)), new_job_id(), ms(job.life_seconds), job.max_queued)
    )
    if isinstance(admitted, int):
        raise QueueFull(job.queue, depth=admitted, limit=job.max_queued)
    job_id: str = admitted.decode()
    state = await broker.call(*create_command(keys, job_id, job, "idempotency", key))
    if state == b"conflict":
        raise IdempotencyConflict(
            f"Tenant {job.tenant!r} used the idempotency key {idempotency_key!r} before, for another request "
            f"(job {job_id!r}): use a new key for a new request."
        )
    if state == b"queued":
        # No limit: the job was admitted above. To refuse it now would take it from other callers with the same key.
        await broker.call(*_queue_side(keys, {job_id: job}, job.queue, limit=0))
    return job_id


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
    queue, idempotency = await broker.call("HMGET", keys.record(job_id), "queue", "idempotency")
    # The stream is deleted before the queue's side: a worker that claims the job in between finds no stream and stops.
    removed, *_ = await broker.pipeline(
        ("UNLINK", *keys.of_job(job_id)),
        *((("UNLINK", idempotency),) if idempotency else ()),
    )
    sets = () if queue is None else (keys.queue(text(queue)), keys.running(text(queue)))
    arq_keys = (arq_job(job_id), arq_in_progress(job_id), arq_retry(job_id), arq_result(job_id))
    await broker.transaction(*(("ZREM", each, job_id) for each in sets), ("DEL", *arq_keys))
    if not removed:
        raise no_stream(job_id)


def create_command(keys: Keys, job_id: str, job: NewJob, *more: str) -> Command:
    """Return the command that makes the stream and the record of a job. No worker finds the job before it is queued.

    Args:
        keys: The names of the keys.
        job_id: The id of the job.
        job: The job.
        more: Further names and values of the record.
    """
    return Script.CREATE.command(
        (keys.events(job_id), keys.record(job_id)),
        ms(job.life_seconds),
        job.queue,
        job.request,
        ms(job.defer_seconds + job.expires_in_seconds),
        *("tenant", job.tenant, "provider", job.provider, "model", job.model),
        *(("regenerated_from", job.regenerated_from) if job.regenerated_from else ()),
        *more,
    )


def _queue_side(keys: Keys, jobs: Mapping[str, NewJob], queue: str, *, limit: int) -> Command:
    at = round(time.time() * 1000)
    return Script.ENQUEUE.command(
        (keys.queue(queue), keys.doorbell(queue), keys.queues, keys.history, *map(arq_job, jobs)),
        limit,
        queue,
        ms(QUEUES_LIFE_SECONDS),
        *(
            argument
            for job_id, job in jobs.items()
            for argument in (job_id, _body(job, at), ms(job.life_seconds), ms(job.defer_seconds))
        ),
    )


def _body(job: NewJob, at: int) -> str:
    """Return the job's body for arq, by arq's names for try, function, arguments and time of enqueue.

    arq ignores `providers`. A claim returns the body, so that the worker knows at once if it can run the job.
    """
    providers = list(dict.fromkeys((job.provider, *job.fallback_providers)))
    return json.dumps({"t": None, "f": FUNCTION, "a": [], "k": {}, "et": at, "providers": providers})
