"""Anthropic's Messages."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace import Answer
from tailrace.encoders import AnthropicMessagesEncoder
from tailrace.encoders.tool_input import json_error
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
    ToolCall,
)
from tests.support.job_streams import JOB, completed, job_streams, started, unhurried, with_ids


@dataclass(slots=True, kw_only=True)
class Message:
    """What a client makes of the events."""

    start: dict[str, Any] = field(default_factory=dict[str, Any])
    blocks: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    open: set[int] = field(default_factory=set[int])
    delta: dict[str, Any] | None = None
    usage: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    is_over: bool = False

    def add(self, event: dict[str, Any]) -> None:
        """Takes an event, and fails where a client would."""
        assert not self.is_over
        kind: str = event["type"]
        index: int = event.get("index", -1)
        match kind:
            case "message_start":
                assert not self.start
                self.start = event["message"]
            case "content_block_start":
                assert index == len(self.blocks)
                self.blocks.append({**event["content_block"], "json": ""})
                self.open.add(index)
            case "content_block_delta":
                assert index in self.open
                self.grow(self.blocks[index], event["delta"])
            case "content_block_stop":
                self.open.remove(index)
            case "message_delta":
                assert not self.open
                self.delta, self.usage = event["delta"], event["usage"]
            case "error":
                self.error, self.is_over = event["error"], True
            case _:
                assert kind == "message_stop"
                self.is_over = True

    def grow(self, block: dict[str, Any], delta: dict[str, Any]) -> None:
        """Adds a delta to its block."""
        match delta["type"]:
            case "text_delta":
                block["text"] += delta["text"]
            case "thinking_delta":
                block["thinking"] += delta["thinking"]
            case "signature_delta":
                block["signature"] = delta["signature"]
            case "citations_delta":
                block["citations"] = [*(block["citations"] or ()), delta["citation"]]
            case kind:
                assert kind == "input_json_delta"
                block["json"] += delta["partial_json"]

    def texts(self, kind: str) -> str:
        """What the blocks of a kind say together."""
        return "".join(block[kind] for block in self.blocks if block["type"] == kind)

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The blocks of a kind."""
        return [block for block in self.blocks if block["type"] == kind]


def read(stream: bytes) -> Message:
    message = Message()
    blocks = stream.decode().split("\n\n")
    assert blocks.pop() == ""
    for block in blocks:
        kind, data = block.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert kind == f"event: {event['type']}"
        message.add(event)
    return message


def encoded(events: Sequence[Event], **options: Any) -> list[bytes]:
    encoder = AnthropicMessagesEncoder(JOB, **options)
    return [encoder.encode(event) for event in events]


def message(*said: Event, **options: Any) -> Message:
    return read(b"".join(encoded(with_ids([started(), *said]), **options)))


@unhurried
@given(events=job_streams(has_ended=False))
def test_the_frames_so_far_do_not_depend_on_what_comes(events: list[Event]) -> None:
    full = encoded(events)
    for seen in range(len(events)):
        assert encoded(events[:seen]) == full[:seen]


@unhurried
@given(events=job_streams(), data=st.data())
def test_a_message_says_what_the_answer_says_or_ends_with_an_error(events: list[Event], data: st.DataObject) -> None:
    seen = events[: data.draw(st.integers(1, len(events)))]
    encoder, answer = AnthropicMessagesEncoder(JOB), Answer()
    said = read(b"".join(map(encoder.encode, seen)))
    for event in seen:
        answer.add(event)
    assert said.is_over is (answer.ending is not None or said.error is not None)
    if said.error is None:
        # A refusal is text too, and may stand between other text.
        assert sorted(said.texts("text")) == sorted(answer.text + answer.refusal)
        assert said.texts("thinking") == answer.reasoning
        calls = {call.call_id: call for call in answer.tool_calls if call.call_id and call.name}
        assert {block["id"] for block in said.of("tool_use")} == calls.keys()
        for block in said.of("tool_use"):
            arguments = calls[block["id"]].arguments
            assert arguments.startswith(block["json"])
            # What follows an object that is whole is dropped: it is white space, or the whole is not JSON.
            assert not arguments.removeprefix(block["json"]).strip() or json_error(arguments) is not None
    elif answer.ending is None or isinstance(answer.ending, Completed):
        assert any(isinstance(event, Gap) for event in seen) or said.error["message"].startswith("The answer broke off")


@unhurried
@given(events=job_streams())
def test_the_message_object_is_what_the_events_add_up_to(events: list[Event]) -> None:
    encoder = AnthropicMessagesEncoder(JOB)
    said = read(b"".join(map(encoder.encode, events)))
    if said.delta is not None:
        whole = encoder.message
        assert (whole["id"], whole["stop_reason"]) == (said.start["id"], said.delta["stop_reason"])
        assert whole["usage"] == {**said.start["usage"], **(said.usage or {})}
        ours = [{name: value for name, value in block.items() if name != "input"} for block in whole["content"]]
        assert ours == [
            {name: value for name, value in block.items() if name not in {"json", "input"}} for block in said.blocks
        ]


def test_a_message_begins_with_its_id_and_model() -> None:
    said = read(b"".join(encoded(with_ids([Queued(at=1, queue="q"), started(), Delta(text="a")]), model="fast")))
    assert said.start["id"] == f"msg_{JOB}"
    assert (said.start["model"], said.start["role"], said.start["content"]) == ("fast", "assistant", [])


def test_each_block_has_an_index_of_its_own() -> None:
    said = message(
        Reasoning(text="hm"),
        Reasoning(text="", signature="s"),
        Delta(text="I "),
        Delta(text="ask."),
        ToolCall(index=0, call_id="a", name="one", arguments='{"a":'),
        ToolCall(index=1, call_id="b", name="two", arguments="{}"),
        ToolCall(index=0, arguments="1}"),
        completed("tool_calls"),
    )
    assert [block["type"] for block in said.blocks] == ["thinking", "text", "tool_use", "tool_use"]
    assert (said.blocks[0]["signature"], said.blocks[1]["text"]) == ("s", "I ask.")
    assert [block["json"] for block in said.of("tool_use")] == ['{"a":1}', "{}"]
    assert said.delta == {"stop_reason": "tool_use", "stop_sequence": None}


def test_a_call_whose_arguments_are_whole_ends_before_the_next_one_begins() -> None:
    frames = encoded(
        with_ids(
            [
                started(),
                ToolCall(index=0, call_id="a", name="one", arguments="{}"),
                ToolCall(index=1, call_id="b", name="two", arguments="{}"),
            ]
        )
    )
    assert frames[2].startswith(b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}')


@pytest.mark.parametrize(
    ("citation", "location"),
    [
        (
            Citation(source="web", url="https://example.com", title="T", quote="q"),
            {"type": "web_search_result_location", "url": "https://example.com", "title": "T", "encrypted_index": ""},
        ),
        (
            Citation(source="document", unit="pages", source_index=1, source_start=2, source_end=3, quote="q"),
            {"type": "page_location", "document_index": 1, "start_page_number": 2, "end_page_number": 3},
        ),
        (
            Citation(source="search_result", url="u", source_index=1, unit="blocks", source_start=0, source_end=1),
            {"type": "search_result_location", "search_result_index": 1, "source": "u", "end_block_index": 1},
        ),
    ],
    ids=["web", "document", "search_result"],
)
def test_a_citation_has_anthropics_form(citation: Citation, location: dict[str, Any]) -> None:
    (cited,) = message(Delta(text="Mill"), citation, completed()).blocks[0]["citations"]
    assert location.items() <= cited.items()


@pytest.mark.parametrize(
    ("ending", "reason"),
    [
        (completed(), "end_turn"),
        (completed(provider_finish_reason="pause_turn"), "pause_turn"),
        (completed("length"), "max_tokens"),
        (completed("content_filter", provider_finish_reason="content_filter"), "refusal"),
    ],
)
def test_each_finish_reason_has_anthropics_word(ending: Completed, reason: str) -> None:
    delta = message(Delta(text="a"), ending).delta
    assert delta is not None
    assert delta["stop_reason"] == reason


@pytest.mark.parametrize(("provider", "input_tokens"), [("anthropic", 10), ("openai", 3)], ids=["anthropic", "openai"])
def test_the_tokens_of_the_cache_are_beside_those_of_the_input(provider: str, input_tokens: int) -> None:
    counted = completed(
        input_tokens=10, output_tokens=5, cached_input_tokens=4, cache_write_input_tokens=3, provider=provider
    )
    usage = message(counted).usage
    assert usage == {
        "input_tokens": input_tokens,
        "cache_creation_input_tokens": 3,
        "cache_read_input_tokens": 4,
        "output_tokens": 5,
    }


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("provider_rejected", "invalid_request_error"),
        ("provider_overloaded", "overloaded_error"),
        ("idle_timeout", "timeout_error"),
        ("worker_lost", "api_error"),
    ],
)
def test_a_failure_is_an_error_in_the_stream(code: str, kind: str) -> None:
    said = message(Delta(text="a"), Failed(at=1, code=code, message="It failed."))
    assert said.error == {"type": kind, "message": "It failed."}


def test_a_cancelled_job_ends_with_an_error_that_says_so() -> None:
    assert message(Delta(text="a"), Cancelled(at=1)).error == {
        "type": "api_error",
        "message": "The job was cancelled.",
    }


def test_a_restart_before_anything_was_said_is_not_seen_and_one_after_it_is_an_error() -> None:
    again = with_ids([started(2), Delta(text="mill"), completed()], attempt=2, first=4)
    said = read(b"".join(encoded([*with_ids([started(), Notice(code="c", message="m")]), *again])))
    assert (said.texts("text"), said.error) == ("mill", None)
    said = read(b"".join(encoded([*with_ids([started(), Delta(text="mi")]), *again])))
    assert said.texts("text") == "mi"
    assert said.error is not None


def test_a_job_that_cannot_be_read_on_ends_the_response_with_an_error() -> None:
    encoder = AnthropicMessagesEncoder(JOB)
    said = read(encoder.encode(started()) + encoder.broken_off())
    assert said.error is not None
    assert encoder.encode(Delta(text="late")) == b""


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        ("", {}),
        ('{"a": 1.5}', {"a": 1.5}),
        ('{"a": 1e999}', {"a": "1e999"}),
        ("[]", {"INVALID_JSON": "[]"}),
        ('{"a": ', {"INVALID_JSON": '{"a": '}),
    ],
)
def test_the_input_of_a_tool_is_an_object_of_valid_json(arguments: str, given: dict[str, Any]) -> None:
    encoder = AnthropicMessagesEncoder(JOB)
    for event in with_ids([started(), ToolCall(index=0, call_id="a", name="f", arguments=arguments), completed()]):
        encoder.encode(event)
    (block,) = encoder.message["content"]
    assert json.loads(json.dumps(block, allow_nan=False))["input"] == given
