"""Finds the matches of rules in a text that arrives in parts, exactly as in the whole text."""

import time
from collections.abc import Iterator
from typing import Final, NamedTuple

from tailrace_worker.shaping.guards.rules import Rules

_CONTEXT_BYTES: Final = 4
"""How much of the text that was passed on is kept, for assertions that look back: one character."""
_PART_CHARS: Final = 4_096


class Segment(NamedTuple):
    """A match, or a part of the text without one."""

    text: str
    kind: str | None
    """The kind of the match; `None` for text without one."""


class Search:
    """The search of one text. It holds back what may be the beginning of a match until more text decides."""

    def __init__(self, rules: Rules, said: str = "") -> None:
        """Start a text.

        Args:
            rules: The rules.
            said: The text before it, which was searched before.
        """
        self._rules = rules
        self._text = said[-1:].encode(errors="surrogatepass")
        self._start = len(self._text)
        self._since = 0.0

    def feed(self, text: str) -> Iterator[Segment]:
        """Take the next part of the text, and yield the segments that more text cannot change.

        Args:
            text: The next part.
        """
        for place in range(0, len(text), _PART_CHARS):
            part = text[place : place + _PART_CHARS].encode(errors="surrogatepass")
            if self._rules.budget is not None:
                self._rules.budget.extend(len(part))
            self._text += part
            yield from self._known(is_whole=False)

    def end(self) -> Iterator[Segment]:
        """Yield the rest of the segments, because the text has ended."""
        yield from self._known(is_whole=True)

    def _known(self, *, is_whole: bool) -> Iterator[Segment]:
        text, start, rules = self._text, self._start, self._rules
        self._since = time.thread_time()
        stop = len(text) if is_whole else -1
        while True:
            if start > stop:
                stop = rules.open_from(text, start)
            found = rules.find(text, start, stop, self._spend)
            self._spend()
            if found is None:
                break
            yield from _segment(text[start : found[0]])
            yield from _segment(text[found[0] : found[1]], found[2])
            start = found[1]
        yield from _segment(text[start:stop])
        dropped = max(0, stop - _CONTEXT_BYTES)
        self._text, self._start = text[dropped:], stop - dropped

    def _spend(self) -> None:
        budget = self._rules.budget
        if budget is not None:
            since, self._since = self._since, time.thread_time()
            budget.spend(self._since - since)


def _segment(text: bytes, kind: str | None = None) -> Iterator[Segment]:
    if text:
        yield Segment(text.decode(errors="surrogatepass"), kind)
