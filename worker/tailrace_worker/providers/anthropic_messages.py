"""Anthropic's Messages."""

from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import httpx2
import msgspec
from anthropic import AsyncAnthropic, AsyncStream
from msgspec import Raw

from tailrace.events import FinishReason, Reasoning, Refusal, ToolCall
from tailrace.request import GenerationRequest
from tailrace_worker.coalescer import Coalescer
from tailrace_worker.provider import Finish, Piece, Usage, text_delta
from tailrace_worker.providers import anthropic_wire as wire
from tailrace_worker.providers.anthropic_input import REDACTED, body
from tailrace_worker.providers.endpoint import Body, Endpoint
from tailrace_worker.providers.failures import ErrorEvent, Failures
from tailrace_worker.providers.tool_calls import ToolCalls, server_tool
from tailrace_worker.providers.vocabulary import Skipped

_FINISH_REASONS: Final[Mapping[str, FinishReason]] = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "refusal",
}
"""Every other word is a `stop`."""

_MAX_ASKED: Final = 4_096
"""How much is gathered of what a server's own tool is asked, to find the query in it."""


class AnthropicMessages:
    """A provider of the kind `anthropic`."""

    prefills = True

    def __init__(self, client: AsyncAnthropic, failures: Failures, coalescer: Coalescer) -> None:
        self._client = client
        self._endpoint = Endpoint(failures, self._post, coalescer)

    def stream(self, request: GenerationRequest) -> AsyncGenerator[Piece, None]:
        """Makes one call, as `Provider` says."""
        return self._endpoint.call(body(request), _Answer(self._endpoint.skipped))

    async def _post(self, body: Body) -> httpx2.Response:
        stream = await self._client.post(
            "/v1/messages", cast_to=object, body=body, stream=True, stream_cls=AsyncStream[object]
        )
        return stream.response


@dataclass(slots=True)
class _Asking:
    """The block that a tool is called in, as long as it has not ended."""

    place: int
    tool: wire.ToolUse | wire.ServerToolUse
    json: str = ""


class _Answer:
    def __init__(self, skipped: Skipped) -> None:
        self.finished = False
        self._skipped = skipped
        self._stop = wire.Stop()
        self._calls = ToolCalls()
        self._asking: _Asking | None = None

    def whole(self, body: bytes) -> Iterable[Piece]:
        return self.pieces(body)

    def pieces(self, data: bytes) -> Iterable[Piece]:
        if self.finished:
            return ()
        match wire.SAID.read(data, self._skipped):
            case wire.BlockDelta(index=place, delta=delta):
                return self._delta(place, delta)
            case wire.BlockStart(index=place, content_block=block):
                return self._block(place, block)
            case wire.BlockStop():
                return self._asked()
            case wire.MessageStart(message=message):
                # Its output tokens are those of the first piece at most: what was used is said at the end.
                return _usage(message.usage, begun=True)
            case wire.MessageDelta(delta=stop, usage=usage):
                self._stop = stop if stop.stop_reason else self._stop
                return _usage(usage)
            case wire.MessageStop():
                return self._finish(self._stop)
            case wire.Message() as message:
                return self._message(message)
            case wire.Error(error=error):
                raise ErrorEvent(error)
            case _:
                return ()

    def _delta(self, place: int, delta: Raw) -> Iterable[Piece]:
        match wire.DELTAS.read(delta, self._skipped):
            case wire.TextDelta(text=text) if text:
                return (text_delta(text),)
            case wire.ThinkingDelta(thinking=text) if text:
                return (Reasoning(text=text),)
            case wire.SignatureDelta(signature=signature) if signature:
                return (Reasoning(text="", signature=signature),)
            case wire.InputDelta(partial_json=json) if json:
                return self._input(place, json)
            case _:
                return ()

    def _input(self, place: int, json: str) -> Iterable[Piece]:
        call = self._calls.index(place)
        if call is not None:
            self._asking = None
            return (ToolCall(index=call, arguments=json),)
        if self._asking and len(self._asking.json) < _MAX_ASKED:
            self._asking.json += json[:_MAX_ASKED]
        return ()

    def _block(self, place: int, block: Raw) -> Iterator[Piece]:
        yield from self._asked()
        match wire.BLOCKS.read(block, self._skipped):
            case wire.Text(text=text) if text:
                yield text_delta(text)
            case wire.Thinking(thinking=text, signature=signature):
                if text:
                    yield Reasoning(text=text)
                if signature:
                    yield Reasoning(text="", signature=signature)
            case wire.RedactedThinking(data=data):
                yield Reasoning(text="", signature=f"{REDACTED}{data}")
            case wire.ToolUse() as tool:
                self._asking = _Asking(place, tool)
                yield ToolCall(index=self._calls.begin(place, tool.id), call_id=tool.id, name=tool.name)
            case wire.ServerToolUse() as tool:
                self._asking = _Asking(place, tool)
            case _:
                return

    def _asked(self) -> Iterator[Piece]:
        """What is left to tell of the tool whose block has ended: input that did not come in fragments."""
        asking, self._asking = self._asking, None
        match asking:
            case _Asking(place=place, tool=wire.ToolUse(input=given)) if given:
                arguments = msgspec.json.encode(given).decode()
                yield ToolCall(index=self._calls.begin(place, None), arguments=arguments)
            case _Asking(tool=wire.ServerToolUse(name=name, input=given), json=json):
                yield server_tool(name, given or _parsed(json))
            case _:
                return

    def _message(self, message: wire.Message) -> Iterator[Piece]:
        for place, block in enumerate(message.content):
            yield from self._block(place, block)
        yield from self._asked()
        yield from _usage(message.usage)
        yield from self._finish(message)

    def _finish(self, stop: wire.Stop) -> Iterator[Piece]:
        self.finished = True
        reason = stop.stop_reason or ""
        yield from self._asked()
        if stop.stop_details and stop.stop_details.explanation:
            yield Refusal(text=stop.stop_details.explanation)
        yield Finish(reason=_FINISH_REASONS.get(reason, "stop"), provider_reason=reason)


def _usage(usage: wire.Usage | None, *, begun: bool = False) -> Iterator[Piece]:
    if usage is not None:
        details = usage.output_tokens_details
        yield Usage(
            input_tokens=usage.input_tokens,
            output_tokens=None if begun else usage.output_tokens,
            cached_input_tokens=usage.cache_read_input_tokens,
            reasoning_tokens=details.thinking_tokens if details else None,
        )


def _parsed(json: str) -> object:
    try:
        return msgspec.json.decode(json)
    except ValueError:
        return None
