"""What the scripts on a job's own keys share: the keys, and what they reply if the job is over or gone.

The id of an entry is the fence, so what decides about ids is decided in Redis, in one step: is there an ending, is the
attempt above the last one, and which `SEQ` comes next.
"""

from dataclasses import dataclass

from tailrace.errors import JobNotFound
from tailrace.events import EndingType
from tailrace.protocol.keys import Keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Over:
    """There is an ending already: nothing is left but to release the job."""

    ending: EndingType
    tenant: str


class Gone:
    """There is no stream: the job was deleted, or has expired."""


def job_keys(keys: Keys, job_id: str) -> tuple[str, ...]:
    """Return the keys of a job, in the order in which the scripts take them."""
    return keys.events(job_id), keys.record(job_id), keys.cancel(job_id), keys.regenerated(job_id)


def no_stream(job_id: str) -> JobNotFound:
    """The error of every call that needs the job's stream."""
    return JobNotFound(f"Job {job_id!r} has no stream: it expired, was deleted, or was never enqueued.")
