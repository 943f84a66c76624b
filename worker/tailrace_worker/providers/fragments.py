"""`Fragments`: one text of an answer, joined from its fragments."""

import re
from collections.abc import Iterator
from io import StringIO
from typing import Final

from tailrace_worker.providers.errors import ErrorEvent

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_BLANKS: Final = re.compile(r"\s*")
_BRACKETS: Final = re.compile(r'[][{}"\\]')


class Differs(ErrorEvent):
    """A text that the provider repeats as a whole differs from its fragments, so some of them were lost."""


class Fragments:
    """A text that arrives in fragments, and may then arrive again as a whole.

    A server that counts in UTF-16 may cut a character between the two halves of a surrogate pair. The first half is
    held until the second one arrives.
    """

    __slots__ = ("_half", "_joined", "_told")

    def __init__(self) -> None:
        self._told = StringIO()
        self._joined = ""
        """The text at the last call of `str`."""
        self._half = ""

    def __str__(self) -> str:
        if len(self._joined) != len(self):
            self._joined = self._told.getvalue()
        return self._joined

    def __len__(self) -> int:
        """How many characters were passed on."""
        return self._told.tell()

    def add(self, fragment: str) -> str:
        """Add a fragment.

        Args:
            fragment: The fragment.

        Returns:
            The text to pass on: the fragment, except for half of a surrogate pair at its end.
        """
        if self._half or not (fragment.isascii() or _SURROGATE.search(fragment) is None):
            fragment = self._with_half(fragment)
        self._told.write(fragment)
        return fragment

    def rest(self, whole: str) -> str:
        """Take the text as a whole.

        Args:
            whole: The whole text.

        Returns:
            The text to pass on: the part that the fragments did not have.

        Raises:
            Differs: The fragments are not the beginning of it. White space at its ends does not count, because some
                servers strip it.
        """
        if not whole:
            return ""
        whole = paired(whole)
        told = str(self)
        if whole.startswith(told):
            self._half = ""
            return self.add(whole[len(told) :])
        if _is_but_for_blanks(told, whole.strip()):
            return ""
        raise Differs({"message": "the whole text differs from the text that it streamed"})

    def end(self) -> str:
        """Return the text that is left at the end: a replacement character if half of a surrogate pair is held."""
        half, self._half = self._half, ""
        return "\ufffd" if half else ""

    def _with_half(self, fragment: str) -> str:
        text = self._half + fragment
        self._half = ""
        if "\ud800" <= text[-1:] <= "\udbff":
            self._half, text = text[-1], text[:-1]
        return paired(text)


class Arguments(Fragments):
    """The JSON arguments of a tool call, which know whether they are complete."""

    __slots__ = ("_depth", "_is_escaped", "_is_string", "_last")

    def __init__(self) -> None:
        super().__init__()
        self._depth = 0
        self._is_string = self._is_escaped = False
        self._last = ""
        """The last character that is not white space."""

    @property
    def is_blank(self) -> bool:
        """True if the arguments are empty or only white space."""
        return not self._last

    @property
    def is_complete(self) -> bool:
        """True if an object or a list has begun and ended."""
        return not self._depth and self._last in {"}", "]"}

    def add(self, fragment: str) -> str:
        """Add a fragment, as `Fragments.add` does."""
        fragment = super().add(fragment)
        for mark in self._marks(fragment):
            self._depth += 1 if mark in "[{" else -1
        self._last = fragment.rstrip()[-1:] or self._last
        return fragment

    def _marks(self, fragment: str) -> Iterator[str]:
        """Yield the brackets that are outside of strings."""
        escaped_at = 0 if self._is_escaped else -1
        self._is_escaped = False
        for found in _BRACKETS.finditer(fragment):
            mark, at = found[0], found.start()
            if at == escaped_at:
                continue
            if not self._is_string and mark not in '"\\':
                yield mark
            elif mark == '"':
                self._is_string = not self._is_string
            elif mark == "\\" and self._is_string:
                escaped_at = at + 1
        self._is_escaped = escaped_at == len(fragment)


def _is_but_for_blanks(text: str, stripped: str) -> bool:
    """Return `text.strip() == stripped` without copying the text, which may be long and compared often."""
    begin = found.end() if (found := _BLANKS.match(text)) else 0
    return text.startswith(stripped, begin) and _BLANKS.fullmatch(text, begin + len(stripped)) is not None


def paired(text: str) -> str:
    """Return a text whose surrogate pairs are joined. A half without the other one becomes a replacement character."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
