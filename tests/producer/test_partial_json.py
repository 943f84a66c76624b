"""The value of a JSON text while it grows."""

import copy
import json
import sys
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace import Answer, Snapshot
from tailrace.events import Delta, Started, ToolCall
from tailrace.partial_json import PartialJson
from tests.support.cutting import Cuts, cut, cuts
from tests.support.work import lines_run

# UTF-8 has no halves of surrogate pairs, so no answer has one.
words: st.SearchStrategy[str] = st.text(st.sampled_from('a"\\/\n\u2028é😀u') | st.characters(exclude_categories=["Cs"]))
scalars: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | words
)
values: st.SearchStrategy[Any] = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4), max_leaves=20
)
documents: st.SearchStrategy[Any] = st.lists(values, max_size=4) | st.dictionaries(words, values, max_size=4)
forms: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"ensure_ascii": st.booleans(), "indent": st.sampled_from([None, 2])}
)


def partial(*pieces: str) -> Any:
    grown = PartialJson()
    for piece in pieces:
        grown.add(piece)
    return grown.value


def entries(value: object) -> Sequence[tuple[object, Any]] | None:
    """The members of an object by their keys, and the items of a list by their numbers."""
    if isinstance(value, dict):
        return list(cast("dict[object, Any]", value).items())
    return list(enumerate(cast("list[object]", value))) if isinstance(value, list) else None


def begins(part: Any, whole: Any, *, may_grow: bool = True) -> bool:
    """Whether a value is the beginning of another one: equal, but for what its last member or item may still become."""
    if type(part) is not type(whole):
        return False
    ours, theirs = entries(part), entries(whole)
    if ours is None or theirs is None:
        return bool(whole.startswith(part)) if may_grow and isinstance(whole, str) else bool(part == whole)
    if not (len(ours) <= len(theirs) if may_grow else len(ours) == len(theirs)):
        return False
    return all(
        key == other and begins(value, final, may_grow=may_grow and place == len(ours))
        for place, ((key, value), (other, final)) in enumerate(zip(ours, theirs, strict=False), 1)
    )


@settings(deadline=None)
@given(documents, forms)
@pytest.mark.slow
def test_at_every_cut_the_value_is_the_beginning_of_the_whole(document: Any, form: dict[str, Any]) -> None:
    text = json.dumps(document, **form)
    whole = json.loads(text)
    grown = PartialJson()
    seen: list[Any] = []
    for character in text:
        grown.add(character)
        # What is read on the way is the same as what is read at once.
        seen.append(copy.deepcopy(grown.value))
    assert seen[-1] == whole
    assert all(value is None or begins(value, whole) for value in seen)
    assert all(before is None or begins(before, after) for before, after in pairwise(seen))
    assert seen == [partial(text[: place + 1]) for place in range(len(text))]


@settings(deadline=None)
@given(documents, forms, cuts)
def test_it_does_not_matter_how_the_text_is_cut(document: Any, form: dict[str, Any], lengths: Cuts) -> None:
    text = json.dumps(document, **form)
    assert partial(*cut(text, lengths)) == json.loads(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("  ", None),
        ("{", {}),
        ('{"a', {}),
        ('{"a"', {}),
        ('{"a":', {}),
        ('{"a": "', {"a": ""}),
        ('{"a": "b', {"a": "b"}),
        ('{"a": "b\\', {"a": "b"}),
        ('{"a": "b\\u00e', {"a": "b"}),
        ('{"a": "b\\ud83d\\ude0', {"a": "b"}),
        ('{"a": "b\\ud83d\\ude00', {"a": "b😀"}),
        ('{"a": "b\\\\ud83d', {"a": "b\\ud83d"}),
        ('{"a": 1', {}),
        ('{"a": tru', {}),
        ('{"a": 1,', {"a": 1}),
        ('["a", "b', ["a", "b"]),
        ('["a", ["b", {"c": ["', ["a", ["b", {"c": [""]}]]),
        ("[1, 2", [1]),
        ("[1, 2]", [1, 2]),
        ('{"a": 1, "a": "x', {"a": "x"}),
    ],
)
def test_members_and_items_are_there_once_they_have_begun(text: str, value: Any) -> None:
    assert partial(text) == value
    assert partial(*text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Mills turn.", None),
        ('"Mills" turn.', None),
        ("17", None),
        ('```json\n{"a": 1}\n```', None),
        ('{"a": 1} is it.', {"a": 1}),
        ('{"a": 1}{"b": 2}', {"a": 1}),
        ('{"a": 1, "b": x, "c": 3}', {"a": 1}),
        ('{"a": "one\ntwo", "b": 2}', {"a": "one\ntwo"}),
        ('["a", "b\\q", "c"]', ["a", "b"]),
        ('["a", "b\\u12zz and so on", "c"]', ["a", "b"]),
        ("[1, 2}", [1, 2]),
    ],
)
def test_what_is_not_json_ends_the_value_and_raises_nothing(text: str, value: Any) -> None:
    grown = PartialJson()
    for character in text:
        grown.add(character)
        _ = grown.value
    assert grown.value == value
    grown.add('{"more": 1}')
    assert grown.value == value


def test_numbers_are_those_of_json_loads() -> None:
    text = "[0, -0, 1.5, -0.0, 1e3, 1E400, 0.1, 123456789012345678901234567890, 12345678901234567890.5]"
    value = partial(text)
    assert list(map(repr, value)) == list(map(repr, json.loads(text)))


@pytest.mark.parametrize(
    "number", ["9" * 4_301, "-" + "9" * 100_000, "1e9999999999999999999", "1e-9999999999999999999"]
)
@pytest.mark.parametrize("piece_chars", [1_000, 200_000])
def test_a_number_that_python_does_not_read_ends_the_value(number: str, piece_chars: int) -> None:
    text = f'{{"turns": [1, "a", {number}, 2]}}'
    grown = PartialJson()
    for start in range(0, len(text), piece_chars):
        grown.add(text[start : start + piece_chars])
        assert grown.value == {"turns": [1, "a"]}


def test_the_longest_integer_is_read_in_any_pieces() -> None:
    digits = "9" * sys.get_int_max_str_digits()
    text = f"[{digits},{digits}]"
    grown = PartialJson()
    for start in range(0, len(text), 7):
        grown.add(text[start : start + 7])
        assert grown.value is not None
    assert grown.value == [int(digits)] * 2


def test_what_comes_before_an_error_counts_even_if_it_came_together() -> None:
    assert partial('{"a": [1, "x"], "b": "\\uzzzzzzzzzzzz"}') == {"a": [1, "x"]}


def test_deep_nesting_is_read() -> None:
    value = partial("[" * 50_000)
    for _ in range(49_999):
        (value,) = value
    assert value == []


@pytest.mark.parametrize(
    "document",
    [
        [{"name": f"Mill {number}", "text": "water “leaves”\n" * 5, "turns": number / 7} for number in range(100)],
        {"text": "water leaves by the tailrace " * 500},
        {"text": "\\\n" * 5_000},
    ],
    ids=["records", "one string", "escapes"],
)
@pytest.mark.slow
def test_reading_after_each_event_takes_time_that_is_linear_in_the_text(document: Any) -> None:
    def work(times: int) -> float:
        text = json.dumps([document] * times)

        def read() -> None:
            grown = PartialJson()
            for place in range(0, len(text), 20):
                grown.add(text[place : place + 20])
                _ = grown.value

        return lines_run(read)

    assert work(8) < 9 * work(1)


@pytest.mark.slow
def test_a_long_string_is_not_parsed_again_for_each_piece() -> None:
    text = json.dumps({"text": "water leaves " * 30_000})
    grown = PartialJson()
    began = time.process_time()
    for place in range(0, len(text), 10):
        grown.add(text[place : place + 10])
        _ = grown.value
    # It takes 0.3 s. A parser that gets the pieces of the open string takes more than 10 s.
    assert time.process_time() - began < 5
    assert grown.value == json.loads(text)


class TestOfAnAnswer:
    def test_the_text_is_read_as_it_grows(self) -> None:
        answer = Answer()
        before = answer.partial
        assert before is None
        answer.add(Delta(text='{"mills": ["Upp'))
        assert answer.partial == {"mills": ["Upp"]}
        answer.add(Delta(text='er", "Low'))
        value = answer.partial
        assert value == {"mills": ["Upper", "Low"]}
        answer.add(Delta(text='er"]}'))
        assert answer.partial == json.loads(answer.text)
        assert answer.partial is value

    def test_a_new_attempt_begins_another_value_unless_it_continues(self) -> None:
        def started(attempt: int, *, continues: bool = False) -> Started:
            return Started(at=1, attempt=attempt, provider="p", model="m", worker="w", continues=continues)

        answer = Answer()
        for event in (started(1), Delta(text='{"a": 1'), started(2, continues=True), Delta(text="7, ")):
            answer.add(event)
        assert answer.partial == {"a": 17}
        for event in (started(3), Delta(text="[")):
            answer.add(event)
        assert answer.partial == []

    def test_the_arguments_of_a_tool_call_are_read_as_they_grow(self) -> None:
        answer = Answer()
        answer.add(ToolCall(index=0, call_id="a", name="look_up", arguments='{"word": "mi'))
        (call,) = answer.tool_calls
        assert call.partial == {"word": "mi"}
        answer.add(ToolCall(index=0, arguments='ll"}'))
        assert call.partial == call.parsed_arguments

    def test_a_snapshot_and_copies_have_a_value_of_their_own(self) -> None:
        answer = Answer()
        answer.add(Delta(text='{"a": "o'))
        assert answer.partial == {"a": "o"}
        joined = Answer()
        joined.add(Snapshot(id=answer.cursor, answer=answer))
        for copied in (joined, copy.deepcopy(answer)):
            copied.add(Delta(text='ne"}'))
            assert copied.partial == {"a": "one"}
        assert answer.partial == {"a": "o"}
