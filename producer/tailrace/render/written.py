"""`Written`: the text of a block, which is joined only when it is read."""

from collections.abc import Sequence


class Written:
    """The lines of a block at one moment, and the pieces of its last line, which has not ended.

    It shares the lists of the open block, which may grow afterwards, and remembers how many elements are its own. So
    making one takes the same time however long the text is.
    """

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
