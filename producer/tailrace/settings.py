"""What a service that uses tailrace can set, each from an argument or from the environment."""

import difflib
import os
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Self, TypedDict, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from tailrace.errors import InvalidSettings

PREFIX_PATTERN = r"^[A-Za-z0-9_.:-]+$"
YEAR_SECONDS = 31_536_000
"""The longest of all times."""


_RENAMED: Final = {"queue_limit_seconds": "expires_in_seconds"}
"""Older names of fields: they go on working, and the variables of the environment still have them."""
_VARIABLE_NAMES: Final = {new: old for old, new in _RENAMED.items()}


class SettingsFields(TypedDict, total=False):
    """The fields of `Settings` but `redis_url`, as keyword arguments of `Tailrace.connect`."""

    prefix: str
    max_request_bytes: int
    keep_seconds: float
    max_queued: int
    durable: bool
    expires_in_seconds: float
    queue_limit_seconds: float
    """The older name of `expires_in_seconds`."""
    total_seconds: float
    max_attempts: int
    reconnect_seconds: float
    ttft_good_ms: float
    ttft_bad_ms: float
    rate_good_tokens_per_second: float
    rate_bad_tokens_per_second: float
    duration_good_ms: float
    duration_bad_ms: float
    cancel_good_ms: float
    cancel_bad_ms: float


class Settings(BaseModel):
    """The settings of the light side: `read` takes fields from `TAILRACE_` and their name in capitals."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, validate_default=True, extra="forbid")

    _unquoted: ClassVar[frozenset[str]] = frozenset()
    """Fields whose values may hold secrets, should an operator put them there."""

    redis_url: str = "redis://localhost:6379/0"
    """Where Redis is: `redis://`, `rediss://` (TLS) or `unix://`."""
    prefix: Annotated[str, StringConstraints(pattern=PREFIX_PATTERN, max_length=64)] = "tailrace"
    """What every key begins with. All who share jobs share it."""
    max_request_bytes: int = Field(default=1_048_576, ge=1_024)
    """The largest request, as JSON in UTF-8, that `enqueue` accepts."""
    keep_seconds: float = Field(default=3_600, ge=1, le=YEAR_SECONDS)
    """How long a job stays readable after its ending."""
    max_queued: int = Field(default=0, ge=0)
    """How many jobs may wait in a queue before `enqueue` raises `QueueFull`; 0: any number."""
    durable: bool = False
    """Whether `enqueue` returns only once the job is in the append-only file on the disk, or on a replica."""
    expires_in_seconds: float = Field(default=86_400, gt=0, le=YEAR_SECONDS)
    """How long a job may wait to be run, from the time at which it is due, unless `enqueue` is given another time. The
    variable is `TAILRACE_QUEUE_LIMIT_SECONDS`, and `queue_limit_seconds` is an older name of the field."""
    total_seconds: float = Field(default=600, gt=0, le=YEAR_SECONDS)
    """How long one attempt may take."""
    max_attempts: int = Field(default=3, ge=1, le=100)
    """How many workers may be lost under a job before it fails."""
    reconnect_seconds: float = Field(default=30, ge=0, le=YEAR_SECONDS)
    """How long a tail goes on trying to reach a Redis that is away before it raises `BrokerUnavailable`."""
    ttft_good_ms: float = Field(default=500, ge=0)
    """Up to here the time to first token is `good`, then `warn`."""
    ttft_bad_ms: float = Field(default=1_000, ge=0)
    """Above, it is `bad`."""
    rate_good_tokens_per_second: float = Field(default=50, ge=0)
    """From here on up the rate is `good`, below it `warn`."""
    rate_bad_tokens_per_second: float = Field(default=20, ge=0)
    """Below, it is `bad`."""
    duration_good_ms: float = Field(default=10_000, ge=0)
    """Up to here the time of the whole answer is `good`, then `warn`."""
    duration_bad_ms: float = Field(default=30_000, ge=0)
    """Above, it is `bad`."""
    cancel_good_ms: float = Field(default=100, ge=0)
    """Up to here the time from the request to cancel to the ending is `good`, then `warn`."""
    cancel_bad_ms: float = Field(default=500, ge=0)
    """Above, it is `bad`."""

    @classmethod
    def read(cls, **given: object) -> Self:
        """Read settings from arguments, else from the environment, else take the defaults.

        Args:
            **given: Fields by their names. `None` stands for: not given.

        Returns:
            Settings in which every field has a value.

        Raises:
            InvalidSettings: A value breaks its field's rule; the message names the variable. Or there is no such field.
        """
        given = _renamed(given)
        if strangers := [name for name in given if name not in cls.model_fields]:
            raise InvalidSettings("; ".join(map(cls._stranger, strangers)))
        values: dict[str, object] = {
            name: os.environ[variable_of(name)] for name in cls.model_fields if variable_of(name) in os.environ
        }
        values |= {name: value for name, value in given.items() if value is not None}
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise InvalidSettings(_described(error, cls._unquoted)) from None

    @property
    def queue_limit_seconds(self) -> float:
        """The older name of `expires_in_seconds`."""
        return self.expires_in_seconds

    @model_validator(mode="before")
    @classmethod
    def _rename(cls, values: object) -> object:
        return _renamed(cast("dict[str, object]", values)) if isinstance(values, dict) else values

    @field_validator("ttft_bad_ms", "rate_bad_tokens_per_second", "duration_bad_ms", "cancel_bad_ms")
    @classmethod
    def _is_worse_than_good(cls, bad: float, info: ValidationInfo) -> float:
        name = str(info.field_name).replace("_bad_", "_good_")
        good = info.data.get(name, bad)
        if bad > good if name.startswith("rate_") else bad < good:
            raise ValueError(f"Input should not be better than {variable_of(name)}, which is {good:g}")
        return bad

    @classmethod
    def _stranger(cls, name: str) -> str:
        close = difflib.get_close_matches(name, cls.model_fields, n=1)
        return f"{name}: there is no such setting{f', did you mean {close[0]}?' if close else '.'}"

    @property
    def running_seconds(self) -> float:
        """How long a job's keys live from the beginning of an attempt, if nothing sets that anew."""
        return self.max_attempts * self.total_seconds + self.keep_seconds


def variable_of(field: str) -> str:
    """Return the variable of the environment that a field of the settings is read from."""
    return f"TAILRACE_{_VARIABLE_NAMES.get(field, field).upper()}"


def _renamed(values: Mapping[str, object]) -> dict[str, object]:
    return {_RENAMED.get(name, name): value for name, value in values.items()}


def _described(error: ValidationError, unquoted: frozenset[str]) -> str:
    return "; ".join(_told(part["loc"], part["msg"], part["input"], unquoted) for part in error.errors())


def _told(loc: tuple[int | str, ...], rule: str, value: Any, unquoted: frozenset[str]) -> str:
    variable = variable_of(str(loc[0]))
    if loc[0] in unquoted:
        return ": ".join([variable, *([".".join(map(str, loc[1:]))] if loc[1:] else []), rule])
    return f"{variable}: {rule}, not {value!r}"
