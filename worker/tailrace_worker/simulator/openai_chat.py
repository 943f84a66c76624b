"""OpenAI Chat Completions on the wire."""

import time
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from tailrace_worker.simulator.scenario import Scenario
from tailrace_worker.simulator.wire import (
    Body,
    Events,
    Question,
    Refused,
    bearer_token,
    first_fault,
    new_id,
    server_sent_event,
)

_ERRORS: Final[Mapping[int, tuple[str, str | None, str]]] = {
    400: ("invalid_request_error", "invalid_value", "Invalid value in the request."),
    401: (
        "invalid_request_error",
        "invalid_api_key",
        "Incorrect API key provided. You can find your API key at https://platform.openai.com/account/api-keys.",
    ),
    403: ("invalid_request_error", "model_not_found", "Project does not have access to model `{model}`."),
    404: (
        "invalid_request_error",
        "model_not_found",
        "The model `{model}` does not exist or you do not have access to it.",
    ),
    429: (
        "requests",
        "rate_limit_exceeded",
        "Rate limit reached for {model} on requests per min (RPM): Limit 3, Used 3, Requested 1.",
    ),
    503: ("server_error", None, "The engine is currently overloaded, please try again later."),
}
_SERVER_ERROR: Final = (
    "server_error",
    None,
    "The server had an error while processing your request. Sorry about that!",
)
_NO_KEY: Final = (
    "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth "
    "(i.e. Authorization: Bearer YOUR_KEY). You can obtain an API key from https://platform.openai.com/account/api-keys."
)
_NOT_JSON: Final = (
    "We could not parse the JSON body of your request. "
    "The OpenAI API expects a JSON payload, but what was sent was not valid JSON."
)
_FINGERPRINT: Final = "fp_simulator"
_PLACE: Final = "\N{OBJECT REPLACEMENT CHARACTER}"


class _StreamOptions(BaseModel):
    include_usage: bool = False


class _Body(Body):
    stream_options: _StreamOptions | None = None


class OpenAIChat:
    """`POST /v1/chat/completions`."""

    name = "openai-chat"
    path = "/v1/chat/completions"
    request_id_header = "x-request-id"

    def read(self, headers: Mapping[str, str], body: Mapping[str, object] | None) -> Question:
        if not bearer_token(headers):
            raise Refused(401, _NO_KEY)
        if body is None:
            raise Refused(400, _NOT_JSON)
        try:
            read = _Body.model_validate(body)
        except ValidationError as error:
            field, missing, rule = first_fault(error)
            if missing:
                message, code = f"Missing required parameter: '{field}'.", "missing_required_parameter"
            else:
                message, code = f"Invalid value for '{field}': {rule}.", "invalid_value"
            raise Refused(400, message, param=field, code=code) from None
        return Question(
            model=read.model,
            stream=read.stream,
            include_usage=read.stream_options is not None and read.stream_options.include_usage,
            input_tokens=read.input_tokens,
        )

    def refusal(self, refused: Refused, *, model_name: str, request_id: str) -> object:  # noqa: ARG002
        kind, code, message = _ERRORS.get(refused.status, _SERVER_ERROR if refused.status >= 500 else _ERRORS[400])
        if refused.message is None:
            message = message.format(model=model_name)
        else:
            message, code = refused.message, refused.code
        return _error(kind, message, param=refused.param, code=code)

    def answer(self, question: Question, scenario: Scenario) -> object:
        message: dict[str, object] = {
            "role": "assistant",
            "content": scenario.text_sent,
            "refusal": None,
            "annotations": [],
        }
        choice: dict[str, object] = {"index": 0, "message": message, "logprobs": None, "finish_reason": scenario.finish}
        return {
            **_head("chat.completion", question),
            "choices": [choice],
            "usage": _usage(question, scenario),
        }

    def events(self, question: Question, scenario: Scenario, *, request_id: str) -> Events:  # noqa: ARG002
        head = _head("chat.completion.chunk", question)
        tail = {"usage": None} if question.include_usage else {}

        def chunk(delta: Mapping[str, object], finish_reason: str | None = None) -> bytes:
            choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
            return server_sent_event({**head, "choices": [choice], **tail})

        # From the right: the model's name may hold anything, and stands to the left of the content.
        before, _, after = chunk({"content": _PLACE}).rpartition(f'"{_PLACE}"'.encode())
        encoded_piece = scenario.encoded_piece
        closing = chunk({}, scenario.finish)
        if question.include_usage:
            closing += server_sent_event({**head, "choices": [], "usage": _usage(question, scenario)})
        kind, code, message = _SERVER_ERROR
        return Events(
            opening=chunk({"role": "assistant", "content": "", "refusal": None}),
            piece=lambda position: b"%b%b%b" % (before, encoded_piece(position), after),
            closing=closing + b"data: [DONE]\n\n",
            failure=server_sent_event(_error(kind, message, code=code)),
        )


def _head(kind: str, question: Question) -> dict[str, Any]:
    return {
        "id": new_id("chatcmpl-"),
        "object": kind,
        "created": int(time.time()),
        "model": question.model_name,
        "service_tier": "default",
        "system_fingerprint": _FINGERPRINT,
    }


def _usage(question: Question, scenario: Scenario) -> dict[str, Any]:
    return {
        "prompt_tokens": question.input_tokens,
        "completion_tokens": scenario.pieces,
        "total_tokens": question.input_tokens + scenario.pieces,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _error(kind: str, message: str, *, param: str | None = None, code: str | None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}
