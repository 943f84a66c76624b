"""Ends an answer that says what it must not."""

from collections.abc import AsyncGenerator, Iterator

from tailrace.errors import FailureCode, ProviderError
from tailrace_worker.providers.base import Piece
from tailrace_worker.shaping.guards.search import Passage, Rules, Search
from tailrace_worker.shaping.guards.texts import watched


def block(pieces: AsyncGenerator[Piece, None], rules: Rules, *, said: str = "") -> AsyncGenerator[Piece, None]:
    """Lets a text through up to the first match, and raises there."""
    return watched(pieces, lambda: Blockade(rules), first=Blockade(rules, said))


class Blockade:
    """Watches one text. `feed` and `end` raise `ProviderError` after what stands before a match."""

    has_altered = False

    def __init__(self, rules: Rules, said: str = "") -> None:
        self.is_slow = rules.budget is not None
        self._search = Search(rules, said)

    def feed(self, text: str) -> Iterator[str]:
        """Gives what is known to be the beginning of no match."""
        return map(_shown, self._search.feed(text))

    def end(self) -> Iterator[str]:
        """Gives the rest."""
        return map(_shown, self._search.end())


def _shown(passage: Passage) -> str:
    if passage.kind is not None:
        # The match itself is what nobody may see: not in the event that says why either.
        message = f"The text has what one of the request's guards blocks: {passage.kind}."
        raise ProviderError(message, code=FailureCode.CONTENT_BLOCKED, retryable=False)
    return passage.text
