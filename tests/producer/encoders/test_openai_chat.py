"""OpenAI's Chat Completions."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace import Answer
from tailrace.encoders import OpenAIChatEncoder
from tailrace.encoders.restarts import Restarts
from tailrace.events import (
    Cancelled,
    Citation,
    Completed,
    Delta,
    Event,
    Failed,
    Gap,
    Notice,
    Queued,
    Reasoning,
    Refusal,
    ToolCall,
)
from tests.support.job_streams import JOB, completed, job_streams, started, unhurried, with_ids


@dataclass(slots=True, kw_only=True)
class Completion:
    """What a client makes of the chunks."""

    chunks: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    texts: dict[str, str] = field(default_factory=lambda: {"content": "", "refusal": "", "reasoning_content": ""})
    calls: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    error: dict[str, Any] | None = None
    finish_reason: str | None = None
    usage: dict[str, Any] | None = None
    is_done: bool = False

    def add(self, data: str) -> None:
        """Takes the data of a frame, and fails where a client would."""
        assert not self.is_done
        if data == "[DONE]":
            self.is_done = True
            return
        chunk = json.loads(data)
        if "error" in chunk:
            self.error = chunk["error"]
            return
        self.chunks.append(chunk)
        self.usage = chunk.get("usage")
        for choice in chunk["choices"]:
            assert self.finish_reason is None
            self.finish_reason = choice["finish_reason"]
            delta = choice["delta"]
            for name in self.texts:
                self.texts[name] += delta.get(name) or ""
            for call in delta.get("tool_calls", ()):
                if call["index"] == len(self.calls):
                    self.calls.append({"id": call["id"], **call["function"]})
                else:
                    self.calls[call["index"]]["arguments"] += call["function"]["arguments"]


def read(stream: bytes) -> Completion:
    """What a client makes of a response."""
    completion = Completion()
    assert stream == b"" or stream.endswith(b"\n\n")
    for frame in stream.decode().split("\n\n")[:-1]:
        assert "\n" not in frame
        completion.add(frame.removeprefix("data: "))
    return completion


def encoded(events: Sequence[Event], **options: Any) -> list[bytes]:
    encoder = OpenAIChatEncoder(JOB, **options)
    return [encoder.encode(event) for event in events]


def completion(*said: Event, **options: Any) -> Completion:
    return read(b"".join(encoded(with_ids([started(), *said]), **options)))


@unhurried
@given(events=job_streams(has_ended=False))
def test_the_chunks_so_far_do_not_depend_on_what_comes(events: list[Event]) -> None:
    full = encoded(events)
    for seen in range(len(events)):
        assert encoded(events[:seen]) == full[:seen]


@unhurried
@given(events=job_streams(), data=st.data())
def test_a_completion_says_what_the_answer_says_or_ends_with_an_error(events: list[Event], data: st.DataObject) -> None:
    seen = events[: data.draw(st.integers(1, len(events)))]
    said, answer = read(b"".join(encoded(seen))), Answer()
    for event in seen:
        answer.add(event)
    ended = isinstance(seen[-1], Completed | Failed | Cancelled)
    assert said.is_done is (ended or said.error is not None)
    if said.error is None:
        texts = {"content": answer.text, "refusal": answer.refusal, "reasoning_content": answer.reasoning}
        assert said.texts == texts
        assert sorted(call["arguments"] for call in said.calls) == sorted(
            call.arguments for call in answer.tool_calls if call.call_id and call.name
        )
        assert (said.finish_reason is not None) is isinstance(seen[-1], Completed)


@unhurried
@given(events=job_streams())
def test_a_restart_after_something_was_said_ends_the_response_with_an_error(events: list[Event]) -> None:
    encoder, restarts, said = OpenAIChatEncoder(JOB), Restarts(), b""
    for event in events:
        shown = read(said)
        if restarts.is_restart(event) and not encoder.is_over and (any(shown.texts.values()) or shown.calls):
            error = read(said + encoder.encode(event)).error
            assert error is not None
            assert error["code"] == "answer_restarted"
            assert encoder.is_over
        else:
            said += encoder.encode(event)


@unhurried
@given(events=job_streams())
def test_the_completion_object_is_what_the_chunks_add_up_to(events: list[Event]) -> None:
    encoder = OpenAIChatEncoder(JOB, include_usage=True)
    said = read(b"".join(map(encoder.encode, events)))
    if said.finish_reason is not None:
        whole, (choice,) = encoder.completion, encoder.completion["choices"]
        assert (whole["id"], whole["created"], whole["usage"]) == (
            said.chunks[0]["id"],
            said.chunks[0]["created"],
            said.usage,
        )
        assert choice["finish_reason"] == said.finish_reason
        assert {name: choice["message"].get(name) or "" for name in said.texts} == said.texts
        calls = choice["message"].get("tool_calls", [])
        assert [{"id": call["id"], **call["function"]} for call in calls] == said.calls


def test_all_chunks_have_the_id_and_the_time_of_the_job() -> None:
    events = with_ids(
        [Queued(at=1_790_000_000_123, queue="q"), started(), Delta(text="a"), Delta(text="b"), completed()]
    )
    chunks = read(b"".join(encoded(events, model="fast"))).chunks
    assert {(chunk["id"], chunk["created"], chunk["model"], chunk["object"]) for chunk in chunks} == {
        (f"chatcmpl-{JOB}", 1_790_000_000, "fast", "chat.completion.chunk")
    }
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert all("usage" not in chunk for chunk in chunks)


def test_the_usage_comes_in_a_last_chunk_of_its_own_if_it_is_asked_for() -> None:
    counted = Completed(
        at=1, finish_reason="stop", input_tokens=10, output_tokens=5, cached_input_tokens=4, reasoning_tokens=2
    )
    *others, last = completion(Delta(text="a"), counted, include_usage=True).chunks
    assert [chunk["usage"] for chunk in others] == [None] * len(others)
    assert last["choices"] == []
    assert last["usage"] == {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "total_tokens": 15,
        "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }


def test_tokens_of_anthropics_cache_are_among_those_of_the_prompt() -> None:
    counted = Completed(
        at=1,
        finish_reason="stop",
        input_tokens=10,
        output_tokens=5,
        cached_input_tokens=100,
        cache_write_input_tokens=7,
        provider="anthropic",
    )
    usage = completion(counted, include_usage=True).usage
    assert usage is not None
    assert (usage["prompt_tokens"], usage["total_tokens"]) == (117, 122)


def test_calls_are_numbered_in_the_order_in_which_clients_see_them() -> None:
    said = completion(
        ToolCall(index=0, arguments="lost"),
        ToolCall(index=3, call_id="c3"),
        ToolCall(index=1, call_id="c1", name="one", arguments="{"),
        ToolCall(index=3, name="three", arguments="[]"),
        ToolCall(index=1, arguments="}"),
        completed("tool_calls"),
    )
    assert said.calls == [
        {"id": "c1", "name": "one", "arguments": "{}"},
        {"id": "c3", "name": "three", "arguments": "[]"},
    ]
    assert said.finish_reason == "tool_calls"


def test_a_citation_of_a_page_is_an_annotation() -> None:
    cited = Citation(source="web", start=0, end=4, url="https://example.com", title="T", quote="q")
    chunks = completion(Delta(text="Mill"), cited, Citation(source="file", file_id="f"), completed()).chunks
    annotations = [chunk["choices"][0]["delta"]["annotations"] for chunk in chunks if "annotations" in str(chunk)]
    citation = {"start_index": 0, "end_index": 4, "url": "https://example.com", "title": "T"}
    assert annotations == [[{"index": 0, "type": "url_citation", "url_citation": citation}]]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("provider_rejected", "invalid_request_error"),
        ("provider_rate_limited", "rate_limit_error"),
        ("x", "server_error"),
    ],
)
def test_a_failure_is_an_error_in_the_stream(code: str, kind: str) -> None:
    said = completion(Delta(text="a"), Failed(at=1, code=code, message="It failed."))
    assert said.error == {"message": "It failed.", "type": kind, "param": None, "code": code}
    assert (said.is_done, said.finish_reason) == (True, None)


def test_a_cancelled_job_ends_with_an_error_that_says_so() -> None:
    said = completion(Delta(text="a"), Cancelled(at=1, reason="enough"))
    assert said.error is not None
    assert (said.error["code"], said.error["message"]) == ("cancelled", "The job was cancelled: enough")


def test_an_attempt_that_continues_goes_on_in_the_same_message() -> None:
    again = with_ids([started(2, continues=True), Delta(text="tail"), completed()], attempt=2, first=4)
    said = read(b"".join(encoded([*with_ids([started(), Delta(text="mill")]), *again])))
    assert (said.texts["content"], said.error, said.finish_reason) == ("milltail", None, "stop")


def test_a_restart_before_anything_was_said_is_not_seen() -> None:
    again = with_ids([started(2), Reasoning(text="hm"), Refusal(text="no"), completed("refusal")], attempt=2, first=4)
    said = read(b"".join(encoded([*with_ids([started(), Notice(code="c", message="m")]), *again])))
    assert said.texts == {"content": "", "refusal": "no", "reasoning_content": "hm"}
    assert (said.error, said.finish_reason) == (None, "content_filter")
    assert sum("role" in chunk["choices"][0]["delta"] for chunk in said.chunks) == 1


def test_a_lost_part_is_an_error() -> None:
    events = with_ids([started(), Delta(text="a")])
    gap = Gap(id=events[-1].id, after=events[-1].id, before=events[-1].id)
    assert read(b"".join(encoded([*events, gap, Delta(id=events[-1].id, text="b")]))).error == {
        "message": "A part of the answer was lost.",
        "type": "server_error",
        "param": None,
        "code": "answer_incomplete",
    }


def test_a_job_that_cannot_be_read_on_ends_the_response_with_an_error() -> None:
    said = read(OpenAIChatEncoder(JOB).broken_off())
    assert said.error is not None
    assert (said.error["code"], said.is_done) == ("stream_interrupted", True)
