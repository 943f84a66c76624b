"""What the adapters share of a provider's endpoint: how patient they are with it, and how they tell what went wrong."""

import math
import os
import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Protocol, cast

import aiohttp
import anthropic
import httpx2
import openai

from tailrace.errors import FailureCode, ProviderError

TIMEOUT: Final = httpx2.Timeout(600, connect=10)
"""Seconds. The deadlines of a job are the worker's; these only free what is dead."""
LIMITS: Final = httpx2.Limits(max_connections=10_000, keepalive_expiry=3)
"""One connection a stream: how many there are is decided by the worker, never by the pool. An idle one is dropped
before common servers drop it (uvicorn: after 5 s), since a call written into a dead connection fails."""

_OWN_WORDS: Final[Mapping[str, FailureCode]] = {
    "contract_spend_limit_reached": FailureCode.PROVIDER_QUOTA_EXCEEDED,
    "enforced_spend_limit_reached": FailureCode.PROVIDER_QUOTA_EXCEEDED,
    "insufficient_quota": FailureCode.PROVIDER_QUOTA_EXCEEDED,
    "model_not_found": FailureCode.MODEL_NOT_FOUND,
    "overloaded_error": FailureCode.PROVIDER_OVERLOADED,
}
"""The providers' words that say more than the status they come with."""

_STATUS_OF_TYPE: Final[Mapping[str, int]] = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
}
"""What the status would have been, had the error not come inside the stream (https://docs.anthropic.com/en/api/errors)."""

_CODE_OF_STATUS: Final[Mapping[int, FailureCode]] = {
    401: FailureCode.PROVIDER_AUTHENTICATION,
    402: FailureCode.PROVIDER_QUOTA_EXCEEDED,
    403: FailureCode.PROVIDER_AUTHENTICATION,
    404: FailureCode.MODEL_NOT_FOUND,
    408: FailureCode.PROVIDER_UNAVAILABLE,
    409: FailureCode.PROVIDER_UNAVAILABLE,
    429: FailureCode.PROVIDER_RATE_LIMITED,
    499: FailureCode.PROVIDER_UNAVAILABLE,
    529: FailureCode.PROVIDER_OVERLOADED,
}
"""The statuses that differ from their class: other 4xx are a rejection, other 5xx an outage."""

_ADVICE: Final[Mapping[FailureCode, str]] = {
    FailureCode.PROVIDER_NOT_CONFIGURED: "Set {key} in the worker's environment, and check {url} if it is set.",
    FailureCode.PROVIDER_AUTHENTICATION: "Check {key}, and what that key may do.",
    FailureCode.PROVIDER_REJECTED: "Change the request.",
    FailureCode.MODEL_NOT_FOUND: "Check the model's name, and {url} if it is set.",
    FailureCode.PROVIDER_RATE_LIMITED: "Try again later, or run fewer jobs at once.",
    FailureCode.PROVIDER_QUOTA_EXCEEDED: "Raise the limit of the account, or add credit.",
    FailureCode.PROVIDER_OVERLOADED: "Try again later.",
    FailureCode.PROVIDER_UNAVAILABLE: "Try again later; if it stays so, check the network, and {url} if it is set.",
    FailureCode.PROVIDER_INTERRUPTED: "Try again.",
    FailureCode.PROVIDER_MALFORMED: "Try again; if it stays so, check {url} if it is set.",
}

_BROKEN: Final = (openai.APIError, anthropic.APIError, httpx2.RequestError, aiohttp.ClientError, OSError)
"""What a broken connection raises, and an error inside a stream; `anthropic` lets its transport's errors through."""

_RETRYABLE: Final = frozenset(
    {
        FailureCode.PROVIDER_RATE_LIMITED,
        FailureCode.PROVIDER_OVERLOADED,
        FailureCode.PROVIDER_UNAVAILABLE,
        FailureCode.PROVIDER_INTERRUPTED,
        FailureCode.PROVIDER_MALFORMED,
    }
)

_KEY_SHAPE: Final = re.compile(r"\bsk-[\w*.-]{4,}")
_MAX_WORDS: Final = 300


class Answer(Protocol):
    """An answer that is being read; `finished` once the provider's protocol says that it is whole."""

    finished: bool


class Endpoint:
    """A provider as its messages name it, and the environment that its SDK reads.

    The first of `key_variables` is the one that messages advise to set. What any of them holds never gets into an
    error's text.
    """

    def __init__(self, name: str, *, key_variables: tuple[str, ...], url_variable: str) -> None:
        self._name = name
        self._advised = {"key": key_variables[0], "url": url_variable}
        keys = (os.environ.get(variable, "").strip() for variable in key_variables)
        # A local server's stand-in for a key, such as "x", is no secret, and may be part of any word.
        self._keys = tuple(key for key in keys if len(key) >= 8)

    @contextmanager
    def calling(self) -> Generator[None]:
        """Around the making of the client and the call, until the answer begins."""
        try:
            yield
        except Exception as error:
            raise self._told(error, reading=False) from error

    @contextmanager
    def reading(self, answer: Answer) -> Generator[None]:
        """Around the reading of the answer: ends well if it was finished, whatever happens after that."""
        try:
            yield
        except Exception as error:
            if not answer.finished:
                raise self._told(error, reading=True) from error
        if not answer.finished:
            raise self._error(
                "broke off its answer", "the stream ended without its last event", FailureCode.PROVIDER_INTERRUPTED
            )

    def _told(self, error: Exception, *, reading: bool) -> ProviderError:
        reason = _reason(error)
        code = _code(reason, reading=reading)
        words = self._redacted(_words(reason))
        for each in {error, reason}:
            # The SDK's error stays behind ours as its cause, and tracebacks get logged.
            each.args = tuple(self._redacted(part) if isinstance(part, str) else part for part in each.args)
        if code is FailureCode.PROVIDER_NOT_CONFIGURED:
            happened = "cannot be called"
        elif code is FailureCode.PROVIDER_MALFORMED:
            happened = "sent what is not of its protocol"
        elif _status(reason):
            happened = f"answered {_status(reason)}"
        else:
            happened = "broke off its answer" if reading else "cannot be reached"
        return self._error(happened, words, code, retry_after_seconds=_retry_after_seconds(reason))

    def _error(
        self, happened: str, words: str, code: FailureCode, *, retry_after_seconds: float | None = None
    ) -> ProviderError:
        return ProviderError(
            f"{self._name} {happened}: {words.rstrip('.')}. {_ADVICE[code].format_map(self._advised)}",
            code=code,
            retryable=code in _RETRYABLE,
            retry_after_seconds=retry_after_seconds,
        )

    def _redacted(self, text: str) -> str:
        for key in self._keys:
            text = text.replace(key, "[key]")
        return _KEY_SHAPE.sub("[key]", text)


def _reason(error: Exception) -> Exception:
    """What lies behind an SDK's `Connection error.`, which says nothing."""
    if isinstance(error, openai.APIConnectionError | anthropic.APIConnectionError):
        return error.__cause__ if isinstance(error.__cause__, Exception) else error
    return error


def _code(reason: Exception, *, reading: bool) -> FailureCode:
    body = _body(reason)
    terms = [str(body.get("code")), str(body.get("type")), str(_mapping(body.get("details")).get("error_code"))]
    own = next((_OWN_WORDS[term] for term in terms if term in _OWN_WORDS), None)
    status = _status(reason) or next((_STATUS_OF_TYPE[term] for term in terms if term in _STATUS_OF_TYPE), 0)
    if own is not None:
        return own
    if status:
        other = FailureCode.PROVIDER_UNAVAILABLE if status >= 500 else FailureCode.PROVIDER_REJECTED
        return _CODE_OF_STATUS.get(status, other)
    if isinstance(reason, _BROKEN) and not isinstance(reason, httpx2.UnsupportedProtocol):
        return FailureCode.PROVIDER_INTERRUPTED if reading else FailureCode.PROVIDER_UNAVAILABLE
    # The SDKs validate nothing of a stream: what has another shape than theirs trips whoever touches it first.
    return FailureCode.PROVIDER_MALFORMED if reading else FailureCode.PROVIDER_NOT_CONFIGURED


def _status(reason: Exception) -> int:
    """The HTTP status, or 0 where the answer itself had none that tells a failure."""
    if isinstance(reason, openai.APIStatusError | anthropic.APIStatusError) and reason.status_code >= 400:
        return reason.status_code
    return 0


def _retry_after_seconds(reason: Exception) -> float | None:
    if not isinstance(reason, openai.APIStatusError | anthropic.APIStatusError):
        return None
    try:
        seconds = float(reason.response.headers.get("retry-after", ""))
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _body(reason: Exception) -> Mapping[str, Any]:
    body = reason.body if isinstance(reason, openai.APIError | anthropic.APIError) else None
    return _mapping(_mapping(body).get("error", body))


def _mapping(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def _words(reason: Exception) -> str:
    """What the provider says about it, on one line."""
    if isinstance(reason, httpx2.UnsupportedProtocol):
        return f"{str(reason)!r} does not begin with http:// or https://"
    message = _body(reason).get("message")
    words = message if isinstance(message, str) and message else str(reason) or type(reason).__name__
    return " ".join(words.split())[:_MAX_WORDS]
