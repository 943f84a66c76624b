"""Watches the three texts of an answer separately: the text itself, the reasoning and the refusal."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing
from dataclasses import replace
from itertools import chain
from typing import Final, Protocol, TypeAlias

from tailrace.errors import ProviderError
from tailrace.events import Citation, Delta, Frames, Notice, Reasoning, Refusal
from tailrace_worker.offload import search_beside_the_loop
from tailrace_worker.providers.base import Piece, TokenCounts
from tailrace_worker.shaping.guards.ranges import Alteration, Ranges

Text: TypeAlias = Delta | Reasoning | Refusal

TURN_CHARS: Final = 512
"""How many characters are searched in one turn of the event loop. A guard with all kinds takes up to 20 microseconds
per character of dense numbers, and less than 1 microsecond per character of prose."""


class TextWatch(Protocol):
    """A watch of one text, which decides what is shown as it arrives. `feed` and `end` may raise to end the job."""

    @property
    def has_altered(self) -> bool:
        """True once the shown text differs from the text that arrived."""
        ...

    @property
    def alterations(self) -> list[Alteration]:
        """What was altered, in order, by its offset in the text that was fed. Whoever reads it may clear it."""
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


async def looked(watch: TextWatch, shown: Iterator[str]) -> Iterator[str]:
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
    pieces: AsyncGenerator[Piece, None],
    watch: Callable[[], TextWatch],
    *,
    first: TextWatch | None = None,
    said_chars: int = 0,
) -> AsyncGenerator[Piece, None]:
    """Watch each text with its own watch, up to a tool call or the end.

    Usage and notices do not end a text, because some providers send usage with every event. Citations do not either,
    because a match may go on after one; each is held back until the text of its range is shown, and its own texts are
    watched too. If the provider breaks off, the text that is held back is not shown, because it might have become a
    match.

    Args:
        pieces: The pieces of the answer.
        watch: Makes a watch for each text.
        first: The watch of the first text, which continues the text of earlier attempts.
        said_chars: How many characters the text of earlier attempts has.

    Yields:
        The pieces that are shown.
    """
    texts = _Texts(watch, first, said_chars)
    async with aclosing(pieces):
        async for piece in pieces:
            match piece:
                case Reasoning(signature=str()):
                    shown = await texts.sign(piece)
                case Delta() | Reasoning() | Refusal():
                    shown = await texts.feed(piece)
                case Citation():
                    shown = await texts.cite(piece)
                case TokenCounts() | Notice() | Frames():
                    shown = iter((piece,))
                case _:
                    async for rest in texts.end():
                        yield rest
                    shown = iter((piece,))
            for each in shown:
                yield each


class _Texts:
    """The texts of one answer, each with its watch, and the citations that wait for the text of their range."""

    def __init__(self, watch: Callable[[], TextWatch], first: TextWatch | None, said_chars: int) -> None:
        self._watch = watch
        self._watches: dict[type[Text], TextWatch] = {Delta: first} if first else {}
        self._has_altered = False
        """True if the current block of reasoning was altered before a tool call. The block may be signed long after its
        text, with tool calls in between."""
        self._ranges = Ranges(said_chars)

    async def feed(self, piece: Text) -> Iterator[Piece]:
        """Take a piece of text, and return what is shown now."""
        kind = type(piece)
        if kind not in self._watches:
            self._watches[kind] = self._watch()
            if kind is Delta:
                self._ranges.begin()
        watch = self._watches[kind]
        return self._shown(piece, watch, await looked(watch, watch.feed(piece.text)))

    async def sign(self, block: Reasoning) -> Iterator[Piece]:
        """Take the signature of a block of reasoning, and return the rest of the block and the signature.

        The provider would reject an altered block with its signature. Without one, a later request omits the block.
        """
        watch = self._watches.pop(Reasoning, None) or self._watch()
        shown = await looked(watch, chain(watch.feed(block.text), watch.end()))
        return self._signed(block, watch, shown)

    async def cite(self, citation: Citation) -> Iterator[Piece]:
        """Take a citation, and return those whose text is shown. Each text of a citation is watched separately."""
        watched = replace(
            citation,
            url=await self._whole(citation.url),
            title=await self._whole(citation.title),
            quote=await self._whole(citation.quote),
        )
        self._ranges.hold(watched)
        return self._ranges.ready()

    async def end(self) -> AsyncIterator[Piece]:
        """End all texts, and yield the rest of them, and the citations that waited for it."""
        reasoning = self._watches.get(Reasoning)
        for kind, watch in self._watches.items():
            for piece in self._shown(kind(text=""), watch, await looked(watch, watch.end())):
                yield piece
        for citation in self._ranges.ready(is_over=True):
            yield citation
        self._watches.clear()
        self._has_altered = self._has_altered or (reasoning is not None and reasoning.has_altered)

    def _shown(self, piece: Text, watch: TextWatch, texts: Iterator[str]) -> Iterator[Piece]:
        kind = type(piece)
        for text in texts:
            if kind is Delta:
                self._ranges.show(text)
            yield piece if text is piece.text else kind(text=text)
        if kind is Delta:
            self._ranges.alter(watch.alterations)
            yield from self._ranges.ready()
        watch.alterations.clear()

    def _signed(self, block: Reasoning, watch: TextWatch, texts: Iterator[str]) -> Iterator[Piece]:
        for text in texts:
            yield Reasoning(text=text)
        if not (self._has_altered or watch.has_altered):
            yield Reasoning(text="", signature=block.signature)
        self._has_altered = False

    async def _whole(self, text: str | None) -> str | None:
        if text is None:
            return None
        watch = self._watch()
        return "".join(await looked(watch, chain(watch.feed(text), watch.end()))) or None
