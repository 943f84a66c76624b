"""`generate`, the function that arq calls for each job, and what a worker does with a job that arq refuses to run."""

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
from tailrace.protocol.new_job import FUNCTION
from tailrace_worker.attempt.put_back import PutBack
from tailrace_worker.generation import Generations, Hold
from tailrace_worker.queueing.holds import ClaimedHold, UnclaimedHold
from tailrace_worker.queueing.job_body import Sealed
from tailrace_worker.queueing.leases import Leases
from tailrace_worker.settings import WorkerSettings

_logger = logging.getLogger(__name__)

_MAX_TRIES: Final = 1_000_000_000
"""So high that arq never gives a job up. arq counts each hand-back as a try, and it would end the job without appending
an ending to the stream."""
_INVALID_BODY: Final = (
    "The job's body in arq cannot be run: it must be JSON that calls 'generate' with one request. "
    "If you enqueue with arq's own client, give it a job_serializer that writes JSON."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArqTimings:
    """The distance between arq's time limits and those of a generation."""

    timeout_margin_seconds: float = 60.0
    """How much longer arq lets the function run than a generation may take."""


def arq_function(settings: WorkerSettings, *, timings: ArqTimings | None = None) -> Function:
    """Return `generate` as arq registers it.

    arq's limits are above those of the settings, so that the settings' limits are reached first: only they end a job
    with an ending in its stream.

    Args:
        settings: The settings of the worker.
        timings: arq's time limits; `None` for the defaults.
    """
    timings = timings or ArqTimings()
    return func(
        generate,
        name=FUNCTION,
        timeout=settings.total_seconds + timings.timeout_margin_seconds,
        max_tries=_MAX_TRIES,
        keep_result=0,
    )


async def generate(ctx: dict[str, Any], request: object = None) -> None:
    """Run one job. arq calls this function.

    Args:
        ctx: arq's context: the worker's `generations` and `leases`, the `job_id`, and the number of the try.
        request: The request of a job that a stock arq client enqueued. `None` if tailrace's client enqueued the job:
            then the job's record has the request.

    Raises:
        arq.Retry: The job has to be run again later.
    """
    generations: Generations = ctx["generations"]
    leases: Leases | None = ctx.get("leases")
    job_id: str = ctx["job_id"]
    if not _can_have_stream(job_id):
        return
    claim = leases.get(job_id) if leases else None
    if claim is not None and ctx["job_try"] != claim.attempt:
        # Another worker has run the job since the claim, and this attempt must not fence that worker's. If this worker
        # still holds the claim, it hands the job back. If it was suspended and has lost the claim, nothing changes.
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
    """Append an ending for a job that arq ends without running it.

    Args:
        generations: What the jobs of the worker share.
        job_id: The job's id.
        why: arq's own words for the reason.
        queue: The queue from which the job was claimed.

    Raises:
        InfrastructureError: Redis failed.
    """
    if not _can_have_stream(job_id):
        return
    # A job without a body and without a stream was deleted. A job that a stock client enqueued has no stream yet.
    is_expired = why == "job expired"
    failed = Failed(
        at=round(time.time() * 1000),
        code=FailureCode.EXPIRED_IN_QUEUE if is_expired else FailureCode.INVALID_BODY,
        message=f"arq refused to run the job: {why}." if is_expired else _INVALID_BODY,
    )
    if not await generations.fail(job_id, failed, queue="" if is_expired else queue):
        # The job was deleted after it was claimed. Since then arq has counted a try, and its counter is left over.
        await generations.broker.call("DEL", arq_retry(job_id))


def _can_have_stream(job_id: str) -> bool:
    try:
        checked_job_id(job_id)
    except InvalidJobId as error:
        _logger.warning("a job is dropped, because it cannot have a stream: %s", error)
        return False
    return True


def _carried(request: object, queue: str) -> Carried:
    """Return the request for the script that begins the attempt.

    A request that does not validate is passed on as well: the attempt then fails with a message about it.
    """
    fields = cast("dict[str, object]", request) if isinstance(request, dict) else {}
    return Carried(
        request=json.dumps(request),
        provider=str(fields.get("provider", "")),
        model=str(fields.get("model", "")),
        queue=queue,
    )
