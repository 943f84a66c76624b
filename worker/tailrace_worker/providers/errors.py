"""`Failures`: turns a provider's failures into `ProviderError`s, with a code and advice, and without any key."""

import math
import os
import re
import sys
import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final, Protocol, Self

import aiohttp
import httpx2
from typing_extensions import TypeIs

from tailrace.errors import FailureCode, ProviderError
from tailrace_worker.providers.error_body import ErrorBody
from tailrace_worker.providers.error_codes import code_of
from tailrace_worker.providers.json_decoder import decoder

if TYPE_CHECKING:
    import anthropic
    import openai

_ADVICE: Final[Mapping[FailureCode, str]] = {
    FailureCode.PROVIDER_NOT_CONFIGURED: "Set {key} in the worker's environment, and check {url} if it is set.",
    FailureCode.PROVIDER_AUTHENTICATION: "Check {key}, and the permissions of that key.",
    FailureCode.PROVIDER_REJECTED: "Change the request.",
    FailureCode.MODEL_NOT_FOUND: "Check the model's name, and {url} if it is set.",
    FailureCode.PROVIDER_RATE_LIMITED: "Try again later, or run fewer jobs at once.",
    FailureCode.PROVIDER_QUOTA_EXCEEDED: "Raise the limit of the account, or add credit.",
    FailureCode.PROVIDER_OVERLOADED: "Try again later.",
    FailureCode.PROVIDER_UNAVAILABLE: "Try again later. If it persists, check the network, and {url} if it is set.",
    FailureCode.PROVIDER_INTERRUPTED: "Try again.",
    FailureCode.PROVIDER_MALFORMED: "Try again. If it persists, check {url} if it is set.",
}


_decode: Final = decoder(object)


class ErrorEvent(Exception):
    """The provider reported an error inside its stream, or instead of an answer."""

    def __init__(self, body: object) -> None:
        super().__init__("an error without a message")
        self.body = body

    @classmethod
    def of(cls, data: bytes) -> Self:
        """Make the error from the data of an event.

        Args:
            data: JSON, or any other text.
        """
        try:
            return cls(_decode(data))
        except ValueError:
            return cls(data.decode(errors="replace"))


class EventsLost(ErrorEvent):
    """The numbers of the events show that some of them are missing."""


_BROKEN: Final = (
    ErrorEvent,
    *(httpx2.RequestError, httpx2.StreamError, aiohttp.ClientError, OSError),
)
"""The exceptions for a broken connection, and for an error inside a stream. Anthropic's SDK does not wrap the errors of
its transport."""

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
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
_MAX_WORDS: Final = 300


class Finishing(Protocol):
    """An answer that is being read. It is `finished` once all of its pieces were yielded."""

    finished: bool


class Failures:
    """The maker of one provider's errors, with its name and with advice about what an operator can change.

    No error's text contains a key or the value of a header.
    """

    def __init__(self, name: str, *, key_variables: tuple[str, ...], url: str, headers: Iterable[str] = ()) -> None:
        """Read the secrets that no error may contain.

        Args:
            name: The name of the provider.
            key_variables: The environment variables of its keys. The advice names the first one.
            url: The advice's words for the setting of its address.
            headers: The values of headers that no error may contain.
        """
        self.name = name
        self._advised = {"key": key_variables[0] if key_variables else "its key_variable", "url": url}
        keys = [os.environ.get(variable, "").strip() for variable in key_variables]
        # A server may echo the credentials of a header without their scheme, such as `Bearer`.
        credentials = [part for key in keys for part in key.split()]
        # A placeholder for a local server's key, such as "x", is not a secret, and may be part of any word.
        secrets = {secret for secret in (*keys, *credentials, *headers) if len(secret) >= 8}
        # The longest secret comes first, because another one may be part of it.
        self._secrets = sorted(secrets, key=len, reverse=True)

    @contextmanager
    def calling(self) -> Generator[None]:
        """Wrap the making of a client, or a call until its answer begins.

        Raises:
            ProviderError: The block failed.
        """
        try:
            yield
        except Exception as error:
            raise self._told(error, reading=False) from error

    @contextmanager
    def reading(self, answer: Finishing, headers: Mapping[str, str] | None = None) -> Generator[None]:
        """Wrap the reading of an answer. An error after the answer has finished is ignored.

        Args:
            answer: The answer.
            headers: The headers of the response, which have the request id.

        Raises:
            ProviderError: The block failed, or it ended before the answer had finished.
        """
        try:
            yield
        except Exception as error:
            if not answer.finished:
                raise self._told(error, reading=True, headers=headers) from error
        if not answer.finished:
            raise self._error(
                "broke off its answer",
                "it ended without the last event of its protocol",
                FailureCode.PROVIDER_INTERRUPTED,
                request_id=_request_id(headers or {}),
            )

    def _told(self, error: Exception, *, reading: bool, headers: Mapping[str, str] | None = None) -> ProviderError:
        reason = _reason(error)
        body = _body(reason)
        code = _code(reason, body, reading=reading)
        # If a gateway cuts a text inside an emoji, half of a surrogate pair is left, which UTF-8 cannot encode.
        words = (body.words or str(reason) or type(reason).__name__).encode(errors="replace").decode()
        # Redact before cutting: a key that was cut would not be recognised.
        words = " ".join(self.redacted(words).split())[:_MAX_WORDS]
        for each in _chain(error):
            # The SDK's error stays the cause of the new one, and tracebacks are logged.
            each.args = tuple(self.redacted(part) if isinstance(part, str) else part for part in each.args)
        if code is FailureCode.PROVIDER_NOT_CONFIGURED:
            happened = "cannot be called"
        elif code is FailureCode.PROVIDER_MALFORMED:
            happened = "sent a malformed answer"
        elif _status(reason):
            happened = f"answered {_status(reason)}"
        else:
            happened = "broke off its answer" if reading else "cannot be reached"
        return self._error(
            happened,
            words,
            code,
            retry_after_seconds=_retry_after_seconds(reason, body),
            request_id=_request_id(getattr(getattr(reason, "response", None), "headers", None) or headers or {}),
        )

    def _error(
        self,
        happened: str,
        words: str,
        code: FailureCode,
        *,
        retry_after_seconds: float | None = None,
        request_id: str | None = None,
    ) -> ProviderError:
        sentence = words if words.endswith(("!", "?")) else f"{words.rstrip('.')}."
        return ProviderError(
            f"{self.name} {happened}: {sentence} {_ADVICE[code].format_map(self._advised)}",
            code=code,
            retryable=code in _RETRYABLE,
            retry_after_seconds=retry_after_seconds,
            request_id=request_id,
        )

    def redacted(self, text: str) -> str:
        """Return a text with `[key]` in place of keys and the values of headers.

        Args:
            text: The text.
        """
        for secret in self._secrets:
            text = text.replace(secret, "[key]")
        return _KEY_SHAPE.sub("[key]", text)


def _of_sdks(name: str) -> tuple[type[Exception], ...]:
    """Return the error classes of this name. An SDK that is not loaded has raised no error."""
    return tuple(getattr(sys.modules[sdk], name) for sdk in ("openai", "anthropic") if sdk in sys.modules)


def _is_api_error(error: Exception) -> "TypeIs[openai.APIError | anthropic.APIError]":
    return isinstance(error, _of_sdks("APIError"))


def _is_status_error(error: Exception) -> "TypeIs[openai.APIStatusError | anthropic.APIStatusError]":
    return isinstance(error, _of_sdks("APIStatusError"))


def _reason(error: Exception) -> Exception:
    """Return the cause of an SDK's `Connection error.`, whose own message is empty of detail; else the error itself."""
    if isinstance(error, _of_sdks("APIConnectionError")):
        return error.__cause__ if isinstance(error.__cause__, Exception) else error
    return error


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its causes."""
    seen: set[int] = set()
    behind: BaseException | None = error
    while behind is not None and id(behind) not in seen:
        seen.add(id(behind))
        yield behind
        behind = behind.__cause__ or behind.__context__


def _code(reason: Exception, body: ErrorBody, *, reading: bool) -> FailureCode:
    if code := code_of(body, _status(reason)):
        return code
    if (_is_api_error(reason) or isinstance(reason, _BROKEN)) and not isinstance(reason, httpx2.UnsupportedProtocol):
        return FailureCode.PROVIDER_INTERRUPTED if reading else FailureCode.PROVIDER_UNAVAILABLE
    return FailureCode.PROVIDER_MALFORMED if reading else FailureCode.PROVIDER_NOT_CONFIGURED


def _status(reason: Exception) -> int:
    """Return the HTTP status of an error, or 0 if its status is below 400 or it has none."""
    if _is_status_error(reason) and reason.status_code >= 400:
        return reason.status_code
    return 0


def _request_id(headers: Mapping[str, str]) -> str | None:
    """Return the provider's id of the request, from OpenAI's header or Anthropic's.

    As the id is logged, a value that does not look like one is replaced by `None`.
    """
    said = headers.get("x-request-id") or headers.get("request-id") or ""
    return said if _REQUEST_ID.fullmatch(said) else None


def _retry_after_seconds(reason: Exception, body: ErrorBody) -> float | None:
    """Return how long to wait in seconds, by a header or else by the body."""
    if not _is_status_error(reason):
        return body.retry_after_seconds
    seconds = _retry_after_header(reason.response.headers)
    return body.retry_after_seconds if seconds is None else seconds


def _retry_after_header(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of a retry header, which has milliseconds, seconds or a date (RFC 9110, section 10.2.3)."""
    for header, divisor in (("retry-after-ms", 1_000), ("retry-after", 1)):
        with suppress(ValueError):
            seconds = float(headers.get(header, "")) / divisor
            if math.isfinite(seconds) and seconds >= 0:
                return seconds
    return _seconds_until(headers.get("retry-after", ""))


def _seconds_until(date: str) -> float | None:
    try:
        when = parsedate_to_datetime(date)
        # A date without a time zone has one of the old forms, which are GMT.
        return max(0.0, when.replace(tzinfo=when.tzinfo or UTC).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def _body(reason: Exception) -> ErrorBody:
    """Return the body of an error, which is empty if the provider sent none."""
    if _is_status_error(reason):
        # OpenAI's SDK keeps only the member `error` of a body, but the words may be in another member.
        with suppress(ValueError, RecursionError, httpx2.StreamError):
            return ErrorBody.of(_decode(reason.response.content))
    if isinstance(reason, ErrorEvent) or _is_api_error(reason):
        return ErrorBody.of(reason.body)
    return ErrorBody()
