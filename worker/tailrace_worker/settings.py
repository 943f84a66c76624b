"""The settings of a worker, which are read once, at its start."""

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

from tailrace.api_kinds import API_KINDS, ApiKind
from tailrace.request.fallback import ProviderName
from tailrace.request.limits import Timeouts
from tailrace.settings import YEAR_SECONDS, Settings

HEADER_VALUE_PATTERN: Final = r"^[!-~]([ -~\t]*[!-~])?$"
"""Printable ASCII, without white space at either end."""

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
"""Headers that describe how a message is sent. Another value would break the message, and not change the request."""


def _headers(headers: Any) -> Any:
    """Check the names before pydantic can quote one: a wrong name may be a secret in the wrong place."""
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
"""The name of an environment variable. It has to be in capitals, so that a secret is not taken for a name."""
HeaderValue: TypeAlias = Annotated[str, StringConstraints(pattern=HEADER_VALUE_PATTERN, max_length=8_192)]


class ProviderEntry(BaseModel):
    """A server that speaks one of the APIs, as a separate provider."""

    # Errors do not quote the input, because it may be a key in the wrong place.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    kind: ApiKind
    """The API that the server speaks."""
    base_url: Annotated[str, StringConstraints(pattern=r"^https?://[^\s/?#@]+(/\S*)?$"), AfterValidator(_with_port)]
    """The address, as the SDK expects it: with `/v1` for OpenAI's two APIs, without it for Anthropic's."""
    key_variable: Variable | None = None
    """The environment variable that has the key. If there is none, no `Authorization` is sent, unless it is among the
    headers."""
    headers: Annotated[Mapping[str, HeaderValue], BeforeValidator(_headers)] = Field(default={}, repr=False)
    """Headers for each request. They replace those of the SDK."""
    header_variables: Annotated[Mapping[str, Variable], BeforeValidator(_headers)] = Field(default={})
    """Headers with secret values: for each, the environment variable that has its value."""

    @model_validator(mode="after")
    def _names_each_header_once(self) -> Self:
        if both := {name.lower() for name in self.headers} & {name.lower() for name in self.header_variables}:
            raise PydanticCustomError(
                "header_twice", "{name} should be in headers or in header_variables, not in both", {"name": min(both)}
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
        # A request is checked by what the API with the provider's name can do.
        if name in API_KINDS and entry.kind != name:
            raise PydanticCustomError("kind", "The kind of an entry named {name} should be {name}", {"name": name})
    return entries


class WorkerSettings(Settings):
    """The settings of both sides, and those of the worker. A field is read from `TAILRACE_` and its name in capitals.

    Providers read the variables of their SDKs: `OPENAI_API_KEY`, `OPENAI_BASE_URL`, `ANTHROPIC_API_KEY`,
    `ANTHROPIC_BASE_URL`.
    """

    _unquoted: ClassVar[frozenset[str]] = frozenset({"providers"})

    queues: Annotated[
        tuple[QueueName, ...], BeforeValidator(_split), AfterValidator(_each_once), Field(min_length=1)
    ] = ("default",)
    """The queues whose jobs the worker runs, with commas between them, the most urgent one first."""
    max_jobs: int = Field(default=100, ge=1, le=10_000)
    """How many jobs the worker runs at the same time."""
    lease_seconds: float = Field(default=5, ge=1, le=300)
    """How long a claim holds if its worker does not renew the lease. A worker renews it three times in this time."""
    grace_seconds: float = Field(default=30, ge=0, le=YEAR_SECONDS)
    """How long running jobs may take to finish after SIGTERM before they are handed back."""
    provider_tries: int = Field(default=4, ge=1, le=100)
    """How many calls a provider gets for an answer that has not begun, before the job fails or turns to a fallback."""
    first_token_seconds: float = Field(default=300, gt=0, le=YEAR_SECONDS)
    """How long a provider may take from the call to the first piece of the answer."""
    idle_seconds: float = Field(default=120, gt=0, le=YEAR_SECONDS)
    """How long a provider may send nothing at all in the middle of an answer."""
    cancel_poll_ms: int = Field(default=30, ge=1, le=1_000)
    """How often the worker reads the cancel keys of all its running jobs, by one command."""
    batch_ms: int = Field(default=8, ge=0, le=1_000)
    """The shortest time between two batches of appends, and between two times at which chunks of several answers are
    read. The first text of a job does not wait for it."""
    max_answer_bytes: int = Field(default=8_388_608, ge=1_024)
    """How long an answer may be, over all attempts that one worker makes at the job, with the text of other workers
    that they continue. A longer one fails with `too_long`."""
    max_waiting_bytes: int = Field(default=8_388_608, ge=65_536)
    """How much memory may be taken by entries that wait to be appended. While they take more, the worker does not read
    from the providers."""
    resend_seconds: float = Field(default=15, ge=0, le=YEAR_SECONDS)
    """How long appended entries are kept, to be sent again if Redis loses them in a restart. With `everysec` Redis may
    lose the entries of 2 s, and more if its disk is slow or a replica lags."""
    max_resend_bytes: int = Field(default=67_108_864, ge=0)
    """How much memory the kept entries may take. If they take more, the oldest are dropped."""
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = "info"
    """The lowest level that is logged to stderr."""
    providers: Annotated[
        Mapping[ProviderName, ProviderEntry], BeforeValidator(_read_json), AfterValidator(_of_their_kind)
    ] = Field(default={})
    """More providers by name, as JSON: `{"local": {"kind": "openai", "base_url": "http://localhost:8000/v1"}}`.
    An entry with the name of an API replaces the provider of that API."""

    @property
    def timeouts(self) -> Timeouts:
        """The longest timeouts that a request may have on this worker."""
        return Timeouts(
            first_token_seconds=self.first_token_seconds,
            idle_seconds=self.idle_seconds,
            total_seconds=self.total_seconds,
        )
