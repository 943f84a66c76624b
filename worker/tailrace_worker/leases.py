"""Renews the leases of all the jobs of a worker in one round trip, from a thread of its own.

The event loop may be busy for seconds: that loses no lease. A loop that does not turn at all any more renews none.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, Self

from redis import Redis
from redis.exceptions import RedisError

from tailrace.keys import Keys
from tailrace_worker.claims import Claim, renew_command

_logger = logging.getLogger(__name__)

WEDGED_SECONDS: Final = 10.0
"""A loop that has not turned for so long is taken for dead, and its jobs go to others."""
_TURN_SECONDS: Final = 0.25


class Leases:
    """The claims of a worker, renewed three times in the time of a lease until they are dropped."""

    def __init__(self, redis_url: str, keys: Keys, *, lease_seconds: float) -> None:
        self._redis: Any = Redis.from_url(  # pyright: ignore[reportUnknownMemberType]
            redis_url,
            protocol=2,
            # After an outage nobody takes over for one lease: in that time each has to have reached Redis again.
            socket_connect_timeout=lease_seconds / 3,
            socket_timeout=lease_seconds / 3,
        )
        self._keys = keys
        self._lease_seconds = lease_seconds
        self._claims: dict[str, Claim] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
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
        while not self._stopping.wait(self._lease_seconds / 3):
            with self._lock:
                claims = list(self._claims.values())
            if not claims or time.monotonic() - self._turned > WEDGED_SECONDS:
                continue
            # As they go out: a job that we claim anew in the meantime is not lost by a reply about its old token.
            tokens = [claim.token for claim in claims]
            try:
                lost = self._redis.execute_command(
                    *renew_command(self._keys, claims, lease_seconds=self._lease_seconds)
                )
            except (RedisError, OSError) as error:
                _logger.warning("the leases of %d jobs cannot be renewed: %s", len(claims), error)
                continue
            gone = {job_id.decode() for job_id in lost}
            for claim, token in zip(claims, tokens, strict=True):
                if claim.job_id in gone:
                    self._loop.call_soon_threadsafe(self._lose, claim, token)

    def _lose(self, claim: Claim, token: str) -> None:
        # It may have been released, or claimed anew by ourselves, while the reply was on its way.
        if self._claims.get(claim.job_id) is claim and claim.token == token:
            claim.lose()
