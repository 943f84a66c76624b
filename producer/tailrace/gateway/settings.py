"""`GatewaySettings`: the settings of every client, and those of the HTTP server."""

import re
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from tailrace.access.signing_key import SigningKey
from tailrace.gateway.model_table import Models
from tailrace.settings import YEAR_SECONDS, Settings

_KEY_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,32}", re.ASCII)
_MIN_SECRET_CHARS: Final = 32
"""As many bytes as HMAC-SHA256 has, which RFC 7518 demands."""
_ORIGIN: Final = re.compile(r"\*|https?://[^\s/?#@]+")


def _split(value: Any) -> Any:
    return [origin.strip() for origin in value.split(",") if origin.strip()] if isinstance(value, str) else value


def _origin(value: str) -> str:
    if not _ORIGIN.fullmatch(value):
        raise ValueError("An origin should be a scheme and a host, such as https://app.example.com, or *")
    return value


def _signing_keys(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    keys = [SigningKey(*each.strip().partition(":")[::2]) for each in value.split(",") if each.strip()]
    if not all(_KEY_ID.fullmatch(key.id) and len(key.secret) >= _MIN_SECRET_CHARS for key in keys):
        raise ValueError(
            "Input should be ID:SECRET,ID:SECRET with ids of 1 to 32 characters of A-Z a-z 0-9 _ - and secrets of at "
            f"least {_MIN_SECRET_CHARS} characters"
        )
    if len({key.id for key in keys}) < len(keys):
        raise ValueError("Input should have each id once")
    return keys


_Origin: TypeAlias = Annotated[str, AfterValidator(_origin)]
_Name: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=256)]


class GatewaySettings(Settings):
    """The settings of every client, and those of the gateway.

    A field is read from `TAILRACE_` and its name in capitals.
    """

    _unquoted: ClassVar[frozenset[str]] = frozenset({"gateway_signing_keys"})

    gateway_keys_file: Path | None = None
    """The file with the API keys. `tailrace keys create` makes it, and every request then needs a key. By default the
    API keys are in Redis, and only the loopback interface is served until there is one."""
    gateway_signing_keys: Annotated[tuple[SigningKey, ...], BeforeValidator(_signing_keys)] = ()
    """The keys that sign the URLs for browsers: `ID:SECRET,ID:SECRET`. The first key signs, and all of them verify. A
    secret has at least 32 characters. By default the gateways make one key, and share it in Redis."""
    gateway_url_seconds: int = Field(default=3_600, ge=1, le=604_800)
    """How long a signed URL is valid, in seconds."""
    gateway_cors_origins: Annotated[tuple[_Origin, ...], BeforeValidator(_split)] = ()
    """The origins whose pages may call the gateway from a browser, such as `https://app.example.com`, with commas
    between them; `*` for all. By default only pages of the gateway's own origin may."""
    gateway_max_body_bytes: int = Field(default=4_194_304, ge=1_024)
    """The size of the largest HTTP body, in bytes. `TAILRACE_MAX_REQUEST_BYTES` limits the generation request in it."""
    gateway_grace_seconds: float = Field(default=30, ge=0, le=YEAR_SECONDS)
    """How long requests, and streams that clients cannot resume elsewhere, may go on after SIGTERM, in seconds."""
    gateway_leave_seconds: float = Field(default=5, ge=0, le=YEAR_SECONDS)
    """How long the client of a call that cannot be resumed may be away before its job is cancelled, in seconds. A call
    with an `Idempotency-Key` is not cancelled."""
    models: Models = Field(default={}, validate_default=False)
    """What the names of models stand for that clients of the APIs of OpenAI and Anthropic ask for, as JSON:
    `{"fast": {"provider": "openai", "model": "gpt-5-mini"}, "claude-*": {"provider": "anthropic"}}`. Names with `*`,
    `?` or `[…]` are patterns: an exact name is found first, then the first pattern that fits. An entry has `provider`,
    and may have `model` (by default the name that was asked for), `fallbacks`, `queue`, `max_output_tokens` and
    `timeouts`."""
    chat_provider: _Name | None = None
    """The provider for requests to `/v1/chat` that name none."""
    chat_model: _Name | None = None
    """The model for requests to `/v1/chat` that name none."""

    def client_fields(self) -> dict[str, Any]:
        """Return the fields of every client, as `Tailrace.connect` takes them."""
        return self.model_dump(include=set(Settings.model_fields))
