"""Lets the pieces of a verbatim answer through as they are, each once the guards have let all of it through."""

from collections import Counter, deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Final, NamedTuple, TypeAlias

from tailrace.errors import ProviderError
from tailrace.events import Citation, Delta, Notice, Reasoning, Refusal, ToolCall
from tailrace_worker.providers.base import Finish, Piece

Guarding: TypeAlias = Callable[[AsyncGenerator[Piece, None]], AsyncGenerator[Piece, None]]

_FRAMED: Final = (Delta, Reasoning, Refusal, ToolCall, Citation, Notice, Finish)


async def unchanged(pieces: AsyncGenerator[Piece, None], guarding: Guarding) -> AsyncGenerator[Piece, None]:
    """Guard an answer without changing its pieces or their order.

    The guards get copies of the pieces without frames. They may cut, join and delay them as they need to.

    Args:
        pieces: The pieces of the answer.
        guarding: Applies guards that stop an answer, and change no text.

    Yields:
        The pieces, and the notices of the guards.

    Raises:
        ProviderError: A guard stopped the answer, or the call failed. The error has no frames. A piece of which only a
            part was let through is not yielded.
    """
    held = _Held()
    try:
        async with aclosing(guarding(held.copies(pieces))) as let_through:
            async for piece in let_through:
                if not held.passes(piece):
                    yield piece
                while (original := held.take()) is not None:
                    yield original
    except ProviderError as error:
        # The event of an error may repeat the whole answer, and more text may follow it. No guard has seen either.
        error.raw = None
        raise


class _Waiting(NamedTuple):
    original: Piece
    kind: type[Piece]
    until: int
    """How much of its kind has to pass before the piece may: characters of a text, or other pieces."""


class _Held:
    """The pieces that the guards have got and not let through yet."""

    def __init__(self) -> None:
        self._waiting: deque[_Waiting] = deque()
        self._got: Counter[type[Piece]] = Counter()
        self._passed: Counter[type[Piece]] = Counter()
        self._notices: dict[int, Notice] = {}
        """The answer's own notices by their `id`. The guards pass them on as the same objects."""

    async def copies(self, pieces: AsyncGenerator[Piece, None]) -> AsyncGenerator[Piece, None]:
        async with aclosing(pieces):
            async for piece in pieces:
                kind = type(piece)
                self._got[kind] += _size(piece)
                self._waiting.append(_Waiting(piece, kind, self._got[kind]))
                copy = replace(piece, raw=None) if isinstance(piece, _FRAMED) and piece.raw is not None else piece
                if isinstance(copy, Notice):
                    self._notices[id(copy)] = copy
                yield copy

    def passes(self, piece: Piece) -> bool:
        """Note that the guards let a piece through. Return False if it is a notice of their own."""
        if isinstance(piece, Notice) and self._notices.pop(id(piece), None) is None:
            return False
        self._passed[type(piece)] += _size(piece)
        return True

    def take(self) -> Piece | None:
        """Return the next piece that may pass, if it may."""
        if self._waiting and self._passed[self._waiting[0].kind] >= self._waiting[0].until:
            return self._waiting.popleft().original
        return None


def _size(piece: Piece) -> int:
    return len(piece.text) if isinstance(piece, Delta | Reasoning | Refusal) else 1
