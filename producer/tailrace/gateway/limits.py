"""Enqueues within the limits of an API key."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from tailrace import InfrastructureError, Job, Tailrace
from tailrace.gateway.errors import RateLimited
from tailrace.gateway.principal import Principal

_RETRY_SECONDS: Final = 2.0
"""After how many seconds a client may ask again for a place: some answers take no longer."""
_WHY: Final = {
    "running": "The tenant has as many jobs as may run at a time ({running:,}), with those that wait.",
    "queued": "As many of the tenant's jobs wait as may ({queued:,}).",
}


async def within_limits(
    tailrace: Tailrace,
    principal: Principal,
    enqueue: Callable[[], Awaitable[Job]],
    *,
    idempotency_key: str | None = None,
) -> Job:
    """Enqueue a job, if the principal may have one more.

    No job is enqueued above a limit, however many requests come at once, and in however many gateways.

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
        # Otherwise the reservation lapses, and Redis finds the job by itself.
        with suppress(InfrastructureError):
            await places.settle(principal.tenant, reservation, job_id)
