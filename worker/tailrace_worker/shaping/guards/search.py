"""Finds what rules look for in a text that comes in parts, just as if it had come at once."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Final, NamedTuple, Protocol, cast

import re2  # type: ignore[import-untyped]

from tailrace.errors import InvalidRequest
from tailrace_worker.shaping.guards.beginnings import Form, Unsupported, alternatives, taken_apart

MAX_MATCH_BYTES: Final = 8_192
"""What is longer is no match, so that no more than this is ever held back. Private keys of RSA with 8,192 bits fit."""

KNOWN_NEXT: Final = r"(?:\b|\B)"
"""Holds everywhere, but a match that ends with it waits for the character after it."""

_CONTEXT_BYTES: Final = 4
"""How much stays of what was let go, for the assertions that look back: one character."""
_PART_CHARS: Final = 4_096
_MAX_MEMORY_BYTES: Final = 16 * 1024 * 1024
"""The limit for one compiled expression. One that fills twice as much takes seconds to compile."""
# A program caches states for all of its rules together. With too many rules, the states exceed its memory, and each
# piece takes 100 times as long. But each program takes two microseconds for a piece.
_PROGRAM_CHARS: Final = 16_000
_SHORT_PROGRAM_CHARS: Final = 24_000
_LARGE_PROGRAM: Final = 1_000
"""Once the states of a program have filled its memory, RE2 may go through all its instructions for each byte: for a
thousand it takes 5 microseconds."""
_SHORT_BYTES: Final = 24
"""How long a piece is as a rule, with what is held back before it."""


class Rule(NamedTuple):
    """One thing to look for."""

    kind: str
    patterns: Sequence[str]
    """In RE2's syntax. Of those that match at a place the one named first counts."""
    accepts: Callable[[bytes, int, int], bool] = lambda _text, _start, _end: True
    """Checks a match: the text from a start to an end, and one character before and after it. If it rejects a match, a
    shorter one at the same start is tried. A check of the character after the match needs patterns that end with an
    assertion, such as `KNOWN_NEXT`."""
    reach: Callable[[bytes, int, int], int] = lambda _text, _start, end: end
    """Returns where the longest acceptable match in an unchecked one can end: a position up to the end, or the start if
    there is none. It saves trying one end after another."""
    lead: re.Pattern[bytes] = re.compile(b"")
    """The beginning of a match that is not hidden, such as the name of a secret."""
    is_requests: bool = False
    """Whether the patterns are a request's: nobody knows what they do to RE2."""

    def hidden_from(self, text: bytes, start: int, end: int) -> int:
        """Return where the hidden part of a match begins."""
        lead = self.lead.match(text, start, end)
        return lead.end() if lead else start


class Passage(NamedTuple):
    """A part of the text in which nothing was found, or a match."""

    text: str
    kind: str | None
    """What was found."""


class _Match(Protocol):
    @property
    def lastindex(self) -> int | None: ...
    def start(self) -> int: ...
    def end(self) -> int: ...


class _Compiled(Protocol):
    """An expression of RE2. Positions in text are bytes; what stands around them is seen by its assertions."""

    @property
    def programsize(self) -> int: ...
    def search(self, text: bytes, pos: int) -> _Match | None: ...
    def match(self, text: bytes, pos: int, endpos: int) -> _Match | None: ...


_compile = cast("Callable[[str, re2.Options], _Compiled]", re2.compile)  # pyright: ignore[reportUnknownMemberType]
_RefusedByRE2 = cast("type[Exception]", re2.error)  # pyright: ignore[reportUnknownMemberType]


class Rules:
    """Rules that look at a text together. The match that begins first counts, then that of the rule named first."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        """Raises `InvalidRequest` for a pattern that cannot be used."""
        rules = tuple(rules)
        forms = [_form(rule) for rule in rules]
        # The largest first, so that a pattern that is too large for RE2 is rejected early.
        self._begun = _begun(forms, _PROGRAM_CHARS)
        self._short_begun = _begun([_form(rule, _SHORT_BYTES) for rule in rules], _SHORT_PROGRAM_CHARS)
        groups = _together([f"({form.whole})" for form in forms], _PROGRAM_CHARS)
        before = accumulate(map(len, groups), initial=0)
        self._any = [(_compiled("|".join(group)), first) for group, first in zip(groups, before, strict=False)]
        self._rules = [(rule, _compiled(form.whole)) for rule, form in zip(rules, forms, strict=True)]
        own = [program for rule, program in self._rules if rule.is_requests]
        self.are_large = sum(program.programsize for program in own) > _LARGE_PROGRAM
        """Whether a look at a text may take milliseconds."""

    def open_from(self, text: bytes, start: int) -> int:
        """Return the first position from `start` on where more text could make a match, or change one."""
        start = max(start, len(text) - MAX_MATCH_BYTES)
        place = len(text)
        for program in self._short_begun if place - start <= _SHORT_BYTES else self._begun:
            begun = program.search(text, start)
            if begun and (found := begun.start()) < place:
                place = found
                if place == start:
                    break
        return place

    def find(self, text: bytes, start: int, stop: int) -> tuple[int, int, str] | None:
        """The first match that begins before `stop`: start, end and kind. Empty ones do not count."""
        if start >= stop:
            return None
        firsts = [_first(group, text, start) for group in self._any]
        while (first := min(firsts))[0] < stop:
            start, index, end = first
            # The rules before the one that has matched do not match here.
            for rule, compiled in self._rules[index:]:
                if end := _end(text, start, rule, compiled, end):
                    return rule.hidden_from(text, start, end), end, rule.kind
            firsts = [
                _first(group, text, start + 1) if first[0] == start else first
                for group, first in zip(self._any, firsts, strict=True)
            ]
        return None


class Search:
    """Searches one text. What may be the beginning of a match is held until that is known."""

    def __init__(self, rules: Rules, said: str = "") -> None:
        """`said` stands before the text, and was looked at."""
        self._rules = rules
        self._text = said[-1:].encode(errors="surrogatepass")
        self._start = len(self._text)

    def feed(self, text: str) -> Iterator[Passage]:
        """More of the text has come; what is known now of the text so far."""
        for place in range(0, len(text), _PART_CHARS):
            self._text += text[place : place + _PART_CHARS].encode(errors="surrogatepass")
            yield from self._known(is_whole=False)

    def end(self) -> Iterator[Passage]:
        """Nothing more comes; the rest."""
        yield from self._known(is_whole=True)

    def _known(self, *, is_whole: bool) -> Iterator[Passage]:
        text, start, rules = self._text, self._start, self._rules
        stop = len(text) if is_whole else -1
        while True:
            if start > stop:
                stop = rules.open_from(text, start)
            found = rules.find(text, start, stop)
            if found is None:
                break
            yield from _passage(text[start : found[0]])
            yield from _passage(text[found[0] : found[1]], found[2])
            start = found[1]
        yield from _passage(text[start:stop])
        dropped = max(0, stop - _CONTEXT_BYTES)
        self._text, self._start = text[dropped:], stop - dropped


def _form(rule: Rule, longest: int | None = None) -> Form:
    try:
        return alternatives(taken_apart(pattern, longest) for pattern in rule.patterns)
    except Unsupported as error:
        raise InvalidRequest(f"A guard's pattern cannot be used: {error}.") from None


def _begun(forms: Iterable[Form], most_chars: int) -> list[_Compiled]:
    # The shortest first: any word may begin an e-mail address, and then the others need not be searched for.
    groups = _together(sorted((form.begun for form in forms), key=len), most_chars)
    return [_compiled(f"(?:{'|'.join(group)})\\z") for group in groups]


def _together(patterns: Iterable[str], most_chars: int) -> list[list[str]]:
    """Group patterns, each group with at most so many characters, or with one pattern that has more."""
    groups: list[list[str]] = []
    chars = most_chars
    for pattern in patterns:
        chars += len(pattern)
        if chars > most_chars:
            groups.append([])
            chars = len(pattern)
        groups[-1].append(pattern)
    return groups


def _first(group: tuple[_Compiled, int], text: bytes, start: int) -> tuple[int, int, int]:
    """Return where a group's first match begins, the index of its rule, and where the match ends."""
    compiled, index = group
    match = compiled.search(text, start)
    return (match.start(), index + (match.lastindex or 1) - 1, match.end()) if match else (len(text), 0, 0)


def _end(text: bytes, start: int, rule: Rule, compiled: _Compiled, end: int) -> int:
    """Return where the longest accepted match ends, or 0. `end` is where the rule's first match ends, 0 if unknown."""
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


def _compiled(pattern: str) -> _Compiled:
    options = re2.Options()
    options.max_mem = _MAX_MEMORY_BYTES
    options.log_errors = False
    try:
        return _compile(pattern, options)
    except _RefusedByRE2 as error:
        reason = error.args[0].decode(errors="replace")
        raise InvalidRequest(f"A guard's pattern cannot be used: {reason}.") from None
