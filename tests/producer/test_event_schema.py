"""The public form of events, and the JSON schema that describes it."""

import dataclasses
import json
import typing
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tailrace import (
    Box,
    Cancelled,
    Citation,
    Completed,
    Delta,
    EntryId,
    Event,
    Failed,
    Frames,
    Gap,
    Notice,
    Queued,
    Reasoning,
    Refusal,
    Started,
    ToolCall,
    event_json_schema,
)
from tailrace.events import StreamEvent

USAGE: dict[str, Any] = {
    "input_tokens": 7,
    "output_tokens": 3,
    "cached_input_tokens": 0,
    "cache_write_input_tokens": 0,
    "reasoning_tokens": 1,
}
MEASURES: dict[str, Any] = {"queued_ms": 1, "ttft_ms": 2, "duration_ms": 3, "tokens_per_second": 12.5}
NAMES: dict[str, Any] = {"provider": "openai", "model": "m"}
ID = EntryId(1, 7)

SHORT: list[Event] = [
    Queued(id=EntryId(0, 1), at=1, queue="default"),
    Started(id=ID, at=1, attempt=1, provider="openai", model="m", worker="mill.example.org:17"),
    Delta(id=ID, text="é\n"),
    Reasoning(id=ID, text="Hm."),
    Refusal(id=ID, text="No."),
    ToolCall(id=ID, index=0),
    Box(id=ID, x1=0.5, y1=1, x2=2, y2=3.25, start=3, end=9),
    Citation(id=ID, source="web"),
    Notice(id=ID, code="redacted", message="2 e-mail addresses"),
    Frames(id=ID, raw=b"ping:{}\n"),
    Completed(id=ID, at=9, finish_reason="stop"),
    Failed(id=ID, at=9, code="total_timeout", message="It took too long."),
    Cancelled(id=ID, at=9),
    Gap(id=ID, after=EntryId(1, 2), before=EntryId(1, 8)),
]
WHOLE: list[Event] = [
    Delta(id=ID, text="é\n", raw=b':"\xc3\xa9\xff"\n'),
    Started(
        **NAMES,
        id=ID,
        at=1,
        attempt=2,
        worker="mill.example.org:17",
        token="0f",
        reason="worker_lost",
        continues=True,
    ),
    Reasoning(id=ID, text="", signature="c2ln"),
    ToolCall(id=ID, index=0, call_id="call_1", name="weather", arguments="{}"),
    Box(id=ID, x1=1, y1=2, x2=3, y2=4, label="cat", start=3, end=9, scale=1000),
    Citation(
        id=ID,
        source="document",
        start=3,
        end=9,
        url="https://mill.example",
        title="Mills",
        quote="Water.",
        source_index=0,
        file_id="file_1",
        container_id="cntr_1",
        unit="pages",
        source_start=3,
        source_end=4,
    ),
    Completed(id=ID, at=9, finish_reason="length", provider_finish_reason="max_tokens", **USAGE, **MEASURES, **NAMES),
    Failed(id=ID, at=9, code="too_long", message="It is.", retryable=True, **USAGE, **MEASURES, **NAMES),
    Cancelled(id=ID, at=9, reason="wrong question", **USAGE, **MEASURES, **NAMES),
]
KINDS: list[type[Any]] = [*typing.get_args(StreamEvent), Gap]


def schema_of(kind: type[Any]) -> dict[str, Any]:
    definition: dict[str, Any] = event_json_schema()["$defs"][kind.__name__]
    return definition


@pytest.fixture(scope="module")
def validator() -> Any:
    schema = event_json_schema()
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def test_every_kind_of_event_is_among_those_that_are_validated_here() -> None:
    assert [type(event) for event in SHORT] == KINDS


@pytest.mark.parametrize("event", [*SHORT, *WHOLE], ids=lambda event: event.type)
def test_an_event_in_its_public_form_is_valid(event: Event, validator: Any) -> None:
    public = event.to_dict()
    validator.validate(public)
    assert event.to_json() == json.dumps(public)
    assert list(public)[:2] == ["type", "id"]
    known = [field.name for field in dataclasses.fields(event) if getattr(event, field.name) is not None]
    assert list(public)[1:] == known


@pytest.mark.parametrize("event", SHORT, ids=lambda event: event.type)
def test_an_event_that_lacks_a_field_is_not_valid(event: Event, validator: Any) -> None:
    public = event.to_dict()
    required: list[str] = schema_of(type(event))["required"]
    assert set(required) <= public.keys()
    for name in required:
        assert not validator.is_valid({key: value for key, value in public.items() if key != name})


@pytest.mark.parametrize(
    "change", [{"type": "nonsense"}, {"id": "first"}, {"at": "soon"}, {"finish_reason": "bored"}, {"model": None}]
)
def test_an_event_with_a_field_of_another_kind_is_not_valid(change: dict[str, Any], validator: Any) -> None:
    public = Completed(id=ID, at=9, finish_reason="stop").to_dict()
    assert validator.is_valid(public)
    assert not validator.is_valid({**public, **change})


def test_a_field_of_a_later_version_is_valid(validator: Any) -> None:
    validator.validate({**Delta(id=ID, text="x").to_dict(), "mood": "fine"})


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.type)
def test_every_event_and_every_field_is_described(kind: type[Any]) -> None:
    schema = schema_of(kind)
    assert schema["description"]
    assert list(schema["properties"]) == ["type", *(field.name for field in dataclasses.fields(kind))]
    assert [name for name, value in schema["properties"].items() if not value.get("description")] == []


def test_the_name_of_a_host_is_in_no_public_form() -> None:
    first, again = (
        Started(at=1, attempt=attempt, provider="openai", model="m", worker="mill.example.org:17") for attempt in (1, 2)
    )
    other = Started(at=1, attempt=3, provider="openai", model="m", worker="mill.example.org:18")
    assert "mill" not in first.to_json()
    assert first.to_dict()["worker"] == again.to_dict()["worker"] != other.to_dict()["worker"]
    assert first.worker == "mill.example.org:17"


def test_frames_are_text_in_which_what_is_not_utf_8_is_replaced() -> None:
    assert Delta(id=ID, text="é", raw=b":\xc3\xa9\xff\n").to_dict()["raw"] == ":é\N{REPLACEMENT CHARACTER}\n"
