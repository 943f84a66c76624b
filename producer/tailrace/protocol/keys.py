"""Every Redis key, spelled here and nowhere else."""

import hashlib
import re
import secrets
from dataclasses import dataclass
from typing import Final

from tailrace.errors import InvalidJobId

_JOB_ID = re.compile(r"[A-Za-z0-9_-]{16,64}", re.ASCII)

QUEUES_LIFE_SECONDS: Final = 604_800.0
"""How long the names of the queues and the history of their data are kept after they were last used."""


def new_job_id() -> str:
    """128 random bits in 22 characters: whoever holds the id may read and cancel the job, so it cannot be guessed."""
    # A command line would take an id that begins with a dash for an option.
    while (job_id := secrets.token_urlsafe(16)).startswith("-"):
        pass
    return job_id


def checked_job_id(job_id: str) -> str:
    """The id itself, or `InvalidJobId`: nothing else ever gets into a key."""
    if not _JOB_ID.fullmatch(job_id):
        raise InvalidJobId(f"{job_id!r} is not a job id: an id has 16 to 64 characters of A-Z a-z 0-9 _ -.")
    return job_id


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys under one prefix. All keys of a job share the hash tag `{JOB}`, so that a script may touch them."""

    prefix: str = "tailrace"

    def events(self, job_id: str) -> str:
        """The job's stream."""
        return f"{self.prefix}:{{{job_id}}}:events"

    def cancel(self, job_id: str) -> str:
        """Present: stop. The value is the reason."""
        return f"{self.prefix}:{{{job_id}}}:cancel"

    def record(self, job_id: str) -> str:
        """The hash that is written once, at enqueue."""
        return f"{self.prefix}:{{{job_id}}}:record"

    def regenerated(self, job_id: str) -> str:
        """The list of the jobs that were made of this one's request, oldest first."""
        return f"{self.prefix}:{{{job_id}}}:regenerated"

    def bell(self, job_id: str) -> str:
        """The channel that rings, empty, when entries were appended."""
        return f"{self.prefix}:{{{job_id}}}:bell"

    def of_job(self, job_id: str) -> tuple[str, str, str, str]:
        """All keys of a job, in the order in which the scripts on them take them."""
        return self.events(job_id), self.record(job_id), self.cancel(job_id), self.regenerated(job_id)

    def idempotency(self, tenant: str, idempotency_key: str) -> str:
        """The id of the job that a tenant enqueued under a key. Hashed: keys may be long, or hold anything."""
        digest = hashlib.sha256(idempotency_key.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        return f"{self.prefix}:idempotency:{tenant}:{digest}"

    def throttle(self, provider: str, model: str) -> str:
        """There for as long as the provider takes no calls for the model."""
        return f"{self.prefix}:throttle:{provider}:{model}"

    def queue(self, name: str) -> str:
        """arq's sorted set of waiting jobs, and of those alone, scored by the time at which they are due (Unix ms)."""
        return f"{self.prefix}:queue:{name}"

    def running(self, name: str) -> str:
        """The claimed jobs of a queue, scored by the deadline of their lease (Unix ms); 0: handed back."""
        return f"{self.prefix}:queue:{name}:running"

    def doorbell(self, name: str) -> str:
        """What the workers of a queue wait at."""
        return f"{self.prefix}:queue:{name}:bell"

    @property
    def queues(self) -> str:
        """The names of the queues, scored by when one last enqueued into each or began to serve it (Unix ms)."""
        return f"{self.prefix}:queues"

    @property
    def history(self) -> str:
        """The history of the queues' data, and since when it lasts (Unix ms; 0: always): see `history.py`."""
        return f"{self.prefix}:history"

    @property
    def workers(self) -> str:
        """The names of the workers, scored by their last beat (Unix ms)."""
        return f"{self.prefix}:workers"

    def worker(self, name: str) -> str:
        """What a worker says of itself, as JSON."""
        return f"{self.prefix}:worker:{name}"

    def loss(self, name: str) -> str:
        """There if a claim has found a worker lost: which process of that name."""
        return f"{self.worker(name)}:lost"

    @property
    def endings(self) -> str:
        """The capped stream of all endings."""
        return f"{self.prefix}:endings"


def arq_job(job_id: str) -> str:
    """arq's body of a job."""
    return f"arq:job:{job_id}"


def arq_in_progress(job_id: str) -> str:
    """arq's mark of a running job."""
    return f"arq:in-progress:{job_id}"


def arq_retry(job_id: str) -> str:
    """arq's counter of tries: our `ATTEMPT`."""
    return f"arq:retry:{job_id}"


def arq_result(job_id: str) -> str:
    """arq's result of a job: tailrace keeps none."""
    return f"arq:result:{job_id}"
