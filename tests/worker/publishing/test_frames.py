"""Frames in the entries of a stream: beside the text that they carry, merged with it, and cut if they are large."""

import dataclasses

import pytest

from tailrace import Job
from tailrace.cursor import BEGINNING
from tailrace.events import Completed, Delta, Event, Failed, Frames, Reasoning, Started, StreamEvent, ToolCall
from tailrace_worker.generation import Generations
from tailrace_worker.publishing.entry_fields import MAX_ENTRY_BYTES, MAX_PART_CHARS, MAX_PART_RAW_BYTES, parts
from tests.support.streams import events_of, writing

LARGE = b":" + b"\xff\r0x" * 20_000 + b"\n"
ENDING = Completed(at=1, finish_reason="stop", raw=b":[DONE]\n")


async def test_entries_that_wait_are_merged_with_their_frames(job: Job, generations: Generations) -> None:
    async with writing(generations, job) as writer:
        for piece in (
            *(Frames(raw=b"start:\n"), Frames(raw=b"ping:\n")),
            *(Delta(text="a", raw=b":1\n"), Delta(text="b"), Delta(text="c", raw=b":\xff\n")),
            *(ToolCall(index=0, call_id="i", name="n", raw=b":3\n"), ToolCall(index=0, arguments="{", raw=b":4\n")),
            *(ToolCall(index=0, arguments="}", raw=b":5\n"), Frames(raw=b"stop:\n")),
        ):
            writer.write(piece)
        await writer.end(ENDING)
    _, _, *events, ending = await events_of(job)
    assert [bare(event) for event in events] == [
        Frames(raw=b"start:\nping:\n"),
        Delta(text="abc", raw=b":1\n:\xff\n"),
        ToolCall(index=0, call_id="i", name="n", raw=b":3\n"),
        ToolCall(index=0, arguments="{}", raw=b":4\n:5\n"),
        Frames(raw=b"stop:\n"),
    ]
    assert bare(ending) == ENDING


def bare(event: Event) -> Event:
    return dataclasses.replace(event, id=BEGINNING)


@pytest.mark.parametrize(
    "event",
    [
        Frames(raw=LARGE),
        Delta(text="é", raw=LARGE),
        Delta(text="é" * 3 * MAX_PART_CHARS, raw=LARGE),
        Reasoning(text="x" * 2 * MAX_PART_CHARS, signature="s", raw=LARGE),
        ToolCall(index=1, call_id="i", name="n", arguments="x" * 2 * MAX_PART_CHARS, raw=LARGE),
        Failed(at=1, code="c", message="m", raw=LARGE),
        Completed(at=1, finish_reason="stop", raw=LARGE),
    ],
    ids=lambda event: event.type,
)
def test_large_frames_are_cut_and_nothing_follows_the_event_that_has_their_end(event: StreamEvent) -> None:
    cut = list(parts(event))
    assert b"".join(getattr(part, "raw", None) or b"" for part in cut) == LARGE
    assert all(len(getattr(part, "raw", None) or b"") <= MAX_PART_RAW_BYTES for part in cut)
    assert cut[-1].type == event.type
    assert getattr(cut[-1], "raw", None)
    for name in ("text", "arguments"):
        if hasattr(event, name):
            assert "".join(getattr(part, name, "") for part in cut) == getattr(event, name)


async def test_no_entry_with_frames_is_larger_than_a_reader_expects(job: Job, generations: Generations) -> None:
    async with writing(generations, job) as writer:
        for _ in range(10):
            writer.write(Delta(text="x", raw=LARGE[:30_000]))
        writer.write(Delta(text="y", raw=LARGE))
        assert generations.publisher.budget.used_bytes > 300_000
        await writer.end(ENDING)
    events = await events_of(job)
    sizes = [len(getattr(event, "raw", None) or b"") for event in events if not isinstance(event, Started)]
    assert max(sizes) < MAX_ENTRY_BYTES
    assert sum(sizes) == 300_000 + len(LARGE) + len(ENDING.raw or b"")
