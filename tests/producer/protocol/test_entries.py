"""How an entry is written and read."""

import dataclasses
import typing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.cursor import EntryId
from tailrace.events import Box, Citation, Completed, Delta, Failed, Frames, Started, StreamEvent, ToolCall
from tailrace.protocol.entries import decode, encode, pairs

EVENTS: list[StreamEvent] = [
    Started(at=1, attempt=2, provider="openai", model="gpt-5", worker="w", reason="worker_lost", continues=True),
    Delta(text="a\nb"),
    ToolCall(index=0, call_id="call_1", name="weather", arguments='{"city"'),
    ToolCall(index=0, arguments=': "Rome"}'),
    Box(x1=0.5, y1=1.0, x2=2.0, y2=3.25, label="cat", start=3, end=9),
    Box(x1=1.0, y1=2.0, x2=3.0, y2=4.0, start=3, end=9, scale=1000),
    Citation(source="web", start=3, end=9, url="https://mill.example", title="Mill", quote="Water\nleaves."),
    Citation(source="document", source_index=0, file_id="f", unit="pages", source_start=3, source_end=4),
    Citation(source="file", container_id="c"),
    Completed(at=9, finish_reason="stop", provider_finish_reason="end_turn", output_tokens=3, tokens_per_second=12.5),
    Failed(at=9, code="total_timeout", message="It took too long.", retryable=True),
]


def stored(event: StreamEvent) -> dict[bytes, bytes]:
    return pairs(field.encode() for field in encode(event))


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.type)
def test_an_event_comes_back_as_it_was_written(event: StreamEvent) -> None:
    read = decode(b"2-17", stored(event))
    assert read is not None
    assert read.id == EntryId(2, 17)
    assert encode(read) == encode(event)
    assert type(read) is type(event)


@pytest.mark.parametrize("event", typing.get_args(StreamEvent), ids=lambda event: event.type)
def test_every_type_can_be_written_and_read(event: type[StreamEvent]) -> None:
    assert decode(b"1-2", {b"type": b"nothing-of-ours"}) is None
    with pytest.raises(ValueError, match="lacks a field"):
        decode(b"1-2", {b"type": event.type.encode()})


def test_type_comes_first() -> None:
    assert all(encode(event)[:2] == ["type", event.type] for event in EVENTS)


def test_fields_that_are_not_known_are_skipped() -> None:
    assert decode(b"1-2", {b"type": b"delta", b"text": b"x", b"mood": b"fine"}) == Delta(id=EntryId(1, 2), text="x")


@pytest.mark.parametrize(
    "fields", [{b"type": b"started", b"at": b"soon"}, {b"type": b"delta"}, {b"type": b"delta", b"text": b"\xff"}]
)
def test_a_field_that_is_not_of_its_kind_is_an_error_that_can_be_caught(fields: dict[bytes, bytes]) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode(b"1-2", fields)


@given(st.text(st.characters(codec="utf-8")))
def test_any_text_survives(text: str) -> None:
    assert decode(b"1-2", stored(Delta(text=text))) == Delta(id=EntryId(1, 2), text=text)


@pytest.mark.parametrize("event", [each for each in EVENTS if hasattr(each, "raw")], ids=lambda event: event.type)
def test_frames_are_read_beside_the_other_fields_byte_for_byte(event: Any) -> None:
    raw = b":\xff\x00\r0\n"
    read = decode(b"0-0", {**stored(event), b"raw": raw})
    assert read is not None
    assert read == dataclasses.replace(event, raw=raw)
    assert decode(b"0-0", stored(event)) == event
    assert stored(read) == stored(event)


def test_frames_without_other_fields_are_an_event_too() -> None:
    assert decode(b"1-2", {b"type": b"frames", b"raw": b"ping:{}\n"}) == Frames(id=EntryId(1, 2), raw=b"ping:{}\n")
