"""One job, from its first attempt by this worker to its ending."""

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
from tailrace.protocol.attempts import Began, Behind, Carried, Resumed
from tailrace.protocol.endings import JobEnding
from tailrace.protocol.job_end import Gone, Over, end_orphan
from tailrace.protocol.keys import Keys, arq_retry
from tailrace_worker.attempt.calls import Calls
from tailrace_worker.attempt.cancel_poll import CancelPoll
from tailrace_worker.attempt.plan import Course
from tailrace_worker.attempt.put_back import PutBack
from tailrace_worker.attempt.run import AttemptRun, Interrupted
from tailrace_worker.cancel_scope import AttemptLost, Interruptible
from tailrace_worker.log_summary import Tally
from tailrace_worker.publishing.publisher import Publisher
from tailrace_worker.settings import WorkerSettings
from tailrace_worker.shaping.guards.moderate import Judge

_logger = logging.getLogger(__name__)
_beginning: Final = Dependent("jobs wait")

_TRIES_SECONDS: Final = 88_400
"""How long arq keeps its counter of tries."""
_REDIS_RETRY_SECONDS: Final = 1.0
_CLOSED_AT_ONCE: Final = 32
"""Jobs whose endings are announced at a time. Where a thousand are cancelled at once, each would take a connection to
Redis of its own, and those that are still to be cancelled would wait for all that."""

_Outcome: TypeAlias = Began | Interrupted | JobEnding | Over | Behind | Gone


class Hold(Protocol):
    """What a worker has of a job while it runs it."""

    @property
    def reason(self) -> str:
        """Why there is another attempt, if this is not the first one."""
        ...

    def on_lost(self, tell: Callable[[AttemptLost], None]) -> None:
        """Tell when the job is somebody else's."""

    async def next_attempt(self) -> int:
        """Count another attempt of the same worker, and return its number. Raises `InfrastructureError`."""
        ...

    def drop(self) -> None:
        """The job is somebody else's: nothing more is done by this hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationTimings:
    """How long the end of an attempt may take."""

    hand_over_seconds: float = 5.0
    """How long an attempt that is stopped with its worker may take to publish what it has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generations:
    """Runs jobs: what all the jobs of a worker share."""

    broker: Broker
    keys: Keys
    settings: WorkerSettings
    calls: Calls
    judge: Judge
    """Who judges texts, for the guard `moderate`."""
    publisher: Publisher
    cancel_poll: CancelPoll
    worker: str
    """The name of this worker, as `started` tells it."""
    timings: GenerationTimings = field(default_factory=GenerationTimings)
    closing: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_CLOSED_AT_ONCE))
    dropped: Tally = field(
        default_factory=partial(Tally, _logger, "%d jobs are dropped: others have them, or they were deleted")
    )

    async def run(self, job_id: str, attempt: int, hold: Hold, *, carried: Carried | None = None) -> None:
        """Run the attempts of a job, and return when the job is over or is somebody else's.

        Args:
            job_id: The job.
            attempt: The number of the first attempt, from 1.
            hold: What this worker has of the job.
            carried: The request of a job that a stock arq client enqueued; it has no stream before its first attempt.

        Raises:
            PutBack: The attempt was not above the last one's, and the counter is mended; or Redis failed before the
                attempt began, or after its ending: whoever comes next begins, or announces the ending. Or Redis has
                lost an earlier attempt that the publisher still holds.
        """
        try:
            await self._attempt(job_id, attempt, hold, carried)
        except InfrastructureError as error:
            # To return would release a job that has no ending, or one that nobody was told of.
            _beginning.fails(error)
            _logger.debug("job %s waits for Redis: %s", job_id, error)
            raise PutBack(_REDIS_RETRY_SECONDS) from error
        _beginning.works()

    async def fail(self, job_id: str, failed: Failed, *, queue: str) -> bool:
        """End a job that is not run.

        Args:
            job_id: The job.
            failed: Its ending, unless it has one.
            queue: The queue of a job that may have no stream yet: one is made for the ending. Empty: none is made.

        Returns:
            False if the job has no stream: nobody can read an ending of it.

        Raises:
            InfrastructureError: Redis could not be asked.
        """
        over = await end_orphan(
            self.broker, self.keys, job_id, failed, keep_seconds=self.settings.keep_seconds, queue=queue
        )
        if not isinstance(over, Over):
            return False
        await self._close(JobEnding(job_id=job_id, tenant=over.tenant, ending=over.ending))
        return True

    async def _attempt(self, job_id: str, attempt: int, hold: Hold, carried: Carried | None) -> None:
        outcome: _Outcome | None = await self._begin(job_id, attempt, hold.reason, carried=carried)
        course: Course | None = None
        while isinstance(outcome, Began | Interrupted):
            if isinstance(outcome, Began):
                outcome = await self._run(job_id, outcome, hold, course, is_carried=carried is not None)
            else:
                course = outcome.course
                attempt = await hold.next_attempt()
                outcome = await self._begin(job_id, attempt, outcome.reason, resumed=course.resumed)
        match outcome:
            case JobEnding() as ended:
                await self._close(ended)
            case Over() as over:
                # Whoever wrote that ending died before the release, and perhaps before it was announced.
                await self._close(JobEnding(job_id=job_id, tenant=over.tenant, ending=over.ending))
            case Behind() as behind:
                await self.broker.call("SET", arq_retry(job_id), behind.last_attempt, "EX", _TRIES_SECONDS)
                raise PutBack(0 if course is None else self.settings.lease_seconds)
            case Gone() if course is not None:
                # It was there a moment ago. What a restart or a failover of Redis has lost is back within a lease.
                raise PutBack(self.settings.lease_seconds)
            case Gone():
                _logger.info("job %s was deleted, or has expired, before it was run", job_id)
            case None:
                pass

    async def _begin(
        self,
        job_id: str,
        attempt: int,
        reason: str,
        *,
        resumed: Resumed | None = None,
        carried: Carried | None = None,
    ) -> Began | Over | Behind | Gone:
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
            carried=carried,
        )

    async def _run(
        self, job_id: str, began: Began, hold: Hold, course: Course | None, *, is_carried: bool
    ) -> JobEnding | Interrupted | None:
        """Makes one attempt; `None`: the job is somebody else's."""
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
                budget=self.publisher.budget,
                cancel_poll=self.cancel_poll,
                course=course,
                is_carried=is_carried,
            )
            try:
                said = await run.run()
                if isinstance(said, Interrupted):
                    # The next attempt must not begin before what this one has said is readable.
                    await writer.settled()
                    said.course.last_seq = writer.last_seq
                    return said
                await writer.end(said)
            except AttemptLost as lost:
                _logger.debug("job %s is dropped: %s", job_id, lost)
                self.dropped.add()
                hold.drop()
                return None
            except asyncio.CancelledError:
                # The worker stops, and another's attempt follows.
                with suppress(TimeoutError, AttemptLost):
                    async with asyncio.timeout(self.timings.hand_over_seconds):
                        await writer.settled()
                raise
        # The ending goes out before the release: a reader must never see a free job without one.
        return JobEnding(job_id=job_id, tenant=began.tenant, ending=said.type, outcome=said)

    async def _close(self, ended: JobEnding) -> None:
        async with self.closing:
            await endings.close(self.broker, self.keys, ended, keep_seconds=self.settings.keep_seconds)
