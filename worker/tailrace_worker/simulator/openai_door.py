"""The checks that both APIs of OpenAI make of a request, and their error responses."""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from tailrace_worker.simulator.wire import BodyT, Refused, bearer_token, first_fault

REQUEST_ID_HEADER: Final = "x-request-id"

_CODES: Final[Mapping[int, str]] = {
    400: "invalid_value",
    401: "invalid_api_key",
    403: "model_not_found",
    404: "model_not_found",
    429: "rate_limit_exceeded",
}
"""The usual error code of a status. Errors of the server have none."""
_ERRORS: Final[Mapping[str, tuple[str, str]]] = {
    "invalid_value": ("invalid_request_error", "Invalid value in the request."),
    "invalid_api_key": (
        "invalid_request_error",
        "Incorrect API key provided. You can find your API key at https://platform.openai.com/account/api-keys.",
    ),
    "model_not_found": (
        "invalid_request_error",
        "The model `{model}` does not exist or you do not have access to it.",
    ),
    "context_length_exceeded": (
        "invalid_request_error",
        "Your input exceeds the context window of this model. Please adjust your input and try again.",
    ),
    "rate_limit_exceeded": (
        "requests",
        "Rate limit reached for {model} on requests per min (RPM): Limit 3, Used 3, Requested 1.",
    ),
    "insufficient_quota": (
        "insufficient_quota",
        "You exceeded your current quota, please check your plan and billing details.",
    ),
}
"""The type and the message of an error code."""
_SERVER_ERROR: Final = "The server had an error while processing your request. Sorry about that!"
_NO_KEY: Final = (
    "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth "
    "(i.e. Authorization: Bearer YOUR_KEY). You can obtain an API key from https://platform.openai.com/account/api-keys."
)
_NOT_JSON: Final = (
    "We could not parse the JSON body of your request. "
    "The OpenAI API expects a JSON payload, but what was sent was not valid JSON."
)


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
    if not bearer_token(headers):
        raise Refused(401, _NO_KEY)
    if body is None:
        raise Refused(400, _NOT_JSON)
    try:
        # To OpenAI, a field that is null is one that was not given.
        return kind.model_validate({name: value for name, value in body.items() if value is not None})
    except ValidationError as error:
        field, missing, rule = first_fault(error)
        if missing:
            message, code = f"Missing required parameter: '{field}'.", "missing_required_parameter"
        else:
            message, code = f"Invalid value for '{field}': {rule}.", "invalid_value"
        raise Refused(400, message, param=field, code=code) from None


def refusal(refused: Refused, *, model_name: str) -> dict[str, Any]:
    """Return the JSON of an error response."""
    if refused.message is not None:
        error = {"message": refused.message, "type": "invalid_request_error", "code": refused.code}
    else:
        default = None if refused.status >= 500 else "invalid_value"
        error = failure(refused.code or _CODES.get(refused.status, default), model_name=model_name)
    return {"error": {**error, "param": refused.param}}


def failure(code: str | None, *, model_name: str) -> dict[str, Any]:
    """Return the JSON of an error, for a response or in the middle of a stream."""
    kind, message = _ERRORS.get(code or "", (code or "server_error", _SERVER_ERROR))
    return {"message": message.format(model=model_name), "type": kind, "param": None, "code": code}
