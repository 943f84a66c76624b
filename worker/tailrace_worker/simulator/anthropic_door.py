"""The checks that Anthropic's API makes of a request, and its error responses."""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from tailrace_worker.simulator.wire import BodyT, Refused, bearer_token, first_fault

REQUEST_ID_HEADER: Final = "request-id"

_KINDS: Final[Mapping[int, str]] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""The usual error type of a status."""
_MESSAGES: Final[Mapping[str, str]] = {
    "invalid_request_error": "Invalid value in the request.",
    "authentication_error": "invalid x-api-key",
    "billing_error": "Your credit balance is too low to access the Anthropic API.",
    "permission_error": "Your API key does not have permission to use the specified resource.",
    "not_found_error": "model: {model}",
    "request_too_large": "Request exceeds the maximum size",
    "rate_limit_error": "This request would exceed your organization's rate limit. Please try again later.",
    "timeout_error": "Request timed out",
    "overloaded_error": "Overloaded",
}
_SERVER_ERROR: Final = "Internal server error"


def admitted(kind: type[BodyT], headers: Mapping[str, str], body: Mapping[str, object] | None) -> BodyT:
    """Check the key and the body of a request.

    Args:
        kind: The type of the body.
        headers: The headers of the request.
        body: The JSON object of the request; `None` if it has none.

    Returns:
        The validated body.

    Raises:
        Refused: The key or a field is missing or wrong.
    """
    # The key is in `x-api-key` by the API reference, or in `authorization`, as the SDK sends it (2.12).
    if not headers.get("x-api-key", "").strip() and not bearer_token(headers):
        raise Refused(401, "x-api-key header is required")
    if body is None:
        raise Refused(400, "The request body is not valid JSON")
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        field, missing, rule = first_fault(error)
        raise Refused(400, f"{field}: {'Field required' if missing else rule}") from None


def refusal(refused: Refused, *, model_name: str, request_id: str) -> dict[str, Any]:
    """Return the JSON of an error response."""
    default = "api_error" if refused.status >= 500 else "invalid_request_error"
    kind = refused.code or _KINDS.get(refused.status, default)
    return failure(kind, model_name=model_name, request_id=request_id, message=refused.message)


def failure(kind: str, *, model_name: str, request_id: str, message: str | None = None) -> dict[str, Any]:
    """Return the JSON of an error, for a response or in the middle of a stream."""
    if message is None:
        message = _MESSAGES.get(kind, _SERVER_ERROR).format(model=model_name)
    return {
        "type": "error",
        "error": {"details": None, "type": kind, "message": message},
        "request_id": request_id,
    }
