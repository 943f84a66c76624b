"""Ends an answer whose text has a match of the guard `block`."""

from collections.abc import AsyncGenerator, Iterator

from tailrace.errors import FailureCode, ProviderError
from tailrace_worker.providers.base import Piece
from tailrace_worker.shaping.guards.ranges import Alteration
from tailrace_worker.shaping.guards.rules import Rules
from tailrace_worker.shaping.guards.search import Search, Segment
from tailrace_worker.shaping.guards.texts import watched


def block(pieces: AsyncGenerator[Piece, None], rules: Rules, *, said: str = "") -> AsyncGenerator[Piece, None]:
    """Pass each text on up to its first match.

    Args:
        pieces: The pieces of the answer.
        rules: The rules of the guard.
        said: The text of earlier attempts, which was searched before.

    Returns:
        The pieces. The generator raises `ProviderError` at a match.
    """
    return watched(pieces, lambda: Blockade(rules), first=Blockade(rules, said), said_chars=len(said))


class Blockade:
    """The watch of one text. The iterators of `feed` and `end` yield the text before a match, and then raise
    `ProviderError`."""

    has_altered = False

    def __init__(self, rules: Rules, said: str = "") -> None:
        self.is_slow = rules.budget is not None
        self.alterations: list[Alteration] = []
        self._search = Search(rules, said)

    def feed(self, text: str) -> Iterator[str]:
        """Yield the text that cannot be part of a match.

        Args:
            text: The next part of the text.
        """
        return map(_shown, self._search.feed(text))

    def end(self) -> Iterator[str]:
        """Yield the rest of the text."""
        return map(_shown, self._search.end())


def _shown(segment: Segment) -> str:
    if segment.kind is not None:
        # Nobody may see the match itself, so the message does not quote it.
        message = f"A guard of the request blocked the text, which contains: {segment.kind}."
        raise ProviderError(message, code=FailureCode.CONTENT_BLOCKED, retryable=False)
    return segment.text
