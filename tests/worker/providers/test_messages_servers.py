"""Messages as Anthropic's server and those that are compatible with it send them."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.errors import FailureCode
from tailrace_worker.providers.base import Alive
from tests.support.wire import sent, sse
from tests.support.wire_case import WireCase, plain, streamed, wrong
from tests.support.wire_reading import check_cut, heard, reading, signs

BOOM = "\N{COLLISION SYMBOL}"
USAGE = {"input_tokens": 9, "output_tokens": 1}
START: dict[str, Any] = {
    "type": "message_start",
    "message": {"id": "msg_1", "type": "message", "role": "assistant", "content": [], "usage": USAGE},
}
OVER: dict[str, Any] = {"type": "message_stop"}


def case(
    name: str, *events: object, end: bytes = b"\n\n", done: bool = False, extra: object = None, **right: object
) -> WireCase:
    answer = streamed(START, *events, end=end, done=done)
    return WireCase(
        name=name, kind="anthropic", answers=[answer], right=right, request={"extra": extra} if extra else {}
    )


def whole(name: str, body: object, *, stream: bool = False, **right: object) -> WireCase:
    return WireCase(name=name, kind="anthropic", answers=[plain(body)], request={"stream": stream}, right=right)


def begin(block: object, index: object = 0) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index: object = 0, **fragment: object) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": fragment}


def said(words: object, index: object = 0) -> dict[str, Any]:
    return delta(index, type="text_delta", text=words)


def thought(words: str, index: object = 0) -> dict[str, Any]:
    return delta(index, type="thinking_delta", thinking=words)


def signed(signature: str, index: object = 0) -> dict[str, Any]:
    return delta(index, type="signature_delta", signature=signature)


def asked(json: object, index: object = 0) -> dict[str, Any]:
    return delta(index, type="input_json_delta", partial_json=json)


def stop(index: object = 0) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def last(word: object, **usage: object) -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": word}, "usage": usage or {"output_tokens": 5}}


def tool(call_id: object = "toolu_1", **fields: object) -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": "look", "input": {}, **fields}


def without(event: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name not in names}


NOTHING: dict[str, Any] = {}
TEXT = begin({"type": "text", "text": ""})
THINKING = begin({"type": "thinking", "thinking": ""})
TOLD = [TEXT, said("Good"), said(" day"), stop()]
GOOD_DAY: dict[str, Any] = {"text": "Good day", "finish": "stop"}
ENDED = [last("end_turn"), OVER]
CALLED = [last("tool_use"), OVER]
LOOKED = ["toolu_1", "look", {"city": "Paris"}]
ROME = ["toolu_2", "look", {"city": "Rome"}]
HI = {"type": "text", "text": "Good day"}

WHOLE = [
    case("no last event", *TOLD, last("end_turn"), **GOOD_DAY),
    case("the last event without its blank line", *TOLD, *ENDED, end=b"", **GOOD_DAY),
    case("the last event without its blank line is the stop reason", *TOLD, last("end_turn"), end=b"", **GOOD_DAY),
    case("no stop reason", *TOLD, OVER, word="", **GOOD_DAY),
    case("null for a stop reason", *TOLD, last(None), OVER, **GOOD_DAY),
    case(
        "a delta of null",
        *TOLD,
        {"type": "message_delta", "delta": None, "usage": {"output_tokens": 5}},
        OVER,
        usage=[9, 5],
        **GOOD_DAY,
    ),
    case("[DONE] in place of the end", *TOLD, done=True, **GOOD_DAY),
    case("[DONE] after the end", *TOLD, *ENDED, done=True, **GOOD_DAY),
    case("[DONE] after the stop reason, with a blank", *TOLD, last("end_turn"), b"data: [DONE]  ", **GOOD_DAY),
    case("[DONE] before anything", done=True, finish="BROKEN"),
    case("an end in the middle", TEXT, said("Good"), text="Good", finish="BROKEN"),
    case("an end after a block", *TOLD, finish="BROKEN"),
    case(
        "a cut in the stop reason",
        *TOLD,
        b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_t',
        end=b"",
        finish="BROKEN",
    ),
    case(
        "text after the stop reason",
        *TOLD,
        last("end_turn"),
        begin(HI, 1),
        stop(1),
        OVER,
        text="Good dayGood day",
        finish="stop",
    ),
    case(
        "a call after the stop reason",
        *TOLD,
        last("end_turn"),
        begin(tool(), 1),
        asked('{"city":"Paris"}', 1),
        stop(1),
        last("tool_use"),
        OVER,
        text="Good day",
        tools=[LOOKED],
        finish="tool_calls",
    ),
    case(
        "thinking after the stop reason",
        *TOLD,
        last("end_turn"),
        begin({"type": "thinking", "thinking": "Hm"}, 1),
        stop(1),
        reasoning="Hm",
        **GOOD_DAY,
    ),
    case("an error after the end", *TOLD, *ENDED, b"event: error\ndata: gone", **GOOD_DAY),
    case("an error after the stop reason", *TOLD, last("end_turn"), b"event: error\ndata: gone", **GOOD_DAY),
    case("the beginning twice (LiteLLM)", START, *TOLD, *ENDED, **GOOD_DAY),
    case(
        "a beginning without a type in it",
        {"type": "message_start", "message": {"usage": USAGE}},
        *TOLD,
        *ENDED,
        usage=[9, 5],
        **GOOD_DAY,
    ),
    case("the beginning has the text", {"type": "message_start", "message": {"content": [HI]}}, *ENDED, **GOOD_DAY),
    case("a whole message in an event", {"type": "message", "content": [HI], "stop_reason": "end_turn"}, **GOOD_DAY),
    whole(
        "an answer that is not streamed", {"type": "message", "content": [HI], "stop_reason": "end_turn"}, **GOOD_DAY
    ),
    whole(
        "a body in place of a stream",
        {"type": "message", "content": [HI], "stop_reason": "end_turn"},
        stream=True,
        **GOOD_DAY,
    ),
    whole("a body without a type", {"role": "assistant", "content": [HI], "stop_reason": "end_turn"}, **GOOD_DAY),
    whole("a body that has only text", {"type": "message", "content": "Good day"}, **GOOD_DAY),
    whole(
        "an answer that says nothing",
        {"type": "message", "content": [], "stop_reason": "end_turn"},
        text="",
        finish="stop",
    ),
    whole("a page of something else", {"detail": "?"}, finish="BROKEN"),
]

CALLS = [
    case(
        "the stop reason of a text",
        begin(tool()),
        asked('{"city":"Paris"}'),
        stop(),
        *ENDED,
        tools=[LOOKED],
        finish="tool_calls",
        word="end_turn",
    ),
    case(
        "no stop reason of a call",
        begin(tool()),
        asked('{"city":"Paris"}'),
        stop(),
        OVER,
        tools=[LOOKED],
        finish="tool_calls",
    ),
    case(
        "a limit after a call",
        begin(tool()),
        asked('{"city":"Paris"}'),
        stop(),
        last("max_tokens"),
        OVER,
        tools=[LOOKED],
        finish="tool_calls",
    ),
    case(
        "a limit within a call",
        begin(tool()),
        asked('{"city":"Pa'),
        stop(),
        last("max_tokens"),
        OVER,
        tools=[["toolu_1", "look", '{"city":"Pa']],
        finish="length",
    ),
    case("no input", begin(tool()), stop(), *CALLED, tools=[["toolu_1", "look", NOTHING]]),
    case(
        "empty fragments of input",
        begin(tool()),
        asked(""),
        asked(None),
        stop(),
        *CALLED,
        tools=[["toolu_1", "look", NOTHING]],
    ),
    case(
        "no member for the input (llama.cpp)",
        begin(without(tool(), "input")),
        asked('{"city":'),
        asked('"Paris"}'),
        *CALLED,
        tools=[LOOKED],
    ),
    case("input at the beginning", begin(tool(input={"city": "Paris"})), stop(), *CALLED, tools=[LOOKED]),
    case("input at the beginning, as text", begin(tool(input='{"city":"Paris"}')), stop(), *CALLED, tools=[LOOKED]),
    case(
        "input at the beginning, and again",
        begin(tool(input={"city": "Paris"})),
        asked('{"city":'),
        asked('"Paris"}'),
        stop(),
        *CALLED,
        tools=[LOOKED],
    ),
    case("input at the beginning, and no end", begin(tool(input={"city": "Paris"})), *CALLED, tools=[LOOKED]),
    case("a fragment that is an object", begin(tool()), asked({"city": "Paris"}), stop(), *CALLED, tools=[LOOKED]),
    case("an id that is a number", begin(tool(7)), stop(), *CALLED, tools=[["7", "look", NOTHING]]),
    case(
        "no id",
        begin(tool(None)),
        asked('{"city":"Paris"}'),
        stop(),
        *CALLED,
        tools=[[None, "look", {"city": "Paris"}]],
    ),
    case(
        "a call begins with each of its fragments",
        begin(tool()),
        asked('{"city":'),
        begin(tool()),
        asked('"Paris"}'),
        stop(),
        *CALLED,
        tools=[LOOKED],
    ),
    case(
        "a call begins again at another index",
        begin(tool()),
        begin(tool(), 1),
        asked('{"city":"Paris"}', 1),
        stop(1),
        *CALLED,
        tools=[LOOKED],
    ),
    case(
        "two calls by one id",
        begin(tool()),
        asked('{"city":"Paris"}'),
        stop(),
        begin(tool(), 1),
        asked('{"city":"Rome"}', 1),
        stop(1),
        *CALLED,
        tools=[LOOKED, ["toolu_1", "look", {"city": "Rome"}]],
    ),
    case(
        "no index",
        without(begin(tool()), "index"),
        without(asked('{"city":"Paris"}'), "index"),
        without(stop(), "index"),
        without(begin(tool("toolu_2")), "index"),
        without(asked('{"city":"Rome"}'), "index"),
        without(stop(), "index"),
        *CALLED,
        tools=[LOOKED, ROME],
    ),
    case(
        "one index for all",
        TEXT,
        said("Good day"),
        stop(),
        begin(tool()),
        asked('{"city":"Paris"}'),
        stop(),
        begin(tool("toolu_2")),
        asked('{"city":"Rome"}'),
        stop(),
        *CALLED,
        text="Good day",
        tools=[LOOKED, ROME],
    ),
    case(
        "one index for all, and no ends",
        TEXT,
        said("Good day"),
        begin(tool()),
        asked('{"city":"Paris"}'),
        begin(tool("toolu_2")),
        asked('{"city":"Rome"}'),
        *CALLED,
        text="Good day",
        tools=[LOOKED, ROME],
    ),
    case(
        "one index for all fragments",
        *TOLD,
        begin(tool(), 1),
        asked('{"city":"Paris"}'),
        stop(1),
        begin(tool("toolu_2"), 2),
        asked('{"city":"Rome"}'),
        stop(2),
        *CALLED,
        text="Good day",
        tools=[LOOKED, ROME],
    ),
    case(
        "indices that are text",
        TEXT,
        said("Good day", "0"),
        stop("0"),
        begin(tool(), "1"),
        asked('{"city":"Paris"}', "1"),
        stop("1"),
        *CALLED,
        text="Good day",
        tools=[LOOKED],
    ),
    case(
        "fragments after the end of the block",
        begin(tool()),
        stop(),
        asked('{"city":"Paris"}'),
        *CALLED,
        tools=[LOOKED],
    ),
]

BLOCKS = [
    case(
        "a block begins before the one before ends (llama.cpp)",
        TEXT,
        said("Good"),
        begin(tool(), 1),
        asked('{"city":"Pa', 1),
        said(" day"),
        asked('ris"}', 1),
        begin(tool("toolu_2"), 2),
        asked('{"city":"Rome"}', 2),
        stop(0),
        stop(1),
        stop(2),
        *CALLED,
        text="Good day",
        tools=[LOOKED, ROME],
    ),
    case(
        "input at the beginning, and the fragments after the next block began",
        begin(tool(input={"city": "Paris"})),
        begin(tool("toolu_2", input={"city": "Rome"}), 1),
        asked('{"city":"Paris"}'),
        asked('{"city":"Rome"}', 1),
        stop(0),
        stop(1),
        *CALLED,
        tools=[LOOKED, ROME],
    ),
    case(
        "input at the beginning of two open calls",
        begin(tool(input={"city": "Paris"})),
        begin(tool("toolu_2", input={"city": "Rome"}), 1),
        stop(1),
        stop(0),
        *CALLED,
        tools=[LOOKED, ROME],
    ),
    case(
        "pieces of two calls in turns",
        begin(tool()),
        begin(tool("toolu_2"), 1),
        asked('{"city":'),
        asked('{"city":', 1),
        asked('"Paris"}'),
        asked('"Rome"}', 1),
        *CALLED,
        tools=[LOOKED, ROME],
    ),
    case(
        "a pair in each of two open blocks",
        TEXT,
        said("a\ud83d"),
        begin({"type": "text", "text": ""}, 1),
        said("c\ud83d", 1),
        said("\udca5b"),
        said("\udca5d", 1),
        *ENDED,
        text=f"ac{BOOM}b{BOOM}d",
        finish="stop",
    ),
    case(
        "what two tools of the provider's are asked, in turns",
        begin({"type": "server_tool_use", "name": "web_search", "input": {}}),
        begin({"type": "server_tool_use", "name": "web_fetch", "input": {}}, 1),
        asked('{"query":'),
        asked('{"url":', 1),
        asked('"mill"}'),
        asked('"https://a.test"}', 1),
        stop(0),
        stop(1),
        *ENDED,
        notices=["web_search: mill", "web_fetch: https://a.test"],
        text="",
    ),
    case(
        "a tool of the provider's without a name",
        begin({"type": "server_tool_use", "input": {"query": "mill"}}),
        stop(),
        begin(HI, 1),
        stop(1),
        *ENDED,
        **GOOD_DAY,
    ),
    case("text without a block", said("Good"), said(" day"), *ENDED, **GOOD_DAY),
    case(
        "a block without a type",
        {"type": "content_block_start", "index": 0},
        said("Good day"),
        stop(),
        *ENDED,
        **GOOD_DAY,
    ),
    case(
        "null for text", begin({"type": "text", "text": None}), said(None), said("Good day"), stop(), *ENDED, **GOOD_DAY
    ),
    case("text at the beginning", begin({"type": "text", "text": "Good"}), said(" day"), stop(), *ENDED, **GOOD_DAY),
    case(
        "no blocks end", TEXT, said("Good"), begin({"type": "text", "text": ""}, 1), said(" day", 1), *ENDED, **GOOD_DAY
    ),
]

THOUGHTS = [
    case(
        "signed",
        THINKING,
        thought("Hm"),
        signed("EqQB"),
        stop(),
        begin(HI, 1),
        stop(1),
        *ENDED,
        blocks=[["Hm", "EqQB"]],
        **GOOD_DAY,
    ),
    case(
        "signed at its beginning, and again",
        begin({"type": "thinking", "thinking": "", "signature": "EqQB"}),
        thought("Hm"),
        signed("EqQB"),
        stop(),
        begin(HI, 1),
        stop(1),
        *ENDED,
        blocks=[["Hm", "EqQB"]],
        **GOOD_DAY,
    ),
    case(
        "signed, and nothing in it",
        THINKING,
        signed("EqQB"),
        stop(),
        begin(HI, 1),
        stop(1),
        *ENDED,
        blocks=[["", "EqQB"]],
        **GOOD_DAY,
    ),
    case(
        "not signed (Kimi)",
        THINKING,
        thought("Hm"),
        stop(),
        begin(HI, 1),
        stop(1),
        *ENDED,
        blocks=[["Hm", "thinking:"]],
        **GOOD_DAY,
    ),
    case(
        "an empty signature (GLM)",
        THINKING,
        thought("Hm"),
        signed(""),
        stop(),
        begin(HI, 1),
        stop(1),
        *ENDED,
        blocks=[["Hm", "thinking:"]],
        **GOOD_DAY,
    ),
    case(
        "not signed, and open when the text begins",
        THINKING,
        thought("Hm"),
        begin({"type": "text", "text": ""}, 1),
        said("Good day", 1),
        signed("", 0),
        stop(0),
        stop(1),
        *ENDED,
        blocks=[["Hm", "thinking:"]],
        **GOOD_DAY,
    ),
    case(
        "in the block of the text (LiteLLM)",
        TEXT,
        thought("H"),
        thought("m"),
        said("Good"),
        said(" day"),
        stop(),
        *ENDED,
        blocks=[["Hm", "thinking:"]],
        reasoning="Hm",
        **GOOD_DAY,
    ),
    case(
        "twice",
        THINKING,
        thought("Hm"),
        signed("EqQB"),
        stop(),
        begin({"type": "thinking", "thinking": "Aha", "signature": "ErUB"}, 1),
        stop(1),
        begin(HI, 2),
        stop(2),
        *ENDED,
        blocks=[["Hm", "EqQB"], ["Aha", "ErUB"]],
        **GOOD_DAY,
    ),
    case("redacted, without data", begin({"type": "redacted_thinking"}), stop(), begin(HI, 1), *ENDED, **GOOD_DAY),
    case(
        "a pair in it",
        THINKING,
        thought("\ud83d"),
        thought("\udca5"),
        stop(),
        begin(HI, 1),
        *ENDED,
        reasoning=BOOM,
        **GOOD_DAY,
    ),
    case(
        "half a pair in it",
        THINKING,
        thought("a\ud83d"),
        stop(),
        begin(HI, 1),
        *ENDED,
        reasoning="a\ufffd",
        blocks=[["a\ufffd", "thinking:"]],
        **GOOD_DAY,
    ),
]

HALVES = [
    case(
        "a pair in two pieces of the text",
        TEXT,
        said("a\ud83d"),
        said("\udca5b"),
        stop(),
        *ENDED,
        text=f"a{BOOM}b",
        finish="stop",
    ),
    case(
        "a pair of which the beginning has a half",
        begin({"type": "text", "text": "a\ud83d"}),
        said("\udca5b"),
        stop(),
        *ENDED,
        text=f"a{BOOM}b",
    ),
    case("a half without the other", TEXT, said("a\ud83d"), stop(), *ENDED, text="a\ufffd", finish="stop"),
    case(
        "a pair in the input",
        begin(tool()),
        asked('{"city":"\ud83d'),
        asked('\udca5"}'),
        stop(),
        *CALLED,
        tools=[["toolu_1", "look", {"city": BOOM}]],
    ),
]

WORDS = [
    case(f"the stop reason is {word}", *TOLD, last(word), OVER, text="Good day", finish=finish)
    for word, finish in [
        ("model_context_window_exceeded", "length"),
        ("sensitive", "content_filter"),
        ("guardrail_intervened", "content_filter"),
        ("refusal", "refusal"),
        ("stop_sequence", "stop"),
        ("network_error", "BROKEN"),
        ("MALFORMED_FUNCTION_CALL", "BROKEN"),
        ("error", "BROKEN"),
        ("done", "stop"),
        (7, "stop"),
    ]
]

USAGES: list[tuple[Any, Any]] = [
    ({"output_tokens": 5.0}, [9, 5]),
    ({"output_tokens": "5", "input_tokens": None}, [9, 5]),
    ({"output_tokens": False, "cache_read_input_tokens": []}, [9, None]),
    ([], [9, None]),
    ("", [9, None]),
    (None, [9, None]),
]
COUNTS = [
    case(f"usage is {usage}", *TOLD, {**last("end_turn"), "usage": usage}, OVER, usage=right, **GOOD_DAY)
    for usage, right in USAGES
] + [
    case(
        "the usage of the beginning is no object",
        {**START, "message": {**START["message"], "usage": [1]}},
        *TOLD,
        *ENDED,
        usage=[9, 5],
        **GOOD_DAY,
    ),
    case(
        "details that are text",
        *TOLD,
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_details": "?"}},
        OVER,
        **GOOD_DAY,
    ),
    case(
        "the cache was written",
        *TOLD,
        last("end_turn", output_tokens=5, cache_read_input_tokens=2, cache_creation_input_tokens=4),
        OVER,
        cached=[2, 4],
        **GOOD_DAY,
    ),
]

SKIPPED = [
    case("an empty ping", b"event: ping\ndata: {}", *TOLD, *ENDED, **GOOD_DAY),
    case("a ping that is no JSON", b"event: ping\ndata: ...", *TOLD, *ENDED, **GOOD_DAY),
    case("a ping without data", b"event: ping\ndata:", *TOLD, *ENDED, **GOOD_DAY),
    case("an event of a new name", b'event: heartbeat\ndata: {"t": 1}', *TOLD, *ENDED, **GOOD_DAY),
    case("an event of a new type", {"type": "vendor_metrics", "index": "?", "delta": []}, *TOLD, *ENDED, **GOOD_DAY),
    case("comments", b": waiting", *TOLD, b":", *ENDED, **GOOD_DAY),
    case(
        "the type is only in the name",
        *(f"event: {each['type']}\ndata: {json.dumps(without(each, 'type'))}".encode() for each in [*TOLD, *ENDED]),
        **GOOD_DAY,
    ),
    case("no names of events", *(f"data: {json.dumps(each)}".encode() for each in [*TOLD, *ENDED]), **GOOD_DAY),
    case("content that is no JSON", TEXT, b"event: content_block_delta\ndata: Good", stop(), *ENDED, finish="BROKEN"),
]

ERRORS = [
    case(
        "an error in the stream",
        TEXT,
        said("Good"),
        {"type": "error", "error": {"type": "overloaded_error", "message": "no"}},
        text="Good",
        finish="BROKEN",
        code=FailureCode.PROVIDER_OVERLOADED,
    ),
    case("an error of a gateway", TEXT, said("Good"), {"error": {"message": "no"}}, finish="BROKEN"),
    case(
        "an error line of llama.cpp",
        TEXT,
        said("Good"),
        b'error: {"code": 500, "message": "no"}',
        finish="BROKEN",
        code=FailureCode.PROVIDER_UNAVAILABLE,
    ),
]

TOOLS = {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}
FOUND: dict[str, Any] = {"type": "web_search_tool_result", "tool_use_id": "s", "content": [{"url": "https://a.test"}]}
SEARCHED: dict[str, Any] = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "mill"}}


def paused(*blocks: object) -> list[list[str]]:
    return [["", f"turn:{json.dumps(blocks, separators=(',', ':'), ensure_ascii=False)}"]]


PAUSES = [
    case(
        "a turn as it came",
        TEXT,
        said("I "),
        said("search."),
        stop(),
        begin({**SEARCHED, "input": {}}, 1),
        asked('{"query":', 1),
        asked('"mill"}', 1),
        stop(1),
        begin(FOUND, 2),
        stop(2),
        last("pause_turn"),
        OVER,
        extra=TOOLS,
        text="I search.",
        word="pause_turn",
        blocks=paused({"type": "text", "text": "I search."}, SEARCHED, FOUND),
    ),
    case(
        "a turn whose blocks are open at once",
        TEXT,
        begin({**SEARCHED, "input": {}}, 1),
        said("I "),
        asked('{"query":', 1),
        said("search."),
        asked('"mill"}', 1),
        stop(0),
        stop(1),
        last("pause_turn"),
        OVER,
        extra=TOOLS,
        blocks=paused({"type": "text", "text": "I search."}, SEARCHED),
    ),
    case(
        "a turn with a pair in two pieces",
        TEXT,
        said("\ud83d"),
        said("\udca5"),
        stop(),
        last("pause_turn"),
        OVER,
        extra=TOOLS,
        text=BOOM,
        blocks=paused({"type": "text", "text": BOOM}),
    ),
    case(
        "a turn with a source",
        TEXT,
        said("Hi"),
        delta(type="citations_delta", citation={"url": "https://a.test"}),
        stop(),
        last("pause_turn"),
        OVER,
        extra=TOOLS,
        blocks=paused({"type": "text", "text": "Hi", "citations": [{"url": "https://a.test"}]}),
    ),
    case(
        "a turn of which nothing can be made",
        begin({**SEARCHED, "input": {}}),
        asked('{"query'),
        stop(),
        last("pause_turn"),
        OVER,
        extra=TOOLS,
        blocks=[],
        finish="stop",
    ),
    case(
        "a turn with what is new in it",
        begin({"type": "vendor", "text": {"?": 1}}),
        said("!"),
        stop(),
        begin(HI, 1),
        stop(1),
        last("pause_turn"),
        OVER,
        extra=TOOLS,
        text="!Good day",
        finish="stop",
    ),
    case("a turn without tools of the provider's", *TOLD, last("pause_turn"), OVER, blocks=[], **GOOD_DAY),
]

CASES = [*WHOLE, *CALLS, *BLOCKS, *THOUGHTS, *HALVES, *WORDS, *COUNTS, *SKIPPED, *ERRORS, *PAUSES]


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_a_message_is_neither_lost_nor_doubled_split_or_called_whole_if_it_is_not(case: WireCase) -> None:
    assert wrong(case, await heard(case, [case.body()])) == []


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(case=st.sampled_from(CASES), places=st.lists(st.integers(0, 4_000), max_size=8), crlf=st.booleans())
def test_how_a_message_is_cut_into_chunks_does_not_matter(case: WireCase, places: list[int], crlf: bool) -> None:
    check_cut(case, places, crlf=crlf)


@pytest.mark.parametrize(
    "event",
    [
        b": waiting\n\n",
        b"event: ping\ndata: {}\n\n",
        b"data:\n\n",
        sse(said("")),
        b"da",
    ],
)
async def test_whatever_comes_is_a_sign_of_life(event: bytes) -> None:
    assert await signs("anthropic", event) == [Alive(is_whole=False)]


@pytest.mark.parametrize("case", [case for case in PAUSES if case.right.get("blocks")], ids=str)
async def test_a_paused_turn_goes_back_as_it_came(case: WireCase) -> None:
    answer, _ = await reading(case, [case.body()])
    past = {"role": "assistant", "content": answer.text, "reasoning": answer.blocks}

    body = await sent("anthropic", messages=[{"role": "user", "content": "Hi"}, past])

    (_, signature), *_ = case.right["blocks"]
    content = body["messages"][-1]["content"]
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    assert blocks == json.loads(signature.removeprefix("turn:"))
