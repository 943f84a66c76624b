"""Runs a job, from this worker's first attempt at it to its ending."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol, TypeAlias

from tailrace.broker.client import Broker
from tailrace.broker.outage import Dependent
from tailrace.errors import InfrastructureError
from tailrace.events import Failed
from tailrace.protocol import attempts, endings
from tailrace.protocol.attempts import Began, Behind, BrokeOff, Carried, Resumed
from tailrace.protocol.endings import JobEnding
from tailrace.protocol.job_end import Gone, Over, end_orphan
from tailrace.protocol.keys import Keys, arq_retry
from tailrace_worker.attempt.calls import Calls
from tailrace_worker.attempt.cancel_poll import CancelPoll
from tailrace_worker.attempt.plan import Plan
from tailrace_worker.attempt.put_back import PutBack
from tailrace_worker.attempt.run import AttemptRun, Interrupted
from tailrace_worker.attempt.so_far import SoFar
from tailrace_worker.cancel_scope import AttemptLost, Interruptible
from tailrace_worker.log_summary import Tally
from tailrace_worker.publishing.publisher import Publisher
from tailrace_worker.settings import WorkerSettings
from tailrace_worker.shaping.guards.compiler import GuardCompiler
from tailrace_worker.shaping.guards.moderate import Judge

_logger = logging.getLogger(__name__)
_beginning: Final = Dependent("jobs wait")

_TRIES_SECONDS: Final = 88_400
"""How long arq keeps its counter of tries for a job."""
_REDIS_RETRY_SECONDS: Final = 1.0
_CLOSED_AT_ONCE: Final = 32
"""How many jobs are closed at the same time. If a thousand jobs are cancelled at once and all are closed at once, each
takes its own connection to Redis, and the jobs that are not yet cancelled have to wait for them."""

_Begun: TypeAlias = Began | BrokeOff | Over | Behind | Gone
_Outcome: TypeAlias = _Begun | Interrupted | JobEnding


class Hold(Protocol):
    """A worker's hold on a job that it runs."""

    @property
    def reason(self) -> str:
        """The reason for this attempt, if it is not the job's first one."""
        ...

    def on_lost(self, tell: Callable[[AttemptLost], None]) -> None:
        """Call `tell` once this worker has lost the job.

        Args:
            tell: A callback that takes the reason.
        """

    async def next_attempt(self) -> int:
        """Count another attempt by the same worker.

        Returns:
            The number of the new attempt.

        Raises:
            InfrastructureError: Redis failed.
        """
        ...

    def drop(self) -> None:
        """Give up the hold, because another worker has the job: it releases nothing from now on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationTimings:
    """Time limits for the end of an attempt."""

    hand_over_seconds: float = 5.0
    """How long an attempt may take to publish its last entries when its worker stops."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generations:
    """The runner of a worker's jobs, with all that they share."""

    broker: Broker
    keys: Keys
    settings: WorkerSettings
    calls: Calls
    judge: Judge
    """Judges texts for the guard `moderate`."""
    publisher: Publisher
    cancel_poll: CancelPoll
    worker: str
    """The name of this worker, which each `started` event carries."""
    guard_compiler: GuardCompiler = field(default_factory=GuardCompiler)
    timings: GenerationTimings = field(default_factory=GenerationTimings)
    closing: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_CLOSED_AT_ONCE))
    dropped: Tally = field(
        default_factory=partial(
            Tally, _logger, "%d jobs are dropped: other workers have taken them over, or they were deleted"
        )
    )

    async def run(self, job_id: str, attempt: int, hold: Hold, *, carried: Carried | None = None) -> None:
        """Run the attempts of a job until the job is over or this worker has lost it.

        Args:
            job_id: The job's id.
            attempt: The number of the first attempt, from 1.
            hold: This worker's hold on the job.
            carried: The request of a job that a stock arq client enqueued. Such a job has no stream before its first
                attempt.

        Raises:
            PutBack: The job has to be run again, for one of these reasons. `attempt` was not above the number of the
                job's last attempt; arq's counter has been set to that number. Or Redis failed before the attempt began
                or after its ending; the next run begins the attempt, or announces the ending. Or Redis has lost an
                earlier attempt whose entries the publisher still holds.
        """
        try:
            await self._attempt(job_id, attempt, hold, carried)
        except InfrastructureError as error:
            # A return would release a job that has no ending, or one whose ending was not announced.
            _beginning.fails(error)
            _logger.debug("job %s waits for Redis: %s", job_id, error)
            raise PutBack(_REDIS_RETRY_SECONDS) from error
        _beginning.works()

    async def fail(self, job_id: str, failed: Failed, *, queue: str) -> bool:
        """End a job without running it.

        Args:
            job_id: The job's id.
            failed: The ending to append, unless the stream already has one.
            queue: The job's queue. If the job has no stream yet, a stream is made for the ending. If `queue` is empty,
                no stream is made.

        Returns:
            True if the job has its ending; False if it has no stream, so that nobody can read an ending.

        Raises:
            InfrastructureError: Redis failed.
        """
        over = await end_orphan(
            self.broker, self.keys, job_id, failed, keep_seconds=self.settings.keep_seconds, queue=queue
        )
        if not isinstance(over, Over):
            return False
        await self._close(JobEnding(job_id=job_id, tenant=over.tenant, ending=over.ending))
        return True

    async def _attempt(self, job_id: str, attempt: int, hold: Hold, carried: Carried | None) -> None:
        outcome: _Outcome | None
        outcome = await self._begin(job_id, attempt, hold.reason, may_continue=True, carried=carried)
        so_far: SoFar | None = None
        plan: Plan | None = None
        while isinstance(outcome, Began | BrokeOff | Interrupted):
            if isinstance(outcome, Began):
                outcome = await self._run(job_id, outcome, hold, plan, so_far, is_carried=carried is not None)
            elif isinstance(outcome, BrokeOff):
                so_far = await self._read_so_far(job_id, outcome)
                resumed = so_far.resumed if so_far else None
                outcome = await self._begin(job_id, attempt, hold.reason, resumed=resumed, carried=carried)
            else:
                plan = outcome.plan
                attempt = await hold.next_attempt()
                outcome = await self._begin(job_id, attempt, outcome.reason, resumed=plan.resumed)
        match outcome:
            case JobEnding() as ended:
                await self._close(ended)
            case Over() as over:
                # The worker that wrote this ending died before it released the job, perhaps before it announced it.
                await self._close(JobEnding(job_id=job_id, tenant=over.tenant, ending=over.ending))
            case Behind() as behind:
                await self.broker.call("SET", arq_retry(job_id), behind.last_attempt, "EX", _TRIES_SECONDS)
                raise PutBack(0 if plan is None else self.settings.lease_seconds)
            case Gone() if plan is not None:
                # The stream was there a moment ago. If a restart or a failover of Redis lost it, it is back in a lease.
                raise PutBack(self.settings.lease_seconds)
            case Gone():
                _logger.info("job %s was deleted, or expired, before it could run", job_id)
            case None:
                pass

    async def _begin(
        self,
        job_id: str,
        attempt: int,
        reason: str,
        *,
        resumed: Resumed | None = None,
        may_continue: bool = False,
        carried: Carried | None = None,
    ) -> _Begun:
        return await attempts.begin(
            self.broker,
            self.keys,
            job_id,
            attempt=attempt,
            worker=self.worker,
            reason=reason,
            max_lost=self.settings.max_attempts,
            life_seconds=self.settings.running_seconds,
            keep_seconds=self.settings.keep_seconds,
            resumed=resumed,
            may_continue=may_continue,
            carried=carried,
        )

    async def _read_so_far(self, job_id: str, broke_off: BrokeOff) -> SoFar | None:
        return await SoFar.read(
            self.broker,
            self.keys.events(job_id),
            broke_off.request,
            max_bytes=self.settings.max_answer_bytes,
            prefills=self.calls.prefills,
        )

    async def _run(
        self, job_id: str, began: Began, hold: Hold, plan: Plan | None, so_far: SoFar | None, *, is_carried: bool
    ) -> JobEnding | Interrupted | None:
        """Make one attempt. Return `None` if the job was lost to another worker or deleted."""
        interruptible = Interruptible()
        hold.on_lost(interruptible.interrupt)
        with self.publisher.open(job_id, began, on_lost=interruptible.interrupt) as writer:
            run = AttemptRun(
                job_id=job_id,
                began=began,
                writer=writer,
                interruptible=interruptible,
                settings=self.settings,
                calls=self.calls,
                judge=self.judge,
                guard_compiler=self.guard_compiler,
                budget=self.publisher.budget,
                cancel_poll=self.cancel_poll,
                plan=plan,
                so_far=so_far,
                is_carried=is_carried,
            )
            try:
                said = await run.run()
                if isinstance(said, Interrupted):
                    # The next attempt must not begin before readers can read all that this one wrote.
                    await writer.settled()
                    said.plan.last_seq = writer.last_seq
                    return said
                await writer.end(said)
            except AttemptLost as lost:
                _logger.debug("job %s is dropped: %s", job_id, lost)
                self.dropped.add()
                hold.drop()
                return None
            except asyncio.CancelledError:
                # This worker stops. Another worker makes the next attempt.
                with suppress(TimeoutError, AttemptLost):
                    async with asyncio.timeout(self.timings.hand_over_seconds):
                        await writer.settled()
                raise
        # The ending is appended before the release: a reader must never see a released job that has no ending.
        return JobEnding(job_id=job_id, tenant=began.tenant, ending=said.type, outcome=said)

    async def _close(self, ended: JobEnding) -> None:
        async with self.closing:
            await endings.close(self.broker, self.keys, ended, keep_seconds=self.settings.keep_seconds)
