"""Anthropic Messages on the wire."""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

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

_ERRORS: Final[Mapping[int, tuple[str, str]]] = {
    400: ("invalid_request_error", "Invalid value in the request."),
    401: ("authentication_error", "invalid x-api-key"),
    403: ("permission_error", "Your API key does not have permission to use the specified resource."),
    404: ("not_found_error", "model: {model}"),
    413: ("request_too_large", "Request exceeds the maximum size"),
    429: (
        "rate_limit_error",
        "This request would exceed your organization's rate limit. Please try again later.",
    ),
    500: ("api_error", "Internal server error"),
    504: ("timeout_error", "Request timed out"),
    529: ("overloaded_error", "Overloaded"),
}
_STOP_REASONS: Final[Mapping[str, str]] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}
"""The finish reasons of tailrace that Anthropic has another word for."""


class _Body(Body):
    max_tokens: int


class AnthropicMessages:
    """`POST /v1/messages`."""

    name = "anthropic-messages"
    path = "/v1/messages"
    request_id_header = "request-id"

    def read(self, headers: Mapping[str, str], body: Mapping[str, object] | None) -> Question:
        # As the API reference has it, or as the SDK sends it (2.12).
        if not headers.get("x-api-key", "").strip() and not bearer_token(headers):
            raise Refused(401, "x-api-key header is required")
        if body is None:
            raise Refused(400, "The request body is not valid JSON")
        try:
            read = _Body.model_validate(body)
        except ValidationError as error:
            field, missing, rule = first_fault(error)
            raise Refused(400, f"{field}: {'Field required' if missing else rule}") from None
        return Question(model=read.model, stream=read.stream, include_usage=True, input_tokens=read.input_tokens)

    def refusal(self, refused: Refused, *, model_name: str, request_id: str) -> object:
        kind, message = _ERRORS.get(refused.status, _ERRORS[500 if refused.status >= 500 else 400])
        return _error(kind, refused.message or message.format(model=model_name), request_id)

    def answer(self, question: Question, scenario: Scenario) -> object:
        return {
            **_message(question, output_tokens=scenario.pieces),
            "content": [{"type": "text", "text": scenario.text_sent}],
            "stop_reason": _stop_reason(scenario),
        }

    def events(self, question: Question, scenario: Scenario, *, request_id: str) -> Events:
        encoded_piece = scenario.encoded_piece
        ending = {"stop_reason": _stop_reason(scenario), "stop_sequence": None}
        usage = {"output_tokens": scenario.pieces}
        return Events(
            opening=_event("message_start", message=_message(question, output_tokens=1))
            + _event("content_block_start", index=0, content_block={"type": "text", "text": ""})
            + _event("ping"),
            piece=lambda position: (
                b"event: content_block_delta\ndata: "
                b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":%b}}\n\n'
                % encoded_piece(position)
            ),
            closing=_event("content_block_stop", index=0)
            + _event("message_delta", delta=ending, usage={**_input_usage(question), **usage})
            + _event("message_stop"),
            failure=server_sent_event(_error(*_ERRORS[529], request_id), event="error"),
        )


def _event(kind: str, **fields: object) -> bytes:
    return server_sent_event({"type": kind, **fields}, event=kind)


def _message(question: Question, *, output_tokens: int) -> dict[str, Any]:
    return {
        "model": question.model_name,
        "id": new_id("msg_01"),
        "type": "message",
        "role": "assistant",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {**_input_usage(question), "output_tokens": output_tokens, "service_tier": "standard"},
    }


def _input_usage(question: Question) -> dict[str, Any]:
    return {
        "input_tokens": question.input_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
    }


def _stop_reason(scenario: Scenario) -> str:
    return _STOP_REASONS.get(scenario.finish, scenario.finish)


def _error(kind: str, message: str, request_id: str) -> dict[str, Any]:
    return {
        "type": "error",
        "error": {"details": None, "type": kind, "message": message},
        "request_id": request_id,
    }
