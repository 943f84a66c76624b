"""Renews the leases of all the jobs of a worker in one round trip, from a thread of its own.

The event loop may be busy for seconds: that loses no lease. A loop that does not turn at all any more renews none.
A claim that is missing after a restart or a failover of Redis is put back; a renewal that Redis refuses loses nothing.
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
"""The part of a lease after which a renewal that failed is tried again, on a new connection: the claims have to be
there again before others may claim."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseTimings:
    """When leases are not renewed any more."""

    wedged_seconds: float = 10.0
    """A loop that has not turned for so long is taken for dead, and its jobs go to others."""


class Leases:
    """The claims of a worker, renewed three times in the time of a lease until they are dropped."""

    def __init__(
        self,
        redis_url: str,
        keys: Keys,
        *,
        lease_seconds: float,
        life_seconds: float,
        timings: LeaseTimings | None = None,
    ) -> None:
        """`life_seconds` is for how long a job's body lives that is put back."""
        self._redis: Any = Redis.from_url(  # pyright: ignore[reportUnknownMemberType]
            redis_url,
            protocol=2,
            # After an outage nobody takes over for one lease: in that time each has to have reached Redis again.
            socket_connect_timeout=lease_seconds / 3,
            socket_timeout=lease_seconds / 3,
        )
        self._keys = keys
        self._lease_seconds = lease_seconds
        self._life_seconds = life_seconds
        self._timings = timings or LeaseTimings()
        self.refused_at = -math.inf
        """When Redis refused a renewal last (`time.monotonic`): it lets nobody else renew a lease either."""
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
        """The claim on a job, where this worker holds one."""
        return self._claims.get(job_id)

    @contextmanager
    def holding(self, claim: Claim) -> Generator[None]:
        """Renews a claim while the block runs."""
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
                # The server may have been demoted: it would refuse for ever on the same connection.
                self._redis.connection_pool.disconnect()
            else:
                self._renewing.works()

    def _renew(self, claims: Sequence[Claim]) -> None:
        # As they go out: a job that we claim anew in the meantime is not lost by a reply about its old token.
        tokens = [claim.token for claim in claims]
        renewed = read_renewed(
            self._redis.execute_command(*renew_command(self._keys, claims, lease_seconds=self._lease_seconds))
        )
        asserted = 0
        for claim, token in zip(claims, tokens, strict=True):
            is_lost = claim.job_id in renewed.taken
            if claim.job_id in renewed.missing and not claim.is_over:
                # In the same history it was deleted; in another one Redis has lost the claim.
                is_lost = claim.history == renewed.history or not self._assert(claim)
                asserted += not is_lost
            if is_lost:
                self._loop.call_soon_threadsafe(self._lose, claim, token)
            else:
                claim.history = renewed.history
        if asserted:
            _logger.warning("Redis had lost the claims on %d jobs, and has them back", asserted)

    def _assert(self, claim: Claim) -> bool:
        command = assert_command(self._keys, claim, lease_seconds=self._lease_seconds, life_seconds=self._life_seconds)
        return bool(self._redis.execute_command(*command))

    def _lose(self, claim: Claim, token: str) -> None:
        # It may have been released, or claimed anew by ourselves, while the reply was on its way.
        if self._claims.get(claim.job_id) is claim and claim.token == token:
            claim.lose()
