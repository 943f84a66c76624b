"""Renews the leases of all jobs of a worker in one round trip, from its own thread.

An event loop that is busy for seconds loses no lease. If the loop stops for good, the leases are no longer renewed.
A claim that is missing after a restart or a failover of Redis is put back. A renewal that Redis refuses loses no claim.
"""

import asyncio
import logging
import math
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from redis import Redis
from redis.exceptions import RedisError, ResponseError

from tailrace.broker.outage import Dependent
from tailrace.protocol.keys import Keys
from tailrace_worker.queueing.claim import Claim
from tailrace_worker.queueing.claims import assert_command, read_renewed, renew_command

_logger = logging.getLogger(__name__)

_TURN_SECONDS: Final = 0.25
_RETRY: Final = 1 / 15
"""The part of a lease after which a failed renewal is tried again, on a new connection. It is short, because the claims
have to be in Redis again before other workers may claim."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseTimings:
    """When leases are no longer renewed."""

    wedged_seconds: float = 10.0
    """If the event loop has not run for this time, it counts as dead, and other workers take over its jobs."""


class Leases:
    """The claims of a worker. Each is renewed three times per lease, until its job is released."""

    def __init__(
        self,
        redis_url: str,
        keys: Keys,
        *,
        lease_seconds: float,
        life_seconds: float,
        timings: LeaseTimings | None = None,
    ) -> None:
        """Prepare the thread, which starts with the `async with` block.

        Args:
            redis_url: The URL of Redis.
            keys: The keys of the queue's side.
            lease_seconds: The length of a lease.
            life_seconds: How long a job's body lives if it has to be put back.
            timings: The time limits; `None` for the defaults.
        """
        self._redis: Any = Redis.from_url(  # pyright: ignore[reportUnknownMemberType]
            redis_url,
            protocol=2,
            # After an outage no worker takes over for one lease. Each has to reach Redis again within that time.
            socket_connect_timeout=lease_seconds / 3,
            socket_timeout=lease_seconds / 3,
        )
        self._keys = keys
        self._lease_seconds = lease_seconds
        self._life_seconds = life_seconds
        self._timings = timings or LeaseTimings()
        self.refused_at = -math.inf
        """When Redis last refused a renewal (`time.monotonic`). It then refuses the renewals of other workers too."""
        self._claims: dict[str, Claim] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._renewing = Dependent("leases are not renewed")
        self._thread = threading.Thread(target=self._renew_until_stopped, name="tailrace-leases", daemon=True)
        self._turned = time.monotonic()

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._turn()
        self._thread.start()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._turning.cancel()
        self._stopping.set()
        await asyncio.to_thread(self._thread.join)
        self._redis.close()

    def get(self, job_id: str) -> Claim | None:
        """Return this worker's claim on a job, or `None` if it has none."""
        return self._claims.get(job_id)

    @contextmanager
    def holding(self, claim: Claim) -> Generator[None]:
        """Renew the lease of a claim while the block runs.

        Args:
            claim: The claim.
        """
        with self._lock:
            self._claims[claim.job_id] = claim
        try:
            yield
        finally:
            with self._lock:
                del self._claims[claim.job_id]

    def _turn(self) -> None:
        self._turned = time.monotonic()
        self._turning = self._loop.call_later(_TURN_SECONDS, self._turn)

    def _renew_until_stopped(self) -> None:
        pause_seconds = self._lease_seconds / 3
        while not self._stopping.wait(pause_seconds):
            pause_seconds = self._lease_seconds / 3
            with self._lock:
                claims = [claim for claim in self._claims.values() if not claim.is_over]
            if not claims or time.monotonic() - self._turned > self._timings.wedged_seconds:
                continue
            try:
                self._renew(claims)
            except (RedisError, OSError) as error:
                self._renewing.fails(error)
                if isinstance(error, ResponseError):
                    self.refused_at = time.monotonic()
                pause_seconds = self._lease_seconds * _RETRY
                # The server may have become a replica, which would refuse every renewal on this connection.
                self._redis.connection_pool.disconnect()
            else:
                self._renewing.works()

    def _renew(self, claims: Sequence[Claim]) -> None:
        # The tokens as they are sent: if this worker claims a job again meanwhile, a reply about the old token must
        # not lose the new claim.
        tokens = [claim.token for claim in claims]
        renewed = read_renewed(
            self._redis.execute_command(*renew_command(self._keys, claims, lease_seconds=self._lease_seconds))
        )
        asserted = 0
        for claim, token in zip(claims, tokens, strict=True):
            is_lost = claim.job_id in renewed.taken
            if claim.job_id in renewed.missing and not claim.is_over:
                # In the same history, the job was deleted. In another one, Redis has lost the claim.
                is_lost = claim.history == renewed.history or not self._assert(claim)
                asserted += not is_lost
            if is_lost:
                self._loop.call_soon_threadsafe(self._lose, claim, token)
            else:
                claim.history = renewed.history
        if asserted:
            _logger.warning("Redis lost the claims of this worker on %d jobs: they are restored", asserted)

    def _assert(self, claim: Claim) -> bool:
        command = assert_command(self._keys, claim, lease_seconds=self._lease_seconds, life_seconds=self._life_seconds)
        return bool(self._redis.execute_command(*command))

    def _lose(self, claim: Claim, token: str) -> None:
        # While the reply was on its way, this worker may have released the job or claimed it again.
        if self._claims.get(claim.job_id) is claim and claim.token == token:
            claim.lose()
