"""Jobs of the fronts: enqueued under the limits of their keys, with the mapping that makes their frames."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from pydantic import ValidationError

from tailrace import InvalidRequest, Job
from tailrace.gateway.context import Gateway
from tailrace.gateway.errors import described
from tailrace.gateway.fronts.front import LABEL, Front
from tailrace.gateway.limits import enqueue_new
from tailrace.gateway.new_job_body import NewJobBody
from tailrace.gateway.principal import Principal

Path: TypeAlias = tuple[int | str, ...]
"""Where a field stands in a request."""


def _same(path: Path) -> Path:
    return path


async def enqueue_for(
    gateway: Gateway,
    principal: Principal,
    front: Front,
    fields: Mapping[str, Any],
    *,
    idempotency_key: str | None,
    names: Mapping[str, str],
    path_of: Callable[[Path], Path] = _same,
    remembered: Mapping[str, Any] | None = None,
) -> Job:
    """Enqueue the job of a request to a front, or find the job that an earlier one enqueued.

    Args:
        gateway: What all routes share.
        principal: Who asks.
        front: The front.
        fields: The fields of a generation request, and of how its job is enqueued. An answer that breaks off is
            continued unless they say otherwise: the protocols cannot take text back.
        idempotency_key: The idempotency key of the request, if it has one.
        names: The names that the protocol has for fields of a generation request, for messages.
        path_of: Returns the path in the client's request from that in a generation request, for messages.
        remembered: What the job remembers of the client's request, so that every gateway can repeat it.

    Returns:
        The job.

    Raises:
        InvalidRequest: A field is not valid. The message has the protocol's name of the field.
        IdempotencyConflict: The key was used for another request, or for another front.
        TailraceError: What `Tailrace.enqueue` raises.
        RateLimited: The tenant has as many jobs as it may have.
    """
    labels = {**fields.get("labels", {}), LABEL: front.label}
    try:
        new = NewJobBody.model_validate({"on_interrupt": "continue", **fields, "labels": labels})
    except ValidationError as error:
        raise InvalidRequest(
            described({**line, "loc": _named(path_of(line["loc"]), names)} for line in error.errors())
        ) from None
    job = await enqueue_new(gateway.tailrace, principal, new, idempotency_key=idempotency_key, front=remembered)
    if not job.is_new:
        front.check(await job.status())
    return job


def _named(path: Path, names: Mapping[str, str]) -> Path:
    first = str(path[0]) if path else ""
    return (names[first], *path[1:]) if first in names else path
