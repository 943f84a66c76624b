"""Replaces the matches of the guard `redact`."""

from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Final

from tailrace.errors import ProviderError
from tailrace.events import Notice
from tailrace_worker.providers.base import Finish, Piece
from tailrace_worker.shaping.guards.ranges import Alteration
from tailrace_worker.shaping.guards.rules import Rules
from tailrace_worker.shaping.guards.search import Search, Segment
from tailrace_worker.shaping.guards.texts import watched

REDACTED: Final = "redacted"
"""The code of the notice about how many matches of a kind were replaced."""


def redact(
    pieces: AsyncGenerator[Piece, None], rules: Rules, *, said: str = "", counts: Counter[str] | None = None
) -> AsyncGenerator[Piece, None]:
    """Replace every match in the texts, and yield before the finish how many there were of each kind.

    Args:
        pieces: The pieces of the answer.
        rules: The rules of the guard.
        said: The text of earlier attempts, which was searched before.
        counts: Gets the counts that are not in a notice yet, for a stage that ends the answer before its finish.

    Returns:
        The redacted pieces, and notices.
    """
    if counts is None:
        counts = Counter()
    first = Redaction(rules, counts, said)
    return _told(watched(pieces, lambda: Redaction(rules, counts), first=first, said_chars=len(said)), counts)


async def _told(pieces: AsyncGenerator[Piece, None], counts: Counter[str]) -> AsyncGenerator[Piece, None]:
    async with aclosing(pieces):
        try:
            async for piece in pieces:
                if isinstance(piece, Finish):
                    for notice in notices(counts):
                        yield notice
                yield piece
        except ProviderError:
            # The text before the error is shown, and stays if another attempt continues it.
            for notice in notices(counts):
                yield notice
            raise


def notices(counts: Counter[str]) -> list[Notice]:
    """Return a notice for each kind with the number of its replaced matches, and clear the counts.

    Args:
        counts: How many matches of each kind were replaced.
    """
    told = [Notice(code=REDACTED, message=f"{kind}: {count}") for kind, count in counts.items()]
    counts.clear()
    return told


class Redaction:
    """The watch that redacts one text, and counts the replaced matches."""

    def __init__(self, rules: Rules, counts: Counter[str], said: str = "") -> None:
        self.has_altered = False
        self.alterations: list[Alteration] = []
        self.is_slow = rules.budget is not None
        self._search = Search(rules, said)
        self._counts = counts
        self._read = 0
        """How many characters were shown or replaced."""

    def feed(self, text: str) -> Iterator[str]:
        """Yield the text that cannot be part of a match any more, with its matches replaced.

        Args:
            text: The next part of the text.
        """
        return self._shown(self._search.feed(text))

    def end(self) -> Iterator[str]:
        """Yield the rest of the text."""
        return self._shown(self._search.end())

    def _shown(self, segments: Iterator[Segment]) -> Iterator[str]:
        text = "".join(map(self._replaced, segments))
        if text:
            yield text

    def _replaced(self, segment: Segment) -> str:
        start, chars = self._read, len(segment.text)
        self._read += chars
        if segment.kind is None:
            return segment.text
        self.has_altered = True
        self._counts[segment.kind] += 1
        shown = f"[{segment.kind} redacted]"
        self.alterations.append(Alteration(start, chars, len(shown)))
        return shown
