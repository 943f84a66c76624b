"""`Ranges`: keeps the ranges of citations right while a guard alters the text."""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final, NamedTuple

from tailrace.events import Citation

_MAX_CHANGES: Final = 4_096
"""How many alterations are remembered. A range that begins before them is not known any more."""
_MAX_HELD: Final = 1_024
"""How many citations wait for their text. If there are more, the oldest is shown without its range."""


class Alteration(NamedTuple):
    """Characters of a text that were replaced by others, or removed."""

    start: int
    """The offset of the first of them in the text that arrived."""
    chars: int
    """How many they are."""
    shown_chars: int
    """How many characters replace them."""


class _Change(NamedTuple):
    """An alteration by the offsets of its ends: in the text that arrived, and in the text that is shown."""

    start: int
    end: int
    shown_start: int
    shown_end: int


class Ranges:
    """The ranges of the citations of one answer. A citation is held until the text of its range is shown."""

    def __init__(self, said_chars: int) -> None:
        """Begin with the text of earlier attempts.

        Args:
            said_chars: How many characters it has. It is not altered any more.
        """
        self._shown = said_chars
        self._base = said_chars
        self._changes: list[_Change] = []
        self._known_from = 0
        """Offsets before this one cannot be mapped any more."""
        self._held = deque[Citation]()

    @property
    def _settled(self) -> int:
        """How many characters of the text that arrived are shown, replaced or removed."""
        return self._shown - self._shift

    @property
    def _shift(self) -> int:
        return self._changes[-1].shown_end - self._changes[-1].end if self._changes else 0

    def begin(self) -> None:
        """Begin another part of the text, whose alterations are counted from here."""
        self._base = self._settled

    def show(self, text: str) -> None:
        """Note that text is shown."""
        self._shown += len(text)

    def alter(self, alterations: Iterable[Alteration]) -> None:
        """Note what was altered since the last call, in order. The offsets count from the last `begin`."""
        for start, chars, shown_chars in alterations:
            shown_start = self._base + start + self._shift
            end = self._base + start + chars
            self._changes.append(_Change(end - chars, end, shown_start, shown_start + shown_chars))
        if len(self._changes) > _MAX_CHANGES:
            del self._changes[: _MAX_CHANGES // 2]
            self._known_from = self._changes[0].start

    def hold(self, citation: Citation) -> None:
        """Take a citation, whose range counts from the beginning of the text that arrives."""
        self._held.append(citation)

    def ready(self, *, is_over: bool = False) -> Iterator[Citation]:
        """Yield the citations whose text is shown, with the range that it has there.

        Args:
            is_over: True if no more text of this part follows, so that every citation is yielded.
        """
        while self._held and (is_over or (self._held[0].end or 0) <= self._settled or len(self._held) > _MAX_HELD):
            yield self._placed(self._held.popleft())

    def _placed(self, citation: Citation) -> Citation:
        start, end = citation.start, citation.end
        if start is None or end is None:
            return citation
        if start < self._known_from or end > self._settled:
            return replace(citation, start=None, end=None)
        return replace(citation, start=self._start(start), end=self._end(end))

    def _start(self, place: int) -> int:
        at = bisect_right(self._changes, place, key=lambda change: change.start) - 1
        if at < 0:
            return place
        change = self._changes[at]
        return change.shown_start if place < change.end else place - change.end + change.shown_end

    def _end(self, place: int) -> int:
        at = bisect_left(self._changes, place, key=lambda change: change.start) - 1
        if at < 0:
            return place
        change = self._changes[at]
        return change.shown_end if place < change.end else place - change.end + change.shown_end
