"""Where the rest of an answer meets its beginning."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from tailrace.events import Delta
from tailrace_worker.providers.base import Piece


async def continued(pieces: AsyncGenerator[Piece, None], said: str) -> AsyncGenerator[Piece, None]:
    """Leaves out the white space with which the text goes on, where that which was `said` ends with white space.

    The provider was given the beginning without it: it says again what readers have.
    """
    is_at_seam = said[-1:].isspace()
    async with aclosing(pieces):
        async for piece in pieces:
            if not (is_at_seam and isinstance(piece, Delta)):
                yield piece
            elif text := piece.text.lstrip():
                is_at_seam = False
                yield Delta(text=text)
