"""The message that a UI message stream describes, read step by step as the AI SDK's client reads it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tailrace import Answer
from tailrace.events import Cancelled, Completed, Event, Failed
from tests.support.job_streams import JOB


@dataclass(slots=True, kw_only=True)
class UiMessage:
    """The message of the assistant, as far as its frames have come."""

    id: str = ""
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])
    parts: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    transient: list[Any] = field(default_factory=list[Any])
    errors: list[str] = field(default_factory=list[str])
    finish_reason: str | None = None
    abort: str | None = None
    resets: int = 0
    is_done: bool = False
    _open: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    _calls: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])

    def texts(self, kind: str, *, refusal: bool = False) -> str:
        """What the parts of a kind say together."""
        return "".join(
            part["text"]
            for part in self.parts
            if part["type"] == kind
            and part.get("providerMetadata", {}).get("tailrace", {}).get("refusal", False) is refusal
        )

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The parts of a kind."""
        return [part for part in self.parts if part["type"] == kind]

    def add(self, frame: Mapping[str, Any]) -> None:
        """Takes a frame, and fails where a client would throw."""
        assert not self.is_done
        kind = frame["type"]
        if kind == "start":
            self.id, self.metadata = frame["messageId"], {**self.metadata, **frame["messageMetadata"]}
        elif kind == "start-step":
            self.parts.append({"type": "step-start"})
        elif kind == "reset-step":
            self.resets += 1
            self.parts, self._open, self._calls = [{"type": "step-start"}], {}, {}
        elif kind == "message-metadata":
            self.metadata |= frame["messageMetadata"]
        elif kind == "error":
            self.errors.append(frame["errorText"])
        elif kind == "finish":
            self.finish_reason = frame["finishReason"]
        elif kind == "abort":
            self.abort = frame.get("reason", "")
        elif kind.startswith(("data-", "source-")):
            if frame.get("transient"):
                self.transient.append(frame["data"])
            else:
                self.parts.append(dict(frame))
        elif kind.startswith("tool-input-"):
            self._tool(kind.removeprefix("tool-input-"), frame)
        elif kind != "finish-step":
            self._text(frame)

    def _text(self, frame: Mapping[str, Any]) -> None:
        kind, what = frame["type"].split("-")
        assert kind in {"text", "reasoning"}
        if what == "start":
            part = {**frame, "type": kind, "text": "", "state": "streaming"}
            self.parts.append(part)
            self._open[frame["id"]] = part
        elif what == "delta":
            self._open[frame["id"]]["text"] += frame["delta"]
        else:
            assert what == "end"
            self._open.pop(frame["id"]).update({**frame, "type": kind, "state": "done"})

    def _tool(self, what: str, frame: Mapping[str, Any]) -> None:
        call = frame["toolCallId"]
        if what == "start":
            assert call not in self._calls
            self._calls[call] = {**frame, "type": "tool", "raw": "", "state": "input-streaming"}
            self.parts.append(self._calls[call])
        elif what == "delta":
            self._calls[call]["raw"] += frame["inputTextDelta"]
        else:
            state = {"available": "input-available", "error": "output-error"}[what]
            self._calls[call].update({**frame, "type": "tool", "state": state})


def frames_of(stream: bytes) -> list[str]:
    """The data of each frame."""
    *frames, rest = stream.decode().split("\n\n")
    assert rest == ""
    assert all(frame.startswith("data: ") and not {"\r", "\n"} & set(frame) for frame in frames), frames
    return [frame.removeprefix("data: ") for frame in frames]


def ui_message(stream: bytes) -> UiMessage:
    """The message that the frames make."""
    message = UiMessage()
    for data in frames_of(stream):
        if data == "[DONE]":
            message.is_done = True
        else:
            message.add(json.loads(data))
    return message


def agree_with_answer(shown: UiMessage, events: Sequence[Event], *, is_over: bool = False) -> None:
    """Compares a message with the answer that the same events make."""
    answer = Answer()
    for event in events:
        answer.add(event)
    ending = answer.ending
    assert shown.id == JOB
    assert shown.metadata["jobId"] == JOB
    assert shown.texts("text") == answer.text
    assert shown.texts("text", refusal=True) == answer.refusal
    assert shown.texts("reasoning") == answer.reasoning
    assert [part["data"] for part in shown.of("data-box")] == [json.loads(box.to_json()) for box in answer.boxes]
    sources = [part["providerMetadata"]["tailrace"] for part in shown.parts if part["type"].startswith("source-")]
    assert sources == [json.loads(citation.to_json()) for citation in answer.citations]
    calls = {call.call_id: call for call in answer.tool_calls if call.call_id and call.name}
    assert {part["toolCallId"] for part in shown.of("tool")} == set(calls)
    for part in shown.of("tool"):
        call = calls[part["toolCallId"]]
        assert (part["toolName"], part["raw"]) == (call.name, call.arguments)
        assert (part["state"] == "input-streaming") == (ending is None)
        if part["state"] == "input-available":
            assert isinstance(ending, Completed)
            assert part["input"] == call.parsed_arguments
        elif ending:
            assert part["input"] == (call.arguments or "{}")
    assert shown.is_done == (ending is not None or is_over)
    if ending is not None:
        assert all(part.get("state") != "streaming" for part in shown.parts)
        assert shown.metadata.get("model") == ending.model
        assert shown.metadata["usage"].get("outputTokens") == ending.output_tokens
        assert shown.metadata["timing"].get("ttftMs") == ending.ttft_ms
    assert shown.errors == ([ending.message] if isinstance(ending, Failed) else shown.errors if is_over else [])
    assert shown.abort == (ending.reason if isinstance(ending, Cancelled) else None)
    assert (shown.finish_reason is not None) == isinstance(ending, Completed | Failed)
