"""The rules of guards: `Rule` is one thing to search for, and `Rules` are compiled to search a text together."""

import re
from collections.abc import Callable, Iterable, Sequence
from copy import copy
from itertools import accumulate
from typing import Final, NamedTuple, Self

from tailrace.errors import InvalidRequest
from tailrace_worker.shaping.guards.beginnings import Form, Unsupported, alternatives, taken_apart
from tailrace_worker.shaping.guards.programs import Program, program_of
from tailrace_worker.shaping.guards.search_budget import SearchBudget

MAX_MATCH_BYTES: Final = 8_192
"""The longest match, so that no more than this is ever held back. RSA private keys of 8,192 bits fit."""

KNOWN_NEXT: Final = r"(?:\b|\B)"
"""An assertion that always holds, but makes a match wait for the character after it."""

# A program caches states for all of its rules together. With too many rules, the states exceed its memory, and each
# piece takes 100 times as long. But each further program takes 2 microseconds per piece.
_PROGRAM_CHARS: Final = 16_000
_SHORT_PROGRAM_CHARS: Final = 24_000
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
            (program_of("|".join(group), is_requests=each), first)
            for (group, each), first in zip(groups, before, strict=False)
        ]
        self._rules = [
            (rule, program_of(form.whole, is_requests=rule.is_requests))
            for rule, form in zip(rules, forms, strict=True)
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


def _form(rule: Rule, longest: int | None = None) -> Form:
    try:
        return alternatives(taken_apart(pattern, longest) for pattern in rule.patterns)
    except Unsupported as error:
        raise InvalidRequest(f"A guard's pattern cannot be used: {error}.") from None


def _begun(forms: Iterable[Form], own: Iterable[bool], most_chars: int) -> list[tuple[Program, bool]]:
    # The shortest come first: any word may begin an e-mail address, and then the others need not be searched.
    shortest = sorted(zip((form.begun for form in forms), own, strict=True), key=lambda each: (each[1], len(each[0])))
    groups = _together(shortest, most_chars)
    return [(program_of(f"(?:{'|'.join(group)})\\z", is_requests=each), each) for group, each in groups]


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


def _first(group: tuple[Program, int], text: bytes, start: int) -> tuple[int, int, int]:
    """Return where a group's first match begins, the index of its rule, and where the match ends."""
    compiled, index = group
    match = compiled.search(text, start)
    return (match.start(), index + (match.lastindex or 1) - 1, match.end()) if match else (len(text), 0, 0)


def _end(text: bytes, start: int, rule: Rule, compiled: Program, end: int) -> int:
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


def _match_end(compiled: Program, text: bytes, start: int, stop: int) -> int:
    match = compiled.match(text, start, stop) if stop > start else None
    return match.end() if match else 0
