"""What is read from Responses that no recording shows."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from openai.types.responses import ResponseOutputItem, ResponseStreamEvent

from tailrace.errors import FailureCode, ProviderError
from tailrace.events import Delta, FinishReason, Notice, Reasoning, Refusal, ToolCall
from tailrace_worker.providers.base import Finish, Piece, TokenCounts
from tailrace_worker.providers.openai_responses import wire
from tailrace_worker.providers.openai_responses.reasoning import item_of
from tailrace_worker.providers.vocabulary import Skipped
from tests.recorded.folded import folded
from tests.support.kinds import kinds_of
from tests.support.wire import Client, adapter, asking, pieces_of, read, skipped, sse

USAGE: dict[str, Any] = {
    "input_tokens": 3,
    "input_tokens_details": {"cached_tokens": 2},
    "output_tokens": 5,
    "output_tokens_details": {"reasoning_tokens": 4},
    "total_tokens": 8,
}
USED = TokenCounts(input_tokens=3, output_tokens=5, cached_input_tokens=2, reasoning_tokens=4)
HI = Delta(text="Hi")
STOPPED = Finish(reason="stop", provider_reason="completed")


def event(kind: str, index: int = 0, **fields: object) -> dict[str, object]:
    return {"type": f"response.{kind}", "sequence_number": 1, "output_index": index, **fields}


def ended(status: str = "completed", **fields: object) -> dict[str, object]:
    return event(status, response={"object": "response", "status": status, "error": None, "usage": USAGE, **fields})


def message(*parts: object) -> dict[str, object]:
    return {"type": "message", "id": "msg_1", "role": "assistant", "content": list(parts)}


def text(words: str) -> dict[str, object]:
    return {"type": "output_text", "text": words, "annotations": []}


CREATED = event("created", response={"status": "in_progress", "error": None, "usage": None})
SAID = event("output_text.delta", delta="Hi")
SAID_DONE = event("output_item.done", item=message(text("Hi")))
CALL: dict[str, Any] = {"type": "function_call", "id": "fc_1", "call_id": "a", "name": "f", "arguments": ""}


def asked(kind: str, **fields: object) -> dict[str, object]:
    """An item of a tool of the provider's own, once it is done."""
    return event("output_item.done", item={"type": f"{kind}_call", **fields})


def notice(words: str) -> Notice:
    return Notice(code="server_tool", message=words)


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([SAID], [HI]),
        ([event("output_item.added", item=message()), SAID, event("output_text.done", text="Hi"), SAID_DONE], [HI]),
        ([event("output_text.delta", delta=""), SAID], [HI]),
        ([event("output_text.annotation.added", annotation={"type": "url_citation"}), SAID], [HI]),
        # Items that come whole, as some servers send them.
        ([SAID_DONE, SAID, event("output_item.done", 1, item=message(text("!"), text("?")))], [HI, HI, "!?"]),
        (
            [
                event("output_item.added", item={"type": "reasoning", "id": "rs_1", "summary": []}),
                event("reasoning_summary_part.added", summary_index=0, part={"type": "summary_text", "text": ""}),
                event("reasoning_summary_text.delta", summary_index=0, delta="H"),
                event("reasoning_summary_text.delta", summary_index=0, delta="m"),
                event("reasoning_summary_part.added", summary_index=1, part={"type": "summary_text", "text": ""}),
                event("reasoning_summary_text.delta", summary_index=1, delta="Aha"),
                event(
                    "output_item.done",
                    item={
                        "type": "reasoning",
                        "id": "rs_1",
                        "summary": [{"text": "Hm"}, {"text": "Aha"}],
                        "encrypted_content": "gAAA",
                    },
                ),
            ],
            [
                Reasoning(text="H"),
                Reasoning(text="m"),
                Reasoning(text="\n\nAha"),
                Reasoning(text="", signature='{"id":"rs_1","encrypted_content":"gAAA","summary":[2,3]}'),
            ],
        ),
        (
            [
                event("reasoning_text.delta", delta="Hm"),
                event("output_item.done", item={"type": "reasoning", "content": [{"text": "Hm"}], "summary": []}),
            ],
            [Reasoning(text="Hm")],
        ),
        (
            [event("output_item.done", item={"type": "reasoning", "id": "rs_1", "content": [{"text": "Hm"}]})],
            [Reasoning(text="Hm"), Reasoning(text="", signature='{"id":"rs_1","content":[2]}')],
        ),
        (
            [
                asked("web_search", action={"type": "search", "query": "tail\nrace"}),
                asked("web_search", action={"type": "search", "queries": ["a", "b"]}),
                asked("web_search", action={"type": "open_page", "url": "https://a.test"}),
                asked("web_search", action={"type": "search"}),
                asked("file_search", queries=["mill"], results=None),
                asked("code_interpreter", code="1 + 1", container_id="c"),
                asked("mcp", name="echo", server_label="m", arguments="{}", output="o"),
                asked("tool_search", arguments={"query": ["?"]}, execution="server"),
                asked("an_unheard_of", action=[7], name=7),
                event("output_item.done", item={"type": "mcp_list_tools", "tools": []}),
                SAID,
            ],
            [
                notice("web_search: tail race"),
                notice("web_search: a"),
                notice("web_search: https://a.test"),
                notice("web_search"),
                notice("file_search: mill"),
                notice("code_interpreter"),
                notice("mcp: echo"),
                notice("tool_search"),
                notice("an_unheard_of"),
                HI,
            ],
        ),
    ],
)
async def test_a_response_is_read_whatever_else_comes(events: list[object], expected: list[Piece | str]) -> None:
    pieces = await read("openai-responses", sse(CREATED, *events, ended()))

    assert pieces == [*(Delta(text=each) if isinstance(each, str) else each for each in expected), USED, STOPPED]


def parts(kind: str, *texts: str) -> list[dict[str, str]]:
    return [{"type": kind, "text": words} for words in texts]


ONE_TWO = [
    event("reasoning_text.delta", content_index=0, delta="One"),
    event("reasoning_text.delta", content_index=0, delta="."),
    event("reasoning_text.delta", content_index=1, delta="Two."),
]
SUM = [event("reasoning_summary_text.delta", summary_index=0, delta="Sum.")]
LAST_SUM = [event("reasoning_summary_text.delta", summary_index=1, delta="Sum.")]


@pytest.mark.parametrize(
    ("fragments", "summary", "content", "text", "text_of_whole"),
    [
        (ONE_TWO, (), ("One.", "Two."), "One.\n\nTwo.", "One.\n\nTwo."),
        (SUM + ONE_TWO, ("Sum.",), ("One.", "Two."), "Sum.\n\nOne.\n\nTwo.", "Sum.\n\nOne.\n\nTwo."),
        # Only a stream tells that the summary came last.
        (ONE_TWO + SUM, ("Sum.",), ("One.", "Two."), "One.\n\nTwo.\n\nSum.", "Sum.\n\nOne.\n\nTwo."),
        (ONE_TWO + LAST_SUM, ("", "Sum."), ("One.", "Two.", ""), "One.\n\nTwo.\n\nSum.", "Sum.\n\nOne.\n\nTwo."),
        (LAST_SUM, ("", "Sum.", ""), (), "Sum.", "Sum."),
    ],
)
async def test_a_thought_of_several_parts_is_one_text_that_goes_back_in_its_parts(
    fragments: list[object], summary: Sequence[str], content: Sequence[str], text: str, text_of_whole: str
) -> None:
    item: dict[str, Any] = {"type": "reasoning", "id": "rs_1", "summary": parts("summary_text", *summary)}
    if content:
        item["content"] = parts("reasoning_text", *content)
    response = {"status": "completed", "output": [item]}

    streamed = folded(await read("openai-responses", sse(*fragments, event("output_item.done", item=item), ended())))
    whole = folded(await read("openai-responses", json.dumps(response).encode(), stream=False))

    assert (streamed.reasoning, whole.reasoning) == (text, text_of_whole)
    assert [item_of(block) for block in streamed.blocks] == [item]
    assert [item_of(block) for block in whole.blocks] == [item]


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (
            [
                event("output_item.added", 3, item=CALL),
                event("function_call_arguments.delta", 3, delta="{"),
                event("output_item.added", 5, item={**CALL, "call_id": "b", "name": "g"}),
                event("function_call_arguments.delta", 5, delta="[]"),
                event("function_call_arguments.delta", 3, delta="}"),
                event("function_call_arguments.done", 3, arguments="{}"),
                event("output_item.done", 3, item={**CALL, "arguments": "{}"}),
                event("output_item.done", 5, item={**CALL, "call_id": "b", "name": "g", "arguments": "[]"}),
            ],
            [
                ToolCall(index=0, call_id="a", name="f"),
                ToolCall(index=0, arguments="{"),
                ToolCall(index=1, call_id="b", name="g"),
                ToolCall(index=1, arguments="[]"),
                ToolCall(index=0, arguments="}"),
            ],
        ),
        (
            [
                event("output_item.added", item={"type": "custom_tool_call", "call_id": "a", "name": "f", "input": ""}),
                event("custom_tool_call_input.delta", delta="x"),
                event("output_item.done", item={"type": "custom_tool_call", "call_id": "a", "name": "f", "input": "x"}),
            ],
            [ToolCall(index=0, call_id="a", name="f"), ToolCall(index=0, arguments="x")],
        ),
        (
            [
                event("function_call_arguments.delta", 2, delta="{}"),
                event("output_item.done", 2, item={**CALL, "arguments": "{}"}),
                event("output_item.added", 3, item={**CALL, "call_id": "b"}),
                event("output_item.done", 3, item={**CALL, "call_id": "b", "arguments": "[]"}),
            ],
            [
                ToolCall(index=0, arguments="{}"),
                ToolCall(index=0, call_id="a", name="f"),
                ToolCall(index=1, call_id="b", name="f"),
                ToolCall(index=1, arguments="[]"),
            ],
        ),
    ],
)
async def test_tool_calls_are_numbered_as_they_begin(events: list[object], expected: list[Piece]) -> None:
    pieces = await read("openai-responses", sse(CREATED, *events, ended()))

    assert pieces == [*expected, USED, Finish(reason="tool_calls", provider_reason="completed")]


@pytest.mark.parametrize(
    "events",
    [
        [event("refusal.delta", delta="No."), event("refusal.done", refusal="No.")],
        [
            event("refusal.delta", delta="No."),
            event("output_item.done", item=message({"type": "refusal", "refusal": "No."})),
        ],
        [event("output_item.done", item=message({"type": "refusal", "refusal": "No."}))],
    ],
)
async def test_a_refusal_is_told_once_and_is_the_finish_reason(events: list[object]) -> None:
    assert await read("openai-responses", sse(CREATED, *events, ended())) == [
        Refusal(text="No."),
        USED,
        Finish(reason="refusal", provider_reason="completed"),
    ]


@pytest.mark.parametrize(
    ("details", "reason", "word"),
    [
        ({"reason": "max_output_tokens"}, "length", "max_output_tokens"),
        ({"reason": "max_messages"}, "length", "max_messages"),
        ({"reason": "content_filter"}, "content_filter", "content_filter"),
        ({"reason": "steered"}, "stop", "steered"),
        (None, "length", "incomplete"),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
async def test_an_incomplete_response_says_why(
    details: Mapping[str, str] | None, reason: FinishReason, word: str, stream: bool
) -> None:
    last = ended("incomplete", incomplete_details=details, output=[message(text("Hi"))])
    body = sse(CREATED, SAID, last) if stream else json.dumps(last["response"]).encode()

    assert await read("openai-responses", body, stream=stream) == [
        HI,
        USED,
        Finish(reason=reason, provider_reason=word),
    ]


async def test_an_answer_that_only_the_last_event_tells_is_read_from_that() -> None:
    last = {"type": "response.completed", "response": {"status": None, "output": [message(text("Hi"))], "usage": None}}

    assert await read("openai-responses", sse({"type": "response.created", "response": {}}, last)) == [
        HI,
        Finish(reason="stop", provider_reason="completed"),
    ]


async def test_a_whole_response_is_read_in_order() -> None:
    body: dict[str, Any] = {
        "object": "response",
        "status": "completed",
        "error": None,
        "output": [
            {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm"}]},
            {"type": "web_search_call", "id": "ws_1", "action": {"type": "search", "query": "tailrace"}},
            message(text("Hi"), {"type": "a_new_part"}, text(" there")),
            {**CALL, "arguments": "{}"},
            {"type": "a_new_item", "arguments": {}},
            {**CALL, "call_id": "b", "arguments": ""},
        ],
        "usage": USAGE,
    }

    assert await read("openai-responses", json.dumps(body).encode(), stream=False) == [
        Reasoning(text="Hm"),
        Reasoning(text="", signature='{"id":"rs_1","summary":[2]}'),
        notice("web_search: tailrace"),
        Delta(text="Hi there"),
        ToolCall(index=0, call_id="a", name="f"),
        ToolCall(index=0, arguments="{}"),
        ToolCall(index=1, call_id="b", name="f"),
        USED,
        ToolCall(index=1, arguments="{}"),
        Finish(reason="tool_calls", provider_reason="completed"),
    ]


async def test_what_is_new_is_skipped_and_counted_whatever_its_shape() -> None:
    stream = sse(
        CREATED,
        event("a_new.delta", delta={"?": 1}, item=7),
        event("output_item.added", item={"type": "a_new_item", "arguments": {}}),
        event("output_item.done", item={"type": "a_new_item", "arguments": {}}),
        event("output_item.done", item=message({"type": "a_new_part", "text": 7}, text("Hi"))),
        ended(),
    )
    provider = adapter("openai-responses", Client([stream]))

    assert [piece async for piece in pieces_of(provider, asking("openai-responses"))] == [HI, USED, STOPPED]
    assert skipped(provider) == {"response.a_new.delta": 1, "a_new_item": 1, "a_new_part": 1}


ERROR = {"code": "rate_limit_exceeded", "message": "So it is."}


@pytest.mark.parametrize(
    "error",
    [
        {"type": "error", "sequence_number": 2, "error": {**ERROR, "type": "tokens", "param": None}},
        {"type": "error", "sequence_number": 2, **ERROR, "param": None},
        {"type": "error", **ERROR, "error": None},
        ended("failed", error=ERROR),
        ended("completed", error=ERROR),
    ],
)
@pytest.mark.parametrize("named", [True, False])
async def test_an_error_in_any_of_its_shapes_is_told(error: dict[str, object], named: bool) -> None:
    told = sse(error) if named else b"data: " + json.dumps(error).encode() + b"\n\n"
    with pytest.raises(ProviderError) as raised:
        await read("openai-responses", sse(CREATED, SAID) + told)

    assert raised.value.code is FailureCode.PROVIDER_RATE_LIMITED
    assert "So it is." in str(raised.value)


@pytest.mark.parametrize("body", [{"error": ERROR}, {"status": "failed", "error": ERROR, "output": []}])
async def test_an_error_in_place_of_a_whole_response_is_told(body: object) -> None:
    with pytest.raises(ProviderError) as raised:
        await read("openai-responses", json.dumps(body).encode(), stream=False)

    assert raised.value.code is FailureCode.PROVIDER_RATE_LIMITED


@pytest.mark.parametrize("status", ["cancelled", "in_progress", "queued", ""])
async def test_a_whole_response_that_is_not_whole_is_interrupted(status: str) -> None:
    with pytest.raises(ProviderError) as raised:
        await read("openai-responses", json.dumps({"status": status, "output": []}).encode(), stream=False)

    assert raised.value.code is FailureCode.PROVIDER_INTERRUPTED


async def test_an_error_without_words_is_told_all_the_same() -> None:
    with pytest.raises(ProviderError, match="an error without a message"):
        await read("openai-responses", sse(CREATED, ended("failed")))


@pytest.mark.parametrize(
    "said",
    [
        {"type": "response.output_text.delta", "delta": 7},
        {"type": "response.output_item.done", "item": None},
        {"type": "response.output_item.done", "item": {"id": "msg_1"}},
        {"type": "response.output_item.done", "item": {"type": "function_call"}},
        7,
    ],
)
async def test_an_event_of_a_wrong_shape_is_malformed(said: object) -> None:
    with pytest.raises(ProviderError) as raised:
        await read("openai-responses", sse(CREATED, said, SAID, ended()))

    assert raised.value.code is FailureCode.PROVIDER_MALFORMED


@pytest.mark.parametrize(
    ("vocabulary", "union", "new"),
    [
        # Audio is refused before it is asked for.
        (wire.EVENTS, ResponseStreamEvent, {"response.audio.delta", "response.audio.transcript.delta"}),
        # What a job does not carry, and only those get who ask for it in `extra`.
        (
            wire.ITEMS,
            ResponseOutputItem,
            {"additional_tools", "compaction", "mcp_approval_request", "mcp_approval_response", "program"},
        ),
    ],
)
def test_everything_that_the_sdk_knows_is_known_or_decided(vocabulary: Any, union: Any, new: set[str]) -> None:
    skip = Skipped("Acme", str)
    for kind in kinds_of(union):
        if kind not in vocabulary:
            vocabulary.read(json.dumps({"type": kind}).encode(), skip)

    assert set(skip.counts) == new, "the SDK has grown: what do these mean for a job?"
