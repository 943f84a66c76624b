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
    """An argument of a job, which arq would log the beginning of."""

    value: Any = field(repr=False)


class _Arguments(BaseModel):
    """The named arguments of `generate`."""

    model_config = ConfigDict(extra="forbid")

    request: Any = None


_YEAR_2100_MS = 4_102_444_800_000
"""arq makes a date of it, which has its limits."""


class _Body(BaseModel):
    """A job's body, by arq's own names: try, function, arguments and time of enqueue."""

    t: Annotated[int, Field(ge=0, le=1_000_000)] | None
    f: Literal["generate"]
    a: Annotated[list[Any], Field(max_length=1)]
    k: _Arguments
    et: Annotated[int, Field(ge=0, le=_YEAR_2100_MS)]

    @model_validator(mode="after")
    def _only_once(self) -> Self:
        if self.a and self.k.model_fields_set:
            raise ValueError("the request is there twice")
        return self


def to_json(body: Mapping[str, Any]) -> bytes:
    """How arq's bodies are written. What JSON does not know, an exception say, becomes its text."""
    return json.dumps(body, default=str).encode()


def from_json(body: bytes) -> dict[str, Any]:
    """How arq's bodies are read. A body whose function could not even be called is as unreadable as one of no JSON.

    Raises:
        ValueError: It is none of ours; arq ends the job, and so its stream is given an ending. arq logs the error,
            which says nothing of the body.
    """
    try:
        read = _Body.model_validate_json(body)
    except ValidationError:
        raise ValueError("it is not JSON that calls 'generate' with one request") from None
    return sealed({**read.model_dump(exclude={"k"}), "k": read.k.model_dump(exclude_unset=True)})


def sealed(body: dict[str, Any]) -> dict[str, Any]:
    """The body with arguments that are not logged."""
    named = {name: Sealed(value) for name, value in body["k"].items()}
    return {**body, "a": [Sealed(value) for value in body["a"]], "k": named}


def providers_of(body: bytes) -> tuple[str, ...] | None:
    """Returns the providers that may run a job, in its order of preference, as its body names them.

    `None` if the job's record has to be read: a producer of an earlier version wrote the body. The tuple is empty if
    there is no request, or none that could be run.
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


def providers_of_request(encoded: bytes) -> tuple[str, ...]:
    """Returns the provider of a request and those of its fallbacks; none if the request cannot be read."""
    with suppress(ValueError):
        return _providers_in(pydantic_core.from_json(encoded))
    return ()


def _providers_in(request: Any) -> tuple[str, ...]:
    with suppress(LookupError, TypeError):
        return (str(request["provider"]), *(str(each["provider"]) for each in request.get("fallbacks") or ()))
    return ()
