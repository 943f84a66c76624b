"""The bodies that the adapters make of requests."""

from typing import Any

import pytest

from tailrace.api_kinds import API_KINDS, ApiKind
from tailrace.request.messages import PastReasoning
from tailrace_worker.providers.openai_responses.reasoning import item_of
from tests.support.wire import sent

SCHEMA: dict[str, Any] = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
NO_PARAMETERS: dict[str, Any] = {"type": "object", "properties": {}}
PNG = {"type": "image", "data": "iVBORw==", "media_type": "image/png"}
PHOTO = {"type": "image", "url": "https://a.test/b.jpg"}
PDF = {"type": "document", "data": "JVBERg==", "media_type": "application/pdf", "name": "mill.pdf"}
TOOLS: list[dict[str, Any]] = [
    {"name": "f", "description": "Does it.", "parameters": SCHEMA, "strict": True},
    {"name": "g"},
]
CONVERSATION: list[dict[str, object]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "Look:"}, PNG, PHOTO, PDF]},
    {
        "role": "assistant",
        "content": "I ask.",
        "reasoning": [{"text": "unsigned"}],
        "tool_calls": [
            {"id": "a", "name": "f", "arguments": '{"x": 1}'},
            {"id": "b", "name": "g", "arguments": ""},
        ],
    },
    {"role": "tool", "tool_call_id": "a", "content": "one"},
    {"role": "system", "content": [{"type": "text", "text": "Be kind."}, {"type": "text", "text": "Be good."}]},
    {"role": "tool", "tool_call_id": "b", "content": [{"type": "text", "text": "two"}], "is_error": True},
    {"role": "user", "content": "Well?"},
    {"role": "assistant", "content": "It"},
]
FIELDS: dict[str, object] = {
    "messages": CONVERSATION,
    "max_output_tokens": 50,
    "temperature": 0.5,
    "top_p": 0.9,
    "tools": TOOLS,
    "tool_choice": {"name": "f"},
    "output_schema": {"name": "answer", "schema": SCHEMA},
}

CHAT: dict[str, Any] = {
    "model": "a-model",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Look:"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}},
                {"type": "image_url", "image_url": {"url": "https://a.test/b.jpg"}},
                {
                    "type": "file",
                    "file": {"filename": "mill.pdf", "file_data": "data:application/pdf;base64,JVBERg=="},
                },
            ],
        },
        {
            "role": "assistant",
            "content": "I ask.",
            "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}},
                {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "a", "content": "one"},
        {"role": "system", "content": [{"type": "text", "text": "Be kind."}, {"type": "text", "text": "Be good."}]},
        {"role": "tool", "tool_call_id": "b", "content": "two"},
        {"role": "user", "content": "Well?"},
        {"role": "assistant", "content": "It"},
    ],
    "max_completion_tokens": 50,
    "temperature": 0.5,
    "top_p": 0.9,
    "stop": ["END"],
    "tools": [
        {"type": "function", "function": TOOLS[0]},
        {"type": "function", "function": {"name": "g"}},
    ],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True},
    },
    "stream": True,
    "stream_options": {"include_usage": True},
    "service_tier": "flex",
}
RESPONSES: dict[str, Any] = {
    "model": "a-model",
    "input": [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "Look:"},
                {"type": "input_image", "detail": "auto", "image_url": "data:image/png;base64,iVBORw=="},
                {"type": "input_image", "detail": "auto", "image_url": "https://a.test/b.jpg"},
                {"type": "input_file", "filename": "mill.pdf", "file_data": "data:application/pdf;base64,JVBERg=="},
            ],
        },
        {"type": "message", "role": "assistant", "content": "I ask."},
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": '{"x": 1}'},
        {"type": "function_call", "call_id": "b", "name": "g", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "a", "output": "one"},
        {
            "role": "system",
            "content": [{"type": "input_text", "text": "Be kind."}, {"type": "input_text", "text": "Be good."}],
        },
        {"type": "function_call_output", "call_id": "b", "output": "two"},
        {"role": "user", "content": "Well?"},
        {"type": "message", "role": "assistant", "content": "It"},
    ],
    "max_output_tokens": 50,
    "temperature": 0.5,
    "top_p": 0.9,
    "tools": [
        {"type": "function", **TOOLS[0]},
        {"type": "function", "name": "g", "parameters": NO_PARAMETERS},
    ],
    "tool_choice": {"type": "function", "name": "f"},
    "text": {"format": {"type": "json_schema", "name": "answer", "schema": SCHEMA, "strict": True}},
    "stream": True,
    "service_tier": "flex",
}
MESSAGES: dict[str, Any] = {
    "model": "a-model",
    "system": "Be brief.\n\nBe kind.\n\nBe good.",
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Look:"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw=="}},
                {"type": "image", "source": {"type": "url", "url": "https://a.test/b.jpg"}},
                {
                    "type": "document",
                    "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="},
                    "title": "mill.pdf",
                },
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "I ask."},
                {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}},
                {"type": "tool_use", "id": "b", "name": "g", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "a", "content": "one"},
                {
                    "type": "tool_result",
                    "tool_use_id": "b",
                    "content": "two",
                    "is_error": True,
                },
                {"type": "text", "text": "Well?"},
            ],
        },
        {"role": "assistant", "content": "It"},
    ],
    "max_tokens": 50,
    "temperature": 0.5,
    "top_p": 0.9,
    "stop_sequences": ["END"],
    "tools": [
        {"name": "f", "description": "Does it.", "input_schema": SCHEMA, "strict": True},
        {"name": "g", "input_schema": NO_PARAMETERS},
    ],
    "tool_choice": {"type": "tool", "name": "f"},
    "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
    "stream": True,
    "service_tier": "flex",
}


@pytest.mark.parametrize(("kind", "body"), [("openai", CHAT), ("openai-responses", RESPONSES), ("anthropic", MESSAGES)])
async def test_a_request_goes_out_at_full_width(kind: ApiKind, body: object) -> None:
    # Responses has no stop sequences.
    fields = FIELDS if kind == "openai-responses" else {**FIELDS, "stop": ["END"]}

    assert await sent(kind, **fields, extra={"service_tier": "flex"}) == body


@pytest.mark.parametrize(
    ("kind", "messages", "defaults"),
    [
        ("openai", {"messages": [{"role": "user", "content": "Hi"}]}, {}),
        ("openai-responses", {"input": [{"role": "user", "content": "Hi"}]}, {}),
        (
            "anthropic",
            {"messages": [{"role": "user", "content": "Hi"}]},
            {"max_tokens": 4_096},
        ),
    ],
)
async def test_nothing_goes_out_that_was_not_asked_for(
    kind: ApiKind, messages: dict[str, object], defaults: dict[str, object]
) -> None:
    assert await sent(kind, stream=False) == {"model": "a-model", "stream": False, **messages, **defaults}


@pytest.mark.parametrize(
    ("kind", "choice", "said"),
    [
        ("openai", "auto", "auto"),
        ("openai", "required", "required"),
        ("openai-responses", "none", "none"),
        ("anthropic", "auto", {"type": "auto"}),
        ("anthropic", "required", {"type": "any"}),
        ("anthropic", "none", {"type": "none"}),
    ],
)
async def test_a_tool_choice_is_said_in_the_providers_word(kind: ApiKind, choice: str, said: object) -> None:
    assert (await sent(kind, tools=TOOLS, tool_choice=choice))["tool_choice"] == said


@pytest.mark.parametrize("kind", API_KINDS)
async def test_extra_goes_out_untouched(kind: ApiKind) -> None:
    extra = {"tools": [{"type": "web_search", "n": [1, None]}], "tool_choice": {"type": "x"}, "metadata": {"a": "é"}}
    body = await sent(kind, extra=extra)

    assert {name: body[name] for name in extra} == extra


async def test_what_is_taken_away_by_extra_is_gone() -> None:
    assert (await sent("openai", extra={"stream_options": None}))["stream_options"] is None


@pytest.mark.parametrize(
    ("kind", "extra"),
    [("openai-responses", {"text": {"verbosity": "low"}}), ("anthropic", {"output_config": {"effort": "low"}})],
)
async def test_what_stands_beside_the_schema_goes_out_with_it(kind: ApiKind, extra: dict[str, dict[str, str]]) -> None:
    body = await sent(kind, output_schema={"name": "mill", "schema": SCHEMA}, extra=extra)
    ((name, beside),) = extra.items()

    assert body[name] == {"format": body[name]["format"], **beside}
    assert body[name]["format"]["schema"] == SCHEMA


async def test_a_schema_that_the_answer_only_should_keep_to_is_not_strict() -> None:
    schema = {"name": "answer", "schema": SCHEMA, "strict": False}

    assert (await sent("openai", output_schema=schema))["response_format"]["json_schema"]["strict"] is False
    assert (await sent("openai-responses", output_schema=schema))["text"]["format"]["strict"] is False


async def test_documents_go_out_by_address_too() -> None:
    messages = [{"role": "user", "content": [{"type": "document", "url": "https://a.test/b.pdf"}]}]

    assert (await sent("openai-responses", messages=messages))["input"][0]["content"] == [
        {"type": "input_file", "file_url": "https://a.test/b.pdf"}
    ]
    assert (await sent("anthropic", messages=messages))["messages"][0]["content"] == [
        {"type": "document", "source": {"type": "url", "url": "https://a.test/b.pdf"}}
    ]


async def test_tools_show_images_and_give_nothing() -> None:
    calls = [{"id": each, "name": "f", "arguments": "{}"} for each in "ab"]
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "tool_calls": calls},
        {"role": "user", "content": "Now?"},
        {"role": "tool", "tool_call_id": "a", "content": [PNG]},
        {"role": "tool", "tool_call_id": "b", "content": ""},
    ]
    of_responses = (await sent("openai-responses", messages=messages))["input"][-2:]
    of_anthropic = (await sent("anthropic", messages=messages))["messages"][-1]["content"]

    assert [each["output"] for each in of_responses] == [
        [{"type": "input_image", "detail": "auto", "image_url": "data:image/png;base64,iVBORw=="}],
        "",
    ]
    # Anthropic refuses a turn in which anything stands before the results.
    assert [each["type"] for each in of_anthropic] == ["tool_result", "tool_result", "text"]
    assert of_anthropic[0]["content"][0]["source"]["data"] == "iVBORw=="
    assert of_anthropic[1] == {"type": "tool_result", "tool_use_id": "b"}


def thinking(*blocks: dict[str, str]) -> list[dict[str, object]]:
    return [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "reasoning": list(blocks)},
        {"role": "user", "content": "Well?"},
    ]


OF_ANTHROPIC = {"text": "Hm", "signature": "EqQB"}
OF_RESPONSES = {"text": "Hm\n\nAha", "signature": '{"id":"rs_1","encrypted_content":"gAAA","summary":[2,3]}'}


async def test_reasoning_goes_back_to_the_provider_that_signed_it_as_it_came() -> None:
    messages = thinking(
        {"text": "unsigned"}, OF_ANTHROPIC, {"text": "", "signature": "redacted_thinking:gAAA"}, OF_RESPONSES
    )

    assert (await sent("anthropic", messages=messages))["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "Hm", "signature": "EqQB"},
        {"type": "redacted_thinking", "data": "gAAA"},
    ]
    assert (await sent("openai-responses", messages=messages))["input"][1:-1] == [
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "Hm"}, {"type": "summary_text", "text": "Aha"}],
            "encrypted_content": "gAAA",
        }
    ]


@pytest.mark.parametrize(
    ("kind", "order"),
    [
        ("anthropic", ["thinking", "text", "thinking", "tool_use", "thinking", "text", "tool_use"]),
        (
            "openai-responses",
            ["reasoning", "message", "reasoning", "function_call", "reasoning", "message", "function_call"],
        ),
    ],
)
async def test_reasoning_goes_back_to_where_it_stood(kind: ApiKind, order: list[str]) -> None:
    """Messages takes thinking as it was alone, and Responses none without the item that it was about."""
    sign = {"anthropic": "c2ln", "openai-responses": '{"id": "rs_1", "encrypted_content": "c2ln"}'}[kind]
    said = {
        "role": "assistant",
        "content": "Look: Done.",
        "tool_calls": [{"id": f"call_{number}", "name": "look_up", "arguments": "{}"} for number in range(2)],
        "reasoning": [
            {"text": "", "signature": sign},
            {"text": "", "signature": sign, "after_chars": 5},
            {"text": "", "signature": sign, "after_chars": 5, "after_calls": 1},
        ],
    }
    body = await sent(kind, messages=[{"role": "user", "content": "Hi"}, said])
    told: list[dict[str, str]] = body["messages"][1]["content"] if kind == "anthropic" else body["input"][1:]
    assert [part["type"] for part in told] == order


@pytest.mark.parametrize(("extra", "goes_back"), [({"store": False}, False), ({"store": True}, True), ({}, True)])
async def test_reasoning_that_is_stored_nowhere_does_not_go_back_by_its_id(
    extra: dict[str, bool], goes_back: bool
) -> None:
    block = {"text": "", "signature": '{"id": "rs_1"}'}
    said = {"role": "assistant", "content": "Hi", "reasoning": [block]}
    body = await sent("openai-responses", messages=[{"role": "user", "content": "Hi"}, said], extra=extra)
    assert ("reasoning" in [item.get("type") for item in body["input"]]) is goes_back


async def test_a_turn_of_which_nothing_is_left_does_not_go_out() -> None:
    turns: dict[ApiKind, Any] = {
        "openai": (await sent("openai", messages=thinking(OF_ANTHROPIC)))["messages"],
        "openai-responses": (await sent("openai-responses", messages=thinking(OF_ANTHROPIC)))["input"],
        "anthropic": (await sent("anthropic", messages=thinking(OF_RESPONSES)))["messages"],
    }

    assert {kind: [turn["role"] for turn in said] for kind, said in turns.items()} == {
        "openai": ["user", "user"],
        "openai-responses": ["user", "user"],
        "anthropic": ["user", "user"],
    }


@pytest.mark.parametrize(
    ("text", "signature", "summary", "content"),
    [
        ("Hm", '{"id":"rs_1","content":[2]}', [], ["Hm"]),
        ("a\n\nb", '{"id":"rs_1","summary":[4]}', ["a\n\nb"], []),
        ("a\n\nb", '{"id":"rs_1","summary":[1],"content":[1]}', ["a"], ["b"]),
        ("b\n\na", '{"id":"rs_1","summary":[1],"content":[1],"content_first":true}', ["a"], ["b"]),
        ("a\n\nc", '{"id":"rs_1","summary":[0,1,0],"content":[1]}', ["", "a", ""], ["c"]),
        ("", '{"id":"rs_1"}', [], []),
        # Somebody has changed the text since.
        ("[redacted]", '{"id":"rs_1","summary":[2,3]}', ["[redacted]"], []),
        ("[redacted]", '{"id":"rs_1","content":[2]}', [], ["[redacted]"]),
        ("[redacted]", '{"id":"rs_1","summary":[-3,9],"content":[2],"content_first":true}', ["[redacted]"], []),
    ],
)
def test_a_block_of_reasoning_gets_its_parts_back(
    text: str, signature: str, summary: list[str], content: list[str]
) -> None:
    item = item_of(PastReasoning(text=text, signature=signature))

    assert item is not None
    assert [part["text"] for part in item["summary"]] == summary
    assert [part["text"] for part in item.get("content", [])] == content
