"""What a server of Chat Completions wants back with a turn goes back as it came."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import pytest

from tailrace import Answer, GenerationRequest
from tailrace.events import Delta, Reasoning, ToolCall
from tailrace_worker.providers.openai_chat import wire
from tailrace_worker.providers.openai_chat.reasoning import MAX_BYTES, GivenBack
from tailrace_worker.providers.openai_chat.request import body

SIGNED = {"google": {"thought_signature": "c2ln"}}
ALSO_SIGNED = {"google": {"thought_signature": "YWdhaW4="}}


def text(words: str | None, **fields: object) -> dict[str, Any]:
    """A fragment of a block of reasoning."""
    said = {"type": "reasoning.text", "text": words, "format": "anthropic-claude-v1", "index": 0, **fields}
    return {name: value for name, value in said.items() if value is not None}


def calls_of(message: wire.Message) -> Sequence[wire.ToolCall]:
    """Its calls, or their fragments."""
    return message.tool_calls if isinstance(message.tool_calls, list) else []


def message_of(deltas: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The answer that the deltas add up to, as a message of the next turn."""
    answer, given_back = Answer(), GivenBack()
    for delta in deltas:
        message = msgspec.convert(delta, wire.Message)
        given_back.see(message)
        if thought := message.reasoning_content or message.reasoning:
            answer.add(Reasoning(text=thought))
        if isinstance(message.content, str) and message.content:
            answer.add(Delta(text=message.content))
        for call in calls_of(message):
            number = call.index or 0
            given_back.call(number, call.extra_content, call.provider_specific_fields)
            if call.function:
                function = call.function
                answer.add(
                    ToolCall(index=number, call_id=call.id, name=function.name, arguments=function.arguments or "")
                )
    if signature := given_back.signature():
        answer.add(Reasoning(text="", signature=signature))
    return dict(answer.message)


def sent_back(said: Mapping[str, Any], *, is_openais: bool = False) -> list[dict[str, Any]]:
    """What the next request has between the user's first message and what follows the answer."""
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "done"} for call in said.get("tool_calls", ())]
    user = {"role": "user", "content": "Hi"}
    request = GenerationRequest.model_validate(
        {"provider": "gateway", "model": "m", "messages": [user, said, *results, user]}
    )
    stored = GenerationRequest.from_json(request.to_json(max_bytes=10 * MAX_BYTES))
    messages: list[dict[str, Any]] = body(stored, limit="max_tokens", is_openais=is_openais)["messages"]
    return messages[1 : -1 - len(results)]


def call(number: int, **fields: object) -> dict[str, Any]:
    """A call of a tool, whole."""
    function = {"name": "f", "arguments": "{}"}
    return {"index": number, "id": f"call_{number}", "type": "function", "function": function, **fields}


def as_sent(said: Mapping[str, Any]) -> dict[str, Any]:
    """The same without what only a stream has."""
    return {name: value for name, value in said.items() if name != "index"}


CASES: dict[str, tuple[list[dict[str, Any]], dict[str, Any]]] = {
    "DeepSeek, Kimi": (
        [{"reasoning_content": "Hm, "}, {"reasoning_content": "so."}, {"content": "Ha"}],
        {"content": "Ha", "reasoning_content": "Hm, so."},
    ),
    "thinking mode in which nothing was thought": (
        [{"content": None, "reasoning_content": ""}, {"content": "Ha", "reasoning_content": None}],
        {"content": "Ha", "reasoning_content": ""},
    ),
    "vLLM": (
        [{"reasoning": "Hm"}, {"content": "Ha", "reasoning": ""}],
        {"content": "Ha", "reasoning": "Hm"},
    ),
    "both at once": (
        [{"reasoning": "Hm", "reasoning_content": "Hm"}, {"content": "Ha"}],
        {"content": "Ha", "reasoning": "Hm", "reasoning_content": "Hm"},
    ),
    "Gemini's calls": (
        [
            {"tool_calls": [call(0, extra_content=SIGNED)]},
            {"tool_calls": [call(1), call(2, extra_content=ALSO_SIGNED)]},
        ],
        {
            "content": None,
            "tool_calls": [
                as_sent(each) for each in (call(0, extra_content=SIGNED), call(1), call(2, extra_content=ALSO_SIGNED))
            ],
        },
    ),
    "Gemini's text": (
        [
            {"content": "Hm", "extra_content": {"google": {"thought": True}}},
            {"content": "Ha", "extra_content": SIGNED},
            {"content": "", "extra_content": {"google": {"thought": True}}},
        ],
        {"content": "HmHa", "extra_content": SIGNED},
    ),
    "LiteLLM's calls": (
        [{"tool_calls": [call(0, provider_specific_fields={"thought_signature": "c2ln"})]}],
        {
            "content": None,
            "tool_calls": [as_sent(call(0, provider_specific_fields={"thought_signature": "c2ln"}))],
        },
    ),
    "a signature that is told by the call's last fragment": (
        [
            {"tool_calls": [call(0)]},
            {"tool_calls": [{"index": 0, "extra_content": SIGNED}]},
            {"tool_calls": [{"index": 0, "extra_content": None}]},
        ],
        {"content": None, "tool_calls": [as_sent(call(0, extra_content=SIGNED))]},
    ),
    "OpenRouter": (
        [
            {"reasoning": "Hm, ", "reasoning_details": [text("Hm, ")]},
            {"reasoning": "so.", "reasoning_details": [text("so.", id=None)]},
            {"reasoning_details": [text(None, signature="c2ln")]},
            {"content": "Ha", "reasoning": None, "reasoning_details": []},
        ],
        {"content": "Ha", "reasoning": "Hm, so.", "reasoning_details": [text("Hm, so.", signature="c2ln")]},
    ),
}


@pytest.mark.parametrize(("deltas", "expected"), CASES.values(), ids=CASES)
def test_what_came_goes_back(deltas: list[dict[str, Any]], expected: dict[str, Any]) -> None:
    assert sent_back(message_of(deltas)) == [{"role": "assistant", **expected}]


@pytest.mark.parametrize(("deltas", "expected"), CASES.values(), ids=CASES)
def test_openai_itself_gets_none_of_it(deltas: list[dict[str, Any]], expected: dict[str, Any]) -> None:
    (said,) = sent_back(message_of(deltas), is_openais=True)

    assert said.keys() == expected.keys() & {"content", "tool_calls"} | {"role"}
    assert all(each.keys() == {"id", "type", "function"} for each in said.get("tool_calls", ()))


def encrypted(data: str, **fields: object) -> dict[str, Any]:
    """A fragment of a block of reasoning that only the provider can read."""
    return {"type": "reasoning.encrypted", "data": data, **fields}


DETAILS: dict[str, tuple[list[list[object]], list[object]]] = {
    "whole": (
        [[{"type": "reasoning.summary", "summary": "a"}, {"type": "reasoning.summary", "summary": "b"}]],
        [{"type": "reasoning.summary", "summary": "a"}, {"type": "reasoning.summary", "summary": "b"}],
    ),
    "by index": (
        [[text("a"), text("x", index=1)], [text("b", index=0)], [text("y", index=1, signature="c2ln")]],
        [text("ab"), text("xy", index=1, signature="c2ln")],
    ),
    "by id": (
        [[encrypted("a", id="1")], [encrypted("x", id="2")], [encrypted("b", id="1")]],
        [encrypted("ab", id="1"), encrypted("x", id="2")],
    ),
    "by their order": (
        [[{"type": "a", "text": "1"}], [{"type": "a", "text": "2"}], [{"type": "b"}], [{"type": "a", "text": "3"}]],
        [{"type": "a", "text": "12"}, {"type": "b"}, {"type": "a", "text": "3"}],
    ),
    "of one index and two types": (
        [[text("a")], [encrypted("x", index=0, id="call_1")], [text("b")]],
        [text("ab"), encrypted("x", index=0, id="call_1")],
    ),
    "of one index and two ids": (
        [[encrypted("a", index=0, id="1")], [encrypted("x", index=0, id="2")]],
        [encrypted("a", index=0, id="1"), encrypted("x", index=0, id="2")],
    ),
    "repeated": (
        [[encrypted("a", index=0)], [encrypted("a", index=0)]],
        [encrypted("a", index=0)],
    ),
    "told later": (
        [[{"type": "a", "index": 0, "id": None, "format": None}], [{"type": "a", "index": 0, "id": "1"}]],
        [{"type": "a", "index": 0, "id": "1", "format": None}],
    ),
    "with what is none": ([[7, text("a"), None]], [text("a")]),
}


@pytest.mark.parametrize(("told", "expected"), DETAILS.values(), ids=DETAILS)
def test_fragments_of_reasoning_details_are_joined(told: list[list[object]], expected: list[object]) -> None:
    deltas = [{"reasoning_details": details} for details in told]
    (said,) = sent_back(message_of([*deltas, {"content": "Ha"}]))

    assert said["reasoning_details"] == expected


@pytest.mark.parametrize("delta", [{"reasoning_details": {"type": "a"}}, {"extra_content": "x", "content": "Ha"}])
def test_what_has_another_shape_fails_no_answer(delta: dict[str, Any]) -> None:
    assert sent_back(message_of([{"content": "Ha"}, delta]))


def test_a_turn_of_which_nothing_has_to_go_back_has_no_signature() -> None:
    assert "reasoning" not in message_of([{"content": "Ha"}, {"tool_calls": [call(0)]}])


def test_a_turn_of_nothing_but_reasoning_does_not_go_out() -> None:
    assert sent_back(message_of([{"reasoning_content": "Hm"}])) == []


def test_a_call_that_is_left_out_takes_its_signature_with_it_and_no_others() -> None:
    cut = {**call(0, extra_content=SIGNED), "function": {"name": "f", "arguments": "{"}}
    said = message_of([{"tool_calls": [cut, call(1, extra_content=ALSO_SIGNED)]}])
    user = {"role": "user", "content": "Hi"}
    result = {"role": "tool", "tool_call_id": "call_1", "content": "done"}
    request = GenerationRequest.model_validate({"provider": "a", "model": "m", "messages": [user, said, result]})
    turn = body(request, limit="max_tokens", is_openais=False)["messages"][1]

    assert turn["tool_calls"] == [as_sent(call(1, extra_content=ALSO_SIGNED))]


@pytest.mark.parametrize("signature", ["c2ln", '{"id":"rs_1"}', "turn:[]", "thinking:", "chat:", "chat:[", "chat:[]"])
def test_what_is_no_signature_of_this_kind_is_left_out(signature: str) -> None:
    said = {"role": "assistant", "content": "Ha", "reasoning": [{"text": "Hm", "signature": signature}]}

    assert sent_back(said) == [{"role": "assistant", "content": "Ha"}]


@pytest.mark.parametrize(
    "delta",
    [
        {"reasoning_details": [encrypted("a" * 10_000)]},
        {"reasoning_details": [{"type": "a", "index": 0, "format": "a" * 10_000}]},
        {"tool_calls": [call(0, extra_content={"a": "a" * 10_000})]},
    ],
)
def test_more_than_a_signature_may_hold_is_kept_nowhere(delta: dict[str, Any]) -> None:
    given_back = GivenBack()
    for number in range(2 * MAX_BYTES // 10_000):
        message = msgspec.convert(delta, wire.Message)
        for place, detail in enumerate(message.reasoning_details or ()):
            detail["id"] = f"{number}.{place}"
        given_back.see(message)
        for each in calls_of(message):
            given_back.call(number, each.extra_content)

    assert given_back.signature() is None


def test_a_signature_that_every_fragment_repeats_counts_once() -> None:
    given_back = GivenBack()
    for _ in range(MAX_BYTES // 10_000 + 1):
        given_back.call(0, {"a": "a" * 10_000})
        given_back.see(wire.Message(reasoning_details=[{"type": "a", "index": 0, "format": "a" * 10_000}]))

    assert given_back.signature()
