"""`Claimer`: claims jobs from the queues of a worker."""

import logging
import os
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

from redis.asyncio import Redis

from tailrace.broker.client import Argument, refused
from tailrace.broker.wire import Wire, packed
from tailrace.errors import InfrastructureError
from tailrace_worker.generation import Generations
from tailrace_worker.queueing.claims import Claimed, claim_command, new_token, read_claimed
from tailrace_worker.queueing.eligibility import Eligibility, EligibilityLimits
from tailrace_worker.queueing.leases import Leases
from tailrace_worker.queueing.redis_check import RedisCheck, RedisCheckLimits
from tailrace_worker.queueing.takeover_gate import TakeoverGate

_logger = logging.getLogger(__name__)

_POLL_SECONDS: Final = 1.0
"""The longest wait for a ring. A job whose ring was lost, or whose producer does not ring, waits this long at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimingLimits:
    """Timings and limits of a worker that claims jobs."""

    begin_seconds: float = 10.0
    """How long it may take from a job's claim until arq calls its function. arq only talks to Redis in that time."""
    eligibility: EligibilityLimits = field(default_factory=EligibilityLimits)
    redis_check: RedisCheckLimits = field(default_factory=RedisCheckLimits)


class Claimer:
    """The part of a worker that claims jobs and waits for the rings of new ones, on a separate connection to Redis."""

    def __init__(
        self,
        generations: Generations,
        redis: Redis,
        leases: Leases,
        redis_check: RedisCheck,
        *,
        limits: ClaimingLimits,
    ) -> None:
        """Prepare the claims. The first one connects.

        Args:
            generations: What the jobs of the worker share: its name, its settings and its keys.
            redis: The client whose connection settings are used.
            leases: The leases of the worker.
            redis_check: The check to repeat after each new connection.
            limits: The timings and limits.
        """
        self._worker = generations.worker
        self._settings = generations.settings
        self._keys = generations.keys
        self._broker = generations.broker
        self._leases = leases
        self._redis_check = redis_check
        self._eligibility = Eligibility(
            generations.broker,
            generations.keys,
            worker=generations.worker,
            usable=generations.calls.usable,
            limits=limits.eligibility,
        )
        self._wire = Wire(redis)
        self._was_connected = False
        self._takeover_gate = TakeoverGate(lease_seconds=generations.settings.lease_seconds)
        self._round_trip_seconds = 0.0
        self._run_id = secrets.token_hex(4)
        self._dead: set[str] = set()
        """Workers that have died on this machine. Their jobs are taken over even shortly after an outage of Redis."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._wire.disconnect()

    @property
    def knows_of_dead(self) -> bool:
        """True if the next claim takes over jobs of workers that have died on this machine."""
        return bool(self._dead)

    async def claim(self, places: int, *, is_idle: bool) -> Claimed:
        """Claim as many jobs as there are free places, and hand back those that other workers should run.

        Args:
            places: How many jobs may be claimed, from 1.
            is_idle: True if this worker runs no job. Then the jobs that are held under its name were claimed by an
                earlier process of the same name.

        Returns:
            The jobs that this worker has to run.

        Raises:
            InfrastructureError: Redis failed. The claimed jobs were handed back, or their leases run out.
        """
        if not self._wire.is_connected:
            await self._wire.connect()
            self._takeover_gate.begin()
            if self._was_connected:
                # Another server may answer now. `run_worker` has checked the one of the first connection.
                await self._redis_check.check()
            self._was_connected = True
        self._takeover_gate.failed(self._leases.refused_at)
        leaving = await self._eligibility.leaving()
        token = new_token(self._worker, run=self._run_id)
        queues = self._settings.queues
        command = claim_command(
            self._keys,
            queues,
            token,
            places=places,
            lease_seconds=self._settings.lease_seconds,
            takes_over_until=self._takeover_gate.takes_over_until,
            dead=self._dead,
            leaving=leaving,
        )
        asked_at = time.monotonic()
        claimed = read_claimed(await self._ask(*command), queues, token)
        self._round_trip_seconds = time.monotonic() - asked_at
        self._takeover_gate.tell(claimed.at)
        for name, count in claimed.lost.items():
            _logger.warning("worker %s is lost: it no longer renews the leases of its %d jobs", name, count)
        self._dead = {name for name in claimed.suspects if self._is_dead(name, is_idle=is_idle)}
        return await self._eligibility.sift(claimed)

    async def wait_for_ring(self, next_due_seconds: float | None) -> None:
        """Wait until a job may be claimable, but no longer than 1 s.

        Args:
            next_due_seconds: Seconds until the next job is due or the next lease runs out; `None` if neither is known.

        Raises:
            InfrastructureError: Redis failed.
        """
        timeout = _POLL_SECONDS
        if next_due_seconds is not None:
            # The claim that follows should arrive at Redis just when the job is due.
            timeout = max(0.001, min(timeout, next_due_seconds - 2 * self._round_trip_seconds))
        bells = (self._keys.doorbell(queue) for queue in self._settings.queues)
        await self._ask("BLPOP", *bells, f"{timeout:.3f}", block_seconds=timeout)

    async def ring_for_others(self) -> None:
        """Ring for the other workers if jobs wait: this worker may have taken a ring while it stopped listening."""
        with suppress(InfrastructureError):
            command = claim_command(
                self._keys, self._settings.queues, "", places=0, lease_seconds=1, takes_over_until=0
            )
            await self._broker.call(*command)

    async def _ask(self, *command: Argument, block_seconds: float = 0) -> Any:
        asked_at = time.monotonic()
        (reply,) = await self._wire.exchange(packed(*command), 1, block_seconds=block_seconds)
        self._takeover_gate.answered(after_seconds=time.monotonic() - asked_at, block_seconds=block_seconds)
        if isinstance(reply, Exception):
            self._takeover_gate.failed(time.monotonic())
            raise refused(reply, *command)
        return reply

    def _is_dead(self, name: str, *, is_idle: bool) -> bool:
        """Return whether a worker of this machine has died: its process is gone, or this process has its id now."""
        if name == self._worker:
            return is_idle
        try:
            os.kill(int(name.rpartition(":")[2]), 0)
        except ProcessLookupError:
            return True
        except (ValueError, OSError):
            return False
        return False
