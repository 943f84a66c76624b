"""How much a model is asked to reason: each API has a field of its own for it."""

from typing import Any, Final

from tailrace.gateway.fronts.fields import not_carried

_OF_ANTHROPIC: Final = ("low", "medium", "high", "xhigh", "max")


def effort_for(provider: str, effort: Any, *, name: str) -> dict[str, Any]:
    """Return the effort of a request in the form of a provider's API.

    Args:
        provider: The provider that is called.
        effort: The effort that the client asks for; `None` if it asks for none.
        name: The client's name of the field.

    Returns:
        The field for the `extra` of a request; empty if the client asks for none.

    Raises:
        InvalidRequest: Anthropic does not know the effort. The others are left to the provider to judge.
    """
    if effort is None:
        return {}
    match provider:
        case "anthropic":
            if effort not in _OF_ANTHROPIC:
                raise not_carried(name, provider=provider)
            return {"output_config": {"effort": effort}}
        case "openai-responses":
            return {"reasoning": {"effort": effort}}
        case _:
            return {"reasoning_effort": effort}
