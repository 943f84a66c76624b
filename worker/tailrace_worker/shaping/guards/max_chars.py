"""Cuts an answer that is too long."""

from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing

from tailrace.events import Delta, Notice, Refusal
from tailrace_worker.providers.base import Finish, Piece


async def max_chars(
    pieces: AsyncGenerator[Piece, None],
    limit: int,
    *,
    said: str = "",
    report: Callable[[], Iterable[Notice]] = tuple,
) -> AsyncGenerator[Piece, None]:
    """Lets `limit` characters of the text through, and as many of a refusal; stops the provider when more come.

    The text counts as a whole, with what was `said` of it by earlier attempts. The `report` is that of the stages
    before: a cut takes from them the finish before which they would give it.
    """
    left: dict[type[Delta | Refusal], int] = {Delta: max(0, limit - len(said)), Refusal: limit}
    async with aclosing(pieces):
        async for piece in pieces:
            if isinstance(piece, Delta | Refusal):
                kind, room = type(piece), left[type(piece)]
                left[kind] -= len(piece.text)
                if left[kind] < 0:
                    if room:
                        yield kind(text=piece.text[:room])
                    break
            yield piece
        else:
            return
    for notice in report():
        yield notice
    yield Finish(reason="length", provider_reason="max_chars")
