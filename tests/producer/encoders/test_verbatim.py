"""The provider's own frames."""

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.api_kinds import API_KINDS, ApiKind
from tailrace.cursor import EntryId
from tailrace.encoders import VerbatimEncoder
from tailrace.events import Cancelled, Delta, Event, Failed, Frames, Gap, Queued
from tailrace.raw_frames import encode_frame
from tests.support.job_streams import completed, started, unhurried, with_ids

every_api = pytest.mark.parametrize("api", API_KINDS)


class Sent(NamedTuple):
    """A frame as a client reads it."""

    name: str
    data: str


def read(stream: bytes) -> list[Sent]:
    """What a client makes of a response, by the rules of server-sent events."""
    frames: list[Sent] = []
    blocks = stream.decode().split("\n\n")
    assert blocks.pop() == ""
    for block in blocks:
        fields = [line.partition(": ")[::2] for line in block.split("\n")]
        names = [value for name, value in fields if name == "event"]
        assert len(names) <= 1
        frames.append(Sent("".join(names), "\n".join(value for name, value in fields if name == "data")))
    return frames


def event_of(number: int, **fields: Any) -> Sent:
    """An event of a response."""
    return Sent("response.x", json.dumps({"type": "response.x", "sequence_number": number, **fields}))


def raw_of(*frames: Sent) -> bytes:
    return b"".join(encode_frame(name.encode(), data.encode()) for name, data in frames)


def events_of(*attempts: Sequence[bytes], ending: Event | None = None) -> list[Event]:
    """The events of a job whose attempts hold these bytes in `raw`."""
    events: list[Event] = [Queued(id=EntryId(0, 1), at=1, queue="default")]
    for number, parts in enumerate(attempts, start=1):
        said = [Delta(text="a", raw=part) if at % 2 else Frames(raw=part) for at, part in enumerate(parts)]
        events += with_ids([started(number), *said], attempt=number, first=len(events) + 1)
    if ending is not None:
        events += with_ids([ending], attempt=len(attempts), first=len(events) + 1)
    return events


def encoded(events: Sequence[Event], api: ApiKind, **options: Any) -> list[bytes]:
    encoder = VerbatimEncoder(api, **options)
    return [encoder.encode(event) for event in events]


_texts = st.text('ab {}":%é🌊\n', max_size=12)
_frames = st.lists(st.builds(Sent, name=st.sampled_from(["", "ping", "message_stop"]), data=_texts), max_size=6)


@st.composite
def cut_frames(draw: st.DrawFn) -> tuple[list[Sent], list[bytes]]:
    """Frames, and the bytes that hold them, cut anywhere."""
    frames = draw(_frames)
    raw = raw_of(*frames)
    cuts = sorted(draw(st.lists(st.integers(0, len(raw)), max_size=6)))
    return frames, [raw[start:end] for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True) if start < end]


@pytest.mark.slow
@every_api
@unhurried
@given(given_frames=cut_frames(), last=_frames)
def test_a_client_gets_the_frames_of_the_provider_and_nothing_else(
    api: ApiKind, given_frames: tuple[list[Sent], list[bytes]], last: list[Sent]
) -> None:
    frames, parts = given_frames
    stream = b"".join(encoded(events_of(parts, ending=completed(raw=raw_of(*last))), api))
    assert read(stream) == [*frames, *last]


@pytest.mark.slow
@every_api
@unhurried
@given(attempts=st.lists(cut_frames(), max_size=3), ends=st.sampled_from(["", "completed", "failed", "cancelled"]))
def test_the_frames_so_far_do_not_depend_on_what_comes(
    api: ApiKind, attempts: list[tuple[list[Sent], list[bytes]]], ends: str
) -> None:
    ending: dict[str, Event] = {
        "completed": completed(),
        "failed": Failed(at=9, code="x", message="y"),
        "cancelled": Cancelled(at=9),
    }
    events = events_of(*(parts for _, parts in attempts), ending=ending.get(ends))
    full = encoded(events, api)
    for seen in range(len(events)):
        assert encoded(events[:seen], api) == full[:seen]


@pytest.mark.slow
@every_api
@unhurried
@given(first=cut_frames(), second=cut_frames())
def test_two_attempts_are_never_joined(
    api: ApiKind, first: tuple[list[Sent], list[bytes]], second: tuple[list[Sent], list[bytes]]
) -> None:
    events = events_of(first[1], second[1], ending=completed())
    sent = read(b"".join(encoded(events, api)))
    if not first[0]:
        assert sent == second[0]
    else:
        assert sent[: len(first[0])] == first[0]
        assert "answer_restarted" in sent[len(first[0])].data or "started again" in sent[len(first[0])].data
        assert [frame.data for frame in sent[len(first[0]) + 1 :]] == ([] if api == "anthropic" else ["[DONE]"])


@every_api
def test_the_part_of_a_frame_before_a_restart_is_not_sent(api: ApiKind) -> None:
    whole = Sent("a", "whole")
    assert read(b"".join(encoded(events_of([raw_of(whole)[:-2]], [raw_of(whole)], ending=completed()), api))) == [whole]


@every_api
@pytest.mark.parametrize(
    ("ending", "told"), [(Failed(at=1, code="idle_timeout", message="Too slow."), "Too slow."), (Cancelled(at=1), "")]
)
def test_what_the_provider_cannot_tell_is_told_in_the_form_of_the_protocol(
    api: ApiKind, ending: Event, told: str
) -> None:
    first = event_of(7)
    encoder = VerbatimEncoder(api)
    sent = read(b"".join(map(encoder.encode, events_of([raw_of(first)], ending=ending))))
    assert encoder.is_over
    assert sent[0] == first
    assert told in sent[1].data
    error = json.loads(sent[1].data)
    match api:
        case "openai":
            assert (error["error"]["code"], sent[2:]) == (
                (told and "idle_timeout") or "cancelled",
                [Sent("", "[DONE]")],
            )
        case "openai-responses":
            assert (sent[1].name, error["sequence_number"], sent[2:]) == ("error", 8, [Sent("", "[DONE]")])
        case "anthropic":
            assert (sent[1].name, sent[2:]) == ("error", [])


@every_api
def test_a_failure_of_the_provider_is_passed_on_as_it_is(api: ApiKind) -> None:
    error = Sent("error", '{"type":"error"}')
    ending = Failed(at=1, code="provider_overloaded", message="m", raw=raw_of(error))
    assert read(b"".join(encoded(events_of([raw_of(event_of(0))], ending=ending), api))) == [event_of(0), error]


def test_an_error_without_the_name_by_which_clients_of_messages_know_it_is_told_once_more() -> None:
    nameless = Sent("", '{"type":"error"}')
    ending = Failed(at=1, code="provider_overloaded", message="m", raw=raw_of(nameless))
    sent = read(b"".join(encoded(events_of([], ending=ending), "anthropic")))
    assert (sent[0], sent[1].name, json.loads(sent[1].data)["error"]["type"]) == (nameless, "error", "overloaded_error")


@every_api
def test_a_gap_and_a_stream_that_breaks_off_end_with_an_error(api: ApiKind) -> None:
    gap = Gap(id=EntryId(1, 9), after=EntryId(1, 3), before=EntryId(1, 10))
    first, encoder = event_of(0), VerbatimEncoder(api)
    events = [*events_of([raw_of(first)]), gap, *with_ids([Delta(text="b", raw=raw_of(first))], first=10)]
    sent = read(b"".join(map(encoder.encode, events)))
    assert (sent[0], sent.count(first)) == (first, 1)
    assert "lost" in sent[1].data
    other = VerbatimEncoder(api)
    assert "cannot be read" in read(other.broken_off())[0].data
    assert other.is_over


def test_a_response_that_is_cancelled_or_fails_ends_with_its_newest_object() -> None:
    response = {"id": "resp_1", "status": "in_progress", "output": [1]}
    frames = [event_of(0, response={"id": "resp_1"}), event_of(1, response=response), event_of(2)]
    for ending, kind, status in (
        (Cancelled(at=1), "response.incomplete", "cancelled"),
        (Failed(at=1, code="idle_timeout", message="Too slow."), "response.failed", "failed"),
    ):
        sent = read(b"".join(encoded(events_of([raw_of(*frames)], ending=ending), "openai-responses")))
        told = json.loads(sent[3].data)
        assert (sent[3].name, told["type"], told["sequence_number"]) == (kind, kind, 3)
        assert {**told["response"], "status": "in_progress", "error": None} == {**response, "error": None}
        assert told["response"]["status"] == status
        assert sent[4:] == [Sent("", "[DONE]")]


def test_a_sequence_number_that_javascript_cannot_hold_is_ignored() -> None:
    frames = [event_of(0, response={"id": "resp_1"}), Sent("response.x", '{"sequence_number": %s}' % ("9" * 4_300))]
    sent = read(b"".join(encoded(events_of([raw_of(*frames)], ending=Cancelled(at=1)), "openai-responses")))
    assert sent[:2] == frames
    assert json.loads(sent[2].data)["sequence_number"] == 1


@unhurried
@given(
    parts=st.lists(st.integers(1, 3), max_size=5),
    unnumbered=st.sets(st.integers(0, 15)),
    ending=st.sampled_from([completed(), Cancelled(at=1), Failed(at=1, code="x", message="m")]),
)
def test_a_resume_after_each_number_gives_exactly_the_rest(
    parts: list[int], unnumbered: set[int], ending: Event
) -> None:
    frames = [event_of(at, response={"id": "r"}) for at in range(sum(parts))]
    frames = [Sent("", "[1]") if at in unnumbered else frame for at, frame in enumerate(frames)]
    places = [sum(parts[:at]) for at in range(len(parts) + 1)]
    raws = [raw_of(*frames[start:end]) for start, end in pairwise(places)]
    events = events_of(raws, ending=ending)
    full = read(b"".join(encoded(events, "openai-responses")))
    for at, frame in enumerate(full):
        number = json.loads(frame.data)["sequence_number"] if "sequence_number" in frame.data else None
        if number is not None:
            rest = read(b"".join(encoded(events, "openai-responses", starting_after=number)))
            assert rest == full[at + 1 :]


def test_frames_may_hold_anything() -> None:
    data = ["", "[DONE]", "{", "5", "null", "[" * 5_000, '{"response": 5}', '{"sequence_number": true}', "\ud800"[:0]]
    frames = [Sent("", each) for each in data]
    sent = read(b"".join(encoded(events_of([raw_of(*frames)], ending=completed()), "openai-responses")))
    assert sent == frames
    encoder = VerbatimEncoder("openai")
    for event in events_of([encode_frame(b"", b"\xff\r\n\xfe")], ending=completed()):
        encoder.encode(event)
    assert encoder.newest is not None
    assert encoder.newest.data == b"\xff\r\n\xfe"
