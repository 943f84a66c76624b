"""The texts of answers whose scenario names no text. They are the same each time.

`ANSWER` is a whole answer. The endless text has numbered lines, in which no word occurs twice, so that a lost, doubled
or swapped piece shows.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Self

_LINES: Final = tuple(
    tuple(line.split())
    for line in (
        "Water leaves the mill wheel and runs down its own channel.",
        "Anyone may stand beside that stream and read it from anywhere.",
        "Whoever arrives late still sees every word in its right place.",
        "Nothing is lost when one reader goes home before the end.",
    )
)
ANSWER: Final = """\
# Why a tailrace?

Water drives a mill wheel once. What happens **afterwards** decides how well the mill runs:

1. The wheel hands the water to a channel of its own, the *tailrace*.
2. The channel carries it away, however long the wheel turns.
3. Anyone may stand beside it, and read the stream from anywhere.

| who | does what |
| --- | --- |
| a service | enqueues a job, and leaves |
| a worker | streams the answer into Redis |
| a reader | tails it, resumes, replays |

```python
async for event in job.tail(after=cursor):
    print(event)
```

Nothing is lost when a reader goes home before the end.
"""
"""A whole answer in Markdown, with a heading, a list, a table and code."""

_PIECES_PER_LINE: Final = 1 + len(_LINES[0])
"""The number of the line, and then its words. Each line has the same number of words."""


def piece(position: int) -> str:
    """Return the piece of the text at a position, from 0."""
    line, column = divmod(position, _PIECES_PER_LINE)
    if column:
        return f" {_LINES[line % len(_LINES)][column - 1]}"
    return f"\n{line + 1}." if line else "1."


def thought(position: int) -> str:
    """Return the piece of the reasoning at a position, from 0. It differs from all pieces of the text."""
    return f" Thought {position + 1}." if position else "Thought 1."


def cut(text: str) -> tuple[str, ...]:
    """Return the pieces of a text: one word each, with the white space before it."""
    return tuple(re.findall(r"\s*\S+|\s+", text))


@dataclass(frozen=True, slots=True)
class Passage:
    """Consecutive pieces of a text. They are made when they are needed, because there may be millions."""

    piece: Callable[[int], str]
    encoded_piece: Callable[[int], bytes]
    """Returns the piece at a position as a JSON string in UTF-8, with its quotes."""
    positions: range

    @classmethod
    def of(cls, words: tuple[str, ...], positions: range) -> Self:
        """Return a passage of some words, which are repeated as often as needed."""
        encoded = tuple(map(_encoded, words))
        return cls(
            lambda position: words[position % len(words)],
            lambda position: encoded[position % len(words)],
            positions,
        )

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def text(self) -> str:
        """The joined pieces."""
        return "".join(map(self.piece, self.positions))

    def encoded(self) -> Iterator[bytes]:
        """Return each piece as a JSON string in UTF-8, with its quotes. The bytes of a piece are made only once."""
        return map(self.encoded_piece, self.positions)


def text(positions: range) -> Passage:
    """Return a part of the endless text."""
    return Passage(piece, _encoded_piece, positions)


def reasoning(positions: range) -> Passage:
    """Return a part of the endless reasoning."""
    return Passage(thought, _encoded_thought, positions)


def arguments(number: int) -> Passage:
    """Return the JSON arguments of a tool call, in fragments. They contain the number of the call."""
    words = " ".join(_LINES[number % len(_LINES)][:4])
    told = {"number": number, "words": words, "sign": "\N{SNOWMAN}"}
    fragments = cut(json.dumps(told, ensure_ascii=False))
    return Passage.of(fragments, range(len(fragments)))


@lru_cache(maxsize=1 << 16)
def _encoded_piece(position: int) -> bytes:
    return _encoded(piece(position))


@lru_cache(maxsize=1 << 16)
def _encoded_thought(position: int) -> bytes:
    return _encoded(thought(position))


def _encoded(text: str) -> bytes:
    return json.dumps(text, ensure_ascii=False).encode()
