"""Events of the providers' protocols, and such as are nearly so."""

import json
from collections.abc import Sequence
from typing import Any, cast

from hypothesis import strategies as st

from tailrace.api_kinds import ApiKind

_TOOL = {"type": "function_call", "id": "fc", "call_id": "a", "name": "f", "arguments": "{}"}
_USAGE = {"input_tokens": 3, "output_tokens": 5, "output_tokens_details": {"reasoning_tokens": 1}}
_CHAT_USAGE = {"prompt_tokens": 3, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 1}}

TEMPLATES: dict[ApiKind, list[Any]] = {
    "openai": [
        {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"role": "assistant", "content": "Hi"}}]},
        {"choices": [{"index": 0, "delta": {"reasoning_content": "Hm", "refusal": "No."}, "finish_reason": None}]},
        {
            "choices": [
                {"delta": {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}]}}
            ]
        },
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {"choices": [{"index": 0, "message": {"content": "Hi"}, "finish_reason": "length"}], "usage": _CHAT_USAGE},
        {"choices": [], "usage": _CHAT_USAGE},
        {"error": {"message": "So it is.", "type": "server_error", "code": None}},
    ],
    "openai-responses": [
        {"type": "response.created", "response": {"status": "in_progress"}},
        {"type": "response.output_item.added", "output_index": 0, "item": {"type": "reasoning", "summary": []}},
        {"type": "response.reasoning_summary_part.added", "output_index": 0, "summary_index": 1},
        {"type": "response.reasoning_summary_text.delta", "output_index": 0, "delta": "Hm"},
        {
            "type": "response.output_item.done",
            "output_index": 0,
            "item": {"type": "reasoning", "id": "rs", "summary": [{"text": "Hm"}], "encrypted_content": "gAAA"},
        },
        {"type": "response.output_text.delta", "output_index": 1, "delta": "Hi"},
        {"type": "response.refusal.delta", "output_index": 1, "delta": "No."},
        {
            "type": "response.output_item.done",
            "output_index": 1,
            "item": {"type": "message", "content": [{"type": "output_text", "text": "Hi"}]},
        },
        {"type": "response.output_item.added", "output_index": 2, "item": _TOOL},
        {"type": "response.function_call_arguments.delta", "output_index": 2, "delta": "{}"},
        {"type": "response.output_item.done", "output_index": 2, "item": _TOOL},
        {
            "type": "response.output_item.done",
            "output_index": 3,
            "item": {"type": "web_search_call", "action": {"type": "search", "query": "tailrace"}},
        },
        {"type": "response.completed", "response": {"status": "completed", "usage": _USAGE, "output": [_TOOL]}},
        {"type": "response.incomplete", "response": {"incomplete_details": {"reason": "content_filter"}}},
        {"type": "response.failed", "response": {"error": {"code": "server_error", "message": "So it is."}}},
        {"type": "error", "code": "server_error", "message": "So it is."},
        {"status": "completed", "output": [_TOOL], "usage": _USAGE},
    ],
    "anthropic": [
        {"type": "message_start", "message": {"type": "message", "content": [], "usage": _USAGE}},
        {"type": "ping"},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "Hm"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "Hm"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "EqQB"}},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "redacted_thinking", "data": "gAAA"}},
        {"type": "content_block_start", "index": 2, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 2, "delta": {"type": "text_delta", "text": "Hi"}},
        {
            "type": "content_block_start",
            "index": 3,
            "content_block": {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}},
        },
        {"type": "content_block_delta", "index": 3, "delta": {"type": "input_json_delta", "partial_json": "{}"}},
        {
            "type": "content_block_start",
            "index": 4,
            "content_block": {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
        },
        {"type": "content_block_delta", "index": 4, "delta": {"type": "input_json_delta", "partial_json": '{"query":'}},
        {"type": "content_block_stop", "index": 4},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": _USAGE},
        {"type": "message_stop"},
        {"type": "error", "error": {"type": "overloaded_error", "message": "So it is."}},
        {"type": "message", "content": [{"type": "text", "text": "Hi"}], "stop_reason": "refusal", "usage": _USAGE},
    ],
}

_names = st.sampled_from(sorted({"type", "delta", "index", "item", "usage", "content", "error", "text", "id", "x"}))
anything: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["", "a", "{}"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names | st.text(max_size=4), inner, max_size=4),
    max_leaves=8,
)
"""Any JSON, and what Python takes for it (NaN, lone surrogates)."""


@st.composite
def mutated(draw: st.DrawFn, value: object) -> Any:
    """The value, of which something somewhere is gone, another, or there twice."""
    if not value or not isinstance(value, dict | list) or not draw(st.integers(0, 3)):
        return draw(anything)
    if isinstance(value, list):
        values = cast("Sequence[Any]", value)
        place = draw(st.integers(0, len(values) - 1))
        return [*values[:place], draw(mutated(values[place])), *values[draw(st.integers(0, 1)) + place :]]
    fields = cast("dict[str, Any]", value)
    key = draw(st.sampled_from(sorted(fields)))
    match draw(st.sampled_from(["inside", "inside", "inside", "drop", "add"])):
        case "inside":
            return {**fields, key: draw(mutated(fields[key]))}
        case "drop":
            return {name: each for name, each in fields.items() if name != key}
        case _:
            return {**fields, draw(_names): draw(anything)}


def events(kind: ApiKind) -> st.SearchStrategy[Any]:
    """An event of this protocol, one that is nearly so, or anything."""
    template = st.sampled_from(TEMPLATES[kind])
    return template | template | template.flatmap(mutated) | anything


@st.composite
def streams(draw: st.DrawFn, kind: ApiKind) -> bytes:
    """A stream of such events, with names of their own or another."""
    stream = b""
    for event in draw(st.lists(events(kind), max_size=12)):
        kind_of_event = cast("dict[str, Any]", event).get("type") if isinstance(event, dict) else None
        name = kind_of_event if isinstance(kind_of_event, str) else draw(st.sampled_from(["", "ping", "error"]))
        stream += f"event: {name}\n".encode("utf-8", "replace") if name else b""
        stream += b"data: " + encoded(event) + b"\n\n"
    return stream


def encoded(event: Any) -> bytes:
    """As JSON, such as Python writes."""
    return json.dumps(event).encode("utf-8", "surrogatepass")
