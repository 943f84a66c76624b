"""What is read from Chat Completions that no recording shows."""

import json
from typing import Any

import pytest

from tailrace.errors import FailureCode, ProviderError
from tailrace.events import Delta, FinishReason, Reasoning, Refusal, ToolCall
from tailrace_worker.providers.base import Finish, Piece, TokenCounts
from tests.support.wire import Client, adapter, asking, pieces_of, read, skipped, sse


def chunk(delta: object = None, finish_reason: str | None = None, **fields: object) -> dict[str, object]:
    choice: dict[str, object] = {"index": 0, "delta": delta or {}, "finish_reason": finish_reason}
    return {"object": "chat.completion.chunk", "choices": [choice], **fields}


TEXT = chunk({"content": "Hi"})
STOP = chunk(finish_reason="stop")
USAGE: dict[str, Any] = {
    "prompt_tokens": 3,
    "completion_tokens": 5,
    "prompt_tokens_details": {"cached_tokens": 2, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 4},
}
HI = Delta(text="Hi")
STOPPED = Finish(reason="stop", provider_reason="stop")
USED = TokenCounts(input_tokens=3, output_tokens=5, cached_input_tokens=2, reasoning_tokens=4)


def given_back(*members: str) -> Reasoning:
    """What a later turn gives the reasoning back by."""
    return Reasoning(text="", signature="chat:" + json.dumps({"members": members}, separators=(",", ":")))


def calls(*fragments: object) -> dict[str, object]:
    return chunk({"tool_calls": list(fragments)})


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([TEXT, STOP, {"choices": (), "usage": USAGE}], [HI, USED, STOPPED]),
        ([TEXT, {**STOP, "usage": USAGE}], [HI, USED, STOPPED]),
        ([chunk(usage=USAGE), TEXT, STOP], [USED, HI, STOPPED]),
        ([{"choices": (), "usage": {"prompt_tokens": 3}}, TEXT, STOP], [TokenCounts(input_tokens=3), HI, STOPPED]),
        ([chunk({"role": "assistant", "content": ""}), chunk({"content": None}), TEXT, STOP], [HI, STOPPED]),
        ([TEXT, STOP, STOP, TEXT], [HI, HI, STOPPED]),
        ([TEXT, {**TEXT, "choices": [{"index": 1, "delta": {"content": "?"}}]}, STOP], [HI, Delta(text="?"), STOPPED]),
        (
            [chunk({"reasoning_content": "Hm", "reasoning": "Hm"}), TEXT, STOP],
            [Reasoning(text="Hm"), HI, given_back("reasoning", "reasoning_content"), STOPPED],
        ),
        ([chunk({"reasoning": "Hm"}), TEXT, STOP], [Reasoning(text="Hm"), HI, given_back("reasoning"), STOPPED]),
        (
            [chunk({"refusal": "No."}), STOP],
            [Refusal(text="No."), Finish(reason="refusal", provider_reason="stop")],
        ),
    ],
)
async def test_a_chat_completion_is_read_whatever_else_comes(events: list[object], expected: list[Piece]) -> None:
    assert await read("openai", sse(*events)) == expected


@pytest.mark.parametrize(
    ("fragments", "expected"),
    [
        (
            [
                {"index": 7, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}},
                {"index": 7, "function": {"arguments": "[]"}},
                {"index": 9, "id": "b", "function": {"name": "g"}},
                {"index": 7, "id": "", "function": {"name": "", "arguments": " "}},
            ],
            [
                ToolCall(index=0, call_id="a", name="f"),
                ToolCall(index=0, arguments="[]"),
                ToolCall(index=1, call_id="b", name="g"),
                ToolCall(index=0, arguments=" "),
                ToolCall(index=1, arguments="{}"),
            ],
        ),
        # A server that gives all calls one index, and one that gives them none.
        (
            [
                {"index": 0, "id": "a", "function": {"name": "f", "arguments": "1"}},
                {"index": 0, "id": "b", "function": {"name": "g", "arguments": "2"}},
            ],
            [
                ToolCall(index=0, call_id="a", name="f", arguments="1"),
                ToolCall(index=1, call_id="b", name="g", arguments="2"),
            ],
        ),
        (
            [{"id": "a", "function": {"name": "f", "arguments": "1"}}, {"id": "b", "function": {"name": "g"}}],
            [
                ToolCall(index=0, call_id="a", name="f", arguments="1"),
                ToolCall(index=1, call_id="b", name="g"),
                ToolCall(index=1, arguments="{}"),
            ],
        ),
        # A server that tells the id late, and then gives the next call the same index.
        (
            [
                {"index": 0, "function": {"name": "f", "arguments": ""}},
                {"index": 0, "id": "a", "function": {"arguments": "1"}},
                {"index": 0, "id": "b", "function": {"name": "g", "arguments": "2"}},
            ],
            [
                ToolCall(index=0, name="f"),
                ToolCall(index=0, call_id="a", arguments="1"),
                ToolCall(index=1, call_id="b", name="g", arguments="2"),
            ],
        ),
        (
            [{"index": 0, "id": "a", "type": "custom", "custom": {"name": "f", "input": "x"}}],
            [ToolCall(index=0, call_id="a", name="f", arguments="x")],
        ),
        # A server that gives each fragment an id of its own: older ones of vLLM do.
        (
            [
                {"index": 0, "id": "a", "function": {"name": "f"}},
                {"index": 0, "id": "b", "function": {"arguments": "[1"}},
                {"index": 0, "id": "c", "function": {"arguments": "]"}},
            ],
            [
                ToolCall(index=0, call_id="a", name="f"),
                ToolCall(index=0, arguments="[1"),
                ToolCall(index=0, arguments="]"),
            ],
        ),
        # A server that gives all calls one index, and no id: they get some, by which they can be answered.
        (
            [
                {"index": 0, "id": "", "function": {"name": "f", "arguments": "1"}},
                {"index": 0, "function": {"name": "g"}},
                {"index": 0, "function": {"arguments": "2"}},
            ],
            [
                ToolCall(index=0, name="f", arguments="1"),
                ToolCall(index=1, name="g"),
                ToolCall(index=1, arguments="2"),
                ToolCall(index=0, call_id="call_0"),
                ToolCall(index=1, call_id="call_1"),
            ],
        ),
    ],
)
async def test_tool_calls_are_numbered_as_they_begin(fragments: list[object], expected: list[Piece]) -> None:
    one_by_one = await read("openai", sse(*map(calls, fragments), STOP))

    # The word of OpenAI and vLLM is `stop` where `tool_choice` names the tool.
    assert one_by_one == [*expected, Finish(reason="tool_calls", provider_reason="stop")]


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("length", "length"),
        ("max_tokens", "length"),
        ("model_length", "length"),
        ("tool_calls", "tool_calls"),
        ("function_call", "tool_calls"),
        ("content_filter", "content_filter"),
        ("a_new_word", "stop"),
    ],
)
async def test_a_finish_reason_is_one_of_five_and_keeps_the_providers_word(word: str, reason: FinishReason) -> None:
    pieces = await read("openai", sse(TEXT, chunk(finish_reason=word)))

    assert pieces[-1] == Finish(reason=reason, provider_reason=word)


@pytest.mark.parametrize("word", ["abort", "error", "insufficient_system_resource"])
async def test_an_answer_that_its_server_gave_up_has_broken_off(word: str) -> None:
    with pytest.raises(ProviderError, match=word) as raised:
        await read("openai", sse(TEXT, chunk(finish_reason=word)))

    assert raised.value.code is FailureCode.PROVIDER_INTERRUPTED


async def test_a_content_of_parts_is_text_and_thinking() -> None:
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "H"}, {"type": "text", "text": "m"}]}
    parts = [thinking, {"type": "text", "text": "Hi"}, {"type": "reference"}]

    assert await read("openai", sse(chunk({"content": parts}), STOP)) == [
        Reasoning(text="Hm"),
        HI,
        Finish(reason="stop", provider_reason="stop"),
    ]


async def test_calls_without_ids_are_told_from_those_of_earlier_turns() -> None:
    past = [{"id": f"call_{number}", "name": "f", "arguments": "{}"} for number in range(2)]
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "1"} for call in past]
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "tool_calls": past}, *results]
    client = Client([sse(calls({"function": {"name": "f", "arguments": "{}"}}), STOP)])

    pieces = [piece async for piece in pieces_of(adapter("openai", client), asking("openai", messages=turns))]

    assert ToolCall(index=0, call_id="call_2") in pieces


async def test_a_whole_completion_is_read_in_order() -> None:
    message: dict[str, Any] = {
        "role": "assistant",
        "reasoning_content": "Hm",
        "content": "Hi",
        "refusal": None,
        "annotations": [{"type": "url_citation"}],
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}},
            {"id": "b", "type": "function", "function": {"name": "g", "arguments": "[]"}},
        ],
    }
    body: dict[str, Any] = {
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
        "usage": USAGE,
    }

    assert await read("openai", json.dumps(body).encode(), stream=False) == [
        Reasoning(text="Hm"),
        HI,
        ToolCall(index=0, call_id="a", name="f", arguments="{}"),
        ToolCall(index=1, call_id="b", name="g", arguments="[]"),
        USED,
        given_back("reasoning_content"),
        Finish(reason="tool_calls", provider_reason="tool_calls"),
    ]


async def test_a_whole_call_that_was_forced_finishes_with_tool_calls() -> None:
    message = {"tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}
    body = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}

    assert await read("openai", json.dumps(body).encode(), stream=False) == [
        ToolCall(index=0, call_id="a", name="f", arguments="{}"),
        Finish(reason="tool_calls", provider_reason="stop"),
    ]


async def test_a_chunk_of_a_new_kind_is_skipped_and_counted() -> None:
    client = Client([sse({"object": "a.new.kind", "news": 1}, TEXT, {"object": "a.new.kind"}, STOP)])
    provider = adapter("openai", client)

    assert [piece async for piece in pieces_of(provider, asking("openai"))] == [HI, STOPPED]
    assert skipped(provider) == {"a.new.kind": 2}


@pytest.mark.parametrize(
    "error",
    [
        {"error": {"message": "So it is.", "type": "BadRequestError", "code": 400}},
        {"error": {"message": "So it is.", "type": "invalid_request_error", "code": None}, "choices": []},
        {"object": "error", "message": "So it is.", "type": "BadRequestError", "code": 400},
    ],
)
@pytest.mark.parametrize("stream", [True, False])
async def test_an_error_in_place_of_an_answer_is_told(error: object, stream: bool) -> None:
    with pytest.raises(ProviderError) as raised:
        await read("openai", sse(TEXT, error) if stream else json.dumps(error).encode(), stream=stream)

    assert raised.value.code is FailureCode.PROVIDER_REJECTED
    assert "So it is." in str(raised.value)
