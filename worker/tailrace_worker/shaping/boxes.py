"""Finds bounding boxes in an answer, and passes its text on unchanged."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from tailrace.events import Delta, ToolCall
from tailrace_worker.providers.base import Finish, Piece
from tailrace_worker.shaping.box_scanner import BoxScanner


async def boxes(pieces: AsyncGenerator[Piece, None], *, said: str = "") -> AsyncGenerator[Piece, None]:
    """Pass all pieces on, and yield each box in the answer's text right after the piece that completes it.

    A box is complete with its last bracket, or with a label after it. It is `[x1, y1, x2, y2]`, or the same in the tags
    of a model (see `box_notations`), with x1 <= x2 and y1 <= y2. Code has no boxes: neither text between backticks, nor
    a fence, unless it is one of JSON.

    Args:
        pieces: The pieces of the answer.
        said: The part of the text that earlier attempts wrote. Positions are counted from its beginning.

    Yields:
        The pieces and the boxes.
    """
    scanner = BoxScanner()
    scanner.feed(said)
    async with aclosing(pieces):
        async for piece in pieces:
            if isinstance(piece, ToolCall | Finish):
                for box in scanner.end():
                    yield box
            yield piece
            if isinstance(piece, Delta):
                for box in scanner.feed(piece.text):
                    yield box
        for box in scanner.end():
            yield box
