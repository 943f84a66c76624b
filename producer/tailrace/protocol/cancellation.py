"""Cancels a job: a script on the job's own keys sets the cancel key, or appends the ending.

An ending that was appended here is then announced, and the job leaves its queue. The announcement goes before the
withdrawal: if this process dies in between, a worker finds the job and announces its ending again.
"""

from dataclasses import dataclass
from enum import StrEnum

from tailrace.broker.client import Broker, ms, text
from tailrace.events import ENDINGS
from tailrace.protocol.endings import JobEnding, close
from tailrace.protocol.job_end import no_stream
from tailrace.protocol.keys import Keys
from tailrace.protocol.queue import withdraw
from tailrace.protocol.scripts import Script


class CancelOutcome(StrEnum):
    """What a call of `cancel` did."""

    CANCELLED = "cancelled"
    """No attempt had started; the ending was written."""
    REQUESTED = "requested"
    """The job runs; its worker stops it within 100 ms and writes the ending."""
    ENDED = "ended"
    """The job had ended already; nothing changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancellation:
    """What the script found and did."""

    outcome: CancelOutcome
    """What the call did."""
    ending: str
    """The type of the ending, or `""` if the job runs."""
    tenant: str
    """On whose behalf the job runs."""
    queue: str
    """The queue in which the job was enqueued."""
    at: int
    """When cancel was requested, by the Redis server's clock, in Unix ms."""


async def cancel(broker: Broker, keys: Keys, job_id: str, reason: str, *, keep_seconds: float) -> Cancellation:
    """Set the cancel key. If no attempt has started, end the job, and remove it from its queue.

    Args:
        broker: The connections to Redis.
        keys: The keys under the prefix.
        job_id: The job.
        reason: The reason of the `cancelled` event.
        keep_seconds: How long the job is kept after an ending, in seconds.

    Returns:
        What the script found and did.

    Raises:
        JobNotFound: The job has no stream.
        BrokerUnavailable: Redis cannot be reached; the job may be cancelled nevertheless.
        BrokerRefused: Redis refused.
    """
    done = await _request(broker, keys, job_id, reason, keep_seconds=keep_seconds)
    if done.outcome is CancelOutcome.CANCELLED or await _waits_after_its_ending(broker, keys, job_id, done):
        ended = JobEnding(job_id=job_id, tenant=done.tenant, ending=ENDINGS[done.ending])
        await close(broker, keys, ended, keep_seconds=keep_seconds)
        await withdraw(broker, keys, job_id, done.queue)
    return done


async def _request(broker: Broker, keys: Keys, job_id: str, reason: str, *, keep_seconds: float) -> Cancellation:
    reply = await broker.call(*Script.CANCEL.command(keys.of_job(job_id), reason, ms(keep_seconds)))
    if reply[0] == b"gone":
        raise no_stream(job_id)
    outcome, ending, tenant, queue = map(text, reply[:4])
    return Cancellation(outcome=CancelOutcome(outcome), ending=ending, tenant=tenant, queue=queue, at=reply[4])


async def _waits_after_its_ending(broker: Broker, keys: Keys, job_id: str, done: Cancellation) -> bool:
    """Return True if the job has ended and still waits in its queue, because an earlier canceller died half-way."""
    if done.outcome is not CancelOutcome.ENDED:
        return False
    return await broker.call("ZSCORE", keys.queue(done.queue), job_id) is not None
