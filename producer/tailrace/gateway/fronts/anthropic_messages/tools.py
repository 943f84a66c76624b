"""The tools of Anthropic's requests, and which of them the model calls."""

from collections.abc import Mapping
from typing import Any, Final

from tailrace import InvalidRequest
from tailrace.gateway.fronts.fields import Meaningless, anything, one_of

_NAMES: Final[Mapping[str, str]] = {
    "name": "name",
    "description": "description",
    "input_schema": "parameters",
    "strict": "strict",
}
_ACCEPTED: Final[Mapping[str, Meaningless]] = {
    "type": one_of("custom"),
    "allowed_callers": one_of(["direct"]),
    "cache_control": anything,
    "defer_loading": one_of(False),
    "eager_input_streaming": anything,
}


def to_tool(tool: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Translate a tool.

    Args:
        tool: The tool in Anthropic's form.
        path: Its path, for messages.

    Raises:
        InvalidRequest: The provider runs the tool, or the tool has a field that a job cannot carry.
    """
    translated: dict[str, Any] = {}
    for name, value in tool.items():
        if value is None or (name in _ACCEPTED and _ACCEPTED[name](value)):
            continue
        if name not in _NAMES:
            raise InvalidRequest(f"{path}.{name}: a job cannot carry it: only tools of the caller are supported.")
        translated[_NAMES[name]] = value
    return translated


def to_choice(choice: Mapping[str, Any]) -> Any:
    """Translate which tool the model calls.

    Args:
        choice: The choice in Anthropic's form.

    Raises:
        InvalidRequest: The choice is not known.
    """
    match choice:
        case {"type": "auto"}:
            return "auto"
        case {"type": "any"}:
            return "required"
        case {"type": "none"}:
            return "none"
        case {"type": "tool", "name": str() as name}:
            return {"name": name}
        case _:
            raise InvalidRequest("tool_choice.type: Input should be 'auto', 'any', 'none', or 'tool' with a `name`.")
