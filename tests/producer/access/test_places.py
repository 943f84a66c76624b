"""How many jobs a tenant has at a time, as the enqueues, claims and releases of jobs change it."""

import asyncio

import pytest

from tailrace import GenerationRequest, KeyLimits, Tailrace
from tailrace.access.places import Places, Reservation
from tailrace.broker.client import Broker
from tailrace.protocol.keys import Keys
from tailrace_worker.queueing.claim import Claim
from tailrace_worker.queueing.claims import claim_command, new_token, read_claimed, release_command

TWO_QUEUED = KeyLimits(queued=2)
TWO_RUNNING = KeyLimits(running=2)


class Tenant:
    """A tenant whose jobs are enqueued within limits."""

    def __init__(self, places: Places, tailrace: Tailrace, request: GenerationRequest) -> None:
        self._places = places
        self._tailrace = tailrace
        self._request = request

    async def reserve(self, limits: KeyLimits, *, idempotency_key: str | None = None) -> Reservation:
        return await self._places.reserve("acme", limits, idempotency_key=idempotency_key)

    async def settle(self, reservation: Reservation, job_id: str | None) -> None:
        await self._places.settle("acme", reservation, job_id)

    async def enqueue(self, limits: KeyLimits) -> str | None:
        """Returns the id of the job, or `None` if it would be one too many."""
        reservation = await self.reserve(limits)
        if reservation.full is not None:
            return None
        job = await self._tailrace.enqueue(self._request, tenant="acme")
        await self.settle(reservation, job.id)
        return job.id


@pytest.fixture
def tenant(tailrace: Tailrace, request_: GenerationRequest) -> Tenant:
    return Tenant(tailrace.access.places, tailrace, request_)


@pytest.fixture
def forgetful(tailrace: Tailrace, request_: GenerationRequest, broker: Broker, keys: Keys) -> Tenant:
    """The same tenant, at a gateway whose reservations lapse at once."""
    return Tenant(Places(broker, keys, lapse_seconds=0), tailrace, request_)


async def claim(broker: Broker, keys: Keys, *, places: int) -> list[Claim]:
    token = new_token("host:0")
    command = claim_command(keys, ["default"], token, places=places, lease_seconds=60, takes_over_until=0, dead=[])
    return read_claimed(await broker.call(*command), ["default"], token).claims


async def release(broker: Broker, keys: Keys, claimed: Claim) -> None:
    await broker.call(*release_command(keys, claimed, "finish", life_seconds=60))


async def test_a_job_has_its_place_until_it_is_released(tenant: Tenant, broker: Broker, keys: Keys) -> None:
    assert await tenant.enqueue(TWO_QUEUED)
    assert await tenant.enqueue(TWO_QUEUED)
    assert (await tenant.reserve(TWO_QUEUED)).full == "queued"
    first, second = await claim(broker, keys, places=2)
    assert (await tenant.reserve(TWO_RUNNING)).full == "running"
    await release(broker, keys, first)
    assert await tenant.enqueue(TWO_RUNNING)
    assert (await tenant.reserve(TWO_RUNNING)).full == "running"
    await release(broker, keys, second)
    assert await tenant.enqueue(TWO_RUNNING)


async def test_jobs_that_run_leave_the_places_of_those_that_wait(tenant: Tenant, broker: Broker, keys: Keys) -> None:
    for _ in range(3):
        assert await tenant.enqueue(TWO_QUEUED)
        assert await tenant.enqueue(TWO_QUEUED)
        assert len(await claim(broker, keys, places=2)) == 2


async def test_a_job_that_waits_counts_as_one_that_may_run_at_any_moment(tenant: Tenant) -> None:
    assert await tenant.enqueue(TWO_RUNNING)
    assert await tenant.enqueue(TWO_RUNNING)
    assert (await tenant.reserve(TWO_RUNNING)).full == "running"


async def test_no_number_of_concurrent_enqueues_exceeds_a_limit(tenant: Tenant, tailrace: Tailrace) -> None:
    limits = KeyLimits(queued=5)
    enqueued = await asyncio.gather(*(tenant.enqueue(limits) for _ in range(50)))
    assert sum(job_id is not None for job_id in enqueued) == 5
    assert len(await tailrace.jobs(tenant="acme")) == 5


async def test_a_reservation_without_a_job_is_given_back(tenant: Tenant) -> None:
    one = KeyLimits(queued=1)
    reservation = await tenant.reserve(one)
    assert (await tenant.reserve(one)).full == "queued"
    await tenant.settle(reservation, None)
    assert (await tenant.reserve(one)).full is None


async def test_the_reservation_of_a_gateway_that_died_lapses(forgetful: Tenant) -> None:
    one = KeyLimits(queued=1)
    assert (await forgetful.reserve(one)).full is None
    assert (await forgetful.reserve(one)).full is None


async def test_a_job_that_was_enqueued_without_a_reservation_counts_later(
    tenant: Tenant, forgetful: Tenant, tailrace: Tailrace, request_: GenerationRequest
) -> None:
    job = await tailrace.enqueue(request_, tenant="acme")
    one = KeyLimits(queued=1)
    reservation = await tenant.reserve(one)
    assert reservation.full is None
    await tenant.settle(reservation, None)
    assert (await forgetful.reserve(one)).full == "queued"
    await job.cancel()
    assert (await forgetful.reserve(one)).full is None


async def test_other_tenants_have_their_own_places(tenant: Tenant, tailrace: Tailrace) -> None:
    one = KeyLimits(queued=1)
    assert await tenant.enqueue(one)
    assert (await tailrace.access.places.reserve("other", one)).full is None


async def test_a_repetition_with_its_idempotency_key_needs_no_place(
    tenant: Tenant, tailrace: Tailrace, request_: GenerationRequest
) -> None:
    one = KeyLimits(running=1)
    reservation = await tenant.reserve(one, idempotency_key="k")
    job = await tailrace.enqueue(request_, tenant="acme", idempotency_key="k")
    await tenant.settle(reservation, job.id)
    assert (await tenant.reserve(one, idempotency_key="k")).full is None
    assert (await tenant.reserve(one, idempotency_key="l")).full == "running"


async def test_a_key_without_limits_on_jobs_asks_nothing(tenant: Tenant, broker: Broker, keys: Keys) -> None:
    assert await tenant.reserve(KeyLimits(requests_per_second=5)) == Reservation()
    assert not await broker.call("EXISTS", keys.places("acme"))
