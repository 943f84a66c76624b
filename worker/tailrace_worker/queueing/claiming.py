"""`StreamWorker`: an arq worker that claims its jobs, holds them by leases, and hands them back."""

import asyncio
import json
import logging
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from signal import Signals
from typing import Any, Final

from arq import ArqRedis
from arq.worker import Function, Worker
from redis.asyncio import Redis

from tailrace.broker.client import Broker, patiently
from tailrace.broker.outage import Dependent
from tailrace.errors import BrokerRefused, FailureCode, InfrastructureError
from tailrace.protocol.keys import Keys
from tailrace.tracebacks import told_by_frames
from tailrace_worker.generation import Generations
from tailrace_worker.log_summary import Tally
from tailrace_worker.queueing.arq_function import refuse
from tailrace_worker.queueing.claim import Claim
from tailrace_worker.queueing.claimer import Claimer, ClaimingLimits
from tailrace_worker.queueing.claims import Claimed, Release, release_command
from tailrace_worker.queueing.job_body import from_json, to_json
from tailrace_worker.queueing.leases import Leases
from tailrace_worker.queueing.redis_check import RedisCheck
from tailrace_worker.settings import WorkerSettings

_logger = logging.getLogger(__name__)

_NEVER_SECONDS: Final = 1e9
_RETRY_SECONDS: Final = 0.5
_MAX_CLAIMS: Final = 32


class StreamWorker(Worker):
    """An `arq.Worker` that runs generation jobs, but finds, holds and releases them in its own way.

    SIGTERM or SIGINT ends it: it claims no more jobs, lets running jobs finish during the grace time, and then hands
    the rest back. A second signal hands them back at once.
    """

    def __init__(
        self,
        generations: Generations,
        function: Function,
        redis: Redis,
        leases: Leases,
        *,
        limits: ClaimingLimits | None = None,
    ) -> None:
        """Prepare the worker. `async_run` starts it.

        Args:
            generations: The runner of the jobs.
            function: The function that arq calls, from `arq_function`.
            redis: The client for arq and for claims.
            leases: The leases of the worker.
            limits: The timings and limits of claims; `None` for the defaults.
        """
        settings = generations.settings
        limits = limits or ClaimingLimits()
        pool: Any = redis.connection_pool
        super().__init__(
            # arq's timeout would release the job without an ending. An attempt has time limits of its own.
            functions=[replace(function, timeout_s=_NEVER_SECONDS)],
            queue_name=generations.keys.queue(settings.queues[0]),
            redis_pool=ArqRedis(connection_pool=pool),
            max_jobs=settings.max_jobs,
            job_completion_wait=math.ceil(settings.grace_seconds) or 1,
            keep_result=0,
            log_results=False,
            job_serializer=to_json,
            job_deserializer=from_json,
            on_job_start=self._has_begun,
            ctx={"generations": generations, "leases": leases},
        )
        self._generations = generations
        self._settings: WorkerSettings = settings
        self._keys: Keys = generations.keys
        self._broker: Broker = generations.broker
        self._leases = leases
        self._redis_check = RedisCheck(redis, generations.keys, settings.queues, limits=limits.redis_check)
        self._claimer = Claimer(generations, redis, leases, self._redis_check, limits=limits)
        self._begin_seconds = limits.begin_seconds
        self._begin_deadlines: dict[str, asyncio.Timeout] = {}
        self._place_freed = asyncio.Event()
        self._draining = asyncio.Event()
        self._is_handing_back = False
        self._claiming = Dependent("no jobs can be claimed")
        self._taken_over = Tally(_logger, "%d jobs of lost workers are taken over")

    async def main(self) -> None:
        """Claim and run jobs until a signal asks the worker to stop, and return once no job is left."""
        async with self._claimer, self._redis_check, asyncio.TaskGroup() as waiting:
            claiming = waiting.create_task(self._claim_until_cancelled())
            checking = waiting.create_task(self._redis_check.run())
            await self._draining.wait()
            checking.cancel()
            claiming.cancel()
            await asyncio.wait([claiming])
            await self._claimer.ring_for_others()
            while self.tasks:
                await asyncio.wait(self.tasks.values())
                self._reap()

    async def _claim_until_cancelled(self) -> None:
        while True:
            await self._redis_check.passed()
            self._reap()
            # One claim takes only as many jobs as start quickly. The script rings other workers for the rest.
            places = min(self.max_jobs - len(self.tasks), _MAX_CLAIMS)
            if places <= 0:
                # A full worker does not listen: it would take rings from workers that have free places.
                self._place_freed.clear()
                await self._place_freed.wait()
                continue
            try:
                claimed = await self._claim_whole(places)
                self._claiming.works()
                self._taken_over.add(sum(claim.reason == FailureCode.WORKER_LOST for claim in claimed.claims))
                for claim in claimed.claims:
                    await self.start(claim)
                if len(claimed.claims) < places and not self._claimer.knows_of_dead:
                    await self._claimer.wait_for_ring(claimed.next_due_seconds)
            except InfrastructureError as error:
                if isinstance(error, BrokerRefused) and not await self._redis_check.review():
                    continue
                self._claiming.fails(error)
                await asyncio.sleep(_RETRY_SECONDS)

    async def _claim_whole(self, places: int) -> Claimed:
        claiming = asyncio.ensure_future(self._claimer.claim(places, is_idle=not self.tasks))
        try:
            return await asyncio.shield(claiming)
        except asyncio.CancelledError:
            # The worker stops. Without a hand-back, jobs claimed in this moment would wait until their leases run out.
            with suppress(InfrastructureError):
                for claim in (await claiming).claims:
                    await self._release(claim, "hand_back")
            raise

    async def start(self, claim: Claim) -> None:
        """Start a task that runs a claimed job, unless the job already runs here.

        Args:
            claim: The claim on the job.
        """
        held = self._leases.get(claim.job_id)
        if held is not None and held.is_over:
            # The last attempt here is still ending. If it got the new token, the job would be dropped with it.
            await self._put_back(claim)
            return
        if held is not None:
            # This worker's own lease ran out, and no other worker was faster. The job goes on under the new token.
            held.token = claim.token
            return
        task = self.loop.create_task(self._run(claim))
        self.tasks[claim.job_id] = task
        task.add_done_callback(lambda _: self._place_freed.set())

    async def _run(self, claim: Claim) -> None:
        with self._leases.holding(claim):
            try:
                async with asyncio.timeout(self._begin_seconds) as deadline:
                    self._begin_deadlines[claim.job_id] = deadline
                    await self.run_job(claim.job_id, claim.due)
            except TimeoutError:
                _logger.warning(
                    "job %s did not begin within %g s and is handed back", claim.job_id, self._begin_seconds
                )
                await self._release(claim, "hand_back")
            except asyncio.CancelledError:
                await self._release(claim, "hand_back")
                raise
            except Exception as error:  # noqa: BLE001
                # If Redis is away, the release fails too. Then the lease runs out, and another worker claims the job.
                _logger.error("job %s failed and is put back: %s", claim.job_id, told_by_frames(error))  # noqa: TRY400
                await self._put_back(claim)
            finally:
                del self._begin_deadlines[claim.job_id]

    async def _has_begun(self, ctx: dict[str, Any]) -> None:
        """Lift the deadline of the start: arq is about to call the job's function, which has its own deadlines."""
        self._begin_deadlines[ctx["job_id"]].reschedule(None)

    async def finish_job(
        self,
        job_id: str,
        finish: bool,
        result_data: bytes | None,  # noqa: ARG002
        result_timeout_s: float | None,  # noqa: ARG002
        keep_result_forever: bool,  # noqa: ARG002
        incr_score: int | None,
        keep_in_progress: float | None,  # noqa: ARG002
    ) -> None:
        """Release a job that has run. This replaces arq's method: a script acts only if this worker still holds it.

        Args:
            job_id: The job's id.
            finish: True if the job is over.
            result_data: Not used.
            result_timeout_s: Not used.
            keep_result_forever: Not used.
            incr_score: The delay in ms before the job is due again; `None` or 0 hands the job back.
            keep_in_progress: Not used.
        """
        claim = self._leases.get(job_id)
        if claim is None:
            return
        if finish:
            await self._release(claim, "finish")
        elif incr_score:
            await self._release(claim, "retry", delay_seconds=incr_score / 1000)
        else:
            await self._release(claim, "hand_back")

    async def finish_failed_job(self, job_id: str, result_data: bytes | None) -> None:
        """Append an ending for a job that arq ends without running it, and release the job.

        Args:
            job_id: The job's id.
            result_data: arq's result as JSON, which has the reason.

        Raises:
            InfrastructureError: Redis failed.
        """
        claim = self._leases.get(job_id)
        if claim is None:
            return
        result: Mapping[str, Any] = json.loads(result_data or b"{}")
        await refuse(self._generations, job_id, str(result.get("r", "")), queue=claim.queue)
        await self._release(claim, "finish")

    async def _release(self, claim: Claim, what: Release, *, delay_seconds: float = 0) -> None:
        if claim.is_over:
            return
        claim.is_over = True
        # Without a release the job waits until its lease runs out, so there is no use in trying for longer than that.
        limit_seconds = 0 if self._draining.is_set() else self._settings.lease_seconds
        command = release_command(
            self._keys, claim, what, life_seconds=self._settings.running_seconds, delay_seconds=delay_seconds
        )
        with suppress(InfrastructureError):
            await patiently(lambda: self._broker.call(*command), limit_seconds=limit_seconds)

    async def _put_back(self, claim: Claim) -> None:
        await self._release(claim, "retry", delay_seconds=_RETRY_SECONDS)

    def _reap(self) -> None:
        for job_id, task in list(self.tasks.items()):
            if task.done():
                del self.tasks[job_id]

    def handle_sig_wait_for_completion(self, signum: Signals) -> None:
        """Handle SIGTERM and SIGINT in place of arq's handler.

        Args:
            signum: The signal. The first one begins the grace time, the second one ends it.
        """
        if self._draining.is_set():
            self._hand_back_all()
            return
        self._reap()
        _logger.info(
            "%s: no more jobs are claimed, and the %d running jobs have %g s to finish",
            signum.name,
            len(self.tasks),
            self._settings.grace_seconds,
        )
        self._draining.set()
        self.loop.call_later(self._settings.grace_seconds, self._hand_back_all)

    def _hand_back_all(self) -> None:
        self._reap()
        if self.tasks and not self._is_handing_back:
            _logger.info("%d jobs are handed back", len(self.tasks))
        self._is_handing_back = True
        for task in self.tasks.values():
            task.cancel()
