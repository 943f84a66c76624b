"""The text that is told where a scenario names none: endless, and the same each time.

Its lines are numbered and no word comes twice in one, so that a piece that is lost, doubled or swapped shows.
"""

import json
import re
from functools import lru_cache
from typing import Final

_LINES: Final = tuple(
    tuple(line.split())
    for line in (
        "Water leaves the mill wheel and runs down its own channel.",
        "Anyone may stand beside that stream and read it from anywhere.",
        "Whoever arrives late still sees every word in its right place.",
        "Nothing is lost when one reader goes home before the end.",
    )
)
_PIECES_PER_LINE: Final = 1 + len(_LINES[0])
"""The number of the line, then its words: as many in each line."""


def piece(position: int) -> str:
    """The piece at a position, counted from 0."""
    line, column = divmod(position, _PIECES_PER_LINE)
    if column:
        return f" {_LINES[line % len(_LINES)][column - 1]}"
    return f"\n{line + 1}." if line else "1."


@lru_cache(maxsize=1 << 16)
def encoded_piece(position: int) -> bytes:
    """The piece as a JSON string in UTF-8, quotes included."""
    return encoded(piece(position))


def encoded(text: str) -> bytes:
    """A text as a JSON string in UTF-8, quotes included."""
    return json.dumps(text, ensure_ascii=False).encode()


def cut(text: str) -> tuple[str, ...]:
    """A text in pieces of one word each, with the space before it; joined, they are the text again."""
    return tuple(re.findall(r"\s*\S+|\s+", text))
