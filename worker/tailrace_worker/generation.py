"""One job, from claim to ending."""

import asyncio
import json
import logging
import time
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeAlias, cast

from arq import Retry

from tailrace.broker.client import Broker
from tailrace.broker.outage import Dependent
from tailrace.errors import FailureCode, InfrastructureError, InvalidJobId, InvalidRequest, NewerRequest, ProviderError
from tailrace.events import Cancelled, Completed, Ending, Failed
from tailrace.protocol import attempts, endings
from tailrace.protocol.attempts import Began, Behind, Carried, Resumed
from tailrace.protocol.endings import JobEnding
from tailrace.protocol.job_end import Gone, Over, end_orphan
from tailrace.protocol.keys import Keys, arq_retry, checked_job_id
from tailrace.request.generation_request import GenerationRequest
from tailrace.tracebacks import told_by_frames
from tailrace_worker.attempt.calls import Calls
from tailrace_worker.attempt.cancel_poll import CancelPoll, CancelRequested
from tailrace_worker.attempt.metrics import Measured, Meter
from tailrace_worker.attempt.plan import Course
from tailrace_worker.attempt.sink import Relay
from tailrace_worker.cancel_scope import AttemptLost, Interruptible
from tailrace_worker.log_summary import Tally
from tailrace_worker.offload import beside_the_loop
from tailrace_worker.providers.base import Finish, Piece
from tailrace_worker.publishing.publisher import Publisher
from tailrace_worker.publishing.stream_writer import StreamWriter
from tailrace_worker.queueing.claims import Claim, next_attempt_command
from tailrace_worker.queueing.job_body import Sealed
from tailrace_worker.queueing.leases import Leases
from tailrace_worker.settings import WorkerSettings
from tailrace_worker.shaping import shaped, shapes
from tailrace_worker.shaping.guards.apply import guarded
from tailrace_worker.shaping.guards.compiling import compiled_guards
from tailrace_worker.shaping.guards.moderate import Judge

_logger = logging.getLogger(__name__)
_beginning: Final = Dependent("jobs wait")

_OPERATORS = frozenset(
    {
        FailureCode.PROVIDER_NOT_CONFIGURED,
        FailureCode.PROVIDER_AUTHENTICATION,
        FailureCode.PROVIDER_QUOTA_EXCEEDED,
    }
)
"""What an operator has to set right, and no job does."""
_INVALID_BODY = (
    "The job's body in arq cannot be run: it has to be JSON that calls 'generate' with one request. "
    "A client of arq's own needs a job_serializer that writes JSON."
)
_TRIES_SECONDS = 88_400
"""How long arq keeps its counter of tries."""
_MAX_READ_AT_ONCE_BYTES: Final = 8_192
"""A request of so many bytes is validated within 10 ms, and one of a megabyte of nested schemas within 400."""
_REDIS_RETRY_SECONDS = 1
_LAST_WAIT_SECONDS = 30.0
"""After which a job that only a newer worker understands is offered again. The first time is a second."""
_CLOSED_AT_ONCE = 32
"""Jobs whose endings are announced at a time. Where a thousand are cancelled at once, each would take a connection to
Redis of its own, and those that are still to be cancelled would wait for all that."""
_HAND_OVER_SECONDS = 5.0
"""How long an attempt that is stopped with its worker may take to publish what it has."""


@dataclass(frozen=True, slots=True)
class Interrupted:
    """An attempt broke off, and its worker goes on in another one."""

    course: Course
    reason: str


_Outcome: TypeAlias = Began | Interrupted | JobEnding | Over | Behind | Gone


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
    closing: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_CLOSED_AT_ONCE))
    dropped: Tally = field(
        default_factory=partial(Tally, _logger, "%d jobs are dropped: others have them, or they were deleted")
    )

    async def run(
        self, job_id: str, attempt: int, *, claim: Claim | None = None, carried: Carried | None = None
    ) -> None:
        """Runs one attempt of a job, and returns when the job is over or is somebody else's.

        A stock arq worker has no `claim`: it cannot lose a job, nor tell why there is another attempt.

        Raises:
            arq.Retry: The attempt was not above the last one's, and the counter is mended; or Redis failed before the
                attempt began, or after its ending: whoever comes next begins, or announces the ending. Or Redis has
                lost an earlier attempt that the publisher still holds.
        """
        try:
            await self._attempt(job_id, attempt, claim, carried)
        except InfrastructureError as error:
            # To return would release a job that has no ending, or one that nobody was told of.
            _beginning.fails(error)
            _logger.debug("job %s waits for Redis: %s", job_id, error)
            raise Retry(defer=_REDIS_RETRY_SECONDS) from error
        _beginning.works()

    async def _attempt(self, job_id: str, attempt: int, claim: Claim | None, carried: Carried | None) -> None:
        reason = claim.reason if claim else FailureCode.WORKER_LOST
        outcome: _Outcome | None = await self._begin(job_id, attempt, reason, carried=carried)
        course: Course | None = None
        while isinstance(outcome, Began | Interrupted):
            if isinstance(outcome, Began):
                outcome = await self._run(job_id, outcome, claim, course, is_carried=carried is not None)
            else:
                course = outcome.course
                attempt = await self._next_attempt(job_id, claim)
                outcome = await self._begin(job_id, attempt, outcome.reason, resumed=course.resumed)
        match outcome:
            case JobEnding() as ended:
                await self._close(ended)
            case Over() as over:
                # Whoever wrote that ending died before the release, and perhaps before it was announced.
                await self._close(JobEnding(job_id=job_id, tenant=over.tenant, ending=over.ending))
            case Behind() as behind:
                await self.broker.call("SET", arq_retry(job_id), behind.last_attempt, "EX", _TRIES_SECONDS)
                raise Retry(defer=0 if course is None else self.settings.lease_seconds)
            case Gone() if course is not None:
                # It was there a moment ago. What a restart or a failover of Redis has lost is back within a lease.
                raise Retry(defer=self.settings.lease_seconds)
            case Gone():
                _logger.info("job %s was deleted, or has expired, before it was run", job_id)
            case None:
                pass

    async def refuse(self, job_id: str, why: str, *, queue: str) -> None:
        """Gives a job that arq ends without running it an ending. `why` is arq's own word."""
        if not _can_have_stream(job_id):
            return
        # A job that has neither body nor stream was deleted; what a stock client enqueued has no stream yet.
        is_expired = why == "job expired"
        failed = Failed(
            at=round(time.time() * 1000),
            code=FailureCode.EXPIRED_IN_QUEUE if is_expired else FailureCode.INVALID_BODY,
            message=f"arq would not run the job: {why}." if is_expired else _INVALID_BODY,
        )
        over = await end_orphan(
            self.broker,
            self.keys,
            job_id,
            failed,
            keep_seconds=self.settings.keep_seconds,
            queue="" if is_expired else queue,
        )
        if isinstance(over, Over):
            await self._close(JobEnding(job_id=job_id, tenant=over.tenant, ending=over.ending))
        else:
            # Deleted after it was claimed: since then arq has counted a try.
            await self.broker.call("DEL", arq_retry(job_id))

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

    async def _next_attempt(self, job_id: str, claim: Claim | None) -> int:
        command = next_attempt_command(claim) if claim else ("INCR", arq_retry(job_id))
        attempt: int = await self.broker.call(*command)
        if claim is not None:
            claim.attempt = attempt
        return attempt

    async def _run(
        self, job_id: str, began: Began, claim: Claim | None, course: Course | None, *, is_carried: bool
    ) -> JobEnding | Interrupted | None:
        """Makes one attempt; `None`: the job is somebody else's."""
        interruptible = Interruptible()
        if claim is not None:
            claim.watch(interruptible.interrupt)
        with self.publisher.open(job_id, began, on_lost=interruptible.interrupt) as writer:
            try:
                said = await self._stream(job_id, began, writer, interruptible, course, is_carried=is_carried)
                if isinstance(said, Interrupted):
                    # The next attempt must not begin before what this one has said is readable.
                    await writer.settled()
                    said.course.last_seq = writer.last_seq
                    return said
                await writer.end(said)
            except AttemptLost as lost:
                _logger.debug("job %s is dropped: %s", job_id, lost)
                self.dropped.add()
                if claim is not None:
                    claim.is_over = True
                return None
            except asyncio.CancelledError:
                # The worker stops, and another's attempt follows.
                with suppress(TimeoutError, AttemptLost):
                    async with asyncio.timeout(_HAND_OVER_SECONDS):
                        await writer.settled()
                raise
        # The ending goes out before the release: a reader must never see a free job without one.
        return JobEnding(job_id=job_id, tenant=began.tenant, ending=said.type, outcome=said)

    async def _stream(
        self,
        job_id: str,
        began: Began,
        writer: StreamWriter,
        interruptible: Interruptible,
        course: Course | None,
        *,
        is_carried: bool,
    ) -> Ending | Interrupted:
        """Streams from the provider into the job's stream; returns how that ended, whatever happens to the provider."""
        meter = Meter(began)

        def measured() -> Measured:
            return meter.read(course.request if course else None)

        total_seconds = self.settings.total_seconds
        try:
            with self.cancel_poll.watch(job_id, on_request=interruptible.interrupt):
                async with interruptible, asyncio.timeout(total_seconds) as deadline:
                    course = course or await self._course(began, writer)
                    total_seconds = self.settings.timeouts.tightened(course.request.timeouts).total_seconds
                    deadline.reschedule(asyncio.get_running_loop().time() + total_seconds)
                    # A task of its own is a short way from the socket to here: it wakes for every piece.
                    finish = await asyncio.create_task(self._relay(course, writer, meter, deadline))
        except CancelRequested as request:
            # Of all that are cancelled together, the providers' connections are closed before the endings are written.
            await asyncio.sleep(0)
            return Cancelled(reason=request.reason, **measured())
        except ProviderError as error:
            if course is not None and await self._goes_on(course, error):
                _log("goes on in another attempt", job_id, began, error.code, error.request_id)
                return Interrupted(course, error.code)
            _log("failed", job_id, began, error.code, error.request_id)
            # Its frames hold the pieces, which may be large, until the collector comes by.
            error.__traceback__ = None
            return Failed(code=error.code, message=str(error), retryable=error.retryable, **measured())
        except TimeoutError:
            message = f"The generation took longer than {total_seconds:g} s."
            _log("failed", job_id, began, FailureCode.TOTAL_TIMEOUT)
            return Failed(code=FailureCode.TOTAL_TIMEOUT, message=message, retryable=True, **measured())
        except InvalidRequest as error:
            # What our own client has enqueued was valid there. A body of arq's own client was never looked at.
            if isinstance(error, NewerRequest) and not is_carried and self._may_wait(began):
                seconds = _newer_wait_seconds(began)
                _logger.warning("job %s has what this worker does not know: put back for %g s", job_id, seconds)
                raise Retry(defer=seconds) from error
            _log("failed", job_id, began, FailureCode.INVALID_REQUEST)
            return Failed(code=FailureCode.INVALID_REQUEST, message=str(error), **measured())
        except AttemptLost:
            raise
        except Exception as error:  # noqa: BLE001
            _log("failed", job_id, began, FailureCode.INTERNAL_ERROR)
            _logger.error("job %s met a defect: %s", job_id, told_by_frames(error))  # noqa: TRY400
            message = "The worker met a defect of its own; its log has the traceback."
            return Failed(code=FailureCode.INTERNAL_ERROR, message=message, retryable=True, **measured())
        return Completed(finish_reason=finish.reason, provider_finish_reason=finish.provider_reason, **measured())

    def _may_wait(self, began: Began) -> bool:
        return began.at - began.queued_at < self.settings.expires_in_seconds * 1_000

    async def _relay(self, course: Course, writer: StreamWriter, meter: Meter, deadline: asyncio.Timeout) -> Finish:
        """Streams from the provider, through what the request wants, to readers; returns the provider's last word."""
        relay = Relay(course, writer, meter, deadline)
        rules_of = await compiled_guards(course.request.guards)
        meter.call(is_streamed=course.request.stream)
        begun = await self.calls.begin(course, tell=writer.write)
        if begun.has_spoken:
            # What guards hold back has come all the same.
            meter.speak()
        if not (course.continues or shapes(course.request)):
            # As it comes costs least: each stage takes its time on every piece.
            await begun.each(relay.take, self.publisher.budget)
            return relay.finish
        left: list[Piece] = []
        stages = shaped(begun.whole(), course.request, rules_of=rules_of, judge=self.judge, said=course.said, left=left)
        try:
            async with aclosing(stages):
                async for piece in stages:
                    relay.take(piece)
                    if self.publisher.budget.is_full:
                        await self.publisher.budget.room()
        except asyncio.CancelledError:
            # Cancelled, over its time, or stopped with its worker: what was only held for company is said first.
            with suppress(ProviderError):
                for piece in left:
                    relay.take(piece)
            raise
        return relay.finish

    async def _goes_on(self, course: Course, error: ProviderError) -> bool:
        if course.has_spoken:
            await self.calls.heed(course.request, error)
        return course.goes_on(error)

    async def _course(self, began: Began, writer: StreamWriter) -> Course:
        request = await _read(began.request)
        # Before anybody is called: RE2 may refuse a pattern.
        rules_of = await compiled_guards([*request.input_guards, *request.guards])
        through = await guarded(request, request.input_guards, rules_of=rules_of, judge=self.judge)
        for notice in through.notices:
            writer.write(notice)
        return Course(
            through.request,
            max_attempts=self.settings.max_attempts,
            max_bytes=self.settings.max_answer_bytes,
            prefills=self.calls.prefills,
        )

    async def _close(self, ended: JobEnding) -> None:
        async with self.closing:
            await endings.close(self.broker, self.keys, ended, keep_seconds=self.settings.keep_seconds)


def _log(what: str, job_id: str, began: Began, code: FailureCode, request_id: str | None = None) -> None:
    """Tells of a failure, in no words of the provider's: these may quote the prompt, and are in the stream."""
    level = logging.WARNING if code in _OPERATORS else logging.INFO
    _logger.log(
        level,
        "job %s %s: %s, tenant %s, attempt %d, request id %s",
        *(job_id, what, code, began.tenant, began.started.attempt, request_id or "-"),
    )


async def _read(encoded: bytes) -> GenerationRequest:
    if len(encoded) <= _MAX_READ_AT_ONCE_BYTES:
        return GenerationRequest.from_json(encoded)
    return await beside_the_loop(GenerationRequest.from_json, encoded)


async def generate(ctx: dict[str, Any], request: object = None) -> None:
    """The function that workers run, as arq calls it. Our client sends no request: the job's record has it."""
    generations: Generations = ctx["generations"]
    leases: Leases | None = ctx.get("leases")
    job_id: str = ctx["job_id"]
    if not _can_have_stream(job_id):
        return
    claim = leases.get(job_id) if leases else None
    if claim is not None and ctx["job_try"] != claim.attempt:
        # Another worker came in between claim and here, and its attempt must not be fenced by ours: whoever still
        # holds the claim hands it back, and the one who was suspended meanwhile changes nothing.
        raise Retry(defer=0)
    queue = claim.queue if claim else generations.settings.queues[0]
    asked = request.value if isinstance(request, Sealed) else request
    carried = None if asked is None else _carried(asked, queue)
    await generations.run(job_id, ctx["job_try"], claim=claim, carried=carried)


def _newer_wait_seconds(began: Began) -> float:
    return min(_LAST_WAIT_SECONDS, 2.0 ** min(began.started.attempt - 1, 10))


def _can_have_stream(job_id: str) -> bool:
    try:
        checked_job_id(job_id)
    except InvalidJobId as error:
        _logger.warning("a job is dropped, no stream can have its name: %s", error)
        return False
    return True


def _carried(request: object, queue: str) -> Carried:
    """What does not validate goes in as well: it comes out as the job's ending."""
    fields = cast("dict[str, object]", request) if isinstance(request, dict) else {}
    return Carried(
        request=json.dumps(request),
        provider=str(fields.get("provider", "")),
        model=str(fields.get("model", "")),
        queue=queue,
    )
