"""What a provider, or tailrace with it, does not support is refused at the door."""

from typing import Any

import pytest
from pydantic import ValidationError

from tailrace import GenerationRequest
from tailrace.api_kinds import API_KINDS, ApiKind, builtin_kind
from tailrace.request.capabilities import unsupported

PNG = {"type": "image", "url": "https://example.com/a.png"}
TOOL: dict[str, Any] = {"name": "now"}
SCHEMA = {"name": "answer", "schema": {"type": "object"}}


def asking(provider: str, **changes: Any) -> GenerationRequest:
    good = {"provider": provider, "model": "m", "messages": [{"role": "user", "content": "Hi"}]}
    return GenerationRequest.model_validate({**good, **changes})


def refused(provider: str, **changes: Any) -> dict[str, str]:
    with pytest.raises(ValidationError) as caught:
        asking(provider, **changes)
    return {".".join(map(str, error["loc"])): error["msg"] for error in caught.value.errors()}


def user(part: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [part]}]


def calling(**changes: str) -> list[dict[str, Any]]:
    call = {"id": "call_1", "name": "now", "arguments": "{}", **changes}
    return [{"role": "user", "content": "Hi"}, {"role": "assistant", "tool_calls": [call]}]


SHOWING = [*calling(), {"role": "tool", "tool_call_id": "call_1", "content": [PNG]}]
ONLY_SYSTEM = [{"role": "system", "content": "Hi"}]
PDF = {"type": "document", "url": "https://example.com/a.pdf"}

BY_FIELD: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({"messages": user(PDF)}, {"openai": "messages.0.content.0.url"}),
    ({"messages": user(PNG)}, {}),
    ({"messages": SHOWING}, {"openai": "messages.2.content.0"}),
    ({"messages": ONLY_SYSTEM}, {"anthropic": "messages"}),
    ({"messages": [*ONLY_SYSTEM, {"role": "assistant", "content": ""}]}, {"anthropic": "messages"}),
    ({"messages": calling(arguments="[]")}, {}),
    ({"messages": calling(arguments="{")}, {}),
    ({"messages": calling(id="call:1")}, {}),
    ({"temperature": 1.1}, {"anthropic": "temperature"}),
    ({"temperature": 1.0}, {}),
    ({"stop": ["END", "\n"]}, {"anthropic": "stop.1", "openai-responses": "stop"}),
    ({"tools": [{**TOOL, "parameters": {"type": "string"}}]}, {"anthropic": "tools.0.parameters"}),
    ({"tools": [{**TOOL, "strict": True}]}, {}),
    ({"output_schema": SCHEMA}, {}),
]

EVERY: tuple[str, ...] = API_KINDS
OPENAI = ("openai", "openai-responses")
IN_EXTRA: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({"n": 2}, EVERY),
    ({"n": 1}, ()),
    ({"n": None}, ()),
    # There are servers that take a word for a number, and one for a list of it.
    *(({"n": value}, EVERY) for value in ("2", [2], 1.5, 0)),
    ({"modalities": ["text", "audio"]}, EVERY),
    ({"modalities": ["text"]}, ()),
    ({"modalities": None}, ()),
    *(({"modalities": value}, EVERY) for value in ("audio", {"audio": True}, [["audio"]], "text")),
    ({"audio": {"voice": "alloy"}}, EVERY),
    ({"logprobs": True}, EVERY),
    ({"logprobs": False}, ()),
    ({"top_logprobs": 3}, EVERY),
    ({"model": "m"}, EVERY),
    ({"messages": []}, EVERY),
    ({"system": "x"}, EVERY),
    ({"stream": True}, EVERY),
    ({"temperature": 1}, EVERY),
    ({"top_p": 1}, EVERY),
    ({"stop": ["x"]}, OPENAI),
    ({"stop_sequences": ["x"]}, ("anthropic",)),
    ({"max_tokens": 9}, ("openai-responses", "anthropic")),
    ({"max_output_tokens": 9}, ("openai-responses",)),
    ({"input": "x"}, ("openai-responses",)),
    ({"instructions": "x"}, ("openai-responses",)),
    ({"functions": []}, ("openai",)),
    ({"function_call": "auto"}, ("openai",)),
    ({"output_format": {}}, ("anthropic",)),
    ({"stream_options": {"include_usage": False}}, OPENAI),
    ({"prompt_cache_options": {"prewarm": True}}, OPENAI),
    ({"prompt_cache_options": {"ttl": "30m"}}, ()),
    ({"background": True}, ("openai-responses",)),
    ({"include": ["message.output_text.logprobs"]}, ("openai-responses",)),
    ({"include": ["reasoning.encrypted_content"]}, ()),
    ({"tools": [{"type": "image_generation"}]}, ("openai-responses",)),
    ({"tools": [{"type": "web_search"}]}, ()),
    ({"betas": ["context-1m"]}, ("anthropic",)),
    ({"workspace_id": "w"}, ("anthropic",)),
    ({"extra_headers": {"X-A": "b"}}, EVERY),
    ({"timeout": 3}, EVERY),
    ({"reasoning_effort": "low", "seed": 7, "top_k": 3, "thinking": {"type": "adaptive"}, "store": False}, ()),
]


@pytest.mark.parametrize("kind", API_KINDS)
@pytest.mark.parametrize(("changes", "by_kind"), BY_FIELD)
def test_a_field_that_a_provider_does_not_take_is_named_with_it(
    kind: ApiKind, changes: dict[str, Any], by_kind: dict[str, str]
) -> None:
    if kind not in by_kind:
        asking(kind, **changes)
        return
    problems = refused(kind, **changes)
    assert list(problems) == [by_kind[kind]]
    assert problems[by_kind[kind]].startswith(f"{kind} ")


@pytest.mark.parametrize("kind", API_KINDS)
@pytest.mark.parametrize(("extra", "kinds"), IN_EXTRA)
def test_a_name_in_extra_that_a_job_cannot_carry_is_refused_with_the_provider(
    kind: ApiKind, extra: dict[str, Any], kinds: tuple[str, ...]
) -> None:
    if kind not in kinds:
        assert asking(kind, extra=extra).extra == extra
        return
    problems = refused(kind, extra=extra)
    assert list(problems) == [f"extra.{next(iter(extra))}"]
    assert kind in next(iter(problems.values()))


@pytest.mark.parametrize(
    ("kind", "field", "name"),
    [
        ("openai", {"tools": [TOOL]}, "tools"),
        ("openai", {"tools": [TOOL], "tool_choice": "auto"}, "tool_choice"),
        ("openai", {"output_schema": SCHEMA}, "response_format"),
        ("openai", {"max_output_tokens": 9}, "max_tokens"),
        ("openai", {"max_output_tokens": 9}, "max_completion_tokens"),
        ("openai-responses", {"output_schema": SCHEMA}, "text"),
        ("anthropic", {"output_schema": SCHEMA}, "output_config"),
    ],
)
def test_a_providers_own_form_goes_into_extra_where_the_field_is_left_alone(
    kind: ApiKind, field: dict[str, Any], name: str
) -> None:
    own: dict[str, Any] = {name: {"format": {}}}
    assert asking(kind, extra=own).extra == own
    assert list(refused(kind, extra=own, **field)) == [f"extra.{name}"]


def test_tools_in_extra_can_be_chosen_from() -> None:
    asked = asking("anthropic", extra={"tools": [{"type": "web_search"}]}, tool_choice={"name": "web_search"})
    assert asked.tool_choice == {"name": "web_search"}


@pytest.mark.parametrize(
    ("provider", "given", "why"),
    [
        ("openai", {"n": 2}, "a tailrace job carries one answer of openai: enqueue one job per answer"),
        ("anthropic", {"n": 2}, "a tailrace job carries one answer of anthropic: enqueue one job per answer"),
        ("local", {"n": 2}, "a tailrace job carries one answer of the provider: enqueue one job per answer"),
        (
            "openai",
            {"modalities": ["audio"]},
            "a tailrace job cannot carry audio of openai: ask for text only",
        ),
        ("openai", {"max_tokens": 9}, "is not a field of a request: use `max_output_tokens`"),
        ("openai", {"response_format": {}}, "is not a field of a request: use `output_schema`"),
        ("anthropic", {"system": "x"}, "is not a field of a request: use `messages`, with the role `system`"),
        ("openai", {"seed": 7}, "is not a field of a request: put fields that only openai knows into `extra`"),
        (["no name"], {"seed": 7}, "is not a field of a request: put fields that only the provider knows into `extra`"),
    ],
)
def test_a_keyword_of_an_sdk_is_told_where_it_belongs(provider: Any, given: dict[str, Any], why: str) -> None:
    assert refused(provider, **given)[next(iter(given))] == why


def test_a_fallback_has_to_support_the_request_too() -> None:
    fallbacks = [{"provider": "anthropic", "model": "c"}, {"provider": "openai-responses", "model": "g"}]
    assert refused("openai", temperature=1.5, stop=["END"], fallbacks=fallbacks) == {
        "temperature": "the fallback anthropic accepts 0 to 1",
        "stop": "the fallback openai-responses has no stop sequences: omit it",
    }


def test_extra_is_not_held_against_a_fallback_that_goes_without_it() -> None:
    asked = asking("openai", extra={"max_tokens": 9}, fallbacks=[{"provider": "anthropic", "model": "c"}])
    assert asked.extra == {"max_tokens": 9}


def test_a_problem_of_two_fallbacks_is_told_once() -> None:
    fallbacks = [{"provider": "anthropic", "model": model} for model in ("a", "b")]
    with pytest.raises(ValidationError) as caught:
        asking("openai", temperature=1.5, fallbacks=fallbacks)
    assert caught.value.error_count() == 1


def test_a_provider_that_only_the_workers_know_is_left_to_them() -> None:
    request = asking("local-1", temperature=1.5, stop=["\n"], extra={"n": 2})
    assert builtin_kind(request.provider) is None
    assert [str(problem) for problem in unsupported("anthropic", request, provider="local-1")] == [
        "temperature: local-1 accepts 0 to 1",
        "stop.0: local-1 accepts no stop sequence of only white space",
        "extra.n: a tailrace job carries one answer of local-1: enqueue one job per answer",
    ]
