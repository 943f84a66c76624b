"""`NewJob`: a job to be enqueued, and the two commands that enqueue it."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Self

from tailrace.broker.client import Command, ms
from tailrace.protocol.front import encode_front
from tailrace.protocol.keys import QUEUES_LIFE_SECONDS, Keys, arq_job
from tailrace.protocol.labels import encode_labels
from tailrace.protocol.scripts import Script
from tailrace.request.any_request import AnyRequest
from tailrace.settings import Settings

FUNCTION = "generate"
"""The name of the workers' function in arq."""
INDEX_CAPACITY: Final = 10_000
"""How many jobs of a tenant are listed: the newest ones, in about 1 MB."""
CONVERSATION_CAPACITY: Final = 100
"""How many jobs of a conversation are listed: as many as Redis keeps in its compact form."""


class Enqueued(NamedTuple):
    """What a call to enqueue a job has done."""

    job_id: str
    """The id of the job."""
    is_new: bool
    """False if the idempotency key of the call stands for a job that an earlier call enqueued."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job to be enqueued."""

    request: str
    """The request, as JSON."""
    provider: str
    """The provider of the request."""
    model: str
    """The model of the request."""
    tenant: str
    """On whose behalf the job runs."""
    queue: str
    """The queue in which the job waits."""
    defer_seconds: float
    """The delay until the job is due, in seconds."""
    expires_in_seconds: float
    """How long the job may wait from the time at which it is due, in seconds."""
    life_seconds: float
    """How long its keys live, in seconds."""
    max_queued: int
    """How many jobs may wait in the queue; 0 for no limit."""
    fallback_providers: tuple[str, ...] = ()
    """The providers of the request's fallbacks, in their order."""
    regenerated_from: str | None = None
    """The job whose request this job runs again."""
    conversation: str | None = None
    """The conversation that the job belongs to, if any."""
    labels: str = ""
    """The labels as JSON; `""` if there are none."""
    front: str = ""
    """What an HTTP front keeps with the job, as JSON; `""` if there is nothing."""

    @classmethod
    def of(
        cls,
        request: AnyRequest,
        settings: Settings,
        *,
        tenant: str,
        queue: str,
        defer_seconds: float = 0,
        expires_in_seconds: float | None = None,
        regenerated_from: str | None = None,
        conversation: str | None = None,
        labels: Mapping[str, str] | None = None,
        front: Mapping[str, Any] | None = None,
    ) -> Self:
        """Prepare a job from its request.

        Args:
            request: The request.
            settings: The limits, and the defaults.
            tenant: On whose behalf the job runs.
            queue: The queue in which the job waits.
            defer_seconds: The delay until the job is due, in seconds.
            expires_in_seconds: How long the job may wait from then on, in seconds; by default as the settings say.
            regenerated_from: The job whose request this job runs again.
            conversation: The conversation that the job belongs to.
            labels: Short texts by name.
            front: What an HTTP front keeps with the job.

        Returns:
            The job, ready to be enqueued.

        Raises:
            RequestTooLarge: The JSON of the request is larger than the settings' `max_request_bytes`.
            InvalidRequest: A text of the request is not valid Unicode, or the labels or `front` are not valid.
        """
        if expires_in_seconds is None:
            expires_in_seconds = settings.expires_in_seconds
        return cls(
            request=request.to_json(max_bytes=settings.max_request_bytes),
            provider=request.provider,
            model=request.model,
            fallback_providers=tuple(each["provider"] for each in request.fallbacks),
            tenant=tenant,
            queue=queue,
            defer_seconds=defer_seconds,
            expires_in_seconds=expires_in_seconds,
            life_seconds=defer_seconds + expires_in_seconds + settings.running_seconds,
            max_queued=settings.max_queued,
            regenerated_from=regenerated_from,
            conversation=conversation,
            labels=encode_labels(labels or {}),
            front=encode_front(front or {}),
        )


def create_command(keys: Keys, job_id: str, job: NewJob, *more: str) -> Command:
    """Return the command that creates a job's own keys. It is sent first, and may be repeated.

    Args:
        keys: The keys under the prefix.
        job_id: The job.
        job: What the record has to say of it.
        *more: Further fields of the record, names and values in turn.
    """
    optional = {"regenerated_from": job.regenerated_from, "labels": job.labels}
    return Script.CREATE.command(
        (keys.events(job_id), keys.record(job_id)),
        ms(job.life_seconds),
        job.queue,
        job.request,
        ms(job.defer_seconds + job.expires_in_seconds),
        job.conversation or "",
        job.front,
        *("tenant", job.tenant, "provider", job.provider, "model", job.model),
        *(part for name, value in optional.items() if value for part in (name, value)),
        *more,
    )


def enqueue_command(
    keys: Keys, jobs: Mapping[str, NewJob], *, limit: int, over: str = "", idempotency: str | None = None
) -> Command:
    """Return the command that puts jobs into their queue. It is sent after those that create them.

    Args:
        keys: The keys under the prefix.
        jobs: The jobs by their ids, at least one, all of one tenant and for one queue. A job of a conversation is the
            only one.
        limit: How many jobs may wait; 0 for no limit.
        over: The job of the conversation that is known to be over.
        idempotency: The idempotency key of a job of a conversation, if it has one.
    """
    job = next(iter(jobs.values()))
    at = round(time.time() * 1000)
    of_conversation = () if job.conversation is None else (keys.conversation(job.tenant, job.conversation),)
    return Script.ENQUEUE.command(
        (
            *(keys.queue(job.queue), keys.doorbell(job.queue), keys.queues, keys.history, keys.jobs(job.tenant)),
            *map(arq_job, jobs),
            *of_conversation,
            *((idempotency,) if idempotency else ()),
        ),
        *(limit, job.queue, ms(QUEUES_LIFE_SECONDS), INDEX_CAPACITY, CONVERSATION_CAPACITY, over),
        *(
            argument
            for job_id, each in jobs.items()
            for argument in (job_id, _body(each, at), ms(each.life_seconds), ms(each.defer_seconds))
        ),
    )


def _body(job: NewJob, at: int) -> str:
    """Return the job's body for arq, by arq's names for try, function, arguments and time of enqueue.

    arq ignores the rest. A claim returns the body, so that the worker knows at once if it can run the job, and can put
    the job back into its indexes after a crash of Redis.
    """
    said: dict[str, object] = {"t": None, "f": FUNCTION, "a": [], "k": {}, "et": at}
    said["providers"] = list(dict.fromkeys((job.provider, *job.fallback_providers)))
    said["tenant"] = job.tenant
    if job.conversation is not None:
        said["conversation"] = job.conversation
    return json.dumps(said)
