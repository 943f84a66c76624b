"""What becomes of the errors of the providers' SDKs."""

import json
import time
import traceback
from collections.abc import Iterator
from typing import Any, TypeAlias, get_args

import aiohttp
import anthropic
import httpx2
import msgspec
import openai
import pytest
from anthropic.types.shared import ErrorObject
from openai.types.responses import ResponseError

from tailrace.errors import FailureCode, ProviderError
from tailrace_worker.providers.event_stream import EventTooLarge
from tailrace_worker.providers.failures import ErrorEvent, Failures
from tests.providers.kinds import kinds_of

CODE_OF_STATUS = {
    400: FailureCode.PROVIDER_REJECTED,
    401: FailureCode.PROVIDER_AUTHENTICATION,
    402: FailureCode.PROVIDER_QUOTA_EXCEEDED,
    403: FailureCode.PROVIDER_AUTHENTICATION,
    404: FailureCode.MODEL_NOT_FOUND,
    408: FailureCode.PROVIDER_UNAVAILABLE,
    409: FailureCode.PROVIDER_UNAVAILABLE,
    412: FailureCode.PROVIDER_REJECTED,
    413: FailureCode.PROVIDER_REJECTED,
    422: FailureCode.PROVIDER_REJECTED,
    429: FailureCode.PROVIDER_RATE_LIMITED,
    431: FailureCode.PROVIDER_REJECTED,
    499: FailureCode.PROVIDER_UNAVAILABLE,
    500: FailureCode.PROVIDER_UNAVAILABLE,
    501: FailureCode.PROVIDER_UNAVAILABLE,
    502: FailureCode.PROVIDER_UNAVAILABLE,
    503: FailureCode.PROVIDER_UNAVAILABLE,
    504: FailureCode.PROVIDER_UNAVAILABLE,
    529: FailureCode.PROVIDER_OVERLOADED,
}

CODE_OF_LIMIT = {
    "contract_spend_limit_reached": FailureCode.PROVIDER_QUOTA_EXCEEDED,
    "enforced_spend_limit_reached": FailureCode.PROVIDER_QUOTA_EXCEEDED,
    "ramp_limit_exceeded": FailureCode.PROVIDER_RATE_LIMITED,
}

REQUEST = httpx2.Request("POST", "https://provider.test/v1")

CODE_OF_OTHERS = {
    "OpenAIError": FailureCode.PROVIDER_NOT_CONFIGURED,
    "SubjectTokenProviderError": FailureCode.PROVIDER_NOT_CONFIGURED,
    "AnthropicError": FailureCode.PROVIDER_NOT_CONFIGURED,
    "CredentialsError": FailureCode.PROVIDER_NOT_CONFIGURED,
    "IdentityTokenFileError": FailureCode.PROVIDER_NOT_CONFIGURED,
    "WorkloadIdentityError": FailureCode.PROVIDER_NOT_CONFIGURED,
    "APIError": FailureCode.PROVIDER_UNAVAILABLE,
    "APIConnectionError": FailureCode.PROVIDER_UNAVAILABLE,
    "APITimeoutError": FailureCode.PROVIDER_UNAVAILABLE,
}

# What a streaming call with a key cannot raise: it validates nothing, parses nothing into a caller's types, opens no
# socket of the realtime API, runs no agent or tool, registers no middleware, and goes to no cloud's edition.
OUTSIDE = {
    "APIRemovedInV1",
    "APIResponseValidationError",
    "APIWebhookValidationError",
    "AgentFilePreparationError",
    "AgentFileStagingError",
    "AgentOutputParseError",
    "AgentTurnResultError",
    "ContentFilterFinishReasonError",
    "LengthFinishReasonError",
    "MissingDependencyError",
    "MutuallyExclusiveAuthError",
    "RetryableError",
    "StreamAlreadyConsumed",
    "ToolsetClosedError",
    "ToolsetConfigError",
    "ToolsetContractError",
    "ToolsetUsageError",
    "ToolsetsFixedError",
    "WebSocketConnectionClosedError",
    "WebSocketQueueFullError",
    "_AmbiguousModuleClientUsageError",
}


ErrorClass: TypeAlias = type[Exception]


def told(error: Exception, *, reading: bool = False) -> ProviderError:
    """What the adapters make of an SDK's error."""
    acme = Failures("Acme", key_variables=("ACME_KEY",), url="ACME_URL")
    phase = acme.reading(Unfinished()) if reading else acme.calling()
    with pytest.raises(ProviderError) as raised, phase:
        raise error
    assert raised.value.__cause__ is error
    return raised.value


class Unfinished:
    finished = False


def refused(status: int, body: object = None, **headers: str) -> openai.APIStatusError:
    response = httpx2.Response(status, request=REQUEST, headers=headers)
    return openai.APIStatusError("Error code", response=response, body=body)


def classes() -> list[ErrorClass]:
    def descendants(root: ErrorClass) -> Iterator[ErrorClass]:
        yield root
        for child in root.__subclasses__():
            yield from descendants(child)

    return sorted({*descendants(openai.OpenAIError), *descendants(anthropic.AnthropicError)}, key=str)


def expected(error_class: ErrorClass) -> tuple[Exception, FailureCode]:
    """An error of the class as its SDK would raise it, and the code that it stands for."""
    make: Any = error_class
    name = error_class.__name__
    if not issubclass(error_class, openai.APIStatusError | anthropic.APIStatusError):
        assert name in CODE_OF_OTHERS, f"{error_class} is new: what does it mean for a job?"
        if issubclass(error_class, openai.APIConnectionError | anthropic.APIConnectionError):
            error = make(request=REQUEST)
        elif issubclass(error_class, openai.APIError | anthropic.APIError):
            error = make("Broken.", REQUEST, body=None)
        else:
            error = make("Broken.")
        return error, CODE_OF_OTHERS[name]

    status = getattr(error_class, "status_code", 500)
    assert status in CODE_OF_STATUS, f"{error_class} is new: what does its status {status} mean for a job?"
    response = httpx2.Response(status, request=REQUEST)
    if name == "OAuthError":
        return make(response=response, body=None), CODE_OF_STATUS[status]
    if status == 429 and "error_code" in error_class.__annotations__:
        (limit,) = get_args(error_class.__annotations__["error_code"])
        assert limit in CODE_OF_LIMIT, f"{error_class} is new: does waiting help, or only money?"
        body = {"error": {"type": "rate_limit_error", "message": "", "details": {"error_code": limit}}}
        return make("Refused.", response=response, body=body), CODE_OF_LIMIT[limit]
    return make("Refused.", response=response, body=None), CODE_OF_STATUS[status]


@pytest.mark.parametrize(
    "error_class",
    [each for each in classes() if each.__name__ not in OUTSIDE],
    ids=lambda each: f"{each.__module__.partition('.')[0]}.{each.__name__}",
)
def test_every_error_class_of_the_sdks_has_its_code(error_class: ErrorClass) -> None:
    error, code = expected(error_class)

    assert told(error).code is code


@pytest.mark.parametrize(("status", "code"), CODE_OF_STATUS.items())
def test_a_status_has_its_code_and_waiting_helps_only_against_some(status: int, code: FailureCode) -> None:
    error = told(refused(status, {"message": "So it is."}))

    assert error.code is code
    assert error.retryable == (status in {408, 409, 429, 499} or status >= 500)
    assert str(error).startswith(f"Acme answered {status}: So it is. ")


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (429, {"type": "insufficient_quota", "code": "insufficient_quota"}, FailureCode.PROVIDER_QUOTA_EXCEEDED),
        (429, {"type": "requests", "code": "rate_limit_exceeded"}, FailureCode.PROVIDER_RATE_LIMITED),
        (403, {"type": "invalid_request_error", "code": "model_not_found"}, FailureCode.MODEL_NOT_FOUND),
        (401, {"type": "invalid_request_error", "code": "invalid_api_key"}, FailureCode.PROVIDER_AUTHENTICATION),
        (500, {"error": {"type": "overloaded_error"}}, FailureCode.PROVIDER_OVERLOADED),
        (400, "<html>\n<p>Bad request</p>", FailureCode.PROVIDER_REJECTED),
        (400, {"error": "no such thing"}, FailureCode.PROVIDER_REJECTED),
        (400, {"error": {"message": None, "type": 7, "code": ["x"]}}, FailureCode.PROVIDER_REJECTED),
    ],
)
def test_the_providers_word_counts_where_it_says_more_than_the_status(
    status: int, body: object, code: FailureCode
) -> None:
    assert told(refused(status, body)).code is code


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"detail": "Model is not loaded"}, "Model is not loaded"),
        ({"detail": [{"loc": ["body"], "msg": "Field required"}, {"msg": "Too long"}]}, "Field required; Too long"),
        ({"error": "no such thing"}, "no such thing"),
        ("out of order", "out of order"),
    ],
)
def test_the_words_of_any_server_are_told(body: object, words: str) -> None:
    assert f"answered 422: {words}. " in str(told(refused(422, body)))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (openai.APIConnectionError(request=REQUEST), FailureCode.PROVIDER_INTERRUPTED),
        (openai.APIError("", REQUEST, body={"type": "server_error"}), FailureCode.PROVIDER_INTERRUPTED),
        (openai.APIError("", REQUEST, body={"type": "invalid_request_error"}), FailureCode.PROVIDER_REJECTED),
        (openai.APIError("", REQUEST, body={"code": "insufficient_quota"}), FailureCode.PROVIDER_QUOTA_EXCEEDED),
        (refused(200, {"error": {"type": "rate_limit_error"}}), FailureCode.PROVIDER_RATE_LIMITED),
        (refused(200, {"error": {"type": "api_error"}}), FailureCode.PROVIDER_INTERRUPTED),
        (httpx2.ReadError("cut"), FailureCode.PROVIDER_INTERRUPTED),
        (aiohttp.ClientPayloadError("cut"), FailureCode.PROVIDER_INTERRUPTED),
        (ConnectionResetError("cut"), FailureCode.PROVIDER_INTERRUPTED),
        (ErrorEvent({"error": {"type": "rate_limit_error"}}), FailureCode.PROVIDER_RATE_LIMITED),
        (ErrorEvent({"code": 429}), FailureCode.PROVIDER_RATE_LIMITED),
        (ErrorEvent({"code": "503"}), FailureCode.PROVIDER_UNAVAILABLE),
        (ErrorEvent({"code": 200, "type": True}), FailureCode.PROVIDER_INTERRUPTED),
        (ErrorEvent({"code": 4.2, "type": "5e2"}), FailureCode.PROVIDER_INTERRUPTED),
        (ErrorEvent({"code": "context_length_exceeded"}), FailureCode.PROVIDER_REJECTED),
        (ErrorEvent({"code": "\u0665\u0660\u0660"}), FailureCode.PROVIDER_INTERRUPTED),
        (ErrorEvent(None), FailureCode.PROVIDER_INTERRUPTED),
        (msgspec.DecodeError("Input data was truncated"), FailureCode.PROVIDER_MALFORMED),
        (msgspec.ValidationError("Expected `str`"), FailureCode.PROVIDER_MALFORMED),
        (UnicodeDecodeError("utf-8", b"", 0, 1, "invalid"), FailureCode.PROVIDER_MALFORMED),
        (EventTooLarge("too large"), FailureCode.PROVIDER_MALFORMED),
        (RecursionError("too deep"), FailureCode.PROVIDER_MALFORMED),
        (json.JSONDecodeError("Expecting value", "", 0), FailureCode.PROVIDER_MALFORMED),
        (AttributeError("'NoneType' object has no attribute 'content'"), FailureCode.PROVIDER_MALFORMED),
    ],
    ids=str,
)
def test_what_goes_wrong_inside_a_stream_has_its_code(error: Exception, code: FailureCode) -> None:
    assert told(error, reading=True).code is code


CODE_OF_WORD = {
    "server_error": FailureCode.PROVIDER_INTERRUPTED,
    "rate_limit_exceeded": FailureCode.PROVIDER_RATE_LIMITED,
    "vector_store_timeout": FailureCode.PROVIDER_UNAVAILABLE,
}
"""Every other error of a response is the request's."""

CODE_OF_TYPE = {
    "invalid_request_error": FailureCode.PROVIDER_REJECTED,
    "authentication_error": FailureCode.PROVIDER_AUTHENTICATION,
    "billing_error": FailureCode.PROVIDER_QUOTA_EXCEEDED,
    "permission_error": FailureCode.PROVIDER_AUTHENTICATION,
    "not_found_error": FailureCode.MODEL_NOT_FOUND,
    "rate_limit_error": FailureCode.PROVIDER_RATE_LIMITED,
    "timeout_error": FailureCode.PROVIDER_INTERRUPTED,
    "api_error": FailureCode.PROVIDER_INTERRUPTED,
    "overloaded_error": FailureCode.PROVIDER_OVERLOADED,
}


@pytest.mark.parametrize("word", get_args(ResponseError.model_fields["code"].annotation))
def test_every_code_of_a_response_that_failed_is_known(word: str) -> None:
    error = told(ErrorEvent({"code": word, "message": "So it is."}), reading=True)

    assert error.code is CODE_OF_WORD.get(word, FailureCode.PROVIDER_REJECTED)
    assert str(error).startswith("Acme broke off its answer: So it is. ")


def test_every_type_of_an_error_in_messages_is_known() -> None:
    types = set(kinds_of(ErrorObject))

    assert types == set(CODE_OF_TYPE), "the SDK has grown: what does it mean for a job?"
    assert {each: told(ErrorEvent({"type": each}), reading=True).code for each in types} == CODE_OF_TYPE


NOW = 1_000_000_000  # Sun, 09 Sep 2001 01:46:40 GMT


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": ""}, None),
        ({}, None),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "7"}, 7.0),
        ({"retry-after-ms": "-1", "retry-after": "7"}, 7.0),
        ({"retry-after": "Sun, 09 Sep 2001 01:47:40 GMT"}, 60.0),
        ({"retry-after": "Sun, 09 Sep 2001 03:47:40 +0200"}, 60.0),
        ({"retry-after": "Sunday, 09-Sep-01 01:47:40 GMT"}, 60.0),
        ({"retry-after": "Sun Sep  9 01:47:40 2001"}, 60.0),
        ({"retry-after": "Sun, 09 Sep 2001 01:45:40 GMT"}, 0.0),
        ({"retry-after": "Sun, 99 Sep 2001 01:45:40 GMT"}, None),
        ({"retry-after": "Sun, 09 Sep 99999 01:45:40 GMT"}, None),
    ],
)
def test_retry_after_is_a_number_of_seconds_or_nothing(
    headers: dict[str, str], seconds: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW)

    assert told(refused(429, **headers)).retry_after_seconds == seconds


def test_a_key_is_taken_out_of_all_that_is_behind_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_KEY", "a-key-of-acme")
    deepest = ValueError("Invalid header: a-key-of-acme")
    middle = aiohttp.ClientError("Invalid header: a-key-of-acme")
    middle.__context__ = deepest
    outer = openai.APIConnectionError(request=REQUEST)
    outer.__cause__ = middle

    error = told(outer)

    assert "Invalid header: [key]" in str(error)
    assert "a-key-of-acme" not in "".join(traceback.format_exception(error))


def test_a_message_is_one_line_of_readable_length() -> None:
    text = str(told(refused(500, {"message": "a\nb " * 1000})))

    assert "\n" not in text
    assert len(text) < 500
