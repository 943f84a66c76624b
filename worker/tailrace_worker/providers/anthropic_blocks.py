"""`Blocks`: the open blocks of a message of Messages, by whichever index a server gives them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from msgspec import Struct

from tailrace_worker.providers import anthropic_wire as wire
from tailrace_worker.providers.fragments import Fragments
from tailrace_worker.providers.tool_calls import Call

MAX_OPEN_BLOCKS: Final = 1_024
"""How many may have begun and not ended: one is usual, and llama.cpp ends all at the end."""


@dataclass(slots=True, eq=False)
class Block:
    """One block, as far as it has come."""

    number: int
    place: int | None
    """The index that the server gives it."""
    said: Struct | None = None
    """What the server said of it as it began, if this version knows it."""
    text: Fragments = field(default_factory=Fragments)
    thinking: Fragments | None = None
    """The thinking that was not signed yet."""
    signature: str = ""
    call: Call | None = None
    asked: str = ""
    """What the server's own tool is asked, as JSON."""
    is_open: bool = True

    @property
    def takes_input(self) -> bool:
        """Whether it is a call of a tool."""
        return self.call is not None or isinstance(self.said, wire.ServerToolUse)


class Blocks:
    """The open blocks of one message.

    Anthropic ends each block before the next one begins. Other servers begin several before they end the first, give
    all of them one index, leave it out, or give the fragments another one.
    """

    def __init__(self) -> None:
        self._open: dict[int | None, Block] = {}
        self._latest: Block | None = None
        self._begun = 0

    def __iter__(self) -> Iterator[Block]:
        return iter(tuple(self._open.values()))

    @property
    def last(self) -> Block | None:
        """The last one that has begun, unless it has ended."""
        return self._latest if self._latest and self._latest.is_open else None

    def begin(self, place: object, said: Struct | None = None) -> Block:
        """Begin a block.

        Raises:
            ValueError: Too many are open.
        """
        if len(self._open) == MAX_OPEN_BLOCKS:
            raise ValueError(f"It has begun {MAX_OPEN_BLOCKS:,} blocks that have not ended.")
        block = self._latest = self._open[_key(place)] = Block(self._begun, _key(place), said)
        self._begun += 1
        return block

    def at(self, place: object) -> Block | None:
        """Return the block of an index, if it is open."""
        return self._open.get(_key(place))

    def growing(self, place: object) -> Block:
        """Return the block that a fragment is of; one that has not been told of begins."""
        return self._open.get(place if isinstance(place, int) else None) or self.last or self.begin(place)

    def asking(self, place: object) -> Block:
        """Return the block that a fragment of a tool's input is of."""
        if (block := self.at(place)) and block.takes_input:
            return block
        # A server that gives all fragments one index may end the block before them, too.
        return self._latest if self._latest and self._latest.takes_input else self.growing(place)

    def calling(self, call_id: object) -> Block | None:
        """Return the open block that calls a tool by this id."""
        return next((block for block in self if call_id and block.call and block.call.call_id == call_id), None)

    def end(self, block: Block) -> None:
        """Note that a block has ended."""
        block.is_open = False
        self._open.pop(block.place, None)


def _key(place: object) -> int | None:
    return place if isinstance(place, int) else None
