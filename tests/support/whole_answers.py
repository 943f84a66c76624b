"""Answers in each of the providers' protocols, event by event, as the providers themselves stream them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from tailrace.api_kinds import ApiKind
from tests.support.wire import sse

DONE = b"data: [DONE]\n\n"
_USAGE = {"input_tokens": 3, "output_tokens": 5}
_CHAT_USAGE = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
_BEGUN: dict[str, Any] = {"id": "r", "object": "response", "status": "in_progress", "output": []}
_MESSAGE: dict[str, Any] = {
    "id": "m",
    "type": "message",
    "role": "assistant",
    "model": "a",
    "content": [],
    "stop_reason": None,
    "stop_sequence": None,
    "usage": _USAGE,
}


@dataclass(frozen=True, slots=True)
class WholeAnswer:
    """An answer, in the order in which its events are sent."""

    opening: Sequence[bytes]
    texts: Sequence[bytes]
    """One event for each word."""
    closing: Sequence[bytes]
    body: Mapping[str, Any]
    """The same answer as the body of a call that is not streamed."""

    @property
    def events(self) -> Sequence[bytes]:
        """All of them."""
        return [*self.opening, *self.texts, *self.closing]


def whole_answer(kind: ApiKind, words: Sequence[str]) -> WholeAnswer:
    """An answer that says these words."""
    return _ANSWERS[kind](words)


def _chat(words: Sequence[str]) -> WholeAnswer:
    def chunk(delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
        choices = [{"index": 0, "delta": delta, "finish_reason": finish_reason}]
        return sse({"id": "c", "object": "chat.completion.chunk", "choices": choices})

    usage = sse({"id": "c", "object": "chat.completion.chunk", "choices": [], "usage": _CHAT_USAGE})
    message = {"role": "assistant", "content": "".join(words)}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    return WholeAnswer(
        [chunk({"role": "assistant", "content": ""})],
        [chunk({"content": word}) for word in words],
        [chunk({}, "stop"), usage, DONE],
        {"id": "c", "object": "chat.completion", "choices": choices, "usage": _CHAT_USAGE},
    )


def _responses(words: Sequence[str]) -> WholeAnswer:
    numbers = count()

    def event(kind: str, **fields: object) -> bytes:
        return sse({"type": f"response.{kind}", "sequence_number": next(numbers), **fields})

    place: dict[str, Any] = {"item_id": "m", "output_index": 0, "content_index": 0}
    part: dict[str, Any] = {"type": "output_text", "text": "".join(words), "annotations": []}
    item: dict[str, Any] = {"id": "m", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
    completed = {**_BEGUN, "status": "completed", "output": [item], "usage": _USAGE}
    return WholeAnswer(
        [
            event("created", response=_BEGUN),
            event("in_progress", response=_BEGUN),
            event("output_item.added", output_index=0, item={**item, "status": "in_progress", "content": []}),
            event("content_part.added", **place, part={**part, "text": ""}),
        ],
        [event("output_text.delta", **place, delta=word, logprobs=[]) for word in words],
        [
            event("output_text.done", **place, text=part["text"], logprobs=[]),
            event("content_part.done", **place, part=part),
            event("output_item.done", output_index=0, item=item),
            event("completed", response=completed),
        ],
        completed,
    )


def _messages(words: Sequence[str]) -> WholeAnswer:
    return WholeAnswer(
        [
            sse({"type": "message_start", "message": _MESSAGE}),
            sse({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        ],
        [
            sse({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}})
            for word in words
        ],
        [
            sse({"type": "content_block_stop", "index": 0}),
            sse(
                {
                    "type": "message_delta",
                    "delta": {"stop_reason": "end_turn", "stop_sequence": None},
                    "usage": {"output_tokens": 5},
                }
            ),
            sse({"type": "message_stop"}),
        ],
        {**_MESSAGE, "content": [{"type": "text", "text": "".join(words)}], "stop_reason": "end_turn"},
    )


_ANSWERS = {"openai": _chat, "openai-responses": _responses, "anthropic": _messages}
