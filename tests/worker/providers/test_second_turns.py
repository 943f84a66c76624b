"""A turn of the model goes back in a form that the provider accepts, whatever became of it."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace import Answer, GenerationRequest
from tailrace.api_kinds import API_KINDS, ApiKind
from tailrace.events import Delta, Reasoning, Refusal, Started, ToolCall
from tailrace_worker.providers.anthropic import request as anthropic_request
from tailrace_worker.providers.openai_chat import request as openai_chat_request
from tailrace_worker.providers.openai_responses import request as openai_responses_request
from tests.support.wire import asking, sent

HI = {"role": "user", "content": "Hi"}
WELL = {"role": "user", "content": "Well?"}


def calling(arguments: str, *, call_id: str = "call_1", answered: bool = True, **fields: object) -> list[Any]:
    """A conversation with one call of a tool."""
    call = {"id": call_id, "name": "f", "arguments": arguments}
    result = {"role": "tool", "tool_call_id": call_id, "content": "done"}
    return [HI, {"role": "assistant", "tool_calls": [call], **fields}, result if answered else WELL]


async def turns(kind: ApiKind, messages: list[Any]) -> list[dict[str, Any]]:
    """The conversation as it goes out."""
    body = await sent(kind, messages=messages)
    said: list[dict[str, Any]] = body["input" if kind == "openai-responses" else "messages"]
    return said


async def arguments_sent(kind: ApiKind, messages: list[Any]) -> object:
    """The arguments of the one call, parsed."""
    said = (await turns(kind, messages))[1]
    match kind:
        case "openai":
            return json.loads(said["tool_calls"][0]["function"]["arguments"])
        case "openai-responses":
            return json.loads(said["arguments"])
        case "anthropic":
            return said["content"][0]["input"]


CUT = ['{"city": "Ro', "Rome", '{"a": NaN}', '{"a": 1e999}', '{"a": 1}}', "[" * 100_000]


@pytest.mark.parametrize("kind", API_KINDS)
@pytest.mark.parametrize("cut", CUT)
async def test_arguments_that_are_no_json_go_out_inside_of_an_object(kind: ApiKind, cut: str) -> None:
    assert await arguments_sent(kind, calling(cut)) == {"INVALID_JSON": cut}


@pytest.mark.parametrize("kind", API_KINDS)
@pytest.mark.parametrize("cut", CUT)
async def test_a_call_that_was_cut_and_has_no_result_is_left_out(kind: ApiKind, cut: str) -> None:
    assert [turn["role"] for turn in await turns(kind, calling(cut, answered=False))] == ["user", "user"]


@pytest.mark.parametrize("kind", API_KINDS)
@pytest.mark.parametrize("arguments", ["", " \n", "{}"])
async def test_no_arguments_are_an_empty_object(kind: ApiKind, arguments: str) -> None:
    assert await arguments_sent(kind, calling(arguments)) == {}


@pytest.mark.parametrize("arguments", ["[1]", "7", '"Rome"', "null"])
async def test_arguments_that_are_json_but_no_object_are_put_into_one_for_anthropic(arguments: str) -> None:
    assert await arguments_sent("openai", calling(arguments)) == json.loads(arguments)
    assert await arguments_sent("openai-responses", calling(arguments)) == json.loads(arguments)
    assert await arguments_sent("anthropic", calling(arguments)) == {"INVALID_JSON": arguments}


@pytest.mark.parametrize("kind", API_KINDS)
async def test_a_result_belongs_to_the_latest_call_of_its_id(kind: ApiKind) -> None:
    cut = calling("{", answered=False)
    said = json.dumps(await turns(kind, [*cut, *calling('{"x": 1}')[1:]]))

    assert "INVALID_JSON" not in said
    assert said.count('"f"') == 1


@pytest.mark.parametrize(
    ("kind", "signature"), [("anthropic", "c2ln"), ("openai-responses", '{"id":"rs_1","encrypted_content":"c2ln"}')]
)
async def test_reasoning_that_led_to_a_call_that_is_left_out_is_left_out_with_it(kind: ApiKind, signature: str) -> None:
    before = {"text": "", "signature": signature}
    after = {"text": "Then", "signature": signature, "after_chars": 5}
    said = await turns(kind, calling("{", answered=False, content="Look.", reasoning=[before, after]))

    (turn,) = [said[1]["content"]] if kind == "anthropic" else [said[1:-1]]
    assert [part["type"] for part in turn] == [
        "thinking" if kind == "anthropic" else "reasoning",
        "text" if kind == "anthropic" else "message",
    ]


async def test_a_call_that_is_left_out_moves_no_reasoning_of_another() -> None:
    calls = [{"id": each, "name": "f", "arguments": arguments} for each, arguments in (("a", "{"), ("b", "{}"))]
    block = {"text": "", "signature": "c2ln", "after_calls": 1}
    said = {"role": "assistant", "tool_calls": calls, "reasoning": [block]}
    result = {"role": "tool", "tool_call_id": "b", "content": ""}

    blocks = (await turns("anthropic", [HI, said, result]))[1]["content"]
    assert [part["type"] for part in blocks] == ["thinking", "tool_use"]
    assert blocks[1]["id"] == "b"


@pytest.mark.parametrize("call_id", ["functions.f:0", "call|1", "é", "a" * 64 + "__thought__c2ln+/="])
async def test_an_id_that_anthropic_refuses_is_replaced_in_the_call_and_in_its_result(call_id: str) -> None:
    messages = [*calling("{}", call_id=call_id), *calling("{}", call_id=f"{call_id}.")[1:]]
    said = await turns("anthropic", messages)
    called = [said[place]["content"][0]["id"] for place in (1, 3)]

    assert called == [said[place]["content"][0]["tool_use_id"] for place in (2, 4)]
    assert all(each.replace("_", "").isalnum() and each.isascii() for each in called)
    assert called[0] != called[1]
    assert (await turns("anthropic", messages))[1]["content"][0]["id"] == called[0]


def test_an_id_that_openai_refuses_is_replaced_in_the_call_and_in_its_result() -> None:
    def sent_to(call_id: str, *, is_openais: bool) -> list[dict[str, Any]]:
        request = asking("openai", messages=calling("{}", call_id=call_id))
        messages: list[dict[str, Any]] = openai_chat_request.body(request, limit="max_tokens", is_openais=is_openais)[
            "messages"
        ]
        return messages

    said = sent_to("c" * 41, is_openais=True)
    (call,) = said[1]["tool_calls"]

    assert len(call["id"]) <= 40
    assert said[2]["tool_call_id"] == call["id"]
    assert sent_to("c" * 40, is_openais=True)[2]["tool_call_id"] == "c" * 40
    assert sent_to("c" * 41, is_openais=False)[2]["tool_call_id"] == "c" * 41


@pytest.mark.parametrize("kind", API_KINDS)
@pytest.mark.parametrize("empty", [{"content": ""}, {}, {"content": "", "tool_calls": [], "reasoning": []}])
async def test_an_answer_that_was_empty_is_no_turn(kind: ApiKind, empty: dict[str, object]) -> None:
    said = await turns(kind, [HI, {"role": "assistant", **empty}, WELL])

    assert said == [HI, WELL]


ONE_TEXT = [{"type": "text", "text": "Hi"}]


@pytest.mark.parametrize("kind", API_KINDS)
async def test_a_content_of_one_text_is_a_plain_string(kind: ApiKind) -> None:
    messages = [{"role": "system", "content": ONE_TEXT}, {"role": "user", "content": ONE_TEXT}, *calling("{}")[1:]]
    messages[-1] = {**messages[-1], "content": ONE_TEXT}
    body = await sent(kind, messages=messages)
    said = body["input" if kind == "openai-responses" else "messages"]
    result = said[-1]["content"][0] if kind == "anthropic" else said[-1]

    assert body.get("system", said[0].get("content")) == "Hi"
    assert next(turn["content"] for turn in said if turn.get("role") == "user") == "Hi"
    assert result.get("content", result.get("output")) == "Hi"


@pytest.mark.parametrize("kind", API_KINDS)
async def test_a_content_of_several_texts_stays_a_list(kind: ApiKind) -> None:
    (said,) = await turns(kind, [{"role": "user", "content": ONE_TEXT * 2}])

    assert [part["text"] for part in said["content"]] == ["Hi", "Hi"]


UNSIGNED = {"text": "Hm", "signature": "thinking:"}


async def test_thinking_that_ended_without_a_signature_goes_back_without_one() -> None:
    said = await turns("anthropic", [HI, {"role": "assistant", "content": "Ha", "reasoning": [UNSIGNED]}, WELL])

    assert said[1]["content"] == [
        {"type": "thinking", "thinking": "Hm", "signature": ""},
        {"type": "text", "text": "Ha"},
    ]


@pytest.mark.parametrize(
    "signature",
    [
        "thinking:more",
        "chat:{}",
        '{"id":"rs_1"}',
        "turn:",
        "turn:{}",
        "turn:[7]",
        "turn:[{}]",
        'turn:[{"type":"text","text":7}]',
        "turn:" + "[" * 100_000,
    ],
)
async def test_what_is_no_signature_of_anthropics_is_left_out(signature: str) -> None:
    block = {"text": "Hm", "signature": signature}

    assert await turns("anthropic", [HI, {"role": "assistant", "content": "Ha", "reasoning": [block]}, WELL]) == [
        HI,
        {"role": "assistant", "content": "Ha"},
        WELL,
    ]


async def test_a_conversation_for_anthropic_does_not_end_with_thinking() -> None:
    blocks = [{"text": "Hm", "signature": "c2ln"}, {**UNSIGNED, "after_chars": 2}]

    said = await turns("anthropic", [HI, {"role": "assistant", "content": "Ha", "reasoning": blocks}])
    assert [part["type"] for part in said[-1]["content"]] == ["thinking", "text"]
    assert await turns("anthropic", [HI, {"role": "assistant", "reasoning": blocks}]) == [HI]


PAUSED: list[dict[str, Any]] = [
    {"type": "thinking", "thinking": "Hm", "signature": "c2ln"},
    {"type": "text", "text": "I look ", "citations": None},
    {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "mill"}},
    {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [{"type": "x", "encrypted": "gAAA"}]},
    {"type": "text", "text": "it up."},
    {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}},
]


def paused() -> dict[str, Any]:
    """The message of an answer that was paused, from its events."""
    answer = Answer()
    for event in (
        Started(at=1, attempt=1, provider="anthropic", model="m", worker="w"),
        Reasoning(text="Hm", signature="c2ln"),
        Delta(text="I look "),
        Delta(text="it up."),
        ToolCall(index=0, call_id="toolu_1", name="f"),
        Reasoning(text="", signature=f"turn:{json.dumps(PAUSED)}"),
    ):
        answer.add(event)
    return dict(answer.message)


async def test_a_turn_that_was_paused_goes_back_as_it_came() -> None:
    assert (await turns("anthropic", [HI, paused()]))[1] == {"role": "assistant", "content": PAUSED}


async def test_a_turn_that_was_paused_is_told_by_its_parts_if_its_text_was_changed_since() -> None:
    changed = {**paused(), "content": "I look [redacted]"}

    assert [part["type"] for part in (await turns("anthropic", [HI, changed]))[1]["content"]] == [
        "thinking",
        "text",
        "tool_use",
    ]


@pytest.mark.parametrize("kind", ["openai", "openai-responses"])
async def test_a_turn_that_was_paused_is_its_text_and_its_calls_to_others(kind: ApiKind) -> None:
    said = json.dumps(await turns(kind, [HI, paused()]))

    assert "I look it up." in said
    assert "toolu_1" in said
    assert "srvtoolu_1" not in said


BODIES: dict[ApiKind, Callable[[GenerationRequest], dict[str, Any]]] = {
    "openai": partial(openai_chat_request.body, limit="max_tokens", is_openais=False),
    "openai-responses": openai_responses_request.body,
    "anthropic": anthropic_request.body,
}
Things: TypeAlias = st.SearchStrategy[Any]

words: Things = st.text(st.characters(codec="utf-8"), max_size=20)
signatures: Things = st.one_of(
    words,
    st.tuples(st.sampled_from(["chat:", "turn:", "thinking:", "redacted_thinking:"]), words).map("".join),
    st.sampled_from(
        ['chat:{"members":["reasoning"],"calls":{"0":{"extra_content":1}}}', 'turn:[{"type":"x"}]', '{"id":"rs_1"}']
    ),
)
events: Things = st.lists(
    st.builds(Delta, text=words)
    | st.builds(Refusal, text=words)
    | st.builds(Reasoning, text=words, signature=st.none() | signatures)
    | st.builds(
        ToolCall,
        index=st.integers(0, 3),
        call_id=st.none() | words,
        name=st.none() | words | st.text("n", min_size=300, max_size=300),
        arguments=words | st.sampled_from(["{}", "[1]", '{"x": ']),
    )
    | st.builds(Started, at=st.just(1), attempt=st.integers(1, 2), provider=words, model=words, worker=words,
                continues=st.booleans()),
    max_size=12,
)  # fmt: skip


@settings(deadline=None)
@given(events, st.booleans())
def test_any_answer_is_a_message_of_the_next_request(said: list[Any], answered: bool) -> None:
    answer = Answer()
    for event in said:
        answer.add(event)
    message = answer.message
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": "done"} for call in message.get("tool_calls", ())
    ]
    messages = [HI, dict(message), *(results if answered else []), WELL]
    for kind in API_KINDS:
        request = asking(kind, messages=messages)
        stored = GenerationRequest.from_json(request.to_json(max_bytes=100_000))
        assert json.dumps(BODIES[kind](stored), allow_nan=False)
