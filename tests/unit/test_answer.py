"""Folding events into the answer so far."""

from tailrace import Answer, EntryId, GenerationRequest
from tailrace.events import Completed, Delta, Notice, Queued, Reasoning, Refusal, Started, ToolCall


def started(attempt: int, *, continues: bool = False) -> Started:
    return Started(at=1, attempt=attempt, provider="openai", model="m", worker="w", continues=continues)


def test_an_answer_grows_as_events_come() -> None:
    answer = Answer()
    assert (answer.text, answer.attempt, answer.ending) == ("", 0, None)
    answer.add(Queued(at=1, queue="default"))
    answer.add(started(1))
    answer.add(Reasoning(text="Hm. "))
    answer.add(Delta(text="Hel"))
    assert answer.text == "Hel"
    answer.add(Delta(id=EntryId(1, 5), text="lo"))
    assert answer.text == "Hello"
    assert answer.reasoning == "Hm. "
    assert answer.cursor == EntryId(1, 5)
    assert answer.ending is None
    answer.add(Completed(at=2, finish_reason="length", input_tokens=3, output_tokens=2))
    assert (answer.finish_reason, answer.input_tokens, answer.output_tokens) == ("length", 3, 2)


def test_a_new_attempt_makes_void_what_was_said() -> None:
    answer = Answer()
    for event in (started(1), Delta(text="void"), Notice(code="x", message="y"), started(2), Delta(text="valid")):
        answer.add(event)
    assert (answer.text, answer.notices, answer.attempt) == ("valid", [], 2)


def test_an_attempt_that_continues_keeps_what_was_said() -> None:
    answer = Answer()
    for event in (started(1), Delta(text="one "), started(2, continues=True), Delta(text="two")):
        answer.add(event)
    assert answer.text == "one two"


def test_fragments_of_tool_calls_are_joined_per_index() -> None:
    answer = Answer()
    for event in (
        ToolCall(index=1, call_id="b", name="second", arguments="{"),
        ToolCall(index=0, call_id="a", name="first", arguments='{"x":'),
        ToolCall(index=1, arguments="}"),
        ToolCall(index=0, arguments="1}"),
    ):
        answer.add(event)
    assert [(call.call_id, call.name, call.arguments) for call in answer.tool_calls] == [
        ("a", "first", '{"x":1}'),
        ("b", "second", "{}"),
    ]


def test_a_refusal_is_kept_apart_from_the_text() -> None:
    answer = Answer()
    answer.add(Refusal(text="I cannot "))
    answer.add(Refusal(text="do that."))
    assert (answer.text, answer.refusal) == ("", "I cannot do that.")


def test_an_answer_is_a_message_of_the_next_turn_with_the_reasoning_that_was_signed() -> None:
    answer = Answer()
    for event in (
        started(1),
        Reasoning(text="First "),
        Reasoning(text="this."),
        Reasoning(text="", signature="one"),
        Delta(text="I look "),
        Delta(text="it up."),
        Reasoning(text="Then that.", signature="two"),
        ToolCall(index=0, call_id="call", name="look_up", arguments='{"word": '),
        ToolCall(index=0, arguments='"mill"}'),
        Reasoning(text="Not signed."),
    ):
        answer.add(event)
    said = answer.message
    assert said == {
        "role": "assistant",
        "content": "I look it up.",
        "tool_calls": [{"id": "call", "name": "look_up", "arguments": '{"word": "mill"}'}],
        "reasoning": [{"text": "First this.", "signature": "one"}, {"text": "Then that.", "signature": "two"}],
    }
    assert answer.reasoning == "First this.Then that.Not signed."
    GenerationRequest(
        provider="anthropic",
        model="m",
        messages=[
            {"role": "user", "content": "What is it?"},
            said,
            {"role": "tool", "tool_call_id": "call", "content": "a machine"},
        ],
    )
