"""OpenAI's Responses, and whatever else speaks that protocol."""

from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from typing import Final

import httpx2
from openai import AsyncOpenAI, AsyncStream

from tailrace.events import FinishReason, Reasoning, Refusal
from tailrace.request import GenerationRequest
from tailrace_worker.coalescer import Coalescer
from tailrace_worker.provider import Alive, Finish, Piece, text_delta
from tailrace_worker.providers import responses_wire as wire
from tailrace_worker.providers.endpoint import Body, Endpoint
from tailrace_worker.providers.failures import ErrorEvent, Failures
from tailrace_worker.providers.finish_words import finish_reason
from tailrace_worker.providers.fragments import Differs
from tailrace_worker.providers.json_decoder import members
from tailrace_worker.providers.responses_input import body
from tailrace_worker.providers.responses_items import Item, Items, TextKind
from tailrace_worker.providers.responses_reasoning import GAP, Part, signature_of, text_of
from tailrace_worker.providers.token_counts import Places, used
from tailrace_worker.providers.tool_calls import Call, ToolCalls, as_text, server_tool
from tailrace_worker.providers.vocabulary import Skipped, kind_of

_FINISH_WORDS: Final[Mapping[str, FinishReason]] = {"steered": "stop"}
"""The words whose meaning is not told by what they say."""

_COUNTS: Final[Places] = {
    "input_tokens": [("input_tokens",)],
    "output_tokens": [("output_tokens",)],
    "cached_input_tokens": [("input_tokens_details", "cached_tokens")],
    "cache_write_input_tokens": [("input_tokens_details", "cache_write_tokens")],
    "reasoning_tokens": [("output_tokens_details", "reasoning_tokens")],
}


class OpenAIResponses:
    """A provider of the kind `openai-responses`."""

    prefills = False

    def __init__(self, client: AsyncOpenAI, failures: Failures, coalescer: Coalescer) -> None:
        self._client = client
        self._endpoint = Endpoint(failures, self._post, coalescer)

    def stream(self, request: GenerationRequest) -> AsyncGenerator[Piece | Alive, None]:
        """Makes one call, as `Provider` says."""
        return self._endpoint.call(body(request), _Answer(self._endpoint.skipped))

    async def _post(self, body: Body) -> httpx2.Response:
        stream = await self._client.post(
            "/responses", cast_to=object, body=body, stream=True, stream_cls=AsyncStream[object]
        )
        return stream.response


class _Answer:
    def __init__(self, skipped: Skipped) -> None:
        self.is_whole = False
        self.is_over = False
        self.finished = False
        self._skipped = skipped
        self._items = Items()
        self._calls = ToolCalls()
        self._refused = False
        self._number: int | None = None
        """The number of the last event."""
        self._status = ""
        """How the response has ended,"""
        self._why = ""
        """and why, if it is incomplete."""

    def whole(self, body: bytes) -> Iterator[Piece]:
        response = wire.decode_response(body)
        # The status may be left out; what is not there yet has no output either.
        status = "completed" if response.status is None and response.output else str(response.status or "")
        yield from self._last(status, response)

    def done(self) -> None:
        items = list(self._items)
        self.is_whole = self.is_whole or (bool(items) and all(item.is_done for item in items))
        self.is_over = True

    def pieces(self, data: bytes, name: bytes = b"") -> Iterable[Piece]:
        event = wire.EVENTS.read(data, self._skipped, name=name)
        self._count(data)
        match event:
            case wire.Delta():
                return self._delta(event)
            case wire.OfItem():
                return self._text_done(event)
            case wire.ItemAdded(item=said, output_index=index):
                return self._added(index, said)
            case wire.ItemDone(item=said, output_index=index):
                return self._item_done(index, said)
            case wire.Completed(response=response) | wire.Done(response=response):
                return self._last("completed", response)
            case wire.Incomplete(response=response):
                return self._last("incomplete", response)
            case wire.Failed(response=response):
                raise ErrorEvent(response.error)
            case wire.Error() as said:
                raise ErrorEvent(said.error or {"code": said.code, "message": said.message})
            case _:
                return ()

    def end(self) -> Iterator[Piece]:
        reason: FinishReason = "tool_calls" if self._calls else "refusal" if self._refused else "stop"
        if self._status == "incomplete":
            reason = finish_reason(self._why, _FINISH_WORDS)
            if reason == "stop" and self._why not in _FINISH_WORDS:
                reason = "length"
        self.finished = True
        for item in self._items:
            for (kind, number), text in item.texts.items():
                if half := text.end():
                    yield self._piece(item, kind, number, half)
        yield from self._calls.end()
        yield Finish(reason=reason, provider_reason=self._why or self._status)

    def _count(self, data: bytes) -> None:
        number = wire.decode_numbered(data).sequence_number
        if isinstance(number, int):
            if self._number is not None and number > self._number + 1:
                raise ErrorEvent({"message": f"event {number} came after event {self._number}, those between are lost"})
            self._number = number

    def _delta(self, event: wire.Delta) -> Iterator[Piece]:
        if isinstance(event, wire.ArgumentsDelta | wire.InputDelta):
            call = self._call(event, is_json=isinstance(event, wire.ArgumentsDelta))
            yield from call.fragment(event.delta)
        elif event.delta:
            kind, number = _place(event)
            item = self._items.of(event.output_index, event.item_id, _ITEM_KINDS[kind])
            if text := item.text(kind, number).add(event.delta):
                yield self._piece(item, kind, number, text)

    def _text_done(self, event: wire.OfItem) -> Iterator[Piece]:
        match event:
            case wire.ArgumentsDone(arguments=whole):
                yield from self._call(event, is_json=True).whole(whole)
            case wire.InputDone(input=whole):
                yield from self._call(event, is_json=False).whole(whole)
            case (
                wire.TextDone(text=whole)
                | wire.RefusalDone(refusal=whole)
                | wire.SummaryDone(text=whole)
                | wire.ReasoningDone(text=whole)
            ):
                kind, number = _place(event)
                item = self._items.of(event.output_index, event.item_id, _ITEM_KINDS[kind])
                yield from self._rest(item, kind, number, whole)
            case wire.PartDone(part=part, content_index=number):
                item = self._items.of(event.output_index, event.item_id)
                match wire.PARTS.known(part, self._skipped):
                    case wire.OutputText(text=whole):
                        yield from self._rest(item, "text", _number(number), whole)
                    case wire.OutputRefusal(refusal=whole):
                        yield from self._rest(item, "refusal", _number(number), whole)
                    case _:
                        return
            case _:
                return

    def _added(self, index: object, said: object) -> Iterator[Piece]:
        item = self._items.added(index, members(said))
        match wire.CALLS.known(said, self._skipped):
            case wire.FunctionCall() | wire.CustomToolCall() as call:
                yield from self._named(item, call)
            case _:
                return

    def _item_done(self, index: object, said: object) -> Iterator[Piece]:
        kind = kind_of(said)
        item = self._items.ended(index, members(said))
        try:
            yield from self._done(item, said)
        except Differs:
            if not item.is_done:
                raise
            # Another item by the same id.
            yield from self._done(self._items.begin(kind), said)

    def _last(self, status: str, response: wire.Response) -> Iterator[Piece]:
        if response.status in {"incomplete", "failed", "cancelled"}:
            # Servers end the stream by one event, whatever has happened.
            status = str(response.status)
        if response.error:
            raise ErrorEvent(response.error)
        if status in {"failed", "cancelled"}:
            raise ErrorEvent({"message": f"its status is {status!r}"})
        for item, said in self._items.matched(response.output or ()):
            if item is None or not (item.is_done and item.is_told):
                yield from self._done(item or self._items.begin(kind_of(said)), said)
        yield from used(response.usage, _COUNTS)
        self._status = status
        if status == "incomplete":
            self._why = str((response.incomplete_details and response.incomplete_details.reason) or status)
        self.is_whole = self.is_over = status in {"completed", "incomplete"}

    def _done(self, item: Item, said: object) -> Iterator[Piece]:
        """Tell what the fragments have not told of an item that is whole."""
        match wire.ITEMS.known(said, self._skipped):
            case wire.Message(content=parts):
                yield from self._message(item, parts)
            case wire.Reasoning() as block:
                if not item.last_thought and (text := text_of(block)):
                    yield Reasoning(text=text)
                if not item.is_done and (signature := signature_of(block, item.last_thought)):
                    yield Reasoning(text="", signature=signature)
            case wire.FunctionCall(arguments=arguments) | wire.CustomToolCall(input=arguments) as call:
                yield from self._named(item, call)
                if item.call:
                    yield from item.call.whole(arguments)
            case _:
                kind, end, _ = kind_of(said).rpartition("_call")
                if end and not item.is_done:
                    yield server_tool(kind, said)
        self._items.close(item)

    def _message(self, item: Item, parts: Iterable[object]) -> Iterator[Piece]:
        texts: list[str] = []
        refusals: list[str] = []
        for part in parts:
            match wire.PARTS.known(part, self._skipped):
                case wire.OutputText(text=text):
                    texts.append(text)
                case wire.OutputRefusal(refusal=text):
                    refusals.append(text)
                case _:
                    pass
        if rest := item.rest("text", "".join(texts)):
            yield self._piece(item, "text", 0, rest)
        if rest := item.rest("refusal", "".join(refusals)):
            yield self._piece(item, "refusal", 0, rest)

    def _rest(self, item: Item, kind: TextKind, number: int, whole: str) -> Iterator[Piece]:
        """Tell what the fragments have not told of a text that is whole."""
        text = item.text(kind, number)
        try:
            rest = text.rest(whole)
        except Differs:
            if kind in {"text", "refusal"}:
                raise
            return
        if rest:
            yield self._piece(item, kind, number, rest)

    def _piece(self, item: Item, kind: TextKind, number: int, text: str) -> Piece:
        match kind:
            case "text":
                return text_delta(text)
            case "refusal":
                self._refused = True
                return Refusal(text=text)
            case "summary" | "content":
                part, last = Part(kind, number), item.last_thought
                item.last_thought = part
                return Reasoning(text=text if last in (None, part) else f"{GAP}{text}")

    def _call(self, event: wire.OfItem, *, is_json: bool) -> Call:
        kind = "function_call" if is_json else "custom_tool_call"
        item = self._items.of(event.output_index, event.item_id, kind)
        if item.call is None:
            item.call = self._calls.begin(is_json=is_json)
        return item.call

    def _named(self, item: Item, said: wire.FunctionCall | wire.CustomToolCall) -> Iterator[Piece]:
        if item.call is None:
            item.call = self._calls.begin(is_json=isinstance(said, wire.FunctionCall))
        yield from item.call.named(said.call_id or as_text(said.id), said.name)


_ITEM_KINDS: Final[Mapping[TextKind, str]] = {
    "text": "message",
    "refusal": "message",
    "summary": "reasoning",
    "content": "reasoning",
}


def _place(event: wire.OfItem) -> tuple[TextKind, int]:
    """The kind of text that an event is of, and the number of its part."""
    match event:
        case wire.SummaryDelta(summary_index=number) | wire.SummaryDone(summary_index=number):
            return "summary", _number(number)
        case wire.ReasoningDelta() | wire.ReasoningDone():
            return "content", _number(event.content_index)
        case wire.RefusalDelta() | wire.RefusalDone():
            return "refusal", _number(event.content_index)
        case _:
            return "text", _number(event.content_index)


def _number(said: object) -> int:
    return said if isinstance(said, int) else 0
