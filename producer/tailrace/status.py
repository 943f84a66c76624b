"""`JobStatus`: the status of a job at one moment, as `Job.status` reads it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from tailrace.cursor import EntryId
from tailrace.timing import Timing


class JobState(StrEnum):
    """The state of a job, as the last entry of its stream shows it."""

    QUEUED = "queued"
    """The job waits for a worker, or for the time at which it is due."""
    RUNNING = "running"
    """An attempt has started."""
    COMPLETED = "completed"
    """The stream ends with `completed`."""
    FAILED = "failed"
    """The stream ends with `failed`."""
    CANCELLED = "cancelled"
    """The stream ends with `cancelled`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatus:
    """The status of a job at one moment."""

    job_id: str
    """The id of the job."""
    state: JobState
    """How far the job is."""
    tenant: str
    """On whose behalf the job runs."""
    queue: str
    """The queue in which the job was enqueued."""
    provider: str
    """The provider that answered, if the job has ended; the provider that the attempt called first, while it runs;
    before that the provider of the request."""
    model: str
    """The model of that provider."""
    queued_at: int
    """The time of the enqueue by the Redis server's clock, in Unix milliseconds; 0 if it is not known."""
    cursor: EntryId
    """The id of the last entry of the stream."""
    regenerated_from: str | None = None
    """The id of the job whose request this job runs again."""
    regenerated_as: tuple[str, ...] = ()
    """The ids of the jobs that run the request of this job again, oldest first."""
    timing: Timing | None = None
    """How long the job took, with a verdict; `None` before the ending."""
    code: str | None = None
    """Why the job failed: one of `FailureCode`; `None` unless it failed."""
    message: str | None = None
    """Why the job failed, in words; `None` unless it failed."""
    attempt: int | None = None
    """The number of the attempt that runs; `None` unless one runs."""
    worker: str | None = None
    """The worker that runs the attempt, as `host:pid`; `None` unless one runs."""
    position: int | None = None
    """The position of the job in its queue: 1 for the job that is claimed next; `None` unless it is due and waits."""
    conversation: str | None = None
    """The conversation that the job belongs to, if any."""
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    """The labels that the job was given."""
