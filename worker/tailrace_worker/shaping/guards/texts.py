"""Watches the three texts of an answer separately: the text itself, the reasoning and the refusal."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from itertools import chain
from typing import Final, Protocol, TypeAlias

from tailrace.errors import ProviderError
from tailrace.events import Delta, Notice, Reasoning, Refusal
from tailrace_worker.offload import search_beside_the_loop
from tailrace_worker.providers.base import Piece, TokenCounts

Text: TypeAlias = Delta | Reasoning | Refusal

TURN_CHARS: Final = 512
"""How many characters are searched in one turn of the event loop. A guard with all kinds takes up to 20 microseconds
per character of dense numbers, and less than 1 microsecond per character of prose."""


class Watch(Protocol):
    """A watch of one text, which decides what is shown as it arrives. `feed` and `end` may raise to end the job."""

    @property
    def has_altered(self) -> bool:
        """True once the shown text differs from the text that arrived."""
        ...

    @property
    def is_slow(self) -> bool:
        """True if a search may take so long that it has to run in a thread (see `looked`)."""
        ...

    def feed(self, text: str) -> Iterator[str]:
        """Take the next part of the text, and yield what can be shown now.

        Args:
            text: The next part.
        """
        ...

    def end(self) -> Iterator[str]:
        """End the text, and yield the rest that is shown of it."""
        ...


async def in_turns(pieces: AsyncGenerator[Piece, None]) -> AsyncGenerator[Piece, None]:
    """Cut large pieces of text, such as a whole answer, so that other tasks can run after each part.

    Args:
        pieces: The pieces of the answer.

    Yields:
        The same pieces, with large texts in parts.
    """
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
    """Return what a watch shows. A slow watch searches in a thread, so that RE2 does not hold up the event loop.

    Args:
        watch: The watch.
        shown: The iterator of its `feed` or `end`, which searches as it is read.

    Returns:
        The texts. The iterator may raise what the watch raises.
    """
    if not watch.is_slow:
        return shown
    texts: list[str] = []
    try:
        await search_beside_the_loop(texts.extend, shown)
    except ProviderError as error:
        # The text before the match is shown.
        return _shown_until(texts, error)
    return iter(texts)


def _shown_until(texts: list[str], error: ProviderError) -> Iterator[str]:
    yield from texts
    raise error


async def watched(
    pieces: AsyncGenerator[Piece, None], watch: Callable[[], Watch], *, first: Watch | None = None
) -> AsyncGenerator[Piece, None]:
    """Watch each text with its own watch, up to a tool call or the end.

    Usage and notices do not end a text, because some providers send usage with every event. If the provider breaks off,
    the text that is held back is not shown, because it might have become a match.

    Args:
        pieces: The pieces of the answer.
        watch: Makes a watch for each text.
        first: The watch of the first text, which continues the text of earlier attempts.

    Yields:
        The pieces that are shown.
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
                    # The provider would reject an altered block with its signature. Without one, a later request omits
                    # the block.
                    if not (has_altered or block.has_altered):
                        yield Reasoning(text="", signature=signature)
                    has_altered = False
                case Delta() | Reasoning() | Refusal():
                    kind = type(piece)
                    if kind not in watches:
                        watches[kind] = watch()
                    for text in await looked(watches[kind], watches[kind].feed(piece.text)):
                        yield piece if text is piece.text else kind(text=text)
                case TokenCounts() | Notice():
                    yield piece
                case _:
                    reasoning = watches.get(Reasoning)
                    for other, ended in watches.items():
                        for text in await looked(ended, ended.end()):
                            yield other(text=text)
                    watches.clear()
                    has_altered = has_altered or (reasoning is not None and reasoning.has_altered)
                    yield piece
