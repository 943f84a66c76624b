"""The names of providers and models, and the fallbacks of a request."""

from typing import Annotated, TypeAlias

from pydantic import StringConstraints, with_config
from typing_extensions import TypedDict

from tailrace.request.validation import CLOSED

ProviderName: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_.-]{0,63}$")]
"""The name of a provider: a built-in one, or one that the workers' `TAILRACE_PROVIDERS` defines."""

ModelName: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=256)]
"""The name of a model, as the provider writes it: 1 to 256 characters."""


@with_config(CLOSED)
class Fallback(TypedDict):
    """Another model that is called when the one before it fails."""

    provider: ProviderName
    """The provider: a name as in the request's `provider`."""
    model: ModelName
    """The model, as the provider writes its name."""
