"""`generate`, the function that arq calls, and what of arq a job meets on the way to its attempt."""

import json
import logging
import time
from dataclasses import dataclass
from typing import Any, Final, cast

from arq import Retry
from arq.worker import Function, func

from tailrace.errors import FailureCode, InvalidJobId
from tailrace.events import Failed
from tailrace.protocol.attempts import Carried
from tailrace.protocol.keys import arq_retry, checked_job_id
from tailrace.protocol.queue import FUNCTION
from tailrace_worker.attempt.put_back import PutBack
from tailrace_worker.generation import Generations, Hold
from tailrace_worker.queueing.holds import ClaimedHold, UnclaimedHold
from tailrace_worker.queueing.job_body import Sealed
from tailrace_worker.queueing.leases import Leases
from tailrace_worker.settings import WorkerSettings

_logger = logging.getLogger(__name__)

_MAX_TRIES: Final = 1_000_000_000
"""Never arq's business: hand-backs count as tries there, and a job that arq gives up on gets no ending of ours."""
_INVALID_BODY: Final = (
    "The job's body in arq cannot be run: it has to be JSON that calls 'generate' with one request. "
    "A client of arq's own needs a job_serializer that writes JSON."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArqTimings:
    """arq's limits beside ours."""

    timeout_margin_seconds: float = 60.0
    """How much longer than a generation may take its function may run."""


def arq_function(settings: WorkerSettings, *, timings: ArqTimings | None = None) -> Function:
    """`generate`, as arq registers it, with limits above ours: ours end a job with an ending."""
    timings = timings or ArqTimings()
    return func(
        generate,
        name=FUNCTION,
        timeout=settings.total_seconds + timings.timeout_margin_seconds,
        max_tries=_MAX_TRIES,
        keep_result=0,
    )


async def generate(ctx: dict[str, Any], request: object = None) -> None:
    """The function that workers run, as arq calls it. Our client sends no request: the job's record has it.

    Raises:
        arq.Retry: The job is to be run again later.
    """
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
    broker = generations.broker
    hold: Hold = UnclaimedHold(broker, job_id) if claim is None else ClaimedHold(broker, claim)
    queue = claim.queue if claim else generations.settings.queues[0]
    asked = request.value if isinstance(request, Sealed) else request
    carried = None if asked is None else _carried(asked, queue)
    try:
        await generations.run(job_id, ctx["job_try"], hold, carried=carried)
    except PutBack as back:
        raise Retry(defer=back.seconds) from back


async def refuse(generations: Generations, job_id: str, why: str, *, queue: str) -> None:
    """Give a job that arq ends without running it an ending.

    Args:
        generations: What the jobs of the worker share.
        job_id: The job.
        why: arq's own word.
        queue: The queue from which the job was claimed.

    Raises:
        InfrastructureError: Redis could not be asked.
    """
    if not _can_have_stream(job_id):
        return
    # A job that has neither body nor stream was deleted; what a stock client enqueued has no stream yet.
    is_expired = why == "job expired"
    failed = Failed(
        at=round(time.time() * 1000),
        code=FailureCode.EXPIRED_IN_QUEUE if is_expired else FailureCode.INVALID_BODY,
        message=f"arq would not run the job: {why}." if is_expired else _INVALID_BODY,
    )
    if not await generations.fail(job_id, failed, queue="" if is_expired else queue):
        # Deleted after it was claimed: since then arq has counted a try.
        await generations.broker.call("DEL", arq_retry(job_id))


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
