"""From a message's request to the fields of a job."""

from collections.abc import Mapping
from typing import Any, Final

from tailrace import InvalidRequest
from tailrace.gateway.fronts.anthropic_messages.blocks import to_messages, to_texts
from tailrace.gateway.fronts.anthropic_messages.body import MessageBody
from tailrace.gateway.fronts.anthropic_messages.tools import to_choice, to_tool
from tailrace.gateway.fronts.fields import Meaningless, Target, anything, one_of, passed_on
from tailrace.gateway.fronts.reasoning_effort import effort_for

ACCEPTED: Final[Mapping[str, Meaningless]] = {
    "cache_control": anything,
    "metadata": anything,
    "service_tier": anything,
}
"""Fields of Anthropic's API that change no answer. What a provider caches changes only its price."""
_WITHOUT_THINKING: Final = one_of({"type": "disabled"})
"""What other providers than Anthropic do anyway."""
_OF_ANTHROPIC: Final = frozenset(
    {"inference_geo", "metadata", "output_config", "service_tier", "speed", "thinking", "tool_choice", "top_k"}
)
"""Fields that Anthropic gets as they are."""
_OF_OPENAI: Final = frozenset({"parallel_tool_calls"})
NAMES: Final[Mapping[str, str]] = {
    "max_output_tokens": "max_tokens",
    "output_schema": "output_config.format",
    "stop": "stop_sequences",
}
"""Anthropic's names of a request's fields."""


def to_fields(body: MessageBody, target: Target) -> dict[str, Any]:
    """Translate a request. Its model and its limits are not translated here.

    Args:
        body: The request.
        target: The provider that the name of the model stands for.

    Returns:
        The fields of a generation request.

    Raises:
        InvalidRequest: A field cannot be carried. The message names it.
    """
    others = dict(body.model_extra or {})
    is_openai = target.kind != "anthropic"
    schema, config = _output(body.output_config)
    effort = None
    if is_openai:
        effort = config.pop("effort", None)
        others |= {f"output_config.{name}": value for name, value in config.items()}
    elif config:
        others["output_config"] = config
    choice, alone = _choice(body.tool_choice)
    if alone and is_openai:
        others["parallel_tool_calls"] = False
    elif alone:
        # Only the provider's own form can say it.
        choice, others["tool_choice"] = None, body.tool_choice
    accepted = {**ACCEPTED, "thinking": _WITHOUT_THINKING} if is_openai else ACCEPTED
    fields: dict[str, Any] = {
        "messages": [*_system(body.system), *to_messages(body.messages)],
        "temperature": body.temperature,
        "top_p": body.top_p,
        "stop": body.stop_sequences,
        "tools": [to_tool(tool, f"tools.{index}") for index, tool in enumerate(body.tools or ())],
        "tool_choice": choice,
        "output_schema": schema,
        "extra": passed_on(others, accepted=accepted, extra=_OF_OPENAI if is_openai else _OF_ANTHROPIC, target=target)
        | effort_for(target, effort, name="output_config.effort"),
    }
    return {name: value for name, value in fields.items() if value is not None}


def _system(system: str | list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    if not system:
        return []
    return [{"role": "system", "content": system if isinstance(system, str) else to_texts(system, "system")}]


def _choice(choice: dict[str, Any] | None) -> tuple[Any, bool]:
    """Return which tool the model calls, and true if it may call only one."""
    return (None, False) if choice is None else (to_choice(choice), bool(choice.get("disable_parallel_tool_use")))


def _output(config: dict[str, Any] | None) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """Return the schema of the answer, and the other members, which have to be passed on."""
    others = {name: value for name, value in (config or {}).items() if name != "format" and value is not None}
    match (config or {}).get("format"):
        case None:
            return None, others
        case {"type": "json_schema", "schema": schema}:
            return {"name": "answer", "schema": schema}, others
        case _:
            raise InvalidRequest("output_config.format: Input should be a `json_schema` with its `schema`.")
