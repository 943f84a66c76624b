"""The three texts of an answer, each watched for itself: what is said, what is thought, what is declined."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from itertools import chain
from typing import Final, Protocol, TypeAlias

from tailrace.errors import ProviderError
from tailrace.events import Delta, Notice, Reasoning, Refusal
from tailrace_worker.offload import search_beside_the_loop
from tailrace_worker.providers.base import Piece, Usage

Text: TypeAlias = Delta | Reasoning | Refusal

TURN_CHARS: Final = 512
"""How many characters are searched in one turn. A guard with all kinds takes up to 20 microseconds a character of dense
numbers, and less than one of prose."""


class Watch(Protocol):
    """Watches one text as it comes, and tells what of it is shown. Either method may end the job by raising."""

    @property
    def has_altered(self) -> bool:
        """Whether what is shown is no longer what came."""
        ...

    @property
    def is_slow(self) -> bool:
        """Whether a look may take so long that it is to be taken beside the loop: see `looked`."""
        ...

    def feed(self, text: str) -> Iterator[str]:
        """More has come; what can be shown now."""
        ...

    def end(self) -> Iterator[str]:
        """The text is over; what else is shown of it."""
        ...


async def in_turns(pieces: AsyncGenerator[Piece, None]) -> AsyncGenerator[Piece, None]:
    """Cuts large pieces of text, such as a whole answer, so that other tasks can run after each part."""
    async with aclosing(pieces):
        async for piece in pieces:
            if isinstance(piece, Delta | Reasoning | Refusal) and len(piece.text) > TURN_CHARS:
                for place in range(0, len(piece.text), TURN_CHARS):
                    yield type(piece)(text=piece.text[place : place + TURN_CHARS])
                    await asyncio.sleep(0)
                if isinstance(piece, Reasoning) and piece.signature is not None:
                    yield Reasoning(text="", signature=piece.signature)
            else:
                yield piece


async def looked(watch: Watch, shown: Iterator[str]) -> Iterator[str]:
    """What a watch shows, when it was asked for; a slow one looks in a thread, where RE2 holds nobody up."""
    if not watch.is_slow:
        return shown
    texts: list[str] = []
    try:
        await search_beside_the_loop(texts.extend, shown)
    except ProviderError as error:
        # What stands before it is shown.
        return _shown_until(texts, error)
    return iter(texts)


def _shown_until(texts: list[str], error: ProviderError) -> Iterator[str]:
    yield from texts
    raise error


async def watched(
    pieces: AsyncGenerator[Piece, None], watch: Callable[[], Watch], *, first: Watch | None = None
) -> AsyncGenerator[Piece, None]:
    """Watches each text with a watch of its own, up to a tool call or the end.

    `first` watches what is said first: it goes on from what earlier attempts have said. Usage and notices end no text,
    because some providers send the usage with every chunk. If the provider breaks off, what was held back is not shown:
    nobody knows what it would have become.
    """
    watches: dict[type[Text], Watch] = {Delta: first} if first else {}
    # A block of reasoning may be signed long after its text, with tool calls in between.
    has_altered = False
    async with aclosing(pieces):
        async for piece in pieces:
            match piece:
                case Reasoning(signature=str() as signature):
                    block = watches.pop(Reasoning, None) or watch()
                    for text in await looked(block, chain(block.feed(piece.text), block.end())):
                        yield Reasoning(text=text)
                    # The provider would reject an altered block with its signature. Without one, the block is left out.
                    if not (has_altered or block.has_altered):
                        yield Reasoning(text="", signature=signature)
                    has_altered = False
                case Delta() | Reasoning() | Refusal():
                    kind = type(piece)
                    if kind not in watches:
                        watches[kind] = watch()
                    for text in await looked(watches[kind], watches[kind].feed(piece.text)):
                        yield piece if text is piece.text else kind(text=text)
                case Usage() | Notice():
                    yield piece
                case _:
                    reasoning = watches.get(Reasoning)
                    for other, ended in watches.items():
                        for text in await looked(ended, ended.end()):
                            yield other(text=text)
                    watches.clear()
                    has_altered = has_altered or (reasoning is not None and reasoning.has_altered)
                    yield piece
