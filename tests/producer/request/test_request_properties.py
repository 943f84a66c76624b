"""Whatever is asked: it is a request that can be stored and read again, or an error that can be caught."""

import base64
import json
from typing import Any, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tailrace import GenerationRequest, InvalidRequest

pytestmark = pytest.mark.slow

MAX_BYTES = 10_000_000

Things: TypeAlias = st.SearchStrategy[Any]

words: Things = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
names: Things = st.from_regex(r"[a-zA-Z0-9_-]{1,64}", fullmatch=True)
json_values: Things = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4),
    max_leaves=12,
)
json_objects: Things = st.dictionaries(words, json_values, max_size=4)
data: Things = st.binary(min_size=1).map(lambda raw: base64.b64encode(raw).decode())
texts: Things = st.fixed_dictionaries({"type": st.just("text"), "text": words})
images: Things = st.fixed_dictionaries(
    {"type": st.just("image"), "url": st.just("https://a.b/c")}
) | st.fixed_dictionaries(
    {"type": st.just("image"), "data": data, "media_type": st.sampled_from(["image/png", "image/gif"])}
)
documents: Things = st.fixed_dictionaries(
    {"type": st.just("document"), "data": data, "media_type": st.just("application/pdf")}, optional={"name": words}
)
reasoning: Things = st.fixed_dictionaries({"text": words}, optional={"signature": words})
system: Things = st.fixed_dictionaries(
    {"role": st.just("system"), "content": words | st.lists(texts, min_size=1, max_size=2)}
)
user: Things = st.fixed_dictionaries(
    {"role": st.just("user"), "content": words | st.lists(texts | images | documents, min_size=1, max_size=3)}
)
assistant: Things = st.fixed_dictionaries(
    {"role": st.just("assistant"), "content": words}, optional={"reasoning": st.lists(reasoning, max_size=2)}
)
arguments: Things = json_objects.map(json.dumps) | st.just("")
calls: Things = st.fixed_dictionaries({"id": names, "name": names, "arguments": arguments})
results: Things = st.fixed_dictionaries(
    {"role": st.just("tool"), "content": st.text(st.characters(codec="utf-8")) | st.lists(texts | images, min_size=1)},
    optional={"is_error": st.booleans()},
)
turns_of_tools: Things = st.tuples(calls, results).map(
    lambda both: [{"role": "assistant", "tool_calls": [both[0]]}, {**both[1], "tool_call_id": both[0]["id"]}]
)
conversations: Things = st.lists(
    (system | user | assistant).map(lambda message: [message]) | turns_of_tools, min_size=1, max_size=4
).map(lambda turns: [message for turn in turns for message in turn])
tools: Things = st.fixed_dictionaries(
    {"name": names}, optional={"description": words, "parameters": json_objects, "strict": st.booleans()}
)
requests: Things = st.fixed_dictionaries(
    {
        "provider": st.sampled_from(["openai", "openai-responses", "anthropic", "vllm", "a.b-c_1"]),
        "model": words,
        "messages": conversations,
    },
    optional={
        "max_output_tokens": st.integers(1, 2**31 - 1) | st.none(),
        "temperature": st.floats(0, 2),
        "top_p": st.floats(0, 1, exclude_min=True),
        "stop": st.lists(words, max_size=4),
        "tools": st.lists(tools, max_size=3, unique_by=lambda tool: tool["name"]),
        "output_schema": st.fixed_dictionaries(
            {"name": names, "schema": json_objects}, optional={"strict": st.booleans()}
        ),
        "stream": st.booleans(),
        "extra": json_objects,
        "on_interrupt": st.sampled_from(["restart", "continue", "fail"]),
        "fallbacks": st.lists(st.fixed_dictionaries({"provider": st.just("vllm"), "model": words}), max_size=2),
    },
)

broken: Things = st.text(st.characters(codec="utf-8") | st.characters(categories=["Cs"]))
anything: Things = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | broken | st.binary() | st.builds(object),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(broken | st.integers(), inner),
    max_leaves=10,
)
fields: Things = st.sampled_from([*GenerationRequest.model_fields, "n", "audio", "role"])
places: Things = st.lists(st.integers(0, 3), max_size=6)


def spoiled(value: Any, place: list[int], thing: object) -> Any:
    """A copy with one value, deep in there, replaced."""
    if not place or not value or type(value) not in {dict, list}:
        return thing
    entries = value.copy()
    key = list(entries)[place[0] % len(entries)] if type(value) is dict else place[0] % len(entries)
    entries[key] = spoiled(entries[key], place[1:], thing)
    return entries


def assert_round_trips_or_is_refused(asked: object) -> bool:
    try:
        request = GenerationRequest.model_validate(asked)
    except ValidationError as error:
        assert error.error_count()
        assert str(error)
        return False
    try:
        stored = request.to_json(max_bytes=MAX_BYTES)
    except InvalidRequest:
        return False
    assert GenerationRequest.from_json(stored) == request
    return True


@settings(deadline=None)
@given(requests)
def test_a_request_that_passes_the_door_comes_back_as_it_was_stored(asked: dict[str, Any]) -> None:
    passed = assert_round_trips_or_is_refused(asked)
    # What a worker alone knows of has no rules at the door.
    assert passed or asked["provider"] in {"openai", "openai-responses", "anthropic"}


@settings(deadline=None)
@given(requests, places, anything)
def test_a_request_with_something_else_in_it_is_a_request_or_an_error(
    asked: dict[str, Any], place: list[int], thing: object
) -> None:
    assert_round_trips_or_is_refused(spoiled(asked, place, thing))


@settings(deadline=None)
@given(anything | st.dictionaries(fields, anything))
def test_anything_at_all_is_a_request_or_an_error(asked: object) -> None:
    assert_round_trips_or_is_refused(asked)


@settings(deadline=None)
@given(st.binary() | st.text() | json_values.map(json.dumps) | requests.map(json.dumps).map(lambda text: text[:-3]))
def test_garbage_that_was_stored_is_an_invalid_request(stored: str | bytes) -> None:
    try:
        GenerationRequest.from_json(stored)
    except InvalidRequest as error:
        assert str(error)


def test_json_of_any_depth_is_an_invalid_request() -> None:
    for deep in ("[" * 100_000, '{"extra":' * 100_000, '{"extra":{"a":' + "[" * 150 + "]" * 150 + "}}"):
        try:
            GenerationRequest.from_json(deep)
        except InvalidRequest:
            continue
        raise AssertionError(deep[:30])
