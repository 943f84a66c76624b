"""How much a model is asked to reason reaches each provider in its own form, whichever front a client calls."""

from collections.abc import Callable
from typing import Any, Final

import pytest

from tailrace import InvalidRequest
from tailrace.gateway.fronts.anthropic_messages import translation as messages
from tailrace.gateway.fronts.anthropic_messages.body import MessageBody
from tailrace.gateway.fronts.openai_chat import translation as chat
from tailrace.gateway.fronts.openai_chat.body import ChatCompletionBody
from tailrace.gateway.fronts.openai_responses.new_response import NewResponse
from tailrace.gateway.fronts.openai_responses.provider_fields import provider_fields

HI: Final = [{"role": "user", "content": "Hi"}]
FORMS: Final[dict[str, dict[str, Any]]] = {
    "openai": {"reasoning_effort": "high"},
    "openai-responses": {"reasoning": {"effort": "high"}},
    "anthropic": {"output_config": {"effort": "high"}},
}


def by_chat(provider: str, effort: Any) -> dict[str, Any]:
    body = ChatCompletionBody.model_validate({"model": "m", "messages": HI, "reasoning_effort": effort})
    extra: dict[str, Any] = chat.to_fields(body, provider=provider)["extra"]
    return extra


def by_responses(provider: str, effort: Any) -> dict[str, Any]:
    new = NewResponse.model_validate({"model": "m", "input": "Hi", "reasoning": {"effort": effort}})
    return provider_fields(new, provider)


def by_messages(provider: str, effort: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": HI, "output_config": {"effort": effort}}
    extra: dict[str, Any] = messages.to_fields(MessageBody.model_validate(given), provider=provider)["extra"]
    return extra


@pytest.mark.parametrize("provider", FORMS)
@pytest.mark.parametrize("front", [by_chat, by_responses, by_messages])
def test_each_provider_gets_the_effort_in_its_own_form(
    front: Callable[[str, Any], dict[str, Any]], provider: str
) -> None:
    assert front(provider, "high") == FORMS[provider]
    assert front(provider, None) == {}


@pytest.mark.parametrize(("front", "name"), [(by_chat, "reasoning_effort"), (by_responses, "reasoning.effort")])
@pytest.mark.parametrize("effort", ["minimal", ["low"], {"low": 1}])
def test_what_anthropic_does_not_know_is_refused_by_the_name_of_the_front(
    front: Callable[[str, Any], dict[str, Any]], name: str, effort: Any
) -> None:
    with pytest.raises(InvalidRequest, match=f"^{name}: .*'anthropic'"):
        front("anthropic", effort)
