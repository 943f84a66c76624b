"""From the body of a new response to the fields of a job."""

from typing import Any

import pytest

pytest.importorskip("fastapi")

from tailrace import GenerationRequest, InvalidRequest
from tailrace.api_kinds import builtin_kind
from tailrace.gateway.fronts.fields import Target
from tailrace.gateway.fronts.openai_responses.asked import asked_of
from tailrace.gateway.fronts.openai_responses.input_items import items_of, page_of
from tailrace.gateway.fronts.openai_responses.input_messages import InputMessages
from tailrace.gateway.fronts.openai_responses.new_response import NewResponse
from tailrace.gateway.fronts.openai_responses.translation import remembered, request_fields

USER = {"role": "user", "content": "Why?"}
CALL = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": "c1",
    "name": "look",
    "arguments": "{}",
    "status": "completed",
}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "42"}


def text(said: str) -> dict[str, Any]:
    return {"type": "message", "id": "m", "role": "assistant", "content": [{"type": "output_text", "text": said}]}


def thought(said: str, signature: str) -> dict[str, Any]:
    summary = [{"type": "summary_text", "text": said}]
    return {"type": "reasoning", "id": "rs", "summary": summary, "encrypted_content": signature}


def request_of(provider: str = "openai", **body: Any) -> GenerationRequest:
    new = NewResponse.model_validate({"model": "x", "input": "Why?", **body})
    target = Target(provider, builtin_kind(provider) or "openai")
    fields = request_fields(new, InputMessages(new.input).messages, target)
    return GenerationRequest.model_validate({"provider": provider, "model": "m", **fields})


def test_the_items_of_one_turn_are_one_message() -> None:
    said = InputMessages([USER, thought("hm", "s1"), text("I look."), thought("so", "s2"), CALL, OUTPUT, text("42")])
    assert said.messages == [
        USER,
        {
            "role": "assistant",
            "content": "I look.",
            "reasoning": [{"text": "hm", "signature": "s1"}, {"text": "so", "signature": "s2", "after_chars": 7}],
            "tool_calls": [{"id": "c1", "name": "look", "arguments": "{}"}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "42"},
        {"role": "assistant", "content": "42"},
    ]
    assert said.places == [0, 1, 5, 6]
    assert said.path_of(("messages", 3, "content"), before=1) == ("input", 5, "content")


def test_two_messages_in_a_row_are_two_turns() -> None:
    assert [message["content"] for message in InputMessages([text("a"), text("b")]).messages] == ["a", "b"]


def test_images_and_files_of_the_user_are_carried() -> None:
    parts = [
        {"type": "input_text", "text": "See:"},
        {"type": "input_image", "detail": "auto", "image_url": "data:image/png;base64,AAAA"},
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"},
    ]
    request = request_of(input=[{"role": "user", "content": parts}])
    assert request.messages[0].get("content") == [
        {"type": "text", "text": "See:"},
        {"type": "image", "data": "AAAA", "media_type": "image/png"},
        {"type": "document", "data": "AAAA", "media_type": "application/pdf", "name": "a.pdf"},
    ]


@pytest.mark.parametrize(
    ("provider", "body", "extra"),
    [
        ("openai", {"reasoning": {"effort": "low", "summary": "auto"}}, {"reasoning_effort": "low"}),
        (
            "openai-responses",
            {"reasoning": {"effort": "low", "summary": "detailed"}},
            {"reasoning": {"effort": "low", "summary": "detailed"}},
        ),
        ("anthropic", {"reasoning": {"effort": "low"}}, {"output_config": {"effort": "low"}}),
        ("vllm", {"reasoning": {"effort": "low"}}, {"reasoning_effort": "low"}),
        ("openai", {"user": "u", "safety_identifier": "s"}, {"user": "u", "safety_identifier": "s"}),
        ("anthropic", {"user": "u", "max_tool_calls": 3, "truncation": "disabled"}, {}),
        ("openai-responses", {"truncation": "auto", "store": False}, {"truncation": "auto", "store": False}),
        (
            "openai-responses",
            {"include": ["reasoning.encrypted_content"]},
            {"include": ["reasoning.encrypted_content"]},
        ),
        ("anthropic", {"include": ["reasoning.encrypted_content"]}, {}),
        ("openai", {"text": {"verbosity": "low"}}, {"verbosity": "low"}),
        ("openai-responses", {"text": {"verbosity": "low"}}, {"text": {"verbosity": "low"}}),
        ("anthropic", {"text": {"verbosity": "medium"}}, {}),
        ("openai", {"text": {"format": {"type": "json_object"}}}, {"response_format": {"type": "json_object"}}),
        ("openai", {"parallel_tool_calls": False}, {}),
    ],
)
def test_each_provider_gets_its_own_form(provider: str, body: dict[str, Any], extra: dict[str, Any]) -> None:
    assert request_of(provider, **body).extra == extra


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"reasoning": {"effort": "minimal"}}, "reasoning.effort: "),
        ({"reasoning": {"context": "all"}}, "reasoning.context: "),
        ({"text": {"verbosity": "low"}}, "text.verbosity: "),
        ({"text": {"format": {"type": "json_object"}}}, "text.format: "),
        ({"text": {"else": 1}}, "text.else: "),
        ({"service_tier": "flex"}, "service_tier: "),
        ({"parallel_tool_calls": False, "tools": [{"type": "function", "name": "look"}]}, "parallel_tool_calls: "),
    ],
)
def test_what_a_provider_cannot_do_is_refused_by_name(body: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidRequest, match=f"^{named}"):
        request_of("anthropic", **body)


def test_the_request_is_repeated_from_what_is_stored() -> None:
    schema = {"type": "json_schema", "name": "a", "schema": {"type": "object"}, "description": "An answer."}
    body: dict[str, Any] = {
        "model": "x",
        "input": "Why?",
        "instructions": "Be brief.",
        "text": {"format": schema, "verbosity": "low"},
        "metadata": {"a": "b"},
        "top_p": 0.5,
    }
    new = NewResponse.model_validate(body)
    stored = request_of(**body).to_json(max_bytes=10_000)
    asked = asked_of(GenerationRequest.from_json(stored), remembered(new))
    assert asked["text"] == {
        "format": {
            "type": "json_schema",
            "name": "a",
            "schema": {"description": "An answer.", "type": "object"},
            "strict": False,
        },
        "verbosity": "low",
    }
    assert {name: asked[name] for name in ("model", "instructions", "metadata", "top_p")} == {
        name: body[name] for name in ("model", "instructions", "metadata", "top_p")
    }


def test_what_is_listed_can_be_given_again() -> None:
    parts = [
        {"type": "input_text", "text": "See:"},
        {"type": "input_image", "image_url": "https://example.com/a.png"},
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"},
    ]
    request = request_of(
        input=[{"role": "user", "content": parts}, thought("hm", "s1"), text("I look."), CALL, OUTPUT, USER]
    )
    listed = items_of(request.messages, "job")
    assert [item["id"] for item in listed] == [f"in_job_{place}" for place in range(6)]
    again = request_of(input=[USER, *listed])
    assert again.messages[1:-1] == request.messages[:-1]


def test_pages_have_all_items_once() -> None:
    items = [{"id": str(place)} for place in range(5)]
    page = page_of(items, order="asc", after=None, limit=3)
    assert ([item["id"] for item in page["data"]], page["has_more"]) == (["0", "1", "2"], True)
    rest = page_of(items, order="asc", after=page["last_id"], limit=3)
    assert ([item["id"] for item in rest["data"]], rest["has_more"]) == (["3", "4"], False)
    assert page_of(items, order="desc", after="1", limit=3)["data"] == [{"id": "0"}]
    with pytest.raises(InvalidRequest, match="after: "):
        page_of(items, order="asc", after="other", limit=3)


def test_a_choice_without_tools_says_nothing() -> None:
    assert request_of(tool_choice="auto").tool_choice is None
