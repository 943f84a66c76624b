"""Anthropic's Messages: the events of a streamed message, and the message object."""

import json
from collections.abc import Iterator, Mapping
from json.encoder import encode_basestring_ascii as quoted
from types import MappingProxyType
from typing import Any, Final

from tailrace.encoders.base import ReplayFrom
from tailrace.encoders.message_blocks import Block, TextContentBlock, ThinkingContentBlock, ToolUseContentBlock, cited
from tailrace.encoders.restarts import Restarts
from tailrace.encoders.stream_error import GAP, STARTED_AGAIN, StreamError
from tailrace.encoders.tool_input import ToolInput
from tailrace.encoders.usage import message_usage
from tailrace.events import (
    Cancelled,
    Citation,
    Completed,
    Delta,
    Ending,
    Event,
    Failed,
    FinishReason,
    Gap,
    Queued,
    Reasoning,
    Refusal,
    Started,
    ToolCall,
)

_OWN_REASONS: Final = frozenset(
    {
        *("end_turn", "max_tokens", "stop_sequence", "tool_use", "pause_turn", "refusal"),
        "model_context_window_exceeded",
    }
)
_REASONS: Final[Mapping[FinishReason, str]] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
    "refusal": "refusal",
}
"""Anthropic's words for the finish reasons of other providers."""
ERROR_TYPES: Final[Mapping[str, str]] = {
    "invalid_request": "invalid_request_error",
    "provider_rejected": "invalid_request_error",
    "content_blocked": "invalid_request_error",
    "model_not_found": "not_found_error",
    "provider_authentication": "authentication_error",
    "provider_rate_limited": "rate_limit_error",
    "provider_quota_exceeded": "billing_error",
    "provider_overloaded": "overloaded_error",
    "first_token_timeout": "timeout_error",
    "idle_timeout": "timeout_error",
    "total_timeout": "timeout_error",
}
"""The types of the errors that a client acts on. All others are `api_error`."""
_NOT_COUNTED: Final = dict.fromkeys(
    ("cache_creation", "inference_geo", "output_tokens_details", "server_tool_use", "service_tier")
)
"""Members of a message's usage that Anthropic's API always has, and that no event tells."""


def message_id(job_id: str) -> str:
    """Return the id that the message of a job has for clients.

    Args:
        job_id: The id of the job.
    """
    return f"msg_{job_id}"


class AnthropicMessagesEncoder:
    """Encodes events as the events of a message.

    The protocol cannot take text back: a restart after something was said ends the response with an error.

    Args:
        job_id: The id of the job, from which the message has its id.
        model: The model as the client named it; by default that of the first attempt.
    """

    headers: Mapping[str, str] = MappingProxyType({})
    """None beside those of every stream."""
    replay_from: ReplayFrom = ReplayFrom.BEGINNING
    """The beginning: clients cannot resume a message."""
    opening: bytes = b""
    """Nothing: the first event comes with the first attempt."""

    def __init__(self, job_id: str, *, model: str | None = None) -> None:
        self.is_over: bool = False
        """True after the ending, and after an error."""
        self._job_id = job_id
        self._model = model
        self._ending: Completed | None = None
        self._restarts = Restarts()
        self._has_begun = False
        self._blocks: list[Block] = []
        self._open: list[int] = []
        """The places of the blocks that still grow. Only calls may grow beside each other."""
        self._calls: dict[int, tuple[ToolInput, int | None]] = {}
        """The calls by their index, each with the place of its block once clients see it."""
        self._text: TextContentBlock | None = None
        """The block of text that grows."""
        self._delta = ""
        """The beginning of the frames with which it grows."""

    def encode(self, event: Event) -> bytes:
        """Encode the next event.

        Args:
            event: The next event of the tail.

        Returns:
            The frames of the event, one after the other; empty if it has none.
        """
        if self._text is not None and type(event) is Delta and event.id.attempt == self._restarts.attempt:
            # Nearly every event of a long answer takes this way.
            self._text.say(event.text)
            return f"{self._delta}{quoted(event.text)}}}}}\n\n".encode()
        return b"" if self.is_over else "".join(self._frames(event)).encode()

    def broken_off(self) -> bytes:
        """Tell the client that the job cannot be read to its ending, although it may go on.

        Returns:
            The last frame of the response.
        """
        return self._fail(StreamError.broken_off()).encode()

    @property
    def message(self) -> dict[str, Any]:
        """The message as it is after the events so far: what a call that is not streamed returns."""
        ending = self._ending
        return {
            "id": message_id(self._job_id),
            "type": "message",
            "role": "assistant",
            "model": self._model or "",
            "content": [block.object() for block in self._blocks],
            "stop_reason": None if ending is None else _stop_reason(ending),
            "stop_sequence": None,
            "stop_details": None,
            "container": None,
            "usage": {
                **_NOT_COUNTED,
                **({"input_tokens": 0, "output_tokens": 0} if ending is None else message_usage(ending)),
            },
        }

    def _frames(self, event: Event) -> Iterator[str]:
        if self._restarts.is_restart(event):
            self._calls.clear()
            if self._blocks:
                yield self._fail(STARTED_AGAIN)
                return
        if not (self._has_begun or isinstance(event, Queued)):
            yield self._begin(event)
        match event:
            case Delta() | Refusal() if event.text:
                yield from self._say(event.text)
            case Reasoning():
                yield from self._think(event)
            case ToolCall():
                yield from self._call(event)
            case Citation():
                yield from self._cite(event)
            case Started() if self._thought():
                # The attempt continues the answer, but not the thought.
                yield from self._stop()
            case Gap():
                yield self._fail(GAP)
            case Completed() | Failed() | Cancelled():
                yield from self._end(event)
            case _:
                pass

    def _begin(self, event: Event) -> str:
        self._has_begun = True
        if self._model is None and isinstance(event, Started):
            self._model = event.model
        return _frame("message_start", {"message": self.message})

    def _say(self, text: str) -> Iterator[str]:
        block = self._text
        if block is None:
            block = TextContentBlock()
            yield from self._start(block)
            self._text = block
            place = len(self._blocks) - 1
            self._delta = _frame("content_block_delta", {"index": place, "delta": {"type": "text_delta", "text": ""}})
            self._delta = self._delta.removesuffix('""}}\n\n')
        yield _delta(len(self._blocks) - 1, block.say(text))

    def _think(self, event: Reasoning) -> Iterator[str]:
        block = self._thought()
        if block is None:
            block = ThinkingContentBlock()
            yield from self._start(block)
        place = len(self._blocks) - 1
        if event.text:
            yield _delta(place, block.say(event.text))
        if event.signature:
            yield _delta(place, block.sign(event.signature))
            yield from self._stop()

    def _call(self, event: ToolCall) -> Iterator[str]:
        call, place = self._calls.get(event.index, (ToolInput(), None))
        call.add(event)
        fragment = event.arguments
        if place is None and call.is_named:
            yield from self._start(ToolUseContentBlock(call))
            place, fragment = len(self._blocks) - 1, call.arguments
        self._calls[event.index] = call, place
        if fragment and place in self._open:
            yield _delta(place, {"type": "input_json_delta", "partial_json": fragment})

    def _cite(self, citation: Citation) -> Iterator[str]:
        location = cited(citation)
        if location is not None and self._text is not None:
            yield _delta(len(self._blocks) - 1, self._text.cite(location))

    def _thought(self) -> ThinkingContentBlock | None:
        """Return the block of thinking that grows."""
        last = len(self._blocks) - 1
        block = self._blocks[last] if last in self._open else None
        return block if isinstance(block, ThinkingContentBlock) else None

    def _start(self, block: Block) -> Iterator[str]:
        """Begin a block. Before it, all blocks end but calls whose arguments are not whole."""
        yield from self._stop(is_call=isinstance(block, ToolUseContentBlock))
        self._open.append(len(self._blocks))
        self._blocks.append(block)
        yield _frame("content_block_start", {"index": len(self._blocks) - 1, "content_block": _begun(block)})

    def _stop(self, *, is_call: bool = False) -> Iterator[str]:
        self._text = None
        for place in list(self._open):
            block = self._blocks[place]
            if is_call and isinstance(block, ToolUseContentBlock) and not block.is_whole:
                continue
            self._open.remove(place)
            yield _frame("content_block_stop", {"index": place})

    def _end(self, ending: Ending) -> Iterator[str]:
        if not isinstance(ending, Completed):
            yield self._fail(StreamError.of(ending))
            return
        self._ending = ending
        self.is_over = True
        yield from self._stop()
        delta = {"stop_reason": _stop_reason(ending), "stop_sequence": None}
        yield _frame("message_delta", {"delta": delta, "usage": message_usage(ending)})
        yield _frame("message_stop", {})

    def _fail(self, error: StreamError) -> str:
        self.is_over = True
        self._text = None
        return error_frame(error)


def error_frame(error: StreamError) -> str:
    """Return the last frame of a stream that ends with an error.

    Args:
        error: The error.
    """
    return _frame("error", {"error": {"type": ERROR_TYPES.get(error.code, "api_error"), "message": error.message}})


def _stop_reason(ending: Completed) -> str:
    own = ending.provider_finish_reason
    return own if own in _OWN_REASONS else _REASONS[ending.finish_reason]


def _begun(block: Block) -> dict[str, Any]:
    begun = block.object()
    return {**begun, "input": {}} if isinstance(block, ToolUseContentBlock) else begun


def _delta(place: int, delta: Mapping[str, Any]) -> str:
    return _frame("content_block_delta", {"index": place, "delta": delta})


def _frame(kind: str, fields: Mapping[str, Any]) -> str:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields}, separators=(',', ':'))}\n\n"
