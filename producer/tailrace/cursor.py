"""`EntryId`: the id of an entry of a job's stream, and the cursor after it."""

import re
from typing import NamedTuple, Self

from tailrace.errors import InvalidCursor

_CURSOR = re.compile(r"(\d{1,19})-(\d{1,19})", re.ASCII)


class EntryId(NamedTuple):
    """The id of an entry of a job's stream, written `ATTEMPT-SEQ`. As a cursor it is the position after that entry.

    Ids compare as Redis compares them: by `attempt`, then by `seq`.
    """

    attempt: int
    """The number of the attempt that wrote the entry; 0 for `queued`."""
    seq: int
    """The position of the entry, from 1: it grows by one through the whole stream, over all attempts."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a cursor that a user gave.

        Args:
            text: The cursor, such as `1-17`: two numbers of 1 to 19 digits.

        Returns:
            The cursor.

        Raises:
            InvalidCursor: The text is not of the form `ATTEMPT-SEQ`.
        """
        match = _CURSOR.fullmatch(text)
        if not match:
            raise InvalidCursor(f"{text!r} is not a cursor: cursors are written ATTEMPT-SEQ, such as '1-17'.")
        return cls(int(match[1]), int(match[2]))

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """Read an id as Redis sends it.

        Args:
            raw: The id, such as `b"1-17"`.

        Returns:
            The id.
        """
        attempt, _, seq = raw.partition(b"-")
        return cls(int(attempt), int(seq))

    def __str__(self) -> str:
        return f"{self.attempt}-{self.seq}"


BEGINNING = EntryId(0, 0)
"""The cursor before the first entry of every stream. That entry has the id `0-1`."""
