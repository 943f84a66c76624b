"""Joins the rest of an answer to the beginning from earlier attempts."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from tailrace.events import Citation, Delta
from tailrace_worker.providers.base import Piece


async def continued(pieces: AsyncGenerator[Piece, None], said: str) -> AsyncGenerator[Piece, None]:
    """Remove white space from the beginning of the text if the earlier text ends with white space.

    The provider was given the earlier text without the white space at its end, and so writes it again. The ranges of
    citations, which count from the beginning of this attempt's text, then count from that of the whole text.

    Args:
        pieces: The pieces of this attempt.
        said: The text of earlier attempts.

    Yields:
        The pieces.
    """
    is_at_seam = said[-1:].isspace()
    removed = 0
    async with aclosing(pieces):
        async for piece in pieces:
            if isinstance(piece, Citation):
                yield _moved(piece, removed, len(said))
            elif not (is_at_seam and isinstance(piece, Delta)):
                yield piece
            else:
                text = piece.text.lstrip()
                removed += len(piece.text) - len(text)
                if text:
                    is_at_seam = False
                    yield Delta(text=text)


def _moved(citation: Citation, removed: int, said_chars: int) -> Citation:
    if citation.start is None or citation.end is None:
        return citation
    start, end = (said_chars + max(0, place - removed) for place in (citation.start, citation.end))
    return replace(citation, start=start, end=end)
