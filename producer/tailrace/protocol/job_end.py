"""The end of a job: what its scripts reply when it is over or gone, and the ending of a job that nobody runs."""

from dataclasses import dataclass

from tailrace.broker.client import Broker, ms, text
from tailrace.errors import JobNotFound
from tailrace.events import ENDINGS, Ending, EndingType
from tailrace.protocol.entries import encode
from tailrace.protocol.keys import Keys
from tailrace.protocol.scripts import Script


@dataclass(frozen=True, slots=True, kw_only=True)
class Over:
    """There is an ending already: nothing is left but to release the job."""

    ending: EndingType
    tenant: str


class Gone:
    """There is no stream: the job was deleted, or has expired."""


async def end_orphan(
    broker: Broker, keys: Keys, job_id: str, ending: Ending, *, keep_seconds: float, queue: str = ""
) -> Over | Gone:
    """Give a job that nobody runs its ending, unless it has one: in an attempt far above the last.

    Args:
        broker: The connections to Redis.
        keys: The keys of the job.
        job_id: The job.
        ending: The ending to append.
        keep_seconds: For how long the job is kept.
        queue: The queue in which a stock arq client has put the job: a stream that is not there is then made.

    Returns:
        The ending that the job has now, or `Gone` if it has no stream.
    """
    reply = await broker.call(*Script.END.command(keys.of_job(job_id), ms(keep_seconds), queue, *encode(ending)))
    if reply[0] == b"gone":
        return Gone()
    return Over(ending=ENDINGS[reply[1].decode()], tenant=text(reply[2]))


def no_stream(job_id: str) -> JobNotFound:
    """The error of every call that needs the job's stream."""
    return JobNotFound(f"Job {job_id!r} has no stream: it expired, was deleted, or was never enqueued.")
