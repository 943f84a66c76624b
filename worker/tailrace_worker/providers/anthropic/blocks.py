"""`ContentBlocks`: the open content blocks of an answer of Messages, whatever indices the server gives them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from msgspec import Struct

from tailrace.events import Citation
from tailrace_worker.providers.anthropic import wire
from tailrace_worker.providers.fragments import Fragments
from tailrace_worker.providers.tool_calls import Call

MAX_OPEN_BLOCKS: Final = 1_024
"""How many blocks may be open at the same time. Usually one is, but llama.cpp ends all blocks at the answer's end."""


@dataclass(slots=True, eq=False)
class ContentBlock:
    """One block, as far as it has arrived."""

    number: int
    place: int | None
    """The index of the block from the server."""
    said: Struct | None = None
    """The block as it began; `None` if this version does not know its type."""
    text: Fragments = field(default_factory=Fragments)
    begin: int | None = None
    """Where its text begins in the answer's text; `None` before it has any."""
    end: int | None = None
    """Where its text ends in the answer's text."""
    citations: list[Citation] = field(default_factory=list[Citation])
    """The citations of its text, without their range. Most arrive before the text."""
    thinking: Fragments | None = None
    """Thinking that has no signature yet."""
    signature: str = ""
    call: Call | None = None
    asked: str = ""
    """The input of a tool that the provider runs itself, as JSON."""
    is_open: bool = True

    @property
    def takes_input(self) -> bool:
        """True if the block is a tool call."""
        return self.call is not None or isinstance(self.said, wire.ServerToolUse)


class ContentBlocks:
    """The open blocks of one message.

    Anthropic ends each block before it begins the next one. Other servers open several blocks at the same time, give
    all of them the same index, omit the index, or give the fragments another index than their block.
    """

    def __init__(self) -> None:
        self._open: dict[int | None, ContentBlock] = {}
        self._latest: ContentBlock | None = None
        self._begun = 0

    def __iter__(self) -> Iterator[ContentBlock]:
        return iter(tuple(self._open.values()))

    @property
    def last(self) -> ContentBlock | None:
        """The block that began last, if it is still open."""
        return self._latest if self._latest and self._latest.is_open else None

    def begin(self, place: object, said: Struct | None = None) -> ContentBlock:
        """Begin a block.

        Raises:
            ValueError: Too many blocks are open.
        """
        if len(self._open) == MAX_OPEN_BLOCKS:
            raise ValueError(f"The answer has more than {MAX_OPEN_BLOCKS:,} blocks open at once.")
        block = self._latest = self._open[_key(place)] = ContentBlock(self._begun, _key(place), said)
        self._begun += 1
        return block

    def at(self, place: object) -> ContentBlock | None:
        """Return the open block at an index, or `None`."""
        return self._open.get(_key(place))

    def growing(self, place: object) -> ContentBlock:
        """Return the open block to which a fragment belongs, or begin one if there is none."""
        return self._open.get(place if isinstance(place, int) else None) or self.last or self.begin(place)

    def asking(self, place: object) -> ContentBlock:
        """Return the block to which a fragment of a tool's input belongs."""
        if (block := self.at(place)) and block.takes_input:
            return block
        # A server that gives every fragment the same index may also end the block before its fragments arrive.
        return self._latest if self._latest and self._latest.takes_input else self.growing(place)

    def calling(self, call_id: object) -> ContentBlock | None:
        """Return the open block of the tool call with this id, or `None`."""
        return next((block for block in self if call_id and block.call and block.call.call_id == call_id), None)

    def end(self, block: ContentBlock) -> None:
        """Note that a block has ended."""
        block.is_open = False
        self._open.pop(block.place, None)


def _key(place: object) -> int | None:
    return place if isinstance(place, int) else None
