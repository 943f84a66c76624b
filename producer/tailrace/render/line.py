"""One line, read from the left."""

import re
from typing import Final

CODE_INDENT: Final = 4
"""Columns: what is indented by as many is code, or text that goes on."""

_TAB_COLUMNS: Final = 4
_WHITE_SPACE: Final = re.compile(r"[ \t]*+")


class Line:
    """One line, and how far it has been read: over the marks of the containers that it stands in.

    Columns are counted from the beginning of the line, since that is where tabs are. A tab may be read in part.
    """

    __slots__ = ("_at", "_column", "_spare", "indent", "start", "text", "unbroken_until")

    def __init__(self, text: str) -> None:
        self.text: str = text
        self.start: int = 0
        """Where the next character stands that is no white space."""
        self.indent: int = 0
        """How many columns of white space stand before it that have not been read."""
        self.unbroken_until: int = 0
        """Up to where it is known that what begins there is no thematic break."""
        self._at = 0
        self._column = 0
        self._spare = 0
        """How many columns of the tab before `_at` have not been read."""
        self._find_start()

    @property
    def blank(self) -> bool:
        """Whether nothing follows but white space."""
        return self.start == len(self.text)

    @property
    def character(self) -> str:
        """The next character that is no white space; empty where the line is blank."""
        return self.text[self.start : self.start + 1]

    @property
    def words(self) -> str:
        """What has not been read, from the next character on that is no white space."""
        return self.text[self.start :]

    @property
    def rest(self) -> str:
        """What has not been read, white space and all."""
        return " " * self._spare + self.text[self._at :]

    def skip(self, columns: int) -> None:
        """Reads over as many columns of white space, which there have to be."""
        self.indent -= columns
        end = self._column + columns
        self._column += self._spare
        while self._column < end:
            self._column += self._width(self.text[self._at], self._column)
            self._at += 1
        self._spare = self._column - end
        self._column = end

    def step(self, length: int) -> None:
        """Reads over the white space, and as many characters behind it."""
        self._column += self.indent + length
        self._at = self.start + length
        self._spare = 0
        self._find_start()

    def _find_start(self) -> None:
        match = _WHITE_SPACE.match(self.text, self._at)
        self.start = match.end() if match else self._at
        end = self._column
        for character in self.text[self._at : self.start]:
            end += self._width(character, end)
        self.indent = end - self._column

    @staticmethod
    def _width(character: str, column: int) -> int:
        return _TAB_COLUMNS - column % _TAB_COLUMNS if character == "\t" else 1
