"""Removes characters that are not text: control characters, lone surrogates, invisible changes of the direction."""

import re
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import replace
from typing import Final

from tailrace.events import ToolCall
from tailrace_worker.providers.base import Piece
from tailrace_worker.shaping.guards.ranges import Alteration
from tailrace_worker.shaping.guards.texts import watched

# Direction marks (U+200E, U+200F, U+061C) stay, because they only change the position of the characters next to them.
_NO_TEXT: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_PAIR_OR_NO_TEXT: Final = re.compile(f"[\ud800-\udbff][\udc00-\udfff]|{_NO_TEXT.pattern}")


def clean(pieces: AsyncGenerator[Piece, None], *, said_chars: int = 0) -> AsyncGenerator[Piece, None]:
    """Clean texts, and the names and arguments of tool calls. The two halves of a surrogate pair become one character.

    Args:
        pieces: The pieces of the answer.
        said_chars: How many characters the text of earlier attempts has.

    Returns:
        The cleaned pieces.
    """
    return watched(_cleaned_calls(pieces), Cleaner, said_chars=said_chars)


def cleaned(text: str) -> str:
    """Return a whole text, cleaned."""
    return "".join(Cleaner().feed(text))


class Cleaner:
    """The watch that cleans one text."""

    is_slow = False

    def __init__(self) -> None:
        self.has_altered = False
        self.alterations: list[Alteration] = []
        self._read = 0
        """How many characters were read, without `_half`."""
        self._half = ""
        """The first half of a possible surrogate pair."""

    def feed(self, text: str) -> Iterator[str]:
        """Yield the cleaned text, except for the first half of a pair at its end.

        Args:
            text: The next part of the text.
        """
        if not self._half and not _NO_TEXT.search(text):
            if text:
                self._read += len(text)
                yield text
            return
        text = self._half + text
        self._half = text[-1:] if "\ud800" <= text[-1:] <= "\udbff" else ""
        text = text.removesuffix(self._half)
        left = _PAIR_OR_NO_TEXT.sub(self._replaced, text)
        self._read += len(text)
        if left:
            yield left

    def end(self) -> Iterator[str]:
        """Yield nothing: half of a pair that is still held is not text."""
        if self._half:
            self.has_altered = True
            self.alterations.append(Alteration(self._read, 1, 0))
        return iter(())

    def _replaced(self, found: re.Match[str]) -> str:
        shown = _joined(found[0]) if len(found[0]) > 1 else ""
        self.has_altered |= not shown
        self.alterations.append(Alteration(self._read + found.start(), len(found[0]), len(shown)))
        return shown


async def _cleaned_calls(pieces: AsyncGenerator[Piece, None]) -> AsyncGenerator[Piece, None]:
    arguments: defaultdict[int, Cleaner] = defaultdict(Cleaner)
    async with aclosing(pieces):
        async for piece in pieces:
            if isinstance(piece, ToolCall):
                yield replace(
                    piece,
                    name=piece.name and cleaned(piece.name),
                    arguments="".join(arguments[piece.index].feed(piece.arguments)),
                )
            else:
                yield piece


def _joined(pair: str) -> str:
    return pair.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
