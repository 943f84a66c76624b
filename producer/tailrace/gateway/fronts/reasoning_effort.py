"""How much a model is asked to reason: each API has a field of its own for it."""

from typing import Any, Final

from tailrace import InvalidRequest
from tailrace.gateway.fronts.fields import Target

_ANTHROPIC_EFFORTS: Final = ("low", "medium", "high", "xhigh", "max")
"""The efforts of Anthropic's `output_config`."""


def effort_for(target: Target, effort: Any, *, name: str) -> dict[str, Any]:
    """Return the effort of a request in the form of a provider's API.

    Args:
        target: The provider that is called.
        effort: The effort that the client asks for; `None` if it asks for none.
        name: The client's name of the field.

    Returns:
        The field for the `extra` of a request; empty if the client asks for none.

    Raises:
        InvalidRequest: Anthropic does not know the effort. Other providers judge it themselves.
    """
    if effort is None:
        return {}
    match target.kind:
        case "anthropic":
            if effort not in _ANTHROPIC_EFFORTS:
                known = ", ".join(_ANTHROPIC_EFFORTS)
                raise InvalidRequest(f"{name}: the provider {target.name!r} does not know it. Give one of {known}.")
            return {"output_config": {"effort": effort}}
        case "openai-responses":
            return {"reasoning": {"effort": effort}}
        case "openai":
            return {"reasoning_effort": effort}
