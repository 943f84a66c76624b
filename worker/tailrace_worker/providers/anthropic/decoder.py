"""`MessagesDecoder`: decodes the answers of Anthropic's Messages."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Final, cast

import msgspec

from tailrace.events import Delta, FinishReason, Reasoning, Refusal
from tailrace_worker.providers.anthropic import wire
from tailrace_worker.providers.anthropic.blocks import ContentBlock, ContentBlocks
from tailrace_worker.providers.anthropic.citations import citation_of
from tailrace_worker.providers.anthropic.request import REDACTED, UNSIGNED
from tailrace_worker.providers.anthropic.turn import Turn
from tailrace_worker.providers.base import Finish, Piece, text_delta
from tailrace_worker.providers.citations import MAX_HELD, Citations
from tailrace_worker.providers.errors import ErrorEvent
from tailrace_worker.providers.finish_words import finish_reason
from tailrace_worker.providers.fragments import Fragments
from tailrace_worker.providers.json_decoder import members
from tailrace_worker.providers.token_counts import Places, used
from tailrace_worker.providers.tool_calls import ToolCalls, as_text, server_tool
from tailrace_worker.providers.vocabulary import Skipped

_FINISH_WORDS: Final[Mapping[str, FinishReason]] = {"tool_use": "tool_calls"}
"""The words with a fixed meaning; `finish_reason` interprets all others."""

_COUNTS: Final[Places] = {
    "input_tokens": [("input_tokens",)],
    "output_tokens": [("output_tokens",)],
    "cached_input_tokens": [("cache_read_input_tokens",)],
    "cache_write_input_tokens": [("cache_creation_input_tokens",)],
    "reasoning_tokens": [("output_tokens_details", "thinking_tokens")],
}
_COUNTS_AT_BEGINNING: Final[Places] = {field: paths for field, paths in _COUNTS.items() if field != "output_tokens"}
"""The counts of `message_start`, without the output tokens, which count only the first piece."""

_MAX_ASKED: Final = 4_096
"""How many characters of the input of a provider's own tool are kept, to find the query in it."""


class MessagesDecoder:
    """A decoder of one answer, as `AnswerDecoder` describes it."""

    def __init__(self, skipped: Skipped, turn: Turn | None = None) -> None:
        """Begin an answer. `turn` records it, so that a later request can send it back unchanged if it is paused."""
        self.is_whole = False
        self.is_over = False
        self.finished = False
        self._skipped = skipped
        self._turn = turn
        self._stop = wire.Stop()
        self._has_content = False
        self._calls = ToolCalls()
        self._blocks = ContentBlocks()
        self._citations = Citations()
        self._chars = 0
        """How many characters of the answer's text were passed on."""

    def whole(self, body: bytes) -> Iterable[Piece]:
        # An answer that is not streamed may omit its type.
        return self.pieces(body, b"message")

    def done(self) -> None:
        self.is_whole = self.is_whole or self._has_content
        self.is_over = True

    def pieces(self, data: bytes, name: bytes = b"") -> Iterable[Piece]:
        match wire.SAID.read(data, self._skipped, name=name):
            case wire.BlockDelta(index=place, delta=delta):
                return self._delta(place, delta)
            case wire.BlockStart(index=place, content_block=block):
                return self._begin(place, block)
            case wire.BlockStop(index=place):
                return self._stop_block(place)
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
        for block in self._blocks:
            yield from self._end_block(block)
        yield from self._calls.end()
        if reason != "refusal" and self._calls.are_complete:
            # Some servers send `end_turn` for a turn that calls tools.
            reason = "tool_calls"
        if self._turn and word == "pause_turn" and (signature := self._turn.signature()):
            yield Reasoning(text="", signature=signature)
        explanation = members(self._stop.stop_details).get("explanation")
        if isinstance(explanation, str) and explanation:
            yield Refusal(text=explanation)
        self.finished = True
        yield Finish(reason=reason, provider_reason=word)

    def _begin_message(self, said: object) -> Iterator[Piece]:
        message = members(said)
        if not self._has_content:
            # Some gateways send `message_start` twice.
            yield from self._whole_blocks(message.get("content"))
        yield from used(message.get("usage"), _COUNTS_AT_BEGINNING)

    def _message(self, message: wire.Message) -> Iterator[Piece]:
        self._stop = message
        self.is_over = True
        yield from self._whole_blocks(message.content)
        self.is_whole = bool(self._has_content or message.stop_reason)
        yield from used(message.usage, _COUNTS)

    def _whole_blocks(self, content: object) -> Iterator[Piece]:
        if isinstance(content, str):
            content = [{"type": "text", "text": content}]
        for place, block in enumerate(cast("list[object]", content) if isinstance(content, list) else ()):
            yield from self._begin(place, block)
            yield from self._stop_block(place)

    def _begin(self, place: object, said: object) -> Iterator[Piece]:
        for before in (self._blocks.last, self._blocks.at(place)):
            if before:
                yield from self._end_thought(before)
        known = wire.BLOCKS.known(said, self._skipped) if said else None
        self._has_content = True
        if isinstance(known, wire.ToolUse) and (again := self._blocks.calling(known.id)):
            # Some servers begin the call again with each fragment.
            again.said = known if known.input else again.said
            return
        yield from self._stop_block(place)
        if self._turn:
            self._turn.begin(said)
        block = self._blocks.begin(place, known)
        match known:
            case wire.Text(text=text, citations=citations):
                yield from self._say(block, text)
                for citation in cast("list[object]", citations) if isinstance(citations, list) else ():
                    self._cite(block, citation)
            case wire.Thinking(thinking=text, signature=signature):
                yield from self._think(block, text)
                block.signature = signature
            case wire.RedactedThinking(data=data):
                yield Reasoning(text="", signature=f"{REDACTED}{data}")
            case wire.ToolUse(id=call_id, name=name):
                block.call = self._calls.begin()
                yield from block.call.named(as_text(call_id), as_text(name))
            case _:
                return

    def _delta(self, place: object, said: object) -> Iterable[Piece]:
        self._has_content = True
        delta = wire.DELTAS.known(said, self._skipped)
        is_input = type(delta) is wire.InputDelta
        block = self._blocks.asking(place) if is_input else self._blocks.growing(place)
        if self._turn:
            self._turn.add(block.number, said)
        match delta:
            case wire.TextDelta(text=text):
                return self._say(block, text)
            case wire.ThinkingDelta(thinking=text):
                return self._think(block, text)
            case wire.SignatureDelta(signature=signature):
                block.signature = signature or block.signature
                return ()
            case wire.InputDelta(partial_json=json):
                return self._input(block, json)
            case wire.CitationsDelta(citation=citation):
                self._cite(block, citation)
                return ()
            case _:
                return ()

    def _say(self, block: ContentBlock, text: str) -> Iterable[Piece]:
        told = block.text.add(text)
        if not told:
            return ()
        delta = self._told(block, told)
        # Some gateways put the thinking into the text block.
        return (delta,) if block.thinking is None else (*self._end_thought(block), delta)

    def _told(self, block: ContentBlock, text: str) -> Delta:
        """Return text of a block as a piece, and note where it is in the answer's text."""
        if block.begin is None:
            block.begin = self._chars
        self._chars += len(text)
        block.end = self._chars
        return text_delta(text)

    def _cite(self, block: ContentBlock, said: object) -> None:
        """Keep a citation of a block until the block ends, because only then the range of its text is known."""
        if len(block.citations) < MAX_HELD:
            block.citations.append(citation_of(said))

    def _think(self, block: ContentBlock, text: str) -> Iterable[Piece]:
        if block.thinking is None:
            block.thinking = Fragments()
        told = block.thinking.add(text)
        return (Reasoning(text=told),) if told else ()

    def _input(self, block: ContentBlock, json: object) -> Iterable[Piece]:
        if block.call:
            return block.call.fragment(json)
        if len(block.asked) < _MAX_ASKED:
            block.asked += as_text(json)[:_MAX_ASKED]
        return ()

    def _end_thought(self, block: ContentBlock) -> Iterator[Piece]:
        """Yield the rest of a block's thinking, and the signature with which it can be sent back."""
        thinking, signature = block.thinking, block.signature
        block.thinking, block.signature = None, ""
        if thinking and (half := thinking.end()):
            yield Reasoning(text=half)
        if signature or thinking:
            yield Reasoning(text="", signature=signature or UNSIGNED)

    def _stop_block(self, place: object) -> Iterator[Piece]:
        if block := self._blocks.at(place):
            yield from self._end_block(block)

    def _end_block(self, block: ContentBlock) -> Iterator[Piece]:
        """End a block, and yield the rest of it."""
        self._blocks.end(block)
        yield from self._end_thought(block)
        if half := block.text.end():
            yield self._told(block, half)
        for citation in block.citations:
            placed = replace(citation, start=block.begin, end=block.end)
            yield from self._citations.tell(placed, self._chars)
        match block.said:
            case wire.ToolUse(input=given) if given and block.call and block.call.arguments.is_blank:
                # The input arrived with the block, not in fragments.
                yield from block.call.fragment(given)
            case wire.ServerToolUse(name=name, input=given):
                yield server_tool(name, given or _parsed(block.asked))
            case _:
                pass


def _parsed(json: str) -> object:
    try:
        return msgspec.json.decode(json)
    except (ValueError, RecursionError):
        return None
