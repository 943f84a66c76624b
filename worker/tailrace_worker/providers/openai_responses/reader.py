"""`ItemReader`: turns the items of a response into pieces. Items arrive in fragments, as a whole, or both."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, cast

from tailrace.events import Reasoning, Refusal
from tailrace_worker.providers.annotations import cited
from tailrace_worker.providers.base import Piece, text_delta
from tailrace_worker.providers.citations import Citations
from tailrace_worker.providers.fragments import Differs
from tailrace_worker.providers.json_decoder import members
from tailrace_worker.providers.openai_responses import wire
from tailrace_worker.providers.openai_responses.items import Items, OutputItem, TextKind
from tailrace_worker.providers.openai_responses.reasoning import GAP, BlockPart, signature_of, text_of
from tailrace_worker.providers.tool_calls import Call, ToolCalls, as_text, server_tool
from tailrace_worker.providers.vocabulary import Skipped, kind_of

_MAX_PARTS: Final = 1_024
"""How many parts of an item are told apart. Later ones count as the last."""
_ITEM_KINDS: Final[Mapping[TextKind, str]] = {
    "text": "message",
    "refusal": "message",
    "summary": "reasoning",
    "content": "reasoning",
}


class ItemReader:
    """A reader of one response's items, which yields each text and each argument once.

    Every method that takes a whole text, item or response raises `Differs` if it contradicts the fragments.
    """

    def __init__(self, skipped: Skipped) -> None:
        self.refused = False
        """True once there was a refusal."""
        self.calls = ToolCalls()
        self._skipped = skipped
        self._items = Items()
        self._citations = Citations()
        self._chars = 0
        """How many characters of the answer's text were passed on."""

    @property
    def is_complete(self) -> bool:
        """True if there are items, and the arguments of no call among them were cut."""
        items = list(self._items)
        return bool(items) and all(each.is_done or not each.call or each.call.arguments.is_complete for each in items)

    def fragment(self, event: wire.Delta) -> Iterable[Piece]:
        """Read a fragment."""
        if isinstance(event, wire.ArgumentsDelta | wire.InputDelta):
            kind = "function_call" if isinstance(event, wire.ArgumentsDelta) else "custom_tool_call"
            item = self._items.growing(event.output_index, event.item_id, kind)
            return self._call(item).fragment(event.delta)
        if not event.delta:
            return ()
        kind, number = _place(event)
        item = self._items.growing(event.output_index, event.item_id, _ITEM_KINDS[kind])
        text = item.text(kind, number).add(event.delta)
        return (self._piece(item, kind, number, text),) if text else ()

    def text(self, event: wire.OfItem) -> Iterable[Piece]:
        """Read a whole text, or the whole arguments of a call, after its fragments."""
        match event:
            case wire.ArgumentsDone(arguments=whole):
                return self._arguments_done(event, "function_call", whole)
            case wire.InputDone(input=whole):
                return self._arguments_done(event, "custom_tool_call", whole)
            case (
                wire.TextDone(text=whole)
                | wire.RefusalDone(refusal=whole)
                | wire.SummaryDone(text=whole)
                | wire.ReasoningDone(text=whole)
            ):
                kind, number = _place(event)
                return self._rest(self._of(event, kind), kind, number, whole)
            case wire.AnnotationAdded(annotation=annotation, content_index=number):
                return self._cited(self._of(event, "text"), _number(number), [annotation])
            case wire.PartDone(part=part, content_index=number) if part:
                match wire.PARTS.known(part, self._skipped):
                    case wire.OutputText(text=whole, annotations=annotations):
                        return self._part(self._of(event, "text"), _number(number), whole, annotations)
                    case wire.OutputRefusal(refusal=whole):
                        return self._rest(self._of(event, "refusal"), "refusal", _number(number), whole)
                    case _:
                        return ()
            case _:
                return ()

    def _part(self, item: OutputItem, number: int, whole: str, annotations: object) -> Iterator[Piece]:
        yield from self._rest(item, "text", number, whole)
        yield from self._cited(item, number, annotations)

    def _cited(self, item: OutputItem, number: int, annotations: object, *, offset: int = 0) -> Iterator[Piece]:
        """Yield the new citations of a part, or of a text that begins so many characters after the part does."""
        begin = item.begin_of(number)
        for annotation in _listed(annotations):
            if citation := cited(annotation, offset=offset + (self._chars if begin is None else begin)):
                yield from self._citations.tell(citation, self._chars)

    def _of(self, event: wire.OfItem, kind: TextKind) -> OutputItem:
        return self._items.of(event.output_index, event.item_id, _ITEM_KINDS[kind])

    def _arguments_done(self, event: wire.OfItem, kind: str, whole: object) -> Iterator[Piece]:
        item = self._items.of(event.output_index, event.item_id, kind)
        yield from self._call(item).whole(whole)

    def beginning(self, index: object, said: object) -> Iterator[Piece]:
        """Read the announcement of an item."""
        item = self._items.added(index, members(said))
        match wire.CALLS.known(said, self._skipped):
            case wire.FunctionCall() | wire.CustomToolCall() as call:
                yield from self._named(item, call)
            case _:
                return

    def item(self, index: object, thing: object) -> Iterator[Piece]:
        """Read a whole item."""
        kind, said = kind_of(thing), members(thing)
        item = self._items.ended(index, said)
        try:
            yield from self._done(item, said)
        except Differs:
            if not item.is_done:
                raise
            # It is another item with the same id.
            yield from self._done(self._items.begin(kind, index, said.get("id")), said)

    def response(self, output: object) -> Iterator[Piece]:
        """Read the items of a response that has ended."""
        for item, said in self._items.matched(_listed(output)):
            if item is None or not (item.is_done and item.is_told):
                yield from self._done(item or self._items.begin(kind_of(said)), said)
        for item in self._items:
            if item.begun and not item.is_done and not item.is_told:
                yield from self._only_begun(item, item.begun)

    def end(self) -> Iterator[Piece]:
        """Yield the last pieces after the response has ended."""
        for item in self._items:
            for (kind, number), text in item.texts.items():
                if half := text.end():
                    yield self._piece(item, kind, number, half)
        yield from self._citations.end(self._chars)
        yield from self.calls.end()

    def _only_begun(self, item: OutputItem, said: Mapping[str, Any]) -> Iterator[Piece]:
        """Yield an item that was announced and then not mentioned, because the announcement may be the whole item."""
        match wire.ITEMS.known(said, self._skipped):
            case wire.Message() | wire.FunctionCall() | wire.CustomToolCall():
                yield from self._done(item, said)
            case _:
                return

    def _done(self, item: OutputItem, said: object) -> Iterator[Piece]:
        """Yield what the fragments of a whole item did not have."""
        match wire.ITEMS.known(said, self._skipped):
            case wire.Message(content=content):
                yield from self._message(item, content)
            case wire.Reasoning() as block:
                yield from self._thought(item, block)
                if not item.is_done and (signature := signature_of(block, item.last_thought)):
                    yield Reasoning(text="", signature=signature)
            case wire.FunctionCall(arguments=arguments) | wire.CustomToolCall(input=arguments) as call:
                yield from self._named(item, call)
                yield from self._call(item).named(as_text(call.id), None)
                yield from self._call(item).whole(arguments)
                if not self._call(item).name:
                    raise ValueError("A tool call has no name.")
            case _:
                kind, end, _ = kind_of(said).rpartition("_call")
                if end and not item.is_done:
                    yield server_tool(kind, said)
        self._items.close(item)

    def _thought(self, item: OutputItem, block: wire.Reasoning) -> Iterator[Piece]:
        if not item.last_thought and (text := text_of(block)):
            yield Reasoning(text=text)
        if item.is_done:
            return
        kinds: tuple[TextKind, TextKind] = ("summary", "content")
        for kind, parts in zip(kinds, (block.summary or (), block.content or ()), strict=True):
            told, whole = item.told(kind), "".join(part.text for part in parts)
            if told and whole != told and whole.startswith(told):
                for number, part in enumerate(parts):
                    yield from self._rest(item, kind, number, part.text)

    def _message(self, item: OutputItem, content: object) -> Iterator[Piece]:
        texts: list[str] = []
        refusals: list[str] = []
        annotations: list[tuple[int, object]] = []
        for part in _listed(content):
            match wire.PARTS.known(part, self._skipped):
                case wire.OutputText(text=text, annotations=said):
                    annotations.append((sum(map(len, texts)), said))
                    texts.append(text)
                case wire.OutputRefusal(refusal=text):
                    refusals.append(text)
                case _:
                    pass
        if rest := item.rest("text", content if isinstance(content, str) else "".join(texts)):
            yield self._piece(item, "text", 0, rest)
        for offset, said in annotations:
            yield from self._cited(item, min(item.begins, default=0), said, offset=offset)
        if rest := item.rest("refusal", "".join(refusals)):
            yield self._piece(item, "refusal", 0, rest)

    def _rest(self, item: OutputItem, kind: TextKind, number: int, whole: str) -> Iterator[Piece]:
        """Yield what the fragments of a whole text did not have."""
        try:
            rest = item.rest_of_part(kind, number, whole)
        except Differs:
            if kind in {"text", "refusal"}:
                raise
            return
        if rest:
            yield self._piece(item, kind, number, rest)

    def _piece(self, item: OutputItem, kind: TextKind, number: int, text: str) -> Piece:
        match kind:
            case "text":
                item.begins.setdefault(number, self._chars)
                self._chars += len(text)
                return text_delta(text)
            case "refusal":
                self.refused = True
                return Refusal(text=text)
            case "summary" | "content":
                part, last = BlockPart(kind, number), item.last_thought
                item.last_thought = part
                return Reasoning(text=text if last in (None, part) else f"{GAP}{text}")

    def _call(self, item: OutputItem) -> Call:
        if item.call is None:
            item.call = self.calls.begin(is_json=item.kind == "function_call")
        return item.call

    def _named(self, item: OutputItem, said: wire.FunctionCall | wire.CustomToolCall) -> Iterator[Piece]:
        call_id = as_text(said.call_id)
        yield from self._call(item).named(call_id, as_text(said.name))
        self._items.called(item, call_id)


def _place(event: wire.OfItem) -> tuple[TextKind, int]:
    """Return the kind of an event's text, and the number of its part."""
    match event:
        case wire.SummaryDelta(summary_index=number) | wire.SummaryDone(summary_index=number):
            return "summary", _number(number)
        case wire.ReasoningDelta() | wire.ReasoningDone():
            return "content", _number(event.content_index)
        case wire.RefusalDelta() | wire.RefusalDone():
            return "refusal", _number(event.content_index)
        case _:
            return "text", _number(event.content_index)


def _listed(said: object) -> list[object]:
    return cast("list[object]", said) if isinstance(said, list) else []


def _number(said: object) -> int:
    """Return the number of a part, at most `_MAX_PARTS`."""
    return max(0, min(said, _MAX_PARTS)) if isinstance(said, int) else 0
