"""Which jobs a worker leaves to others: those whose provider it cannot call, and another worker that lives can."""

import logging
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from tailrace.broker.client import Broker
from tailrace.errors import InfrastructureError
from tailrace.protocol.keys import Keys
from tailrace_worker.offload import beside_the_loop
from tailrace_worker.queueing.claim import Claim
from tailrace_worker.queueing.claims import Claimed
from tailrace_worker.queueing.job_body import providers_of, providers_of_request
from tailrace_worker.queueing.peers import Peers
from tailrace_worker.queueing.unclaim import unclaim_command

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class EligibilityLimits:
    """How many jobs a worker leaves to others, and for how long."""

    left_seconds: float = 30.0
    """After which time a job that was left is looked at again."""
    max_left: int = 64
    """How many waiting jobs are left in their places. Each claim carries their names."""
    defer_seconds: float = 5.0
    """How long those beyond that are put off, so that they do not stand in the way of what this worker can run."""


@dataclass(frozen=True, slots=True)
class _Left:
    """A job that was handed back."""

    queue: str
    wanted: tuple[str, ...]
    until: float
    waits: bool
    """Whether it waits in the queue, and was not taken from a worker."""


class Eligibility:
    """Sorts out what was claimed: a job whose provider this worker cannot call goes back to where it was.

    No attempt is counted, and this worker passes the job over until nobody else who lives serves its provider. Then it
    runs the job: a fallback may do, and else the job has to end.
    """

    def __init__(
        self,
        broker: Broker,
        keys: Keys,
        *,
        worker: str,
        usable: Iterable[str],
        limits: EligibilityLimits | None = None,
    ) -> None:
        """Make it for one worker, by its name and the providers that it can call."""
        self._broker = broker
        self._keys = keys
        self._peers = Peers(broker, keys, worker=worker)
        self._limits = limits or EligibilityLimits()
        self._usable = frozenset(usable)
        self._left: dict[str, _Left] = {}

    async def leaving(self) -> list[str]:
        """The jobs that the next claim is to pass over. Raises `InfrastructureError`."""
        now = time.monotonic()
        self._left = {job_id: left for job_id, left in self._left.items() if left.until > now}
        if not self._left:
            return []
        if self._peers.is_due:
            await self._forget_started()
            await self._peers.read()
        return [job_id for job_id, left in self._left.items() if self._leaves(left.queue, left.wanted)]

    async def sift(self, claimed: Claimed) -> Claimed:
        """Returns what this worker is to run, after it has handed back the rest.

        Raises:
            InfrastructureError: Redis failed; all were handed back, or their leases run out.
        """
        if not claimed.claims:
            return claimed
        try:
            left = await self._unfit(claimed.claims)
        except InfrastructureError:
            await self._hand_back(claimed.claims)
            raise
        if not left:
            return claimed
        _logger.debug("%d jobs are left to workers that have their providers", len(left))
        until = time.monotonic() + self._limits.left_seconds
        places = max(0, self._limits.max_left - len(self._left))
        deferred = [claim for claim in left if claim.reason == "retry"][places:]
        for claim, wanted in left.items():
            if claim not in deferred:
                self._left[claim.job_id] = _Left(claim.queue, wanted, until, waits=claim.reason == "retry")
        await self._hand_back(list(left), deferred)
        return replace(claimed, claims=[claim for claim in claimed.claims if claim not in left])

    async def _unfit(self, claims: Sequence[Claim]) -> dict[Claim, tuple[str, ...]]:
        """The claims that are to be left, each with the providers that may run it, in its order of preference."""
        providers = await self._providers(claims)
        wanted = {claim: names for claim, names in providers.items() if names and names[0] not in self._usable}
        if not wanted:
            return {}
        # What was read before the claim may lack a worker that has come since.
        await self._peers.read()
        return {claim: names for claim, names in wanted.items() if self._leaves(claim.queue, names)}

    async def _providers(self, claims: Sequence[Claim]) -> dict[Claim, tuple[str, ...]]:
        named = {claim: providers_of(claim.body) for claim in claims}
        unnamed = [claim for claim, names in named.items() if names is None]
        requests = await self._read_requests(unnamed) if unnamed else []
        # These requests may be large.
        read = {
            claim: await beside_the_loop(providers_of_request, request)
            for claim, request in zip(unnamed, requests, strict=True)
            if request is not None
        }
        return {claim: read.get(claim, ()) if names is None else names for claim, names in named.items()}

    async def _read_requests(self, claims: Sequence[Claim]) -> list[bytes | None]:
        return await self._broker.pipeline(*(("HGET", self._keys.record(claim.job_id), "request") for claim in claims))

    def _leaves(self, queue: str, wanted: Sequence[str]) -> bool:
        for provider in wanted:
            if provider in self._usable:
                return False
            if self._peers.have(queue, provider):
                return True
        return False

    async def _forget_started(self) -> None:
        """Forgets the jobs that wait no more: what runs elsewhere need not be passed over."""
        waiting: dict[str, list[str]] = {}
        for job_id, left in self._left.items():
            if left.waits:
                waiting.setdefault(left.queue, []).append(job_id)
        for queue, jobs in waiting.items():
            scores = await self._broker.call("ZMSCORE", self._keys.queue(queue), *jobs)
            for job_id, score in zip(jobs, scores, strict=True):
                if score is None:
                    del self._left[job_id]

    async def _hand_back(self, claims: Sequence[Claim], deferred: Sequence[Claim] = ()) -> None:
        for claim in claims:
            claim.is_over = True
        # What does not get there is taken over once its lease has run out.
        with suppress(InfrastructureError):
            await self._broker.pipeline(
                *(
                    unclaim_command(
                        self._keys, claim, defer_seconds=self._limits.defer_seconds if claim in deferred else 0
                    )
                    for claim in claims
                )
            )
