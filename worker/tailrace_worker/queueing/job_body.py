"""The bodies of jobs in arq: JSON, never pickle."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Self

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
