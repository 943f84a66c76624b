"""`Line`: one line of Markdown, read from the left."""

import re
from typing import Final

CODE_INDENT: Final = 4
"""Columns: a line that is indented by this much is code, or continues a paragraph."""

_TAB_COLUMNS: Final = 4
_WHITE_SPACE: Final = re.compile(r"[ \t]*+")


class Line:
    """One line, and how far it has been read.

    Columns are counted from the beginning of the line, because tab stops are. A tab may be read in part.
    """

    __slots__ = ("_at", "_column", "_spare", "indent", "start", "text", "unbroken_until")

    def __init__(self, text: str) -> None:
        self.text: str = text
        self.start: int = 0
        """The index of the next character that is not white space."""
        self.indent: int = 0
        """The columns of unread white space before `start`."""
        self.unbroken_until: int = 0
        """No thematic break begins before this index."""
        self._at = 0
        self._column = 0
        self._spare = 0
        """The unread columns of the tab before `_at`."""
        self._find_start()

    @property
    def blank(self) -> bool:
        """True if only white space is left."""
        return self.start == len(self.text)

    @property
    def character(self) -> str:
        """The next character that is not white space; empty if the line is blank."""
        return self.text[self.start : self.start + 1]

    @property
    def words(self) -> str:
        """The unread text without the white space at its beginning."""
        return self.text[self.start :]

    @property
    def rest(self) -> str:
        """The unread text, including the white space at its beginning."""
        return " " * self._spare + self.text[self._at :]

    def skip(self, columns: int) -> None:
        """Skip columns of white space.

        Args:
            columns: How many, at most `indent`.
        """
        self.indent -= columns
        end = self._column + columns
        self._column += self._spare
        while self._column < end:
            self._column += self._width(self.text[self._at], self._column)
            self._at += 1
        self._spare = self._column - end
        self._column = end

    def step(self, length: int) -> None:
        """Skip the white space and the characters after it.

        Args:
            length: How many characters after the white space to skip.
        """
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
