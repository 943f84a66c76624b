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

from tailrace.api_kinds import API_KINDS
from tailrace.errors import FailureCode
from tailrace_worker.providers.errors import ErrorEvent
from tailrace_worker.providers.http.sse import EventTooLarge
from tests.support.kinds import kinds_of
from tests.support.told_error import REQUEST, RETRY_INFO, refused, told

all_kinds = pytest.mark.parametrize("kind", API_KINDS)

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
    498: FailureCode.PROVIDER_OVERLOADED,
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
    assert error.retryable == (status in {408, 409, 429, 498, 499} or status >= 500)
    assert str(error).startswith(f"Acme answered {status}: So it is. ")


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (429, {"type": "insufficient_quota", "code": "insufficient_quota"}, FailureCode.PROVIDER_QUOTA_EXCEEDED),
        (429, {"type": "requests", "code": "rate_limit_exceeded"}, FailureCode.PROVIDER_RATE_LIMITED),
        (403, {"type": "invalid_request_error", "code": "model_not_found"}, FailureCode.MODEL_NOT_FOUND),
        (401, {"type": "invalid_request_error", "code": "invalid_api_key"}, FailureCode.PROVIDER_AUTHENTICATION),
        (500, {"error": {"type": "overloaded_error"}}, FailureCode.PROVIDER_OVERLOADED),
        (429, {"error": {"type": "engine_overloaded_error"}}, FailureCode.PROVIDER_OVERLOADED),
        (400, [{"error": {"details": [{"reason": "API_KEY_INVALID"}]}}], FailureCode.PROVIDER_AUTHENTICATION),
        (400, "<html>\n<p>Bad request</p>", FailureCode.PROVIDER_REJECTED),
        (400, {"error": "no such thing"}, FailureCode.PROVIDER_REJECTED),
        (400, {"error": {"message": None, "type": 7, "code": ["x"]}}, FailureCode.PROVIDER_REJECTED),
    ],
)
def test_the_providers_word_counts_where_it_says_more_than_the_status(
    status: int, body: object, code: FailureCode
) -> None:
    assert told(refused(status, body)).code is code


EMPTY_BALANCES = [
    (429, {"type": "insufficient_quota", "message": "You exceeded your current quota, please check your plan."}),
    (429, {"type": "billing_not_active", "message": "Your account is not active."}),
    (429, {"type": "exceeded_current_quota_error", "message": "You exceeded your current token quota"}),
    (429, {"code": "1113", "message": "Please recharge."}),
    (429, {"type": "rate_limit_error", "message": "[1113][Insufficient balance or no resource package.]"}),
    (429, {"message": "您的账户已欠费"}),
    (429, {"message": "余额不足"}),
    (429, {"code": 429, "message": "Your prepayment credits are depleted.", "status": "RESOURCE_EXHAUSTED"}),
    (429, {"error": "Your team has used all available credits or reached its monthly spending limit."}),
    (403, {"code": "permission-denied", "error": "You have run out of credits."}),
    (403, {"code": 30001, "message": "Sorry, your account balance is insufficient"}),
    (403, {"code": 403, "reason": "NOT_ENOUGH_BALANCE", "message": "Recharge"}),
    (403, {"code": "AccountOverdueError", "message": "The request failed."}),
    (403, {"code": "insufficient_user_quota", "message": "user quota is not enough"}),
    (402, {"message": "Insufficient Balance", "code": "invalid_request_error"}),
    (402, {"message": "This request requires more credits, or fewer max_tokens", "code": 402}),
    (402, None),
    (401, {"type": "CreditsError", "message": "Insufficient balance."}),
    (400, {"type": "invalid_request_error", "message": "Your credit balance is too low to access the API."}),
    (400, {"type": "invalid_request_error", "message": "You have reached your specified API usage limits."}),
    (400, {"code": "Arrearage", "message": "Access denied."}),
    (400, {"message": "Please make sure your account is in good standing."}),
    (400, {"type": "budget_exceeded", "message": "Budget has been exceeded!"}),
    (500, {"error": {"message": f"Failed: {json.dumps({'error': {'type': 'insufficient_quota'}})}"}}),
]


@pytest.mark.parametrize(("status", "body"), EMPTY_BALANCES, ids=str)
def test_an_empty_balance_is_told_whatever_the_status_and_never_tried_again(status: int, body: object) -> None:
    in_stream = [] if body is None else [told(ErrorEvent(body), reading=True)]

    for error in (told(refused(status, body)), *in_stream):
        assert (error.code, error.retryable) == (FailureCode.PROVIDER_QUOTA_EXCEEDED, False)


@pytest.mark.parametrize(
    "body",
    [
        [{"error": {"code": 429, "message": "You exceeded your current quota.", "details": [RETRY_INFO]}}],
        {"error": {"code": "insufficient_quota", "message": "Wait.", "details": [RETRY_INFO]}},
        {"message": "Quota exceeded for metric generate_requests, limit: 10 requests per minute"},
        {"code": "insufficient_quota", "message": "Quota exceeded for metric: input_token_count"},
        {"code": "insufficient_quota", "message": "You exceeded your quota, see error-code#token-limit"},
        {"message": "Rate limit exceeded: free-models-per-day. Add 10 credits to unlock 1000 requests per day"},
        {"message": "Resource has been exhausted (e.g. check quota).", "status": "RESOURCE_EXHAUSTED"},
    ],
    ids=json.dumps,
)
def test_a_quota_that_fills_up_again_is_a_rate_limit(body: object) -> None:
    error = told(refused(429, body))

    assert (error.code, error.retryable) == (FailureCode.PROVIDER_RATE_LIMITED, True)


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
        (ErrorEvent({"code": 500, "type": "server_error"}), FailureCode.PROVIDER_UNAVAILABLE),
        (ErrorEvent({"code": 400, "type": "server_error"}), FailureCode.PROVIDER_REJECTED),
        (ErrorEvent({"code": 498}), FailureCode.PROVIDER_OVERLOADED),
        (ErrorEvent({"status": 503, "title": "Busy"}), FailureCode.PROVIDER_UNAVAILABLE),
        (ErrorEvent([{"error": {"code": 429}}]), FailureCode.PROVIDER_RATE_LIMITED),
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


CODE_OF_GOOGLES = {
    "INVALID_ARGUMENT": FailureCode.PROVIDER_REJECTED,
    "FAILED_PRECONDITION": FailureCode.PROVIDER_REJECTED,
    "UNAUTHENTICATED": FailureCode.PROVIDER_AUTHENTICATION,
    "PERMISSION_DENIED": FailureCode.PROVIDER_AUTHENTICATION,
    "NOT_FOUND": FailureCode.MODEL_NOT_FOUND,
    "RESOURCE_EXHAUSTED": FailureCode.PROVIDER_RATE_LIMITED,
    "INTERNAL": FailureCode.PROVIDER_UNAVAILABLE,
    "UNAVAILABLE": FailureCode.PROVIDER_UNAVAILABLE,
    "DEADLINE_EXCEEDED": FailureCode.PROVIDER_UNAVAILABLE,
}

CODE_OF_MINIMAXS = {
    1000: FailureCode.PROVIDER_UNAVAILABLE,
    1001: FailureCode.PROVIDER_UNAVAILABLE,
    1002: FailureCode.PROVIDER_RATE_LIMITED,
    1004: FailureCode.PROVIDER_AUTHENTICATION,
    1008: FailureCode.PROVIDER_QUOTA_EXCEEDED,
    1013: FailureCode.PROVIDER_UNAVAILABLE,
    1024: FailureCode.PROVIDER_UNAVAILABLE,
    1026: FailureCode.PROVIDER_REJECTED,
    1027: FailureCode.PROVIDER_REJECTED,
    1033: FailureCode.PROVIDER_UNAVAILABLE,
    1039: FailureCode.PROVIDER_RATE_LIMITED,
    1041: FailureCode.PROVIDER_RATE_LIMITED,
    2013: FailureCode.PROVIDER_REJECTED,
    2045: FailureCode.PROVIDER_RATE_LIMITED,
    2049: FailureCode.PROVIDER_AUTHENTICATION,
    9999: FailureCode.PROVIDER_INTERRUPTED,
}


@pytest.mark.parametrize(("word", "code"), CODE_OF_GOOGLES.items())
def test_a_status_word_of_google_counts_where_there_is_no_status(word: str, code: FailureCode) -> None:
    assert told(ErrorEvent([{"error": {"status": word, "message": "So it is."}}]), reading=True).code is code


@pytest.mark.parametrize(("number", "code"), CODE_OF_MINIMAXS.items())
def test_a_number_of_minimax_has_its_code_and_is_nobody_elses(number: int, code: FailureCode) -> None:
    error = told(ErrorEvent({"base_resp": {"status_code": number, "status_msg": "So it is."}}), reading=True)

    assert error.code is code
    assert str(error).startswith("Acme broke off its answer: So it is. ")
    assert told(ErrorEvent({"code": number}), reading=True).code is FailureCode.PROVIDER_INTERRUPTED


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


@pytest.mark.parametrize(
    ("details", "seconds"),
    [
        ([RETRY_INFO], 20.04466179),
        ([{"@type": "type.googleapis.com/google.rpc.Help"}, {**RETRY_INFO, "retryDelay": "3s"}], 3.0),
        ([{**RETRY_INFO, "retryDelay": "0s"}], 0.0),
        ([{**RETRY_INFO, "retryDelay": "3"}], None),
        ([{**RETRY_INFO, "retryDelay": "-3s"}], None),
        ([{**RETRY_INFO, "retryDelay": 3}], None),
        ([{**RETRY_INFO, "retryDelay": "9" * 400 + "s"}], None),
        ({"retry": "3s"}, None),
        (None, None),
    ],
    ids=str,
)
def test_google_says_in_the_body_when_to_try_again(details: object, seconds: float | None) -> None:
    said = {"error": {"code": 429, "message": "Wait.", "status": "RESOURCE_EXHAUSTED", "details": details}}

    for body in (said, [said], {"error": {"message": json.dumps(said)}}):
        assert told(refused(429, body)).retry_after_seconds == seconds
        assert told(ErrorEvent(body), reading=True).retry_after_seconds == seconds
    # A server in front of Google's may know better.
    assert told(refused(429, said, **{"retry-after": "7"})).retry_after_seconds == 7.0


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
