"""How OpenAPI describes the errors of the fronts."""

from typing import Any, Final

from tailrace.gateway import errors

_ERROR: Final = {
    "type": "object",
    "properties": {"error": {"type": "object", "required": ["type", "message"]}},
    "required": ["error"],
    "description": "OpenAI's or Anthropic's own form.",
}
_OF_JOBS: Final[dict[int | str, dict[str, Any]]] = {
    500: {"description": "The job failed."},
    502: {"description": "The job failed: the provider cannot be used, or its answer broke off."},
    504: {"description": "The job failed: the provider took too long."},
}


def failures(*statuses: int, of_jobs: bool = False) -> dict[int | str, dict[str, Any]]:
    """Describe the errors of a route for OpenAPI.

    Args:
        statuses: The HTTP statuses.
        of_jobs: True if the route waits for jobs, which may fail.

    Returns:
        The responses, as FastAPI takes them, without the form of tailrace's own API.
    """
    return {
        status: {"description": each["description"], "content": {"application/json": {"schema": _ERROR}}}
        for status, each in {**errors.failures(*statuses), **_OF_JOBS}.items()
        if status not in _OF_JOBS or of_jobs
    }
