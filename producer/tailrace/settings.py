"""`Settings`: what a service that uses tailrace can set, by arguments or by variables of the environment."""

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
"""The longest time that a setting can have, in seconds: 365 days."""


_RENAMED: Final = {"queue_limit_seconds": "expires_in_seconds"}
"""Former names of fields. They are still accepted, and the variables of the environment still have them."""
_VARIABLE_NAMES: Final = {new: old for old, new in _RENAMED.items()}


class SettingsFields(TypedDict, total=False):
    """The fields of `Settings` except `redis_url`, as keyword arguments of `Tailrace.connect`."""

    prefix: str
    max_request_bytes: int
    keep_seconds: float
    max_queued: int
    durable: bool
    expires_in_seconds: float
    queue_limit_seconds: float
    """The former name of `expires_in_seconds`."""
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
    """The settings of producers and readers.

    `read` takes each field from an argument, or from the variable `TAILRACE_` and the field's name in capitals, or from
    its default.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, validate_default=True, extra="forbid")

    _unquoted: ClassVar[frozenset[str]] = frozenset()
    """Fields that may hold secrets: error messages do not quote their values."""

    redis_url: str = "redis://localhost:6379/0"
    """The URL of Redis: `redis://`, `rediss://` (TLS) or `unix://`."""
    prefix: Annotated[str, StringConstraints(pattern=PREFIX_PATTERN, max_length=64)] = "tailrace"
    """The beginning of every key of tailrace in Redis. Producers, workers and readers that share jobs need the same
    prefix."""
    max_request_bytes: int = Field(default=1_048_576, ge=1_024)
    """The size of the largest request that `enqueue` accepts, in bytes of JSON in UTF-8."""
    keep_seconds: float = Field(default=3_600, ge=1, le=YEAR_SECONDS)
    """How long a job can be read after its ending, in seconds."""
    max_queued: int = Field(default=0, ge=0)
    """How many jobs may wait in a queue before `enqueue` raises `QueueFull`; 0 for no limit."""
    durable: bool = False
    """True if `enqueue` returns only after the job is in the append-only file on the disk, or on a replica."""
    expires_in_seconds: float = Field(default=86_400, gt=0, le=YEAR_SECONDS)
    """How long a job may wait for a worker, in seconds from the time at which it is due, unless `enqueue` is given
    another time. The variable is `TAILRACE_QUEUE_LIMIT_SECONDS`, and `queue_limit_seconds` is a former name of the
    field."""
    total_seconds: float = Field(default=600, gt=0, le=YEAR_SECONDS)
    """How long one attempt may take, in seconds."""
    max_attempts: int = Field(default=3, ge=1, le=100)
    """How many workers may be lost while they run a job before the job fails."""
    reconnect_seconds: float = Field(default=30, ge=0, le=YEAR_SECONDS)
    """How long a tail tries to reach Redis again before it raises `BrokerUnavailable`, in seconds."""
    ttft_good_ms: float = Field(default=500, ge=0)
    """The longest time to first token that is `good`, in ms; above it is `warn`."""
    ttft_bad_ms: float = Field(default=1_000, ge=0)
    """The longest time to first token that is not `bad`, in ms; not below `ttft_good_ms`."""
    rate_good_tokens_per_second: float = Field(default=50, ge=0)
    """The lowest rate that is `good`, in output tokens per second; below it is `warn`."""
    rate_bad_tokens_per_second: float = Field(default=20, ge=0)
    """The lowest rate that is not `bad`, in output tokens per second; not above `rate_good_tokens_per_second`."""
    duration_good_ms: float = Field(default=10_000, ge=0)
    """The longest duration of an attempt that is `good`, in ms; above it is `warn`."""
    duration_bad_ms: float = Field(default=30_000, ge=0)
    """The longest duration of an attempt that is not `bad`, in ms; not below `duration_good_ms`."""
    cancel_good_ms: float = Field(default=100, ge=0)
    """The longest time from the request to cancel to the ending that is `good`, in ms; above it is `warn`."""
    cancel_bad_ms: float = Field(default=500, ge=0)
    """The longest time from the request to cancel to the ending that is not `bad`, in ms; not below
    `cancel_good_ms`."""

    @classmethod
    def read(cls, **given: object) -> Self:
        """Read each setting from the arguments, or from the environment, or take its default.

        Args:
            **given: Fields by their names. `None` means that the field is not given.

        Returns:
            Settings in which every field has a value.

        Raises:
            InvalidSettings: A value is not allowed, and the message names the variable; or there is no such field.
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
        """The former name of `expires_in_seconds`."""
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
        """How long the keys of a job live from the beginning of an attempt, in seconds, if no ending comes."""
        return self.max_attempts * self.total_seconds + self.keep_seconds


def variable_of(field: str) -> str:
    """Return the name of the environment variable that a field of the settings is read from.

    Args:
        field: The name of the field, such as `keep_seconds`.

    Returns:
        The name of the variable, such as `TAILRACE_KEEP_SECONDS`.
    """
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
