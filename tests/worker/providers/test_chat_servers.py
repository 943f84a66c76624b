"""Answers as compatible servers of Chat Completions really send them, each in bytes of its own."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any, TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from tests.support import event_streams
from tests.support.wire_case import HEAD, WireCase, plain, streamed, wrong
from tests.support.wire_reading import heard

Rows: TypeAlias = dict[str, tuple[bytes, dict[str, Any]]]
"""By its name, what a server sends, and what is right to read from it."""


def chunk(delta: object = None, finish_reason: object = None, *, message: object = None, **fields: Any) -> Any:
    """An event of a stream; the fields are those of the choice."""
    choice: dict[str, Any] = {"index": 0, "delta": delta or {}, "finish_reason": finish_reason, **fields}
    return {"object": "chat.completion.chunk", "choices": [choice | ({"message": message} if message else {})]}


def text(content: object, finish_reason: object = None, **fields: Any) -> Any:
    return chunk({"content": content}, finish_reason, **fields)


def call(name: object = None, arguments: object = None, **fields: object) -> dict[str, object]:
    """A call, or a fragment of one."""
    function = {key: value for key, value in {"name": name, "arguments": arguments}.items() if value is not None}
    return {**fields, "function": function}


def calls(*said: object, finish_reason: str | None = None) -> Any:
    return chunk({"tool_calls": list(said)}, finish_reason)


def whole(finish_reason: object = "stop", **message: object) -> Any:
    """A completion that is not streamed, or the last chunk of one that is."""
    return {"object": "chat.completion", "choices": [{"message": message, "finish_reason": finish_reason}]}


def used(usage: object) -> Any:
    return {"choices": [], "usage": usage}


STOP = chunk(None, "stop")
CALLED = chunk(None, "tool_calls")
HI = text("Hi")
HI_STOPPED: dict[str, Any] = {"text": "Hi", "finish": "stop"}
OSLO = {"city": "Oslo"}
OSLO_TEXT = '{"city":"Oslo"}'
ONE_CALL: dict[str, Any] = {"tools": [["a", "weather", OSLO]], "finish": "tool_calls"}
ANY_CALL: dict[str, Any] = {"tools": [[None, "weather", OSLO]], "finish": "tool_calls"}
NOTHING: list[Any] = [None, "", "{}", {}, [], "null", " ", False]
NO_ARGUMENTS: dict[str, Any] = {"tools": [["a", "now", {}]], "finish": "tool_calls"}

WHOLE_ANSWERS: Rows = {
    "the last event has no blank line": (streamed(HI, STOP, end=b"\n"), HI_STOPPED),
    "the last event has no line end": (streamed(HI, STOP, end=b""), HI_STOPPED),
    "the usage has no blank line": (
        streamed(HI, STOP, used({"prompt_tokens": 4, "completion_tokens": 2}), end=b""),
        {**HI_STOPPED, "usage": [4, 2]},
    ),
    "[DONE] has no line end": (streamed(HI, done=True, end=b""), HI_STOPPED),
    "[DONE] without a finish reason": (streamed(HI, done=True), HI_STOPPED),
    "[DONE] without a finish reason, after a call": (
        streamed(calls(call("weather", OSLO_TEXT, id="a", index=0)), done=True),
        ONE_CALL,
    ),
    "[DONE] without a finish reason, after a call that was cut": (
        streamed(calls(call("weather", '{"city":"Os', id="a", index=0)), done=True),
        {"finish": "BROKEN"},
    ),
    "[DONE] with a blank at its end": (streamed(HI, b"data: [DONE] "), HI_STOPPED),
    "the finish reason is null as text": (streamed(text("H", "null"), text("i", "null"), STOP), HI_STOPPED),
    "the finish reason is null as text, and the end is missing": (streamed(text("H", "null")), {"finish": "BROKEN"}),
    "the finish reason is empty, and the end is missing": (streamed(text("H", "")), {"finish": "BROKEN"}),
    "the end is missing": (streamed(HI), {"text": "Hi", "finish": "BROKEN"}),
    "the last event is cut": (
        streamed(HI, b'data: {"choices":[{"delta":{},"finish_rea', end=b""),
        {"finish": "BROKEN"},
    ),
    "the usage is cut": (streamed(HI, STOP, b'data: {"choices":[],"usage":{"pro', end=b""), HI_STOPPED),
    "no stream, no finish reason": (plain(whole(None, content="Hi")), HI_STOPPED),
    "JSON in place of the stream": (plain(whole(content="Hi")), HI_STOPPED),
}

AFTER_THE_FINISH: Rows = {
    "text": (streamed(text("The answer"), STOP, text(" is 42."), done=True), {"text": "The answer is 42."}),
    "text, and no [DONE]": (streamed(text("H", "stop"), text("i")), HI_STOPPED),
    "reasoning": (
        streamed(HI, STOP, chunk({"reasoning": "Hm"}), done=True),
        {**HI_STOPPED, "reasoning": "Hm"},
    ),
    "a call": (
        streamed(HI, STOP, calls(call("weather", OSLO_TEXT, id="a", index=0)), done=True),
        {**ONE_CALL, "text": "Hi"},
    ),
    "the rest of a call": (
        streamed(
            calls(call("weather", '{"city":', id="a", index=0), finish_reason="tool_calls"),
            calls(call(None, '"Oslo"}', index=0), finish_reason="tool_calls"),
            done=True,
        ),
        ONE_CALL,
    ),
    "another word": (streamed(HI, STOP, chunk(None, "length"), done=True), {"text": "Hi", "finish": "length"}),
    "an error that changes nothing": (streamed(HI, STOP, {"error": {"message": "Bye."}}), HI_STOPPED),
    "an error after more text": (
        streamed(HI, STOP, text("!"), {"error": {"message": "Out of memory."}}),
        {"text": "Hi!", "finish": "BROKEN", "says": "Out of memory"},
    ),
}

CONTENTS: list[Any] = [
    [{"type": "text", "text": "Hi"}, {"type": "image_url", "image_url": {}}],
    {"type": "text", "text": "Hi"},
    ["H", "i"],
]
CHOICES: Rows = {
    **{
        f"the index is {index!r}": (streamed(text("H", index=index), text("i", "stop", index=index)), HI_STOPPED)
        for index in (None, 5, -1, "0", True)
    },
    "the index counts the chunks": (streamed(text("H"), text("i", index=1), chunk(None, "stop", index=2)), HI_STOPPED),
    "there is no index": (streamed({"choices": [{"delta": {"content": "Hi"}, "finish_reason": "stop"}]}), HI_STOPPED),
    "the text and the calls are two choices": (
        plain(
            {
                "choices": [
                    {"index": 0, "message": {"content": "Hi"}, "finish_reason": "tool_calls"},
                    {
                        "index": 1,
                        "message": {"tool_calls": [call("weather", OSLO_TEXT, id="a")]},
                        "finish_reason": "tool_calls",
                    },
                ]
            }
        ),
        {**ONE_CALL, "text": "Hi"},
    ),
    "a choice is null": (streamed({"choices": [None]}, HI, STOP), HI_STOPPED),
    "the message comes at the end": (
        streamed(chunk({"reasoning_content": "Hm"}), text("Hi"), whole(content="Hi", reasoning_content="Hm")),
        {**HI_STOPPED, "reasoning": "Hm"},
    ),
    "the message at the end has more": (streamed(text("H"), whole(content="Hi")), HI_STOPPED),
    "the message at the end was edited": (streamed(HI, whole(content="Hello!")), HI_STOPPED),
    "the message at the end is all": (
        streamed(chunk({"role": "assistant"}), whole("tool_calls", tool_calls=[call("weather", OSLO_TEXT, id="a")])),
        ONE_CALL,
    ),
    "the message at the end has parts": (
        streamed(chunk({"reasoning": "Hm"}), whole(content=[{"type": "text", "text": "Hi"}])),
        {**HI_STOPPED, "reasoning": "Hm"},
    ),
    "each chunk has the message so far": (
        streamed(
            text("H", message={"content": "H"}),
            text("i", message={"content": "Hi"}),
            chunk(None, "stop", message={"content": "Hi"}),
        ),
        HI_STOPPED,
    ),
    "each chunk has its text twice": (
        streamed(
            text("Ha", message={"content": "Ha"}),
            text("ha", message={"content": "ha"}),
            text("", "stop", message={"content": ""}),
        ),
        {"text": "Haha", "finish": "stop"},
    ),
    "messages in place of deltas": (
        streamed(
            {"choices": [{"message": {"content": "H"}}]},
            {"choices": [{"message": {"content": "i"}}]},
            {"choices": [{"finish_reason": "stop"}]},
        ),
        HI_STOPPED,
    ),
    **{f"the content is {content!r}": (streamed(text(content), STOP), HI_STOPPED) for content in CONTENTS},
    "the thinking is a part": (
        streamed(text([{"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}]), HI, STOP),
        {**HI_STOPPED, "reasoning": "Hm"},
    ),
    "what is not needed has another type": (
        streamed(chunk({"content": "Hi", "refusal": True, "reasoning": {"x": 1}, "tool_calls": [None]}), STOP),
        HI_STOPPED,
    ),
}


def in_two(
    *, first: dict[str, object] | None = None, second: dict[str, object] | None = None, name: str | None = None
) -> bytes:
    """A call in three fragments: what is at its beginning, and what is in the other two."""
    first, second = first or {"id": "a", "index": 0}, second or {"index": 0}
    return streamed(
        calls({**call("weather", ""), **first}),
        calls({**call(name, '{"city":'), **second}),
        calls({**call(name, '"Oslo"}'), **second}),
        CALLED,
        done=True,
    )


def parallel(*fragments: dict[str, object]) -> bytes:
    return streamed(*map(calls, fragments), CALLED, done=True)


TWO: dict[str, Any] = {"tools": [[None, "f", {"x": 1}], [None, "g", {"y": 2}]], "finish": "tool_calls"}
TWICE: dict[str, Any] = {"tools": [[None, "f", {"x": 1}], [None, "f", {"x": 2}]], "finish": "tool_calls"}

TOOL_CALLS: Rows = {
    "as OpenAI says it": (in_two(), ONE_CALL),
    "the name is in each fragment": (in_two(name="weather"), ONE_CALL),
    "the name and the id are in each fragment": (in_two(name="weather", second={"id": "a", "index": 0}), ONE_CALL),
    "the other names are empty": (in_two(name="", second={"id": "", "index": 0}), ONE_CALL),
    "each fragment has another id": (in_two(second={"id": "b", "index": 0}), ONE_CALL),
    "each fragment has the name and another id": (in_two(name="weather", second={"id": "b", "index": 0}), ONE_CALL),
    "there is no index": (in_two(first={"id": "a"}, second={"index": None}), ONE_CALL),
    "there is no index, and the id is in each fragment": (in_two(first={"id": "a"}, second={"id": "a"}), ONE_CALL),
    "the index is a text": (in_two(first={"id": "a", "index": "0"}, second={"index": "0"}), ONE_CALL),
    "the index is a float": (in_two(first={"id": "a", "index": 0.0}, second={"index": 0}), ONE_CALL),
    "there is no id": (in_two(first={"index": 0}), ANY_CALL),
    "the name comes after the arguments": (
        parallel(call(None, "", index=0), call(None, OSLO_TEXT, index=0), call("weather", None, index=0, id="a")),
        ONE_CALL,
    ),
    "the index counts the fragments": (
        parallel(call("weather", "", id="a", index=0), call(None, '{"city":', index=1), call(None, '"Oslo"}', index=2)),
        ONE_CALL,
    ),
    "the rest is at another index": (
        parallel(
            call("f", '{"x":1}', id="a", index=0),
            call("g", "", id="b", index=0),
            call(None, '{"y":', index=1),
            call(None, "2}", index=1),
        ),
        {"tools": [["a", "f", {"x": 1}], ["b", "g", {"y": 2}]], "finish": "tool_calls"},
    ),
    "one id at two indices": (
        parallel(
            call("weather", "", id="a", index=0),
            call(None, OSLO_TEXT, index=0),
            call("weather", '{"city":', id="a", index=1),
            call(None, '"Oslo"}', id="a", index=1),
        ),
        ONE_CALL,
    ),
    "one id at two indices, before its arguments": (
        parallel(call("weather", "", id="a", index=0), call("weather", OSLO_TEXT, id="a", index=1)),
        ONE_CALL,
    ),
    "one id at two indices, in the midst of its arguments": (
        parallel(call("weather", '{"city":', id="a", index=0), call("weather", OSLO_TEXT, id="a", index=1)),
        ONE_CALL,
    ),
    "two calls by one id": (
        parallel(call("f", '{"x":1}', id="a", index=0), call("f", '{"x":2}', id="a", index=1)),
        {"tools": [["a", "f", {"x": 1}], [None, "f", {"x": 2}]], "finish": "tool_calls"},
    ),
    "two calls by one id at one index": (
        parallel(call("f", '{"x":1}', id="a", index=0), call("g", '{"y":2}', id="a", index=0)),
        {"tools": [["a", "f", {"x": 1}], [None, "g", {"y": 2}]], "finish": "tool_calls"},
    ),
    "the complete call comes again": (
        parallel(
            call("weather", "", id="a", index=0),
            call(None, OSLO_TEXT, index=0),
            call("weather", OSLO_TEXT, id="a", index=0),
        ),
        ONE_CALL,
    ),
    "the complete arguments come again": (
        parallel(call("weather", "", id="a", index=0), call(None, OSLO_TEXT, index=0), call(None, OSLO_TEXT, index=0)),
        ONE_CALL,
    ),
    "the complete call comes again, and again": (
        parallel(*[call("weather", OSLO_TEXT, id="a", index=0)] * 4),
        ONE_CALL,
    ),
    "the complete call comes again, in another spelling": (
        parallel(
            call("weather", OSLO_TEXT, id="a", index=0), call("weather", '{"city": "\\u004fslo"}', id="a", index=0)
        ),
        ONE_CALL,
    ),
    "the complete call comes again, without index and id": (
        parallel(call("weather", OSLO_TEXT), call("weather", OSLO_TEXT)),
        ANY_CALL,
    ),
    "the name comes again after the arguments": (
        parallel(
            call("weather", OSLO_TEXT, id="a", index=0),
            call("weather", "", id="a", index=0),
            call("weather", "\n", index=0),
        ),
        ONE_CALL,
    ),
    "empty arguments come first": (
        parallel(
            call("weather", "{}", id="a", index=0), call(None, '{"city":', index=0), call(None, '"Oslo"}', index=0)
        ),
        ONE_CALL,
    ),
    "two calls at one index": (
        parallel(
            call("f", '{"x":', id="a", index=0),
            call(None, "1}", index=0),
            call("g", '{"y":', id="b", index=0),
            call(None, "2}", index=0),
        ),
        {"tools": [["a", "f", {"x": 1}], ["b", "g", {"y": 2}]], "finish": "tool_calls"},
    ),
    "two calls of one tool at one index": (
        parallel(call("f", '{"x":1}', id="a", index=0), call("f", '{"x":2}', id="b", index=0)),
        {"tools": [["a", "f", {"x": 1}], ["b", "f", {"x": 2}]], "finish": "tool_calls"},
    ),
    "two calls of one tool at one index, without ids, the name in each fragment": (
        parallel(
            call("f", '{"x":', index=0),
            call("f", "1}", index=0),
            call("f", '{"x":', index=0),
            call("f", "2}", index=0),
        ),
        TWICE,
    ),
    "two calls without index and id": (parallel(call("f", '{"x":1}'), call("g", '{"y":2}')), TWO),
    "two calls without index and id in one chunk": (
        streamed(calls(call("f", '{"x":1}'), call("g", '{"y":2}'), finish_reason="stop")),
        TWO,
    ),
    "two calls in one chunk, the rest of the second without an index": (
        streamed(calls(call("f", '{"x":1}', index=0), call("g", "", index=1)), calls(call(None, '{"y":2}')), CALLED),
        TWO,
    ),
    "two calls side by side": (
        streamed(
            calls(call("f", "", index=0), call("g", "", index=1)),
            calls(call(None, '{"x":', index=0), call(None, '{"y":', index=1)),
            calls(call(None, "2}", index=1), call(None, "1}", index=0)),
            CALLED,
        ),
        TWO,
    ),
    "two calls without arguments": (
        parallel(call("f", "", id="a", index=0), call("g", "", id="b", index=1)),
        {"tools": [["a", "f", {}], ["b", "g", {}]]},
    ),
    "two calls of one tool without arguments": (
        parallel(call("f", "{}", id="a", index=0), call("f", "{}", id="b", index=0)),
        {"tools": [["a", "f", {}], ["b", "f", {}]]},
    ),
    **{
        f"the arguments are {arguments!r}": (parallel(call("now", arguments, id="a", index=0)), NO_ARGUMENTS)
        for arguments in NOTHING
    },
    **{
        f"the arguments are {arguments!r} in a whole answer": (
            plain(whole(content=None, tool_calls=[call("now", arguments, id="a")])),
            NO_ARGUMENTS,
        )
        for arguments in NOTHING
    },
    "the arguments are an object": (parallel(call("weather", OSLO, id="a", index=0)), ONE_CALL),
    "the arguments are an object in each fragment": (
        parallel(call("weather", {}, id="a", index=0), call("weather", OSLO, id="a", index=0)),
        ONE_CALL,
    ),
    "the arguments are an object, again at the end": (
        streamed(
            calls(call("weather", '{"city": "Oslo"}', id="a", index=0)),
            whole("tool_calls", tool_calls=[call("weather", OSLO, id="a")]),
        ),
        ONE_CALL,
    ),
    "the calls are one call": (
        streamed(chunk({"tool_calls": call("weather", OSLO_TEXT, id="a", index=0)}), CALLED),
        ONE_CALL,
    ),
    "the calls are an object with numbers": (
        streamed(chunk({"tool_calls": {"0": call("weather", OSLO_TEXT, id="a")}}), CALLED),
        ONE_CALL,
    ),
    "the calls have gaps": (
        streamed(chunk({"tool_calls": [None, call("weather", OSLO_TEXT, id="a", index=1)]}), CALLED),
        ONE_CALL,
    ),
    "empty calls beside the text": (
        streamed(chunk({"content": "Hi", "tool_calls": [call("", "", id="", index=0)], "function_call": {}}), STOP),
        {**HI_STOPPED, "tools": []},
    ),
    "a function call": (
        streamed(
            chunk({"function_call": {"name": "weather", "arguments": ""}}),
            chunk({"function_call": {"arguments": '{"city":'}}),
            chunk({"function_call": {"arguments": '"Oslo"}'}}, "function_call"),
        ),
        ANY_CALL,
    ),
    "a function call beside the tool calls": (
        streamed(
            chunk(
                {
                    "tool_calls": [call("weather", OSLO_TEXT, id="a", index=0)],
                    "function_call": {"name": "weather", "arguments": OSLO_TEXT},
                },
                "tool_calls",
            )
        ),
        ONE_CALL,
    ),
    "the message at the end has the calls in another order": (
        streamed(
            calls(call("f", '{"x":1}', id="a", index=0), call("g", '{"y":2}', id="b", index=1)),
            whole("tool_calls", tool_calls=[call("g", '{"y":2}', id="b"), call("f", '{"x":1}', id="a")]),
        ),
        {"tools": [["a", "f", {"x": 1}], ["b", "g", {"y": 2}]], "finish": "tool_calls"},
    ),
    "the message at the end has other ids and edited arguments": (
        streamed(
            calls(call("weather", '{"city":"Oslo","unit":null}', id="a", index=0)),
            whole("tool_calls", tool_calls=[call("weather", OSLO_TEXT, id="z")]),
        ),
        {"tools": [["a", "weather", {"city": "Oslo", "unit": None}]], "finish": "tool_calls"},
    ),
    "the message at the end has two calls by one id": (
        streamed(
            calls(call("f", '{"x":1}', id="a", index=0)),
            calls(call("f", '{"x":2}', id="a", index=1)),
            whole("tool_calls", tool_calls=[call("f", '{"x":1}', id="a"), call("f", '{"x":2}', id="a")]),
        ),
        TWICE,
    ),
    "the message at the end has an edited text for a custom tool": (
        streamed(
            calls({"id": "a", "index": 0, "custom": {"name": "f", "input": "x "}}),
            whole("tool_calls", tool_calls=[{"id": "a", "custom": {"name": "f", "input": "x\n"}}]),
        ),
        {"tools": [["a", "f", "x "]], "finish": "tool_calls"},
    ),
    "a forced call finishes with stop": (streamed(calls(call("now", "", id="a", index=0)), STOP), NO_ARGUMENTS),
}

HIGH, LOW = "\ud83c", "\udf0a"
WAVE = "a🌊b"
HALVES: Rows = {
    "in the text": (streamed(text(f"a{HIGH}"), text(f"{LOW}b"), STOP), {"text": WAVE}),
    "in the text, with a chunk between": (
        streamed(text(f"a{HIGH}"), chunk({"content": ""}), text(f"{LOW}b"), STOP),
        {"text": WAVE},
    ),
    "after the finish": (streamed(text(f"a{HIGH}", "stop"), text(f"{LOW}b", "stop"), done=True), {"text": WAVE}),
    "in the reasoning": (
        streamed(chunk({"reasoning_content": f"a{HIGH}"}), chunk({"reasoning_content": f"{LOW}b"}), HI, STOP),
        {**HI_STOPPED, "reasoning": WAVE},
    ),
    "in the refusal": (
        streamed(chunk({"refusal": f"a{HIGH}"}), chunk({"refusal": f"{LOW}b"}), STOP),
        {"refusal": WAVE},
    ),
    "in the arguments": (
        parallel(call("f", f'{{"x":"a{HIGH}', id="a", index=0), call(None, f'{LOW}b"}}', index=0)),
        {"tools": [["a", "f", {"x": WAVE}]], "finish": "tool_calls"},
    ),
    "in the blocks of the reasoning": (
        streamed(
            *(
                chunk({"reasoning": half, "reasoning_details": [{"type": "reasoning.text", "index": 0, "text": half}]})
                for half in (f"a{HIGH}", f"{LOW}b")
            ),
            HI,
            STOP,
        ),
        {
            **HI_STOPPED,
            "reasoning": WAVE,
            "signed": [
                "chat:"
                + json.dumps(
                    {
                        "members": ["reasoning"],
                        "reasoning_details": [{"type": "reasoning.text", "index": 0, "text": WAVE}],
                    },
                    ensure_ascii=False,
                    separators=(",", ":"),
                )
            ],
        },
    ),
    "whose other half never comes": (streamed(text(f"a{HIGH}"), text("b"), STOP), {"text": "a\ufffdb"}),
    "at the end": (streamed(text(f"a{HIGH}"), STOP), {"text": "a\ufffd", "finish": "stop"}),
    "that the message at the end completes": (streamed(text(f"a{HIGH}"), whole(content=WAVE)), {"text": WAVE}),
    "in a name, an id, a signature and a finish reason": (
        streamed(
            calls({**call(f"f{HIGH}", {"x": HIGH}, id=f"a{HIGH}"), "extra_content": {"google": {"x": HIGH}}}),
            chunk(None, f"stop{HIGH}"),
        ),
        {"tools": [["a\ufffd", "f\ufffd", {"x": "\ufffd"}]], "finish": "tool_calls", "word": "stop\ufffd"},
    ),
}

FINISH_WORDS: Rows = {
    **{
        word: (streamed(HI, chunk(None, word)), {"text": "Hi", "finish": reason, "word": word})
        for reason, words in {
            "stop": ("eos", "stop_sequence", "end_turn", "COMPLETE", "normal"),
            "length": ("model_context_window_exceeded", "MAX_TOKENS", "token_limit", "incomplete"),
            "content_filter": ("sensitive", "SAFETY", "PROHIBITED_CONTENT", "guardrail_intervened", "content_filtered"),
            "refusal": ("refusal",),
            "tool_calls": ("tool_use", "TOOL_CALL"),
        }.items()
        for word in words
    },
    **{
        word: (streamed(HI, chunk(None, word)), {"text": "Hi", "finish": "BROKEN", "says": word})
        for word in (
            "network_error",
            "MALFORMED_FUNCTION_CALL",
            "UNEXPECTED_TOOL_CALL",
            "server_exception",
            "DEADLINE_EXCEEDED",
            "cancelled",
        )
    },
    "a reason that is an object": (
        streamed(HI, chunk(None, {"type": "length"})),
        {"text": "Hi", "finish": "length"},
    ),
}

NO_COUNTS: list[Any] = [
    None,
    "",
    "none",
    [],
    [1],
    False,
    True,
    7,
    {"prompt_tokens": None},
    {"prompt_tokens": True, "completion_tokens": []},
    {"prompt_tokens": -1, "completion_tokens": "many"},
    {"prompt_tokens_details": "x", "completion_tokens_details": [None]},
]
USAGES: Rows = {
    **{f"{usage!r}": (streamed({**HI, "usage": usage}, STOP, done=True), HI_STOPPED) for usage in NO_COUNTS},
    **{
        f"{count!r}": (
            streamed(HI, STOP, used({"prompt_tokens": count, "completion_tokens": 2, "prompt_tokens_details": []})),
            {**HI_STOPPED, "usage": [4, 2]},
        )
        for count in (4, 4.0, "4", "4.0")
    },
    "no number": (
        streamed(HI, STOP, b'data: {"choices":[],"usage":{"prompt_tokens":NaN,"completion_tokens":1e999}}'),
        {**HI_STOPPED, "usage": [None, None]},
    ),
    "in the choice": (
        streamed(HI, chunk(None, "stop", usage={"prompt_tokens": 4, "completion_tokens": 2})),
        {**HI_STOPPED, "usage": [4, 2]},
    ),
    "without choices": (
        streamed(HI, STOP, {"choices": None, "usage": {"prompt_tokens": 4, "completion_tokens": 2}}),
        {**HI_STOPPED, "usage": [4, 2]},
    ),
}

OTHER_EVENTS: Rows = {
    f"{event!r}": (streamed(HI, event, STOP, done=True), HI_STOPPED)
    for event in (
        b": keep-alive",
        b"data:",
        b"data: ",
        b'data: ""',
        b"data: null",
        b"data: []",
        b"data: {}",
        b"event: ping\ndata: ping",
        b"event: heartbeat\ndata:",
        b'event: ping\ndata: {"type":"ping","choices":3}',
        b"event: metadata\ndata: {",
        b"retry: 3000",
        b"id: 7",
        b'data: {"object":"x.queue","position":3}',
        b'data: {"status":"queued","message":"Two requests are before this one."}',
        b'data: {"error":null}',
        b'data: {"choices":[],"prompt_filter_results":[]}',
        b'data: {"choices":[{"delta":null,"finish_reason":null}]}',
        b'data: {"choices":[{"delta":[],"logprobs":"","finish_reason":false}],"error":{"message":"","code":""}}',
        b'data: {"choices":[],"base_resp":{"status_code":0,"status_msg":""}}',
    )
}

ERRORS: Rows = {
    "a field of its own": (
        streamed(HI, b'error: {"code":400,"message":"The prompt is too long.","type":"invalid_request_error"}'),
        {"text": "Hi", "code": "provider_rejected", "says": "prompt is too long"},
    ),
    "a line that is the error": (
        streamed(HI, b'{"error":{"code":503,"message":"The model is loading."}}'),
        {"text": "Hi", "code": "provider_unavailable", "says": "model is loading"},
    ),
    "text": (streamed({"error": "The GPU is gone."}), {"ending": "failed", "says": "GPU is gone"}),
    "an event of this name": (
        streamed(b'event: error\ndata: {"error":"Too hot.","error_type":"overloaded"}'),
        {"ending": "failed", "says": "Too hot"},
    ),
    "an event of this name that is text": (
        streamed(b"event: error\ndata: Too hot."),
        {"ending": "failed", "says": "Too hot"},
    ),
    "beside a choice": (
        streamed(HI, {**chunk(None, "error"), "error": {"code": 502, "message": "The upstream is gone."}}),
        {"code": "provider_unavailable", "says": "upstream is gone"},
    ),
    "a list": (
        streamed(HI, [{"error": {"code": 429, "message": "Slow down.", "status": "RESOURCE_EXHAUSTED"}}]),
        {"code": "provider_rate_limited", "says": "Slow down"},
    ),
    "a list in place of the answer": (
        plain([{"error": {"code": 400, "message": "No such role.", "status": "INVALID_ARGUMENT"}}]),
        {"code": "provider_rejected", "says": "No such role"},
    ),
    "FastAPI's": (streamed({"detail": "Not today."}), {"ending": "failed", "says": "Not today"}),
    "FastAPI's in place of the answer": (
        plain({"detail": [{"loc": ["body", "messages"], "msg": "Field required"}]}),
        {"ending": "failed", "says": "body.messages: Field required"},
    ),
    "Cloudflare's": (
        plain({"success": False, "result": None, "errors": [{"code": 7009, "message": "Upstream unavailable"}]}),
        {"ending": "failed", "says": "Upstream unavailable"},
    ),
    "with a code beside its words": (
        streamed({"code": "InvalidParameter", "message": "No such range.", "request_id": "r"}),
        {"ending": "failed", "says": "No such range"},
    ),
    "vLLM's": (
        streamed(HI, {"object": "error", "message": "Bad seed.", "type": "BadRequestError", "code": 400}),
        {"code": "provider_rejected", "says": "Bad seed"},
    ),
    "MiniMax's": (
        plain({"choices": None, "usage": {"total_tokens": 0}, "base_resp": {"status_code": 1002, "status_msg": "rpm"}}),
        {"code": "provider_rate_limited", "says": "rpm"},
    ),
    "MiniMax's beside choices": (
        streamed({"choices": [], "base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}),
        {"code": "provider_quota_exceeded", "says": "insufficient balance"},
    ),
    "words in place of the answer": (plain({"message": "Come back later."}), {"says": "Come back later"}),
}

TABLES: dict[str, Rows] = {
    "whole": WHOLE_ANSWERS,
    "after the finish": AFTER_THE_FINISH,
    "choices": CHOICES,
    "calls": TOOL_CALLS,
    "half a pair": HALVES,
    "finish": FINISH_WORDS,
    "usage": USAGES,
    "other events": OTHER_EVENTS,
    "errors": ERRORS,
}


def _cases() -> Iterator[WireCase]:
    for table, rows in TABLES.items():
        for name, (answer, right) in rows.items():
            request = {"stream": False} if name.startswith("no stream") else {}
            yield WireCase(name=f"{table}: {name}", kind="openai", answers=[answer], right=right, request=request)


def _fragments(said: str) -> st.SearchStrategy[list[str]]:
    return event_streams.cut(said.encode()).map(lambda cut: [part.decode("utf-8", "surrogateescape") for part in cut])


@st.composite
def conformant(draw: st.DrawFn) -> list[Any]:
    """The chunks of an answer as OpenAI streams it, its calls one after the other or side by side."""
    arguments = ["{}", OSLO_TEXT, '{"a":{"b":[1,{}]}}', '{"q":"}{\\"[\\\\"}', '{"a":"null"}', '{"a":{"a":{}}}', " {} "]
    said = draw(st.lists(st.tuples(st.sampled_from("fg"), st.sampled_from(arguments)), max_size=4))
    rest = [
        [call(None, part, index=number) for part in draw(_fragments(text))] for number, (_, text) in enumerate(said)
    ]
    heads = [call(name, "", index=number, id=f"c{number}", type="function") for number, (name, _) in enumerate(said)]
    if draw(st.booleans()):
        fragments = [each for head, parts in zip(heads, rest, strict=True) for each in (head, *parts)]
    else:
        fragments = heads
        while left := [parts for parts in rest if parts]:
            fragments.append(draw(st.sampled_from(left)).pop(0))
    texts = draw(_fragments("Hello {}"))
    return [*map(text, texts), *map(calls, fragments), chunk(None, "tool_calls" if said else "stop")]


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(conformant())
def test_what_openais_sdk_accumulates_is_read(chunks: list[Any]) -> None:
    state = ChatCompletionStreamState()
    for each in chunks:
        state.handle_chunk(ChatCompletionChunk.model_validate({"id": "x", "created": 1, "model": "m", **each}))
    message = state.current_completion_snapshot.choices[0].message
    case = WireCase(name="the SDK's", kind="openai", answers=[streamed(*chunks, done=True)], right={})

    read = asyncio.run(heard(case, [case.body()]))

    assert read["text"] == message.content
    assert read["tools"] == [
        [made.id, made.function.name, json.loads(made.function.arguments)] for made in message.tool_calls or ()
    ]


all_cases = pytest.mark.parametrize("case", list(_cases()), ids=str)


@all_cases
async def test_an_answer_is_read_as_its_server_meant_it(case: WireCase) -> None:
    assert wrong(case, await heard(case, [case.body()])) == []


@pytest.mark.slow
@all_cases
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_how_the_bytes_are_cut_changes_nothing(case: WireCase, data: st.DataObject) -> None:
    body = case.body()
    if case.answers[0].startswith(HEAD):
        body = body.replace(b"\n", data.draw(st.sampled_from([b"\n", b"\r\n", b"\r"])))

    assert asyncio.run(heard(case, data.draw(event_streams.cut(body)))) == asyncio.run(heard(case, [case.body()]))
