"""Errors as HTTP responses, in the form of the API that was called."""

import json
import logging
import math
import re
from collections.abc import Callable, Coroutine, Iterable, Mapping
from enum import StrEnum
from typing import Any, ClassVar, Final

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tailrace import (
    BrokerRefused,
    BrokerUnavailable,
    ConversationBusy,
    IdempotencyConflict,
    InvalidCursor,
    InvalidJobId,
    InvalidRequest,
    JobNotFound,
    NotDurable,
    QueueFull,
    RequestTooLarge,
    TailraceError,
)
from tailrace.field_docs import describe_fields
from tailrace.gateway.error_forms import form_of

_logger = logging.getLogger(__name__)

JOB_HEADER: Final = "X-Tailrace-Job"
"""The header that names the job in every response about one."""

_MAX_TOLD: Final = 20
"""The largest number of invalid fields that a message names."""
_MAX_CHARS: Final = 2_000
"""The length at which a message is cut, in characters."""
_JOB_ID: Final = re.compile(r"[A-Za-z0-9_-]{16,64}")
_RETRIED_BY_SDKS: Final = frozenset({409, 429, 500, 502, 503, 504, 529})
"""The statuses after which the SDKs of OpenAI and Anthropic repeat a request, unless `X-Should-Retry` is `false`."""
_RETRY_SECONDS: Final = 5
"""The `Retry-After`, in seconds, if Redis is unavailable or the queue is full."""


class ErrorCode(StrEnum):
    """The values of `code` in an error."""

    INVALID_REQUEST = "invalid_request"
    """A field, a parameter or the body is not valid (400)."""
    INVALID_CURSOR = "invalid_cursor"
    """The cursor does not have the form of a cursor, or is ahead of the stream (400)."""
    UNAUTHORIZED = "unauthorized"
    """The credentials are missing, wrong or expired, or do not include what the route needs (401)."""
    JOB_NOT_FOUND = "job_not_found"
    """There is no such job: it expired, was deleted, was never enqueued, or is another tenant's (404)."""
    MODEL_NOT_FOUND = "model_not_found"
    """The name of a model is not in `TAILRACE_MODELS`, and is no `provider/model` (404)."""
    NOT_FOUND = "not_found"
    """There is no such route, or no such item of a response (404)."""
    METHOD_NOT_ALLOWED = "method_not_allowed"
    """The route does not have this method (405)."""
    REQUEST_TIMEOUT = "request_timeout"
    """The body did not arrive in time (408)."""
    CONVERSATION_BUSY = "conversation_busy"
    """Another job of the conversation is active (409)."""
    IDEMPOTENCY_CONFLICT = "idempotency_conflict"
    """The idempotency key was used for another request (409)."""
    REQUEST_TOO_LARGE = "request_too_large"
    """The body, or the request in it, is too large (413)."""
    RATE_LIMITED = "rate_limited"
    """The API key made too many requests in a second, or its tenant has too many jobs (429)."""
    QUEUE_FULL = "queue_full"
    """`TAILRACE_MAX_QUEUED` jobs wait in the queue already (429)."""
    INTERNAL_ERROR = "internal_error"
    """The gateway has a defect; its log has the details (500)."""
    BROKER_UNAVAILABLE = "broker_unavailable"
    """Redis cannot be reached, or refused the command; repeat the request after `Retry-After` seconds (503)."""
    SHUTTING_DOWN = "shutting_down"
    """This gateway is about to end; send the request to another one. Only `/readyz` returns it (503)."""


_OF_STATUS: Final[Mapping[int, ErrorCode]] = {
    404: ErrorCode.NOT_FOUND,
    405: ErrorCode.METHOD_NOT_ALLOWED,
    408: ErrorCode.REQUEST_TIMEOUT,
    413: ErrorCode.REQUEST_TOO_LARGE,
}


_DESCRIPTIONS: Final[Mapping[int, str]] = {
    400: "A field, a parameter, a cursor or the body is not valid.",
    401: "The credentials are missing, wrong or expired, or do not include what the route needs.",
    404: "There is no such job or model, or the job is another tenant's.",
    408: "The body did not arrive in time.",
    409: "Another job of the conversation is active, or the idempotency key was used for another request.",
    413: "The body, or the request in it, is too large.",
    429: "The API key made too many requests, or there are too many jobs: try again after `Retry-After` seconds.",
    503: "Redis cannot be reached, or refused the command: try again after `Retry-After` seconds.",
}


class Unauthorized(Exception):
    """The credentials are missing, wrong or expired, or do not include what the route needs.

    Args:
        message: What is wrong, for a person. It never has the credentials.
    """


class RateLimited(Exception):
    """The principal has reached one of its limits.

    Args:
        message: Which limit was reached, for a person.
        retry_after_seconds: In how many seconds the request may succeed.
    """

    def __init__(self, message: str, *, retry_after_seconds: float) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class UnknownModel(Exception):
    """No provider is known for the name of a model.

    Args:
        message: Which name it is, and what there is, for a person.
    """


class ErrorResponse(Response):
    """An error. It is written when it is sent, in the form of the API that was called.

    Args:
        status: The HTTP status.
        code: The code, for programs: an `ErrorCode`, or the code of a job's failure.
        message: What happened and what to do, for a person.
        retry_after_seconds: In how many seconds the request may succeed.
        job_id: The job that the error is about.
        headers: More headers.
    """

    media_type = "application/json"

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        retry_after_seconds: float | None = None,
        job_id: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        added = dict(headers or {})
        if retry_after_seconds is not None:
            added["Retry-After"] = str(max(1, math.ceil(retry_after_seconds)))
        elif status in _RETRIED_BY_SDKS:
            # A repetition gets the same answer.
            added["X-Should-Retry"] = "false"
        if job_id is not None:
            added[JOB_HEADER] = job_id
        super().__init__(None, status, added)
        self._code = code
        # A message may quote what the client sent.
        self._message = message[:_MAX_CHARS]
        self._job_id = job_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Write and send the error."""
        form = form_of(scope)
        written = form(status=self.status_code, code=self._code, message=self._message, job_id=self._job_id)
        self.body: bytes = json.dumps(written).encode()
        self.headers["Content-Length"] = str(len(self.body))
        await super().__call__(scope, receive, send)


class ErrorDetail(BaseModel):
    """What happened, and what to do."""

    model_config: ClassVar[ConfigDict] = ConfigDict(json_schema_extra=describe_fields)

    code: ErrorCode
    """The code, for programs. Later versions may add codes."""
    message: str
    """What happened and what to do, for a person."""
    job: str | None = None
    """The job that the error is about, such as the active job of a conversation."""


class ErrorObject(BaseModel):
    """An error."""

    model_config: ClassVar[ConfigDict] = ConfigDict(json_schema_extra=describe_fields)

    error: ErrorDetail
    """What happened, and what to do."""


def failures(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe the errors of a route for OpenAPI.

    Args:
        statuses: The HTTP statuses.

    Returns:
        The responses, as FastAPI takes them. If 401 is among the statuses, 429 is added: a route that needs an API key
        counts the requests that are made with it.
    """
    if 401 in statuses:
        statuses = (*{*statuses, 429},)
    return {status: {"model": ErrorObject, "description": _DESCRIPTIONS[status]} for status in sorted(statuses)}


def of_tailrace(error: TailraceError) -> ErrorResponse:
    """Return the response for an error that the client library raised.

    Args:
        error: The error.
    """
    told = str(error)
    match error:
        case RequestTooLarge():
            return ErrorResponse(413, ErrorCode.REQUEST_TOO_LARGE, told)
        case InvalidRequest():
            return ErrorResponse(400, ErrorCode.INVALID_REQUEST, told)
        case InvalidCursor():
            return ErrorResponse(400, ErrorCode.INVALID_CURSOR, told)
        case JobNotFound() | InvalidJobId():
            return job_not_found()
        case ConversationBusy():
            return ErrorResponse(409, ErrorCode.CONVERSATION_BUSY, told, job_id=error.job_id)
        case IdempotencyConflict():
            return ErrorResponse(409, ErrorCode.IDEMPOTENCY_CONFLICT, told)
        case QueueFull():
            return ErrorResponse(429, ErrorCode.QUEUE_FULL, told, retry_after_seconds=_RETRY_SECONDS)
        case BrokerUnavailable():
            return unavailable("The gateway cannot reach Redis. Try again later.")
        case BrokerRefused() | NotDurable():
            return unavailable("Redis refused the command. Try again later. The gateway's log has the reason.")
        case _:
            return internal_error()


def described(lines: Iterable[Mapping[str, Any]]) -> str:
    """Describe what is not valid, without the values, because they may be parts of a prompt.

    Args:
        lines: What `errors()` of a validation error returns.

    Returns:
        The paths of the fields, and the rules that they break.
    """
    told = [f"{'.'.join(map(str, line['loc'])) or 'request'}: {line['msg']}" for line in lines]
    return "; ".join(told[:_MAX_TOLD])


def job_not_found() -> ErrorResponse:
    """Return the response for a job that does not exist or is another tenant's, and for a malformed id.

    It is the same for all three, so that clients cannot tell them apart.
    """
    message = "There is no such job: it expired, was deleted, or was never enqueued."
    return ErrorResponse(404, ErrorCode.JOB_NOT_FOUND, message)


def unavailable(message: str) -> ErrorResponse:
    """Return the response while Redis is away.

    Args:
        message: What happened.
    """
    return ErrorResponse(503, ErrorCode.BROKER_UNAVAILABLE, message, retry_after_seconds=_RETRY_SECONDS)


def internal_error() -> ErrorResponse:
    """Return the response for a defect of the gateway."""
    return ErrorResponse(500, ErrorCode.INTERNAL_ERROR, "The gateway has a defect. Its log has the details.")


async def _tailrace(request: Request, error: TailraceError) -> Response:
    response = of_tailrace(error)
    job_id = request.path_params.get("job_id")
    if job_id is not None and response.status_code != 404 and _JOB_ID.fullmatch(job_id):
        response.headers[JOB_HEADER] = job_id
    if response.status_code >= 500:
        _logger.warning("a request failed: %s", error)
    return response


async def _unauthorized(_: Request, error: Unauthorized) -> Response:
    return ErrorResponse(401, ErrorCode.UNAUTHORIZED, str(error), headers={"WWW-Authenticate": "Bearer"})


async def _rate_limited(_: Request, error: RateLimited) -> Response:
    return ErrorResponse(429, ErrorCode.RATE_LIMITED, str(error), retry_after_seconds=error.retry_after_seconds)


async def _unknown_model(_: Request, error: UnknownModel) -> Response:
    return ErrorResponse(404, ErrorCode.MODEL_NOT_FOUND, str(error))


async def _invalid(_: Request, error: RequestValidationError) -> Response:
    # Each path begins with the place: the body, the query, a header.
    lines = [{**line, "loc": line["loc"][1:]} for line in error.errors()]
    return ErrorResponse(400, ErrorCode.INVALID_REQUEST, described(lines))


async def _http(_: Request, error: HTTPException) -> Response:
    code = _OF_STATUS.get(error.status_code, ErrorCode.INVALID_REQUEST)
    return ErrorResponse(error.status_code, code, str(error.detail), headers=error.headers)


HANDLERS: Final[dict[int | type[Exception], Callable[[Request, Any], Coroutine[Any, Any, Response]]]] = {
    TailraceError: _tailrace,
    Unauthorized: _unauthorized,
    RateLimited: _rate_limited,
    UnknownModel: _unknown_model,
    RequestValidationError: _invalid,
    HTTPException: _http,
}
"""The handlers of exceptions, as FastAPI takes them: coroutines, because others would run in threads."""
