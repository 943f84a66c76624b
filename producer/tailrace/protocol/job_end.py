"""The end of a job: the replies of scripts when it is over or gone, and the ending of a job that no worker runs."""

from dataclasses import dataclass

from tailrace.broker.client import Broker, ms, text
from tailrace.errors import JobNotFound
from tailrace.events import ENDINGS, Ending, EndingType
from tailrace.protocol.entries import encode
from tailrace.protocol.keys import Keys
from tailrace.protocol.scripts import Script


@dataclass(frozen=True, slots=True, kw_only=True)
class Over:
    """The job has an ending already, and only has to be released."""

    ending: EndingType
    """How the job ended."""
    tenant: str
    """On whose behalf the job ran."""


class Gone:
    """The job has no stream: it was deleted, or has expired."""


async def end_orphan(
    broker: Broker, keys: Keys, job_id: str, ending: Ending, *, keep_seconds: float, queue: str = ""
) -> Over | Gone:
    """Append an ending to a job that no worker runs, unless it has one. Its id has an attempt far above the last.

    Args:
        broker: The connections to Redis.
        keys: The keys of the job.
        job_id: The job.
        ending: The ending to append.
        keep_seconds: For how long the job is kept, in seconds.
        queue: The queue in which a stock arq client enqueued the job. If it is given, a missing stream is created.

    Returns:
        The ending that the job has now, or `Gone` if it has no stream.

    Raises:
        BrokerUnavailable: Redis cannot be reached.
        BrokerRefused: Redis refused.
    """
    reply = await broker.call(*Script.END.command(keys.of_job(job_id), ms(keep_seconds), queue, *encode(ending)))
    if reply[0] == b"gone":
        return Gone()
    return Over(ending=ENDINGS[reply[1].decode()], tenant=text(reply[2]))


def no_stream(job_id: str) -> JobNotFound:
    """Return the error of every call that needs the stream of a job without one."""
    return JobNotFound(f"Job {job_id!r} has no stream: it expired, was deleted, or was never enqueued.")
