"""Into the queue: the job's side first, then the queue's side, each all or nothing."""

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
"""The name of the workers' function."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job as it goes in."""

    request: str
    provider: str
    model: str
    tenant: str
    queue: str
    defer_seconds: float
    expires_in_seconds: float
    """How long it may wait, from the time at which it is due."""
    life_seconds: float
    """How long its keys live."""
    max_queued: int
    fallback_providers: tuple[str, ...] = ()
    """The providers that may run it if `provider` cannot, in this order."""
    regenerated_from: str | None = None
    """The job whose request it asks again."""

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
        """By default it waits for as long as the settings say. Raises `RequestTooLarge`."""
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
    """Enqueues a job in one round trip, and returns its id.

    Raises:
        QueueFull: As many jobs wait as may; nothing is left behind.
    """
    job_id = new_job_id()
    await enqueue_many(broker, keys, {job_id: job})
    return job_id


async def enqueue_many(broker: Broker, keys: Keys, jobs: Mapping[str, NewJob]) -> None:
    """Enqueues jobs of one queue, by their ids, in one round trip. It may be repeated, with the same ids.

    Raises:
        QueueFull: There is no room for all of them; nothing of any is left behind.
    """
    job = next(iter(jobs.values()))
    *states, depth = await broker.pipeline(
        *(_job_side(keys, job_id, each) for job_id, each in jobs.items()),
        _queue_side(keys, jobs, job.queue, limit=job.max_queued),
    )
    # What has begun went in before, and with it all of them: they are sent again, and wait no more.
    if depth is not None and b"begun" not in states:
        await broker.call("UNLINK", *(key for job_id in jobs for key in (keys.events(job_id), keys.record(job_id))))
        raise QueueFull(job.queue, depth=depth, limit=job.max_queued)


async def enqueue_once(broker: Broker, keys: Keys, job: NewJob, idempotency_key: str) -> str:
    """Enqueues a job unless its tenant did so before under the same key, and returns the id of the first.

    The steps are those of `enqueue`, and each may be repeated: whoever comes with the key completes what a producer
    that died half-way has left.

    Raises:
        IdempotencyConflict: The first job under the key asks for something else.
        QueueFull: As many jobs wait as may; nothing is left behind.
    """
    key = keys.idempotency(job.tenant, idempotency_key)
    admitted = await broker.call(
        *Script.ADMIT.command((key, keys.queue(job.queue)), new_job_id(), ms(job.life_seconds), job.max_queued)
    )
    if isinstance(admitted, int):
        raise QueueFull(job.queue, depth=admitted, limit=job.max_queued)
    job_id: str = admitted.decode()
    state = await broker.call(*_job_side(keys, job_id, job, "idempotency", key))
    if state == b"conflict":
        raise IdempotencyConflict(
            f"Tenant {job.tenant!r} used the idempotency key {idempotency_key!r} before, for another request "
            f"(job {job_id!r}): use a new key for a new request."
        )
    if state == b"queued":
        # It was admitted: to refuse it now would take the job from others who came with the same key.
        await broker.call(*_queue_side(keys, {job_id: job}, job.queue, limit=0))
    return job_id


async def withdraw(broker: Broker, keys: Keys, job_id: str, queue: str) -> None:
    """Takes a job that is over out of its queue, where it still waits there."""
    await broker.transaction(
        ("ZREM", keys.queue(queue), job_id), ("DEL", arq_job(job_id), arq_retry(job_id), arq_result(job_id))
    )


async def delete(broker: Broker, keys: Keys, job_id: str) -> None:
    """Removes everything of a job. A worker that runs it is stopped by its next append, or finds its claim gone.

    Raises:
        JobNotFound: There is nothing of it.
    """
    queue, idempotency = await broker.call("HMGET", keys.record(job_id), "queue", "idempotency")
    # The stream goes before the queue's side: a job that is claimed in between finds nothing to begin.
    removed, *_ = await broker.pipeline(
        ("UNLINK", *keys.of_job(job_id)),
        *((("UNLINK", idempotency),) if idempotency else ()),
    )
    sets = () if queue is None else (keys.queue(text(queue)), keys.running(text(queue)))
    arq_keys = (arq_job(job_id), arq_in_progress(job_id), arq_retry(job_id), arq_result(job_id))
    await broker.transaction(*(("ZREM", each, job_id) for each in sets), ("DEL", *arq_keys))
    if not removed:
        raise no_stream(job_id)


def _job_side(keys: Keys, job_id: str, job: NewJob, *more: str) -> Command:
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
    """The job's body in arq, by arq's own names for try, function, arguments and time of enqueue.

    arq skips `providers`. A claim brings the body, so that a worker knows at once whether it can run the job.
    """
    providers = list(dict.fromkeys((job.provider, *job.fallback_providers)))
    return json.dumps({"t": None, "f": FUNCTION, "a": [], "k": {}, "et": at, "providers": providers})
