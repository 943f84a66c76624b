"""How a job is cancelled: a script on the job's own keys sets the cancel key, or appends the ending."""

from dataclasses import dataclass
from enum import StrEnum

from tailrace.broker.client import Broker, ms, text
from tailrace.protocol.job_end import no_stream
from tailrace.protocol.keys import Keys
from tailrace.protocol.scripts import Script


class CancelOutcome(StrEnum):
    """What a call of `cancel` did."""

    CANCELLED = "cancelled"
    """The job had not started; its ending is written."""
    REQUESTED = "requested"
    """The job runs; its worker stops it at its next poll, and writes the ending."""
    ENDED = "ended"
    """The job was over already; nothing has changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancellation:
    """What the job's side of a cancel found and did."""

    outcome: CancelOutcome
    ending: str
    tenant: str
    queue: str
    at: int
    """The server's time of the request, Unix ms."""


async def cancel(broker: Broker, keys: Keys, job_id: str, reason: str, *, keep_seconds: float) -> Cancellation:
    """Sets the cancel key and, where nothing has started, appends the ending.

    Raises:
        JobNotFound: There is no stream.
    """
    reply = await broker.call(*Script.CANCEL.command(keys.of_job(job_id), reason, ms(keep_seconds)))
    if reply[0] == b"gone":
        raise no_stream(job_id)
    outcome, ending, tenant, queue = map(text, reply[:4])
    return Cancellation(outcome=CancelOutcome(outcome), ending=ending, tenant=tenant, queue=queue, at=reply[4])
