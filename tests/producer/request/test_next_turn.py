"""The request of the next turn."""

from typing import Any

import pytest

from tailrace import Answer, GenerationRequest, InvalidRequest, ToolMessage
from tailrace.events import Delta, Event, Reasoning, ToolCall

REQUEST = GenerationRequest(
    provider="anthropic",
    model="claude",
    messages=[{"role": "user", "content": "Does it rain?"}],
    tools=[{"name": "weather"}, {"name": "now"}],
    temperature=0.5,
    timeouts={"idle_seconds": 5.0},
    guards=[{"type": "redact", "kinds": ["email"]}],
)


def answered(*events: Event) -> Answer:
    answer = Answer()
    for event in events:
        answer.add(event)
    return answer


def called(*ids: str, arguments: str = "{}") -> Answer:
    return answered(
        *(ToolCall(index=place, call_id=id_, name="weather", arguments=arguments) for place, id_ in enumerate(ids))
    )


def refused(answer: Answer, **fields: Any) -> str:
    with pytest.raises(InvalidRequest) as caught:
        REQUEST.followed_by(answer, **fields)
    return str(caught.value)


def test_the_answer_and_what_is_said_then_follow_the_messages_and_nothing_else_changes() -> None:
    answer = answered(Reasoning(text="Hm.", signature="c2ln"), Delta(text="It does."))
    following = REQUEST.followed_by(answer, messages=[{"role": "user", "content": "Where?"}])
    assert following.messages == [*REQUEST.messages, answer.message, {"role": "user", "content": "Where?"}]
    assert following.model_copy(update={"messages": REQUEST.messages}) == REQUEST
    assert len(REQUEST.messages) == 1


def test_results_follow_the_answer_in_the_order_of_its_calls_as_text_or_json() -> None:
    answer = called("a", "b", "c", "d")
    results: dict[str, Any] = {"c": None, "b": {"city": "Zürich", "mm": 1.5}, "a": "It rains.", "d": ""}
    following = REQUEST.followed_by(answer, tool_results=results, messages=[{"role": "user", "content": "So?"}])
    assert following.messages[1:] == [
        answer.message,
        {"role": "tool", "tool_call_id": "a", "content": "It rains."},
        {"role": "tool", "tool_call_id": "b", "content": '{"city": "Zürich", "mm": 1.5}'},
        {"role": "tool", "tool_call_id": "c", "content": "null"},
        {"role": "tool", "tool_call_id": "d", "content": ""},
        {"role": "user", "content": "So?"},
    ]


def test_results_may_be_messages() -> None:
    failed = ToolMessage(role="tool", tool_call_id="b", content="No network.", is_error=True)
    seen = ToolMessage(role="tool", tool_call_id="a", content=[{"type": "text", "text": "It rains."}])
    following = REQUEST.followed_by(called("a", "b"), tool_results=[failed, seen])
    assert following.messages[2:] == [seen, failed]


def test_results_among_the_messages_count() -> None:
    said = [{"role": "tool", "tool_call_id": "b", "content": "It rains."}, {"role": "user", "content": "So?"}]
    following = REQUEST.followed_by(called("a", "b"), tool_results={"a": "It snows."}, messages=said)
    assert [message["role"] for message in following.messages] == ["user", "assistant", "tool", "tool", "user"]


def test_messages_may_be_in_the_form_of_openai() -> None:
    said = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://mill.example/a.png"}}]}]
    following = REQUEST.followed_by(called(), messages=said)
    assert following.messages[-1] == {
        "role": "user",
        "content": [{"type": "image", "url": "https://mill.example/a.png"}],
    }


def test_an_answer_may_be_continued_without_more_words() -> None:
    answer = answered(Delta(text="It"))
    assert REQUEST.followed_by(answer).messages == [*REQUEST.messages, answer.message]


def test_a_call_whose_arguments_were_cut_needs_no_result_and_may_have_one() -> None:
    answer = called("a", arguments='{"city": "Zü')
    assert len(REQUEST.followed_by(answer).messages) == 2
    assert len(REQUEST.followed_by(answer, tool_results={"a": "Which city?"}).messages) == 3


@pytest.mark.parametrize("arguments", ["", "{}", '{"city": "Zürich"}'])
def test_every_other_call_needs_a_result(arguments: str) -> None:
    assert refused(called("a", "b", arguments=arguments), tool_results={"a": "It rains."}) == (
        "tool_results: has no result for the call 'b' of the tool 'weather'"
    )


@pytest.mark.parametrize(
    ("answer", "results", "why"),
    [
        (
            called("a"),
            {"a": "1", "x": "2"},
            "tool_results.x: the answer has no tool call with this id: its calls are 'a'",
        ),
        (called(), {"x": "2"}, "tool_results.x: the answer has no tool call with this id: it called none"),
        (
            called("a"),
            [{"role": "tool", "tool_call_id": "a", "content": text} for text in "12"],
            "tool_results.a: there is another result for this call: give one",
        ),
        (
            called("a"),
            {"a": {1, 2}},
            "tool_results.a: is neither text nor a JSON value: give parts and failures as messages of the role `tool`",
        ),
        (
            called(),
            [{"role": "user", "content": "Hi"}],
            "tool_results.0: is not a message of the role `tool` with a `tool_call_id`",
        ),
        (called("a"), [{"role": "tool", "tool_call_id": "a"}], "tool_results.a.content: Field required"),
    ],
)
def test_results_that_do_not_fit_are_refused(answer: Answer, results: Any, why: str) -> None:
    assert refused(answer, tool_results=results) == why


def test_a_message_that_is_not_valid_is_named_by_its_place_among_the_new_ones() -> None:
    said = [{"role": "user", "content": "Hi"}, {"role": "user", "content": ""}]
    why = refused(called("a"), tool_results={"a": "It rains."}, messages=said)
    assert why == "messages.1.content: String should have at least 1 character"


def test_a_call_without_an_id_or_a_name_needs_no_result() -> None:
    answer = answered(ToolCall(index=0, name="weather", arguments="{}"), ToolCall(index=1, call_id="b"))
    assert REQUEST.followed_by(answer).messages == [*REQUEST.messages, {"role": "assistant", "content": ""}]
