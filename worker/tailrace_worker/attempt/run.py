"""`AttemptRun`: one attempt, from its `started` to how it ended."""

import asyncio
import logging
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Final

from tailrace.errors import FailureCode, InvalidRequest, NewerRequest, ProviderError
from tailrace.events import Cancelled, Completed, Ending, Failed
from tailrace.protocol.attempts import Began
from tailrace.request.generation_request import GenerationRequest
from tailrace.tracebacks import told_by_frames
from tailrace_worker.attempt.calls import Calls
from tailrace_worker.attempt.cancel_poll import CancelPoll, CancelRequested
from tailrace_worker.attempt.metrics import Measured, Meter
from tailrace_worker.attempt.plan import Course
from tailrace_worker.attempt.put_back import PutBack
from tailrace_worker.attempt.sink import Relay
from tailrace_worker.cancel_scope import AttemptLost, Interruptible
from tailrace_worker.offload import beside_the_loop
from tailrace_worker.providers.base import Finish, Piece
from tailrace_worker.publishing.byte_budget import ByteBudget
from tailrace_worker.publishing.stream_writer import StreamWriter
from tailrace_worker.settings import WorkerSettings
from tailrace_worker.shaping import shaped, shapes
from tailrace_worker.shaping.guards.apply import guarded
from tailrace_worker.shaping.guards.compiling import compiled_guards
from tailrace_worker.shaping.guards.moderate import Judge

_logger = logging.getLogger(__name__)

_OPERATORS: Final = frozenset(
    {
        FailureCode.PROVIDER_NOT_CONFIGURED,
        FailureCode.PROVIDER_AUTHENTICATION,
        FailureCode.PROVIDER_QUOTA_EXCEEDED,
    }
)
"""What an operator has to set right, and no job does."""
_MAX_READ_AT_ONCE_BYTES: Final = 8_192
"""A request of so many bytes is validated within 10 ms, and one of a megabyte of nested schemas within 400."""
_LAST_WAIT_SECONDS: Final = 30.0
"""After which a job that only a newer worker understands is offered again. The first time is a second."""


@dataclass(frozen=True, slots=True)
class Interrupted:
    """An attempt broke off, and its worker goes on in another one."""

    course: Course
    reason: str


@dataclass(slots=True, kw_only=True)
class AttemptRun:
    """Streams from the provider into the job's stream."""

    job_id: str
    began: Began
    writer: StreamWriter
    interruptible: Interruptible
    """Ends the attempt from outside, for a reason that is no ending."""
    settings: WorkerSettings
    calls: Calls
    judge: Judge
    budget: ByteBudget
    """Of the publisher: while it is full, the provider is not read."""
    cancel_poll: CancelPoll
    course: Course | None
    """What earlier attempts of this worker have tried and said; `None` in its first one."""
    is_carried: bool
    """Whether the request came with arq's body, and was never looked at before."""
    _meter: Meter = field(init=False)

    def __post_init__(self) -> None:
        self._meter = Meter(self.began)

    async def run(self) -> Ending | Interrupted:
        """Make the attempt, and return how it ended, whatever happens to the provider.

        Raises:
            AttemptLost: The job is somebody else's.
            PutBack: Only a newer worker understands the request.
        """
        job_id, began = self.job_id, self.began
        total_seconds = self.settings.total_seconds
        try:
            with self.cancel_poll.watch(job_id, on_request=self.interruptible.interrupt):
                async with self.interruptible, asyncio.timeout(total_seconds) as deadline:
                    course = self.course = self.course or await self._plan()
                    total_seconds = self.settings.timeouts.tightened(course.request.timeouts).total_seconds
                    deadline.reschedule(asyncio.get_running_loop().time() + total_seconds)
                    # A task of its own is a short way from the socket to here: it wakes for every piece.
                    finish = await asyncio.create_task(self._relay(course, deadline))
        except CancelRequested as request:
            # Of all that are cancelled together, the providers' connections are closed before the endings are written.
            await asyncio.sleep(0)
            return Cancelled(reason=request.reason, **self._measured())
        except ProviderError as error:
            if self.course is not None and await self._goes_on(self.course, error):
                self._log("goes on in another attempt", error.code, error.request_id)
                return Interrupted(self.course, error.code)
            self._log("failed", error.code, error.request_id)
            # Its frames hold the pieces, which may be large, until the collector comes by.
            error.__traceback__ = None
            return Failed(code=error.code, message=str(error), retryable=error.retryable, **self._measured())
        except TimeoutError:
            message = f"The generation took longer than {total_seconds:g} s."
            self._log("failed", FailureCode.TOTAL_TIMEOUT)
            return Failed(code=FailureCode.TOTAL_TIMEOUT, message=message, retryable=True, **self._measured())
        except InvalidRequest as error:
            # What our own client has enqueued was valid there. A body of arq's own client was never looked at.
            if isinstance(error, NewerRequest) and not self.is_carried and self._may_wait():
                seconds = _newer_wait_seconds(began)
                _logger.warning("job %s has what this worker does not know: put back for %g s", job_id, seconds)
                raise PutBack(seconds) from error
            self._log("failed", FailureCode.INVALID_REQUEST)
            return Failed(code=FailureCode.INVALID_REQUEST, message=str(error), **self._measured())
        except AttemptLost:
            raise
        except Exception as error:  # noqa: BLE001
            self._log("failed", FailureCode.INTERNAL_ERROR)
            _logger.error("job %s met a defect: %s", job_id, told_by_frames(error))  # noqa: TRY400
            message = "The worker met a defect of its own; its log has the traceback."
            return Failed(code=FailureCode.INTERNAL_ERROR, message=message, retryable=True, **self._measured())
        return Completed(finish_reason=finish.reason, provider_finish_reason=finish.provider_reason, **self._measured())

    async def _plan(self) -> Course:
        request = await _read(self.began.request)
        # Before anybody is called: RE2 may refuse a pattern.
        rules_of = await compiled_guards([*request.input_guards, *request.guards])
        through = await guarded(request, request.input_guards, rules_of=rules_of, judge=self.judge)
        for notice in through.notices:
            self.writer.write(notice)
        return Course(
            through.request,
            max_attempts=self.settings.max_attempts,
            max_bytes=self.settings.max_answer_bytes,
            prefills=self.calls.prefills,
        )

    async def _relay(self, course: Course, deadline: asyncio.Timeout) -> Finish:
        """Streams from the provider, through what the request wants, to readers; returns the provider's last word."""
        relay = Relay(course, self.writer, self._meter, deadline)
        rules_of = await compiled_guards(course.request.guards)
        self._meter.call(is_streamed=course.request.stream)
        begun = await self.calls.begin(course, tell=self.writer.write)
        if begun.has_spoken:
            # What guards hold back has come all the same.
            self._meter.speak()
        if not (course.continues or shapes(course.request)):
            # As it comes costs least: each stage takes its time on every piece.
            await begun.each(relay.take, self.budget)
            return relay.finish
        left: list[Piece] = []
        stages = shaped(begun.whole(), course.request, rules_of=rules_of, judge=self.judge, said=course.said, left=left)
        try:
            async with aclosing(stages):
                async for piece in stages:
                    relay.take(piece)
                    if self.budget.is_full:
                        await self.budget.room()
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

    def _measured(self) -> Measured:
        return self._meter.read(self.course.request if self.course else None)

    def _may_wait(self) -> bool:
        return self.began.at - self.began.queued_at < self.settings.expires_in_seconds * 1_000

    def _log(self, what: str, code: FailureCode, request_id: str | None = None) -> None:
        """Tells of a failure, in no words of the provider's: these may quote the prompt, and are in the stream."""
        level = logging.WARNING if code in _OPERATORS else logging.INFO
        _logger.log(
            level,
            "job %s %s: %s, tenant %s, attempt %d, request id %s",
            *(self.job_id, what, code, self.began.tenant, self.began.started.attempt, request_id or "-"),
        )


async def _read(encoded: bytes) -> GenerationRequest:
    if len(encoded) <= _MAX_READ_AT_ONCE_BYTES:
        return GenerationRequest.from_json(encoded)
    return await beside_the_loop(GenerationRequest.from_json, encoded)


def _newer_wait_seconds(began: Began) -> float:
    return min(_LAST_WAIT_SECONDS, 2.0 ** min(began.started.attempt - 1, 10))
