"""OpenAI's Chat Completions: the chunks of a streamed completion, and the completion object."""

import io
import json
from collections.abc import Iterator, Mapping
from json.encoder import encode_basestring_ascii as quoted
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from tailrace.encoders.base import ReplayFrom
from tailrace.encoders.restarts import Restarts
from tailrace.encoders.stream_error import GAP, STARTED_AGAIN, StreamError
from tailrace.encoders.tool_input import ToolInput
from tailrace.encoders.usage import chat_usage
from tailrace.events import (
    Cancelled,
    Citation,
    Completed,
    Delta,
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

_Text: TypeAlias = Delta | Refusal | Reasoning

_TEXTS: Final = (Delta, Refusal)
_DONE: Final = "data: [DONE]\n\n"
_FIELDS: Final[Mapping[type[_Text], str]] = {Delta: "content", Refusal: "refusal", Reasoning: "reasoning_content"}
"""The field of a chunk's delta that each kind of text has."""
FINISH_REASONS: Final[Mapping[FinishReason, str]] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "refusal": "content_filter",
}
"""OpenAI's words for why an answer ended."""


def completion_id(job_id: str) -> str:
    """Return the id that the completion of a job has for clients.

    Args:
        job_id: The id of the job.
    """
    return f"chatcmpl-{job_id}"


class OpenAIChatEncoder:
    """Encodes events as chunks of a chat completion.

    All chunks have the same id and time, so a response can be sent again from its beginning. The protocol cannot take
    text back: a restart after something was said ends the response with an error.

    Args:
        job_id: The id of the job, from which the completion has its id.
        model: The model as the client named it; by default that of the first attempt.
        include_usage: True if a last chunk has the usage, as with `stream_options: {"include_usage": true}`.
    """

    headers: Mapping[str, str] = MappingProxyType({})
    """None beside those of every stream."""
    replay_from: ReplayFrom = ReplayFrom.BEGINNING
    """The beginning: clients cannot resume a completion."""
    opening: bytes = b""
    """Nothing: the first chunk comes with the first attempt."""

    def __init__(self, job_id: str, *, model: str | None = None, include_usage: bool = False) -> None:
        self.is_over: bool = False
        """True after the ending, and after an error."""
        self._job_id = job_id
        self._model = model
        self._usage: dict[str, None] = {"usage": None} if include_usage else {}
        self._created: int | None = None
        self._restarts = Restarts()
        self._has_begun = False
        self._shows_something = False
        """True if chunks have said what a restart makes void."""
        self._said: type[Delta | Refusal] | None = None
        """The kind of text for which `_delta` and `_rest` are the ends of a chunk."""
        self._delta = self._rest = ""
        self._texts: dict[type[_Text], io.StringIO] = {kind: io.StringIO() for kind in _FIELDS}
        """What was said so far, for the completion."""
        self._say_more = self._texts[Delta].write
        """Adds to the kind of text that is said."""
        self._ending: Completed | None = None
        self._calls: dict[int, ToolInput] = {}
        self._annotations: list[dict[str, Any]] = []
        self._places: dict[int, int] = {}
        """The index that clients see of each call, which grows by one."""

    def encode(self, event: Event) -> bytes:
        """Encode the next event.

        Args:
            event: The next event of the tail.

        Returns:
            The chunks of the event, one after the other; empty if it has none.
        """
        if isinstance(event, _TEXTS) and type(event) is self._said and event.id.attempt == self._restarts.attempt:
            # Nearly every event of a long answer takes this way.
            self._say_more(event.text)
            return f"{self._delta}{quoted(event.text)}{self._rest}".encode()
        return b"" if self.is_over else "".join(self._frames(event)).encode()

    def broken_off(self) -> bytes:
        """Tell the client that the job cannot be read to its ending, although it may go on.

        Returns:
            The last frames of the response.
        """
        self.is_over = True
        return self._error(StreamError.broken_off()).encode()

    @property
    def completion(self) -> dict[str, Any]:
        """The completion as it is after the events so far: what a call that is not streamed returns."""
        ending = self._ending
        message: dict[str, Any] = {
            "role": "assistant",
            "content": None,
            "refusal": None,
            "annotations": self._annotations,
        }
        message |= {_FIELDS[kind]: text for kind, said in self._texts.items() if (text := said.getvalue())}
        calls = [
            {"id": call.call_id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in (self._calls[index] for index in self._places)
        ]
        if calls:
            message["tool_calls"] = calls
        elif message["refusal"] is None:
            message["content"] = message["content"] or ""
        finish_reason = None if ending is None else FINISH_REASONS[ending.finish_reason]
        return {
            "id": completion_id(self._job_id),
            "object": "chat.completion",
            "created": self._created or 0,
            "model": self._model or "",
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason}],
            "usage": None if ending is None else chat_usage(ending),
        }

    def _frames(self, event: Event) -> Iterator[str]:
        if self._created is None:
            self._created = event.at // 1000 if isinstance(event, Queued | Started) else 0
        if self._restarts.is_restart(event):
            if self._shows_something:
                self.is_over = True
                yield self._error(STARTED_AGAIN)
                return
            self._calls.clear()
        if isinstance(event, Queued):
            return
        if not self._has_begun:
            yield from self._begin(event)
        match event:
            case Delta() | Refusal() | Reasoning():
                yield from self._say(event)
            case ToolCall():
                yield from self._call(event)
            case Citation():
                yield from self._cite(event)
            case Gap():
                self.is_over = True
                yield self._error(GAP)
            case Completed():
                yield from self._complete(event)
            case Failed() | Cancelled():
                self.is_over = True
                yield self._error(StreamError.of(event))
            case _:
                pass

    def _begin(self, event: Event) -> Iterator[str]:
        self._has_begun = True
        if self._model is None:
            self._model = event.model if isinstance(event, Started) else ""
        yield self._chunk({"role": "assistant", "content": ""})

    def _say(self, event: _Text) -> Iterator[str]:
        if not event.text:
            return
        self._shows_something = True
        kind = type(event)
        self._say_more = self._texts[kind].write
        self._say_more(event.text)
        # The text of a chunk stands between the same bytes until another kind of text is said.
        mark = "\0"
        self._delta, _, self._rest = self._chunk({_FIELDS[kind]: mark}).rpartition(quoted(mark))
        self._said = None if isinstance(event, Reasoning) else type(event)
        yield f"{self._delta}{quoted(event.text)}{self._rest}"

    def _call(self, event: ToolCall) -> Iterator[str]:
        call = self._calls.setdefault(event.index, ToolInput())
        was_named = call.is_named
        call.add(event)
        if not call.is_named:
            # Clients cannot take a call without its id and name.
            return
        self._shows_something = True
        place = self._places.setdefault(event.index, len(self._places))
        if was_named:
            yield self._chunk({"tool_calls": [{"index": place, "function": {"arguments": event.arguments}}]})
        else:
            function = {"name": call.name, "arguments": call.arguments}
            yield self._chunk(
                {"tool_calls": [{"index": place, "id": call.call_id, "type": "function", "function": function}]}
            )

    def _cite(self, citation: Citation) -> Iterator[str]:
        if annotation := url_citation(citation):
            self._shows_something = True
            # The SDK's helper for streams demands an index of whatever is in a list.
            yield self._chunk({"annotations": [{"index": len(self._annotations), **annotation}]})
            self._annotations.append(annotation)

    def _complete(self, ending: Completed) -> Iterator[str]:
        self.is_over = True
        self._ending = ending
        yield self._chunk({}, finish_reason=FINISH_REASONS[ending.finish_reason])
        if self._usage:
            yield self._frame({"choices": [], "usage": chat_usage(ending)})
        yield _DONE

    def _chunk(self, delta: Mapping[str, Any], *, finish_reason: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return self._frame({"choices": [choice], **self._usage})

    def _frame(self, fields: Mapping[str, Any]) -> str:
        chunk = {
            "id": completion_id(self._job_id),
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._model,
            **fields,
        }
        return f"data: {json.dumps(chunk, separators=(',', ':'))}\n\n"

    def _error(self, error: StreamError) -> str:
        self._said = None
        return error_frames(error)


def error_frames(error: StreamError) -> str:
    """Return the last frames of a stream that ends with an error.

    Args:
        error: The error.
    """
    return f"data: {json.dumps({'error': error.body}, separators=(',', ':'))}\n\n{_DONE}"


def url_citation(citation: Citation) -> dict[str, Any] | None:
    """Return a citation as an annotation of the answer's text.

    Args:
        citation: The citation.

    Returns:
        The annotation; `None` if it has no address or names no passage, because OpenAI has no form for it.
    """
    if citation.url is None or citation.start is None or citation.end is None:
        return None
    named = {"start_index": citation.start, "end_index": citation.end, "url": citation.url}
    return {"type": "url_citation", "url_citation": {**named, "title": citation.title or ""}}
