"""Finds the matches of rules in a text that arrives in parts, exactly as in the whole text."""

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from functools import lru_cache
from itertools import accumulate
from typing import Final, NamedTuple, Protocol, Self, cast

import re2  # type: ignore[import-untyped]

from tailrace.errors import InvalidRequest
from tailrace.request.patterns import unfolded_chars
from tailrace_worker.shaping.guards.beginnings import Form, Unsupported, alternatives, taken_apart

MAX_MATCH_BYTES: Final = 8_192
"""The longest match, so that no more than this is ever held back. RSA private keys of 8,192 bits fit."""

KNOWN_NEXT: Final = r"(?:\b|\B)"
"""An assertion that always holds, but makes a match wait for the character after it."""

_CONTEXT_BYTES: Final = 4
"""How much of the text that was passed on is kept, for assertions that look back: one character."""
_PART_CHARS: Final = 4_096
_MAX_MEMORY_BYTES: Final = 16 * 1024 * 1024
"""The limit for one compiled expression. An expression that takes twice as much takes seconds to compile."""
_LEAST_MEMORY_BYTES: Final = 262_144
_MEMORY_BYTES_PER_CHAR: Final = 512
"""The memory that a request's expression may take for each of its characters, with its repetitions written out. As a
request has a limit to its characters, this limits the memory of all its expressions together."""
# A program caches states for all of its rules together. With too many rules, the states exceed its memory, and each
# piece takes 100 times as long. But each further program takes 2 microseconds per piece.
_PROGRAM_CHARS: Final = 16_000
_SHORT_PROGRAM_CHARS: Final = 24_000
_SEARCH_SECONDS: Final = 1.0
_SEARCH_SECONDS_PER_BYTE: Final = 20e-6
"""The time that the built-in kinds take for dense numbers. 1,000 words of a request take a hundredth of it."""
_SHORT_BYTES: Final = 24
"""The usual length of a piece with the text that is held back before it."""


class Rule(NamedTuple):
    """One thing to search for."""

    kind: str
    patterns: Sequence[str]
    """The patterns, in RE2's syntax. If several match at a position, the first one counts."""
    accepts: Callable[[bytes, int, int], bool] = lambda _text, _start, _end: True
    """Checks a match, given the text, the match's start and its end. It may look at one character before and after the
    match. If it rejects a match, a shorter one at the same start is tried. If it looks at the character after the
    match, the patterns have to end with an assertion, such as `KNOWN_NEXT`."""
    reach: Callable[[bytes, int, int], int] = lambda _text, _start, end: end
    """Returns the last position at which an acceptable match can end, given the text, a match's start and its end; the
    start if there is none. It saves trying one end after another."""
    lead: re.Pattern[bytes] = re.compile(b"")
    """The beginning of a match that stays visible, such as the name of a secret."""
    is_requests: bool = False
    """True if the patterns are a request's own, so that it is not known how long RE2 takes for them."""

    def hidden_from(self, text: bytes, start: int, end: int) -> int:
        """Return where the hidden part of a match begins."""
        lead = self.lead.match(text, start, end)
        return lead.end() if lead else start


class Passage(NamedTuple):
    """A match, or a part of the text without one."""

    text: str
    kind: str | None
    """The kind of the match; `None` for text without one."""


class _Match(Protocol):
    @property
    def lastindex(self) -> int | None: ...
    def start(self) -> int: ...
    def end(self) -> int: ...


class _Compiled(Protocol):
    """An expression of RE2. Positions are in bytes. Its assertions see the text around the searched part."""

    @property
    def programsize(self) -> int: ...
    def search(self, text: bytes, pos: int) -> _Match | None: ...
    def match(self, text: bytes, pos: int, endpos: int) -> _Match | None: ...


_compile = cast("Callable[[str, re2.Options], _Compiled]", re2.compile)  # pyright: ignore[reportUnknownMemberType]
_RefusedByRE2 = cast("type[Exception]", re2.error)  # pyright: ignore[reportUnknownMemberType]


class SearchBudget:
    """The processor time for the searches of one request's guards: 1 s, and 20 microseconds per byte of text.

    A pattern does not show how long RE2 takes for it. Once the states of a program have filled its memory, it may go
    through all instructions for each byte, and again for each piece, as far back as a match may have begun.
    """

    def __init__(self) -> None:
        self._left_seconds = _SEARCH_SECONDS

    def extend(self, text_bytes: int) -> None:
        """Add the time for more text.

        Args:
            text_bytes: The length of the text.
        """
        self._left_seconds += text_bytes * _SEARCH_SECONDS_PER_BYTE

    def spend(self, seconds: float) -> None:
        """Count the time of a search.

        Args:
            seconds: How long it took.

        Raises:
            InvalidRequest: The budget is used up.
        """
        self._left_seconds -= seconds
        if self._left_seconds < 0:
            raise InvalidRequest(
                "The guards' own words and patterns take too long to look for: use fewer, or shorter repetitions."
            )


class Rules:
    """Rules that search a text together. The first match counts; if several begin there, that of the first rule."""

    budget: SearchBudget | None = None
    """The budget of the request, if one search may take milliseconds."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        """Compile the rules.

        Args:
            rules: The rules, in order of precedence.

        Raises:
            InvalidRequest: A pattern cannot be used.
        """
        rules = tuple(rules)
        forms = [_form(rule) for rule in rules]
        short = [_form(rule, _SHORT_BYTES) for rule in rules]
        own = [rule.is_requests for rule in rules]
        # The largest programs are compiled first, so that a pattern that is too large for RE2 is rejected early.
        self._begun = _begun(forms, own, _PROGRAM_CHARS)
        self._short_begun = _begun(short, own, _SHORT_PROGRAM_CHARS)
        groups = _together([(f"({form.whole})", each) for form, each in zip(forms, own, strict=True)], _PROGRAM_CHARS)
        before = accumulate((len(group) for group, _ in groups), initial=0)
        self._any = [
            (_compiled("|".join(group), is_requests=each), first)
            for (group, each), first in zip(groups, before, strict=False)
        ]
        self._rules = [
            (rule, _compiled(form.whole, is_requests=rule.is_requests)) for rule, form in zip(rules, forms, strict=True)
        ]
        programs = [program for rule, program in self._rules if rule.is_requests]
        programs += [program for program, is_requests in self._begun if is_requests]
        self.own_instructions = sum(program.programsize for program in programs)
        """The size of the programs of the request's own words and patterns, in RE2's instructions."""

    def within(self, budget: SearchBudget | None) -> Self:
        """Return the same rules with the budget of a request."""
        rules = copy(self)
        rules.budget = budget
        return rules

    def open_from(self, text: bytes, start: int) -> int:
        """Return the first position at which more text could make a match, or change one.

        Args:
            text: The text so far.
            start: Where to begin, in bytes.
        """
        start = max(start, len(text) - MAX_MATCH_BYTES)
        place = len(text)
        for program, _ in self._short_begun if place - start <= _SHORT_BYTES else self._begun:
            begun = program.search(text, start)
            if begun and (found := begun.start()) < place:
                place = found
                if place == start:
                    break
        return place

    def find(self, text: bytes, start: int, stop: int, spent: Callable[[], None]) -> tuple[int, int, str] | None:
        """Return the start, end and kind of the first match. Empty matches do not count.

        Args:
            text: The text so far.
            start: Where to begin, in bytes.
            stop: The match has to begin before this position.
            spent: Called after each search whose match was rejected.
        """
        if start >= stop:
            return None
        firsts = [_first(group, text, start) for group in self._any]
        while (first := min(firsts))[0] < stop:
            start, index, end = first
            # The rules before the one that matched do not match at this position.
            for rule, compiled in self._rules[index:]:
                if end := _end(text, start, rule, compiled, end):
                    return rule.hidden_from(text, start, end), end, rule.kind
            firsts = [
                _first(group, text, start + 1) if first[0] == start else first
                for group, first in zip(self._any, firsts, strict=True)
            ]
            spent()
        return None


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

    def feed(self, text: str) -> Iterator[Passage]:
        """Take the next part of the text, and yield the passages that more text cannot change.

        Args:
            text: The next part.
        """
        for place in range(0, len(text), _PART_CHARS):
            part = text[place : place + _PART_CHARS].encode(errors="surrogatepass")
            if self._rules.budget is not None:
                self._rules.budget.extend(len(part))
            self._text += part
            yield from self._known(is_whole=False)

    def end(self) -> Iterator[Passage]:
        """Yield the rest of the passages, because the text has ended."""
        yield from self._known(is_whole=True)

    def _known(self, *, is_whole: bool) -> Iterator[Passage]:
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
            yield from _passage(text[start : found[0]])
            yield from _passage(text[found[0] : found[1]], found[2])
            start = found[1]
        yield from _passage(text[start:stop])
        dropped = max(0, stop - _CONTEXT_BYTES)
        self._text, self._start = text[dropped:], stop - dropped

    def _spend(self) -> None:
        budget = self._rules.budget
        if budget is not None:
            since, self._since = self._since, time.thread_time()
            budget.spend(self._since - since)


def _form(rule: Rule, longest: int | None = None) -> Form:
    try:
        return alternatives(taken_apart(pattern, longest) for pattern in rule.patterns)
    except Unsupported as error:
        raise InvalidRequest(f"A guard's pattern cannot be used: {error}.") from None


def _begun(forms: Iterable[Form], own: Iterable[bool], most_chars: int) -> list[tuple[_Compiled, bool]]:
    # The shortest come first: any word may begin an e-mail address, and then the others need not be searched.
    shortest = sorted(zip((form.begun for form in forms), own, strict=True), key=lambda each: (each[1], len(each[0])))
    groups = _together(shortest, most_chars)
    return [(_compiled(f"(?:{'|'.join(group)})\\z", is_requests=each), each) for group, each in groups]


def _together(patterns: Iterable[tuple[str, bool]], most_chars: int) -> list[tuple[list[str], bool]]:
    """Group patterns. A group has at most `most_chars` characters, or only one pattern.

    A request's own patterns are in separate groups, because the other groups are the same for all requests.
    """
    groups: list[tuple[list[str], bool]] = []
    chars = most_chars
    for pattern, is_requests in patterns:
        chars += len(pattern)
        if chars > most_chars or groups[-1][1] is not is_requests:
            groups.append(([], is_requests))
            chars = len(pattern)
        groups[-1][0].append(pattern)
    return groups


def _first(group: tuple[_Compiled, int], text: bytes, start: int) -> tuple[int, int, int]:
    """Return where a group's first match begins, the index of its rule, and where the match ends."""
    compiled, index = group
    match = compiled.search(text, start)
    return (match.start(), index + (match.lastindex or 1) - 1, match.end()) if match else (len(text), 0, 0)


def _end(text: bytes, start: int, rule: Rule, compiled: _Compiled, end: int) -> int:
    """Return where the longest accepted match ends, or 0. `end` is the end of the rule's first match; 0 if unknown."""
    stop = min(len(text), start + MAX_MATCH_BYTES)
    if not start < end <= stop:
        end = _match_end(compiled, text, start, stop)
    while end > start:
        stop = rule.reach(text, start, end)
        if stop == end:
            if rule.accepts(text, start, end):
                return end
            stop -= 1
        end = _match_end(compiled, text, start, stop)
    return 0


def _match_end(compiled: _Compiled, text: bytes, start: int, stop: int) -> int:
    match = compiled.match(text, start, stop) if stop > start else None
    return match.end() if match else 0


def _passage(text: bytes, kind: str | None = None) -> Iterator[Passage]:
    if text:
        yield Passage(text.decode(errors="surrogatepass"), kind)


def _compiled(pattern: str, *, is_requests: bool) -> _Compiled:
    if not is_requests:
        return _built_in(pattern)
    wanted = max(_LEAST_MEMORY_BYTES, unfolded_chars(pattern) * _MEMORY_BYTES_PER_CHAR)
    return _compiled_within(pattern, min(wanted, _MAX_MEMORY_BYTES))


@lru_cache(maxsize=128)
def _built_in(pattern: str) -> _Compiled:
    return _compiled_within(pattern, _MAX_MEMORY_BYTES)


def _compiled_within(pattern: str, memory_bytes: int) -> _Compiled:
    options = re2.Options()
    options.max_mem = memory_bytes
    options.log_errors = False
    try:
        return _compile(pattern, options)
    except _RefusedByRE2 as error:
        reason = error.args[0].decode(errors="replace")
        raise InvalidRequest(f"A guard's pattern cannot be used: {reason}.") from None
