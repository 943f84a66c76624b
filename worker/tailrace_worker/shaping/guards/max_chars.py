"""Cuts an answer that has too many characters."""

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
    """Pass on the first characters of the text, and of a refusal. If more arrive, close the provider's call.

    Args:
        pieces: The pieces of the answer.
        limit: The most characters of the text, and of a refusal.
        said: The text of earlier attempts, which counts too.
        report: Returns the notices of the stages before this one. They yield them before the finish, which they do not
            get after a cut.

    Yields:
        The pieces, and after a cut a `Finish` with the reason `length`.
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
