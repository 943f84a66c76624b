"""The bodies of requests about jobs."""

from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, PlainValidator

from tailrace import GenerationRequest, VerbatimRequest
from tailrace.field_docs import describe_fields

_Seconds = Annotated[float, Field(ge=0, le=31_536_000)]


class _Enqueued(BaseModel):
    # Left out of the JSON of the request, which is what the job stores.
    conversation: str | None = Field(default=None, exclude=True)
    """The id of the conversation that the job belongs to, 1 to 256 characters. A conversation has one active job at a
    time."""
    if_active: Literal["reject", "interrupt"] = Field(default="reject", exclude=True)
    """What happens if another job of the conversation is active. `reject`: the new job is refused with 409.
    `interrupt`: the active job is cancelled, and its text is kept."""
    labels: dict[str, str] = Field(default={}, exclude=True)
    """Up to 16 short texts by name, which statuses and lists return. A name has 1 to 64 characters of
    `A-Z a-z 0-9 _ . -`, a value at most 256 characters."""
    queue: str = Field(default="default", exclude=True)
    """The queue in which the job waits: 1 to 64 characters of `A-Z a-z 0-9 _ . -`."""
    defer_seconds: _Seconds = Field(default=0, exclude=True)
    """The delay in seconds until the job is due, up to a year."""
    expires_in_seconds: _Seconds | None = Field(default=None, exclude=True)
    """How long in seconds the job may wait for a worker after it is due, up to a year. After that it fails with
    `expired_in_queue`. By default the gateway's `TAILRACE_QUEUE_LIMIT_SECONDS`."""
    durable: bool | None = Field(default=None, exclude=True)
    """True to respond only after the job is on a disk or a replica. By default the gateway's `TAILRACE_DURABLE`."""


class NewJobBody(_Enqueued, GenerationRequest):
    """A generation request, and how its job is enqueued."""


class NewVerbatimJobBody(_Enqueued, VerbatimRequest):
    """A verbatim request, and how its job is enqueued."""


def _read(given: object) -> NewJobBody | NewVerbatimJobBody:
    is_verbatim = isinstance(given, dict) and "body" in given
    return (NewVerbatimJobBody if is_verbatim else NewJobBody).model_validate(given)


NewJob: TypeAlias = Annotated[
    NewJobBody | NewVerbatimJobBody,
    PlainValidator(_read, json_schema_input_type=NewJobBody | NewVerbatimJobBody),
]
"""Either of them: a verbatim request has a `body`. Errors name fields as the client wrote them."""


class Cancel(BaseModel):
    """The reason for a cancel."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", json_schema_extra=describe_fields)

    reason: Annotated[str, Field(max_length=1_000)] = ""
    """The `reason` of the `cancelled` event, for example who stopped the job."""
