"""The bodies of jobs in arq: JSON, never pickle."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Self

import pydantic_core
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator


@dataclass(frozen=True, slots=True)
class Sealed:
    """An argument of a job, wrapped so that arq does not log its beginning."""

    value: Any = field(repr=False)


class _Arguments(BaseModel):
    """The named arguments of `generate`."""

    model_config = ConfigDict(extra="forbid")

    request: Any = None


_YEAR_2100_MS = 4_102_444_800_000
"""The latest time of enqueue. arq converts the number to a date, which fails if the number is too large."""


class _ArqBody(BaseModel):
    """A job's body in arq: the number of the try, the function, its arguments, and the time of enqueue in Unix ms."""

    t: Annotated[int, Field(ge=0, le=1_000_000)] | None
    f: Literal["generate"]
    a: Annotated[list[Any], Field(max_length=1)]
    k: _Arguments
    et: Annotated[int, Field(ge=0, le=_YEAR_2100_MS)]

    @model_validator(mode="after")
    def _only_once(self) -> Self:
        if self.a and self.k.model_fields_set:
            raise ValueError("the request is given twice: as an argument and by name")
        return self


def to_json(body: Mapping[str, Any]) -> bytes:
    """Write a body of arq's as JSON. A value that JSON does not know, such as an exception, is written as its text."""
    return json.dumps(body, default=str).encode()


def from_json(body: bytes) -> dict[str, Any]:
    """Read a body of arq's from JSON. A body that does not call `generate` with one request is refused too.

    Args:
        body: The body, as a producer or arq wrote it.

    Returns:
        The body, with its arguments wrapped in `Sealed`.

    Raises:
        ValueError: The body cannot be run. arq then ends the job, and the worker appends an ending to its stream. arq
            logs the error, so the message quotes nothing of the body.
    """
    try:
        read = _ArqBody.model_validate_json(body)
    except ValidationError:
        raise ValueError("the body is not JSON that calls 'generate' with one request") from None
    return sealed({**read.model_dump(exclude={"k"}), "k": read.k.model_dump(exclude_unset=True)})


def sealed(body: dict[str, Any]) -> dict[str, Any]:
    """Return the body with its arguments wrapped in `Sealed`, so that arq does not log them."""
    named = {name: Sealed(value) for name, value in body["k"].items()}
    return {**body, "a": [Sealed(value) for value in body["a"]], "k": named}


def providers_of(body: bytes) -> tuple[str, ...] | None:
    """Return the providers that may run a job, as its body names them.

    Args:
        body: The job's body in arq.

    Returns:
        The names of the providers, the preferred one first. Empty if there is no request, or none that could be run.
        `None` if a producer of an earlier version wrote the body: then only the job's record names the providers.
    """
    with suppress(ValueError):
        match pydantic_core.from_json(body):
            case {"providers": [str(), *_] as names}:
                return tuple(map(str, names))
            case {"a": [request]} | {"k": {"request": request}}:
                return _providers_in(request)
            case {"a": [], "k": {}}:
                return None
            case _:
                pass
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """Where a job is listed."""

    tenant: str
    """On whose behalf it runs."""
    conversation: str | None
    """The conversation that it belongs to."""
    enqueued_at: int
    """When it was enqueued, by the producer's clock, in Unix ms."""


def listed_by(body: bytes) -> Listed | None:
    """Return where a job is listed, as its body tells it; `None` if no producer of this version wrote the body."""
    with suppress(ValueError):
        match pydantic_core.from_json(body):
            case {"tenant": str(tenant), "et": int(at), **more}:
                conversation = more.get("conversation")
                named = conversation if isinstance(conversation, str) else None
                return Listed(tenant=tenant, conversation=named, enqueued_at=at)
            case _:
                pass
    return None


def providers_of_request(encoded: bytes) -> tuple[str, ...]:
    """Return the providers of a request and its fallbacks, in their order; empty if the request cannot be read."""
    with suppress(ValueError):
        return _providers_in(pydantic_core.from_json(encoded))
    return ()


def _providers_in(request: Any) -> tuple[str, ...]:
    with suppress(LookupError, TypeError):
        return (str(request["provider"]), *(str(each["provider"]) for each in request.get("fallbacks") or ()))
    return ()
