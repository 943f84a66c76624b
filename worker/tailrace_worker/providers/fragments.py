"""`Fragments`: one text of an answer, put together as it comes."""

import re
from collections.abc import Iterator
from io import StringIO
from typing import Final

from tailrace_worker.providers.failures import ErrorEvent

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_BLANKS: Final = re.compile(r"\s*")
_BRACKETS: Final = re.compile(r'[][{}"\\]')


class Differs(ErrorEvent):
    """The provider repeats a text, and it is not the text that came in fragments: some of them were lost."""


class Fragments:
    """A text that comes in fragments, and may come again as a whole.

    A server that counts in UTF-16 may cut inside of a character, between the two halves of a surrogate pair: the first
    half waits for the second.
    """

    __slots__ = ("_half", "_joined", "_told")

    def __init__(self) -> None:
        self._told = StringIO()
        self._joined = ""
        """What was told when somebody last asked."""
        self._half = ""

    def __str__(self) -> str:
        if len(self._joined) != len(self):
            self._joined = self._told.getvalue()
        return self._joined

    def __len__(self) -> int:
        """How long it is, as far as it was told."""
        return self._told.tell()

    def add(self, fragment: str) -> str:
        """Add a fragment, and return what is known now: without half a pair at its end, with the one from before."""
        if self._half or not (fragment.isascii() or _SURROGATE.search(fragment) is None):
            fragment = self._with_half(fragment)
        self._told.write(fragment)
        return fragment

    def rest(self, whole: str) -> str:
        """Take the text as a whole, and return what the fragments have not told of it.

        Raises:
            Differs: It is another text. White space at its ends does not count: servers strip it.
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
        raise Differs({"message": "the text that it repeats is not the text that it streamed"})

    def end(self) -> str:
        """Return what is left: the replacement character for a half whose other half did not come."""
        half, self._half = self._half, ""
        return "\ufffd" if half else ""

    def _with_half(self, fragment: str) -> str:
        text = self._half + fragment
        self._half = ""
        if "\ud800" <= text[-1:] <= "\udbff":
            self._half, text = text[-1], text[:-1]
        return paired(text)


class Arguments(Fragments):
    """The arguments of a tool call: JSON that knows when it is complete."""

    __slots__ = ("_depth", "_is_escaped", "_is_string", "_last")

    def __init__(self) -> None:
        super().__init__()
        self._depth = 0
        self._is_string = self._is_escaped = False
        self._last = ""
        """The last character that is not white space."""

    @property
    def is_blank(self) -> bool:
        """Whether nothing but white space came."""
        return not self._last

    @property
    def is_complete(self) -> bool:
        """Whether an object or a list has begun and ended."""
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
    """Whether `text.strip() == stripped`, without a copy of a long text for each of many short ones."""
    begin = found.end() if (found := _BLANKS.match(text)) else 0
    return text.startswith(stripped, begin) and _BLANKS.fullmatch(text, begin + len(stripped)) is not None


def paired(text: str) -> str:
    """Join the halves of pairs; other halves become replacement characters."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
