"""Enqueues within the limits of an API key."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Final

from tailrace import InfrastructureError, Job, Tailrace
from tailrace.gateway.errors import RateLimited
from tailrace.gateway.new_job_body import NewJobBody, NewVerbatimJobBody
from tailrace.gateway.principal import Principal

_RETRY_SECONDS: Final = 2.0
"""The `Retry-After` in seconds if there is no place. Short answers take no longer, and then free one."""
_WHY: Final = {
    "running": "The tenant may have {running:,} running and waiting jobs, and has that many.",
    "queued": "The tenant may have {queued:,} waiting jobs, and has that many.",
}


async def enqueue_new(
    tailrace: Tailrace,
    principal: Principal,
    new: NewJobBody | NewVerbatimJobBody,
    *,
    idempotency_key: str | None,
    front: Mapping[str, Any] | None = None,
) -> Job:
    """Enqueue the job that a client asks for, if the principal may have one more.

    Args:
        tailrace: The client.
        principal: Who asks.
        new: What the client sent.
        idempotency_key: The idempotency key of the request, if it has one.
        front: What the job remembers of the client's request.

    Returns:
        The job: a new one, or the first one under the key.

    Raises:
        TailraceError: What `Tailrace.enqueue` raises.
        RateLimited: The tenant has as many jobs as it may have.
    """
    return await within_limits(
        tailrace,
        principal,
        lambda: tailrace.enqueue(
            new,
            tenant=principal.tenant,
            queue=new.queue,
            idempotency_key=idempotency_key,
            conversation=new.conversation,
            if_active=new.if_active,
            labels=new.labels,
            front=front,
            defer_seconds=new.defer_seconds,
            expires_in_seconds=new.expires_in_seconds,
            durable=new.durable,
        ),
        idempotency_key=idempotency_key,
    )


async def within_limits(
    tailrace: Tailrace,
    principal: Principal,
    enqueue: Callable[[], Awaitable[Job]],
    *,
    idempotency_key: str | None = None,
) -> Job:
    """Enqueue a job, if the principal may have one more.

    Concurrent requests, at several gateways too, cannot exceed a limit.

    Args:
        tailrace: The client.
        principal: Who asks.
        enqueue: Enqueues the job.
        idempotency_key: The idempotency key of the request. A repetition needs no place.

    Returns:
        The job.

    Raises:
        RateLimited: The tenant has as many jobs as it may have.
        BrokerUnavailable: Redis cannot be reached.
        BrokerRefused: Redis refused.
    """
    limits = principal.limits
    if limits is None:
        return await enqueue()
    places = tailrace.access.places
    reservation = await places.reserve(principal.tenant, limits, idempotency_key=idempotency_key)
    if reservation.full is not None:
        why = _WHY[reservation.full].format(running=limits.running, queued=limits.queued)
        raise RateLimited(f"{why} Try again when one has ended.", retry_after_seconds=_RETRY_SECONDS)
    job_id = None
    try:
        job = await enqueue()
        job_id = job.id
        return job
    finally:
        # If this fails, the reservation lapses, and the script finds the job in the index.
        with suppress(InfrastructureError):
            await places.settle(principal.tenant, reservation, job_id)
