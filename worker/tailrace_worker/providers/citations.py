"""`Citations`: the citations of one answer, each yielded once, and after the text of its range."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from tailrace.events import Citation
from tailrace_worker.providers.fragments import paired

MAX_HELD: Final = 1_024
"""How many citations are held back at the same time. Others get no range, or are dropped."""
_MAX_CHARS: Final = 8_192
"""The longest quote, address or title. The text of a quoted page or block may be much longer."""


class Citations:
    """The citations of one answer. Providers repeat them in the whole message, and some in each event."""

    def __init__(self) -> None:
        self._told = set[Citation]()
        self._early: list[Citation] = []
        """Citations of text that has not arrived yet."""

    def tell(self, citation: Citation, chars: int) -> Iterator[Citation]:
        """Take a citation, and yield it if it is a new one and its text has arrived.

        Args:
            citation: The citation.
            chars: How many characters of the answer's text have arrived.
        """
        if citation in self._told or not _names_source(citation):
            return
        self._told.add(citation)
        if citation.end is None or citation.end <= chars:
            yield citation
        elif len(self._early) < MAX_HELD:
            self._early.append(citation)
        else:
            yield _placeless(citation)

    def end(self, chars: int) -> Iterator[Citation]:
        """Yield the citations that are still held once the answer has ended.

        Args:
            chars: How many characters the answer's text has.
        """
        for citation in self._early:
            yield citation if citation.end is not None and citation.end <= chars else _placeless(citation)
        self._early.clear()


def text_range(start: object, end: object, *, offset: int = 0) -> tuple[int, int] | tuple[None, None]:
    """Return the range of a citation in the answer's text; without numbers if the provider's are missing or invalid.

    Args:
        start: The offset of the first character, as the provider says it.
        end: The offset after the last one.
        offset: Where the text that the provider counts from begins in the answer's text.
    """
    first, last = number(start), number(end)
    if first is None or last is None or first > last:
        return None, None
    return offset + first, offset + last


def number(said: object) -> int | None:
    """Return a number that a provider sends; `None` if it is missing or invalid."""
    return said if isinstance(said, int) and not isinstance(said, bool) and said >= 0 else None


def words(said: object) -> str | None:
    """Return a text that a provider sends, cut to 8,192 characters; `None` if it is missing or empty."""
    return paired(said)[:_MAX_CHARS] if isinstance(said, str) and said else None


def _placeless(citation: Citation) -> Citation:
    return replace(citation, start=None, end=None)


def _names_source(citation: Citation) -> bool:
    texts = citation.url, citation.title, citation.quote, citation.file_id
    return any(texts) or citation.source_index is not None
