"""How OpenAPI describes the errors of the fronts."""

from typing import Any, Final

from tailrace.gateway import errors

_ERROR: Final = {
    "type": "object",
    "properties": {"error": {"type": "object", "required": ["type", "message"]}},
    "required": ["error"],
    "description": "OpenAI's or Anthropic's own form.",
}


def failures(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe the errors of a route for OpenAPI.

    Args:
        statuses: The HTTP statuses.

    Returns:
        The responses, as FastAPI takes them, without the form of tailrace's own API.
    """
    return {
        status: {"description": each["description"], "content": {"application/json": {"schema": _ERROR}}}
        for status, each in errors.failures(*statuses).items()
    }
