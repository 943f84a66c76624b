"""`GatewaySettings`: what the HTTP server can be set to, beside the settings of every client."""

import re
from typing import Annotated, Any, Final, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from tailrace.settings import YEAR_SECONDS, Settings

_ORIGIN: Final = re.compile(r"\*|https?://[^\s/?#@]+")


def _split(value: Any) -> Any:
    return [origin.strip() for origin in value.split(",") if origin.strip()] if isinstance(value, str) else value


def _origin(value: str) -> str:
    if not _ORIGIN.fullmatch(value):
        raise ValueError("An origin should be a scheme and a host, such as https://app.example.com, or *")
    return value


_Origin: TypeAlias = Annotated[str, AfterValidator(_origin)]
_Name: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=256)]


class GatewaySettings(Settings):
    """The settings of every client, and those of the gateway.

    A field is read from `TAILRACE_` and its name in capitals.
    """

    gateway_cors_origins: Annotated[tuple[_Origin, ...], BeforeValidator(_split)] = ()
    """The origins whose pages may call the gateway from a browser, with commas between them; `*` for all. By default
    only pages that the gateway itself serves."""
    gateway_max_body_bytes: int = Field(default=4_194_304, ge=1_024)
    """The size of the largest request body, in bytes. `TAILRACE_MAX_REQUEST_BYTES` limits what a job may hold of it."""
    gateway_grace_seconds: float = Field(default=30, ge=0, le=YEAR_SECONDS)
    """How long requests and streams that clients cannot resume elsewhere may go on after SIGTERM."""
    chat_provider: _Name | None = None
    """The provider of chats whose requests name none."""
    chat_model: _Name | None = None
    """The model of chats whose requests name none."""

    def client_fields(self) -> dict[str, Any]:
        """Return the fields of every client, as `Tailrace.connect` takes them."""
        return self.model_dump(include=set(Settings.model_fields))
