"""Jobs of the fronts: enqueued under the limits of their keys, with the mapping that makes their frames."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, Field, ValidationError

from tailrace import IdempotencyConflict, InvalidRequest, Job, JobNotFound
from tailrace.gateway.errors import described
from tailrace.gateway.fronts.caller import Caller
from tailrace.gateway.fronts.front import LABEL, Api, Front
from tailrace.gateway.fronts.given_body import read_as
from tailrace.gateway.fronts.translation import Path, Translation
from tailrace.gateway.fronts.verbatim import is_verbatim, verbatim_fields
from tailrace.gateway.limits import enqueue_new
from tailrace.gateway.new_job_body import NewJobBody, NewVerbatimJobBody

_New = TypeVar("_New", NewJobBody, NewVerbatimJobBody)


class FrontRequest(BaseModel):
    """What a front reads of every request."""

    model: str = Field(min_length=1)
    """The name of a model."""
    stream: bool | None = None
    """True for a stream."""


class FrontJob(NamedTuple):
    """The job of a request to a front."""

    job: Job
    """The job."""
    is_verbatim: bool
    """True if its frames are the provider's own."""
    is_streamed: bool
    """True if the client wants a stream."""


async def enqueue_for(
    caller: Caller, api: Api, body: Mapping[str, Any], translation: Translation[Any, Any], *, only_here: bool = False
) -> FrontJob:
    """Enqueue the job of a request to a front, or find the job that an earlier one enqueued.

    Args:
        caller: Who asks.
        api: The API of the front.
        body: The request.
        translation: Translates the request.
        only_here: True if the request has to be translated, because only tailrace can do what it asks for.

    Returns:
        The job.

    Raises:
        InvalidRequest: A field is not valid. The message has the protocol's name of the field.
        UnknownModel: No provider is known for the name of the model.
        IdempotencyConflict: The key was used for another request, or for another front.
        TailraceError: What `translation` and `Tailrace.enqueue` raise.
        RateLimited: The tenant has as many jobs as it may have.
    """
    asked = read_as(FrontRequest, body)
    name, entry = await caller.gateway.models.find(asked.model)
    model, is_streamed = entry.model or name, bool(asked.stream)

    async def as_it_is() -> FrontJob:
        fields = verbatim_fields(caller, api, body, model=model, is_streamed=is_streamed)
        new = _valid(NewVerbatimJobBody, {**entry.fields(), **fields}, api.verbatim, _in_body)
        return FrontJob(await _enqueue(caller, api.verbatim, new), is_verbatim=True, is_streamed=is_streamed)

    async def translated() -> FrontJob:
        said = await translation.fields_for(entry.provider, await caller.gateway.models.kind_of(entry.provider))
        tokens = entry.limited(said.max_output_tokens)
        # The protocols cannot take text back.
        fields = {"on_interrupt": "continue", **entry.fields(), "model": model, "max_output_tokens": tokens}
        named = partial(_named, names=said.names, path_of=said.path_of)
        new = _valid(NewJobBody, {**fields, **said.fields}, api.translated, named)
        job = await _enqueue(caller, api.translated, new, remembered=said.remembered)
        return FrontJob(job, is_verbatim=False, is_streamed=is_streamed)

    first, second = as_it_is, translated
    if not await is_verbatim(caller.gateway, api, entry, body, only_here=only_here):
        first, second = second, first
    try:
        return await first()
    except IdempotencyConflict:
        # When the first request came, the name may have stood for another provider, or the gateway was an older one.
        try:
            return await second()
        except (InvalidRequest, JobNotFound):
            pass
        raise


async def _enqueue(
    caller: Caller, front: Front, new: NewJobBody | NewVerbatimJobBody, *, remembered: Mapping[str, Any] | None = None
) -> Job:
    job = await enqueue_new(
        caller.gateway.tailrace,
        caller.principal,
        new,
        idempotency_key=caller.idempotency_key,
        front=remembered,
    )
    if not job.is_new:
        front.check(await job.status())
    return job


def _valid(kind: type[_New], fields: Mapping[str, Any], front: Front, path_of: Callable[[Path], Path]) -> _New:
    try:
        return kind.model_validate({**fields, "labels": {LABEL: front.label}})
    except ValidationError as error:
        raise InvalidRequest(described({**line, "loc": path_of(line["loc"])} for line in error.errors())) from None


def _in_body(path: Path) -> Path:
    return path[1:] if path[:1] == ("body",) else path


def _named(path: Path, *, names: Mapping[str, str], path_of: Callable[[Path], Path]) -> Path:
    path = path_of(path)
    first = str(path[0]) if path else ""
    return (names[first], *path[1:]) if first in names else path
