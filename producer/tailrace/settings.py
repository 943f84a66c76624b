"""What a service that uses tailrace can set, each from an argument or from the environment."""

from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, StringConstraints, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from tailrace.errors import InvalidSettings

PREFIX_PATTERN = r"^[A-Za-z0-9_.:-]+$"
YEAR_SECONDS = 31_536_000
"""The longest of all times."""


class Settings(BaseSettings):
    """The settings of the light side: fields are read from `TAILRACE_` and their name in capitals."""

    model_config = SettingsConfigDict(env_prefix="TAILRACE_", frozen=True, extra="ignore")

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
    queue_limit_seconds: float = Field(default=86_400, gt=0, le=YEAR_SECONDS)
    """How long a job may wait to be run, from the time at which it is due, unless its own limit is given."""
    total_seconds: float = Field(default=600, gt=0, le=YEAR_SECONDS)
    """How long one attempt may take."""
    max_attempts: int = Field(default=3, ge=1, le=100)
    """How many workers may be lost under a job before it fails."""

    @classmethod
    def read(cls, **given: Any) -> Self:
        """What was given (`None` stands for: not given), else the environment, else the defaults.

        Raises:
            InvalidSettings: A value breaks its field's rule; the message names the variable.
        """
        try:
            return cls(**{name: value for name, value in given.items() if value is not None})
        except ValidationError as error:
            raise InvalidSettings(_described(error, cls._unquoted)) from None

    @property
    def running_seconds(self) -> float:
        """How long a job's keys live from the beginning of an attempt, if nothing sets that anew."""
        return self.max_attempts * self.total_seconds + self.keep_seconds


def _described(error: ValidationError, unquoted: frozenset[str]) -> str:
    return "; ".join(_told(part["loc"], part["msg"], part["input"], unquoted) for part in error.errors())


def _told(loc: tuple[int | str, ...], rule: str, value: Any, unquoted: frozenset[str]) -> str:
    variable = f"TAILRACE_{str(loc[0]).upper()}"
    if loc[0] in unquoted:
        return ": ".join([variable, *([".".join(map(str, loc[1:]))] if loc[1:] else []), rule])
    return f"{variable}: {rule}, not {value!r}"
