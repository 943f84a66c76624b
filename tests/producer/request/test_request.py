"""What is accepted at the door."""

import base64
import json
from typing import Any, get_type_hints

import pytest
from pydantic import TypeAdapter, ValidationError

from tailrace import Fallback, GenerationRequest, InvalidRequest, RequestTooLarge, UserMessage
from tailrace.request.request_fields import RequestChanges, RequestFields
from tailrace.request.validation import described

GOOD: dict[str, Any] = {
    "provider": "anthropic",
    "model": "claude",
    "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
}
PNG = {"type": "image", "data": base64.b64encode(b"png").decode(), "media_type": "image/png"}
PDF = {"type": "document", "data": base64.b64encode(b"pdf!").decode(), "media_type": "application/pdf", "name": "a.pdf"}
CALL = {"id": "call_1", "name": "weather", "arguments": '{"city": "Rome"}'}
CONVERSATION: list[dict[str, Any]] = [
    {"role": "system", "content": [{"type": "text", "text": "Be brief."}]},
    {"role": "user", "content": [{"type": "text", "text": "What is this?"}, PNG, PDF]},
    {"role": "user", "content": [{"type": "image", "url": "https://example.com/a.png"}]},
    {"role": "assistant", "reasoning": [{"text": "Hm.", "signature": "c2ln"}], "tool_calls": [CALL]},
    {"role": "system", "content": "Be briefer."},
    {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "It rains."}, PNG]},
    {"role": "tool", "tool_call_id": "call_1", "content": "", "is_error": True},
]
FULL: dict[str, Any] = {
    **GOOD,
    "messages": CONVERSATION,
    "max_output_tokens": 100,
    "temperature": 0.5,
    "top_p": 0.9,
    "stop": ["END"],
    "tools": [
        {"name": "weather", "description": "The weather.", "parameters": {"type": "object"}, "strict": True},
        {"name": "now"},
    ],
    "tool_choice": {"name": "weather"},
    "output_schema": {"name": "answer", "schema": {"type": "object", "properties": {"a": {"type": ["null"]}}}},
    "stream": False,
    "extra": {"top_k": 3, "thinking": {"type": "enabled", "budget_tokens": 1_024}},
    "on_interrupt": "continue",
    "timeouts": {"first_token_seconds": 10.0, "idle_seconds": 5.0},
    "buffering": {"max_chars": 80, "max_delay_ms": 50, "at_sentences": False},
    "guards": [
        {"type": "max_chars", "limit": 1_000},
        {"type": "clean"},
        {"type": "redact", "kinds": ["email", "card"], "words": ["secret"]},
        {"type": "block", "patterns": ["(?i)mill[0-9]+"]},
        {"type": "moderate", "every_chars": 400, "mode": "lenient", "on_failure": "open"},
    ],
    "input_guards": [{"type": "redact", "kinds": ["email"]}],
    "boxes": True,
    "fallbacks": [{"provider": "anthropic", "model": "claude-2"}],
}


def user(*parts: object) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(parts)}]}


def refused(change: dict[str, Any]) -> dict[str, str]:
    """The problems of the good request with a change, by their paths."""
    with pytest.raises(ValidationError) as caught:
        GenerationRequest.model_validate({**GOOD, **change})
    return {".".join(map(str, error["loc"])): error["msg"] for error in caught.value.errors()}


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"provider": "OpenAI"}, "provider"),
    ({"provider": "p" * 65}, "provider"),
    ({"model": ""}, "model"),
    ({"messages": []}, "messages"),
    ({"messages": ["Hi"]}, "messages.0"),
    ({"messages": [{"content": "x"}]}, "messages.0.role"),
    ({"messages": [{"role": "wizard", "content": "x"}]}, "messages.0.role"),
    ({"messages": [{"role": "user"}]}, "messages.0.content"),
    ({"messages": [{"role": "user", "content": ""}]}, "messages.0.content"),
    ({"messages": [{"role": "user", "content": 7}]}, "messages.0.content"),
    ({"messages": [{"role": "user", "content": []}]}, "messages.0.content"),
    ({"messages": [{"role": "user", "content": "x", "name": "Bob"}]}, "messages.0.name"),
    ({"messages": [{"role": "assistant", "content": ""}]}, "messages"),
    ({"messages": [{"role": "assistant", "tool_calls": [{"id": "1", "name": "a"}]}]},
     "messages.0.tool_calls.0.arguments"),
    ({"messages": [{"role": "tool", "tool_call_id": "call_1", "content": "x"}]}, "messages.0.tool_call_id"),
    (user({"type": "text", "text": ""}), "messages.0.content.0.text"),
    (user({"type": "audio"}), "messages.0.content.0.type"),
    (user({"text": "x"}), "messages.0.content.0.type"),
    (user({"type": "image"}), "messages.0.content.0"),
    (user({**PNG, "url": "https://example.com/a.png"}), "messages.0.content.0"),
    (user({"type": "image", "url": "https://a.b/c", "media_type": "image/png"}), "messages.0.content.0"),
    (user({"type": "image", "data": "YQ=="}), "messages.0.content.0"),
    (user({"type": "image", "url": "ftp://example.com/a.png"}), "messages.0.content.0.url"),
    (user({"type": "image", "url": "https://example.com/a b"}), "messages.0.content.0.url"),
    (user({**PNG, "media_type": "image/bmp"}), "messages.0.content.0.media_type"),
    (user({**PDF, "media_type": "text/plain"}), "messages.0.content.0.media_type"),
    ({"temperature": 3}, "temperature"),
    ({"temperature": float("nan")}, "temperature"),
    ({"top_p": 0}, "top_p"),
    ({"max_output_tokens": 0}, "max_output_tokens"),
    ({"max_output_tokens": 10**5_000}, "max_output_tokens"),
    ({"stop": ["a"] * 5}, "stop"),
    ({"tools": [{"name": "the weather"}]}, "tools.0.name"),
    ({"tools": [{"name": "weather"}, {"name": "weather"}]}, "tools.1.name"),
    ({"tools": [{"name": "weather", "parameters": "none"}]}, "tools.0.parameters"),
    ({"tool_choice": "auto"}, "tool_choice"),
    ({"tools": [{"name": "a"}], "tool_choice": "any"}, "tool_choice"),
    ({"tools": [{"name": "a"}], "tool_choice": 7}, "tool_choice"),
    ({"tools": [{"name": "a"}], "tool_choice": {"name": "b"}}, "tool_choice.name"),
    ({"output_schema": {"name": "a"}}, "output_schema.schema"),
    ({"extra": []}, "extra"),
    ({"extra": {"a": [{"b": float("inf")}]}}, "extra.a.0.b"),
    ({"extra": {"a": [object()]}}, "extra.a.0"),
    ({"extra": {"a": {7: 8}}}, "extra.a"),
    ({"extra": {"a": 2**64}}, "extra.a"),
    ({"extra": {"a": {"b": "\ud800"}}}, "extra.a.b"),
    ({"extra": {"a": {"\ud800": 1}}}, "extra.a"),
    ({"on_interrupt": "retry"}, "on_interrupt"),
    ({"fallbacks": [{"provider": "anthropic"}]}, "fallbacks.0.model"),
    ({"fallbacks": [{"provider": "anthropic", "model": "c"}] * 9}, "fallbacks"),
    ({"tempreature": 1}, "tempreature"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "field"), WRONG)
def test_what_is_wrong_is_named_by_the_path_that_its_author_wrote(change: dict[str, Any], field: str) -> None:
    assert list(refused(change)) == [field]


def test_all_that_is_wrong_is_named_at_once() -> None:
    problems = refused({"n": 2, "temperature": 3, "messages": [{"role": "user", "content": [{"type": "image"}, 7]}]})
    assert sorted(problems) == ["messages.0.content.0", "messages.0.content.1", "n", "temperature"]


@pytest.mark.parametrize(
    "data", ["YQ", "YQ=", "Y===", "Y=Q=", "YQ==YQ==", "Y Q=", "YQ==\n", "Y_-A", "ä===", "data:image/png;base64,YQ=="]
)
def test_what_is_no_base64_of_one_line_is_refused(data: str) -> None:  # fmt: skip
    assert list(refused(user({**PNG, "data": data}))) == ["messages.0.content.0.data"]


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"k": value}
    return value


def test_a_system_message_is_text() -> None:
    assert "messages.0.content.0.type" in refused({"messages": [{"role": "system", "content": [PNG]}]})


def test_json_is_bounded_in_depth_and_in_size() -> None:
    endless: list[Any] = []
    endless.extend([endless, endless])
    for value in (nested(63), nested(100_000), endless):
        assert refused({"extra": {"a": value}}) == {"extra.a": "is nested deeper than 64 levels"}
        assert refused({"output_schema": {"name": "a", "schema": {"a": value}}}).keys() == {"output_schema.schema.a"}
    assert refused({"extra": {"a": [0] * 100_000}}) == {"extra": "has more than 100,000 values"}
    stored = GenerationRequest.model_validate({**GOOD, "extra": nested(63)}).to_json(max_bytes=10_000)
    assert GenerationRequest.from_json(stored).extra == nested(63)


def test_what_the_caller_changes_later_is_not_the_requests() -> None:
    extra = {"a": {"b": [1]}}
    request = GenerationRequest.model_validate({**GOOD, "extra": extra})
    extra["a"]["b"].append(2)
    assert request.extra == {"a": {"b": [1]}}


def test_a_request_at_full_width_comes_back_as_it_was_stored() -> None:
    request = GenerationRequest.model_validate(FULL)
    assert request.model_dump() == FULL
    assert GenerationRequest.from_json(request.to_json(max_bytes=10_000)) == request


def test_what_is_stored_is_what_differs_from_the_defaults() -> None:
    stored = GenerationRequest.model_validate({**GOOD, "stream": True, "extra": {}}).to_json(max_bytes=1_000)
    assert stored == (
        '{"provider":"anthropic","model":"claude","messages":'
        '[{"role":"system","content":"Be brief."},{"role":"user","content":"Hi"}]}'
    )


def test_a_request_that_an_earlier_version_stored_is_read() -> None:
    stored = (
        '{"provider":"openai","model":"m","messages":[{"role":"system","content":"a"},{"role":"user","content":"b"},'
        '{"role":"assistant","content":"c"}],"max_output_tokens":9,"temperature":1.5,"top_p":0.5,"stop":["d"]}'
    )
    assert GenerationRequest.from_json(stored).to_json(max_bytes=1_000) == stored


def test_a_request_is_typed_as_it_is_written() -> None:
    request = GenerationRequest(
        provider="openai",
        model="m",
        messages=[
            {"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "image", "url": "https://a.b/c"}]},
            {"role": "assistant", "tool_calls": [{"id": "1", "name": "now", "arguments": ""}]},
            {"role": "tool", "tool_call_id": "1", "content": "noon"},
        ],
        tools=[{"name": "now"}],
        tool_choice="required",
        fallbacks=[{"provider": "vllm", "model": "m"}],
    )
    assert request.messages[2]["role"] == "tool"


def test_lists_of_one_kind_of_message_are_messages_and_so_are_dicts() -> None:
    asked: list[UserMessage] = [{"role": "user", "content": "Hi"}]
    dumped: tuple[dict[str, Any], ...] = ({"role": "developer", "content": "Be brief."}, *map(dict[str, Any], asked))
    for messages in (asked, tuple(asked), dumped):
        request = GenerationRequest(provider="openai", model="m", messages=messages)
        assert request.messages[-1] == asked[0]


def test_the_arguments_of_a_request_are_its_fields() -> None:
    required = {name for name, field in GenerationRequest.model_fields.items() if field.is_required()}
    for arguments in (RequestFields, RequestChanges):
        assert arguments.__annotations__.keys() >= GenerationRequest.model_fields.keys()
    assert RequestFields.__required_keys__ == required
    assert RequestChanges.__required_keys__ == set()


@pytest.mark.parametrize("field", GenerationRequest.model_fields)
def test_the_type_of_an_argument_takes_what_the_field_holds(field: str) -> None:
    argument = TypeAdapter(get_type_hints(RequestFields)[field])
    held = FULL.get(field, GenerationRequest.model_validate(FULL).model_dump()[field])
    assert argument.validate_python(held) is not None
    assert argument.validate_python(getattr(GenerationRequest.model_validate(FULL), field)) is not None


def test_a_service_can_show_the_schema_of_a_request() -> None:
    messages = GenerationRequest.model_json_schema()["properties"]["messages"]
    assert messages["items"]["discriminator"]["mapping"].keys() == {"system", "user", "assistant", "tool"}


def test_the_schema_of_a_request_describes_every_field_of_every_part() -> None:
    schema = GenerationRequest.model_json_schema()
    parts: dict[str, dict[str, Any]] = {"GenerationRequest": schema, **schema["$defs"]}
    assert {"Fallback", "Timeouts", "Buffering", "Tool", "OutputSchema", "UserMessage", "Image", "Redact"} <= set(parts)
    undescribed = [
        f"{part}.{field}"
        for part, properties in parts.items()
        for field, value in properties["properties"].items()
        if not value.get("description")
    ]
    assert undescribed == []
    assert schema["properties"]["model"]["description"] == "The model, as the provider writes its name."
    assert parts["Redact"]["properties"]["words"] == parts["Block"]["properties"]["words"]


def test_extra_goes_along_to_a_fallback_to_the_same_provider_alone() -> None:
    request = GenerationRequest.model_validate(FULL)
    same = request.falling_back(Fallback(provider="anthropic", model="b"))
    other = request.falling_back(Fallback(provider="openai", model="c"))
    assert (same.provider, same.model, same.extra, same.fallbacks) == ("anthropic", "b", request.extra, [])
    assert (other.provider, other.model, other.extra) == ("openai", "c", {})
    assert other.messages == request.messages


def test_the_limit_counts_bytes_and_not_characters() -> None:
    request = GenerationRequest.model_validate({**GOOD, "model": "ä" * 200})
    size = len(request.to_json(max_bytes=10_000).encode())
    assert request.to_json(max_bytes=size)
    with pytest.raises(RequestTooLarge, match=f"{size:,} bytes"):
        request.to_json(max_bytes=size - 1)


@pytest.mark.parametrize("change", [{"model": "\ud800"}, {"messages": [{"role": "assistant", "content": "\ud800"}]}])
def test_text_that_is_no_unicode_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises((InvalidRequest, ValidationError)):
        GenerationRequest.model_validate({**GOOD, **change}).to_json(max_bytes=10_000)


def test_a_stored_request_that_no_longer_validates_names_its_field_and_not_its_value() -> None:
    with pytest.raises(InvalidRequest, match=r"messages\.0\.content") as caught:
        GenerationRequest.from_json('{"provider":"openai","model":"m","messages":[{"role":"user","content":7}]}')
    assert "7" not in str(caught.value)


def test_a_prompt_at_fault_stays_out_of_the_error() -> None:
    with pytest.raises(ValidationError) as caught:
        GenerationRequest.model_validate(
            {**GOOD, "messages": [{"role": "secret", "content": "secret"}], "stop": "secret"}
        )
    assert "secret" not in str(caught.value)
    assert "secret" not in described(caught.value)


def test_several_problems_are_told_on_one_line() -> None:
    with pytest.raises(ValidationError) as caught:
        GenerationRequest.model_validate({**GOOD, "model": "", "extra": {"n": 2, "system": "{why}"}})
    assert described(caught.value) == "model: String should have at least 1 character"
    with pytest.raises(ValidationError) as caught:
        GenerationRequest.model_validate({**GOOD, "extra": {"n": 2, "betas": []}})
    assert described(caught.value) == (
        "extra.n: a tailrace job carries one answer of anthropic: enqueue one job per answer; "
        "extra.betas: anthropic accepts it only as a header, and `extra` goes into the body: omit it"
    )


def test_guards_and_input_guards_have_one_budget() -> None:
    half = [{"type": "redact", "words": ["b" * 128] * 33}]
    other = [{"type": "redact", "words": ["c" * 128] * 33}]
    problems = refused({"guards": half, "input_guards": other})
    assert problems["input_guards"].startswith("together with `guards`, the words and patterns have 8,448 characters")
    assert refused({"guards": half, "input_guards": half, "stop": [""]}).keys() == {"stop.0"}


@pytest.mark.timeout(5)
def test_fifty_thousand_tools_are_looked_at_in_no_time() -> None:
    tools = [{"name": f"t{number}"} for number in range(50_000)]
    assert len(GenerationRequest.model_validate({**GOOD, "tools": tools}).tools) == 50_000


def test_a_hundred_problems_of_thousands_are_told() -> None:
    with pytest.raises(InvalidRequest) as caught:
        GenerationRequest.from_json(json.dumps({**GOOD, "messages": [{"role": "user"}] * 5_000}))
    assert str(caught.value).count("Field required") == 100
