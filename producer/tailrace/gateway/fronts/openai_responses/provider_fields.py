"""The fields of a new response that providers take in forms of their own, or not at all."""

from collections.abc import Collection, Mapping
from typing import Any, Final

from tailrace import InvalidRequest
from tailrace.api_kinds import ApiKind
from tailrace.gateway.fronts.fields import Meaningless, Target, anything, not_carried, one_of, passed_on
from tailrace.gateway.fronts.openai_responses.new_response import NewResponse
from tailrace.gateway.fronts.reasoning_effort import effort_for

_ACCEPTED: Final[Mapping[str, Meaningless]] = {
    "max_tool_calls": anything,
    "prompt_cache_key": anything,
    "prompt_cache_retention": anything,
    "safety_identifier": anything,
    "service_tier": one_of("auto", "default"),
    "stream_options": one_of({}, {"include_obfuscation": False}),
    "top_logprobs": one_of(0),
    "truncation": one_of("disabled"),
    "user": anything,
}
"""Fields of OpenAI's API that mean nothing here. `max_tool_calls` counts only calls of OpenAI's own tools."""
_OF_CHAT: Final = frozenset({"prompt_cache_key", "prompt_cache_retention", "safety_identifier", "service_tier", "user"})
"""What Chat Completions has too."""
_OF_RESPONSES: Final = _OF_CHAT | {"max_tool_calls", "truncation"}
_INCLUDED: Final = "reasoning.encrypted_content"


def provider_fields(new: NewResponse, target: Target) -> dict[str, Any]:
    """Return the fields for the `extra` of a request.

    Args:
        new: The body.
        target: The provider that is called.

    Returns:
        The fields, in the form of the provider's API.

    Raises:
        InvalidRequest: A field cannot be carried. The message names it.
    """
    fields = passed_on(new.model_extra or {}, accepted=_ACCEPTED, extra=_extra_of(target.kind), target=target)
    if strangers := sorted(set(new.include or ()) - {_INCLUDED}):
        raise InvalidRequest(f"include: {strangers[0]!r} cannot be carried. Only {_INCLUDED!r} can.")
    fields |= _tools(new, target) | _reasoning(new, target) | _text(new, target)
    if target.kind == "openai-responses":
        if new.include:
            fields["include"] = new.include
        if new.store is False:
            fields["store"] = False
    return fields


def _extra_of(kind: ApiKind) -> Collection[str]:
    match kind:
        case "anthropic":
            return ()
        case "openai-responses":
            return _OF_RESPONSES
        case "openai":
            return _OF_CHAT


def _tools(new: NewResponse, target: Target) -> dict[str, Any]:
    if new.parallel_tool_calls is None or not new.tools:
        return {}
    if target.kind != "anthropic":
        return {"parallel_tool_calls": new.parallel_tool_calls}
    if not new.parallel_tool_calls:
        raise not_carried("parallel_tool_calls", target=target)
    return {}


def _reasoning(new: NewResponse, target: Target) -> dict[str, Any]:
    asked = {name: value for name, value in (new.reasoning or {}).items() if value is not None}
    if not asked:
        return {}
    if target.kind == "openai-responses":
        return {"reasoning": asked}
    # What a provider shows of its reasoning is carried anyway.
    if asked.pop("summary", "auto") != "auto":
        raise not_carried("reasoning.summary", target=target)
    effort = asked.pop("effort", None)
    if asked:
        raise not_carried(f"reasoning.{next(iter(asked))}", target=target)
    return effort_for(target, effort, name="reasoning.effort")


def _text(new: NewResponse, target: Target) -> dict[str, Any]:
    text = new.text
    if text is None:
        return {}
    if text.model_extra:
        raise not_carried(f"text.{next(iter(text.model_extra))}", target=target)
    is_json = text.format is not None and text.format.get("type") == "json_object"
    if target.kind == "openai-responses":
        said = {"verbosity": text.verbosity, "format": text.format if is_json else None}
        said = {name: value for name, value in said.items() if value is not None}
        return {"text": said} if said else {}
    if target.kind == "anthropic":
        if is_json or text.verbosity not in {None, "medium"}:
            raise not_carried("text.format" if is_json else "text.verbosity", target=target)
        return {}
    said = {"response_format": text.format if is_json else None, "verbosity": text.verbosity}
    return {name: value for name, value in said.items() if value is not None}
