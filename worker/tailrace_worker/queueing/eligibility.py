"""Decides which jobs a worker leaves to others: jobs whose provider only another living worker can call."""

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
    """How long a job is left to others before this worker claims and checks it again."""
    max_left: int = 64
    """How many waiting jobs may be left in their places. Each claim command carries their ids."""
    defer_seconds: float = 5.0
    """How long the jobs beyond `max_left` are put off, so that they do not block jobs that this worker can run."""


@dataclass(frozen=True, slots=True)
class _Left:
    """A job that this worker has left to others."""

    queue: str
    wanted: tuple[str, ...]
    until: float
    waits: bool
    """True if the job waited in the queue; False if it was taken over from another worker."""


class Eligibility:
    """The check of claimed jobs: a job goes back to its place if this worker cannot call its provider.

    No attempt is counted. This worker passes the job over as long as another living worker serves the provider. After
    that it runs the job itself: a fallback may answer, and otherwise the job has to fail.
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
        """Set up the checks of one worker.

        Args:
            broker: The commands' connection to Redis.
            keys: The keys of Redis.
            worker: The name of this worker.
            usable: The providers that this worker can call.
            limits: The limits; `None` for the defaults.
        """
        self._broker = broker
        self._keys = keys
        self._peers = Peers(broker, keys, worker=worker)
        self._limits = limits or EligibilityLimits()
        self._usable = frozenset(usable)
        self._left: dict[str, _Left] = {}

    async def leaving(self) -> list[str]:
        """Return the ids of the jobs that the next claim has to pass over.

        Raises:
            InfrastructureError: Redis failed.
        """
        now = time.monotonic()
        self._left = {job_id: left for job_id, left in self._left.items() if left.until > now}
        if not self._left:
            return []
        if self._peers.is_due:
            await self._forget_started()
            await self._peers.read()
        return [job_id for job_id, left in self._left.items() if self._leaves(left.queue, left.wanted)]

    async def sift(self, claimed: Claimed) -> Claimed:
        """Hand back the jobs that other workers should run, and return the rest.

        Args:
            claimed: The result of a claim.

        Returns:
            The same result, with only the claims on jobs that this worker has to run.

        Raises:
            InfrastructureError: Redis failed. All jobs were handed back, or their leases run out.
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
        """Return the claims to hand back, each with the providers that may run its job, the preferred one first."""
        providers = await self._providers(claims)
        wanted = {claim: names for claim, names in providers.items() if names and names[0] not in self._usable}
        if not wanted:
            return {}
        # What was read before the claim may lack a worker that has started since.
        await self._peers.read()
        return {claim: names for claim, names in wanted.items() if self._leaves(claim.queue, names)}

    async def _providers(self, claims: Sequence[Claim]) -> dict[Claim, tuple[str, ...]]:
        named = {claim: providers_of(claim.body) for claim in claims}
        unnamed = [claim for claim, names in named.items() if names is None]
        requests = await self._read_requests(unnamed) if unnamed else []
        # These requests may be large, and to parse them on the event loop would hold it up.
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
        """Forget the jobs that no longer wait in their queue, because another worker runs them."""
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
        # If a hand-back does not reach Redis, the job is taken over once its lease has run out.
        with suppress(InfrastructureError):
            await self._broker.pipeline(
                *(
                    unclaim_command(
                        self._keys, claim, defer_seconds=self._limits.defer_seconds if claim in deferred else 0
                    )
                    for claim in claims
                )
            )
