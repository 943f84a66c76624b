"""What is read from Anthropic's Messages that no recording shows."""

import json
from typing import Any

import pytest
from anthropic.types import RawContentBlockDelta, RawContentBlockStartEvent, RawMessageStreamEvent

from tailrace.errors import FailureCode, ProviderError
from tailrace.events import Delta, FinishReason, Notice, Reasoning, Refusal, ToolCall
from tailrace_worker.providers.anthropic import wire
from tailrace_worker.providers.base import Finish, Piece, TokenCounts
from tailrace_worker.providers.vocabulary import Skipped
from tests.support.kinds import kinds_of
from tests.support.wire import Client, adapter, asking, pieces_of, read, skipped, sse

USAGE: dict[str, Any] = {
    "input_tokens": 3,
    "output_tokens": 1,
    "cache_read_input_tokens": 2,
    "cache_creation_input_tokens": 9,
}
START: dict[str, Any] = {"type": "message_start", "message": {"type": "message", "content": [], "usage": USAGE}}
LAST: dict[str, Any] = {
    "type": "message_delta",
    "delta": {"stop_reason": "end_turn"},
    "usage": {"output_tokens": 5, "output_tokens_details": {"thinking_tokens": 4}},
}
END: dict[str, Any] = {"type": "message_stop"}
HI = Delta(text="Hi")
BEGUN = TokenCounts(input_tokens=3, cached_input_tokens=2, cache_write_input_tokens=9)
USED = TokenCounts(output_tokens=5, reasoning_tokens=4)
STOPPED = Finish(reason="stop", provider_reason="end_turn")


def block(index: int = 0, **content_block: object) -> dict[str, object]:
    return {"type": "content_block_start", "index": index, "content_block": content_block}


def delta(index: int = 0, **fragment: object) -> dict[str, object]:
    return {"type": "content_block_delta", "index": index, "delta": fragment}


def stop(index: int = 0) -> dict[str, object]:
    return {"type": "content_block_stop", "index": index}


SAID = delta(type="text_delta", text="Hi")
TEXT = block(type="text", text="")


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([{"type": "ping"}, TEXT, SAID, stop()], [HI]),
        ([TEXT, delta(type="text_delta", text=""), SAID, delta(type="citations_delta", citation={}), stop()], [HI]),
        ([block(type="text", text="Hi", citations=[]), stop()], [HI]),
        (
            [
                block(type="thinking", thinking="", signature=""),
                delta(type="thinking_delta", thinking=""),
                delta(type="thinking_delta", thinking="Hm"),
                delta(type="signature_delta", signature="EqQB"),
                stop(),
                block(1, type="redacted_thinking", data="gAAA"),
                stop(1),
            ],
            [
                Reasoning(text="Hm"),
                Reasoning(text="", signature="EqQB"),
                Reasoning(text="", signature="redacted_thinking:gAAA"),
            ],
        ),
        (
            [
                TEXT,
                SAID,
                stop(),
                block(4, type="tool_use", id="a", name="f", input={}),
                delta(4, type="input_json_delta", partial_json=""),
                delta(4, type="input_json_delta", partial_json="{"),
                delta(4, type="input_json_delta", partial_json="}"),
                stop(4),
                block(6, type="tool_use", id="b", name="g", input={"x": 1}),
                stop(6),
                block(8, type="tool_use", id="c", name="h", input={"x": 1}),
                delta(8, type="input_json_delta", partial_json='{"x": 1}'),
                stop(8),
                block(9, type="tool_use", id="d", name="i", input=None),
                stop(9),
            ],
            [
                HI,
                ToolCall(index=0, call_id="a", name="f"),
                ToolCall(index=0, arguments="{"),
                ToolCall(index=0, arguments="}"),
                ToolCall(index=1, call_id="b", name="g"),
                ToolCall(index=1, arguments='{"x":1}'),
                ToolCall(index=2, call_id="c", name="h"),
                ToolCall(index=2, arguments='{"x": 1}'),
                ToolCall(index=3, call_id="d", name="i"),
                USED,
                ToolCall(index=3, arguments="{}"),
                # Some servers say `end_turn` all the same.
                Finish(reason="tool_calls", provider_reason="end_turn"),
            ],
        ),
        (
            [
                block(type="server_tool_use", id="s", name="web_search", input={}),
                delta(type="input_json_delta", partial_json='{"query": "tail'),
                delta(type="input_json_delta", partial_json='\\nrace"}'),
                stop(),
                block(1, type="web_search_tool_result", tool_use_id="s", content=[{"type": "web_search_result"}]),
                stop(1),
                block(2, type="server_tool_use", id="t", name="web_fetch", input={"url": "https://a.test"}),
                stop(2),
                block(3, type="mcp_tool_use", id="u", name="echo", server_name="m", input={"n": 1}),
                stop(3),
                block(4, type="server_tool_use", id="v", name="bash_code_execution", input={}),
                delta(4, type="input_json_delta", partial_json='{"query": "tailrace", "code": "'),
                *[delta(4, type="input_json_delta", partial_json="x" * 1_000)] * 100,
                delta(4, type="input_json_delta", partial_json='"}'),
            ],
            [
                Notice(code="server_tool", message="web_search: tail race"),
                Notice(code="server_tool", message="web_fetch: https://a.test"),
                Notice(code="server_tool", message="echo"),
                USED,
                Notice(code="server_tool", message="bash_code_execution"),
            ],
        ),
    ],
)
async def test_a_message_is_read_whatever_else_comes(events: list[object], expected: list[Piece]) -> None:
    pieces = await read("anthropic", sse(START, *events, LAST, END))

    used = [] if USED in expected else [USED]
    stopped = [] if any(isinstance(piece, Finish) for piece in expected) else [STOPPED]
    assert pieces == [BEGUN, *expected, *used, *stopped]


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "refusal"),
        ("pause_turn", "stop"),
        ("a_new_word", "stop"),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
async def test_a_finish_reason_is_one_of_five_and_keeps_the_providers_word(
    word: str, reason: FinishReason, stream: bool
) -> None:
    whole: dict[str, Any] = {"type": "message", "content": [], "stop_reason": word}
    body = sse(START, {**LAST, "delta": {"stop_reason": word}}, END) if stream else json.dumps(whole).encode()

    assert (await read("anthropic", body, stream=stream))[-1] == Finish(reason=reason, provider_reason=word)


async def test_a_refusal_without_content_says_why_where_the_provider_does() -> None:
    details = {"type": "refusal", "category": "cyber", "explanation": "No."}
    last = {**LAST, "delta": {"stop_reason": "refusal", "stop_details": details}}

    assert await read("anthropic", sse(START, last, END)) == [
        BEGUN,
        USED,
        Refusal(text="No."),
        Finish(reason="refusal", provider_reason="refusal"),
    ]


async def test_a_whole_message_is_read_in_order() -> None:
    body: dict[str, Any] = {
        "type": "message",
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "Hm", "signature": "EqQB"},
            {"type": "text", "text": "Hi"},
            {"type": "tool_use", "id": "a", "name": "f", "input": {"x": [1, "é"]}},
            {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "tailrace"}},
            {"type": "web_search_tool_result", "tool_use_id": "s", "content": []},
            {"type": "a_new_block"},
            {"type": "text", "text": " there"},
        ],
        "stop_reason": "tool_use",
        "usage": {**USAGE, "output_tokens": 5},
    }

    assert await read("anthropic", json.dumps(body).encode(), stream=False) == [
        Reasoning(text="Hm"),
        Reasoning(text="", signature="EqQB"),
        HI,
        ToolCall(index=0, call_id="a", name="f"),
        ToolCall(index=0, arguments='{"x":[1,"é"]}'),
        Notice(code="server_tool", message="web_search: tailrace"),
        Delta(text=" there"),
        TokenCounts(input_tokens=3, output_tokens=5, cached_input_tokens=2, cache_write_input_tokens=9),
        Finish(reason="tool_calls", provider_reason="tool_use"),
    ]


async def test_what_is_new_is_skipped_and_counted_whatever_its_shape() -> None:
    stream = sse(
        START,
        {"type": "a_new_event", "index": "?", "delta": 7},
        block(type="a_new_block", text={"?": 1}),
        delta(type="a_new_delta", text={"?": 1}),
        delta(type="a_new_delta"),
        stop(),
        block(1, type="text", text=""),
        {**SAID, "index": 1},
        LAST,
        END,
    )
    provider = adapter("anthropic", Client([stream]))

    assert [piece async for piece in pieces_of(provider, asking("anthropic"))] == [BEGUN, HI, USED, STOPPED]
    assert skipped(provider) == {"a_new_event": 1, "a_new_block": 1, "a_new_delta": 2}


@pytest.mark.parametrize(
    "event",
    [
        {"type": "content_block_delta"},
        {"type": "content_block_delta", "index": 0, "delta": None},
        {"type": "content_block_delta", "index": 0, "delta": {"text": "Hi"}},
        {"index": 0},
        [],
        None,
    ],
)
async def test_an_event_of_a_wrong_shape_is_malformed(event: object) -> None:
    with pytest.raises(ProviderError) as raised:
        await read("anthropic", sse(event, START, LAST, END))

    assert raised.value.code is FailureCode.PROVIDER_MALFORMED


@pytest.mark.parametrize("stream", [True, False])
async def test_an_error_in_place_of_an_answer_is_told(stream: bool) -> None:
    error = {"type": "error", "error": {"type": "rate_limit_error", "message": "So it is."}}
    with pytest.raises(ProviderError) as raised:
        await read("anthropic", sse(START, error) if stream else json.dumps(error).encode(), stream=stream)

    assert raised.value.code is FailureCode.PROVIDER_RATE_LIMITED
    assert "So it is." in str(raised.value)


@pytest.mark.parametrize(
    ("vocabulary", "union"),
    [
        (wire.SAID, RawMessageStreamEvent),
        (wire.BLOCKS, RawContentBlockStartEvent.model_fields["content_block"].annotation),
        (wire.DELTAS, RawContentBlockDelta),
    ],
)
def test_everything_that_the_sdk_knows_is_known(vocabulary: Any, union: Any) -> None:
    skip = Skipped("Acme", str)
    for kind in kinds_of(union):
        if kind not in vocabulary:
            vocabulary.read(json.dumps({"type": kind}).encode(), skip)

    assert not skip.counts, "the SDK has grown: what do these mean for a job?"
