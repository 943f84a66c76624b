"""Responses as OpenAI's server and those that are compatible with it send them."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.errors import FailureCode
from tailrace_worker.providers.base import Alive
from tests.support.wire import sse
from tests.support.wire_case import WireCase, plain, streamed, wrong
from tests.support.wire_reading import check_cut, heard, signs

BOOM = "\N{COLLISION SYMBOL}"


def event(kind: str, **fields: object) -> dict[str, Any]:
    return {"type": f"response.{kind}", **fields}


def case(name: str, *events: object, end: bytes = b"\n\n", done: bool = False, **right: object) -> WireCase:
    answer = streamed(CREATED, *events, end=end, done=done)
    return WireCase(name=name, kind="openai-responses", answers=[answer], right=right)


def whole(name: str, body: object, *, request: dict[str, Any] | None = None, **right: object) -> WireCase:
    asked = {"stream": False} if request is None else request
    return WireCase(name=name, kind="openai-responses", answers=[plain(body)], request=asked, right=right)


def message(words: str | None = None, item_id: str | None = "msg_1", **fields: object) -> dict[str, Any]:
    content: list[Any] = [] if words is None else [{"type": "output_text", "text": words, "annotations": []}]
    return {"type": "message", "role": "assistant", "content": content, **named(item_id), **fields}


def call(arguments: object = "", call_id: object = "call_1", item_id: str | None = "fc_1", **fields: object) -> Any:
    ids = {**named(item_id), **({"call_id": call_id} if call_id else {})}
    return {"type": "function_call", "name": "look", "arguments": arguments, **ids, **fields}


def named(item_id: str | None) -> dict[str, str]:
    return {"id": item_id} if item_id else {}


def said(words: str, **place: object) -> dict[str, Any]:
    return event("output_text.delta", delta=words, **place)


def asked(words: object, **place: object) -> dict[str, Any]:
    return event("function_call_arguments.delta", delta=words, **place)


def added(item: object, **place: object) -> dict[str, Any]:
    return event("output_item.added", item=item, **place)


def ended(item: object, **place: object) -> dict[str, Any]:
    return event("output_item.done", item=item, **place)


def completed(*output: object, **fields: object) -> dict[str, Any]:
    return event("completed", response={"status": "completed", "output": list(output), **fields})


def numbered(*events: dict[str, Any], lost: Sequence[int] = ()) -> Iterator[dict[str, Any]]:
    for number, each in enumerate(events):
        if number not in lost:
            yield {**each, "sequence_number": number}


CREATED = event("created", response={"status": "in_progress", "output": []})
M1 = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
F1 = {"item_id": "fc_1", "output_index": 0}
NO_CITY: list[Any] = ["call_1", "look", {}]
PARIS = '{"city":"Paris"}'
LOOKED = ["call_1", "look", {"city": "Paris"}]
ROME = ["call_2", "look", {"city": "Rome"}]
OVER = completed()
TOLD = [added(message(), output_index=0), said("Good", **M1), said(" day", **M1)]
GOOD_DAY: dict[str, Any] = {"text": "Good day", "finish": "stop"}


def rotating(number: int) -> dict[str, Any]:
    return {"output_index": 0, "content_index": 0, "item_id": f"opaque-{number}"}


WHOLE = [
    case("the last event without its blank line", *TOLD, completed(message("Good day")), end=b"", **GOOD_DAY),
    case("the last event with half of its blank line", *TOLD, OVER, end=b"\n", **GOOD_DAY),
    case("a cut in the last event", *TOLD, b'data: {"type":"response.completed","resp', end=b"", finish="BROKEN"),
    case("an end without a last event", *TOLD, text="Good day", finish="BROKEN"),
    case("[DONE] in place of the last event", *TOLD, done=True, **GOOD_DAY),
    case("[DONE] with a blank behind it", *TOLD, OVER, b"data: [DONE] ", **GOOD_DAY),
    case("[DONE] in the middle of a call", added(call(), **F1), asked('{"ci', **F1), done=True, finish="BROKEN"),
    case("[DONE] before anything", done=True, finish="BROKEN"),
    case("an error after the end", *TOLD, OVER, b"event: error\ndata: gone", **GOOD_DAY),
    case("no message of a response at its end", *TOLD, event("completed"), **GOOD_DAY),
    case("null for a response at its end", *TOLD, event("completed", response=None), **GOOD_DAY),
    case("the name of WebSockets", *TOLD, event("done", response={"status": "completed"}), **GOOD_DAY),
    whole(
        "an answer that is not streamed", {"status": "completed", "output": [message("Hi")]}, text="Hi", finish="stop"
    ),
    whole("a body in place of a stream", {"output": [message("Hi")]}, request={}, text="Hi", finish="stop"),
    whole("a status of the server's own", {"status": "success", "output": [message("Hi")]}, text="Hi", finish="stop"),
    whole("an answer that is not there yet", {"status": "queued", "output": []}, finish="BROKEN"),
    whole("a page of something else", {"detail": "?"}, finish="BROKEN"),
]

CALLS = [
    case(
        "only the done event has the arguments",
        added(call(), output_index=0),
        event("function_call_arguments.done", arguments=PARIS, **F1),
        ended(call(), output_index=0),
        OVER,
        tools=[LOOKED],
        finish="tool_calls",
    ),
    case("only the item has the arguments", ended(call(PARIS), output_index=0), OVER, tools=[LOOKED]),
    case("only the snapshot has the call", completed(call(PARIS)), tools=[LOOKED], finish="tool_calls"),
    case("only the beginning has the arguments", added(call(PARIS), output_index=0), OVER, tools=[LOOKED]),
    case(
        "the arguments come with the beginning, and again (transformers)",
        added(call(PARIS, "c", "c"), output_index=1),
        event("function_call_arguments.done", arguments=PARIS, item_id="c", output_index=1, name="look"),
        ended(call(PARIS, "c", "c"), output_index=1),
        added(message(), output_index=1),
        event("output_text.done", text="", item_id="msg_1", output_index=1),
        ended(message(""), output_index=1),
        completed(message(""), call(PARIS, "c", "c")),
        tools=[["c", "look", {"city": "Paris"}]],
        text="",
        finish="tool_calls",
    ),
    case("the arguments are an object", ended(call({"city": "Paris"}), output_index=0), OVER, tools=[LOOKED]),
    case(
        "the fragment is an object",
        *(added(call(), **F1), asked({"city": "Paris"}, **F1), ended(call(PARIS), **F1), OVER),
        tools=[LOOKED],
    ),
    case("a call without arguments", ended(call(), output_index=0), OVER, tools=[NO_CITY]),
    case(
        "null for arguments",
        ended(call(None), output_index=0),
        completed(call(None)),
        tools=[NO_CITY],
    ),
    case(
        "the whole arguments have other blanks than the fragments",
        *(added(call(), **F1), asked('{"city": "Pa', **F1), asked('ris"}', **F1), ended(call(PARIS), **F1)),
        completed(call('{ "city" : "Paris" }')),
        tools=[LOOKED],
        finish="tool_calls",
    ),
    case(
        "the id of the call comes at its end",
        *(added(call(call_id=None), **F1), asked(PARIS, **F1), ended(call(PARIS), **F1), completed(call(PARIS))),
        tools=[LOOKED],
    ),
    case(
        "the id of the call is made anew at its end",
        *(added(call(call_id="c"), **F1), asked(PARIS, **F1), ended(call(PARIS, "d"), **F1), completed(call(PARIS))),
        tools=[["c", "look", {"city": "Paris"}]],
    ),
    case(
        "no id but that of the item", ended(call(PARIS, None), **F1), OVER, tools=[["fc_1", "look", {"city": "Paris"}]]
    ),
    case("no id at all", added(call("", None, None)), asked(PARIS), OVER, tools=[[None, "look", {"city": "Paris"}]]),
    case("an id that is a number", ended(call(PARIS, call_id=7), **F1), OVER, tools=[["7", "look", {"city": "Paris"}]]),
    case(
        "no name at the end", added(call(PARIS), **F1), ended({**call(PARIS), "name": None}, **F1), OVER, tools=[LOOKED]
    ),
    case("no name anywhere", ended({**call(PARIS), "name": None}, **F1), OVER, finish="BROKEN"),
    case(
        "two calls at one index, which end after both",
        *(added(call(), output_index=0), asked(PARIS, **F1)),
        *(added(call("", "call_2", "fc_2"), output_index=0), asked('{"city":"Rome"}', item_id="fc_2", output_index=0)),
        event("function_call_arguments.done", arguments=PARIS, **F1),
        *(ended(call(PARIS), output_index=0), ended(call('{"city":"Rome"}', "call_2", "fc_2"), output_index=0)),
        completed(call(PARIS), call('{"city":"Rome"}', "call_2", "fc_2")),
        tools=[LOOKED, ROME],
    ),
    case(
        "two calls by one id of an item",
        *(added(call(), output_index=0), asked(PARIS, **F1), added(call("", "call_2"), output_index=1)),
        *(asked('{"city":"Rome"}', item_id="fc_1", output_index=1), ended(call(PARIS), output_index=0)),
        ended(call('{"city":"Rome"}', "call_2"), output_index=1),
        completed(call(PARIS), call('{"city":"Rome"}', "call_2")),
        tools=[LOOKED, ROME],
    ),
    case(
        "the same call twice",
        *(added(call(), **F1), asked(PARIS, **F1), ended(call(PARIS), **F1)),
        *(ended(call(PARIS, "call_2", "fc_2"), output_index=1), completed(call(PARIS), call(PARIS, "call_2", "fc_2"))),
        tools=[LOOKED, ["call_2", "look", {"city": "Paris"}]],
    ),
    case(
        "a call that begins before the message ends, without index and id",
        *(added(message(item_id=None)), said("I look."), added(call(item_id=None)), asked(PARIS), said(" Soon.")),
        *(ended(call(PARIS, item_id=None)), ended(message("I look. Soon.", None))),
        completed(message("I look. Soon.", None), call(PARIS, item_id=None)),
        text="I look. Soon.",
        tools=[LOOKED],
    ),
    case(
        "the arguments differ",
        *(added(call(), **F1), asked(PARIS, **F1), ended(call('{"city":"Oslo"}'), **F1)),
        OVER,
        finish="BROKEN",
    ),
    case(
        "a custom tool",
        added({"type": "custom_tool_call", "call_id": "a", "name": "run", "input": ""}, output_index=0),
        event("custom_tool_call_input.delta", delta="ls -", output_index=0),
        event("custom_tool_call_input.done", input="ls -l", output_index=0),
        completed({"type": "custom_tool_call", "call_id": "a", "name": "run", "input": "ls -l"}),
        tools=[["a", "run", "ls -l"]],
    ),
]

PLACES = [
    case(
        "no index (llama.cpp)",
        *(added(message()), said("Good", item_id="msg_1"), said(" day", item_id="msg_1")),
        event("output_text.done", text="Good day", item_id="msg_1"),
        event("content_part.done", part={"type": "output_text", "text": "Good day"}, item_id="msg_1"),
        *(ended(message("Good day")), added(call()), asked(PARIS, item_id="fc_1"), ended(call(PARIS))),
        completed(message("Good day"), call(PARIS)),
        text="Good day",
        tools=[LOOKED],
    ),
    case(
        "neither index nor id",
        said("Good"),
        said(" day"),
        event("output_text.done", text="Good day"),
        completed(message("Good day")),
        **GOOD_DAY,
    ),
    case(
        "another id in each event (Copilot)",
        added(message(item_id="opaque-0"), output_index=0),
        *(said("Good", **rotating(1)), said(" day", **rotating(2))),
        event("output_text.done", text="Good day", **rotating(3)),
        event("content_part.done", part={"type": "output_text", "text": "Good day"}, **rotating(4)),
        ended(message("Good day", "opaque-5"), output_index=0),
        completed(message("Good day", "opaque-6")),
        **GOOD_DAY,
    ),
    case(
        "another id in each event, and no index",
        added(message(item_id="a")),
        *(
            said("Good", item_id="b"),
            said(" day", item_id="c"),
            event("output_text.done", text="Good day", item_id="d"),
        ),
        *(ended(message("Good day", "e")), completed(message("Good day", "f"))),
        **GOOD_DAY,
    ),
    case(
        "one index for all, and each piece of the reasoning by another id (LiteLLM)",
        added(message(), output_index=0),
        event("reasoning_summary_text.delta", delta="H", item_id="rs_1", output_index=0),
        event("reasoning_summary_text.delta", delta="m", item_id="rs_2", output_index=0),
        *(said("Good", **M1), said(" day", **{**M1, "item_id": "msg_9"})),
        event("output_text.done", text="Good day", **M1),
        ended(message("Good day"), output_index=0),
        completed({"type": "reasoning", "id": "rs_3", "summary": [{"text": "Hm"}]}, message("Good day", "msg_7")),
        reasoning="Hm",
        **GOOD_DAY,
    ),
    case(
        "an index that counts the events",
        added(message(), output_index=0),
        *(said(word, item_id="msg_1", output_index=number) for number, word in enumerate(["Good", " ", "day"], 1)),
        event("output_text.done", text="Good day", item_id="msg_1", output_index=4),
        *(ended(message("Good day"), output_index=5), completed(message("Good day"))),
        **GOOD_DAY,
    ),
    case(
        "an index of the part that counts the events",
        *(said(word, **{**M1, "content_index": number}) for number, word in enumerate(["Good", " ", "day"])),
        *(event("output_text.done", text="Good day", **M1), ended(message("Good day"), output_index=0), OVER),
        **GOOD_DAY,
    ),
    case(
        "an index of the part that the whole text has not",
        *(said("Good", **{**M1, "content_index": 1}), said(" day", **{**M1, "content_index": 1})),
        *(event("output_text.done", text="Good day", **M1), completed(message("Good day"))),
        **GOOD_DAY,
    ),
    case(
        "two parts",
        *(said("Good", **M1), event("output_text.done", text="Good", **M1), said(" d", **{**M1, "content_index": 1})),
        event("output_text.done", text=" day", **{**M1, "content_index": 1}),
        ended(message("Good day"), output_index=0),
        OVER,
        **GOOD_DAY,
    ),
    case(
        "two messages by one id, and no index",
        *(added(message()), said("Good", item_id="msg_1"), ended(message("Good"))),
        *(added(message()), said(" day", item_id="msg_1"), event("output_text.done", text=" day", item_id="msg_1")),
        *(ended(message(" day")), completed(message("Good"), message(" day"))),
        **GOOD_DAY,
    ),
    case(
        "a message that ends once more after the calls (transformers)",
        *(*TOLD, ended(message("Good day"), output_index=0)),
        *(ended(call(PARIS), output_index=1), ended(call('{"city":"Rome"}', "call_2", "fc_2"), output_index=2)),
        *(added(message(), output_index=2), event("output_text.done", text="Good day", **{**M1, "output_index": 2})),
        *(ended(message("Good day"), output_index=2), completed(message("Good day"), call(PARIS))),
        text="Good day",
        tools=[LOOKED, ROME],
    ),
    case(
        "a call that begins once more at another index",
        *(added(call(), output_index=0), asked(PARIS, **F1), ended(call(PARIS), output_index=0)),
        *(added(call(PARIS), output_index=1), ended(call(PARIS), output_index=1), completed(call(PARIS))),
        tools=[LOOKED],
    ),
    case(
        "two messages by one id at two indices",
        *(added(message(), output_index=0), said("Good", **M1), added(message(), output_index=1)),
        *(said(" day", item_id="msg_1", output_index=1), ended(message("Good"), output_index=0)),
        event("output_text.done", text=" day", item_id="msg_1", output_index=1),
        *(ended(message(" day"), output_index=1), completed(message("Good"), message(" day"))),
        **GOOD_DAY,
    ),
    case("only the done event has the text", event("output_text.done", text="Good day", **M1), OVER, **GOOD_DAY),
    case(
        "only the part has the text",
        event("content_part.done", part={"type": "output_text", "text": "Good day"}, **M1),
        OVER,
        **GOOD_DAY,
    ),
    case("only the item has the text", ended(message("Good day"), output_index=0), OVER, **GOOD_DAY),
    case(
        "only the snapshot has the text", added(message(), output_index=0), completed(message("Good day")), **GOOD_DAY
    ),
    case("only the snapshot has the rest of the text", said("Good", **M1), completed(message("Good day")), **GOOD_DAY),
    case("only the beginning has the text", added(message("Good day"), output_index=0), OVER, **GOOD_DAY),
    case("the text is not in a list", completed({**message(), "content": "Good day"}), **GOOD_DAY),
    case(
        "a part by the name of Chat Completions",
        completed({**message(), "content": [{"type": "text", "text": "Good day"}]}),
        **GOOD_DAY,
    ),
    case("null for a part", *TOLD, event("content_part.done", part=None, **M1), OVER, **GOOD_DAY),
    case(
        "only the item has the reasoning",
        ended(
            {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm"}]},
            output_index=0,
        ),
        *TOLD,
        OVER,
        reasoning="Hm",
        **GOOD_DAY,
    ),
    case(
        "the reasoning comes as reasoning, and again as its summary",
        event("reasoning_text.delta", delta="Hm", item_id="rs_1", output_index=0),
        event("content_part.done", part={"type": "reasoning_text", "text": "Hm"}, item_id="rs_1", output_index=0),
        ended({"type": "reasoning", "id": "rs_1", "summary": [{"text": "Hm"}]}, output_index=0),
        *(ended(message("Good day"), output_index=1), OVER),
        reasoning="Hm",
        **GOOD_DAY,
    ),
    case(
        "the item has one more part of the summary",
        event("reasoning_summary_text.delta", delta="H", summary_index=0, item_id="rs_1", output_index=0),
        ended({"type": "reasoning", "id": "rs_1", "summary": [{"text": "Hm"}, {"text": "Aha"}]}, output_index=0),
        *(ended(message("Good day"), output_index=1), OVER),
        reasoning="Hm\n\nAha",
        blocks=[["Hm\n\nAha", '{"id":"rs_1","summary":[2,3]}']],
        **GOOD_DAY,
    ),
    case(
        "the parts of the summary have one number",
        event("reasoning_summary_text.delta", delta="Hm", item_id="rs_1", output_index=0),
        event("reasoning_summary_text.delta", delta="Aha", item_id="rs_1", output_index=0),
        ended({"type": "reasoning", "id": "rs_1", "summary": [{"text": "Hm"}, {"text": "Aha"}]}, output_index=0),
        *(ended(message("Good day"), output_index=1), OVER),
        reasoning="HmAha",
        **GOOD_DAY,
    ),
    case(
        "the whole text is stripped",
        said(" Good day\n", **M1),
        completed(message("Good day")),
        text=" Good day\n",
        finish="stop",
    ),
    case(
        "the whole text differs",
        said("God", **M1),
        event("output_text.done", text="Good day", **M1),
        OVER,
        finish="BROKEN",
    ),
    case("the whole text is shorter", *TOLD, ended(message("Good"), output_index=0), OVER, finish="BROKEN"),
    case("the text of the snapshot differs", said("God", **M1), completed(message("Good day")), finish="BROKEN"),
    case(
        "a gap in the numbers", *numbered(*TOLD, OVER, lost=[1]), finish="BROKEN", code=FailureCode.PROVIDER_INTERRUPTED
    ),
    case("a gap before the end", *numbered(*TOLD, event("output_text.done", **M1), OVER, lost=[3]), finish="BROKEN"),
    case(
        "a gap after an event of a new kind",
        *numbered(*TOLD[:2], event("new"), TOLD[2], OVER, lost=[3]),
        finish="BROKEN",
    ),
    case("a new kind of event has a number too", *numbered(*TOLD[:2], event("new"), TOLD[2], OVER), **GOOD_DAY),
    case("each event twice", *(each for each in numbered(CREATED, *TOLD, OVER) for _ in range(2)), **GOOD_DAY),
    case(
        "one number for all, and the same text twice",
        *({**each, "sequence_number": 7} for each in (said("ha", **M1), said("ha", **M1), OVER)),
        text="haha",
        finish="stop",
    ),
    case(
        "one number for all",
        *({**each, "sequence_number": 7} for each in TOLD),
        {**OVER, "sequence_number": 7},
        **GOOD_DAY,
    ),
    case(
        "numbers that are text, or none",
        *({**each, "sequence_number": number} for each, number in zip(TOLD, ["1", None, 9.5], strict=True)),
        OVER,
        **GOOD_DAY,
    ),
]

ENDS = [
    case(
        "a completed response that is incomplete",
        *TOLD,
        completed(status="incomplete", incomplete_details={"reason": "max_output_tokens"}),
        text="Good day",
        finish="length",
        word="max_output_tokens",
    ),
    case("no word for why", *TOLD, event("incomplete", response={"status": "incomplete"}), finish="length"),
    case(
        "the word is not in an object",
        *TOLD,
        event("incomplete", response={"incomplete_details": "content_filter"}),
        finish="content_filter",
    ),
    case(
        "a filter of another provider",
        *TOLD,
        event("incomplete", response={"incomplete_details": {"reason": "SAFETY"}}),
        finish="content_filter",
        word="SAFETY",
    ),
    case(
        "a fault that is called incomplete",
        *TOLD,
        event("incomplete", response={"incomplete_details": {"reason": "network_error"}}),
        finish="BROKEN",
    ),
    case(
        "a completed response that has failed",
        *TOLD,
        completed(status="failed", error={"code": "server_error", "message": "no"}),
        finish="BROKEN",
    ),
    case("a completed response that was cancelled", *TOLD, completed(status="cancelled"), finish="BROKEN"),
    case("an error without a word in it", *TOLD, completed(error={"code": None, "message": ""}), **GOOD_DAY),
    case(
        "a refusal",
        event("refusal.delta", delta="No", **M1),
        event("refusal.done", refusal="No.", **M1),
        OVER,
        refusal="No.",
        finish="refusal",
    ),
]

HALVES = [
    case(
        "a pair in two pieces of the text",
        said("a\ud83d", **M1),
        said("\udca5b", **M1),
        OVER,
        text=f"a{BOOM}b",
        finish="stop",
    ),
    case(
        "a pair in two pieces, and whole",
        said("a\ud83d", **M1),
        said("\udca5b", **M1),
        completed(message(f"a{BOOM}b")),
        text=f"a{BOOM}b",
        finish="stop",
    ),
    case(
        "a pair whose second half comes with the whole",
        said("a\ud83d", **M1),
        ended(message(f"a{BOOM}"), output_index=0),
        OVER,
        text=f"a{BOOM}",
    ),
    case("a half without the other", said("a\ud83d", **M1), OVER, text="a\ufffd", finish="stop"),
    case(
        "a pair in the reasoning",
        event("reasoning_text.delta", delta="\ud83d", output_index=0),
        event("reasoning_text.delta", delta="\udca5", output_index=0),
        OVER,
        reasoning=BOOM,
    ),
    case(
        "a pair in the arguments",
        added(call(), **F1),
        asked('{"x":"\ud83d', **F1),
        asked('\udca5"}', **F1),
        OVER,
        tools=[["call_1", "look", {"x": BOOM}]],
    ),
    case(
        "a pair in two messages at once",
        said("a\ud83d", **M1),
        said("c\ud83d", item_id="msg_2", output_index=1),
        said("\udca5b", **M1),
        said("\udca5d", item_id="msg_2", output_index=1),
        OVER,
        text=f"ac{BOOM}b{BOOM}d",
    ),
]

USAGES: list[tuple[Any, Any]] = [
    ({"input_tokens": 7.0, "output_tokens": "3"}, [7, 3]),
    ({"input_tokens": None, "output_tokens": True}, [None, None]),
    ({"input_tokens": [], "output_tokens": {}, "input_tokens_details": 5}, [None, None]),
    ("none", [None, None]),
    ([7, 3], [None, None]),
    (False, [None, None]),
]
COUNTS = [
    case(f"usage is {usage}", *TOLD, completed(usage=usage), usage=right, **GOOD_DAY) for usage, right in USAGES
] + [
    case(
        "the cache was written",
        *TOLD,
        completed(
            usage={
                "input_tokens": 9,
                "output_tokens": 1,
                "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 4},
            }
        ),
        usage=[9, 1],
        cached=[2, 4],
        **GOOD_DAY,
    ),
    case(
        "fields of other kinds",
        {**said("Good day", **M1), "logprobs": "?", "obfuscation": 7},
        completed(metadata=[], tools={}, model=5, created_at="now", reasoning=[]),
        **GOOD_DAY,
    ),
]

SKIPPED = [
    case("a ping that is no JSON", b"event: ping\ndata: pong", *TOLD, OVER, **GOOD_DAY),
    case("a ping without a type", b"event: ping\ndata: {}", *TOLD, OVER, **GOOD_DAY),
    case("a ping that is a list", b"event: heartbeat\ndata: [1]", *TOLD, OVER, **GOOD_DAY),
    case("a keep-alive of OpenAI's", {"type": "keepalive", "sequence_number": 1}, *TOLD, OVER, **GOOD_DAY),
    case(
        "comments and empty events",
        b": waiting",
        b"data:",
        b"event: x",
        b"data: \n: processing",
        b"id: 7\nretry: 3",
        *TOLD,
        OVER,
        **GOOD_DAY,
    ),
    case(
        "the type is only in the name",
        b'event: response.output_text.delta\ndata: {"delta":"Good day","item_id":"msg_1"}',
        OVER,
        **GOOD_DAY,
    ),
    case("content that is no JSON", b"event: response.output_text.delta\ndata: Good day", OVER, finish="BROKEN"),
    case(
        "content that is no JSON, by the name of all events",
        b'event: message\ndata: {"type":"response.output_te',
        OVER,
        finish="BROKEN",
    ),
]

CASES = [*WHOLE, *CALLS, *PLACES, *ENDS, *HALVES, *COUNTS, *SKIPPED]


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_a_response_is_neither_lost_nor_doubled_split_or_called_whole_if_it_is_not(case: WireCase) -> None:
    assert wrong(case, await heard(case, [case.body()])) == []


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(case=st.sampled_from(CASES), places=st.lists(st.integers(0, 4_000), max_size=8), crlf=st.booleans())
def test_how_a_response_is_cut_into_chunks_does_not_matter(case: WireCase, places: list[int], crlf: bool) -> None:
    check_cut(case, places, crlf=crlf)


@pytest.mark.parametrize(
    "event",
    [
        b": waiting\n\n",
        b"event: ping\ndata: {}\n\n",
        b"data:\n\n",
        sse(said("", **M1)),
        b"da",
    ],
)
async def test_whatever_comes_is_a_sign_of_life(event: bytes) -> None:
    assert await signs("openai-responses", event) == [Alive(is_whole=False)]
