"""Replaces what must not be shown."""

from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Final

from tailrace.errors import ProviderError
from tailrace.events import Notice
from tailrace_worker.providers.base import Finish, Piece
from tailrace_worker.shaping.guards.search import Passage, Rules, Search
from tailrace_worker.shaping.guards.texts import watched

REDACTED: Final = "redacted"
"""The code of the notice that tells how many matches of a kind were replaced."""


def redact(
    pieces: AsyncGenerator[Piece, None], rules: Rules, *, said: str = "", counts: Counter[str] | None = None
) -> AsyncGenerator[Piece, None]:
    """Replaces every match in a text, and tells before the finish how many there were of each kind.

    `counts` has what is not told yet, for who stops the stage before its finish.
    """
    if counts is None:
        counts = Counter()
    return _told(watched(pieces, lambda: Redaction(rules, counts), first=Redaction(rules, counts, said)), counts)


async def _told(pieces: AsyncGenerator[Piece, None], counts: Counter[str]) -> AsyncGenerator[Piece, None]:
    async with aclosing(pieces):
        try:
            async for piece in pieces:
                if isinstance(piece, Finish):
                    for notice in notices(counts):
                        yield notice
                yield piece
        except ProviderError:
            # What came before the error is shown, and stands where another attempt goes on from it.
            for notice in notices(counts):
                yield notice
            raise


def notices(counts: Counter[str]) -> list[Notice]:
    """What readers are told, once: each kind, and how many of it were replaced."""
    told = [Notice(code=REDACTED, message=f"{kind}: {count}") for kind, count in counts.items()]
    counts.clear()
    return told


class Redaction:
    """Redacts one text, and counts what it replaces."""

    def __init__(self, rules: Rules, counts: Counter[str], said: str = "") -> None:
        self.has_altered = False
        self.is_slow = rules.budget is not None
        self._search = Search(rules, said)
        self._counts = counts

    def feed(self, text: str) -> Iterator[str]:
        """Gives what is known to be the beginning of no match."""
        return self._shown(self._search.feed(text))

    def end(self) -> Iterator[str]:
        """Gives the rest."""
        return self._shown(self._search.end())

    def _shown(self, passages: Iterator[Passage]) -> Iterator[str]:
        text = "".join(map(self._replaced, passages))
        if text:
            yield text

    def _replaced(self, passage: Passage) -> str:
        if passage.kind is None:
            return passage.text
        self.has_altered = True
        self._counts[passage.kind] += 1
        return f"[{passage.kind} redacted]"
