"""`EntryId`: a position in a job's stream, and the id of the entry there."""

import re
from typing import NamedTuple, Self

from tailrace.errors import InvalidCursor

_CURSOR = re.compile(r"(\d{1,19})-(\d{1,19})", re.ASCII)


class EntryId(NamedTuple):
    """The id of an entry of a job's stream, and so a position in it: written `ATTEMPT-SEQ`.

    Ids compare as Redis compares them. `SEQ` grows by one through the whole stream, over all attempts.
    """

    attempt: int
    seq: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a cursor that a user gave.

        Args:
            text: The cursor, such as `1-17`.

        Returns:
            The position that it names.

        Raises:
            InvalidCursor: The text is not of the form `ATTEMPT-SEQ`.
        """
        match = _CURSOR.fullmatch(text)
        if not match:
            raise InvalidCursor(f"{text!r} is not a cursor: cursors are written ATTEMPT-SEQ, such as '1-17'.")
        return cls(int(match[1]), int(match[2]))

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """Read an id as Redis sends it."""
        attempt, _, seq = raw.partition(b"-")
        return cls(int(attempt), int(seq))

    def __str__(self) -> str:
        return f"{self.attempt}-{self.seq}"


BEGINNING = EntryId(0, 0)
"""Before the first entry of every stream, whose id is `0-1`."""
