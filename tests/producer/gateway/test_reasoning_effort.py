"""How much a model is asked to reason reaches each provider in its own form, whichever front a client calls."""

from collections.abc import Callable
from typing import Any, Final

import pytest

from tailrace import InvalidRequest
from tailrace.api_kinds import ApiKind
from tailrace.gateway.fronts.anthropic_messages import translation as messages
from tailrace.gateway.fronts.anthropic_messages.body import MessageBody
from tailrace.gateway.fronts.fields import Target
from tailrace.gateway.fronts.openai_chat import translation as chat
from tailrace.gateway.fronts.openai_chat.body import ChatCompletionBody
from tailrace.gateway.fronts.openai_responses.new_response import NewResponse
from tailrace.gateway.fronts.openai_responses.provider_fields import provider_fields

HI: Final = [{"role": "user", "content": "Hi"}]
FORMS: Final[dict[ApiKind, dict[str, Any]]] = {
    "openai": {"reasoning_effort": "high"},
    "openai-responses": {"reasoning": {"effort": "high"}},
    "anthropic": {"output_config": {"effort": "high"}},
}


def by_chat(target: Target, effort: Any) -> dict[str, Any]:
    body = ChatCompletionBody.model_validate({"model": "m", "messages": HI, "reasoning_effort": effort})
    extra: dict[str, Any] = chat.to_fields(body, target)["extra"]
    return extra


def by_responses(target: Target, effort: Any) -> dict[str, Any]:
    new = NewResponse.model_validate({"model": "m", "input": "Hi", "reasoning": {"effort": effort}})
    return provider_fields(new, target)


def by_messages(target: Target, effort: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": HI, "output_config": {"effort": effort}}
    extra: dict[str, Any] = messages.to_fields(MessageBody.model_validate(given), target)["extra"]
    return extra


@pytest.mark.parametrize("kind", FORMS)
@pytest.mark.parametrize("front", [by_chat, by_responses, by_messages])
def test_each_provider_gets_the_effort_in_the_form_of_its_api_whatever_its_name(
    front: Callable[[Target, Any], dict[str, Any]], kind: ApiKind
) -> None:
    for name in (kind, "openai-eu"):
        assert front(Target(name, kind), "high") == FORMS[kind]
        assert front(Target(name, kind), None) == {}


@pytest.mark.parametrize(("front", "name"), [(by_chat, "reasoning_effort"), (by_responses, "reasoning.effort")])
@pytest.mark.parametrize("effort", ["minimal", ["low"], {"low": 1}])
def test_what_anthropic_does_not_know_is_refused_by_the_name_of_the_front(
    front: Callable[[Target, Any], dict[str, Any]], name: str, effort: Any
) -> None:
    with pytest.raises(InvalidRequest, match=f"^{name}: the provider 'anthropic' does not know it. Give one of low, "):
        front(Target("anthropic", "anthropic"), effort)


def test_what_the_form_of_a_provider_has_no_place_for_is_refused_by_name() -> None:
    given: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": HI, "top_k": 5}
    body = MessageBody.model_validate({**given, "output_config": {"effort": "high", "task_budget": {}}})
    with pytest.raises(InvalidRequest, match=r"^top_k: .*'groq'.*; output_config\.task_budget: "):
        messages.to_fields(body, Target("groq", "openai"))


def test_a_chat_completion_may_have_the_reasoning_of_responses_beside_the_effort() -> None:
    def extra(kind: ApiKind, **fields: Any) -> Any:
        body = ChatCompletionBody.model_validate({"model": "m", "messages": HI, **fields})
        return chat.to_fields(body, Target(kind, kind))["extra"]

    summary = {"summary": "auto"}
    for reasoning in (summary, {**summary, "effort": None}):
        both = extra("openai-responses", reasoning_effort="high", reasoning=reasoning)
        assert both == {"reasoning": {**summary, "effort": "high"}}
    assert extra("openai-responses", reasoning={"effort": "low"}) == {"reasoning": {"effort": "low"}}
    with pytest.raises(InvalidRequest, match=r"^reasoning_effort: give it or reasoning\.effort, and not both"):
        extra("openai-responses", reasoning_effort="high", reasoning={"effort": "low"})
    with pytest.raises(InvalidRequest, match=r"^reasoning: Input should be an object"):
        extra("openai-responses", reasoning_effort="high", reasoning="high")
    with pytest.raises(InvalidRequest, match=r"^reasoning: .*'anthropic'"):
        extra("anthropic", reasoning_effort="high", reasoning=summary)
