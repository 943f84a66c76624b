"""What an operator can set for a worker, read once, at its start."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal, Self, TypeAlias, cast
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)
from pydantic_core import PydanticCustomError, from_json

from tailrace.request.capabilities import API_KINDS, ApiKind
from tailrace.request.fallback import ProviderName
from tailrace.request.limits import Timeouts
from tailrace.settings import YEAR_SECONDS, Settings

HEADER_VALUE_PATTERN: Final = r"^[!-~]([ -~\t]*[!-~])?$"
"""Printable ASCII, with no blank at either end."""

QueueName: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]


def _split(value: Any) -> Any:
    return [name.strip() for name in value.split(",")] if isinstance(value, str) else value


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _each_once(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        raise ValueError("Each queue should be named once")
    return names


def _with_port(url: str) -> str:
    try:
        _ = urlsplit(url).port
    except ValueError:
        raise PydanticCustomError("port", "The port should be a number up to 65535") from None
    return url


_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}")
_TRANSPORTS_OWN: Final = frozenset(
    {
        *("host", "connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"),
        *("content-length", "content-type", "content-encoding", "accept-encoding", "expect"),
    }
)
"""Headers that say how the message goes over the wire. Another value would break it, not change what is asked."""


def _headers(headers: Any) -> Any:
    """Checks the names before pydantic names any: what is no name of a header may be a secret in the wrong place."""
    if not isinstance(headers, Mapping):
        return headers
    headers = cast("Mapping[object, object]", headers)
    names = [str(name).lower() for name in headers]
    if not all(map(_TOKEN.fullmatch, names)):
        raise PydanticCustomError("header_name", "The name of a header should be a token (RFC 9110, section 5.6.2)")
    if taken := sorted(_TRANSPORTS_OWN.intersection(names)):
        raise PydanticCustomError("header_taken", "{name} is set by the worker itself", {"name": taken[0]})
    if len(set(names)) < len(names):
        raise PydanticCustomError("header_twice", "Each header should be named once, whatever its case")
    return headers


Variable: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[A-Z_][A-Z0-9_]*$")]
"""The name of an environment variable: in capitals, so that a secret by mistake is none."""
HeaderValue: TypeAlias = Annotated[str, StringConstraints(pattern=HEADER_VALUE_PATTERN, max_length=8_192)]


class ProviderEntry(BaseModel):
    """A server that speaks one of the APIs, as a provider of its own."""

    # What is refused may be a key in the wrong place.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    kind: ApiKind
    """Which API it speaks."""
    base_url: Annotated[str, StringConstraints(pattern=r"^https?://[^\s/?#@]+(/\S*)?$"), AfterValidator(_with_port)]
    """Where it is, as the SDK takes it: for the two of OpenAI with the `/v1`, for Anthropic's without."""
    key_variable: Variable | None = None
    """The environment variable that holds its key. Without one, no `Authorization` is sent, unless it is among the
    headers."""
    headers: Annotated[Mapping[str, HeaderValue], BeforeValidator(_headers)] = Field(default={}, repr=False)
    """Headers of every request. They replace those of the SDK."""
    header_variables: Annotated[Mapping[str, Variable], BeforeValidator(_headers)] = Field(default={})
    """Headers whose values are secret: the environment variables that hold them."""

    @model_validator(mode="after")
    def _names_each_header_once(self) -> Self:
        if both := {name.lower() for name in self.headers} & {name.lower() for name in self.header_variables}:
            raise PydanticCustomError(
                "header_twice", "{name} should be in headers or in header_variables", {"name": min(both)}
            )
        return self


def _read_json(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return from_json(value) if value.strip() else {}
    except ValueError:
        raise PydanticCustomError("json", "Input should be a JSON object") from None


def _of_their_kind(entries: Mapping[str, ProviderEntry]) -> Mapping[str, ProviderEntry]:
    for name, entry in entries.items():
        # Requests are checked by what the API of that name can do.
        if name in API_KINDS and entry.kind != name:
            raise PydanticCustomError("kind", "An entry called {name} has to be of that kind", {"name": name})
    return entries


class WorkerSettings(Settings):
    """The settings of both sides, and the worker's own: fields are read from `TAILRACE_` and their name in capitals.

    Providers read their SDK's own variables: `OPENAI_API_KEY`, `OPENAI_BASE_URL`, `ANTHROPIC_API_KEY`,
    `ANTHROPIC_BASE_URL`.
    """

    _unquoted: ClassVar[frozenset[str]] = frozenset({"providers"})

    queues: Annotated[
        tuple[QueueName, ...], BeforeValidator(_split), AfterValidator(_each_once), Field(min_length=1)
    ] = ("default",)
    """The queues whose jobs this worker runs, with commas between them: those of the first go before all others."""
    max_jobs: int = Field(default=100, ge=1, le=10_000)
    """How many jobs it runs at a time."""
    lease_seconds: float = Field(default=5, ge=1, le=300)
    """How long a job stays claimed by a worker that does not renew its lease: renewed three times in that time."""
    grace_seconds: float = Field(default=30, ge=0, le=YEAR_SECONDS)
    """How long running jobs may take to finish after SIGTERM, before they are handed back."""
    provider_tries: int = Field(default=4, ge=1, le=100)
    """How often a provider is called before its first word until a job fails, or turns to a fallback."""
    first_token_seconds: float = Field(default=300, gt=0, le=YEAR_SECONDS)
    """How long a provider may say nothing of the answer after it was called."""
    idle_seconds: float = Field(default=120, gt=0, le=YEAR_SECONDS)
    """How long it may send nothing at all in mid-answer."""
    cancel_poll_ms: int = Field(default=30, ge=1, le=1_000)
    """How often the cancel keys of all running jobs are read, in one command."""
    batch_ms: int = Field(default=8, ge=0, le=1_000)
    """The shortest time between two batches: of what has come from the providers and is read, and of appends. The first
    text of a job does not wait for it."""
    max_answer_bytes: int = Field(default=8_388_608, ge=1_024)
    """How much one job may say, over all attempts that a worker makes of it, before it fails with `too_long`."""
    max_waiting_bytes: int = Field(default=8_388_608, ge=65_536)
    """How much memory may be taken by what waits to be appended; beyond it, reading from the providers waits."""
    resend_seconds: float = Field(default=15, ge=0, le=YEAR_SECONDS)
    """How long appended entries are kept, to be sent again should a restarted Redis have lost them: those of two
    seconds with `everysec`, and of more with a slow disk or a replica that lags."""
    max_resend_bytes: int = Field(default=67_108_864, ge=0)
    """How much memory they may take."""
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = "info"
    """How much is told on stderr."""
    providers: Annotated[
        Mapping[ProviderName, ProviderEntry], BeforeValidator(_read_json), AfterValidator(_of_their_kind)
    ] = Field(default={})
    """Providers by names of their own, as JSON: `{"local": {"kind": "openai", "base_url": "http://localhost:8000/v1"}}`.
    An entry that has the name of an API is used in its place."""

    @property
    def timeouts(self) -> Timeouts:
        """How patient this worker is at most."""
        return Timeouts(
            first_token_seconds=self.first_token_seconds,
            idle_seconds=self.idle_seconds,
            total_seconds=self.total_seconds,
        )
