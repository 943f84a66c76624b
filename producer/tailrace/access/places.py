"""`Places`: limits how many jobs of a tenant wait and run, for all gateways together.

A gateway reserves a place before it enqueues a job, and afterwards gives the place to the job. A script in Redis counts
the jobs and the reservations in one step, so concurrent requests cannot exceed a limit. The place of a job is free
again when the job is released. If a gateway dies, its reservations lapse.
"""

import secrets
from dataclasses import dataclass
from typing import Final, Literal

from tailrace.access.api_key import KeyLimits
from tailrace.broker.client import Broker, ms
from tailrace.protocol.keys import QUEUES_LIFE_SECONDS, Keys
from tailrace.protocol.scripts import Script

LAPSE_SECONDS: Final = 30.0
"""How long a reservation lasts, in seconds: longer than an enqueue takes with all its retries. A job that was enqueued
without a reservation counts once it is this old."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """A reserved place, or the reason why there is none."""

    id: str | None = None
    """The id, for `settle`; `None` if no place was needed, or if none was free."""
    full: Literal["running", "queued"] | None = None
    """The limit that is reached; `None` if the job may be enqueued."""


class Places:
    """The places of all tenants.

    Args:
        broker: The connections to Redis.
        keys: The keys under the prefix.
        lapse_seconds: How long a reservation lasts, in seconds.
    """

    def __init__(self, broker: Broker, keys: Keys, *, lapse_seconds: float = LAPSE_SECONDS) -> None:
        self._broker = broker
        self._keys = keys
        self._lapse_seconds = lapse_seconds

    async def reserve(self, tenant: str, limits: KeyLimits, *, idempotency_key: str | None = None) -> Reservation:
        """Reserve a place for a new job.

        Args:
            tenant: The tenant.
            limits: The limits of the API key.
            idempotency_key: The idempotency key of the request. If there is a job under it already, no place is needed.

        Returns:
            The reservation, or the limit that is reached.

        Raises:
            BrokerUnavailable: Redis cannot be reached.
            BrokerRefused: Redis refused.
        """
        if limits.running is None and limits.queued is None:
            return Reservation()
        # No job's id begins like this.
        reservation = f"~{secrets.token_hex(8)}"
        at = [self._keys.places(tenant), self._keys.jobs(tenant)]
        if idempotency_key is not None:
            at.append(self._keys.idempotency(tenant, idempotency_key))
        placed = await self._broker.call(
            *Script.RESERVE_PLACE.command(
                at,
                *(reservation, ms(self._lapse_seconds)),
                *(limits.running or 0, limits.queued or 0),
                ms(QUEUES_LIFE_SECONDS),
            )
        )
        match placed:
            case b"running":
                return Reservation(full="running")
            case b"queued":
                return Reservation(full="queued")
            case b"known":
                return Reservation()
            case _:
                return Reservation(id=reservation)

    async def settle(self, tenant: str, reservation: Reservation, job_id: str | None) -> None:
        """Give a reserved place to the job that was enqueued, or give it back.

        Args:
            tenant: The tenant.
            reservation: The reservation.
            job_id: The job; `None` if none was enqueued.

        Raises:
            BrokerUnavailable: Redis cannot be reached.
            BrokerRefused: Redis refused.
        """
        if reservation.id is not None:
            at = [self._keys.places(tenant)]
            await self._broker.call(*Script.SETTLE_PLACE.command(at, reservation.id, job_id or ""))
