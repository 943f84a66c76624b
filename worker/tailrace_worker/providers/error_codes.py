"""The tables of providers' errors: the meaning of codes and statuses, and the words for an empty balance."""

import re
from collections.abc import Mapping
from typing import Final

from tailrace.errors import FailureCode
from tailrace_worker.providers.error_body import ErrorBody

_OWN_WORDS: Final[Mapping[str, FailureCode]] = {
    "API_KEY_INVALID": FailureCode.PROVIDER_AUTHENTICATION,
    "capacity_exceeded": FailureCode.PROVIDER_OVERLOADED,
    "engine_overloaded_error": FailureCode.PROVIDER_OVERLOADED,
    "model_not_found": FailureCode.MODEL_NOT_FOUND,
    "overloaded_error": FailureCode.PROVIDER_OVERLOADED,
}
"""Terms that are more precise than the status of their error. Google sends its term with 400, Groq with 498 and
Moonshot with 429; the others are OpenAI's and Anthropic's."""

_QUOTA_WORDS: Final = frozenset(
    {
        "1113",
        "billing_error",
        "billing_hard_limit_reached",
        "billing_not_active",
        "budget_exceeded",
        "contract_spend_limit_reached",
        "enforced_spend_limit_reached",
        "exceeded_current_quota_error",
        "insufficient_quota",
        "insufficient_user_quota",
    }
)
"""Terms for a limit that only money raises. They count with any status.

OpenAI and Azure: `insufficient_quota`, `billing_…` (https://platform.openai.com/docs/guides/error-codes). Anthropic:
`billing_error` and the two spend limits of its SDK. Moonshot: `exceeded_current_quota_error`
(https://platform.kimi.com/docs/api/errors). Zhipu: 1113 (https://docs.bigmodel.cn/cn/api/api-code). Gateways: LiteLLM's
`budget_exceeded`, One API's `insufficient_user_quota`.
"""

_EMPTY_BALANCE: Final = re.compile(
    r"""
    insufficient \b [^.]{0,30} \b (?: balance | credits? | funds ) \b
    | \b (?: balance | credits? | funds ) \b [^.]{0,30} \b (?: insufficient | too\ low | depleted | exhausted ) \b
    | \b not\ enough \b [^.]{0,30} \b (?: balance | credits? | funds ) \b
    | \b (?: out\ of | no\ remaining | all\ available | requires?\ more ) \ credits \b | \b more\ credits\ are\ required
    | \b spend (?: ing )? [ -] limit | \b specified\ (?: workspace\ )? API\ usage\ limits
    | \b overdue\ (?: balance | payments? ) | AccountOverdue | arrear | \b account \b [^.]{0,20} \b good\ standing
    | 余额不足 | 欠费 | 额度不足 | 额度已用尽
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""Sentences about such a limit. Gateways pass sentences on, but often not the codes.

Anthropic (400, "credit balance is too low", "specified API usage limits"), DeepSeek (402), MiniMax (1008), OpenRouter
(402, "requires more credits"), SiliconFlow and Novita (403), xAI (403 and 429, "all available credits"), Google
("prepayment credits are depleted"), Alibaba (400, `Arrearage`), Volcengine (403, `AccountOverdueError`), Zhipu (429).
"""

_OF_A_RATE: Final = re.compile(r"\bper[ -](?:second|minute|hour|day)\b|\bfor metric\b|#token-limit\b", re.IGNORECASE)
"""Words for a quota that refills by itself. `#token-limit` is part of a link in Alibaba's message for its limit of
tokens per minute, whose code is `insufficient_quota` (https://www.alibabacloud.com/help/en/model-studio/error-code)."""

_STATUS_OF_WORD: Final[Mapping[str, int]] = {
    "context_length_exceeded": 400,
    "invalid_request_error": 400,
    "authentication_error": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "insufficient_quota": 429,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "rate_limit_reached_error": 429,
    "vector_store_timeout": 504,
    **dict.fromkeys(("bio_policy", "data_residency_mismatch", "invalid_prompt", "misalignment_policy_violation"), 400),
    **dict.fromkeys(("invalid_base64_image", "invalid_image", "invalid_image_format", "invalid_image_mode"), 400),
    **dict.fromkeys(("invalid_image_url", "image_too_large", "image_too_small", "image_parse_error"), 400),
    **dict.fromkeys(("image_content_policy_violation", "image_file_too_large", "image_file_not_found"), 400),
    **dict.fromkeys(("empty_image_file", "failed_to_download_image", "unsupported_image_media_type"), 400),
    **dict.fromkeys(("INVALID_ARGUMENT", "FAILED_PRECONDITION", "OUT_OF_RANGE"), 400),
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    **dict.fromkeys(("ABORTED", "ALREADY_EXISTS"), 409),
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    **dict.fromkeys(("DATA_LOSS", "INTERNAL", "UNKNOWN"), 500),
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
    **dict.fromkeys(("base_resp:1026", "base_resp:1027", "base_resp:1042", "base_resp:2013"), 400),
    **dict.fromkeys(("base_resp:1004", "base_resp:2049"), 401),
    "base_resp:1008": 402,
    **dict.fromkeys(("base_resp:1002", "base_resp:1039", "base_resp:1041", "base_resp:2045", "base_resp:2056"), 429),
    **dict.fromkeys(("base_resp:1000", "base_resp:1013", "base_resp:1024", "base_resp:1033"), 500),
    "base_resp:1001": 504,
}
"""The HTTP status that a term stands for, if the error came inside a stream or with a status of 200.

The terms are the `type` of Anthropic's errors (https://docs.anthropic.com/en/api/errors), the `code` of errors of
Responses, the `status` of Google's errors
(https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto), and MiniMax's numbers
(https://platform.minimax.io/docs/api-reference/errorcode).
"""

_CODE_OF_STATUS: Final[Mapping[int, FailureCode]] = {
    401: FailureCode.PROVIDER_AUTHENTICATION,
    402: FailureCode.PROVIDER_QUOTA_EXCEEDED,
    403: FailureCode.PROVIDER_AUTHENTICATION,
    404: FailureCode.MODEL_NOT_FOUND,
    408: FailureCode.PROVIDER_UNAVAILABLE,
    409: FailureCode.PROVIDER_UNAVAILABLE,
    429: FailureCode.PROVIDER_RATE_LIMITED,
    498: FailureCode.PROVIDER_OVERLOADED,
    499: FailureCode.PROVIDER_UNAVAILABLE,
    529: FailureCode.PROVIDER_OVERLOADED,
}
"""The statuses with a code of their own. Any other 4xx is a rejection, and any other 5xx an outage. 498 is Groq's
(https://console.groq.com/docs/errors), 529 is Anthropic's."""

_ERROR_STATUS: Final = re.compile(r"[45]\d\d", re.ASCII)


def code_of(body: ErrorBody, status: int) -> FailureCode | None:
    """Return the failure code of an error.

    Args:
        body: The body of the error.
        status: Its HTTP status; 0 if the error came inside a stream or with a status of success.

    Returns:
        The code; `None` if neither the body nor the status shows one.
    """
    if _needs_money(body):
        return FailureCode.PROVIDER_QUOTA_EXCEEDED
    if own := next((_OWN_WORDS[term] for term in body.terms if term in _OWN_WORDS), None):
        return own
    status = status or max(map(_status_of, body.terms), default=0)
    if not status:
        return None
    other = FailureCode.PROVIDER_UNAVAILABLE if status >= 500 else FailureCode.PROVIDER_REJECTED
    return _CODE_OF_STATUS.get(status, other)


def _needs_money(body: ErrorBody) -> bool:
    if _EMPTY_BALANCE.search(" ".join((body.words, *body.terms)).replace("_", " ")):
        return True
    refills = body.retry_after_seconds is not None or _OF_A_RATE.search(body.words)
    return not refills and not _QUOTA_WORDS.isdisjoint(body.terms)


def _status_of(term: str) -> int:
    """Return the status that a term stands for. Gateways and llama.cpp send the number of the status itself."""
    return int(term) if _ERROR_STATUS.fullmatch(term) else _STATUS_OF_WORD.get(term, 0)
