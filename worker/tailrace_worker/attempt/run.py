"""`AttemptRun`: one attempt, from its `started` event to its result."""

import asyncio
import logging
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Final

from tailrace.errors import FailureCode, InvalidRequest, NewerRequest, ProviderError
from tailrace.events import Cancelled, Completed, Ending, Failed
from tailrace.protocol.attempts import Began
from tailrace.request.any_request import AnyRequest, read_request
from tailrace.request.generation_request import GenerationRequest
from tailrace.tracebacks import told_by_frames
from tailrace_worker.attempt.calls import Calls
from tailrace_worker.attempt.cancel_poll import CancelPoll, CancelRequested
from tailrace_worker.attempt.metrics import Measured, Metrics
from tailrace_worker.attempt.plan import Plan
from tailrace_worker.attempt.put_back import PutBack
from tailrace_worker.attempt.sink import Sink
from tailrace_worker.attempt.so_far import SoFar
from tailrace_worker.cancel_scope import AttemptLost, Interruptible
from tailrace_worker.offload import beside_the_loop
from tailrace_worker.providers.base import Finish, Piece
from tailrace_worker.publishing.byte_budget import ByteBudget
from tailrace_worker.publishing.stream_writer import StreamWriter
from tailrace_worker.settings import WorkerSettings
from tailrace_worker.shaping import shaped, shapes
from tailrace_worker.shaping.guards.apply import guarded
from tailrace_worker.shaping.guards.compiler import GuardCompiler
from tailrace_worker.shaping.guards.moderate import Judge

_logger = logging.getLogger(__name__)

_OPERATORS: Final = frozenset(
    {
        FailureCode.PROVIDER_NOT_CONFIGURED,
        FailureCode.PROVIDER_AUTHENTICATION,
        FailureCode.PROVIDER_QUOTA_EXCEEDED,
    }
)
"""Errors that only an operator can repair. They are logged as warnings."""
_MAX_READ_AT_ONCE_BYTES: Final = 8_192
"""The largest request that is validated on the event loop. A request of this size takes up to 10 ms, and one of a
megabyte of nested schemas up to 400 ms."""
_LAST_WAIT_SECONDS: Final = 30.0
"""The longest delay before a job that only a newer worker understands is due again. The first delay is 1 s."""


@dataclass(frozen=True, slots=True)
class Interrupted:
    """An attempt broke off, and the same worker makes another one."""

    plan: Plan
    reason: str


@dataclass(slots=True, kw_only=True)
class AttemptRun:
    """One attempt, which writes the provider's answer to the job's stream."""

    job_id: str
    began: Began
    writer: StreamWriter
    interruptible: Interruptible
    """Ends the attempt from outside: after a cancel request, or if the job is lost."""
    settings: WorkerSettings
    calls: Calls
    judge: Judge
    guard_compiler: GuardCompiler
    budget: ByteBudget
    """The publisher's budget. While it is full, the attempt does not read from the provider."""
    cancel_poll: CancelPoll
    plan: Plan | None
    """What this worker's earlier attempts have tried and written; `None` in its first attempt."""
    so_far: SoFar | None
    """The answer of other workers' attempts that this worker's first attempt continues."""
    is_carried: bool
    """True if the request came in arq's body, so that no producer has validated it."""
    _metrics: Metrics = field(init=False)

    def __post_init__(self) -> None:
        self._metrics = Metrics(self.began)

    async def run(self) -> Ending | Interrupted:
        """Make the attempt.

        Returns:
            The job's ending, or `Interrupted` if another attempt follows. An error of the provider is a result too.

        Raises:
            AttemptLost: This worker has lost the job.
            PutBack: Only a newer worker understands the request.
        """
        job_id, began = self.job_id, self.began
        total_seconds = self.settings.total_seconds
        try:
            with self.cancel_poll.watch(job_id, on_request=self.interruptible.interrupt):
                async with self.interruptible, asyncio.timeout(total_seconds) as deadline:
                    plan = self.plan = self.plan or await self._plan()
                    total_seconds = self.settings.timeouts.tightened(plan.request.timeouts).total_seconds
                    deadline.reschedule(asyncio.get_running_loop().time() + total_seconds)
                    # The task wakes for every piece. A new task has a shorter call stack to resume than this one.
                    finish = await asyncio.create_task(self._sink(plan, deadline))
        except CancelRequested as request:
            # If many jobs are cancelled at once, all connections to providers are closed before any ending is written.
            await asyncio.sleep(0)
            return Cancelled(reason=request.reason, **self._measured())
        except ProviderError as error:
            if self.plan is not None and await self._goes_on(self.plan, error):
                self._log("goes on in another attempt", error.code, error.request_id)
                return Interrupted(self.plan, error.code)
            self._log("failed", error.code, error.request_id)
            # The traceback's frames would hold the pieces, which may be large, until the garbage collector runs.
            error.__traceback__ = None
            return Failed(
                code=error.code, message=str(error), retryable=error.retryable, raw=error.raw, **self._measured()
            )
        except TimeoutError:
            message = f"The generation took longer than {total_seconds:g} s (`total_seconds`)."
            self._log("failed", FailureCode.TOTAL_TIMEOUT)
            return Failed(code=FailureCode.TOTAL_TIMEOUT, message=message, retryable=True, **self._measured())
        except InvalidRequest as error:
            # A request from tailrace's client was valid for that client. One from a stock arq client was never checked.
            if isinstance(error, NewerRequest) and not self.is_carried and self._may_wait():
                seconds = _newer_wait_seconds(began)
                _logger.warning("job %s needs a newer worker and is put back for %g s", job_id, seconds)
                raise PutBack(seconds) from error
            self._log("failed", FailureCode.INVALID_REQUEST)
            return Failed(code=FailureCode.INVALID_REQUEST, message=str(error), **self._measured())
        except AttemptLost:
            raise
        except Exception as error:  # noqa: BLE001
            self._log("failed", FailureCode.INTERNAL_ERROR)
            _logger.error("job %s failed because of a defect: %s", job_id, told_by_frames(error))  # noqa: TRY400
            message = "The worker's code has a defect: see the traceback in the worker's log."
            return Failed(code=FailureCode.INTERNAL_ERROR, message=message, retryable=True, **self._measured())
        return Completed(
            finish_reason=finish.reason,
            provider_finish_reason=finish.provider_reason,
            raw=finish.raw,
            **self._measured(),
        )

    async def _plan(self) -> Plan:
        request = await _read(self.began.request)
        if isinstance(request, GenerationRequest):
            request = await self._guarded(request)
        plan = Plan(
            request,
            max_attempts=self.settings.max_attempts,
            max_bytes=self.settings.max_answer_bytes,
            prefills=self.calls.prefills,
        )
        if self.so_far is not None:
            plan.take_over(self.so_far)
        return plan

    async def _guarded(self, request: GenerationRequest) -> GenerationRequest:
        # The guards are compiled before any provider is called, because RE2 may refuse a pattern.
        rules_of = await self.guard_compiler.compiled([*request.input_guards, *request.guards])
        through = await guarded(request, request.input_guards, rules_of=rules_of, judge=self.judge)
        if self.so_far is None:
            # Otherwise readers have the notices already: they came before the text.
            for notice in through.notices:
                self.writer.write(notice)
        return through.request

    async def _sink(self, plan: Plan, deadline: asyncio.Timeout) -> Finish:
        """Stream the answer from the provider through the shaping and guards of the request to the job's stream.

        Returns:
            The provider's finish.
        """
        sink = Sink(plan, self.writer, self._metrics, deadline)
        rules_of = await self.guard_compiler.compiled(plan.request.guards)
        self._metrics.call(is_streamed=plan.request.stream)
        begun = await self.calls.begin(plan, tell=self.writer.write)
        if begun.has_spoken:
            # The first piece has arrived, even if a guard still holds it back.
            self._metrics.speak()
        if not (plan.continues or shapes(plan.request)):
            # Pieces that need no shaping skip the stages, because each stage costs time for every piece.
            await begun.each(sink.take, self.budget)
            return sink.finish
        left: list[Piece] = []
        stages = shaped(begun.whole(), plan.request, rules_of=rules_of, judge=self.judge, said=plan.said, left=left)
        try:
            async with aclosing(stages):
                async for piece in stages:
                    sink.take(piece)
                    if self.budget.is_full:
                        await self.budget.room()
        except asyncio.CancelledError:
            # The attempt is cancelled, has reached its time limit, or stops with its worker. Text that was only held
            # back to be joined with more is written first.
            with suppress(ProviderError):
                for piece in left:
                    sink.take(piece)
            raise
        return sink.finish

    async def _goes_on(self, plan: Plan, error: ProviderError) -> bool:
        if plan.has_spoken:
            await self.calls.heed(plan.request, error)
        return plan.goes_on(error)

    def _measured(self) -> Measured:
        return self._metrics.read(self.plan.request if self.plan else None)

    def _may_wait(self) -> bool:
        return self.began.at - self.began.queued_at < self.settings.expires_in_seconds * 1_000

    def _log(self, what: str, code: FailureCode, request_id: str | None = None) -> None:
        """Log a failure without the provider's message, which may quote the prompt. Readers find it in the stream."""
        level = logging.WARNING if code in _OPERATORS else logging.INFO
        _logger.log(
            level,
            "job %s %s: %s, tenant %s, attempt %d, request id %s",
            *(self.job_id, what, code, self.began.tenant, self.began.started.attempt, request_id or "-"),
        )


async def _read(encoded: bytes) -> AnyRequest:
    if len(encoded) <= _MAX_READ_AT_ONCE_BYTES:
        return read_request(encoded)
    return await beside_the_loop(read_request, encoded)


def _newer_wait_seconds(began: Began) -> float:
    return min(_LAST_WAIT_SECONDS, 2.0 ** min(began.started.attempt - 1, 10))
