"""Recognizes link definitions, such as `[label]: https://example.com "title"`."""

import re
from collections.abc import Callable
from typing import Final

_LABEL: Final = re.compile(r"(?:[^\[\]\\]|\\.?)*+")
_BRACKETED: Final = re.compile(r"<(?:[^<>\\]|\\.)*+>")
_BARE: Final = re.compile(r"[^\x00-\x20\x7f]++")
_PARENTHESIS: Final = re.compile(r"\\.|([()])")
_WHITE_SPACE: Final = re.compile(r"[ \t]*+")
_TITLES: Final = {
    '"': re.compile(r'(?:[^"\\]|\\.?)*+(?P<closed>")?'),
    "'": re.compile(r"(?:[^'\\]|\\.?)*+(?P<closed>')?"),
    "(": re.compile(r"(?:[^()\\]|\\.?)*+(?P<closed>\))?"),
}


class DefinitionReader:
    """Finds the link definition at the beginning of a paragraph. It reads each line once."""

    __slots__ = ("_expected", "_named", "_title", "length", "lines")

    def __init__(self) -> None:
        self.lines: int = 0
        """The number of lines read so far."""
        self.length: int = 0
        """The number of lines that the definition has; 0 while no complete definition is known."""
        self._named = False
        self._title = _TITLES['"']
        self._expected: Callable[[DefinitionReader, str, int], None] | None = DefinitionReader._read_label

    def read(self, text: str) -> None:
        """Read the next line."""
        self.lines += 1
        if self._expected:
            self._expected(self, text, _next(text, 0))

    def may_continue_with(self, character: str) -> bool:
        """Return whether a next line that begins with a character may change `length`."""
        return character in _TITLES if self._expected is DefinitionReader._read_title else self._expected is not None

    def _read_label(self, text: str, at: int) -> None:
        begin = at + 1 if self.lines == 1 else at
        end = _end(_LABEL, text, begin)
        self._named = self._named or not _blank(text, begin, end)
        if end == len(text):
            return
        self._expected = None
        if self._named and text.startswith("]:", end):
            self._read_destination(text, _next(text, end + 2))

    def _read_destination(self, text: str, at: int) -> None:
        if at == len(text):
            self._expected = DefinitionReader._read_destination
            return
        self._expected = None
        end = _end(_BRACKETED if text[at] == "<" else _BARE, text, at)
        if end == at or (text[at] != "<" and not _balanced(text[at:end])):
            return
        at = _next(text, end)
        if at == len(text):
            self.length = self.lines
            self._expected = DefinitionReader._read_title
        elif at > end:
            self._read_title(text, at)

    def _read_title(self, text: str, at: int) -> None:
        self._expected = None
        if text[at] in _TITLES:
            self._title = _TITLES[text[at]]
            self._read_rest_of_title(text, at + 1)

    def _read_rest_of_title(self, text: str, at: int) -> None:
        self._expected = None
        match = self._title.match(text, at)
        end = match.end() if match else at
        if match and match["closed"]:
            if _next(text, end) == len(text):
                self.length = self.lines
        elif end == len(text):
            self._expected = DefinitionReader._read_rest_of_title


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return match.end() if match else at


def _next(text: str, at: int) -> int:
    return _end(_WHITE_SPACE, text, at)


def _blank(text: str, begin: int, end: int) -> bool:
    return _end(_WHITE_SPACE, text, begin) >= end


def _balanced(destination: str) -> bool:
    depth = 0
    for match in _PARENTHESIS.finditer(destination):
        depth += {"(": 1, ")": -1, None: 0}[match[1]]
        if depth < 0:
            return False
    return depth == 0
