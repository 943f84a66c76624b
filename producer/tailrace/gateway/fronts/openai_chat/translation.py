"""From a chat completion's request to the fields of a job."""

from collections.abc import Collection, Mapping
from typing import Any, Final, cast

from tailrace import InvalidRequest
from tailrace.api_kinds import ApiKind
from tailrace.gateway.fronts.fields import Meaningless, Target, anything, one_of, passed_on
from tailrace.gateway.fronts.openai_chat.body import ChatCompletionBody
from tailrace.gateway.fronts.reasoning_effort import effort_for

ACCEPTED: Final[Mapping[str, Meaningless]] = {
    "frequency_penalty": one_of(0, 0.0),
    "logit_bias": one_of({}),
    "logprobs": one_of(False),
    "metadata": one_of({}),
    "modalities": one_of(["text"]),
    "n": one_of(1),
    "parallel_tool_calls": one_of(True),
    "presence_penalty": one_of(0, 0.0),
    "prompt_cache_key": anything,
    "prompt_cache_retention": anything,
    "safety_identifier": anything,
    "service_tier": one_of("auto"),
    "store": one_of(False),
    "top_logprobs": one_of(0),
    "user": anything,
}
"""Fields of OpenAI's API that mean nothing here, with these values."""
_OF_CHAT: Final = frozenset(
    {
        *("frequency_penalty", "logit_bias", "metadata", "parallel_tool_calls", "prediction", "presence_penalty"),
        *("prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "response_format"),
        *("safety_identifier", "seed", "service_tier", "store", "user", "verbosity", "web_search_options"),
    }
)
"""Fields that a provider which speaks Chat Completions gets as they are."""
_OF_RESPONSES: Final = frozenset(
    {
        *("metadata", "parallel_tool_calls", "prompt_cache_key", "prompt_cache_retention", "reasoning"),
        *("safety_identifier", "service_tier", "store", "user"),
    }
)
"""Fields that Responses gets as they are. Chat Completions has no `reasoning`, but clients send it."""
NAMES: Final[Mapping[str, str]] = {"max_output_tokens": "max_completion_tokens", "output_schema": "response_format"}
"""OpenAI's names of a request's fields."""
_SCHEMA_FIELDS: Final = frozenset({"name", "schema", "strict"})


def to_fields(body: ChatCompletionBody, target: Target) -> dict[str, Any]:
    """Translate a request. Its model and its limits are not translated here.

    Args:
        body: The request.
        target: The provider that the name of the model stands for.

    Returns:
        The fields of a generation request.

    Raises:
        InvalidRequest: A field cannot be carried. The message names it.
    """
    schema, form = _output(body.response_format)
    others = {**(body.model_extra or {}), "response_format": form}
    effort = others.pop("reasoning_effort", None)
    fields: dict[str, Any] = {
        "messages": [_with_reasoning(message) for message in body.messages],
        "temperature": body.temperature,
        "top_p": body.top_p,
        "stop": [body.stop] if isinstance(body.stop, str) else body.stop,
        "tools": body.tools,
        "tool_choice": body.tool_choice,
        "output_schema": schema,
        "extra": _with_effort(
            passed_on(others, accepted=ACCEPTED, extra=_extra_of(target.kind), target=target),
            effort_for(target, effort, name="reasoning_effort"),
        ),
    }
    return {name: value for name, value in fields.items() if value is not None}


def max_output_tokens(body: ChatCompletionBody) -> int | None:
    """Return how many tokens a client asks for at most.

    Args:
        body: The request.

    Raises:
        InvalidRequest: It asks for two numbers.
    """
    if body.max_completion_tokens is not None and body.max_tokens is not None:
        raise InvalidRequest("max_tokens: give it or max_completion_tokens, and not both.")
    return body.max_tokens if body.max_completion_tokens is None else body.max_completion_tokens


def _extra_of(kind: ApiKind) -> Collection[str]:
    match kind:
        case "anthropic":
            return ()
        case "openai-responses":
            return _OF_RESPONSES
        case "openai":
            return _OF_CHAT


def _with_effort(extra: dict[str, Any], effort: dict[str, Any]) -> dict[str, Any]:
    if "reasoning" not in extra or "reasoning" not in effort:
        return extra | effort
    if not isinstance(extra["reasoning"], dict):
        raise InvalidRequest("reasoning: Input should be an object.")
    reasoning = cast("dict[str, Any]", extra["reasoning"])
    if reasoning.get("effort") is not None:
        raise InvalidRequest("reasoning_effort: give it or reasoning.effort, and not both.")
    return {**extra, "reasoning": {**reasoning, **effort["reasoning"]}}


def _output(form: dict[str, Any] | None) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Return the schema of the answer, and the form of the answer if it has to be passed on."""
    match form:
        case None | {"type": "text"}:
            return None, None
        case {"type": "json_schema", "json_schema": dict()} if len(form) == 2:
            given: dict[str, Any] = form["json_schema"]
            named = {name: value for name, value in given.items() if value is not None}
            if named.keys() <= _SCHEMA_FIELDS:
                # OpenAI's default differs from that of a job.
                return {"strict": False, **named}, None
        case _:
            pass
    return None, form


def _with_reasoning(message: dict[str, Any]) -> dict[str, Any]:
    """Take the reasoning of an answer that a client sends back."""
    if message.get("role") != "assistant" or "reasoning_content" not in message:
        return message
    said = {name: value for name, value in message.items() if name != "reasoning_content"}
    text = message["reasoning_content"]
    return {**said, "reasoning": [{"text": text}]} if text else said
