"""Jobs that did not complete, as HTTP errors by which the official SDKs raise their own classes."""

from collections.abc import Mapping
from typing import Final

from tailrace import Cancelled, Failed
from tailrace.encoders.stream_error import GAP, StreamError
from tailrace.gateway.errors import ErrorResponse

_STATUSES: Final[Mapping[str, int]] = {
    "invalid_request": 400,
    "provider_rejected": 400,
    "content_blocked": 400,
    "model_not_found": 404,
    "cancelled": 409,
    "provider_rate_limited": 429,
    "provider_quota_exceeded": 429,
    # The key of the worker is wrong, and not that of the client, which would have to act on 401.
    "provider_authentication": 502,
    "provider_unavailable": 502,
    "provider_interrupted": 502,
    "provider_malformed": 502,
    "provider_not_configured": 503,
    "provider_overloaded": 503,
    "expired_in_queue": 503,
    "first_token_timeout": 504,
    "idle_timeout": 504,
    "total_timeout": 504,
}
"""The status for each code of a failure. All others are 500."""


def failed_job(ending: Failed | Cancelled, job_id: str) -> ErrorResponse:
    """Return the response for a job that did not complete.

    The SDKs do not repeat the call by themselves: the worker has tried as often as its settings allow.

    Args:
        ending: The ending of the job.
        job_id: The id of the job.
    """
    return _response(StreamError.of(ending), job_id)


def incomplete_answer(job_id: str) -> ErrorResponse:
    """Return the response for an answer of which Redis has lost a part.

    Args:
        job_id: The id of the job.
    """
    return _response(GAP, job_id)


def _response(error: StreamError, job_id: str) -> ErrorResponse:
    return ErrorResponse(_STATUSES.get(error.code, 500), error.code, error.message, job_id=job_id)
