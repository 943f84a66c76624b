"""The names of all Redis keys. No other module builds one."""

import hashlib
import re
import secrets
from dataclasses import dataclass
from typing import Final

from tailrace.errors import InvalidJobId

_JOB_ID = re.compile(r"[A-Za-z0-9_-]{16,64}", re.ASCII)

QUEUES_LIFE_SECONDS: Final = 604_800.0
"""How long the names of the queues and the history of their data are kept after their last use: a week."""


def new_job_id() -> str:
    """Return a new job id: 128 random bits in 22 characters.

    Whoever holds the id may read and cancel the job, so nobody may guess it.
    """
    # An id that begins with a dash would look like an option on a command line.
    while (job_id := secrets.token_urlsafe(16)).startswith("-"):
        pass
    return job_id


def checked_job_id(job_id: str) -> str:
    """Check a job id before it becomes a part of a key.

    Args:
        job_id: The text to check.

    Returns:
        The same text.

    Raises:
        InvalidJobId: The text does not have 16 to 64 characters of `A-Z a-z 0-9 _ -`.
    """
    if not _JOB_ID.fullmatch(job_id):
        raise InvalidJobId(f"{job_id!r} is not a job id: an id has 16 to 64 characters of A-Z a-z 0-9 _ -.")
    return job_id


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys under one prefix. All keys of a job share the hash tag `{JOB}`, so that one script can use them."""

    prefix: str = "tailrace"

    def events(self, job_id: str) -> str:
        """The stream of the job's events."""
        return f"{self.prefix}:{{{job_id}}}:events"

    def cancel(self, job_id: str) -> str:
        """The request to cancel the job, if the key exists; the value is the reason."""
        return f"{self.prefix}:{{{job_id}}}:cancel"

    def record(self, job_id: str) -> str:
        """The hash with the job's request, tenant and queue, and what its HTTP front remembers."""
        return f"{self.prefix}:{{{job_id}}}:record"

    def regenerated(self, job_id: str) -> str:
        """The list of the jobs that were regenerated from this one, oldest first."""
        return f"{self.prefix}:{{{job_id}}}:regenerated"

    def bell(self, job_id: str) -> str:
        """The pub/sub channel that gets an empty message when entries were appended."""
        return f"{self.prefix}:{{{job_id}}}:bell"

    def of_job(self, job_id: str) -> tuple[str, str, str, str]:
        """All keys of a job, in the order in which its scripts expect them."""
        return self.events(job_id), self.record(job_id), self.cancel(job_id), self.regenerated(job_id)

    def idempotency(self, tenant: str, idempotency_key: str) -> str:
        """The id of the job that a tenant enqueued under an idempotency key. The key is hashed: it may be any text."""
        return f"{self.prefix}:idempotency:{tenant}:{_digest(idempotency_key)}"

    def jobs(self, tenant: str) -> str:
        """The index of a tenant's newest jobs, scored by the time of their enqueue (Unix ms)."""
        return f"{self.prefix}:jobs:{tenant}"

    def conversation(self, tenant: str, conversation: str) -> str:
        """The newest jobs of a conversation, scored by the time of their enqueue (Unix ms). The last one is the active
        one, unless it was released. The conversation's id is hashed, as an idempotency key is.
        """
        return f"{self.prefix}:conversation:{tenant}:{_digest(conversation)}"

    def places(self, tenant: str) -> str:
        """The jobs that wait and run of a tenant whose API keys have limits: see `lua/queue/reserve_place.lua`."""
        return f"{self.prefix}:places:{tenant}"

    @property
    def api_keys(self) -> str:
        """The API keys of the gateways by their ids, as JSON with the SHA-256 of each token."""
        return f"{self.prefix}:api-keys"

    @property
    def request_rates(self) -> str:
        """The beginning of the keys that count the requests of API keys; the rest is `:{ID/LIMIT/1/second}`."""
        return f"{self.prefix}:request-rate"

    @property
    def signing_key(self) -> str:
        """The id and the secret of the key that signs the URLs of the gateways, with a colon between them."""
        return f"{self.prefix}:signing-key"

    def response(self, tenant: str, response_id: str) -> str:
        """The id of the job whose provider gave a response this id. It is hashed, as an idempotency key is."""
        return f"{self.prefix}:response:{tenant}:{_digest(response_id)}"

    def throttle(self, provider: str, model: str) -> str:
        """The rate limit of a model: the key exists as long as the provider takes no calls for it."""
        return f"{self.prefix}:throttle:{provider}:{model}"

    def queue(self, name: str) -> str:
        """arq's sorted set, of waiting jobs only, scored by the time at which they are due (Unix ms)."""
        return f"{self.prefix}:queue:{name}"

    def running(self, name: str) -> str:
        """The claimed jobs of a queue, scored by the deadline of their lease (Unix ms), or 0 after a hand-back."""
        return f"{self.prefix}:queue:{name}:running"

    def doorbell(self, name: str) -> str:
        """The doorbell of a queue: the list at which its idle workers wait."""
        return f"{self.prefix}:queue:{name}:bell"

    @property
    def queues(self) -> str:
        """The names of the queues, scored by the last enqueue or the last start of a worker for it (Unix ms)."""
        return f"{self.prefix}:queues"

    @property
    def history(self) -> str:
        """The history of the queues' data, and when it began (Unix ms; 0 for the first one): see `history.py`."""
        return f"{self.prefix}:history"

    @property
    def workers(self) -> str:
        """The names of the workers, scored by their last heartbeat (Unix ms)."""
        return f"{self.prefix}:workers"

    def worker(self, name: str) -> str:
        """The last heartbeat of a worker, as JSON."""
        return f"{self.prefix}:worker:{name}"

    def loss(self, name: str) -> str:
        """The mark that a claim has found a worker lost; the value says which process of that name."""
        return f"{self.worker(name)}:lost"

    @property
    def endings(self) -> str:
        """The stream of all endings, capped at about 100,000."""
        return f"{self.prefix}:endings"


def _digest(name: str) -> str:
    """Return a part of a key that stands for any text."""
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def arq_job(job_id: str) -> str:
    """arq's key of a job's body."""
    return f"arq:job:{job_id}"


def arq_in_progress(job_id: str) -> str:
    """arq's mark of a job that runs."""
    return f"arq:in-progress:{job_id}"


def arq_retry(job_id: str) -> str:
    """arq's counter of the tries of a job: the number of its attempt."""
    return f"arq:retry:{job_id}"


def arq_result(job_id: str) -> str:
    """arq's key of a job's result, which tailrace does not use."""
    return f"arq:result:{job_id}"
