"""OpenAI's Responses, and whatever else speaks that protocol."""

from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from typing import Final

import httpx2
from msgspec import Raw
from openai import AsyncOpenAI, AsyncStream

from tailrace.events import FinishReason, Reasoning, Refusal, ToolCall
from tailrace.request import GenerationRequest
from tailrace_worker.coalescer import Coalescer
from tailrace_worker.provider import Finish, Piece, Usage, text_delta
from tailrace_worker.providers import responses_wire as wire
from tailrace_worker.providers.endpoint import Body, Endpoint
from tailrace_worker.providers.failures import ErrorEvent, Failures
from tailrace_worker.providers.json_decoder import decoder
from tailrace_worker.providers.responses_input import body
from tailrace_worker.providers.responses_reasoning import GAP, Part, signature_of, text_of
from tailrace_worker.providers.tool_calls import ToolCalls, server_tool
from tailrace_worker.providers.vocabulary import Skipped, kind_of

_INCOMPLETE_REASONS: Final[Mapping[str, FinishReason]] = {"content_filter": "content_filter", "steered": "stop"}
"""Every other word is a `length`."""

_MAX_OPEN_ITEMS: Final = 1_024
"""How many may have begun and not ended: one is usual."""

_whole: Final = decoder(wire.Response)
_anything: Final = decoder(object)


class OpenAIResponses:
    """A provider of the kind `openai-responses`."""

    prefills = False

    def __init__(self, client: AsyncOpenAI, failures: Failures, coalescer: Coalescer) -> None:
        self._client = client
        self._endpoint = Endpoint(failures, self._post, coalescer)

    def stream(self, request: GenerationRequest) -> AsyncGenerator[Piece, None]:
        """Makes one call, as `Provider` says."""
        return self._endpoint.call(body(request), _Answer(self._endpoint.skipped))

    async def _post(self, body: Body) -> httpx2.Response:
        stream = await self._client.post(
            "/responses", cast_to=object, body=body, stream=True, stream_cls=AsyncStream[object]
        )
        return stream.response


class _Answer:
    def __init__(self, skipped: Skipped) -> None:
        self.finished = False
        self._skipped = skipped
        self._refused = False
        self._has_items = False
        """Whether the stream has told of any."""
        self._calls = ToolCalls()
        """By the index of their item."""
        self._told: dict[int, Part | None] = {}
        """The items that have not ended, and of which some was told in fragments: the part of the reasoning that the
        last one was of."""

    def pieces(self, data: bytes) -> Iterable[Piece]:
        if self.finished:
            return ()
        match wire.EVENTS.read(data, self._skipped):
            case wire.Fragment(delta=text) as fragment if text:
                self._has_items = True
                return self._fragment(fragment)
            case wire.ItemAdded(item=item, output_index=place):
                self._has_items = True
                return self._added(place, item)
            case wire.ItemDone(item=item, output_index=place):
                self._has_items = True
                return self._done(place, item)
            case wire.Completed(response=response):
                return self._last("completed", response)
            case wire.Incomplete(response=response):
                return self._last("incomplete", response)
            case wire.Failed(response=response):
                raise ErrorEvent(response.error)
            case wire.Error() as said:
                raise ErrorEvent(said.error or {"code": said.code, "message": said.message})
            case _:
                return ()

    def whole(self, body: bytes) -> Iterator[Piece]:
        response = _whole(body)
        yield from self._output(response)
        # The status may be left out; what is not there yet has no output either.
        is_said = response.status is None and response.output
        yield from self._ended("completed" if is_said else response.status or "", response)

    def _last(self, status: str, response: wire.Response) -> Iterator[Piece]:
        if not self._has_items:
            # A server that streams its last event alone.
            yield from self._output(response)
        yield from self._ended(status, response)

    def _output(self, response: wire.Response) -> Iterator[Piece]:
        for place, item in enumerate(response.output or ()):
            yield from self._done(place, item)

    def _fragment(self, fragment: wire.Fragment) -> Iterable[Piece]:
        text, place = fragment.delta, fragment.output_index
        part: Part | None = None
        match fragment:
            case wire.TextDelta():
                piece: Piece = text_delta(text)
            case wire.SummaryDelta(summary_index=number):
                part = Part("summary", number)
                piece = self._thought(place, part, text)
            case wire.ReasoningDelta(content_index=number):
                part = Part("content", number)
                piece = self._thought(place, part, text)
            case wire.RefusalDelta():
                piece = self._refusal(text)
            case _:
                call = self._calls.index(place)
                if call is None:
                    return ()
                piece = ToolCall(index=call, arguments=text)
        if place not in self._told and len(self._told) == _MAX_OPEN_ITEMS:
            raise ValueError(f"It has begun {_MAX_OPEN_ITEMS:,} items and ended none of them.")
        self._told[place] = part
        return (piece,)

    def _thought(self, place: int, part: Part, text: str) -> Reasoning:
        last = self._told.get(place)
        return Reasoning(text=text if last in (None, part) else f"{GAP}{text}")

    def _refusal(self, text: str) -> Refusal:
        self._refused = True
        return Refusal(text=text)

    def _added(self, place: int, item: Raw) -> Iterable[Piece]:
        match wire.CALLS.read(item, self._skipped):
            case wire.FunctionCall(call_id=call_id, name=name) | wire.CustomToolCall(call_id=call_id, name=name):
                return (ToolCall(index=self._calls.begin(place, call_id), call_id=call_id, name=name),)
            case _:
                return ()

    def _done(self, place: int, item: Raw) -> Iterator[Piece]:
        """What was not told in fragments of an item that is whole."""
        is_told = place in self._told
        last_told = self._told.pop(place, None)
        match wire.ITEMS.read(item, self._skipped):
            case wire.Message(content=parts):
                for part in () if is_told else parts:
                    yield from self._part(part)
            case wire.Reasoning() as block:
                if not is_told and (text := text_of(block)):
                    yield Reasoning(text=text)
                if signature := signature_of(block, last_told):
                    yield Reasoning(text="", signature=signature)
            case (
                wire.FunctionCall(call_id=call_id, name=name, arguments=arguments)
                | wire.CustomToolCall(call_id=call_id, name=name, input=arguments)
            ):
                if self._calls.index(place) is None:
                    yield ToolCall(index=self._calls.begin(place, call_id), call_id=call_id, name=name)
                if not is_told and arguments:
                    yield ToolCall(index=self._calls.begin(place, call_id), arguments=arguments)
            case _:
                kind, end, _ = kind_of(item).rpartition("_call")
                if end:
                    yield server_tool(kind, _anything(item))

    def _part(self, part: Raw) -> Iterable[Piece]:
        match wire.PARTS.read(part, self._skipped):
            case wire.OutputText(text=text) if text:
                return (text_delta(text),)
            case wire.OutputRefusal(refusal=text) if text:
                return (self._refusal(text),)
            case _:
                return ()

    def _ended(self, status: str, response: wire.Response) -> Iterator[Piece]:
        if response.error:
            raise ErrorEvent(response.error)
        if usage := response.usage:
            read, written = usage.input_tokens_details, usage.output_tokens_details
            yield Usage(
                input_tokens=usage.input_tokens,
                output_tokens=usage.output_tokens,
                cached_input_tokens=read.cached_tokens if read else None,
                reasoning_tokens=written.reasoning_tokens if written else None,
            )
        match status:
            case "completed":
                reason: FinishReason = "tool_calls" if self._calls else "refusal" if self._refused else "stop"
                yield self._finish(reason, status)
            case "incomplete":
                details = response.incomplete_details
                word = (details and details.reason) or status
                yield self._finish(_INCOMPLETE_REASONS.get(word, "length"), word)
            case _:
                return

    def _finish(self, reason: FinishReason, provider_reason: str) -> Finish:
        self.finished = True
        return Finish(reason=reason, provider_reason=provider_reason)
