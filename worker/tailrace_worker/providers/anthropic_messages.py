"""Anthropic's Messages."""

from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from typing import Final

import httpx2
import msgspec
from anthropic import AsyncAnthropic, AsyncStream
from msgspec import Struct

from tailrace.events import FinishReason, Reasoning, Refusal
from tailrace.request import GenerationRequest
from tailrace_worker.coalescer import Coalescer
from tailrace_worker.provider import Alive, Finish, Piece, text_delta
from tailrace_worker.providers import anthropic_wire as wire
from tailrace_worker.providers.anthropic_input import REDACTED, UNSIGNED, body
from tailrace_worker.providers.anthropic_turn import Turn
from tailrace_worker.providers.endpoint import Body, Endpoint
from tailrace_worker.providers.failures import ErrorEvent, Failures
from tailrace_worker.providers.finish_words import finish_reason
from tailrace_worker.providers.fragments import Fragments
from tailrace_worker.providers.token_counts import Places, used
from tailrace_worker.providers.tool_calls import Call, ToolCalls, as_text, server_tool
from tailrace_worker.providers.vocabulary import Skipped

_FINISH_WORDS: Final[Mapping[str, FinishReason]] = {"tool_use": "tool_calls"}
"""The words whose meaning is not told by what they say."""

_COUNTS: Final[Places] = {
    "input_tokens": [("input_tokens",)],
    "output_tokens": [("output_tokens",)],
    "cached_input_tokens": [("cache_read_input_tokens",)],
    "cache_write_input_tokens": [("cache_creation_input_tokens",)],
    "reasoning_tokens": [("output_tokens_details", "thinking_tokens")],
}
_COUNTS_AT_BEGINNING: Final[Places] = {field: paths for field, paths in _COUNTS.items() if field != "output_tokens"}
"""At the beginning, the output tokens are those of the first piece at most."""

_MAX_ASKED: Final = 4_096
"""How much is gathered of what a server's own tool is asked, to find the query in it."""


class AnthropicMessages:
    """A provider of the kind `anthropic`."""

    prefills = True

    def __init__(self, client: AsyncAnthropic, failures: Failures, coalescer: Coalescer) -> None:
        self._client = client
        self._endpoint = Endpoint(failures, self._post, coalescer)

    def stream(self, request: GenerationRequest) -> AsyncGenerator[Piece | Alive, None]:
        """Makes one call, as `Provider` says."""
        # Tools that the provider runs itself are in `extra`. What guards have not seen is not recorded.
        may_pause = bool(request.extra.keys() & {"tools", "mcp_servers"}) and not request.guards
        return self._endpoint.call(body(request), _Answer(self._endpoint.skipped, Turn() if may_pause else None))

    async def _post(self, body: Body) -> httpx2.Response:
        stream = await self._client.post(
            "/v1/messages", cast_to=object, body=body, stream=True, stream_cls=AsyncStream[object]
        )
        return stream.response


class _Answer:
    def __init__(self, skipped: Skipped, turn: Turn | None = None) -> None:
        """`turn` records the answer, to be given back as it came where the provider pauses it."""
        self.is_whole = False
        self.is_over = False
        self.finished = False
        self._skipped = skipped
        self._turn = turn
        self._stop = wire.Stop()
        self._has_content = False
        self._calls = ToolCalls()
        self._places: dict[int, Call] = {}
        """The calls, by the index of their block."""
        self._open: Struct | None = None
        """The block that has begun and not ended."""
        self._asked = ""
        """What the server's own tool in it is asked, as JSON."""
        self._text = Fragments()
        self._thinking = Fragments()
        """The text and the thinking of that block."""
        self._is_signed = False

    def whole(self, body: bytes) -> Iterable[Piece]:
        return self.pieces(body)

    def done(self) -> None:
        self.is_whole = self.is_whole or self._has_content
        self.is_over = True

    def pieces(self, data: bytes, name: bytes = b"") -> Iterable[Piece]:
        match wire.SAID.read(data, self._skipped, name=name):
            case wire.BlockDelta(index=place, delta=delta):
                return self._delta(place, delta)
            case wire.BlockStart(index=place, content_block=block):
                return self._begin(place, block)
            case wire.BlockStop():
                return self._end_block()
            case wire.MessageStart(message=message):
                return self._begin_message(message)
            case wire.MessageDelta(delta=stop, usage=usage):
                if stop.stop_reason:
                    self._stop = stop
                    self.is_whole = True
                return used(usage, _COUNTS)
            case wire.MessageStop():
                self.is_whole = self.is_over = True
                return ()
            case wire.Message() as message:
                return self._message(message)
            case wire.Error(error=error):
                raise ErrorEvent(error)
            case _:
                return ()

    def end(self) -> Iterator[Piece]:
        word = str(self._stop.stop_reason or "")
        reason = finish_reason(word, _FINISH_WORDS)
        self.finished = True
        yield from self._end_block()
        yield from self._calls.end()
        if reason != "refusal" and self._calls.are_complete:
            # Servers say `end_turn` of a turn that calls tools.
            reason = "tool_calls"
        if self._turn and word == "pause_turn" and (signature := self._turn.signature()):
            yield Reasoning(text="", signature=signature)
        details = self._stop.stop_details
        if details and isinstance(details.explanation, str) and details.explanation:
            yield Refusal(text=details.explanation)
        yield Finish(reason=reason, provider_reason=word)

    def _begin_message(self, said: object) -> Iterator[Piece]:
        message = wire.MESSAGES.known(said, self._skipped) if said else None
        if isinstance(message, wire.Message):
            yield from self._blocks(message)
            yield from used(message.usage, _COUNTS_AT_BEGINNING)

    def _message(self, message: wire.Message) -> Iterator[Piece]:
        self._stop = message
        self.is_whole = self.is_over = True
        yield from self._blocks(message)
        yield from used(message.usage, _COUNTS)

    def _blocks(self, message: wire.Message) -> Iterator[Piece]:
        for place, block in enumerate(message.content):
            yield from self._begin(place, block)
        yield from self._end_block()

    def _begin(self, place: int, said: object) -> Iterator[Piece]:
        yield from self._end_block()
        if self._turn:
            self._turn.begin(said)
        block = self._open = wire.BLOCKS.known(said, self._skipped)
        self._has_content = True
        match block:
            case wire.Text(text=text):
                yield from self._say(text)
            case wire.Thinking(thinking=text, signature=signature):
                yield from self._think(text)
                yield from self._sign(signature)
            case wire.RedactedThinking(data=data):
                yield Reasoning(text="", signature=f"{REDACTED}{data}")
            case wire.ToolUse(id=call_id, name=name):
                call = self._places[place] = self._calls.begin()
                yield from call.named(call_id, name)
            case _:
                return

    def _delta(self, place: int, said: object) -> Iterable[Piece]:
        if self._turn:
            self._turn.add(said)
        self._has_content = True
        match wire.DELTAS.known(said, self._skipped):
            case wire.TextDelta(text=text):
                return self._say(text)
            case wire.ThinkingDelta(thinking=text):
                return self._think(text)
            case wire.SignatureDelta(signature=signature):
                return self._sign(signature)
            case wire.InputDelta(partial_json=json):
                return self._input(place, json)
            case _:
                return ()

    def _say(self, text: str) -> Iterable[Piece]:
        told = self._text.add(text)
        return (text_delta(told),) if told else ()

    def _think(self, text: str) -> Iterable[Piece]:
        told = self._thinking.add(text)
        return (Reasoning(text=told),) if told else ()

    def _sign(self, signature: str) -> Iterable[Piece]:
        self._is_signed = self._is_signed or bool(signature)
        return (Reasoning(text="", signature=signature),) if signature else ()

    def _input(self, place: int, json: object) -> Iterable[Piece]:
        if call := self._places.get(place):
            return call.fragment(json)
        if len(self._asked) < _MAX_ASKED:
            self._asked += as_text(json)[:_MAX_ASKED]
        return ()

    def _end_block(self) -> Iterator[Piece]:
        """Tell what is left of the block that is open."""
        if half := self._thinking.end():
            yield Reasoning(text=half)
        if self._thinking and not self._is_signed:
            yield Reasoning(text="", signature=UNSIGNED)
        if half := self._text.end():
            yield text_delta(half)
        block, self._open = self._open, None
        match block:
            case wire.ToolUse(input=given) if given and (call := self._last_call) and call.arguments.is_blank:
                # Input that did not come in fragments.
                yield from call.fragment(given)
            case wire.ServerToolUse(name=name, input=given):
                yield server_tool(name, given or _parsed(self._asked))
            case _:
                pass
        self._asked = ""
        self._is_signed = False
        if self._text or self._thinking:
            self._text, self._thinking = Fragments(), Fragments()

    @property
    def _last_call(self) -> Call | None:
        return self._calls.at(-1)


def _parsed(json: str) -> object:
    try:
        return msgspec.json.decode(json)
    except ValueError:
        return None
