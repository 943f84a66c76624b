"""Which model of which provider: the names of both, and where a job goes on."""

from typing import Annotated, TypeAlias

from pydantic import StringConstraints, with_config
from typing_extensions import TypedDict

from tailrace.request.validation import CLOSED

ProviderName: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_.-]{0,63}$")]
"""As requests name a provider, and `TAILRACE_PROVIDERS` one of its own."""

ModelName: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=256)]
"""A model, by the provider's own name."""


@with_config(CLOSED)
class Fallback(TypedDict):
    """Where a job goes on when what was tried before it fails."""

    provider: ProviderName
    """As in the request."""
    model: ModelName
    """The model, by the provider's own name."""
