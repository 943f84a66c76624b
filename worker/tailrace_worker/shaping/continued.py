"""Joins the rest of an answer to the beginning from earlier attempts."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from tailrace.events import Delta
from tailrace_worker.providers.base import Piece


async def continued(pieces: AsyncGenerator[Piece, None], said: str) -> AsyncGenerator[Piece, None]:
    """Remove white space from the beginning of the text if the earlier text ends with white space.

    The provider was given the earlier text without the white space at its end, and so writes it again.

    Args:
        pieces: The pieces of this attempt.
        said: The text of earlier attempts.

    Yields:
        The pieces.
    """
    is_at_seam = said[-1:].isspace()
    async with aclosing(pieces):
        async for piece in pieces:
            if not (is_at_seam and isinstance(piece, Delta)):
                yield piece
            elif text := piece.text.lstrip():
                is_at_seam = False
                yield Delta(text=text)
