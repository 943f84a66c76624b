"""OpenAI's Responses."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace import Answer
from tailrace.encoders import OpenAIResponsesEncoder
from tailrace.events import (
    Cancelled,
    Citation,
    Delta,
    Event,
    Failed,
    Gap,
    Queued,
    Reasoning,
    Refusal,
    ToolCall,
)
from tests.support.job_streams import JOB, completed, job_streams, started, unhurried, with_ids

ENDINGS = {"response.completed", "response.incomplete", "response.failed", "error"}


def frames_of(stream: bytes) -> list[dict[str, Any]]:
    """The events of a response; `[DONE]` is the last frame of one that has ended."""
    frames: list[dict[str, Any]] = []
    blocks = stream.decode().split("\n\n")
    assert blocks.pop() == ""
    if blocks and blocks[-1] == "data: [DONE]":
        blocks.pop()
        assert not blocks or json.loads(blocks[-1].split("\n")[1].removeprefix("data: "))["type"] in ENDINGS
    for block in blocks:
        kind, data = block.split("\n")
        frames.append(json.loads(data.removeprefix("data: ")))
        assert kind == f"event: {frames[-1]['type']}"
    return frames


def encoded(events: Sequence[Event], **options: Any) -> list[bytes]:
    encoder = OpenAIResponsesEncoder(JOB, **options)
    return [encoder.encode(event) for event in events]


def told(*said: Event, **options: Any) -> list[dict[str, Any]]:
    return frames_of(b"".join(encoded(with_ids([started(), *said]), **options)))


def folded(frames: Sequence[Any]) -> list[Any]:
    """The items as a client adds them up from the deltas; fails where OpenAI's client would."""
    items: list[Any] = []
    for frame in frames:
        kind = frame["type"].removeprefix("response.")
        if kind == "output_item.added":
            assert frame["output_index"] == len(items)
            items.append(frame["item"])
        elif kind == "output_item.done":
            item = items[frame["output_index"]]
            assert item["status"] == "in_progress"
            # The signature of a block of reasoning comes last.
            signed = {name: frame["item"][name] for name in ("status", "encrypted_content") if name in frame["item"]}
            item |= signed
            assert item == frame["item"]
        elif "output_index" in frame:
            assert items[frame["output_index"]]["status"] == "in_progress"
            grow(items[frame["output_index"]], kind, frame)
    return items


def grow(item: dict[str, Any], kind: str, frame: dict[str, Any]) -> None:
    """Adds what an event brings to the item that it is of."""
    parts = item.get("content", item.get("summary", []))
    at = frame.get("content_index", frame.get("summary_index"))
    if kind.endswith("part.added"):
        assert at == len(parts)
        parts.append(frame["part"])
    elif kind.endswith("part.done"):
        assert parts[at] == frame["part"]
    elif kind == "output_text.annotation.added":
        parts[at]["annotations"].append(frame["annotation"])
    elif kind == "function_call_arguments.delta":
        item["arguments"] += frame["delta"]
    elif kind.endswith(".delta"):
        assert ("logprobs" in frame) is (kind == "output_text.delta")
        parts[at]["refusal" if kind == "refusal.delta" else "text"] += frame["delta"]


def texts_of(items: Sequence[dict[str, Any]]) -> dict[str, str]:
    texts = {"text": "", "refusal": "", "reasoning": ""}
    for item in items:
        for part in item.get("content", ()):
            for name in ("text", "refusal"):
                texts[name] += part.get(name, "")
        for part in item.get("summary", ()):
            texts["reasoning"] += part["text"]
    return texts


@unhurried
@given(events=job_streams())
def test_a_resume_after_any_number_gives_exactly_the_rest(events: list[Event]) -> None:
    full = b"".join(encoded(events))
    frames = frames_of(full)
    assert [frame["sequence_number"] for frame in frames] == list(range(len(frames)))
    for number in range(len(frames)):
        rest = b"".join(encoded(events, starting_after=number))
        assert full.endswith(rest)
        assert frames_of(rest) == frames[number + 1 :]


@unhurried
@given(events=job_streams(has_ended=False))
def test_the_frames_so_far_do_not_depend_on_what_comes(events: list[Event]) -> None:
    full = encoded(events)
    for seen in range(len(events)):
        assert encoded(events[:seen]) == full[:seen]


@unhurried
@given(events=job_streams(), data=st.data())
def test_the_response_says_what_the_answer_says_or_that_a_part_was_lost(
    events: list[Event], data: st.DataObject
) -> None:
    seen = events[: data.draw(st.integers(1, len(events)))]
    encoder, answer = OpenAIResponsesEncoder(JOB), Answer()
    frames = frames_of(b"".join(map(encoder.encode, seen)))
    for event in seen:
        answer.add(event)
    items = folded(frames)
    if frames[-1]["type"] == "error":
        assert any(isinstance(event, Gap) for event in seen)
        return
    response = encoder.response
    assert texts_of(response["output"]) == {
        "text": answer.text,
        "refusal": answer.refusal,
        "reasoning": answer.reasoning,
    }
    calls = [(item["call_id"], item["name"]) for item in response["output"] if item["type"] == "function_call"]
    assert sorted(calls) == sorted(
        (call.call_id, call.name) for call in answer.tool_calls if call.call_id and call.name
    )
    void = items[: len(items) - len(response["output"])]
    assert {item["status"] for item in void} <= {"completed", "incomplete"}
    if answer.ending is not None:
        assert frames[-1]["response"] == response
        assert response["output"] == items[len(void) :]
        assert "in_progress" not in {item["status"] for item in items}


def test_a_response_repeats_what_was_asked() -> None:
    asked = {"model": "fast", "metadata": {"a": "b"}, "temperature": 0.5}
    frames = frames_of(
        b"".join(encoded(with_ids([Queued(at=1_790_000_000_123, queue="q"), started(), completed()]), asked=asked))
    )
    assert [(frame["type"], frame["response"]["status"]) for frame in frames] == [
        ("response.created", "queued"),
        ("response.queued", "queued"),
        ("response.in_progress", "in_progress"),
        ("response.completed", "completed"),
    ]
    for frame in frames:
        assert asked.items() <= frame["response"].items()
        assert (frame["response"]["id"], frame["response"]["created_at"]) == (f"resp_{JOB}", 1_790_000_000)
    assert frames[-1]["response"]["completed_at"] == 9


def test_a_restart_ends_the_open_items_as_incomplete_and_goes_on_under_new_indexes() -> None:
    first = with_ids([started(), Delta(text="mi")])
    again = with_ids([started(2), Delta(text="mill"), completed()], attempt=2, first=3)
    frames = frames_of(b"".join(encoded([*first, *again])))
    items = folded(frames)
    assert [(item["status"], item["content"][0]["text"]) for item in items] == [
        ("incomplete", "mi"),
        ("completed", "mill"),
    ]
    assert frames[-1]["response"]["output"] == items[1:]
    only_the_last = OpenAIResponsesEncoder(JOB)
    for event in again:
        only_the_last.encode(event)
    assert only_the_last.response["output"] == items[1:]


def test_calls_grow_beside_each_other() -> None:
    *_, last = frames = told(
        Delta(text="I ask."),
        ToolCall(index=0, call_id="a", name="one", arguments="{"),
        ToolCall(index=1, call_id="b", name="two", arguments="[]"),
        ToolCall(index=0, arguments="}"),
        completed("tool_calls"),
    )
    message, one, two = folded(frames)
    assert message["status"] == "completed"
    assert (one["arguments"], two["arguments"]) == ("{}", "[]")
    assert last["response"]["output"] == [message, one, two]


def test_a_call_whose_arguments_are_whole_ends_before_the_next_one() -> None:
    frames = told(
        ToolCall(index=0, call_id="a", name="one", arguments='{"x": 1}'),
        ToolCall(index=1, call_id="b", name="two", arguments="["),
        ToolCall(index=2, call_id="c", name="three", arguments="{}"),
        ToolCall(index=0, arguments=" "),
        ToolCall(index=1, arguments="]"),
        completed("tool_calls"),
    )
    order = [(frame["type"].removeprefix("response."), frame["output_index"]) for frame in frames if "item" in frame]
    assert order == [
        ("output_item.added", 0),
        ("output_item.done", 0),
        ("output_item.added", 1),
        ("output_item.added", 2),
        ("output_item.done", 1),
        ("output_item.done", 2),
    ]
    assert [item["arguments"] for item in folded(frames)] == ['{"x": 1}', "[]", "{}"]


def test_a_signature_ends_a_block_of_reasoning() -> None:
    frames = told(Reasoning(text="hm"), Reasoning(text="", signature="s1"), Reasoning(text="so"), completed())
    output = frames[-1]["response"]["output"]
    assert [(item["summary"][0]["text"], item.get("encrypted_content")) for item in output] == [
        ("hm", "s1"),
        ("so", None),
    ]


def test_a_citation_counts_from_the_part_that_it_is_in() -> None:
    cited = Citation(source="web", start=5, end=9, url="https://example.com")
    frames = told(Delta(text="Why? "), Reasoning(text="hm"), Delta(text="Mill"), cited, completed())
    (annotation,) = [frame["annotation"] for frame in frames if frame["type"].endswith("annotation.added")]
    assert (annotation["start_index"], annotation["end_index"], annotation["title"]) == (0, 4, "")


@pytest.mark.parametrize(
    ("ending", "kind", "status", "details"),
    [
        (completed("refusal"), "completed", "completed", None),
        (completed("length"), "incomplete", "incomplete", {"reason": "max_output_tokens"}),
        (completed("content_filter"), "incomplete", "incomplete", {"reason": "content_filter"}),
        (Cancelled(at=1), "incomplete", "cancelled", None),
        (Failed(at=1, code="worker_lost", message="m"), "failed", "failed", None),
    ],
    ids=["refusal", "length", "content-filter", "cancelled", "failed"],
)
def test_each_ending_is_the_last_event(ending: Event, kind: str, status: str, details: object) -> None:
    last = told(Delta(text="a"), ending)[-1]
    assert (last["type"], last["response"]["status"]) == (f"response.{kind}", status)
    assert last["response"]["incomplete_details"] == details
    assert last["response"]["output"][0]["status"] == ("completed" if kind == "completed" else "incomplete")


@pytest.mark.parametrize(
    ("code", "told_code"),
    [
        ("provider_rate_limited", "rate_limit_exceeded"),
        ("provider_rejected", "invalid_prompt"),
        ("worker_lost", "server_error"),
    ],
)
def test_a_failure_is_the_error_of_the_response(code: str, told_code: str) -> None:
    last = told(Failed(at=1, code=code, message="It failed."))[-1]
    assert last["response"]["error"] == {"code": told_code, "message": "It failed."}


def test_a_job_that_cannot_be_read_on_ends_the_response_with_an_error() -> None:
    encoder = OpenAIResponsesEncoder(JOB)
    begun = encoder.encode(started())
    *_, error = frames_of(begun + encoder.broken_off())
    assert (error["type"], error["code"], error["sequence_number"]) == ("error", "stream_interrupted", 2)
    assert encoder.encode(Refusal(text="late")) == b""
