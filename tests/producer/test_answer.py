"""Folding events into the answer so far."""

import tracemalloc

import pytest

from tailrace import Answer, EntryId, GenerationRequest, Snapshot, Usage
from tailrace.cursor import BEGINNING
from tailrace.events import (
    Citation,
    Completed,
    Delta,
    Failed,
    Gap,
    Notice,
    Queued,
    Reasoning,
    Refusal,
    Started,
    ToolCall,
)


def started(attempt: int, *, continues: bool = False) -> Started:
    return Started(at=1, attempt=attempt, provider="openai", model="m", worker="w", continues=continues)


def gap(after: EntryId, before: EntryId) -> Gap:
    return Gap(id=EntryId(before.attempt, before.seq - 1), after=after, before=before)


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


def test_citations_are_kept_in_their_order_and_are_no_part_of_the_next_turn() -> None:
    answer = Answer()
    first, second = (
        Citation(source="web", url="https://a.example", start=0, end=3),
        Citation(source="file", file_id="f"),
    )
    for event in (started(1), Delta(text="one"), first, Delta(text=" two"), second):
        answer.add(event)
    assert answer.citations == [first, second]
    assert answer.message == {"role": "assistant", "content": "one two"}
    answer.add(started(2, continues=True))
    assert answer.citations == [first, second]
    answer.add(started(3))
    assert answer.citations == []


def test_a_refusal_is_kept_apart_from_the_text() -> None:
    answer = Answer()
    answer.add(Refusal(text="I cannot "))
    answer.add(Refusal(text="do that."))
    assert (answer.text, answer.refusal) == ("", "I cannot do that.")


def test_a_refusal_is_what_was_said_in_the_next_turn() -> None:
    answer = Answer()
    answer.add(Refusal(text="I cannot do that."))
    assert answer.message == {"role": "assistant", "content": "I cannot do that."}


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
        "reasoning": [
            {"text": "First this.", "signature": "one"},
            {"text": "Then that.", "signature": "two", "after_chars": 13},
        ],
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


def test_a_call_without_a_name_or_an_id_is_no_part_of_the_next_turn() -> None:
    answer = Answer()
    for event in (
        ToolCall(index=0, call_id="nameless", arguments="{"),
        ToolCall(index=1, name="without_id"),
        Reasoning(text="Hm", signature="one"),
        ToolCall(index=2, call_id="call", name="look_up"),
        Reasoning(text="", signature="two"),
    ):
        answer.add(event)
    assert len(answer.tool_calls) == 3
    assert answer.message == {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"id": "call", "name": "look_up", "arguments": ""}],
        "reasoning": [
            {"text": "Hm", "signature": "one", "after_calls": 0},
            {"text": "", "signature": "two", "after_calls": 1},
        ],
    }


def test_an_answer_whose_calls_have_no_names_calls_nothing_in_the_next_turn() -> None:
    answer = Answer()
    answer.add(ToolCall(index=0, call_id="nameless"))
    assert answer.message == {"role": "assistant", "content": ""}


def test_what_was_thought_before_an_interruption_is_no_part_of_what_is_signed_after_it() -> None:
    answer = Answer()
    for event in (
        started(1),
        Delta(text="one "),
        Reasoning(text="cut"),
        started(2, continues=True),
        Delta(text="two "),
        Reasoning(text="whole", signature="signed"),
    ):
        answer.add(event)
    assert answer.message.get("reasoning") == [{"text": "whole", "signature": "signed", "after_chars": 8}]
    assert answer.reasoning == "cutwhole"


def test_a_gap_leaves_an_answer_incomplete_until_an_attempt_begins_anew() -> None:
    answer = Answer()
    for event in (started(1), Delta(text="one "), gap(EntryId(1, 3), EntryId(1, 9)), Delta(text="nine")):
        answer.add(event)
    assert (answer.text, answer.complete, answer.cursor) == ("one nine", False, BEGINNING)
    answer.add(started(2, continues=True))
    assert not answer.complete
    answer.add(started(3))
    assert (answer.text, answer.complete) == ("", True)


def test_a_piece_of_an_attempt_whose_beginning_is_missing_makes_void_what_was_said() -> None:
    answer = Answer()
    for event in (
        started(1),
        Delta(id=EntryId(1, 3), text="void"),
        gap(EntryId(1, 3), EntryId(2, 7)),
        Delta(id=EntryId(2, 7), text="valid"),
        Delta(id=EntryId(2, 8), text=" too"),
    ):
        answer.add(event)
    assert (answer.text, answer.attempt, answer.complete) == ("valid too", 2, False)


def test_pieces_of_two_attempts_whose_beginnings_are_both_missing_are_not_joined() -> None:
    answer = Answer()
    for event in (
        gap(BEGINNING, EntryId(1, 3)),
        Delta(id=EntryId(1, 3), text="void"),
        gap(EntryId(1, 3), EntryId(2, 7)),
        Delta(id=EntryId(2, 7), text="valid"),
    ):
        answer.add(event)
    assert (answer.text, answer.attempt, answer.complete) == ("valid", 2, False)


def test_an_ending_by_another_hand_than_the_attempts_leaves_what_was_said() -> None:
    answer = Answer()
    for event in (
        started(1),
        Delta(id=EntryId(1, 3), text="said"),
        Failed(id=EntryId(1_001, 4), at=2, code="worker_lost", message="gone"),
    ):
        answer.add(event)
    assert (answer.text, answer.attempt, answer.complete) == ("said", 1, True)


def test_a_snapshot_stands_in_place_of_all_that_was_added_and_is_not_changed_by_what_follows() -> None:
    told = Answer()
    for event in (started(2), Delta(id=EntryId(2, 4), text="told "), ToolCall(index=0, call_id="a", arguments="{")):
        told.add(event)
    answer = Answer()
    answer.add(started(1))
    answer.add(Delta(text="of no more use"))
    answer.add(Snapshot(id=EntryId(2, 5), answer=told))
    answer.add(Delta(text="on"))
    answer.add(ToolCall(index=0, arguments="}"))
    assert (answer.text, answer.attempt, answer.tool_calls[0].arguments) == ("told on", 2, "{}")
    assert (told.text, told.tool_calls[0].arguments) == ("told ", "{")


def test_arguments_are_parsed_once_they_are_complete() -> None:
    answer = Answer()
    answer.add(ToolCall(index=0, call_id="a", name="add", arguments='{"x": [1'))
    (call,) = answer.tool_calls
    with pytest.raises(ValueError, match="delimiter"):
        _ = call.parsed_arguments
    answer.add(ToolCall(index=0, arguments=", 2]}"))
    assert call.parsed_arguments == {"x": [1, 2]}
    answer.add(ToolCall(index=1, call_id="b", name="now"))
    assert answer.tool_calls[1].parsed_arguments == {}


def test_arguments_that_are_nested_too_deeply_are_no_more_than_a_value_error() -> None:
    answer = Answer()
    answer.add(ToolCall(index=0, call_id="a", name="dig", arguments="[" * 100_000))
    with pytest.raises(ValueError, match="nested"):
        _ = answer.tool_calls[0].parsed_arguments


def test_usage_is_what_the_ending_counted() -> None:
    answer = Answer()
    assert answer.usage is None
    answer.add(
        Completed(
            at=2,
            finish_reason="stop",
            input_tokens=3,
            output_tokens=2,
            cache_write_input_tokens=2,
            reasoning_tokens=1,
        )
    )
    assert answer.usage == Usage(
        input_tokens=3,
        output_tokens=2,
        cached_input_tokens=None,
        cache_write_input_tokens=2,
        reasoning_tokens=1,
    )


def test_a_text_that_has_not_grown_is_not_joined_again() -> None:
    answer = Answer()
    for piece in ("one ", "two ", "three"):
        answer.add(Delta(text=piece))
    text = answer.text
    assert text == "one two three"
    assert answer.text is text


def test_a_long_answer_of_small_pieces_takes_little_more_memory_than_its_characters() -> None:
    answer = Answer()
    answer.add(started(1))
    tracemalloc.start()
    try:
        for number in range(10_000):
            answer.add(Delta(text=f"{number} "))
            if number == 5_500:
                assert answer.text.endswith("5499 5500 ")
        held_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # 48,890 characters. With the pieces since 5,500 kept one by one it is more than 300,000 bytes.
    assert held_bytes < 200_000
    assert answer.text == "".join(f"{number} " for number in range(10_000))
