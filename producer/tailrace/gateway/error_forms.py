"""The forms of errors: that of tailrace's own API, and those of the APIs of OpenAI and Anthropic."""

from collections.abc import Mapping
from typing import Any, Final, Protocol

from starlette.types import Scope

from tailrace.encoders.anthropic_messages import ERROR_TYPES as ANTHROPIC_TYPES
from tailrace.encoders.stream_error import ERROR_TYPES as OPENAI_TYPES

_OPENAI_OF_STATUS: Final[Mapping[int, str]] = {401: "authentication_error", 429: "rate_limit_error"}
"""The types of OpenAI's errors, beside `invalid_request_error` below 500, and `server_error` from there on."""
_ANTHROPIC_OF_STATUS: Final[Mapping[int, str]] = {
    401: "authentication_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
}
"""The types of Anthropic's errors, beside `invalid_request_error` below 500, and `api_error` from there on."""


class ErrorForm(Protocol):
    """Writes an error as the body of a response."""

    def __call__(self, *, status: int, code: str, message: str, job_id: str | None) -> dict[str, Any]: ...


def _own(*, status: int, code: str, message: str, job_id: str | None) -> dict[str, Any]:  # noqa: ARG001
    error = {"code": code, "message": message}
    return {"error": error if job_id is None else {**error, "job": job_id}}


def _openai(*, status: int, code: str, message: str, job_id: str | None) -> dict[str, Any]:  # noqa: ARG001
    by_status = _OPENAI_OF_STATUS.get(status, "invalid_request_error" if status < 500 else "server_error")
    kind = OPENAI_TYPES.get(code, by_status)
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def _anthropic(*, status: int, code: str, message: str, job_id: str | None) -> dict[str, Any]:
    by_status = _ANTHROPIC_OF_STATUS.get(status, "invalid_request_error" if status < 500 else "api_error")
    kind = ANTHROPIC_TYPES.get(code, by_status)
    request_id = None if job_id is None else f"req_{job_id}"
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": request_id}


def form_of(scope: Scope) -> ErrorForm:
    """Return the form of errors for a request, also for one that no route takes.

    Args:
        scope: The scope of the request.
    """
    path: str = scope["path"].removeprefix(scope.get("root_path", ""))
    if path.startswith("/v1/messages"):
        return _anthropic
    if path.startswith("/v1/models"):
        return _anthropic if asks_for_anthropic(scope) else _openai
    if path == "/v1/chat/completions" or path.startswith("/v1/responses"):
        return _openai
    return _own


def asks_for_anthropic(scope: Scope) -> bool:
    """Return whether a request to a path that two APIs share is one of Anthropic's.

    Args:
        scope: The scope of the request.
    """
    return any(name == b"anthropic-version" for name, _ in scope["headers"])
