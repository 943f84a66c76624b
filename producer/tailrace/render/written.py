"""Text that is joined when someone asks for it."""

from collections.abc import Sequence


class Written:
    """Lines, and pieces of one that has not ended, of lists which grow on: to take it does not cost its length."""

    __slots__ = ("_count", "_joined", "_length", "_lines", "_pieces")

    def __init__(self, lines: Sequence[str], pieces: Sequence[str] = ()) -> None:
        self._lines = lines
        self._pieces = pieces
        self._count = len(lines)
        self._length = len(pieces)
        self._joined: str | None = None

    def __str__(self) -> str:
        if self._joined is None:
            unfinished = ["".join(self._pieces[: self._length])] if self._length else []
            self._joined = "\n".join([*self._lines[: self._count], *unfinished])
            self._lines = self._pieces = ()
        return self._joined

    def __repr__(self) -> str:
        return repr(str(self))

    def __eq__(self, other: object) -> bool:
        return str(self) == str(other) if isinstance(other, Written) else NotImplemented

    def __hash__(self) -> int:
        return hash(str(self))
